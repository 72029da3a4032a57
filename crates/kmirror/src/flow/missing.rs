//! The topics that a flow is to copy and of which nothing is copied. Each is known by name, and holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ground::status::{MissingReason, MissingTopic};

/// By the topic on the source.
pub(crate) type Missing = BTreeMap<Arc<str>, MissingReason>;

/// What is known of them, and when each is tried again.
///
/// ```text
///   selected ──▶ found (its partitions have a life of their own)
///      │  ▲
///      ▼  └── tried again, at each look or, where the target has refused it, after a pause
///   missing(reason); one that waits keeps its flow from being complete
/// ```
#[derive(Debug, Default)]
pub(crate) struct MissingTopics {
    topics: BTreeMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    reason: MissingReason,
    /// Not before.
    next_attempt: Instant,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A topic is missing, or for another reason than before.
    Missing(Arc<str>, MissingReason),
    /// It is not any more: it is copied, or is not selected.
    Found(Arc<str>),
}

impl MissingTopics {
    /// Those that are left alone by a look that begins now.
    pub(crate) fn resting(&self, now: Instant) -> Missing {
        let resting = self.topics.iter().filter(|(_, entry)| entry.next_attempt > now);
        resting.map(|(topic, entry)| (Arc::clone(topic), entry.reason.clone())).collect()
    }

    /// All of them, after a look. `pause`: how long one rests that was refused.
    pub(crate) fn looked(&mut self, now: Instant, missing: Missing, pause: Duration) -> Vec<Told> {
        let found: Vec<_> =
            self.topics.keys().filter(|topic| !missing.contains_key(*topic)).cloned().collect();
        let mut told = Vec::new();
        for topic in found {
            self.topics.remove(&topic);
            told.push(Told::Found(topic));
        }
        for (topic, reason) in missing {
            let before = self.topics.get(&topic);
            let is_resting = before.is_some_and(|before| before.next_attempt > now);
            if before.is_none_or(|before| before.reason != reason) {
                told.push(Told::Missing(Arc::clone(&topic), reason.clone()));
            }
            let next_attempt = match (&reason, before) {
                (_, Some(before)) if is_resting => before.next_attempt,
                (MissingReason::Refused(_), _) => now + pause,
                _ => now,
            };
            self.topics.insert(topic, Entry { reason, next_attempt });
        }
        told
    }

    /// As others see them.
    pub(crate) fn shown(&self, flow: &str) -> Vec<MissingTopic> {
        let shown = self.topics.iter().map(|(topic, entry)| MissingTopic {
            flow: flow.to_owned(),
            source_topic: topic.to_string(),
            reason: entry.reason.clone(),
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::park::{ParkReason, Parked};

    fn refused(text: &str) -> MissingReason {
        MissingReason::Refused(Parked::new(ParkReason::Rejected, text))
    }

    fn missing(topics: &[(&str, MissingReason)]) -> Missing {
        topics.iter().map(|(topic, reason)| (Arc::from(*topic), reason.clone())).collect()
    }

    #[test]
    fn a_topic_is_told_once_and_a_refused_one_rests() {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        let (pause, second) = (Duration::from_secs(30), Duration::from_secs(1));
        let mut topics = MissingTopics::default();
        let both = missing(&[("a", refused("no")), ("b", MissingReason::Awaited)]);
        let told = topics.looked(now, both.clone(), pause);
        assert_eq!(told.len(), 2);
        assert_eq!(
            topics.resting(now + second),
            missing(&[("a", refused("no"))]),
            "the other one is looked for"
        );
        assert_eq!(topics.looked(now + second, both, pause), [], "each is told once");
        assert_eq!(topics.resting(now + second * 29).len(), 1, "a look does not prolong the rest");
        assert_eq!(topics.resting(now + pause).len(), 0, "then it is tried again");
        let told = topics.looked(now + pause, missing(&[("a", refused("still"))]), pause);
        let expected = [Told::Found(Arc::from("b")), Told::Missing(Arc::from("a"), refused("still"))];
        assert_eq!(told, expected, "other words are told");
        assert_eq!(topics.shown("f").len(), 1);
        assert_eq!(topics.looked(now + pause * 2, Missing::new(), pause), [Told::Found(Arc::from("a"))]);
    }
}
