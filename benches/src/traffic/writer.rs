//! Writes records at the times for which they are scheduled.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use kmirror_client::{
    BATCH_HEADER_BYTES, BrokerId, Client, Lane, PendingProduce, ProducePartition, ProduceRequest, TopicId,
    Topics,
};
use kmirror_codec::{BatchBuilder, Compression, NewRecord, Workspace};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Clock, Stream, connect, filler, runtime, value};

/// When records are due.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// At times that are fixed before: so many records in each second.
    Rate(u64),
    /// As soon as fewer than so many of those written have arrived.
    OnTheWay { records_max: u64, arrived: Arc<AtomicU64> },
}

/// A thread that writes until it is stopped or has written all.
pub(crate) struct Writer {
    thread: JoinHandle<Result<u64, String>>,
    is_stopped: Arc<AtomicBool>,
}

impl Writer {
    /// Begins now with the first of these numbers.
    pub(crate) fn start(
        bootstrap_servers: &str,
        clock: Clock,
        stream: Stream,
        pace: Pace,
        numbers: Range<u64>,
    ) -> Writer {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (stopped, servers) = (is_stopped.clone(), bootstrap_servers.to_owned());
        let thread = thread::spawn(move || {
            let work = async {
                let client = connect(&servers).await?;
                Work::new(client, clock, stream, stopped).await?.write(&pace, numbers).await
            };
            runtime().map_err(|error| error.to_string())?.block_on(work).map_err(|error| error.to_string())
        });
        Writer { thread, is_stopped }
    }

    /// How many were written and acknowledged, once all are.
    pub(crate) fn wait(self) -> Result<u64, Box<dyn Error>> {
        let written = self.thread.join().map_err(|_| "the writer panicked")?;
        Ok(written.map_err(|error| format!("the writer: {error}"))?)
    }

    /// The same, with no more records.
    pub(crate) fn stop(self) -> Result<u64, Box<dyn Error>> {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.wait()
    }
}

struct Work {
    clock: Clock,
    stream: Stream,
    is_stopped: Arc<AtomicBool>,
    client: Client,
    /// Whoever leads a partition, and the topic's id.
    leaders: Vec<(BrokerId, TopicId)>,
    appends: BTreeMap<BrokerId, mpsc::Sender<PendingProduce>>,
    acknowledgements: JoinSet<Result<(), String>>,
    filler: Bytes,
    workspace: Workspace,
}

impl Work {
    async fn new(
        client: Client,
        clock: Clock,
        stream: Stream,
        is_stopped: Arc<AtomicBool>,
    ) -> Result<Work, Box<dyn Error>> {
        let mut topics: Vec<Arc<str>> =
            stream.partitions.iter().map(|partition| partition.topic.clone()).collect();
        topics.dedup();
        let metadata = client.refresh_metadata(Topics::Named(topics)).await?;
        let mut leaders = Vec::new();
        for partition in stream.partitions.iter() {
            let leader = metadata.leader(partition).ok_or_else(|| format!("{partition} has no leader"))?;
            leaders.push((leader, metadata.topic(&partition.topic).map_or(TopicId::NONE, |topic| topic.id)));
        }
        let mut work = Work {
            clock,
            stream,
            is_stopped,
            client,
            leaders,
            appends: BTreeMap::new(),
            acknowledgements: JoinSet::new(),
            filler: filler(),
            workspace: Workspace::new(),
        };
        for (leader, _) in work.leaders.clone() {
            work.appends.entry(leader).or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
                work.acknowledgements.spawn(acknowledge(receiver));
                sender
            });
        }
        Ok(work)
    }

    async fn write(mut self, pace: &Pace, numbers: Range<u64>) -> Result<u64, Box<dyn Error>> {
        let records_of_tick = (REQUEST_BYTES_MAX / self.stream.value_bytes.max(1)).max(1) as u64;
        let started = self.clock.now();
        let at = |number: u64, rate| started + scheduled(number - numbers.start, rate);
        let mut written = numbers.start;
        while written < numbers.end && !self.is_stopped.load(Ordering::Relaxed) {
            let now = self.clock.now();
            let due = match pace {
                Pace::Rate(rate) => numbers.start + due(now - started, *rate),
                Pace::OnTheWay { records_max, arrived } => arrived.load(Ordering::Relaxed) + records_max,
            };
            let end = due.min(numbers.end).min(written + records_of_tick);
            if end > written {
                let scheduled = |number| match pace {
                    Pace::Rate(rate) => at(number, *rate),
                    Pace::OnTheWay { .. } => now,
                };
                self.append(written..end, scheduled).await?;
                written = end;
            }
            // Where more is due already, this one is not waited for.
            let next = match pace {
                Pace::Rate(rate) => at(written, *rate),
                Pace::OnTheWay { .. } => self.clock.now() + TICK,
            };
            tokio::time::sleep_until(self.clock.instant(next).into()).await;
        }
        // Closed, so that those who wait for acknowledgements come to their end.
        self.appends.clear();
        while let Some(ended) = self.acknowledgements.join_next().await {
            ended??;
        }
        Ok(written - numbers.start)
    }

    /// One batch for each partition that has records in this range, one request for each leader.
    async fn append(
        &mut self,
        numbers: Range<u64>,
        scheduled: impl Fn(u64) -> u64,
    ) -> Result<(), Box<dyn Error>> {
        let mut builders: BTreeMap<usize, (BatchBuilder, i64)> = BTreeMap::new();
        let timestamp = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
        let mut bytes = Vec::with_capacity(self.stream.value_bytes);
        for number in numbers {
            let (builder, offset) =
                builders.entry(self.stream.partition(number)).or_insert_with(|| (BatchBuilder::new(0), 0));
            value(number, scheduled(number), &self.filler, self.stream.value_bytes, &mut bytes);
            let record =
                NewRecord { offset: *offset, timestamp, key: None, value: Some(&bytes), headers: &[] };
            builder.push(&record)?;
            *offset += 1;
        }
        let mut requests: BTreeMap<BrokerId, Vec<ProducePartition>> = BTreeMap::new();
        for (index, (builder, _)) in builders {
            let batch = builder.build(Compression::None, &mut self.workspace)?;
            let header =
                *batch.bytes().first_chunk::<BATCH_HEADER_BYTES>().ok_or("a batch without header")?;
            let (Some(partition), Some((leader, topic_id))) =
                (self.stream.partitions.get(index), self.leaders.get(index))
            else {
                return Err("a partition that is not there".into());
            };
            requests.entry(*leader).or_default().push(ProducePartition {
                topic: partition.topic.clone(),
                topic_id: *topic_id,
                partition: partition.partition,
                header,
                payload: batch.payload(),
            });
        }
        for (leader, partitions) in requests {
            let connection = self.client.connection(leader, Lane::Produce(0)).await?;
            let pending = connection.submit_produce(ProduceRequest { timeout: TIMEOUT, partitions }).await?;
            let appends = self.appends.get(&leader).ok_or("a leader that was not there")?;
            if appends.send(pending).await.is_err() {
                // Whoever took acknowledgements has ended by an error.
                self.appends.clear();
                while let Some(ended) = self.acknowledgements.join_next().await {
                    ended??;
                }
            }
        }
        Ok(())
    }
}

async fn acknowledge(mut pending: mpsc::Receiver<PendingProduce>) -> Result<(), String> {
    while let Some(pending) = pending.recv().await {
        let response = pending.await.map_err(|error| error.to_string())?;
        if let Some(refused) = response.partitions.iter().find(|partition| partition.error.is_some()) {
            return Err(format!("{}: {:?}", refused.topic_partition, refused.error));
        }
    }
    Ok(())
}

/// How many records are due after so many nanoseconds: the first one at once.
fn due(elapsed: u64, rate: u64) -> u64 {
    (u128::from(elapsed) * u128::from(rate) / SECOND + 1) as u64
}

/// After how many nanoseconds a record is due.
fn scheduled(number: u64, rate: u64) -> u64 {
    (u128::from(number) * SECOND).div_ceil(u128::from(rate.max(1))) as u64
}

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;
/// Nanoseconds.
const TICK: u64 = 1_000_000;
/// More than a mirror's worst pause leaves open at high rates; the schedule does not wait for it, the records do.
const IN_FLIGHT_MAX: usize = 64;
/// Below the largest batch that a broker takes, should all go to one partition.
const REQUEST_BYTES_MAX: usize = 512 << 10;
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_due_when_it_is_scheduled() {
        for rate in [1, 3, 7, 100, 1_000, 123_457] {
            for number in [0, 1, 2, 99, 1_000, 5_000_000] {
                let at = scheduled(number, rate);
                assert_eq!(due(at, rate), number + 1, "{number} at {rate}");
                assert!(at == 0 || due(at - 1, rate) == number, "{number} at {rate}");
            }
        }
    }
}
