//! Topics whose batches are built here: the Java producer takes longer to write one than all contenders to copy it.

mod values;

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kmirror_client::{
    BrokerId, Client, ClientConfig, Lane, NewTopic, PendingProduce, ProducePartition, ProduceRequest,
    TopicId, TopicPartition, Topics,
};
use kmirror_codec::{Batch, BatchBuilder, BatchError, Compression, NewRecord, Stamp, Workspace, stamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

pub(crate) use self::values::{Shape, Values};

/// A topic to be written.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) configs: Vec<(String, String)>,
    pub(crate) codec: Compression,
    /// About how many bytes a batch has on the wire; it has at least one record.
    pub(crate) batch_bytes: usize,
    pub(crate) values: Values,
    /// Of records for which the values say no other, in ms. Old ones are copied a batch at a time, for brokers forget who wrote them.
    pub(crate) timestamp: i64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    /// Of batches on the wire.
    pub(crate) bytes: u64,
    /// Of the same batches without compression.
    pub(crate) bytes_decoded: u64,
}

/// The batches of one turn: one for each partition.
struct Round {
    batches: Vec<Batch>,
    bytes_decoded: u64,
}

impl Load {
    /// Creates the topic and writes at least so many bytes of batches, the same for the same bytes.
    pub(crate) fn write(&self, bootstrap_servers: &str, bytes: u64) -> Result<Written, Box<dyn Error>> {
        block_on(async {
            let writer = Writer::connect(bootstrap_servers, &self.topic, self.partitions).await?;
            writer.create(&self.configs).await?;
            let per_batch = self.records_per_batch()?;
            let sample = self.round(0, per_batch, &mut Workspace::new())?;
            let sample_bytes: usize = sample.batches.iter().map(|batch| batch.bytes().len()).sum();
            writer.write(self.start_building(bytes.div_ceil(sample_bytes.max(1) as u64), per_batch)).await
        })
    }

    /// Its first batches, as many as are needed for so many bytes.
    pub(crate) fn batches(&self, bytes: usize) -> Result<Vec<Batch>, BatchError> {
        let (per_batch, mut workspace) = (self.records_per_batch()?, Workspace::new());
        let (mut batches, mut sum) = (Vec::new(), 0);
        for first in (0..).step_by(usize::try_from(per_batch).unwrap_or(usize::MAX)) {
            if sum >= bytes {
                break;
            }
            let (batch, _) = self.batch(first, per_batch, &mut workspace)?;
            sum += batch.bytes().len();
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Starts with a guess and corrects it twice, since more records compress better.
    fn records_per_batch(&self) -> Result<u64, BatchError> {
        let mut count = 64;
        for _ in 0..3 {
            let (batch, _) = self.batch(0, count, &mut Workspace::new())?;
            count = (count * self.batch_bytes as u64 / batch.bytes().len().max(1) as u64).max(1);
        }
        Ok(count)
    }

    /// Builds all rounds in order on several threads; each thread's are its turn again and again.
    fn start_building(
        &self,
        rounds: u64,
        per_batch: u64,
    ) -> VecDeque<mpsc::Receiver<Result<Round, BatchError>>> {
        let builders = (0..BUILDERS.min(rounds)).map(|first| {
            let (sender, receiver) = mpsc::channel(ROUNDS_AHEAD);
            let load = self.clone();
            thread::spawn(move || {
                let mut workspace = Workspace::new();
                for round in (first..rounds).step_by(BUILDERS as usize) {
                    if sender.blocking_send(load.round(round, per_batch, &mut workspace)).is_err() {
                        break;
                    }
                }
            });
            receiver
        });
        builders.collect()
    }

    fn round(&self, round: u64, per_batch: u64, workspace: &mut Workspace) -> Result<Round, BatchError> {
        let mut built = Round { batches: Vec::new(), bytes_decoded: 0 };
        for partition in 0..u64::from(self.partitions) {
            let first = (round * u64::from(self.partitions) + partition) * per_batch;
            let (batch, bytes_decoded) = self.batch(first, per_batch, workspace)?;
            built.batches.push(batch);
            built.bytes_decoded += bytes_decoded;
        }
        Ok(built)
    }

    fn batch(&self, first: u64, count: u64, workspace: &mut Workspace) -> Result<(Batch, u64), BatchError> {
        let mut builder = BatchBuilder::new(0);
        for (offset, index) in (0..).zip(first..first + count) {
            let record = self.values.record(index);
            let timestamp = record.timestamp.unwrap_or(self.timestamp);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.push(&NewRecord { offset, timestamp, key, value, headers: &[] })?;
        }
        let batch = builder.build(self.codec, workspace)?;
        let bytes_decoded = match self.codec {
            Compression::None => batch.bytes().len(),
            _ => builder.build(Compression::None, workspace)?.bytes().len(),
        };
        Ok((batch, bytes_decoded as u64))
    }
}

/// Ends every partition of a topic by one plain record with this timestamp and a key of its own: what stands before it can be cleaned,
/// and whoever has copied it has copied everything.
pub(crate) fn close(
    bootstrap_servers: &str,
    topic: &str,
    partitions: u32,
    timestamp: i64,
) -> Result<Written, Box<dyn Error>> {
    let mut workspace = Workspace::new();
    let mut closing = Round { batches: Vec::new(), bytes_decoded: 0 };
    for _ in 0..partitions {
        let mut builder = BatchBuilder::new(0);
        let (key, value) = (Some(&b"the last one"[..]), Some(&b"."[..]));
        builder.push(&NewRecord { offset: 0, timestamp, key, value, headers: &[] })?;
        let batch = builder.build(Compression::None, &mut workspace)?;
        closing.bytes_decoded += batch.bytes().len() as u64;
        closing.batches.push(batch);
    }
    block_on(async {
        let writer = Writer::connect(bootstrap_servers, topic, partitions).await?;
        writer.await_leaders().await?;
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(Ok(closing)).map_err(|_| "the channel has no place")?;
        drop(sender);
        writer.write(VecDeque::from([receiver])).await
    })
}

/// Appends batches in their order, many requests ahead of their answers. An error ends it: nothing is repeated.
struct Writer {
    client: Client,
    partitions: Vec<TopicPartition>,
}

impl Writer {
    async fn connect(
        bootstrap_servers: &str,
        topic: &str,
        partitions: u32,
    ) -> Result<Writer, Box<dyn Error>> {
        let client = Client::connect(ClientConfig::new("load", bootstrap_servers.split(','))).await?;
        let partitions =
            (0..i32::try_from(partitions)?).map(|partition| TopicPartition::new(topic, partition));
        Ok(Writer { client, partitions: partitions.collect() })
    }

    fn topic(&self) -> Result<Arc<str>, Box<dyn Error>> {
        Ok(self.partitions.first().ok_or("a topic without partitions")?.topic.clone())
    }

    async fn create(&self, configs: &[(String, String)]) -> Result<(), Box<dyn Error>> {
        let topic = NewTopic {
            name: self.topic()?,
            partitions: i32::try_from(self.partitions.len())?,
            replication_factor: -1,
            configs: configs.to_vec(),
        };
        for (_, created) in self.client.create_topics(&[topic], false).await? {
            created?;
        }
        self.await_leaders().await
    }

    /// Waits until every leader answers for its partition.
    async fn await_leaders(&self) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + LEADER_PATIENCE;
        loop {
            self.client.refresh_metadata(Topics::Named(vec![self.topic()?])).await?;
            let ends = self.client.log_end_offsets(&self.partitions).await;
            let failed = ends.into_iter().find_map(|(_, end)| end.err());
            match failed {
                None => return Ok(()),
                Some(error) if Instant::now() > deadline => return Err(error.into()),
                Some(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Takes a round from each builder in turn until there are no more.
    async fn write(
        &self,
        mut builders: VecDeque<mpsc::Receiver<Result<Round, BatchError>>>,
    ) -> Result<Written, Box<dyn Error>> {
        let mut written = Written::default();
        let mut pending = VecDeque::new();
        while let Some(mut builder) = builders.pop_front() {
            // The builder whose turn it is has no more: all have come to their ends.
            let Some(round) = builder.recv().await else { break };
            builders.push_back(builder);
            let round = round?;
            written.bytes_decoded += round.bytes_decoded;
            for batch in &round.batches {
                written.records += u64::try_from(batch.header().records_count)?;
                written.batches += 1;
                written.bytes += batch.bytes().len() as u64;
            }
            self.submit(&round.batches, &mut pending).await?;
            while pending.len() > REQUESTS_IN_FLIGHT {
                acknowledged(pending.pop_front()).await?;
            }
        }
        while !pending.is_empty() {
            acknowledged(pending.pop_front()).await?;
        }
        Ok(written)
    }

    async fn submit(
        &self,
        batches: &[Batch],
        pending: &mut VecDeque<PendingProduce>,
    ) -> Result<(), Box<dyn Error>> {
        let metadata = self.client.metadata();
        let topic_id = metadata.topic(&self.topic()?).map_or(TopicId::NONE, |topic| topic.id);
        let mut requests: BTreeMap<BrokerId, Vec<ProducePartition>> = BTreeMap::new();
        for (partition, batch) in self.partitions.iter().zip(batches) {
            let leader = metadata.leader(partition).ok_or("a partition without a leader")?;
            requests.entry(leader).or_default().push(ProducePartition {
                topic: partition.topic.clone(),
                topic_id,
                partition: partition.partition,
                header: stamp(batch, &NO_PRODUCER),
                payload: batch.payload(),
            });
        }
        for (leader, partitions) in requests {
            let connection = self.client.connection(leader, Lane::Produce(0)).await?;
            let request = ProduceRequest { timeout: Duration::from_secs(30), partitions };
            pending.push_back(connection.submit_produce(request).await?);
        }
        Ok(())
    }
}

async fn acknowledged(pending: Option<PendingProduce>) -> Result<(), Box<dyn Error>> {
    let Some(pending) = pending else { return Ok(()) };
    for partition in pending.await?.partitions {
        if let Some(error) = partition.error {
            return Err(format!("{}: {error}", partition.topic_partition).into());
        }
    }
    Ok(())
}

fn block_on<T>(future: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

const BUILDERS: u64 = 2;
const ROUNDS_AHEAD: usize = 4;
const REQUESTS_IN_FLIGHT: usize = 16;
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
const NO_PRODUCER: Stamp = Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 };

#[cfg(test)]
mod tests {
    use kmirror_testkit::Workload;

    use super::*;

    fn load(batch_bytes: usize, codec: Compression) -> Load {
        let workload = Workload::new("t").keys(100).value_bytes(100, 100);
        let values = Values::new(&workload, Shape::Csv);
        let topic = "t".to_owned();
        Load { topic, partitions: 3, configs: Vec::new(), codec, batch_bytes, values, timestamp: 1_000 }
    }

    #[test]
    fn a_batch_has_about_the_bytes_that_are_wanted() {
        for (batch_bytes, codec) in [(16_384, Compression::Lz4), (262_144, Compression::Zstd)] {
            let load = load(batch_bytes, codec);
            let (batch, decoded) =
                load.batch(7, load.records_per_batch().unwrap(), &mut Workspace::new()).unwrap();
            let off = batch.bytes().len().abs_diff(batch_bytes);
            assert!(off < batch_bytes / 10, "{} for {batch_bytes}", batch.bytes().len());
            assert!(decoded > 3 * batch.bytes().len() as u64 / 2, "{decoded}");
        }
        assert_eq!(load(1, Compression::None).records_per_batch().unwrap(), 1);
    }

    #[test]
    fn builders_give_every_round_once_and_in_order() {
        let load = load(1_000, Compression::None);
        let mut builders = load.start_building(5, 2);
        let mut found = Vec::new();
        while let Some(mut builder) = builders.pop_front() {
            let Some(round) = builder.blocking_recv() else { break };
            found.push(round.unwrap().batches.first().unwrap().clone());
            builders.push_back(builder);
        }
        let expected: Vec<Batch> =
            (0..5).map(|round| load.batch(round * 6, 2, &mut Workspace::new()).unwrap().0).collect();
        let bytes = |batches: &[Batch]| batches.iter().map(|batch| batch.bytes().clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&found), bytes(&expected));
    }
}
