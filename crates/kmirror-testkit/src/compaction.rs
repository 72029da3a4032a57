use std::time::Duration;

use crate::process::wait_for;
use crate::{Isolation, KafkaEndpoint, PrintedRecord, TestkitError, Workload};

/// A compacted topic with one partition that the cleaner has been through: offsets are missing both inside of batches
/// and between them.
#[derive(Clone, Debug)]
pub struct CompactedTopic {
    /// How many records were written to it; the offsets before this one were all used.
    pub records_written: u64,
    /// What the cleaner left.
    pub records: Vec<PrintedRecord>,
}

impl CompactedTopic {
    /// Creates the topic, writes to it, and waits until the cleaner leaves nothing more to clean.
    ///
    /// Segments roll by the records' own timestamps, so nothing has to be waited for but the cleaner. Half of the keys are
    /// rare and survive where they stand, among common ones that do not; in the first part all keys are common, so whole
    /// batches vanish.
    ///
    /// # Errors
    /// The cluster fails, or its cleaner does not come within a minute (a cluster that was not started by the testkit may
    /// have a long `log.cleaner.backoff.ms`).
    pub fn create(kafka: &KafkaEndpoint, topic: &str, codec: &str) -> Result<CompactedTopic, TestkitError> {
        kafka.produce(&CompactedTopic::workloads(topic, codec))?;
        let records_written = 2 * PART_RECORDS + 1;
        let mut before = kafka.records(topic, Isolation::ReadUncommitted)?;
        let records = wait_for(&format!("the cleaner came through {topic}"), CLEANER_PATIENCE, || {
            let now = kafka.records(topic, Isolation::ReadUncommitted)?;
            let quiet = now == before && is_clean(&now);
            before.clone_from(&now);
            Ok(quiet.then_some(now))
        })?;
        Ok(CompactedTopic { records_written, records })
    }

    /// What is written to it, before the cleaner comes. The last record is the one that is never cleaned.
    pub fn workloads(topic: &str, codec: &str) -> [Workload; 4] {
        let writes = Workload::new(topic).codec(codec).headers().timestamps(FIRST_TIMESTAMP, 1);
        let writes = writes.producer_property("batch.size", "4096").linger_ms(20);
        let create = Workload::new(topic)
            .topic_property("cleanup.policy", "compact")
            .topic_property("segment.ms", &SEGMENT_RECORDS.to_string())
            .topic_property("min.cleanable.dirty.ratio", "0.01")
            .topic_property("max.compaction.lag.ms", "1000");
        let common = writes.clone().records(PART_RECORDS).keys(10);
        let mixed = writes
            .clone()
            .first(PART_RECORDS)
            .records(PART_RECORDS)
            .keys(400)
            .key_skew(3)
            .tombstone_every(50);
        // The newest segment is never cleaned: it holds the last record only, with a key of its own.
        let last = writes.first(2 * PART_RECORDS + SEGMENT_RECORDS).records(1).keys(1).seed(2);
        [create, common, mixed, last]
    }
}

/// No key is left twice before the last segment, which holds one record.
fn is_clean(records: &[PrintedRecord]) -> bool {
    let cleaned = records.get(..records.len().saturating_sub(1)).unwrap_or_default();
    let mut keys: Vec<&str> = cleaned.iter().map(|record| record.key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).all(|pair| pair.first() != pair.last())
}

const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
const SEGMENT_RECORDS: u64 = 500;
const PART_RECORDS: u64 = 2000;
const CLEANER_PATIENCE: Duration = Duration::from_secs(60);
