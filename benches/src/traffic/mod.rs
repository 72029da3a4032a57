//! Load and those who read it, in this process: a virtual machine for either would take the cores from what is measured.
//!
//! Each record holds its number and the time for which it was scheduled, by one clock, so that whoever reads it knows how
//! long it took, and whether all came in order.

mod arrivals;
mod reader;
mod writer;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kmirror_client::{Client, ClientConfig, Isolation, NewTopic, OffsetSpec, TopicPartition};
use tokio::runtime::Runtime;

pub(crate) use self::arrivals::{Arrivals, added};
pub(crate) use self::reader::{Arrival, Reader};
pub(crate) use self::writer::{Pace, Writer};

/// The clock of a measurement: nanoseconds since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

/// Which records are written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) partitions: Arc<[TopicPartition]>,
    pub(crate) value_bytes: usize,
    /// This many records go to one partition before the next gets its share.
    pub(crate) run: u64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn instant(self, nanoseconds: u64) -> Instant {
        self.0 + Duration::from_nanos(nanoseconds)
    }
}

impl Stream {
    /// One record to each partition of a topic in turn.
    pub(crate) fn new(topic: &str, partitions: u32, value_bytes: usize) -> Stream {
        Stream { partitions: partitions_of(topic, partitions).into(), value_bytes, run: 1 }
    }

    /// The index of the partition of a record.
    fn partition(&self, number: u64) -> usize {
        let count = self.partitions.len().max(1) as u64;
        (number / self.run.max(1) % count) as usize
    }

    /// The number of the next record in the partition of this one.
    fn following(&self, number: u64) -> u64 {
        let (run, count) = (self.run.max(1), self.partitions.len().max(1) as u64);
        if (number + 1).is_multiple_of(run) { number + 1 + run * (count - 1) } else { number + 1 }
    }
}

pub(crate) fn partitions_of(topic: &str, count: u32) -> Vec<TopicPartition> {
    let topic: Arc<str> = topic.into();
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    (0..count).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
}

/// A client of one cluster for what is asked now and then, without a runtime around it.
pub(crate) struct Asker {
    runtime: Runtime,
    client: Client,
}

impl Asker {
    pub(crate) fn connect(bootstrap_servers: &str) -> Result<Asker, Box<dyn Error>> {
        let runtime = runtime()?;
        let client = runtime.block_on(connect(bootstrap_servers))?;
        Ok(Asker { runtime, client })
    }

    /// Returns once its leaders answer.
    pub(crate) fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        configuration: &[(&str, &str)],
    ) -> Result<(), Box<dyn Error>> {
        let configs = configuration.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let topic = NewTopic {
            name: topic.into(),
            partitions: i32::try_from(partitions)?,
            replication_factor: -1,
            configs: configs.collect(),
        };
        for (_, created) in
            self.runtime.block_on(self.client.create_topics(std::slice::from_ref(&topic), false))?
        {
            created?;
        }
        let partitions = partitions_of(&topic.name, partitions);
        let asked = Instant::now();
        while self.readable(&partitions).is_none() {
            if asked.elapsed() > LEADERS_PATIENCE {
                return Err(format!("{} has no leaders after {LEADERS_PATIENCE:?}", topic.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// How many records are readable in all of these, as offsets from 0 tell; nothing where one of them does not answer.
    pub(crate) fn readable(&self, partitions: &[TopicPartition]) -> Option<u64> {
        let asked: Vec<_> =
            partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
        let listed = self.runtime.block_on(self.client.list_offsets(&asked, Isolation::ReadUncommitted));
        listed.into_iter().map(|(_, listed)| Some(listed.ok()?.offset?.unsigned_abs())).sum()
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn connect(bootstrap_servers: &str) -> Result<Client, kmirror_client::ClientError> {
    Client::connect(ClientConfig::new("measured", bootstrap_servers.split(','))).await
}

/// Number and time at the head of a value, and bytes that no codec makes smaller behind them.
fn value(number: u64, scheduled: u64, filler: &[u8], value_bytes: usize, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&number.to_be_bytes());
    into.extend_from_slice(&scheduled.to_be_bytes());
    let length = value_bytes.saturating_sub(VALUE_BYTES_MIN).min(filler.len());
    let from = number as usize * FILLER_STEP % (filler.len() - length).max(1);
    into.extend_from_slice(filler.get(from..from + length).unwrap_or_default());
}

fn number_and_time(value: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = value.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(*rest.first_chunk()?)))
}

/// Bytes from a seeded generator (xorshift64).
fn filler() -> Bytes {
    let mut state = FILLER_SEED;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    (0..FILLER_BYTES / 8).flat_map(|_| next()).collect::<Vec<u8>>().into()
}

const LEADERS_PATIENCE: Duration = Duration::from_secs(60);
const VALUE_BYTES_MIN: usize = 16;
const FILLER_BYTES: usize = 256 << 10;
const FILLER_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd, so that records begin everywhere.
const FILLER_STEP: usize = 4_099;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_follow_each_other_in_their_partition() {
        for (partitions, run) in [(1, 1), (1, 4), (3, 1), (3, 4), (8, 10)] {
            let stream = Stream { run, ..Stream::new("t", partitions, 100) };
            let mut next = vec![None; partitions as usize];
            for number in 0..200 {
                let partition = stream.partition(number);
                assert!(next[partition].is_none_or(|next| next == number), "{partitions} {run} {number}");
                next[partition] = Some(stream.following(number));
            }
        }
    }

    #[test]
    fn a_value_tells_number_and_time() {
        let (filler, mut bytes) = (filler(), Vec::new());
        for number in [0, 1, 7, 1 << 40] {
            value(number, 12, &filler, 1_000, &mut bytes);
            assert_eq!((bytes.len(), number_and_time(&bytes)), (1_000, Some((number, 12))));
        }
        value(3, 4, &filler, 0, &mut bytes);
        assert_eq!((bytes.len(), number_and_time(&bytes)), (VALUE_BYTES_MIN, Some((3, 4))));
        assert_eq!(number_and_time(b"short"), None);
    }
}
