//! Joining a group, and the rebalance that follows (`GroupMetadataManager.classicGroupJoinToClassicGroup` and what it calls).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::timers::JoinTimer;
use super::{Answer, Group, GroupState, Joined, Member, Protocol, Ticket};

/// What a JoinGroup wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Join {
    pub(crate) ticket: Ticket,
    /// Empty if it has none yet.
    pub(crate) member_id: String,
    /// The id that it gets then.
    pub(crate) new_member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i64,
    pub(crate) rebalance_timeout_ms: i64,
    pub(crate) protocol_type: String,
    /// In the order of the member's preference.
    pub(crate) protocols: Vec<Protocol>,
    /// Whether a dynamic member is to come again with the id that it was given (from version 4 on, KIP-394).
    pub(crate) requires_known_member_id: bool,
    /// Whether a static leader can be told not to assign anything (from version 9 on, KIP-814).
    pub(crate) can_skip_assignment: bool,
}

impl Group {
    /// Answers a JoinGroup, now or when the rebalance has come so far.
    pub(crate) fn join(&mut self, join: Join, now_ms: i64) {
        if !self.supports(&join.protocol_type, &join.protocols) {
            self.refuse(&join, ResponseError::InconsistentGroupProtocol);
        } else if join.member_id.is_empty() {
            self.join_new(join, now_ms);
        } else if self.pending_members.contains_key(&join.member_id) {
            if join.instance_id.is_some() {
                return self.refuse(&join, ResponseError::UnknownServerError);
            }
            let member_id = join.member_id.clone();
            self.add(member_id, join, now_ms);
        } else if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            self.refuse(&join, error);
        } else {
            self.rejoin(join, now_ms);
        }
    }

    fn join_new(&mut self, join: Join, now_ms: i64) {
        let known = join.instance_id.as_deref().and_then(|instance| self.static_member(instance));
        if let Some(known) = known.map(str::to_owned) {
            self.replace_static_member(&known, &join, now_ms);
        } else if join.instance_id.is_none() && join.requires_known_member_id {
            self.pending_members.insert(join.new_member_id.clone(), now_ms + join.session_timeout_ms);
            let error = Some(ResponseError::MemberIdRequired);
            let joined = Joined { error, generation: -1, member_id: join.new_member_id, ..Joined::default() };
            self.answers.push((join.ticket, Answer::Join(joined)));
        } else {
            let member_id = join.new_member_id.clone();
            self.add(member_id, join, now_ms);
        }
    }

    /// A member joins again: only news makes a rebalance (`classicGroupJoinExistingMember`).
    fn rejoin(&mut self, join: Join, now_ms: i64) {
        let is_same = self.member(&join.member_id).is_some_and(|member| member.protocols == join.protocols);
        let is_leader = self.is_leader(&join.member_id);
        match self.state {
            GroupState::CompletingRebalance if is_same => self.tell_generation(&join, is_leader),
            GroupState::Stable if is_same && !is_leader => self.tell_generation(&join, false),
            GroupState::Empty => self.refuse(&join, ResponseError::UnknownMemberId),
            _ => {
                let member_id = join.member_id.clone();
                self.update(&member_id, &join);
                self.rebalance_or_complete(now_ms);
            }
        }
    }

    fn refuse(&mut self, join: &Join, error: ResponseError) {
        let member_id = join.member_id.clone();
        let joined = Joined { error: Some(error), generation: -1, member_id, ..Joined::default() };
        self.answers.push((join.ticket, Answer::Join(joined)));
    }

    fn tell_generation(&mut self, join: &Join, with_members: bool) {
        let joined = self.joined(&join.member_id, with_members);
        self.answers.push((join.ticket, Answer::Join(joined)));
    }

    /// The present generation, as a member is told.
    fn joined(&self, member_id: &str, with_members: bool) -> Joined {
        let (protocol_type, protocol_name) = self.protocol();
        let name = protocol_name.clone().unwrap_or_default();
        let describe =
            |member: &Member| (member.id.clone(), member.instance_id.clone(), member.metadata(&name));
        let members = self.lasting.members.iter().filter(|_| with_members).map(describe).collect();
        Joined {
            error: None,
            generation: self.lasting.generation,
            protocol_type,
            protocol_name,
            leader: self.lasting.leader.clone().unwrap_or_default(),
            skips_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }

    /// `addMemberThenRebalanceOrCompleteJoin`.
    fn add(&mut self, id: String, join: Join, now_ms: i64) {
        if self.state == GroupState::PreparingRebalance && self.previous_state == GroupState::Empty {
            self.is_growing = true;
        }
        if self.lasting.members.is_empty() {
            self.lasting.protocol_type = Some(join.protocol_type);
        }
        self.lasting.leader.get_or_insert_with(|| id.clone());
        self.pending_members.remove(&id);
        self.lasting.members.push(Member {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(join.ticket),
            awaiting_sync: None,
            is_new: true,
            // It does not know its id yet, so it cannot send heartbeats.
            expires_at_ms: Some(now_ms + NEW_MEMBER_JOIN_TIMEOUT_MS),
        });
        self.rebalance_or_complete(now_ms);
    }

    fn update(&mut self, id: &str, join: &Join) {
        let Some(member) = self.member_mut(id) else { return };
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        let before = member.awaiting_join.replace(join.ticket);
        self.answers.extend(before.map(|ticket| (ticket, Answer::Superseded)));
    }

    /// A static member is back under a new id, and its old one is fenced
    /// (`updateStaticMemberThenRebalanceOrCompleteJoin`). A stable group stays as it is.
    fn replace_static_member(&mut self, old_id: &str, join: &Join, now_ms: i64) {
        let new_id = join.new_member_id.clone();
        let leader_before = self.lasting.leader.clone().unwrap_or_default();
        self.fence(old_id);
        if let Some(member) = self.member_mut(old_id) {
            member.id.clone_from(&new_id);
            member.is_new = false;
            member.expires_at_ms = Some(now_ms + member.session_timeout_ms);
        }
        if self.is_leader(old_id) {
            self.lasting.leader = Some(new_id.clone());
        }
        self.update(&new_id, join);
        match self.state {
            GroupState::Stable if self.vote() == self.lasting.protocol_name => {
                self.store();
                let is_leader = self.is_leader(&new_id);
                let mut joined = self.joined(&new_id, is_leader && join.can_skip_assignment);
                if join.can_skip_assignment {
                    joined.skips_assignment = is_leader;
                } else {
                    // An old client does not take itself for the leader then, and assigns nothing.
                    joined.leader = leader_before;
                }
                self.finish_join(&new_id, joined);
            }
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now_ms),
            GroupState::PreparingRebalance => self.maybe_complete_join(now_ms),
            GroupState::Empty => {}
        }
    }

    fn fence(&mut self, id: &str) {
        let error = ResponseError::FencedInstanceId;
        let joined =
            Joined { error: Some(error), generation: -1, member_id: id.to_owned(), ..Joined::default() };
        self.finish_join(id, joined);
        let waits = self.member_mut(id).and_then(|member| member.awaiting_sync.take());
        self.answers.extend(waits.map(|ticket| (ticket, Answer::Sync(Err(error)))));
    }

    fn finish_join(&mut self, id: &str, joined: Joined) {
        let waits = self.member_mut(id).and_then(|member| member.awaiting_join.take());
        self.answers.extend(waits.map(|ticket| (ticket, Answer::Join(joined))));
    }

    /// `maybePrepareRebalanceOrCompleteJoin`.
    pub(super) fn rebalance_or_complete(&mut self, now_ms: i64) {
        if self.state == GroupState::PreparingRebalance {
            self.maybe_complete_join(now_ms);
        } else {
            self.prepare_rebalance(now_ms);
        }
    }

    /// Everybody is to join again.
    pub(super) fn prepare_rebalance(&mut self, now_ms: i64) {
        if self.state == GroupState::CompletingRebalance {
            self.lasting.members.iter_mut().for_each(|member| member.assignment = Bytes::new());
            self.propagate(Some(ResponseError::RebalanceInProgress), now_ms);
        }
        self.pending_sync.clear();
        self.sync_expires_at_ms = None;
        self.previous_state = std::mem::replace(&mut self.state, GroupState::PreparingRebalance);
        if self.previous_state == GroupState::Empty {
            let remaining_ms = (self.rebalance_timeout_ms() - self.initial_delay_ms).max(0);
            self.join_timer = Some(JoinTimer::Initial {
                at_ms: now_ms + self.initial_delay_ms,
                delay_ms: self.initial_delay_ms,
                remaining_ms,
            });
        } else if self.have_all_joined() {
            self.complete_join(now_ms);
        } else {
            self.join_timer = Some(JoinTimer::Rebalance { at_ms: now_ms + self.rebalance_timeout_ms() });
        }
    }

    /// `maybeCompleteJoinPhase`: the first rebalance of a group takes its time.
    pub(super) fn maybe_complete_join(&mut self, now_ms: i64) {
        let is_due = self.state == GroupState::PreparingRebalance && self.previous_state != GroupState::Empty;
        if is_due && self.have_all_joined() {
            self.complete_join(now_ms);
        }
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.pending_members.is_empty()
            && self.lasting.members.iter().all(|member| member.awaiting_join.is_some())
    }

    /// The next generation begins, without the dynamic members that have not joined (`completeClassicGroupJoin`).
    pub(super) fn complete_join(&mut self, now_ms: i64) {
        self.join_timer = None;
        let is_late = |member: &&Member| member.awaiting_join.is_none() && member.instance_id.is_none();
        let late: Vec<_> =
            self.lasting.members.iter().filter(is_late).map(|member| member.id.clone()).collect();
        late.iter().for_each(|id| self.remove(id));
        if !self.elect() && !self.lasting.members.is_empty() {
            // Only static members are left and none of them is here: until one joins, or their sessions end. A timeout of
            // nothing would have no end.
            let at_ms = now_ms + self.rebalance_timeout_ms().max(JOIN_AGAIN_MS);
            self.join_timer = Some(JoinTimer::Rebalance { at_ms });
            return;
        }
        self.lasting.generation += 1;
        self.lasting.protocol_name = self.vote();
        self.subscribed = self.subscriptions();
        self.pending_sync.clear();
        if self.lasting.members.is_empty() {
            self.transition(GroupState::Empty);
            self.store();
            return;
        }
        self.transition(GroupState::CompletingRebalance);
        let ids: Vec<_> = self.lasting.members.iter().map(|member| member.id.clone()).collect();
        for id in ids {
            let joined = self.joined(&id, self.is_leader(&id));
            self.finish_join(&id, joined);
            self.touch(&id, now_ms);
            if let Some(member) = self.member_mut(&id) {
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        self.sync_expires_at_ms = Some(now_ms + self.rebalance_timeout_ms());
    }

    fn transition(&mut self, state: GroupState) {
        self.previous_state = std::mem::replace(&mut self.state, state);
    }

    /// A leader that has not joined is replaced by a member that has (`maybeElectNewJoinedLeader`). Whether there is one.
    fn elect(&mut self) -> bool {
        let leader = self.lasting.leader.as_deref().and_then(|leader| self.member(leader));
        if leader.is_some_and(|leader| leader.awaiting_join.is_some()) {
            return true;
        }
        let joined = self.lasting.members.iter().find(|member| member.awaiting_join.is_some());
        let Some(joined) = joined.map(|member| member.id.clone()) else { return false };
        self.lasting.leader = Some(joined);
        true
    }

    /// The most that any member grants.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.lasting.members.iter().map(|member| member.rebalance_timeout_ms).fold(0, i64::max)
    }

    /// `ClassicGroup.supportsProtocols`.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_common = |name: &str| self.lasting.members.iter().all(|member| member.supports(name));
        self.lasting.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| is_common(&protocol.name))
    }

    /// The protocol that most members prefer among those that all of them know (`ClassicGroup.selectProtocol`).
    fn vote(&self) -> Option<String> {
        let members = &self.lasting.members;
        let candidates: BTreeSet<_> = members
            .iter()
            .flat_map(|member| &member.protocols)
            .map(|protocol| protocol.name.as_str())
            .filter(|name| members.iter().all(|member| member.supports(name)))
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in members.iter().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }
}

/// `GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;
const JOIN_AGAIN_MS: i64 = 100;
