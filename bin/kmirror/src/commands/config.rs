//! `kmirror config`: what may be written in kmirror.yaml, and what somebody has written.

use std::path::Path;

use crate::cli::ConfigCommand;
use crate::config::{Config, REFERENCE, json_schema};
use crate::exit::{Code, Failure};
use crate::streams::{out, outln};

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> Result<Code, Failure> {
    match command {
        ConfigCommand::Reference => out!("{REFERENCE}"),
        ConfigCommand::Schema => outln!("{:#}", json_schema()),
        ConfigCommand::Dump(arguments) => out!("{}", Config::load(&arguments.config)?.effective()?),
        ConfigCommand::Check(arguments) => return check(&arguments.config),
    }
    Ok(Code::Ok)
}

/// Reads a file as `run` would, and connects to nothing.
pub(super) fn check(path: &Path) -> Result<Code, Failure> {
    let mirror = Config::load(path)?.mirror(false)?;
    mirror.flows().for_each(|flow| outln!("{}: well formed", flow.name()));
    Ok(Code::Ok)
}
