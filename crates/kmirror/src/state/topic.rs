//! The state topic itself: created, read, written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmirror_client::{
    Client, ClientError, Isolation, KafkaError, NewTopic, OffsetSpec, TopicPartition, Topics,
};
use kmirror_codec::{
    BatchBuilder, Compression, Entry, Limits, NewRecord, Records, Stamp, Workspace, decompress, split, stamp,
};

use super::record::{self, PartitionRecord};
use crate::takeover::ends;

/// The state topic of a cluster. It has one partition: its records are few.
#[derive(Clone, Debug)]
pub(crate) struct StateTopic {
    client: Client,
    partition: TopicPartition,
    /// The next offset to be read.
    position: i64,
}

/// A key's latest value: `None` where it was deleted.
pub(crate) type Change = (TopicPartition, Option<Bytes>);

impl StateTopic {
    /// The topic with this name, created if it is not there and `replication_factor` is given.
    ///
    /// # Errors
    /// Those of any call.
    pub(crate) async fn open(
        client: &Client,
        name: &str,
        replication_factor: Option<i16>,
    ) -> Result<Option<StateTopic>, ClientError> {
        let named = || Topics::Named(vec![Arc::from(name)]);
        let is_there = |metadata: &kmirror_client::ClusterMetadata| {
            metadata.topic(name).is_some_and(|topic| {
                topic.error.is_none() && topic.partitions.iter().any(|partition| partition.leader.is_some())
            })
        };
        let partition = TopicPartition::new(name, 0);
        let opened = || StateTopic { client: client.clone(), partition: partition.clone(), position: 0 };
        if is_there(&*client.refresh_metadata(named()).await?) {
            return Ok(Some(opened()));
        }
        let Some(replication_factor) = replication_factor else { return Ok(None) };
        let topic = NewTopic {
            name: Arc::from(name),
            partitions: 1,
            replication_factor,
            configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        };
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
        Ok(Some(opened()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.partition.topic
    }

    /// What was written since the last time, oldest first. A batch that cannot be read is an error: nothing may be left out.
    pub(crate) async fn read(&mut self) -> Result<Vec<Change>, StateError> {
        let end = ends::offset(&self.client, &self.partition, OffsetSpec::Latest, Isolation::ReadUncommitted)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let mut changes = Vec::new();
        if end < self.position {
            // Deleted and created again: from the beginning.
            self.position = 0;
        }
        while self.position < end {
            let before = self.position;
            let fetched = self
                .client
                .fetch_once(&self.partition, self.position, FETCH_BYTES_MAX, Isolation::ReadUncommitted)
                .await
                .map_err(|error| self.unreachable(&error))?;
            match fetched.error {
                Some(KafkaError::OFFSET_OUT_OF_RANGE) => {
                    self.position = fetched.log_start_offset.max(0);
                    continue;
                }
                Some(error) => return Err(StateError::Unreachable(format!("{}: {error}", self.name()))),
                None => {}
            }
            for entry in split(fetched.records, self.position) {
                let damaged = |error: kmirror_codec::BatchError| self.damaged(before, &error);
                let Entry::Batch(batch) = entry.map_err(damaged)? else { continue };
                self.position = batch.header().next_offset();
                if !batch.header().attributes.is_control() {
                    changes.extend(changes_of(&batch).map_err(|error| self.damaged(before, &error))?);
                }
            }
            if self.position == before {
                self.position = end; // emptied by the cleaner
            }
        }
        Ok(changes)
    }

    /// Appends records, acknowledged by all in-sync replicas.
    pub(crate) async fn write(
        &self,
        records: &[(&TopicPartition, &PartitionRecord)],
    ) -> Result<(), ClientError> {
        let timestamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(-1, |since| i64::try_from(since.as_millis()).unwrap_or(-1));
        for chunk in records.chunks(RECORDS_PER_BATCH_MAX) {
            let mut builder = BatchBuilder::new(0);
            for (offset, (partition, record)) in chunk.iter().enumerate() {
                let (key, value) = (record::key_of(partition), record.to_json());
                let record = NewRecord {
                    offset: offset as i64,
                    timestamp,
                    key: Some(key.as_bytes()),
                    value: Some(&value),
                    headers: &[],
                };
                builder.push(&record).map_err(|error| self.not_built(&error))?;
            }
            let batch = builder
                .build(Compression::None, &mut Workspace::new())
                .map_err(|error| self.not_built(&error))?;
            let header = stamp(&batch, &Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 });
            self.client.produce_once(&self.partition, header, batch.payload(), WRITE_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Asks who leads the topic's partition now.
    pub(crate) async fn look_for_leader(&self) {
        let topics = Topics::Named(vec![Arc::clone(&self.partition.topic)]);
        let _ = self.client.refresh_metadata(topics).await;
    }

    fn not_built(&self, error: &kmirror_codec::BatchError) -> ClientError {
        ClientError::InvalidResponse {
            address: self.client.alias().into(),
            api: "Produce",
            problem: format!("a record of the state topic cannot be built: {error}").into(),
        }
    }

    fn unreachable(&self, error: &ClientError) -> StateError {
        if error.is_authorization() {
            StateError::Unauthorized(format!(
                "the state topic {} cannot be read: {error}; kmirror needs READ, WRITE and DESCRIBE on it",
                self.name()
            ))
        } else {
            StateError::Unreachable(format!("the state topic {} cannot be read: {error}", self.name()))
        }
    }

    fn damaged(&self, offset: i64, error: &kmirror_codec::BatchError) -> StateError {
        StateError::Unreachable(format!(
            "the state topic {} cannot be read at or after offset {offset}: {error}",
            self.name()
        ))
    }
}

/// Why the state could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Unreachable(String),
}

fn changes_of(batch: &kmirror_codec::Batch) -> Result<Vec<Change>, kmirror_codec::BatchError> {
    batch.verify_crc()?;
    let mut workspace = Workspace::new();
    let mut changes = Vec::new();
    for record in Records::new(batch.header(), decompress(batch, &Limits::default(), &mut workspace)?) {
        let record = record?;
        if let Some(partition) = record.key.and_then(record::partition_of) {
            changes.push((partition, record.value.map(Bytes::copy_from_slice)));
        }
    }
    Ok(changes)
}

const FETCH_BYTES_MAX: i32 = 1 << 20;
/// A record has a few hundred bytes: far below the default `max.message.bytes`.
const RECORDS_PER_BATCH_MAX: usize = 500;
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const CREATED_POLL_INTERVAL: Duration = Duration::from_millis(50);
const CREATED_POLLS_MAX: u32 = 200;
