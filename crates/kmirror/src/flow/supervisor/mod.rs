//! The supervisor's loop, and what it does on each event.

mod ends;
mod epochs;
mod gone;
mod heads;
mod pumps;
mod settling;
mod take_over;
mod terms;
mod topics;
mod unowned;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror_client::{BrokerId, Deadline, clock};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{error, info};

use self::gone::GoneTopics;
use crate::data::append::appender::AppenderEvent;
use crate::data::append::event::AppendEvent;
use crate::data::append::freshness::RAISED;
use crate::data::append::freshness::{PRODUCER_EXPIRATION_DEFAULT, producer_expiration};
use crate::data::append::request_size::RequestSize;
use crate::data::read::event::FetchEvent;
use crate::data::read::fetcher::FetcherEvent;
use crate::data::read::rewrite_pool::RewritePool;
use crate::flow::beside::Beside;
use crate::flow::clusters;
use crate::flow::deletions::Deletions;
use crate::flow::discovery::Discovery;
use crate::flow::event::FlowEvent;
use crate::flow::fetchers::Fetchers;
use crate::flow::found::Looked;
use crate::flow::found::Returning;
use crate::flow::heads::HeldTopic;
use crate::flow::missing::MissingTopics;
use crate::flow::owned::UnownedTopic;
use crate::flow::table::Table;
use crate::follow::expiration::keeper::Raised;
use crate::follow::expiration::keeper::{ExpirationKeeper, KeeperTask};
use crate::ground::budget::Budget;
use crate::ground::context::FlowContext;
use crate::ground::error::Error;
use crate::ground::identity::ProducerIds;
use crate::ground::outbox::Outbox;
use crate::ground::park::Parked;
use crate::ground::partition::PartitionKey;
use crate::ground::pipe::Pipe;
use crate::ground::selection::TopicMatcher;
use crate::ground::status::PartitionState;
use crate::ground::work;
use crate::state_topic::store::StateStore;
use crate::takeover::predecessor::Positions;

/// Runs a flow until it is stopped or, if it runs once, until it has copied what was there when it started.
pub(crate) async fn run(context: FlowContext) -> Result<(), Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by the partitions, each with an event or two on the way"
    )]
    let (events, mut inbox) = mpsc::unbounded_channel();
    let (stop, mut terms) = (context.stop.clone(), context.terms.clone());
    let begun = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        begun = begin(context, events) => begun?,
    };
    let Begun { mut supervisor, mut beside, looked } = begun;
    let keeper = supervisor.go_on_with(looked).await;
    // One that was missed is not made up for: ticks come before events, and must leave time for them.
    let interval = |period| {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let mut settled = interval(SETTLED_INTERVAL);
    let mut refresh = interval(supervisor.context.flow.metadata_refresh_interval);
    refresh.reset();
    let mut defect = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = settled.tick(), if supervisor.context.once => {
                if supervisor.context.shared.is_settled() {
                    break;
                }
            }
            _ = refresh.tick() => supervisor.on_event(FlowEvent::Refresh).await,
            Ok(()) = terms.changed() => {
                let terms = terms.borrow_and_update().clone();
                supervisor.on_terms(terms).await;
            }
            Some(event) = inbox.recv() => supervisor.on_event(event).await,
        }
        defect = supervisor.defect.take().or_else(|| beside.defect());
        if defect.is_some() {
            break;
        }
    }
    keeper.stop();
    supervisor.shut_down(inbox).await;
    tokio::join!(beside.finish(), keeper.finish());
    defect.map_or(Ok(()), Err)
}

/// A flow that has looked at both clusters once.
struct Begun {
    supervisor: Supervisor,
    beside: Beside,
    looked: Looked,
}

/// Reads what is recorded and looks at both clusters for the first time. It may be dropped anywhere: nothing is copied yet.
async fn begin(context: FlowContext, events: mpsc::UnboundedSender<FlowEvent>) -> Result<Begun, Error> {
    let FlowContext { flow, source, target, .. } = &context;
    let state =
        StateStore::open(target, &flow.target, &flow.state_topic, flow.state_replication_factor).await?;
    check_clusters(&context, &state).await?;
    let predecessor = Positions::read(flow, source, target).await?;
    let beside = Beside::start(&context, &state);
    let supervisor = Supervisor::new(context, state, predecessor, events);
    let looked = supervisor.discovery.clone().first().await?;
    Ok(Begun { supervisor, beside, looked })
}

async fn check_clusters(context: &FlowContext, state: &StateStore) -> Result<(), Error> {
    let FlowContext { flow, source, target, .. } = context;
    let known = state.known().await.map_err(|error| error.of_flow(flow))?;
    let matcher = context.terms.borrow().selected.topics.clone();
    clusters::check(flow, &matcher, source, target, &known).await
}

struct Supervisor {
    context: FlowContext,
    ids: ProducerIds,
    source_cluster_id: String,
    discovery: Discovery,
    /// When the look at the clusters began that is under way.
    looking_since: Option<Instant>,
    /// How long the last one took.
    look_took: Duration,
    /// When the next one is due: many partitions are looked at less often.
    look_not_before: Instant,
    /// What was selected when they were looked at last.
    looked_for: TopicMatcher,
    /// Whether the last look failed.
    is_blind: bool,
    table: Table,
    /// Topics that were there before the flow knew of them, by their name on the target.
    unowned: BTreeMap<Arc<str>, UnownedTopic>,
    /// Compacted topics of which heads may have to be filled first, by their name on the target.
    held: BTreeMap<Arc<str>, HeldTopic>,
    gone: GoneTopics,
    /// Topics of the target that are to be deleted.
    deletions: Deletions,
    /// Topics that are selected and of which nothing is copied.
    missing: MissingTopics,
    /// Why the flow cannot go on.
    defect: Option<Error>,
    /// Source topics that would be copied for ever, which was told.
    looping: BTreeSet<Arc<str>>,
    state: StateStore,
    /// How long the target's brokers remember a producer.
    producer_expiration: Duration,
    /// Until when they remember one for longer, as far as that is known.
    raised: Option<Deadline>,
    /// Where what copied these topics before has stood.
    predecessor: Positions,
    /// No queue to wait for: else supervisor, fetcher and appender could all wait for each other's inboxes.
    events: mpsc::UnboundedSender<FlowEvent>,
    fetchers: Fetchers,
    appenders: BTreeMap<Pipe, mpsc::Sender<AppenderEvent>>,
    /// What each broker of the target takes.
    request_sizes: BTreeMap<BrokerId, Arc<RequestSize>>,
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
    fn new(
        context: FlowContext,
        state: StateStore,
        predecessor: Positions,
        events: mpsc::UnboundedSender<FlowEvent>,
    ) -> Supervisor {
        let cluster_id = context.source.cluster_id().unwrap_or_default();
        let workers = work::parallelism();
        let discovery = Discovery {
            flow: context.flow.clone(),
            terms: context.terms.borrow().clone(),
            source: context.source.clone(),
            target: context.target.clone(),
            once: context.once,
            source_cluster_id: cluster_id.clone(),
            state: state.clone(),
            returning: Returning::new(),
        };
        let fetchers = Fetchers::new(context.flow.buffer_bytes_max, context.flow.fetch_bytes_max);
        Supervisor {
            ids: ProducerIds::of_flow(&cluster_id),
            source_cluster_id: cluster_id,
            looked_for: discovery.terms.selected.topics.clone(),
            discovery,
            looking_since: None,
            look_took: Duration::ZERO,
            look_not_before: clock::now(),
            is_blind: false,
            budget: Budget::new(context.flow.buffer_bytes_max),
            context,
            table: Table::default(),
            unowned: BTreeMap::new(),
            held: BTreeMap::new(),
            gone: GoneTopics::default(),
            deletions: Deletions::default(),
            missing: MissingTopics::default(),
            defect: None,
            looping: BTreeSet::new(),
            state,
            producer_expiration: PRODUCER_EXPIRATION_DEFAULT,
            raised: None,
            predecessor,
            events,
            fetchers,
            appenders: BTreeMap::new(),
            request_sizes: BTreeMap::new(),
            rewrites: RewritePool::new(workers),
            pumps: JoinSet::new(),
            errands: JoinSet::new(),
            take_overs: Arc::new(Semaphore::new(TAKE_OVERS_MAX)),
        }
    }

    /// Without the right to read it, or without an answer, Kafka's default is assumed.
    async fn read_producer_expiration(&mut self) {
        let target = &self.context.target;
        let Some(broker) = target.metadata().brokers.keys().next().copied() else { return };
        match target.describe_broker_config(broker).await {
            Ok(entries) => {
                self.producer_expiration =
                    producer_expiration(&entries).unwrap_or(PRODUCER_EXPIRATION_DEFAULT);
                if self.producer_expiration == RAISED {
                    self.producer_expiration = self.remembered_before_raised().await;
                }
            }
            Err(error) if error.is_authorization() => {
                info!(
                    flow = self.context.flow.name(),
                    "how long the target remembers producers may not be read (DESCRIBE_CONFIGS on the cluster): a day is assumed"
                );
            }
            Err(error) => {
                let assumed = PRODUCER_EXPIRATION_DEFAULT;
                info!(flow = self.context.flow.name(), %error, ?assumed, "how long the target remembers producers is not known");
            }
        }
    }

    /// What a flow has raised is put back, and counts as long as somebody holds a lease of it. What somebody else has set counts.
    async fn remembered_before_raised(&self) -> Duration {
        match self.state.claims(true).await {
            Ok(claims) => claims.values().map(|claim| claim.remembered_before).min().unwrap_or(RAISED),
            Err(_) => PRODUCER_EXPIRATION_DEFAULT,
        }
    }

    async fn on_raised(&mut self, lease: Option<Deadline>) {
        if lease == self.raised {
            return;
        }
        self.raised = lease;
        for appender in self.appenders.values() {
            let _ = appender.send(AppenderEvent::Raised(lease)).await;
        }
    }

    /// Begins with what the first look has found.
    async fn go_on_with(&mut self, looked: Looked) -> KeeperTask {
        let start = self.context.flow.start;
        let keeper = ExpirationKeeper::new(&self.context, &self.state, Outbox::to(&self.events));
        let (keeper, raised) = keeper.start().await;
        self.raised = raised;
        self.read_producer_expiration().await;
        self.read_deletions().await;
        self.on_missing(looked.missing);
        self.tell_returning(looked.returning);
        self.start(looked.found, start);
        self.context.shared.looked(self.discovery.terms.selection);
        keeper
    }

    async fn on_event(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::TakenOver { key, generation, taken } => {
                self.on_taken_over(key, generation, taken).await
            }
            FlowEvent::Fetch(event) => self.on_fetch_event(event).await,
            FlowEvent::Append(AppendEvent::Ended { key, generation, end }) => {
                self.on_append_ended(key, generation, end).await
            }
            FlowEvent::HeadFilled { key, generation, filled } => self.on_head_filled(key, generation, filled),
            FlowEvent::DeletionIntended { source, target, intended } => {
                self.on_deletion_intended(&source, target, intended);
            }
            FlowEvent::DeletionWithdrawn { target, withdrawn } => {
                self.on_deletion_withdrawn(&target, withdrawn);
            }
            FlowEvent::DeletionEnded { target, record, fate } => {
                self.on_deletion_ended(target, *record, fate);
            }
            FlowEvent::Settled { topic, settled } => self.on_settled(&topic, settled),
            FlowEvent::PolicyRestored { topic, restored } => self.on_policy_restored(&topic, restored),
            FlowEvent::EpochsRecorded { key, generation, recorded } => {
                self.on_epochs_recorded(key, generation, recorded).await;
            }
            FlowEvent::LeaderSought { key, generation, truncated } => {
                self.on_leader_sought(key, generation, truncated).await;
            }
            FlowEvent::SourceRechecked { key, generation } => self.on_source_rechecked(key, generation).await,
            FlowEvent::LimitRead { key, generation, rules, parked } => {
                self.on_limit_read(key, generation, rules, parked);
            }
            FlowEvent::Raised(Raised(lease)) => self.on_raised(lease).await,
            FlowEvent::Refresh => self.look_when_due(),
            FlowEvent::Reconsidered { key, generation, rules, parked } => {
                self.on_reconsidered(key, generation, rules, parked)
            }
            FlowEvent::Looked { selected, looked } => self.on_looked(selected, looked).await,
        }
        self.reap();
    }

    /// Forgets the tasks that have ended. One that panicked has left something undone that nobody else will do.
    fn reap(&mut self) {
        let errands = std::iter::from_fn(|| self.errands.try_join_next());
        let pumps = std::iter::from_fn(|| self.pumps.try_join_next());
        let panicked = errands.chain(pumps).filter_map(Result::err).find(JoinError::is_panic);
        if let Some(panicked) = panicked {
            self.defect = Some(Error::of_task("a task of the flow", panicked));
        }
    }

    async fn on_fetch_event(&mut self, event: FetchEvent) {
        match event {
            FetchEvent::Ended { key, generation, fault, returned } => {
                self.on_fetch_ended(key, generation, fault, returned).await;
            }
            FetchEvent::EpochsBegan { key, generation, epochs } => {
                self.on_epochs_began(key, generation, epochs);
            }
            FetchEvent::Hidden { key, generation, cause } => self.on_hidden(key, generation, cause),
            FetchEvent::BrokerLost => self.look(),
        }
    }

    /// Takes a partition away from its fetcher and appender, if it has them.
    async fn release(&mut self, key: PartitionKey) {
        let Some(entry) = self.table.get(key) else { return };
        entry.generation += 1;
        if let Some((appender, _)) = entry.appender.take() {
            let _ = appender.send(AppenderEvent::Remove(key)).await;
        }
        if let Some(fetcher) = entry.fetched_from.take().and_then(|pipe| self.fetchers.get(&pipe)) {
            let _ = fetcher.send(FetcherEvent::Remove(key)).await;
        }
    }

    fn park(&mut self, key: PartitionKey, parked: Parked) {
        let Some(entry) = self.table.get(key) else { return };
        if entry.gauge.state() == PartitionState::Parked(parked.clone()) {
            return;
        }
        error!(partition = %entry.source, target = %entry.target, position = entry.gauge.position(), %parked, "parked");
        entry.parked_at = parked.reason.may_pass().then(clock::now);
        entry.gauge.set_state(PartitionState::Parked(parked.clone()));
        entry.returned = None;
        entry.merges = true;
        let topic = Arc::clone(&entry.target.topic);
        self.on_unowned_parked(&topic, key, &parked);
        if let Some(held) = self.held.get_mut(&topic) {
            let done = held.parked(key);
            self.on_heads_done(&topic, done);
        }
    }

    /// Parks a partition for what may pass without anybody's doing.
    fn park_for_a_while(&mut self, key: PartitionKey, parked: Parked) {
        self.park(key, parked);
        if let Some(entry) = self.table.get(key) {
            entry.parked_at = Some(clock::now());
        }
    }

    fn set_waiting(&mut self, key: PartitionKey, cause: &str) {
        if let Some(entry) = self.table.get(key) {
            entry.gauge.set_state(PartitionState::Waiting(cause.to_owned()));
        }
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
        self.fetchers.retain(&BTreeSet::new());
        self.appenders.clear();
        for (_, entry) in self.table.iter_mut() {
            entry.appender = None;
        }
        let ended = async { while self.pumps.join_next().await.is_some() {} };
        let drained = async { while inbox.recv().await.is_some() {} };
        tokio::select! {
            biased;
            () = ended => {}
            () = tokio::time::sleep(SHUT_DOWN_MAX) => {}
            () = drained => {}
        }
    }
}

const TAKE_OVERS_MAX: usize = 32;
const SETTLED_INTERVAL: Duration = Duration::from_millis(20);
const SHUT_DOWN_MAX: Duration = Duration::from_secs(3);
