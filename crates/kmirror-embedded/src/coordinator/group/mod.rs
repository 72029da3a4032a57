//! One group of the classic protocol (`ClassicGroup`, and what `GroupMetadataManager` does with it), without a clock: now is an
//! argument, and what is answered later comes out of [`Group::take_answers`].
//!
//! ```text
//! Empty ──join──▶ PreparingRebalance ──all have joined, or time is up──▶ CompletingRebalance ──the leader's sync──▶ Stable
//!   ▲                 │        ▲                                                │                                     │
//!   └──nobody is left─┘        └──────────── join, leave, a session ends ───────┴─────────────────────────────────────┘
//! ```

mod join;
mod member;
#[cfg(test)]
mod random;
mod subscription;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;

pub(crate) use self::join::Join;
pub(crate) use self::member::{Member, Protocol, Ticket};
use self::timers::JoinTimer;

/// Where a group stands. A group that is not there is what Kafka calls Dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// Nobody is in it; there may be offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// They have joined, and the leader is about to say who gets what.
    CompletingRebalance,
    /// Everybody knows.
    Stable,
}

/// What is said to somebody who waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// To JoinGroup.
    Join(Joined),
    /// To SyncGroup: the assignment, with protocol type and name.
    Sync(Result<Synced, ResponseError>),
    /// Nothing: the same member has asked again.
    Superseded,
}

/// What JoinGroup is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    /// -1 with an error.
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) leader: String,
    /// The leader of a stable group is back, and needs not assign anything.
    pub(crate) skips_assignment: bool,
    pub(crate) member_id: String,
    /// For the leader: id, instance id and metadata of each member.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// What SyncGroup is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) assignment: Bytes,
}

/// What a SyncGroup wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    pub(crate) ticket: Ticket,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    /// The leader's, by member id.
    pub(crate) assignments: BTreeMap<String, Bytes>,
}

/// Who leaves.
#[derive(Clone, Debug)]
pub(crate) struct Leave {
    /// Empty where an administrator removes a static member.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    state: GroupState,
    previous_state: GroupState,
    lasting: Lasting,
    /// What another coordinator would find.
    stored: Lasting,
    /// Ids that were given out and not been joined with yet (KIP-394), and when they are forgotten.
    pending_members: BTreeMap<String, i64>,
    /// Members of this generation that have not asked for their assignment.
    pending_sync: BTreeSet<String>,
    subscribed: Option<BTreeSet<String>>,
    /// Somebody has joined since the first rebalance was put off.
    is_growing: bool,
    join_timer: Option<JoinTimer>,
    sync_expires_at_ms: Option<i64>,
    initial_delay_ms: i64,
    answers: Vec<(Ticket, Answer)>,
}

/// What is written to `__consumer_offsets` when a generation is stable or empty (`GroupMetadataValue`).
#[derive(Clone, Debug, Default)]
struct Lasting {
    generation: i32,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    leader: Option<String>,
    /// In the order in which they joined.
    members: Vec<Member>,
}

impl Group {
    /// An empty group, whose first rebalance waits so long for more members (`group.initial.rebalance.delay.ms`).
    pub(crate) fn new(initial_delay_ms: i64) -> Group {
        Group {
            state: GroupState::Empty,
            previous_state: GroupState::Empty,
            lasting: Lasting::default(),
            stored: Lasting::default(),
            pending_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            is_growing: false,
            join_timer: None,
            sync_expires_at_ms: None,
            initial_delay_ms,
            answers: Vec::new(),
        }
    }

    /// Another broker coordinates the group: it knows what was stored, and nobody's request
    /// (`GroupMetadataManager.onLoaded`, `onUnloaded`).
    pub(crate) fn reload(&mut self, now_ms: i64) {
        for member in &self.lasting.members {
            let error = Some(ResponseError::NotCoordinator);
            let joined = Joined { error, generation: -1, member_id: member.id.clone(), ..Joined::default() };
            self.answers.extend(member.awaiting_join.map(|ticket| (ticket, Answer::Join(joined))));
            let synced = Answer::Sync(Err(ResponseError::NotCoordinator));
            self.answers.extend(member.awaiting_sync.map(|ticket| (ticket, synced)));
        }
        let mut lasting = self.stored.clone();
        for member in &mut lasting.members {
            member.expires_at_ms = Some(now_ms + member.session_timeout_ms);
        }
        let state = if lasting.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        let answers = std::mem::take(&mut self.answers);
        *self = Group {
            state,
            lasting,
            stored: self.stored.clone(),
            answers,
            ..Group::new(self.initial_delay_ms)
        };
        self.subscribed = self.subscriptions();
    }

    /// What was answered since this was asked last.
    pub(crate) fn take_answers(&mut self) -> Vec<(Ticket, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Answers a SyncGroup (`classicGroupSyncToClassicGroup`), now or when the leader has sent its own.
    pub(crate) fn sync(&mut self, sync: Sync, now_ms: i64) {
        if let Err(error) = self.check_sync(&sync) {
            self.answers.push((sync.ticket, Answer::Sync(Err(error))));
            return;
        }
        self.pending_sync.remove(&sync.member_id);
        if self.pending_sync.is_empty() {
            self.sync_expires_at_ms = None;
        }
        if self.state == GroupState::Stable {
            let (protocol_type, protocol_name) = self.protocol();
            let assignment = self.member(&sync.member_id).map(|member| member.assignment.clone());
            let synced = Synced { protocol_type, protocol_name, assignment: assignment.unwrap_or_default() };
            self.answers.push((sync.ticket, Answer::Sync(Ok(synced))));
            return;
        }
        let before =
            self.member_mut(&sync.member_id).and_then(|member| member.awaiting_sync.replace(sync.ticket));
        self.answers.extend(before.map(|ticket| (ticket, Answer::Superseded)));
        if self.is_leader(&sync.member_id) {
            self.assign(sync.assignments, now_ms);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        if self.state == GroupState::Empty {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        let (protocol_type, protocol_name) = self.protocol();
        let differ = |theirs: &Option<String>, ours: Option<String>| {
            theirs.is_some() && ours.is_some() && *theirs != ours
        };
        if sync.generation != self.lasting.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if differ(&sync.protocol_type, protocol_type) || differ(&sync.protocol_name, protocol_name) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.state == GroupState::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// The leader has said who gets what: the generation is stable.
    fn assign(&mut self, mut assignments: BTreeMap<String, Bytes>, now_ms: i64) {
        for member in &mut self.lasting.members {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        self.propagate(None, now_ms);
        self.state = GroupState::Stable;
        self.store();
    }

    /// Answers everybody who waits for an assignment.
    fn propagate(&mut self, error: Option<ResponseError>, now_ms: i64) {
        let (protocol_type, protocol_name) = self.protocol();
        for member in &mut self.lasting.members {
            let Some(ticket) = member.awaiting_sync.take() else { continue };
            let (protocol_type, protocol_name) = (protocol_type.clone(), protocol_name.clone());
            let synced = Synced { protocol_type, protocol_name, assignment: member.assignment.clone() };
            self.answers.push((ticket, Answer::Sync(error.map_or(Ok(synced), Err))));
            member.expires_at_ms = Some(now_ms + member.session_timeout_ms);
        }
    }

    /// Hears of a member (`classicGroupHeartbeatToClassicGroup`).
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, instance_id)?;
        if generation != self.lasting.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.touch(member_id, now_ms);
        if self.state == GroupState::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Members leave, or are removed (`classicGroupLeaveToClassicGroup`); what each of them is told.
    pub(crate) fn leave(&mut self, leaves: &[Leave], now_ms: i64) -> Vec<Result<(), ResponseError>> {
        let left: Vec<_> = leaves.iter().map(|leave| self.leave_one(leave)).collect();
        if left.iter().any(Result::is_ok) {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now_ms),
                GroupState::PreparingRebalance => self.maybe_complete_join(now_ms),
                GroupState::Empty => {}
            }
        }
        left
    }

    fn leave_one(&mut self, leave: &Leave) -> Result<(), ResponseError> {
        let member_id = if leave.member_id.is_empty() {
            let instance = leave.instance_id.as_deref().ok_or(ResponseError::UnknownMemberId)?;
            self.static_member(instance).ok_or(ResponseError::UnknownMemberId)?.to_owned()
        } else if self.pending_members.remove(&leave.member_id).is_some() {
            return Ok(());
        } else {
            self.check_member(&leave.member_id, leave.instance_id.as_deref())?;
            leave.member_id.clone()
        };
        self.dismiss(&member_id);
        Ok(())
    }

    /// Checks that offsets may be committed (`ClassicGroup.validateOffsetCommit`), and takes that for a heartbeat.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS.
    pub(crate) fn check_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.lasting.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !is_transactional {
            return Err(ResponseError::UnknownMemberId);
        }
        if is_transactional {
            return Ok(());
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.touch(member_id, now_ms);
        Ok(())
    }

    /// Whether committed offsets of a topic are in use (`ClassicGroup.isSubscribedToTopic`).
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.uses_consumer_protocol(), |topics| topics.contains(topic))
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.lasting.protocol_type.as_deref() == Some(CONSUMER)
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) fn generation(&self) -> i32 {
        self.lasting.generation
    }

    /// Protocol type and protocol name.
    pub(crate) fn protocol(&self) -> (Option<String>, Option<String>) {
        (self.lasting.protocol_type.clone(), self.lasting.protocol_name.clone())
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.lasting.members
    }

    fn store(&mut self) {
        self.stored = self.lasting.clone();
        for member in &mut self.stored.members {
            (member.awaiting_join, member.awaiting_sync, member.is_new) = (None, None, false);
        }
    }

    fn member(&self, id: &str) -> Option<&Member> {
        self.lasting.members.iter().find(|member| member.id == id)
    }

    fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.lasting.members.iter_mut().find(|member| member.id == id)
    }

    fn is_leader(&self, id: &str) -> bool {
        self.lasting.leader.as_deref() == Some(id)
    }

    /// The id of the member with an instance id.
    fn static_member(&self, instance_id: &str) -> Option<&str> {
        let member =
            self.lasting.members.iter().find(|member| member.instance_id.as_deref() == Some(instance_id));
        member.map(|member| member.id.as_str())
    }

    /// `ClassicGroup.validateMember`.
    fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            let known = self.static_member(instance_id).ok_or(ResponseError::UnknownMemberId)?;
            if known != id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        self.member(id).map(|_| ()).ok_or(ResponseError::UnknownMemberId)
    }

    fn touch(&mut self, id: &str, now_ms: i64) {
        if let Some(member) = self.member_mut(id) {
            member.expires_at_ms = Some(now_ms + member.session_timeout_ms);
        }
    }

    /// Removes a member; where it waits to join, it is told to begin again.
    fn dismiss(&mut self, id: &str) {
        let waits = self.member_mut(id).and_then(|member| member.awaiting_join.take());
        let error = Some(ResponseError::UnknownMemberId);
        let joined = Joined { error, generation: -1, ..Joined::default() };
        self.answers.extend(waits.map(|ticket| (ticket, Answer::Join(joined))));
        self.remove(id);
    }

    fn remove(&mut self, id: &str) {
        let members = &mut self.lasting.members;
        let gone = members.iter().filter(|member| member.id == id).filter_map(|member| member.awaiting_sync);
        self.answers.extend(gone.map(|ticket| (ticket, Answer::Superseded)));
        members.retain(|member| member.id != id);
        let first = members.first().map(|member| member.id.clone());
        if self.is_leader(id) {
            self.lasting.leader = first;
        }
        self.pending_members.remove(id);
        self.pending_sync.remove(id);
    }

    /// The topics that all consumers together subscribe to (`ClassicGroup.computeSubscribedTopics`).
    fn subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let protocol = self.lasting.protocol_name.as_deref().unwrap_or_default();
        let topics =
            self.lasting.members.iter().map(|member| subscription::topics(member.metadata(protocol)));
        topics.collect::<Option<Vec<_>>>().map(|topics| topics.into_iter().flatten().collect())
    }
}

impl GroupState {
    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

/// `ConsumerProtocol.PROTOCOL_TYPE`.
const CONSUMER: &str = "consumer";
