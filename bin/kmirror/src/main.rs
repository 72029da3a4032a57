//! The command line of kmirror: reads configuration files, starts the engine, shows what it does, and handles signals. It
//! knows nothing about Kafka.

// These panic where nobody reads; `streams` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod config;
mod exit;
mod files;
mod http;
mod import;
mod live;
mod logging;
mod mask;
mod output;
mod progress;
mod signals;
mod source;
mod status;
mod streams;
mod wanted;

use std::io;
use std::process::ExitCode;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    let cli = Cli::invoked(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let screen = progress::Screen::new();
    logging::install(cli.log.as_deref(), &screen);
    let runtime = match runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => return Failure::runtime(format!("cannot start the runtime: {error}")).report(),
    };
    let ended = match cli.command {
        Command::Run(arguments) => {
            runtime.block_on(commands::run::run((&arguments).into(), arguments.once, &screen))
        }
        Command::Mm1(arguments) => runtime.block_on(commands::run::mm1(*arguments, &screen)),
        Command::Demo(arguments) => runtime.block_on(commands::demo::run(arguments, &screen)),
        Command::Check(arguments) => runtime.block_on(commands::check::run(arguments)),
        Command::Plan(arguments) => runtime.block_on(commands::plan::run(arguments)),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::Status(arguments) => runtime.block_on(commands::status::run(arguments)),
        Command::Lag(arguments) => runtime.block_on(commands::lag::run(arguments)),
        Command::Config(command) => commands::config::run(&command),
        Command::Completions(arguments) => commands::manual::completions(arguments.shell),
        Command::Man => commands::manual::page(),
        Command::Topics(arguments) => runtime.block_on(commands::topics::run(arguments)),
        Command::Groups(arguments) => runtime.block_on(commands::groups::run(arguments)),
        Command::AcceptCluster(arguments) => runtime.block_on(commands::accept_cluster::run(arguments)),
        Command::Lineage(arguments) => runtime.block_on(commands::lineage::run(arguments)),
        Command::Translate(arguments) => runtime.block_on(commands::translate::run(arguments)),
        Command::Verify(arguments) => runtime.block_on(commands::verify::run(arguments, &screen)),
    };
    // Whatever a worker still does is of no use to anybody any more.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code.into(),
        Err(failure) => failure.report(),
    }
}

/// A mirror moves bytes from one socket to another, and what one thread has read is in the cache of its core when it is written. So it
/// has fewer threads than cores; whatever decodes has threads of its own.
fn runtime(command: &Command) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    let is_told = std::env::var_os("TOKIO_WORKER_THREADS").is_some();
    if matches!(command, Command::Run(_) | Command::Mm1(_)) && !is_told {
        let cores = available_parallelism().map_or(1, usize::from);
        builder.worker_threads((cores / 2).clamp(1, MIRROR_THREADS_MAX));
    }
    builder.enable_all().build()
}

/// Each moves more than a gigabyte per second.
const MIRROR_THREADS_MAX: usize = 4;
