//! `kmirror config`: what may be written in kmirror.yaml, and what somebody has written.

use crate::cli::ConfigCommand;
use crate::config::{Config, REFERENCE, json_schema};
use crate::exit::{Code, Failure};

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> Result<Code, Failure> {
    match command {
        ConfigCommand::Reference => print!("{REFERENCE}"),
        ConfigCommand::Schema => println!("{:#}", json_schema()),
        ConfigCommand::Dump(arguments) => print!("{}", Config::load(&arguments.config)?.effective()?),
        ConfigCommand::Check(arguments) => {
            let mirror = Config::load(&arguments.config)?.mirror(false)?;
            mirror.flows().for_each(|flow| println!("{}: well formed", flow.name()));
        }
    }
    Ok(Code::Ok)
}
