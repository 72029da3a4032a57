//! Records that only one side of a compacted topic holds, and what justifies each. Pure.
//!
//! A cleaner leaves the last record of each key, and of a deletion nothing after a while, with all before it (KIP-354, KIP-534). So a
//! record that one side lacks was rightly removed there if a later record has its key; and a deletion, if its key does not live on
//! there. Whoever has the last word of a key must have it on both sides.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::batch::RecordView;
use super::head::Excuse;
use super::report::{DifferenceKind, PartitionReport};

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }
}

/// The records that nothing justifies yet: of each key the last one.
#[derive(Debug, Default)]
pub(crate) struct LoneRecords {
    by_key: HashMap<(u64, u64), Lone>,
    /// Where the target ends, once records are read that are not compared. What is behind was not copied yet, so that it cannot be
    /// why something is gone from the target.
    target_end: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Lone {
    side: Side,
    offset: i64,
    is_deletion: bool,
    excuse: Excuse,
    /// The last record before it on the other side that has its key, if that is no deletion.
    lives_at: Option<i64>,
}

impl LoneRecords {
    /// From now on records are looked at that may be behind the target's end.
    pub(crate) fn end_target_at(&mut self, target_end: i64) {
        self.target_end = Some(target_end);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes in a record with this key that `side` has alone. `excuse`: what else explains that it is not on the target.
    pub(crate) fn add(&mut self, side: Side, record: &RecordView<'_>, key: &[u8], excuse: Excuse) {
        let is_deletion = record.value.is_none();
        let lone = Lone { side, offset: record.offset, is_deletion, excuse, lives_at: None };
        self.by_key.insert(hash(key), lone);
    }

    /// Whether this record of `side` shows that an earlier one with its key was rightly removed, or is a repeat. A record proves
    /// nothing of itself: a batch that is read for proofs may begin before it.
    pub(crate) fn is_justified_by(&mut self, side: Side, record: &RecordView<'_>) -> bool {
        let Some(hash) = record.key.map(hash) else { return false };
        let justifies = self.by_key.get(&hash).is_some_and(|lone| {
            // The target's cleaner knows what the target holds, and nothing of what is still to come.
            let is_on_target = self.target_end.is_none_or(|end| record.offset < end);
            lone.offset < record.offset && (lone.side == Side::Target || side == Side::Target || is_on_target)
        });
        justifies && self.by_key.remove(&hash).is_some()
    }

    /// Where the last deletion is that `side` lacks: its records before must be looked at for keys that live on.
    pub(crate) fn deletions_missing_on(&self, side: Side) -> Option<i64> {
        let missing = self.by_key.values().filter(|lone| lone.is_deletion && lone.side == side.other());
        missing.map(|lone| lone.offset).max()
    }

    /// Takes note of a record of `side` that may be the one that a deletion should have removed there. In the order of offsets.
    pub(crate) fn look_back(&mut self, side: Side, record: &RecordView<'_>) {
        let Some(lone) = record.key.and_then(|key| self.by_key.get_mut(&hash(key))) else { return };
        if lone.is_deletion && lone.side == side.other() && record.offset < lone.offset {
            lone.lives_at = record.value.is_some().then_some(record.offset);
        }
    }

    /// What nothing has justified by now is a difference, unless something else explains it.
    pub(crate) fn settle(&mut self, report: &mut PartitionReport) {
        let mut lone: Vec<_> = self.by_key.drain().map(|(_, lone)| lone).collect();
        lone.sort_unstable_by_key(|lone| lone.offset);
        lone.iter().for_each(|lone| lone.settle(report));
    }

    /// Counts what a sample cannot judge.
    pub(crate) fn give_up(&mut self, report: &mut PartitionReport) {
        let unexplained = self.by_key.drain().filter(|(_, lone)| !lone.excuse.is_taken(report)).count();
        report.records_unproven += unexplained as u64;
    }
}

impl Lone {
    fn settle(&self, report: &mut PartitionReport) {
        if self.excuse.is_taken(report) {
            return;
        }
        if self.is_deletion && self.lives_at.is_none() {
            report.clean();
            return;
        }
        let (kind, lacking) = match self.side {
            Side::Source => (DifferenceKind::Missing, "target"),
            Side::Target => (DifferenceKind::Extra, "source"),
        };
        let detail = match self.lives_at {
            Some(offset) => {
                format!("it is a deletion, and what has its key at offset {offset} lives on the {lacking}")
            }
            None => "no later record has its key, and it is no deletion".to_owned(),
        };
        report.records_compared += 1;
        report.differ(self.offset, kind, detail);
    }
}

/// 128 bits: a collision would hide a difference, and keys may be many.
fn hash(key: &[u8]) -> (u64, u64) {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}
