//! Source topics that were deleted: their partitions leave the flow, and the policy says what becomes of the target's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use kmirror_client::clock;
use tracing::{info, warn};

use super::Supervisor;
use crate::config::OnDeleted;
use crate::event::PartitionKey;
use crate::park::{ParkReason, Parked};

/// What is known of topics that are not on the source any more.
#[derive(Debug, Default)]
pub(super) struct GoneTopics {
    /// In how many looks in a row each was not there: a broker that has just started may not know of it yet.
    missed: HashMap<Arc<str>, u32>,
    deletions: Vec<Deletion>,
}

/// A target topic that is to be deleted unless its source is back before.
#[derive(Debug)]
struct Deletion {
    source: Arc<str>,
    target: Arc<str>,
    due: Instant,
}

impl GoneTopics {
    /// Those that are gone for good, now that a look has missed these.
    fn confirmed(&mut self, missed: Vec<Arc<str>>) -> Vec<Arc<str>> {
        self.missed.retain(|topic, _| missed.contains(topic));
        let mut confirmed = Vec::new();
        for topic in missed {
            let looks = self.missed.entry(Arc::clone(&topic)).or_default();
            *looks += 1;
            if *looks >= LOOKS_MIN {
                self.missed.remove(&topic);
                confirmed.push(topic);
            }
        }
        confirmed
    }

    /// Forgets all source topics but these.
    pub(super) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.missed.retain(|topic, _| stays(topic));
        self.deletions.retain(|deletion| stays(&deletion.source));
    }

    /// The target topics whose time has come, unless `is_back` says that the source's is.
    fn due(&mut self, now: Instant, is_back: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        self.deletions.retain(|deletion| !is_back(&deletion.source));
        let (due, later) = self.deletions.drain(..).partition::<Vec<_>, _>(|deletion| deletion.due <= now);
        self.deletions = later;
        due.into_iter().map(|deletion| deletion.target).collect()
    }
}

/// What becomes of target topics, where `gone` of `known` source topics are gone at once: more than half of them may be an accident,
/// and nothing is deleted then.
fn guarded(policy: OnDeleted, gone: usize, known: usize) -> OnDeleted {
    match policy {
        OnDeleted::Delete { .. } if gone > 1 && gone * 2 > known => OnDeleted::Ignore,
        policy => policy,
    }
}

impl Supervisor {
    /// Takes in which topics a look has missed.
    pub(super) async fn on_missed(&mut self, missed: Vec<Arc<str>>) {
        let known = self.table.partition_counts().len();
        let gone = self.gone.confirmed(missed);
        let configured = self.context.flow.policies.on_deleted;
        let policy = guarded(configured, gone.len(), known);
        if policy != configured {
            warn!(
                topics = gone.len(),
                "more than half of the source's topics are gone at once, which may be an accident: the target keeps them. If that \
                 is meant, delete them on the target yourself"
            );
        }
        // A run that was to copy it has not, and says so.
        let policy = if self.context.once && policy == OnDeleted::Ignore { OnDeleted::Park } else { policy };
        for topic in gone {
            self.leave(&topic, policy).await;
        }
        let source = self.context.source.metadata();
        let is_back = |topic: &str| source.topic(topic).is_some_and(|topic| topic.error.is_none());
        let due = self.gone.due(clock::now(), is_back);
        if !due.is_empty() {
            self.delete_on_target(due).await;
        }
    }

    async fn leave(&mut self, topic: &Arc<str>, policy: OnDeleted) {
        let concerned = self.table.iter().filter(|(_, entry)| entry.source.topic == *topic);
        let keys: Vec<(PartitionKey, Arc<str>)> =
            concerned.map(|(key, entry)| (key, Arc::clone(&entry.target.topic))).collect();
        for (key, _) in &keys {
            self.release(*key).await;
            if policy == OnDeleted::Park {
                let message =
                    format!("the source topic {topic} was deleted; the target keeps what was copied");
                self.park(*key, Parked::new(ParkReason::SourceDeleted, message));
            }
        }
        self.table.forget(topic);
        if policy != OnDeleted::Park {
            self.context.shared.unpublish(topic);
        }
        let Some((_, target)) = keys.into_iter().next() else { return };
        self.held.remove(&target);
        match policy {
            OnDeleted::Park => {}
            OnDeleted::Ignore => info!(%topic, %target, "the source topic was deleted; the target's stays"),
            OnDeleted::Delete { after } => {
                info!(%topic, %target, ?after, "the source topic was deleted; the target's will be, unless it is back before");
                self.gone.deletions.push(Deletion {
                    source: Arc::clone(topic),
                    target,
                    due: clock::now() + after,
                });
            }
        }
    }

    async fn delete_on_target(&mut self, topics: Vec<Arc<str>>) {
        match self.context.target.delete_topics(&topics).await {
            Ok(deleted) => {
                for (topic, deleted) in deleted {
                    match deleted {
                        Ok(()) => info!(%topic, "deleted on the target, as on the source"),
                        Err(error) => {
                            warn!(%topic, %error, "cannot be deleted on the target; kmirror needs DELETE on the topic")
                        }
                    }
                }
            }
            Err(error) => warn!(?topics, %error, "cannot be deleted on the target"),
        }
    }
}

const LOOKS_MIN: u32 = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_topic_is_gone_when_two_looks_in_a_row_have_missed_it() {
        let mut gone = GoneTopics::default();
        let topics = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        assert_eq!(gone.confirmed(topics(&["a", "b"])), topics(&[]));
        assert_eq!(gone.confirmed(topics(&["b"])), topics(&["b"]));
        assert_eq!(gone.confirmed(topics(&["a"])), topics(&[]), "it was back in between");
        assert_eq!(gone.confirmed(topics(&["a"])), topics(&["a"]));
    }

    #[test]
    fn more_than_half_of_the_topics_are_never_deleted_at_once() {
        let delete = OnDeleted::Delete { after: Duration::from_secs(1) };
        for (gone, known, policy) in [
            (1, 1, delete),
            (1, 2, delete),
            (2, 4, delete),
            (2, 3, OnDeleted::Ignore),
            (5, 5, OnDeleted::Ignore),
        ] {
            assert_eq!(guarded(delete, gone, known), policy, "{gone} of {known}");
            assert_eq!(guarded(OnDeleted::Park, gone, known), OnDeleted::Park);
        }
    }

    #[test]
    fn a_topic_that_is_back_is_not_deleted() {
        let now = clock::now();
        let deletion = |name: &str, due| Deletion { source: name.into(), target: name.into(), due };
        let mut gone = GoneTopics::default();
        let later = now + Duration::from_secs(60);
        gone.deletions.extend([deletion("back", now), deletion("due", now), deletion("later", later)]);
        assert_eq!(gone.due(now, |topic| topic == "back"), [Arc::from("due")]);
        assert_eq!(gone.due(later, |_| false), [Arc::from("later")], "back is forgotten");
    }
}
