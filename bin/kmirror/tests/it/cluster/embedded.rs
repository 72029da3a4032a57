//! A cluster in the memory of this process, which the program reaches by TCP as it does any other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kmirror_embedded::{
    Acl, ApiKey, ClusterBuilder, Codec, EmbeddedCluster, Fault, FaultKind, LogRecord, LogView, NewBatch,
    NewRecord, Operation, Pattern, Profile, ResourceType,
};
use kmirror_testkit::{CompactedTopic, Isolation, LogOffset, PrintedRecord, Workload, printed_bytes};
use tokio::runtime::{Builder, Runtime};

use super::writer::{self, EmbeddedLoad};
use super::{Cluster, Load};

/// An embedded cluster.
pub(crate) struct Embedded {
    cluster: Arc<EmbeddedCluster>,
    /// Where the logs of topics ended when their followers were lost.
    follower_ends: Mutex<HashMap<String, i64>>,
}

impl Embedded {
    /// A new one of so many brokers.
    pub(crate) fn start(brokers: u8, profile: Profile) -> Embedded {
        Embedded::of(EmbeddedCluster::builder().brokers(brokers).profile(profile))
    }

    /// One of a broker that keeps access control lists; the tests and the program may do everything, or what an entry allows.
    pub(crate) fn guarded(may_do_everything: bool) -> Embedded {
        let super_users = may_do_everything.then_some("User:ANONYMOUS");
        Embedded::of(EmbeddedCluster::builder().brokers(1).profile(Profile::Kafka4_3).authorizer(super_users))
    }

    /// One of a broker whose configuration says this of topics.
    pub(crate) fn with_defaults(defaults: &[(&str, &str)]) -> Embedded {
        let builder = EmbeddedCluster::builder().profile(Profile::Kafka4_3);
        Embedded::of(defaults.iter().fold(builder, |builder, (key, value)| builder.topic_default(key, value)))
    }

    /// One that looks every second for producers whose records are a day old, and forgets them.
    pub(crate) fn often_checking(brokers: u8, profile: Profile) -> Embedded {
        let builder = EmbeddedCluster::builder().brokers(brokers).profile(profile);
        Embedded::of(builder.producer_expiry(Duration::from_secs(86_400), Duration::from_secs(1)))
    }

    /// One whose clients are told to come to this port of a proxy, and where that leads to.
    pub(crate) fn behind(port: u16) -> (Embedded, SocketAddr) {
        let embedded = Embedded::start(1, Profile::Kafka4_3);
        let listens_at = embedded.bootstrap_servers().parse().unwrap();
        embedded.cluster.advertise(1, port).unwrap();
        (embedded, listens_at)
    }

    /// One that wants to know who comes, in the way that a builder is told.
    pub(crate) fn secured(secure: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> Embedded {
        Embedded::of(secure(EmbeddedCluster::builder().profile(Profile::Kafka4_3)))
    }

    fn of(cluster: ClusterBuilder) -> Embedded {
        let cluster = Arc::new(runtime().block_on(cluster.start()).unwrap());
        Embedded { cluster, follower_ends: Mutex::default() }
    }

    fn log(&self, topic: &str, partition: i32) -> Option<LogView> {
        self.cluster.log(topic, partition).ok()
    }
}

/// Where brokers live, beside the tests.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

impl Cluster for Embedded {
    fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    fn cluster_id(&self) -> String {
        self.cluster.cluster_id()
    }

    fn create_topic(&self, topic: &str, partitions: u32, configs: &[(&str, &str)]) {
        self.cluster.create_topic(topic, partitions as usize, configs).unwrap();
    }

    fn delete_topic(&self, topic: &str) {
        self.cluster.delete_topic(topic);
    }

    fn add_partitions(&self, topic: &str, partitions: u32) {
        self.cluster.add_partitions(topic, partitions as usize).unwrap();
    }

    fn broker_config(&self, key: &str) -> Option<String> {
        self.cluster.broker_config(key)
    }

    fn alter_brokers(&self, key: &str, value: &str) {
        self.cluster.alter_broker_config(key, Some(value)).unwrap();
    }

    fn alter_topic(&self, topic: &str, configs: &[(&str, &str)]) {
        self.cluster.alter_topic(topic, configs).unwrap();
    }

    fn reset_topic(&self, topic: &str, key: &str) {
        self.cluster.reset_topic(topic, key).unwrap();
    }

    fn has_config(&self, topic: &str, key: &str, value: &str) -> bool {
        self.cluster.topic_config(topic, key).as_deref() == Some(value)
    }

    fn partitions(&self, topic: &str) -> Option<i32> {
        let partitions = self.cluster.partitions(topic) as i32;
        (partitions > 0).then_some(partitions)
    }

    fn produce(&self, workloads: &[Workload]) {
        workloads.iter().for_each(|workload| writer::produce(&self.cluster, &workload.content()));
    }

    fn start_load(&self, workloads: &[Workload]) -> Box<dyn Load> {
        Box::new(EmbeddedLoad::start(&self.cluster, workloads))
    }

    fn write_text(&self, topic: &str, key: &str, value: &str) {
        let record = (Some(key.as_bytes()), Some(value.as_bytes()));
        self.cluster.write(topic, 0, Codec::None, &[record]).unwrap();
    }

    fn write_compacted(&self, topic: &str, codec: &str) {
        self.produce(&CompactedTopic::workloads(topic, codec));
        let written = self.end(topic);
        // The newest segment, of one record, is never cleaned.
        self.cluster.clean(topic, 0, written - 1).unwrap();
        let left = self.log(topic, 0).unwrap().records(kmirror_embedded::Isolation::ReadCommitted).unwrap();
        assert!((left.len() as i64) < written, "the cleaner left holes");
    }

    fn write_behind_head(&self, topic: &str, head: i64) {
        self.create_topic(topic, 1, &[]);
        self.cluster.begin_at(topic, 0, head).unwrap();
        let mut batch = NewBatch::new(Codec::Zstd);
        (0..100).for_each(|index| batch.push(NewRecord::new(1_700_000_000_000 + index)));
        self.cluster.append(topic, 0, &batch.bytes()).unwrap();
    }

    fn records_of(&self, topics: &[&str], isolation: Isolation) -> Option<Vec<PrintedRecord>> {
        let isolation = match isolation {
            Isolation::ReadCommitted => kmirror_embedded::Isolation::ReadCommitted,
            Isolation::ReadUncommitted => kmirror_embedded::Isolation::ReadUncommitted,
        };
        let mut printed = Vec::new();
        for topic in topics {
            for partition in 0..self.partitions(topic)? {
                let records = self.log(topic, partition)?.records(isolation).unwrap();
                printed.extend(records.into_iter().map(|record| print(topic, partition, &record)));
            }
        }
        Some(printed)
    }

    fn offset(&self, topic: &str, partition: i32, place: LogOffset) -> Option<i64> {
        match place {
            LogOffset::Earliest => self.log(topic, partition).map(|log| log.start),
            LogOffset::Latest => self.log(topic, partition).map(|log| log.high_watermark),
            LogOffset::Timestamp(timestamp) => {
                let found = self.cluster.offset_at(topic, partition, timestamp).ok()?;
                Some(found.unwrap_or(-1))
            }
        }
    }

    fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        self.cluster.delete_below(topic, partition, before).unwrap();
    }

    fn tidy(&self, topic: &str) {
        self.cluster.advance(Duration::ZERO);
        if self.cluster.topic_config(topic, "cleanup.policy").as_deref() == Some("compact") {
            self.cluster.clean(topic, 0, self.log(topic, 0).unwrap().end).unwrap();
        }
    }

    fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        self.cluster.commit_offsets(group, topic, partition, offset).unwrap();
    }

    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.cluster.committed_offsets(group).get(&(topic.to_owned(), partition)).copied()
    }

    fn delete_committed(&self, group: &str, topic: &str, partition: i32) {
        self.cluster.delete_offset(group, topic, partition);
    }

    fn delete_group(&self, group: &str) {
        self.cluster.delete_group(group).unwrap();
    }

    fn add_acl(&self, entry: &str) {
        self.cluster.add_acl(acl(entry));
    }

    fn allow(&self, options: &[&str]) {
        let values = |key: &str| {
            let pairs = options.windows(2).filter(|pair| pair[0] == key);
            pairs.map(|pair| pair[1].to_owned()).collect::<Vec<_>>()
        };
        let resources =
            [("--topic", "TOPIC"), ("--group", "GROUP"), ("--transactional-id", "TRANSACTIONAL_ID")];
        let named = resources
            .map(|(key, kind)| values(key).into_iter().map(move |name| format!("{kind} {{}} {name}")));
        let mut resources: Vec<String> = named.into_iter().flatten().collect();
        if options.contains(&"--cluster") {
            resources.push("CLUSTER {} kafka-cluster".to_owned());
        }
        let pattern = if options.contains(&"prefixed") { "PREFIXED" } else { "LITERAL" };
        for operation in values("--operation") {
            // `DescribeConfigs`, as the tool has it.
            let word = operation.char_indices().map(|(at, letter)| match letter.is_uppercase() && at > 0 {
                true => format!("_{letter}"),
                false => letter.to_uppercase().to_string(),
            });
            let word: String = word.collect();
            for resource in &resources {
                self.add_acl(&format!("ALLOW {word} {} User:ANONYMOUS *", resource.replace("{}", pattern)));
            }
        }
    }

    fn remove_acl(&self, entry: &str) {
        self.cluster.remove_acl(&acl(entry));
    }

    fn acls(&self) -> Vec<String> {
        let mut entries: Vec<String> = self.cluster.acls().iter().map(words_of).collect();
        entries.sort();
        entries
    }

    fn damage(&self, topic: &str) {
        self.cluster.damage(topic, 0).unwrap();
    }

    fn forget_producers(&self, topic: &str) {
        self.cluster.expire_producers(topic, 0).unwrap();
    }

    fn throttle_reads(&self, _bytes_per_second: u32) {
        let throttled = Fault::new(FaultKind::Throttle(Duration::from_millis(100)));
        self.cluster.inject(throttled.of(ApiKey::Fetch).times(30));
    }

    fn has_nodes(&self) -> bool {
        true
    }

    fn kill(&self, node: usize) {
        self.cluster.stop_broker(node as i32).unwrap();
    }

    fn restart(&self, node: usize) {
        self.cluster.start_broker(node as i32).unwrap();
    }

    fn pause(&self, node: usize) {
        self.cluster.pause_broker(node as i32).unwrap();
    }

    fn resume(&self, node: usize) {
        self.cluster.resume_broker(node as i32).unwrap();
    }

    fn create_on_two_nodes(&self, topic: &str) {
        self.create_topic(topic, 1, &[]);
    }

    fn lose_follower(&self, topic: &str) {
        self.follower_ends.lock().unwrap().insert(topic.to_owned(), self.end(topic));
    }

    fn lose_leader(&self, topic: &str) {
        let end = self.follower_ends.lock().unwrap().remove(topic).expect("the follower was lost before");
        self.cluster.truncate(topic, 0, end).unwrap();
    }
}

impl Embedded {
    fn end(&self, topic: &str) -> i64 {
        self.log(topic, 0).unwrap().end
    }
}

/// An entry of these words.
fn acl(entry: &str) -> Acl {
    let words: Vec<&str> = entry.split(' ').collect();
    let [permission, operation, resource_type, pattern_type, name, principal, host] = words[..] else {
        panic!("seven words: {entry}")
    };
    let resource_type = RESOURCE_TYPES.into_iter().find(|(_, word)| *word == resource_type);
    Acl {
        resource_type: resource_type.unwrap().0,
        pattern: match pattern_type {
            "LITERAL" => Pattern::Literal(name.to_owned()),
            _ => Pattern::Prefixed(name.to_owned()),
        },
        principal: principal.to_owned(),
        host: host.to_owned(),
        operation: OPERATIONS.into_iter().find(|(_, word)| *word == operation).unwrap().0,
        allows: permission == "ALLOW",
    }
}

fn words_of(acl: &Acl) -> String {
    let permission = if acl.allows { "ALLOW" } else { "DENY" };
    let operation = OPERATIONS.into_iter().find(|(operation, _)| *operation == acl.operation).unwrap().1;
    let resource = RESOURCE_TYPES.into_iter().find(|(resource, _)| *resource == acl.resource_type).unwrap().1;
    let (pattern, name) = match &acl.pattern {
        Pattern::Literal(name) => ("LITERAL", name),
        Pattern::Prefixed(name) => ("PREFIXED", name),
    };
    format!("{permission} {operation} {resource} {pattern} {name} {} {}", acl.principal, acl.host)
}

const RESOURCE_TYPES: [(ResourceType, &str); 4] = [
    (ResourceType::Topic, "TOPIC"),
    (ResourceType::Group, "GROUP"),
    (ResourceType::Cluster, "CLUSTER"),
    (ResourceType::TransactionalId, "TRANSACTIONAL_ID"),
];
const OPERATIONS: [(Operation, &str); 11] = [
    (Operation::All, "ALL"),
    (Operation::Read, "READ"),
    (Operation::Write, "WRITE"),
    (Operation::Create, "CREATE"),
    (Operation::Delete, "DELETE"),
    (Operation::Alter, "ALTER"),
    (Operation::Describe, "DESCRIBE"),
    (Operation::ClusterAction, "CLUSTER_ACTION"),
    (Operation::DescribeConfigs, "DESCRIBE_CONFIGS"),
    (Operation::AlterConfigs, "ALTER_CONFIGS"),
    (Operation::IdempotentWrite, "IDEMPOTENT_WRITE"),
];

fn print(topic: &str, partition: i32, record: &LogRecord) -> PrintedRecord {
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|(key, value)| format!("{}={}", printed_bytes(Some(key)), printed_bytes(value.as_deref())))
        .collect();
    PrintedRecord {
        topic: topic.to_owned(),
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        timestamp_type: if record.is_append_time { "LogAppendTime" } else { "CreateTime" }.to_owned(),
        key: printed_bytes(record.key.as_deref()),
        headers: headers.join(","),
        value: printed_bytes(record.value.as_deref()),
    }
}
