//! All groups of a cluster: found, asked, and let wait.

mod offsets;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

pub(crate) use self::offsets::{CommitAs, Committed, Offsets};
use super::group::{Answer, Group, GroupState, Join, Joined, Leave, Sync, Synced, Ticket};
use crate::cluster::Shared;

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Entry>,
    /// Committed within transactions that have not ended, by producer id and group.
    staged: BTreeMap<i64, BTreeMap<String, Offsets>>,
    /// Of those who have committed within transactions, by producer id.
    producer_epochs: BTreeMap<i64, i16>,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    last_ticket: Ticket,
    /// `group.initial.rebalance.delay.ms`.
    pub(crate) initial_delay_ms: i64,
}

#[derive(Debug)]
struct Entry {
    group: Group,
    committed: Offsets,
}

/// An answer that may be there already.
pub(crate) type Awaited = oneshot::Receiver<Answer>;

impl Groups {
    /// Lets a member join, which creates the group where it has no id yet.
    pub(crate) fn join(&mut self, name: &str, mut join: Join, now_ms: i64) -> Awaited {
        self.tick(name, now_ms);
        let (ticket, awaited) = self.ticket();
        join.ticket = ticket;
        if join.member_id.is_empty() {
            self.create(name);
        }
        match self.groups.get_mut(name) {
            Some(entry) => entry.group.join(join, now_ms),
            None => {
                let error = Some(ResponseError::UnknownMemberId);
                let joined = Joined { error, generation: -1, member_id: join.member_id, ..Joined::default() };
                self.deliver(vec![(ticket, Answer::Join(joined))]);
            }
        }
        self.tick(name, now_ms);
        awaited
    }

    /// Lets a member ask for its assignment.
    pub(crate) fn sync(&mut self, name: &str, mut sync: Sync, now_ms: i64) -> Awaited {
        self.tick(name, now_ms);
        let (ticket, awaited) = self.ticket();
        sync.ticket = ticket;
        match self.groups.get_mut(name) {
            Some(entry) => entry.group.sync(sync, now_ms),
            None => self.deliver(vec![(ticket, Answer::Sync(Err(ResponseError::UnknownMemberId)))]),
        }
        self.tick(name, now_ms);
        awaited
    }

    /// Hears of a member.
    ///
    /// # Errors
    /// As [`Group::heartbeat`]; UNKNOWN_MEMBER_ID where there is no group.
    pub(crate) fn heartbeat(
        &mut self,
        name: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.tick(name, now_ms);
        let entry = self.groups.get_mut(name).ok_or(ResponseError::UnknownMemberId)?;
        entry.group.heartbeat(member_id, instance_id, generation, now_ms)
    }

    /// Lets members leave; what each of them is told.
    pub(crate) fn leave(
        &mut self,
        name: &str,
        leaves: &[Leave],
        now_ms: i64,
    ) -> Vec<Result<(), ResponseError>> {
        self.tick(name, now_ms);
        let left = match self.groups.get_mut(name) {
            Some(entry) => entry.group.leave(leaves, now_ms),
            None => leaves.iter().map(|_| Err(ResponseError::UnknownMemberId)).collect(),
        };
        self.tick(name, now_ms);
        left
    }

    /// A group as it is now.
    pub(crate) fn group(&mut self, name: &str, now_ms: i64) -> Option<&Group> {
        self.tick(name, now_ms);
        self.groups.get(name).map(|entry| &entry.group)
    }

    /// The names of all groups.
    pub(crate) fn names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// Deletes a group that nobody is in, with its offsets (`ClassicGroup.validateDeleteGroup`).
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
    pub(crate) fn delete(&mut self, name: &str, now_ms: i64) -> Result<(), ResponseError> {
        match self.group(name, now_ms).map(Group::state) {
            None => Err(ResponseError::GroupIdNotFound),
            Some(GroupState::Empty) => {
                self.groups.remove(name);
                self.staged.values_mut().for_each(|groups| drop(groups.remove(name)));
                Ok(())
            }
            Some(_) => Err(ResponseError::NonEmptyGroup),
        }
    }

    /// Groups of which this is so are coordinated by another broker now: it knows what was stored.
    pub(crate) fn reload(&mut self, has_moved: impl Fn(&str) -> bool, now_ms: i64) {
        let mut answers = Vec::new();
        for (_, entry) in self.groups.iter_mut().filter(|(name, _)| has_moved(name)) {
            entry.group.reload(now_ms);
            answers.extend(entry.group.take_answers());
        }
        self.deliver(answers);
    }

    /// Lets happen what is due in a group.
    fn tick(&mut self, name: &str, now_ms: i64) {
        if let Some(entry) = self.groups.get_mut(name) {
            entry.group.tick(now_ms);
            let answers = entry.group.take_answers();
            self.deliver(answers);
        }
    }

    fn create(&mut self, name: &str) -> &mut Entry {
        let initial_delay_ms = self.initial_delay_ms;
        let create = || Entry { group: Group::new(initial_delay_ms), committed: Offsets::new() };
        self.groups.entry(name.to_owned()).or_insert_with(create)
    }

    fn ticket(&mut self) -> (Ticket, Awaited) {
        self.last_ticket += 1;
        let (sender, awaited) = oneshot::channel();
        // Who hung up has no use for an answer.
        self.waiting.retain(|_, sender| !sender.is_closed());
        self.waiting.insert(self.last_ticket, sender);
        (self.last_ticket, awaited)
    }

    fn deliver(&mut self, answers: Vec<(Ticket, Answer)>) {
        for (ticket, answer) in answers {
            if let Some(sender) = self.waiting.remove(&ticket) {
                let _ = sender.send(answer);
            }
        }
    }
}

/// Waits for the answer to a JoinGroup. `None`: there will not be one.
pub(crate) async fn joined(shared: &Shared, group: &str, awaited: Awaited) -> Option<Joined> {
    match wait(shared, group, awaited).await? {
        Answer::Join(joined) => Some(joined),
        Answer::Sync(_) | Answer::Superseded => None,
    }
}

/// Waits for the answer to a SyncGroup. `None`: there will not be one.
pub(crate) async fn synced(
    shared: &Shared,
    group: &str,
    awaited: Awaited,
) -> Option<Result<Synced, ResponseError>> {
    match wait(shared, group, awaited).await? {
        Answer::Sync(synced) => Some(synced),
        Answer::Join(_) | Answer::Superseded => None,
    }
}

/// Whoever waits sees to it that time passes for the group.
async fn wait(shared: &Shared, group: &str, mut awaited: Awaited) -> Option<Answer> {
    let mut changes = shared.changes();
    loop {
        let until_next = {
            let mut state = shared.lock();
            let now_ms = state.now_ms();
            let next_ms = state.groups.group(group, now_ms).and_then(Group::next_deadline_ms);
            next_ms.map_or(PATIENCE, |next_ms| {
                Duration::from_millis(u64::try_from(next_ms.saturating_sub(now_ms)).unwrap_or_default())
            })
        };
        tokio::select! {
            biased;
            answer = &mut awaited => return answer.ok(),
            _ = changes.changed() => {}
            () = tokio::time::sleep(until_next) => {}
        }
    }
}

/// For a group in which nothing is due.
const PATIENCE: Duration = Duration::from_secs(60);
