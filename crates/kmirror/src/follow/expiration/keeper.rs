//! The task that raises `producer.id.expiration.ms` of the target for a flow, and puts it back, beside the flow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kmirror_client::{Client, ClientError, ConfigChange, Deadline, Moment, TopicPartition};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::judge::{Step, View, judge};
use crate::data::append::freshness::producer_expiration;
use crate::data::append::freshness::{RAISED, RAISED_MS};
use crate::ground::context::FlowContext;
use crate::ground::outbox::Outbox;
use crate::ground::shared::FlowShared;
use crate::logs::records::RecordTopic;
use crate::state_topic::claim::{self, Claim, Claims};
use crate::state_topic::store::StateStore;
use crate::state_topic::topic::StateError;

/// The target's brokers remember producers for longer on the flow's behalf, which may be relied on until then; or no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raised(pub(crate) Option<Deadline>);

/// Looks again and again while the value is raised for the flow, or is to be put back.
pub(crate) struct ExpirationKeeper {
    flow_name: String,
    scope: String,
    target: Client,
    shared: Arc<FlowShared>,
    state: StateStore,
    writer: RecordTopic,
    events: Outbox<Raised>,
    /// The flow's.
    flow_stop: CancellationToken,
    /// When the flow has ended.
    stop: CancellationToken,
    wants: bool,
    has_held: bool,
    has_paused: bool,
    /// Partitions that had been copied whole once.
    caught_up: BTreeSet<TopicPartition>,
    has_failed: bool,
    /// Whether there is nothing left to do.
    is_over: bool,
}

/// The task, for whoever ends it.
pub(crate) struct KeeperTask {
    /// None where there is nothing to raise and nothing to put back.
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

/// When there is something to do again.
#[derive(Debug)]
enum Next {
    Now,
    Soon,
    /// At the next round. Where it was seen, the value may be relied on until the lease is over.
    Round(Option<Deadline>),
    WhenNoLeaseIsLeft,
    Never,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    State(#[from] StateError),
    #[error("this release has no producer.id.expiration.ms that can be changed while brokers run")]
    NotDynamic,
}

impl ExpirationKeeper {
    pub(crate) fn new(context: &FlowContext, state: &StateStore, events: Outbox<Raised>) -> ExpirationKeeper {
        let flow = &context.flow;
        let naming = flow.naming.target_topic(&flow.source, "{topic}");
        ExpirationKeeper {
            flow_name: flow.name(),
            scope: claim::scope_of(&context.source.cluster_id().unwrap_or_default(), &naming),
            target: context.target.clone(),
            shared: Arc::clone(&context.shared),
            state: state.clone(),
            writer: RecordTopic::new(
                &context.target,
                flow.state_topic.clone(),
                flow.state_replication_factor,
            ),
            events,
            flow_stop: context.stop.clone(),
            stop: CancellationToken::new(),
            wants: flow.raises_producer_expiry,
            has_held: false,
            has_paused: false,
            caught_up: BTreeSet::new(),
            has_failed: false,
            is_over: false,
        }
    }

    /// Raises the value before the flow begins, if that does not take long, and goes on in a task. The lease of it.
    pub(crate) async fn start(mut self) -> (KeeperTask, Option<Deadline>) {
        let (stop, wants) = (self.stop.clone(), self.wants);
        // The topic has just been read.
        let is_raised = self.state.claims(false).await.is_ok_and(|claims| !claims.is_empty());
        if !wants && !is_raised {
            return (KeeperTask { task: None, stop }, None);
        }
        let flow_stop = self.flow_stop.clone();
        let lease = tokio::select! {
            biased;
            () = flow_stop.cancelled() => None,
            lease = self.first_lease(), if wants => lease,
            () = tokio::time::sleep(if wants { FIRST_MAX } else { Duration::ZERO }) => None,
        };
        let task = (!self.is_over).then(|| tokio::spawn(self.run()));
        (KeeperTask { task, stop }, lease)
    }

    async fn first_lease(&mut self) -> Option<Deadline> {
        loop {
            match self.look_and_tell().await {
                Next::Now => {}
                Next::Soon | Next::Round(None) => tokio::time::sleep(SOON).await,
                Next::Round(lease) => return lease,
                Next::WhenNoLeaseIsLeft => return None,
                Next::Never => {
                    self.is_over = true;
                    return None;
                }
            }
        }
    }

    async fn run(mut self) {
        loop {
            if self.wants && (self.stop.is_cancelled() || self.is_caught_up()) {
                self.wants = false;
                self.events.put(Raised(None));
            }
            match self.look_and_tell().await {
                Next::Now => {}
                Next::Soon => tokio::time::sleep(SOON).await,
                Next::Round(lease) => {
                    if let Some(lease) = lease.filter(|_| self.wants) {
                        self.events.put(Raised(Some(lease)));
                    }
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled(), if self.wants => {}
                        () = tokio::time::sleep(LOOK_INTERVAL) => {}
                    }
                }
                Next::WhenNoLeaseIsLeft => {
                    tokio::time::sleep(PAUSE).await;
                    self.has_paused = true;
                }
                Next::Never => {
                    self.events.put(Raised(None));
                    return;
                }
            }
        }
    }

    /// Whether every partition has been copied whole once, or cannot be.
    fn is_caught_up(&mut self) -> bool {
        if !self.shared.has_looked.load(Ordering::Relaxed) {
            return false;
        }
        let mut all = true;
        for published in self.shared.published() {
            if published.is_caught_up() {
                self.caught_up.insert(published.on_target());
            }
            all &= published.gauge.is_parked() || self.caught_up.contains(&published.on_target());
        }
        all
    }

    /// Says once what lasts. What does not pass by itself is not tried again.
    async fn look_and_tell(&mut self) -> Next {
        match self.look().await {
            Ok(next) => {
                self.has_failed = false;
                next
            }
            Err(failure) if failure.lasts() => {
                let (flow, wants) = (&self.flow_name, self.wants);
                warn!(
                    flow,
                    wants,
                    cause = %failure,
                    "the target's producer.id.expiration.ms is not changed: that takes DESCRIBE_CONFIGS and ALTER_CONFIGS on the cluster, \
                     and Kafka 3.5 or later"
                );
                Next::Never
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    info!(flow = self.flow_name, cause = %failure, "the target's producer.id.expiration.ms is looked at again");
                }
                Next::Round(None)
            }
        }
    }

    async fn look(&mut self) -> Result<Next, Failure> {
        let looked_at = Moment::now();
        let remembered = self.remembered().await?;
        // Whoever has raised it has recorded it before: what is recorded is read after what is set.
        let present = self.present().await?;
        let claims = self.state.claims(true).await?;
        let view = View {
            scope: &self.scope,
            claims: &claims,
            present: present.as_deref(),
            remembered,
            wants: self.wants,
            has_held: self.has_held,
            has_paused: self.has_paused,
        };
        let step = judge(&view);
        debug!(flow = self.flow_name, ?step, "producer.id.expiration.ms");
        self.take(step, &claims, looked_at, remembered).await
    }

    async fn take(
        &mut self,
        step: Step,
        claims: &Claims,
        looked_at: Moment,
        remembered: Duration,
    ) -> Result<Next, Failure> {
        let flow = &self.flow_name;
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        match step {
            Step::Done => return Ok(Next::Never),
            Step::Record(claim) => {
                let before = shown(&claim.before);
                let is_wanted = claim.is_wanted;
                debug!(flow, before, is_wanted, "recorded of producer.id.expiration.ms");
                self.write(&[(self.scope.clone(), Some(claim))]).await?;
                return Ok(Next::Now);
            }
            Step::Raise => {
                let raised = self.set(Some(RAISED_MS.to_string())).await;
                if raised.as_ref().is_err_and(Failure::lasts) {
                    self.write(&[(self.scope.clone(), None)]).await?;
                }
                raised?;
                let flow = &self.flow_name;
                info!(
                    flow,
                    to = RAISED_MS,
                    "producer.id.expiration.ms of the target is raised until the flow has caught up"
                );
                return Ok(Next::Soon);
            }
            // Brokers learn of it one after the other.
            Step::Hold if remembered < RAISED => return Ok(Next::Round(None)),
            Step::Hold => {
                self.has_held = true;
                return Ok(Next::Round(Some(Deadline::new(looked_at, LEASE))));
            }
            Step::Pause => return Ok(Next::WhenNoLeaseIsLeft),
            Step::Withdraw => {
                self.write(&[(self.scope.clone(), None)]).await?;
                return Ok(Next::Never);
            }
            Step::PutBack(before) => {
                let text = shown(&before);
                self.set(before).await?;
                info!(flow, to = text, "producer.id.expiration.ms of the target is back");
            }
            Step::Leave(before) => {
                let before = shown(&before);
                warn!(
                    flow,
                    before,
                    "somebody else has changed producer.id.expiration.ms of the target, which was raised: it stays as it is"
                );
            }
            Step::Forget => {}
        }
        let forgotten: Vec<_> = claims.keys().map(|scope| (scope.clone(), None)).collect();
        self.write(&forgotten).await?;
        Ok(Next::Never)
    }

    /// How long brokers remember a producer: the shortest of them. Each is asked until all have the raised value, and then no more.
    async fn remembered(&self) -> Result<Duration, Failure> {
        if self.has_held || !self.wants {
            return Ok(RAISED);
        }
        let mut shortest = RAISED;
        let brokers: Vec<_> = self.target.metadata().brokers.keys().copied().collect();
        for broker in brokers {
            let entries = self.target.describe_broker_config(broker).await?;
            let entry = entries.iter().find(|entry| entry.name == KEY).filter(|entry| !entry.read_only);
            entry.ok_or(Failure::NotDynamic)?;
            shortest = shortest.min(producer_expiration(&entries).ok_or(Failure::NotDynamic)?);
        }
        Ok(shortest)
    }

    /// What is set on the whole cluster.
    async fn present(&self) -> Result<Option<String>, Failure> {
        let entries = self.target.describe_default_broker_config().await?;
        Ok(entries.into_iter().find(|entry| entry.name == KEY).and_then(|entry| entry.value))
    }

    async fn set(&self, value: Option<String>) -> Result<(), Failure> {
        let change = ConfigChange { name: KEY.to_owned(), value };
        Ok(self.target.alter_default_broker_config(&[change]).await?)
    }

    async fn write(&mut self, claims: &[(String, Option<Claim>)]) -> Result<(), Failure> {
        let record = |(scope, claim): &(String, Option<Claim>)| {
            (claim::key_of(scope).into_bytes(), claim.as_ref().map(Claim::to_json))
        };
        Ok(self.writer.append(&claims.iter().map(record).collect::<Vec<_>>()).await?)
    }
}

impl Failure {
    fn lasts(&self) -> bool {
        match self {
            Failure::Client(error) => {
                let is_refused = error.retry() == kmirror_client::Retry::Never && !error.is_other_cluster();
                error.is_authorization() || is_refused
            }
            Failure::State(error) => matches!(error, StateError::Unauthorized(_)),
            Failure::NotDynamic => true,
        }
    }
}

impl KeeperTask {
    /// The flow ends: nothing is raised for it any more.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the value is back, for a while. Where it is not, the next start sees to it.
    pub(crate) async fn finish(self) {
        let Some(task) = self.task else { return };
        let abort = task.abort_handle();
        if tokio::time::timeout(FINISH_MAX, task).await.is_err() {
            abort.abort();
        }
    }
}

const KEY: &str = "producer.id.expiration.ms";
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(100);
/// How long a look is believed by those who write.
const LEASE: Duration = Duration::from_secs(4);
/// Longer than any lease, and than a look of another one who wants the value raised.
const PAUSE: Duration = Duration::from_secs(5);
const FIRST_MAX: Duration = Duration::from_secs(10);
const FINISH_MAX: Duration = Duration::from_secs(9);
