//! Taking partitions over, and handing them to an appender and a fetcher.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kmirror_client::{Topics, chance, clock};
use kmirror_codec::GapReason;
use tracing::{debug, info, warn};

use super::Supervisor;
use crate::data::append::appender::{AppendPartition, AppenderEvent};
use crate::data::append::now::Now;
use crate::data::append::state::AppendState;
use crate::data::queue::QueueGauge;
use crate::data::read::failing::Failing;
use crate::data::read::fetcher::{FetchPartition, FetcherEvent};
use crate::data::read::planner::Planner;
use crate::data::read::reader::PartitionReader;
use crate::flow::event::FlowEvent;
use crate::flow::heads::HeldTopic;
use crate::flow::read_from::ReadFrom;
use crate::ground::failure::TakeOverFailure;
use crate::ground::item::Item;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::pipe::Pipe;
use crate::ground::status::PartitionState;
use crate::logs::fetch_state::FetchState;
use crate::logs::records::now_ms;
use crate::state_topic::record::SourceIdentity;
use crate::takeover::forgotten::Forgotten;
use crate::takeover::{TakeOver, TakenOver};

impl Supervisor {
    /// Reads the target's tail in a task of its own, after a pause that grows while nothing comes of it.
    pub(super) fn take_over(&mut self, key: PartitionKey) {
        self.take_over_after(key, Duration::ZERO);
    }

    pub(super) fn take_over_after(&mut self, key: PartitionKey, pause_min: Duration) {
        let Some(entry) = self.table.get(key) else { return };
        entry.generation += 1;
        let generation = entry.generation;
        let pause = entry.next_attempt().max(pause_min);
        let (needs_metadata, partition) = (entry.attempts > 1, entry.target.clone());
        let waits_first = needs_metadata || entry.is_apart;
        entry.gauge.set_state(PartitionState::Starting);
        let flow = &self.context.flow;
        let take_over = TakeOver {
            source_client: self.context.source.clone(),
            target_client: self.context.target.clone(),
            source: entry.source.clone(),
            target: entry.target.clone(),
            source_identity: SourceIdentity {
                cluster_id: self.source_cluster_id.clone(),
                topic: entry.source.topic.to_string(),
                topic_id: entry.source_topic_id,
            },
            target_topic_id: entry.target_topic_id,
            state: self.state.clone(),
            reads_state: std::mem::take(&mut entry.reads_state),
            ids: self.ids,
            isolation: flow.isolation,
            offsets: flow.offsets,
            start: entry.start,
            predecessor: self.predecessor.of(&entry.source),
            policies: flow.policies,
            head_fill_offsets_max: flow.head_fill_offsets_max,
            target_end_seen: entry.target_end_seen(),
            token_refused: entry.token_refused,
            rules: entry.compare_rules,
            compaction_policy: entry.rules.compaction_policy(),
            may_cut: !self.unowned.contains_key(&entry.target.topic),
        };
        let take_overs = Arc::clone(&self.take_overs);
        let target = self.context.target.clone();
        self.errand(async move {
            tokio::time::sleep(pause).await;
            if needs_metadata {
                let _turn = take_overs.acquire().await;
                let _ = target.refresh_metadata(Topics::Named(vec![partition.topic])).await;
            }
            // Without a turn: many partitions whose replicas hang would keep all others from theirs.
            if waits_first && let Err(failure) = take_over.wait_for_rest().await {
                return FlowEvent::TakenOver { key, generation, taken: Err(failure) };
            }
            let _turn = take_overs.acquire().await;
            FlowEvent::TakenOver { key, generation, taken: take_over.run().await.map(Box::new) }
        });
    }

    pub(super) async fn on_taken_over(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        taken: Result<Box<TakenOver>, TakeOverFailure>,
    ) {
        match taken {
            Ok(taken) => self.on_taken(key, generation, taken).await,
            Err(TakeOverFailure::Park(parked)) => {
                if self.table.current(key, generation).is_some() {
                    self.park(key, parked);
                }
            }
            Err(TakeOverFailure::Moved { position, source_end }) => {
                let Some(entry) = self.table.current(key, generation) else { return };
                entry.gauge.position.store(position, Ordering::Relaxed);
                entry.gauge.source_end.store(source_end, Ordering::Relaxed);
                entry.standby.moved();
                let topic = Arc::clone(&entry.target.topic);
                self.stand_by(key);
                self.on_unowned_moved(&topic, key);
            }
            Err(TakeOverFailure::Again(cause)) => {
                let Some(entry) = self.table.current(key, generation) else { return };
                debug!(partition = %entry.target, cause, "take-over did not come to an end");
                self.take_over(key);
                if let Some(entry) = self.table.get(key) {
                    entry.gauge.set_state(PartitionState::Waiting(cause));
                }
            }
        }
    }

    /// A take-over knows where the partition stands: it is copied, or its head comes first, or another instance copies it.
    async fn on_taken(&mut self, key: PartitionKey, generation: Generation, taken: Box<TakenOver>) {
        let Some(entry) = self.table.current(key, generation) else { return };
        let topic = Arc::clone(&entry.target.topic);
        if !self.on_unowned_taken(&topic, key, &taken) {
            return;
        }
        let Some(entry) = self.table.current(key, generation) else { return };
        self.context.shared.own_anew(&topic, entry.source_topic_id);
        // It has just shown where it ends.
        entry.gauge.set_source_hidden(false);
        entry.gauge.set_lineage(taken.record.lineage.clone());
        if taken.begins {
            entry.gauge.set_begun_at(now_ms());
        }
        if let Some(forgotten) = &taken.forgotten {
            self.tell_forgotten(key, forgotten);
        }
        let Some(entry) = self.table.current(key, generation) else { return };
        let policy = taken.record.cleanup_policy_after_seeding.clone();
        entry.record = Some(taken.record.clone());
        if policy.is_some() {
            self.held.entry(Arc::clone(&topic)).or_insert_with(|| HeldTopic::new([key]));
        }
        if let Some(held) = self.held.get_mut(&topic) {
            let done = held.taken_over(key, taken.head.is_some(), policy.as_deref());
            if taken.head.is_none() {
                entry.gauge.set_open_head(true);
                self.set_waiting(key, "the heads of the topic's other partitions come first");
                return self.on_heads_done(&topic, done);
            }
        }
        if let Some(head) = taken.head {
            return self.fill_head(key, generation, head, taken.source_end, policy.is_some());
        }
        let Some(entry) = self.table.current(key, generation) else { return };
        entry.gauge.set_open_head(false);
        if entry.standby.look(taken.append.position, taken.source_end) {
            self.install(key, generation, *taken).await;
        } else {
            entry.gauge.position.store(taken.append.position, Ordering::Relaxed);
            entry.gauge.source_end.store(taken.source_end, Ordering::Relaxed);
            self.stand_by(key);
        }
    }

    /// Tells and counts offsets in which deletions may have been forgotten, once in the life of the process.
    fn tell_forgotten(&mut self, key: PartitionKey, forgotten: &Forgotten) {
        let Some(entry) = self.table.get(key) else { return };
        let (first, end) = (forgotten.first.max(entry.forgotten_end), forgotten.end);
        if first >= end {
            return;
        }
        warn!(partition = %entry.source, target = %entry.target, first, end, why = forgotten.why,
            "keys that were deleted on the source in these offsets may live on on the target: verify shows them; delete the target \
             topic to have it copied anew");
        entry.forgotten_end = end;
        self.context
            .shared
            .counters
            .forgotten_offsets
            .fetch_add((end - first).unsigned_abs(), Ordering::Relaxed);
    }

    /// Looks at the log again after a while; a little sooner or later than another instance that does the same.
    pub(super) fn stand_by(&mut self, key: PartitionKey) {
        let Some(entry) = self.table.get(key) else { return };
        let owner = format_args!("{} {}", self.context.target.config().client_id, entry.target);
        let random = chance::bits("standby pause", owner);
        let pause = STANDBY_PAUSE + Duration::from_millis(random % STANDBY_PAUSE_SPREAD_MS);
        self.take_over_after(key, pause);
        self.set_waiting(key, "another instance appends to this partition");
    }

    /// Hands the partition to the appender of its target leader and the fetcher of its source leader.
    pub(super) async fn install(&mut self, key: PartitionKey, generation: Generation, taken: TakenOver) {
        let (isolation, data_producer_id) = (self.context.flow.isolation, self.ids.data);
        let (producer_expiration, budget) = (self.producer_expiration, self.budget.clone());
        let metadata = self.context.target.metadata();
        let Some(entry) = self.table.current(key, generation) else { return };
        let Some(leader) = metadata.leader(&entry.target) else {
            self.take_over(key);
            return self.set_waiting(key, "the target partition has no leader");
        };
        let queue = Arc::<QueueGauge>::default();
        let merged_bytes_max = if entry.merges { entry.rules.batches.batch_bytes_max } else { 0 };
        let append = AppendState::new(data_producer_id, taken.append).merging(merged_bytes_max, budget);
        let mut append = append.remembered_for(producer_expiration);
        append.on_raised(Now::read(), self.raised);
        if entry.compare_rules.source_is_compacted {
            append = append.one_at_a_time();
        }
        let mut position = taken.append.position;
        if let Some(lost) = taken.expired {
            warn!(partition = %entry.source, first = lost.first, end = lost.end,
                "these offsets expired before they were copied; they are filled with markers");
            let gap = Item::Gap { first: lost.first, end: lost.end, reason: GapReason::Expired };
            self.context.shared.counters.count(&gap);
            if let Err(parked) = append.push(gap) {
                return self.park(key, parked);
            }
            position = lost.end;
        }
        let Some(entry) = self.table.current(key, generation) else { return };
        let planner = Planner::new(position, entry.rules.batches);
        let planner = planner.merging(merged_bytes_max, self.budget.clone());
        let state = FetchState::new(position, None, taken.last_fetched_epoch, isolation);
        entry.gauge.set_lineage(taken.record.lineage.clone());
        entry.record = Some(taken.record);
        entry.returned = Some(Box::new(PartitionReader { state, planner, failing: Failing::default() }));
        entry.gauge.source_end.store(taken.source_end, Ordering::Relaxed);
        let state = entry.state_of_copying();
        entry.gauge.set_state(state);
        // It is no news that it is tried again where nothing was taken since the last time.
        if entry.refused.is_none() {
            info!(partition = %entry.target, position = taken.append.position, "copying");
        }
        let partition = AppendPartition {
            key,
            generation,
            target: entry.target.clone(),
            topic_id: entry.target_topic_id,
            state: append,
            gauge: Arc::clone(&entry.gauge),
            queue: Arc::clone(&queue),
        };
        let epoch = metadata.partition(&entry.target).and_then(|partition| partition.leader_epoch);
        entry.appended_under = Some((leader, epoch));
        let pipe = Pipe::of(key, leader, &self.context.target, self.context.flow.connections);
        let pipe = if entry.is_apart { pipe.apart(key) } else { pipe };
        let appender = self.appender(pipe);
        let _ = appender.send(AppenderEvent::Add(Box::new(partition))).await;
        if let Some(entry) = self.table.get(key) {
            entry.appender = Some((appender, queue));
        }
        self.start_fetching(key).await;
    }

    /// Hands the partition to the fetcher of its source leader, or of the replica that it has named. Without a leader it waits for the next metadata.
    pub(super) async fn start_fetching(&mut self, key: PartitionKey) {
        let metadata = self.context.source.metadata();
        let connections = self.context.flow.connections;
        let Some(entry) = self.table.get(key) else { return };
        let Some(leader) = metadata.leader(&entry.source) else {
            return self.set_waiting(key, "the source partition has no leader");
        };
        let Some((appender, queue)) = entry.appender.clone() else { return };
        let Some(mut reading) = entry.returned.take() else { return };
        reading.state.leader_epoch =
            metadata.partition(&entry.source).and_then(|partition| partition.leader_epoch);
        let now = clock::now();
        if entry.read_from.is_over(now) {
            entry.read_from = ReadFrom::Leader;
        }
        let broker = entry.read_from.broker(leader, now, |broker| metadata.brokers.contains_key(&broker));
        let pipe = Pipe::of(key, broker, &self.context.source, connections);
        let pipe = if entry.read_from.follows() { pipe } else { pipe.for_leaders() };
        entry.fetched_from = Some(pipe);
        if !reading.failing.is_told() {
            let state = entry.state_of_copying();
            entry.gauge.set_state(state);
        }
        let partition = FetchPartition {
            key,
            generation: entry.generation,
            source: entry.source.clone(),
            topic_id: entry.source_topic_id,
            reading: *reading,
            gauge: Arc::clone(&entry.gauge),
            queue,
            appender,
        };
        let _ = self.fetcher(pipe).send(FetcherEvent::Add(Box::new(partition))).await;
    }
}

const STANDBY_PAUSE: Duration = Duration::from_millis(1_000);
const STANDBY_PAUSE_SPREAD_MS: u64 = 1_000;
