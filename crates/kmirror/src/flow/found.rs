//! What a look at both clusters finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{ClusterMetadata, TopicId};

use super::missing::Missing;
use crate::ground::park::Parked;
use crate::ground::rules::TopicRules;
use crate::topics::{TopicPair, topic_id};

/// What the supervisor knows of a source topic.
#[derive(Clone, Debug)]
pub(crate) struct KnownTopic {
    pub(crate) partitions: i32,
    pub(crate) source_topic_id: TopicId,
    pub(crate) ownership: Ownership,
}

/// Whether a topic of the target is the flow's own.
#[derive(Clone, Debug)]
pub(crate) enum Ownership {
    Owned,
    /// The state topic says so. Nothing of it is changed before all of its partitions were taken over: somebody may have written to it since.
    /// `needs_settings`: it would not keep what is copied to it as it is.
    Recorded {
        needs_settings: bool,
    },
    /// It was there before, and it is being found out.
    Unknown,
    /// One of its partitions is parked for what it is, and so is what is new of it.
    Disputed(Parked),
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// What was not known before.
    pub(crate) found: Vec<FoundTopic>,
    /// Source topics that were known and are not there any more.
    pub(crate) missed: Vec<Arc<str>>,
    /// Topics that are selected and of which nothing is copied, and why.
    pub(crate) missing: Missing,
    /// Source topics that would be copied for ever, and the flows that they pass. They are left out.
    pub(crate) looping: BTreeMap<Arc<str>, String>,
    /// Source topics that another flow has filled from this flow's target. They are left out.
    pub(crate) returning: Returning,
}

/// Source topics that came from the target, by name and id.
pub(crate) type Returning = BTreeMap<Arc<str>, TopicId>;

/// A topic with partitions that were not known before.
#[derive(Debug)]
pub(crate) struct FoundTopic {
    pub(crate) pair: TopicPair,
    /// Its first partition that was not known.
    pub(crate) first_partition: i32,
    pub(crate) source_topic_id: TopicId,
    pub(crate) target_topic_id: TopicId,
    pub(crate) rules: TopicRules,
    pub(crate) source_rules: TopicRules,
    /// Whether heads may have to be filled while the topic is not compacted as it should be.
    pub(crate) may_need_heads: bool,
    /// Where the source's partitions end, for a flow that runs once.
    pub(crate) goals: BTreeMap<i32, i64>,
    /// Why nothing may be copied to it.
    pub(crate) parked: Option<Parked>,
    pub(crate) ownership: Ownership,
}

impl KnownTopic {
    pub(crate) fn is_owned(&self) -> bool {
        matches!(self.ownership, Ownership::Owned)
    }

    /// Whether the topic has more partitions on the source than are known. Of one that is another topic by now, or of which it is being found
    /// out whether the target's is the flow's, nothing new is begun.
    pub(crate) fn has_grown(&self, pair: &TopicPair, source: &ClusterMetadata) -> bool {
        self.partitions < pair.partitions
            && self.source_topic_id == topic_id(source, &pair.source)
            && !matches!(self.ownership, Ownership::Unknown)
    }
}
