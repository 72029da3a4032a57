//! Which topics of the target are a flow's own: the record of the state topic without which nothing of a topic is changed but what a
//! take-over allows to be appended. Pure.
//!
//! A topic is recorded when the flow has created it, or has taken over every partition of it: then all that it holds is the source's. A topic of
//! the same name that somebody else has made is never recorded, whatever a flow would like to do with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::TopicId;
use serde::{Deserialize, Serialize};

use super::record::SourceIdentity;

/// What is recorded of a target topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRecord {
    pub(crate) source: SourceIdentity,
    /// The ids of the clusters that the source topic has passed before, the nearest first.
    pub(crate) origins: Vec<String>,
    /// Zero where the cluster is too old for topic ids, and before the topic is created.
    pub(crate) target_topic_id: TopicId,
    /// That the topic is to be deleted, for its source was.
    pub(crate) deletion: Option<Deletion>,
}

/// An intent: it is carried out only if the topic is then what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// Not before, in milliseconds since the epoch.
    pub(crate) due_ms: i64,
    /// Where each of its partitions ended when everything of the source was on it.
    pub(crate) ends: Vec<i64>,
    /// When it was carried out, in milliseconds since the epoch: it counts for the guard of later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) carried_out_ms: Option<i64>,
}

/// By the name on the target.
pub(crate) type TopicRecords = BTreeMap<Arc<str>, TopicRecord>;

#[derive(Serialize, Deserialize)]
struct Json {
    version: u32,
    source: JsonSource,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<String>,
    target: JsonTarget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion: Option<Deletion>,
}

#[derive(Serialize, Deserialize)]
struct JsonSource {
    cluster_id: String,
    topic: String,
    topic_id: String,
}

#[derive(Serialize, Deserialize)]
struct JsonTarget {
    topic_id: String,
}

impl TopicRecord {
    /// Whether the record is of this source topic's copy in this target topic. Ids that one of both does not know tell nothing, and where
    /// the target's are not known a name may have passed to another topic: then it is not.
    pub(crate) fn is_of(&self, source: &SourceIdentity, target_topic_id: TopicId) -> bool {
        let TopicRecord { source: recorded, target_topic_id: recorded_id, .. } = self;
        recorded.cluster_id == source.cluster_id
            && recorded.topic == source.topic
            && !recorded.topic_id.is_other_than(source.topic_id)
            && target_topic_id != TopicId::NONE
            && *recorded_id == target_topic_id
    }

    /// Whether the topic is to be created, as far as is known; or it has no id.
    pub(crate) fn is_intended(&self) -> bool {
        self.target_topic_id == TopicId::NONE
    }

    /// As the value of the state topic.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = Json {
            version: VERSION,
            source: JsonSource {
                cluster_id: self.source.cluster_id.clone(),
                topic: self.source.topic.clone(),
                topic_id: self.source.topic_id.to_string(),
            },
            origins: self.origins.clone(),
            target: JsonTarget { topic_id: self.target_topic_id.to_string() },
            deletion: self.deletion.clone(),
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic, if it can be understood.
    pub(crate) fn from_json(value: &[u8]) -> Option<TopicRecord> {
        let Json { version, source, origins, target, deletion } = serde_json::from_slice(value).ok()?;
        let source = SourceIdentity {
            cluster_id: source.cluster_id,
            topic: source.topic,
            topic_id: source.topic_id.parse().ok()?,
        };
        let target_topic_id = target.topic_id.parse().ok()?;
        (version == VERSION).then_some(TopicRecord { source, origins, target_topic_id, deletion })
    }
}

/// The key for a topic of the target.
pub(crate) fn key_of(topic: &str) -> String {
    format!("{KEY_PREFIX}{topic}")
}

/// The topic of a key, if it is one of these.
pub(crate) fn topic_of(key: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX).map(Arc::from)
}

const KEY_PREFIX: &str = "topic/";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> TopicId {
        std::iter::repeat_n(letter, 21).chain(['g']).collect::<String>().parse().expect("an id")
    }

    fn source(topic_id: TopicId) -> SourceIdentity {
        SourceIdentity { cluster_id: "east".to_owned(), topic: "orders".to_owned(), topic_id }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let record = TopicRecord {
            source: source(id('Y')),
            origins: Vec::new(),
            target_topic_id: id('Z'),
            deletion: None,
        };
        assert_eq!(TopicRecord::from_json(&record.to_json()), Some(record.clone()));
        let deletion = Some(Deletion { due_ms: 5_000, ends: vec![7, 0], carried_out_ms: None });
        let leaving = TopicRecord { deletion, ..record.clone() };
        assert_eq!(TopicRecord::from_json(&leaving.to_json()), Some(leaving));
        let passed = TopicRecord { origins: vec!["north".to_owned(), "south".to_owned()], ..record.clone() };
        assert_eq!(TopicRecord::from_json(&passed.to_json()), Some(passed));
        // Fixed for ever: earlier releases' records must be read.
        assert_eq!(
            String::from_utf8(record.to_json()).expect("text"),
            r#"{"version":1,"source":{"cluster_id":"east","topic":"orders","topic_id":"YYYYYYYYYYYYYYYYYYYYYg"},"target":{"topic_id":"ZZZZZZZZZZZZZZZZZZZZZg"}}"#
        );
        for damaged in [&b""[..], b"{}"] {
            assert_eq!(TopicRecord::from_json(damaged), None);
        }
        assert_eq!(topic_of(key_of("a.b").as_bytes()), Some("a.b".into()));
        assert_eq!(
            crate::state_topic::record::partition_of(key_of("a.b").as_bytes()),
            None,
            "no other record"
        );
        assert_eq!(topic_of(b"partition/a/0"), None);
    }

    #[test]
    fn it_is_of_one_topic_on_each_side() {
        let record = TopicRecord {
            source: source(id('Y')),
            origins: Vec::new(),
            target_topic_id: id('Z'),
            deletion: None,
        };
        assert!(record.is_of(&source(id('Y')), id('Z')));
        assert!(record.is_of(&source(TopicId::NONE), id('Z')), "a source without ids");
        assert!(!record.is_of(&source(id('Y')), id('X')), "the target topic was made anew");
        assert!(!record.is_of(&source(id('X')), id('Z')), "the source topic was");
        assert!(!record.is_of(&SourceIdentity { cluster_id: "west".to_owned(), ..source(id('Y')) }, id('Z')));
        let nameless = TopicRecord { target_topic_id: TopicId::NONE, ..record };
        assert!(!nameless.is_of(&source(id('Y')), TopicId::NONE), "a name alone says nothing");
    }
}
