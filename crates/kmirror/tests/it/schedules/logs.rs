//! What a schedule writes to its source, and what must be found on its target.

use std::collections::{BTreeMap, HashMap};

use kmirror::PartitionLineage;
use kmirror_embedded::{Codec, EmbeddedCluster, Isolation, LogRecord, NewBatch, NewRecord};

use super::Random;

/// Several partitions, transactions alone, and keys that come again and again.
pub(super) const TOPICS: [&str; 3] = ["orders", "payments", COMPACTED];
const COMPACTED: &str = "accounts";
const PARTITIONS: [(&str, i32); 4] = [("orders", 0), ("orders", 1), ("payments", 0), (COMPACTED, 0)];

/// The logs of the source, as their writer knows them.
pub(super) struct Logs {
    written: u64,
    open: Vec<Transaction>,
    /// What was committed, by topic and partition, then offset.
    committed: HashMap<(String, i32), BTreeMap<i64, Content>>,
}

/// A transaction that has not ended.
struct Transaction {
    producer_id: i64,
    topic: &'static str,
    /// By partition, the next sequence and what was written.
    partitions: BTreeMap<i32, (i32, Vec<(i64, Content)>)>,
}

/// A record without its offset: key, value, headers, timestamp.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, i64);

impl Logs {
    /// With topics that are still empty.
    pub(super) fn create(source: &EmbeddedCluster) -> Logs {
        source.create_topic("orders", 2, &[]).unwrap();
        source.create_topic("payments", 1, &[]).unwrap();
        source.create_topic(COMPACTED, 1, &[("cleanup.policy", "compact")]).unwrap();
        Logs { written: 0, open: Vec::new(), committed: HashMap::new() }
    }

    pub(super) fn any_partition(&self, random: &mut Random) -> (&'static str, i32) {
        PARTITIONS[random.below(PARTITIONS.len() as u64) as usize]
    }

    /// Writes a batch, or a batch of a transaction, or ends one.
    pub(super) fn write(&mut self, source: &EmbeddedCluster, random: &mut Random) {
        let (topic, partition) = self.any_partition(random);
        let is_transactional = topic == "payments" || random.below(3) == 0;
        let (batch, contents) = self.batch(topic, random);
        if is_transactional {
            self.write_in_transaction(source, random, topic, partition, batch, contents);
            if random.below(3) > 0 {
                self.end_transaction(source, random);
            }
        } else {
            let base = source.append(topic, partition, &batch.bytes()).unwrap();
            self.commit(topic, partition, (base..).zip(contents));
        }
    }

    fn write_in_transaction(
        &mut self,
        source: &EmbeddedCluster,
        random: &mut Random,
        topic: &'static str,
        partition: i32,
        batch: NewBatch,
        contents: Vec<Content>,
    ) {
        let index = match self.open.iter().position(|open| open.topic == topic) {
            Some(index) if random.below(2) == 0 => index,
            _ => {
                let producer_id = source.allocate_producer_id();
                self.open.push(Transaction { producer_id, topic, partitions: BTreeMap::new() });
                self.open.len() - 1
            }
        };
        let transaction = &mut self.open[index];
        let (sequence, written) = transaction.partitions.entry(partition).or_default();
        let batch = batch.transactional(transaction.producer_id, 0, *sequence);
        *sequence += contents.len() as i32;
        let base = source.append(topic, partition, &batch.bytes()).unwrap();
        written.extend((base..).zip(contents));
    }

    /// Commits or aborts the oldest transaction, if there is one.
    fn end_transaction(&mut self, source: &EmbeddedCluster, random: &mut Random) {
        if self.open.is_empty() {
            return;
        }
        let ended = self.open.remove(0);
        let commit = random.below(4) > 0;
        for (partition, (_, written)) in ended.partitions {
            source.end_transaction(ended.topic, partition, ended.producer_id, 0, commit).unwrap();
            if commit {
                self.commit(ended.topic, partition, written);
            }
        }
    }

    pub(super) fn end_transactions(&mut self, source: &EmbeddedCluster, random: &mut Random) {
        while !self.open.is_empty() {
            self.end_transaction(source, random);
        }
    }

    fn commit(&mut self, topic: &str, partition: i32, records: impl IntoIterator<Item = (i64, Content)>) {
        self.committed.entry((topic.to_owned(), partition)).or_default().extend(records);
    }

    fn batch(&mut self, topic: &str, random: &mut Random) -> (NewBatch, Vec<Content>) {
        const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        let mut batch = NewBatch::new(CODECS[random.below(5) as usize]);
        let mut contents = Vec::new();
        for _ in 0..1 + random.below(6) {
            self.written += 1;
            let timestamp = 1_700_000_000_000 + self.written as i64;
            let key =
                format!("key {}", random.below(if topic == COMPACTED { 6 } else { 1_000 })).into_bytes();
            let value = (random.below(8) > 0).then(|| format!("value {}", self.written).into_bytes());
            let mut record = NewRecord::new(timestamp).key(key.clone());
            if let Some(value) = &value {
                record = record.value(value.clone());
            }
            let mut headers = Vec::new();
            if random.below(4) == 0 {
                let header = (b"header".to_vec(), (random.below(2) == 0).then(Vec::new));
                record = record.header(header.0.clone(), header.1.clone());
                headers.push(header);
            }
            batch.push(record);
            contents.push((Some(key), value, headers, timestamp));
        }
        (batch, contents)
    }

    /// Lets a cleaner go over the compacted topic, up to its newest records.
    pub(super) fn clean(&self, cluster: &EmbeddedCluster) {
        if let Ok(log) = cluster.log(COMPACTED, 0) {
            cluster.clean(COMPACTED, 0, log.end - 4).unwrap();
        }
    }

    /// Where the partitions of the source end, for a reader of what was committed.
    pub(super) fn ends(&self, source: &EmbeddedCluster) -> Vec<(&'static str, i32, i64)> {
        let end = |topic, partition| source.log(topic, partition).unwrap().last_stable_offset;
        PARTITIONS.iter().map(|(topic, partition)| (*topic, *partition, end(topic, *partition))).collect()
    }

    /// What lies where on both sides, for whoever has to find out why they differ.
    pub(super) fn layouts(&self, source: &EmbeddedCluster, target: &EmbeddedCluster) -> String {
        let mut text = String::new();
        for (topic, partition) in PARTITIONS {
            for (side, cluster) in [("source", source), ("target", target)] {
                let batches = cluster.log(topic, partition).map(|log| log.batches).unwrap_or_default();
                let batches: Vec<String> = batches.iter().map(|batch| layout(batch)).collect();
                text += &format!("{side} {topic}-{partition}: {}\n", batches.join(" "));
            }
        }
        text
    }

    /// Compares both sides' memory with what was written; whether offsets were displaced, which the lineage must say.
    pub(super) fn compare(
        &self,
        source: &EmbeddedCluster,
        target: &EmbeddedCluster,
        lineages: &[PartitionLineage],
    ) -> bool {
        let mut is_displaced = false;
        for (topic, partition) in PARTITIONS {
            let recorded = lineages
                .iter()
                .find(|lineage| lineage.source_topic == topic && lineage.partition == partition)
                .and_then(|lineage| lineage.lineage.as_ref());
            let is_exact = recorded.is_none_or(|lineage| lineage.is_exact());
            is_displaced |= !is_exact;
            let read = |cluster: &EmbeddedCluster, isolation| {
                let records = cluster.log(topic, partition).unwrap().records(isolation).unwrap();
                records.into_iter().map(|record| (record.offset, content(record))).collect::<Vec<_>>()
            };
            let on_source = read(source, Isolation::ReadCommitted);
            // What was aborted is not there at all.
            let on_target = read(target, Isolation::ReadUncommitted);
            let committed = self.committed.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default();
            if topic == COMPACTED {
                compare_cleaned(&committed, &on_source, &on_target, is_exact);
            } else {
                let committed: Vec<_> = committed.into_iter().collect();
                assert_eq!(on_source, committed, "the source's {topic}-{partition}");
                let places = |records: Vec<(i64, Content)>| -> Vec<_> {
                    records
                        .into_iter()
                        .map(|(offset, content)| (is_exact.then_some(offset), content))
                        .collect()
                };
                assert_eq!(places(on_target), places(on_source), "{topic}-{partition}");
            }
        }
        is_displaced
    }
}

/// The target may have records that the source's cleaner has removed since, and repeats of the record that follows; and its own cleaner
/// may have come further. For each key the last record is the same, and no record is there that was never written.
fn compare_cleaned(
    committed: &BTreeMap<i64, Content>,
    on_source: &[(i64, Content)],
    on_target: &[(i64, Content)],
    is_exact: bool,
) {
    let last = |records: &[(i64, Content)]| -> BTreeMap<_, _> {
        let place = |offset: i64| is_exact.then_some(offset);
        records
            .iter()
            .map(|(offset, content)| (content.0.clone(), (place(*offset), content.clone())))
            .collect()
    };
    let written: Vec<_> = committed.clone().into_iter().collect();
    assert_eq!(last(on_source), last(&written), "the cleaner of the source left the last record of each key");
    assert_eq!(last(on_target), last(on_source), "the last record of each key of {COMPACTED}");
    let places: HashMap<&Content, i64> =
        committed.iter().map(|(offset, content)| (content, *offset)).collect();
    let mut before = -1;
    for (offset, content) in on_target {
        let place =
            *places.get(content).unwrap_or_else(|| panic!("{offset} of {COMPACTED} was never written"));
        assert!(place >= before, "{offset} of {COMPACTED} is in another order");
        assert!(!is_exact || *offset <= place, "{offset} of {COMPACTED} is behind its place");
        before = place;
    }
}

/// Offsets of a batch, and its producer with the first sequence, or the coordinator epoch of a marker.
fn layout(batch: &[u8]) -> String {
    let number = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().unwrap());
    let long = |at: usize| i64::from_be_bytes(batch[at..at + 8].try_into().unwrap());
    let (first, last) = (long(0), long(0) + i64::from(number(23)));
    let producer = long(43) & 0xFFF;
    if batch[22] & 0x20 != 0 {
        // Its value is the last but the count of headers: a version and the coordinator epoch.
        return format!("[{first} marker {producer:x} epoch {}]", number(batch.len() - 5));
    }
    format!("[{first}..={last} {} of {producer:x} from {}]", number(57), number(53))
}

fn content(record: LogRecord) -> Content {
    let bytes = |bytes: Option<bytes::Bytes>| bytes.map(|bytes| bytes.to_vec());
    let headers = record.headers.into_iter().map(|(key, value)| (key.to_vec(), bytes(value)));
    (bytes(record.key), bytes(record.value), headers.collect(), record.timestamp)
}
