//! The task of a running mirror. It owns the flows that run and the clients that they share, and changes them when it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kmirror_client::{Client, Topics};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::flow;
use crate::ground::config::{ClusterConfig, Flow};
use crate::ground::context::{FlowContext, Terms};
use crate::ground::error::Error;
use crate::ground::loops::{self, Route};
use crate::ground::selection::Selected;
use crate::ground::shared::FlowShared;
use crate::reload::{self, FlowChange, Reloaded, Step};

/// The flows of a mirror, for whoever looks at it.
#[derive(Debug, Default)]
pub(crate) struct Shown(RwLock<Vec<Arc<FlowShared>>>);

impl Shown {
    pub(crate) fn new(flows: Vec<Arc<FlowShared>>) -> Arc<Shown> {
        Arc::new(Shown(RwLock::new(flows)))
    }

    pub(crate) fn flows(&self) -> Vec<Arc<FlowShared>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, flows: Vec<Arc<FlowShared>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = flows;
    }
}

/// Another description for a mirror that runs, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Reload {
    pub(crate) description: Description,
    pub(crate) answer: oneshot::Sender<Result<Reloaded, Error>>,
}

/// What a mirror is to copy: its clusters by their aliases, and its flows with what they select.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) clusters: BTreeMap<String, ClusterConfig>,
    pub(crate) flows: Vec<(Flow, Selected)>,
    /// Whether the flows end at the offsets where their sources ended when they started.
    pub(crate) once: bool,
}

pub(crate) struct Runner {
    once: bool,
    clusters: BTreeMap<String, ClusterConfig>,
    clients: BTreeMap<String, Client>,
    flows: Vec<Running>,
    tasks: JoinSet<Result<(), Error>>,
    shown: Arc<Shown>,
    stop: CancellationToken,
    /// Why the mirror ends, if it is not by itself.
    failed: Option<Error>,
}

/// A flow that runs.
#[derive(Clone)]
struct Running {
    flow: Flow,
    shared: Arc<FlowShared>,
    terms: watch::Sender<Terms>,
    stop: CancellationToken,
    task: Id,
}

impl Runner {
    pub(crate) fn new(once: bool, shown: Arc<Shown>, stop: CancellationToken) -> Runner {
        Runner {
            once,
            clusters: BTreeMap::new(),
            clients: BTreeMap::new(),
            flows: Vec::new(),
            tasks: JoinSet::new(),
            shown,
            stop,
            failed: None,
        }
    }

    /// Runs a mirror until all its flows have ended. A flow that cannot start stops the others, so that nobody believes that all is
    /// well.
    pub(crate) async fn run(
        mut self,
        description: Description,
        mut reloads: mpsc::Receiver<Reload>,
    ) -> Result<(), Error> {
        self.clients = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            clients = connect(&description.clusters, &description.flows, BTreeMap::new()) => clients?,
        };
        let routes = routes(&description.flows, &self.clients);
        // Before anything is written anywhere.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            refused = refuse_circles(&routes, &description.flows, &self.clients) => refused?,
        }
        let terms = terms(&description.flows, &routes, &self.clients);
        for (((flow, _), terms), shared) in description.flows.into_iter().zip(terms).zip(self.shown.flows()) {
            let started = self.start(flow, terms, shared, Tries::Once);
            self.flows.extend(started);
        }
        self.clusters = description.clusters;
        loop {
            tokio::select! {
                biased;
                // Each flow ends once.
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => {
                        self.on_ended(ended);
                    }
                    None => break,
                },
                Some(reload) = reloads.recv(), if !self.stop.is_cancelled() => {
                    let reloaded = self.reload(reload.description).await;
                    // Who asked may not wait any more.
                    let _ = reload.answer.send(reloaded);
                }
            }
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Starts a flow. Nothing where one of its clusters has no client, which a valid mirror does not have.
    fn start(&mut self, flow: Flow, terms: Terms, shared: Arc<FlowShared>, tries: Tries) -> Option<Running> {
        let (source, target) = (self.clients.get(&flow.source)?, self.clients.get(&flow.target)?);
        let (terms, receiver) = watch::channel(terms);
        let stop = self.stop.child_token();
        let context = FlowContext {
            source: source.clone(),
            target: target.clone(),
            flow: flow.clone(),
            terms: receiver,
            once: self.once,
            shared: Arc::clone(&shared),
            stop: stop.clone(),
        };
        let task = self.tasks.spawn(run_flow(context, tries)).id();
        Some(Running { flow, shared, terms, stop, task })
    }

    /// A flow's task has ended: which one.
    fn on_ended(&mut self, ended: Result<(Id, Result<(), Error>), JoinError>) -> Id {
        let (task, ended) = ended.unwrap_or_else(|error| (error.id(), Err(Error::of_task("a flow", error))));
        if let Err(error) = ended {
            self.failed.get_or_insert(error);
            self.stop.cancel();
        }
        task
    }

    /// Lets the mirror become another one. What is wrong with that one is found before anything is changed.
    async fn reload(&mut self, mut description: Description) -> Result<Reloaded, Error> {
        if self.once || description.once {
            return Err(Error::CannotReload("a mirror that runs once is not changed meanwhile".to_owned()));
        }
        let changed: BTreeSet<String> = description
            .clusters
            .iter()
            .filter(|(alias, config)| self.clusters.get(*alias) != Some(config))
            .map(|(alias, _)| alias.clone())
            .collect();
        let mut kept = self.clients.clone();
        kept.retain(|alias, _| !changed.contains(alias));
        let stop = self.stop.clone();
        let clients = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Error::CannotReload("the mirror is being stopped".to_owned())),
            clients = connect(&description.clusters, &description.flows, kept) => clients?,
        };
        let running: Vec<Flow> = self.flows.iter().map(|running| running.flow.clone()).collect();
        let mut flows: Vec<Flow> = description.flows.iter().map(|(flow, _)| flow.clone()).collect();
        let steps = reload::steps(&running, &flows, &changed);
        reload::keep_names(&running, &mut flows, &steps);
        for ((named, _), flow) in description.flows.iter_mut().zip(&flows) {
            named.given_name.clone_from(&flow.given_name);
        }
        let routes = routes(&description.flows, &clients);
        refuse_circles(&routes, &description.flows, &clients).await?;
        let reloaded = summary(&running, &flows, &steps);
        self.stop_others(&steps).await;
        self.clusters = description.clusters;
        self.clients = clients;
        let terms = terms(&description.flows, &routes, &self.clients);
        self.apply(flows, terms, &steps);
        Ok(reloaded)
    }

    /// Stops the flows that do not go on, cleanly, before anything begins that may copy the same topics.
    async fn stop_others(&mut self, steps: &[Step]) {
        let goes_on = |place: usize| {
            steps.iter().any(|step| matches!(step, Step::Keep(old) | Step::Filter(old) if *old == place))
        };
        let others = self.flows.iter().enumerate().filter(|(place, _)| !goes_on(*place));
        let mut awaited = BTreeSet::new();
        for (_, running) in others {
            running.stop.cancel();
            awaited.insert(running.task);
        }
        while !awaited.is_empty() {
            let Some(ended) = self.tasks.join_next_with_id().await else { break };
            awaited.remove(&self.on_ended(ended));
        }
    }

    fn apply(&mut self, flows: Vec<Flow>, terms: Vec<Terms>, steps: &[Step]) {
        let before = std::mem::take(&mut self.flows);
        let mut after = Vec::new();
        for ((flow, terms), step) in flows.into_iter().zip(terms).zip(steps) {
            let going_on = match step {
                Step::Keep(place) | Step::Filter(place) => before.get(*place),
                Step::Restart(_) | Step::Start => None,
            };
            match going_on {
                Some(running) => {
                    let selection = match step {
                        Step::Filter(_) => running.shared.select_anew(),
                        _ => running.shared.selection(),
                    };
                    running.terms.send_replace(Terms { selection, ..terms });
                    after.push(Running { flow, ..running.clone() });
                }
                None => {
                    let shared = FlowShared::new(flow.name());
                    after.extend(self.start(flow, terms, shared, Tries::Always));
                }
            }
        }
        self.shown.set(after.iter().map(|running| Arc::clone(&running.shared)).collect());
        self.flows = after;
    }
}

/// How often a flow tries to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    /// Once: the mirror starts with it, or not at all.
    Once,
    /// Until it does: the mirror runs already, and the others must not suffer.
    Always,
}

async fn run_flow(context: FlowContext, tries: Tries) -> Result<(), Error> {
    loop {
        match flow::run(context.clone()).await {
            Err(error) if tries == Tries::Always && !context.stop.is_cancelled() => {
                error!(flow = context.flow.name(), %error, "the flow cannot start; it is tried again");
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(START_PAUSE) => {}
                }
            }
            ended => return ended,
        }
    }
}

fn summary(running: &[Flow], flows: &[Flow], steps: &[Step]) -> Reloaded {
    let mut gone: Vec<Option<&Flow>> = running.iter().map(Some).collect();
    let mut reloaded = Reloaded::default();
    for (flow, step) in flows.iter().zip(steps) {
        let (change, place) = match *step {
            Step::Keep(place) => (FlowChange::Unchanged, Some(place)),
            Step::Filter(place) => (FlowChange::Filtered, Some(place)),
            Step::Restart(place) => (FlowChange::Restarted, Some(place)),
            Step::Start => (FlowChange::Started, None),
        };
        reloaded.flows.push((flow.name(), change));
        if let Some(continued) = place.and_then(|place| gone.get_mut(place)) {
            *continued = None;
        }
    }
    reloaded.flows.extend(gone.into_iter().flatten().map(|flow| (flow.name(), FlowChange::Stopped)));
    reloaded
}

/// Refuses what would be copied for ever, by what the sources hold now. One that does not answer is judged by what it held.
pub(crate) async fn refuse_circles(
    routes: &[Route],
    flows: &[(Flow, Selected)],
    clients: &BTreeMap<String, Client>,
) -> Result<(), Error> {
    for (index, (flow, selected)) in flows.iter().enumerate() {
        let Some(source) = clients.get(&flow.source) else { continue };
        let _ = source.refresh_metadata(Topics::All).await;
        let metadata = source.metadata();
        for topic in metadata.topics.keys().filter(|topic| selected.topics.matches(topic)) {
            if let Some(circle) = loops::circle_of(routes, index, topic) {
                return Err(Error::WouldLoop { flow: flow.name(), topic: topic.to_string(), circle });
            }
        }
    }
    Ok(())
}

/// What each flow copies, among the others.
pub(crate) fn terms(
    flows: &[(Flow, Selected)],
    routes: &Arc<[Route]>,
    clients: &BTreeMap<String, Client>,
) -> Vec<Terms> {
    let sources: Arc<[Client]> =
        flows.iter().filter_map(|(flow, _)| clients.get(&flow.source).cloned()).collect();
    let places = flows.iter().enumerate();
    let terms = places.map(|(route, (_, selected))| Terms {
        selected: selected.clone(),
        selection: 0,
        routes: Arc::clone(routes),
        route,
        sources: Arc::clone(&sources),
    });
    terms.collect()
}

/// Where records go. A cluster whose id is not known stands for itself.
pub(crate) fn routes(flows: &[(Flow, Selected)], clients: &BTreeMap<String, Client>) -> Arc<[Route]> {
    let cluster = |alias: &String| -> Arc<str> {
        let id = clients.get(alias).and_then(Client::cluster_id);
        Arc::from(id.map_or_else(|| alias.clone(), |id| id.to_string()))
    };
    let route = |(flow, selected): &(Flow, Selected)| Route {
        name: flow.name(),
        source_alias: flow.source.clone(),
        target_alias: flow.target.clone(),
        source: cluster(&flow.source),
        target: cluster(&flow.target),
        naming: flow.naming.clone(),
        topics: selected.topics.clone(),
    };
    flows.iter().map(route).collect()
}

const START_PAUSE: Duration = Duration::from_secs(10);

/// The clients of the flows' clusters: these, where they are among them, and else new ones.
pub(crate) async fn connect(
    clusters: &BTreeMap<String, ClusterConfig>,
    flows: &[(Flow, Selected)],
    connected: BTreeMap<String, Client>,
) -> Result<BTreeMap<String, Client>, Error> {
    let mut clients = BTreeMap::new();
    for alias in flows.iter().flat_map(|(flow, _)| [&flow.source, &flow.target]) {
        let Some(config) = clusters.get(alias).filter(|_| !clients.contains_key(alias)) else { continue };
        let client = match connected.get(alias) {
            Some(client) => client.clone(),
            None => {
                let client = Client::connect(config.for_client(alias)).await;
                client.map_err(|error| Error::cluster(alias, error))?
            }
        };
        clients.insert(alias.clone(), client);
    }
    Ok(clients)
}
