//! The suites that take too long for every change, each by `cargo test` with what it needs, and what became of it.

mod busy;
mod figure;
mod list;
mod outcome;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::busy::Busy;
use self::figure::{Figure, figures};
use self::list::{NAMES, Trial, trials};
use self::outcome::{Failure, failure};
use crate::clusters;
use crate::measured::children_cpu;
use crate::results::{self, Results, table};
use crate::test_output::{failed_seed, failed_test, follow};

#[derive(clap::Args, Serialize)]
pub(crate) struct TrialsArguments {
    /// Only trials of these names. The rows of the others stay.
    #[arg(long, value_parser = NAMES)]
    only: Vec<String>,
    /// How often the mirror is killed under load.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// How often an instance stands still with batches in hand, in each test.
    #[arg(long, default_value_t = 10)]
    freezes: u32,
    /// How often a leader of the target stands still.
    #[arg(long, default_value_t = 10)]
    stops: u32,
    /// How many seeds of the simulation.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Where what was found (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/trials")]
    out: PathBuf,
}

/// A trial, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    name: String,
    promise: String,
    /// Does the same again.
    command: String,
    /// Of the tree that was tried.
    commit: Option<String>,
    amount: String,
    /// How many worlds were simulated; nothing where clusters are real.
    worlds: Option<u64>,
    /// What the tests measured.
    #[serde(default)]
    figures: Vec<Figure>,
    /// Nothing where it has passed.
    failure: Option<Failure>,
    wall_seconds: f64,
    /// Of the tests and what they start. Nothing where that is mostly the clusters'.
    cpu_seconds: Option<f64>,
}

pub(crate) fn run(arguments: &TrialsArguments) -> Result<ExitCode, Box<dyn Error>> {
    let mut results = Results::new(Some(clusters::RELEASE), arguments)?;
    results.rows = Results::<Row>::read(&arguments.out)?.map_or_else(Vec::new, |earlier| earlier.rows);
    let mut all_passed = true;
    for trial in trials(arguments) {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == trial.name) {
            continue;
        }
        let row = try_out(&trial)?;
        eprintln!("{}: {}", row.name, row.outcome());
        all_passed &= row.failure.is_none();
        keep(&mut results.rows, row);
        results.save(&arguments.out, &text(&results.rows))?;
    }
    println!("{}", text(&results.rows));
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn try_out(trial: &Trial) -> Result<Row, Box<dyn Error>> {
    eprintln!("{}: {}", trial.name, trial.command_line());
    let commit = results::commit();
    if !trial.build().status()?.success() {
        return Err(format!("{}: it does not compile", trial.name).into());
    }
    let busy = trial.is_under_load.then(Busy::start);
    let (began, cpu) = (Instant::now(), children_cpu()?);
    let (lines, status) = watch(&mut trial.cargo(), &Path::new(FOLDER).join(trial.name))?;
    let (wall, cpu) = (began.elapsed(), children_cpu()? - cpu);
    drop(busy);
    let figures = figures(&lines);
    let failure = failure(&lines, status, trial.tests_count);
    let failure = failure.or_else(|| outcome::missed(&figures, trial.has_figures));
    Ok(Row {
        name: trial.name.to_owned(),
        promise: trial.promise.to_owned(),
        command: trial.command_line(),
        commit,
        amount: trial.amount.clone(),
        worlds: trial.worlds,
        figures,
        failure,
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: trial.worlds.map(|_| cpu.as_secs_f64()),
    })
}

/// Runs it to its end, for as long as that may take. All that it says goes to `log`.out, what fails to the terminal too. The lines name
/// no place on this machine.
fn watch(command: &mut Command, log: &Path) -> Result<(Vec<String>, ExitStatus), Box<dyn Error>> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut log = File::create(log.with_extension("out"))?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, receiver) = channel();
    follow(child.stdout.take(), sender.clone());
    follow(child.stderr.take(), sender);
    let (mut lines, here) = (Vec::new(), results::here());
    for line in receiver {
        writeln!(log, "{line}")?;
        if failed_seed(&line).is_some() || failed_test(&line).is_some() {
            eprintln!("{line}");
        }
        lines.push(line.replace(&here, "."));
    }
    Ok((lines, child.wait()?))
}

/// In the place of the row of an earlier run, in the order of the list.
fn keep(rows: &mut Vec<Row>, row: Row) {
    rows.retain(|earlier| earlier.name != row.name);
    rows.push(row);
    rows.sort_by_key(|row| NAMES.iter().position(|name| *name == row.name));
}

impl Row {
    fn outcome(&self) -> String {
        self.failure.as_ref().map_or_else(|| "passed".to_owned(), |failure| format!("**failed**: {failure}"))
    }

    /// Of a failure some worlds are run again, to cut them down: then it is no measure.
    fn worlds_per_cpu_second(&self) -> Option<f64> {
        let (worlds, seconds) = (self.worlds?, self.cpu_seconds?);
        self.failure.is_none().then(|| worlds as f64 / seconds)
    }
}

fn text(rows: &[Row]) -> String {
    let figure = |figure: Option<f64>| figure.map_or_else(String::new, |figure| format!("{figure:.1}"));
    let version = |row: &Row| row.commit.clone().unwrap_or_default();
    let lines = rows.iter().map(|row| {
        vec![
            row.name.clone(),
            row.promise.clone(),
            row.amount.clone(),
            row.outcome().replace('|', "\\|"),
            version(row),
            format!("{:.0}", row.wall_seconds),
            figure(row.cpu_seconds),
            figure(row.worlds_per_cpu_second()),
        ]
    });
    let columns = [
        "trial",
        "promise",
        "how much",
        "outcome",
        "version",
        "seconds",
        "CPU seconds",
        "worlds per CPU second",
    ];
    let mut text = format!("Each row is of its own run and version.\n\n{}\n", table(&columns, lines));
    for row in rows {
        let end = if row.failure.is_none() { "passed" } else { "**failed**" };
        text += &format!("- {}, {}: {end} ({})\n", row.name, row.amount, version(row));
        row.figures.iter().for_each(|figure| text += &format!("  - {figure}\n"));
    }
    text += "\nAgain:\n\n```sh\n";
    rows.iter().for_each(|row| text += &format!("{}\n", row.command));
    text + "```\n"
}

/// What the tests said.
const FOLDER: &str = "target/trials";
/// The exit code where a trial fails.
const FAILED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, failure: Option<Failure>) -> Row {
        Row {
            name: name.to_owned(),
            promise: "it holds".to_owned(),
            command: format!("cargo test {name}"),
            commit: Some("abc-dirty".to_owned()),
            amount: "10 seeds".to_owned(),
            worlds: (name == "seeds").then_some(10),
            figures: figures(&["figure: a delay: 0.5 s, at most 1 s".to_owned()]),
            failure,
            wall_seconds: 3.0,
            cpu_seconds: (name == "seeds").then_some(4.0),
        }
    }

    fn failed() -> Failure {
        Failure { said: vec!["a | b".to_owned()], seeds: vec![7] }
    }

    #[test]
    fn a_row_takes_the_place_of_its_predecessor_alone() {
        let mut rows = Vec::new();
        for name in ["seeds", "kills", "freezes"] {
            keep(&mut rows, row(name, None));
        }
        keep(&mut rows, row("freezes", Some(failed())));
        let kept: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.failure.is_some())).collect();
        assert_eq!(kept, [("kills", false), ("freezes", true), ("seeds", false)]);
    }

    #[test]
    fn a_failure_is_in_the_table_and_among_the_findings() {
        let text = text(&[row("kills", Some(failed())), row("seeds", None)]);
        let failed = "| kills | it holds | 10 seeds | **failed**: a \\| b; again: KMIRROR_SEED=7 | abc-dirty | 3 |  |  |";
        assert!(text.contains(failed), "{text}");
        assert!(
            text.contains("| seeds | it holds | 10 seeds | passed | abc-dirty | 3 | 4.0 | 2.5 |"),
            "{text}"
        );
        let found = "\n- kills, 10 seeds: **failed** (abc-dirty)\n  - a delay: 0.500 s, at most 1 s\n";
        assert!(text.contains(found), "{text}");
        assert!(text.contains("\n- seeds, 10 seeds: passed (abc-dirty)\n"), "{text}");
        assert!(text.contains("\ncargo test kills\n"), "{text}");
    }

    #[test]
    fn worlds_that_were_cut_down_are_no_measure() {
        assert_eq!(row("seeds", None).worlds_per_cpu_second(), Some(2.5));
        assert_eq!(row("seeds", Some(failed())).worlds_per_cpu_second(), None);
        assert_eq!(row("kills", None).worlds_per_cpu_second(), None);
    }

    #[test]
    fn both_streams_are_read_to_their_end_and_kept() {
        let folder = std::env::temp_dir().join(format!("kmirror-trials-{}", std::process::id()));
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one in $PWD/a; echo two >&2; exit 5"]);
        let (mut lines, status) = watch(&mut shell, &folder.join("log")).unwrap();
        lines.sort();
        let kept = fs::read_to_string(folder.join("log.out")).unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!((lines.join("; "), status.code()), ("one in ./a; two".to_owned(), Some(5)));
        assert!(kept.contains("one in /") && kept.contains("two\n"), "{kept}");
    }
}
