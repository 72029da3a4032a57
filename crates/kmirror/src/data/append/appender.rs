//! The task that appends to partitions that one target broker leads, over one connection. It moves bytes and asks each partition's
//! [`AppendState`] what comes next; it decides nothing about a log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kmirror_client::{
    Client, ClientError, Connection, Deadline, Moment, PartitionResults, PendingProduce, ProducePartition,
    ProduceRequest, ProduceResponse, ProducedPartition, TopicId, TopicPartition, TxnMarker, clock,
};
use tokio::sync::mpsc;
use tracing::debug;

use super::cause::TakeOverCause;
use super::event::{AppendEnd, AppendEvent};
use super::filler::{self, FillBy, Filled, TransactionFiller};
use super::now::Now;
use super::ready::ReadyQueue;
use super::refusal;
use super::repeat::{Appended, ReadBack, Reader};
use super::request_size::RequestSize;
use super::state::{AppendState, Control, Outcome, Refusal};
use crate::data::queue::QueueGauge;
use crate::ground::item::Item;
use crate::ground::outbox::Outbox;
use crate::ground::partition::{Generation, KeyMap, PartitionKey};
use crate::ground::pipe::{Pipe, PipeKind};
use crate::ground::status::{FlowCounters, PartitionGauge};

/// The appender's inbox.
#[derive(Debug)]
pub(crate) enum AppenderEvent {
    /// A partition was taken over and may be appended to.
    Add(Box<AppendPartition>),
    /// A partition that is not to be appended to any more.
    Remove(PartitionKey),
    /// The target's brokers remember producers for longer until then; or no more.
    Raised(Option<Deadline>),
    /// The next items of a partition.
    Items { key: PartitionKey, generation: Generation, items: Vec<Item> },
}

/// A partition handed to an appender.
#[derive(Debug)]
pub(crate) struct AppendPartition {
    pub(crate) key: PartitionKey,
    pub(crate) generation: Generation,
    pub(crate) target: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) state: AppendState,
    pub(crate) gauge: Arc<PartitionGauge>,
    pub(crate) queue: Arc<QueueGauge>,
}

/// What an appender works with.
pub(crate) struct AppenderContext {
    pub(crate) client: Client,
    pub(crate) pipe: Pipe,
    pub(crate) marker_producer_id: i64,
    pub(crate) counters: Arc<FlowCounters>,
    pub(crate) events: Outbox<AppendEvent>,
    /// What the broker takes.
    pub(crate) request_size: Arc<RequestSize>,
}

/// Appends until the inbox is closed and nothing is in flight any more.
pub(crate) async fn run(context: AppenderContext, inbox: mpsc::Receiver<AppenderEvent>) {
    let appender = Appender {
        context,
        partitions: KeyMap::default(),
        ready: ReadyQueue::default(),
        timers: BinaryHeap::new(),
        link: Link::Down,
        produces: VecDeque::new(),
        markers: None,
        markers_wanted: Vec::new(),
        log_ends: None,
        log_ends_wanted: Vec::new(),
        checks: None,
        checks_wanted: Vec::new(),
        fill_by: None,
        has_filled: false,
        probe: None,
        transactions: TransactionFiller::default(),
        reader: Reader::default(),
        unpins_at: None,
    };
    appender.run(inbox).await;
}

struct Appender {
    context: AppenderContext,
    partitions: KeyMap<AppendPartition>,
    /// Partitions that may have something to send.
    ready: ReadyQueue,
    timers: BinaryHeap<Reverse<(Instant, PartitionKey)>>,
    link: Link,
    /// Produce requests in flight, oldest first: a connection answers in order.
    produces: VecDeque<ProduceInFlight>,
    markers: Option<Call<MarkersAnswer>>,
    markers_wanted: Vec<MarkersWanted>,
    log_ends: Option<Call<LogEndsAnswer>>,
    log_ends_wanted: Vec<(PartitionKey, Generation)>,
    checks: Option<Call<ChecksAnswer>>,
    checks_wanted: Vec<(PartitionKey, Generation)>,
    /// How holes are filled here, once a hole made us ask.
    fill_by: Option<FillBy>,
    /// Whether that was permitted once since it was asked.
    has_filled: bool,
    probe: Option<Call<Result<FillBy, ClientError>>>,
    transactions: TransactionFiller,
    reader: Reader,
    /// When partitions are looked for next that stand still; none where nothing is queued.
    unpins_at: Option<Instant>,
}

enum Link {
    Down,
    Connecting(Call<Result<Connection, ClientError>>),
    Up(Connection),
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct ProduceInFlight {
    pending: PendingProduce,
    asked: Asked,
    /// Before it was: what its answer shows is at least as old.
    sent_at: Moment,
}

/// What was in a request.
#[derive(Default)]
struct Asked {
    sent: Vec<Sent>,
    bytes: usize,
}

/// When a request was sent, what was in it, and its answer.
type ProduceAnswer = (Moment, Asked, Result<ProduceResponse, ClientError>);

/// A request that is ready to go.
struct Packed {
    request: ProduceRequest,
    asked: Asked,
    /// The earliest of its batches; none where there is no batch.
    deadline: Option<Deadline>,
}

/// A batch of a request, so that its answer finds the partition.
#[derive(Clone)]
struct Sent {
    key: PartitionKey,
    generation: Generation,
    target: TopicPartition,
}

/// Markers that a hole needs.
#[derive(Clone, Copy)]
struct MarkersWanted {
    key: PartitionKey,
    generation: Generation,
    count: u32,
    token: i32,
    deadline: Deadline,
}

type MarkersAnswer = Vec<(PartitionKey, Generation, u32, Result<(), Refusal>)>;
type ChecksAnswer = Vec<(PartitionKey, Generation, Result<i64, String>)>;
type LogEndsAnswer = Vec<(PartitionKey, Generation, Result<(i64, i64), String>)>;

impl Appender {
    async fn run(mut self, mut inbox: mpsc::Receiver<AppenderEvent>) {
        let mut open = true;
        while open || !self.produces.is_empty() {
            if open {
                self.submit().await;
            }
            let wake = self.timers.peek().map(|Reverse((at, _))| *at);
            let busy = self.busy_connection().filter(|_| open);
            tokio::select! {
                biased;
                // There are no more answers than what came through the inbox asked for: they leave time for it.
                answer = front_answer(&mut self.produces) => self.on_produced(answer).await,
                connected = connecting(&mut self.link) => self.on_connected(connected).await,
                answer = called(&mut self.markers) => self.on_markers(answer).await,
                answer = called(&mut self.log_ends) => self.on_log_ends(answer).await,
                answer = called(&mut self.checks) => self.on_checks(answer).await,
                probed = called(&mut self.probe) => self.on_probed(probed).await,
                Some(filled) = self.transactions.next() => self.on_filled(filled).await,
                Some(read) = self.reader.next() => self.on_read_back(read).await,
                () = written(busy) => {}
                () = sleep_until(wake) => self.on_timer(),
                () = sleep_until(self.unpins_at) => self.unpin(),
                event = inbox.recv(), if open => match event {
                    Some(event) => self.on_event(event).await,
                    None => open = false,
                },
            }
        }
    }

    async fn on_event(&mut self, event: AppenderEvent) {
        match event {
            AppenderEvent::Add(partition) => {
                let key = partition.key;
                partition.gauge.position.store(partition.state.acknowledged(), Ordering::Relaxed);
                self.partitions.insert(key, *partition);
            }
            AppenderEvent::Remove(key) => {
                self.transactions.forget(key);
                self.partitions.remove(&key);
            }
            AppenderEvent::Raised(lease) => {
                let now = Now::read();
                self.partitions.values_mut().for_each(|partition| partition.state.on_raised(now, lease));
            }
            AppenderEvent::Items { key, generation, items } => {
                let counters = Arc::clone(&self.context.counters);
                let Some(partition) = self.partition(key, generation) else { return };
                let pushed = items.into_iter().try_for_each(|item| {
                    counters.count(&item);
                    partition.state.push(item)
                });
                match pushed {
                    Ok(()) => {
                        self.unpins_at.get_or_insert_with(|| clock::now() + UNPIN_INTERVAL);
                        self.make_ready(key);
                    }
                    Err(parked) => self.end(key, AppendEnd::Park(parked)).await,
                }
            }
        }
    }

    /// Sends what may be sent: one request takes a batch of each ready partition, and several requests are in flight.
    async fn submit(&mut self) {
        let now = Now::read();
        self.demand_controls(now).await;
        while self.produces.len() < REQUESTS_IN_FLIGHT_MAX && !self.ready.is_empty() {
            let connection = match &self.link {
                Link::Up(connection) => connection.clone(),
                Link::Connecting(_) => return,
                Link::Down => {
                    let (client, pipe) = (self.context.client.clone(), self.context.pipe);
                    self.link = Link::Connecting(Box::pin(async move {
                        client.connection(pipe.broker, pipe.produce_lane()).await
                    }));
                    return;
                }
            };
            // To wait for a quota here would keep the inbox, and with it whoever reads for other brokers.
            if is_busy(&connection) || connection.is_throttled() {
                return;
            }
            let Packed { request, asked, deadline } = self.pack(now);
            let Some(deadline) = deadline else { return };
            match connection.submit_produce_before(request, deadline).await {
                Ok(pending) => {
                    self.produces.push_back(ProduceInFlight { pending, asked, sent_at: now.moment })
                }
                Err(error) => {
                    let front = self.produces.pop_front().map(|front| front.asked);
                    return self.lose_connection(&error, &front.unwrap_or(asked)).await;
                }
            }
        }
    }

    /// The connection, where there is more to send than it takes at present.
    fn busy_connection(&self) -> Option<Connection> {
        match &self.link {
            Link::Up(connection)
                if !self.ready.is_empty() && (is_busy(connection) || connection.is_throttled()) =>
            {
                Some(connection.clone())
            }
            _ => None,
        }
    }

    /// One batch of each ready partition, until the request is large enough.
    fn pack(&mut self, now: Now) -> Packed {
        let mut request = ProduceRequest { timeout: PRODUCE_TIMEOUT, partitions: Vec::new() };
        let (mut asked, mut deadline) = (Asked::default(), None::<Deadline>);
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop() else { break };
            let Some(partition) = self.partitions.get_mut(&key) else { continue };
            let Some(outgoing) = partition.state.next_batch(now) else {
                if let Some(at) = partition.state.wakes_at() {
                    self.timers.push(Reverse((at, key)));
                }
                continue;
            };
            // It may have more, for the next request: a request takes one batch per partition.
            self.ready.push(key);
            asked.bytes += outgoing.header.len() + outgoing.payload.len();
            self.context.counters.merged_batches.fetch_add(outgoing.merged as u64, Ordering::Relaxed);
            let until = outgoing.deadline;
            deadline = Some(deadline.map_or(until, |deadline| deadline.min(until, now.moment)));
            asked.sent.push(Sent { key, generation: partition.generation, target: partition.target.clone() });
            request.partitions.push(ProducePartition {
                topic: Arc::clone(&partition.target.topic),
                topic_id: partition.topic_id,
                partition: partition.target.partition,
                header: outgoing.header,
                payload: outgoing.payload,
            });
            if asked.bytes >= self.context.request_size.bytes_max() {
                break;
            }
        }
        Packed { request, asked, deadline }
    }

    async fn on_produced(&mut self, (sent_at, asked, answer): ProduceAnswer) {
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => return self.lose_connection(&error, &asked).await,
        };
        self.context.request_size.answered(asked.bytes);
        let mut late = Vec::new();
        let mut answers: HashMap<TopicPartition, ProducedPartition> =
            answers.partitions.into_iter().map(|answer| (answer.topic_partition.clone(), answer)).collect();
        for sent in asked.sent {
            let answer = answers.remove(&sent.target);
            let hint = answer.as_ref().and_then(|answer| answer.leader_hint.clone());
            let produced = match answer {
                None => {
                    Err(Refusal::TakeOver(TakeOverCause::AnswerLost("the answer leaves it out".to_owned())))
                }
                Some(ProducedPartition { error: Some(error), message, .. }) => {
                    Err(refusal::of_data(error, message.as_deref()))
                }
                Some(ProducedPartition { base_offset, log_append_time, .. }) => {
                    Ok(Appended { base_offset, log_append_time })
                }
            };
            if let Some(hint) = hint {
                self.context.client.leader_hint(&sent.target, &hint);
            }
            let Some(partition) = self.partition(sent.key, sent.generation) else { continue };
            if matches!(produced, Err(Refusal::TakeOver(TakeOverCause::HoldsUpOthers(_)))) {
                late.push(sent.key);
            }
            let outcome = partition.state.on_produced(Now::read(), sent_at, produced);
            self.after(sent.key, outcome).await;
        }
        self.leave_late(&late).await;
    }

    async fn on_connected(&mut self, connected: Result<Connection, ClientError>) {
        match connected {
            Ok(connection) => self.link = Link::Up(connection),
            Err(error) => {
                self.link = Link::Down;
                while let Some(key) = self.ready.pop() {
                    if self.partitions.contains_key(&key) {
                        let cause = TakeOverCause::LeaderUnknown(error.to_string());
                        self.end(key, AppendEnd::TakeOver(cause)).await;
                    }
                }
            }
        }
    }

    /// Collects what the holes at the front of partitions need, and asks for it in one request for all of them.
    async fn demand_controls(&mut self, now: Now) {
        let mut leaving = Vec::new();
        for key in self.ready.iter() {
            let Some(partition) = self.partitions.get_mut(&key) else { continue };
            let generation = partition.generation;
            match partition.state.next_control(now) {
                Some(Control::WriteMarkers { count, token, deadline }) => {
                    self.markers_wanted.push(MarkersWanted { key, generation, count, token, deadline });
                }
                Some(Control::ReadEnd) => self.log_ends_wanted.push((key, generation)),
                Some(Control::CheckEnd) => self.checks_wanted.push((key, generation)),
                Some(Control::ReadBack { first, end }) => {
                    let (client, target) = (self.context.client.clone(), partition.target.clone());
                    self.reader.read((key, generation), client, target, [first, end]);
                }
                Some(Control::MakeUp) => leaving.push(key),
                None => {}
            }
        }
        for key in leaving {
            self.end(key, AppendEnd::TakeOver(TakeOverCause::CanMakeUp)).await;
        }
        if self.checks.is_none() && !self.checks_wanted.is_empty() {
            self.checks = Some(self.check_ends());
        }
        let is_wanted = !self.markers_wanted.is_empty() || !self.log_ends_wanted.is_empty();
        match self.fill_by {
            None if is_wanted && self.probe.is_none() => {
                let AppenderContext { client, pipe, marker_producer_id, .. } = &self.context;
                let (client, broker, producer_id) = (client.clone(), pipe.broker, *marker_producer_id);
                self.probe = Some(Box::pin(async move { filler::probe(&client, broker, producer_id).await }));
            }
            None => {}
            Some(FillBy::Markers) => {
                if self.markers.is_none() && !self.markers_wanted.is_empty() {
                    self.markers = Some(self.write_markers());
                }
                if self.log_ends.is_none() && !self.log_ends_wanted.is_empty() {
                    self.log_ends = Some(self.read_log_ends());
                }
            }
            Some(FillBy::Transactions) => self.fill_by_transactions(),
        }
    }

    fn fill_by_transactions(&mut self) {
        for (key, generation) in std::mem::take(&mut self.log_ends_wanted) {
            let Some(target) = self.partition(key, generation).map(|partition| partition.target.clone())
            else {
                continue;
            };
            let (client, flow_id) = (self.context.client.clone(), self.context.marker_producer_id);
            self.transactions.look((key, generation), client, flow_id, target);
        }
        for MarkersWanted { key, generation, count, .. } in std::mem::take(&mut self.markers_wanted) {
            if self.partition(key, generation).is_some() {
                self.transactions.fill(key, generation, count);
            }
        }
    }

    async fn on_probed(&mut self, probed: Result<FillBy, ClientError>) {
        self.probe = None;
        match probed {
            Ok(fill_by) => {
                debug!(broker = %self.context.pipe.broker, ?fill_by, "asked how holes can be filled");
                self.fill_by = Some(fill_by);
            }
            Err(error) => {
                let markers = std::mem::take(&mut self.markers_wanted).into_iter();
                let wanted = markers.map(|wanted| (wanted.key, wanted.generation));
                let wanted: Vec<_> = wanted.chain(std::mem::take(&mut self.log_ends_wanted)).collect();
                for (key, generation) in wanted {
                    if self.partition(key, generation).is_some() {
                        let cause = TakeOverCause::LeaderUnknown(error.to_string());
                        self.end(key, AppendEnd::TakeOver(cause)).await;
                    }
                }
            }
        }
    }

    async fn on_filled(&mut self, filled: Filled) {
        match filled {
            Filled::Ends { key, generation, ends } => {
                let Some(partition) = self.partition(key, generation) else { return };
                let outcome = match ends {
                    Ok((high_watermark, log_end)) => {
                        partition.state.on_log_end(Now::read(), high_watermark, log_end)
                    }
                    Err(refusal) => {
                        let refusal = self.reconsider_filling(refusal);
                        let Some(partition) = self.partition(key, generation) else { return };
                        partition.state.on_markers(Err(refusal))
                    }
                };
                self.after(key, outcome).await;
            }
            Filled::Written { key, generation, count, written } => {
                self.on_markers(vec![(key, generation, count, written)]).await;
            }
        }
    }

    fn write_markers(&mut self) -> Call<MarkersAnswer> {
        let mut markers_count = 0;
        let fitting = self.markers_wanted.iter().take_while(|wanted| {
            let fits = markers_count < MARKERS_PER_REQUEST_MAX;
            markers_count += wanted.count;
            fits
        });
        let fitting = fitting.count();
        let wanted: Vec<_> = self.markers_wanted.drain(..fitting).collect();
        let with_targets: Vec<_> = wanted
            .into_iter()
            .filter_map(|wanted| {
                let target = self.partition(wanted.key, wanted.generation)?.target.clone();
                Some((wanted, target))
            })
            .collect();
        let markers = markers_of(
            self.context.marker_producer_id,
            with_targets.iter().map(|(wanted, target)| (target, wanted.count, wanted.token)),
        );
        let now = Moment::now();
        let deadlines = with_targets.iter().map(|(wanted, _)| wanted.deadline);
        let deadline = deadlines.reduce(|one, other| one.min(other, now));
        let (client, Pipe { broker, .. }) = (self.context.client.clone(), self.context.pipe);
        let lane = self.context.pipe.markers_lane();
        Box::pin(async move {
            let Some(deadline) = deadline else { return Vec::new() };
            let written = client.write_txn_markers(broker, lane, &markers, deadline).await;
            let refused = refused_markers(written);
            with_targets
                .into_iter()
                .map(|(MarkersWanted { key, generation, count, token, .. }, target)| {
                    let error = match &refused {
                        Ok(refused) => refused.get(&target),
                        Err(error) => Some(error),
                    };
                    let written = error.map_or(Ok(()), |error| Err(refusal::of_markers(error, token)));
                    (key, generation, count, written)
                })
                .collect()
        })
    }

    fn check_ends(&mut self) -> Call<ChecksAnswer> {
        let wanted = std::mem::take(&mut self.checks_wanted);
        let with_targets = self.with_targets(wanted);
        let client = self.context.client.clone();
        Box::pin(async move {
            let targets: Vec<_> = with_targets.iter().map(|(_, _, target)| target.clone()).collect();
            let mut ends: HashMap<_, _> = client.log_end_offsets(&targets).await.into_iter().collect();
            let checked = with_targets.into_iter().map(|(key, generation, target)| {
                let end = ends.remove(&target).map(|end| end.map_err(|error| error.to_string()));
                (key, generation, end.unwrap_or_else(|| Err("no answer".to_owned())))
            });
            checked.collect()
        })
    }

    fn with_targets(
        &mut self,
        wanted: Vec<(PartitionKey, Generation)>,
    ) -> Vec<(PartitionKey, Generation, TopicPartition)> {
        let with_target =
            |(key, generation)| Some((key, generation, self.partition(key, generation)?.target.clone()));
        wanted.into_iter().filter_map(with_target).collect()
    }

    fn read_log_ends(&mut self) -> Call<LogEndsAnswer> {
        let wanted = std::mem::take(&mut self.log_ends_wanted);
        let with_targets = self.with_targets(wanted);
        let client = self.context.client.clone();
        Box::pin(async move {
            let targets: Vec<_> = with_targets.iter().map(|(_, _, target)| target.clone()).collect();
            let ends = crate::logs::ends::read(&client, &targets).await;
            with_targets
                .into_iter()
                .map(|(key, generation, target)| {
                    let end = ends.get(&target).cloned().unwrap_or_else(|| Err("no answer".to_owned()));
                    (key, generation, end.map(|end| (end.high_watermark, end.log_end)))
                })
                .collect()
        })
    }

    async fn on_markers(&mut self, answers: MarkersAnswer) {
        self.markers = None;
        for (key, generation, count, written) in answers {
            if written.is_ok() {
                self.context.counters.marker_offsets.fetch_add(u64::from(count), Ordering::Relaxed);
                self.has_filled = self.fill_by.is_some();
            }
            let written = written.map_err(|refusal| self.reconsider_filling(refusal));
            let Some(partition) = self.partition(key, generation) else { continue };
            let outcome = partition.state.on_markers(written);
            self.after(key, outcome).await;
        }
    }

    /// What fills holes is not permitted any more, or never was: what is will be asked again, by the next hole. Where it was, the other way
    /// may be open, and nobody has to look.
    fn reconsider_filling(&mut self, refusal: Refusal) -> Refusal {
        let Refusal::Park(parked) = refusal else { return refusal };
        let was_permitted = std::mem::take(&mut self.has_filled);
        if self.fill_by.take().is_none() || was_permitted {
            return Refusal::TakeOver(TakeOverCause::LeaderUnknown(parked.message));
        }
        Refusal::Park(parked)
    }

    async fn on_log_ends(&mut self, answers: LogEndsAnswer) {
        self.log_ends = None;
        for (key, generation, end) in answers {
            let Some(partition) = self.partition(key, generation) else { continue };
            let outcome = match end {
                Ok((high_watermark, log_end)) => {
                    partition.state.on_log_end(Now::read(), high_watermark, log_end)
                }
                Err(cause) => Outcome::TakeOver(TakeOverCause::LeaderUnknown(cause)),
            };
            self.after(key, outcome).await;
        }
    }

    async fn on_checks(&mut self, answers: ChecksAnswer) {
        self.checks = None;
        for (key, generation, end) in answers {
            let Some(partition) = self.partition(key, generation) else { continue };
            let outcome = match end {
                Ok(log_end) => partition.state.on_end_checked(Now::read(), log_end),
                Err(cause) => Outcome::TakeOver(TakeOverCause::LeaderUnknown(cause)),
            };
            self.after(key, outcome).await;
        }
    }

    async fn on_read_back(&mut self, ReadBack { key, generation, log }: ReadBack) {
        let Some(partition) = self.partition(key, generation) else { return };
        let outcome = match log {
            Ok(log) => partition.state.on_read_back(&log),
            Err(cause) => Outcome::TakeOver(TakeOverCause::LeaderUnknown(cause)),
        };
        self.after(key, outcome).await;
    }

    fn on_timer(&mut self) {
        let now = clock::now();
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.make_ready(key);
        }
    }

    /// What waits for a partition that stands still must not hold what others were read with.
    fn unpin(&mut self) {
        let now = Moment::now();
        let mut is_any_queued = false;
        #[expect(clippy::iter_over_hash_type, reason = "a KeyMap has the same order each time")]
        for partition in self.partitions.values_mut() {
            is_any_queued |= !partition.state.is_empty();
            if partition.state.is_stuck(now) {
                partition.state.let_go_of_answers();
            }
        }
        self.unpins_at = is_any_queued.then(|| clock::now() + UNPIN_INTERVAL);
    }

    async fn after(&mut self, key: PartitionKey, outcome: Outcome) {
        match outcome {
            Outcome::Going => self.make_ready(key),
            Outcome::Acknowledged { records, bytes } => {
                self.context.counters.records.fetch_add(records, Ordering::Relaxed);
                self.context.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                if let Some(partition) = self.partitions.get(&key) {
                    partition.publish(bytes);
                }
                match self.context.pipe.kind {
                    // Nothing else of it is in flight: the first batch of an owner goes alone.
                    PipeKind::Apart => self.end(key, AppendEnd::TakeOver(TakeOverCause::Recovered)).await,
                    PipeKind::Common | PipeKind::ForLeaders => self.make_ready(key),
                }
            }
            Outcome::TakeOver(cause) => self.end(key, AppendEnd::TakeOver(cause)).await,
            Outcome::Park(parked) => self.end(key, AppendEnd::Park(parked)).await,
        }
    }

    async fn end(&mut self, key: PartitionKey, end: AppendEnd) {
        let Some(partition) = self.partitions.remove(&key) else { return };
        self.transactions.forget(key);
        let generation = partition.generation;
        self.context.events.put(AppendEvent::Ended { key, generation, end });
    }

    fn partition(&mut self, key: PartitionKey, generation: Generation) -> Option<&mut AppendPartition> {
        self.partitions.get_mut(&key).filter(|partition| partition.generation == generation)
    }

    fn make_ready(&mut self, key: PartitionKey) {
        if self.partitions.contains_key(&key) {
            self.ready.push(key);
        }
    }
}

impl AppendPartition {
    /// Publishes progress: `bytes` left the queue.
    fn publish(&self, bytes: u64) {
        let AppendPartition { state, gauge, queue, .. } = self;
        gauge.position.store(state.acknowledged(), Ordering::Relaxed);
        queue.release(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}

/// Entries of a WriteTxnMarkers request. Each entry appends one marker to each of its partitions, so partitions that need
/// several stand in several entries; those with the same token share them.
fn markers_of<'a>(
    producer_id: i64,
    wanted: impl Iterator<Item = (&'a TopicPartition, u32, i32)> + Clone,
) -> Vec<TxnMarker> {
    let mut markers = Vec::new();
    let rounds = wanted.clone().map(|(_, count, _)| count).max().unwrap_or(0);
    for round in 0..rounds {
        let mut by_token: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for (target, _, token) in wanted.clone().filter(|(_, count, _)| *count > round) {
            by_token.entry(token).or_default().push(target.clone());
        }
        markers.extend(by_token.into_iter().map(|(token, partitions)| TxnMarker {
            producer_id,
            producer_epoch: 0,
            commit: false,
            coordinator_epoch: token,
            partitions,
        }));
    }
    markers
}

/// The partitions in which any marker was refused: one that was is enough to distrust all.
fn refused_markers(
    written: Result<Vec<PartitionResults<()>>, ClientError>,
) -> Result<HashMap<TopicPartition, ClientError>, ClientError> {
    let results = written?.into_iter().flatten();
    Ok(results.filter_map(|(partition, result)| Some((partition, result.err()?))).collect())
}

async fn front_answer(produces: &mut VecDeque<ProduceInFlight>) -> ProduceAnswer {
    let Some(front) = produces.front_mut() else { return pending().await };
    let (sent_at, answer) = (front.sent_at, (&mut front.pending).await);
    let asked = produces.pop_front().map(|front| front.asked).unwrap_or_default();
    (sent_at, asked, answer)
}

fn is_busy(connection: &Connection) -> bool {
    connection.unwritten_bytes() > UNWRITTEN_BYTES_MAX
}

async fn written(connection: Option<Connection>) {
    match connection {
        Some(connection) if connection.is_throttled() => connection.unthrottled().await,
        Some(connection) => connection.written().await,
        None => pending().await,
    }
}

async fn connecting(link: &mut Link) -> Result<Connection, ClientError> {
    match link {
        Link::Connecting(call) => call.await,
        Link::Down | Link::Up(_) => pending().await,
    }
}

async fn called<T>(call: &mut Option<Call<T>>) -> T {
    match call {
        Some(call) => call.await,
        None => pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// A broker serves one request of a connection at a time (`SocketServer`, mute); the others wait in its socket, so that it
/// is never idle for a round trip.
const REQUESTS_IN_FLIGHT_MAX: usize = 5;
const UNPIN_INTERVAL: Duration = Duration::from_millis(500);
/// No request is made while the socket has not taken this much of those before: it would be too old when its turn comes.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;
/// Over all partitions: about half a second of a broker's time. One partition's markers are never split up.
const MARKERS_PER_REQUEST_MAX: u32 = 10_000;
/// How long the broker may wait for its replicas (Java: `request.timeout.ms` of the producer).
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(20);

mod apart;
#[cfg(test)]
mod tests;
