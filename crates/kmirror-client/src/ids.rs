//! Names of things in a cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// One partition of one topic. Ordered by topic, then partition; shown as `topic-0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A broker's node id, unique in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

impl BrokerId {
    /// The broker of a response field, where a negative id stands for none.
    pub(crate) fn from_wire(id: i32) -> Option<Self> {
        (id >= 0).then_some(Self(id))
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic's id: a topic that was deleted and created again has another one. Brokers before 2.8 have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The zero id, which stands for a topic whose id is not known.
    pub const NONE: Self = Self(Uuid::nil());

    /// Whether this is the zero id.
    pub fn is_none(self) -> bool {
        self.0.is_nil()
    }

    /// Whether both are known, and are the ids of two topics.
    pub fn is_other_than(self, other: TopicId) -> bool {
        !self.is_none() && !other.is_none() && self != other
    }
}

/// As Kafka's tools print it (`org.apache.kafka.common.Uuid`): 22 characters of URL-safe base64.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

/// A text that is no topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: expected 22 characters of URL-safe base64")]
pub struct InvalidTopicId;

impl FromStr for TopicId {
    type Err = InvalidTopicId;

    fn from_str(text: &str) -> Result<Self, InvalidTopicId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidTopicId)?;
        Uuid::from_slice(&bytes).map(Self).map_err(|_| InvalidTopicId)
    }
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Everything below the high watermark.
    ReadUncommitted,
    /// Everything below the last stable offset; aborted transactions are listed.
    #[default]
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn to_wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// A string for a request.
pub(crate) fn to_wire(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
