//! Writing into a cluster without a client: for demos, and for tests that need a log and not a producer.

use std::time::{SystemTime, UNIX_EPOCH};

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
        self.append(topic, partition, &build(codec, records, None))
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
        let offset = self.append(topic, partition, &build(codec, records, Some(producer_id)))?;
        self.end_transaction(topic, partition, producer_id, 0, commit)?;
        Ok(offset)
    }
}

fn build(codec: Codec, records: &[KeyValue<'_>], transaction_of: Option<i64>) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let encoded: Vec<_> = (0_i32..)
        .zip(records)
        .map(|(offset_delta, (key, value))| batch::Record {
            offset_delta,
            timestamp_delta: 0,
            key: key.map(Bytes::copy_from_slice),
            value: value.map(Bytes::copy_from_slice),
            headers: Bytes::from_static(&[0]),
        })
        .collect();
    let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let attributes = codec.attribute() | if transaction_of.is_some() { TRANSACTIONAL } else { 0 };
    let header = Header {
        base_offset: 0,
        length: 0,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes,
        last_offset_delta: count - 1,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: transaction_of.unwrap_or(-1),
        producer_epoch: if transaction_of.is_some() { 0 } else { -1 },
        base_sequence: if transaction_of.is_some() { 0 } else { -1 },
        records_count: count,
    };
    let payload = compression::compress(codec.attribute(), &batch::encode(&encoded)).unwrap_or_default();
    header.with_payload(&payload)
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
