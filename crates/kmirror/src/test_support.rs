//! For the unit tests: batches in a few words, and seeded random numbers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kmirror_client::{ClusterMetadata, PartitionMetadata, TopicId, TopicMetadata};
use kmirror_codec::{
    Attributes, Batch, BatchBuilder, Compression, Limits, NewRecord, Records, Stamp, Workspace, decompress,
};

/// A cluster with these topics, each with so many partitions.
pub(crate) fn cluster(topics: &[(&str, i32)]) -> ClusterMetadata {
    let partition = |partition| PartitionMetadata {
        partition,
        leader: None,
        leader_epoch: None,
        leader_epoch_or_later: None,
        replicas: Vec::new(),
        in_sync: Vec::new(),
        error: None,
    };
    let topic = |partitions| TopicMetadata {
        id: TopicId::NONE,
        error: None,
        is_internal: false,
        partitions: (0..partitions).map(partition).collect(),
    };
    let topics = topics.iter().map(|(name, partitions)| (Arc::from(*name), topic(*partitions)));
    ClusterMetadata { topics: topics.collect(), ..ClusterMetadata::default() }
}

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl TestRecord {
    /// A record whose timestamp follows from its offset.
    pub(crate) fn new(offset: i64, key: &str, value: &str) -> TestRecord {
        TestRecord {
            offset,
            timestamp: 1_000 + offset,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }

    /// A record whose key and value follow from its offset.
    pub(crate) fn plain(offset: i64) -> TestRecord {
        TestRecord::new(offset, &format!("key-{offset}"), &format!("value-{offset}"))
    }

    pub(crate) fn tombstone(offset: i64, key: &str) -> TestRecord {
        TestRecord { value: None, ..TestRecord::new(offset, key, "") }
    }

    pub(crate) fn without_key(self) -> TestRecord {
        TestRecord { key: None, ..self }
    }

    pub(crate) fn at(self, timestamp: i64) -> TestRecord {
        TestRecord { timestamp, ..self }
    }

    pub(crate) fn header(mut self, key: &str, value: Option<&str>) -> TestRecord {
        self.headers.push((key.into(), value.map(Into::into)));
        self
    }

    /// Whether both are the same but for their offsets.
    pub(crate) fn repeats(&self, other: &TestRecord) -> bool {
        TestRecord { offset: other.offset, ..self.clone() } == *other
    }
}

/// How a batch is built.
#[derive(Clone, Debug)]
pub(crate) struct TestBatch {
    first: i64,
    end: i64,
    records: Vec<TestRecord>,
    codec: Compression,
    attributes: Attributes,
    append_time: Option<i64>,
    producer: Stamp,
    epoch: i32,
}

impl TestBatch {
    /// A batch of these records, from the first one to the last one.
    pub(crate) fn of(records: impl IntoIterator<Item = TestRecord>) -> TestBatch {
        let records: Vec<_> = records.into_iter().collect();
        TestBatch {
            first: records.first().map_or(0, |record| record.offset),
            end: records.last().map_or(1, |record| record.offset + 1),
            records,
            codec: Compression::None,
            attributes: Attributes::default(),
            append_time: None,
            producer: Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 },
            epoch: 0,
        }
    }

    /// A dense batch of plain records.
    pub(crate) fn dense(first: i64, end: i64) -> TestBatch {
        TestBatch::of((first..end).map(TestRecord::plain))
    }

    /// A batch that the cleaner has emptied.
    pub(crate) fn empty(first: i64, end: i64) -> TestBatch {
        TestBatch::of([]).covering(first, end)
    }

    /// A transaction marker.
    pub(crate) fn marker(offset: i64, producer_id: i64, commit: bool, coordinator_epoch: i32) -> TestBatch {
        let mut value = vec![0, 0];
        value.extend_from_slice(&coordinator_epoch.to_be_bytes());
        let key = Some(vec![0, 0, 0, u8::from(commit)]);
        let record = TestRecord { key, value: Some(value), ..TestRecord::plain(offset) };
        let mut marker = TestBatch::of([record]).transaction_of(producer_id);
        marker.attributes = marker.attributes.with_control(true);
        marker
    }

    /// The offsets that the batch covers, whatever records are left: `[first, end)`.
    pub(crate) fn covering(self, first: i64, end: i64) -> TestBatch {
        TestBatch { first, end, ..self }
    }

    pub(crate) fn codec(self, codec: Compression) -> TestBatch {
        TestBatch { codec, ..self }
    }

    pub(crate) fn appended_at(self, append_time: i64) -> TestBatch {
        TestBatch { append_time: Some(append_time), ..self }
    }

    pub(crate) fn epoch(self, epoch: i32) -> TestBatch {
        TestBatch { epoch, ..self }
    }

    pub(crate) fn producer(self, producer_id: i64, base_sequence: i32) -> TestBatch {
        TestBatch { producer: Stamp { producer_id, producer_epoch: 0, base_sequence }, ..self }
    }

    pub(crate) fn transaction_of(mut self, producer_id: i64) -> TestBatch {
        self.attributes = self.attributes.with_transactional(true);
        self.producer(producer_id, 0)
    }

    pub(crate) fn build(&self) -> Batch {
        let mut builder = BatchBuilder::new(self.first);
        builder.attributes(self.attributes).producer(self.producer).partition_leader_epoch(self.epoch);
        builder.append_time(self.append_time);
        for record in &self.records {
            let headers: Vec<_> =
                record.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
            let record = NewRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            builder.push(&record).expect("offsets rise");
        }
        builder.last_offset(self.end - 1);
        builder.build(self.codec, &mut Workspace::new()).expect("a valid batch")
    }
}

/// The batches one after the other, as a Fetch response carries them.
pub(crate) fn joined(batches: &[Batch]) -> Bytes {
    let mut bytes = BytesMut::new();
    batches.iter().for_each(|batch| bytes.extend_from_slice(batch.bytes()));
    bytes.freeze()
}

/// The batch with one byte of its records changed.
pub(crate) fn damaged(batch: &Batch) -> Batch {
    let mut bytes = batch.bytes().to_vec();
    *bytes.last_mut().expect("not empty") ^= 0x40;
    Batch::parse(Bytes::from(bytes)).expect("the header is whole")
}

/// The records of a batch as its readers see them.
pub(crate) fn records_of(batch: &Batch) -> Vec<TestRecord> {
    batch.verify_crc().expect("the checksum fits");
    let mut workspace = Workspace::new();
    let payload = decompress(batch, &Limits::default(), &mut workspace).expect("decompresses");
    Records::new(batch.header(), payload)
        .map(|record| {
            let record = record.expect("a valid record");
            let headers = record.headers().map(|header| {
                let (key, value) = header.expect("a valid header");
                (key.into(), value.map(Into::into))
            });
            TestRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(Into::into),
                value: record.value.map(Into::into),
                headers: headers.collect(),
            }
        })
        .collect()
}

/// A message of format 1 without key.
pub(crate) fn legacy_message(offset: i64, timestamp: i64, value: &[u8]) -> Bytes {
    let mut body = vec![1, 0];
    body.extend_from_slice(&timestamp.to_be_bytes());
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&(value.len() as i32).to_be_bytes());
    body.extend_from_slice(value);
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    bytes.extend_from_slice(&crc32(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    Bytes::from(bytes)
}

/// The CRC-32 of formats 0 and 1, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
    })
}

/// xorshift64*: seeded, so that what failed can be played again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// All codecs.
pub(crate) const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
