//! What a flow would do with consumer groups.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kmirror_client::{Client, ClientError, TopicPartition};

use crate::config::Flow;
use crate::groups::{Copied, Decision, GroupRules, Standing, is_of_consumers, judge};
use crate::selection::{GroupMatcher, Selected};

/// An offset of a group that would be committed on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPlan {
    /// `source->target`.
    pub flow: String,
    /// The group.
    pub group: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the group stands on the source.
    pub source_offset: i64,
    /// Where it stands on the target; `None` where it has committed nothing there.
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
    /// Groups that consumers read the target with, and that stand elsewhere on the source.
    pub(super) active: Vec<String>,
    /// Groups that have moved to the target, in partitions of the source where they would be followed.
    pub(super) returning: Vec<(String, TopicPartition, i64)>,
    /// Whether any group of the source stands in something that is copied.
    pub(super) has_groups: bool,
}

/// Plans the groups of a flow, as they will be when everything is copied that is there now.
pub(super) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
    returning: &[GroupMatcher],
    source: &Client,
    target: &Client,
    copied: &HashMap<TopicPartition, Copied>,
) -> Result<Groups, ClientError> {
    let mut plan = Groups::default();
    if selected.groups.is_empty() || copied.is_empty() {
        return Ok(plan);
    }
    let active = active_groups(target).await?;
    for listed in source.list_groups().await? {
        let is_own = flow.commit_group.as_ref() == Some(&listed.id);
        if is_own || !is_of_consumers(&listed) || !selected.groups.matches(&listed.id) {
            continue;
        }
        let on_source = source.all_committed_offsets(&listed.id, TIMEOUT).await?;
        plan.has_groups |= on_source.iter().any(|(partition, _)| copied.contains_key(partition));
        let there: HashMap<_, _> =
            target.all_committed_offsets(&listed.id, TIMEOUT).await?.into_iter().collect();
        let may_return = returning.iter().any(|groups| groups.matches(&listed.id));
        let rules = GroupRules { on_reset: flow.policies.on_group_reset, may_return };
        let mut commits = Vec::new();
        for (partition, committed) in &on_source {
            let Some(copied) = copied.get(partition) else { continue };
            let from = there.get(&copied.target).map(|there| there.offset);
            let standing = Standing { source: Some(committed.offset), target: from, settled: None };
            match judge(standing, &copied.arrived, rules) {
                Decision::Commit { target, is_all } => {
                    let planned =
                        planned(flow, &listed.id, partition, committed.offset, copied, from, target, is_all);
                    commits.push(planned);
                }
                Decision::Return { source } => {
                    plan.returning.push((listed.id.clone(), partition.clone(), source));
                }
                _ => {}
            }
        }
        match active.contains(&listed.id) {
            true if !commits.is_empty() => plan.active.push(listed.id),
            _ => plan.groups.extend(commits),
        }
    }
    Ok(plan)
}

/// The groups that have members, whose offsets only these may commit.
async fn active_groups(target: &Client) -> Result<HashSet<String>, ClientError> {
    let has_members = |state: &str| !matches!(state, "Empty" | "Dead");
    let listed = target.list_groups().await?.into_iter();
    Ok(listed.filter(|group| group.state.as_deref().is_some_and(has_members)).map(|group| group.id).collect())
}

#[expect(clippy::too_many_arguments, reason = "the fields of what it makes")]
fn planned(
    flow: &Flow,
    group: &str,
    partition: &TopicPartition,
    source_offset: i64,
    copied: &Copied,
    from: Option<i64>,
    to: i64,
    is_all: bool,
) -> GroupPlan {
    let mut reason = match from {
        None => "it stands nowhere on the target".to_owned(),
        Some(_) => "it is behind on the target".to_owned(),
    };
    if !is_all {
        reason += &format!("; the source ends at {}", copied.arrived.position);
    }
    GroupPlan {
        flow: flow.name(),
        group: group.to_owned(),
        source_topic: partition.topic.to_string(),
        target_topic: copied.target.topic.to_string(),
        partition: partition.partition,
        source_offset,
        from,
        to,
        reason,
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
