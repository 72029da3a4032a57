//! What is expected, and how it is compared.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::results::{said, table};

/// Instructions of each case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    pub(super) conditions: Conditions,
    pub(super) instructions: BTreeMap<String, u64>,
}

/// What counts depend on, beside our code.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Conditions {
    rustc: String,
    valgrind: String,
    target: String,
    /// Of the processor.
    features: String,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Comparison {
    differences: Vec<Difference>,
    /// In percent; nothing where what is expected says nothing about this machine.
    tolerance: Option<f64>,
    /// What is not as it was when the expected numbers were counted.
    changed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Difference {
    name: String,
    expected: Option<u64>,
    counted: Option<u64>,
}

impl Conditions {
    pub(super) fn of(valgrind: String, features: String) -> Conditions {
        Conditions {
            rustc: said("rustc", &["--version"]).unwrap_or_default(),
            valgrind,
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            features,
        }
    }

    fn fields(&self) -> [(&'static str, &str); 4] {
        [
            ("rustc", &self.rustc),
            ("valgrind", &self.valgrind),
            ("target", &self.target),
            ("features of the processor", &self.features),
        ]
    }
}

impl Counts {
    pub(super) fn read(path: &Path) -> Result<Counts, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        Ok(fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Compares what was counted with these, which are expected.
    pub(super) fn compare(&self, counted: &Counts) -> Comparison {
        let (expected, now) = (&self.conditions, &counted.conditions);
        let is_comparable = (&expected.target, &expected.features) == (&now.target, &now.features);
        let tolerance = if expected == now { TOLERANCE } else { TOLERANCE_OF_OTHERS };
        let changed =
            expected.fields().into_iter().zip(now.fields()).filter(|(before, after)| before != after);
        let names = self.instructions.keys().chain(counted.instructions.keys());
        let mut differences: Vec<Difference> = names
            .map(|name| Difference {
                name: name.clone(),
                expected: self.instructions.get(name).copied(),
                counted: counted.instructions.get(name).copied(),
            })
            .collect();
        differences.sort_by(|one, other| one.name.cmp(&other.name));
        differences.dedup();
        Comparison {
            differences,
            tolerance: is_comparable.then_some(tolerance),
            changed: changed
                .map(|((name, before), (_, after))| format!("{name}: {before}, now {after}"))
                .collect(),
        }
    }
}

impl Comparison {
    /// Nothing has grown, and nothing is there that is not expected. What needs less passes.
    pub(super) fn is_good(&self) -> bool {
        self.tolerance
            .is_none_or(|tolerance| self.differences.iter().all(|difference| !difference.is_bad(tolerance)))
    }
}

impl Difference {
    fn percent(&self) -> Option<f64> {
        Some((self.counted? as f64 / self.expected? as f64 - 1.0) * 100.0)
    }

    /// Few instructions more may be many percent of nearly none.
    fn is_bad(&self, tolerance: f64) -> bool {
        match (self.expected, self.counted, self.percent()) {
            (Some(expected), Some(counted), Some(percent)) => {
                percent > tolerance && counted - expected > INSTRUCTIONS_TOLERATED
            }
            _ => true,
        }
    }

    fn verdict(&self, tolerance: f64) -> &'static str {
        match (self.expected, self.counted, self.percent()) {
            (None, _, _) => "new",
            (_, None, _) => "gone",
            _ if self.is_bad(tolerance) => "GREW",
            (_, _, Some(percent)) if percent < -tolerance => "less",
            _ => "",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for changed in &self.changed {
            writeln!(formatter, "{changed}")?;
        }
        let Some(tolerance) = self.tolerance else {
            return write!(formatter, "skipped: what is expected was counted for another processor");
        };
        let number = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let rows = self.differences.iter().map(|difference| {
            vec![
                difference.name.clone(),
                number(difference.expected),
                number(difference.counted),
                difference.percent().map_or_else(String::new, |percent| format!("{percent:+.2} %")),
                difference.verdict(tolerance).to_owned(),
            ]
        });
        write!(
            formatter,
            "{}\n{tolerance} % more are tolerated. ",
            table(&["case", "expected", "counted", "", ""], rows)
        )?;
        if self.is_good() {
            write!(formatter, "Nothing grew.")
        } else {
            write!(formatter, "If it must be so: kmirror-bench guard --bless")
        }
    }
}

/// In percent, under the same conditions. What is random, such as the order of memory, makes less than one; and without optimisation at
/// link time what is inlined does not depend on the rest of the program.
const TOLERANCE: f64 = 5.0;
/// In percent, where compiler or valgrind are others: each moves counts a little, and a copy too many moves them more.
const TOLERANCE_OF_OTHERS: f64 = 25.0;
const INSTRUCTIONS_TOLERATED: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_the_tolerance_is_bad() {
        let before = counts("1", &[("stamp", 100_000), ("split", 100_000)]);
        let compared = |stamp| before.compare(&counts("1", &[("stamp", stamp), ("split", 100_000)]));
        assert!(compared(104_900).is_good() && compared(20_000).is_good());
        let grown = compared(105_200);
        assert!(!grown.is_good());
        assert!(grown.to_string().contains("| stamp | 100000 | 105200 | +5.20 % | GREW |"), "{grown}");
    }

    #[test]
    fn cases_are_all_expected_and_all_there() {
        let before = counts("1", &[("stamp", 10_000)]);
        assert!(!before.compare(&counts("1", &[("stamp", 10_000), ("merge", 1)])).is_good());
        assert!(!before.compare(&counts("1", &[])).is_good());
    }

    #[test]
    fn few_instructions_are_none() {
        let before = counts("1", &[("stamp", 100)]);
        assert!(before.compare(&counts("1", &[("stamp", 900)])).is_good());
    }

    #[test]
    fn another_compiler_is_given_more_and_another_processor_all() {
        let before = counts("1", &[("stamp", 100_000)]);
        assert!(before.compare(&counts("2", &[("stamp", 124_000)])).is_good());
        assert!(!before.compare(&counts("2", &[("stamp", 126_000)])).is_good());
        let mut other = counts("1", &[("stamp", 900_000)]);
        other.conditions.features = "none".to_owned();
        assert!(before.compare(&other).is_good());
        assert!(before.compare(&other).to_string().contains("skipped"));
    }

    fn counts(rustc: &str, instructions: &[(&str, u64)]) -> Counts {
        let text = |text: &str| text.to_owned();
        let conditions =
            Conditions { rustc: text(rustc), valgrind: text("v"), target: text("t"), features: text("f") };
        let instructions = instructions.iter().map(|(name, count)| (text(name), *count)).collect();
        Counts { conditions, instructions }
    }
}
