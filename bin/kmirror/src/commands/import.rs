//! `kmirror import`: the configuration of another mirror as kmirror.yaml on stdout, and on stderr what became of each key.

use crate::cli::ImportArguments;
use crate::exit::{Code, Failure};
use crate::import::Imported;

/// Runs the command.
pub(crate) fn run(arguments: &ImportArguments) -> Result<Code, Failure> {
    let imported = Imported::load(&arguments.file).unwrap_or_else(|| {
        Err(Failure::configuration(format!("{}: not a file that can be imported", arguments.file.display()))
            .help("kmirror knows MirrorMaker 2's .properties, and Strimzi's resources of kind KafkaMirrorMaker2"))
    })?;
    imported.print()?;
    Ok(Code::Ok)
}
