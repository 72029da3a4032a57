//! The mirrors of a world: one or more that believe to be alone, killed and started again.

use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, FlowStatus, Mirror, MirrorHandle, Parked, PartitionStatus};
use kmirror_embedded::EmbeddedCluster;
use tokio::time::timeout;

use crate::logs::{THEIRS, TOPICS};
use crate::net::Net;
use crate::schedule::{Schedule, Side};

/// Mirrors of one flow.
pub(crate) struct Mirrors {
    net: Arc<Net>,
    source: Arc<EmbeddedCluster>,
    target: Arc<EmbeddedCluster>,
    request_timeout: Duration,
    has_theirs: bool,
    has_control: bool,
    running: Vec<(u32, MirrorHandle)>,
    started: u32,
}

impl Mirrors {
    pub(crate) fn new(
        net: &Arc<Net>,
        source: &Arc<EmbeddedCluster>,
        target: &Arc<EmbeddedCluster>,
        schedule: &Schedule,
    ) -> Mirrors {
        let (net, source, target) = (Arc::clone(net), Arc::clone(source), Arc::clone(target));
        let Schedule { request_timeout, has_theirs, has_control, .. } = *schedule;
        Mirrors {
            net,
            source,
            target,
            request_timeout,
            has_theirs,
            has_control,
            running: Vec::new(),
            started: 0,
        }
    }

    /// One that does not run yet; each has a number of its own. It copies what can be copied.
    pub(crate) fn mirror(&self, number: u32) -> Mirror {
        self.mirror_of(number, &TOPICS)
    }

    fn mirror_of(&self, number: u32, topics: &[&str]) -> Mirror {
        let config = |side, cluster: &Arc<EmbeddedCluster>| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.request_timeout = self.request_timeout;
            config.client_id = format!("kmirror-{number}");
            config.connector = Some(self.net.line(number, side, cluster));
            config
        };
        let mut flow = Flow::new("east", "west").topics(topics.iter().copied());
        flow.metadata_refresh_interval = Duration::from_millis(100);
        if self.has_control {
            flow.topic_configs.interval = Duration::from_millis(100);
            flow.acls_interval = Duration::from_millis(100);
            flow.groups_interval = Duration::from_millis(100);
        }
        let builder = Mirror::builder()
            .cluster("east", config(Side::Source, &self.source))
            .cluster("west", config(Side::Target, &self.target));
        builder.flow(flow).build().unwrap()
    }

    fn spawn(&mut self) -> (u32, MirrorHandle) {
        self.started += 1;
        let topics: Vec<_> = TOPICS.into_iter().chain(self.has_theirs.then_some(THEIRS)).collect();
        (self.started, self.mirror_of(self.started, &topics).spawn())
    }

    /// One more, if there are not too many.
    pub(crate) fn add(&mut self) {
        if self.running.len() < MIRRORS_MAX {
            let started = self.spawn();
            self.running.push(started);
        }
    }

    /// Ends one as `kill -9` does.
    pub(crate) fn kill(&mut self, index: usize) {
        if !self.running.is_empty() {
            drop(self.running.remove(index % self.running.len()));
        }
    }

    /// The number of one that runs.
    pub(crate) fn number(&self, index: usize) -> Option<u32> {
        let index = index.checked_rem(self.running.len())?;
        self.running.get(index).map(|(number, _)| *number)
    }

    pub(crate) fn is_none_running(&self) -> bool {
        self.running.is_empty()
    }

    /// A mirror that cannot start says so and ends; whoever runs it starts it again.
    pub(crate) async fn replace_ended(&mut self) {
        for index in 0..self.running.len() {
            if timeout(Duration::ZERO, self.running[index].1.wait()).await.is_ok() {
                self.running[index] = self.spawn();
            }
        }
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.running.iter().flat_map(|(_, handle)| handle.status().remove(0).partitions).collect()
    }

    /// The partitions that stand still, and why.
    pub(crate) fn parked(&self) -> Vec<(PartitionStatus, Parked)> {
        let statuses = self.running.iter().map(|(_, handle)| handle.status().remove(0));
        let parked = |status: FlowStatus| -> Vec<_> {
            status.parked().map(|(partition, parked)| (partition.clone(), parked.clone())).collect()
        };
        statuses.flat_map(parked).collect()
    }

    /// Ends all of them.
    pub(crate) async fn shutdown(&mut self) {
        for (_, handle) in self.running.drain(..) {
            // One that could not start has ended already, and said why.
            drop(handle.shutdown(Duration::from_secs(10)).await);
        }
    }
}

const MIRRORS_MAX: usize = 3;
