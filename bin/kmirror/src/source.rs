//! What a mirror is started from. It is read again to reload.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cli::{Mm1Arguments, RunArguments};
use crate::config::Config;
use crate::exit::Failure;
use crate::import::Imported;

/// Where a configuration comes from.
#[derive(Debug)]
pub(crate) enum ConfigSource {
    /// A file, of which only flows to these clusters are wanted, if any are named.
    File {
        /// The file.
        path: PathBuf,
        /// Aliases.
        clusters: Vec<String>,
    },
    /// The flags of MirrorMaker 1, and the files that they name.
    Mm1(Box<Mm1Arguments>),
}

impl ConfigSource {
    /// Reads it.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        match self {
            ConfigSource::File { path, clusters } => {
                let mut config = Config::load(path)?;
                if !clusters.is_empty() {
                    config.keep_targets(clusters)?;
                }
                Ok(config)
            }
            ConfigSource::Mm1(arguments) => Config::imported(
                "MirrorMaker's flags",
                "kmirror mm1 --print-config …",
                &Imported::of_mm1(arguments)?,
            ),
        }
    }
}

impl Config {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            Failure::configuration(format!("cannot read the configuration {name}: {error}"))
                .help("name the configuration file with -c FILE; README.md shows a small one")
        })?;
        Config::read(&name, &bytes)
    }

    /// Takes what is in a file.
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Config, Failure> {
        if let Some(imported) = Imported::read(name, bytes) {
            return Config::imported(name, &format!("kmirror import {name}"), &imported?);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Failure::configuration(format!("the configuration {name} is not UTF-8")))?;
        Config::parse(name, text)
    }

    /// Takes the configuration of another mirror, and says in the log what must be known of it.
    fn imported(name: &str, report: &str, imported: &Imported) -> Result<Config, Failure> {
        imported.warn(name, report);
        Config::parse(&format!("{name}, as kmirror.yaml"), &imported.yaml()?)
    }
}

impl From<&RunArguments> for ConfigSource {
    fn from(arguments: &RunArguments) -> ConfigSource {
        ConfigSource::File { path: arguments.config.config.clone(), clusters: arguments.clusters.clone() }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigSource::File { path, .. } => path.display().fmt(formatter),
            ConfigSource::Mm1(arguments) => write!(
                formatter,
                "{} and {}",
                arguments.consumer_config.display(),
                arguments.producer_config.display()
            ),
        }
    }
}
