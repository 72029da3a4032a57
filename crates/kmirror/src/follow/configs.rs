//! The task that lets configurations of topics follow, beside a flow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{Client, ClientError, ConfigEntry, Moment, Topics};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::patience::Patience;
use crate::follow::rounds::Rounds;
use crate::ground::config::{Flow, TopicConfigs};
use crate::ground::shared::FlowShared;
use crate::ground::status::PartitionState;
use crate::topics::alter::{TOPICS_PER_REQUEST, alter, is_final};
use crate::topics::config_step::ConfigStep;
use crate::topics::configs;

/// Compares the configurations of each topic on both sides now and then, and changes the target's.
pub(crate) struct ConfigFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    rules: TopicConfigs,
    patience: Patience<Setting>,
    /// To what each configuration was to be changed last, by topic and key.
    wanted: BTreeMap<(Arc<str>, String), Setting>,
    /// Whether the last look failed: a failure that lasts is told once.
    is_failing: bool,
}

impl ConfigFollower {
    pub(crate) fn new(
        flow: &Flow,
        source: Client,
        target: Client,
        shared: Arc<FlowShared>,
    ) -> ConfigFollower {
        let rules = flow.topic_configs.clone();
        ConfigFollower {
            source,
            target,
            shared,
            rules,
            patience: Patience::default(),
            wanted: BTreeMap::new(),
            is_failing: false,
        }
    }

    /// Follows until it is stopped, and once more then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.rules.interval, stop);
        while rounds.next().await {
            match self.follow().await {
                Ok(()) => self.is_failing = false,
                Err(error) if self.is_failing => debug!(%error, "configurations do not follow"),
                Err(error) => {
                    self.is_failing = true;
                    let advice = match error.is_authorization() {
                        true => "kmirror needs DESCRIBE_CONFIGS on the topics of both clusters",
                        false => "it is tried again",
                    };
                    warn!(%error, advice, "configurations do not follow");
                }
            }
        }
    }

    async fn follow(&mut self) -> Result<(), ClientError> {
        let pairs: Vec<_> = self.settled_topics().into_iter().collect();
        for pairs in pairs.chunks(TOPICS_PER_REQUEST) {
            let plan = plan(&self.source, &self.target, pairs, &self.rules).await?;
            if plan.is_empty() {
                continue;
            }
            // What was described is what it was taken for only if the topics are the same still: one may have been created again.
            self.source.refresh_metadata(Topics::All).await?;
            self.target.refresh_metadata(Topics::All).await?;
            let settled = self.settled_topics();
            let is_settled = |topic: &Arc<str>| settled.iter().any(|(_, settled)| settled == topic);
            for (topic, steps) in plan.into_iter().filter(|(topic, _)| is_settled(topic)) {
                self.apply(&topic, steps).await;
            }
        }
        Ok(())
    }

    /// Topics that are copied. While the head of a log is filled, its topic has a policy that is not its own.
    fn settled_topics(&self) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let (mut settled, mut unsettled) = (BTreeSet::new(), BTreeSet::new());
        for partition in self.shared.owned(&self.source.metadata(), &self.target.metadata()) {
            let is_settled =
                !matches!(partition.gauge.state(), PartitionState::Starting | PartitionState::Seeding);
            let topics = if is_settled { &mut settled } else { &mut unsettled };
            topics.insert((partition.source_topic, partition.target_topic));
        }
        settled.difference(&unsettled).cloned().collect()
    }

    /// What a configuration is to be changed to now. Where it was to be changed to something else before, that does not count any more.
    fn wants(&mut self, topic: &Arc<str>, step: &ConfigStep) -> Setting {
        let setting = Setting::of(topic, step);
        let before = self.wanted.insert((Arc::clone(topic), step.key.clone()), setting.clone());
        if let Some(before) = before.filter(|before| *before != setting) {
            self.patience.forget(&before);
        }
        setting
    }

    async fn apply(&mut self, topic: &Arc<str>, mut steps: Vec<ConfigStep>) {
        let now = Moment::now();
        steps.retain(|step| {
            let setting = self.wants(topic, step);
            self.patience.may_ask(&setting, now) && self.patience.may_return(&setting, now)
        });
        if steps.is_empty() {
            return;
        }
        let refused = alter(&self.target, topic, &steps, false).await;
        let is_refused = |step: &&ConfigStep| refused.iter().any(|(refused, _)| refused == *step);
        for step in steps.iter().filter(|step| !is_refused(step)) {
            let setting = Setting::of(topic, step);
            let is_contested = self.patience.made(&setting, now);
            // A controller has taken it: where it is another one the next time, somebody has set that.
            self.patience.seen(|made| *made == setting);
            if is_contested {
                warn!(%topic, change = %step,
                    "somebody else sets this configuration on the target again and again: it is changed back less and less often. Exclude it \
                     (topic_configs.exclude), or find who sets it");
            } else {
                info!(%topic, change = %step, "configuration changed on the target");
            }
        }
        for (step, error) in refused {
            if self.patience.refused(&Setting::of(topic, &step), is_final(&error), now) {
                warn!(%topic, change = %step, %error, "the target does not take this configuration: the topics differ in it");
            } else {
                debug!(%topic, change = %step, %error, "the target still does not take this configuration");
            }
        }
    }
}

/// A configuration of a topic, and what it is to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    topic: Arc<str>,
    key: String,
    to: Option<String>,
}

impl Setting {
    fn of(topic: &Arc<str>, step: &ConfigStep) -> Setting {
        Setting { topic: Arc::clone(topic), key: step.key.clone(), to: step.to.clone() }
    }
}

/// What is to be changed, by target topic. A topic that one of the clusters does not tell of is left out.
pub(crate) async fn plan(
    source: &Client,
    target: &Client,
    pairs: &[(Arc<str>, Arc<str>)],
    rules: &TopicConfigs,
) -> Result<BTreeMap<Arc<str>, Vec<ConfigStep>>, ClientError> {
    let described = async |client: &Client,
                           names: Vec<Arc<str>>|
           -> Result<BTreeMap<Arc<str>, Vec<ConfigEntry>>, ClientError> {
        let described = client.describe_topic_configs(&names).await?;
        Ok(described.into_iter().filter_map(|(name, entries)| Some((name, entries.ok()?))).collect())
    };
    let on_source = described(source, pairs.iter().map(|(topic, _)| Arc::clone(topic)).collect()).await?;
    let on_target = described(target, pairs.iter().map(|(_, topic)| Arc::clone(topic)).collect()).await?;
    let steps = pairs.iter().filter_map(|(source, target)| {
        let steps = configs::steps(on_source.get(source)?, on_target.get(target)?, rules);
        (!steps.is_empty()).then(|| (Arc::clone(target), steps))
    });
    Ok(steps.collect())
}
