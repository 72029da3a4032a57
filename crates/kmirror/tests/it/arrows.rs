//! The shape of the house (ARCHITECTURE.md): which crate may know which, and what none of them may do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::sources::modules;

/// Which of our crates, and of those that only one may know, a crate may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("kmirror-codec", &[]),
    ("kmirror-client", &["kafka-protocol"]),
    ("kmirror", &["kmirror-client", "kmirror-codec"]),
    ("kmirror-cli", &["kmirror", "kmirror-embedded"]),
    // It judges with its own eyes: a defect of codec or client must not certify itself.
    ("kmirror-embedded", &["kafka-protocol"]),
    ("kmirror-testkit", &[]),
    ("kmirror-bench", &["kmirror", "kmirror-client", "kmirror-codec", "kmirror-embedded", "kmirror-testkit"]),
];
/// Beside their arrows, tests may use these.
const FOR_TESTS: [&str; 2] = ["kmirror-embedded", "kmirror-testkit"];
const GUARDED: &str = "kafka-protocol";
/// What runs in a simulated world: it asks the machine for nothing.
const SIMULATED: [&str; 3] = ["crates/kmirror", "crates/kmirror-client", "crates/kmirror-embedded"];

#[test]
fn dependencies_point_one_way() {
    let members = members();
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for member in &members {
        let arrows = ARROWS.iter().find(|(name, _)| *name == member.name);
        let (_, arrows) = arrows.unwrap_or_else(|| panic!("{}: say in ARROWS what it may know", member.name));
        for (section, dependencies) in &member.dependencies {
            let is_for_tests = section.ends_with("dev-dependencies");
            for dependency in dependencies {
                let is_guarded = ours.contains(dependency.as_str()) || dependency == GUARDED;
                let is_allowed = arrows.contains(&dependency.as_str())
                    || is_for_tests && FOR_TESTS.contains(&dependency.as_str());
                assert!(
                    !is_guarded || is_allowed,
                    "{} must not depend on {dependency} ([{section}])",
                    member.name
                );
            }
        }
    }
    // The table itself has no arrow that nobody uses any more, but for benches, which may know everything.
    for (name, arrows) in ARROWS.iter().filter(|(name, _)| *name != "kmirror-bench") {
        let member = members.iter().find(|member| member.name == *name).expect("a member");
        for arrow in *arrows {
            assert!(member.dependencies["dependencies"].contains(*arrow), "{name} no longer needs {arrow}");
        }
    }
}

#[test]
fn a_forbidden_arrow_is_seen_however_it_is_written() {
    let manifest = "
        [package]
        name = 'kmirror-codec'   # a comment
        [dependencies]
        bytes.workspace = true
        kmirror-client = { workspace = true }
        wire = { package = \"kafka-protocol\", version = '1' }
        [target.'cfg(unix)'.dev-dependencies]
        kmirror = { path = '../kmirror' }
        [dependencies.kmirror-testkit]
        workspace = true";
    let dependencies = dependencies(manifest);
    let names = |section: &str| dependencies[section].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names("dependencies"), ["bytes", "kafka-protocol", "kmirror-client", "kmirror-testkit"]);
    assert_eq!(names("target.'cfg(unix)'.dev-dependencies"), ["kmirror"]);
}

#[test]
fn all_members_have_the_lints_of_the_workspace() {
    for member in members() {
        let manifest = fs::read_to_string(member.path.join("Cargo.toml")).unwrap();
        let lints = manifest.split("[lints]").nth(1).unwrap_or_default().trim_start();
        assert!(
            lints.starts_with("workspace = true"),
            "{}: [lints] workspace = true is missing",
            member.name
        );
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

#[test]
fn nothing_is_unsafe() {
    let pattern = Regex::new(r"\bunsafe\s*(\{|fn\b|impl\b|trait\b|extern\b)").unwrap();
    assert!(pattern.is_match("let x = unsafe { y };") && !pattern.is_match("#![forbid(unsafe_code)]"));
    members().iter().for_each(|member| forbid(&member.path, &pattern, "no crate of ours needs it"));
}

#[test]
fn the_engine_knows_no_file_and_no_environment() {
    let pattern = Regex::new(r"\b(std|tokio)::(\{[^}]*\b)?(fs|env|process)\b|\b(env|option_env)!").unwrap();
    for text in ["use std::fs;", "std::env::var(x)", "use std::{\n fmt, process::exit};", "tokio::fs::read"] {
        assert!(pattern.is_match(text), "{text}");
    }
    assert!(!pattern.is_match("use std::fmt; use std::time::Duration;"));
    forbid(&root().join("crates/kmirror/src"), &pattern, "that is for the program (I1)");
}

#[test]
fn the_codec_opens_nothing_waits_for_nothing_and_reads_no_clock() {
    let pattern = Regex::new(
        r"\btokio\b|\basync\b|\bstd::(\{[^}]*\b)?(net|fs|env|process|thread)\b|\b(Instant|SystemTime)\b",
    )
    .unwrap();
    assert!(pattern.is_match("use std::{net::TcpStream};") && !pattern.is_match("use std::io::Read;"));
    forbid(&root().join("crates/kmirror-codec/src"), &pattern, "bytes in, bytes out (I1)");
}

#[test]
fn the_client_does_not_look_inside_records() {
    let pattern = Regex::new(r"\bkmirror_codec\b|\bkafka_protocol::(\{[^}]*\b)?records\b").unwrap();
    assert!(pattern.is_match("use kafka_protocol::{messages, records::Record};"));
    forbid(&root().join("crates/kmirror-client/src"), &pattern, "records are opaque there (I1)");
}

#[test]
fn no_branch_is_a_matter_of_chance() {
    let pattern = Regex::new(r"\bselect!\s*\{\s*([^b\s]|b[^i])").unwrap();
    for (text, is_found) in [
        ("tokio::select! {\n    event = inbox.recv() => {}", true),
        ("select! { break_off = x => {}", true),
        ("tokio::select! {\n    biased;\n    event = inbox.recv() => {}", false),
    ] {
        assert_eq!(pattern.is_match(text), is_found, "{text}");
    }
    for of in SIMULATED {
        forbid(&root().join(of).join("src"), &pattern, "biased; and an order in which nothing starves (I11)");
    }
}

/// A map of std is iterated in an order of chance, be it by a loop or by an iterator: then a seed is not the same world each time.
#[test]
fn maps_of_the_engine_have_an_order() {
    // Where only single entries are looked up, on the route of batches and among millions of keys.
    let looked_up = [
        "ground/partition.rs",
        "data/read/fetcher.rs",
        "data/append/appender.rs",
        "data/append/ready.rs",
        "logs/aborted.rs",
        "report/verify/lone.rs",
    ];
    let pattern = Regex::new(r"\bHash(Map|Set)\b").unwrap();
    let src = root().join("crates/kmirror/src");
    for module in modules(&src).values() {
        let name = module.file.strip_prefix(&src).unwrap().to_str().unwrap();
        assert_eq!(
            pattern.is_match(&module.code),
            looked_up.contains(&name),
            "{name}: BTreeMap, or say why not (I11)"
        );
    }
}

#[test]
fn no_clock_and_no_chance_but_one_can_be_used() {
    let rules = |path: &Path| fs::read_to_string(path.join("clippy.toml")).unwrap();
    let of_all: Vec<_> = rules(&root()).lines().map(str::to_owned).collect();
    for of in SIMULATED {
        // It is read in place of the one of the workspace.
        let rules = rules(&root().join(of));
        for rule in of_all.iter().filter(|rule| !rule.is_empty()) {
            assert!(rules.contains(rule), "{of}: {rule:?} of the workspace is missing");
        }
        for method in [
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "tokio::task::spawn_blocking",
            "std::hash::RandomState::new",
        ] {
            assert!(rules.contains(&format!("path = {method:?}")), "{of}: {method} is not refused (I11)");
        }
    }
}

#[test]
fn pure_cores_are_pure() {
    let pattern =
        Regex::new(r"\basync\b|\btokio\b|\bInstant::now\b|\bSystemTime\b|\b(clock|chance)::").unwrap();
    let cores = [
        "data/append/refusal.rs",
        "data/append/state.rs",
        "data/read/planner.rs",
        "ground/identity.rs",
        "ground/item.rs",
        "ground/selection.rs",
        "ground/sequence.rs",
        "logs/aborted.rs",
        "logs/fetch_state.rs",
        "report/verify/batch.rs",
        "report/verify/compare.rs",
        "report/verify/head.rs",
        "report/verify/lone.rs",
        "report/verify/windows.rs",
        "takeover/compare.rs",
        "takeover/tail.rs",
    ];
    for core in cores {
        forbid(&root().join("crates/kmirror/src").join(core), &pattern, "time is an argument (I2)");
    }
}

struct Member {
    path: PathBuf,
    name: String,
    /// By section of the manifest.
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn members() -> Vec<Member> {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let list = workspace.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let paths = list.lines().filter_map(|line| line.split('"').nth(1));
    let members: Vec<_> = paths
        .map(|path| {
            let path = root().join(path);
            let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap();
            let name = name.trim_matches('"').to_owned();
            Member { path, name, dependencies: dependencies(&manifest) }
        })
        .collect();
    assert!(members.len() >= 6, "the list of members was not understood");
    members
}

/// What a manifest depends on, by section. As much of TOML as manifests use.
fn dependencies(manifest: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            // `[dependencies.name]` is a dependency by itself.
            if let Some((parent, name)) = section.rsplit_once('.')
                && parent.ends_with("dependencies")
            {
                sections.entry(parent.to_owned()).or_default().insert(name.to_owned());
            }
        } else if section.ends_with("dependencies")
            && let Some((key, value)) = line.split_once('=')
        {
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
            let name = renamed.unwrap_or_else(|| key.trim().split('.').next().unwrap_or_default());
            sections.entry(section.clone()).or_default().insert(name.to_owned());
        }
    }
    sections
}

/// Fails on a source file, or one below a folder, that matches outside comments.
fn forbid(path: &Path, pattern: &Regex, why: &str) {
    let files = sources(path);
    assert!(!files.is_empty(), "{} has no sources", path.display());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(
            String::new(),
            |mut code, line| {
                code.push_str(line);
                code.push('\n');
                code
            },
        );
        if let Some(found) = pattern.find(&code) {
            let line = code[..found.start()].lines().count();
            panic!("{}:{line}: {:?}: {why}", file.display(), found.as_str());
        }
    }
}

/// All Rust files but this one, which names what it forbids.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("it/arrows.rs")
        {
            files.push(path);
        }
    }
    files
}
