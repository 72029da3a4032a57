//! The partitions of a flow, as its supervisor keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror_client::{BrokerId, ClusterMetadata, TopicId, TopicPartition};
use tokio::sync::mpsc;

use super::standby::{Refusals, Standby};
use crate::data::append::appender::AppenderEvent;
use crate::data::queue::QueueGauge;
use crate::data::read::reader::PartitionReader;
use crate::flow::read_from::ReadFrom;
use crate::ground::config::Start;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::pipe::Pipe;
use crate::ground::rules::CompareRules;
use crate::ground::rules::TopicRules;
use crate::ground::status::{PartitionGauge, PartitionState};
use crate::state_topic::record::PartitionRecord;

/// A partition of a flow.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) source: TopicPartition,
    pub(crate) target: TopicPartition,
    /// Zero where the cluster is too old for topic ids (before 2.8).
    pub(crate) source_topic_id: TopicId,
    pub(crate) target_topic_id: TopicId,
    pub(crate) rules: TopicRules,
    pub(crate) compare_rules: CompareRules,
    /// Where it begins if it was never copied.
    pub(crate) start: Start,
    /// What the state topic holds of it, as of the last take-over.
    pub(crate) record: Option<PartitionRecord>,
    /// Whether another instance may have written to the state topic since it was read.
    pub(crate) reads_state: bool,
    /// When it was parked or tried again, where that may pass.
    pub(crate) parked_at: Option<Instant>,
    pub(crate) gauge: Arc<PartitionGauge>,
    pub(crate) generation: Generation,
    /// Whether its topic has left the flow. Nobody refers to it then but what was on the way.
    pub(crate) has_left: bool,
    /// Which broker it is read from, as the leader says.
    pub(crate) read_from: ReadFrom,
    /// The connection whose fetcher reads it.
    pub(crate) fetched_from: Option<Pipe>,
    /// Where its items go, while it has an appender, and how many are on the way.
    pub(crate) appender: Option<(mpsc::Sender<AppenderEvent>, Arc<QueueGauge>)>,
    /// Which broker led the target partition when it was handed to the appender, and under which epoch.
    pub(crate) appended_under: Option<(BrokerId, Option<i32>)>,
    /// Waits for a source leader.
    pub(crate) returned: Option<Box<PartitionReader>>,
    /// Whether another owner appends as well.
    pub(crate) standby: Standby,
    /// Whether the target refuses what its own log asks for.
    pub(crate) refusals: Refusals,
    /// Why the target takes no records, and where the partition stood then.
    pub(crate) refused: Option<(String, i64)>,
    /// Whether its bytes travel apart from others: it was not replicated in time, and was not acknowledged since.
    pub(crate) is_apart: bool,
    /// A marker token that the target refused.
    pub(crate) token_refused: i32,
    /// Whether tiny batches that wait are merged: not after a merged one was refused, until the partition is parked for it.
    pub(crate) merges: bool,
    /// Take-overs in a row that led to no progress, and where the partition stood at the last.
    pub(crate) attempts: u32,
    pub(crate) attempted_at: i64,
    /// The source offset up to which it was told that deletions may be forgotten.
    pub(crate) forgotten_end: i64,
}

/// All partitions of a flow.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    partition_counts: BTreeMap<Arc<str>, i32>,
}

impl Entry {
    /// Where the target ended when it was seen last, by its own offsets.
    pub(crate) fn target_end_seen(&self) -> i64 {
        let position = self.gauge.position().max(0);
        self.record.as_ref().map_or(0, |record| record.lineage.target_of(position))
    }

    /// Whether another broker leads the target partition by now: the old one may keep silent for long before it says so.
    pub(crate) fn has_other_target_leader(&self, target: &ClusterMetadata) -> bool {
        let (Some(_), Some((broker, epoch))) = (&self.appender, self.appended_under) else { return false };
        let Some(partition) = target.partition(&self.target) else { return false };
        // What a broker says that was cut off is older.
        let is_newer = match (partition.leader_epoch, epoch) {
            (Some(now), Some(then)) => now > then,
            _ => true,
        };
        is_newer && target.leader(&self.target).is_some_and(|leader| leader != broker)
    }

    /// The target topic's configuration was read again.
    pub(crate) fn apply_rules(&mut self, rules: TopicRules) {
        self.compare_rules.target_is_compacted = rules.is_compacted;
        self.compare_rules.keeps_timestamps = rules.keeps_timestamps;
        self.rules = rules;
    }

    /// What the partition does when nothing of its own keeps it: it copies, unless the target has taken nothing since it refused.
    pub(crate) fn state_of_copying(&mut self) -> PartitionState {
        let position = self.gauge.position();
        self.refused = self.refused.take().filter(|(_, at)| position <= *at);
        let waiting = self.refused.as_ref().map(|(cause, _)| PartitionState::Waiting(cause.clone()));
        waiting.unwrap_or(PartitionState::Copying)
    }

    /// Counts an attempt, and says how long to wait before it.
    pub(crate) fn next_attempt(&mut self) -> Duration {
        let position = self.gauge.position();
        if position > self.attempted_at {
            self.attempts = 0;
        }
        self.attempted_at = position;
        self.attempts += 1;
        match self.attempts {
            1 => Duration::ZERO,
            attempts => (ATTEMPT_MIN * 2u32.saturating_pow(attempts.min(10) - 2)).min(ATTEMPT_MAX),
        }
    }
}

impl Table {
    /// How many partitions of each source topic are in the table.
    pub(crate) fn partition_counts(&self) -> &BTreeMap<Arc<str>, i32> {
        &self.partition_counts
    }

    /// Adds a partition. The partitions of a topic come in order.
    pub(crate) fn insert(&mut self, entry: Entry) -> PartitionKey {
        let key = PartitionKey(self.entries.len() as u32);
        self.partition_counts.insert(Arc::clone(&entry.source.topic), entry.source.partition + 1);
        self.entries.push(entry);
        key
    }

    /// A topic leaves the flow: its partitions are not looked at any more, and if it comes back it is another one.
    pub(crate) fn forget(&mut self, source_topic: &str) {
        self.partition_counts.remove(source_topic);
        for entry in self.entries.iter_mut().filter(|entry| *entry.source.topic == *source_topic) {
            entry.has_left = true;
        }
    }

    pub(crate) fn get(&mut self, key: PartitionKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.0 as usize)
    }

    /// The entry, unless the event was meant for an earlier generation of it.
    pub(crate) fn current(&mut self, key: PartitionKey, generation: Generation) -> Option<&mut Entry> {
        self.get(key).filter(|entry| entry.generation == generation && !entry.has_left)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (PartitionKey, &mut Entry)> {
        let entries = self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.has_left);
        entries.map(|(index, entry)| (PartitionKey(index as u32), entry))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PartitionKey, &Entry)> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| !entry.has_left);
        entries.map(|(index, entry)| (PartitionKey(index as u32), entry))
    }
}

const ATTEMPT_MIN: Duration = Duration::from_millis(50);
/// A partition whose leader is back goes on at most this much later.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);
