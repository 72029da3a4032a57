use std::error::Error;
use std::fs;
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::measured::{memory_peak, state_and_cpu};

/// A process and what Linux counts of it.
pub(crate) struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Result<Process, Box<dyn Error>> {
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Process { child, started })
    }

    /// Its standard input and output, where they were to be piped; once.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Since its start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn cpu(&mut self) -> Result<Duration, Box<dyn Error>> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("it ended before everything had arrived: {status}").into());
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        Ok(state_and_cpu(&stat).ok_or("its statistics are odd")?.1)
    }

    pub(crate) fn memory_peak(&self) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(memory_peak(&status).ok_or("its memory is not known")?)
    }

    /// Asks it to end, and ends it where it does not.
    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status()?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > END_PATIENCE {
                self.child.kill()?;
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail harmlessly once it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const INTERVAL: Duration = Duration::from_millis(50);
const END_PATIENCE: Duration = Duration::from_secs(30);
