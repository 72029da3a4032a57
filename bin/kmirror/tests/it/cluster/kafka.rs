//! Real Kafka, by Java's clients and tools.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use kmirror_testkit::{
    CompactedTopic, Isolation, KafkaCluster, KafkaEndpoint, LogOffset, PrintedRecord, Workload,
};

use super::{Cluster, Load};
use crate::kmirror::await_that;

/// A real cluster.
pub(crate) struct Kafka {
    pub(crate) endpoint: KafkaEndpoint,
    nodes: Nodes,
}

/// The processes behind an address.
enum Nodes {
    /// Of the pair that all tests share.
    Shared(&'static KafkaCluster),
    /// Of this test alone.
    Own(KafkaCluster),
    /// Somebody else's.
    Elsewhere,
}

impl Kafka {
    /// One of the pair that all tests share.
    pub(crate) fn shared(endpoint: &KafkaEndpoint, cluster: Option<&'static KafkaCluster>) -> Kafka {
        Kafka { endpoint: endpoint.clone(), nodes: cluster.map_or(Nodes::Elsewhere, Nodes::Shared) }
    }

    /// One that ends with the test.
    pub(crate) fn own(cluster: KafkaCluster) -> Kafka {
        Kafka { endpoint: KafkaEndpoint::clone(&cluster), nodes: Nodes::Own(cluster) }
    }

    fn cluster(&self) -> &KafkaCluster {
        match &self.nodes {
            Nodes::Shared(cluster) => cluster,
            Nodes::Own(cluster) => cluster,
            Nodes::Elsewhere => panic!("the nodes of a cluster that was given by its address are not ours"),
        }
    }

    fn leader(&self, topic: &str) -> Option<usize> {
        self.endpoint.replicas(topic).ok()?.first()?.leader
    }

    fn leader_of_two(&self, topic: &str) -> usize {
        self.leader(topic).filter(|leader| TWO_NODES.contains(leader)).expect("one of the two leads")
    }
}

impl Cluster for Kafka {
    fn bootstrap_servers(&self) -> String {
        self.endpoint.bootstrap_servers().to_owned()
    }

    fn cluster_id(&self) -> String {
        let path = self.cluster().node(1).unwrap().log_dir().join("meta.properties");
        let properties = fs::read_to_string(path).unwrap();
        properties.lines().find_map(|line| line.strip_prefix("cluster.id=")).unwrap().to_owned()
    }

    fn create_topic(&self, topic: &str, partitions: u32, configs: &[(&str, &str)]) {
        self.endpoint.create_topic(topic, partitions, configs).unwrap();
    }

    fn delete_topic(&self, topic: &str) {
        self.endpoint.delete_topic(topic).unwrap();
    }

    fn add_partitions(&self, topic: &str, partitions: u32) {
        self.endpoint.add_partitions(topic, partitions).unwrap();
    }

    fn broker_config(&self, key: &str) -> Option<String> {
        let entity = ["--entity-type", "brokers", "--entity-default"];
        let described = self.endpoint.tool(&[&["configs", "--describe"], &entity[..]].concat());
        let described = described.unwrap().success().unwrap().stdout;
        let set = described.split_whitespace().find_map(|word| word.strip_prefix(&format!("{key}=")));
        set.map(str::to_owned)
    }

    fn alter_brokers(&self, key: &str, value: &str) {
        let entity = ["--entity-type", "brokers", "--entity-default"];
        let setting = format!("{key}={value}");
        let altered =
            self.endpoint.tool(&[&["configs", "--alter", "--add-config", &setting], &entity[..]].concat());
        altered.unwrap().success().unwrap();
    }

    fn alter_topic(&self, topic: &str, configs: &[(&str, &str)]) {
        self.endpoint.alter_topic(topic, configs).unwrap();
    }

    fn reset_topic(&self, topic: &str, key: &str) {
        let entity = ["--entity-type", "topics", "--entity-name", topic];
        let altered =
            self.endpoint.tool(&[&["configs", "--alter", "--delete-config", key], &entity[..]].concat());
        altered.unwrap().success().unwrap();
    }

    fn has_config(&self, topic: &str, key: &str, value: &str) -> bool {
        let Ok(described) = self.endpoint.described_topics(&[topic]) else { return false };
        let described = described.concat();
        let set = described.rsplit('\t').next().unwrap_or_default();
        set.split(' ').any(|setting| setting == format!("{key}={value}"))
    }

    fn partitions(&self, topic: &str) -> Option<i32> {
        let described = self.endpoint.replicas(topic).ok()?;
        described.iter().all(|partition| partition.leader.is_some()).then_some(described.len() as i32)
    }

    fn produce(&self, workloads: &[Workload]) {
        self.endpoint.produce(workloads).unwrap();
    }

    fn start_load(&self, workloads: &[Workload]) -> Box<dyn Load> {
        Box::new(self.endpoint.start_load(workloads).unwrap())
    }

    fn write_text(&self, topic: &str, key: &str, value: &str) {
        let arguments = ["console-producer", "--topic", topic];
        let with_keys = ["--property", "parse.key=true", "--property", "key.separator=="];
        let arguments = [&arguments[..], &with_keys].concat();
        self.endpoint.tool_with_input(&arguments, &format!("{key}={value}\n")).unwrap().success().unwrap();
    }

    fn write_compacted(&self, topic: &str, codec: &str) {
        let cleaned = CompactedTopic::create(&self.endpoint, topic, codec).unwrap();
        assert!((cleaned.records.len() as u64) < cleaned.records_written, "the cleaner left holes");
    }

    fn write_behind_head(&self, topic: &str, head: i64) {
        // Without keys and values they are quickly written.
        let records = Workload::new(topic).records(head as u64 + 100).tombstone_every(1);
        self.produce(&[records.codec("zstd").batch_bytes(1_000_000).linger_ms(100)]);
        self.delete_records(topic, 0, head);
    }

    fn records_of(&self, topics: &[&str], isolation: Isolation) -> Option<Vec<PrintedRecord>> {
        self.endpoint.records_of(topics, isolation).ok()
    }

    fn offset(&self, topic: &str, partition: i32, place: LogOffset) -> Option<i64> {
        self.endpoint.offset(topic, partition, place).ok()
    }

    fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        self.endpoint.delete_records(topic, partition, before).unwrap();
    }

    fn tidy(&self, _: &str) {}

    fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        self.endpoint.set_group_offset(group, topic, partition, offset).unwrap();
    }

    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let offsets = self.endpoint.group_offsets(group).unwrap().into_iter();
        offsets
            .filter(|(name, number, _)| (name.as_str(), *number) == (topic, partition))
            .map(|(.., offset)| offset)
            .next()
    }

    fn delete_committed(&self, group: &str, topic: &str, partition: i32) {
        self.endpoint.delete_group_offset(group, topic, partition).unwrap();
    }

    fn delete_group(&self, group: &str) {
        self.endpoint.delete_group(group).unwrap();
    }

    fn add_acl(&self, entry: &str) {
        self.endpoint.add_acl(entry).unwrap();
        await_that("the entry is in force", || self.acls().iter().any(|there| there == entry));
    }

    fn allow(&self, options: &[&str]) {
        self.cluster().allow(options).unwrap();
    }

    fn remove_acl(&self, entry: &str) {
        self.endpoint.remove_acl(entry).unwrap();
        await_that("the entry is gone", || self.acls().iter().all(|there| there != entry));
    }

    fn acls(&self) -> Vec<String> {
        self.endpoint.acls().unwrap()
    }

    fn damage(&self, topic: &str) {
        // A stop in an orderly way, since after a kill the broker would find the damage itself and cut the log there.
        let node = self.cluster().node(1).unwrap();
        node.stop().unwrap();
        damage(node.log_dir().join(format!("{topic}-0")).join("00000000000000000000.log"));
        self.restart(1);
    }

    fn forget_producers(&self, topic: &str) {
        let arguments = ["transactions", "describe-producers", "--topic", topic, "--partition", "0"];
        await_that("the broker forgets its producers", || {
            let described = self.endpoint.tool(&arguments).unwrap().success().unwrap().stdout;
            described.lines().filter(|line| !line.is_empty() && !line.starts_with("ProducerId")).count() == 0
        });
    }

    fn throttle_reads(&self, bytes_per_second: u32) {
        let rate = format!("consumer_byte_rate={bytes_per_second}");
        let entity = ["--entity-type", "clients", "--entity-name", "kmirror"];
        let altered =
            self.endpoint.tool(&[&["configs", "--alter", "--add-config", &rate], &entity[..]].concat());
        altered.unwrap().success().unwrap();
    }

    fn has_nodes(&self) -> bool {
        !matches!(self.nodes, Nodes::Elsewhere)
    }

    fn kill(&self, node: usize) {
        self.cluster().node(node).unwrap().kill();
    }

    fn restart(&self, node: usize) {
        self.cluster().restart(node).unwrap();
    }

    fn pause(&self, node: usize) {
        self.cluster().node(node).unwrap().pause().unwrap();
    }

    fn resume(&self, node: usize) {
        self.cluster().node(node).unwrap().resume().unwrap();
    }

    fn create_on_two_nodes(&self, topic: &str) {
        let settings = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
        self.create_topic(topic, 1, &settings);
        self.endpoint.reassign(topic, 0, &TWO_NODES).unwrap();
        await_that("a leader among the two", || {
            self.leader(topic).is_some_and(|leader| TWO_NODES.contains(&leader))
        });
    }

    fn lose_follower(&self, topic: &str) {
        let leader = self.leader_of_two(topic);
        self.kill(3 - leader);
        await_that(&format!("{leader} alone is in sync for {topic}"), || {
            let replicas = self.endpoint.replicas(topic);
            replicas.is_ok_and(|found| found.first().is_some_and(|found| found.in_sync == [leader]))
        });
    }

    fn lose_leader(&self, topic: &str) {
        let leader = self.leader_of_two(topic);
        self.kill(leader);
        self.restart(3 - leader);
        await_that(&format!("the follower leads {topic}"), || self.leader(topic) == Some(3 - leader));
        self.restart(leader);
    }
}

impl Load for kmirror_testkit::Load {
    fn stop(self: Box<Self>) -> u64 {
        (*self).stop().unwrap().iter().map(|produced| produced.bytes).sum()
    }
}

/// Changes a byte in the last batch of a segment.
fn damage(segment: PathBuf) {
    let file = fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let end = file.metadata().unwrap().len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, end - 20).unwrap();
    file.write_all_at(&[byte[0] ^ 0xFF], end - 20).unwrap();
}

const TWO_NODES: [usize; 2] = [1, 2];
