//! Everything that is measured, by one command.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct FullArguments {
    /// Little of everything, to see that it works: its figures are worth nothing.
    #[arg(long)]
    quick: bool,
    /// The folder of the results.
    #[arg(long, default_value = "benches/results")]
    out: PathBuf,
}

/// A measurement, by its command and what it is told; where nothing is said it has its own defaults.
struct Part {
    name: &'static str,
    full: &'static str,
    quick: &'static str,
}

/// Runs each part as a process of its own, goes on where one fails, and says so at the end.
pub(crate) fn run(arguments: &FullArguments, known: &clap::Command) -> Result<ExitCode, Box<dyn Error>> {
    let mut lines = Vec::new();
    let mut all_succeeded = true;
    for part in PARTS.iter().filter(|part| known.find_subcommand(part.name).is_some()) {
        let words = if arguments.quick { part.quick } else { part.full };
        eprintln!("== {} {words}", part.name);
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part.name).args(words.split_ascii_whitespace());
        let status = command.arg("--out").arg(arguments.out.join(part.name)).status()?;
        all_succeeded &= status.success();
        lines.push(line(part.name, started.elapsed(), status.success()));
    }
    println!("{}", lines.join("\n"));
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(name: &str, took: Duration, succeeded: bool) -> String {
    let seconds = took.as_secs();
    let end = if succeeded { "" } else { ", FAILED" };
    format!("{name:<12} {:>3} min {:02} s{end}", seconds / 60, seconds % 60)
}

/// Together an hour on two cores.
const PARTS: [Part; 9] = [
    Part { name: "null", full: "--gigabytes 2 --rounds 2", quick: "--gigabytes 0.2 --rounds 1 --cell raw" },
    Part {
        name: "compare",
        full: "--gigabytes 1 --rounds 2",
        quick: "--gigabytes 0.02 --rounds 1 --cell raw --cell zstd --cell lz4 --cell single",
    },
    Part {
        name: "holes",
        full: "--offsets 2000000 --copies 2 --verify",
        quick: "--transactions 200 --offsets 200000 --copies 1 --verify",
    },
    Part {
        name: "latency",
        full: "--half-of-saturation --seconds 30 --warm-up-seconds 15",
        quick: "--seconds 5 --warm-up-seconds 5 --without-mm2",
    },
    Part { name: "start", full: "--rounds 3", quick: "--rounds 1 --without-mm2" },
    Part {
        name: "partitions",
        full: "--idle-seconds 20 --seconds 20",
        quick: "--partitions 10,100 --idle-seconds 5 --seconds 5 --without-mm2",
    },
    Part {
        name: "catch-up",
        full: "--gigabytes 1 --rounds 1",
        quick: "--gigabytes 0.3 --rounds 1 --without-mm2",
    },
    Part { name: "stalled", full: "--gigabytes 1", quick: "--gigabytes 0.5 --seconds 10" },
    Part {
        name: "wan",
        full: "--cell raw --megabytes 40",
        quick: "--cell raw --megabytes 4 --rtt-ms 50 --without-mm2",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_long_it_took_and_whether_it_failed() {
        assert_eq!(line("wan", Duration::from_secs(125), true), "wan            2 min 05 s");
        assert!(line("wan", Duration::from_secs(5), false).ends_with("05 s, FAILED"));
    }

    #[test]
    fn every_part_is_understood() {
        use clap::CommandFactory;

        for part in &PARTS {
            for words in [part.full, part.quick] {
                let command = crate::Arguments::command();
                if command.find_subcommand(part.name).is_some() {
                    let line = ["kmirror-bench", part.name].into_iter().chain(words.split_ascii_whitespace());
                    command.try_get_matches_from(line.chain(["--out", "x"])).expect(part.name);
                }
            }
        }
    }
}
