//! A loop of poll and produce by a well-made client without a virtual machine: `benches/franz-go`.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use crate::contender::Copy;

/// Compiles it; nothing, and the reason on stderr, where that cannot be done.
pub(crate) fn build() -> Option<PathBuf> {
    match try_build() {
        Ok(program) => Some(program),
        Err(error) => {
            eprintln!("franz-go is left out: {error}");
            None
        }
    }
}

fn try_build() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_dir()?.join("target/franz-go/franz-go");
    let mut go = Command::new("go");
    go.args(["build", "-C", "benches/franz-go", "-o"]).arg(&program).arg(".");
    let output = go.output().map_err(|error| format!("`go` does not run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("`go build` failed: {}", said.trim()).into());
    }
    Ok(program)
}

pub(crate) fn command(program: &PathBuf, copy: &Copy<'_>) -> Command {
    let mut command = Command::new(program);
    command.args([copy.pair.source.bootstrap_servers(), copy.pair.target.bootstrap_servers()]);
    command.args([copy.topics, &copy.target_topic(copy.topics), copy.codec]);
    command
}
