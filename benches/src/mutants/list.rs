//! The mutants, as data.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::suite::Suite;

/// What `benches/mutants.yaml` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) suites: Vec<Suite>,
    pub(super) mutants: Vec<Mutant>,
}

/// A rule, and how it is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// In a sentence.
    pub(super) rule: String,
    pub(super) file: String,
    /// Text that occurs once in the file.
    pub(super) from: String,
    /// What it is replaced by.
    pub(super) to: String,
    /// Names of the suites that may find it, cheapest first.
    pub(super) suites: Vec<String>,
    /// Why nothing finds it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) survives: Option<String>,
}

impl List {
    pub(super) fn read(path: &Path) -> Result<List, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_yaml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    pub(super) fn suite(&self, name: &str) -> Result<&Suite, String> {
        self.suites.iter().find(|suite| suite.name == name).ok_or_else(|| format!("there is no suite {name}"))
    }
}

impl Mutant {
    /// Whether what was found of the other one holds for this one: only words may differ.
    pub(super) fn does(&self, other: &Mutant) -> bool {
        let (rule, survives) = (self.rule.clone(), self.survives.clone());
        *self == Mutant { rule, survives, ..other.clone() }
    }

    /// Whether the simulation may find it.
    pub(super) fn is_simulated(&self) -> bool {
        self.suites.iter().any(|name| name == SIMULATION)
    }

    /// The file without the rule.
    pub(super) fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.from).count() {
            1 => Ok(text.replace(&self.from, &self.to)),
            count => Err(format!("{}: {} holds {count} times {:?}", self.name, self.file, self.from)),
        }
    }
}

/// The suite whose worlds are numbered by seeds.
pub(super) const SIMULATION: &str = "simulation";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// So that the list does not rot: without a build.
    #[test]
    fn every_rule_can_be_switched_off() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list = List::read(&root.join("benches/mutants.yaml")).unwrap();
        assert!(list.mutants.len() >= 25, "{}", list.mutants.len());
        let names: HashSet<_> = list.mutants.iter().map(|mutant| &mutant.name).collect();
        assert_eq!(names.len(), list.mutants.len(), "a name is given twice");
        for mutant in &list.mutants {
            let text = fs::read_to_string(root.join(&mutant.file)).unwrap();
            let mutated = mutant.applied(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(mutated, text, "{}", mutant.name);
            assert!(!mutant.suites.is_empty(), "{}", mutant.name);
            mutant
                .suites
                .iter()
                .for_each(|name| assert!(list.suite(name).is_ok(), "{}: {name}", mutant.name));
        }
    }
}
