//! The task that lets groups follow, beside a flow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, ClientError, CommittedOffset, KafkaError, TopicPartition};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::judge::{Arrived, Decision, Standing, judge};
use crate::config::OnGroupReset;
use crate::flow::beside::Rounds;
use crate::flow::{FlowContext, FlowShared, Terms};
use crate::mm2::{Checkpoint, Checkpoints};

/// Lets the groups of the source follow to the target.
pub(crate) struct GroupFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    terms: watch::Receiver<Terms>,
    /// The group to which the flow commits its own positions.
    own_group: Option<String>,
    on_reset: OnGroupReset,
    interval: Duration,
    /// By group and partition of the source: where it stood when the target's was last right.
    settled: HashMap<String, HashMap<TopicPartition, i64>>,
    /// What failed and was told: groups by their id, lists by the cluster's alias.
    failing: HashSet<String>,
    /// Where MirrorMaker's readers look, if they are to find something.
    checkpoints: Option<Checkpoints>,
    /// Groups that consumers read on the target with, which was told.
    active: HashSet<String>,
}

/// A partition that is copied.
pub(crate) struct Copied {
    pub(crate) target: TopicPartition,
    pub(crate) arrived: Arrived,
}

impl Copied {
    fn checkpoint(&self, committed: &CommittedOffset) -> Option<Checkpoint> {
        let upstream = committed.offset.min(self.arrived.position);
        if !self.arrived.lineage.knows(upstream) {
            return None;
        }
        let downstream = self.arrived.lineage.target_of(upstream);
        let metadata = committed.metadata.clone();
        (upstream >= 0).then(|| Checkpoint { target: self.target.clone(), upstream, downstream, metadata })
    }
}

impl GroupFollower {
    pub(crate) fn new(context: &FlowContext) -> GroupFollower {
        let (flow, target) = (&context.flow, context.target.clone());
        let checkpoints = flow.mm2_topics.checkpoints.then(|| Checkpoints::new(flow, &target));
        GroupFollower {
            checkpoints,
            source: context.source.clone(),
            target,
            shared: Arc::clone(&context.shared),
            terms: context.terms.clone(),
            own_group: flow.commit_group.clone(),
            on_reset: flow.policies.on_group_reset,
            interval: flow.groups_interval,
            settled: HashMap::new(),
            failing: HashSet::new(),
            active: HashSet::new(),
        }
    }

    /// Follows until it is stopped, and once more then: what has arrived last counts too.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.interval, stop);
        while rounds.next().await {
            self.follow().await;
        }
    }

    async fn follow(&mut self) {
        let (copied, groups) = (self.copied(), self.terms.borrow().selected.groups.clone());
        if copied.is_empty() || groups.is_empty() {
            return;
        }
        let listed = match self.source.list_groups().await {
            Ok(listed) => listed,
            Err(error) => {
                return self.tell(
                    self.source.alias().to_owned(),
                    &error,
                    "DESCRIBE on the groups of the source",
                );
            }
        };
        self.failing.remove(self.source.alias());
        for group in listed {
            let is_own = self.own_group.as_ref() == Some(&group.id);
            if is_own || !is_of_consumers(&group) || !groups.matches(&group.id) {
                continue;
            }
            match self.follow_group(&group.id, &copied).await {
                Ok(()) => drop(self.failing.remove(&group.id)),
                Err(error) => self.tell(
                    group.id,
                    &error,
                    "DESCRIBE on the group of the source, READ on that of the target and on its topics",
                ),
            }
        }
    }

    fn copied(&self) -> HashMap<TopicPartition, Copied> {
        let copied = self.shared.published().into_iter().filter_map(|partition| {
            let position = partition.gauge.position();
            let lineage = partition.gauge.lineage()?;
            let copied = Copied {
                target: TopicPartition::new(partition.target_topic, partition.partition),
                arrived: Arrived { lineage, position },
            };
            (position >= 0)
                .then(|| (TopicPartition::new(partition.source_topic, partition.partition), copied))
        });
        copied.collect()
    }

    async fn follow_group(
        &mut self,
        group: &str,
        copied: &HashMap<TopicPartition, Copied>,
    ) -> Result<(), ClientError> {
        let on_source = self.source.all_committed_offsets(group, TIMEOUT).await?;
        if let Some(checkpoints) = &mut self.checkpoints {
            let found = on_source
                .iter()
                .filter_map(|(partition, committed)| copied.get(partition)?.checkpoint(committed));
            checkpoints.write(group, found.collect()).await;
        }
        let settled = self.settled.entry(group.to_owned()).or_default();
        let moved: Vec<_> = on_source
            .into_iter()
            .filter_map(|(partition, committed)| Some((copied.get(&partition)?, partition, committed)))
            .filter(|(_, partition, committed)| settled.get(partition) != Some(&committed.offset))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let targets: Vec<_> = moved.iter().map(|(copied, ..)| copied.target.clone()).collect();
        let on_target = self.target.committed_offsets(group, &targets, TIMEOUT).await?;
        let mut commits = Vec::new();
        for ((copied, partition, committed), (_, there)) in moved.into_iter().zip(on_target) {
            let standing = Standing {
                source: committed.offset,
                target: there?.map(|there| there.offset),
                source_before: settled.get(&partition).copied(),
            };
            match judge(standing, &copied.arrived, self.on_reset) {
                Decision::Same if committed.offset > copied.arrived.position => {}
                Decision::Same => drop(settled.insert(partition, committed.offset)),
                Decision::Unknown => {
                    debug!(group, %partition, ?standing, "the group stands where the copy was another one's")
                }
                Decision::Ahead => {
                    debug!(group, %partition, ?standing, "the group is further on the target");
                    settled.insert(partition, committed.offset);
                }
                Decision::Commit { target, is_all } => {
                    // A leader epoch means something on its own cluster only.
                    let commit =
                        CommittedOffset { offset: target, leader_epoch: None, metadata: committed.metadata };
                    commits.push((partition, committed.offset, is_all, (copied.target.clone(), commit)));
                }
            }
        }
        self.commit(group, commits).await
    }

    /// Commits for a group that nobody reads the target with: the broker refuses it else, whatever was seen before.
    async fn commit(&mut self, group: &str, commits: Vec<Commit>) -> Result<(), ClientError> {
        if commits.is_empty() {
            return Ok(());
        }
        let offsets: Vec<_> = commits.iter().map(|(.., commit)| commit.clone()).collect();
        let results = self.target.commit_offsets(group, &offsets, TIMEOUT).await?;
        let settled = self.settled.entry(group.to_owned()).or_default();
        for ((partition, source, is_all, _), (_, result)) in commits.into_iter().zip(results) {
            match result {
                Ok(()) if is_all => drop(settled.insert(partition, source)),
                Ok(()) => {}
                Err(error) if has_members(&error) => {
                    if self.active.insert(group.to_owned()) {
                        info!(group, "consumers read the target with this group: it keeps its own place");
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.active.remove(group);
        Ok(())
    }

    /// Says a failure once for as long as it lasts.
    fn tell(&mut self, what: String, error: &ClientError, permission: &str) {
        if self.failing.contains(&what) {
            debug!(of = what, %error, "groups do not follow");
            return;
        }
        let advice = match error.is_authorization() {
            true => format!("kmirror needs {permission}"),
            false => "it is tried again".to_owned(),
        };
        warn!(of = what, %error, advice, "groups do not follow");
        self.failing.insert(what);
    }
}

/// A partition and an offset of the source, whether that is reached, and what is committed on the target.
type Commit = (TopicPartition, i64, bool, (TopicPartition, CommittedOffset));

/// Whether consumers are, or were, its members: what else uses groups (Connect's workers, share groups) has no offsets of records.
pub(crate) fn is_of_consumers(group: &kmirror_client::ListedGroup) -> bool {
    matches!(group.protocol_type.as_str(), "consumer" | "" | "streams")
        && group.group_type.as_deref() != Some("share")
}

/// What a broker answers to a commit from outside while the group has members, of either protocol (`ClassicGroup` and
/// `ConsumerGroup`, `validateOffsetCommit`).
fn has_members(error: &ClientError) -> bool {
    matches!(
        error.kafka_error(),
        Some(
            KafkaError::UNKNOWN_MEMBER_ID
                | KafkaError::ILLEGAL_GENERATION
                | KafkaError::REBALANCE_IN_PROGRESS
                | KafkaError::STALE_MEMBER_EPOCH
        )
    )
}

const TIMEOUT: Duration = Duration::from_secs(10);
