//! What an administrator or another client does to a cluster behind the back of a mirror.

use std::time::Duration;

use crate::records::parse_records;
use crate::{KafkaEndpoint, PrintedRecord, TestkitError};

/// A place in a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOffset {
    /// The log start offset.
    Earliest,
    /// The high watermark.
    Latest,
    /// The first offset whose timestamp, in milliseconds since 1970, is not lower; `-1` if there is none.
    Timestamp(i64),
}

/// How a consumer is a member of its group (`group.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The one of always.
    Classic,
    /// That of KIP-848, since 4.0.
    Consumer,
}

/// A partition as the cluster describes it, brokers by their `node.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReplicas {
    /// Partition.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<usize>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<usize>,
    /// Those in sync.
    pub in_sync: Vec<usize>,
}

impl KafkaEndpoint {
    /// Deletes a topic, and waits until its name is free.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn delete_topic(&self, topic: &str) -> Result<(), TestkitError> {
        self.shell(&["delete-topic", topic], PATIENCE).map(drop)
    }

    /// Moves the log start of a partition up to `before`.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), TestkitError> {
        let words = ["delete-records", topic, &partition.to_string(), &before.to_string()];
        self.shell(&words, PATIENCE).map(drop)
    }

    /// Raises the number of a topic's partitions to `partitions`.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result<(), TestkitError> {
        self.shell(&["add-partitions", topic, &partitions.to_string()], PATIENCE).map(drop)
    }

    /// Sets configuration of a topic, and waits until it is in force.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn alter_topic(&self, topic: &str, configuration: &[(&str, &str)]) -> Result<(), TestkitError> {
        let settings: Vec<String> =
            configuration.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut words = vec!["alter-topic", topic];
        words.extend(settings.iter().map(String::as_str));
        self.shell(&words, PATIENCE).map(drop)
    }

    /// Asks for an offset of a partition.
    ///
    /// # Errors
    /// There is no such partition, or the cluster does not answer.
    pub fn offset(&self, topic: &str, partition: i32, place: LogOffset) -> Result<i64, TestkitError> {
        let place = match place {
            LogOffset::Earliest => "earliest".to_owned(),
            LogOffset::Latest => "latest".to_owned(),
            LogOffset::Timestamp(timestamp) => timestamp.to_string(),
        };
        let lines = self.shell(&["offset", topic, &partition.to_string(), &place], PATIENCE)?;
        let line = lines.into_iter().next().unwrap_or_default();
        line.parse().map_err(|_| TestkitError::Output { program: "Shell", line })
    }

    /// Leaders and replicas of a topic's partitions, in their order.
    ///
    /// # Errors
    /// There is no such topic, or the cluster does not answer.
    pub fn replicas(&self, topic: &str) -> Result<Vec<PartitionReplicas>, TestkitError> {
        let lines = self.shell(&["describe", topic], PATIENCE)?;
        let parse = |line: String| {
            PartitionReplicas::parse(&line).ok_or(TestkitError::Output { program: "Shell", line })
        };
        lines.into_iter().map(parse).collect()
    }

    /// Gives a partition other replicas, the preferred leader first, and waits until they hold it.
    ///
    /// # Errors
    /// The cluster refuses, does not answer, or has not moved it within 30 seconds.
    pub fn reassign(&self, topic: &str, partition: i32, replicas: &[usize]) -> Result<(), TestkitError> {
        let mut words = vec!["reassign".to_owned(), topic.to_owned(), partition.to_string()];
        words.extend(replicas.iter().map(usize::to_string));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.shell(&words, PATIENCE).map(drop)
    }

    /// Reads `count` committed records of a topic with the Java consumer as the only member of a group, from where the group
    /// stands (or from the log start), and commits the offsets behind them.
    ///
    /// # Errors
    /// They do not come within 30 seconds.
    pub fn consume(
        &self,
        group: &str,
        topic: &str,
        count: usize,
    ) -> Result<Vec<PrintedRecord>, TestkitError> {
        self.consume_by(GroupProtocol::Classic, group, topic, count)
    }

    /// The same as a member of this kind.
    ///
    /// # Errors
    /// As [`KafkaEndpoint::consume`].
    pub fn consume_by(
        &self,
        protocol: GroupProtocol,
        group: &str,
        topic: &str,
        count: usize,
    ) -> Result<Vec<PrintedRecord>, TestkitError> {
        let protocol = match protocol {
            GroupProtocol::Classic => "classic",
            GroupProtocol::Consumer => "consumer",
        };
        let lines = self.shell(&["consume", group, topic, &count.to_string(), protocol], PATIENCE)?;
        parse_records(&lines.join("\n"))
    }

    /// Adds an access control entry: permission, operation, resource type, pattern type, resource name, principal and host in Kafka's
    /// words, as in `ALLOW READ TOPIC LITERAL orders User:alice *`.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn add_acl(&self, entry: &str) -> Result<(), TestkitError> {
        self.shell_on_acl("add-acl", entry)
    }

    /// Removes such an entry.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn remove_acl(&self, entry: &str) -> Result<(), TestkitError> {
        self.shell_on_acl("remove-acl", entry)
    }

    fn shell_on_acl(&self, command: &str, entry: &str) -> Result<(), TestkitError> {
        let words: Vec<&str> = [command].into_iter().chain(entry.split(' ')).collect();
        self.shell(&words, PATIENCE).map(drop)
    }

    /// All access control entries in those words, sorted.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn acls(&self) -> Result<Vec<String>, TestkitError> {
        self.shell(&["acls"], PATIENCE)
    }

    /// For each topic a line: name, partition count, what is set on the topic itself (`key=value`, in order), separated by tabs.
    ///
    /// # Errors
    /// There is no such topic, or the cluster does not answer.
    pub fn described_topics(&self, topics: &[&str]) -> Result<Vec<String>, TestkitError> {
        self.shell(&[&["topics"], topics].concat(), PATIENCE)
    }

    /// Deletes what a group has committed for a partition.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn delete_group_offset(&self, group: &str, topic: &str, partition: i32) -> Result<(), TestkitError> {
        self.shell(&["delete-group-offset", group, topic, &partition.to_string()], PATIENCE).map(drop)
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn delete_group(&self, group: &str) -> Result<(), TestkitError> {
        self.shell(&["delete-group", group], PATIENCE).map(drop)
    }

    /// What a group has committed: topic, partition, offset.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn group_offsets(&self, group: &str) -> Result<Vec<(String, i32, i64)>, TestkitError> {
        parse_offsets(self.shell(&["group-offsets", group], PATIENCE)?)
    }

    /// Where a group of the cluster `alias` stands on this one, as MirrorMaker's `RemoteClusterUtils.translateOffsets` finds it, which
    /// is told this `replication.policy.separator`.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn translate_offsets(
        &self,
        separator: &str,
        alias: &str,
        group: &str,
    ) -> Result<Vec<(String, i32, i64)>, TestkitError> {
        parse_offsets(self.shell(&["translate-offsets", separator, alias, group], PATIENCE)?)
    }

    /// The clusters upstream of this one and how many hops away each is, as `RemoteClusterUtils` finds them by heartbeats.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn upstream_clusters(&self, separator: &str) -> Result<Vec<String>, TestkitError> {
        self.shell(&["upstream", separator], PATIENCE)
    }

    /// Commits an offset for a group that has no members.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn set_group_offset(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), TestkitError> {
        let words = ["set-group-offset", group, topic, &partition.to_string(), &offset.to_string()];
        self.shell(&words, PATIENCE).map(drop)
    }
}

impl PartitionReplicas {
    fn parse(line: &str) -> Option<PartitionReplicas> {
        let mut words = line.split('\t');
        let partition = words.next()?.parse().ok()?;
        let leader: i64 = words.next()?.parse().ok()?;
        let mut nodes = || -> Option<Vec<usize>> {
            words.next()?.split_whitespace().map(|node| node.parse().ok()).collect()
        };
        Some(PartitionReplicas {
            partition,
            leader: usize::try_from(leader).ok(),
            replicas: nodes()?,
            in_sync: nodes()?,
        })
    }
}

/// Topic, partition, offset.
fn parse_offsets(lines: Vec<String>) -> Result<Vec<(String, i32, i64)>, TestkitError> {
    let parse = |line: &str| {
        let mut words = line.split('\t');
        let topic = words.next()?.to_owned();
        Some((topic, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    let parsed =
        lines.into_iter().map(|line| parse(&line).ok_or(TestkitError::Output { program: "Shell", line }));
    parsed.collect()
}

/// Longer than the shell's own for anything that it waits for.
const PATIENCE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_understood_or_refused() {
        let described = PartitionReplicas::parse("2\t-1\t3 1 \t1 ").unwrap();
        assert_eq!((described.partition, described.leader), (2, None));
        assert_eq!((described.replicas, described.in_sync), (vec![3, 1], vec![1]));
        assert_eq!(PartitionReplicas::parse("2\tnobody\t3\t3"), None);
    }
}
