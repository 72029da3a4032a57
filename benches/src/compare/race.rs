//! One copy by one contender, from the start of its process until everything has arrived.

use std::error::Error;
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use kmirror_testkit::{KafkaEndpoint, LogOffset};

use super::contender::{Contender, Copy, folder};
use crate::measured::{memory_peak, state_and_cpu};

/// What a copy cost.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cost {
    /// From the start of the process until everything had arrived.
    pub(crate) wall_seconds: f64,
    /// Until the first record had arrived.
    pub(crate) first_record_seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Of these, what came before the first record: a virtual machine starts and compiles then.
    pub(crate) cpu_seconds_before_first: f64,
    pub(crate) memory_bytes_max: u64,
}

impl Cost {
    /// What the copying itself cost.
    pub(crate) fn cpu_seconds_copying(&self) -> f64 {
        self.cpu_seconds - self.cpu_seconds_before_first
    }
}

/// Copies, verifies, and deletes the copy.
pub(crate) fn race(contender: &Contender, copy: &Copy<'_>, program: &str) -> Result<Cost, Box<dyn Error>> {
    let mut process = Process::start(contender.command(copy, program)?)?;
    let cost = follow(&mut process, copy);
    process.end()?;
    let cost = cost.map_err(|error| format!("{}: {error}; see {}.log", contender.name(), copy.alias))?;
    let verify = Command::new(program).arg("verify").arg("-c").arg(copy.kmirror_file()?).output()?;
    if !verify.status.success() {
        let said = String::from_utf8_lossy(&verify.stderr).into_owned();
        return Err(format!("{}: the copy is not the source: {said}", contender.name()).into());
    }
    copy.pair.target.delete_topic(&copy.target_topic())?;
    fs::remove_file(folder()?.join(format!("{}.log", copy.alias)))?;
    Ok(cost)
}

fn follow(process: &mut Process, copy: &Copy<'_>) -> Result<Cost, Box<dyn Error>> {
    let mut first = None;
    loop {
        thread::sleep(INTERVAL);
        let (elapsed, cpu) = (process.started.elapsed(), process.cpu()?);
        let arrived = arrived(&copy.pair.target, &copy.target_topic(), copy.preloaded.partitions);
        if arrived > 0 && first.is_none() {
            first = Some((elapsed, cpu));
        }
        if arrived >= copy.preloaded.records {
            let (first_elapsed, first_cpu) = first.unwrap_or((elapsed, cpu));
            return Ok(Cost {
                wall_seconds: process.started.elapsed().as_secs_f64(),
                first_record_seconds: first_elapsed.as_secs_f64(),
                cpu_seconds: process.cpu()?.as_secs_f64(),
                cpu_seconds_before_first: first_cpu.as_secs_f64(),
                memory_bytes_max: process.memory_peak()?,
            });
        }
        if elapsed > PATIENCE {
            return Err(format!("{arrived} of {} records within {PATIENCE:?}", copy.preloaded.records).into());
        }
    }
}

/// How many records are there. A topic that is not there yet has none, and who asks for its offsets waits for a minute.
fn arrived(target: &KafkaEndpoint, topic: &str, partitions: u32) -> u64 {
    if target.replicas(topic).is_err() {
        return 0;
    }
    let end = |partition| target.offset(topic, partition, LogOffset::Latest).unwrap_or(0);
    (0..partitions).map(|partition| end(i32::try_from(partition).unwrap_or(0)).unsigned_abs()).sum()
}

/// A process and what Linux counts of it.
struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    fn start(mut command: Command) -> Result<Process, Box<dyn Error>> {
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Process { child, started })
    }

    fn cpu(&mut self) -> Result<Duration, Box<dyn Error>> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("it ended before everything had arrived: {status}").into());
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        Ok(state_and_cpu(&stat).ok_or("its statistics are odd")?.1)
    }

    fn memory_peak(&self) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(memory_peak(&status).ok_or("its memory is not known")?)
    }

    /// Asks it to end, and ends it where it does not.
    fn end(mut self) -> Result<(), Box<dyn Error>> {
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
const PATIENCE: Duration = Duration::from_secs(600);
const END_PATIENCE: Duration = Duration::from_secs(30);
