//! The mirror: flows between clusters, built, started, watched and stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, clock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::flow::clusters::{self, AcceptedCluster};
use crate::ground::config::{ClusterConfig, Flow};
use crate::ground::error::{ConfigError, Error};
use crate::ground::selection::Selected;
use crate::ground::shared::FlowShared;
use crate::ground::status::FlowStatus;
use crate::reload::Reloaded;
use crate::report::check::{self, FlowCheck};
use crate::report::groups::{self, GroupReport};
use crate::report::lag::{self, PartitionLag};
use crate::report::lineages::{self, PartitionLineage};
use crate::report::plan::Plan;
use crate::report::topics::{self, TopicReport};
use crate::report::verify::{self, VerifyOptions, VerifyProgress, VerifyReport, verify_flow};
use crate::runner::{self, Description, Reload, Runner, Shown};
use crate::state_topic;

/// A set of flows that is ready to run. Nothing is connected yet.
#[derive(Debug)]
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

    /// Compares both clusters of every flow, record by record, and changes nothing. `progress` is counted up meanwhile.
    ///
    /// # Errors
    /// Where a cluster cannot be read, and where nothing is selected by a flow or by `options`: nothing is said of what was not
    /// looked at.
    pub async fn verify(
        &self,
        options: &VerifyOptions,
        progress: Arc<VerifyProgress>,
    ) -> Result<VerifyReport, Error> {
        let clients = self.connect().await?;
        let mut report = VerifyReport::default();
        for (flow, selected, source, target) in self.connected(&clients) {
            let (source, target) = (source.clone(), target.clone());
            let partitions =
                verify_flow(flow, &selected.topics, source, target, options, Arc::clone(&progress)).await?;
            report.partitions.extend(partitions);
        }
        verify::check_wanted(options, &report)?;
        Ok(report)
    }

    /// Looks at both ends of every flow. Changes nothing. `principal`: to whom rights that are missing are to be given, as brokers
    /// know this program, `User:…`.
    ///
    /// # Errors
    /// Those with which it would not start: topics that would be copied for ever among them, and a cluster that cannot be reached.
    pub async fn check(&self, principal: &str) -> Result<Vec<FlowCheck>, Error> {
        let clients = self.connect().await?;
        let routes = runner::routes(&self.description.flows, &clients);
        let terms = runner::terms(&self.description.flows, &routes);
        let mut checks = Vec::new();
        for ((flow, _, source, target), terms) in self.connected(&clients).zip(&terms) {
            checks.push(check::of_flow(flow, terms, source, target, principal).await?);
        }
        let source = |index: usize| routes.get(index).map(|route| &*route.source);
        let topics = |flow: &Flow| {
            let metadata = clients.get(&flow.source).map(Client::metadata);
            let topics = metadata.iter().flat_map(|metadata| metadata.topics.keys());
            topics.map(|topic| topic.to_string()).collect()
        };
        for (index, finding) in check::shared_commit_groups(&self.description.flows, source, topics) {
            checks.get_mut(index).into_iter().for_each(|check| check.findings.insert(0, finding.clone()));
        }
        if !checks.iter().any(|check| check.is_same_cluster) {
            runner::refuse_circles(&routes, &self.description.flows, &clients).await?;
        }
        Ok(checks)
    }

    /// Says what would be done if the mirror were started now. Changes nothing.
    ///
    /// # Errors
    /// Those with which it would not start: topics that would be copied for ever among them.
    pub async fn plan(&self) -> Result<Plan, Error> {
        let clients = self.connect().await?;
        let routes = runner::routes(&self.description.flows, &clients);
        runner::refuse_circles(&routes, &self.description.flows, &clients).await?;
        let mut plan = Plan::default();
        let terms = runner::terms(&self.description.flows, &routes);
        for ((flow, _, source, target), terms) in self.connected(&clients).zip(&terms) {
            plan.add(flow, terms, source, target).await?;
        }
        Ok(plan)
    }

    /// Takes the clusters that answer now for those that the aliases name, whatever was recorded of them: what a flow refuses to start with
    /// ([`Error::OtherCluster`]) it does then.
    ///
    /// # Errors
    /// A cluster that does not answer, a state topic that cannot be read or written.
    pub async fn accept_clusters(&self) -> Result<Vec<AcceptedCluster>, Error> {
        let clients = self.connect().await?;
        let mut accepted = Vec::new();
        for (flow, _, source, target) in self.connected(&clients) {
            let known = state_topic::store::read(target, &flow.state_topic).await?;
            accepted.extend(clusters::accept(flow, source, target, &known).await?);
        }
        Ok(accepted)
    }

    /// Reads where the source's records are on the target, for every flow and partition. Changes nothing.
    pub async fn lineages(&self) -> Result<Vec<PartitionLineage>, Error> {
        let clients = self.connect().await?;
        let mut lineages = Vec::new();
        for (flow, selected, source, target) in self.connected(&clients) {
            lineages.extend(lineages::of_flow(flow, &selected.topics, source, target).await?);
        }
        Ok(lineages)
    }

    /// Says of every partition of every flow how far the target is behind, by what both clusters say now. Changes nothing.
    pub async fn lags(&self) -> Result<Vec<PartitionLag>, Error> {
        let clients = self.connect().await?;
        let mut lags = Vec::new();
        for (flow, selected, source, target) in self.connected(&clients) {
            lags.extend(lag::of_flow(flow, &selected.topics, source, target).await?);
        }
        Ok(lags)
    }

    /// Says of every consumer group of every flow where it stands on both sides. Changes nothing.
    pub async fn groups(&self) -> Result<Vec<GroupReport>, Error> {
        let clients = self.connect().await?;
        let mut reports = Vec::new();
        for (flow, selected, source, target) in self.connected(&clients) {
            reports.extend(groups::of_flow(flow, selected, source, target).await?);
        }
        Ok(reports)
    }

    /// Says of every topic of every flow's source whether it is copied, by which rule, and what is on the target. Changes nothing.
    pub async fn topics(&self) -> Result<Vec<TopicReport>, Error> {
        let clients = self.connect().await?;
        let routes = runner::routes(&self.description.flows, &clients);
        let mut reports = Vec::new();
        for (route, (flow, selected, source, target)) in self.connected(&clients).enumerate() {
            let of_flow = topics::of_flow(flow, selected, (source, target), (&routes, route)).await?;
            reports.extend(of_flow);
        }
        Ok(reports)
    }

    /// The flows, as they were configured.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.description.flows.iter().map(|(flow, _)| flow)
    }

    /// The flows with the clients of their clusters.
    fn connected<'a>(
        &'a self,
        clients: &'a BTreeMap<String, Client>,
    ) -> impl Iterator<Item = (&'a Flow, &'a Selected, &'a Client, &'a Client)> {
        self.description.flows.iter().filter_map(|(flow, selected)| {
            Some((flow, selected, clients.get(&flow.source)?, clients.get(&flow.target)?))
        })
    }

    async fn connect(&self) -> Result<BTreeMap<String, Client>, Error> {
        runner::connect(&self.description.clusters, &self.description.flows, BTreeMap::new()).await
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
    pub fn build(self) -> Result<Mirror, ConfigError> {
        if self.flows.is_empty() {
            return Err(ConfigError::NoFlow);
        }
        let mut flows = Vec::new();
        for flow in self.flows {
            let defined = || self.clusters.keys().cloned().collect::<Vec<_>>().join(", ");
            for alias in [&flow.source, &flow.target] {
                let Some(cluster) = self.clusters.get(alias) else {
                    return Err(ConfigError::UnknownCluster {
                        flow: flow.name(),
                        alias: alias.clone(),
                        defined: defined(),
                    });
                };
                if cluster.bootstrap_servers.is_empty() {
                    return Err(ConfigError::NoServers { alias: alias.clone() });
                }
            }
            if flow.source == flow.target {
                return Err(ConfigError::SameCluster { flow: flow.name() });
            }
            let selected = Selected { topics: flow.topics.compile()?, groups: flow.groups.compile()? };
            flows.push((flow, selected));
        }
        Ok(Mirror { description: Description { clusters: self.clusters, flows, once: self.once } })
    }
}

impl MirrorHandle {
    /// What can be seen now.
    pub fn status(&self) -> Vec<FlowStatus> {
        self.shown.flows().iter().map(|flow| flow.status()).collect()
    }

    /// Lets the running mirror become another one, and says what became of each flow. Flows that are the same go on untouched, with
    /// their clients; other filters for topics and groups are applied while a flow runs; what else is different is stopped and started
    /// anew. An error changes nothing: a cluster that cannot be reached, topics that would be copied for ever, a mirror that runs once.
    pub async fn reload(&self, mirror: Mirror) -> Result<Reloaded, Error> {
        let ended = || Error::CannotReload("the mirror has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.reloads.send(Reload { description: mirror.description, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Waits until every partition has reached the source's end as it was last seen, or is parked. An error of the mirror
    /// ends the wait as well.
    pub async fn caught_up(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = clock::now() + timeout;
        loop {
            if self.shown.flows().iter().all(|flow| flow.has_partitions() && flow.is_settled()) {
                return Ok(());
            }
            if let Some(ended) = &*self.ended.borrow() {
                return ended.clone();
            }
            if clock::now() >= deadline {
                return Err(Error::TimedOut(format!("not caught up within {timeout:?}")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the mirror ends by itself: when it runs once, or fails.
    pub async fn wait(&self) -> Result<Report, Error> {
        self.join().await?;
        Ok(self.report())
    }

    /// Stops the mirror: reading ends, what was sent is acknowledged, every task ends. After `timeout` it is stopped hard,
    /// which loses nothing either.
    pub async fn shutdown(&self, timeout: Duration) -> Result<Report, Error> {
        self.stop.cancel();
        match tokio::time::timeout(timeout, self.join()).await {
            Ok(ended) => ended?,
            Err(_) => self.task.abort(),
        }
        Ok(self.report())
    }

    async fn join(&self) -> Result<(), Error> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(Error::TimedOut("the mirror's task was ended from outside".to_owned())))
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

const POLL_INTERVAL: Duration = Duration::from_millis(20);
