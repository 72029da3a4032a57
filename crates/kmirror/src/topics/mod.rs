//! Topics of a flow: which are copied, what they are called on the target, how they are created there, grow, and get their
//! configuration. The plan is pure; applying it is not.

pub(crate) mod alter;
pub(crate) mod config_step;
pub(crate) mod configs;
pub(crate) mod create;
pub(crate) mod preserve;
pub(crate) mod preserved;
pub(crate) mod rule;
pub(crate) mod taken;

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{Client, ClusterMetadata, ConfigEntry, NewTopic, TopicId, TopicMetadata};
use kmirror_codec::{HoleFill, Timestamps};
use tracing::{info, warn};

use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::rules::TargetRules;
use crate::ground::rules::TopicRules;
use crate::ground::selection::TopicMatcher;
use crate::ground::status::MissingReason;

/// A topic that a flow copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPair {
    pub(crate) source: Arc<str>,
    pub(crate) target: Arc<str>,
    /// The source's partition count.
    pub(crate) partitions: i32,
    /// The target's, if the topic exists there.
    pub(crate) target_partitions: Option<i32>,
    /// The source's replication factor.
    pub(crate) replication_factor: i16,
}

impl TopicPair {
    /// Whether the target topic is there, with less partitions than the source's.
    pub(crate) fn lacks_partitions(&self) -> bool {
        self.target_partitions.is_some_and(|has| has < self.partitions)
    }

    /// It cannot be copied.
    pub(crate) fn refused(&self, parked: Parked) -> RefusedTopic {
        RefusedTopic { pair: self.clone(), parked }
    }

    /// How the target topic is created where the source's has this configuration. `defaults`: what applies to a topic on the target that
    /// has nothing set, where that is known.
    fn new_topic(&self, flow: &Flow, entries: &[ConfigEntry], defaults: Option<&[ConfigEntry]>) -> NewTopic {
        NewTopic {
            name: Arc::clone(&self.target),
            partitions: self.partitions,
            replication_factor: flow.replication_factor.of(self.replication_factor),
            configs: configs::desired(entries, defaults, &flow.topic_configs).into_iter().collect(),
        }
    }
}

/// The topics that a flow copies, and those that it cannot copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicPairs {
    pub(crate) copied: Vec<TopicPair>,
    pub(crate) refused: Vec<RefusedTopic>,
}

/// A topic that is selected and cannot be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedTopic {
    pub(crate) pair: TopicPair,
    pub(crate) parked: Parked,
}

impl RefusedTopic {
    /// The topic on the source, and why nothing of it is copied.
    pub(crate) fn missing(self) -> (Arc<str>, MissingReason) {
        (self.pair.source, MissingReason::Refused(self.parked))
    }
}

impl TopicPairs {
    /// All of them, for who says nothing of some of them only.
    ///
    /// # Errors
    /// The first one that cannot be copied.
    pub(crate) fn all(self, flow: &Flow) -> Result<Vec<TopicPair>, Error> {
        match self.refused.into_iter().next() {
            None => Ok(self.copied),
            Some(refused) => Err(Error::TopicRefused {
                flow: flow.name(),
                topic: refused.pair.source.to_string(),
                parked: refused.parked,
            }),
        }
    }
}

/// Pairs the selected topics of the source with their names on the target. Of two that would have one name there the first is copied.
pub(crate) fn pair(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: &ClusterMetadata,
    target: &ClusterMetadata,
) -> TopicPairs {
    let mut by_target: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut pairs = TopicPairs::default();
    let topics: BTreeMap<_, _> = source.topics.iter().collect();
    for (topic_name, topic) in topics {
        if !rule::of_topic(flow, matcher, topic_name, topic).selects() {
            continue;
        }
        let name = flow.naming.target_topic(&flow.source, topic_name);
        let pair = TopicPair {
            source: Arc::clone(topic_name),
            partitions: partition_count(topic),
            replication_factor: replication_factor(topic),
            target_partitions: target.topic(&name).filter(|topic| topic.error.is_none()).map(partition_count),
            target: Arc::from(name.as_str()),
        };
        match by_target.get(&name) {
            Some(first) => pairs.refused.push(pair.refused(collides_with(first, &name))),
            None => {
                by_target.insert(name, Arc::clone(topic_name));
                pairs.copied.push(pair);
            }
        }
    }
    pairs
}

fn collides_with(first: &str, target: &str) -> Parked {
    Parked::new(
        ParkReason::Rejected,
        format!(
            "{first:?} maps to {target:?} on the target as well; topics can only be merged with `offsets: mapped`"
        ),
    )
}

/// The id of a topic; none where the cluster does not have the topic, or knows no ids.
pub(crate) fn topic_id(metadata: &ClusterMetadata, topic: &str) -> TopicId {
    metadata.topic(topic).map_or(TopicId::NONE, |topic| topic.id)
}

/// How many partitions a topic has.
pub(crate) fn partition_count(topic: &TopicMetadata) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

pub(crate) fn replication_factor(topic: &TopicMetadata) -> i16 {
    let replicas = topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(1);
    i16::try_from(replicas).unwrap_or(i16::MAX)
}

/// Adds partitions to the target topics that have less than their sources. What cannot be done is told; such partitions park.
pub(crate) async fn grow<'a>(
    flow: &Flow,
    target: &Client,
    pairs: impl IntoIterator<Item = &'a TopicPair>,
) -> Result<bool, Error> {
    let grown = pairs.into_iter().filter(|pair| pair.lacks_partitions());
    let totals: Vec<_> = grown.map(|pair| (Arc::clone(&pair.target), pair.partitions)).collect();
    if totals.is_empty() {
        return Ok(false);
    }
    let grown = target.create_partitions(&totals, false).await;
    let mut has_grown = false;
    for (topic, result) in grown.map_err(|error| Error::cluster(&flow.target, error))? {
        match result {
            Ok(()) => {
                has_grown = true;
                info!(flow = flow.name(), %topic, "partitions added on the target, as on the source");
            }
            Err(error) => {
                warn!(flow = flow.name(), %topic, %error, "partitions cannot be added on the target; kmirror needs ALTER on the topic")
            }
        }
    }
    Ok(has_grown)
}

/// What becomes of a partition that the target topic does not have.
pub(crate) fn missing_partition(pair: &TopicPair, number: i32) -> Option<Parked> {
    let partitions = pair.target_partitions?;
    (number >= partitions).then(|| lacks(pair.partitions, partitions))
}

/// What becomes of the partitions that only the source topic has.
pub(crate) fn lacks(of_source: i32, of_target: i32) -> Parked {
    Parked::new(
        ParkReason::Rejected,
        format!(
            "the source topic has {of_source} partitions, the target topic only {of_target}; add partitions to it"
        ),
    )
}

/// What the target's topics ask of the batches that are appended to them.
pub(crate) async fn rules(
    flow: &Flow,
    target: &Client,
    names: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, TopicRules>, Error> {
    let described = target.describe_topic_configs(names).await;
    let described = described.map_err(|error| Error::cluster(&flow.target, error))?;
    let mut rules = BTreeMap::new();
    for (name, entries) in described {
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                warn!(flow = flow.name(), topic = %name, %error, "cannot read the target topic's configuration; its defaults are assumed");
                Vec::new()
            }
        };
        rules.insert(name, rules_of(&entries));
    }
    Ok(rules)
}

fn rules_of(entries: &[ConfigEntry]) -> TopicRules {
    let value =
        |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref());
    let cleans_by = |wanted| {
        value("cleanup.policy").is_some_and(|policy| policy.split(',').any(|part| part.trim() == wanted))
    };
    let is_compacted = cleans_by("compact");
    let keeps_timestamps = value("message.timestamp.type") != Some("LogAppendTime");
    let batches = TargetRules {
        batch_bytes_max: value("max.message.bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(MESSAGE_BYTES_MAX_DEFAULT),
        holes: if is_compacted { HoleFill::Repeats } else { HoleFill::Markers },
        // A topic with create times would show the producers' times of a batch whose readers saw its append time.
        timestamps: if keeps_timestamps { Timestamps::FromAppendTime } else { Timestamps::Keep },
    };
    TopicRules { batches, is_compacted, is_retained_for_a_time: cleans_by("delete"), keeps_timestamps }
}

/// `TopicConfig.MAX_MESSAGE_BYTES_CONFIG`: 1 MiB and the overhead of a batch.
const MESSAGE_BYTES_MAX_DEFAULT: usize = 1_048_588;

#[cfg(test)]
mod tests {
    use kmirror_client::{ConfigSource, KafkaError};

    use super::*;
    use crate::ground::config::Naming;
    use crate::test_support::cluster;

    #[test]
    fn selected_topics_are_paired_with_their_names_on_the_target() {
        let source = cluster(&[("b", 3), ("a", 1), ("a.tmp", 1), ("other", 1)]);
        let target = cluster(&[("east.b", 5), ("a", 2)]);
        let flow = Flow::new("east", "west")
            .topics(["a.*", "b"])
            .exclude_topics([r".*\.tmp"])
            .naming(Naming::Prefixed);
        let pairs = pairs(&flow, &source, &target).expect("no collision");
        let shown: Vec<_> = pairs
            .iter()
            .map(|pair| (&*pair.source, &*pair.target, pair.partitions, pair.target_partitions))
            .collect();
        assert_eq!(shown, [("a", "east.a", 1, None), ("b", "east.b", 3, Some(5))]);
    }

    #[test]
    fn internal_topics_and_those_with_errors_are_left_out() {
        let mut source = cluster(&[("__consumer_offsets", 50), ("internal", 1), ("gone", 1), ("a", 1)]);
        source.topics.get_mut("internal").expect("there").is_internal = true;
        source.topics.get_mut("gone").expect("there").error = Some(KafkaError::TOPIC_AUTHORIZATION_FAILED);
        let mut target = cluster(&[("a", 1)]);
        target.topics.get_mut("a").expect("there").error = Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        let pairs = pairs(&Flow::new("east", "west").topics([".*"]), &source, &target).expect("no collision");
        assert_eq!(pairs.len(), 1);
        assert_eq!((&*pairs[0].source, pairs[0].target_partitions), ("a", None), "not there yet");
    }

    #[test]
    fn two_topics_with_one_name_on_the_target_collide() {
        let flow = Flow::new("east", "west").topics(["a", "b"]).naming(Naming::Template("all".to_owned()));
        let (source, target) = (cluster(&[("a", 1), ("b", 1)]), cluster(&[]));
        let matcher = flow.topics.compile().expect("valid patterns");
        let found = pair(&flow, &matcher, &source, &target);
        let names = |pairs: &TopicPairs| {
            (pairs.copied[0].source.to_string(), pairs.refused[0].pair.source.to_string())
        };
        assert_eq!(names(&found), ("a".to_owned(), "b".to_owned()), "the first one is copied");
        let text = found.refused[0].parked.to_string();
        assert!(text.contains("\"a\" maps to \"all\""), "{text}");
        assert!(matches!(found.all(&flow), Err(Error::TopicRefused { topic, .. }) if topic == "b"));
        // What is left out cannot collide.
        let flow = flow.exclude_topics(["b"]);
        assert_eq!(
            pairs(&flow, &cluster(&[("a", 1), ("b", 1)]), &cluster(&[])).map(|pairs| pairs.len()).ok(),
            Some(1)
        );
    }

    #[test]
    fn what_is_set_on_the_topic_is_copied_but_what_suits_only_its_brokers() {
        let entries = [
            entry("cleanup.policy", "compact", ConfigSource::DynamicTopic),
            entry("retention.ms", "100", ConfigSource::DynamicTopic),
            entry("segment.bytes", "1", ConfigSource::StaticBroker),
            entry("flush.ms", "1", ConfigSource::DynamicDefaultBroker),
            entry("index.interval.bytes", "1", ConfigSource::Default),
            entry("min.insync.replicas", "3", ConfigSource::DynamicTopic),
            entry("message.timestamp.type", "LogAppendTime", ConfigSource::DynamicTopic),
            entry("leader.replication.throttled.replicas", "*", ConfigSource::DynamicTopic),
            ConfigEntry { value: None, ..entry("secret", "", ConfigSource::DynamicTopic) },
        ];
        let configuration =
            configs::desired(&entries, Some(&[]), &crate::ground::config::TopicConfigs::default());
        let shown: Vec<_> =
            configuration.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("cleanup.policy", "compact"), ("retention.ms", "100")]);
    }

    #[test]
    fn rules_follow_from_the_targets_configuration() {
        let rules = |name: &str, value: &str| rules_of(&[entry(name, value, ConfigSource::Default)]);
        for (policy, is_compacted, holes) in [
            ("delete", false, HoleFill::Markers),
            ("compact", true, HoleFill::Repeats),
            ("compact,delete", true, HoleFill::Repeats),
            ("delete, compact", true, HoleFill::Repeats),
            ("", false, HoleFill::Markers),
        ] {
            let rules = rules("cleanup.policy", policy);
            assert_eq!((rules.is_compacted, rules.batches.holes), (is_compacted, holes), "{policy:?}");
        }
        for (kind, keeps, timestamps) in
            [("CreateTime", true, Timestamps::FromAppendTime), ("LogAppendTime", false, Timestamps::Keep)]
        {
            let rules = rules("message.timestamp.type", kind);
            assert_eq!((rules.keeps_timestamps, rules.batches.timestamps), (keeps, timestamps));
        }
        assert_eq!(rules("max.message.bytes", "5000").batches.batch_bytes_max, 5_000);
        for unknown in ["", "-1", "many"] {
            assert_eq!(
                rules("max.message.bytes", unknown).batches.batch_bytes_max,
                MESSAGE_BYTES_MAX_DEFAULT
            );
        }
        let defaults = rules_of(&[]);
        assert!(!defaults.is_compacted && defaults.keeps_timestamps);
    }

    fn pairs(
        flow: &Flow,
        source: &ClusterMetadata,
        target: &ClusterMetadata,
    ) -> Result<Vec<TopicPair>, Error> {
        pair(flow, &flow.topics.compile().expect("valid patterns"), source, target).all(flow)
    }

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        ConfigEntry { name, value, source, is_sensitive: false, read_only: false }
    }
}
