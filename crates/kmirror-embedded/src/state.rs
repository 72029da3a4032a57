//! Everything that a cluster knows, in one place. It is locked for as long as it takes to answer a request, and never while anybody
//! waits.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::MetadataResponse;
use uuid::Uuid;

use crate::changes::Changes;
use crate::coordinator::Placement;
use crate::coordinator::groups::Groups;
use crate::coordinator::transactions::{ProducerIds, Transactions};
use crate::fault::Faults;
use crate::log::PartitionLog;
use crate::log::validator::Rules;
use crate::machine::Machine;
use crate::profile::Profile;
use crate::security::{Authorizer, Users};
use crate::session::Sessions;
use crate::topic_names;

/// The cluster.
#[derive(Debug)]
pub(crate) struct State {
    /// What brokers answer; some say nothing.
    pub(crate) cluster_id: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    /// Who coordinates groups and transactions.
    pub(crate) placement: Placement,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) expiry: ProducerExpiry,
    /// How far behind the leader epochs are that Metadata below version 9 names (KAFKA-9212).
    pub(crate) epochs_behind: i32,
    /// What brokers that are cut off from the controller go on answering to Metadata.
    pub(crate) cut_off: BTreeMap<i32, MetadataResponse>,
    /// What is set on all brokers while they run (KIP-226).
    pub(crate) broker_configs: BTreeMap<String, String>,
    /// What the brokers' configuration says of topics, by the names that topics have for it, where that is not Kafka's default.
    pub(crate) topic_defaults: BTreeMap<String, String>,
    /// Where time and chance come from.
    pub(crate) machine: Machine,
    /// How far the cluster's clock is ahead of the machine's.
    advanced: Duration,
    /// The broker to which leaders send readers, if they do (`replica.selector.class`, KIP-392). It has what they have.
    pub(crate) readers_replica: Option<i32>,
    /// The most bytes that a partition may hold: older batches go.
    pub(crate) limits: crate::limits::Limits,
    /// The logs that partitions of some topics begin with: those that store nothing.
    pub(crate) canned: BTreeMap<String, PartitionLog>,
    /// Who may connect; everybody, if there is nobody here.
    pub(crate) users: Users,
    /// How often somebody has proved who he is.
    pub(crate) authentications: u64,
    /// For how long he is believed.
    pub(crate) session_lifetime: Option<Duration>,
    pub(crate) authorizer: Authorizer,
    pub(crate) changes: Changes,
}

/// When partitions forget producers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerExpiry {
    /// How old the newest record of a producer's last batch is then (`producer.id.expiration.ms`).
    pub(crate) age_ms: i64,
    /// How often brokers look (`producer.id.expiration.check.interval.ms`).
    pub(crate) interval_ms: i64,
    /// When they looked last.
    checked_ms: i64,
}

impl Default for ProducerExpiry {
    /// As in Kafka: a day, and ten minutes.
    fn default() -> ProducerExpiry {
        ProducerExpiry { age_ms: 86_400_000, interval_ms: 600_000, checked_ms: 0 }
    }
}

/// A broker.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_up: bool,
}

/// A topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    /// What was set on the topic itself.
    pub(crate) configs: BTreeMap<String, String>,
    /// What its brokers' configuration says where nothing is set, if that is not Kafka's default.
    pub(crate) defaults: BTreeMap<String, String>,
    pub(crate) partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) replicas: Vec<i32>,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) log: PartitionLog,
    /// Whether followers stand still: what is appended stays behind the high watermark.
    pub(crate) holds_replication: bool,
}

impl State {
    pub(crate) fn new(cluster_id: String, profile: Profile, brokers: BTreeMap<i32, Broker>) -> State {
        State {
            placement: Placement::new(&brokers),
            groups: Groups::default(),
            transactions: Transactions::new(profile.transaction_version()),
            producer_ids: ProducerIds::default(),
            cluster_id: Some(cluster_id),
            profile,
            brokers,
            topics: BTreeMap::new(),
            sessions: Sessions::default(),
            faults: Faults::default(),
            expiry: ProducerExpiry::default(),
            epochs_behind: 0,
            cut_off: BTreeMap::new(),
            broker_configs: BTreeMap::new(),
            topic_defaults: BTreeMap::new(),
            machine: Machine::default(),
            advanced: Duration::ZERO,
            limits: crate::limits::Limits::default(),
            readers_replica: None,
            canned: BTreeMap::new(),
            users: Users::default(),
            authentications: 0,
            session_lifetime: None,
            authorizer: Authorizer::default(),
            changes: Changes::default(),
        }
    }

    /// Milliseconds since the epoch by the cluster's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        let now = self.machine.time() + self.advanced;
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    }

    /// Sets the clock forward, and deletes what retention does not keep any longer (`LogManager.cleanupLogs`).
    pub(crate) fn advance(&mut self, by: Duration) {
        self.advanced += by;
        let now_ms = self.now_ms();
        self.pass_time();
        self.transactions.forget_expired(now_ms);
        for topic in self.topics.values_mut() {
            if !topic.value("cleanup.policy").split(',').any(|policy| policy.trim() == "delete") {
                continue;
            }
            let (age_ms_max, bytes_max) = (topic.number("retention.ms"), topic.number("retention.bytes"));
            for partition in &mut topic.partitions {
                if age_ms_max >= 0 {
                    partition.log.retain_since(now_ms.saturating_sub(age_ms_max));
                }
                if let Ok(bytes_max) = usize::try_from(bytes_max) {
                    partition.log.retain_bytes(bytes_max);
                }
            }
        }
    }

    /// Lets partitions forget producers where a check is due (`LogManager`, `producer.id.expiration.check.interval.ms`).
    pub(crate) fn expire_producers(&mut self, now_ms: i64) {
        let ProducerExpiry { interval_ms, checked_ms, .. } = self.expiry;
        let age_ms = self.producer_expiration_ms();
        if checked_ms == 0 {
            self.expiry.checked_ms = now_ms; // the first one comes an interval after the start
        } else if now_ms.saturating_sub(checked_ms) >= interval_ms {
            self.expiry.checked_ms = now_ms;
            let partitions = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
            partitions
                .for_each(|partition| partition.log.producers.expire_until(now_ms.saturating_sub(age_ms)));
        }
    }

    /// After which time partitions forget a producer: as it was set while brokers run, or as they began.
    pub(crate) fn producer_expiration_ms(&self) -> i64 {
        let set = self.broker_configs.get(PRODUCER_EXPIRATION).and_then(|value| value.parse().ok());
        set.unwrap_or(self.expiry.age_ms)
    }

    /// Sets a configuration of all brokers while they run, or takes it back (`DynamicBrokerConfig`).
    pub(crate) fn alter_broker_config(
        &mut self,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), (ResponseError, String)> {
        let refused = |message: String| Err((ResponseError::InvalidConfig, message));
        if key != PRODUCER_EXPIRATION || !self.profile.has_dynamic_producer_expiration() {
            return refused(format!("Cannot update these configs dynamically: Set({key})"));
        }
        match value {
            Some(value) if value.parse::<i32>().is_ok_and(|ms| ms >= 1) => {
                self.broker_configs.insert(key.to_owned(), value.to_owned());
            }
            Some(value) => return refused(format!("Invalid value {value} for configuration {key}")),
            None => drop(self.broker_configs.remove(key)),
        }
        Ok(())
    }

    /// A numeric configuration of a topic, or its default.
    pub(crate) fn number_of(&self, topic: &str, key: &str) -> i64 {
        self.topics.get(topic).map_or_else(|| number(default_of(key)), |topic| topic.number(key))
    }

    pub(crate) fn allocate_producer_id(&mut self) -> i64 {
        self.producer_ids.allocate()
    }

    /// Creates a topic; its partitions are led in turn by the brokers.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: usize,
        replication_factor: usize,
        configs: BTreeMap<String, String>,
    ) -> Result<Uuid, (ResponseError, String)> {
        topic_names::check(name)?;
        if self.topics.contains_key(name) {
            return Err((ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        topic_names::check_collision(name, self.topics.keys())?;
        if partitions == 0 {
            return Err((
                ResponseError::InvalidPartitions,
                "Number of partitions must be larger than 0.".to_owned(),
            ));
        }
        if replication_factor == 0 || replication_factor > self.brokers.len() {
            return Err((
                ResponseError::InvalidReplicationFactor,
                format!("Unable to replicate the partition {replication_factor} time(s)"),
            ));
        }
        for (key, value) in &configs {
            check_config(self.profile, key, value)?;
        }
        // A topic id as Kafka makes them: random, and never with a dash at the beginning of its text.
        let mut bits = || u128::from(self.machine.bits(name));
        let id = Uuid::from_u128(bits() << 64 | bits() >> 1);
        let partitions =
            (0..partitions).map(|number| self.new_partition(name, number, replication_factor)).collect();
        self.topics.insert(
            name.to_owned(),
            Topic { id, configs, defaults: self.topic_defaults.clone(), partitions },
        );
        Ok(id)
    }

    /// Deletes a topic, and what groups have committed for it.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Option<Topic> {
        self.groups.forget_topic(name);
        self.topics.remove(name)
    }

    /// Adds partitions to a topic.
    pub(crate) fn add_partitions(&mut self, name: &str, count: usize) {
        let Some(topic) = self.topics.get(name) else { return };
        let replication_factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let added: Vec<_> = (topic.partitions.len()..count)
            .map(|number| self.new_partition(name, number, replication_factor))
            .collect();
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions.extend(added);
        }
    }

    fn new_partition(&self, topic: &str, number: usize, replication_factor: usize) -> Partition {
        let ids = self.brokers.keys().copied().cycle().skip(number % self.brokers.len());
        let replicas: Vec<_> = ids.take(replication_factor).collect();
        let is_up = |id: &&i32| self.brokers.get(id).is_some_and(|broker| broker.is_up);
        Partition {
            leader: replicas.iter().find(is_up).copied(),
            replicas,
            leader_epoch: 0,
            log: self.canned.get(topic).cloned().unwrap_or_default(),
            holds_replication: false,
        }
    }

    /// The partition, whoever leads it.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub(crate) fn partition(
        &mut self,
        topic: &str,
        number: i32,
    ) -> Result<(&mut Partition, Rules), ResponseError> {
        let topic = self.topics.get_mut(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let rules = topic.rules();
        let partition = usize::try_from(number).ok().and_then(|number| topic.partitions.get_mut(number));
        Ok((partition.ok_or(ResponseError::UnknownTopicOrPartition)?, rules))
    }

    /// The partition, if this broker leads it.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION and NOT_LEADER_OR_FOLLOWER.
    pub(crate) fn led_by(
        &mut self,
        broker: i32,
        topic: &str,
        number: i32,
    ) -> Result<(&mut Partition, Rules), ResponseError> {
        let found = self.partition(topic, number)?;
        if found.0.leader == Some(broker) { Ok(found) } else { Err(ResponseError::NotLeaderOrFollower) }
    }

    /// What a topic demands of its batches; Kafka's defaults where there is no such topic.
    pub(crate) fn rules_of(&self, topic: &str) -> Rules {
        self.topics.get(topic).map_or_else(|| Topic::default().rules(), Topic::rules)
    }

    /// The name of a topic, by name or by id.
    pub(crate) fn topic_name(&self, name: &str, id: Uuid) -> Option<String> {
        if id.is_nil() {
            return Some(name.to_owned());
        }
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.clone())
    }

    /// A broker stops: each of its partitions gets another leader, if one of its replicas is up.
    pub(crate) fn stop_broker(&mut self, id: i32) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.is_up = false;
        }
        self.sessions.forget_broker(id);
        self.elect(|partition| partition.leader == Some(id));
        self.elect_coordinators();
    }

    /// A broker is back, and leads again what nobody leads.
    pub(crate) fn start_broker(&mut self, id: i32) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.is_up = true;
        }
        let partitions = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
        partitions
            .filter(|partition| partition.leader.is_none())
            .for_each(|partition| partition.log.reload());
        self.elect(|partition| partition.leader.is_none());
        self.elect_coordinators();
    }

    /// Another broker coordinates a key, and the others of its partition.
    pub(crate) fn move_coordinator(&mut self, key: &str, broker: i32) {
        let has_moved = self.placement.move_to(key, broker);
        let now_ms = self.now_ms();
        self.groups.reload(has_moved, now_ms);
    }

    fn elect_coordinators(&mut self) {
        let has_moved = self.placement.elect(&self.brokers);
        let now_ms = self.now_ms();
        self.groups.reload(has_moved, now_ms);
    }

    /// The id of the next broker that is added.
    pub(crate) fn next_broker_id(&self) -> i32 {
        self.brokers.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    /// Forgets a broker that was stopped. What it alone had is moved to another one.
    pub(crate) fn remove_broker(&mut self, id: i32) {
        self.brokers.remove(&id);
        let heir = self.brokers.keys().next().copied();
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            partition.replicas.retain(|replica| *replica != id);
            if partition.replicas.is_empty() {
                partition.replicas.extend(heir);
            }
        }
        self.elect(|partition| partition.leader.is_none());
        let _has_moved = self.placement.elect(&self.brokers);
    }

    fn elect(&mut self, concerns: impl Fn(&Partition) -> bool) {
        let up: Vec<_> = self.brokers.iter().filter(|(_, broker)| broker.is_up).map(|(id, _)| *id).collect();
        for topic in self.topics.values_mut() {
            for partition in topic.partitions.iter_mut().filter(|partition| concerns(partition)) {
                partition.leader = partition.replicas.iter().find(|replica| up.contains(replica)).copied();
                partition.begin_epoch();
            }
        }
    }
}

impl Partition {
    /// What was appended is replicated, unless that is held up.
    pub(crate) fn replicate(&mut self) {
        if !self.holds_replication {
            self.log.replicate(self.log.end());
        }
    }

    /// Another leader writes from here on (`Partition.makeLeader`).
    pub(crate) fn begin_epoch(&mut self) {
        self.leader_epoch += 1;
        self.log.epochs.assign(self.leader_epoch, self.log.end());
    }

    /// Checks the epoch of the leader that a client believes in; -1 is none.
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH for an older one, UNKNOWN_LEADER_EPOCH for a newer one (KIP-320).
    pub(crate) fn check_epoch(&self, epoch: i32) -> Result<(), ResponseError> {
        match epoch {
            ..0 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
            epoch if epoch > self.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}

/// The values that this crate gives a meaning to, with Kafka's defaults.
pub(crate) const DEFAULT_CONFIGS: [(&str, &str); 12] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("unclean.leader.election.enable", "false"),
];

fn check_config(profile: Profile, key: &str, value: &str) -> Result<(), (ResponseError, String)> {
    let is_known = DEFAULT_CONFIGS.iter().any(|(known, _)| *known == key)
        || OTHER_CONFIGS.contains(&key)
        || profile.old_topic_configs().contains(&key);
    let is_valid = match key {
        "cleanup.policy" => value.split(',').all(|policy| matches!(policy.trim(), "compact" | "delete")),
        "message.timestamp.type" => matches!(value, "CreateTime" | "LogAppendTime"),
        "compression.type" => {
            matches!(value, "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd")
        }
        _ if key.ends_with(".ms") || key.ends_with(".bytes") => value.parse::<i64>().is_ok(),
        _ => true,
    };
    if !is_known {
        return Err((ResponseError::InvalidConfig, format!("Unknown topic config name: {key}")));
    }
    if !is_valid {
        return Err((ResponseError::InvalidConfig, format!("Invalid value {value} for configuration {key}")));
    }
    Ok(())
}

/// Changes one configuration of a topic; `None` takes it back to its default.
pub(crate) fn alter_config(
    profile: Profile,
    topic: &mut Topic,
    key: &str,
    value: Option<&str>,
) -> Result<(), (ResponseError, String)> {
    match value {
        Some(value) => {
            check_config(profile, key, value)?;
            topic.configs.insert(key.to_owned(), value.to_owned());
        }
        None => {
            topic.configs.remove(key);
        }
    }
    Ok(())
}

/// After which time partitions forget a producer, by the timestamp of its newest record.
pub(crate) const PRODUCER_EXPIRATION: &str = "producer.id.expiration.ms";

/// Known, kept and shown, without a meaning here.
const OTHER_CONFIGS: [&str; 20] = [
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "preallocate",
    "remote.storage.enable",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "remote.log.copy.disable",
];

impl Topic {
    /// A configuration as it is set, or its default.
    pub(crate) fn value(&self, key: &str) -> &str {
        let known = self.configs.get(key).or_else(|| self.defaults.get(key));
        known.map_or_else(|| default_of(key), String::as_str)
    }

    fn number(&self, key: &str) -> i64 {
        number(self.value(key))
    }

    fn rules(&self) -> Rules {
        Rules {
            batch_bytes_max: usize::try_from(self.number("max.message.bytes")).unwrap_or(usize::MAX),
            is_compacted: self.value("cleanup.policy").split(',').any(|policy| policy.trim() == "compact"),
            takes_append_time: self.value("message.timestamp.type") == "LogAppendTime",
            timestamp_before_ms_max: self.number("message.timestamp.before.max.ms"),
            timestamp_after_ms_max: self.number("message.timestamp.after.max.ms"),
            codec: match self.value("compression.type") {
                "uncompressed" => Some(0),
                "gzip" => Some(1),
                "snappy" => Some(2),
                "lz4" => Some(3),
                "zstd" => Some(4),
                _ => None,
            },
        }
    }
}

fn default_of(key: &str) -> &'static str {
    DEFAULT_CONFIGS.iter().find(|(known, _)| *known == key).map_or("", |(_, value)| *value)
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(i64::MAX)
}

/// Sessions and topics refer to partitions by these.
pub(crate) type PartitionName = (String, i32);

/// Topics by id, for requests that carry ids.
pub(crate) fn names_by_id(topics: &BTreeMap<String, Topic>) -> HashMap<Uuid, String> {
    topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect()
}
