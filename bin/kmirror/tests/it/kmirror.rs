//! Runs the program.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::AnyCluster;

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

    /// With one flow for these topics between two clusters. `more` is added to the flow, each line indented by four.
    pub(crate) fn mirroring(
        source: &AnyCluster,
        target: &AnyCluster,
        topics: &[&str],
        more: &str,
    ) -> Kmirror {
        Kmirror::between(&source.bootstrap_servers(), &target.bootstrap_servers(), topics, more)
    }

    /// With this configuration.
    pub(crate) fn with_config(text: &str) -> Kmirror {
        Kmirror::with_file("yaml", text)
    }

    /// With a configuration in a file of this kind.
    pub(crate) fn with_file(extension: &str, text: &str) -> Kmirror {
        let name = format!("{}-{}.{extension}", kmirror_testkit::unique_topic("config"), std::process::id());
        let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&config, text).unwrap();
        Kmirror { config }
    }

    /// Puts another configuration into its place, at once: the program may be reading it.
    pub(crate) fn rewrite(&self, text: &str) {
        let written = self.config.with_extension("new");
        fs::write(&written, text).unwrap();
        fs::rename(&written, &self.config).unwrap();
    }

    /// Runs a command to its end. One that does not come to it fails the test, with what it has said.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let ((stdout, to_stdout), (stderr, to_stderr)) = (self.output("out"), self.output("err"));
        let mut command = self.command(arguments);
        let mut child =
            Running { child: command.stdout(to_stdout).stderr(to_stderr).spawn().unwrap(), log: stderr };
        let deadline = Instant::now() + RUN_PATIENCE;
        let code = loop {
            if let Some(status) = child.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(
                Instant::now() < deadline,
                "{arguments:?} has not ended within {RUN_PATIENCE:?}:\n{}",
                child.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended { code, stdout: read(&stdout), stderr: child.log() }
    }

    /// `run --once`, which must end well.
    pub(crate) fn copy(&self) {
        self.run(&["run", "--once"]).with_code(0);
    }

    /// The same where nothing gets in the way: no partition is taken over a second time, which would hide a defect by repairing what
    /// came of it.
    pub(crate) fn copy_undisturbed(&self) {
        let ended = self.run(&["run", "--once"]).with_code(0);
        let mut begun = HashSet::new();
        for line in ended.stderr.lines().filter(|line| line.contains(" copying ")) {
            let partition = line.split_whitespace().find(|word| word.starts_with("partition="));
            assert!(begun.insert(partition), "{partition:?} is taken over again:\n{}", ended.stderr);
        }
        assert!(!begun.is_empty(), "it does not say what it copies:\n{}", ended.stderr);
    }

    /// `verify`, which must find nothing.
    pub(crate) fn prove(&self) -> Ended {
        self.run(&["verify"]).with_code(0)
    }

    /// Runs `import` on the file.
    pub(crate) fn import(&self) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
        let ended = command.arg("import").arg(&self.config).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    }

    /// Starts `run` and leaves it running.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&["run"])
    }

    /// Starts a command and leaves it running.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Running {
        let (log, stderr) = self.output("log");
        let child = self.command(arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Running { child, log }
    }

    /// A new file for what a run says.
    fn output(&self, kind: &str) -> (PathBuf, fs::File) {
        let path = self.config.with_extension(format!("{}.{kind}", kmirror_testkit::unique_topic("run")));
        (path.clone(), fs::File::create(path).unwrap())
    }

    /// The program with its configuration, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmirror"));
        command.args(arguments).arg("-c").arg(&self.config).stdin(Stdio::null());
        command
    }
}

/// How a run ended.
pub(crate) struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Checks the exit code.
    pub(crate) fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that stderr says something.
    pub(crate) fn saying(self, text: &str) -> Ended {
        // A graphical report breaks lines; what it says is compared without them.
        let plain = |text: &str| {
            let words = text.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(plain(&self.stderr).contains(&plain(text)), "no {text:?} in:\n{}", self.stderr);
        self
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.clone()
    }

    pub(crate) fn stderr(&self) -> &str {
        &self.stderr
    }
}

/// A mirror that goes on in the background, with its log. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Sends a signal, by its process id.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        if name == "STOP" {
            kmirror_testkit::await_stopped(self.child.id());
        }
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal and waits for the end: the exit code.
    pub(crate) fn end(&mut self, name: &str) -> Option<i32> {
        self.signal(name);
        self.ended()
    }

    /// Waits for the end: the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running long after it should have ended:\n{}", self.log());
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Waits until it has written a line that holds all these texts, and gives that line.
    pub(crate) fn says(&mut self, texts: &[&str]) -> String {
        let holds_all = |line: &&str| texts.iter().all(|text| line.contains(text));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(holds_all) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}) without a word of {texts:?}:\n{log}");
            assert!(Instant::now() < deadline, "no word of {texts:?} within {PATIENCE:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Bytes of memory that it occupies now (`VmRSS`).
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.proc_status("VmRSS:").trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Whether SIGHUP would not end it any more.
    pub(crate) fn catches_hang_ups(&self) -> bool {
        u64::from_str_radix(&self.proc_status("SigCgt:"), 16).unwrap() & 1 == 1
    }

    fn proc_status(&self, key: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail harmlessly once it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// Polls until something holds.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same for what kmirror itself may put off for a minute.
pub(crate) fn await_long(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + RUN_PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {RUN_PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// For what should take a second or two, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a whole run, which may have much to copy.
const RUN_PATIENCE: Duration = Duration::from_secs(120);
