//! How long partitions wait for others that have nothing to do with them, in a time that passes only while nobody has anything to do.

use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, PartitionState, PartitionStatus};
use kmirror_client::simulated;
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind};
use tokio::time::{Instant, sleep};

use crate::net::Net;
use crate::random::Random;
use crate::schedule::Side;
use crate::trace::Trace;

/// A broker answers a request when its last partition is replicated. One whose replicas hang may keep the others on its connection waiting
/// once.
#[tokio::test(start_paused = true)]
async fn a_partition_whose_replicas_hang_keeps_its_neighbour_waiting_once() {
    for write in [record as Write, aborted] {
        let scene = Scene::of(1, 2, write).await;
        scene.write_and_copy(HANGING).await;
        scene.hold(true);
        write(&scene, HANGING);
        scene.until(HANGING, "late", |partition| waits_for(partition, "REQUEST_TIMED_OUT")).await;
        let first = scene.slowest_for(STALL).await;
        // What was late is there once its replicas follow. Its next append may hang as well.
        scene.hold(false);
        scene.until(HANGING, "copied", |partition| partition.state == PartitionState::Copying).await;
        scene.hold(true);
        write(&scene, HANGING);
        let second = scene.slowest_for(STALL).await;
        scene.hold(false);
        scene.write_and_copy(HANGING).await;
        assert!(first.max(second) < Duration::from_secs(1), "it waits for {first:?} and {second:?}");
        scene.stop().await;
    }
}

/// Partitions whose replicas hang are looked at again and again before they can be taken over. There may be more of them than are taken over
/// at the same time.
#[tokio::test(start_paused = true)]
async fn partitions_whose_replicas_hang_leave_others_their_turns() {
    let scene = Scene::of(3, 102, record).await;
    scene.write_and_copy(NEIGHBOUR).await;
    let hanging: Vec<i32> = (0..102).filter(|partition| *partition != NEIGHBOUR).collect();
    hanging.iter().for_each(|partition| scene.target.hold_replication(TOPIC, *partition, true).unwrap());
    hanging.iter().for_each(|partition| record(&scene, *partition));
    for partition in &hanging {
        scene.until(*partition, "late", |partition| waits_for(partition, "do not catch up")).await;
    }
    for _ in 0..20 {
        scene.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
        let written = Instant::now();
        scene.write_and_copy(NEIGHBOUR).await;
        let lasted = written.elapsed();
        assert!(lasted < Duration::from_secs(1), "it waits for {lasted:?}");
    }
    scene.stop().await;
}

/// Two clusters, and a mirror of a topic.
struct Scene {
    source: Arc<EmbeddedCluster>,
    target: Arc<EmbeddedCluster>,
    handle: MirrorHandle,
    write: Write,
    _world: simulated::Entered,
}

/// Writes something to a partition of the source.
type Write = fn(&Scene, i32);

fn record(scene: &Scene, partition: i32) {
    scene.source.write(TOPIC, partition, Codec::None, &[RECORD]).unwrap();
}

/// Offsets that nobody reads, which take markers on the target.
fn aborted(scene: &Scene, partition: i32) {
    scene.source.write_transaction(TOPIC, partition, Codec::None, &[RECORD], false).unwrap();
}

impl Scene {
    async fn of(seed: u64, partitions: usize, write: Write) -> Scene {
        let world = simulated::enter(seed);
        let cluster = async |name| {
            let builder = EmbeddedCluster::builder().without_sockets(name);
            Arc::new(builder.simulated(Random::of(seed, name).bits()).start().await.unwrap())
        };
        let (source, target) = (cluster("east").await, cluster("west").await);
        source.create_topic(TOPIC, partitions, &[]).unwrap();
        let net = Net::new(seed, Arc::new(Trace::begin(false)));
        net.calm_down();
        let config = |side, cluster: &Arc<EmbeddedCluster>| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.connector = Some(net.line(1, side, cluster));
            config
        };
        let builder = Mirror::builder()
            .cluster("east", config(Side::Source, &source))
            .cluster("west", config(Side::Target, &target));
        let flow = Flow::new("east", "west").topics([TOPIC]);
        let handle = builder.flow(flow).build().unwrap().spawn();
        Scene { source, target, handle, write, _world: world }
    }

    /// Lets the replicas of a partition of the target hang, or follow again.
    fn hold(&self, holds: bool) {
        self.target.hold_replication(TOPIC, HANGING, holds).unwrap();
    }

    async fn write_and_copy(&self, partition: i32) {
        (self.write)(self, partition);
        let end = self.source.log(TOPIC, partition).unwrap().end;
        self.until(partition, "copied", |partition| partition.position >= end).await;
    }

    /// The longest time that something took from one partition to the other cluster.
    async fn slowest_for(&self, lasts: Duration) -> Duration {
        let (until, mut slowest) = (Instant::now() + lasts, Duration::ZERO);
        while Instant::now() < until {
            let written = Instant::now();
            self.write_and_copy(NEIGHBOUR).await;
            slowest = slowest.max(written.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        slowest
    }

    async fn until(&self, partition: i32, what: &str, is_so: impl Fn(&PartitionStatus) -> bool) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let partitions = self.handle.status().remove(0).partitions;
            let found = partitions.iter().find(|found| found.partition == partition);
            if found.is_some_and(&is_so) {
                return;
            }
            assert!(Instant::now() < patience, "{partition} is not {what}: {found:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.handle.shutdown(Duration::from_secs(10)).await.unwrap();
    }
}

fn waits_for(partition: &PartitionStatus, cause: &str) -> bool {
    matches!(&partition.state, PartitionState::Waiting(text) if text.contains(cause))
}

const TOPIC: &str = "orders";
const HANGING: i32 = 0;
const NEIGHBOUR: i32 = 1;
const RECORD: (Option<&[u8]>, Option<&[u8]>) = (Some(b"key"), Some(b"value"));
/// Longer than a broker waits for replicas.
const STALL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);
