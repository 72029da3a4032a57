//! Names that come to stand for another cluster while a flow runs: nothing is written there, nor read from there.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kmirror::{ClusterConfig, Connecting, Connector, Duplex, Flow, Mirror, MirrorHandle, PartitionState};
use kmirror_embedded::{Codec, EmbeddedCluster, Profile};

use super::{PATIENCE, TOPIC, World, stop};

/// A cluster's addresses, which may be turned to another one.
struct Names {
    to: Mutex<Arc<EmbeddedCluster>>,
    /// How often somebody has connected.
    connected: AtomicUsize,
}

impl Names {
    fn of(cluster: &Arc<EmbeddedCluster>) -> Arc<Names> {
        Arc::new(Names { to: Mutex::new(Arc::clone(cluster)), connected: AtomicUsize::default() })
    }

    /// Turns them. The cluster that they stood for is stopped, which closes its connections.
    fn turn(&self, to: &Arc<EmbeddedCluster>) {
        to.start_broker(1).unwrap();
        let from = std::mem::replace(&mut *self.to.lock().unwrap(), Arc::clone(to));
        from.stop_broker(1).unwrap();
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Connector for Names {
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        let cluster = Arc::clone(&self.to.lock().unwrap());
        Box::pin(async move {
            if address != "broker-1:9092" {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(Box::new(cluster.connect(1)) as Box<dyn Duplex>)
        })
    }
}

async fn cluster(profile: Profile) -> Arc<EmbeddedCluster> {
    let builder = EmbeddedCluster::builder().profile(profile).without_sockets("broker");
    Arc::new(builder.start().await.unwrap())
}

fn write(cluster: &EmbeddedCluster, value: &str) {
    cluster.write(TOPIC, 0, Codec::None, &[(Some(b"key"), Some(value.as_bytes()))]).unwrap();
}

fn end(cluster: &EmbeddedCluster) -> i64 {
    cluster.log(TOPIC, 0).unwrap().end
}

fn mirror(source: &Arc<Names>, target: &Arc<Names>, topics: &[&str]) -> MirrorHandle {
    let cluster = |names: &Arc<Names>| {
        let mut config = ClusterConfig::new(["broker-1:9092"]);
        config.connector = Some(Arc::clone(names) as Arc<dyn Connector>);
        config
    };
    let mut flow = Flow::new("east", "west").topics(topics.iter().copied());
    flow.metadata_refresh_interval = Duration::from_millis(20);
    let clusters = Mirror::builder().cluster("east", cluster(source)).cluster("west", cluster(target));
    clusters.flow(flow).build().unwrap().spawn()
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not {what}"));
}

/// Topics have no ids before 2.8: one of the same name is taken for the same one.
#[tokio::test]
async fn a_target_whose_name_stands_for_another_cluster_is_not_written_to() {
    for profile in [Profile::Kafka2_1, Profile::Kafka4_3] {
        let (east, west, other) = (cluster(profile).await, cluster(profile).await, cluster(profile).await);
        for cluster in [&east, &other] {
            cluster.create_topic(TOPIC, 1, &[]).unwrap();
        }
        (0..5).for_each(|_| write(&east, "before"));
        let (source, target) = (Names::of(&east), Names::of(&west));
        let handle = mirror(&source, &target, &[TOPIC, "new"]);
        until("copied", || west.log(TOPIC, 0).is_ok() && end(&west) == 5).await;
        target.turn(&other);
        (0..5).for_each(|_| write(&east, "meanwhile"));
        east.create_topic("new", 1, &[]).unwrap();
        let ids = [west.cluster_id(), other.cluster_id()];
        let tells = |state: &PartitionState| match state {
            PartitionState::Waiting(cause) => ids.iter().all(|id| cause.contains(id.as_str())),
            _ => false,
        };
        until("waiting, with both ids named", || {
            World::partition(&handle).is_some_and(|partition| tells(&partition.state))
        })
        .await;
        let seen = target.connected();
        until("looking again and again", || target.connected() > seen + 20).await;
        assert_eq!(end(&other), 0, "{profile:?}: written into another cluster");
        assert!(other.log("new", 0).is_err(), "{profile:?}: created on another cluster");
        target.turn(&west);
        until("copied, and created", || end(&west) == 10 && west.log("new", 0).is_ok()).await;
        stop(handle).await;
    }
}

/// As in a switch to the other data centre: the source's name stands for the target then.
#[tokio::test]
async fn a_source_whose_name_stands_for_the_target_is_not_copied_onto_itself() {
    for profile in [Profile::Kafka2_1, Profile::Kafka4_3] {
        let (east, west) = (cluster(profile).await, cluster(profile).await);
        east.create_topic(TOPIC, 1, &[]).unwrap();
        (0..5).for_each(|_| write(&east, "before"));
        let (source, target) = (Names::of(&east), Names::of(&west));
        let handle = mirror(&source, &target, &[TOPIC, "local"]);
        until("copied", || west.log(TOPIC, 0).is_ok() && end(&west) == 5).await;
        source.turn(&west);
        west.create_topic("local", 1, &[]).unwrap();
        write(&west, "of a producer that was switched over");
        let seen = source.connected();
        until("looking again and again", || source.connected() > seen + 20).await;
        assert_eq!(end(&west), 6, "{profile:?}: a record was copied onto its own log");
        let topics = handle.status().remove(0).partitions.into_iter().map(|partition| partition.source_topic);
        assert_eq!(topics.collect::<Vec<_>>(), [TOPIC], "{profile:?}");
        stop(handle).await;
    }
}
