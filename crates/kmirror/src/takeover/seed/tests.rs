//! Heads on real Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kmirror_client::{
    Client, ClientConfig, Isolation, NewTopic, OffsetSpec, Retry, TopicPartition, Topics, clock,
};
use kmirror_codec::{BatchBuilder, Compression, NewRecord, Stamp, Workspace, stamp};
use kmirror_testkit::{
    KafkaCluster, KafkaClusterBuilder, KafkaRelease, PrintedRecord, real_kafka, unique_topic,
};
use tokio::task::JoinSet;

use super::*;
use crate::ground::identity::ProducerIds;

struct Target {
    kafka: KafkaCluster,
    client: Client,
}

impl Target {
    async fn start(release: KafkaRelease) -> Target {
        Target::of(KafkaCluster::builder(release)).await
    }

    async fn of(builder: KafkaClusterBuilder) -> Target {
        let kafka = builder.start().unwrap();
        let client = Client::connect(ClientConfig::new("west", [kafka.bootstrap_servers()])).await.unwrap();
        Target { kafka, client }
    }

    async fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Arc<str> {
        let name: Arc<str> = unique_topic(name).into();
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let new = NewTopic {
            name: Arc::clone(&name),
            partitions,
            replication_factor: 1,
            configs: configs.collect(),
        };
        self.client.create_topics(&[new], false).await.unwrap()[0].1.as_ref().unwrap();
        loop {
            let metadata =
                self.client.refresh_metadata(Topics::Named(vec![Arc::clone(&name)])).await.unwrap();
            let leaders = (0..partitions)
                .filter_map(|index| metadata.leader(&TopicPartition::new(name.clone(), index)));
            if leaders.count() == usize::try_from(partitions).unwrap() {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn seed(&self, topic: &Arc<str>, partition: i32, from: i64, to: i64) -> Seed {
        Seed {
            client: self.client.clone(),
            target: TopicPartition::new(Arc::clone(topic), partition),
            topic_id: self.client.metadata().topic(topic).unwrap().id,
            producer_id: ProducerIds::of_flow("east").fillers,
            from,
            to,
        }
    }

    /// Runs it again as its errors say, from where the log ends: a fresh leader takes a moment to know that it leads.
    async fn seeded(&self, topic: &Arc<str>, partition: i32, to: i64) {
        let progress = AtomicI64::new(0);
        loop {
            let [_, from] = self.bounds(topic, partition).await;
            match self.seed(topic, partition, from, to).run(&progress).await {
                Ok(()) => return,
                Err(TakeOverFailure::Again(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }

    async fn bounds(&self, topic: &Arc<str>, partition: i32) -> [i64; 2] {
        let target = TopicPartition::new(Arc::clone(topic), partition);
        let mut bounds = [0, 0];
        for (bound, spec) in bounds.iter_mut().zip([OffsetSpec::Earliest, OffsetSpec::Latest]) {
            *bound = loop {
                let listed =
                    self.client.list_offsets(&[(target.clone(), spec)], Isolation::ReadUncommitted).await;
                match &listed[0].1 {
                    Ok(listed) => break listed.offset.unwrap(),
                    Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
        }
        bounds
    }

    /// Appends `count` records with the keys k0, k1, … under a producer that the partition does not know.
    async fn append(&self, topic: &Arc<str>, partition: i32, at: i64, count: i64) -> i64 {
        let mut builder = BatchBuilder::new(0);
        for offset in 0..count {
            let key = format!("k{offset}");
            let record = NewRecord {
                offset,
                timestamp: 1_000_000 + offset,
                key: Some(key.as_bytes()),
                value: Some(b"value"),
                headers: &[],
            };
            builder.push(&record).unwrap();
        }
        let batch = builder.build(Compression::None, &mut Workspace::new()).unwrap();
        let base_sequence = crate::ground::sequence::Sequence::of_first_append(at).value();
        let identity =
            Stamp { producer_id: ProducerIds::of_flow("east").data, producer_epoch: 0, base_sequence };
        let target = TopicPartition::new(Arc::clone(topic), partition);
        let header = stamp(&batch, &identity);
        let mut attempts = 0..50;
        loop {
            let timeout = Duration::from_secs(5);
            match self.client.produce_once(&target, header, batch.payload(), timeout, None).await {
                Ok(base_offset) => return base_offset,
                // The broker that leads a new topic may hear of it a little later than the controller says so.
                Err(error) if error.retry() == Retry::RefreshMetadata && attempts.next().is_some() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn records(&self, topic: &str) -> Vec<PrintedRecord> {
        self.kafka.records(topic, kmirror_testkit::Isolation::ReadCommitted).unwrap()
    }
}

#[tokio::test]
async fn heads_on_4_3_1() {
    heads("heads_on_4_3_1", KafkaRelease::KAFKA_4_3).await;
}

#[tokio::test]
async fn heads_on_3_9_1() {
    heads("heads_on_3_9_1", KafkaRelease::KAFKA_3_9).await;
}

async fn heads(test: &str, release: KafkaRelease) {
    let Some(_turn) = real_kafka(test) else { return };
    let target = Target::start(release).await;
    begins_where_it_is_told(&target).await;
    goes_on_where_it_was_killed(&target).await;
    two_owners_are_harmless(&target).await;
    fits_into_a_small_limit_and_strict_timestamps(&target).await;
    a_compacted_topic_gets_its_policy_afterwards(&target).await;
    nothing_is_filled_behind_a_foreign_record(&target).await;
}

async fn begins_where_it_is_told(target: &Target) {
    let topic = target.topic("head", 2, &[]).await;
    target.seeded(&topic, 0, 2_500_003).await;
    target.seeded(&topic, 1, 1).await;
    assert_eq!(target.bounds(&topic, 0).await, [2_500_003, 2_500_003]);
    assert_eq!(target.bounds(&topic, 1).await, [1, 1]);
    assert_eq!(target.append(&topic, 0, 2_500_003, 3).await, 2_500_003);
    let offsets: Vec<_> = target.records(&topic).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [2_500_003, 2_500_004, 2_500_005]);
    // Once more, as after a restart that does not know that it is done.
    target.seed(&topic, 0, 2_500_003, 2_500_003).run(&AtomicI64::new(0)).await.unwrap();
    assert_eq!(target.bounds(&topic, 0).await, [2_500_003, 2_500_006]);
}

/// Dropped while batches are in flight; some of them arrive after that.
async fn goes_on_where_it_was_killed(target: &Target) {
    let topic = target.topic("killed", 1, &[]).await;
    let progress = AtomicI64::new(0);
    let killed = async {
        while progress.load(Ordering::Relaxed) < 1_000_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        result = target.seed(&topic, 0, 0, 50_000_000).run(&progress) => panic!("{result:?} before it was killed"),
        () = killed => {}
    }
    target.seeded(&topic, 0, 12_000_000).await;
    assert_eq!(target.append(&topic, 0, 12_000_000, 1).await, 12_000_000);
    assert_eq!(target.bounds(&topic, 0).await, [12_000_000, 12_000_001]);
}

async fn two_owners_are_harmless(target: &Target) {
    let topic = target.topic("owners", 1, &[]).await;
    tokio::join!(target.seeded(&topic, 0, 7_000_001), target.seeded(&topic, 0, 7_000_001));
    assert_eq!(target.bounds(&topic, 0).await, [7_000_001, 7_000_001]);
    // One that wakes up late, and believes that the log is empty.
    let late = target.seed(&topic, 0, 0, 7_000_001).run(&AtomicI64::new(0)).await;
    assert!(matches!(late, Err(TakeOverFailure::Again(_))), "{late:?}");
    assert_eq!(target.bounds(&topic, 0).await, [7_000_001, 7_000_001]);
}

async fn fits_into_a_small_limit_and_strict_timestamps(target: &Target) {
    let limits = [
        ("max.message.bytes", "100000"),
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "1000"),
        ("segment.ms", "60000"),
    ];
    let topic = target.topic("limits", 1, &limits).await;
    target.seeded(&topic, 0, 1_200_000).await;
    assert_eq!(target.bounds(&topic, 0).await, [1_200_000, 1_200_000]);
    let folder = target.kafka.node(1).unwrap().log_dir().join(format!("{topic}-0"));
    let segments = folder
        .read_dir()
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".log"));
    assert_eq!(segments.count(), 1, "no segment was rolled");
}

async fn a_compacted_topic_gets_its_policy_afterwards(target: &Target) {
    let topic =
        target.topic("compacted", 1, &[("cleanup.policy", "delete"), ("segment.bytes", "1048576")]).await;
    target.seeded(&topic, 0, 3_000_000).await;
    set_cleanup_policy(&target.client, &topic, "compact").await.unwrap();
    set_cleanup_policy(&target.client, &topic, "compact").await.unwrap();
    let described = target.client.describe_topic_configs(std::slice::from_ref(&topic)).await.unwrap();
    let policy = described[0].1.as_ref().unwrap().iter().find(|entry| entry.name == "cleanup.policy");
    assert_eq!(policy.unwrap().value.as_deref(), Some("compact"));
    assert_eq!(target.append(&topic, 0, 3_000_000, 5).await, 3_000_000);
    let records = target.records(&topic);
    let read: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(read, [3_000_000, 3_000_001, 3_000_002, 3_000_003, 3_000_004]);

    let missing: Arc<str> = "nowhere".into();
    let error = set_cleanup_policy(&target.client, &missing, "compact").await.unwrap_err();
    assert!(matches!(error, TakeOverFailure::Again(_)), "{error:?}");
}

/// Nothing is written behind it: the take-over looks at what it is.
async fn nothing_is_filled_behind_a_foreign_record(target: &Target) {
    let topic = target.topic("foreign", 1, &[]).await;
    target.append(&topic, 0, 0, 3).await;
    let filled = target.seed(&topic, 0, 0, 10).run(&AtomicI64::new(0)).await;
    assert!(matches!(filled, Err(TakeOverFailure::Again(_))), "{filled:?}");
    assert_eq!(target.bounds(&topic, 0).await, [0, 3]);
}

/// `cargo test --release -p kmirror --lib -- --ignored --nocapture speed_of_heads`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: it takes a while and means something only in a release build"]
async fn speed_of_heads() {
    let Some(_turn) = real_kafka("speed_of_heads") else { return };
    // As a broker runs elsewhere; the testkit's own are compiled for short lives.
    let builder = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).java_option("-XX:TieredStopAtLevel=4");
    let target = Target::of(builder).await;
    for (partitions, to) in [(1, 100_000_000), (2, 100_000_000), (4, 50_000_000), (8, 25_000_000)] {
        let topic = target.topic("speed", partitions, &[]).await;
        let begun = clock::now();
        let mut seeds = JoinSet::new();
        for partition in 0..partitions {
            let seed = target.seed(&topic, partition, 0, to);
            seeds.spawn(async move { seed.run(&AtomicI64::new(0)).await });
        }
        let results = seeds.join_all().await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let seconds = (clock::now() - begun).as_secs_f64();
        let each = to as f64 / seconds / 1e6;
        println!(
            "{partitions} partitions of {to} offsets: {seconds:.1} s, {each:.2} million offsets/s and partition, {:.1} in all",
            each * f64::from(partitions)
        );
    }
}
