//! What groups have committed (`OffsetMetadataManager`).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use super::{GroupState, Groups};
use crate::coordinator::transactions::Producer;
use crate::state::PartitionName;

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// Of the last record that was read; -1 if that is not known.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<PartitionName, Committed>;

/// As whom somebody commits.
#[derive(Clone, Debug)]
pub(crate) struct CommitAs {
    /// Empty for somebody who is no member.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    /// -1 for somebody who is no member.
    pub(crate) generation: i32,
    /// Within the transaction of this producer id.
    pub(crate) producer_id: Option<i64>,
}

impl CommitAs {
    /// An administrator, or a consumer without group management.
    pub(crate) fn nobody() -> CommitAs {
        CommitAs { member_id: String::new(), instance_id: None, generation: -1, producer_id: None }
    }
}

impl Groups {
    /// Checks that somebody may commit (`OffsetMetadataManager.validateOffsetCommit`), which creates a group for somebody who is no
    /// member of any.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND where there is no group for a generation, and as `Group::check_commit`.
    pub(crate) fn check_commit(
        &mut self,
        name: &str,
        who: &CommitAs,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.tick(name, now_ms);
        if who.generation < 0 {
            self.create(name);
        }
        let entry = self.groups.get_mut(name).ok_or(ResponseError::GroupIdNotFound)?;
        let is_transactional = who.producer_id.is_some();
        entry.group.check_commit(
            &who.member_id,
            who.instance_id.as_deref(),
            who.generation,
            is_transactional,
            now_ms,
        )
    }

    /// Commits an offset, at once or when the producer's transaction does. It was checked that this is permitted.
    pub(crate) fn commit(
        &mut self,
        name: &str,
        who: &CommitAs,
        partition: PartitionName,
        committed: Committed,
    ) {
        let offsets = match who.producer_id {
            Some(producer_id) => {
                self.staged.entry(producer_id).or_default().entry(name.to_owned()).or_default()
            }
            None => &mut self.create(name).committed,
        };
        offsets.insert(partition, committed);
    }

    /// What a group has committed. `None`: there is no such group.
    pub(crate) fn committed(&self, name: &str) -> Option<&Offsets> {
        self.groups.get(name).map(|entry| &entry.committed)
    }

    /// Whether a transaction that has not ended has committed something for a partition.
    pub(crate) fn is_unstable(&self, name: &str, partition: &PartitionName) -> bool {
        let mut staged = self.staged.values().filter_map(|groups| groups.get(name));
        staged.any(|offsets| offsets.contains_key(partition))
    }

    /// Checks that a producer which commits within a transaction is the last one of its id, and remembers it
    /// (`ProducerAppendInfo.checkProducerEpoch`, for the partitions that keep offsets).
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH.
    pub(crate) fn check_producer(&mut self, producer: Producer) -> Result<(), ResponseError> {
        let known = self.producer_epochs.entry(producer.id).or_insert(producer.epoch);
        if producer.epoch < *known {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        *known = producer.epoch;
        Ok(())
    }

    /// A producer's transaction has ended (`OffsetMetadataManager.replayEndTransactionMarker`): what it committed for groups counts,
    /// or is forgotten. A producer that committed nothing is none of our business.
    pub(crate) fn end_transaction(&mut self, producer: Producer, commit: bool) {
        self.producer_epochs.insert(producer.id, producer.epoch);
        let staged = self.staged.remove(&producer.id).unwrap_or_default();
        for (group, offsets) in staged.into_iter().filter(|_| commit) {
            self.create(&group).committed.extend(offsets);
        }
    }

    /// Checks that offsets may be deleted (`ClassicGroup.validateOffsetDelete`): consumers tell which topics they are done with.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
    pub(crate) fn check_delete_offsets(&mut self, name: &str, now_ms: i64) -> Result<(), ResponseError> {
        let group = self.group(name, now_ms).ok_or(ResponseError::GroupIdNotFound)?;
        if group.state() == GroupState::Empty || group.uses_consumer_protocol() {
            Ok(())
        } else {
            Err(ResponseError::NonEmptyGroup)
        }
    }

    /// Forgets what was committed for a partition.
    ///
    /// # Errors
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    pub(crate) fn delete_offset(
        &mut self,
        name: &str,
        partition: &PartitionName,
    ) -> Result<(), ResponseError> {
        let Some(entry) = self.groups.get_mut(name) else { return Ok(()) };
        if entry.group.is_subscribed(&partition.0) {
            return Err(ResponseError::GroupSubscribedToTopic);
        }
        entry.committed.remove(partition);
        let staged = self.staged.values_mut().filter_map(|groups| groups.get_mut(name));
        staged.for_each(|offsets| drop(offsets.remove(partition)));
        Ok(())
    }

    /// A topic is gone, and with it what was committed for it (`OffsetMetadataManager.onPartitionsDeleted`).
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        let committed = self.groups.values_mut().map(|entry| &mut entry.committed);
        let all = committed.chain(self.staged.values_mut().flat_map(BTreeMap::values_mut));
        all.for_each(|offsets| offsets.retain(|(name, _), _| name != topic));
    }
}
