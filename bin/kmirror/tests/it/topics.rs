//! The topics that a copy must get right, and what a consumer must see of them.

use kmirror_testkit::{Isolation, PrintedRecord, Workload, compare_records, unique_topic};

use crate::stage::AnyCluster;

/// Topics of every kind on one cluster.
pub(crate) struct Topics {
    names: Vec<String>,
    compacted: Vec<String>,
}

impl Topics {
    /// Writes them: several partitions without compression, every codec, transactions with one abort in ten, large records,
    /// append times, and a topic that the cleaner has been through.
    pub(crate) fn write(kafka: &AnyCluster) -> Topics {
        let mut names = Vec::new();
        let mut topic = |name: &str| {
            let topic = unique_topic(name);
            names.push(topic.clone());
            Workload::new(&topic)
        };
        let mut workloads = vec![
            topic("plain").partitions(3).records(3_000).keys(100).headers().tombstone_every(20),
            topic("transactional").records(1_000).transactions(10).abort_every(10),
            topic("large")
                .records(12)
                .value_bytes(900_000, 900_000)
                .producer_property("max.request.size", "2000000"),
            topic("append-time")
                .topic_property("message.timestamp.type", "LogAppendTime")
                .records(500)
                .headers(),
        ];
        for codec in ["gzip", "snappy", "lz4", "zstd"] {
            workloads.push(topic(codec).codec(codec).records(2_000).json().keys(50).headers());
        }
        kafka.produce(&workloads);
        let mut compacted = Vec::new();
        for codec in ["none", "zstd"] {
            let name = unique_topic(&format!("compacted-{codec}"));
            kafka.write_compacted(&name, codec);
            compacted.push(name);
        }
        Topics { names, compacted }
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        self.names.iter().chain(&self.compacted).map(String::as_str).collect()
    }

    /// Those that no cleaner touches.
    pub(crate) fn kept(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Compares what a consumer sees on both sides.
    pub(crate) fn compare(&self, source: &AnyCluster, target: &AnyCluster) {
        let names = self.kept();
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            // What was aborted is not on the target at all: both isolation levels see there what was committed.
            let expected = source.records_of(&names, Isolation::ReadCommitted).unwrap();
            let found = target.records_of(&names, isolation).unwrap();
            compare_records(&as_create_time(expected), &found).unwrap();
        }
        for topic in &self.compacted {
            let expected = source.records(topic, Isolation::ReadCommitted);
            let found = target.records(topic, Isolation::ReadCommitted);
            compare_records(&expected, &without_repeats(&found)).unwrap();
        }
    }
}

/// No client can write an append time: the target shows it as a create time of the same value.
fn as_create_time(mut records: Vec<PrintedRecord>) -> Vec<PrintedRecord> {
    for record in &mut records {
        record.timestamp_type = "CreateTime".to_owned();
    }
    records
}

/// Takes away the repeats in cleaned holes: each is the record that follows it, at a lower offset.
fn without_repeats(records: &[PrintedRecord]) -> Vec<PrintedRecord> {
    let is_repeat = |record: &PrintedRecord, next: &PrintedRecord| {
        let moved = PrintedRecord { offset: next.offset, ..record.clone() };
        moved == *next
    };
    let kept = records
        .iter()
        .enumerate()
        .filter(|(index, record)| records.get(index + 1).is_none_or(|next| !is_repeat(record, next)));
    kept.map(|(_, record)| record.clone()).collect()
}
