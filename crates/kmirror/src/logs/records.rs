//! Compacted topics of one partition, which hold what is written beside a copy: made, and appended to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmirror_client::{
    BATCH_HEADER_BYTES, Client, ClientError, ClusterMetadata, KafkaError, NewTopic, TopicPartition, Topics,
    clock,
};
use kmirror_codec::{BatchBuilder, BatchError, Compression, NewRecord, Stamp, Workspace, stamp};

/// The only partition of the topic with this name, which is created if it is not there and `replication_factor` is given.
///
/// # Errors
/// Those of any call.
pub(crate) async fn ensure(
    client: &Client,
    name: &str,
    replication_factor: Option<i16>,
) -> Result<Option<TopicPartition>, ClientError> {
    let named = || Topics::Named(vec![Arc::from(name)]);
    let is_there = |metadata: &ClusterMetadata| {
        metadata.topic(name).is_some_and(|topic| {
            topic.error.is_none() && topic.partitions.iter().any(|partition| partition.leader.is_some())
        })
    };
    let partition = TopicPartition::new(name, 0);
    if is_there(&*client.refresh_metadata(named()).await?) {
        return Ok(Some(partition));
    }
    let Some(replication_factor) = replication_factor else { return Ok(None) };
    let topic = description(name, replication_factor);
    for (_, created) in client.create_topics(&[topic], false).await? {
        match created {
            // Another instance was faster.
            Err(error) if error.kafka_error() == Some(KafkaError::TOPIC_ALREADY_EXISTS) => {}
            created => drop(created?),
        }
    }
    for _ in 0..CREATED_POLLS_MAX {
        if is_there(&*client.refresh_metadata(named()).await?) {
            break;
        }
        tokio::time::sleep(CREATED_POLL_INTERVAL).await;
    }
    Ok(Some(partition))
}

/// How such a topic is created.
pub(crate) fn description(name: &str, replication_factor: i16) -> NewTopic {
    NewTopic {
        name: Arc::from(name),
        partitions: 1,
        replication_factor,
        configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    }
}

/// A compacted topic of one partition to which records are appended now and then. A repeat does no harm, for the last one of a key
/// counts.
pub(crate) struct RecordTopic {
    client: Client,
    name: String,
    replication_factor: i16,
    partition: Option<TopicPartition>,
}

/// A key and a value; `None` deletes the key.
pub(crate) type KeyValue = (Vec<u8>, Option<Vec<u8>>);

impl RecordTopic {
    /// The topic with this name, created with this replication factor if it is not there.
    pub(crate) fn new(client: &Client, name: String, replication_factor: i16) -> RecordTopic {
        RecordTopic { client: client.clone(), name, replication_factor, partition: None }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Appends records, to a topic that is created if it is not there. After a failure it is looked for again: somebody may have
    /// deleted it.
    pub(crate) async fn append(&mut self, records: &[KeyValue]) -> Result<(), ClientError> {
        let appended = self.append_to_it(records).await;
        if appended.is_err() {
            self.partition = None;
        }
        appended
    }

    async fn append_to_it(&mut self, records: &[KeyValue]) -> Result<(), ClientError> {
        let partition = match &self.partition {
            Some(partition) => partition.clone(),
            None => {
                let ensured = ensure(&self.client, &self.name, Some(self.replication_factor)).await?;
                self.partition
                    .insert(ensured.unwrap_or_else(|| TopicPartition::new(self.name.as_str(), 0)))
                    .clone()
            }
        };
        for records in records.chunks(RECORDS_PER_BATCH) {
            let batch = built(records).map_err(|error| ClientError::InvalidResponse {
                address: self.client.alias().into(),
                api: "Produce",
                problem: format!("a record of {} cannot be built: {error}", self.name).into(),
            })?;
            let header = stamp(&batch, &NOBODY);
            self.client.produce_once(&partition, header, batch.payload(), TIMEOUT, None).await?;
        }
        Ok(())
    }
}

/// A batch of these records, stamped now.
pub(crate) fn built(records: &[KeyValue]) -> Result<kmirror_codec::Batch, BatchError> {
    let now_ms = now_ms();
    let mut builder = BatchBuilder::new(0);
    for (offset, (key, value)) in (0..).zip(records) {
        builder.push(&NewRecord {
            offset,
            timestamp: now_ms,
            key: Some(key),
            value: value.as_deref(),
            headers: &[],
        })?;
    }
    builder.build(Compression::None, &mut Workspace::new())
}

/// A batch that shows whether it would be taken, for a partition that does not exist.
pub(crate) fn probe_batch() -> Result<([u8; BATCH_HEADER_BYTES], Bytes), BatchError> {
    let batch = built(&[(b"kmirror".to_vec(), None)])?;
    Ok((stamp(&batch, &NOBODY), batch.payload()))
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH);
    since.map_or(-1, |since| i64::try_from(since.as_millis()).unwrap_or(-1))
}

const CREATED_POLL_INTERVAL: Duration = Duration::from_millis(50);
const CREATED_POLLS_MAX: u32 = 200;
/// Without a producer id, as any plain producer.
const NOBODY: Stamp = Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
const TIMEOUT: Duration = Duration::from_secs(10);
const RECORDS_PER_BATCH: usize = 1_000;
