//! Writing into a cluster without a client: for demos, and for tests that need a log and not a producer.

use bytes::Bytes;

use crate::cluster::{EmbeddedCluster, EmbeddedError};
use crate::log::batch::{self, Header};
use crate::log::compression;

/// Key and value of a record to be written.
pub type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// How a batch is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy in Java's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl EmbeddedCluster {
    /// Appends the records as one batch, with the present time; the offset of the first.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`], and what a broker would refuse, an empty batch among it.
    pub fn write(
        &self,
        topic: &str,
        partition: i32,
        codec: Codec,
        records: &[KeyValue<'_>],
    ) -> Result<i64, EmbeddedError> {
        self.append(topic, partition, &self.batch_of_now(codec, records).bytes())
    }

    /// Appends the records as a transaction of their own, under a producer id of their own, and ends it; the offset of the first.
    ///
    /// # Errors
    /// Those of [`EmbeddedCluster::write`].
    pub fn write_transaction(
        &self,
        topic: &str,
        partition: i32,
        codec: Codec,
        records: &[KeyValue<'_>],
        commit: bool,
    ) -> Result<i64, EmbeddedError> {
        let producer_id = self.allocate_producer_id();
        let batch = self.batch_of_now(codec, records).transactional(producer_id, 0, 0);
        let offset = self.append(topic, partition, &batch.bytes())?;
        self.end_transaction(topic, partition, producer_id, 0, commit)?;
        Ok(offset)
    }

    /// The records as a batch of the present time.
    fn batch_of_now(&self, codec: Codec, records: &[KeyValue<'_>]) -> NewBatch {
        let now = self.shared.lock().machine.time();
        let timestamp = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let mut batch = NewBatch::new(codec);
        for (key, value) in records {
            let part = |part: &Option<&[u8]>| part.map(Bytes::copy_from_slice);
            let (key, value) = (part(key), part(value));
            batch.push(NewRecord { timestamp, key, value, headers: Vec::new() });
        }
        batch
    }
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A batch to be appended: records in their order, with the offsets that the log gives them.
#[derive(Clone, Debug)]
pub struct NewBatch {
    codec: Codec,
    records: Vec<NewRecord>,
    /// Id, epoch and first sequence.
    producer: (i64, i16, i32),
    attributes: i16,
}

impl NewRecord {
    /// A record of this time, in milliseconds since 1970, whose key and value are null.
    pub fn new(timestamp: i64) -> NewRecord {
        NewRecord { timestamp, key: None, value: None, headers: Vec::new() }
    }

    /// Gives it a key.
    pub fn key(mut self, key: impl Into<Bytes>) -> NewRecord {
        self.key = Some(key.into());
        self
    }

    /// Gives it a value.
    pub fn value(mut self, value: impl Into<Bytes>) -> NewRecord {
        self.value = Some(value.into());
        self
    }

    /// Adds a header; its value may be null.
    pub fn header(mut self, key: impl Into<Bytes>, value: Option<impl Into<Bytes>>) -> NewRecord {
        self.headers.push((key.into(), value.map(Into::into)));
        self
    }

    /// About as many bytes as it takes in a batch without compression.
    pub fn bytes(&self) -> usize {
        let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(key, value)| 2 + key.len() + length(value)).sum();
        RECORD_BYTES + length(&self.key) + length(&self.value) + headers
    }
}

impl NewBatch {
    /// A batch without records, which no broker takes.
    pub fn new(codec: Codec) -> NewBatch {
        NewBatch { codec, records: Vec::new(), producer: (-1, -1, -1), attributes: codec.attribute() }
    }

    /// Adds a record to its end.
    pub fn push(&mut self, record: NewRecord) {
        self.records.push(record);
    }

    /// Makes it one of an idempotent producer.
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> NewBatch {
        self.producer = (producer_id, producer_epoch, base_sequence);
        self
    }

    /// Makes it a part of a producer's transaction.
    pub fn transactional(self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> NewBatch {
        let mut batch = self.producer(producer_id, producer_epoch, base_sequence);
        batch.attributes |= TRANSACTIONAL;
        batch
    }

    /// As a producer sends it.
    pub fn bytes(&self) -> Bytes {
        let base_timestamp = self.records.first().map_or(-1, |record| record.timestamp);
        let records: Vec<_> = (0_i32..)
            .zip(&self.records)
            .map(|(offset_delta, record)| batch::Record {
                offset_delta,
                timestamp_delta: record.timestamp - base_timestamp,
                key: record.key.clone(),
                value: record.value.clone(),
                headers: batch::encode_headers(&record.headers),
            })
            .collect();
        let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let header = Header {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: count - 1,
            base_timestamp,
            max_timestamp: self.records.iter().map(|record| record.timestamp).max().unwrap_or(-1),
            producer_id,
            producer_epoch,
            base_sequence,
            records_count: count,
        };
        let payload = compression::compress(self.codec.attribute(), &batch::encode(&records));
        header.with_payload(&payload.unwrap_or_default())
    }
}

impl Codec {
    fn attribute(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }
}

const TRANSACTIONAL: i16 = 0x10;
/// Lengths, deltas and the count of headers of a record.
const RECORD_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_judged_as_if_a_client_had_sent_it() {
        let cluster = EmbeddedCluster::builder().start().await.expect("started");
        cluster.create_topic("plain", 1, &[]).expect("created");
        cluster.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).expect("created");
        let record: KeyValue<'_> = (None, Some(b"value"));
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let before = cluster.log("plain", 0).expect("there").end;
            assert_eq!(cluster.write("plain", 0, codec, &[record; 3]), Ok(before));
        }
        assert_eq!(cluster.write_transaction("plain", 0, Codec::Lz4, &[record; 2], false), Ok(15));
        let log = cluster.log("plain", 0).expect("there");
        assert_eq!((log.end, log.last_stable_offset, log.batches.len()), (18, 18, 7));
        assert!(cluster.write("compacted", 0, Codec::None, &[record]).is_err(), "no key");
        assert!(cluster.write("plain", 0, Codec::None, &[]).is_err(), "no record");
        assert!(matches!(
            cluster.write("plain", 1, Codec::None, &[record]),
            Err(EmbeddedError::NoPartition { .. })
        ));
    }
}
