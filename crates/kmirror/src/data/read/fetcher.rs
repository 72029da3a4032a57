//! The task that reads partitions that one source broker leads, through one connection and one fetch session. It moves bytes, asks each
//! partition's [`FetchState`] and [`Planner`] what they are, and hands the items to the partition's appender.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kmirror_client::{
    Client, ClientError, Connection, FetchPosition, FetchResponse, FetchSession, FetchSettings,
    FetchedPartition, TopicId, TopicPartition, clock,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::event::FetchEvent;
use super::failing::Failing;
use super::reader::PartitionReader;
use super::share::{Share, share_of_answer};
use crate::data::append::appender::AppenderEvent;
use crate::data::queue::QueueGauge;
use crate::data::read::planner::Planner;
use crate::data::read::rewrite_pool::{Rewrite, RewritePool};
use crate::ground::budget::{Budget, Permit};
use crate::ground::config::Isolation;
use crate::ground::item::Item;
use crate::ground::outbox::Outbox;
use crate::ground::park::Parked;
use crate::ground::partition::{Generation, KeyMap, PartitionKey};
use crate::ground::pipe::Pipe;
use crate::ground::status::PartitionGauge;
use crate::logs::fetch_state::{FetchFault, FetchState, Fetched, Sourced};
use crate::logs::show::{Look, ShowError, Shown};

/// The fetcher's inbox.
#[derive(Debug)]
pub(crate) enum FetcherEvent {
    /// A partition to read.
    Add(Box<FetchPartition>),
    /// A partition that is not to be read any more: its appender is gone.
    Remove(PartitionKey),
    /// A partition that another broker leads by now: hand it back, to be read there.
    GiveBack(PartitionKey),
    /// The leader epochs of what was read last are recorded.
    Recorded { key: PartitionKey, generation: Generation },
}

/// A partition handed to a fetcher.
#[derive(Debug)]
pub(crate) struct FetchPartition {
    pub(crate) key: PartitionKey,
    pub(crate) generation: Generation,
    pub(crate) source: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) reading: PartitionReader,
    pub(crate) gauge: Arc<PartitionGauge>,
    pub(crate) queue: Arc<QueueGauge>,
    pub(crate) appender: mpsc::Sender<AppenderEvent>,
}

/// What a fetcher works with.
pub(crate) struct FetcherContext {
    pub(crate) client: Client,
    pub(crate) pipe: Pipe,
    pub(crate) isolation: Isolation,
    pub(crate) share: Share,
    pub(crate) partition_fetch_bytes_max: usize,
    pub(crate) budget: Budget,
    pub(crate) rewrites: RewritePool,
    pub(crate) events: Outbox<FetchEvent>,
    /// Notified when a paused partition may go on.
    pub(crate) wake: Arc<Notify>,
}

/// Reads until the inbox is closed.
pub(crate) async fn run(context: FetcherContext, inbox: mpsc::Receiver<FetcherEvent>) {
    let rack = context.client.config().rack.clone();
    let session = FetchSession::new(context.settings(FETCH_WAIT_MAX, context.share.bytes())).in_rack(rack);
    let fetcher = Fetcher {
        context,
        session,
        slots: KeyMap::default(),
        by_name: HashMap::new(),
        paused: BTreeSet::new(),
        stalled: BTreeSet::new(),
        stalled_looked: clock::now(),
        connection: None,
        permit: None,
        step: None,
        failures: 0,
        side_jobs: JoinSet::new(),
    };
    fetcher.run(inbox).await;
}

struct Fetcher {
    context: FetcherContext,
    session: FetchSession,
    slots: KeyMap<Slot>,
    by_name: HashMap<TopicPartition, PartitionKey>,
    /// Partitions that are not in the next request.
    paused: BTreeSet<PartitionKey>,
    /// Partitions that should have something to read and may get nothing.
    stalled: BTreeSet<PartitionKey>,
    /// When these were looked at last: while much is to be copied they are many.
    stalled_looked: Instant,
    connection: Option<Connection>,
    permit: Option<Permit>,
    /// The one thing that the fetch loop waits for.
    step: Option<Call<Step>>,
    failures: u32,
    side_jobs: JoinSet<SideJob>,
}

struct Slot {
    key: PartitionKey,
    generation: Generation,
    source: TopicPartition,
    topic_id: TopicId,
    state: FetchState,
    failing: Failing,
    /// Away while its batches are rewritten.
    planner: Option<Planner>,
    gauge: Arc<PartitionGauge>,
    queue: Arc<QueueGauge>,
    appender: mpsc::Sender<AppenderEvent>,
    /// Read, and not planned yet: the queue is full.
    rest: VecDeque<Sourced>,
    /// Nothing was left to read behind the position when it was last seen.
    at_end: bool,
    /// What was read is of leader epochs that are not recorded yet.
    awaits_record: bool,
    give_back: bool,
    paused_until: Option<Instant>,
    stalled_since: Option<Instant>,
    /// Whether it is being asked for alone.
    is_probed: bool,
    /// Whether its state says that the source shows nothing.
    is_hidden: bool,
}

/// A turn of the fetch loop, step by step: connect, take bytes from the budget, fetch.
enum Step {
    Connected(Result<Connection, ClientError>),
    Permitted(Permit),
    Fetched(Result<FetchResponse, ClientError>),
    Rested,
}

enum SideJob {
    Rewritten(PartitionKey, Generation, Result<Rewrite, Parked>),
    /// What the source shows from the offset on that was asked for.
    Probed(PartitionKey, Generation, i64, Result<Shown, ShowError>),
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl FetcherContext {
    fn settings(&self, max_wait: Duration, bytes_max: usize) -> FetchSettings {
        FetchSettings {
            max_wait,
            min_bytes: FETCH_BYTES_MIN,
            bytes_max: i32::try_from(bytes_max).unwrap_or(i32::MAX),
            isolation: self.isolation.for_client(),
        }
    }
}

impl Fetcher {
    async fn run(mut self, mut inbox: mpsc::Receiver<FetcherEvent>) {
        loop {
            if self.step.is_none() {
                self.step = self.next_step().await;
            }
            let wake = Arc::clone(&self.context.wake);
            let resume_at = self.slots_resume_at();
            tokio::select! {
                biased;
                // A step waits for a broker or for the budget, and a side job begins with one: they leave time for the inbox.
                step = stepped(&mut self.step) => self.on_step(step).await,
                Some(Ok(job)) = self.side_jobs.join_next() => self.on_side_job(job).await,
                event = inbox.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => return,
                },
                // All that these do is done by another turn of the loop, whatever brings it about.
                () = wake.notified() => {}
                () = sleep_until(resume_at) => {}
            }
        }
    }

    async fn on_event(&mut self, event: FetcherEvent) {
        match event {
            FetcherEvent::Add(partition) => self.add(*partition),
            FetcherEvent::Remove(key) => {
                self.forget(key);
            }
            FetcherEvent::GiveBack(key) => {
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.give_back = true;
                }
                self.give_back_if_asked(key).await;
            }
            FetcherEvent::Recorded { key, generation } => {
                let is_current = |slot: &&mut Slot| slot.generation == generation && slot.awaits_record;
                let Some(slot) = self.slots.get_mut(&key).filter(is_current) else { return };
                slot.awaits_record = false;
                let rest = std::mem::take(&mut slot.rest);
                self.plan(key, rest).await;
            }
        }
    }

    fn add(&mut self, partition: FetchPartition) {
        let FetchPartition { key, generation, source, topic_id, reading, gauge, queue, appender } = partition;
        queue.filled_by(&self.context.wake);
        let slot = Slot {
            key,
            generation,
            source: source.clone(),
            topic_id,
            state: reading.state,
            failing: reading.failing,
            planner: Some(reading.planner),
            gauge,
            queue,
            appender,
            rest: VecDeque::new(),
            at_end: false,
            awaits_record: false,
            give_back: false,
            paused_until: None,
            stalled_since: None,
            is_probed: false,
            is_hidden: false,
        };
        let position = slot.fetch_position(self.partition_bytes_max());
        self.session.set(source.clone(), position);
        self.by_name.insert(source, key);
        self.slots.insert(key, slot);
    }

    fn forget(&mut self, key: PartitionKey) -> Option<Slot> {
        let slot = self.slots.remove(&key)?;
        self.session.remove(&slot.source);
        self.by_name.remove(&slot.source);
        self.paused.remove(&key);
        self.stalled.remove(&key);
        Some(slot)
    }

    /// What the loop does next; `None` while there is nothing to fetch.
    async fn next_step(&mut self) -> Option<Call<Step>> {
        self.resume();
        if self.slots.len() == self.paused.len() {
            self.permit = None;
            return None;
        }
        let Some(connection) = &self.connection else {
            let (client, pipe) = (self.context.client.clone(), self.context.pipe);
            return Some(Box::pin(async move {
                Step::Connected(client.connection(pipe.broker, pipe.fetch_lane()).await)
            }));
        };
        if connection.is_throttled() {
            // A step of its own: the inbox is served meanwhile.
            let connection = connection.clone();
            return Some(Box::pin(async move {
                connection.unthrottled().await;
                Step::Rested
            }));
        }
        let Some(permit) = self.permit.take() else {
            let (budget, bytes) = (self.context.budget.clone(), self.context.share.bytes());
            return Some(Box::pin(async move { Step::Permitted(budget.acquire(bytes).await) }));
        };
        let wait_max = if self.paused.is_empty() { FETCH_WAIT_MAX } else { FETCH_WAIT_PAUSED };
        self.session.set_settings(self.context.settings(wait_max, permit.bytes()));
        let submitted = match connection.fetch_version() {
            Ok(version) => {
                let version = version.min(self.context.pipe.fetch_version_max());
                connection.submit_fetch(self.session.next_request(version), Some(Box::new(permit))).await
            }
            Err(error) => Err(error),
        };
        match submitted {
            Ok(fetch) => Some(Box::pin(async move { Step::Fetched(fetch.await) })),
            Err(error) => Some(Box::pin(std::future::ready(Step::Fetched(Err(error))))),
        }
    }

    async fn on_step(&mut self, step: Step) {
        self.step = None;
        match step {
            Step::Connected(Ok(connection)) => self.connection = Some(connection),
            Step::Permitted(permit) => self.permit = Some(permit),
            Step::Rested => {}
            Step::Connected(Err(error)) => self.connection_lost(&error).await,
            Step::Fetched(Err(error)) => self.connection_lost(&error).await,
            Step::Fetched(Ok(response)) => match self.session.handle(response) {
                Ok(partitions) => {
                    self.failures = 0;
                    for partition in partitions {
                        self.on_fetched(partition).await;
                    }
                    self.probe_stalled();
                }
                Err(error) => {
                    debug!(broker = %self.context.pipe.broker, %error, "fetch session begins anew");
                    self.rest();
                }
            },
        }
    }

    async fn connection_lost(&mut self, error: &ClientError) {
        debug!(broker = %self.context.pipe.broker, %error, "fetch connection lost");
        self.connection = None;
        self.session.reset();
        self.rest();
        let paused = &self.paused;
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| !paused.contains(key)) {
            slot.failed(&self.context.events, error);
        }
        self.context.events.put(FetchEvent::BrokerLost);
    }

    fn rest(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = (BACKOFF_MIN * 2u32.saturating_pow(self.failures.min(10) - 1)).min(BACKOFF_MAX);
        self.step = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            Step::Rested
        }));
    }

    async fn on_fetched(&mut self, fetched: FetchedPartition) {
        let Some(key) = self.by_name.get(&fetched.topic_partition).copied() else { return };
        let Some(slot) = self.slots.get_mut(&key) else { return };
        if let Some(hint) = &fetched.leader_hint {
            self.context.client.leader_hint(&fetched.topic_partition, hint);
        }
        if slot.planner.is_none() || !slot.rest.is_empty() {
            // It was not asked for: what comes before is still being planned. Taking it in would lose it.
            return;
        }
        self.take_in(key, fetched).await;
    }

    async fn take_in(&mut self, key: PartitionKey, fetched: FetchedPartition) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        match slot.state.on_fetched(fetched) {
            Ok(fetched) => {
                if slot.failing.succeeded() {
                    let generation = slot.generation;
                    self.context.events.put(FetchEvent::Hidden { key, generation, cause: None });
                }
                slot.gauge.source_end.store(fetched.readable_end, Ordering::Relaxed);
                slot.at_end = fetched.at_end;
                if fetched.pieces.is_empty() && !fetched.at_end {
                    slot.stalled_since.get_or_insert_with(clock::now);
                    self.stalled.insert(key);
                    return;
                }
                let is_at_end = fetched.at_end;
                self.no_longer_stalled(key);
                if !is_at_end {
                    self.may_stall(key);
                }
                if fetched.epochs.is_empty() {
                    self.plan(key, fetched.pieces.into()).await;
                } else {
                    self.await_record(key, fetched);
                }
            }
            Err(FetchFault::Passing(cause)) => {
                debug!(partition = %slot.source, cause, "fetch answered with a passing error");
                slot.paused_until = Some(clock::now() + BACKOFF_MIN);
                slot.failed(&self.context.events, &cause);
                self.pause(key);
            }
            Err(fault) => {
                slot.failing.failed(clock::now());
                self.end(key, fault).await;
            }
        }
    }

    /// Keeps what was read until the leader epochs that begin in it are recorded.
    fn await_record(&mut self, key: PartitionKey, fetched: Fetched) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        (slot.rest, slot.awaits_record) = (fetched.pieces.into(), true);
        let (generation, epochs) = (slot.generation, fetched.epochs);
        self.context.events.put(FetchEvent::EpochsBegan { key, generation, epochs });
        self.pause(key);
    }

    async fn plan(&mut self, key: PartitionKey, mut pieces: VecDeque<Sourced>) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let Some(mut planner) = slot.planner.take() else { return };
        let mut items = Vec::with_capacity(pieces.len());
        match planner.plan_ahead(&mut pieces, &mut items) {
            Ok(false) => {
                slot.planner = Some(planner);
                self.hand_on(key, items).await;
            }
            Ok(true) => {
                let generation = slot.generation;
                self.rewrite(key, generation, planner, pieces, items);
                self.pause(key);
            }
            Err(parked) => {
                slot.planner = Some(planner);
                self.end_after(key, items, parked).await;
            }
        }
    }

    fn rewrite(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        planner: Planner,
        pieces: VecDeque<Sourced>,
        items: Vec<Item>,
    ) {
        let rewrites = self.context.rewrites.clone();
        self.side_jobs.spawn(async move {
            SideJob::Rewritten(key, generation, rewrites.plan(planner, pieces, items).await)
        });
    }

    /// Hands planned items to the appender, and the hole at the end of the log if nothing is left behind it.
    async fn hand_on(&mut self, key: PartitionKey, mut items: Vec<Item>) {
        let bytes_max = self.partition_bytes_max();
        let Some(slot) = self.slots.get_mut(&key) else { return };
        if slot.at_end
            && slot.rest.is_empty()
            && let Some(planner) = &mut slot.planner
        {
            items.extend(planner.flush(slot.state.position));
        }
        slot.send(items).await;
        if slot.queue.is_full() || !slot.rest.is_empty() {
            self.pause(key);
        } else {
            let (source, position) = (slot.source.clone(), slot.fetch_position(bytes_max));
            self.session.set(source, position);
            self.paused.remove(&key);
        }
        self.give_back_if_asked(key).await;
    }

    async fn on_side_job(&mut self, job: SideJob) {
        match job {
            SideJob::Rewritten(key, generation, rewritten) => {
                let Some(slot) = self.slots.get_mut(&key).filter(|slot| slot.generation == generation) else {
                    return;
                };
                match rewritten {
                    Ok(Rewrite { planner, rest, planned }) => {
                        slot.planner = Some(planner);
                        slot.rest = rest;
                        match planned {
                            Ok(items) => self.hand_on(key, items).await,
                            Err((items, parked)) => self.end_after(key, items, parked).await,
                        }
                    }
                    Err(parked) => self.end(key, FetchFault::Park(parked)).await,
                }
            }
            SideJob::Probed(key, generation, offset, probed) => {
                self.on_probed(key, generation, offset, probed).await;
            }
        }
    }

    /// Asks for the partitions that stand still before the end of the log by themselves: a broker may leave a partition
    /// empty for want of room in the response, but the first partition of a request gets at least one batch (KIP-74).
    fn probe_stalled(&mut self) {
        let now = clock::now();
        if now - self.stalled_looked < STALL_LOOK_INTERVAL {
            return;
        }
        self.stalled_looked = now;
        for key in &self.stalled {
            let Some(slot) = self.slots.get_mut(key) else { continue };
            if self.paused.contains(key) {
                // Nobody asks for it.
                slot.stalled_since = Some(now);
                continue;
            }
            let is_due = slot.stalled_since.is_some_and(|since| now - since >= STALL_MAX);
            if !is_due || slot.is_probed || slot.planner.is_none() {
                continue;
            }
            slot.is_probed = true;
            let (client, partition, offset) =
                (self.context.client.clone(), slot.source.clone(), slot.state.position);
            let (isolation, budget) = (self.context.isolation.for_client(), self.context.budget.clone());
            let (key, generation) = (*key, slot.generation);
            self.side_jobs.spawn(async move {
                let (client, partition, budget) = (&client, &partition, Some(&budget));
                let look = Look { client, partition, isolation, bytes_max: PROBE_BYTES_MAX, budget };
                SideJob::Probed(key, generation, offset, look.again_at(offset).await)
            });
        }
    }

    /// A partition was asked for alone. What came is taken in: a broker may have more time for that request than for those of the
    /// session, and none for the session's from tiered storage.
    async fn on_probed(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        offset: i64,
        probed: Result<Shown, ShowError>,
    ) {
        let is_current = |slot: &&mut Slot| slot.generation == generation;
        let Some(slot) = self.slots.get_mut(&key).filter(is_current) else { return };
        slot.is_probed = false;
        if !self.stalled.contains(&key)
            || slot.state.position != offset
            || slot.planner.is_none()
            || !slot.rest.is_empty()
        {
            return;
        }
        match probed {
            Ok(Shown::Answer(fetched)) => self.take_in(key, fetched).await,
            Ok(Shown::Bare(end)) => {
                slot.state.skip_bare_hole(end);
                slot.at_end = true;
                self.no_longer_stalled(key);
                self.hand_on(key, Vec::new()).await;
            }
            Err(ShowError::Client(error)) => debug!(partition = %slot.source, %error, "not asked for alone"),
            Err(hidden) => {
                let since = slot.stalled_since.map(|since| clock::now() - since).unwrap_or_default();
                let cause = format!("{hidden} ({} s by now)", since.as_secs());
                if !std::mem::replace(&mut slot.is_hidden, true) {
                    warn!(partition = %slot.source, "{hidden}");
                }
                self.context.events.put(FetchEvent::Hidden { key, generation, cause: Some(cause) });
            }
        }
    }

    /// There is more to read. If nothing comes of it nobody says so: an answer within a session leaves out what has no news (KIP-227).
    fn may_stall(&mut self, key: PartitionKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.stalled_since = Some(clock::now());
            self.stalled.insert(key);
        }
    }

    fn no_longer_stalled(&mut self, key: PartitionKey) {
        self.stalled.remove(&key);
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.stalled_since = None;
        if std::mem::take(&mut slot.is_hidden) {
            let generation = slot.generation;
            self.context.events.put(FetchEvent::Hidden { key, generation, cause: None });
        }
    }

    /// What was good before a fault is handed on; then the partition ends.
    async fn end_after(&mut self, key: PartitionKey, items: Vec<Item>, parked: Parked) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.send(items).await;
        }
        self.end(key, FetchFault::Park(parked)).await;
    }

    async fn end(&mut self, key: PartitionKey, fault: FetchFault) {
        let Some(slot) = self.forget(key) else { return };
        let Slot { generation, state, failing, planner, .. } = slot;
        let returned = planner.map(|planner| Box::new(PartitionReader { state, planner, failing }));
        self.context.events.put(FetchEvent::Ended { key, generation, fault, returned });
    }

    async fn give_back_if_asked(&mut self, key: PartitionKey) {
        let is_whole = |slot: &Slot| slot.planner.is_some() && slot.rest.is_empty();
        if self.slots.get(&key).is_some_and(|slot| slot.give_back && is_whole(slot)) {
            self.end(key, FetchFault::LeaderUnknown("another broker leads the partition".to_owned())).await;
        }
    }

    fn pause(&mut self, key: PartitionKey) {
        if let Some(slot) = self.slots.get(&key) {
            self.session.pause(&slot.source);
            self.paused.insert(key);
        }
    }

    fn resume(&mut self) {
        let now = clock::now();
        let bytes_max = self.partition_bytes_max();
        let mut unplanned = Vec::new();
        let (slots, session) = (&mut self.slots, &mut self.session);
        self.paused.retain(|key| {
            let Some(slot) = slots.get_mut(key) else { return false };
            if slot.planner.is_none()
                || slot.awaits_record
                || !slot.queue.wants_more()
                || slot.paused_until.is_some_and(|until| until > now)
            {
                return true;
            }
            slot.paused_until = None;
            if !slot.rest.is_empty() {
                unplanned.push(*key);
                return true;
            }
            session.set(slot.source.clone(), slot.fetch_position(bytes_max));
            false
        });
        for key in unplanned {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            let Some(planner) = slot.planner.take() else { continue };
            let (generation, rest) = (slot.generation, std::mem::take(&mut slot.rest));
            self.rewrite(key, generation, planner, rest, Vec::new());
        }
    }

    fn partition_bytes_max(&self) -> usize {
        share_of_answer(self.slots.len(), self.context.share.bytes(), self.context.partition_fetch_bytes_max)
    }

    fn slots_resume_at(&self) -> Option<Instant> {
        let paused_until = self.paused.iter().filter_map(|key| self.slots.get(key)?.paused_until);
        next_after(clock::now(), paused_until)
    }
}

impl Slot {
    fn fetch_position(&self, partition_bytes_max: usize) -> FetchPosition {
        FetchPosition {
            offset: self.state.position,
            leader_epoch: self.state.leader_epoch,
            last_fetched_epoch: self.state.last_fetched_epoch,
            topic_id: self.topic_id,
            partition_bytes_max: i32::try_from(partition_bytes_max).unwrap_or(i32::MAX),
        }
    }

    /// Counts a failure to read, and says why the partition stands still where that goes on.
    fn failed(&mut self, events: &Outbox<FetchEvent>, cause: impl fmt::Display) {
        if self.failing.failed(clock::now()) {
            let (key, generation) = (self.key, self.generation);
            let cause = Some(format!("the source cannot be read: {cause}"));
            events.put(FetchEvent::Hidden { key, generation, cause });
        }
    }

    async fn send(&self, items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        self.queue.add(items.iter().map(Item::bytes).sum());
        let (key, generation) = (self.key, self.generation);
        // An appender that is gone has told the supervisor why.
        let _ = self.appender.send(AppenderEvent::Items { key, generation, items }).await;
    }
}

/// The first of these times that is still to come. One that has passed is for the next step to see: it is no time to wake at, for
/// until that step, which may wait for a broker or for the target, waking again and again would change nothing.
fn next_after(now: Instant, times: impl Iterator<Item = Instant>) -> Option<Instant> {
    times.filter(|at| *at > now).min()
}

async fn stepped(step: &mut Option<Call<Step>>) -> Step {
    match step {
        Some(step) => step.await,
        None => pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// How long a broker holds a fetch back that has nothing to answer (Java: `fetch.max.wait.ms`).
const FETCH_WAIT_MAX: Duration = Duration::from_millis(250);
/// The same while partitions are paused: they must not wait for their idle neighbours.
const FETCH_WAIT_PAUSED: Duration = Duration::from_millis(20);
const FETCH_BYTES_MIN: i32 = 1;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// A broker that is back is found at most this much later.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const PROBE_BYTES_MAX: i32 = 1 << 20;
/// How long a partition may get nothing before it is asked for alone.
const STALL_MAX: Duration = Duration::from_millis(500);
const STALL_LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_passed_is_no_time_to_wake_at() {
        let now = clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let table: [(&[u64], Option<u64>); 4] =
            [(&[], None), (&[0], None), (&[0, 7, 5], Some(5)), (&[3], Some(3))];
        for (times, expected) in table {
            let next = next_after(now, times.iter().map(|seconds| at(*seconds)));
            assert_eq!(next, expected.map(at), "{times:?}");
        }
    }

    #[test]
    fn a_partition_that_is_alone_takes_the_whole_answer() {
        let table = [(0, 8), (1, 8), (2, 4), (3, 3), (100, 3)];
        for (partitions, share) in table {
            assert_eq!(share_of_answer(partitions, 8, 3), share, "{partitions}");
        }
    }
}
