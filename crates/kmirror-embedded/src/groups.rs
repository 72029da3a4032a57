//! Groups as their cluster's owner sees them, without a client.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use crate::cluster::{EmbeddedCluster, EmbeddedError};
use crate::coordinator::groups::{CommitAs, Committed};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupView {
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Stable`.
    pub state: &'static str,
    /// The generation, from 1 on; 0 for a group that nobody has joined yet.
    pub generation: i32,
    /// The client id of each member, in the order in which they joined.
    pub members: Vec<String>,
}

impl EmbeddedCluster {
    /// A group; `None` where there is none of this name.
    pub fn group(&self, group: &str) -> Option<GroupView> {
        let mut state = self.shared.lock();
        let now_ms = state.now_ms();
        let group = state.groups.group(group, now_ms)?;
        let members = group.members().iter().map(|member| member.client_id.clone()).collect();
        Some(GroupView { state: group.state().name(), generation: group.generation(), members })
    }

    /// What a group has committed, by topic and partition; nothing where there is no such group.
    pub fn committed_offsets(&self, group: &str) -> BTreeMap<(String, i32), i64> {
        let state = self.shared.lock();
        let committed = state.groups.committed(group).into_iter().flatten();
        committed.map(|(partition, committed)| (partition.clone(), committed.offset)).collect()
    }

    /// Commits an offset for a group that nobody is in, as an administrator does. The group is created where there is none.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`], and [`EmbeddedError::Refused`] while the group has members.
    pub fn commit_offsets(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |_| ())?;
        self.change(|state| {
            let (now_ms, nobody) = (state.now_ms(), CommitAs::nobody());
            state.groups.check_commit(group, &nobody, now_ms)?;
            let committed = Committed { offset, leader_epoch: -1, metadata: String::new() };
            state.groups.commit(group, &nobody, (topic.to_owned(), partition), committed);
            Ok(())
        })
        .map_err(|error: ResponseError| EmbeddedError::Refused { error, message: error.to_string() })
    }

    /// Deletes what a group has committed for a partition, as an administrator does, or time. Nothing where there is nothing.
    pub fn delete_offset(&self, group: &str, topic: &str, partition: i32) {
        // A group that is not there has nothing.
        let _ = self.change(|state| state.groups.delete_offset(group, &(topic.to_owned(), partition)));
    }

    /// Deletes a group that nobody is in, and what it has committed.
    ///
    /// # Errors
    /// [`EmbeddedError::Refused`] while the group has members, or is not there.
    pub fn delete_group(&self, group: &str) -> Result<(), EmbeddedError> {
        self.change(|state| {
            let now_ms = state.now_ms();
            state.groups.delete(group, now_ms)
        })
        .map_err(|error: ResponseError| EmbeddedError::Refused { error, message: error.to_string() })
    }

    /// Makes another broker the coordinator of a group or a transactional id, and of some others, as a leader of
    /// `__consumer_offsets` that moves: it knows stable generations and committed offsets, and whoever waits at the old one is
    /// sent away.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn move_coordinator(&self, key: &str, broker: i32) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.change(|state| state.move_coordinator(key, broker));
        Ok(())
    }
}
