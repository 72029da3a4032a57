//! The mirrors of a schedule: one or more that believe to be alone, killed and started again.

use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle};
use kmirror_embedded::EmbeddedCluster;
use tokio::time::{Instant, sleep, timeout};

use super::Random;
use super::logs::{Logs, TOPICS};

/// Mirrors of one flow.
pub(super) struct Mirrors {
    source: ClusterConfig,
    target: ClusterConfig,
    running: Vec<MirrorHandle>,
}

impl Mirrors {
    pub(super) fn start(source: &EmbeddedCluster, target: &EmbeddedCluster, count: usize) -> Mirrors {
        let config = |cluster: &EmbeddedCluster| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.request_timeout = REQUEST_TIMEOUT;
            config
        };
        let mut mirrors = Mirrors { source: config(source), target: config(target), running: Vec::new() };
        (0..count).for_each(|_| mirrors.add());
        mirrors
    }

    fn mirror(&self) -> Mirror {
        let mut flow = Flow::new("east", "west").topics(TOPICS);
        flow.metadata_refresh_interval = Duration::from_millis(100);
        Mirror::builder()
            .cluster("east", self.source.clone())
            .cluster("west", self.target.clone())
            .flow(flow)
            .build()
            .unwrap()
    }

    /// One more, if there are not too many.
    pub(super) fn add(&mut self) {
        if self.running.len() < MIRRORS_MAX {
            self.running.push(self.mirror().spawn());
        }
    }

    /// Ends one as `kill -9` does, and soon starts another.
    pub(super) async fn kill(&mut self, random: &mut Random) {
        let index = random.below(self.running.len() as u64) as usize;
        drop(self.running.swap_remove(index));
        sleep(Duration::from_millis(random.below(10))).await;
        if self.running.is_empty() || random.below(2) == 0 {
            self.add();
        }
    }

    /// A mirror that cannot start says so and ends; whoever runs it starts it again.
    pub(super) async fn replace_ended(&mut self) {
        for index in 0..self.running.len() {
            if timeout(Duration::ZERO, self.running[index].wait()).await.is_ok() {
                self.running[index] = self.mirror().spawn();
            }
        }
    }

    /// Waits until for each partition one of them has copied everything, or says what keeps them from it.
    pub(super) async fn caught_up(&mut self, source: &EmbeddedCluster, logs: &Logs) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.replace_ended().await;
            let partitions: Vec<_> =
                self.running.iter().flat_map(|handle| handle.status().remove(0).partitions).collect();
            let is_copied = |topic: &str, number: i32, end: i64| {
                partitions.iter().any(|partition| {
                    partition.source_topic == topic
                        && partition.partition == number
                        && partition.position >= end
                })
            };
            if logs.ends(source).iter().all(|(topic, number, end)| is_copied(topic, *number, *end)) {
                return Ok(());
            }
            for handle in &self.running {
                if let Some((partition, parked)) = handle.status()[0].parked().next() {
                    return Err(format!("{}-{}: {parked}", partition.source_topic, partition.partition));
                }
            }
            if Instant::now() > deadline {
                return Err(format!("not caught up with {:?}: {partitions:?}", logs.ends(source)));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends all of them; what is left is one that does not run.
    pub(super) async fn shutdown(self) -> Mirror {
        let mirror = self.mirror();
        for handle in self.running {
            handle.shutdown(Duration::from_secs(10)).await.unwrap();
        }
        mirror
    }
}

const MIRRORS_MAX: usize = 3;
/// A broker that keeps silent is given up after this time; one that answers does so sooner, also where much else is to be done.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// For what should take a second, or a few requests' time where a broker kept silent.
const PATIENCE: Duration = Duration::from_secs(300);
