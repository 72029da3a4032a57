//! What is known of a cluster: brokers, topics, and who leads what. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages as m;

use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, TopicId, TopicPartition, to_wire};

/// A view of a cluster, as of the last refresh and the leader hints since then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The controller, or with KRaft any broker: it forwards what concerns the controller.
    pub controller: Option<BrokerId>,
    /// The brokers that are alive.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// The topics that were asked for, also those that have an error.
    pub topics: BTreeMap<Arc<str>, TopicMetadata>,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its node id.
    pub id: BrokerId,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
    /// The rack it is in.
    pub rack: Option<String>,
}

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its id, [`TopicId::NONE`] on brokers before 2.8.
    pub id: TopicId,
    /// Why nothing more is known, if so: it does not exist, or may not be described.
    pub error: Option<KafkaError>,
    /// Whether it belongs to Kafka itself.
    pub is_internal: bool,
    /// Ascending by index.
    pub partitions: Vec<PartitionMetadata>,
}

/// What is known of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its index.
    pub partition: i32,
    /// Who leads it.
    pub leader: Option<BrokerId>,
    /// Since which epoch; `None` where the broker does not say, or may be behind (before 2.4).
    pub leader_epoch: Option<i32>,
    /// The epoch that a broker named which may be behind: one to begin with, for whoever asks the leader whether it is.
    pub leader_epoch_or_later: Option<i32>,
    /// Where its replicas are.
    pub replicas: Vec<BrokerId>,
    /// Which of them are in sync.
    pub in_sync: Vec<BrokerId>,
    /// Why it has no leader, if so.
    pub error: Option<KafkaError>,
}

/// Who leads a partition, as a response said that came from somebody else (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The leader.
    pub leader: BrokerId,
    /// Since which epoch.
    pub leader_epoch: i32,
    /// Where it listens, if the response said so.
    pub endpoint: Option<Broker>,
}

/// Which topics to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// All that may be described. What is no longer there is forgotten.
    All,
    /// These. With none, only the brokers are refreshed.
    Named(Vec<Arc<str>>),
}

impl Broker {
    pub(crate) fn new(id: BrokerId, host: &str, port: i32, rack: Option<&str>) -> Self {
        Self { id, host: host.to_owned(), port, rack: rack.map(str::to_owned) }
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl ClusterMetadata {
    /// What is known of `topic`.
    pub fn topic(&self, topic: &str) -> Option<&TopicMetadata> {
        self.topics.get(topic)
    }

    /// What is known of `partition`.
    pub fn partition(&self, partition: &TopicPartition) -> Option<&PartitionMetadata> {
        self.topic(&partition.topic)?.partition(partition.partition)
    }

    /// Who leads `partition`.
    pub fn leader(&self, partition: &TopicPartition) -> Option<BrokerId> {
        self.partition(partition)?.leader
    }

    /// Topics that this view knows and `fresh`, which is of a refresh that asked for `topics`, does not, or by another id.
    pub(crate) fn denied_by(&self, topics: &Topics, fresh: &Self) -> Vec<Arc<str>> {
        let is_denied = |name: &str, known: &TopicMetadata| match fresh.topic(name) {
            None => *topics == Topics::All,
            Some(told) => told.is_missing() || (told.error.is_none() && told.is_other_than(known)),
        };
        let known = self.topics.iter().filter(|(_, known)| known.error.is_none());
        known.filter(|(name, known)| is_denied(name, known)).map(|(name, _)| name.clone()).collect()
    }

    /// Keeps of the topics in `known` that this fresh view denies those that one of `others` confirms. Where nobody else could be
    /// asked (`None`), all stay.
    pub(crate) fn settle(&mut self, known: &Self, denied: &[Arc<str>], others: Option<&[Self]>) {
        for name in denied {
            let Some(before) = known.topic(name) else { continue };
            let told: Vec<_> = others.into_iter().flatten().filter_map(|other| other.topic(name)).collect();
            let found = told.iter().filter(|topic| topic.error.is_none());
            let is_found = self.topic(name).is_some_and(|topic| topic.error.is_none());
            let kept = match others {
                None => Some(before),
                Some(_) => found.clone().find(|topic| !topic.is_other_than(before)).copied(),
            };
            // Whoever knows another topic of this name knows more than who knows none.
            let kept = kept.or_else(|| found.clone().next().filter(|_| !is_found).copied());
            if let Some(topic) = kept {
                tracing::debug!(topic = &**name, "one broker denies a topic, and that alone is not believed");
                self.topics.insert(name.clone(), topic.clone());
            }
        }
    }

    /// The partitions whose leader epochs both views name, and whether that of `fresh` is older. Of a topic that is another one, none is.
    pub(crate) fn compared_epochs(&self, fresh: &Self) -> impl Iterator<Item = (TopicPartition, bool)> {
        let topics = fresh.topics.iter().filter_map(|(name, topic)| Some((name, topic, self.topic(name)?)));
        topics.flat_map(|(name, topic, known)| {
            let is_same = topic.id == known.id;
            topic.partitions.iter().filter_map(move |partition| {
                let known = known.partition(partition.partition)?.leader_epoch?;
                let is_older = is_same && partition.leader_epoch? < known;
                Some((TopicPartition::new(name.clone(), partition.partition), is_older))
            })
        })
    }

    /// Lets any leader epoch of `partition` be news.
    pub(crate) fn forget_epoch(&mut self, partition: &TopicPartition) {
        let topic = self.topics.get_mut(&partition.topic);
        if let Some(known) = topic.and_then(|topic| topic.partition_mut(partition.partition)) {
            known.leader_epoch = None;
        }
    }

    /// This view after a refresh that asked for `topics` brought `fresh`.
    pub(crate) fn merged(&self, topics: &Topics, mut fresh: Self) -> Self {
        for (name, topic) in &mut fresh.topics {
            if let Some(known) = self.topics.get(name) {
                if topic.error.is_none() && topic.id == TopicId::NONE {
                    topic.id = known.id;
                }
                topic.keep_newer_leaders(known);
            }
        }
        if let Topics::Named(_) = topics {
            let kept = self.topics.iter().filter(|(name, _)| !fresh.topics.contains_key(*name));
            let kept: Vec<_> = kept.map(|(name, topic)| (name.clone(), topic.clone())).collect();
            fresh.topics.extend(kept);
        }
        fresh
    }

    /// Whether `hint` tells of a later leader than this view.
    pub(crate) fn is_news(&self, partition: &TopicPartition, hint: &LeaderHint) -> bool {
        self.partition(partition).is_some_and(|known| known.leader_epoch < Some(hint.leader_epoch))
    }

    /// Takes `hint` over.
    pub(crate) fn take_hint(&mut self, partition: &TopicPartition, hint: &LeaderHint) {
        let topic = self.topics.get_mut(&partition.topic);
        if let Some(known) = topic.and_then(|topic| topic.partition_mut(partition.partition)) {
            known.leader = Some(hint.leader);
            known.leader_epoch = Some(hint.leader_epoch);
            known.leader_epoch_or_later = known.leader_epoch;
            known.error = None;
        }
        if let Some(endpoint) = &hint.endpoint {
            self.brokers.insert(hint.leader, endpoint.clone());
        }
    }
}

impl TopicMetadata {
    /// What is known of the partition with this index.
    pub fn partition(&self, partition: i32) -> Option<&PartitionMetadata> {
        let index = self.partitions.binary_search_by_key(&partition, |known| known.partition).ok()?;
        self.partitions.get(index)
    }

    fn partition_mut(&mut self, partition: i32) -> Option<&mut PartitionMetadata> {
        let index = self.partitions.binary_search_by_key(&partition, |known| known.partition).ok()?;
        self.partitions.get_mut(index)
    }

    fn is_missing(&self) -> bool {
        self.error == Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// Without an id, from a broker before 2.8, it is the same as far as anybody knows.
    fn is_other_than(&self, known: &Self) -> bool {
        self.id != known.id && self.id != TopicId::NONE
    }

    /// Brokers learn of an election one after the other: an answer with a lower epoch than we have seen is from one that
    /// has not heard of it (KIP-320). A topic that was created again begins anew.
    fn keep_newer_leaders(&mut self, known: &Self) {
        if self.id != known.id {
            return;
        }
        for partition in &mut self.partitions {
            let Some(known) = known.partition(partition.partition) else { continue };
            if known.leader_epoch > partition.leader_epoch && partition.leader_epoch.is_some() {
                partition.leader = known.leader;
                partition.leader_epoch = known.leader_epoch;
                partition.leader_epoch_or_later = known.leader_epoch;
                partition.error = known.error;
            }
        }
    }
}

impl Topics {
    pub(crate) fn to_wire(&self) -> m::MetadataRequest {
        let topics = match self {
            Self::All => None,
            Self::Named(names) => {
                let names = names.iter().map(|name| {
                    m::metadata_request::MetadataRequestTopic::default().with_name(Some(to_wire(name).into()))
                });
                Some(names.collect())
            }
        };
        m::MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false)
    }
}

impl ClusterMetadata {
    /// What `response` says, which is of this version.
    pub(crate) fn of(response: m::MetadataResponse, version: i16) -> Self {
        let brokers = response.brokers.into_iter().map(|broker| {
            let id = BrokerId(broker.node_id.0);
            let rack = broker.rack.as_ref().map(|rack| rack.as_str());
            (id, Broker::new(id, &broker.host, broker.port, rack))
        });
        let topics = response.topics.into_iter().filter_map(|topic| {
            let name: Arc<str> = topic.name.as_ref()?.as_str().into();
            Some((name, TopicMetadata::of(topic, version >= RELIABLE_EPOCHS_SINCE)))
        });
        Self {
            cluster_id: response.cluster_id.map(|id| id.as_str().to_owned()),
            controller: BrokerId::from_wire(response.controller_id.0),
            brokers: brokers.collect(),
            topics: topics.collect(),
        }
    }
}

impl TopicMetadata {
    fn of(topic: m::metadata_response::MetadataResponseTopic, has_reliable_epochs: bool) -> Self {
        let brokers = |ids: Vec<m::BrokerId>| ids.into_iter().map(|id| BrokerId(id.0)).collect();
        let partitions = topic.partitions.into_iter().map(|partition| {
            let epoch = (partition.leader_epoch >= 0).then_some(partition.leader_epoch);
            PartitionMetadata {
                partition: partition.partition_index,
                leader: BrokerId::from_wire(partition.leader_id.0),
                leader_epoch: epoch.filter(|_| has_reliable_epochs),
                leader_epoch_or_later: epoch,
                replicas: brokers(partition.replica_nodes),
                in_sync: brokers(partition.isr_nodes),
                error: KafkaError::from_code(partition.error_code),
            }
        });
        let mut partitions: Vec<_> = partitions.collect();
        partitions.sort_by_key(|partition| partition.partition);
        Self {
            id: TopicId(topic.topic_id),
            error: KafkaError::from_code(topic.error_code),
            is_internal: topic.is_internal,
            partitions,
        }
    }
}

/// Brokers before 2.4 do not hear of a new epoch while a reassignment is under way (KAFKA-9212), and the leader refuses whoever names the
/// old one. Java takes none from them either (`MetadataResponse.hasReliableLeaderEpochs`).
const RELIABLE_EPOCHS_SINCE: i16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(topics: &[(&str, u128, Option<i32>, i32)]) -> ClusterMetadata {
        let topics = topics.iter().map(|(name, id, leader_epoch, leader)| {
            let partition = PartitionMetadata {
                partition: 0,
                leader: Some(BrokerId(*leader)),
                leader_epoch: *leader_epoch,
                leader_epoch_or_later: *leader_epoch,
                replicas: vec![],
                in_sync: vec![],
                error: None,
            };
            let topic = TopicMetadata {
                id: TopicId(uuid::Uuid::from_u128(*id)),
                error: None,
                is_internal: false,
                partitions: vec![partition],
            };
            (Arc::from(*name), topic)
        });
        ClusterMetadata { topics: topics.collect(), ..ClusterMetadata::default() }
    }

    fn leader(metadata: &ClusterMetadata, topic: &str) -> (Option<i32>, i32) {
        let partition = metadata.partition(&TopicPartition::new(topic, 0)).unwrap();
        (partition.leader_epoch, partition.leader.unwrap().0)
    }

    #[test]
    fn a_refresh_of_some_topics_keeps_the_others() {
        let known = cluster(&[("a", 1, Some(5), 1), ("b", 2, Some(5), 1)]);
        let fresh = cluster(&[("b", 2, Some(6), 2)]);
        let merged = known.merged(&Topics::Named(vec!["b".into()]), fresh.clone());
        assert_eq!(leader(&merged, "a"), (Some(5), 1));
        assert_eq!(leader(&merged, "b"), (Some(6), 2));
        assert_eq!(known.merged(&Topics::All, fresh.clone()), fresh);
    }

    #[test]
    fn an_older_leader_epoch_does_not_win_unless_the_topic_is_another_one() {
        let known = cluster(&[("a", 1, Some(5), 1)]);
        let stale = known.merged(&Topics::All, cluster(&[("a", 1, Some(4), 2)]));
        assert_eq!(leader(&stale, "a"), (Some(5), 1));
        let recreated = known.merged(&Topics::All, cluster(&[("a", 9, Some(0), 2)]));
        assert_eq!(leader(&recreated, "a"), (Some(0), 2));
        let without_epochs = known.merged(&Topics::All, cluster(&[("a", 1, None, 2)]));
        assert_eq!(leader(&without_epochs, "a"), (None, 2));
    }

    #[test]
    fn epochs_of_old_brokers_are_something_to_begin_with_and_no_more() {
        use m::metadata_response as wire;
        let partition = wire::MetadataResponsePartition::default().with_leader_epoch(5);
        let topic = wire::MetadataResponseTopic::default()
            .with_name(Some(to_wire("a").into()))
            .with_partitions(vec![partition]);
        let response = m::MetadataResponse::default().with_topics(vec![topic]);
        for (version, epoch) in [(7, None), (8, None), (9, Some(5)), (13, Some(5))] {
            let metadata = ClusterMetadata::of(response.clone(), version);
            let partition = metadata.partition(&TopicPartition::new("a", 0)).unwrap();
            assert_eq!((partition.leader_epoch, partition.leader_epoch_or_later), (epoch, Some(5)));
        }
    }

    #[test]
    fn a_hint_counts_if_its_epoch_is_newer() {
        let mut known = cluster(&[("a", 1, Some(5), 1)]);
        let partition = TopicPartition::new("a", 0);
        let endpoint = Some(Broker::new(BrokerId(2), "two", 9092, None));
        let hint = LeaderHint { leader: BrokerId(2), leader_epoch: 6, endpoint };
        assert!(!known.is_news(&partition, &LeaderHint { leader_epoch: 5, ..hint.clone() }));
        assert!(!known.is_news(&TopicPartition::new("b", 0), &hint));
        assert!(known.is_news(&partition, &hint));
        known.take_hint(&partition, &hint);
        assert_eq!(leader(&known, "a"), (Some(6), 2));
        assert_eq!(known.brokers[&BrokerId(2)].address(), "two:9092");
    }

    #[test]
    fn a_topic_is_gone_or_another_one_when_two_brokers_say_so() {
        let (known, other) = (cluster(&[("a", 1, Some(5), 1)]), cluster(&[("a", 2, Some(0), 1)]));
        let (nothing, mut missing) = (cluster(&[]), known.clone());
        missing.topics.get_mut("a").unwrap().error = Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        let named = Topics::Named(vec!["a".into()]);
        for (fresh, topics) in [(&nothing, &Topics::All), (&missing, &named), (&other, &named)] {
            let denied = known.denied_by(topics, fresh);
            assert_eq!(denied, ["a".into()]);
            let settled = |others: Option<&[ClusterMetadata]>| {
                let mut settled = fresh.clone();
                settled.settle(&known, &denied, others);
                settled
            };
            assert_eq!(settled(None), known, "nobody else can be asked");
            assert_eq!(&settled(Some(&[])), fresh, "there is nobody else");
            assert_eq!(settled(Some(std::slice::from_ref(&known))), known);
            assert_eq!(settled(Some(&[nothing.clone(), known.clone()])), known);
            assert_eq!(&settled(Some(&[missing.clone()])), fresh);
            assert_eq!(
                settled(Some(std::slice::from_ref(&other))),
                other,
                "both say that it is not the one before"
            );
        }
        assert_eq!(known.denied_by(&named, &nothing), []);
        assert_eq!(known.denied_by(&Topics::All, &known), []);
        assert_eq!(known.denied_by(&named, &cluster(&[("a", 0, Some(5), 1)])), [], "a broker without ids");
        assert_eq!(missing.denied_by(&Topics::All, &nothing), [], "it was not there before");
    }

    #[test]
    fn an_ipv6_address_gets_brackets() {
        assert_eq!(Broker::new(BrokerId(1), "::1", 9092, None).address(), "[::1]:9092");
    }
}
