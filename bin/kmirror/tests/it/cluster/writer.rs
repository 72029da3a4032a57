//! Workloads into embedded clusters, as the Java producer writes them into real ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, UNIX_EPOCH};

use kmirror_embedded::{Codec, EmbeddedCluster, NewBatch, NewRecord};
use kmirror_testkit::{Workload, WorkloadContent, WorkloadRecord};

use super::Load;

/// Writes a workload to its end.
pub(crate) fn produce(cluster: &EmbeddedCluster, content: &WorkloadContent) {
    let mut writer = Writer::new(cluster, content);
    (content.first()..content.first() + content.records()).for_each(|index| writer.write(index));
    writer.finish();
}

/// Workloads that are written side by side, each at its pace.
pub(crate) struct EmbeddedLoad {
    is_stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl EmbeddedLoad {
    pub(crate) fn start(cluster: &Arc<EmbeddedCluster>, workloads: &[Workload]) -> EmbeddedLoad {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let start = |workload: &Workload| {
            let (cluster, content, is_stopping) =
                (Arc::clone(cluster), workload.content(), Arc::clone(&is_stopping));
            spawn(move || run(&cluster, &content, &is_stopping))
        };
        EmbeddedLoad { threads: workloads.iter().map(start).collect(), is_stopping }
    }
}

impl Load for EmbeddedLoad {
    fn stop(mut self: Box<Self>) -> u64 {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("the load was written")).sum()
    }
}

impl Drop for EmbeddedLoad {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }
}

/// What is due is written every few milliseconds; a compacted topic is cleaned now and then, up to what is new.
fn run(cluster: &EmbeddedCluster, content: &WorkloadContent, is_stopping: &AtomicBool) -> u64 {
    let mut writer = Writer::new(cluster, content);
    let is_compacted = content.topic_properties().contains(&("cleanup.policy", "compact"));
    let begun = Instant::now();
    let (mut index, mut cleaned) = (content.first(), begun);
    let end = content.first() + content.records();
    while index < end && !is_stopping.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() as u64 * content.records_per_second() / 1_000;
        while index < end.min(content.first() + due) {
            writer.write(index);
            index += 1;
        }
        writer.flush();
        if is_compacted && cleaned.elapsed() > CLEANER_PAUSE {
            cleaned = Instant::now();
            (0..content.partitions() as i32).for_each(|partition| {
                let end = cluster.log(content.topic(), partition).unwrap().end;
                cluster.clean(content.topic(), partition, end - DIRTY_RECORDS).unwrap();
            });
        }
        sleep(Duration::from_millis(10));
    }
    writer.finish();
    writer.bytes
}

/// One producer.
struct Writer<'a> {
    cluster: &'a EmbeddedCluster,
    content: &'a WorkloadContent,
    producer_id: i64,
    /// By partition, the records that wait for others.
    waiting: BTreeMap<i32, Vec<NewRecord>>,
    sequences: BTreeMap<i32, i32>,
    /// The partitions of the transaction, and how many records it has.
    transaction: (Vec<i32>, u64),
    transactions: u64,
    bytes: u64,
}

impl Writer<'_> {
    fn new<'a>(cluster: &'a EmbeddedCluster, content: &'a WorkloadContent) -> Writer<'a> {
        let partitions = content.partitions() as usize;
        if cluster.partitions(content.topic()) == 0 {
            cluster.create_topic(content.topic(), partitions, &content.topic_properties()).unwrap();
        }
        Writer {
            cluster,
            content,
            producer_id: cluster.allocate_producer_id(),
            waiting: BTreeMap::new(),
            sequences: BTreeMap::new(),
            transaction: (Vec::new(), 0),
            transactions: 0,
            bytes: 0,
        }
    }

    fn write(&mut self, index: u64) {
        let record = self.content.record(index);
        let partition = record.partition;
        let record = new_record(record, self.content.age());
        let waiting = self.waiting.entry(partition).or_default();
        let bytes: usize = waiting.iter().map(NewRecord::bytes).sum();
        if !waiting.is_empty() && bytes + record.bytes() > self.content.batch_bytes() as usize {
            self.flush_partition(partition);
        }
        self.waiting.entry(partition).or_default().push(record);
        let (records, _) = self.content.transactions();
        if records > 0 {
            let (partitions, written) = &mut self.transaction;
            if !partitions.contains(&partition) {
                partitions.push(partition);
            }
            *written += 1;
            if *written == records {
                self.end_transaction();
            }
        }
    }

    /// What is left, and the end of a transaction that is not full.
    fn finish(&mut self) {
        if self.transaction.1 > 0 {
            self.end_transaction();
        }
        self.flush();
    }

    fn flush(&mut self) {
        let partitions: Vec<i32> = self.waiting.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.flush_partition(partition));
    }

    fn end_transaction(&mut self) {
        self.flush();
        let (partitions, _) = std::mem::take(&mut self.transaction);
        let (_, abort_every) = self.content.transactions();
        self.transactions += 1;
        let commit = abort_every == 0 || !self.transactions.is_multiple_of(abort_every);
        for partition in partitions {
            let topic = self.content.topic();
            self.cluster.end_transaction(topic, partition, self.producer_id, 0, commit).unwrap();
        }
    }

    fn flush_partition(&mut self, partition: i32) {
        let records = self.waiting.remove(&partition).unwrap_or_default();
        if records.is_empty() {
            return;
        }
        let sequence = self.sequences.entry(partition).or_default();
        let mut batch = NewBatch::new(codec(self.content.codec()));
        let count = records.len() as i32;
        records.into_iter().for_each(|record| batch.push(record));
        let batch = if self.content.transactions().0 > 0 {
            batch.transactional(self.producer_id, 0, *sequence)
        } else {
            batch.producer(self.producer_id, 0, *sequence)
        };
        *sequence += count;
        let bytes = batch.bytes();
        self.bytes += bytes.len() as u64;
        self.cluster.append(self.content.topic(), partition, &bytes).unwrap();
    }
}

fn new_record(record: WorkloadRecord, age: Duration) -> NewRecord {
    let written = || (UNIX_EPOCH.elapsed().unwrap() - age).as_millis() as i64;
    let mut new = NewRecord::new(record.timestamp.unwrap_or_else(written));
    if let Some(key) = record.key {
        new = new.key(key);
    }
    if let Some(value) = record.value {
        new = new.value(value);
    }
    record.headers.into_iter().fold(new, |new, (key, value)| new.header(key, value))
}

fn codec(name: &str) -> Codec {
    match name {
        "none" => Codec::None,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => panic!("there is no codec {name:?}"),
    }
}

/// Often enough to meet a mirror in the middle of its work.
const CLEANER_PAUSE: Duration = Duration::from_millis(500);
/// The newest segment is never cleaned.
const DIRTY_RECORDS: i64 = 100;
