//! The mirror: flows between clusters, built, started, watched and stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::connected::Connected;
use crate::ground::config::{ClusterConfig, Flow};
use crate::ground::error::{ConfigError, Error, Incomplete, ParkedPartition};
use crate::ground::names;
use crate::ground::selection::Selected;
use crate::ground::shared::FlowShared;
use crate::ground::status::{FlowStatus, MissingReason};
use crate::ground::validate;
use crate::reload::Reloaded;
use crate::runner::{Description, Reload, Runner, Shown};

/// A set of flows that is ready to run. Nothing is connected yet.
#[derive(Debug)]
#[must_use = "nothing is copied before `spawn`"]
pub struct Mirror {
    description: Description,
}

/// Collects clusters and flows.
#[derive(Debug, Default)]
pub struct MirrorBuilder {
    clusters: BTreeMap<String, ClusterConfig>,
    flows: Vec<Flow>,
    once: bool,
}

/// A running mirror. Dropping it stops everything at once, which is always safe: progress lives in the target's log.
#[derive(Debug)]
#[must_use = "the mirror stops when its handle is dropped"]
pub struct MirrorHandle {
    shown: Arc<Shown>,
    reloads: mpsc::Sender<Reload>,
    stop: CancellationToken,
    /// How the mirror ended, once it has.
    ended: watch::Receiver<Option<Result<(), Error>>>,
    task: JoinHandle<()>,
}

/// What a mirror did, when it has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Each flow as it was at the end.
    pub flows: Vec<FlowStatus>,
}

impl Mirror {
    /// Starts describing a mirror.
    ///
    /// ```
    /// use kmirror::{ClusterConfig, Flow, Mirror};
    ///
    /// let mirror = Mirror::builder()
    ///     .cluster("east", ClusterConfig::new(["127.0.0.1:19092"]))
    ///     .cluster("west", ClusterConfig::new(["127.0.0.1:29092"]))
    ///     .flow(Flow::new("east", "west").topics(["orders", r"payments\..*"]))
    ///     .build()?;
    /// # Ok::<(), kmirror::ConfigError>(())
    /// ```
    pub fn builder() -> MirrorBuilder {
        MirrorBuilder::default()
    }

    /// Starts the mirror in the caller's tokio runtime.
    pub fn spawn(self) -> MirrorHandle {
        let shown =
            Shown::new(self.description.flows.iter().map(|(flow, _)| FlowShared::new(flow.name())).collect());
        let stop = CancellationToken::new();
        let (tell, ended) = watch::channel(None);
        let (reloads, inbox) = mpsc::channel(1);
        let runner = Runner::new(self.description.once, Arc::clone(&shown), stop.clone());
        let task = tokio::spawn(async move {
            let _ = tell.send(Some(runner.run(self.description, inbox).await));
        });
        MirrorHandle { shown, reloads, stop, ended, task }
    }

    /// Connects to the clusters of all flows, to look at them. Nothing that a [`Connected`] does but [`Connected::accept_clusters`] changes
    /// anything.
    ///
    /// # Errors
    /// A cluster that does not answer within its `connect_timeout`.
    pub async fn connect(&self) -> Result<Connected<'_>, Error> {
        Connected::new(&self.description).await
    }

    /// The flows, as they were configured.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.description.flows.iter().map(|(flow, _)| flow)
    }
}

impl MirrorBuilder {
    /// Adds a cluster under an alias.
    pub fn cluster(mut self, alias: impl Into<String>, config: ClusterConfig) -> MirrorBuilder {
        self.clusters.insert(alias.into(), config);
        self
    }

    /// Adds a flow.
    pub fn flow(mut self, flow: Flow) -> MirrorBuilder {
        self.flows.push(flow);
        self
    }

    /// Whether the mirror ends by itself once it has copied what was there when it started. Default: it goes on until it is
    /// stopped.
    pub fn once(mut self, once: bool) -> MirrorBuilder {
        self.once = once;
        self
    }

    /// Checks the whole. Connects to nothing.
    ///
    /// # Errors
    /// What cannot work, with its place: a name that is not defined, a value out of its range, a pattern that does not compile, two flows that
    /// write one topic.
    pub fn build(self) -> Result<Mirror, ConfigError> {
        let MirrorBuilder { clusters, mut flows, once } = self;
        if flows.is_empty() {
            return Err(ConfigError::NoFlow);
        }
        names::give(&mut flows)?;
        for (alias, config) in &clusters {
            validate::cluster(alias, config)?;
        }
        let mut selected = Vec::new();
        for (index, flow) in flows.into_iter().enumerate() {
            know_clusters(&clusters, &flow)?;
            validate::flow(index, &flow)?;
            let of_flow = Selected { topics: flow.topics.compile()?, groups: flow.groups.compile()? };
            selected.push((flow, of_flow));
        }
        validate::share_nothing(&selected)?;
        Ok(Mirror { description: Description { clusters, flows: selected, once } })
    }
}

/// Whether a flow's clusters are defined, and two.
fn know_clusters(clusters: &BTreeMap<String, ClusterConfig>, flow: &Flow) -> Result<(), ConfigError> {
    if let Some(alias) = [&flow.source, &flow.target].into_iter().find(|alias| !clusters.contains_key(*alias))
    {
        let defined = clusters.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(ConfigError::UnknownCluster { flow: flow.name(), alias: alias.clone(), defined });
    }
    match flow.source == flow.target {
        true => Err(ConfigError::SameCluster { flow: flow.name() }),
        false => Ok(()),
    }
}

impl MirrorHandle {
    /// What can be seen now.
    pub fn status(&self) -> Vec<FlowStatus> {
        self.shown.flows().iter().map(|flow| flow.status()).collect()
    }

    /// Lets the running mirror become another one, and says what became of each flow. Flows that are the same go on untouched, with
    /// their clients; other filters for topics and groups are applied while a flow runs; what else is different is stopped and started
    /// anew.
    ///
    /// # Errors
    /// They change nothing: a cluster that cannot be reached, topics that would be copied for ever, a mirror that runs once.
    pub async fn reload(&self, mirror: Mirror) -> Result<Reloaded, Error> {
        let ended = || Error::CannotReload("the mirror has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.reloads.send(Reload { description: mirror.description, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// What changes from now on: states of partitions, topics that come and go. It costs something only while somebody waits for the next one.
    pub fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.shown), self.ended.clone())
    }

    /// Waits until everything that the flows select is copied: every partition has reached the source's end as it was last seen.
    ///
    /// # Errors
    /// [`Error::Incomplete`] as soon as nothing else moves while partitions are parked or topics are not copied, [`Error::NoSuchTopic`] where
    /// that is because the source lacks a topic that a flow names, [`Error::TimedOut`] after `timeout`, [`Error::Stopped`] where the mirror was stopped before,
    /// and the error with which it has ended.
    pub async fn caught_up(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = clock::now() + timeout;
        loop {
            // What ended is asked first: what it has done is complete then.
            let ended = self.ended.borrow().clone();
            let flows = self.shown.flows();
            // Of nothing at all nothing can be said: topics may appear.
            if flows.iter().all(|flow| flow.has_topics() && flow.is_settled()) {
                return complete(&self.status());
            }
            if let Some(ended) = ended {
                return ended.and(Err(Error::Stopped));
            }
            if clock::now() >= deadline {
                return Err(Error::TimedOut(format!("not caught up within {timeout:?}")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the mirror ends by itself: when it runs once, or fails.
    ///
    /// # Errors
    /// The one that has ended it.
    pub async fn wait(&self) -> Result<Report, Error> {
        self.join().await?;
        Ok(self.report())
    }

    /// Stops the mirror: reading ends, what was sent is acknowledged, every task ends.
    ///
    /// # Errors
    /// The one that had ended it before, and [`Error::TimedOut`] where it had to be stopped hard after `timeout`. That loses nothing: the
    /// next start reads what has arrived. [`MirrorHandle::status`] tells how far it came.
    pub async fn shutdown(&self, timeout: Duration) -> Result<Report, Error> {
        self.stop.cancel();
        match tokio::time::timeout(timeout, self.join()).await {
            Ok(ended) => ended?,
            Err(_) => {
                self.task.abort();
                return Err(Error::TimedOut(format!("not stopped within {timeout:?}: stopped hard")));
            }
        }
        Ok(self.report())
    }

    async fn join(&self) -> Result<(), Error> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(Error::Defect("the mirror's task has ended without a word".to_owned())))
    }

    fn report(&self) -> Report {
        Report { flows: self.status() }
    }
}

impl Drop for MirrorHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Report {
    /// Whether all that was selected is copied.
    pub fn is_complete(&self) -> bool {
        complete(&self.flows).is_ok()
    }

    /// The partitions that are parked, and the topics of which nothing is copied.
    pub fn incomplete(&self) -> Incomplete {
        incomplete(&self.flows)
    }
}

/// What is not copied of flows in which nothing moves.
fn incomplete(flows: &[FlowStatus]) -> Incomplete {
    let mut incomplete = Incomplete::default();
    for flow in flows {
        incomplete.parked.extend(flow.parked().map(|(partition, parked)| ParkedPartition {
            flow: flow.name.clone(),
            topic: partition.source_topic.clone(),
            partition: partition.partition,
            parked: parked.clone(),
        }));
        incomplete.missing.extend(flow.missing.iter().cloned());
    }
    incomplete
}

fn complete(flows: &[FlowStatus]) -> Result<(), Error> {
    let incomplete = incomplete(flows);
    let absent = incomplete.missing.iter().find(|topic| topic.reason == MissingReason::NoSuchTopic);
    match absent {
        Some(absent) if incomplete.parked.is_empty() => {
            Err(Error::NoSuchTopic { flow: absent.flow.clone(), topic: absent.source_topic.clone() })
        }
        _ if incomplete == Incomplete::default() => Ok(()),
        _ => Err(Error::Incomplete(incomplete)),
    }
}

const POLL_INTERVAL: Duration = Duration::from_millis(20);
