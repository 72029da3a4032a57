//! How long partitions wait for others that have nothing to do with them, in a time that passes only while nobody has anything to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, PartitionState, PartitionStatus, Retention};
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
        let scene = Scene::with(Layout::of(2), write).await;
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
        figure("a neighbour of a partition whose replicas hang", first.max(second));
        scene.stop().await;
    }
}

/// Partitions whose replicas hang are looked at again and again before they can be taken over. There may be more of them than are taken over
/// at the same time.
#[tokio::test(start_paused = true)]
async fn partitions_whose_replicas_hang_leave_others_their_turns() {
    let scene = Scene::with(Layout::of(102), record).await;
    scene.write_and_copy(NEIGHBOUR).await;
    let hanging: Vec<i32> = (0..102).filter(|partition| *partition != NEIGHBOUR).collect();
    hanging.iter().for_each(|partition| scene.target.hold_replication(TOPIC, *partition, true).unwrap());
    hanging.iter().for_each(|partition| record(&scene, *partition));
    for partition in &hanging {
        scene.until(*partition, "late", |partition| waits_for(partition, "do not catch up")).await;
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        scene.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
        let written = Instant::now();
        scene.write_and_copy(NEIGHBOUR).await;
        slowest = slowest.max(written.elapsed());
    }
    figure("a take-over beside 101 partitions whose replicas hang", slowest);
    scene.stop().await;
}

/// A broker waits for replicas before it answers DeleteRecords, and for the controller before it answers CreateTopics. Partitions are taken
/// over meanwhile.
#[tokio::test(start_paused = true)]
async fn slow_administration_leaves_take_overs_alone() {
    for api in [ApiKey::DeleteRecords, ApiKey::CreateTopics] {
        let scene = Scene::with(Layout::of(2), record).await;
        scene.write_and_copy(HANGING).await;
        scene.write_and_copy(NEIGHBOUR).await;
        let slow = FaultKind::Delay(Duration::from_secs(20));
        scene.target.inject(Fault::new(slow).of(api));
        (0..3).for_each(|_| record(&scene, HANGING));
        scene.source.delete_below(TOPIC, HANGING, 1).unwrap();
        scene.source.create_topic(LATER, 1, &[]).unwrap();
        let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
        // Until what is slow is done.
        while scene.start() == 0 || scene.target.log(LATER, 0).is_err() {
            scene.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
            let written = Instant::now();
            scene.write_and_copy(NEIGHBOUR).await;
            slowest = slowest.max(written.elapsed());
            assert!(begun.elapsed() < PATIENCE, "{api:?} is never done");
        }
        assert!(begun.elapsed() > Duration::from_secs(20), "{api:?} was not slow");
        figure(&format!("a take-over beside {api:?} of 20 s"), slowest);
        scene.stop().await;
    }
}

/// A few bytes of a partition that stands still came with the answers of the source that its neighbour is read with: they must not keep the
/// buffer from it.
#[tokio::test(start_paused = true)]
async fn a_few_bytes_of_a_partition_that_stands_still_do_not_hold_the_buffer() {
    let scene =
        Scene::with(Layout { seed: 11, brokers: 2, buffer_bytes_max: 4 << 20, ..Layout::of(2) }, record)
            .await;
    scene.write_and_copy(HANGING).await;
    scene.write_and_copy(NEIGHBOUR).await;
    scene.lead_apart(2);
    scene.write_and_copy(HANGING).await;
    scene.write_and_copy(NEIGHBOUR).await;
    scene.hold(true);
    let (large, until) = (vec![b'x'; 50_000], Instant::now() + Duration::from_secs(15));
    let (mut written, mut slowest) = (VecDeque::new(), Duration::ZERO);
    while Instant::now() < until {
        record(&scene, HANGING);
        let last =
            scene.source.write(TOPIC, NEIGHBOUR, Codec::None, &[(Some(b"key"), Some(&large))]).unwrap();
        written.push_back((last, Instant::now()));
        sleep(Duration::from_millis(10)).await;
        let copied = scene.target.log(TOPIC, NEIGHBOUR).unwrap().end;
        while written.front().is_some_and(|(offset, _)| *offset < copied) {
            written.pop_front();
        }
        slowest = slowest.max(written.front().map_or(Duration::ZERO, |(_, since)| since.elapsed()));
    }
    figure("a neighbour of a partition whose few bytes stand still, 5 MB/s, buffer 4 MiB", slowest);
    scene.hold(false);
    scene.stop().await;
}

/// A broker that throttles (KIP-219) takes nothing for as long as it says. What waits for it must not keep those who read for other brokers.
#[tokio::test(start_paused = true)]
async fn a_broker_that_throttles_keeps_nobody_else_waiting() {
    let scene = Scene::with(Layout { seed: 12, brokers: 2, ..Layout::of(1_200) }, record).await;
    scene.write_and_copy(NEIGHBOUR).await;
    scene.lead_apart(1_200);
    let others = (0..1_200).filter(|partition| *partition != NEIGHBOUR).collect::<Vec<_>>();
    others.iter().for_each(|partition| record(&scene, *partition));
    for partition in &others {
        scene.until(*partition, "copied", |found| found.position > 0).await;
    }
    let throttle = FaultKind::Throttle(Duration::from_secs(20));
    scene.target.inject(Fault::new(throttle).of(ApiKey::Produce).at(1));
    // The first is throttled; of the others there are more than an inbox takes.
    for _ in 0..3 {
        others.iter().for_each(|partition| record(&scene, *partition));
        sleep(Duration::from_millis(100)).await;
    }
    figure(
        "a neighbour of a broker that throttles for 20 s, 1,200 partitions",
        scene.slowest_for(STALL / 3).await,
    );
    scene.stop().await;
}

/// Brokers are replaced by others with new ids, again and again.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_broker_that_is_gone() {
    let expected = tasks_of(1).await;
    assert_eq!(tasks_of(2).await, expected);
}

/// How many tasks there are where the first broker of both clusters is left of so many, each of which has led everything for a while.
async fn tasks_of(brokers: u8) -> usize {
    let scene = Scene::with(Layout { brokers, ..Layout::of(2) }, record).await;
    scene.write_and_copy(NEIGHBOUR).await;
    for broker in (1..=i32::from(brokers)).rev() {
        for cluster in [&scene.source, &scene.target] {
            (0..2).for_each(|partition| cluster.move_leader(TOPIC, partition, broker).unwrap());
        }
        scene.write_and_copy(HANGING).await;
        scene.write_and_copy(NEIGHBOUR).await;
    }
    for (broker, cluster) in
        (2..=i32::from(brokers)).flat_map(|broker| [(broker, &scene.source), (broker, &scene.target)])
    {
        cluster.remove_broker(broker).unwrap();
    }
    sleep(STALL).await;
    scene.write_and_copy(NEIGHBOUR).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    scene.stop().await;
    tasks
}

/// Two clusters, and a mirror of a topic.
struct Scene {
    source: Arc<EmbeddedCluster>,
    target: Arc<EmbeddedCluster>,
    handle: MirrorHandle,
    write: Write,
    _world: simulated::Entered,
}

/// What both clusters are like.
struct Layout {
    seed: u64,
    brokers: u8,
    partitions: usize,
    buffer_bytes_max: usize,
}

impl Layout {
    /// So many partitions on one broker.
    fn of(partitions: usize) -> Layout {
        Layout { seed: 1, brokers: 1, partitions, buffer_bytes_max: 40 << 20 }
    }
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
    async fn with(layout: Layout, write: Write) -> Scene {
        let Layout { seed, brokers, partitions, buffer_bytes_max } = layout;
        let world = simulated::enter(seed);
        let cluster = async |name| {
            let builder = EmbeddedCluster::builder().brokers(brokers).without_sockets(name);
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
        let mut flow = Flow::new("east", "west").topics([TOPIC, LATER]);
        flow.retention = Retention::Follow;
        flow.buffer_bytes_max = buffer_bytes_max;
        let handle = builder.flow(flow).build().unwrap().spawn();
        Scene { source, target, handle, write, _world: world }
    }

    /// One broker of the source leads all of so many partitions, and one of the target all but the neighbour.
    fn lead_apart(&self, partitions: i32) {
        for partition in 0..partitions {
            self.source.move_leader(TOPIC, partition, 1).unwrap();
            self.target.move_leader(TOPIC, partition, if partition == NEIGHBOUR { 2 } else { 1 }).unwrap();
        }
    }

    /// Lets the replicas of a partition of the target hang, or follow again.
    fn hold(&self, holds: bool) {
        self.target.hold_replication(TOPIC, HANGING, holds).unwrap();
    }

    /// Where the partition begins on the target whose log start follows the source's.
    fn start(&self) -> i64 {
        self.target.log(TOPIC, HANGING).unwrap().start
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

/// `kmirror-bench trials` keeps it. It is of the simulation's time, in which a machine that has much else to do changes nothing.
fn figure(of: &str, seconds: Duration) {
    println!("figure: {of}: {:.3} s, at most 1 s", seconds.as_secs_f64());
    assert!(seconds < Duration::from_secs(1), "{of} waits for {seconds:?}");
}

fn waits_for(partition: &PartitionStatus, cause: &str) -> bool {
    matches!(&partition.state, PartitionState::Waiting(text) if text.contains(cause))
}

const TOPIC: &str = "orders";
/// One that appears while the mirror runs.
const LATER: &str = "payments";
const HANGING: i32 = 0;
const NEIGHBOUR: i32 = 1;
const RECORD: (Option<&[u8]>, Option<&[u8]>) = (Some(b"key"), Some(b"value"));
/// Longer than a broker waits for replicas.
const STALL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);
