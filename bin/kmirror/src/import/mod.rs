//! Configurations of other mirrors, as kmirror's own: what becomes of each key is said in a report.

mod mm1;
mod mm2;
mod patterns;
mod providers;
mod strimzi;

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::Mm1Arguments;
use crate::exit::Failure;
use crate::files::properties::{self, Properties};
use crate::files::{place, problem};
use crate::streams::{errln, out};

/// A configuration that was translated.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The same as kmirror.yaml has it.
    pub(crate) config: Value,
    /// What became of each key.
    pub(crate) notes: Vec<Note>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: NoteKind,
    pub(crate) key: String,
    pub(crate) text: String,
}

/// How a key was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NoteKind {
    /// It means the same as something in kmirror.yaml.
    Mapped,
    /// It has no meaning here, for a reason.
    Ignored,
    /// It means something that may not be what was meant.
    Warning,
}

/// Why a configuration cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ImportError {
    /// The key that is wrong, or that is next to what is missing.
    key: Option<String>,
    message: String,
}

impl ImportError {
    fn new(message: impl Into<String>) -> ImportError {
        ImportError { key: None, message: message.into() }
    }

    fn at(key: &str, message: impl Into<String>) -> ImportError {
        ImportError { key: Some(key.to_owned()), message: message.into() }
    }
}

impl Imported {
    /// Reads a file of another mirror. `None`: it is not one.
    pub(crate) fn load(path: &Path) -> Option<Result<Imported, Failure>> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Imported::read(&name, &bytes),
            Err(error) => Some(Err(Failure::configuration(format!("cannot read {name}: {error}")))),
        }
    }

    /// The same of what is in a file.
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Option<Result<Imported, Failure>> {
        // A document in YAML may hold lines of anything.
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        if name.ends_with(".properties") || !is_yaml && names_clusters(&properties::text_of(bytes)) {
            return Some(of_properties(name, bytes));
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains("KafkaMirrorMaker"))?;
        of_resources(name, text).transpose()
    }

    /// Reads the flags of MirrorMaker 1, and the files that they name.
    pub(crate) fn of_mm1(arguments: &Mm1Arguments) -> Result<Imported, Failure> {
        mm1::import(arguments)
    }

    /// Prints the kmirror.yaml on stdout, and the report on stderr.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        out!("{}", self.yaml()?);
        let mut kind = None;
        for note in &self.notes {
            if kind != Some(note.kind) {
                errln!("{}:", note.kind);
                kind = Some(note.kind);
            }
            errln!("  {note}");
        }
        Ok(())
    }

    /// The text of the kmirror.yaml that means the same.
    pub(crate) fn yaml(&self) -> Result<String, Failure> {
        serde_yaml::to_string(&self.config)
            .map_err(|error| Failure::runtime(format!("the configuration cannot be written: {error}")))
    }

    /// Says in the log what must be known of what is run as it is. `report`: the command that says the rest.
    pub(crate) fn warn(&self, name: &str, report: &str) {
        let ignored = self.notes.iter().filter(|note| note.kind == NoteKind::Ignored).count();
        if ignored > 0 {
            tracing::info!("{name}: {ignored} keys have no effect here; `{report}` says why");
        }
        for note in self.notes.iter().filter(|note| note.kind >= NoteKind::Warning) {
            tracing::warn!("{name}: {note}");
        }
    }
}

/// Whether a file is MirrorMaker 2's by its first key, whatever its name.
fn names_clusters(text: &str) -> bool {
    text.lines().any(|line| {
        line.trim_start().strip_prefix("clusters").is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

fn of_properties(name: &str, bytes: &[u8]) -> Result<Imported, Failure> {
    let text = properties::text_of(bytes);
    let properties =
        Properties::parse(bytes).map_err(|error| at_line(name, &text, error.line, &error.to_string()))?;
    mm2::import(&properties).map_err(|error| {
        match error.key.as_ref().and_then(|key| properties.lines.get(key)) {
            Some(line) => at_line(name, &text, *line, &error.message),
            None => Failure::configuration(format!("{name}: {error}")),
        }
    })
}

/// Finds Strimzi's resource among the documents of a file. `None`: there is none.
fn of_resources(name: &str, text: &str) -> Result<Option<Imported>, Failure> {
    let mut found = None;
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let document = serde_yaml::Value::deserialize(document)
            .map_err(|error| problem::describe(name, text, &error))?;
        let kind = document.get("kind").and_then(serde_yaml::Value::as_str);
        let refused = match kind {
            Some("KafkaMirrorMaker2") if found.is_some() => {
                "a second KafkaMirrorMaker2; kmirror runs one of a file"
            }
            Some("KafkaMirrorMaker") => "KafkaMirrorMaker is MirrorMaker 1, which `kmirror mm1` stands for",
            Some("KafkaMirrorMaker2") => {
                found = Some((index, document));
                continue;
            }
            _ => continue,
        };
        return Err(Failure::configuration(format!("{name}: {refused}")));
    }
    let Some((index, resource)) = found else { return Ok(None) };
    let imported = strimzi::import(&resource).map_err(|error| {
        let at =
            error.key.as_deref().and_then(|key| place::find_shown(text, place::document(text, index), key));
        match at {
            Some(at) => problem::describe_at(name, text, at, &error.message),
            None => Failure::configuration(format!("{name}: {error}")),
        }
    });
    imported.map(Some)
}

/// A failure that shows a line of the file.
fn at_line(name: &str, text: &str, line: usize, message: &str) -> Failure {
    let lines: Vec<&str> = text.split_inclusive('\n').take(line).collect();
    let Some((last, before)) = lines.split_last() else {
        return Failure::configuration(format!("{name}: {message}"));
    };
    let start = before.iter().map(|line| line.len()).sum::<usize>() + (last.len() - last.trim_start().len());
    problem::describe_at(name, text, start, message)
}

/// Kafka's lists (`ConfigDef.Type.LIST`).
fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.text)
    }
}

impl fmt::Display for NoteKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NoteKind::Mapped => "mapped",
            NoteKind::Ignored => "ignored on purpose",
            NoteKind::Warning => "to be looked at",
        })
    }
}
