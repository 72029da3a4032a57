//! The section of README.md that shows what was measured: rendered from the results, never written by hand.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compare::report::{self, Summary, summaries};
use crate::results::{Results, table};

/// Writes the section anew.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let readme = fs::read_to_string(README)?;
    fs::write(README, with_section(&readme, &section(Path::new(RESULTS))?)?)?;
    Ok(())
}

/// What the results in a folder come to.
fn section(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    if let Some(results) = Results::<report::Row>::read(&folder.join("compare"))? {
        text.push_str(&headline(&summaries(&results.rows)));
        text.push_str(&format!("\n{}\n", results.environment.sentence()));
        if folder.join("compare.svg").exists() {
            text.push_str(&format!("\n![CPU seconds per GB on the wire]({RESULTS}/compare.svg)\n"));
        }
    }
    let mut findings = Vec::new();
    for name in names(folder)? {
        let Some(results) = Results::<serde_json::Value>::read(&folder.join(&name))? else { continue };
        let link = format!("[{name}]({RESULTS}/{name}.md)");
        findings.extend(results.findings.into_iter().map(|finding| vec![link.clone(), finding]));
    }
    if !findings.is_empty() {
        text.push_str(&format!("\n{}", table(&["measurement", "found, beside its goal"], findings)));
    }
    if text.is_empty() {
        return Ok("No results are kept yet.\n".to_owned());
    }
    Ok(text.trim_start().to_owned())
}

/// One line for each topic: kmirror, and how many times its CPU the others need.
fn headline(summaries: &[Summary]) -> String {
    let columns = [
        "topic",
        "kmirror, CPU s/GB",
        "times a relay's",
        "MirrorMaker 2, tuned",
        "with defaults",
        "franz-go loop",
        "memory, MiB",
        "MirrorMaker 2's",
        "first record",
        "MirrorMaker 2's",
    ];
    let kmirrors = summaries.iter().filter(|summary| summary.contender == "kmirror");
    let lines = kmirrors.map(|kmirror| {
        let other = |contender: &str| {
            summaries.iter().find(|other| other.cell == kmirror.cell && other.contender == contender)
        };
        let shown = |contender: &str, text: &dyn Fn(&Summary) -> String| {
            other(contender).map_or_else(|| "–".to_owned(), text)
        };
        let times = |contender: &str| shown(contender, &|other| format!("× {:.1}", other.kmirrors));
        vec![
            kmirror.cell.clone(),
            format!("{:.2}", kmirror.per_gigabyte.median),
            format!("{:.2}", kmirror.relays),
            times("MirrorMaker 2, tuned"),
            times("MirrorMaker 2"),
            times("franz-go loop"),
            format!("{:.0}", kmirror.mebibytes),
            shown("MirrorMaker 2, tuned", &|other| format!("{:.0}", other.mebibytes)),
            format!("{:.2} s", kmirror.first_record_seconds),
            shown("MirrorMaker 2, tuned", &|other| format!("{:.1} s", other.first_record_seconds)),
        ]
    });
    format!(
        "CPU seconds of kmirror for each GB on the wire, how many times a bare relay's that is, and how many times as many others need for the same topic, in turns on the same two \
         clusters. A relay reads bytes from one socket, hashes them and writes them to another. Every copy was verified by its content.\n\n{}",
        table(&columns, lines)
    )
}

/// The results in a folder, in the order of their names.
fn names(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The README with another section between the two marks.
fn with_section(readme: &str, section: &str) -> Result<String, Box<dyn Error>> {
    let marks = || -> Option<(usize, usize)> {
        let begin = readme.find(BEGIN)? + BEGIN.len();
        Some((begin, begin + readme.get(begin..)?.find(END)?))
    };
    let (begin, end) = marks().ok_or("README.md has no place for the results")?;
    let (before, after) = (readme.get(..begin).unwrap_or_default(), readme.get(end..).unwrap_or_default());
    Ok(format!("{before}\n{section}{after}"))
}

const README: &str = "README.md";
const RESULTS: &str = "benches/results";
const BEGIN: &str = "<!-- results: `kmirror-bench readme` writes them -->\n";
const END: &str = "<!-- end of the results -->";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn the_readme_shows_what_the_kept_results_say() {
        let readme = fs::read_to_string(workspace().join(README)).unwrap();
        let section = section(&workspace().join(RESULTS)).unwrap();
        let expected = with_section(&readme, &section).unwrap();
        assert!(readme == expected, "README.md is not what `kmirror-bench readme` writes:\n{section}");
    }

    #[test]
    fn a_section_takes_the_place_of_the_one_before() {
        let readme = format!("a\n{BEGIN}old\n{END}\nb\n");
        let new = with_section(&readme, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(with_section(&new, "new\n").unwrap(), new);
        assert!(with_section("nothing", "new").is_err());
        assert!(with_section(&format!("{END}{BEGIN}"), "new").is_err());
    }

    #[test]
    fn results_become_tables() {
        let folder = std::env::temp_dir().join(format!("kmirror-readme-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(section(&folder).unwrap(), "No results are kept yet.\n");
        let row = |contender: &str, cpu_seconds: f64| {
            json!({
                "cell": "c", "contender": contender, "round": 0,
                "preloaded": { "partitions": 1, "records": 1, "offsets": 1, "bytes": 1_000_000_000,
                    "bytes_decoded": 1_000_000_000, "batch_bytes_mean": 1 },
                "measurement": { "wall_seconds": 3.0, "first_record_seconds": 0.25, "cpu_seconds": cpu_seconds,
                    "cpu_seconds_before_first": 0.5, "share_at_first": 0.0, "memory_bytes_max": 4 << 20, "relay_cpu_seconds": 0.25 },
            })
        };
        let document = |name: &str, findings: &[&str], rows: &[serde_json::Value]| {
            let environment = json!({ "date": "today", "command": "x", "processor": "p", "cores": 2,
                "memory_bytes": 1, "kernel": "k", "kmirror": "1" });
            let document =
                json!({ "environment": environment, "configuration": 0, "findings": findings, "rows": rows });
            fs::write(folder.join(name), document.to_string()).unwrap();
        };
        document("compare.json", &["a goal"], &[row("kmirror", 1.0), row("MirrorMaker 2, tuned", 15.5)]);
        document("wan.json", &["far", "further"], &[]);
        let text = section(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let line = "| c | 0.50 | 2.00 | × 30.0 | – | – | 4 | 4 | 0.25 s | 0.2 s |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("| [wan](benches/results/wan.md) | further |"), "{text}");
        assert!(text.contains("today, 2 cores") && !text.contains("compare.svg"), "{text}");
    }
}
