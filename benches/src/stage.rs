//! What the measurements of a running mirror have in common.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use kmirror_client::TopicPartition;
use kmirror_testkit::{ClusterPair, unique_topic};
use serde::Serialize;

use crate::contender::{Contender, Copy};
use crate::process::Process;
use crate::traffic::{Asker, partitions_of};

#[derive(Clone, Debug, clap::Args, Serialize)]
pub(crate) struct StageArguments {
    /// The program that is measured.
    #[arg(long, default_value = "target/release/kmirror")]
    pub(crate) program: String,
    /// Leaves MirrorMaker 2 out.
    #[arg(long)]
    pub(crate) without_mm2: bool,
    /// Two clusters of one node each that run already, instead of two that are started: bootstrap servers of the source and of the target.
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    pub(crate) clusters: Option<Vec<String>>,
}

impl StageArguments {
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let mut contenders = vec![Contender::Kmirror];
        if !self.without_mm2 {
            contenders.push(Contender::Mm2Latency);
        }
        contenders
    }
}

/// A copy of some topics under a name of its own, as records-level mirrors do it without a codec.
pub(crate) fn copy<'a>(pair: &'a ClusterPair, topics: &'a str) -> Copy<'a> {
    Copy { pair, topics, codec: "none", alias: unique_topic("copy"), kmirror_keys: String::new() }
}

/// Ends a mirror, and compares what it has copied with the source.
pub(crate) fn end_and_verify(process: Process, copy: &Copy<'_>, program: &str) -> Result<(), Box<dyn Error>> {
    process.end()?;
    copy.verify(program)
}

/// The copies on the target, seen from there.
pub(crate) struct Target {
    asker: Asker,
    partitions: Vec<TopicPartition>,
}

impl Target {
    pub(crate) fn of(copy: &Copy<'_>, topics: &[(impl AsRef<str>, u32)]) -> Result<Target, Box<dyn Error>> {
        let partitions = topics
            .iter()
            .flat_map(|(topic, count)| partitions_of(&copy.target_topic(topic.as_ref()), *count));
        let asker = Asker::connect(copy.pair.target.bootstrap_servers())?;
        Ok(Target { asker, partitions: partitions.collect() })
    }

    /// How many records are there; nothing where a partition is not.
    pub(crate) fn records(&self) -> Option<u64> {
        self.asker.readable(&self.partitions)
    }

    /// Returns the time since the start of the mirror once so many records are there.
    pub(crate) fn wait_for(&self, records: u64, mirror: &mut Process) -> Result<Duration, Box<dyn Error>> {
        // Who asks for many offsets all the time would be what is measured.
        let interval = LOOK_INTERVAL + LOOK_INTERVAL_PER_PARTITION * u32::try_from(self.partitions.len())?;
        let began = Instant::now();
        loop {
            let seen = self.records();
            if seen.is_some_and(|seen| seen >= records) {
                return Ok(mirror.elapsed());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{seen:?} of {records} records within {PATIENCE:?}").into());
            }
            // An error if it has ended.
            mirror.cpu()?;
            thread::sleep(interval);
        }
    }
}

/// What is wanted of kmirror: at most this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) of: &'static str,
    pub(crate) most: f64,
    pub(crate) unit: &'static str,
}

impl Goal {
    /// Goal and figure side by side, for a reader.
    pub(crate) fn beside(&self, figure: f64) -> String {
        let Goal { of, most, unit } = self;
        let verdict = if figure <= *most { "reached" } else { "missed" };
        format!("{of}: {figure:.2} {unit}; the goal is at most {most} {unit}: {verdict}")
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const LOOK_INTERVAL_PER_PARTITION: Duration = Duration::from_micros(50);
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_stands_beside_its_figure() {
        let goal = Goal { of: "p99", most: 5.0, unit: "ms" };
        assert_eq!(goal.beside(5.0), "p99: 5.00 ms; the goal is at most 5 ms: reached");
        assert_eq!(goal.beside(5.014), "p99: 5.01 ms; the goal is at most 5 ms: missed");
    }
}
