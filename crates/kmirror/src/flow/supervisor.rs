//! The supervisor's loop, and what it does on each event.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kmirror_client::{BrokerId, TopicPartition, Topics};
use kmirror_codec::GapReason;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::discovery::{Discovery, FoundTopic};
use super::heads::{HeadsDone, HeldTopic};
use super::standby::Standby;
use super::table::{Entry, Table};
use super::{FlowContext, Published};
use crate::append::appender::{self, AppendPartition, AppenderContext, AppenderEvent};
use crate::append::state::{AppendState, TakeOverCause};
use crate::budget::Budget;
use crate::config::Start;
use crate::error::Error;
use crate::event::{AppendEnd, FlowEvent, Generation, PartitionKey, TakeOverFailure};
use crate::fetch::fetcher::{self, FetchPartition, FetcherContext, FetcherEvent, Returned};
use crate::fetch::state::{FetchFault, FetchState};
use crate::identity::ProducerIds;
use crate::item::Item;
use crate::park::{ParkReason, Parked};
use crate::planner::Planner;
use crate::queue::QueueGauge;
use crate::rewrite_pool::RewritePool;
use crate::seed::{self, Seed};
use crate::state::record::{EpochStart, SourceIdentity};
use crate::state::store::StateStore;
use crate::status::{PartitionGauge, PartitionState};
use crate::takeover::judge::Head;
use crate::takeover::{TakeOver, TakenOver, random_bits};
use crate::topics::{self, TopicRules};

/// Runs a flow until it is stopped or, if it runs once, until it has copied what was there when it started.
pub(crate) async fn run(context: FlowContext) -> Result<(), Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by the partitions, each with an event or two on the way"
    )]
    let (events, mut inbox) = mpsc::unbounded_channel();
    let stop = context.stop.clone();
    let state = {
        let flow = &context.flow;
        let (topic, replication_factor) = (&flow.state_topic, flow.state_replication_factor);
        tokio::select! {
            state = StateStore::open(&context.target, &flow.target, topic, replication_factor) => state?,
            () = stop.cancelled() => return Ok(()),
        }
    };
    let mut supervisor = Supervisor::new(context, state, events);
    let found = tokio::select! {
        found = supervisor.discovery.clone().run(HashMap::new()) => found?,
        () = stop.cancelled() => return Ok(()),
    };
    let start = supervisor.context.flow.start;
    supervisor.start(found, start);
    let mut settled = tokio::time::interval(SETTLED_INTERVAL);
    let mut refresh = tokio::time::interval(supervisor.context.flow.metadata_refresh_interval);
    refresh.reset();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(event) = inbox.recv() => supervisor.on_event(event).await,
            _ = refresh.tick() => supervisor.on_event(FlowEvent::Refresh).await,
            _ = settled.tick(), if supervisor.context.once => {
                if supervisor.context.shared.is_settled() {
                    break;
                }
            }
        }
    }
    supervisor.shut_down(inbox).await;
    Ok(())
}

struct Supervisor {
    context: FlowContext,
    ids: ProducerIds,
    source_cluster_id: String,
    discovery: Discovery,
    /// Whether a look at the clusters is under way.
    is_looking: bool,
    /// Whether the last look failed.
    is_blind: bool,
    table: Table,
    /// Compacted topics of which heads may have to be filled first, by their name on the target.
    held: HashMap<Arc<str>, HeldTopic>,
    state: StateStore,
    /// No queue to wait for: else supervisor, fetcher and appender could all wait for each other's inboxes.
    events: mpsc::UnboundedSender<FlowEvent>,
    fetchers: HashMap<BrokerId, mpsc::Sender<FetcherEvent>>,
    appenders: HashMap<BrokerId, mpsc::Sender<AppenderEvent>>,
    budget: Budget,
    rewrites: RewritePool,
    /// Fetchers and appenders: they end when their inboxes are closed.
    pumps: JoinSet<()>,
    /// Take-overs and look-ups: they end with the flow.
    errands: JoinSet<()>,
    /// How many take-overs read at the same time.
    take_overs: Arc<Semaphore>,
}

impl Supervisor {
    fn new(context: FlowContext, state: StateStore, events: mpsc::UnboundedSender<FlowEvent>) -> Supervisor {
        let cluster_id = context.source.cluster_id().unwrap_or_default();
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let discovery = Discovery {
            flow: context.flow.clone(),
            matcher: context.matcher.clone(),
            source: context.source.clone(),
            target: context.target.clone(),
            once: context.once,
        };
        Supervisor {
            ids: ProducerIds::of_flow(&cluster_id),
            source_cluster_id: cluster_id,
            discovery,
            is_looking: false,
            is_blind: false,
            budget: Budget::new(context.flow.buffer_bytes_max),
            context,
            table: Table::default(),
            held: HashMap::new(),
            state,
            events,
            fetchers: HashMap::new(),
            appenders: HashMap::new(),
            rewrites: RewritePool::new(workers),
            pumps: JoinSet::new(),
            errands: JoinSet::new(),
            take_overs: Arc::new(Semaphore::new(TAKE_OVERS_MAX)),
        }
    }

    /// Starts the partitions that were found. `start`: where those begin that were never copied.
    fn start(&mut self, found: Vec<FoundTopic>, start: Start) {
        for topic in found {
            let numbers = topic.first_partition..topic.pair.partitions;
            let keys: Vec<_> = numbers.map(|number| (number, self.enter(&topic, number, start))).collect();
            if topic.may_need_heads {
                let held = HeldTopic::new(keys.iter().map(|(_, key)| *key));
                self.held.insert(Arc::clone(&topic.pair.target), held);
            }
            for (number, key) in keys {
                if number < topic.target_partitions {
                    self.take_over(key);
                } else {
                    let message = format!(
                        "the source topic has {} partitions, the target topic only {}; add partitions to it",
                        topic.pair.partitions, topic.target_partitions
                    );
                    self.park(key, Parked::new(ParkReason::Rejected, message));
                }
            }
        }
    }

    fn enter(&mut self, topic: &FoundTopic, number: i32, start: Start) -> PartitionKey {
        let gauge = PartitionGauge::new();
        self.context.shared.publish(Published {
            source_topic: Arc::clone(&topic.pair.source),
            target_topic: Arc::clone(&topic.pair.target),
            partition: number,
            goal: topic.goals.get(&number).copied(),
            gauge: Arc::clone(&gauge),
        });
        self.table.insert(Entry {
            source: TopicPartition::new(Arc::clone(&topic.pair.source), number),
            target: TopicPartition::new(Arc::clone(&topic.pair.target), number),
            source_topic_id: topic.source_topic_id,
            target_topic_id: topic.target_topic_id,
            rules: topic.rules,
            compare_rules: topic.source_rules.compared_with(&topic.rules),
            start,
            record: None,
            reads_state: false,
            parked_at: None,
            gauge,
            generation: 0,
            fetched_from: None,
            appender: None,
            returned: None,
            standby: Standby::default(),
            token_refused: 0,
            attempts: 0,
            attempted_at: -1,
        })
    }

    async fn on_event(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::TakenOver { key, generation, taken } => {
                self.on_taken_over(key, generation, taken).await
            }
            FlowEvent::FetchEnded { key, generation, fault, returned } => {
                self.on_fetch_ended(key, generation, fault, returned).await;
            }
            FlowEvent::HeadFilled { key, generation, filled } => self.on_head_filled(key, generation, filled),
            FlowEvent::PolicyRestored { topic, restored } => self.on_policy_restored(&topic, restored),
            FlowEvent::EpochsBegan { key, generation, epochs } => {
                self.on_epochs_began(key, generation, epochs)
            }
            FlowEvent::AppendEnded { key, generation, end } => {
                self.on_append_ended(key, generation, end).await
            }
            FlowEvent::LeaderSought { key, generation } => {
                if self.table.current(key, generation).is_some() {
                    self.start_fetching(key).await;
                }
            }
            FlowEvent::SourceBrokerLost | FlowEvent::Refresh => self.look(),
            FlowEvent::Reconsidered { key, generation, rules } => {
                self.on_reconsidered(key, generation, rules)
            }
            FlowEvent::Looked(found) => self.on_looked(found).await,
        }
        while self.errands.try_join_next().is_some() {}
    }

    /// Reads the target's tail in a task of its own, after a pause that grows while nothing comes of it.
    fn take_over(&mut self, key: PartitionKey) {
        self.take_over_after(key, Duration::ZERO);
    }

    fn take_over_after(&mut self, key: PartitionKey, pause_min: Duration) {
        let Some(entry) = self.table.get(key) else { return };
        entry.generation += 1;
        let generation = entry.generation;
        let pause = entry.next_attempt().max(pause_min);
        let (needs_metadata, partition) = (entry.attempts > 1, entry.target.clone());
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
            policies: flow.policies,
            head_fill_offsets_max: flow.head_fill_offsets_max,
            token_refused: entry.token_refused,
            rules: entry.compare_rules,
            compaction_policy: entry.rules.compaction_policy(),
        };
        let take_overs = Arc::clone(&self.take_overs);
        let target = self.context.target.clone();
        self.errand(async move {
            tokio::time::sleep(pause).await;
            let _turn = take_overs.acquire_owned().await;
            if needs_metadata {
                let _ = target.refresh_metadata(Topics::Named(vec![partition.topic])).await;
            }
            FlowEvent::TakenOver { key, generation, taken: take_over.run().await.map(Box::new) }
        });
    }

    async fn on_taken_over(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        taken: Result<Box<TakenOver>, TakeOverFailure>,
    ) {
        match taken {
            Ok(taken) => {
                let Some(entry) = self.table.current(key, generation) else { return };
                entry.gauge.set_lineage(taken.record.lineage.clone());
                let topic = Arc::clone(&entry.target.topic);
                let policy = taken.record.cleanup_policy_after_seeding.clone();
                entry.record = Some(taken.record.clone());
                if policy.is_some() {
                    self.held.entry(Arc::clone(&topic)).or_insert_with(|| HeldTopic::new([key]));
                }
                if let Some(held) = self.held.get_mut(&topic) {
                    let done = held.taken_over(key, taken.head.is_some(), policy.as_deref());
                    if taken.head.is_none() {
                        self.set_waiting(key, "the heads of the topic's other partitions come first");
                        return self.on_heads_done(&topic, done);
                    }
                }
                if let Some(head) = taken.head {
                    return self.fill_head(key, generation, head, taken.source_end, policy.is_some());
                }
                let Some(entry) = self.table.current(key, generation) else { return };
                if entry.standby.look(taken.append.position, taken.source_end) {
                    self.install(key, generation, *taken).await;
                } else {
                    entry.gauge.position.store(taken.append.position, Ordering::Relaxed);
                    entry.gauge.source_end.store(taken.source_end, Ordering::Relaxed);
                    self.stand_by(key);
                }
            }
            Err(TakeOverFailure::Park(parked)) => {
                if self.table.current(key, generation).is_some() {
                    self.park(key, parked);
                }
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

    /// Fills and cuts off the head of a target partition, in a task of its own.
    fn fill_head(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        head: Head,
        source_end: i64,
        is_compacted: bool,
    ) {
        let Some(entry) = self.table.get(key) else { return };
        info!(partition = %entry.target, from = head.from, to = head.to, "filling the head");
        entry.gauge.set_state(PartitionState::Seeding);
        entry.gauge.source_end.store(source_end, Ordering::Relaxed);
        let seed = Seed {
            client: self.context.target.clone(),
            target: entry.target.clone(),
            topic_id: entry.target_topic_id,
            producer_id: self.ids.fillers,
            from: head.from,
            to: head.to,
        };
        let gauge = Arc::clone(&entry.gauge);
        self.errand(async move {
            let filled = async {
                if is_compacted {
                    seed::set_cleanup_policy(&seed.client, &seed.target.topic, "delete").await?;
                }
                seed.run(&gauge.position).await
            };
            FlowEvent::HeadFilled { key, generation, filled: filled.await }
        });
    }

    fn on_head_filled(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        filled: Result<(), TakeOverFailure>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        match filled {
            Err(TakeOverFailure::Park(parked)) => self.park(key, parked),
            Ok(()) => self.take_over(key),
            Err(TakeOverFailure::Again(cause)) => {
                debug!(partition = %entry.target, cause, "filling the head did not come to an end");
                self.take_over(key);
                self.set_waiting(key, &cause);
            }
        }
    }

    /// The partitions of a compacted topic go on together, once their heads are filled and it is compacted again.
    fn on_heads_done(&mut self, topic: &Arc<str>, done: HeadsDone) {
        match done {
            HeadsDone::NotYet => {}
            HeadsDone::Release => self.release_held(topic),
            HeadsDone::Restore(policy) => {
                let (flow, target, topic) =
                    (self.context.flow.clone(), self.context.target.clone(), Arc::clone(topic));
                self.errand(async move {
                    let restored = async {
                        seed::set_cleanup_policy(&target, &topic, &policy).await?;
                        let rules = topics::rules(&flow, &target, std::slice::from_ref(&topic)).await;
                        let rules = rules.map_err(|error| TakeOverFailure::Again(error.to_string()))?;
                        let rules = rules.get(&topic).copied();
                        rules.ok_or_else(|| TakeOverFailure::Again("the topic is not described".to_owned()))
                    };
                    let restored = restored.await;
                    FlowEvent::PolicyRestored { topic, restored }
                });
            }
        }
    }

    fn on_policy_restored(&mut self, topic: &Arc<str>, restored: Result<TopicRules, TakeOverFailure>) {
        let Some(held) = self.held.get(topic) else { return };
        let keys: Vec<_> = held.held().collect();
        match restored {
            Ok(rules) if rules.is_compacted => {
                for key in keys {
                    let Some(entry) = self.table.get(key) else { continue };
                    entry.apply_rules(rules);
                    let Some(record) = &mut entry.record else { continue };
                    if record.cleanup_policy_after_seeding.take().is_some() {
                        drop(self.state.put(&entry.target, record.clone()));
                    }
                }
                self.release_held(topic);
            }
            Err(TakeOverFailure::Park(parked)) => {
                self.held.remove(topic);
                keys.into_iter().for_each(|key| self.park(key, parked.clone()));
            }
            // Not known to every broker yet, or a passing error: asked again by the first partition that is taken over again.
            Ok(_) | Err(TakeOverFailure::Again(_)) => {
                if let Some(key) = keys.first() {
                    self.take_over_after(*key, RESTORE_PAUSE);
                }
            }
        }
    }

    fn release_held(&mut self, topic: &Arc<str>) {
        let Some(held) = self.held.remove(topic) else { return };
        for key in held.held() {
            if let Some(entry) = self.table.get(key) {
                entry.attempts = 0;
            }
            self.take_over(key);
        }
    }

    /// Looks at the log again after a while; a little sooner or later than another instance that does the same.
    fn stand_by(&mut self, key: PartitionKey) {
        let pause = STANDBY_PAUSE + Duration::from_millis(random_bits() % STANDBY_PAUSE_SPREAD_MS);
        self.take_over_after(key, pause);
        self.set_waiting(key, "another instance appends to this partition");
    }

    /// Hands the partition to the appender of its target leader and the fetcher of its source leader.
    async fn install(&mut self, key: PartitionKey, generation: Generation, taken: TakenOver) {
        let (isolation, data_producer_id) = (self.context.flow.isolation, self.ids.data);
        let metadata = self.context.target.metadata();
        let Some(entry) = self.table.current(key, generation) else { return };
        let Some(leader) = metadata.leader(&entry.target) else {
            self.take_over(key);
            return self.set_waiting(key, "the target partition has no leader");
        };
        let queue = Arc::<QueueGauge>::default();
        let mut append = AppendState::new(data_producer_id, taken.append);
        let mut position = taken.append.position;
        if let Some(lost) = taken.expired {
            warn!(partition = %entry.source, first = lost.first, end = lost.end,
                "these offsets expired before they were copied; they are filled with markers");
            let gap = Item::Gap { first: lost.first, end: lost.end, reason: GapReason::Expired };
            self.context.shared.counters.count_gap(&gap);
            if let Err(parked) = append.push(gap) {
                return self.park(key, parked);
            }
            position = lost.end;
        }
        let Some(entry) = self.table.current(key, generation) else { return };
        let planner = Planner::new(position, entry.rules.batches);
        let state = FetchState::new(position, None, taken.last_fetched_epoch, isolation);
        entry.gauge.set_lineage(taken.record.lineage.clone());
        entry.record = Some(taken.record);
        entry.returned = Some(Box::new(Returned { state, planner }));
        entry.gauge.source_end.store(taken.source_end, Ordering::Relaxed);
        entry.gauge.set_state(PartitionState::Copying);
        info!(partition = %entry.target, position = taken.append.position, "copying");
        let partition = AppendPartition {
            key,
            generation,
            target: entry.target.clone(),
            topic_id: entry.target_topic_id,
            state: append,
            gauge: Arc::clone(&entry.gauge),
            queue: Arc::clone(&queue),
        };
        let appender = self.appender(leader);
        let _ = appender.send(AppenderEvent::Add(Box::new(partition))).await;
        if let Some(entry) = self.table.get(key) {
            entry.appender = Some((appender, queue));
        }
        self.start_fetching(key).await;
    }

    /// Hands the partition to the fetcher of its source leader. Without a leader it waits for the next metadata.
    async fn start_fetching(&mut self, key: PartitionKey) {
        let metadata = self.context.source.metadata();
        let Some(entry) = self.table.get(key) else { return };
        let Some(leader) = metadata.leader(&entry.source) else {
            return self.set_waiting(key, "the source partition has no leader");
        };
        let Some((appender, queue)) = entry.appender.clone() else { return };
        let Some(mut reading) = entry.returned.take() else { return };
        reading.state.leader_epoch =
            metadata.partition(&entry.source).and_then(|partition| partition.leader_epoch);
        entry.fetched_from = Some(leader);
        entry.gauge.set_state(PartitionState::Copying);
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
        let _ = self.fetcher(leader).send(FetcherEvent::Add(Box::new(partition))).await;
    }

    async fn on_fetch_ended(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        fault: FetchFault,
        returned: Option<Box<Returned>>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        entry.fetched_from = None;
        entry.returned = returned;
        match fault {
            FetchFault::Park(parked) => self.park(key, parked),
            FetchFault::LeaderUnknown(cause) | FetchFault::Passing(cause) => {
                debug!(partition = %entry.source, cause, "looking for the source's leader");
                let topic = Arc::clone(&entry.source.topic);
                let pause = entry.next_attempt();
                let source = self.context.source.clone();
                self.errand(async move {
                    tokio::time::sleep(pause).await;
                    let _ = source.refresh_metadata(Topics::Named(vec![topic])).await;
                    FlowEvent::LeaderSought { key, generation }
                });
            }
            FetchFault::OutOfRange | FetchFault::Recreated => {
                // The take-over looks at the log's bounds and tells what happened; the append state is as good as new.
                self.release(key).await;
                self.recheck_topic_ids().await;
                if self.table.get(key).is_some_and(|entry| !entry.gauge.is_parked()) {
                    self.take_over(key);
                }
            }
        }
    }

    /// Remembers the source's leader epochs: by them it is told later whether a source that lost its end was the one that was
    /// copied.
    fn on_epochs_began(&mut self, key: PartitionKey, generation: Generation, epochs: Vec<EpochStart>) {
        let Some(entry) = self.table.current(key, generation) else { return };
        let Some(record) = &mut entry.record else { return };
        let known = record.leader_epochs.clone();
        epochs.into_iter().for_each(|epoch| record.add_epoch(epoch));
        if record.leader_epochs == known {
            return;
        }
        let (recorded, target) = (self.state.put(&entry.target, record.clone()), entry.target.clone());
        self.errands.spawn(async move {
            if let Err(error) = recorded.await {
                warn!(partition = %target, %error, "the source's leader epochs could not be recorded");
            }
        });
    }

    async fn on_append_ended(&mut self, key: PartitionKey, generation: Generation, end: AppendEnd) {
        let Some(entry) = self.table.current(key, generation) else { return };
        entry.appender = None;
        let fetched_from = entry.fetched_from.take();
        if entry.gauge.is_parked() {
            return; // by its fetcher: what was read before that is not worth a take-over
        }
        match end {
            AppendEnd::Park(parked) => self.park(key, parked),
            AppendEnd::TakeOver(cause) => {
                debug!(partition = %entry.target, ?cause, "take-over");
                if let TakeOverCause::Fenced { token } = cause {
                    entry.token_refused = entry.token_refused.max(token);
                }
                if cause == TakeOverCause::OutOfOrder && entry.attempts > OUT_OF_ORDER_MAX {
                    self.park(
                        key,
                        Parked::new(
                            ParkReason::TargetDiverged,
                            "the target refuses the next sequence again and again: the producer state of the partition is not \
                             what its log says",
                        ),
                    );
                } else {
                    self.take_over_because(key, &cause);
                }
            }
        }
        if let Some(fetcher) = fetched_from.and_then(|broker| self.fetchers.get(&broker)) {
            let _ = fetcher.send(FetcherEvent::Remove(key)).await;
        }
    }

    fn take_over_because(&mut self, key: PartitionKey, cause: &TakeOverCause) {
        match cause {
            // What the broker had read already may still be executed; a moment later the tail shows it.
            TakeOverCause::AnswerLost(_) => self.take_over_after(key, ANSWER_LOST_PAUSE),
            TakeOverCause::LeaderUnknown(_) => self.take_over(key),
            TakeOverCause::Displaced { expected, found } => {
                if let Some(entry) = self.table.get(key) {
                    warn!(partition = %entry.target, expected, found, "the target's log is longer than what was written");
                    entry.reads_state = true;
                }
                self.take_over(key);
            }
            TakeOverCause::OutOfOrder | TakeOverCause::Overtaken | TakeOverCause::Fenced { .. } => {
                if let Some(entry) = self.table.get(key) {
                    entry.reads_state = true;
                    entry.standby.refused();
                }
                self.stand_by(key);
            }
        }
    }

    /// Looks at both clusters again, in a task of its own: a cluster that does not answer must not hold up the flow.
    fn look(&mut self) {
        if self.is_looking {
            return;
        }
        self.is_looking = true;
        let (discovery, known) = (self.discovery.clone(), self.table.partition_counts());
        self.errand(async move { FlowEvent::Looked(discovery.run(known).await) });
    }

    /// New topics and partitions, moved leaders, topics created again.
    async fn on_looked(&mut self, found: Result<Vec<FoundTopic>, Error>) {
        self.is_looking = false;
        match found {
            Ok(found) => {
                if std::mem::take(&mut self.is_blind) {
                    info!(flow = self.context.flow.name(), "both clusters answer again");
                }
                // What appears while the flow runs is copied from its first record.
                self.start(found, Start::Earliest);
            }
            // Said once, not every few seconds for as long as a cluster is away.
            Err(error) if self.is_blind => {
                debug!(flow = self.context.flow.name(), %error, "still not answered")
            }
            Err(error) => {
                self.is_blind = true;
                warn!(flow = self.context.flow.name(), %error, "could not look at the clusters; trying again");
            }
        }
        self.recheck_topic_ids().await;
        self.reconsider_parked();
        let metadata = self.context.source.metadata();
        let mut waiting = Vec::new();
        let mut moved = Vec::new();
        for (key, entry) in self.table.iter() {
            let Some(leader) = metadata.leader(&entry.source) else { continue };
            match entry.fetched_from {
                Some(broker) if broker != leader => moved.push((key, broker)),
                None if entry.returned.is_some() && !entry.gauge.is_parked() => waiting.push(key),
                _ => {}
            }
        }
        for key in waiting {
            self.start_fetching(key).await;
        }
        for (key, broker) in moved {
            if let Some(fetcher) = self.fetchers.get(&broker) {
                let _ = fetcher.send(FetcherEvent::GiveBack(key)).await;
            }
        }
    }

    /// Finds topics that were deleted and created again on either side (KIP-516). What becomes of another source topic is the
    /// policy's to say; another target topic parks, for nobody should delete what is being written to.
    async fn recheck_topic_ids(&mut self) {
        let source = self.context.source.metadata();
        let target = self.context.target.metadata();
        let (mut others, mut recreated) = (Vec::new(), Vec::new());
        for (key, entry) in self.table.iter().filter(|(_, entry)| !entry.gauge.is_parked()) {
            let source_topic = source.topic(&entry.source.topic).filter(|topic| topic.error.is_none());
            let target_topic = target.topic(&entry.target.topic).filter(|topic| topic.error.is_none());
            match (source_topic, target_topic) {
                (Some(topic), _) if topic.id != entry.source_topic_id => others.push((key, topic.id)),
                (_, Some(topic)) if topic.id != entry.target_topic_id => {
                    recreated.push((key, entry.target.topic.clone(), entry.gauge.position()));
                }
                _ => {}
            }
        }
        for (key, topic_id) in others {
            self.release(key).await;
            if let Some(entry) = self.table.get(key) {
                entry.source_topic_id = topic_id;
            }
            self.take_over(key);
        }
        for (key, topic, position) in recreated {
            let message = format!(
                "the target topic {topic} was deleted and created again while source offsets up to {position} were on it; \
                 restart kmirror to have it copied anew"
            );
            self.release(key).await;
            self.park(key, Parked::new(ParkReason::TargetRecreated, message));
        }
    }

    /// Looks again at partitions that are parked for something that an operator may have changed meanwhile: a limit, a
    /// permission, a partition that was missing.
    fn reconsider_parked(&mut self) {
        let now = Instant::now();
        let interval = self.context.flow.parked_retry_interval;
        let metadata = self.context.target.metadata();
        let due: Vec<_> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.gauge.is_parked() && metadata.partition(&entry.target).is_some())
            .filter(|(_, entry)| entry.parked_at.is_some_and(|at| now.duration_since(at) >= interval))
            .map(|(key, entry)| (key, entry.generation, Arc::clone(&entry.target.topic)))
            .collect();
        for (key, generation, topic) in due {
            if let Some(entry) = self.table.get(key) {
                entry.parked_at = Some(now);
            }
            let (flow, target) = (self.context.flow.clone(), self.context.target.clone());
            self.errand(async move {
                let rules = topics::rules(&flow, &target, std::slice::from_ref(&topic)).await;
                let rules = rules.ok().and_then(|rules| rules.get(&topic).copied());
                FlowEvent::Reconsidered { key, generation, rules }
            });
        }
    }

    fn on_reconsidered(&mut self, key: PartitionKey, generation: Generation, rules: Option<TopicRules>) {
        let Some(entry) = self.table.current(key, generation) else { return };
        if let Some(rules) = rules {
            entry.apply_rules(rules);
        }
        info!(partition = %entry.target, "a parked partition is tried again");
        self.take_over(key);
    }

    /// Takes a partition away from its fetcher and appender, if it has them.
    async fn release(&mut self, key: PartitionKey) {
        let Some(entry) = self.table.get(key) else { return };
        entry.generation += 1;
        if let Some((appender, _)) = entry.appender.take() {
            let _ = appender.send(AppenderEvent::Remove(key)).await;
        }
        if let Some(fetcher) = entry.fetched_from.take().and_then(|broker| self.fetchers.get(&broker)) {
            let _ = fetcher.send(FetcherEvent::Remove(key)).await;
        }
    }

    fn park(&mut self, key: PartitionKey, parked: Parked) {
        let Some(entry) = self.table.get(key) else { return };
        error!(partition = %entry.source, target = %entry.target, position = entry.gauge.position(), %parked, "parked");
        entry.parked_at = parked.reason.may_pass().then(Instant::now);
        entry.gauge.set_state(PartitionState::Parked(parked));
        entry.returned = None;
        let topic = Arc::clone(&entry.target.topic);
        if let Some(held) = self.held.get_mut(&topic) {
            let done = held.parked(key);
            self.on_heads_done(&topic, done);
        }
    }

    fn set_waiting(&mut self, key: PartitionKey, cause: &str) {
        if let Some(entry) = self.table.get(key) {
            entry.gauge.set_state(PartitionState::Waiting(cause.to_owned()));
        }
    }

    /// The inbox of the fetcher of a source broker, which is started if there is none.
    fn fetcher(&mut self, broker: BrokerId) -> mpsc::Sender<FetcherEvent> {
        if let Some(fetcher) = self.fetchers.get(&broker) {
            return fetcher.clone();
        }
        let flow = &self.context.flow;
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let context = FetcherContext {
            client: self.context.source.clone(),
            broker,
            isolation: flow.isolation,
            // Half of an equal share among the brokers known so far: those that joined earlier ask for more, so with many
            // brokers a fetch may wait until an idle one's has ended.
            fetch_bytes_max: flow
                .fetch_bytes_max
                .min(flow.buffer_bytes_max / (2 * (self.fetchers.len() + 1)))
                .max(1),
            partition_fetch_bytes_max: flow.partition_fetch_bytes_max,
            budget: self.budget.clone(),
            rewrites: self.rewrites.clone(),
            events: self.events.clone(),
            wake: Arc::new(Notify::new()),
        };
        self.pumps.spawn(fetcher::run(context, events));
        self.fetchers.insert(broker, inbox.clone());
        inbox
    }

    /// The inbox of the appender of a target broker, which is started if there is none.
    fn appender(&mut self, broker: BrokerId) -> mpsc::Sender<AppenderEvent> {
        if let Some(appender) = self.appenders.get(&broker) {
            return appender.clone();
        }
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let context = AppenderContext {
            client: self.context.target.clone(),
            broker,
            marker_producer_id: self.ids.markers,
            counters: Arc::clone(&self.context.shared.counters),
            events: self.events.clone(),
        };
        self.pumps.spawn(appender::run(context, events));
        self.appenders.insert(broker, inbox.clone());
        inbox
    }

    /// Does something in a task of its own that ends in an event.
    fn errand(&mut self, errand: impl Future<Output = FlowEvent> + Send + 'static) {
        let events = self.events.clone();
        self.errands.spawn(async move {
            let event = errand.await;
            let _ = events.send(event);
        });
    }

    /// Stops reading, lets the appenders have the answers to what they have sent, and ends.
    async fn shut_down(mut self, mut inbox: mpsc::UnboundedReceiver<FlowEvent>) {
        self.errands.shutdown().await;
        self.fetchers.clear();
        self.appenders.clear();
        for (_, entry) in self.table.iter_mut() {
            entry.appender = None;
        }
        let ended = async { while self.pumps.join_next().await.is_some() {} };
        let drained = async { while inbox.recv().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = drained => {}
            () = tokio::time::sleep(SHUT_DOWN_MAX) => {}
        }
    }
}

/// Of every inbox. What goes through them is bounded in bytes by the budget.
const INBOX_MAX: usize = 1024;
const TAKE_OVERS_MAX: usize = 32;
const OUT_OF_ORDER_MAX: u32 = 10;
const STANDBY_PAUSE: Duration = Duration::from_millis(1_000);
const STANDBY_PAUSE_SPREAD_MS: u64 = 1_000;
const ANSWER_LOST_PAUSE: Duration = Duration::from_millis(100);
const RESTORE_PAUSE: Duration = Duration::from_millis(500);
const SETTLED_INTERVAL: Duration = Duration::from_millis(20);
const SHUT_DOWN_MAX: Duration = Duration::from_secs(3);
