//! What a flow would do with topics and their configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kmirror_client::{Client, ClientError, ConfigEntry, KafkaError, NewTopic};

use crate::follow::configs as follower;
use crate::follow::mm2;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::park::ParkReason;
use crate::logs::records;
use crate::state_topic::topic_record::TopicRecord;
use crate::topics::alter;
use crate::topics::config_step::ConfigStep;
use crate::topics::{RefusedTopic, create};
use crate::topics::{TopicPair, preserved};

/// What would be done with one topic of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPlan {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source that it is the copy of; `None` for those in which kmirror writes something of its own.
    pub source_topic: Option<String>,
    /// The topic on the target.
    pub target_topic: String,
    /// What would be done.
    pub step: TopicStep,
    /// Why.
    pub reason: String,
}

/// What would be done with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicStep {
    /// Create it.
    Create {
        /// With so many partitions.
        partitions: i32,
        /// With so many replicas; `None` for the default of the target's brokers.
        replication_factor: Option<i16>,
        /// With this set on the topic itself, key and value.
        configs: Vec<(String, String)>,
    },
    /// Add partitions to it.
    AddPartitions {
        /// How many it has.
        from: i32,
        /// How many it would have.
        to: i32,
    },
    /// Delete it, for its source topic was.
    Delete {
        /// Not before, in milliseconds since the epoch.
        due_ms: i64,
    },
    /// Nothing: it cannot be copied.
    Refuse {
        /// As which its partitions would be parked.
        reason: ParkReason,
    },
    /// Wait until somebody has done that.
    Await {
        /// How many it has; `None` where it does not exist.
        from: Option<i32>,
        /// How many it should have.
        to: i32,
    },
}

/// A configuration of a topic that would be changed on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigPlan {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The change.
    pub step: ConfigStep,
    /// Why.
    pub reason: String,
}

impl fmt::Display for TopicStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicStep::Create { partitions, replication_factor, configs } => {
                write!(formatter, "create with {}", counted(*partitions))?;
                if let Some(factor) = replication_factor {
                    write!(formatter, ", replication factor {factor}")?;
                }
                configs.iter().try_for_each(|(key, value)| write!(formatter, ", {key}={value}"))
            }
            TopicStep::AddPartitions { from, to } => write!(formatter, "from {from} to {}", counted(*to)),
            TopicStep::Delete { due_ms } => {
                let seconds = due_ms.saturating_sub(records::now_ms()).max(0) / 1_000;
                write!(formatter, "delete in {seconds} s")
            }
            TopicStep::Await { from: None, to } => {
                write!(formatter, "wait for somebody to create it with {}", counted(*to))
            }
            TopicStep::Refuse { reason } => write!(formatter, "not copied: {reason}"),
            TopicStep::Await { from: Some(from), to } => {
                write!(formatter, "wait for somebody to add partitions, from {from} to {to}")
            }
        }
    }
}

fn counted(partitions: i32) -> String {
    format!("{partitions} partition{}", if partitions == 1 { "" } else { "s" })
}

/// Plans the topics of a flow: the copies, and those that kmirror writes beside them. The metadata of both clusters is fresh.
pub(super) async fn of_flow(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[TopicPair],
    notes: &mut Vec<String>,
) -> Result<Vec<TopicPlan>, Error> {
    let mut plans = Vec::new();
    let state_topic = records::description(&flow.state_topic, flow.state_replication_factor);
    plans.extend(beside(flow, target, state_topic, "it holds what the target's logs cannot tell"));
    if flow.mm2_topics.heartbeats {
        for name in mm2::heartbeats::topics(flow) {
            let topic = records::description(&name, mm2::replication_factor(flow));
            plans.extend(beside(flow, target, topic, "heartbeats are written there (mm2_topics)"));
        }
    }
    if let Some((client, name)) = mm2::offset_syncs::topic(flow, source, target) {
        let topic = records::description(&name, mm2::replication_factor(flow));
        let reason = format!("offset syncs are written there, on {} (mm2_topics)", client.alias());
        plans.extend(beside(flow, client, topic, &reason));
    }
    if flow.creates_topics {
        plans.extend(created_copies(flow, source, target, pairs, notes).await?);
    }
    let differing = pairs.iter().filter_map(|pair| {
        let (from, to) = (pair.target_partitions, pair.partitions);
        let step = match from {
            Some(from) if pair.lacks_partitions() && flow.creates_topics => {
                TopicStep::AddPartitions { from, to }
            }
            Some(_) if pair.lacks_partitions() => TopicStep::Await { from, to },
            None if !flow.creates_topics => TopicStep::Await { from, to },
            _ => return None,
        };
        let mut reason = format!("the source topic has {}", counted(to));
        if !flow.creates_topics {
            reason += ", and topics are left to somebody else (create_topics: false)";
        }
        let (source_topic, target_topic) = (Some(pair.source.to_string()), pair.target.to_string());
        Some(TopicPlan { flow: flow.name(), source_topic, target_topic, step, reason })
    });
    plans.extend(differing);
    Ok(plans)
}

/// The topics that would be deleted.
pub(super) fn of_deletions(flow: &Flow, deletions: &BTreeMap<Arc<str>, TopicRecord>) -> Vec<TopicPlan> {
    let due =
        deletions.iter().filter_map(|(target, record)| Some((target, record, record.deletion.as_ref()?)));
    due.map(|(target, record, deletion)| TopicPlan {
        flow: flow.name(),
        source_topic: Some(record.source.topic.clone()),
        target_topic: target.to_string(),
        step: TopicStep::Delete { due_ms: deletion.due_ms },
        reason: "the source topic was deleted (on_deleted), if the target's is then what it was".to_owned(),
    })
    .collect()
}

/// The topics that would be created, as the target would take them, and those that would not; the target is asked. `notes`: what of a
/// topic it would not take.
async fn created_copies(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[TopicPair],
    notes: &mut Vec<String>,
) -> Result<Vec<TopicPlan>, Error> {
    let create::Missing { topics, refused } = create::missing(flow, source, target, pairs).await?;
    let mut plans: Vec<_> = refused.into_iter().map(|refused| refused_copy(flow, refused)).collect();
    if topics.is_empty() {
        return Ok(plans);
    }
    let new: Vec<NewTopic> = topics.iter().map(|(_, topic)| topic.clone()).collect();
    let answers = target.create_topics(&new, true).await;
    let answers = answers.map_err(|error| Error::cluster(&flow.target, error))?;
    for ((pair, topic), (_, answer)) in topics.into_iter().zip(answers) {
        let (topic, without) = match answer {
            Ok(_) => (topic, Vec::new()),
            Err(error) if error.kafka_error() == Some(KafkaError::INVALID_CONFIG) => {
                let known = create::with_known_configs(target, topic).await;
                if known.1.is_empty() {
                    plans.push(refused_copy(flow, pair.refused(create::not_created(&error))));
                    continue;
                }
                known
            }
            Err(error) => {
                plans.push(refused_copy(flow, pair.refused(create::not_created(&error))));
                continue;
            }
        };
        notes.extend(without.iter().map(|(key, value, error)| {
            format!("{}: {}: it would be created without {key}={value}: {error}", flow.name(), topic.name)
        }));
        plans.push(created(flow, Some(pair.source.to_string()), topic, "the target does not have it"));
    }
    Ok(plans)
}

/// A copy that would not be made.
pub(super) fn refused_copy(flow: &Flow, refused: RefusedTopic) -> TopicPlan {
    let RefusedTopic { pair, parked } = refused;
    TopicPlan {
        flow: flow.name(),
        source_topic: Some(pair.source.to_string()),
        target_topic: pair.target.to_string(),
        step: TopicStep::Refuse { reason: parked.reason },
        reason: parked.message,
    }
}

/// The topic of MirrorMaker's checkpoints, which is created with the first of them.
pub(super) fn of_checkpoints(flow: &Flow, target: &Client, has_groups: bool) -> Option<TopicPlan> {
    let name = mm2::checkpoints::topic(flow);
    let topic = records::description(&name, mm2::replication_factor(flow));
    (flow.mm2_topics.checkpoints && has_groups)
        .then(|| beside(flow, target, topic, "checkpoints of groups are written there (mm2_topics)"))?
}

/// A topic beside the copies, if it is not there.
fn beside(flow: &Flow, client: &Client, topic: NewTopic, reason: &str) -> Option<TopicPlan> {
    let metadata = client.metadata();
    let is_there = metadata.topic(&topic.name).is_some_and(|topic| topic.error.is_none());
    (!is_there).then(|| created(flow, None, topic, reason))
}

fn created(flow: &Flow, source_topic: Option<String>, topic: NewTopic, reason: &str) -> TopicPlan {
    TopicPlan {
        flow: flow.name(),
        source_topic,
        target_topic: topic.name.to_string(),
        step: TopicStep::Create {
            partitions: topic.partitions,
            replication_factor: Some(topic.replication_factor).filter(|factor| *factor > 0),
            configs: topic.configs,
        },
        reason: reason.to_owned(),
    }
}

/// What becomes of copies whose topic keeps a configuration that would destroy them, because the operator has excluded it: in `check`'s
/// words.
pub(super) async fn destroyed(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[&TopicPair],
    notes: &mut Vec<String>,
) -> Result<(), ClientError> {
    if !preserved::excludes_any(&flow.topic_configs) {
        return Ok(());
    }
    let on_source = described(source, pairs.iter().map(|pair| &pair.source)).await?;
    let there = pairs.iter().filter(|pair| pair.target_partitions.is_some());
    let on_target = described(target, there.map(|pair| &pair.target)).await?;
    // Of a topic that is not there: what it gets where the key is left to the brokers.
    let defaults = create::broker_defaults(target).await.unwrap_or_default();
    for pair in pairs {
        let Some(of_source) = on_source.get(&pair.source) else { continue };
        let of_target = match pair.target_partitions {
            Some(_) => on_target.get(&pair.target).map(Vec::as_slice).unwrap_or_default(),
            None => &defaults,
        };
        let found = preserved::destroyers(of_source, of_target).into_iter();
        notes.extend(found.filter(|found| found.is_excluded(&flow.topic_configs)).map(|found| {
            format!("{}: {}: {found}; {}", flow.name(), pair.target, preserved::ADVICE_WHERE_EXCLUDED)
        }));
    }
    Ok(())
}

/// The configurations of topics, as far as they may be read.
async fn described(
    client: &Client,
    topics: impl Iterator<Item = &Arc<str>>,
) -> Result<BTreeMap<Arc<str>, Vec<ConfigEntry>>, ClientError> {
    let topics: Vec<_> = topics.cloned().collect();
    let mut entries = BTreeMap::new();
    for topics in topics.chunks(alter::TOPICS_PER_REQUEST) {
        let described = client.describe_topic_configs(topics).await?.into_iter();
        entries.extend(described.filter_map(|(topic, entries)| Some((topic, entries.ok()?))));
    }
    Ok(entries)
}

/// Plans the configurations of topics that are on both sides.
pub(super) async fn configs(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[&TopicPair],
    notes: &mut Vec<String>,
) -> Result<Vec<ConfigPlan>, ClientError> {
    if !flow.topic_configs.follow {
        return Ok(Vec::new());
    }
    let on_both = pairs.iter().filter(|pair| pair.target_partitions.is_some());
    let on_both: Vec<_> = on_both.map(|pair| (Arc::clone(&pair.source), Arc::clone(&pair.target))).collect();
    let mut plans = Vec::new();
    for (topic, mut steps) in follower::plan(source, target, &on_both, &flow.topic_configs).await? {
        // What the target does not take stays different. Whoever may not change it may be somebody else than who will run it.
        for (refused, error) in alter::alter(target, &topic, &steps, true).await {
            notes.push(format!("{}: {topic}: {refused}: the target does not take it: {error}", flow.name()));
            steps.retain(|step| *step != refused || error.is_authorization());
        }
        plans.extend(steps.into_iter().map(|step| {
            ConfigPlan {
                flow: flow.name(),
                target_topic: topic.to_string(),
                reason: match &step.to {
                    Some(_) => "so it is on the source",
                    None => "it is not set on the source topic",
                }
                .to_owned(),
                step,
            }
        }));
    }
    Ok(plans)
}
