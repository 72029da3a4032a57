//! The task that lets groups follow, and return, beside a flow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kmirror_client::{Client, ClientError, CommittedOffset, KafkaError, TopicPartition};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::judge::{Arrived, Decision, GroupRules, NOWHERE, Settled, Side, Standing, judge};
use super::recorded::{Recorded, SettledGroups};
use crate::follow::mm2::{Checkpoint, Checkpoints};
use crate::follow::rounds::Rounds;
use crate::ground::context::{FlowContext, Terms};
use crate::ground::policies::OnGroupReset;
use crate::ground::shared::FlowShared;
use crate::ground::status::PartitionState;
use crate::state_topic::topic::StateError;

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
    /// By group and partition of the source: where it stood when both sides were last right.
    settled: SettledGroups,
    /// Groups that may return and were judged before.
    looked_at: BTreeSet<String>,
    /// What is settled as the state topic holds it, for the next start.
    recorded: Recorded,
    /// What failed and was told: groups by their id, lists by the cluster's alias.
    failing: BTreeSet<String>,
    /// Where MirrorMaker's readers look, if they are to find something.
    checkpoints: Option<Checkpoints>,
    /// Groups that consumers read one of the clusters with, which was told.
    active: BTreeSet<(End, String)>,
}

/// A partition that is copied.
pub(crate) struct Copied {
    pub(crate) target: TopicPartition,
    pub(crate) arrived: Arrived,
    /// Whether it was taken over, and is copied now: else what the target holds may be somebody else's, and nothing returns.
    pub(crate) is_copying: bool,
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
            settled: SettledGroups::new(),
            looked_at: BTreeSet::new(),
            recorded: Recorded::new(flow, &context.source, &context.target),
            failing: BTreeSet::new(),
            active: BTreeSet::new(),
        }
    }

    /// Follows until it is stopped, and once more then: what has arrived last counts too.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.interval, stop);
        while rounds.next().await {
            // What is not known to be the flow's own work is not changed.
            if let Err(error) = self.refresh().await {
                self.tell_state(&error.to_string());
                continue;
            }
            self.follow().await;
            let (copied, groups) = (self.copied(), self.terms.borrow().selected.groups.clone());
            let on_target = |partition: &TopicPartition| Some(copied.get(partition)?.target.clone());
            let is_eager = |group: &str| groups.may_return(group);
            match self.recorded.write(&self.settled, on_target, is_eager, rounds.is_last()).await {
                Ok(()) => drop(self.failing.remove(STATE)),
                Err(error) => self.tell_state(&error.to_string()),
            }
        }
    }

    /// Takes over what other instances have recorded since: they may know who has moved a group.
    async fn refresh(&mut self) -> Result<(), StateError> {
        for ((group, partition), now) in self.recorded.refresh().await? {
            // What this process has not looked at yet is recalled when it does.
            let own = self.settled.get_mut(&group).and_then(|settled| settled.get_mut(&partition));
            own.into_iter().for_each(|own| *own = now);
        }
        Ok(())
    }

    async fn follow(&mut self) {
        let (copied, groups) = (self.copied(), self.terms.borrow().selected.groups.clone());
        if copied.is_empty() || groups.is_empty() {
            return;
        }
        let Some(mut ids) = self.list(&self.source.clone(), "DESCRIBE on the groups of the source").await
        else {
            return;
        };
        if groups.any_returns() {
            let there = self.list(&self.target.clone(), "DESCRIBE on the groups of the target").await;
            ids.extend(there.into_iter().flatten().filter(|id| groups.may_return(id)));
        }
        for group in ids {
            if self.own_group.as_ref() == Some(&group) || !groups.matches(&group) {
                continue;
            }
            let rules = GroupRules { on_reset: self.on_reset, may_return: groups.may_return(&group) };
            match self.follow_group(&group, &copied, rules).await {
                Ok(()) => drop(self.failing.remove(&group)),
                Err(NotFollowed::State(error)) => self.tell_state(&error.to_string()),
                Err(NotFollowed::Client(error)) => self.tell(group, &error, permissions(rules)),
            }
        }
    }

    /// The groups of consumers on a cluster.
    async fn list(&mut self, cluster: &Client, permission: &str) -> Option<BTreeSet<String>> {
        match cluster.list_groups().await {
            Ok(listed) => {
                self.failing.remove(cluster.alias());
                Some(listed.into_iter().filter(is_of_consumers).map(|group| group.id).collect())
            }
            Err(error) => {
                self.tell(cluster.alias().to_owned(), &error, permission);
                None
            }
        }
    }

    fn copied(&self) -> BTreeMap<TopicPartition, Copied> {
        let owned = self.shared.owned(&self.source.metadata(), &self.target.metadata());
        let copied = owned.into_iter().filter_map(|partition| {
            let (state, position) = (partition.gauge.state(), partition.gauge.position());
            if matches!(&state, PartitionState::Parked(parked) if parked.reason.doubts_the_copy()) {
                return None;
            }
            let lineage = partition.gauge.lineage()?;
            let source_end = partition.gauge.source_end.load(Ordering::Relaxed);
            let copied = Copied {
                target: TopicPartition::new(partition.target_topic, partition.partition),
                arrived: Arrived { lineage, position, source_end },
                is_copying: state == PartitionState::Copying,
            };
            (position >= 0)
                .then(|| (TopicPartition::new(partition.source_topic, partition.partition), copied))
        });
        copied.collect()
    }

    async fn follow_group(
        &mut self,
        group: &str,
        copied: &BTreeMap<TopicPartition, Copied>,
        rules: GroupRules,
    ) -> Result<(), NotFollowed> {
        let on_source: BTreeMap<_, _> =
            self.source.all_committed_offsets(group, TIMEOUT).await?.into_iter().collect();
        if let Some(checkpoints) = &mut self.checkpoints {
            let found = on_source
                .iter()
                .filter_map(|(partition, committed)| copied.get(partition)?.checkpoint(committed));
            checkpoints.write(group, found.collect()).await;
        }
        if rules.may_return {
            // Whatever another instance has put on the source it has recorded before.
            self.refresh().await?;
        }
        let on_target = self.on_target(group, copied, &on_source, rules).await?;
        if rules.may_return && self.places(&self.source, group).await? != places_of(&on_source) {
            // What was read of the target may belong to where it stands on the source now: that is looked at in the next round.
            return Ok(());
        }
        let was_looked_at = rules.may_return && !self.looked_at.insert(group.to_owned());
        let settled = self.settled.entry(group.to_owned()).or_default();
        let mut work = Work::default();
        for (partition, copied) in copied {
            let (here, there) = (on_source.get(partition), on_target.get(&copied.target));
            if here.is_none() && there.is_none() {
                continue;
            }
            let target = there.map(|there| there.offset);
            let own = settled.get(partition).copied();
            let before = own.or_else(|| self.recorded.of(group, partition, &copied.target, target));
            // One that was there before, and nowhere in this partition, has begun in it on the target since.
            let before = before.or_else(|| (was_looked_at && here.is_none()).then_some(Settled::NOWHERE));
            let standing = Standing {
                source: here.map(|here| here.offset),
                target,
                is_consumers: there.is_some_and(|there| there.leader_epoch.is_some()),
                settled: before,
                is_recalled: own.is_none(),
            };
            let rules = GroupRules { may_return: rules.may_return && copied.is_copying, ..rules };
            let decision = judge(standing, &copied.arrived, rules);
            tell_decision(group, partition, &standing, decision, rules);
            match decision {
                Decision::Unknown => {}
                Decision::Same => drop(before.map(|before| settled.insert(partition.clone(), before))),
                Decision::Right(now)
                | Decision::SetBack(now)
                | Decision::Ahead(now)
                | Decision::Found(now) => drop(settled.insert(partition.clone(), now)),
                Decision::Commit { target, source } => {
                    work.commit(partition, copied, (here, there), target, source)
                }
                Decision::Return { source } => work.put_back(partition, copied, (here, there), source),
            }
        }
        self.commit(group, End::Target, work.commits).await?;
        if work.returns.is_empty() || !self.recorded.announce(group, &work.announcements).await? {
            return Ok(());
        }
        // Somebody may have reset it meanwhile, or another instance has done it.
        if self.places(&self.source, group).await? != places_of(&on_source) {
            return Ok(());
        }
        Ok(self.commit(group, End::Source, work.returns).await?)
    }

    async fn places(
        &self,
        cluster: &Client,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        Ok(places_of(&cluster.all_committed_offsets(group, TIMEOUT).await?.into_iter().collect()))
    }

    /// Where a group stands on the target, in the partitions of which that may matter: all, where it may return, and else those in
    /// which it has moved on the source.
    async fn on_target(
        &self,
        group: &str,
        copied: &BTreeMap<TopicPartition, Copied>,
        on_source: &BTreeMap<TopicPartition, CommittedOffset>,
        rules: GroupRules,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        if rules.may_return {
            return Ok(self.target.all_committed_offsets(group, TIMEOUT).await?.into_iter().collect());
        }
        let settled = self.settled.get(group);
        let is_settled = |partition: &TopicPartition, committed: &CommittedOffset| {
            settled
                .and_then(|settled| settled.get(partition))
                .is_some_and(|settled| settled.source == committed.offset)
        };
        let moved = on_source.iter().filter(|(partition, committed)| !is_settled(partition, committed));
        let targets: Vec<_> =
            moved.filter_map(|(partition, _)| Some(copied.get(partition)?.target.clone())).collect();
        let mut found = BTreeMap::new();
        if !targets.is_empty() {
            for (partition, committed) in self.target.committed_offsets(group, &targets, TIMEOUT).await? {
                found.extend(committed?.map(|committed| (partition, committed)));
            }
        }
        Ok(found)
    }

    /// Commits for a group that nobody reads that cluster with: the broker refuses it else, whatever was seen before.
    async fn commit(&mut self, group: &str, end: End, commits: Vec<Commit>) -> Result<(), ClientError> {
        if commits.is_empty() {
            return Ok(());
        }
        let offsets: Vec<_> = commits.iter().map(|commit| commit.place.clone()).collect();
        let client = match end {
            End::Source => &self.source,
            End::Target => &self.target,
        };
        let results = client.commit_offsets(group, &offsets, TIMEOUT).await?;
        let settled = self.settled.entry(group.to_owned()).or_default();
        let mut missed = Vec::new();
        for (commit, (_, result)) in commits.into_iter().zip(results) {
            match result {
                Ok(()) => settled.extend([commit.settles]),
                Err(error) if has_members(&error) => {
                    if self.active.insert((end, group.to_owned())) {
                        info!(
                            group,
                            on = client.alias(),
                            "consumers read this cluster with this group: it keeps its own place there"
                        );
                    }
                    missed.push(commit);
                }
                Err(error) => return Err(error),
            }
        }
        if missed.is_empty() {
            self.active.remove(&(end, group.to_owned()));
        }
        for commit in missed.iter().filter(|_| end == End::Target) {
            commit.has_missed(settled);
        }
        Ok(())
    }

    fn tell_state(&mut self, error: &str) {
        if self.failing.insert(STATE.to_owned()) {
            warn!(
                error,
                "where groups were put on the target is not recorded, or cannot be read: it is tried again"
            );
        }
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

/// What the state topic is told by; no alias and no group is called so.
const STATE: &str = "the state topic/";

/// What is to be committed for a group.
#[derive(Default)]
struct Work {
    commits: Vec<Commit>,
    /// What is to be recorded before something is committed on the source: partitions of both sides.
    announcements: Vec<(TopicPartition, TopicPartition, Settled)>,
    returns: Vec<Commit>,
}

/// What a group has committed for a partition, on the source and on the target.
type BothSides<'a> = (Option<&'a CommittedOffset>, Option<&'a CommittedOffset>);

impl Work {
    /// On the target, where `reached` of the source is.
    fn commit(
        &mut self,
        partition: &TopicPartition,
        copied: &Copied,
        (here, there): BothSides<'_>,
        target: i64,
        reached: i64,
    ) {
        let committed = here.map_or(reached, |here| here.offset);
        self.commits.push(Commit {
            from: there.map(|there| there.offset),
            settles: (partition.clone(), Settled { committed, ..Settled::at(reached, target) }),
            place: (copied.target.clone(), moved(target, here)),
        });
    }

    /// On the source.
    fn put_back(
        &mut self,
        partition: &TopicPartition,
        copied: &Copied,
        (here, there): BothSides<'_>,
        back: i64,
    ) {
        let offset =
            |committed: Option<&CommittedOffset>| committed.map_or(NOWHERE, |committed| committed.offset);
        let settles = Settled { side: Side::Moved, ..Settled::at(back, offset(there)) };
        let announced =
            Settled { source: offset(here), committed: offset(here), returned: Some(back), ..settles };
        self.announcements.push((partition.clone(), copied.target.clone(), announced));
        self.returns.push(Commit {
            from: here.map(|here| here.offset),
            settles: (partition.clone(), settles),
            place: (partition.clone(), moved(back, there)),
        });
    }
}

/// Says why a group does not follow, or does not return.
fn tell_decision(
    group: &str,
    partition: &TopicPartition,
    standing: &Standing,
    decision: Decision,
    rules: GroupRules,
) {
    match decision {
        Decision::Unknown => {
            debug!(group, %partition, ?standing, "the group stands where the copy was another one's");
        }
        Decision::Ahead(now) => {
            let was_told = standing.settled.is_some_and(|before| before.side == Side::Both);
            if rules.may_return && now.side == Side::Both && !was_told {
                info!(group, %partition, source = ?standing.source, target = ?standing.target,
                    "the group moves on both sides, or it is not known where it has moved first: it does not return");
            }
            debug!(group, %partition, ?standing, "the group is further on the target");
        }
        Decision::Found(now) => {
            let until = match now.side {
                Side::Own => "until both stand at the same record, for consumers have put it there",
                _ => "until it moves on the source",
            };
            info!(group, %partition, source = now.source, target = now.target, until,
                "somebody else has put the group there on the target: it stays");
        }
        _ => {}
    }
}

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Source,
    Target,
}

/// What is to be committed, and which partition of the source is settled by that.
struct Commit {
    /// Where it stands there now.
    from: Option<i64>,
    settles: (TopicPartition, Settled),
    place: (TopicPartition, CommittedOffset),
}

impl Commit {
    /// It was not done, since the group has members on the target. Where these have not moved it yet, what it has committed on the source
    /// was committed before they began.
    fn has_missed(&self, settled: &mut BTreeMap<TopicPartition, Settled>) {
        let (partition, now) = &self.settles;
        if let Some(before) = settled.get_mut(partition)
            && before.side == Side::Follows
            && self.from == Some(before.target)
        {
            before.committed = now.committed;
        }
    }
}

/// Why a group does not follow.
enum NotFollowed {
    Client(ClientError),
    State(StateError),
}

impl From<ClientError> for NotFollowed {
    fn from(error: ClientError) -> NotFollowed {
        NotFollowed::Client(error)
    }
}

impl From<StateError> for NotFollowed {
    fn from(error: StateError) -> NotFollowed {
        NotFollowed::State(error)
    }
}

fn places_of(committed: &BTreeMap<TopicPartition, CommittedOffset>) -> BTreeMap<TopicPartition, i64> {
    committed.iter().map(|(partition, committed)| (partition.clone(), committed.offset)).collect()
}

/// What a group wrote on the other side, at its offset on this one. A leader epoch means something on its own cluster only.
fn moved(offset: i64, there: Option<&CommittedOffset>) -> CommittedOffset {
    let metadata = there.map(|there| there.metadata.clone()).unwrap_or_default();
    CommittedOffset { offset, leader_epoch: None, metadata }
}

fn permissions(rules: GroupRules) -> &'static str {
    match rules.may_return {
        false => "DESCRIBE on the group of the source, READ on that of the target and on its topics",
        true => "READ on the group and on its topics, on both clusters",
    }
}

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
