//! What every measurement leaves behind: where it ran, how it was configured, and each single value it saw.
//!
//! ```text
//! let mut results = Results::new(Some(clusters::RELEASE), arguments)?;
//! results.rows.push(row);
//! results.write(&arguments.out, &results.markdown_of_these_rows())?;
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::SystemTime;

use kmirror_testkit::KafkaRelease;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The document of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results<Row> {
    pub(crate) environment: Environment,
    /// The arguments of the measurement, those that were not given too.
    pub(crate) configuration: serde_json::Value,
    /// What it comes to, each in a sentence: the lines of the text that begin with `- `.
    #[serde(default)]
    pub(crate) findings: Vec<String>,
    /// Everything that was measured, in the order in which it was.
    pub(crate) rows: Vec<Row>,
}

/// Where and of what a measurement was made. It names no place on the machine and not the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Environment {
    date: String,
    /// The exact command.
    command: String,
    processor: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    kmirror: String,
    /// Of the tree that was measured, with `-dirty` if it was changed.
    commit: Option<String>,
    /// Nothing where no Kafka was started.
    kafka: Option<String>,
    java: Option<String>,
    rustc: Option<String>,
}

impl<Row> Results<Row> {
    /// No rows yet. `kafka` is the release that the measurement starts, if it does.
    pub(crate) fn new(
        kafka: Option<KafkaRelease>,
        configuration: &impl Serialize,
    ) -> Result<Results<Row>, Box<dyn Error>> {
        let environment = Environment::of_this_run(kafka);
        let mut configuration = serde_json::to_value(configuration)?;
        hide_places(&mut configuration, &here());
        Ok(Results { environment, configuration, findings: Vec::new(), rows: Vec::new() })
    }
}

impl<Row: Serialize> Results<Row> {
    /// Writes everything to `out`.json, and to `out`.md this text with the environment before it, which is printed too.
    pub(crate) fn write(&self, out: &Path, text: &str) -> Result<(), Box<dyn Error>> {
        println!("{}", self.save(out, text)?);
        Ok(())
    }

    /// The same without printing it. The text as it was written.
    pub(crate) fn save(&self, out: &Path, text: &str) -> Result<String, Box<dyn Error>> {
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut document = serde_json::to_value(self)?;
        let findings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
        if let Some(document) = document.as_object_mut() {
            document.insert("findings".to_owned(), findings.into());
        }
        let mut document = serde_json::to_string_pretty(&document)?;
        document.push('\n');
        fs::write(out.with_extension("json"), document)?;
        let text = format!("{}\n\n{}\n", self.environment.sentence(), text.trim_end());
        fs::write(out.with_extension("md"), &text)?;
        Ok(text)
    }
}

impl<Row: DeserializeOwned> Results<Row> {
    /// What an earlier run has written to `out`.json; nothing if there was none.
    pub(crate) fn read(out: &Path) -> Result<Option<Results<Row>>, Box<dyn Error>> {
        let path = out.with_extension("json");
        if !path.exists() {
            return Ok(None);
        }
        let document = serde_json::from_str(&fs::read_to_string(&path)?);
        Ok(Some(document.map_err(|error| format!("{}: {error}", path.display()))?))
    }
}

impl Environment {
    fn of_this_run(kafka: Option<KafkaRelease>) -> Environment {
        let here = here();
        let arguments: Vec<String> =
            std::env::args().skip(1).map(|argument| without_places(&argument, &here)).collect();
        Environment {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: format!("kmirror-bench {}", arguments.join(" ")),
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes(&line_of("/proc/meminfo", "MemTotal")),
            kernel: format!("Linux {}", line_of("/proc/sys/kernel/osrelease", "")),
            kmirror: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
            kafka: kafka.map(|release| release.version().to_owned()),
            java: said("java", &["-version"]),
            rustc: said("rustc", &["--version"]),
        }
    }

    /// All of it for a reader who wants to do the same.
    pub(crate) fn sentence(&self) -> String {
        let Environment { date, command, processor, cores, memory_bytes, kernel, kmirror, .. } = self;
        let memory = *memory_bytes as f64 / f64::from(1 << 30);
        let mut text =
            format!("{date}, {cores} cores ({processor}), {memory:.0} GiB, {kernel}; kmirror {kmirror}");
        if let Some(commit) = &self.commit {
            text.push_str(&format!(" ({commit})"));
        }
        if let Some(kafka) = &self.kafka {
            text.push_str(&format!(", Kafka {kafka}"));
        }
        for tool in [&self.java, &self.rustc].into_iter().flatten() {
            text.push_str(&format!(", {tool}"));
        }
        format!("{text}. `{command}`")
    }
}

/// A figure beside the least that is wanted of it.
pub(crate) fn at_least(of: &str, figure: f64, least: f64, unit: &str) -> String {
    let verdict = if figure >= least { "reached" } else { "missed" };
    format!("{of}: {figure:.2} {unit}; the goal is at least {least} {unit}: {verdict}")
}

/// A table in Markdown.
pub(crate) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns) + &"|---".repeat(columns.len()) + "|\n";
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

/// The folder in which the command was given.
pub(crate) fn here() -> String {
    std::env::current_dir().unwrap_or_default().display().to_string()
}

/// The same as [`without_places`] of every text in a value.
fn hide_places(value: &mut serde_json::Value, here: &str) {
    match value {
        serde_json::Value::String(text) => *text = without_places(text, here),
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| hide_places(value, here)),
        serde_json::Value::Object(values) => values.values_mut().for_each(|value| hide_places(value, here)),
        _ => (),
    }
}

/// An argument as another machine may read it: relative to where the command was given, or the last name alone.
fn without_places(argument: &str, here: &str) -> String {
    let shortened = |word: &str| match word.strip_prefix(here) {
        Some(inside) if inside.starts_with('/') => inside.trim_start_matches('/').to_owned(),
        _ if word.starts_with('/') => format!("…/{}", word.rsplit('/').next().unwrap_or_default()),
        _ => word.to_owned(),
    };
    let words = argument.split_inclusive([' ', '=', ':', ',']).map(|word| {
        let end = word.trim_end_matches([' ', '=', ':', ',']).len();
        let (name, end) = word.split_at(end);
        shortened(name) + end
    });
    let whole: String = words.collect();
    if whole.contains(' ') { format!("'{whole}'") } else { whole }
}

/// The rest of the line of a file of `/proc` that begins with this name.
fn line_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    found.trim_start_matches([' ', '\t', ':']).trim().to_owned()
}

fn kibibytes(text: &str) -> u64 {
    let number = text.strip_suffix("kB").unwrap_or(text).trim();
    number.parse::<u64>().unwrap_or_default() * 1024
}

/// The commit that is checked out. Results of measurements are no change.
pub(crate) fn commit() -> Option<String> {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changes = said("git", &["status", "--porcelain", "--", ".", ":!benches/results"]);
    Some(if changes.is_some() { format!("{commit}-dirty") } else { commit })
}

/// The first line that a tool prints, if there is such a tool, it succeeds, and it prints any.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.lines().next().map(|line| line.replace('"', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = std::env::temp_dir().join(format!("kmirror-results-{}", std::process::id()));
        let out = folder.join("deep/cost");
        assert!(Results::<u64>::read(&out).unwrap().is_none());
        let mut results = Results::new(Some(KafkaRelease::KAFKA_4_3), &("eight", 8)).unwrap();
        results.rows.extend([1_u64, 2]);
        results.write(&out, "A table.\n\n- one\n- two\n").unwrap();
        let read = Results::<u64>::read(&out).unwrap().unwrap();
        assert_eq!((read.rows, read.configuration), (vec![1, 2], serde_json::json!(["eight", 8])));
        assert_eq!(read.findings, ["one", "two"]);
        let text = fs::read_to_string(out.with_extension("md")).unwrap();
        assert!(text.contains("Kafka 4.3.1") && text.ends_with("`\n\nA table.\n\n- one\n- two\n"), "{text}");
        fs::write(out.with_extension("json"), "{}").unwrap();
        assert!(Results::<u64>::read(&out).unwrap_err().to_string().contains("missing field"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn this_machine_is_described() {
        let environment = Environment::of_this_run(None);
        assert!(environment.memory_bytes > 1 << 26 && environment.cores > 0, "{environment:?}");
        assert!(!environment.sentence().contains("Kafka"), "{}", environment.sentence());
    }

    #[test]
    fn a_command_names_no_place() {
        for (given, shown) in [
            ("--rounds", "--rounds"),
            ("/a/b/target/x", "target/x"),
            ("--out=/a/b/out", "--out=out"),
            ("/a/bc/out", "…/out"),
            ("loop=/usr/bin/loop {source} /etc/f", "'loop=…/loop {source} …/f'"),
            ("127.0.0.1:9092,127.0.0.1:9093", "127.0.0.1:9092,127.0.0.1:9093"),
        ] {
            assert_eq!(without_places(given, "/a/b"), shown);
        }
        let mut value = serde_json::json!({ "program": ["/a/b/x", "/a/bc/y"], "rounds": 1 });
        hide_places(&mut value, "/a/b");
        assert_eq!(value, serde_json::json!({ "program": ["x", "…/y"], "rounds": 1 }));
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&["a", "b"], [row(["1", "2"]), row(["3", "4"])]);
        assert_eq!(text, "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n");
    }
}
