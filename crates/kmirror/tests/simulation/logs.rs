//! What a schedule writes to its source, and who knows it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kmirror_embedded::{Codec, EmbeddedCluster, LogRecord, NewBatch, NewRecord};
use tokio::time::Instant;

use crate::random::Random;

/// Several partitions, transactions alone, and keys that come again and again.
pub(crate) const TOPICS: [&str; 3] = ["orders", "payments", "accounts"];
pub(crate) const PARTITIONS: [(&str, i32); 4] =
    [("orders", 0), ("orders", 1), ("payments", 0), ("accounts", 0)];
/// A topic of the source, with a namesake on the target that is somebody else's.
pub(crate) const THEIRS: &str = "theirs";
/// The one that is written in transactions alone.
pub(crate) const TRANSACTIONAL: usize = 2;
/// The one that is compacted.
pub(crate) const COMPACTED: usize = 3;

/// The logs of the source, as their writer knows them.
pub(crate) struct Logs {
    began: Instant,
    /// Of the first record, in milliseconds since 1970.
    first_timestamp: i64,
    written: u64,
    open: Vec<Transaction>,
    /// Transactions that ended, and where their markers are.
    ended: Vec<(usize, i64, i64, bool)>,
    partitions: [Written; PARTITIONS.len()],
}

/// What was written to a partition.
#[derive(Default)]
pub(crate) struct Written {
    /// Where everything was written, whatever became of it.
    pub(crate) places: HashMap<Content, i64>,
    pub(crate) committed: BTreeMap<i64, Content>,
}

/// A transaction that has not ended.
struct Transaction {
    producer_id: i64,
    topic: &'static str,
    /// By partition, the next sequence and what was written.
    partitions: BTreeMap<usize, (i32, Vec<(i64, Content)>)>,
}

/// A record without its offset. No two are the same, for no two have the same timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) timestamp: i64,
}

impl Logs {
    /// Both clusters have a topic of the same name, and one has nothing to do with the other.
    pub(crate) fn create_theirs(source: &EmbeddedCluster, target: &EmbeddedCluster) {
        source.create_topic(THEIRS, 2, &[("retention.ms", "3600000")]).unwrap();
        target.create_topic(THEIRS, 1, &[("retention.ms", "-1")]).unwrap();
        source.write(THEIRS, 0, Codec::None, &[(Some(b"ours"), Some(b"value"))]).unwrap();
        target.write(THEIRS, 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
    }

    /// With topics that are still empty. Records are so old when they are written.
    pub(crate) fn create(source: &EmbeddedCluster, age: Duration) -> Logs {
        source.create_topic("orders", 2, &[]).unwrap();
        source.create_topic("payments", 1, &[]).unwrap();
        source.create_topic("accounts", 1, &[("cleanup.policy", "compact")]).unwrap();
        let age_ms = i64::try_from(age.as_millis()).unwrap();
        let mut logs = Logs {
            began: Instant::now(),
            first_timestamp: SIMULATED_START_MS - age_ms,
            written: 0,
            open: Vec::new(),
            ended: Vec::new(),
            partitions: Default::default(),
        };
        logs.write_lone_record(source);
        logs
    }

    /// A first record that no cleaner removes. If all that was copied could be cleaned away before the first leader epoch is
    /// recorded, nothing would tell any more that the source is the same, and the partition would rightly be parked.
    fn write_lone_record(&mut self, source: &EmbeddedCluster) {
        let (key, timestamp) = (b"lone".to_vec(), self.timestamp());
        let mut batch = NewBatch::new(Codec::None);
        batch.push(NewRecord::new(timestamp).key(key.clone()).value("first"));
        let content =
            Content { key: Some(key), value: Some(b"first".to_vec()), headers: Vec::new(), timestamp };
        let written = self.append(source, COMPACTED, &batch, vec![content]);
        self.partitions[COMPACTED].committed.extend(written);
    }

    pub(crate) fn written(&self, partition: usize) -> &Written {
        &self.partitions[partition]
    }

    /// Writes a batch, or a batch of a transaction, and may end one.
    pub(crate) fn write(&mut self, source: &EmbeddedCluster, partition: usize, random: &mut Random) {
        let (batch, contents) = self.batch(partition, random);
        if partition == TRANSACTIONAL || random.one_in(3) {
            self.write_in_transaction(source, random, partition, batch, contents);
            if !random.one_in(3) {
                self.end_transaction(source, random);
            }
        } else {
            let written = self.append(source, partition, &batch, contents);
            self.partitions[partition].committed.extend(written);
        }
    }

    /// Appends a batch; where each record is.
    fn append(
        &mut self,
        source: &EmbeddedCluster,
        partition: usize,
        batch: &NewBatch,
        contents: Vec<Content>,
    ) -> Vec<(i64, Content)> {
        let (topic, number) = PARTITIONS[partition];
        let base = source.append(topic, number, &batch.bytes()).unwrap();
        let written: Vec<_> = (base..).zip(contents).collect();
        let places = written.iter().map(|(offset, content)| (content.clone(), *offset));
        self.partitions[partition].places.extend(places);
        written
    }

    fn write_in_transaction(
        &mut self,
        source: &EmbeddedCluster,
        random: &mut Random,
        partition: usize,
        batch: NewBatch,
        contents: Vec<Content>,
    ) {
        let topic = PARTITIONS[partition].0;
        let index = match self.open.iter().position(|open| open.topic == topic) {
            Some(index) if random.one_in(2) => index,
            _ => {
                let producer_id = source.allocate_producer_id();
                self.open.push(Transaction { producer_id, topic, partitions: BTreeMap::new() });
                self.open.len() - 1
            }
        };
        let transaction = &mut self.open[index];
        let (sequence, _) = transaction.partitions.entry(partition).or_default();
        let batch = batch.transactional(transaction.producer_id, 0, *sequence);
        *sequence += contents.len() as i32;
        let written = self.append(source, partition, &batch, contents);
        self.open[index].partitions.entry(partition).or_default().1.extend(written);
    }

    /// Commits or aborts the oldest transaction, if there is one.
    fn end_transaction(&mut self, source: &EmbeddedCluster, random: &mut Random) {
        if self.open.is_empty() {
            return;
        }
        let ended = self.open.remove(0);
        let commit = !random.one_in(4);
        for (partition, (_, written)) in ended.partitions {
            let (topic, number) = PARTITIONS[partition];
            let marker = source.end_transaction(topic, number, ended.producer_id, 0, commit).unwrap();
            self.ended.push((partition, marker, ended.producer_id, commit));
            if commit {
                self.partitions[partition].committed.extend(written);
            }
        }
    }

    pub(crate) fn end_transactions(&mut self, source: &EmbeddedCluster, random: &mut Random) {
        while !self.open.is_empty() {
            self.end_transaction(source, random);
        }
    }

    /// The source has lost what was not replicated, from this offset on. Nobody was told that it was there; and a coordinator
    /// writes markers again until they are.
    pub(crate) fn forget_tail(&mut self, source: &EmbeddedCluster, partition: usize, end: i64) {
        let lost = self.partitions[partition].committed.split_off(&end);
        let mut is_gone: Vec<Content> = lost.into_values().collect();
        for transaction in &mut self.open {
            if let Some((sequence, written)) = transaction.partitions.get_mut(&partition) {
                is_gone.extend(
                    written.iter().filter(|(offset, _)| *offset >= end).map(|(_, content)| content.clone()),
                );
                written.retain(|(offset, _)| *offset < end);
                *sequence = written.len() as i32;
            }
        }
        self.partitions[partition].places.retain(|content, _| !is_gone.contains(content));
        let (topic, number) = PARTITIONS[partition];
        for (of, marker, producer_id, commit) in &mut self.ended {
            if *of == partition && *marker >= end {
                *marker = source.end_transaction(topic, number, *producer_id, 0, *commit).unwrap();
            }
        }
    }

    fn batch(&mut self, partition: usize, random: &mut Random) -> (NewBatch, Vec<Content>) {
        const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        let mut batch = NewBatch::new(random.pick(&CODECS));
        let mut contents = Vec::new();
        for _ in 0..1 + random.below(6) {
            let timestamp = self.timestamp();
            let keys = if partition == COMPACTED { 6 } else { 1_000 };
            let key = format!("key {}", random.below(keys)).into_bytes();
            let value = (!random.one_in(8)).then(|| format!("value {}", self.written).into_bytes());
            let mut headers = Vec::new();
            if random.one_in(4) {
                headers.push((b"header".to_vec(), random.one_in(2).then(Vec::new)));
            }
            let content = Content { key: Some(key), value, headers, timestamp };
            batch.push(content.record());
            contents.push(content);
        }
        (batch, contents)
    }

    fn timestamp(&mut self) -> i64 {
        self.written += 1;
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        // No two records have the same.
        self.first_timestamp + passed + self.written as i64
    }

    /// Where the partitions of the source end, for a reader of what was committed.
    pub(crate) fn ends(source: &EmbeddedCluster) -> [i64; PARTITIONS.len()] {
        PARTITIONS.map(|(topic, partition)| source.log(topic, partition).unwrap().last_stable_offset)
    }
}

impl Content {
    pub(crate) fn record(&self) -> NewRecord {
        let mut record = NewRecord::new(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key.clone());
        }
        if let Some(value) = &self.value {
            record = record.value(value.clone());
        }
        self.headers.iter().fold(record, |record, (key, value)| record.header(key.clone(), value.clone()))
    }
}

impl From<LogRecord> for Content {
    fn from(record: LogRecord) -> Content {
        let bytes = |bytes: Option<bytes::Bytes>| bytes.map(|bytes| bytes.to_vec());
        let headers = record.headers.into_iter().map(|(key, value)| (key.to_vec(), bytes(value)));
        Content {
            key: bytes(record.key),
            value: bytes(record.value),
            headers: headers.collect(),
            timestamp: record.timestamp,
        }
    }
}

/// Where simulated clusters' time begins.
const SIMULATED_START_MS: i64 = 1_800_000_000_000;
