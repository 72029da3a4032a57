use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::TestkitError;

/// A shell that outlives this process just long enough to clean up: when its standard input closes, which also happens
/// when this process is killed, it kills every process of its group and removes the cluster's folder.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(crate) fn start(folder: &Path) -> Result<Watchdog, TestkitError> {
        let shell = Command::new("bash")
            .args(["-c", SCRIPT, "kmirror-testkit"])
            .arg(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(TestkitError::program("bash"))?;
        Ok(Watchdog { shell })
    }

    /// Makes a command that is about to start one of the processes that die with this one.
    pub(crate) fn guard(&self, command: &mut Command) {
        if let Ok(group) = i32::try_from(self.shell.id()) {
            command.process_group(group);
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends by its own signal; nothing is left to do if it was already gone.
        let _ = self.shell.wait();
    }
}

/// Job control (`set -m`) gives the background job a process group of its own, so it survives the signal it sends.
const SCRIPT: &str = r#"
set -m
while read -r _; do :; done
{ kill -KILL -- "-$$"; rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }; } &
wait
"#;
