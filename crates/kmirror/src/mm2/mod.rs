//! The records of MirrorMaker 2 that its readers look for on the target: heartbeats, and checkpoints of groups. With them Java's
//! `RemoteClusterUtils` and `MirrorClient` answer about a target that kmirror fills. kmirror itself reads none of them.
//!
//! Offset syncs are not written: only MirrorMaker's own connectors read them, and `translateOffsets` goes by checkpoints alone.

mod checkpoints;
mod heartbeats;
mod records;

use std::time::Duration;

use kmirror_client::{Client, ClientError, TopicPartition};
use kmirror_codec::{BatchBuilder, BatchError, Compression, NewRecord, Stamp, Workspace, stamp};

pub(crate) use self::checkpoints::{Checkpoint, Checkpoints};
pub(crate) use self::heartbeats::{Heartbeats, is_heartbeats};
use crate::config::Flow;
use crate::topics::compacted;

/// A compacted topic of one partition to which records are appended now and then. A repeat does no harm, for the last one of a key
/// counts.
struct RecordTopic {
    target: Client,
    name: String,
    replication_factor: i16,
    partition: Option<TopicPartition>,
}

/// A key and a value.
type KeyValue = (Vec<u8>, Vec<u8>);

impl RecordTopic {
    fn new(flow: &Flow, target: &Client, name: String) -> RecordTopic {
        // There is no topic of the source whose factor it could have.
        let replication_factor = flow.replication_factor.of(-1);
        RecordTopic { target: target.clone(), name, replication_factor, partition: None }
    }

    /// Appends records, to a topic that is created if it is not there. After a failure it is looked for again: somebody may have
    /// deleted it.
    async fn append(&mut self, records: &[KeyValue]) -> Result<(), ClientError> {
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
                let ensured =
                    compacted::ensure(&self.target, &self.name, Some(self.replication_factor)).await?;
                self.partition
                    .insert(ensured.unwrap_or_else(|| TopicPartition::new(self.name.as_str(), 0)))
                    .clone()
            }
        };
        for records in records.chunks(RECORDS_PER_BATCH) {
            let batch = built(records).map_err(|error| ClientError::InvalidResponse {
                address: self.target.alias().into(),
                api: "Produce",
                problem: format!("a record of {} cannot be built: {error}", self.name).into(),
            })?;
            let header = stamp(&batch, &NOBODY);
            self.target.produce_once(&partition, header, batch.payload(), TIMEOUT).await?;
        }
        Ok(())
    }
}

fn built(records: &[KeyValue]) -> Result<kmirror_codec::Batch, BatchError> {
    let now_ms = now_ms();
    let mut builder = BatchBuilder::new(0);
    for (offset, (key, value)) in (0..).zip(records) {
        builder.push(&NewRecord {
            offset,
            timestamp: now_ms,
            key: Some(key),
            value: Some(value),
            headers: &[],
        })?;
    }
    builder.build(Compression::None, &mut Workspace::new())
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(-1, |since| i64::try_from(since.as_millis()).unwrap_or(-1))
}

/// Without a producer id, as any plain producer.
const NOBODY: Stamp = Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
const TIMEOUT: Duration = Duration::from_secs(10);
const RECORDS_PER_BATCH: usize = 1_000;
