//! Reads what was written, here or through a mirror, and notes when it arrived.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kmirror_client::{
    BrokerId, Client, FetchPosition, FetchSession, FetchSettings, FetchedPartition, Isolation, Lane, Retry,
    TopicId, TopicPartition, Topics,
};
use kmirror_codec::{Entry, Limits, Records, Workspace, decompress, split};
use tokio::time::sleep;

use super::{Clock, Stream, connect, number_and_time, runtime};

/// A record that has arrived. Times are nanoseconds of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) scheduled: u64,
    pub(crate) arrived: u64,
}

/// A thread that reads all partitions of a stream from their beginning until it is stopped.
pub(crate) struct Reader {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_stopped: AtomicBool,
    arrived: Arc<AtomicU64>,
    out_of_order: AtomicU64,
    /// Why it has ended by itself.
    error: OnceLock<String>,
}

impl Reader {
    /// Reads `stream`, whose topics are called `name(topic)` there, and which need not be there yet.
    pub(crate) fn start(
        bootstrap_servers: &str,
        clock: Clock,
        stream: &Stream,
        name: impl Fn(&str) -> String,
        note: impl FnMut(Arrival) + Send + 'static,
    ) -> Reader {
        let shared = Arc::new(Shared::default());
        let partitions = stream
            .partitions
            .iter()
            .map(|one| TopicPartition::new(name(&one.topic), one.partition))
            .collect();
        let (servers, stream, seen) = (bootstrap_servers.to_owned(), stream.clone(), shared.clone());
        let thread = thread::spawn(move || {
            let work = async {
                let client = connect(&servers).await?;
                let shared = seen.clone();
                Work { client, clock, stream, shared, next: HashMap::new(), note }.read(partitions).await
            };
            let ended = runtime().map_err(Box::from).and_then(|runtime| runtime.block_on(work));
            if let Err(error) = ended {
                let _ = seen.error.set(error.to_string());
            }
        });
        Reader { thread, shared }
    }

    /// How many records have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    /// The same as a number that others can look at.
    pub(crate) fn arrived_shared(&self) -> Arc<AtomicU64> {
        self.shared.arrived.clone()
    }

    /// Waits until as many have arrived as are wanted.
    pub(crate) fn wait_for(&self, records: u64, patience: Duration) -> Result<(), Box<dyn Error>> {
        let started = std::time::Instant::now();
        while self.arrived() < records {
            self.shared.check()?;
            if started.elapsed() > patience {
                return Err(
                    format!("{} of {records} records arrived within {patience:?}", self.arrived()).into()
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Ends it. How many records did not follow the one before in their partition: lost, doubled or out of order.
    pub(crate) fn stop(self) -> Result<u64, Box<dyn Error>> {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reader panicked")?;
        self.shared.check()?;
        Ok(self.shared.out_of_order.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn check(&self) -> Result<(), Box<dyn Error>> {
        match self.error.get() {
            Some(error) => Err(format!("the reader: {error}").into()),
            None => Ok(()),
        }
    }
}

struct Work<N> {
    client: Client,
    clock: Clock,
    stream: Stream,
    shared: Arc<Shared>,
    /// The number that is expected next in each partition.
    next: HashMap<usize, u64>,
    note: N,
}

impl<N: FnMut(Arrival)> Work<N> {
    async fn read(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Box<dyn Error>> {
        let Some(leader) = self.wait_for_leader(&partitions).await? else { return Ok(()) };
        let metadata = self.client.metadata();
        let mut session = FetchSession::new(SETTINGS);
        let topic_id = |topic: &str| metadata.topic(topic).map_or(TopicId::NONE, |topic| topic.id);
        let mut positions: BTreeMap<TopicPartition, FetchPosition> = BTreeMap::new();
        for partition in partitions {
            let topic_id = topic_id(&partition.topic);
            positions.insert(partition, FetchPosition { topic_id, ..BEGINNING });
        }
        for (partition, position) in &positions {
            session.set(partition.clone(), *position);
        }
        let connection = self.client.connection(leader, Lane::Fetch(0)).await?;
        while !self.shared.is_stopped.load(Ordering::Relaxed) {
            let request = session.next_request(connection.fetch_version()?);
            let response = connection.submit_fetch(request, None).await?.await?;
            let arrived = self.clock.now();
            for fetched in session.handle(response)? {
                let Some(position) = positions.get_mut(&fetched.topic_partition) else { continue };
                if fetched.error.is_some_and(|error| error.retry() != Retry::Never) {
                    // The broker has just learned of the topic.
                    sleep(LOOK_INTERVAL).await;
                    continue;
                }
                position.offset = self.take(&fetched, position.offset, arrived)?;
                session.set(fetched.topic_partition, *position);
            }
        }
        Ok(())
    }

    /// Notes what has arrived in a partition; the next offset to read.
    fn take(
        &mut self,
        fetched: &FetchedPartition,
        wanted_offset: i64,
        arrived: u64,
    ) -> Result<i64, Box<dyn Error>> {
        if let Some(error) = fetched.error {
            return Err(format!("{}: {error}", fetched.topic_partition).into());
        }
        let (limits, mut workspace) = (Limits::default(), Workspace::new());
        let mut next_offset = wanted_offset;
        for entry in split(fetched.records.clone(), wanted_offset) {
            let entry = entry?;
            next_offset = entry.last_offset() + 1;
            let Entry::Batch(batch) = entry else { return Err("a message of an old format".into()) };
            if batch.header().attributes.is_control() {
                continue;
            }
            let records = decompress(&batch, &limits, &mut workspace)?;
            for record in Records::new(batch.header(), records) {
                let value = record?.value.and_then(number_and_time);
                let (number, scheduled) = value.ok_or("a record that the writer has not written")?;
                self.follow(number);
                (self.note)(Arrival { number, scheduled, arrived });
                self.shared.arrived.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(next_offset)
    }

    /// Looks whether a record is the one that comes next in its partition.
    fn follow(&mut self, number: u64) {
        let index = self.stream.partition(number);
        let expected = self.next.insert(index, self.stream.following(number));
        if expected.unwrap_or(index as u64 * self.stream.run) != number {
            self.shared.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The one broker that leads all of them, once they are there; nothing if there is no more to wait for.
    async fn wait_for_leader(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Option<BrokerId>, Box<dyn Error>> {
        let topics: Vec<Arc<str>> = partitions.iter().map(|partition| partition.topic.clone()).collect();
        while !self.shared.is_stopped.load(Ordering::Relaxed) {
            let metadata = self.client.refresh_metadata(Topics::Named(topics.clone())).await?;
            let leaders: Vec<_> = partitions.iter().map(|partition| metadata.leader(partition)).collect();
            match leaders.first() {
                Some(Some(leader)) if leaders.iter().all(|other| *other == Some(*leader)) => {
                    return Ok(Some(*leader));
                }
                Some(Some(_)) if leaders.iter().all(Option::is_some) => {
                    return Err("the partitions have several leaders: one node on each side is meant".into());
                }
                _ => sleep(LOOK_INTERVAL).await,
            }
        }
        Ok(None)
    }
}

/// Whatever comes is sent at once.
const SETTINGS: FetchSettings = FetchSettings {
    max_wait: Duration::from_millis(200),
    min_bytes: 1,
    bytes_max: 16 << 20,
    isolation: Isolation::ReadUncommitted,
};
const BEGINNING: FetchPosition = FetchPosition {
    offset: 0,
    leader_epoch: None,
    last_fetched_epoch: None,
    topic_id: TopicId::NONE,
    partition_bytes_max: 4 << 20,
};
/// How soon a topic is noticed that was not there.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
