use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{KafkaJars, TestkitError};

/// One Java process per cluster that carries out commands, `testdata/java/Shell.java`: most take milliseconds, the start of a
/// Java process seconds. It is started by the first command, and ends with its last owner or with this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shell {
    process: Arc<Mutex<Option<ShellProcess>>>,
}

#[derive(Debug)]
struct ShellProcess {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    /// Carries out one command and gives the lines of its answer. After a command that did not end in time the next one gets
    /// a new process.
    pub(crate) fn run(
        &self,
        jars: &KafkaJars,
        bootstrap_servers: &str,
        command: &[&str],
        patience: Duration,
    ) -> Result<Vec<String>, TestkitError> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shell = match process.take() {
            Some(shell) => shell,
            None => ShellProcess::start(jars, bootstrap_servers)?,
        };
        let answer = shell.run(command, patience)?;
        *process = Some(shell);
        answer.map_err(|error| TestkitError::Failed {
            command: command.join(" "),
            status: "an exception".to_owned(),
            output: error,
        })
    }
}

impl ShellProcess {
    fn start(jars: &KafkaJars, bootstrap_servers: &str) -> Result<ShellProcess, TestkitError> {
        let mut java = jars.java();
        java.args(["Shell", bootstrap_servers]);
        // Warnings of clients whose brokers are killed on purpose are of no use to anybody.
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = java.spawn().map_err(TestkitError::program("java"))?;
        let (Some(commands), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(TestkitError::Output { program: "Shell", line: "no pipes".to_owned() });
        };
        let (sender, lines) = sync_channel(LINES_AHEAD_MAX);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(ShellProcess { child, commands, lines })
    }

    /// The outer error: the process is of no use any more. The inner one: the command failed.
    fn run(
        &mut self,
        command: &[&str],
        patience: Duration,
    ) -> Result<Result<Vec<String>, String>, TestkitError> {
        let written = writeln!(self.commands, "{}", command.join("\t"));
        written.map_err(TestkitError::program("java Shell"))?;
        let mut answer = Vec::new();
        loop {
            let line = self.lines.recv_timeout(patience).map_err(|error| TestkitError::Late {
                what: format!("`{}` answered", command.join(" ")),
                patience,
                details: match error {
                    RecvTimeoutError::Timeout => String::new(),
                    RecvTimeoutError::Disconnected => ": its process ended by itself".to_owned(),
                },
            })?;
            match line.strip_prefix('|') {
                Some(line) => answer.push(line.to_owned()),
                None if line == "ok" => return Ok(Ok(answer)),
                None => return Ok(Err(line)),
            }
        }
    }
}

impl Drop for ShellProcess {
    fn drop(&mut self) {
        // Both fail harmlessly once the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LINES_AHEAD_MAX: usize = 1024;
