//! Source topics that were deleted: their partitions leave the flow, and the policy says what becomes of the target's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::Supervisor;
use crate::flow::deletions::{Deleter, Fate, Left};
use crate::flow::event::FlowEvent;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::partition::PartitionKey;
use crate::ground::policies::OnDeleted;
use crate::ground::status::DueDeletion;
use crate::logs::records::now_ms;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::topic_record::TopicRecord;

/// In how many looks in a row topics were not there: a broker that has just started may not know of one yet.
#[derive(Debug, Default)]
pub(super) struct GoneTopics {
    missed: BTreeMap<Arc<str>, u32>,
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
    }
}

impl Supervisor {
    /// Takes in which topics a look has missed.
    pub(super) async fn on_missed(&mut self, missed: Vec<Arc<str>>) {
        let policy = self.context.flow.policies.on_deleted;
        // A run that was to copy it has not, and says so.
        let policy = if self.context.once && policy == OnDeleted::Ignore { OnDeleted::Park } else { policy };
        for topic in self.gone.confirmed(missed) {
            self.leave(&topic, policy).await;
        }
        self.look_at_deletions();
    }

    async fn leave(&mut self, topic: &Arc<str>, policy: OnDeleted) {
        let left = self.left(topic);
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
        self.unowned.remove(&target);
        match (policy, left) {
            (OnDeleted::Park, _) => {}
            (OnDeleted::Ignore, _) => {
                info!(%topic, %target, "the source topic was deleted; the target's stays")
            }
            (OnDeleted::Delete { .. }, Err(why)) => {
                warn!(%topic, %target, why, "the source topic was deleted; the target's stays");
            }
            (OnDeleted::Delete { after, .. }, Ok(left)) => self.intend_deletion(left, after),
        }
        self.context.shared.disown(&target);
    }

    /// The copy of a topic that is gone, if it is this flow's and holds everything that the source was seen to have.
    fn left(&self, topic: &Arc<str>) -> Result<Left, String> {
        let entries: Vec<_> =
            self.table.iter().map(|(_, entry)| entry).filter(|entry| entry.source.topic == *topic).collect();
        let Some(first) = entries.first() else { return Err("nothing is known of it".to_owned()) };
        let owned = self.context.shared.owned_topic(&first.target.topic, &self.context.target.metadata());
        let Some(owned) = owned else {
            return Err("it is not this flow's, or one of its partitions is parked".to_owned());
        };
        let mut ranges = Vec::new();
        for entry in &entries {
            let partition = entry.target.partition;
            let (position, end) = (entry.gauge.position(), entry.gauge.source_end());
            let record = entry.record.as_ref().filter(|record| !record.lineage.is_continuing());
            let Some(record) = record.filter(|_| !entry.gauge.is_parked()) else {
                return Err(format!(
                    "what its partition {partition} holds is not known to be the source's alone"
                ));
            };
            if position < 0 || position < end || entry.gauge.has_open_head() {
                return Err(format!(
                    "its partition {partition} was not copied to the end: {position} of {end}"
                ));
            }
            let first = record.earlier.first().and_then(|earlier| earlier.runs.first()).copied();
            let first = first.unwrap_or(record.lineage.first());
            ranges.push([first.target, record.lineage.target_of(position)]);
        }
        Ok(Left {
            source: SourceIdentity {
                cluster_id: self.source_cluster_id.clone(),
                topic: topic.to_string(),
                topic_id: owned.source_topic_id,
            },
            target: Arc::clone(&first.target.topic),
            target_topic_id: owned.target_topic_id,
            ranges,
        })
    }

    fn deleter(&self) -> Deleter {
        Deleter {
            flow: self.context.flow.clone(),
            source: self.context.source.clone(),
            target: self.context.target.clone(),
        }
    }

    fn intend_deletion(&mut self, left: Left, after: Duration) {
        let deleter = self.deleter();
        self.errand(async move {
            let (source, target) = (left.source.topic.clone(), Arc::clone(&left.target));
            let mut intended = deleter.intend(left.clone(), now_ms(), after).await;
            // It is all the flow knows of it: a cluster that does not answer now is asked again.
            for _ in 0..INTEND_ATTEMPTS_MAX {
                if !matches!(intended, Err(Fate::PutOff(_))) {
                    break;
                }
                tokio::time::sleep(INTEND_PAUSE).await;
                intended = deleter.intend(left.clone(), now_ms(), after).await;
            }
            FlowEvent::DeletionIntended { source, target, intended: intended.map(Box::new) }
        });
    }

    pub(super) fn on_deletion_intended(
        &mut self,
        source: &str,
        target: Arc<str>,
        intended: Result<Box<TopicRecord>, Fate>,
    ) {
        match intended {
            Ok(record) => {
                info!(topic = source, %target, "the source topic was deleted; the target's will be, unless it is back before");
                self.deletions.intend(target, *record);
                self.publish_deletions();
            }
            Err(Fate::Withdrawn(why) | Fate::PutOff(why)) => {
                warn!(topic = source, %target, why, "the source topic was deleted; the target's stays");
            }
            Err(Fate::Deleted) => {}
        }
    }

    /// What an earlier process of the flow has intended.
    pub(super) async fn read_deletions(&mut self) {
        let Ok(known) = self.state.known().await else { return };
        let selected = &self.discovery.terms.selected.topics;
        for (target, record) in known.topics {
            let is_ours =
                record.source.cluster_id == self.source_cluster_id && selected.matches(&record.source.topic);
            let Some(deletion) = record.deletion.as_ref().filter(|_| is_ours) else { continue };
            if let Some(carried_out_ms) = deletion.carried_out_ms {
                self.deletions.remember(carried_out_ms);
            } else {
                info!(%target, topic = record.source.topic, "the target's topic is to be deleted, as its source was");
                self.deletions.intend(target, record);
            }
        }
        self.publish_deletions();
    }

    /// Withdraws the deletions of topics that are back, and carries out what is due.
    fn look_at_deletions(&mut self) {
        let metadata = self.context.source.metadata();
        let is_back = |topic: &str| metadata.topic(topic).is_some_and(|topic| topic.error.is_none());
        for (target, record) in self.deletions.of(is_back) {
            info!(topic = record.source.topic, %target, "the source topic is back: the target's is not deleted");
            self.withdraw_deletion(target, record);
        }
        let OnDeleted::Delete { after, even_all } = self.context.flow.policies.on_deleted else { return };
        let due = self.deletions.due(now_ms(), after, self.table.partition_counts().len(), even_all);
        for target in &due.held {
            warn!(
                %target, gone = due.gone, known = due.known,
                "more than half of the source's topics are gone, which may be an accident: the target keeps them. If that is meant, delete \
                 them on the target yourself, or set even_all beside delete_after"
            );
        }
        for (target, record) in due.topics {
            let deleter = self.deleter();
            self.errand(async move {
                let fate = deleter.carry_out(&target, &record).await;
                FlowEvent::DeletionEnded { target, record: Box::new(record), fate }
            });
        }
        self.publish_deletions();
    }

    /// It is intended until it is recorded that it is not.
    fn withdraw_deletion(&mut self, target: Arc<str>, record: TopicRecord) {
        self.deletions.is_worked_at(&target);
        let deleter = self.deleter();
        self.errand(async move {
            let withdrawn = deleter.withdraw(&target, record).await;
            FlowEvent::DeletionWithdrawn { target, withdrawn }
        });
    }

    pub(super) fn on_deletion_withdrawn(&mut self, target: &str, withdrawn: Result<(), Fate>) {
        match withdrawn {
            Ok(()) => self.deletions.withdraw(target),
            Err(fate) => {
                debug!(
                    target,
                    ?fate,
                    "that the topic is not to be deleted could not be recorded; it is tried again"
                );
                self.deletions.is_put_off(target);
            }
        }
        self.publish_deletions();
    }

    pub(super) fn on_deletion_ended(&mut self, target: Arc<str>, record: TopicRecord, fate: Fate) {
        match fate {
            Fate::Deleted => {
                info!(topic = %target, "deleted on the target, as on the source");
                self.deletions.is_done(&target, now_ms());
            }
            Fate::Withdrawn(why) => {
                warn!(topic = %target, why, "not deleted on the target: it is not what it was when its source was deleted");
                self.withdraw_deletion(target, record);
            }
            Fate::PutOff(why) => {
                debug!(topic = %target, why, "cannot be deleted on the target now; it is tried again");
                self.deletions.is_put_off(&target);
            }
        }
        self.publish_deletions();
    }

    fn publish_deletions(&self) {
        let deletions = self.deletions.iter().map(|(target, record, is_held)| DueDeletion {
            source_topic: record.source.topic.clone(),
            target_topic: target.to_string(),
            due_ms: record.deletion.as_ref().map_or(i64::MAX, |deletion| deletion.due_ms),
            is_held,
        });
        self.context.shared.publish_deletions(deletions.collect());
    }
}

const LOOKS_MIN: u32 = 2;
const INTEND_ATTEMPTS_MAX: u32 = 10;
const INTEND_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
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
}
