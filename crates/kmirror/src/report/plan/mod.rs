//! What a mirror would do if it were started now: with topics and their configurations, partitions, access control lists and groups.
//! Nothing is created and nothing is changed. Each part is decided by the functions that a running flow decides by.

mod acls;
mod groups;
pub(crate) mod partitions;
mod topics;

pub use self::acls::{AclAction, AclPlan};
pub use self::groups::GroupPlan;
pub use self::partitions::{PartitionPlan, PlanStep};
pub use self::topics::{ConfigPlan, TopicPlan, TopicStep};

use kmirror_client::Client;

use crate::ground::config::Flow;
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::ground::park::Parked;

/// What would be done, flow by flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Topics that would be created on the target, get more partitions, or be waited for.
    pub topics: Vec<TopicPlan>,
    /// Every partition, also where nothing would be done.
    pub partitions: Vec<PartitionPlan>,
    /// Configurations of topics that would be changed on the target.
    pub configs: Vec<ConfigPlan>,
    /// Access control entries that would be added to the target, or removed.
    pub acls: Vec<AclPlan>,
    /// Offsets of groups that would be committed once the records are there.
    pub groups: Vec<GroupPlan>,
    /// What would not be done, and why: a cluster does not take it, or does not tell.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether nothing would be done: partitions that only go on with nothing to copy are nothing, and so are notes.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
            && self.partitions.iter().all(PartitionPlan::is_nothing)
            && self.configs.is_empty()
            && self.acls.is_empty()
            && self.groups.is_empty()
    }

    /// Adds the plan of a flow.
    pub(crate) async fn add(
        &mut self,
        flow: &Flow,
        terms: &Terms,
        source: &Client,
        target: &Client,
    ) -> Result<(), Error> {
        let selected = &terms.selected;
        let found = partitions::of_flow(flow, terms, source, target).await?;
        for (topic, why) in &found.untouched {
            self.notes.push(format!("{}: {topic}: {why}", flow.name()));
        }
        self.topics.extend(topics::of_deletions(flow, &found.deletions));
        self.topics.extend(found.refused.into_iter().map(|refused| topics::refused_copy(flow, refused)));
        let is_touched = |pair: &crate::topics::TopicPair| !found.untouched.contains_key(&pair.target);
        let touched: Vec<_> = found.pairs.iter().filter(|pair| is_touched(pair)).cloned().collect();
        self.topics.extend(topics::of_flow(flow, source, target, &touched, &mut self.notes).await?);
        // A topic that somebody else has to create is not copied yet.
        let is_copied =
            |pair: &&crate::topics::TopicPair| flow.creates_topics || pair.target_partitions.is_some();
        let pairs: Vec<_> = touched.iter().filter(is_copied).collect();
        let configs = topics::configs(flow, source, target, &pairs, &mut self.notes).await;
        let destroyed = topics::destroyed(flow, source, target, &pairs, &mut self.notes).await;
        let mut note = |what: &str, error: &dyn std::fmt::Display| {
            self.notes.push(format!("{}: {what}: {error}", flow.name()));
        };
        match configs {
            Ok(configs) => self.configs.extend(configs),
            Err(error) => note("configurations do not follow", &error),
        }
        if let Err(error) = destroyed {
            note("what follows from excluded configurations is not known", &error);
        }
        match acls::of_flow(flow, selected, source, target, &pairs).await {
            Ok(acls) => {
                self.acls.extend(acls.plans);
                acls.notes.iter().for_each(|text| note("access control lists", text));
            }
            Err(reason) => note("access control lists are not copied", &reason),
        }
        match groups::of_flow(flow, selected, source, target, &found.copied).await {
            Ok(plans) => {
                self.topics.extend(topics::of_checkpoints(flow, target, plans.has_groups));
                self.groups.extend(plans.groups);
                for group in plans.staying {
                    note(
                        &group,
                        &"it is further on the target, and does not return: `groups.return` does not name it",
                    );
                }
                for (group, cluster) in plans.active {
                    let text =
                        format!("consumers read {cluster} with this group: it keeps its own place there");
                    note(&group, &text);
                }
            }
            Err(error) => note("groups do not follow", &error),
        }
        let plans: Vec<_> = found.plans.into_iter().map(|plan| self.parked_with_its_topic(plan)).collect();
        self.partitions.extend(plans);
        Ok(())
    }

    /// What is not created is not copied to.
    fn parked_with_its_topic(&self, mut plan: PartitionPlan) -> PartitionPlan {
        let topic = self.topics.iter().find(|topic| {
            topic.flow == plan.flow && topic.source_topic.as_deref() == Some(plan.source_topic.as_str())
        });
        if let Some(TopicPlan { step: TopicStep::Refuse { reason }, reason: message, .. }) = topic {
            plan.step = PlanStep::Park(Parked::new(*reason, message.clone()));
        }
        plan
    }
}
