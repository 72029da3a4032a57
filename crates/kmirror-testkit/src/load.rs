use std::io::Write;
use std::process::ChildStdin;
use std::time::Duration;

use crate::process::RunningTool;
use crate::workload::parse_produced;
use crate::{Produced, TestkitError};

/// Workloads that are written at the same time, by one Java process, until they are done or stopped. Dropping it kills the
/// process.
#[derive(Debug)]
pub struct Load {
    tool: RunningTool,
    input: ChildStdin,
}

impl Load {
    pub(crate) fn new(tool: RunningTool, mut input: ChildStdin, script: &str) -> Result<Load, TestkitError> {
        writeln!(input, "{script}").map_err(TestkitError::program("java Workload"))?;
        Ok(Load { tool, input })
    }

    /// Whether any of the workloads is still being written.
    pub fn is_running(&mut self) -> bool {
        self.tool.is_running()
    }

    /// Lets every workload come to its end: the next record or, where there are transactions, the end of the current one.
    /// Everything was acknowledged then.
    ///
    /// # Errors
    /// A producer fails, or is not done after two minutes.
    pub fn stop(self) -> Result<Vec<Produced>, TestkitError> {
        drop(self.input);
        parse_produced(&self.tool.wait(STOP_PATIENCE)?.success()?.stdout)
    }
}

const STOP_PATIENCE: Duration = Duration::from_secs(120);
