//! What must be so at any moment, whatever has gone wrong. It looks into the memory of both clusters.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kmirror::{Lineage, Run};
use kmirror_embedded::{ApiKey, EmbeddedCluster, Isolation};

use crate::logs::{COMPACTED, Content, Logs, PARTITIONS, THEIRS, Written};
use crate::trace::Trace;

/// What should never be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// Looks at the target's logs whenever they have changed.
#[derive(Default)]
pub(crate) struct Oracle {
    seen: [Seen; PARTITIONS.len()],
    state: StateTopic,
    /// How many changes of the target's topics were looked at.
    changes_seen: usize,
}

#[derive(Default)]
struct Seen {
    start: i64,
    batches: Vec<Bytes>,
    lineage: Option<Lineage>,
    /// What was decoded, by the place of the batch in memory.
    decoded: HashMap<*const u8, Vec<(i64, Content)>>,
}

/// The state topic, as far as it was read.
#[derive(Default)]
struct StateTopic {
    read_to: i64,
    lineages: BTreeMap<String, Lineage>,
    /// The topics that were recorded as the flow's.
    owned: BTreeSet<String>,
}

/// A partition of the target.
struct Log<'a> {
    /// Its name, for whoever reads of a violation.
    name: String,
    written: &'a Written,
    /// By target offset; the source offset and whose they are.
    records: Vec<(i64, i64, Content)>,
    /// Where each data batch begins.
    batches: Vec<i64>,
    lineage: Lineage,
}

impl Oracle {
    /// Looks at everything that has changed. What is wrong, by partition.
    pub(crate) fn check(
        &mut self,
        logs: &Logs,
        source: &EmbeddedCluster,
        target: &EmbeddedCluster,
        trace: &Trace,
    ) -> Vec<(usize, Violation)> {
        self.state.read(target, trace);
        let check = |partition| {
            let Some(log) = self.look(partition, logs, target, trace)? else { return Ok(()) };
            if partition != COMPACTED {
                log.check_places(|expected, place| expected == place)?;
                return log.check_order();
            }
            let survivors = survivors(source);
            log.check_places(|expected, place| {
                expected <= place || survivors.range(place..=expected).next().is_none()
            })?;
            log.check_keys(&survivors)
        };
        let checked: Vec<Result<(), Violation>> = (0..PARTITIONS.len()).map(check).collect();
        (0..).zip(checked).filter_map(|(partition, checked)| Some((partition, checked.err()?))).collect()
    }

    /// Nothing of a topic is changed before it is recorded as the flow's.
    pub(crate) fn check_changes(&mut self, target: &EmbeddedCluster) -> Result<(), Violation> {
        let changes = target.changes_since(self.changes_seen);
        self.changes_seen += changes.len();
        for change in changes {
            let topic = match change.api {
                ApiKey::CreatePartitions
                | ApiKey::IncrementalAlterConfigs
                | ApiKey::DeleteRecords
                | ApiKey::DeleteTopics
                | ApiKey::CreateAcls
                | ApiKey::DeleteAcls => Some(&change.resource),
                // For a group, and what it is told of is a topic.
                ApiKey::OffsetCommit => change.offsets_of.as_ref(),
                _ => None,
            };
            if topic.is_some_and(|topic| !self.state.owns(topic, target)) {
                return Err(violation("changed what is not the flow's", format!("{change:?}")));
            }
        }
        check_theirs(target)
    }

    /// Everything is looked at again, whether it has changed or not.
    pub(crate) fn forget(&mut self) {
        *self = Oracle { changes_seen: self.changes_seen, ..Oracle::default() };
    }

    /// A partition, if it is another one than before.
    fn look<'a>(
        &mut self,
        partition: usize,
        logs: &'a Logs,
        target: &EmbeddedCluster,
        trace: &Trace,
    ) -> Result<Option<Log<'a>>, Violation> {
        let (topic, number) = PARTITIONS[partition];
        let Ok(mut view) = target.log(topic, number) else { return Ok(None) };
        let lineage = self.state.lineages.get(&format!("partition/{topic}/{number}")).cloned();
        let seen = &mut self.seen[partition];
        let is_same = |one: &Bytes, other: &Bytes| one.as_ptr() == other.as_ptr();
        let is_known = view.start == seen.start
            && view.batches.len() == seen.batches.len()
            && view.batches.iter().zip(&seen.batches).all(|(one, other)| is_same(one, other));
        if is_known && lineage == seen.lineage {
            return Ok(None);
        }
        let known: BTreeSet<_> = seen.batches.iter().map(|batch| batch.as_ptr()).collect();
        for batch in view.batches.iter().filter(|batch| !known.contains(&batch.as_ptr())) {
            trace.note(format_args!("  target {topic}-{number} has {}", layout(batch)), batch);
        }
        (seen.start, seen.lineage) = (view.start, lineage.clone());
        seen.batches = view.batches.clone();
        seen.decoded.retain(|place, _| seen.batches.iter().any(|batch| batch.as_ptr() == *place));
        // What is not replicated yet counts as well.
        (view.high_watermark, view.start) = (view.end, 0);
        let name = format!("{topic}-{number}");
        let (written, mut records, mut batches) = (logs.written(partition), Vec::new(), Vec::new());
        for batch in std::mem::take(&mut view.batches) {
            let decoded = seen.decoded.entry(batch.as_ptr()).or_insert_with(|| {
                view.batches = vec![batch];
                let records = view.records(Isolation::ReadUncommitted).unwrap();
                records.into_iter().map(|record| (record.offset, record.into())).collect()
            });
            batches.extend(decoded.first().map(|(offset, _)| *offset));
            for (offset, content) in decoded.iter().filter(|(offset, _)| *offset >= seen.start) {
                let place = written.places.get(content);
                let place = place
                    .ok_or_else(|| violation("never written", format!("{name}: {offset} {content:?}")))?;
                records.push((*offset, *place, content.clone()));
            }
        }
        let lineage = lineage.unwrap_or_else(|| Lineage::beginning_at(0, 0));
        Ok(Some(Log { name, written, records, batches, lineage }))
    }
}

/// A topic of the target that is somebody else's stays as it is.
fn check_theirs(target: &EmbeddedCluster) -> Result<(), Violation> {
    let Ok(log) = target.log(THEIRS, 0) else { return Ok(()) };
    let (partitions, retention) = (target.partitions(THEIRS), target.topic_config(THEIRS, "retention.ms"));
    if (log.start, log.end, partitions, retention.as_deref()) != (0, 1, 1, Some("-1")) {
        let what = format!("{THEIRS}: [{}, {}), {partitions} partitions, {retention:?}", log.start, log.end);
        return Err(violation("touched what is somebody else's", what));
    }
    Ok(())
}

impl Log<'_> {
    /// What is recorded never contradicts the log: every record stands where the recorded runs put it, but for the batches that
    /// were in flight when it was recorded. In a compacted topic a repeat stands before its place and never behind it; and where a record
    /// was that the source has no more says nobody, so it may be anywhere in its hole: whoever reads on from there misses nothing.
    fn check_places(&self, is_right: impl Fn(i64, i64) -> bool) -> Result<(), Violation> {
        let in_flight_from = self.batches.iter().rev().nth(IN_FLIGHT_MAX - 1).copied().unwrap_or(0);
        for (offset, place, _) in self.records.iter().filter(|(offset, ..)| *offset < in_flight_from) {
            let expected = self.lineage.source_of(*offset);
            if !is_right(expected, *place) {
                let what = format!(
                    "{}: source offset {place} is at {offset}, where {expected} is recorded: {:?}",
                    self.name, self.lineage
                );
                return Err(violation("what is recorded contradicts the log", what));
            }
        }
        Ok(())
    }

    /// The target is a beginning of what was committed, in its order.
    fn check_order(&self) -> Result<(), Violation> {
        let mut committed =
            self.written.committed.range(self.records.first().map_or(0, |(_, place, _)| *place)..);
        if self
            .records
            .first()
            .is_some_and(|_| committed.clone().next() != self.written.committed.iter().next())
        {
            return Err(violation("lost", format!("{}: what was committed first", self.name)));
        }
        for (offset, place, _) in &self.records {
            let next = committed.next().map(|(offset, _)| *offset);
            if next != Some(*place) {
                let rule = if next.is_some_and(|next| next < *place) {
                    "lost"
                } else {
                    "doubled or never committed"
                };
                let what =
                    format!("{}: at {offset} is source offset {place}, and {next:?} is next", self.name);
                return Err(violation(rule, what));
            }
        }
        Ok(())
    }

    /// For each key the last value below the position is the source's, in order. `survivors`: what the source's cleaner has left.
    fn check_keys(&self, survivors: &BTreeSet<i64>) -> Result<(), Violation> {
        let mut last: BTreeMap<&Option<Vec<u8>>, i64> = BTreeMap::new();
        let mut before = -1;
        for (offset, place, content) in &self.records {
            if *place < before {
                let what = format!("{}: at {offset} is source offset {place}, behind {before}", self.name);
                return Err(violation("in another order", what));
            }
            if !self.written.committed.contains_key(place) {
                return Err(violation("never committed", format!("{}: {offset} is {place}", self.name)));
            }
            before = *place;
            last.insert(&content.key, *place);
        }
        let below = self.written.committed.range(..=before).filter(|(offset, _)| survivors.contains(offset));
        for (offset, content) in below {
            let there = last.get(&content.key).copied();
            // A deletion that the target's cleaner has removed since, with everything before it.
            let is_deleted = content.value.is_none() && there.is_none();
            if there.is_none_or(|there| there < *offset) && !is_deleted {
                let what = format!("{}: the source has {offset}, the target {there:?} of its key", self.name);
                return Err(violation("lost", what));
            }
        }
        Ok(())
    }
}

impl StateTopic {
    /// Whether a topic is recorded as the flow's: as a whole, or each of its partitions.
    fn owns(&self, topic: &str, target: &EmbeddedCluster) -> bool {
        let is_recorded = |number| self.lineages.contains_key(&format!("partition/{topic}/{number}"));
        let partitions = target.partitions(topic);
        self.owned.contains(topic) || partitions > 0 && (0..partitions as i32).all(is_recorded)
    }

    fn read(&mut self, target: &EmbeddedCluster, trace: &Trace) {
        let Ok(mut view) = target.log(STATE_TOPIC, 0) else { return };
        if view.end == self.read_to {
            return;
        }
        let read_to = std::mem::replace(&mut self.read_to, view.end);
        view.batches.retain(|batch| first_offset(batch) >= read_to);
        (view.high_watermark, view.start) = (view.end, read_to);
        for record in view.records(Isolation::ReadUncommitted).unwrap() {
            let (Some(key), Some(value)) = (record.key, record.value) else { continue };
            let key = String::from_utf8_lossy(&key).into_owned();
            self.owned.extend(key.strip_prefix("topic/").map(str::to_owned));
            let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
            let Some(runs) = json.get("runs").cloned() else { continue };
            let runs: Vec<Run> = serde_json::from_value(runs).unwrap();
            trace.note(format_args!("  recorded of {key}: {runs:?}"), &value);
            self.lineages.insert(key, Lineage::from_runs(runs).unwrap());
        }
    }
}

/// The offsets of the compacted topic that the source still holds.
fn survivors(source: &EmbeddedCluster) -> BTreeSet<i64> {
    let (topic, number) = PARTITIONS[COMPACTED];
    let records = source.log(topic, number).unwrap().records(Isolation::ReadCommitted).unwrap();
    records.into_iter().map(|record| record.offset).collect()
}

pub(crate) fn violation(rule: &'static str, what: String) -> Violation {
    Violation { rule, what }
}

/// Offsets of a batch, and its producer with the first sequence, or the coordinator epoch of a marker.
pub(crate) fn layout(batch: &[u8]) -> String {
    let number = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().unwrap());
    let (first, last) = (first_offset(batch), first_offset(batch) + i64::from(number(23)));
    let producer = i64::from_be_bytes(batch[43..51].try_into().unwrap()) & 0xFFF;
    if batch[22] & 0x20 != 0 {
        // Its value is the last but the count of headers: a version and the coordinator epoch.
        return format!("[{first} marker {producer:x} epoch {}]", number(batch.len() - 5));
    }
    format!("[{first}..={last} {} of {producer:x} from {}]", number(57), number(53))
}

fn first_offset(batch: &[u8]) -> i64 {
    i64::from_be_bytes(batch[..8].try_into().unwrap())
}

/// Produce requests of a connection, each with a batch of a partition.
const IN_FLIGHT_MAX: usize = 5;
const STATE_TOPIC: &str = "__kmirror_state";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kmirror_client::{
        AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType, Client, ClientConfig,
        CommittedOffset, TopicPartition,
    };

    use super::*;

    /// What a flow that copies nothing of it must not do with a topic, by its name.
    #[tokio::test]
    async fn what_is_changed_of_a_topic_that_is_not_recorded_is_found() {
        let target = EmbeddedCluster::builder().authorizer(["User:ANONYMOUS"]).start().await.unwrap();
        target.create_topic("orders", 1, &[]).unwrap();
        let client = Client::connect(ClientConfig::new("west", [target.bootstrap_servers()])).await.unwrap();
        let mut oracle = Oracle::default();
        assert_eq!(oracle.check_changes(&target), Ok(()));
        let offset = CommittedOffset { offset: 3, leader_epoch: None, metadata: String::new() };
        let offsets = [(TopicPartition::new("orders", 0), offset)];
        client.commit_offsets("readers", &offsets, Duration::from_secs(30)).await.unwrap();
        assert!(oracle.check_changes(&target).is_err(), "a commit");
        let entry = AclEntry {
            resource_type: AclResourceType::Topic,
            pattern_type: AclPatternType::Literal,
            resource_name: "orders".to_owned(),
            principal: "User:ann".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        };
        client.create_acls(&[entry]).await.unwrap();
        assert!(oracle.check_changes(&target).is_err(), "an entry");
        oracle.state.owned.insert("orders".to_owned());
        client.commit_offsets("readers", &offsets, Duration::from_secs(30)).await.unwrap();
        assert_eq!(oracle.check_changes(&target), Ok(()));
    }
}
