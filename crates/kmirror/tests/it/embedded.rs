//! The engine between two clusters in this process: what is slow or rare on real ones is quick and certain here.

use std::sync::Arc;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, ParkReason, PartitionState, VerifyOptions};
use kmirror_client::{
    BrokerId, Client, ClientConfig, Deadline, KafkaError, Moment, TopicPartition, TxnMarker,
};
use kmirror_codec::{Attributes, BatchBuilder, Compression, NewRecord, Stamp, Workspace};
use kmirror_embedded::{
    Acl, ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Operation, Pattern, Profile, ResourceType,
    ResponseError,
};

#[tokio::test]
async fn releases_of_every_age_are_copied_from_and_to() {
    let profiles = [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3];
    for (source, target) in profiles.into_iter().zip(profiles.into_iter().rev()) {
        let world = World::new(1, source, target).await;
        let mut writer = Writer::new(7);
        (0..60).for_each(|_| writer.write(&world.source, "orders", 0));
        let findings = async || {
            let mut findings = world
                .mirror()
                .connect()
                .await
                .unwrap()
                .check("User:kmirror")
                .await
                .unwrap()
                .remove(0)
                .findings;
            // The records are of 2023.
            findings.retain(|finding| !finding.subject.contains("expiration.ms"));
            findings
        };
        assert_eq!(findings().await, [], "{source:?} to {target:?}");
        world.once().await;
        world.verify().await;
        assert_eq!(world.records("orders"), writer.committed, "{source:?} to {target:?}");
        assert_eq!(findings().await, [], "{source:?} to {target:?}");
    }
}

/// As a broker does it (`ReplicaManager.appendRecords`, all replicas): a marker that another leader may lose is none.
#[tokio::test]
async fn a_marker_is_acknowledged_once_it_is_replicated() {
    let cluster = Arc::new(EmbeddedCluster::builder().brokers(2).start().await.unwrap());
    cluster.create_topic("orders", 1, &[]).unwrap();
    let config = ClientConfig::new("east", cluster.bootstrap_servers().split(','));
    let client = Client::connect(config).await.unwrap();
    let write = || {
        let (client, broker) = (client.clone(), cluster.leader("orders", 0).unwrap().unwrap());
        let partitions = vec![TopicPartition::new("orders", 0)];
        let marker =
            TxnMarker { producer_id: 1, producer_epoch: 0, commit: false, coordinator_epoch: 0, partitions };
        tokio::spawn(async move {
            let whenever = Deadline::new(Moment::now(), Duration::MAX);
            let written = client.write_txn_markers(BrokerId(broker), 0, &[marker], whenever).await.unwrap();
            written.into_iter().flatten().map(|(_, written)| written).collect::<Result<Vec<_>, _>>()
        })
    };
    let appended = async |end| {
        while cluster.log("orders", 0).unwrap().end < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    cluster.hold_replication("orders", 0, true).unwrap();
    let kept = write();
    appended(1).await;
    cluster.hold_replication("orders", 0, false).unwrap();
    kept.await.unwrap().unwrap();

    cluster.hold_replication("orders", 0, true).unwrap();
    let lost = write();
    appended(2).await;
    assert!(!lost.is_finished(), "acknowledged before it is replicated");
    cluster.truncate("orders", 0, 1).unwrap();
    let other = 3 - cluster.leader("orders", 0).unwrap().unwrap();
    cluster.move_leader("orders", 0, other).unwrap();
    let error = lost.await.unwrap().unwrap_err();
    assert_eq!(error.kafka_error(), Some(KafkaError::NOT_LEADER_OR_FOLLOWER));
}

#[tokio::test]
async fn copying_goes_on_through_leader_moves_and_stopped_brokers() {
    let world = World::new(3, Profile::Kafka4_3, Profile::Kafka4_3).await;
    let mut writer = Writer::new(11);
    let handle = world.mirror().spawn();
    for round in 0..12 {
        (0..10).for_each(|_| writer.write(&world.source, "orders", 0));
        let broker = 1 + round % 3;
        match round % 4 {
            0 => world.target.move_leader("orders", 0, broker).unwrap_or_default(),
            1 => world.source.move_leader("orders", 0, broker).unwrap(),
            2 => world.target.stop_broker(broker).unwrap(),
            _ => world.source.stop_broker(broker).unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.target.start_broker(broker).unwrap();
        world.source.start_broker(broker).unwrap();
    }
    caught_up(&handle, &world).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

#[tokio::test]
async fn a_source_that_lost_its_end_while_it_is_read_parks_with_the_range() {
    let world = World::new(1, Profile::Kafka4_3, Profile::Kafka4_3).await;
    let mut writer = Writer::plain(3);
    (0..20).for_each(|_| writer.write(&world.source, "orders", 0));
    let handle = world.mirror().spawn();
    caught_up(&handle, &world).await;
    let end = world.source.log("orders", 0).unwrap().end;
    let lost = world.source.log("orders", 0).unwrap().batches.len() - 5;
    let cut = base_offset(&world.source.log("orders", 0).unwrap().batches[lost]);
    world.source.truncate("orders", 0, cut).unwrap();
    (0..20).for_each(|_| writer.write(&world.source, "orders", 0));
    let parked = parked(&handle).await;
    assert_eq!(parked.0, ParkReason::SourceTruncated, "{parked:?}");
    assert!(parked.1.contains(&format!("[{cut}, {end})")), "{parked:?}");
    assert_eq!(world.target.log("orders", 0).unwrap().end, end, "nothing of the other history was copied");
}

/// The source's cleaner removes the record before the position, and with it the only one of the epoch that the position belongs to.
#[tokio::test]
async fn a_position_in_a_cleaned_hole_behind_a_leader_move_is_not_one_of_a_lost_history() {
    let world = World::new(2, Profile::Kafka4_3, Profile::Kafka4_3).await;
    world.source.alter_topic("orders", &[("cleanup.policy", "compact")]).unwrap();
    let write = |key: &'static [u8], value: &'static [u8]| {
        world.source.write("orders", 0, Codec::None, &[(Some(key), Some(value))]).unwrap()
    };
    write(b"a", b"first");
    world.source.move_leader("orders", 0, 2).unwrap();
    assert_eq!(write(b"b", b"second"), 1);
    world.once().await;
    write(b"b", b"third");
    write(b"c", b"fourth");
    world.source.clean("orders", 0, 4).unwrap();
    let offsets: Vec<_> =
        world.source.log("orders", 0).unwrap().batches.iter().map(|b| base_offset(b)).collect();
    assert_eq!(offsets, [0, 2, 3], "the cleaner removed one record");
    world.once().await;
    let values: Vec<_> = world.records("orders").into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["first", "second", "third", "fourth"]);
}

#[tokio::test]
async fn a_target_that_lost_acknowledged_records_gets_them_again() {
    let world = World::new(1, Profile::Kafka4_3, Profile::Kafka4_3).await;
    let mut writer = Writer::new(5);
    (0..40).for_each(|_| writer.write(&world.source, "orders", 0));
    let handle = world.mirror().spawn();
    caught_up(&handle, &world).await;
    let batches = world.target.log("orders", 0).unwrap().batches;
    world.target.truncate("orders", 0, base_offset(&batches[batches.len() / 2])).unwrap();
    (0..40).for_each(|_| writer.write(&world.source, "orders", 0));
    caught_up(&handle, &world).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

#[tokio::test]
async fn a_target_topic_created_again_while_it_is_written_to_parks_with_what_was_on_it() {
    for round in 0..6 {
        let world = World::new(1, Profile::Kafka4_3, Profile::Kafka4_3).await;
        let mut writer = Writer::plain(round + 1);
        (0..10).for_each(|_| writer.write(&world.source, "orders", 0));
        let handle = world.mirror().spawn();
        caught_up(&handle, &world).await;
        let end = world.target.log("orders", 0).unwrap().end;
        world.target.delete_topic("orders");
        world.target.create_topic("orders", 1, &[]).unwrap();
        writer.write(&world.source, "orders", 0);
        let parked = parked(&handle).await;
        assert_eq!(parked.0, ParkReason::TargetRecreated, "{parked:?}");
        assert!(parked.1.contains(&format!("up to {end}")), "{parked:?}");
        handle.shutdown(Duration::from_secs(10)).await.unwrap();
        world.once().await;
        assert_eq!(world.records("orders"), writer.committed, "copied anew");
    }
}

#[tokio::test]
async fn producers_that_the_target_forgot_go_on() {
    let world = World::new(1, Profile::Kafka4_3, Profile::Kafka4_3).await;
    let mut writer = Writer::new(5);
    let handle = world.mirror().spawn();
    for _ in 0..5 {
        (0..20).for_each(|_| writer.write(&world.source, "orders", 0));
        caught_up(&handle, &world).await;
        world.target.expire_producers("orders", 0).unwrap();
    }
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

#[tokio::test]
async fn replicas_that_stand_still_are_waited_for() {
    let world = World::new(3, Profile::Kafka4_3, Profile::Kafka4_3).await;
    let mut writer = Writer::new(9);
    (0..20).for_each(|_| writer.write(&world.source, "orders", 0));
    let handle = world.mirror().spawn();
    caught_up(&handle, &world).await;
    world.target.hold_replication("orders", 0, true).unwrap();
    (0..20).for_each(|_| writer.write(&world.source, "orders", 0));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let log = world.target.log("orders", 0).unwrap();
    assert!(log.end > log.high_watermark, "something is appended and not replicated");
    world.target.hold_replication("orders", 0, false).unwrap();
    caught_up(&handle, &world).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

#[tokio::test]
async fn empty_transactions_fill_holes_on_releases_of_every_age() {
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let world = World::without_markers(1, profile).await;
        let mut writer = Writer::new(13);
        (0..30).for_each(|_| writer.write(&world.source, "orders", 0));
        world.once().await;
        // Another owner takes the transactional ids over.
        (0..30).for_each(|_| writer.write(&world.source, "orders", 0));
        world.once().await;
        assert_eq!(world.records("orders"), writer.committed, "{profile:?}");
        let end = |cluster: &EmbeddedCluster| cluster.log("orders", 0).unwrap().end;
        assert_eq!(end(&world.target), end(&world.source), "{profile:?}");
        let batches = world.target.log("orders", 0).unwrap().batches;
        let headers = batches.into_iter().map(|batch| *kmirror_codec::Batch::parse(batch).unwrap().header());
        let mut markers = headers.filter(|header| header.attributes.is_control()).peekable();
        assert!(markers.peek().is_some());
        // The target gave them out, where kmirror computes its own.
        assert!(markers.all(|marker| marker.producer_id < 1_000), "{profile:?}");
    }
}

/// Which way to fill holes is open may change while a flow runs.
#[tokio::test]
async fn holes_are_filled_by_the_other_way_when_one_is_taken_back() {
    let world = World::without_markers(1, Profile::Kafka4_3).await;
    let [markers, transactions] = [
        World::acl(ResourceType::Cluster, "kafka-cluster", Operation::Alter),
        World::acl(ResourceType::TransactionalId, "*", Operation::Write),
    ];
    world.target.add_acl(markers.clone());
    let mut writer = Writer::new(29);
    let handle = world.mirror().spawn();
    let mut ways = Vec::new();
    for round in 0..4 {
        match round {
            1 => world.target.remove_acl(&markers),
            2 => {
                world.target.add_acl(markers.clone());
                world.target.remove_acl(&transactions);
            }
            3 => {
                world.target.add_acl(transactions.clone());
                world.target.remove_acl(&markers);
            }
            _ => {}
        }
        (0..30).for_each(|_| writer.write(&world.source, "orders", 0));
        caught_up(&handle, &world).await;
        let last_filler =
            world.target.log("orders", 0).unwrap().batches.into_iter().rev().find_map(|batch| {
                let header = *kmirror_codec::Batch::parse(batch).unwrap().header();
                header.attributes.is_control().then_some(header.producer_id)
            });
        // The target gives out low ids, where kmirror computes its own.
        ways.push(if last_filler.unwrap() < 1_000 { "transaction" } else { "marker" });
    }
    assert_eq!(ways, ["marker", "transaction", "marker", "transaction"]);
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

#[tokio::test]
async fn empty_transactions_go_on_when_their_coordinators_move_and_answers_are_lost() {
    let world = World::without_markers(3, Profile::Kafka4_3).await;
    let mut writer = Writer::new(17);
    let handle = world.mirror().spawn();
    for round in 0..12_u8 {
        (0..10).for_each(|_| writer.write(&world.source, "orders", 0));
        let apis = [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::EndTxn];
        let api = apis[usize::from(round) % apis.len()];
        let broker = 1 + i32::from(round % 3);
        let kinds = [
            FaultKind::HangUpAfter,
            FaultKind::Error(ResponseError::NotCoordinator),
            FaultKind::HangUpBefore,
            FaultKind::Error(ResponseError::ConcurrentTransactions),
        ];
        world.target.inject(Fault::new(kinds[usize::from(round) % kinds.len()].clone()).of(api));
        world.target.stop_broker(broker).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.target.start_broker(broker).unwrap();
    }
    world.target.clear_faults();
    caught_up(&handle, &world).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    world.verify().await;
    assert_eq!(world.records("orders"), writer.committed);
}

/// Two clusters with a topic to copy.
struct World {
    source: EmbeddedCluster,
    target: EmbeddedCluster,
}

impl World {
    async fn new(brokers: u8, source: Profile, target: Profile) -> World {
        let cluster = async |profile| {
            EmbeddedCluster::builder().brokers(brokers).profile(profile).start().await.unwrap()
        };
        let world = World { source: cluster(source).await, target: cluster(target).await };
        world.source.create_topic("orders", 1, &[]).unwrap();
        world
    }

    fn acl(resource_type: ResourceType, name: &str, operation: Operation) -> Acl {
        Acl {
            resource_type,
            pattern: Pattern::Literal(name.to_owned()),
            principal: "User:ANONYMOUS".to_owned(),
            host: "*".to_owned(),
            operation,
            allows: true,
        }
    }

    /// The target permits everything that kmirror needs but markers.
    async fn without_markers(brokers: u8, target: Profile) -> World {
        let mut world = World::new(1, Profile::Kafka4_3, target).await;
        let builder = EmbeddedCluster::builder().brokers(brokers).profile(target);
        world.target = builder.authorizer([]).start().await.unwrap();
        let resources = [
            (ResourceType::Topic, "*", &[Operation::All][..]),
            (ResourceType::Group, "*", &[Operation::All]),
            (ResourceType::TransactionalId, "*", &[Operation::Write]),
            (
                ResourceType::Cluster,
                "kafka-cluster",
                &[
                    Operation::Describe,
                    Operation::Create,
                    Operation::DescribeConfigs,
                    Operation::IdempotentWrite,
                ],
            ),
        ];
        for (resource_type, name, operations) in resources {
            for operation in operations {
                world.target.add_acl(World::acl(resource_type, name, *operation));
            }
        }
        world
    }

    fn mirror(&self) -> Mirror {
        self.builder().build().unwrap()
    }

    fn builder(&self) -> kmirror::MirrorBuilder {
        let cluster = |cluster: &EmbeddedCluster| {
            let mut config = ClusterConfig::new(cluster.bootstrap_servers().split(','));
            config.request_timeout = Duration::from_secs(5);
            config
        };
        let mut flow = Flow::new("east", "west").topics(["orders"]);
        flow.metadata_refresh_interval = Duration::from_millis(100);
        Mirror::builder()
            .cluster("east", cluster(&self.source))
            .cluster("west", cluster(&self.target))
            .flow(flow)
    }

    async fn once(&self) {
        let handle = self.builder().once(true).build().unwrap().spawn();
        let report =
            tokio::time::timeout(Duration::from_secs(30), handle.wait()).await.expect("ends").unwrap();
        let parked: Vec<_> = report.flows[0].parked().map(|(_, parked)| parked.to_string()).collect();
        assert_eq!(parked, [] as [String; 0]);
    }

    async fn verify(&self) {
        let report = self
            .mirror()
            .connect()
            .await
            .unwrap()
            .verify(&VerifyOptions::default(), Arc::default())
            .await
            .unwrap();
        assert!(report.is_equal(), "{:?}", report.partitions[0].differences);
    }

    /// Offset and value of the target's records, as they lie in its log.
    fn records(&self, topic: &str) -> Vec<(i64, String)> {
        let mut records = Vec::new();
        for bytes in self.target.log(topic, 0).unwrap().batches {
            let batch = kmirror_codec::Batch::parse(bytes).unwrap();
            if batch.header().attributes.is_control() {
                continue;
            }
            let mut workspace = Workspace::new();
            let payload = kmirror_codec::decompress(&batch, &Default::default(), &mut workspace).unwrap();
            for record in kmirror_codec::Records::new(batch.header(), payload) {
                let record = record.unwrap();
                records.push((record.offset, String::from_utf8_lossy(record.value.unwrap()).into_owned()));
            }
        }
        records
    }
}

async fn caught_up(handle: &MirrorHandle, world: &World) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
    let end = world.source.log("orders", 0).unwrap().last_stable_offset;
    loop {
        let status = handle.status();
        let partition = status[0].partitions.first();
        if partition.is_some_and(|partition| partition.position >= end) {
            return;
        }
        if let Some((_, parked)) = status[0].parked().next() {
            panic!("{parked}");
        }
        assert!(tokio::time::Instant::now() < deadline, "not caught up with {end}: {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn parked(handle: &MirrorHandle) -> (ParkReason, String) {
    for _ in 0..2_000 {
        if let Some(PartitionState::Parked(parked)) =
            handle.status()[0].partitions.first().map(|partition| partition.state.clone())
        {
            return (parked.reason, parked.message);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not parked: {:?}", handle.status());
}

fn base_offset(batch: &[u8]) -> i64 {
    i64::from_be_bytes(batch[..8].try_into().unwrap())
}

/// Writes plain and transactional batches, and knows what a reader of committed records must find.
struct Writer {
    random: Random,
    is_plain: bool,
    written: u64,
    committed: Vec<(i64, String)>,
}

impl Writer {
    fn new(seed: u64) -> Writer {
        Writer { random: Random(seed | 1), is_plain: false, written: 0, committed: Vec::new() }
    }

    fn plain(seed: u64) -> Writer {
        Writer { is_plain: true, ..Writer::new(seed) }
    }

    fn write(&mut self, cluster: &EmbeddedCluster, topic: &str, partition: i32) {
        let codecs =
            [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Gzip, Compression::Snappy];
        let codec = codecs[self.random.below(5) as usize];
        let records = 1 + self.random.below(6);
        let transaction = !self.is_plain && self.random.below(3) == 0;
        let mut builder = BatchBuilder::new(0);
        let mut values = Vec::new();
        for offset in 0..records {
            self.written += 1;
            let value = format!("value {}", self.written);
            let record = NewRecord {
                offset: offset as i64,
                timestamp: 1_700_000_000_000 + self.written as i64,
                key: Some(b"key"),
                value: Some(value.as_bytes()),
                headers: &[],
            };
            builder.push(&record).unwrap();
            values.push(value);
        }
        if transaction {
            let identity = Stamp { producer_id: 77, producer_epoch: 0, base_sequence: -1 };
            builder
                .attributes(Attributes::default().with_transactional(true))
                .producer(Stamp { base_sequence: cluster_sequence(cluster, topic, partition), ..identity });
        }
        let batch = builder.build(codec, &mut Workspace::new()).unwrap();
        let base = cluster.append(topic, partition, batch.bytes()).unwrap();
        let commit = self.random.below(4) > 0;
        if transaction {
            cluster.end_transaction(topic, partition, 77, 0, commit).unwrap();
        }
        if !transaction || commit {
            self.committed.extend(values.into_iter().zip(base..).map(|(value, offset)| (offset, value)));
        }
    }
}

/// The next sequence of the transactional producer.
fn cluster_sequence(cluster: &EmbeddedCluster, topic: &str, partition: i32) -> i32 {
    let batches = cluster.log(topic, partition).unwrap().batches;
    let last = batches.iter().rev().find_map(|bytes| {
        let header = *kmirror_codec::Batch::parse(bytes.clone()).unwrap().header();
        (header.producer_id == 77 && !header.attributes.is_control()).then_some(header)
    });
    last.map_or(0, |header| header.base_sequence + header.records_count)
}

/// A generator that a seed replays (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
