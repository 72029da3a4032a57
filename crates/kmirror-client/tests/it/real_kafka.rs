//! Every typed call on real Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use kmirror_client::*;
use kmirror_testkit::{KafkaCluster, KafkaRelease, real_kafka, unique_topic};
use tokio::runtime::{Builder, Runtime};

mod acls;
mod admin;
mod coordinators;

const PRODUCER_ID: i64 = 0x4B4D_0000_0000_0001;
const TIMESTAMP: i64 = 1_000;

/// The calls in the order of a mirror's life: create, append, read, describe, fill, delete.
async fn every_call(bootstrap_server: String) {
    let cluster = Cluster { client: Client::connect(config(&bootstrap_server)).await.unwrap() };
    knows_the_cluster(&cluster.client).await;
    let topic = creates_topics(&cluster.client, 1).await;
    describes_configs(&cluster.client, &topic).await;
    admin::alters_configs(&cluster.client, &topic).await;
    admin::creates_partitions(&cluster.client, &topic).await;
    cluster.appends_in_sequence(&topic).await;
    cluster.lists_offsets(&topic).await;
    cluster.describes_producers(&topic).await;
    cluster.fetches_in_a_session(&topic).await;
    cluster.fetches_once(&topic).await;
    cluster.writes_markers(&topic).await;
    cluster.deletes_records(&topic).await;
    cluster.allocates_producer_ids().await;
    cluster.appends_once(&topic).await;
    coordinators::commits_offsets(&cluster.client, &topic).await;
    coordinators::runs_empty_transactions(&cluster.client, &topic).await;
    acls::adds_and_removes(&cluster.client).await;
    deletes_topics(&cluster.client, &topic).await;
}

#[test]
fn every_call_on_4_3_1() {
    on_a_cluster_of(KafkaRelease::KAFKA_4_3, "every_call_on_4_3_1");
}

#[test]
fn every_call_on_3_9_1() {
    on_a_cluster_of(KafkaRelease::KAFKA_3_9, "every_call_on_3_9_1");
}

fn on_a_cluster_of(release: KafkaRelease, test: &str) {
    let Some(_turn) = real_kafka(test) else { return };
    // With an authorizer that lets everybody do everything, so that there are lists.
    let guarded = KafkaCluster::builder(release).authorizer();
    let kafka = guarded.property("super.users", "User:kafka;User:ANONYMOUS").start().unwrap();
    runtime().block_on(async {
        every_call(kafka.bootstrap_servers().to_owned()).await;
        survives_a_frozen_and_a_killed_broker(&kafka).await;
    });
}

/// A leader that dies costs its partitions one refresh of the metadata.
#[test]
fn follows_the_leader() {
    let Some(_turn) = real_kafka("follows_the_leader") else { return };
    let kafka = KafkaCluster::builder(KafkaRelease::KAFKA_4_3)
        .nodes(3)
        .property("broker.heartbeat.interval.ms", "500")
        .property("broker.session.timeout.ms", "3000")
        .start()
        .unwrap();
    runtime().block_on(async {
        let servers = kafka.bootstrap_servers().split(',');
        let cluster = Cluster { client: Client::connect(ClientConfig::new("three", servers)).await.unwrap() };
        let topic = creates_topics(&cluster.client, 3).await;
        cluster.produce(&topic, &[(0, 0, 3)]).await;
        let partition = TopicPartition::new(topic.clone(), 0);
        let old_leader = cluster.leader(&topic);
        kafka.node(usize::try_from(old_leader.0).unwrap()).unwrap().kill();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ends = cluster.client.log_end_offsets(std::slice::from_ref(&partition)).await;
            match &ends[0].1 {
                Ok(end) => break assert_eq!(*end, 3),
                Err(error) => assert!(error.retry() != Retry::Never && Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_ne!(cluster.leader(&topic), old_leader);
        assert!(cluster.client.metadata().partition(&partition).unwrap().leader_epoch > Some(0));
        assert_eq!(offsets(&cluster.produce(&topic, &[(0, 3, 1)]).await), [(0, None, 3)]);
    });
}

struct Cluster {
    client: Client,
}

async fn knows_the_cluster(client: &Client) {
    assert!(!client.cluster_id().unwrap().is_empty());
    let metadata = client.refresh_metadata(Topics::All).await.unwrap();
    assert!(!metadata.brokers.is_empty());
    assert!(metadata.controller.is_some());
    let error = client.connection(BrokerId(99), Lane::Control).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownBroker { broker: BrokerId(99), .. }), "{error}");
}

async fn creates_topics(client: &Client, replicas: i16) -> Arc<str> {
    let name: Arc<str> = unique_topic("client").into();
    let new = NewTopic {
        name: name.clone(),
        partitions: 3,
        replication_factor: -1,
        configs: [("max.message.bytes", "100000"), ("message.timestamp.after.max.ms", "3600000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    let validated = client.create_topics(std::slice::from_ref(&new), true).await.unwrap();
    assert!(validated[0].1.is_ok(), "{validated:?}");
    let missing = client.refresh_metadata(Topics::Named(vec![name.clone()])).await.unwrap();
    assert_eq!(missing.topic(&name).unwrap().error, Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));

    let created = client.create_topics(std::slice::from_ref(&new), false).await.unwrap();
    let created = created[0].1.as_ref().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (Some(3), Some(replicas)));
    let again = client.create_topics(&[new], false).await.unwrap();
    let again = again[0].1.as_ref().unwrap_err();
    assert_eq!(again.kafka_error(), Some(KafkaError::TOPIC_ALREADY_EXISTS));

    for _ in 0..50 {
        let metadata = client.refresh_metadata(Topics::Named(vec![name.clone()])).await.unwrap();
        let topic = metadata.topic(&name).unwrap();
        if topic.partitions.len() == 3 && topic.partitions.iter().all(|known| known.leader.is_some()) {
            assert_eq!(topic.id, created.id);
            assert!(!topic.id.is_none());
            assert!(topic.partitions.iter().all(|known| known.leader_epoch == Some(0)));
            return name;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} has no leaders");
}

async fn describes_configs(client: &Client, topic: &Arc<str>) {
    let described = client.describe_topic_configs(&[topic.clone(), "nowhere".into()]).await.unwrap();
    let entries = described[0].1.as_ref().unwrap();
    let entry = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(entry("max.message.bytes").value.as_deref(), Some("100000"));
    assert_eq!(entry("max.message.bytes").source, ConfigSource::DynamicTopic);
    assert_eq!(entry("cleanup.policy").source, ConfigSource::Default);
    let missing = described[1].1.as_ref().unwrap_err();
    assert_eq!(missing.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));

    let broker = *client.metadata().brokers.keys().next().unwrap();
    let entries = client.describe_broker_config(broker).await.unwrap();
    assert!(entries.iter().any(|entry| entry.name == "node.id" && entry.read_only), "{entries:?}");
}

impl Cluster {
    async fn appends_in_sequence(&self, topic: &Arc<str>) {
        let one = self.produce(topic, &[(0, 0, 3), (1, 0, 2)]).await;
        assert_eq!(offsets(&one), [(0, None, 0), (1, None, 0)]);
        let two = self.produce(topic, &[(1, 2, 4), (0, 3, 1)]).await;
        assert_eq!(offsets(&two), [(0, None, 3), (1, None, 2)]);
        let repeated = self.produce(topic, &[(0, 3, 1)]).await;
        assert_eq!(offsets(&repeated), [(0, None, 3)]);
        // What is appended has no time where the topic keeps the producer's, and a repeat that of the batch which is there.
        assert!(
            one.iter().chain(&two).all(|produced| produced.log_append_time.is_none()),
            "{one:?}, {two:?}"
        );
        assert_eq!(repeated[0].log_append_time, Some(TIMESTAMP + 3));
        let skipped = self.produce(topic, &[(0, 9, 1)]).await;
        assert_eq!(skipped[0].error, Some(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER));

        let mut foreign_offset = self.partition(topic, 2, 0, 1);
        foreign_offset.header[..8].copy_from_slice(&7i64.to_be_bytes());
        let refused = self.append(vec![foreign_offset]).await;
        assert_eq!(refused[0].error, Some(KafkaError::INVALID_RECORD));
        let mut large = self.partition(topic, 2, 0, 1);
        (large.header, large.payload) = batch(0, 1, 200_000, TIMESTAMP);
        assert_eq!(self.append(vec![large]).await[0].error, Some(KafkaError::MESSAGE_TOO_LARGE));
        let mut future = self.partition(topic, 2, 0, 1);
        (future.header, future.payload) = batch(0, 1, 1, i64::MAX / 2);
        let refused = self.append(vec![future]).await;
        assert_eq!(refused[0].error, Some(KafkaError::INVALID_TIMESTAMP));
        assert_eq!(refused[0].record_errors[0].index, 0);
        assert!(refused[0].message.is_some());
    }

    async fn lists_offsets(&self, topic: &Arc<str>) {
        let of = |partition, spec| (TopicPartition::new(topic.clone(), partition), spec);
        let asked = [
            of(2, OffsetSpec::Latest),
            of(0, OffsetSpec::Latest),
            of(1, OffsetSpec::Earliest),
            (TopicPartition::new("nowhere", 0), OffsetSpec::Latest),
        ];
        let listed = self.client.list_offsets(&asked, Isolation::ReadCommitted).await;
        let listed: Vec<_> = listed.into_iter().map(|(_, listed)| listed).collect();
        assert_eq!(listed[0].as_ref().unwrap().offset, Some(0));
        assert_eq!(listed[1].as_ref().unwrap().offset, Some(4));
        assert_eq!(listed[2].as_ref().unwrap().offset, Some(0));
        let missing = listed[3].as_ref().unwrap_err();
        assert_eq!(missing.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION), "{missing}");

        let timestamps = [of(0, OffsetSpec::Timestamp(1_002)), of(1, OffsetSpec::Timestamp(i64::MAX / 2))];
        let listed = self.client.list_offsets(&timestamps, Isolation::ReadUncommitted).await;
        let first = listed[0].1.as_ref().unwrap();
        assert_eq!((first.offset, first.timestamp), (Some(2), Some(1_002)));
        assert_eq!(listed[1].1.as_ref().unwrap().offset, None);

        let partitions = [0, 1, 2].map(|partition| TopicPartition::new(topic.clone(), partition));
        let ends = self.client.log_end_offsets(&partitions).await;
        assert_eq!(ends.into_iter().map(|(_, end)| end.unwrap()).collect::<Vec<_>>(), [4, 6, 0]);
        let known = self.client.epoch_end_offsets(&[(partitions[0].clone(), 0)]).await;
        let end = EpochEndOffset { epoch: 0, end_offset: 4 };
        assert_eq!(known[0].1.as_ref().unwrap(), &Some(end));
        let unknown = self.client.epoch_end_offsets(&[(partitions[0].clone(), 7)]).await;
        assert_eq!(unknown[0].1.as_ref().unwrap(), &None);
    }

    async fn describes_producers(&self, topic: &Arc<str>) {
        let partitions = [0, 2].map(|partition| TopicPartition::new(topic.clone(), partition));
        let described = self.client.describe_producers(&partitions).await;
        let producers = described[0].1.as_ref().unwrap();
        let ours = producers.iter().find(|producer| producer.producer_id == PRODUCER_ID).unwrap();
        assert_eq!((ours.last_sequence, ours.producer_epoch, ours.coordinator_epoch), (Some(3), 0, None));
        assert_eq!(described[1].1.as_ref().unwrap(), &[]);
    }

    async fn fetches_in_a_session(&self, topic: &Arc<str>) {
        let at = |offset| FetchPosition {
            offset,
            leader_epoch: Some(0),
            last_fetched_epoch: None,
            topic_id: self.client.metadata().topic(topic).unwrap().id,
            partition_bytes_max: 1 << 20,
        };
        let partition = |index| TopicPartition::new(topic.clone(), index);
        let mut session = FetchSession::new(FetchSettings {
            max_wait: Duration::from_millis(200),
            min_bytes: 1,
            bytes_max: 4 << 20,
            isolation: Isolation::ReadCommitted,
        });
        for index in 0..3 {
            session.set(partition(index), at(0));
        }
        let connection = self.client.connection(self.leader(topic), Lane::Fetch(0)).await.unwrap();

        let bytes = Arc::new(AtomicUsize::new(0));
        let fetched = self.fetch(&connection, &mut session, Some(&bytes)).await;
        assert_eq!(summary(&fetched), [(0, 4, true), (1, 6, true), (2, 0, false)]);
        assert!(fetched.iter().all(|fetched| fetched.error.is_none() && fetched.log_start_offset == 0));
        let records = fetched[0].records.clone();
        assert!(bytes.load(Ordering::SeqCst) > records.len());
        drop(fetched);
        assert!(bytes.load(Ordering::SeqCst) > 0, "a slice keeps its frame");
        drop(records);
        assert_eq!(bytes.load(Ordering::SeqCst), 0, "the last slice releases it");

        session.set(partition(0), at(4));
        session.set(partition(1), at(6));
        assert_eq!(self.fetch(&connection, &mut session, None).await.len(), 0, "nothing new");
        self.produce(topic, &[(0, 4, 1), (1, 6, 1)]).await;
        session.pause(&partition(0));
        let fetched = self.fetch(&connection, &mut session, None).await;
        assert_eq!(summary(&fetched), [(1, 7, true)], "without the paused one");
        session.set(partition(1), at(7));
        session.resume(&partition(0));
        let fetched = self.fetch(&connection, &mut session, None).await;
        assert_eq!(summary(&fetched), [(0, 5, true)]);
        session.set(partition(0), at(99));
        let fetched = self.fetch(&connection, &mut session, None).await;
        assert_eq!(fetched[0].error, Some(KafkaError::OFFSET_OUT_OF_RANGE));

        // A position in an epoch that the leader never had: our log is not its log.
        session.set(partition(0), FetchPosition { last_fetched_epoch: Some(0), ..at(9) });
        let fetched = self.fetch(&connection, &mut session, None).await;
        assert_eq!(fetched[0].diverging_epoch, Some(EpochEndOffset { epoch: 0, end_offset: 5 }));
    }

    async fn fetches_once(&self, topic: &Arc<str>) {
        let partition = TopicPartition::new(topic.clone(), 1);
        let fetched = self.client.fetch_once(&partition, 3, 1, Isolation::ReadUncommitted).await.unwrap();
        assert_eq!(fetched.high_watermark, 7);
        assert_eq!(fetched.records[..8], 2i64.to_be_bytes(), "the batch that holds offset 3");
        let many = [(partition, 0), (TopicPartition::new(topic.clone(), 0), 99)];
        let fetched = self.client.fetch_many(&many, 1 << 20, Isolation::ReadUncommitted).await;
        assert!(fetched[0].1.is_ok());
        let error = fetched[1].1.as_ref().unwrap_err();
        assert_eq!(error.kafka_error(), Some(KafkaError::OFFSET_OUT_OF_RANGE));
    }

    async fn writes_markers(&self, topic: &Arc<str>) {
        let partition = |index| TopicPartition::new(topic.clone(), index);
        let marker = |coordinator_epoch, partitions: &[i32]| TxnMarker {
            producer_id: PRODUCER_ID + 1,
            producer_epoch: 0,
            commit: false,
            coordinator_epoch,
            partitions: partitions.iter().map(|index| partition(*index)).collect(),
        };
        let leader = self.leader(topic);
        let markers = [marker(5, &[0, 1]), marker(5, &[0]), marker(5, &[0])];
        let results = self.client.write_txn_markers(leader, 0, &markers, whenever()).await.unwrap();
        assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(results.iter().flatten().all(|(_, result)| result.is_ok()), "{results:?}");
        let ends = self.client.log_end_offsets(&[partition(0), partition(1)]).await;
        assert_eq!(ends.into_iter().map(|(_, end)| end.unwrap()).collect::<Vec<_>>(), [8, 8]);

        let fenced = self.client.write_txn_markers(leader, 0, &[marker(4, &[0])], whenever()).await.unwrap();
        let error = fenced[0][0].1.as_ref().unwrap_err();
        assert_eq!(error.kafka_error(), Some(KafkaError::TRANSACTION_COORDINATOR_FENCED));
        let described = self.client.describe_producers(&[partition(0)]).await;
        let producers = described[0].1.as_ref().unwrap();
        let ours = producers.iter().find(|producer| producer.producer_id == PRODUCER_ID + 1).unwrap();
        assert_eq!((ours.coordinator_epoch, ours.last_sequence), (Some(5), None));
        // Markers take no sequence: the data goes on where it was.
        assert_eq!(offsets(&self.produce(topic, &[(0, 5, 1)]).await), [(0, None, 8)]);
    }

    async fn deletes_records(&self, topic: &Arc<str>) {
        let partition = TopicPartition::new(topic.clone(), 0);
        let deleted = self.client.delete_records(&[(partition.clone(), 2)]).await;
        assert_eq!(*deleted[0].1.as_ref().unwrap(), 2);
        let listed = self
            .client
            .list_offsets(&[(partition.clone(), OffsetSpec::Earliest)], Isolation::default())
            .await;
        assert_eq!(listed[0].1.as_ref().unwrap().offset, Some(2));
        let beyond = self.client.delete_records(&[(partition, 1_000)]).await;
        let error = beyond[0].1.as_ref().unwrap_err();
        assert_eq!(error.kafka_error(), Some(KafkaError::OFFSET_OUT_OF_RANGE));
    }

    async fn allocates_producer_ids(&self) {
        let (one, other) = (self.init_producer_id().await, self.init_producer_id().await);
        assert_ne!(one.producer_id, other.producer_id);
        assert_eq!(one.producer_epoch, 0);
    }

    async fn appends_once(&self, topic: &Arc<str>) {
        let partition = TopicPartition::new(topic.clone(), 2);
        let (header, payload) = batch(0, 2, 10, TIMESTAMP);
        let timeout = Duration::from_secs(5);
        let once = |header, payload| self.client.produce_once(&partition, header, payload, timeout, None);
        assert_eq!(once(header, payload.clone()).await.unwrap(), 0);
        assert_eq!(once(header, payload).await.unwrap(), 0, "a repeat answers the original offset");
        let (header, payload) = batch(7, 1, 10, TIMESTAMP);
        let error = once(header, payload.clone()).await.unwrap_err();
        assert_eq!(error.kafka_error(), Some(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), "{error}");
        let nowhere = TopicPartition::new("nowhere", 0);
        let error = self.client.produce_once(&nowhere, header, payload, timeout, None).await.unwrap_err();
        assert_eq!(error.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION), "{error}");
    }

    async fn init_producer_id(&self) -> ProducerIdentity {
        loop {
            match self.client.init_producer_id().await {
                Err(error) if error.retry() == Retry::Backoff => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer.unwrap(),
            }
        }
    }

    async fn produce(&self, topic: &Arc<str>, batches: &[(i32, i32, i32)]) -> Vec<ProducedPartition> {
        let partitions = batches.iter();
        self.append(
            partitions
                .map(|(index, sequence, count)| self.partition(topic, *index, *sequence, *count))
                .collect(),
        )
        .await
    }

    /// Repeated while a fresh leader does not know that it leads: harmless, since repeats answer the original offset.
    async fn append(&self, partitions: Vec<ProducePartition>) -> Vec<ProducedPartition> {
        let leader = self.leader(&partitions[0].topic);
        let connection = self.client.connection(leader, Lane::Produce(0)).await.unwrap();
        loop {
            let request = ProduceRequest { timeout: Duration::from_secs(5), partitions: partitions.clone() };
            let produced = connection.submit_produce(request).await.unwrap().await.unwrap().partitions;
            let moved = |error: KafkaError| error.retry() == Retry::RefreshMetadata;
            if !produced.iter().any(|produced| produced.error.is_some_and(moved)) {
                return produced;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn partition(&self, topic: &Arc<str>, partition: i32, sequence: i32, count: i32) -> ProducePartition {
        let (header, payload) = batch(sequence, count, 10, TIMESTAMP);
        let topic_id = self.client.metadata().topic(topic).unwrap().id;
        ProducePartition { topic: topic.clone(), topic_id, partition, header, payload }
    }

    fn leader(&self, topic: &Arc<str>) -> BrokerId {
        self.client.metadata().leader(&TopicPartition::new(topic.clone(), 0)).unwrap()
    }

    async fn fetch(
        &self,
        connection: &Connection,
        session: &mut FetchSession,
        bytes: Option<&Arc<AtomicUsize>>,
    ) -> Vec<FetchedPartition> {
        let request = session.next_request(connection.fetch_version().unwrap());
        let owner =
            bytes.map(|bytes| Box::new(Counted { total: bytes.clone(), own: 0 }) as Box<dyn FrameOwner>);
        let response = connection.submit_fetch(request, owner).await.unwrap().await.unwrap();
        let mut fetched = session.handle(response).unwrap();
        fetched.sort_by(|one, other| one.topic_partition.cmp(&other.topic_partition));
        fetched
    }
}

/// A broker that answers nothing costs the request timeout, one that dies nothing; both poison the connection with one
/// cause for all, and the next connection is a new one.
async fn survives_a_frozen_and_a_killed_broker(kafka: &KafkaCluster) {
    let mut config = config(kafka.bootstrap_servers());
    config.request_timeout = Duration::from_secs(3);
    let client = Client::connect(config).await.unwrap();
    let broker = *client.metadata().brokers.keys().next().unwrap();
    let node = kafka.node(1).unwrap();

    let connection = client.connection(broker, Lane::Control).await.unwrap();
    node.pause().unwrap();
    let error = client.describe_broker_config(broker).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { during: "DescribeConfigs", .. }), "{error}");
    assert_eq!(error.retry(), Retry::Reconnect);
    assert_eq!(connection.poison().unwrap().to_string(), error.to_string());
    node.resume().unwrap();
    assert!(client.describe_broker_config(broker).await.is_ok(), "by a new connection");

    let connection = client.connection(broker, Lane::Control).await.unwrap();
    node.kill();
    while connection.poison().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = client.describe_broker_config(broker).await.unwrap_err();
    assert!(error.to_string().contains("onnection refused"), "{error}");
    kafka.restart(1).unwrap();
    assert!(client.describe_broker_config(broker).await.is_ok());
}

async fn deletes_topics(client: &Client, topic: &Arc<str>) {
    let deleted = client.delete_topics(&[topic.clone(), "nowhere".into()]).await.unwrap();
    assert!(deleted[0].1.is_ok());
    let missing = deleted[1].1.as_ref().unwrap_err();
    assert_eq!(missing.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));
}

/// Counts the bytes of the frames that are alive.
struct Counted {
    total: Arc<AtomicUsize>,
    own: usize,
}

impl FrameOwner for Counted {
    fn frame_bytes(&mut self, bytes: usize) {
        self.own = bytes;
        self.total.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.total.fetch_sub(self.own, Ordering::SeqCst);
    }
}

fn config(bootstrap_server: &str) -> ClientConfig {
    ClientConfig::new("test", [bootstrap_server])
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Partition, error and base offset.
fn offsets(produced: &[ProducedPartition]) -> Vec<(i32, Option<KafkaError>, i64)> {
    let offsets = produced.iter();
    offsets
        .map(|produced| (produced.topic_partition.partition, produced.error, produced.base_offset))
        .collect()
}

/// Partition, high watermark and whether there are records.
fn summary(fetched: &[FetchedPartition]) -> Vec<(i32, i64, bool)> {
    let fetched = fetched.iter();
    fetched
        .map(|fetched| {
            (fetched.topic_partition.partition, fetched.high_watermark, !fetched.records.is_empty())
        })
        .collect()
}

/// A batch of `count` records; the one with sequence n has the timestamp `timestamp` + n.
fn batch(sequence: i32, count: i32, value_bytes: usize, timestamp: i64) -> ([u8; 61], Bytes) {
    let records: Vec<_> = (0..count)
        .map(|index| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: PRODUCER_ID,
            producer_epoch: 0,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(index),
            sequence: sequence + index,
            timestamp: timestamp + i64::from(sequence + index),
            key: None,
            value: Some(Bytes::from(vec![7; value_bytes])),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    let mut header = [0; 61];
    header.copy_from_slice(&bytes[..61]);
    (header, bytes.freeze().slice(61..))
}

fn whenever() -> Deadline {
    Deadline::new(Moment::now(), Duration::MAX)
}
