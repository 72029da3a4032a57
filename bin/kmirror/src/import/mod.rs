//! Configurations of other mirrors, as kmirror's own: what becomes of each key is said in a report.

mod mm2;
mod properties;

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::exit::Failure;

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
    /// kmirror cannot do this.
    Unsupported,
}

impl Imported {
    /// Reads a file of another mirror. `None`: it is not one, by its name.
    pub(crate) fn load(path: &Path) -> Option<Result<Imported, Failure>> {
        let is_properties = path.extension().is_some_and(|extension| extension == "properties");
        is_properties.then(|| {
            let name = path.display().to_string();
            let failed = |error: &dyn fmt::Display| Failure::configuration(format!("{name}: {error}"));
            let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
            let properties = properties::Properties::parse(&bytes).map_err(|error| failed(&error))?;
            mm2::import(&properties).map_err(|error| failed(&error))
        })
    }

    /// The text of the kmirror.yaml that means the same.
    pub(crate) fn yaml(&self) -> Result<String, Failure> {
        serde_yaml::to_string(&self.config)
            .map_err(|error| Failure::runtime(format!("the configuration cannot be written: {error}")))
    }
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
            NoteKind::Unsupported => "not supported",
        })
    }
}
