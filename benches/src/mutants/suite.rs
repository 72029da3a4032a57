//! Tests that may find a mutant: built and run by cargo, until the first of them fails.

use std::error::Error;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::test_output::{failed_seed, failed_test, follow};

/// Some of the tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    pub(super) name: String,
    /// What `cargo test` is told to choose the program by.
    program: String,
    /// What the program is told to choose the tests by.
    #[serde(default)]
    tests: String,
}

/// How a suite ended.
pub(super) enum Ended {
    Passed,
    Failed(Failure),
    /// It does not compile, for this reason.
    Broken(String),
}

/// What failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The tests, as far as they were waited for. None where the suite did not come to an end.
    pub(super) tests: Vec<String>,
    /// The first line of what the first of them said.
    pub(super) said: String,
    /// How many seeds of the simulation it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seeds: Option<u64>,
}

impl Suite {
    /// Builds and runs it in a copy of the tree. What fails is run once more by itself: only what fails again counts, for a machine that
    /// has much else to do may be why.
    pub(super) fn run(&self, copy: &Path, seeds: u64) -> Result<Ended, Box<dyn Error>> {
        let built = self.cargo(copy, seeds, &["--no-run"]).output()?;
        if !built.status.success() {
            return Ok(Ended::Broken(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        let tests: Vec<&str> = self.tests.split_ascii_whitespace().collect();
        let flags: &[&str] = if self.is_simulation() { &["--", "--nocapture"] } else { &["--"] };
        for _ in 0..TRIALS_MAX {
            let Some(failure) = self.watch(self.cargo(copy, seeds, flags).args(&tests))? else {
                return Ok(Ended::Passed);
            };
            let [first, ..] = failure.tests.as_slice() else { return Ok(Ended::Failed(failure)) };
            let again = self.is_simulation()
                || self.watch(self.cargo(copy, seeds, &["--", "--exact"]).arg(first))?.is_some();
            if again {
                return Ok(Ended::Failed(failure));
            }
            eprintln!("{first} fails now and then: again");
        }
        Err(format!("{}: tests fail, and do not when they are run again", self.name).into())
    }

    /// Its name, and how many seeds it runs if it does.
    pub(super) fn with_seeds(&self, seeds: u64) -> String {
        if self.is_simulation() { format!("{} ({seeds} seeds)", self.name) } else { self.name.clone() }
    }

    fn is_simulation(&self) -> bool {
        self.program.ends_with("--test simulation")
    }

    fn cargo(&self, copy: &Path, seeds: u64, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(copy).args(["test", "--locked", "--target-dir", "../target"]);
        cargo.args(self.program.split_ascii_whitespace()).args(arguments);
        cargo.env("RUST_BACKTRACE", "0").env("KMIRROR_SEEDS", seeds.to_string());
        cargo
    }

    /// Runs it to its end, for as long as that may take. Once something has failed the rest is not waited for much longer.
    fn watch(&self, command: &mut Command) -> Result<Option<Failure>, Box<dyn Error>> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let (sender, lines) = channel();
        follow(child.stdout.take(), sender.clone());
        follow(child.stderr.take(), sender);
        let mut seen = Seen::default();
        let is_over = seen.take_in(&lines);
        if !is_over {
            end(&child)?;
        }
        let status = child.wait()?;
        if status.success() {
            return Ok(None);
        }
        let mut failure = seen.failure(self.is_simulation());
        if failure == Failure::default() {
            failure.said = format!("it ends with {status}");
        }
        Ok(Some(failure))
    }
}

/// What was read of the tests.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    is_cut_off: bool,
}

impl Seen {
    /// Reads until both streams have ended, which is said, or it takes too long.
    fn take_in(&mut self, lines: &Receiver<String>) -> bool {
        let mut until = Instant::now() + PATIENCE;
        let mut has_failed = false;
        loop {
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if !has_failed && (failed_test(&line).is_some() || failed_seed(&line).is_some()) {
                        has_failed = true;
                        until = Instant::now() + PATIENCE_AFTER_FAILURE;
                    }
                    self.lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => {
                    self.is_cut_off = !has_failed;
                    return false;
                }
            }
        }
    }

    /// `by_seeds`: lines that name a seed are the simulation's.
    fn failure(&self, by_seeds: bool) -> Failure {
        let mut tests: Vec<String> =
            self.lines.iter().filter_map(|line| failed_test(line)).map(str::to_owned).collect();
        // What a model finds says more than what the table of a unit test does.
        tests.sort_by_key(|test| (!test.contains("exhaustive") && !test.contains("model"), test.clone()));
        let seeds = self.lines.iter().filter_map(|line| failed_seed(line));
        if let Some((seed, said)) = seeds.min().filter(|_| by_seeds) {
            return Failure { tests, said: said.to_owned(), seeds: Some(seed + 1) };
        }
        let said = tests.first().and_then(|test| self.said_by(test)).unwrap_or_default();
        if self.is_cut_off {
            return Failure {
                said: format!("does not end within {} s", PATIENCE.as_secs()),
                ..Failure::default()
            };
        }
        Failure { tests, said: said.chars().take(SAID_MAX).collect(), seeds: None }
    }

    /// `thread '…' panicked at PLACE:` and what follows.
    fn said_by(&self, test: &str) -> Option<String> {
        let heading = format!("---- {test} stdout ----");
        let mut lines = self.lines.iter().skip_while(|line| **line != heading);
        lines.by_ref().find(|line| line.contains("panicked at "))?;
        let first = lines.next()?.trim();
        let values: Vec<&str> = lines.take(2).map(|line| line.trim()).filter(|line| is_value(line)).collect();
        Some([&[first], values.as_slice()].concat().join(" "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seeds) = self.seeds {
            return write!(formatter, "{seeds} seeds: {}", self.said);
        }
        let Some(first) = self.tests.first() else { return formatter.write_str(&self.said) };
        write!(formatter, "`{first}`")?;
        match self.tests.len() {
            1 => Ok(()),
            count => write!(formatter, " and {} more", count - 1),
        }
    }
}

/// Ends it with everything that it has started.
fn end(child: &Child) -> Result<(), Box<dyn Error>> {
    Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", child.id())]).status()?;
    Ok(())
}

fn is_value(line: &str) -> bool {
    line.starts_with("left: ") || line.starts_with("right: ")
}

/// How long a suite may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it may go on once a test has failed: others may say more.
const PATIENCE_AFTER_FAILURE: Duration = Duration::from_secs(15);
/// How often a suite is run whose tests fail now and then.
const TRIALS_MAX: u32 = 3;
/// Characters of what a test said.
const SAID_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(output: &str, by_seeds: bool) -> Failure {
        let (sender, lines) = channel();
        output.lines().for_each(|line| sender.send(line.to_owned()).unwrap());
        drop(sender);
        let mut seen = Seen::default();
        assert!(seen.take_in(&lines));
        seen.failure(by_seeds)
    }

    #[test]
    fn what_failed_is_read_from_what_the_tests_say() {
        let output = "running 3 tests\ntest a::b ... FAILED\ntest a::c ... ok\ntest a::exhaustive::d ... FAILED\n\
                      ---- a::b stdout ----\n\nthread 'a::b' (7) panicked at a.rs:1:2:\nnot this\n\
                      ---- a::exhaustive::d stdout ----\n\nthread 'a::exhaustive::d' (8) panicked at a.rs:3:4:\n\
                      assertion `left == right` failed\n  left: 1\n right: 2\nnote: run with more\n";
        let found = failure(output, false);
        assert_eq!(found.tests, ["a::exhaustive::d", "a::b"], "the model's first");
        assert_eq!(found.said, "assertion `left == right` failed left: 1 right: 2");
        assert_eq!(found.to_string(), "`a::exhaustive::d` and 1 more");
    }

    #[test]
    fn the_first_seed_counts_whichever_ended_first() {
        let output = "seed 8: order: b\nseed 3: lost: a record\nother\ntest whatever ... FAILED\n";
        let found = failure(output, true);
        assert_eq!((found.seeds, found.said.as_str()), (Some(4), "lost: a record"));
        assert_eq!(found.to_string(), "4 seeds: lost: a record");
        assert_eq!(failure(output, false).tests, ["whatever"], "a model names seeds as well");
        assert_eq!(failure("seed x: y\ntest a ... ok\n", true), Failure::default());
    }
}
