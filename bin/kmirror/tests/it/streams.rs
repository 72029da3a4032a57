//! Whoever reads what the program prints may go away, and a device may be full: it does not panic.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::{Command, Stdio};

/// What a command prints to stderr, and its exit code, where nobody reads its stdout.
fn unread(arguments: &[&str]) -> (String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kmirror"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    (told, child.wait().unwrap().code())
}

#[test]
fn a_result_that_nobody_reads_ends_the_command_in_silence() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config/valid/full.yaml");
    for arguments in [
        &["config", "reference"][..],
        &["config", "schema"],
        &["config", "dump", "-c", file],
        &["config", "check", "-c", file],
        &["man"],
        &["completions", "bash"],
    ] {
        let (told, code) = unread(arguments);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        assert!([Some(141), Some(0)].contains(&code), "{arguments:?}: {code:?}: {told}");
    }
    assert_eq!(unread(&["config", "reference"]), (String::new(), Some(141)));
}

#[test]
fn a_full_device_is_an_error_with_its_cause() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full here");
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
    let ended = command.args(["config", "reference"]).stdout(full.try_clone().unwrap()).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("cannot write to stdout: "), "{told}");
    assert_eq!(ended.status.code(), Some(1));
    // A log that goes nowhere is no reason to end otherwise than one that is read.
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
    let ended = command.args(["run", "-c", "no/such/file.yaml"]).stderr(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(78));
}
