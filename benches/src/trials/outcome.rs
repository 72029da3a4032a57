//! What became of a trial, read from what its tests said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

use super::figure::Figure;
use crate::test_output::{failed_seed, failed_test};

/// Why a trial has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The first lines.
    pub(super) said: Vec<String>,
    /// Each replays it: `KMIRROR_SEED`.
    pub(super) seeds: Vec<u64>,
}

/// Nothing where so many tests have passed, and none has failed. A name that chooses no test proves nothing.
pub(super) fn failure(lines: &[String], status: ExitStatus, tests_count: usize) -> Option<Failure> {
    if status.success() {
        let passed: usize = lines.iter().filter_map(|line| passed_tests(line)).sum();
        let said = vec![format!("{passed} tests were run where there should be {tests_count}")];
        return (passed != tests_count).then_some(Failure { said, seeds: Vec::new() });
    }
    let mut said = said_of_seeds(lines);
    if said.is_empty() {
        said = said_by_the_first(lines);
    }
    if said.is_empty() {
        said.push(format!("it ends with {status}"));
    }
    let said = said.into_iter().take(LINES_MAX).map(|line| line.chars().take(LINE_MAX).collect()).collect();
    Some(Failure { said, seeds: seeds(lines) })
}

/// Why figures are not what they should be: one is missed, or there are none though there should be.
pub(super) fn missed(figures: &[Figure], has_figures: bool) -> Option<Failure> {
    let missed = figures.iter().filter(|figure| figure.is_missed());
    let mut said: Vec<_> = missed.map(|figure| format!("missed: {figure}")).collect();
    if has_figures && figures.is_empty() {
        said.push("the tests said no figure".to_owned());
    }
    (!said.is_empty()).then_some(Failure { said, seeds: Vec::new() })
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.said.join("; "))?;
        for (index, seed) in self.seeds.iter().enumerate() {
            formatter.write_str(if index == 0 { "; again: KMIRROR_SEED=" } else { ", " })?;
            write!(formatter, "{seed}")?;
        }
        Ok(())
    }
}

/// Those of the simulation that fail, and those that a schedule was made of.
fn seeds(lines: &[String]) -> Vec<u64> {
    let named = lines.iter().filter_map(|line| {
        let (_, rest) = line.split_once("KMIRROR_SEED=")?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    });
    let failed = lines.iter().filter_map(|line| Some(failed_seed(line)?.0));
    let seeds: BTreeSet<u64> = failed.chain(named).collect();
    seeds.into_iter().collect()
}

/// What the simulation says first of each seed that fails, the lowest seed first. Later it lists what the seed consists of.
fn said_of_seeds(lines: &[String]) -> Vec<String> {
    let mut said = BTreeMap::new();
    for line in lines {
        if let Some((seed, _)) = failed_seed(line) {
            said.entry(seed).or_insert(line);
        }
    }
    said.into_values().cloned().collect()
}

/// The first test that has failed, where it did, and what it said first. An error that kmirror has logged comes before the rest.
fn said_by_the_first(lines: &[String]) -> Vec<String> {
    let heading =
        lines.iter().find_map(|line| failed_test(line)).map(|test| format!("---- {test} stdout ----"));
    let is_other = |line: &str| line.starts_with("---- ") || line == "failures:";
    let block: Vec<&String> = match heading.and_then(|heading| lines.iter().position(|line| *line == heading))
    {
        Some(begin) => lines.iter().skip(begin + 1).take_while(|line| !is_other(line)).collect(),
        None => lines.iter().collect(),
    };
    let Some(place) = block.iter().position(|line| line.contains("panicked at ")) else { return Vec::new() };
    let panic = block.iter().skip(place);
    let is_error = |line: &str| line.contains("ERROR");
    let errors = panic.clone().filter(|line| is_error(line)).take(1);
    let first = panic.clone().skip(1).take_while(|line| !line.is_empty() && !line.starts_with("note: "));
    let first = first.filter(|line| !is_error(line));
    panic.take(1).chain(errors).chain(first).map(|line| line.trim().to_owned()).collect()
}

/// `test result: ok. 6 passed; 0 failed; …`
fn passed_tests(line: &str) -> Option<usize> {
    line.strip_prefix("test result: ok. ")?.split_once(" passed")?.0.parse().ok()
}

/// What is kept of that: the log of a run may be long.
const LINES_MAX: usize = 6;
const LINE_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn failure_of(output: &str, code: i32) -> Option<Failure> {
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        failure(&lines, ExitStatus::from_raw(code << 8), 2)
    }

    #[test]
    fn a_trial_whose_tests_were_not_run_has_not_passed() {
        let passed =
            |count: u32| format!("test result: ok. {count} passed; 0 failed; 0 ignored; finished in 1 s");
        assert_eq!(failure_of(&passed(2), 0), None);
        for output in [passed(0), passed(1), passed(3), String::new()] {
            let failure = failure_of(&output, 0).unwrap();
            assert!(failure.to_string().ends_with("tests were run where there should be 2"), "{failure}");
        }
        assert_eq!(failure_of(&passed(2), 101).unwrap().said, ["it ends with exit status: 101"]);
    }

    #[test]
    fn a_trial_whose_figures_are_missed_has_not_passed() {
        let figures = |line: &str| super::super::figure::figures(&[line.to_owned()]);
        assert_eq!(missed(&figures("figure: a: 1 s, at most 1 s"), true), None);
        assert_eq!(missed(&[], false), None);
        let failure = |line, has_figures| missed(&figures(line), has_figures).unwrap().to_string();
        assert_eq!(failure("figure: a: 1.2 s, at most 1 s", true), "missed: a: 1.200 s, at most 1 s");
        assert_eq!(failure("nothing", true), "the tests said no figure");
    }

    #[test]
    fn a_schedule_that_fails_is_named_with_its_first_lines() {
        let output = "test a::kafka ... ok\ntest b::kafka ... FAILED\ntest c ... FAILED\n\nfailures:\n\n\
                      ---- c stdout ----\nthread 'c' (1) panicked at c.rs:1:2:\nnot this\n\n\
                      ---- b::kafka stdout ----\nthe same schedule again: KMIRROR_SEED=123\n\n\
                      thread 'b::kafka' (7) panicked at b.rs:3:4:\nstarted\n one: ERROR bad\n  two\n\
                      note: run with more\nlater\n\nfailures:\n    b::kafka\n\ntest result: FAILED. 1 passed; 1 failed\n";
        let failure = failure_of(output, 101).unwrap();
        let said = ["thread 'b::kafka' (7) panicked at b.rs:3:4:", "one: ERROR bad", "started", "two"];
        assert_eq!(failure.said, said);
        assert_eq!(failure.seeds, [123]);
        assert!(failure.to_string().ends_with("two; again: KMIRROR_SEED=123"), "{failure}");
    }

    #[test]
    fn seeds_that_fail_are_all_named() {
        let output = "seed 30: order: b\nother\nseed 4: lost: a record\nthread 'x' (1) panicked at run.rs:1:2:\n\
                      lost: a record\nthe same again: KMIRROR_SEED=4; as few steps as it takes:\nseed 4: 2 mirrors\n";
        let failure = failure_of(output, 101).unwrap();
        assert_eq!(failure.said, ["seed 4: lost: a record", "seed 30: order: b"]);
        assert_eq!(failure.seeds, [4, 30]);
    }

    #[test]
    fn a_long_log_is_cut_off() {
        let log =
            format!("thread 'x' (1) panicked at b.rs:1:2:\n{}", format!("{}\n", "ä".repeat(400)).repeat(20));
        let failure = failure_of(&log, 101).unwrap();
        assert_eq!(failure.said.len(), LINES_MAX);
        assert!(failure.said.iter().skip(1).all(|line| line.chars().count() == LINE_MAX));
    }
}
