//! What `cargo test` says while tests run.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;
use std::thread;

/// Sends each line of a stream, until it ends or nobody wants them any more.
pub(crate) fn follow(stream: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
}

/// `test NAME ... FAILED`
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// `seed 7: RULE: WHAT`, of the simulation.
pub(crate) fn failed_seed(line: &str) -> Option<(u64, &str)> {
    let (seed, said) = line.strip_prefix("seed ")?.split_once(": ")?;
    Some((seed.parse().ok()?, said))
}
