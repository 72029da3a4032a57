//! When a copy was whole: the record of the state topic that tells whether a source may have forgotten deletions since. Pure.
//!
//! Neither log tells it. Timestamps of records are their producers', and may be years old; and what was appended to the target last says
//! nothing of a source that had nothing to copy. So it is written down now and then, under a key of its own: it changes where a
//! partition's record does not, and earlier releases go on reading that.

use kmirror_client::{TopicId, TopicPartition};
use serde::{Deserialize, Serialize};

/// At that time every record that the source then held below `position` was on the target, and it held none behind that; or the copy had
/// just begun there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The target topic of which it was so; zero where the cluster is too old for topic ids.
    pub(crate) target_topic_id: TopicId,
    /// By the source's offsets.
    pub(crate) position: i64,
    /// By the wall clock of the machine, in milliseconds since the epoch.
    pub(crate) at_ms: i64,
}

/// How long a copy was not whole, seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Shorter than a cleaner leaves deletions alone.
    Short,
    /// Longer than that: since then, in milliseconds since the epoch.
    Long { since_ms: i64 },
    /// Nobody has written it down.
    Unknown,
}

/// How long the copy, which stands at `position`, was not whole. `delete_retention_ms`: how long the source's cleaner leaves deletions
/// alone (`delete.retention.ms`).
pub(crate) fn absence(
    whole: Option<Whole>,
    target_topic_id: TopicId,
    position: i64,
    now_ms: i64,
    delete_retention_ms: i64,
) -> Absence {
    match whole {
        // It lost records since, which are copied again from what the source holds now.
        Some(whole) if whole.position > position => Absence::Unknown,
        Some(whole) if whole.target_topic_id.is_other_than(target_topic_id) => Absence::Unknown,
        // One of the clocks was wrong.
        Some(whole) if whole.at_ms > now_ms => Absence::Unknown,
        Some(whole) if now_ms - whole.at_ms < delete_retention_ms => Absence::Short,
        Some(whole) => Absence::Long { since_ms: whole.at_ms },
        None => Absence::Unknown,
    }
}

#[derive(Serialize, Deserialize)]
struct Json {
    version: u32,
    target_topic_id: String,
    position: i64,
    at_ms: i64,
}

impl Whole {
    /// As the value of the state topic.
    pub(crate) fn to_json(self) -> Vec<u8> {
        let Whole { target_topic_id, position, at_ms } = self;
        let json = Json { version: VERSION, target_topic_id: target_topic_id.to_string(), position, at_ms };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic, if it can be understood.
    pub(crate) fn from_json(value: &[u8]) -> Option<Whole> {
        let Json { version, target_topic_id, position, at_ms } = serde_json::from_slice(value).ok()?;
        let target_topic_id = target_topic_id.parse().ok()?;
        (version == VERSION).then_some(Whole { target_topic_id, position, at_ms })
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

const KEY_PREFIX: &str = "whole/";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> TopicId {
        std::iter::repeat_n(letter, 21).chain(['g']).collect::<String>().parse().expect("an id")
    }

    fn whole() -> Whole {
        Whole { target_topic_id: id('Z'), position: 50, at_ms: 1_000 }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        assert_eq!(Whole::from_json(&whole().to_json()), Some(whole()));
        // Fixed for ever: earlier releases' records must be read.
        assert_eq!(
            String::from_utf8(whole().to_json()).expect("text"),
            r#"{"version":1,"target_topic_id":"ZZZZZZZZZZZZZZZZZZZZZg","position":50,"at_ms":1000}"#
        );
        for damaged in [&b""[..], b"{}", br#"{"version":2,"target_topic_id":"","position":5,"at_ms":1}"#] {
            assert_eq!(Whole::from_json(damaged), None);
        }
        let partition = TopicPartition::new("a.b-c_d", 12);
        assert_eq!(partition_of(key_of(&partition).as_bytes()), Some(partition.clone()));
        assert_eq!(
            crate::state_topic::record::partition_of(key_of(&partition).as_bytes()),
            None,
            "no other record"
        );
    }

    #[test]
    fn an_absence_is_as_long_as_the_copy_was_not_whole() {
        let at = |position, now_ms| absence(Some(whole()), id('Z'), position, now_ms, 500);
        assert_eq!((at(50, 1_000), at(60, 1_499)), (Absence::Short, Absence::Short));
        assert_eq!(at(50, 1_500), Absence::Long { since_ms: 1_000 });
        assert_eq!(at(49, 1_001), Absence::Unknown, "records were lost since");
        assert_eq!(at(50, 999), Absence::Unknown, "a clock was wrong");
        assert_eq!(absence(Some(whole()), id('Y'), 50, 1_001, 500), Absence::Unknown, "another topic");
        assert_eq!(absence(Some(whole()), TopicId::NONE, 50, 1_001, 500), Absence::Short);
        assert_eq!(absence(None, id('Z'), 50, 1_001, 500), Absence::Unknown);
    }
}
