//! The trials, as data.

use std::process::Command;

use super::TrialsArguments;

/// A suite that takes too long for every change, and how `cargo test` runs it.
pub(super) struct Trial {
    pub(super) name: &'static str,
    /// In a sentence.
    pub(super) promise: &'static str,
    /// How much of it.
    pub(super) amount: String,
    /// How many worlds are simulated.
    pub(super) worlds: Option<u64>,
    /// Whether something else uses all cores meanwhile.
    pub(super) is_under_load: bool,
    /// How many tests these are.
    pub(super) tests_count: usize,
    /// Whether they say figures.
    pub(super) has_figures: bool,
    variables: Vec<(&'static str, String)>,
    /// What `cargo test` is told to choose the program by.
    program: &'static str,
    /// What the program is told to choose the tests by.
    tests: &'static str,
}

/// All of them, in the order of [`NAMES`].
pub(super) fn trials(arguments: &TrialsArguments) -> [Trial; 6] {
    [
        kills(arguments.kills),
        freezes(arguments.freezes),
        seeds(arguments.seeds, arguments.first),
        equal_traces(),
        neighbours(),
        leaders(arguments.stops),
    ]
}

fn kills(kills: u32) -> Trial {
    Trial {
        name: "kills",
        promise: "A mirror that is killed again and again (`kill -9`) under load, between real clusters, loses and doubles nothing.",
        amount: format!("{kills} kills"),
        worlds: None,
        is_under_load: false,
        tests_count: 1,
        has_figures: false,
        variables: vec![("KMIRROR_REQUIRE_KAFKA", "1".to_owned()), ("KMIRROR_KILLS", kills.to_string())],
        program: "--release -p kmirror-cli --test it",
        tests: "--exact follows::a_mirror_that_is_killed_again_and_again_loses_and_doubles_nothing::kafka",
    }
}

fn freezes(freezes: u32) -> Trial {
    Trial {
        name: "freezes",
        promise: "An instance that stands still with batches in hand, and wakes when the target has forgotten who wrote, doubles nothing.",
        amount: format!("{freezes} freezes in each of 6 tests"),
        worlds: None,
        is_under_load: false,
        tests_count: 6,
        has_figures: false,
        variables: vec![("KMIRROR_REQUIRE_KAFKA", "1".to_owned()), ("KMIRROR_FREEZES", freezes.to_string())],
        program: "--release -p kmirror-cli --test it",
        tests: "freezes::",
    }
}

fn seeds(seeds: u64, first: u64) -> Trial {
    Trial {
        name: "seeds",
        promise: "Whatever goes wrong in a simulated world, nothing is lost, doubled or reordered, and everything is copied in the end.",
        amount: format!("{seeds} seeds from {first} on"),
        worlds: Some(seeds),
        is_under_load: false,
        tests_count: 1,
        has_figures: false,
        variables: vec![("KMIRROR_SEEDS", seeds.to_string()), ("KMIRROR_SEED_FIRST", first.to_string())],
        program: "--profile simulation -p kmirror --test simulation",
        tests: "--nocapture whatever_goes_wrong",
    }
}

fn equal_traces() -> Trial {
    Trial {
        name: "equal-traces",
        promise: "A seed is the same world each time, to the byte, also on a machine that has much else to do.",
        amount: format!("{TRACED_SEEDS} seeds, {TRACE_RUNS} runs of each"),
        worlds: Some(TRACED_SEEDS * TRACE_RUNS),
        is_under_load: true,
        tests_count: 1,
        has_figures: false,
        variables: vec![("KMIRROR_TRACE_RUNS", TRACE_RUNS.to_string())],
        program: "--profile simulation -p kmirror --test simulation",
        tests: "--exact the_same_seed_is_the_same_world",
    }
}

fn neighbours() -> Trial {
    Trial {
        name: "neighbours",
        promise: "What is wrong with a partition, a broker or its administration keeps no healthy partition waiting for a second.",
        amount: "6 scenes, in the time of the simulation".to_owned(),
        worlds: None,
        is_under_load: false,
        tests_count: 6,
        has_figures: true,
        variables: Vec::new(),
        program: "--profile simulation -p kmirror --test simulation",
        tests: "--nocapture neighbours::",
    }
}

fn leaders(stops: u32) -> Trial {
    Trial {
        name: "leaders",
        promise: "A leader of a target partition that stands still (SIGSTOP), one of three real nodes, is left within two seconds of the \
                  election of another.",
        amount: format!("{stops} stops"),
        worlds: None,
        is_under_load: false,
        tests_count: 1,
        has_figures: true,
        variables: vec![("KMIRROR_REQUIRE_KAFKA", "1".to_owned()), ("KMIRROR_STOPS", stops.to_string())],
        // Elections take their time: how the program was built changes nothing.
        program: "-p kmirror-cli --test it",
        tests: "--nocapture --exact leaders::a_leader_that_stops_is_left_when_another_one_is_elected",
    }
}

impl Trial {
    /// Builds what it runs.
    pub(super) fn build(&self) -> Command {
        let mut cargo = self.with_words(&self.cargo_words());
        cargo.arg("--no-run");
        cargo
    }

    /// Runs it.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = self.with_words(&self.words());
        cargo.env("RUST_BACKTRACE", "0").envs(self.variables.iter().map(|(name, value)| (name, value)));
        cargo
    }

    /// The same as one types it.
    pub(super) fn command_line(&self) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value} "));
        format!("{}cargo {}", variables.collect::<String>(), self.words().join(" "))
    }

    fn words(&self) -> Vec<&'static str> {
        let tests = self.tests.split_ascii_whitespace();
        self.cargo_words().into_iter().chain(["--"]).chain(tests).collect()
    }

    fn cargo_words(&self) -> Vec<&'static str> {
        ["test", "--locked"].into_iter().chain(self.program.split_ascii_whitespace()).collect()
    }

    /// Without variables that would make another trial of it: the clusters alone may be somebody's.
    fn with_words(&self, words: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        let names = std::env::vars_os().map(|(name, _)| name);
        names.filter(|name| is_in_the_way(&name.to_string_lossy())).for_each(|name| {
            cargo.env_remove(name);
        });
        cargo.args(words);
        cargo
    }
}

fn is_in_the_way(variable: &str) -> bool {
    variable.starts_with("KMIRROR_") && !CLUSTERS.contains(&variable)
}

pub(super) const NAMES: [&str; 6] = ["kills", "freezes", "seeds", "equal-traces", "neighbours", "leaders"];
/// As many as the test has.
const TRACED_SEEDS: u64 = 10;
const TRACE_RUNS: u64 = 4;
const CLUSTERS: [&str; 2] = ["KMIRROR_TEST_SOURCE", "KMIRROR_TEST_TARGET"];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn all() -> [Trial; 6] {
        let out = Path::new("x").to_owned();
        trials(&TrialsArguments {
            only: Vec::new(),
            kills: 5,
            freezes: 2,
            stops: 4,
            seeds: 30,
            first: 7,
            out,
        })
    }

    fn source(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
    }

    /// So that the list does not rot: without a build.
    #[test]
    fn the_tests_that_are_run_are_there() {
        let [kills, freezes, seeds, equal_traces, neighbours, leaders] = all();
        let follows = source("bin/kmirror/tests/it/follows.rs");
        let scenario = kills.tests.split("::").nth(1).unwrap();
        assert!(follows.contains(&format!("    {scenario},\n")), "{scenario}");
        let scenarios =
            source("bin/kmirror/tests/it/freezes.rs").matches("\nfn an_instance_that_wakes_late").count();
        assert_eq!(freezes.tests_count, 2 * scenarios, "on both kinds of clusters");
        let simulation = source("crates/kmirror/tests/simulation/main.rs");
        for trial in [seeds, equal_traces] {
            let test = trial.tests.split(' ').nth(1).unwrap();
            assert_eq!(simulation.matches(&format!("\nfn {test}")).count(), 1, "{test}");
        }
        let scenes = source("crates/kmirror/tests/simulation/neighbours.rs").matches("tokio::test").count();
        assert_eq!(neighbours.tests_count, scenes);
        let test = leaders.tests.rsplit("::").next().unwrap();
        assert!(source("bin/kmirror/tests/it/leaders.rs").contains(&format!("fn {test}()")), "{test}");
    }

    #[test]
    fn the_tests_read_what_they_are_told() {
        let readers = [
            "bin/kmirror/tests/it/follows.rs",
            "bin/kmirror/tests/it/freezes.rs",
            "bin/kmirror/tests/it/leaders.rs",
            "crates/kmirror/tests/simulation/main.rs",
            "crates/kmirror/tests/simulation/run.rs",
            "crates/kmirror-testkit/src/pair.rs",
        ];
        let text: String = readers.map(source).concat();
        for trial in all() {
            for (name, _) in &trial.variables {
                assert!(text.contains(&format!("(\"{name}\"")), "nobody reads {name}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_what_is_run() {
        for trial in all() {
            let (cargo, line) = (trial.cargo(), trial.command_line());
            let (variables, words) = line.split_once("cargo ").unwrap();
            assert_eq!(cargo.get_args().collect::<Vec<_>>(), words.split(' ').collect::<Vec<_>>());
            for variable in variables.split_terminator(' ') {
                let (name, value) = variable.split_once('=').unwrap();
                let set = cargo.get_envs().find(|(set, _)| *set == name).unwrap();
                assert_eq!(set.1.unwrap(), value);
            }
        }
        let [_, _, seeds, ..] = all();
        let expected = "KMIRROR_SEEDS=30 KMIRROR_SEED_FIRST=7 cargo test --locked --profile simulation -p kmirror --test simulation -- \
                        --nocapture whatever_goes_wrong";
        assert_eq!(seeds.command_line(), expected);
    }

    #[test]
    fn each_has_its_name_and_no_variable_of_the_caller() {
        assert_eq!(all().map(|trial| trial.name), NAMES);
        assert!(is_in_the_way("KMIRROR_SEED") && is_in_the_way("KMIRROR_WITH"));
        assert!(!is_in_the_way("KMIRROR_TEST_SOURCE") && !is_in_the_way("PATH"));
    }
}
