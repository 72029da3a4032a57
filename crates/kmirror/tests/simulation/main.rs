//! The whole engine between two clusters, on one thread, in a time that stands still while there is something to do, without sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Connecting, Connector, Duplex, Flow, Mirror};
use kmirror_client::simulated;
use kmirror_embedded::{Codec, EmbeddedCluster};

/// Streams to the brokers of a cluster in memory.
#[derive(Debug)]
struct Wires(Arc<EmbeddedCluster>);

impl Connector for Wires {
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
        let name = address.split(':').next().unwrap_or_default();
        let broker: i32 =
            name.rsplit('-').next().and_then(|id| id.parse().ok()).expect("the address of a broker");
        let stream: Box<dyn Duplex> = Box::new(self.0.connect(broker));
        Box::pin(async move { Ok(stream) })
    }
}

async fn cluster(name: &str, seed: u64) -> Arc<EmbeddedCluster> {
    let builder = EmbeddedCluster::builder().brokers(2).without_sockets(name).simulated(seed);
    Arc::new(builder.start().await.unwrap())
}

fn reached(cluster: &Arc<EmbeddedCluster>) -> ClusterConfig {
    let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
    config.connector = Some(Arc::new(Wires(Arc::clone(cluster))));
    config
}

/// Copies a transactional log; the target's batches, byte for byte.
fn copy(seed: u64) -> Vec<bytes::Bytes> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let _world = simulated::enter(seed);
        let (source, target) = (cluster("east", seed).await, cluster("west", seed + 1).await);
        source.create_topic("orders", 1, &[]).unwrap();
        for commit in [true, false, true] {
            source
                .write_transaction("orders", 0, Codec::Zstd, &[(Some(b"key"), Some(b"value"))], commit)
                .unwrap();
        }
        let mirror = Mirror::builder().cluster("east", reached(&source)).cluster("west", reached(&target));
        let mirror = mirror.flow(Flow::new("east", "west").topics(["orders"])).once(true).build().unwrap();
        mirror.spawn().wait().await.unwrap();
        assert!(mirror_is_equal(&source, &target).await);
        target.log("orders", 0).unwrap().batches
    })
}

async fn mirror_is_equal(source: &Arc<EmbeddedCluster>, target: &Arc<EmbeddedCluster>) -> bool {
    let mirror = Mirror::builder().cluster("east", reached(source)).cluster("west", reached(target));
    let mirror = mirror.flow(Flow::new("east", "west").topics(["orders"])).build().unwrap();
    let report = mirror.verify(&Default::default(), Default::default()).await.unwrap();
    report.is_equal() && report.partitions.len() == 1
}

/// Marker tokens are chance, and markers carry the time.
#[test]
fn the_same_seed_makes_the_same_logs() {
    let logs: Vec<_> = [1, 1, 2].into_iter().map(copy).collect();
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(copy(1), logs[0], "whatever the machine's clock says");
}
