//! Sees to it that target topics keep what is copied to them, before anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{Client, ClientError, ConfigEntry};
use tracing::{info, warn};

use super::config_step::ConfigStep;
use super::configs;
use super::preserved::{self, Destroyer};
use crate::ground::config::{Flow, TopicConfigs};
use crate::ground::error::Error;
use crate::ground::park::{ParkReason, Parked};
use crate::topics::alter::{TOPICS_PER_REQUEST, alter, is_final};

/// Why nothing may be copied to a topic now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unkept {
    Parked(Parked),
    /// A change that it needs was not refused, but failed: the next one may succeed.
    Failed(Parked),
}

impl Unkept {
    pub(crate) fn parked(self) -> Parked {
        match self {
            Unkept::Parked(parked) | Unkept::Failed(parked) => parked,
        }
    }
}

/// Sets on target topics what they need. By target topic, why its partitions must not be copied to: what would destroy the copy could
/// not be changed, or may not be. `pairs`: source and target topic.
///
/// # Errors
/// Those of a cluster that does not answer.
pub(crate) async fn preserve(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[(Arc<str>, Arc<str>)],
) -> Result<BTreeMap<Arc<str>, Unkept>, Error> {
    let mut unkept = BTreeMap::new();
    for pairs in pairs.chunks(TOPICS_PER_REQUEST) {
        for (topic, of_source, of_target) in on_both(flow, source, target, pairs).await? {
            let (refused, may_pass) = set(flow, target, &topic, &of_source, &of_target).await;
            let left = left(&flow.topic_configs, flow.creates_topics, &of_source, &of_target, &refused);
            if let Some(parked) = left {
                let unkept_for = if may_pass { Unkept::Failed } else { Unkept::Parked };
                unkept.insert(topic, unkept_for(parked));
            }
        }
    }
    Ok(unkept)
}

/// The target topics that need something set before records are copied to them, whether or not it may be: they would remove, change or
/// refuse some.
///
/// # Errors
/// Those of a cluster that does not answer.
pub(crate) async fn needing(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[(Arc<str>, Arc<str>)],
) -> Result<BTreeSet<Arc<str>>, Error> {
    let mut needing = BTreeSet::new();
    for pairs in pairs.chunks(TOPICS_PER_REQUEST) {
        let described = on_both(flow, source, target, pairs).await?.into_iter();
        needing.extend(described.filter_map(|(topic, of_source, of_target)| {
            let destroyers = preserved::destroyers(&of_source, &of_target);
            let is_needed = |step: &ConfigStep| {
                preserved::is_limit(&step.key) || destroyers.iter().any(|found| found.key == step.key)
            };
            steps(flow, &of_source, &of_target).iter().any(is_needed).then_some(topic)
        }));
    }
    Ok(needing)
}

/// The settings of topics on the source and on the target, by their names on the target. What may not be described is what the brokers'
/// defaults are assumed of, and a warning says so.
async fn on_both(
    flow: &Flow,
    source: &Client,
    target: &Client,
    pairs: &[(Arc<str>, Arc<str>)],
) -> Result<Vec<(Arc<str>, Vec<ConfigEntry>, Vec<ConfigEntry>)>, Error> {
    let (sources, targets): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
    let mut on_source = described(source, &flow.source, sources).await?;
    let mut on_target = described(target, &flow.target, targets).await?;
    let both = pairs.iter().filter_map(|(source_topic, topic)| {
        Some((Arc::clone(topic), on_source.remove(source_topic)?, on_target.remove(topic)?))
    });
    Ok(both.collect())
}

/// What is to be set on a topic that is to keep what is copied to it.
fn steps(flow: &Flow, of_source: &[ConfigEntry], of_target: &[ConfigEntry]) -> Vec<ConfigStep> {
    let mut steps = configs::steps(of_source, of_target, &flow.topic_configs);
    steps.retain(|step| step.to.is_some() && preserved::protects(step));
    steps
}

/// Sets what a topic needs, as far as kmirror changes configurations at all. What was not made, and why; and whether that may pass.
async fn set(
    flow: &Flow,
    target: &Client,
    topic: &Arc<str>,
    of_source: &[ConfigEntry],
    of_target: &[ConfigEntry],
) -> (Vec<(ConfigStep, Option<Refusal>)>, bool) {
    let steps = steps(flow, of_source, of_target);
    if !flow.topic_configs.follow || !flow.creates_topics {
        return (steps.into_iter().map(|step| (step, None)).collect(), false);
    }
    if steps.is_empty() {
        return (Vec::new(), false);
    }
    let refused = alter(target, topic, &steps, false).await;
    for step in steps.iter().filter(|step| refused.iter().all(|(refused, _)| refused != *step)) {
        info!(%topic, change = %step, "configuration changed on the target, which would not keep the copy");
    }
    for (step, error) in &refused {
        warn!(%topic, change = %step, %error, "the target does not take this configuration");
    }
    let may_pass = refused.iter().any(|(_, error)| !error.is_authorization() && !is_final(error));
    let refusal = |error: ClientError| {
        Some(Refusal { is_authorization: error.is_authorization(), text: error.to_string() })
    };
    (refused.into_iter().map(|(step, error)| (step, refusal(error))).collect(), may_pass)
}

/// Why the target did not take a change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    is_authorization: bool,
    text: String,
}

/// What keeps a topic from being copied to. `refused`: changes that were not made, `None` where kmirror is not to make any. What the
/// operator has excluded is the operator's.
fn left(
    rules: &TopicConfigs,
    creates_topics: bool,
    of_source: &[ConfigEntry],
    of_target: &[ConfigEntry],
    refused: &[(ConfigStep, Option<Refusal>)],
) -> Option<Parked> {
    let by_key: BTreeMap<&str, &Option<Refusal>> =
        refused.iter().map(|(step, refusal)| (step.key.as_str(), refusal)).collect();
    let destroyers = preserved::destroyers(of_source, of_target).into_iter();
    let mut left = destroyers.filter(|found| !found.is_excluded(rules));
    let (found, refusal) = left.find_map(|found| by_key.get(found.key).map(|refusal| (found, *refusal)))?;
    let Destroyer { key, has, needs, consequence } = found;
    let problem = format!("{key}={has} on the target topic: {consequence}, and nothing would tell");
    Some(match refusal {
        Some(Refusal { is_authorization: true, text }) => Parked::new(
            ParkReason::Unauthorized,
            format!(
                "{problem}. kmirror may not set {key}={needs} ({text}); it needs ALTER_CONFIGS on the topic, or set it yourself"
            ),
        ),
        Some(Refusal { text, .. }) => {
            Parked::new(ParkReason::Rejected, format!("{problem}. The target refuses {key}={needs}: {text}"))
        }
        None => {
            let setting = if creates_topics { "topic_configs.follow" } else { "create_topics" };
            Parked::new(
                ParkReason::Rejected,
                format!(
                    "{problem}. kmirror is not to change it ({setting} is false): set {key}={needs}, or add {key} to topic_configs.exclude \
                     if that is meant"
                ),
            )
        }
    })
}

async fn described(
    client: &Client,
    alias: &str,
    names: Vec<Arc<str>>,
) -> Result<BTreeMap<Arc<str>, Vec<ConfigEntry>>, Error> {
    let described = client.describe_topic_configs(&names).await;
    let described = described.map_err(|error| Error::cluster(alias, error))?;
    Ok(described.into_iter().filter_map(|(name, entries)| Some((name, entries.ok()?))).collect())
}
