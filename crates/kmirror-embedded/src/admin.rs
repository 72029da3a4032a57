//! What an administrator does to topics and brokers, without a client.

use std::collections::BTreeMap;

use crate::changes::Change;
use crate::cluster::{EmbeddedCluster, EmbeddedError};
use crate::log::PartitionLog;
use crate::state::{DEFAULT_CONFIGS, alter_config};

impl EmbeddedCluster {
    /// What clients have changed so far beside records, oldest first: topics, entries of access control lists, offsets of groups. At most the last
    /// 10,000 requests.
    pub fn changes(&self) -> Vec<Change> {
        self.changes_since(0)
    }

    /// The same without the first `seen` ones.
    pub fn changes_since(&self, seen: usize) -> Vec<Change> {
        self.shared.lock().changes.since(seen)
    }

    /// Tells clients to come to another port for a broker: there is a proxy that leads to where it listens.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn advertise(&self, broker: i32, port: u16) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.change(|state| {
            if let Some(broker) = state.brokers.get_mut(&broker) {
                broker.port = port;
            }
        });
        Ok(())
    }

    /// How many partitions a topic has; 0 where there is none of this name.
    pub fn partitions(&self, topic: &str) -> usize {
        self.shared.lock().topics.get(topic).map_or(0, |topic| topic.partitions.len())
    }

    /// Raises the number of a topic's partitions. Nothing happens where it has as many.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`]: there is no such topic.
    pub fn add_partitions(&self, topic: &str, partitions: usize) -> Result<(), EmbeddedError> {
        self.with_partition(topic, 0, |_| ())?;
        self.change(|state| state.add_partitions(topic, partitions));
        Ok(())
    }

    /// Sets configurations of a topic.
    ///
    /// # Errors
    /// [`EmbeddedError::Refused`], as IncrementalAlterConfigs would, and [`EmbeddedError::NoPartition`].
    pub fn alter_topic(&self, topic: &str, configs: &[(&str, &str)]) -> Result<(), EmbeddedError> {
        self.with_partition(topic, 0, |_| ())?;
        self.change(|state| {
            let profile = state.profile;
            let Some(topic) = state.topics.get_mut(topic) else { return Ok(()) };
            configs.iter().try_for_each(|(key, value)| alter_config(profile, topic, key, Some(value)))
        })
        .map_err(|(error, message)| EmbeddedError::Refused { error, message })
    }

    /// Takes a configuration of a topic back to its default.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn reset_topic(&self, topic: &str, key: &str) -> Result<(), EmbeddedError> {
        self.with_partition(topic, 0, |_| ())?;
        self.change(|state| {
            if let Some(topic) = state.topics.get_mut(topic) {
                topic.configs.remove(key);
            }
        });
        Ok(())
    }

    /// A configuration of a topic, or its default; nothing where topic or configuration are not known.
    pub fn topic_config(&self, topic: &str, key: &str) -> Option<String> {
        let defaults: BTreeMap<_, _> = DEFAULT_CONFIGS.into_iter().collect();
        let state = self.shared.lock();
        let topic = state.topics.get(topic)?;
        let set = topic.configs.get(key).or_else(|| topic.defaults.get(key)).map(String::as_str);
        set.or_else(|| defaults.get(key).copied()).map(str::to_owned)
    }

    /// The first offset whose timestamp, in milliseconds since 1970, is not lower, as ListOffsets finds it.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn offset_at(
        &self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<Option<i64>, EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            let found = partition.log.offset_at(timestamp, partition.log.high_watermark());
            found.map(|(offset, _)| offset)
        })
    }

    /// Makes a log one that begins and ends at `offset`: everything before has expired, however much that was.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn begin_at(&self, topic: &str, partition: i32, offset: i64) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.log = PartitionLog::beginning_at(offset);
        })
    }

    /// Changes a byte of the last batch of a log, as a failing disk does.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn damage(&self, topic: &str, partition: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| partition.log.damage_last())
    }

    /// Lets a broker stand still: its connections stay, and whatever is sent to it waits until [`EmbeddedCluster::resume_broker`].
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn pause_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.shared.paused.modify(|paused| paused.push(broker));
        Ok(())
    }

    /// Lets a broker go on, with everything that it was sent meanwhile, also by clients that are gone.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn resume_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.shared.paused.modify(|paused| paused.retain(|other| *other != broker));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{Codec, Isolation};

    /// ApiVersions v0, correlation id 7, no client id.
    const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

    #[tokio::test(start_paused = true)]
    async fn what_a_paused_broker_was_sent_is_answered_once_it_goes_on() {
        let cluster = EmbeddedCluster::builder().start().await.expect("started");
        cluster.pause_broker(1).expect("there");
        let mut stream = cluster.connect(1);
        stream.write_all(&API_VERSIONS).await.expect("sent");
        let early = tokio::time::timeout(Duration::from_secs(60), stream.read_i32()).await;
        assert!(early.is_err(), "answered while it stands still");
        cluster.resume_broker(1).expect("there");
        assert!(stream.read_i32().await.expect("answered") > 0);
        assert_eq!(cluster.pause_broker(2), Err(EmbeddedError::NoBroker(2)));
    }

    #[tokio::test]
    async fn topics_are_altered_and_looked_at() {
        let cluster = EmbeddedCluster::builder().start().await.expect("started");
        cluster.create_topic("orders", 1, &[("retention.ms", "1000")]).expect("created");
        cluster.add_partitions("orders", 3).expect("added");
        assert_eq!((cluster.partitions("orders"), cluster.partitions("other")), (3, 0));
        cluster.alter_topic("orders", &[("cleanup.policy", "compact")]).expect("altered");
        let config = |key| cluster.topic_config("orders", key);
        assert_eq!(config("cleanup.policy").as_deref(), Some("compact"));
        assert_eq!(config("retention.ms").as_deref(), Some("1000"));
        assert_eq!(config("max.message.bytes").as_deref(), Some("1048588"));
        assert!(matches!(cluster.alter_topic("orders", &[("no", "1")]), Err(EmbeddedError::Refused { .. })));
        assert!(cluster.alter_topic("other", &[]).is_err() && cluster.add_partitions("other", 2).is_err());
    }

    #[tokio::test]
    async fn logs_begin_anywhere_and_break() {
        let cluster = EmbeddedCluster::builder().start().await.expect("started");
        cluster.create_topic("orders", 1, &[]).expect("created");
        cluster.begin_at("orders", 0, 1_000).expect("there");
        assert_eq!(cluster.write("orders", 0, Codec::Zstd, &[(None, Some(b"value"))]), Ok(1_000));
        let log = cluster.log("orders", 0).expect("there");
        assert_eq!((log.start, log.end, log.high_watermark), (1_000, 1_001, 1_001));
        assert_eq!(cluster.offset_at("orders", 0, 0), Ok(Some(1_000)));
        assert_eq!(cluster.offset_at("orders", 0, i64::MAX), Ok(None));
        cluster.damage("orders", 0).expect("there");
        let read = cluster.log("orders", 0).expect("there").records(Isolation::ReadUncommitted);
        assert!(matches!(read, Err(EmbeddedError::Unreadable { offset: 1_000, .. })), "{read:?}");
    }
}
