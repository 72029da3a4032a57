//! Topics of the target that were there before the flow knew of them: whose they are is found out before anything of them is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, Isolation, OffsetSpec, TopicPartition, Topics};
use tracing::{debug, error, info};

use super::Supervisor;
use crate::flow::discovery::{self, FoundTopic, KnownTopic, Ownership};
use crate::flow::event::{FlowEvent, Settled};
use crate::flow::heads::HeldTopic;
use crate::flow::owned::UnownedTopic;
use crate::flow::table::Entry;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::partition::PartitionKey;
use crate::ground::shared::OwnedTopic;
use crate::ground::status::PartitionState;
use crate::logs::ends;
use crate::logs::range::failure;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::store::StateStore;
use crate::state_topic::topic_record::TopicRecord;
use crate::topics::{self, TopicPair};

impl Supervisor {
    /// Takes over every partition of a topic, to see what it holds.
    pub(super) fn ask_whose(&mut self, topic: &FoundTopic, keys: &[(i32, PartitionKey)]) {
        let pair = &topic.pair;
        let mut unowned = UnownedTopic::new(Arc::clone(&pair.source), pair.partitions, topic.may_need_heads);
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

    /// What it holds is the source's, as far as this partition goes.
    pub(super) fn on_unowned_taken(&mut self, topic: &Arc<str>, key: PartitionKey, target_end: i64) {
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        unowned.taken_over(key, target_end);
        self.set_waiting(
            key,
            "the topic was there before this flow: its other partitions are looked at first",
        );
        self.settle(topic);
    }

    /// A partition is parked. Where it holds what is not the source's, the topic is somebody else's, and nothing is copied into it.
    pub(super) fn on_unowned_parked(&mut self, topic: &Arc<str>, key: PartitionKey, parked: &Parked) {
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        if !parked.reason.is_of_identity() {
            unowned.parked(key);
            return self.settle(topic);
        }
        let parked = not_ours(key_number(self.table.get(key).map(|entry| &entry.target)), parked);
        self.park_not_ours(topic, Some(key), &parked);
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
        if !unowned.begin_to_settle() {
            return;
        }
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
        let Some(unowned) = self.unowned.get_mut(topic) else { return };
        let settled = match settled {
            Ok(settled) => settled,
            Err(TakeOverFailure::Park(parked)) if parked.reason.is_of_identity() => {
                return self.park_not_ours(topic, None, &parked);
            }
            Err(TakeOverFailure::Park(parked)) => {
                unowned.is_unsettled();
                let waiting = unowned.waiting();
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
        let Some(unowned) = self.unowned.remove(topic) else { return };
        let keys = unowned.waiting();
        if unowned.may_need_heads {
            let held = HeldTopic::new(keys.iter().copied());
            self.held.insert(Arc::clone(topic), held);
        }
        let (mut ids, mut parked) = (None, Vec::new());
        for key in &keys {
            let Some(entry) = self.table.get(*key) else { continue };
            let Entry { source_topic_id, target_topic_id, .. } = *entry;
            ids = Some(OwnedTopic { source_topic_id, target_topic_id });
            entry.apply_rules(settled.rules);
            entry.attempts = 0;
            let is_missing = entry.target.partition >= settled.partitions;
            let missing = is_missing.then(|| topics::lacks(unowned.partitions, settled.partitions));
            parked.extend(settled.parked.clone().or(missing).map(|parked| (*key, parked)));
        }
        info!(flow = self.context.flow.name(), %topic, "the target's topic holds what the source's has: it is this flow's");
        if let Some(ids) = ids {
            self.context.shared.own(topic, ids);
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

/// What makes a topic the flow's.
struct Settling {
    flow: Flow,
    source: Client,
    target: Client,
    source_topic: Arc<str>,
    topic: Arc<str>,
    /// How many the source has.
    partitions: i32,
    /// Partitions that were not taken over, and why: what they hold is not known.
    unknown: Vec<(TopicPartition, ParkReason)>,
    /// Those that were, and where they ended on the target then.
    taken: Vec<(TopicPartition, i64)>,
    state: StateStore,
    record: TopicRecord,
}

impl Settling {
    async fn run(self) -> Result<Settled, TakeOverFailure> {
        let again = |error: Error| TakeOverFailure::Again(error.to_string());
        self.check_unknown().await?;
        self.check_taken().await?;
        let has = self.target_partitions();
        if has > self.partitions {
            self.check_surplus(has).await?;
        }
        discovery::record(&self.flow, &self.target, vec![(Arc::clone(&self.topic), self.record.clone())])
            .await
            .map_err(again)?;
        let pair = [(Arc::clone(&self.source_topic), Arc::clone(&self.topic))];
        let parked =
            topics::preserve::preserve(&self.flow, &self.source, &self.target, &pair).await.map_err(again)?;
        if has < self.partitions && self.flow.creates_topics {
            self.grow(has).await?;
        }
        let rules = topics::rules(&self.flow, &self.target, std::slice::from_ref(&self.topic))
            .await
            .map_err(again)?;
        let rules = rules
            .get(&self.topic)
            .copied()
            .ok_or_else(|| TakeOverFailure::Again("the target topic is not described".to_owned()))?;
        Ok(Settled { rules, partitions: self.target_partitions(), parked: parked.into_values().next() })
    }

    /// A partition that is parked and empty holds nothing of anybody's.
    async fn check_unknown(&self) -> Result<(), TakeOverFailure> {
        let partitions: Vec<_> = self.unknown.iter().map(|(partition, _)| partition.clone()).collect();
        let Some(found) = self.first_that_is_not_empty(&partitions).await? else { return Ok(()) };
        let reason =
            self.unknown.iter().find_map(|(partition, reason)| (*partition == found).then_some(*reason));
        let reason = reason.unwrap_or(ParkReason::TargetDiverged);
        Err(TakeOverFailure::Park(Parked::new(
            reason,
            format!(
                "whether the target's topic is this flow's is not known while its partition {} is parked ({reason}): nothing is copied \
                 into it and nothing of it is changed",
                found.partition
            ),
        )))
    }

    /// While others were waited for, somebody may have written to those that were looked at: only another instance may that, which has
    /// recorded the topic before.
    async fn check_taken(&self) -> Result<(), TakeOverFailure> {
        let partitions: Vec<_> = self.taken.iter().map(|(partition, _)| partition.clone()).collect();
        let ends =
            ends::offsets(&self.target, &partitions, OffsetSpec::Latest, Isolation::ReadUncommitted).await;
        let ends = ends.map_err(|error| failure("describe the target", &error))?;
        if self.taken.iter().all(|(partition, end)| ends.get(partition) == Some(end)) {
            return Ok(());
        }
        let known = self.state.known().await.map_err(|error| TakeOverFailure::Again(error.to_string()))?;
        let TopicRecord { source, target_topic_id, .. } = &self.record;
        let is_recorded =
            known.topics.get(&self.topic).is_some_and(|recorded| recorded.is_of(source, *target_topic_id));
        if is_recorded { Ok(()) } else { Err(TakeOverFailure::Moved { position: -1, source_end: -1 }) }
    }

    /// Partitions that the source does not have hold nothing of it.
    async fn check_surplus(&self, has: i32) -> Result<(), TakeOverFailure> {
        let surplus = self.partitions..has;
        let surplus: Vec<_> =
            surplus.map(|number| TopicPartition::new(Arc::clone(&self.topic), number)).collect();
        match self.first_that_is_not_empty(&surplus).await? {
            None => Ok(()),
            Some(partition) => Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target's topic has partitions that the source's has not, and number {} holds records: it is somebody else's, and \
                     nothing is copied into it",
                    partition.partition
                ),
            ))),
        }
    }

    async fn first_that_is_not_empty(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Option<TopicPartition>, TakeOverFailure> {
        let uncommitted = Isolation::ReadUncommitted;
        let read = async |spec| ends::offsets(&self.target, partitions, spec, uncommitted).await;
        let (starts, ends) = (read(OffsetSpec::Earliest).await, read(OffsetSpec::Latest).await);
        let (starts, ends) = starts
            .and_then(|starts| Ok((starts, ends?)))
            .map_err(|error| failure("describe the target", &error))?;
        Ok(partitions.iter().find(|partition| starts.get(partition) != ends.get(partition)).cloned())
    }

    async fn grow(&self, has: i32) -> Result<(), TakeOverFailure> {
        let pair = TopicPair {
            source: Arc::clone(&self.source_topic),
            target: Arc::clone(&self.topic),
            partitions: self.partitions,
            target_partitions: Some(has),
            replication_factor: 0,
        };
        let grown = topics::grow(&self.flow, &self.target, [&pair])
            .await
            .map_err(|error| TakeOverFailure::Again(error.to_string()))?;
        for _ in 0..GROWN_POLLS_MAX {
            let named = Topics::Named(vec![Arc::clone(&self.topic)]);
            let refreshed = self.target.refresh_metadata(named).await;
            refreshed.map_err(|error| failure("describe the target", &error))?;
            let metadata = self.target.metadata();
            let has_leaders = metadata
                .topic(&self.topic)
                .is_some_and(|topic| topic.partitions.iter().all(|partition| partition.leader.is_some()));
            if !grown || self.target_partitions() >= self.partitions && has_leaders {
                break;
            }
            tokio::time::sleep(GROWN_POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn target_partitions(&self) -> i32 {
        self.target.metadata().topic(&self.topic).map_or(0, topics::partition_count)
    }
}

const GROWN_POLLS_MAX: u32 = 200;
const GROWN_POLL_INTERVAL: Duration = Duration::from_millis(50);
