//! Consumer groups: what they have committed.

use std::collections::{BTreeMap, HashMap};

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

/// All groups of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    committed: BTreeMap<String, Offsets>,
    /// By producer id and group: committed within transactions that have not ended.
    staged: HashMap<i64, BTreeMap<String, Offsets>>,
}

impl Groups {
    /// A producer's transaction has ended (`OffsetMetadataManager.replayEndTransactionMarker`): what it committed for groups counts,
    /// or is forgotten. A producer that committed nothing is none of our business.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        let Some(groups) = self.staged.remove(&producer_id).filter(|_| commit) else { return };
        for (group, offsets) in groups {
            self.committed.entry(group).or_default().extend(offsets);
        }
    }
}
