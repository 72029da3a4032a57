//! What a flow would do with consumer groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kmirror_client::{Client, ClientError, TopicPartition};

use crate::follow::groups::{Copied, Decision, GroupRules, Recorded, Standing, is_of_consumers, judge};
use crate::ground::config::Flow;
use crate::ground::selection::Selected;
use crate::state_topic::topic::StateError;

/// An offset of a group that would be committed: on the target, or, where the group may return, on the source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPlan {
    /// The name of the flow.
    pub flow: String,
    /// The group.
    pub group: String,
    /// The alias of the cluster on which it would be committed.
    pub cluster: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the group stands on the source; `None` where it has committed nothing there.
    pub source_offset: Option<i64>,
    /// Where it stands on the target; the same.
    pub target_offset: Option<i64>,
    /// Which of both that is on that cluster.
    pub from: Option<i64>,
    /// What would be committed, once the records are there.
    pub to: i64,
    /// Why.
    pub reason: String,
}

/// What would be done with the groups of a flow.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) groups: Vec<GroupPlan>,
    /// Groups that consumers read a cluster with on which something would be committed else, and its alias.
    pub(super) active: Vec<(String, String)>,
    /// Groups that would return if they were asked to.
    pub(super) staying: BTreeSet<String>,
    /// Whether any group of the source stands in something that is copied.
    pub(super) has_groups: bool,
}

/// Why nothing is planned.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPlanned {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The groups of a cluster, and whether they have members, which alone may commit then.
type Members = BTreeMap<String, bool>;

/// Plans the groups of a flow, as they will be when everything is copied that is there now.
pub(super) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
    source: &Client,
    target: &Client,
    copied: &BTreeMap<TopicPartition, Copied>,
) -> Result<Groups, NotPlanned> {
    let mut plan = Groups::default();
    if selected.groups.is_empty() || copied.is_empty() {
        return Ok(plan);
    }
    let may_return = |group: &str| selected.groups.may_return(group);
    let (on_source, on_target) = (members(source).await?, members(target).await?);
    let mut recorded = Recorded::new(flow, source, target);
    recorded.refresh().await?;
    let moved = on_target.keys().filter(|group| may_return(group) && !on_source.contains_key(*group));
    for group in on_source.keys().chain(moved) {
        if flow.commit_group.as_ref() == Some(group) || !selected.groups.matches(group) {
            continue;
        }
        let here: BTreeMap<_, _> = source.all_committed_offsets(group, TIMEOUT).await?.into_iter().collect();
        let there: BTreeMap<_, _> = target.all_committed_offsets(group, TIMEOUT).await?.into_iter().collect();
        plan.has_groups |= here.keys().any(|partition| copied.contains_key(partition));
        let rules = GroupRules { on_reset: flow.policies.on_group_reset, may_return: may_return(group) };
        let mut commits: Vec<GroupPlan> = copied
            .iter()
            .filter_map(|(partition, copied)| {
                let source = here.get(partition).map(|here| here.offset);
                let there = there.get(&copied.target);
                let target = there.map(|there| there.offset);
                let standing = Standing {
                    source,
                    target,
                    is_consumers: there.is_some_and(|there| there.leader_epoch.is_some()),
                    settled: recorded.of(group, partition, &copied.target, target),
                    is_recalled: true,
                };
                if !rules.may_return && would_return(standing, copied, rules) {
                    plan.staying.insert(group.clone());
                }
                (source.is_some() || target.is_some())
                    .then(|| of_partition(flow, group, partition, standing, copied, rules))?
            })
            .collect();
        commits.sort_by(|one, other| {
            (&one.source_topic, one.partition).cmp(&(&other.source_topic, other.partition))
        });
        for (cluster, members) in [(&flow.source, &on_source), (&flow.target, &on_target)] {
            let before = commits.len();
            let is_active = members.get(group).is_some_and(|has_members| *has_members);
            commits.retain(|commit| !is_active || commit.cluster != *cluster);
            if commits.len() < before {
                plan.active.push((group.clone(), cluster.clone()));
            }
        }
        plan.groups.extend(commits);
    }
    Ok(plan)
}

fn would_return(standing: Standing, copied: &Copied, rules: GroupRules) -> bool {
    let asked = GroupRules { may_return: true, ..rules };
    standing.source.is_some() && matches!(judge(standing, &copied.arrived, asked), Decision::Return { .. })
}

async fn members(cluster: &Client) -> Result<Members, ClientError> {
    let has_members = |state: &str| !matches!(state, "Empty" | "Dead");
    let listed = cluster.list_groups().await?.into_iter().filter(is_of_consumers);
    Ok(listed.map(|group| (group.id, group.state.as_deref().is_some_and(has_members))).collect())
}

fn of_partition(
    flow: &Flow,
    group: &str,
    partition: &TopicPartition,
    standing: Standing,
    copied: &Copied,
    rules: GroupRules,
) -> Option<GroupPlan> {
    let (cluster, from, to, reason) = match judge(standing, &copied.arrived, rules) {
        Decision::Commit { target, source: reached } => {
            let mut reason = match standing.target {
                None => "it stands nowhere on the target".to_owned(),
                Some(_) => "it is behind on the target".to_owned(),
            };
            if standing.source != Some(reached) {
                reason += &format!("; the source ends at {}", copied.arrived.position);
            }
            (&flow.target, standing.target, target, reason)
        }
        Decision::Return { source } => {
            let reason = "it reads the target, and would be followed on the source";
            (&flow.source, standing.source, source, reason.to_owned())
        }
        Decision::Same
        | Decision::Right(_)
        | Decision::Found(_)
        | Decision::SetBack(_)
        | Decision::Unknown
        | Decision::Ahead(_) => return None,
    };
    Some(GroupPlan {
        flow: flow.name(),
        group: group.to_owned(),
        cluster: cluster.clone(),
        source_topic: partition.topic.to_string(),
        target_topic: copied.target.topic.to_string(),
        partition: partition.partition,
        source_offset: standing.source,
        target_offset: standing.target,
        from,
        to,
        reason,
    })
}

const TIMEOUT: Duration = Duration::from_secs(10);
