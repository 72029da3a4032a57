//! The demo, which needs nothing but the program.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kmirror::await_that;

#[test]
fn it_copies_breaks_things_and_proves_the_result() {
    let ended = demo(&["--duration", "4s", "--rate", "4000", "--faults"]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("compared 6 partitions"), "{stdout}");
    assert!(stdout.contains("stands at the same offsets on both sides: orders-0 at"), "{stdout}");
    assert!(stderr.contains("fault: broker 2 of the target stops"), "{stderr}");
    assert!(stderr.contains("source at 127.0.0.1:"), "{stderr}");
    assert!(stderr.contains("the first record was on the target"), "{stderr}");
    assert!(stderr.contains("offsets filled with markers, lag 0, 0 parked"), "{stderr}");
}

#[test]
fn it_is_stopped_by_a_signal_and_still_proves_the_result() {
    let mut child = demo(&["--duration", "1h"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let mut code = None;
    await_that("the demo has ended", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(130)));
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}
