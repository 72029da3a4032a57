//! Topics of the target that were there before the flow knew of them: whose they are is found out before anything of them is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::TopicPartition;
use tracing::{debug, error, info};

use super::Supervisor;
use super::settling::Settling;
use crate::flow::event::{FlowEvent, Settled};
use crate::flow::found::{FoundTopic, KnownTopic, Ownership};
use crate::flow::heads::HeldTopic;
use crate::flow::owned::UnownedTopic;
use crate::flow::table::Entry;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::partition::PartitionKey;
use crate::ground::shared::OwnedTopic;
use crate::ground::status::PartitionState;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::topic_record::TopicRecord;
use crate::takeover::TakenOver;
use crate::topics;

impl Supervisor {
    /// Takes over every partition of a topic, to see what it holds.
    pub(super) fn ask_whose(&mut self, topic: &FoundTopic, keys: &[(i32, PartitionKey)]) {
        let pair = &topic.pair;
        let mut unowned = UnownedTopic::new(Arc::clone(&pair.source), pair.partitions, topic.may_need_heads);
        if let Ownership::Recorded { needs_settings } = topic.ownership {
            unowned = unowned.recorded(needs_settings);
        }
        let grows = self.context.flow.creates_topics;
        let (mut asked, mut parked) = (Vec::new(), Vec::new());
        for (number, key) in keys {
            match topics::missing_partition(pair, *number) {
                None => {
                    unowned.asks(*key);
                    asked.push(*key);
                }
                Some(_) if grows => unowned.misses(*key),
                Some(missing) => parked.push((*key, missing)),
            }
        }
        let missing: Vec<_> = unowned.missing().collect();
        self.unowned.insert(Arc::clone(&pair.target), unowned);
        for key in missing {
            self.set_waiting(
                key,
                "the target topic has fewer partitions: it gets them once it is known to be this flow's",
            );
        }
        parked.into_iter().for_each(|(key, parked)| self.park(key, parked));
        asked.into_iter().for_each(|key| self.take_over(key));
    }

    /// What it holds is the source's, as far as this partition goes. Whether it is appended to before the others were looked at.
    pub(super) fn on_unowned_taken(
        &mut self,
        topic: &Arc<str>,
        key: PartitionKey,
        taken: &TakenOver,
    ) -> bool {
        let Some(unowned) = self.unowned.get_mut(topic) else { return true };
        unowned.taken_over(key, taken.target_end);
        let goes_on = unowned.goes_on(key, taken.changes_topic());
        match unowned.dispute().cloned() {
            _ if goes_on => {}
            Some(parked) => self.park(key, not_grown(&parked)),
            None => {
                self.set_waiting(key, "the topic was there before: its other partitions are looked at first")
            }
        }
        self.settle(topic);
        goes_on
    }

    /// Another instance appends to it, which is as good: what it holds is the source's.
    pub(super) fn on_unowned_moved(&mut self, topic: &Arc<str>, key: PartitionKey) {
        let Some(unowned) = self.unowned.get_mut(topic).filter(|unowned| unowned.is_recorded) else { return };
        unowned.taken_over(key, -1);
        unowned.goes_on(key, false);
        self.settle(topic);
    }

    /// A partition is parked. Where it holds what is not the source's, the topic is somebody else's, and nothing is copied into it.
    pub(super) fn on_unowned_parked(&mut self, topic: &Arc<str>, key: PartitionKey, parked: &Parked) {
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        if !parked.reason.is_of_identity() {
            unowned.parked(key);
            return self.settle(topic);
        }
        if unowned.is_recorded {
            return self.on_disputed(topic, key, parked);
        }
        let parked = not_ours(key_number(self.table.get(key).map(|entry| &entry.target)), parked);
        self.park_not_ours(topic, Some(key), &parked);
    }

    /// Somebody has written to a copy of the flow's. Nothing of the topic is changed any more in this run; what needs no change goes on.
    fn on_disputed(&mut self, topic: &Arc<str>, key: PartitionKey, parked: &Parked) {
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        if unowned.disputed(key, parked) {
            let going = unowned.let_go();
            let hopeless = unowned.hopeless();
            going.into_iter().for_each(|key| self.take_over(key));
            hopeless.into_iter().for_each(|key| self.park(key, not_grown(parked)));
        }
    }

    /// Parks all partitions of somebody else's topic but one, those too that are parked for what may pass: they would go on after it.
    fn park_not_ours(&mut self, topic: &Arc<str>, except: Option<PartitionKey>, parked: &Parked) {
        self.unowned.remove(topic);
        let siblings =
            self.table.iter_mut().filter(|(key, entry)| entry.target.topic == *topic && Some(*key) != except);
        let mut keys = Vec::new();
        for (key, entry) in siblings {
            // What a take-over of it would say now is of no interest.
            entry.generation += 1;
            keys.push(key);
        }
        keys.into_iter().for_each(|key| self.park(key, parked.clone()));
    }

    /// A partition that is parked for what may pass is looked at again.
    pub(super) fn on_unowned_asked_again(&mut self, topic: &Arc<str>, key: PartitionKey) {
        if let Some(unowned) = self.unowned.get_mut(topic) {
            unowned.asks(key);
        }
    }

    /// Tries to settle those that could not be settled before.
    pub(super) fn settle_unowned(&mut self) {
        let topics: Vec<_> = self.unowned.keys().cloned().collect();
        topics.iter().for_each(|topic| self.settle(topic));
    }

    /// Once everything of it was looked at: the topic is recorded, and gets what the source's has, before anything is appended.
    fn settle(&mut self, topic: &Arc<str>) {
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        if unowned.is_confirmed() {
            return self.owns(topic, None);
        }
        if !unowned.begin_to_settle() {
            return;
        }
        let is_recorded = unowned.is_recorded;
        let (source_topic, partitions) = (Arc::clone(&unowned.source), unowned.partitions);
        let unknown: Vec<_> = unowned.parked_ones().collect();
        let taken: Vec<_> = unowned.taken_ones().collect();
        let taken =
            taken.into_iter().filter_map(|(key, end)| Some((self.table.get(key)?.target.clone(), end)));
        let taken: Vec<_> = taken.collect();
        let unknown = unknown.into_iter().filter_map(|key| {
            let entry = self.table.get(key)?;
            let PartitionState::Parked(parked) = entry.gauge.state() else { return None };
            Some((entry.target.clone(), parked.reason))
        });
        let unknown: Vec<_> = unknown.collect();
        let Some((_, entry)) = self.table.iter().find(|(_, entry)| entry.target.topic == *topic) else {
            return;
        };
        let record = TopicRecord {
            source: SourceIdentity {
                cluster_id: self.source_cluster_id.clone(),
                topic: source_topic.to_string(),
                topic_id: entry.source_topic_id,
            },
            origins: Vec::new(),
            target_topic_id: entry.target_topic_id,
            deletion: None,
        };
        let settling = Settling {
            flow: self.context.flow.clone(),
            source: self.context.source.clone(),
            target: self.context.target.clone(),
            source_topic,
            topic: Arc::clone(topic),
            partitions,
            is_recorded,
            unknown,
            taken,
            state: self.state.clone(),
            record,
        };
        let (topic, turns) = (Arc::clone(topic), Arc::clone(&self.take_overs));
        self.errand(async move {
            // Each asks several times: thousands at once would keep a broker from everything else.
            let _turn = turns.acquire_owned().await;
            FlowEvent::Settled { topic, settled: settling.run().await.map(Box::new) }
        });
    }

    pub(super) fn on_settled(&mut self, topic: &Arc<str>, settled: Result<Box<Settled>, TakeOverFailure>) {
        let Some(unowned) = self.unowned.get_mut(topic).filter(|unowned| unowned.dispute().is_none()) else {
            return;
        };
        let settled = match settled {
            Ok(settled) => settled,
            Err(TakeOverFailure::Park(parked)) if parked.reason.is_of_identity() => {
                return self.park_not_ours(topic, None, &parked);
            }
            Err(TakeOverFailure::Park(parked)) => {
                unowned.is_unsettled();
                let (going, waiting) = (unowned.let_go(), unowned.waiting());
                going.into_iter().for_each(|key| self.take_over(key));
                return waiting.into_iter().for_each(|key| self.park_until_settled(key, &parked));
            }
            Err(TakeOverFailure::Moved { .. }) => {
                unowned.is_unsettled();
                let taken: Vec<_> = unowned.taken_ones().collect();
                for (key, _) in taken {
                    self.on_unowned_asked_again(topic, key);
                    self.take_over(key);
                }
                return;
            }
            Err(TakeOverFailure::Again(cause)) => {
                debug!(%topic, cause, "whether the topic is this flow's is not known yet");
                unowned.is_unsettled();
                let waiting = unowned.waiting();
                return waiting.into_iter().for_each(|key| self.set_waiting(key, &cause));
            }
        };
        self.owns(topic, Some(&settled));
    }

    /// The topic is the flow's, and what waits for that goes on. `settled`: what came of it, where something was to be done.
    fn owns(&mut self, topic: &Arc<str>, settled: Option<&Settled>) {
        let Some(unowned) = self.unowned.remove(topic) else { return };
        let Some((_, entry)) = self.table.iter().find(|(_, entry)| entry.target.topic == *topic) else {
            return;
        };
        let Entry { source_topic_id, target_topic_id, .. } = *entry;
        if !unowned.is_recorded {
            info!(flow = self.context.flow.name(), %topic, "the target's topic holds what the source's has: it is this flow's");
        }
        self.context.shared.own(topic, OwnedTopic { source_topic_id, target_topic_id });
        let keys = unowned.waiting();
        if unowned.is_held() {
            let held = HeldTopic::new(keys.iter().copied());
            self.held.insert(Arc::clone(topic), held);
        }
        let mut parked = Vec::new();
        for key in &keys {
            let Some(entry) = self.table.get(*key) else { continue };
            entry.attempts = 0;
            let Some(settled) = settled else { continue };
            entry.apply_rules(settled.rules);
            let is_missing = entry.target.partition >= settled.partitions;
            let missing = is_missing.then(|| topics::lacks(unowned.partitions, settled.partitions));
            parked.extend(settled.parked.clone().or(missing).map(|parked| (*key, parked)));
        }
        for key in keys {
            match parked.iter().find(|(parked, _)| *parked == key) {
                Some((_, parked)) => self.park(key, parked.clone()),
                None => self.take_over(key),
            }
        }
    }

    /// Shows a partition as parked that stands still for another one which is: a run must end. It goes on when the topic is settled.
    fn park_until_settled(&mut self, key: PartitionKey, parked: &Parked) {
        let Some(entry) = self.table.get(key) else { return };
        let state = PartitionState::Parked(parked.clone());
        if entry.gauge.state() != state {
            error!(partition = %entry.source, target = %entry.target, %parked, "parked");
            entry.gauge.set_state(state);
        }
        entry.parked_at = None;
    }

    /// What a look must know.
    pub(super) fn known_topics(&self) -> BTreeMap<Arc<str>, KnownTopic> {
        let owned =
            self.context.shared.owned(&self.context.source.metadata(), &self.context.target.metadata());
        let owned: BTreeSet<_> = owned.into_iter().map(|partition| partition.source_topic).collect();
        let mut known = BTreeMap::new();
        for (_, entry) in self.table.iter() {
            let topic = known.entry(Arc::clone(&entry.source.topic)).or_insert_with(|| KnownTopic {
                partitions: 0,
                source_topic_id: entry.source_topic_id,
                ownership: if owned.contains(&entry.source.topic) {
                    Ownership::Owned
                } else {
                    Ownership::Unknown
                },
            });
            topic.partitions = topic.partitions.max(entry.source.partition + 1);
            if entry.gauge.is_parked_for(ParkReason::is_of_identity)
                && let PartitionState::Parked(parked) = entry.gauge.state()
            {
                topic.ownership = Ownership::Disputed(parked);
            }
        }
        known
    }
}

fn key_number(partition: Option<&TopicPartition>) -> i32 {
    partition.map_or(0, |partition| partition.partition)
}

/// Why the other partitions of somebody else's topic are not copied into it.
fn not_ours(partition: i32, parked: &Parked) -> Parked {
    Parked::new(
        parked.reason,
        format!(
            "the topic is not this flow's, for its partition {partition} is parked ({}): nothing is copied into it and nothing of it is changed",
            parked.reason
        ),
    )
}

/// Why new partitions of a topic that is parked for what it is are not copied.
pub(super) fn not_grown(parked: &Parked) -> Parked {
    Parked::new(
        parked.reason,
        format!(
            "other partitions of the topic are parked ({}): new ones are not copied either",
            parked.reason
        ),
    )
}
