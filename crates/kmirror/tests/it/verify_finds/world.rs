//! Two clusters and a topic between them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kmirror::{
    ClusterConfig, Error, Flow, Mirror, MirrorBuilder, Offsets, PartitionReport, Verdict, VerifyOptions,
    VerifyReport,
};
use kmirror_embedded::{Codec, EmbeddedCluster, LogView, NewBatch, NewRecord};

/// A source with the topic `orders` of one partition, a target, and a flow.
pub(crate) struct World {
    pub(crate) source: EmbeddedCluster,
    pub(crate) target: EmbeddedCluster,
    pub(crate) flow: Flow,
}

impl World {
    /// Of a topic with these configurations, which holds nothing yet.
    pub(crate) async fn new(configs: &[(&str, &str)]) -> World {
        let start = async || EmbeddedCluster::builder().start().await.unwrap();
        let mut flow = Flow::new("east", "west").topics(["orders"]);
        flow.metadata_refresh_interval = Duration::from_millis(50);
        let world = World { source: start().await, target: start().await, flow };
        world.source.create_topic("orders", 1, configs).unwrap();
        world
    }

    /// With so many records, all of them copied.
    pub(crate) async fn copied(records: i64) -> World {
        let world = World::new(&[]).await;
        for index in 0..records {
            world.write(&[record(index, &format!("key {index}"), Some("value"))]);
        }
        world.once().await;
        assert_eq!(world.verdict().await, Verdict::Equal);
        world
    }

    /// The same with a flow whose offsets differ.
    pub(crate) fn shifted(mut self) -> World {
        self.flow.offsets = Offsets::Shifted;
        self
    }

    /// Writes records to the source, as one batch: the offset of the first.
    pub(crate) fn write(&self, records: &[NewRecord]) -> i64 {
        self.source.append("orders", 0, &batch(Codec::None, records).bytes()).unwrap()
    }

    /// The same record to both.
    pub(crate) fn write_on_both(&self, key: &str, value: Option<&str>) {
        let bytes = batch(Codec::None, &[record(0, key, value)]).bytes();
        for cluster in [&self.source, &self.target] {
            cluster.append("orders", 0, &bytes).unwrap();
        }
    }

    pub(crate) fn mirror(&self) -> Mirror {
        self.builder().build().unwrap()
    }

    fn builder(&self) -> MirrorBuilder {
        let config = |cluster: &EmbeddedCluster| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.request_timeout = Duration::from_secs(10);
            config
        };
        Mirror::builder()
            .cluster("east", config(&self.source))
            .cluster("west", config(&self.target))
            .flow(self.flow.clone())
    }

    /// Copies what the source holds.
    pub(crate) async fn once(&self) {
        let handle = self.builder().once(true).build().unwrap().spawn();
        let report = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("ends").unwrap();
        let parked: Vec<_> = report.flows[0].parked().map(|(_, parked)| parked.to_string()).collect();
        assert_eq!(parked, [] as [String; 0]);
    }

    pub(crate) async fn await_target(&self, what: &str, holds: impl Fn(&LogView) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.target.log("orders", 0).is_ok_and(|log| holds(&log)) {
            assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport, Error> {
        self.mirror().connect().await.unwrap().verify(options, Arc::default()).await
    }

    /// What is found of the partition.
    pub(crate) async fn partition(&self) -> PartitionReport {
        self.verify(&VerifyOptions::default()).await.unwrap().partitions.remove(0)
    }

    pub(crate) async fn partition_from(&self, from: i64) -> PartitionReport {
        let options = options(|options| options.from = Some(from));
        self.verify(&options).await.unwrap().partitions.remove(0)
    }

    pub(crate) async fn verdict(&self) -> Verdict {
        self.partition().await.verdict()
    }
}

/// Options with something set.
pub(crate) fn options(set: impl FnOnce(&mut VerifyOptions)) -> VerifyOptions {
    let mut options = VerifyOptions::default();
    set(&mut options);
    options
}

/// A record so many milliseconds from now, with two headers.
pub(crate) fn record(millis: i64, key: &str, value: Option<&str>) -> NewRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = NewRecord::new(now + millis).key(key.to_owned());
    let record = record.header("first", Some("1")).header("second", None::<Bytes>);
    match value {
        Some(value) => record.value(value.to_owned()),
        None => record,
    }
}

pub(crate) fn batch(codec: Codec, records: &[NewRecord]) -> NewBatch {
    let mut batch = NewBatch::new(codec);
    records.iter().for_each(|record| batch.push(record.clone()));
    batch
}

/// A batch of a log as its producer has sent it: at offset 0, under no leader epoch.
pub(crate) fn as_produced(batch: &Bytes) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[..8].fill(0);
    bytes[12..16].fill(0xff);
    bytes.into()
}

const PATIENCE: Duration = Duration::from_secs(60);
