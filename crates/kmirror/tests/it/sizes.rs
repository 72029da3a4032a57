//! A file is a thing with a name, and a function fits on a screen.

use std::path::{Path, PathBuf};

use regex::Regex;

use crate::sources::modules;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Files that are longer still, and how long they may be. The list only shrinks.
const LONG: [(&str, usize); 9] = [
    ("bin/kmirror/src/import/mm2/mod.rs", 551),
    ("bin/kmirror/src/import/strimzi.rs", 516),
    ("crates/kmirror-embedded/src/cluster.rs", 544),
    ("crates/kmirror-embedded/src/state.rs", 559),
    ("crates/kmirror-testkit/src/cluster.rs", 516),
    ("crates/kmirror/src/data/append/appender.rs", 778),
    ("crates/kmirror/src/data/append/state.rs", 807),
    ("crates/kmirror/src/data/read/fetcher.rs", 704),
    ("crates/kmirror/src/follow/groups/follower.rs", 519),
];
const CRATES: [&str; 7] = [
    "crates/kmirror-codec",
    "crates/kmirror-client",
    "crates/kmirror",
    "crates/kmirror-embedded",
    "crates/kmirror-testkit",
    "bin/kmirror",
    "benches",
];

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    for path in CRATES {
        for module in modules(&root().join(path).join("src")).values() {
            let name = module.file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            let lines = module.code.lines().count();
            if lines > FILE_LINES_MAX {
                long.push((name.clone(), lines));
            }
            for (function, lines) in functions(&module.code) {
                assert!(lines <= FUNCTION_LINES_MAX, "{name}: {function} has {lines} lines");
            }
        }
    }
    for (name, lines) in &long {
        let allowed = LONG.iter().find(|(long, _)| long == name).map_or(FILE_LINES_MAX, |(_, lines)| *lines);
        assert!(
            *lines <= allowed,
            "{name} has {lines} lines, more than {allowed}: cut it where two things meet"
        );
    }
    for (name, _) in LONG {
        assert!(long.iter().any(|(long, _)| long == name), "{name} is short enough: take it out of LONG");
    }
}

#[test]
fn the_lines_of_functions_are_counted() {
    let code = "impl A {\n    pub(crate) async fn a(\n        x: u8,\n    ) {\n        f(|| {\n        })\n    }\n\n    fn b();\n}\nfn c() {}\n";
    assert_eq!(functions(code), [("a".to_owned(), 6), ("c".to_owned(), 1)]);
}

/// The functions, and how many lines each has from its name to its end. The code is formatted.
fn functions(code: &str) -> Vec<(String, usize)> {
    let begins = Regex::new(r"^(\s*)(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?fn (\w+)").unwrap();
    let lines: Vec<_> = code.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let Some(begin) = begins.captures(line) else { continue };
        let end = format!("{}}}", &begin[1]);
        let is_end = |line: &str| line == end || line.starts_with(&begin[1]) && line.ends_with("{}");
        let is_declared = |line: &str| {
            line.ends_with(';') && (line.starts_with(&format!("{})", &begin[1])) || line.contains("fn "))
        };
        let last = lines[first..].iter().position(|line| is_end(line) || is_declared(line));
        if let Some(last) = last.filter(|last| !is_declared(lines[first + last])) {
            found.push((begin[2].to_owned(), last + 1));
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
