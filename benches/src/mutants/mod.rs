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
use self::list::{List, Mutant, SIMULATION};
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
    /// Runs the simulation alone, also where something else finds them: how many seeds it takes is added to what is known of a mutant.
    #[arg(long)]
    simulate: bool,
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
    /// What the simulation alone said of it, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    simulated: Option<Simulated>,
}

/// What the simulation says of a mutant when nothing else is run before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Simulated {
    commit: Option<String>,
    /// How many were to be tried.
    seeds_max: u64,
    /// The first violation, and how many seeds it took. Nothing where there was none.
    found: Option<Failure>,
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
        let known = results.rows.iter().find(|row| row.mutant == *mutant);
        if !arguments.wants(mutant, known) {
            continue;
        }
        let row = match known {
            Some(known) if arguments.simulate => judge.simulate(&mut copy, &list, known)?,
            _ => judge.try_out(&mut copy, &list, mutant, known)?,
        };
        let Some(row) = row else {
            broken.push(mutant.name.as_str());
            continue;
        };
        eprintln!("{}: {}; {}", mutant.name, row.verdict(), row.seeds());
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

impl MutantsArguments {
    fn wants(&self, mutant: &Mutant, known: Option<&Row>) -> bool {
        match known {
            _ if !self.only.is_empty() => self.only.contains(&mutant.name),
            // What is not known yet is tried by all of its suites first.
            Some(known) if self.simulate => known.simulated.is_none() && mutant.is_simulated(),
            Some(_) => false,
            None => !self.simulate,
        }
    }
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
        known: Option<&Row>,
    ) -> Result<Option<Row>, Box<dyn Error>> {
        let began = Instant::now();
        let mut row = Row {
            mutant: mutant.clone(),
            commit: commit(),
            passed: Vec::new(),
            found: None,
            seconds: 0,
            simulated: known.and_then(|known| known.simulated.clone()),
        };
        for name in &mutant.suites {
            let suite = list.suite(name)?;
            match self.ask(copy, suite, mutant)? {
                Ended::Broken(_) => return Ok(None),
                Ended::Passed => row.passed.push(suite.with_seeds(self.seeds)),
                Ended::Failed(failure) => {
                    row.found = Some(Found { suite: name.clone(), failure });
                    break;
                }
            }
        }
        copy.restore()?;
        row.seconds = began.elapsed().as_secs();
        Ok(Some(row))
    }

    /// Runs the simulation alone. Nothing where it does not compile, which is said.
    fn simulate(&mut self, copy: &mut Copy, list: &List, known: &Row) -> Result<Option<Row>, Box<dyn Error>> {
        let found = match self.ask(copy, list.suite(SIMULATION)?, &known.mutant)? {
            Ended::Broken(_) => return Ok(None),
            Ended::Passed => None,
            Ended::Failed(failure) => Some(failure),
        };
        copy.restore()?;
        let simulated = Simulated { commit: commit(), seeds_max: self.seeds, found };
        Ok(Some(Row { simulated: Some(simulated), ..known.clone() }))
    }

    /// Runs a suite where the mutant is applied, which stays so; before it is asked for the first time, where nothing is mutated.
    fn ask(&mut self, copy: &mut Copy, suite: &Suite, mutant: &Mutant) -> Result<Ended, Box<dyn Error>> {
        if !self.sound.contains(&suite.name) {
            copy.restore()?;
            self.prove_sound(copy, suite)?;
        }
        copy.mutate(mutant)?;
        eprintln!("{}: {}", mutant.name, suite.name);
        let ended = suite.run(copy.folder(), self.seeds)?;
        if let Ended::Broken(text) = &ended {
            eprintln!("{} does not compile: {text}", mutant.name);
            copy.restore()?;
        }
        Ok(ended)
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

    /// How many seeds the simulation alone takes to find it; nothing where it was not asked.
    fn seeds(&self) -> String {
        let Some(simulated) = &self.simulated else { return String::new() };
        match &simulated.found {
            None => format!("more than {}", simulated.seeds_max),
            Some(Failure { seeds: Some(seeds), said, .. }) => {
                let rule = said.split_once(": ").map_or(said.as_str(), |(rule, _)| rule);
                format!("{seeds}: {rule}")
            }
            Some(failure) => failure.to_string(),
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
    if rows.iter().any(|row| row.simulated.is_some()) {
        summary += " Seeds: how many the simulation alone takes, and the rule that it sees broken; empty where it was not asked.";
    }
    let lines = rows.iter().map(|row| {
        let Mutant { name, rule, file, .. } = &row.mutant;
        let cell = |text: String| text.replace('|', "\\|");
        vec![name.clone(), rule.clone(), format!("`{file}`"), cell(row.verdict()), cell(row.seeds())]
    });
    format!("{summary}\n\n{}", table(&["mutant", "rule", "where", "found by", "seeds"], lines))
}

fn commit() -> Option<String> {
    said("git", &["rev-parse", "--short=12", "HEAD"])
}

/// The copy of the tree, and what is built of it.
const FOLDER: &str = "target/mutants";
/// The exit code where a mutant survives.
const SURVIVES: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seeds_max: u64, found: Option<Failure>) -> Row {
        let mutant = Mutant {
            name: "known".to_owned(),
            rule: String::new(),
            file: String::new(),
            from: String::new(),
            to: String::new(),
            suites: vec!["rules".to_owned(), SIMULATION.to_owned()],
            survives: None,
        };
        let simulated = (seeds_max > 0).then_some(Simulated { commit: None, seeds_max, found });
        Row { mutant, commit: None, passed: Vec::new(), found: None, seconds: 0, simulated }
    }

    #[test]
    fn seeds_are_shown_where_the_simulation_was_asked() {
        let violation = Failure { said: "order: b".to_owned(), seeds: Some(4), ..Failure::default() };
        let stuck = Failure { said: "does not end".to_owned(), ..Failure::default() };
        assert_eq!(row(0, None).seeds(), "");
        assert_eq!(row(500, None).seeds(), "more than 500");
        assert_eq!(row(500, Some(violation)).seeds(), "4: order");
        assert_eq!(row(500, Some(stuck)).seeds(), "does not end");
    }

    #[test]
    fn what_is_known_is_not_tried_again() {
        let mut mutant = row(0, None).mutant;
        let wants = |mutant: &Mutant, simulate, only: &[&str], known: Option<&Row>| {
            let arguments = MutantsArguments {
                only: only.iter().map(|name| (*name).to_owned()).collect(),
                seeds: 1,
                simulate,
                anew: false,
                list: PathBuf::new(),
                out: PathBuf::new(),
            };
            arguments.wants(mutant, known)
        };
        let (tried, simulated) = (row(0, None), row(500, None));
        for (known, suites, simulation) in
            [(None, true, false), (Some(&tried), false, true), (Some(&simulated), false, false)]
        {
            let all = [false, true].map(|simulate| wants(&mutant, simulate, &[], known));
            assert_eq!(all, [suites, simulation], "{known:?}");
            for simulate in [false, true] {
                assert!(wants(&mutant, simulate, &["known"], known));
                assert!(!wants(&mutant, simulate, &["another"], known));
            }
        }
        mutant.suites.pop();
        assert!(!wants(&mutant, true, &[], Some(&tried)), "the simulation cannot find it");
    }
}
