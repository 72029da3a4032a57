//! The record of one partition, as JSON that any console consumer shows. Pure.

use kmirror_client::{TopicId, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::ground::epoch_start::EpochStart;
use crate::ground::lineage::{Lineage, LineageError, Run};

/// What is recorded of a target partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRecord {
    /// What it is a copy of.
    pub(crate) source: SourceIdentity,
    /// The target topic that holds the copy; zero where the cluster is too old for topic ids.
    pub(crate) target_topic_id: TopicId,
    /// Where the source's records are.
    pub(crate) lineage: Lineage,
    /// The source's leader epochs as far as they were copied, and where each began: the latest ones.
    pub(crate) leader_epochs: Vec<EpochStart>,
    /// Source offsets that were gone before they could be copied, and were filled by policy.
    pub(crate) lost: Vec<LostRange>,
    /// Topics that were copied into this partition before the present one, by policy.
    pub(crate) earlier: Vec<EarlierSource>,
    /// The cleanup policy that the target topic gets once the heads of its partitions are filled.
    pub(crate) cleanup_policy_after_seeding: Option<String>,
}

/// One source partition, for good: a topic that was created again is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceIdentity {
    pub(crate) cluster_id: String,
    pub(crate) topic: String,
    /// Zero where the cluster is too old for topic ids (before 2.8).
    pub(crate) topic_id: TopicId,
}

/// Source offsets `[first, end)` that expired before they were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LostRange {
    pub(crate) first: i64,
    pub(crate) end: i64,
}

/// A source that was copied here before: its runs, and the target offset at which it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EarlierSource {
    pub(crate) topic_id: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) target_end: i64,
}

/// Why a value of the state topic is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("its version is {0}, and this release understands {VERSION}: a newer release has written it")]
    Newer(u32),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl From<LineageError> for RecordError {
    fn from(error: LineageError) -> RecordError {
        RecordError::Damaged(error.to_string())
    }
}

/// The JSON. Its names are stable: people read them, and later releases.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    version: u32,
    source: JsonSource,
    target: JsonTarget,
    runs: Vec<Run>,
    /// Whether the target holds records of the source before the first run, which something else has copied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    continuing: bool,
    #[serde(default)]
    leader_epochs: Vec<EpochStart>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<LostRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<EarlierSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cleanup_policy_after_seeding: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSource {
    cluster_id: String,
    topic: String,
    topic_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTarget {
    topic_id: String,
}

#[derive(Deserialize)]
struct JsonVersion {
    version: u32,
}

impl PartitionRecord {
    /// The record as the value of the state topic.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = Json {
            version: VERSION,
            source: JsonSource {
                cluster_id: self.source.cluster_id.clone(),
                topic: self.source.topic.clone(),
                topic_id: self.source.topic_id.to_string(),
            },
            target: JsonTarget { topic_id: self.target_topic_id.to_string() },
            runs: self.lineage.runs().collect(),
            continuing: self.lineage.is_continuing(),
            leader_epochs: self.leader_epochs.clone(),
            lost: self.lost.clone(),
            earlier: self.earlier.clone(),
            cleanup_policy_after_seeding: self.cleanup_policy_after_seeding.clone(),
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic. A newer release's record is refused rather than half understood.
    pub(crate) fn from_json(value: &[u8]) -> Result<PartitionRecord, RecordError> {
        let damaged = |error: &dyn std::fmt::Display| RecordError::Damaged(error.to_string());
        let JsonVersion { version } = serde_json::from_slice(value).map_err(|error| damaged(&error))?;
        if version != VERSION {
            return Err(RecordError::Newer(version));
        }
        let json: Json = serde_json::from_slice(value).map_err(|error| damaged(&error))?;
        let id = |text: &str| text.parse().map_err(|error: kmirror_client::InvalidTopicId| damaged(&error));
        let lineage = Lineage::from_runs(json.runs)?;
        Ok(PartitionRecord {
            source: SourceIdentity {
                topic_id: id(&json.source.topic_id)?,
                cluster_id: json.source.cluster_id,
                topic: json.source.topic,
            },
            target_topic_id: id(&json.target.topic_id)?,
            lineage: if json.continuing { lineage.continuing() } else { lineage },
            leader_epochs: json.leader_epochs,
            lost: json.lost,
            earlier: json.earlier,
            cleanup_policy_after_seeding: json.cleanup_policy_after_seeding,
        })
    }

    /// Adds a leader epoch; what is known of one already stays.
    pub(crate) fn add_epoch(&mut self, epoch: EpochStart) {
        if self.leader_epochs.last().is_some_and(|last| last.epoch >= epoch.epoch) {
            return;
        }
        self.leader_epochs.push(epoch);
        let surplus = self.leader_epochs.len().saturating_sub(EPOCHS_MAX);
        self.leader_epochs.drain(..surplus);
    }

    /// Adds offsets that are lost; what is left of a range that is being filled is no other one.
    pub(crate) fn add_lost(&mut self, lost: LostRange) {
        match self.lost.last_mut() {
            Some(last) if last.end >= lost.first => last.end = last.end.max(lost.end),
            _ => self.lost.push(lost),
        }
    }

    /// Where the target's log was made to begin: what is below was filled with placeholders, and cut off. `None`: it was not.
    pub(crate) fn seeded_to(&self) -> Option<i64> {
        let first = self.earlier.first().and_then(|earlier| earlier.runs.first()).copied();
        let first = first.unwrap_or(self.lineage.first());
        (first.delta() == 0 && first.target > 0 && !self.lineage.is_continuing()).then_some(first.target)
    }

    /// Another topic is copied from now on, from its offset `source` to the target's `target`.
    pub(crate) fn begin_source(&mut self, source: SourceIdentity, from: Run) {
        self.earlier.push(EarlierSource {
            topic_id: self.source.topic_id.to_string(),
            runs: self.lineage.runs().collect(),
            target_end: from.target,
        });
        self.source = source;
        self.lineage = Lineage::beginning_at(from.source, from.target);
        self.leader_epochs.clear();
        self.lost.clear();
    }
}

/// The key of a partition's record.
pub(crate) fn key_of(partition: &TopicPartition) -> String {
    format!("{KEY_PREFIX}{}/{}", partition.topic, partition.partition)
}

/// The partition of a key, if it is one. A slash cannot be part of a topic's name.
pub(crate) fn partition_of(key: &[u8]) -> Option<TopicPartition> {
    let (topic, number) = std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?.split_once('/')?;
    Some(TopicPartition::new(topic, number.parse().ok()?))
}

const KEY_PREFIX: &str = "partition/";
const VERSION: u32 = 1;
/// An epoch for each leader election: more than a broker that is restarted every day collects in a year.
const EPOCHS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = full();
        let json = record.to_json();
        assert_eq!(PartitionRecord::from_json(&json), Ok(record));
        // Fixed for ever: earlier releases' records must be read.
        assert_eq!(
            String::from_utf8(json).expect("text"),
            r#"{"version":1,"source":{"cluster_id":"east-id","topic":"orders","topic_id":"ZmZmZmZmZmZmZmZmZmZmZg"},"#.to_owned()
                + r#""target":{"topic_id":"AAAAAAAAAAAAAAAAAAAAAA"},"runs":[{"source":0,"target":0},{"source":12,"target":14}],"#
                + r#""leader_epochs":[{"epoch":3,"start_offset":0}],"lost":[{"first":5,"end":9}],"#
                + r#""cleanup_policy_after_seeding":"compact"}"#
        );
    }

    #[test]
    fn damaged_and_newer_records_are_refused() {
        let whole = String::from_utf8(full().to_json()).expect("text");
        let newer = whole.replace("\"version\":1", "\"version\":2,\"more\":true");
        assert_eq!(PartitionRecord::from_json(newer.as_bytes()), Err(RecordError::Newer(2)));
        for (from, to) in [
            ("\"runs\":[{\"source\":0,\"target\":0}", "\"runs\":[{\"source\":0,\"target\":-1}"),
            ("\"runs\":[{\"source\":0", "\"runs\":[{\"source\":50"),
            ("ZmZm", "Z*Zm"),
            ("\"topic\":\"orders\",", ""),
            ("\"lost\"", "\"lots\""),
        ] {
            let damaged = whole.replace(from, to);
            assert_ne!(damaged, whole, "{from}");
            let error = PartitionRecord::from_json(damaged.as_bytes()).expect_err(to);
            assert!(matches!(error, RecordError::Damaged(_)), "{error}");
        }
        for length in 0..whole.len() {
            assert!(PartitionRecord::from_json(&whole.as_bytes()[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn epochs_are_added_in_order_and_bounded() {
        let mut record = full();
        record.add_epoch(EpochStart { epoch: 3, start_offset: 50 });
        record.add_epoch(EpochStart { epoch: 2, start_offset: 60 });
        record.add_epoch(EpochStart { epoch: 5, start_offset: 100 });
        let known = [EpochStart { epoch: 3, start_offset: 0 }, EpochStart { epoch: 5, start_offset: 100 }];
        assert_eq!(record.leader_epochs, known);
        for epoch in 6..1_000 {
            record.add_epoch(EpochStart { epoch, start_offset: i64::from(epoch) * 100 });
        }
        assert_eq!(record.leader_epochs.len(), EPOCHS_MAX);
        assert_eq!(record.leader_epochs.last().map(|start| start.epoch), Some(999));
    }

    #[test]
    fn a_lost_range_that_is_filled_bit_by_bit_is_one() {
        let mut record = full();
        let range = |first, end| LostRange { first, end };
        for lost in [range(7, 9), range(8, 12), range(12, 13), range(20, 30)] {
            record.add_lost(lost);
        }
        assert_eq!(record.lost, [range(5, 13), range(20, 30)]);
    }

    #[test]
    fn keys_name_partitions() {
        let partition = TopicPartition::new("a.b-c_d", 12);
        assert_eq!(key_of(&partition), "partition/a.b-c_d/12");
        assert_eq!(partition_of(key_of(&partition).as_bytes()), Some(partition));
        for other in ["", "partition/a", "partition/a/x", "flow/a/1"] {
            assert_eq!(partition_of(other.as_bytes()), None, "{other}");
        }
    }

    fn full() -> PartitionRecord {
        PartitionRecord {
            source: SourceIdentity {
                cluster_id: "east-id".to_owned(),
                topic: "orders".to_owned(),
                topic_id: "ZmZmZmZmZmZmZmZmZmZmZg".parse().expect("an id"),
            },
            target_topic_id: TopicId::NONE,
            lineage: Lineage::from_runs([Run { source: 0, target: 0 }, Run { source: 12, target: 14 }])
                .expect("in order"),
            leader_epochs: vec![EpochStart { epoch: 3, start_offset: 0 }],
            lost: vec![LostRange { first: 5, end: 9 }],
            earlier: Vec::new(),
            cleanup_policy_after_seeding: Some("compact".to_owned()),
        }
    }
}
