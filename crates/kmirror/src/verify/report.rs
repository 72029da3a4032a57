//! What a verification found.

use std::fmt;

use crate::lineage::Run;

/// What a verification is narrowed to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Only these source topics; all of the flow's where it is empty.
    pub topics: Vec<String>,
    /// Only offsets from here on, in every partition.
    pub from: Option<i64>,
    /// Only a part of each partition, spread evenly: more than 0, at most 1.
    pub sample: Option<f64>,
}

/// The result of comparing two clusters.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Every partition that was compared, by flow, topic and number.
    pub partitions: Vec<PartitionReport>,
}

/// The result of comparing one partition.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PartitionReport {
    /// `source->target`.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that was compared.
    pub first: i64,
    /// The offset after the last one that was compared.
    pub end: i64,
    /// Where the source's records are on the target: one run at the same offsets, unless they were shifted. All offsets of the
    /// report are the source's.
    pub runs: Vec<Run>,
    /// Records that stand on both sides and are equal.
    pub records_equal: u64,
    /// Records that only one side still holds, rightly: the other side's cleaner removed them, or they are repeats in a
    /// cleaned hole. Each is a tombstone, or a later record has its key.
    pub records_cleaned: u64,
    /// Records whose timestamp is the source's append time, which the target shows as a create time.
    pub append_times_kept: u64,
    /// Records that somebody else wrote to the target and that the lineage steps over, by policy.
    pub records_foreign: u64,
    /// Offsets of the source that were not copied yet when the verification began.
    pub behind: u64,
    /// How many differences there are. Only the first ones are listed.
    pub differences_count: u64,
    /// The first differences, in offset order.
    pub differences: Vec<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The offset; -1 where a whole topic or partition is meant.
    pub offset: i64,
    /// What differs.
    pub kind: DifferenceKind,
    /// The two values, shortened.
    pub detail: String,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The topic or partition does not exist on the target.
    NotOnTarget,
    /// The source has a record here, the target has none.
    Missing,
    /// The target has a record here, the source has none.
    Extra,
    /// The records' keys differ.
    Key,
    /// The records' values differ.
    Value,
    /// The records' headers differ, in content or order.
    Headers,
    /// The records' timestamps differ.
    Timestamp,
    /// The timestamps are of different types.
    TimestampType,
    /// A batch could not be read.
    Unreadable,
}

impl VerifyReport {
    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.partitions.iter().all(|partition| partition.differences_count == 0)
    }

    /// All differences, listed or not.
    pub fn differences_count(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.differences_count).sum()
    }

    /// Records that were found equal.
    pub fn records_equal(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.records_equal).sum()
    }
}

impl PartitionReport {
    pub(crate) fn differ(&mut self, offset: i64, kind: DifferenceKind, detail: String) {
        self.differences_count += 1;
        if self.differences.len() < DIFFERENCES_LISTED_MAX {
            self.differences.push(Difference { offset, kind, detail });
        }
    }
}

impl DifferenceKind {
    /// The name in reports: stable, lower case.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::NotOnTarget => "not_on_target",
            DifferenceKind::Missing => "missing",
            DifferenceKind::Extra => "extra",
            DifferenceKind::Key => "key",
            DifferenceKind::Value => "value",
            DifferenceKind::Headers => "headers",
            DifferenceKind::Timestamp => "timestamp",
            DifferenceKind::TimestampType => "timestamp_type",
            DifferenceKind::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Enough to see the pattern; a topic that is wrong throughout would fill the memory.
const DIFFERENCES_LISTED_MAX: usize = 100;
