//! Sources and targets that answer oddly, as brokers may: nothing is lost, doubled or parked for it.

mod accepted;
mod answers;
mod brokers;
mod cleaners;
mod complete;
mod cut_off;
mod defects;
mod deletions;
mod expiration;
mod forgotten;
mod groups;
mod log_starts;
mod missing;
mod other_cluster;
mod owned;
mod recorded;
mod runs;
mod unowned;

use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, PartitionState, PartitionStatus, VerifyOptions};
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Isolation, ResponseError};

/// Two clusters of one broker and a topic to copy.
struct World {
    source: EmbeddedCluster,
    target: EmbeddedCluster,
    flow: Flow,
    request_timeout: Duration,
}

const TOPIC: &str = "orders";

impl World {
    async fn new(config: &[(&str, &str)]) -> World {
        World::with_brokers(1, config).await
    }

    /// Of so many brokers on the source.
    async fn with_brokers(brokers: u8, config: &[(&str, &str)]) -> World {
        let cluster = async |brokers| EmbeddedCluster::builder().brokers(brokers).start().await.unwrap();
        let mut flow = Flow::new("east", "west").topics([TOPIC]);
        flow.metadata_refresh_interval = Duration::from_millis(100);
        let request_timeout = Duration::from_secs(10);
        let world = World { source: cluster(brokers).await, target: cluster(1).await, flow, request_timeout };
        world.source.create_topic(TOPIC, 1, config).unwrap();
        world
    }

    async fn compacted() -> World {
        World::new(&[("cleanup.policy", "compact")]).await
    }

    fn mirror(&self, once: bool) -> Mirror {
        let cluster = |cluster: &EmbeddedCluster| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.request_timeout = self.request_timeout;
            config
        };
        Mirror::builder()
            .cluster("east", cluster(&self.source))
            .cluster("west", cluster(&self.target))
            .flow(self.flow.clone())
            .once(once)
            .build()
            .unwrap()
    }

    fn start(&self) -> MirrorHandle {
        self.mirror(false).spawn()
    }

    /// Copies what is there.
    async fn once(&self) {
        let handle = self.mirror(true).spawn();
        let ended = tokio::time::timeout(PATIENCE, handle.wait()).await;
        let report = ended.unwrap_or_else(|_| panic!("does not end: {:?}", handle.status())).unwrap();
        let parked: Vec<_> = report.flows[0].parked().map(|(_, parked)| parked.to_string()).collect();
        assert_eq!(parked, [] as [String; 0]);
    }

    /// Copies what may be copied: why the partition is parked then.
    async fn parks(&self) -> kmirror::Parked {
        let handle = self.mirror(true).spawn();
        let ended = tokio::time::timeout(PATIENCE, handle.wait()).await;
        let report = ended.unwrap_or_else(|_| panic!("does not end: {:?}", handle.status())).unwrap();
        report.flows[0].parked().next().expect("it parks").1.clone()
    }

    fn write(&self, key: &str, value: Option<&str>) -> i64 {
        let record = (Some(key.as_bytes()), value.map(str::as_bytes));
        self.source.write(TOPIC, 0, Codec::None, &[record]).unwrap()
    }

    /// A batch for each number.
    fn write_numbered(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.write(&format!("key {number}"), Some(&format!("value {number}")));
        }
    }

    /// What the mirror says of the partition.
    fn partition(handle: &MirrorHandle) -> Option<PartitionStatus> {
        handle.status().remove(0).partitions.into_iter().next()
    }

    /// Waits until the partition is as wanted. It must not be parked meanwhile.
    async fn until(&self, handle: &MirrorHandle, what: &str, wanted: impl Fn(&PartitionStatus) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let partition = World::partition(handle);
            if partition.as_ref().is_some_and(&wanted) {
                return;
            }
            if let Some(PartitionState::Parked(parked)) = partition.as_ref().map(|partition| &partition.state)
            {
                panic!("parked before it was {what}: {parked}");
            }
            assert!(tokio::time::Instant::now() < deadline, "not {what}: {partition:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all source offsets of the topic below `end` are on the target.
    async fn until_end(&self, handle: &MirrorHandle, topic: &str, end: i64) {
        let is_there =
            |partition: &PartitionStatus| partition.source_topic == topic && partition.position >= end;
        self.until_one(handle, &format!("{topic} at {end}"), is_there).await;
    }

    /// Waits until one of several partitions is as wanted.
    async fn until_one(&self, handle: &MirrorHandle, what: &str, wanted: impl Fn(&PartitionStatus) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let partitions = handle.status().remove(0).partitions;
            if partitions.iter().any(&wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "not {what}: {partitions:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn caught_up(&self, handle: &MirrorHandle) {
        let end = self.source.log(TOPIC, 0).unwrap().last_stable_offset;
        self.until(handle, "caught up", |partition| partition.position >= end).await;
    }

    /// Waits until it says that it waits, for this cause.
    async fn waits(&self, handle: &MirrorHandle, cause: &str) {
        let waits = |partition: &PartitionStatus| matches!(&partition.state, PartitionState::Waiting(text) if text.contains(cause));
        self.until(handle, "waiting", waits).await;
    }

    /// Writes one record and waits until it is copied: what waits together would be merged.
    async fn write_alone(&self, handle: &MirrorHandle, key: &str, value: Option<&str>) {
        self.write(key, value);
        self.caught_up(handle).await;
    }

    /// Offset, key and value of what a reader finds.
    fn records(cluster: &EmbeddedCluster) -> Vec<(i64, String, Option<String>)> {
        let text = |bytes: bytes::Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let records = cluster.log(TOPIC, 0).unwrap().records(Isolation::ReadCommitted).unwrap();
        let record = |record: kmirror_embedded::LogRecord| {
            (record.offset, record.key.map(text).unwrap_or_default(), record.value.map(text))
        };
        records.into_iter().map(record).collect()
    }

    /// Every record is on the target where it is on the source, and nothing else is there.
    fn is_exact(&self) {
        assert_eq!(World::records(&self.target), World::records(&self.source));
    }

    /// What is recorded is that every offset is the source's, and that is so.
    async fn proves_exact(&self) {
        let lineages = self.mirror(false).connect().await.unwrap().lineages().await.unwrap();
        let lineage = lineages[0].lineage.as_ref().expect("recorded");
        assert!(lineage.is_exact(), "{lineage}");
        self.proves().await;
    }

    /// Whatever is recorded, the records are where it says.
    async fn proves(&self) {
        let report = self
            .mirror(false)
            .connect()
            .await
            .unwrap()
            .verify(&VerifyOptions::default(), Arc::default())
            .await
            .unwrap();
        assert!(report.is_equal(), "{:?}", report.partitions[0].differences);
    }
}

/// No fetch of a topic that may be tiered shows a record, as long as this stands.
fn shows_nothing(cluster: &EmbeddedCluster) {
    cluster.inject(Fault::new(FaultKind::SlowTiering).of(ApiKey::Fetch).times(u32::MAX));
}

async fn stop(handle: MirrorHandle) {
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// For what should take seconds, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
