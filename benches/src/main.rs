//! Measurements of kmirror, each a command that anyone can repeat: `cargo run --release -p kmirror-bench -- cpu`.
//!
//! Numbers from different machines or hours say little on their own, so each measurement also runs something fixed and
//! simple beside kmirror, in the same minute, and prints the ratio.

mod catch_up;
mod cleaner;
mod clusters;
mod compare;
mod contender;
mod cpu;
mod franz_go;
mod full;
mod guard;
mod holes;
mod latency;
mod load;
mod measured;
mod mutants;
mod null;
mod partitions;
mod percentiles;
mod process;
mod readme;
mod relay;
mod results;
mod stage;
mod stalled;
mod start;
mod statistics;
mod test_output;
mod traffic;
mod trials;
mod wan;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "kmirror-bench", about = "Measurements of kmirror, each a command that anyone can repeat.")]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// kmirror, MirrorMaker 2 with defaults and tuned, and a bare relay, in turns on the same clusters and topics.
    Compare(compare::CompareArguments),
    /// CPU seconds per gigabyte on the wire and peak memory of `kmirror run --once`, beside a bare relay.
    Cpu(cpu::CpuArguments),
    /// Instructions of the steps of a copy, beside those that are expected; needs valgrind.
    Guard(guard::GuardArguments),
    /// What is counted.
    #[command(hide = true)]
    Count,
    /// How fast logs with holes are copied: transactions of ten records, and a compacted log with few survivors.
    Holes(holes::HolesArguments),
    /// How much later a record is on the target than on the source, at a fixed rate and at half of saturation.
    Latency(latency::LatencyArguments),
    /// How much of a long and narrow link is used, with the mirror at either end of it.
    Wan(wan::WanArguments),
    /// How fast a mirror catches up with a backlog, and how late a canary beside it is.
    CatchUp(catch_up::CatchUpArguments),
    /// The memory of kmirror while the target stands still.
    Stalled(stalled::StalledArguments),
    /// What 10 to 10,000 partitions cost, idle and at a fixed rate.
    Partitions(partitions::PartitionsArguments),
    /// How soon records flow: after the start, after `kill -9`, and to a new topic.
    Start(start::StartArguments),
    /// The mirror alone: between clusters that answer out of what was prepared and store nothing, beside a bare relay.
    Null(null::NullArguments),
    /// Two such clusters, in a process of their own.
    #[command(hide = true)]
    Canned(null::brokers::Canned),
    /// Which tests miss each rule of the protocol: it is switched off in a copy of the tree.
    Mutants(mutants::MutantsArguments),
    /// The suites that take too long for every change: kills, freezes, many seeds, equal traces, and what healthy partitions wait for.
    Trials(trials::TrialsArguments),
    /// All measurements one after the other, with standard parameters.
    Full(full::FullArguments),
    /// Writes the section of README.md that shows the results in benches/results.
    Readme,
    /// The relay's own process: reads, hashes and writes bytes between two sockets.
    #[command(hide = true)]
    Relay(relay::RelayArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().measurement {
        Measurement::Compare(arguments) => compare::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Cpu(arguments) => cpu::run(&arguments),
        Measurement::Guard(arguments) => guard::run(&arguments),
        Measurement::Count => guard::count().map(|()| ExitCode::SUCCESS),
        Measurement::Holes(arguments) => holes::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Latency(arguments) => latency::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Wan(arguments) => wan::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Partitions(arguments) => partitions::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::CatchUp(arguments) => catch_up::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Stalled(arguments) => stalled::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Start(arguments) => start::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Null(arguments) => null::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Canned(arguments) => null::brokers::run(&arguments).map(|()| ExitCode::SUCCESS),
        Measurement::Mutants(arguments) => mutants::run(&arguments),
        Measurement::Trials(arguments) => trials::run(&arguments),
        Measurement::Full(arguments) => full::run(&arguments, &Arguments::command()),
        Measurement::Readme => readme::run().map(|()| ExitCode::SUCCESS),
        Measurement::Relay(arguments) => relay::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
