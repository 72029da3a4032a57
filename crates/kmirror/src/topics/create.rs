//! Creates the target topics that do not exist. One that cannot be created holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{Client, ClientError, ConfigEntry, KafkaError, NewTopic, Retry, Topics};
use tracing::{info, warn};

use super::{RefusedTopic, TopicPair, preserved};
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::park::{ParkReason, Parked};

/// What became of the topics that did not exist.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// The target topics that were created.
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// Those that the target has already, though it did not show them.
    pub(crate) there: Vec<TopicPair>,
    /// Those that cannot be.
    pub(crate) refused: Vec<RefusedTopic>,
    /// Those that were not created now and may be at the next look, and why.
    pub(crate) put_off: Vec<(TopicPair, String)>,
}

/// The target topics that do not exist.
#[derive(Debug, Default)]
pub(crate) struct Missing<'a> {
    /// How each would be created, with the source's partition count and the configuration that is set on the source topic itself.
    pub(crate) topics: Vec<(&'a TopicPair, NewTopic)>,
    /// Those of which that is not known.
    pub(crate) refused: Vec<RefusedTopic>,
}

/// Creates the target topics that do not exist. Others may be faster; what theirs look like will be seen with the metadata.
///
/// # Errors
/// A cluster that does not answer.
pub(crate) async fn create_missing(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[TopicPair],
) -> Result<Created, Error> {
    let Missing { topics, refused } = missing(flow, source, target, pairs).await?;
    let mut created = Created { refused, ..Created::default() };
    for (pair, topic) in topics {
        match create(flow, target, topic).await {
            Ok(true) => drop(created.topics.insert(Arc::clone(&pair.target))),
            Ok(false) => created.there.push(pair.clone()),
            Err(error) if error.kafka_error().is_none() => return Err(Error::cluster(&flow.target, error)),
            Err(error) if error.retry() != Retry::Never => {
                created.put_off.push((pair.clone(), format!("it is not created on the target yet: {error}")));
            }
            Err(error) => created.refused.push(pair.refused(not_created(&error))),
        }
    }
    Ok(created)
}

/// The target topics that do not exist, as they would be created.
///
/// # Errors
/// A cluster that does not answer.
pub(crate) async fn missing<'a>(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &'a [TopicPair],
) -> Result<Missing<'a>, Error> {
    let mut missing = Missing::default();
    let absent: Vec<_> = pairs.iter().filter(|pair| pair.target_partitions.is_none()).collect();
    if absent.is_empty() {
        return Ok(missing);
    }
    let names: Vec<_> = absent.iter().map(|pair| Arc::clone(&pair.source)).collect();
    let described = source.describe_topic_configs(&names).await;
    let described = described.map_err(|error| Error::cluster(&flow.source, error))?;
    let mut configs: BTreeMap<Arc<str>, _> = described.into_iter().collect();
    let defaults = broker_defaults(target).await;
    for pair in absent {
        match configs.remove(&pair.source) {
            Some(Ok(entries)) => {
                missing.topics.push((pair, pair.new_topic(flow, &entries, defaults.as_deref())));
            }
            Some(Err(error)) => missing.refused.push(pair.refused(not_described(&error))),
            // Gone since the metadata was read.
            None => {}
        }
    }
    Ok(missing)
}

/// What applies to a topic of a cluster that has nothing set itself; `None` where its brokers do not tell.
pub(crate) async fn broker_defaults(client: &Client) -> Option<Vec<ConfigEntry>> {
    let broker = client.metadata().brokers.keys().next().copied()?;
    let described = client.describe_broker_config(broker).await.ok()?;
    Some(preserved::defaults_of(&described)).filter(|defaults| !defaults.is_empty())
}

/// Whether it was created; not where somebody else was faster.
async fn create(flow: &Flow, target: &Client, topic: NewTopic) -> Result<bool, ClientError> {
    let error = match create_one(target, topic.clone(), false).await {
        Ok(()) => {
            info!(flow = flow.name(), topic = %topic.name, partitions = topic.partitions, "created on the target");
            return Ok(true);
        }
        Err(error) => error,
    };
    match error.kafka_error() {
        Some(KafkaError::TOPIC_ALREADY_EXISTS) => Ok(false),
        Some(KafkaError::INVALID_CONFIG) if !topic.configs.is_empty() => {
            create_with_known_configs(flow, target, topic).await.map(|()| true)
        }
        _ => Err(error),
    }
}

async fn create_with_known_configs(flow: &Flow, target: &Client, topic: NewTopic) -> Result<(), ClientError> {
    let (topic, refused) = with_known_configs(target, topic).await;
    for (key, value, error) in refused {
        warn!(flow = flow.name(), topic = %topic.name, config = key, value, %error,
            "the target does not accept this configuration; the topic is created without it");
    }
    create_one(target, topic, false).await
}

/// A topic without the configurations that the target refuses, and these, with their values and why. A release may not know one of
/// another (`message.format.version` is gone in 4.0). Which one it is, the broker does not say in a form that a program could rely on;
/// so each is tried alone, without creating anything.
pub(crate) async fn with_known_configs(
    target: &Client,
    topic: NewTopic,
) -> (NewTopic, Vec<(String, String, ClientError)>) {
    let (mut known, mut refused) = (Vec::new(), Vec::new());
    for (key, value) in &topic.configs {
        let alone = NewTopic { configs: vec![(key.clone(), value.clone())], ..topic.clone() };
        match create_one(target, alone, true).await {
            Err(error) if error.kafka_error() == Some(KafkaError::INVALID_CONFIG) => {
                refused.push((key.clone(), value.clone(), error));
            }
            _ => known.push((key.clone(), value.clone())),
        }
    }
    (NewTopic { configs: known, ..topic }, refused)
}

async fn create_one(target: &Client, topic: NewTopic, validate_only: bool) -> Result<(), ClientError> {
    let answers = target.create_topics(&[topic], validate_only).await?;
    match answers.into_iter().next() {
        Some((_, answer)) => answer.map(|_| ()),
        None => Err(ClientError::InvalidResponse {
            address: target.alias().into(),
            api: "CreateTopics",
            problem: "it leaves the topic out".into(),
        }),
    }
}

/// The topics among these that the target has and does not show. A list of all topics leaves out what may not be seen; only a question for
/// the topic itself tells which it is (`KafkaApis.handleTopicMetadataRequest`).
///
/// # Errors
/// A cluster that does not answer.
pub(crate) async fn hidden(
    flow: &Flow,
    target: &Client,
    there: Vec<TopicPair>,
) -> Result<Vec<RefusedTopic>, Error> {
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let names = there.iter().map(|pair| Arc::clone(&pair.target)).collect();
    let named = target.refresh_metadata(Topics::Named(names)).await;
    let named = named.map_err(|error| Error::cluster(&flow.target, error))?;
    let is_hidden = |pair: &TopicPair| {
        named.topic(&pair.target).and_then(|topic| topic.error).is_some_and(|error| error.is_authorization())
    };
    let parked = |pair: &TopicPair| {
        let problem = format!(
            "the target has {:?} and does not show it; kmirror needs DESCRIBE on the topic",
            pair.target
        );
        pair.refused(Parked::new(ParkReason::Unauthorized, problem))
    };
    Ok(there.iter().filter(|pair| is_hidden(pair)).map(parked).collect())
}

/// Why a topic cannot be created on the target.
pub(crate) fn not_created(error: &ClientError) -> Parked {
    let advice =
        if error.is_authorization() { "; kmirror needs CREATE on the topic or the cluster" } else { "" };
    Parked::new(ParkReason::of_refusal(error), format!("it cannot be created on the target: {error}{advice}"))
}

fn not_described(error: &ClientError) -> Parked {
    let advice = if error.is_authorization() { "; kmirror needs DESCRIBE_CONFIGS on it" } else { "" };
    Parked::new(
        ParkReason::of_refusal(error),
        format!("the source topic's configuration cannot be read: {error}{advice}"),
    )
}
