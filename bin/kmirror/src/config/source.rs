//! What a mirror is started from. It is read again to reload.

use std::fmt;
use std::path::PathBuf;

use super::Config;
use crate::cli::{Mm1Arguments, RunArguments};
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
