//! One copy by one contender, from the start of its process until everything has arrived.

use std::error::Error;
use std::fs;
use std::thread;
use std::time::Duration;

use kmirror_testkit::{KafkaEndpoint, LogOffset};

use super::cell::Preloaded;
use crate::contender::{Contender, Copy, folder};
use crate::measured::TICK;
use crate::process::Process;

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
    /// What had arrived when the first record was seen, as a share of all: who is fast is far by then.
    pub(crate) share_at_first: f64,
    pub(crate) memory_bytes_max: u64,
}

impl Cost {
    /// What the copying itself cost, as if everything had come after the first record. Where little was left then, all of it counts, the
    /// start too. Less than the clock can tell counts as what it can tell.
    pub(crate) fn cpu_seconds_copying(&self) -> f64 {
        let share = 1.0 - self.share_at_first;
        let seconds = match share < SHARE_MIN {
            true => self.cpu_seconds,
            false => (self.cpu_seconds - self.cpu_seconds_before_first) / share,
        };
        seconds.max(TICK.as_secs_f64())
    }

    /// How long it took, in the same way.
    pub(crate) fn seconds_copying(&self) -> f64 {
        let share = 1.0 - self.share_at_first;
        match share < SHARE_MIN {
            true => self.wall_seconds,
            false => (self.wall_seconds - self.first_record_seconds) / share,
        }
    }
}

/// Copies, verifies, and deletes the copy.
pub(crate) fn race(
    contender: &Contender,
    copy: &Copy<'_>,
    preloaded: &Preloaded,
    program: &str,
) -> Result<Cost, Box<dyn Error>> {
    let mut process = Process::start(contender.command(copy, program)?)?;
    let target_topic = copy.target_topic(&preloaded.topic);
    // Others close up where records are missing.
    let wanted = if contender.keeps_offsets() { preloaded.offsets } else { preloaded.records };
    let cost = follow(&mut process, &copy.pair.target, &target_topic, preloaded.partitions, wanted);
    process.end()?;
    let cost = cost.map_err(|error| format!("{}: {error}; see {}.log", contender.name(), copy.alias))?;
    verify(contender, copy, preloaded, program).map_err(|error| format!("{}: {error}", contender.name()))?;
    copy.pair.target.delete_topic(&target_topic)?;
    fs::remove_file(folder()?.join(format!("{}.log", copy.alias)))?;
    Ok(cost)
}

/// Compares offset for offset, which kmirror does. Where the logs have holes and whoever copies does not keep them, the committed
/// records are compared in their order. (What kmirror fills the holes of a compacted topic with is nothing that they hold.)
fn verify(
    contender: &Contender,
    copy: &Copy<'_>,
    preloaded: &Preloaded,
    program: &str,
) -> Result<(), Box<dyn Error>> {
    match &preloaded.digests {
        Some(digests) if !contender.keeps_offsets() => {
            let found = copy.pair.target.digests(&copy.target_topic(&preloaded.topic))?;
            let is_same = found == *digests;
            is_same.then_some(()).ok_or_else(|| format!("{found:?} was copied, not {digests:?}").into())
        }
        _ => copy.verify(program),
    }
}

fn follow(
    process: &mut Process,
    target: &KafkaEndpoint,
    target_topic: &str,
    partitions: u32,
    wanted: u64,
) -> Result<Cost, Box<dyn Error>> {
    let mut first = None;
    loop {
        thread::sleep(INTERVAL);
        let (elapsed, cpu) = (process.elapsed(), process.cpu()?);
        let arrived = arrived(target, target_topic, partitions);
        if arrived > 0 && first.is_none() {
            first = Some((elapsed, cpu, arrived));
        }
        if arrived >= wanted {
            let (first_elapsed, first_cpu, at_first) = first.unwrap_or((elapsed, cpu, arrived));
            return Ok(Cost {
                wall_seconds: process.elapsed().as_secs_f64(),
                first_record_seconds: first_elapsed.as_secs_f64(),
                cpu_seconds: process.cpu()?.as_secs_f64(),
                cpu_seconds_before_first: first_cpu.as_secs_f64(),
                share_at_first: at_first as f64 / arrived as f64,
                memory_bytes_max: process.memory_peak()?,
            });
        }
        if elapsed > PATIENCE {
            return Err(format!("{arrived} of {} records within {PATIENCE:?}", wanted).into());
        }
    }
}

/// How many records are there. A topic that is not there yet has none, and who asks for its offsets waits for a minute.
pub(crate) fn arrived(target: &KafkaEndpoint, topic: &str, partitions: u32) -> u64 {
    if target.replicas(topic).is_err() {
        return 0;
    }
    let end = |partition| target.offset(topic, partition, LogOffset::Latest).unwrap_or(0);
    (0..partitions).map(|partition| end(i32::try_from(partition).unwrap_or(0)).unsigned_abs()).sum()
}

/// Less than this would be extrapolated too far.
const SHARE_MIN: f64 = 0.25;
const INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_arrived_at_first_is_no_gift() {
        let cost = |share_at_first| Cost {
            wall_seconds: 5.0,
            first_record_seconds: 3.0,
            cpu_seconds: 2.0,
            cpu_seconds_before_first: 1.0,
            memory_bytes_max: 1,
            share_at_first,
        };
        let copying = |share| (cost(share).cpu_seconds_copying(), cost(share).seconds_copying());
        assert_eq!(copying(0.0), (1.0, 2.0));
        assert_eq!(copying(0.5), (2.0, 4.0));
        assert_eq!(copying(0.9), (2.0, 5.0));
        let instant = Cost { cpu_seconds_before_first: 2.0, ..cost(0.0) };
        assert_eq!(instant.cpu_seconds_copying(), 0.01, "for a ratio to it is no number otherwise");
    }
}
