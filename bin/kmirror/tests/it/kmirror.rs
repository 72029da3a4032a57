//! Runs the program.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program with a configuration of its own.
pub(crate) struct Kmirror {
    config: PathBuf,
}

impl Kmirror {
    /// With one flow for these topics between two addresses. `more` is added to the flow.
    pub(crate) fn between(source: &str, target: &str, topics: &[&str], more: &str) -> Kmirror {
        let include: Vec<_> = topics.iter().map(|topic| format!("{topic:?}")).collect();
        Kmirror::with_config(&format!(
            "clusters:\n  east: {{ bootstrap_servers: \"{source}\" }}\n  west: {{ bootstrap_servers: \"{target}\" }}\nflows:\n  \
             - source: east\n    target: west\n    topics: {{ include: [{}] }}\n{more}",
            include.join(", ")
        ))
    }

    /// With this configuration.
    pub(crate) fn with_config(text: &str) -> Kmirror {
        let name = kmirror_testkit::unique_topic("config");
        let config =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.yaml", std::process::id()));
        fs::write(&config, text).unwrap();
        Kmirror { config }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended(self.command(arguments).output().unwrap())
    }

    /// `run --once`, which must end well.
    pub(crate) fn copy(&self) {
        self.run(&["run", "--once"]).with_code(0);
    }

    /// `verify`, which must find nothing.
    pub(crate) fn prove(&self) -> Ended {
        self.run(&["verify"]).with_code(0)
    }

    /// Starts `run` and leaves it running.
    pub(crate) fn start(&self) -> Child {
        self.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
        command.args(arguments).arg("-c").arg(&self.config).stdin(Stdio::null());
        command
    }
}

/// How a run ended.
pub(crate) struct Ended(Output);

impl Ended {
    /// Checks the exit code.
    pub(crate) fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.0.status.code(), Some(code), "{}\n{}", self.stdout(), self.stderr());
        self
    }

    /// Checks that stderr says something.
    pub(crate) fn saying(self, text: &str) -> Ended {
        // A graphical report breaks lines; what it says is compared without them.
        let plain = |text: &str| {
            let words = text.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(plain(&self.stderr()).contains(&plain(text)), "no {text:?} in:\n{}", self.stderr());
        self
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

/// Sends a signal to a child, by its process id.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for a child's end.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("still running after {patience:?}");
}
