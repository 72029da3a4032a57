//! A cluster of either kind, as the scenarios see it, in Kafka's words.

mod embedded;
mod kafka;
mod writer;

use kmirror_testkit::{Isolation, LogOffset, PrintedRecord, Workload};

pub(crate) use embedded::Embedded;
pub(crate) use kafka::Kafka;

/// What scenarios do to a cluster behind the back of a mirror, and how they look at it. What fails, fails the test.
pub(crate) trait Cluster {
    fn bootstrap_servers(&self) -> String;
    fn cluster_id(&self) -> String;

    /// What is set on all brokers while they run.
    fn broker_config(&self, key: &str) -> Option<String>;
    fn alter_brokers(&self, key: &str, value: &str);

    fn create_topic(&self, topic: &str, partitions: u32, configs: &[(&str, &str)]);
    fn delete_topic(&self, topic: &str);
    fn add_partitions(&self, topic: &str, partitions: u32);
    fn alter_topic(&self, topic: &str, configs: &[(&str, &str)]);
    /// Takes a configuration back to its default.
    fn reset_topic(&self, topic: &str, key: &str);
    /// Whether this was set on the topic itself.
    fn has_config(&self, topic: &str, key: &str, value: &str) -> bool;
    /// How many partitions a topic has, all with leaders; nothing where that is not so.
    fn partitions(&self, topic: &str) -> Option<i32>;

    /// Writes one workload after the other, creating topics that do not exist.
    fn produce(&self, workloads: &[Workload]);
    /// Writes all workloads at the same time, until they are done or stopped.
    fn start_load(&self, workloads: &[Workload]) -> Box<dyn Load>;
    /// Writes a record to partition 0.
    fn write_text(&self, topic: &str, key: &str, value: &str);
    /// Writes a compacted topic of one partition and lets the cleaner go over it: offsets are missing inside of batches and between
    /// them.
    fn write_compacted(&self, topic: &str, codec: &str);
    /// Makes a topic of one partition that begins at `head` and holds some records behind it.
    fn write_behind_head(&self, topic: &str, head: i64);

    /// The records of these topics, by partition and offset, or nothing where one of them does not exist.
    fn records_of(&self, topics: &[&str], isolation: Isolation) -> Option<Vec<PrintedRecord>>;
    /// Nothing where there is no such partition, or nobody answers for it; -1 where there is no such timestamp.
    fn offset(&self, topic: &str, partition: i32, place: LogOffset) -> Option<i64>;
    fn delete_records(&self, topic: &str, partition: i32, before: i64);

    /// Lets retention and the cleaner of a [`Stage::tidy_cluster`](crate::stage::Stage::tidy_cluster) do what the topic's configuration
    /// says, if they do not by themselves.
    fn tidy(&self, topic: &str);

    /// Commits an offset for a group that nobody is in.
    fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64);
    /// What a group has committed for a partition.
    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64>;
    /// Deletes what a group has committed for a partition, as when it expires.
    fn delete_committed(&self, group: &str, topic: &str, partition: i32);
    fn delete_group(&self, group: &str);

    /// Adds an access control entry: `ALLOW READ TOPIC LITERAL orders User:alice *`.
    fn add_acl(&self, entry: &str);
    /// Gives rights to clients without credentials, by options of `kafka-acls`, whatever these may do so far.
    fn allow(&self, options: &[&str]);
    fn remove_acl(&self, entry: &str);
    /// All entries in those words, sorted.
    fn acls(&self) -> Vec<String>;

    /// Lets a disk change a byte in the last batch of partition 0, which nobody notices who does not read it.
    fn damage(&self, topic: &str);
    /// Lets partition 0 forget its producers, as after `producer.id.expiration.ms`.
    fn forget_producers(&self, topic: &str);

    /// A quota for what the program reads from each node. It is brief where a cluster is embedded.
    fn throttle_reads(&self, bytes_per_second: u32);

    /// Whether nodes may be killed and paused: not where a cluster was given by its address.
    fn has_nodes(&self) -> bool;
    fn kill(&self, node: usize);
    fn restart(&self, node: usize);
    /// The node stands still, its connections stay.
    fn pause(&self, node: usize);
    fn resume(&self, node: usize);

    /// Creates a topic of one partition on two nodes, of which any may lead whatever it lacks.
    fn create_on_two_nodes(&self, topic: &str);
    /// From now on only the leader of such a topic has what is appended.
    fn lose_follower(&self, topic: &str);
    /// The follower takes over, without what was appended since it was lost. Both are there again when this returns.
    fn lose_leader(&self, topic: &str);
}

/// Workloads that are written until they are done or stopped.
pub(crate) trait Load {
    /// Lets every workload come to its end, a transaction at its end: the bytes of all.
    fn stop(self: Box<Self>) -> u64;
}

impl dyn Cluster + '_ {
    /// The records of a topic, which must exist.
    pub(crate) fn records(&self, topic: &str, isolation: Isolation) -> Vec<PrintedRecord> {
        self.records_of(&[topic], isolation).unwrap_or_else(|| panic!("there is no topic {topic}"))
    }

    /// Where partition 0 begins.
    pub(crate) fn start(&self, topic: &str) -> Option<i64> {
        self.offset(topic, 0, LogOffset::Earliest)
    }

    /// Where a partition ends.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.offset(topic, partition, LogOffset::Latest)
    }

    /// Where all partitions of a topic end; nothing where there is no topic, or no leader of one of them.
    pub(crate) fn ends(&self, topic: &str) -> Option<Vec<i64>> {
        (0..self.partitions(topic)?).map(|partition| self.end(topic, partition)).collect()
    }
}
