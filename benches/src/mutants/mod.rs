//! Switches the rules of the protocol off, one after the other, and lets the tests find each. A rule that nobody misses is not tested.

mod copy;
mod list;
mod suite;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::copy::Copy;
use self::list::{List, Mutant};
use self::suite::{Ended, Failure, Suite};
use crate::results::{Results, said, table};

#[derive(clap::Args, Serialize)]
pub(crate) struct MutantsArguments {
    /// Only mutants of these names, also where it is known what finds them.
    #[arg(long)]
    only: Vec<String>,
    /// Seeds of a simulation, which is the last that is tried.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Forgets what an earlier run has found, instead of going on behind it.
    #[arg(long)]
    anew: bool,
    /// The mutants.
    #[arg(long, default_value = "benches/mutants.yaml")]
    list: PathBuf,
    /// Where what was found (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/mutants")]
    out: PathBuf,
}

/// A mutant, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    mutant: Mutant,
    /// Of the tree that was mutated.
    commit: Option<String>,
    /// The suites that were run before it was found, in which all passed.
    passed: Vec<String>,
    /// Nothing where it survives.
    found: Option<Found>,
    seconds: u64,
}

/// What found a mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    suite: String,
    #[serde(flatten)]
    failure: Failure,
}

pub(crate) fn run(arguments: &MutantsArguments) -> Result<ExitCode, Box<dyn Error>> {
    let list = List::read(&arguments.list)?;
    let mut results = Results::new(None, arguments)?;
    if !arguments.anew {
        results.rows = Results::<Row>::read(&arguments.out)?.map_or_else(Vec::new, |earlier| earlier.rows);
        results.rows.retain_mut(|row| match list.mutants.iter().find(|mutant| mutant.does(&row.mutant)) {
            Some(mutant) => {
                row.mutant = mutant.clone();
                true
            }
            None => false,
        });
    }
    let mut copy = Copy::of(Path::new("."), Path::new(FOLDER))?;
    let mut judge = Judge { seeds: arguments.seeds, sound: Vec::new() };
    let mut broken = Vec::new();
    for mutant in &list.mutants {
        let is_known = results.rows.iter().any(|row| row.mutant == *mutant);
        if if arguments.only.is_empty() { is_known } else { !arguments.only.contains(&mutant.name) } {
            continue;
        }
        let Some(row) = judge.try_out(&mut copy, &list, mutant)? else {
            broken.push(mutant.name.as_str());
            continue;
        };
        eprintln!("{}: {}", mutant.name, row.verdict());
        results.rows.retain(|row| row.mutant != *mutant);
        results.rows.push(row);
        results.rows.sort_by_key(|row| list.mutants.iter().position(|mutant| *mutant == row.mutant));
        results.save(&arguments.out, &text(&list, &results.rows))?;
    }
    println!("{}", text(&list, &results.rows));
    if !broken.is_empty() {
        return Err(format!("these do not compile: {}", broken.join(", ")).into());
    }
    let survives = results.rows.iter().any(|row| row.found.is_none());
    Ok(if survives { ExitCode::from(SURVIVES) } else { ExitCode::SUCCESS })
}

struct Judge {
    seeds: u64,
    /// Suites that pass where nothing is mutated: what fails anyway finds nothing.
    sound: Vec<String>,
}

impl Judge {
    /// Runs the suites until one finds the mutant. Nothing where it does not compile, which is said.
    fn try_out(
        &mut self,
        copy: &mut Copy,
        list: &List,
        mutant: &Mutant,
    ) -> Result<Option<Row>, Box<dyn Error>> {
        let began = Instant::now();
        copy.mutate(mutant)?;
        let mut row =
            Row { mutant: mutant.clone(), commit: commit(), passed: Vec::new(), found: None, seconds: 0 };
        for name in &mutant.suites {
            let suite = list.suite(name)?;
            if !self.sound.contains(name) {
                copy.restore(mutant)?;
                self.prove_sound(copy, suite)?;
                copy.mutate(mutant)?;
            }
            eprintln!("{}: {name}", mutant.name);
            match suite.run(copy.folder(), self.seeds)? {
                Ended::Broken(text) => {
                    eprintln!("{} does not compile: {text}", mutant.name);
                    copy.restore(mutant)?;
                    return Ok(None);
                }
                Ended::Passed => row.passed.push(suite.with_seeds(self.seeds)),
                Ended::Failed(failure) => {
                    row.found = Some(Found { suite: name.clone(), failure });
                    break;
                }
            }
        }
        copy.restore(mutant)?;
        row.seconds = began.elapsed().as_secs();
        Ok(Some(row))
    }

    fn prove_sound(&mut self, copy: &Copy, suite: &Suite) -> Result<(), Box<dyn Error>> {
        eprintln!("nothing mutated: {}", suite.name);
        match suite.run(copy.folder(), self.seeds)? {
            Ended::Passed => self.sound.push(suite.name.clone()),
            Ended::Broken(text) => return Err(format!("the tree does not compile: {text}").into()),
            Ended::Failed(failure) => {
                return Err(format!("{} fails where nothing is mutated: {failure}", suite.name).into());
            }
        }
        Ok(())
    }
}

impl Row {
    fn verdict(&self) -> String {
        match (&self.found, &self.mutant.survives) {
            (Some(found), _) => format!("{}: {}", found.suite, found.failure),
            (None, reason) => {
                let reason = reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
                format!("**survives** {}{reason}", self.passed.join(", "))
            }
        }
    }
}

fn text(list: &List, rows: &[Row]) -> String {
    let names = |names: Vec<&Mutant>| {
        let names: Vec<_> = names.into_iter().map(|mutant| mutant.name.as_str()).collect();
        names.join(", ")
    };
    let mut summary = format!("{} rules were switched off, one at a time. ", rows.len());
    let survivors: Vec<_> = rows.iter().filter(|row| row.found.is_none()).map(|row| &row.mutant).collect();
    summary += &match survivors.len() {
        0 => "Each was missed.".to_owned(),
        count => format!("{count} were not missed: {}.", names(survivors)),
    };
    let is_tried = |mutant: &&Mutant| rows.iter().any(|row| row.mutant == **mutant);
    let left: Vec<_> = list.mutants.iter().filter(|mutant| !is_tried(mutant)).collect();
    if !left.is_empty() {
        summary += &format!(" {} were not tried: {}.", left.len(), names(left));
    }
    let lines = rows.iter().map(|row| {
        let Mutant { name, rule, file, .. } = &row.mutant;
        vec![name.clone(), rule.clone(), format!("`{file}`"), row.verdict().replace('|', "\\|")]
    });
    format!("{summary}\n\n{}", table(&["mutant", "rule", "where", "found by"], lines))
}

fn commit() -> Option<String> {
    said("git", &["rev-parse", "--short=12", "HEAD"])
}

/// The copy of the tree, and what is built of it.
const FOLDER: &str = "target/mutants";
/// The exit code where a mutant survives.
const SURVIVES: u8 = 3;
