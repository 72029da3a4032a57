//! Which log starts do not follow the source's any more, since it lost too much at once: the record of the state topic that keeps it so until
//! somebody has decided. Pure.

use std::collections::BTreeMap;

use kmirror_client::{TopicId, TopicPartition};
use serde::{Deserialize, Serialize};

/// The records of the target below `below` are kept, though the source has lost them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuardRecord {
    /// Zero where the cluster is too old for topic ids.
    pub(crate) target_topic_id: TopicId,
    pub(crate) below: i64,
}

/// By partition of the target.
pub(crate) type GuardRecords = BTreeMap<TopicPartition, GuardRecord>;

#[derive(Serialize, Deserialize)]
struct Json {
    version: u32,
    target_topic_id: String,
    below: i64,
}

impl GuardRecord {
    /// As the value of the state topic.
    pub(crate) fn to_json(self) -> Vec<u8> {
        let GuardRecord { target_topic_id, below } = self;
        let json = Json { version: VERSION, target_topic_id: target_topic_id.to_string(), below };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic, if it can be understood.
    pub(crate) fn from_json(value: &[u8]) -> Option<GuardRecord> {
        let Json { version, target_topic_id, below } = serde_json::from_slice(value).ok()?;
        let target_topic_id = target_topic_id.parse().ok()?;
        (version == VERSION).then_some(GuardRecord { target_topic_id, below })
    }
}

/// The key for a partition of the target.
pub(crate) fn key_of(partition: &TopicPartition) -> String {
    format!("{KEY_PREFIX}{}/{}", partition.topic, partition.partition)
}

/// The partition of a key, if it is one of these.
pub(crate) fn partition_of(key: &[u8]) -> Option<TopicPartition> {
    let (topic, number) = std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?.split_once('/')?;
    Some(TopicPartition::new(topic, number.parse().ok()?))
}

const KEY_PREFIX: &str = "guard/";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let record = GuardRecord { target_topic_id: TopicId::NONE, below: 50 };
        assert_eq!(GuardRecord::from_json(&record.to_json()), Some(record));
        assert_eq!(GuardRecord::from_json(b"{}"), None);
        let partition = TopicPartition::new("a.b-c_d", 12);
        assert_eq!(partition_of(key_of(&partition).as_bytes()), Some(partition));
    }
}
