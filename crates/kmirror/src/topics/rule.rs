//! Which rule decides whether a topic of the source is copied. Pure.

use std::fmt;
use std::sync::Arc;

use kmirror_client::TopicMetadata;

use crate::ground::config::Flow;
use crate::ground::selection::{Selection, TopicMatcher};

/// Why a topic of the source is copied, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicRule {
    /// It is copied: this item of `include` matches its name, and none of `exclude` does.
    Included(Arc<str>),
    /// This item of `exclude` matches its name.
    Excluded(Arc<str>),
    /// No item of `include` matches its name.
    NotIncluded,
    /// It is Kafka's own, or one of MirrorMaker's internal topics.
    Internal,
    /// Its prefix says that it came from the target.
    CameFromTarget(String),
    /// What it would be on the target is written by the flow itself (`mm2_topics`).
    WrittenByFlow,
    /// The source cannot tell of it now.
    NotDescribed(String),
    /// It has the same name on the target as this other topic, which is copied instead.
    Collides(String),
    /// It would be copied for ever, along these flows, so that the mirror does not start.
    Loop(String),
}

impl TopicRule {
    /// Whether the topic is copied.
    pub fn selects(&self) -> bool {
        matches!(self, TopicRule::Included(_))
    }
}

impl fmt::Display for TopicRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicRule::Included(pattern) => write!(formatter, "include {pattern}"),
            TopicRule::Excluded(pattern) => write!(formatter, "exclude {pattern}"),
            TopicRule::NotIncluded => formatter.write_str("not included"),
            TopicRule::Internal => formatter.write_str("internal topic"),
            TopicRule::CameFromTarget(alias) => write!(formatter, "came from {alias}"),
            TopicRule::WrittenByFlow => formatter.write_str("written by kmirror itself"),
            TopicRule::NotDescribed(error) => write!(formatter, "not described: {error}"),
            TopicRule::Collides(other) => {
                write!(formatter, "refused: {other} has the same name on the target")
            }
            TopicRule::Loop(circle) => write!(formatter, "refused: a loop by {circle}"),
        }
    }
}

/// The rule for a topic alone.
pub(crate) fn of_topic(flow: &Flow, matcher: &TopicMatcher, name: &str, topic: &TopicMetadata) -> TopicRule {
    if topic.is_internal {
        return TopicRule::Internal;
    }
    let included = match matcher.selection(name) {
        Selection::Internal => return TopicRule::Internal,
        Selection::NotIncluded => return TopicRule::NotIncluded,
        Selection::Excluded(pattern) => return TopicRule::Excluded(Arc::clone(pattern)),
        Selection::Included(pattern) => Arc::clone(pattern),
    };
    if let Some(error) = &topic.error {
        return TopicRule::NotDescribed(error.to_string());
    }
    if flow.naming.came_from(name, &flow.target) {
        return TopicRule::CameFromTarget(flow.target.clone());
    }
    let target = flow.naming.target_topic(&flow.source, name);
    // The memory of this flow, or that of one the other way.
    if [name, target.as_str()].contains(&flow.state_topic.as_str()) {
        return TopicRule::WrittenByFlow;
    }
    if flow.mm2_topics.heartbeats && flow.mm2_topics.are_heartbeats(&flow.source, &target) {
        return TopicRule::WrittenByFlow;
    }
    TopicRule::Included(included)
}
