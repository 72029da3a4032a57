use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::TestkitError;

/// What a tool printed and how it ended.
#[derive(Clone, Debug)]
pub struct ToolOutput {
    /// The tool's name, for messages.
    pub tool: String,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
    /// Exit status; a tool that was killed has no code.
    pub status: ExitStatus,
}

impl ToolOutput {
    /// This output if the tool succeeded.
    ///
    /// # Errors
    /// The tool's exit code was not 0.
    pub fn success(self) -> Result<ToolOutput, TestkitError> {
        if self.status.success() {
            return Ok(self);
        }
        let printed = format!("{}\n{}", self.stdout, self.stderr);
        Err(TestkitError::Failed {
            command: self.tool,
            status: self.status.to_string(),
            output: last_lines(printed.trim(), 20),
        })
    }
}

/// A tool in the background. Dropping it kills it.
#[derive(Debug)]
pub struct RunningTool {
    tool: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl RunningTool {
    /// Starts a command with `input` on its standard input.
    pub(crate) fn start(tool: &str, command: Command, input: String) -> Result<RunningTool, TestkitError> {
        let (running, stdin) = RunningTool::start_open(tool, command)?;
        if let Some(mut stdin) = stdin {
            // A tool that ends early closes the pipe; its exit status and output say why.
            thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        Ok(running)
    }

    /// Starts a command whose standard input stays open.
    pub(crate) fn start_open(
        tool: &str,
        mut command: Command,
    ) -> Result<(RunningTool, Option<ChildStdin>), TestkitError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(TestkitError::program(tool))?;
        let stdin = child.stdin.take();
        let (stdout, stderr) = (read_to_end(child.stdout.take()), read_to_end(child.stderr.take()));
        Ok((RunningTool { tool: tool.to_owned(), child, stdout, stderr }, stdin))
    }

    /// Waits until the tool ends by itself.
    ///
    /// # Errors
    /// It did not within `patience`; it is killed then.
    pub fn wait(mut self, patience: Duration) -> Result<ToolOutput, TestkitError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().map_err(TestkitError::program(&self.tool))? {
                let (stdout, stderr) = (self.stdout.recv(), self.stderr.recv());
                let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
                return Ok(ToolOutput { tool: self.tool.clone(), stdout, stderr, status });
            }
            if Instant::now() > deadline {
                return Err(TestkitError::Late {
                    what: format!("`{}` ended", self.tool),
                    patience,
                    details: String::new(),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the tool to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// As [`RunningTool::wait`].
    pub fn terminate(self, patience: Duration) -> Result<ToolOutput, TestkitError> {
        let mut kill = Command::new("kill");
        kill.args(["-s", "TERM", &self.child.id().to_string()]);
        kill.status().map_err(TestkitError::program("kill"))?;
        self.wait(patience)
    }

    /// Whether the tool is still at work.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        // Both fail harmlessly once the tool has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last `count` lines of a text, for an error message.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

/// Polls until `check` gives something, or fails with `what` once patience is over.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut check: impl FnMut() -> Result<Option<T>, TestkitError>,
) -> Result<T, TestkitError> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(TestkitError::Late { what: what.to_owned(), patience, details: String::new() });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads a pipe in a thread of its own, so that a tool never stalls on a full one.
/// Waits until a process that was sent SIGSTOP stands still, with all its threads: on a busy machine that takes a while, in which it may
/// still answer. Where the system does not tell (there is no `/proc`) nothing is waited for.
pub fn await_stopped(process_id: u32) {
    let deadline = Instant::now() + STOP_PATIENCE;
    while is_any_thread_running(process_id) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_any_thread_running(process_id: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process_id}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may hold anything (proc(5)).
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'T' | 'Z' | 'X'))
    })
}

const STOP_PATIENCE: Duration = Duration::from_secs(10);

fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    receiver
}
