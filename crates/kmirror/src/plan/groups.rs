//! What a flow would do with consumer groups.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kmirror_client::{Client, ClientError, CommittedOffset, TopicPartition};

use crate::config::Flow;
use crate::groups::{Copied, Decision, Standing, is_of_consumers, judge};
use crate::selection::Selected;

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
    /// Whether any group of the source stands in something that is copied.
    pub(super) has_groups: bool,
}

/// Plans the groups of a flow, as they will be when everything is copied that is there now.
pub(super) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
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
        let commits = on_source.iter().filter_map(|(partition, committed)| {
            of_partition(flow, &listed.id, partition, committed, copied.get(partition)?, &there)
        });
        let commits: Vec<GroupPlan> = commits.collect();
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

fn of_partition(
    flow: &Flow,
    group: &str,
    partition: &TopicPartition,
    committed: &CommittedOffset,
    copied: &Copied,
    there: &HashMap<TopicPartition, CommittedOffset>,
) -> Option<GroupPlan> {
    let from = there.get(&copied.target).map(|there| there.offset);
    let standing = Standing { source: committed.offset, target: from, source_before: None };
    let Decision::Commit { target: to, is_all } =
        judge(standing, &copied.arrived, flow.policies.on_group_reset)
    else {
        return None;
    };
    let mut reason = match from {
        None => "it stands nowhere on the target".to_owned(),
        Some(_) => "it is behind on the target".to_owned(),
    };
    if !is_all {
        reason += &format!("; the source ends at {}", copied.arrived.position);
    }
    Some(GroupPlan {
        flow: flow.name(),
        group: group.to_owned(),
        source_topic: partition.topic.to_string(),
        target_topic: copied.target.topic.to_string(),
        partition: partition.partition,
        source_offset: committed.offset,
        from,
        to,
        reason,
    })
}

const TIMEOUT: Duration = Duration::from_secs(10);
