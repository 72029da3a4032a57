//! `kmirror completions` and `kmirror man`: what a package installs beside the program.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Code, Failure};

/// Prints a script that completes commands.
pub(crate) fn completions(shell: Shell) -> Result<Code, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kmirror", &mut script);
    written(&script)
}

/// Prints the manual page: all commands on one.
pub(crate) fn page() -> Result<Code, Failure> {
    let failed = |error: io::Error| Failure::runtime(format!("the manual page cannot be made: {error}"));
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for subcommand in command.get_subcommands() {
        let name = format!("kmirror {}", subcommand.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase()).map_err(failed)?;
        let man = clap_mangen::Man::new(subcommand.clone());
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    written(&page)
}

fn written(bytes: &[u8]) -> Result<Code, Failure> {
    match io::stdout().write_all(bytes) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("stdout cannot be written to: {error}")))
        }
        _ => Ok(Code::Ok),
    }
}
