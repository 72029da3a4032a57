//! What happens in a group by itself, each thing at its time, however late one looks.

use super::{Group, GroupState};

/// When joining ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// The first rebalance waits for more members, and again for as long as more of them come
    /// (`tryCompleteInitialRebalanceElseSchedule`).
    Initial { at_ms: i64, delay_ms: i64, remaining_ms: i64 },
    /// Members that have not joined by then are out.
    Rebalance { at_ms: i64 },
}

/// What is due.
enum Due {
    Join(JoinTimer),
    Sync,
    PendingMember(String),
    Member(String),
}

impl Group {
    /// Lets happen what is due.
    pub(crate) fn tick(&mut self, now_ms: i64) {
        while let Some((at_ms, due)) = self.next_due().filter(|(at_ms, _)| *at_ms <= now_ms) {
            match due {
                Due::Join(timer) => self.end_joining(timer, at_ms),
                Due::Sync => self.end_syncing(at_ms),
                Due::PendingMember(id) => {
                    self.pending_members.remove(&id);
                    self.complete_if_all_joined(at_ms);
                }
                Due::Member(id) => self.end_session(&id, at_ms),
            }
        }
    }

    /// When something happens by itself.
    pub(crate) fn next_deadline_ms(&self) -> Option<i64> {
        self.next_due().map(|(at_ms, _)| at_ms)
    }

    fn next_due(&self) -> Option<(i64, Due)> {
        let join = self.join_timer.map(|timer| (timer.at_ms(), Due::Join(timer)));
        let sync = self.sync_expires_at_ms.map(|at_ms| (at_ms, Due::Sync));
        let pending = self.pending_members.iter().map(|(id, at_ms)| (*at_ms, Due::PendingMember(id.clone())));
        let members = self.members().iter();
        let members =
            members.filter_map(|member| Some((member.expires_at_ms?, Due::Member(member.id.clone()))));
        join.into_iter().chain(sync).chain(pending).chain(members).min_by_key(|(at_ms, _)| *at_ms)
    }

    fn end_joining(&mut self, timer: JoinTimer, now_ms: i64) {
        match timer {
            JoinTimer::Initial { delay_ms, remaining_ms, .. } if self.is_growing && remaining_ms != 0 => {
                self.is_growing = false;
                let next_ms = self.initial_delay_ms.min(remaining_ms);
                self.join_timer = Some(JoinTimer::Initial {
                    at_ms: now_ms + next_ms,
                    delay_ms: next_ms,
                    remaining_ms: (remaining_ms - delay_ms).max(0),
                });
            }
            _ => self.complete_join(now_ms),
        }
    }

    /// Members that do not ask for their assignment are out (`expirePendingSync`).
    fn end_syncing(&mut self, now_ms: i64) {
        self.sync_expires_at_ms = None;
        let late = std::mem::take(&mut self.pending_sync);
        if late.is_empty() {
            return;
        }
        late.iter().for_each(|id| self.remove(id));
        self.prepare_rebalance(now_ms);
    }

    /// `expireClassicGroupMemberHeartbeat`.
    fn end_session(&mut self, id: &str, now_ms: i64) {
        let Some(member) = self.member_mut(id) else { return };
        member.expires_at_ms = None;
        if member.has_satisfied_heartbeat() {
            return;
        }
        self.dismiss(id);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now_ms),
            _ => self.complete_if_all_joined(now_ms),
        }
    }

    fn complete_if_all_joined(&mut self, now_ms: i64) {
        if self.state == GroupState::PreparingRebalance && self.have_all_joined() {
            self.complete_join(now_ms);
        }
    }
}

impl JoinTimer {
    fn at_ms(self) -> i64 {
        match self {
            JoinTimer::Initial { at_ms, .. } | JoinTimer::Rebalance { at_ms } => at_ms,
        }
    }
}
