use std::fmt::Write as _;
use std::time::Duration;

use crate::{TestkitError, WorkloadContent};

/// Records that the Java producer shall write to one topic; `testdata/java/Workload.java` writes them.
///
/// Two runs with the same options write the same records: keys, sizes, values and headers follow from the seed and the
/// index of the record alone. Timestamps do if [`Workload::timestamps`] says so.
#[derive(Clone, Debug)]
pub struct Workload {
    options: Vec<(String, String)>,
}

/// What came of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The topic.
    pub topic: String,
    /// Records sent and acknowledged, aborted ones too.
    pub records: u64,
    /// Bytes of their batches as they went over the wire, compressed.
    pub bytes: u64,
    /// Bytes of a batch on the wire, the mean of the producer's last minute.
    pub batch_bytes_mean: u64,
}

impl Workload {
    /// A topic of one partition, created if it does not exist, and no records yet.
    pub fn new(topic: &str) -> Workload {
        Workload { options: Vec::new() }.set("topic", topic)
    }

    /// The number of the topic's partitions, 1 if not set; records go to each in turn.
    #[must_use]
    pub fn partitions(self, partitions: u32) -> Workload {
        self.set("partitions", partitions)
    }

    /// Configuration of the topic, if it is created.
    #[must_use]
    pub fn topic_property(self, name: &str, value: &str) -> Workload {
        self.set(&format!("topic.{name}"), value)
    }

    /// Configuration of the producer, over everything else.
    #[must_use]
    pub fn producer_property(self, name: &str, value: &str) -> Workload {
        self.set(&format!("producer.{name}"), value)
    }

    /// The number of records.
    #[must_use]
    pub fn records(self, records: u64) -> Workload {
        self.set("records", records)
    }

    /// The index of the first record, 0 if not set: a later workload may go on where an earlier one ended.
    #[must_use]
    pub fn first(self, first: u64) -> Workload {
        self.set("first", first)
    }

    /// Other records for another seed.
    #[must_use]
    pub fn seed(self, seed: u32) -> Workload {
        self.set("seed", seed)
    }

    /// `none` (if not set), `gzip`, `snappy`, `lz4` or `zstd`.
    #[must_use]
    pub fn codec(self, codec: &str) -> Workload {
        self.set("codec", codec)
    }

    /// Bytes of each value, both inclusive; 100 if not set.
    #[must_use]
    pub fn value_bytes(self, min: u32, max: u32) -> Workload {
        self.set("value_bytes_min", min).set("value_bytes_max", max)
    }

    /// Values like lines of a service's log, which compress to about a half. Otherwise they are random bytes.
    #[must_use]
    pub fn json(self) -> Workload {
        self.set("values", "json")
    }

    /// The number of different keys. If not set, keys are null.
    #[must_use]
    pub fn keys(self, keys: u32) -> Workload {
        self.set("keys", keys)
    }

    /// Chooses keys unevenly: the higher, the more often the first ones. 1, evenly, if not set.
    #[must_use]
    pub fn key_skew(self, skew: u32) -> Workload {
        self.set("key_skew", skew)
    }

    /// About one record of n, by chance, has a key of its own, and so survives compaction where it stands. The others share
    /// the keys and have empty values.
    #[must_use]
    pub fn lone_key_every(self, n: u32) -> Workload {
        self.set("lone_key_every", n)
    }

    /// Every n-th key is null.
    #[must_use]
    pub fn null_key_every(self, n: u32) -> Workload {
        self.set("null_key_every", n)
    }

    /// Every n-th value is null.
    #[must_use]
    pub fn tombstone_every(self, n: u32) -> Workload {
        self.set("tombstone_every", n)
    }

    /// Headers on three records of four: repeated, empty and not-ASCII keys; null, empty and not-UTF-8 values.
    #[must_use]
    pub fn headers(self) -> Workload {
        self.set("headers", 1)
    }

    /// The timestamp of the record with index 0 and the step to the next, in milliseconds. If not set, the clock's.
    /// A cluster that was not started by the testkit may find old ones expired (`log.retention.ms`).
    #[must_use]
    pub fn timestamps(self, first: i64, step_ms: u32) -> Workload {
        self.set("timestamp", first).set("timestamp_step_ms", step_ms)
    }

    /// Each record's timestamp lies this far before the moment at which the record is written. Not beside
    /// [`Workload::timestamps`], which wins.
    #[must_use]
    pub fn age(self, age: Duration) -> Workload {
        self.set("age_ms", age.as_millis())
    }

    /// The limit of a batch in bytes as it goes over the wire (the producer estimates what compression will save), 16384
    /// if not set.
    #[must_use]
    pub fn batch_bytes(self, batch_bytes: u32) -> Workload {
        self.set("batch_bytes", batch_bytes)
    }

    /// How long the producer waits for a batch to fill, 5 ms if not set.
    #[must_use]
    pub fn linger_ms(self, linger_ms: u32) -> Workload {
        self.set("linger_ms", linger_ms)
    }

    /// All records to this partition.
    #[must_use]
    pub fn partition(self, partition: u32) -> Workload {
        self.set("partition", partition)
    }

    /// This many records to one partition before the next gets its share, 1 if not set.
    #[must_use]
    pub fn partition_run(self, records: u32) -> Workload {
        self.set("partition_run", records)
    }

    /// Transactions of this many records.
    #[must_use]
    pub fn transactions(self, records: u32) -> Workload {
        self.set("transaction_records", records)
    }

    /// Every n-th transaction is aborted, after its records were written.
    #[must_use]
    pub fn abort_every(self, n: u32) -> Workload {
        self.set("abort_every", n)
    }

    /// An even pace. If not set, as fast as it goes.
    #[must_use]
    pub fn records_per_second(self, records: u32) -> Workload {
        self.set("records_per_second", records)
    }

    /// What it says, for writers other than the Java producer.
    pub fn content(&self) -> WorkloadContent {
        WorkloadContent::new(&self.options)
    }

    pub(crate) fn script_line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.options {
            let _ = write!(line, "{name}={value} ");
        }
        line.push('\n');
        line
    }

    fn set(mut self, name: &str, value: impl ToString) -> Workload {
        self.options.push((name.to_owned(), value.to_string()));
        self
    }
}

pub(crate) fn parse_produced(stdout: &str) -> Result<Vec<Produced>, TestkitError> {
    let parse = |line: &str| {
        let mut columns = line.split('\t');
        let topic = columns.next()?.to_owned();
        let mut number = || columns.next()?.parse().ok();
        Some(Produced { topic, records: number()?, bytes: number()?, batch_bytes_mean: number()? })
    };
    let lines = stdout.lines();
    lines
        .map(|line| {
            parse(line).ok_or_else(|| TestkitError::Output { program: "Workload", line: line.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_one_line() {
        let workload = Workload::new("a").partitions(3).topic_property("cleanup.policy", "compact");
        assert_eq!(workload.script_line(), "topic=a partitions=3 topic.cleanup.policy=compact \n");
    }

    #[test]
    fn output_is_understood_or_refused() {
        let produced = Produced { topic: "a".to_owned(), records: 10, bytes: 2000, batch_bytes_mean: 500 };
        assert_eq!(parse_produced("a\t10\t2000\t500\n").unwrap(), [produced]);
        assert!(parse_produced("a\t10\t2000\n").is_err());
    }
}
