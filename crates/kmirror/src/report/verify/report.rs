//! What a verification found.

use std::fmt;
use std::time::Duration;

use crate::ground::lineage::Run;

/// What a verification is narrowed to, and how patient it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Only these source topics; all of the flow's where it is empty.
    pub topics: Vec<String>,
    /// Only offsets from here on, in every partition.
    pub from: Option<i64>,
    /// Only a part of each partition, spread evenly: more than 0, at most 1.
    pub sample: Option<f64>,
    /// How long a broker may show nothing where its log goes on, as slow tiered storage does, before that is an error. Default:
    /// half a minute.
    pub patience: Duration,
}

impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        VerifyOptions { topics: Vec::new(), from: None, sample: None, patience: PATIENCE }
    }
}

/// What a verification says, of one partition or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Records were compared, and none differs.
    Equal,
    /// Neither side holds a record in what was to be compared.
    NothingToCompare,
    /// The source holds records, and none of them has been copied yet.
    NotCopiedYet,
    /// Nothing differs where both logs can be compared, but the target's own retention removed records that the source keeps.
    RemovedByRetention,
    /// Something differs.
    Different,
}

impl Verdict {
    /// The name in reports: stable, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::NothingToCompare => "nothing_to_compare",
            Verdict::NotCopiedYet => "not_copied_yet",
            Verdict::RemovedByRetention => "removed_by_retention",
            Verdict::Different => "different",
        }
    }

    /// Whether the target is not what it should be, as far as it has come.
    pub fn is_bad(self) -> bool {
        matches!(self, Verdict::RemovedByRetention | Verdict::Different)
    }
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
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition.
    pub partition: i32,
    /// Whether the partition exists on the target.
    pub is_on_target: bool,
    /// The first offset that was compared; `None` where none was.
    pub first: Option<i64>,
    /// The offset after the last one that was compared; `None` where none was.
    pub end: Option<i64>,
    /// Where the source ended when the verification began.
    pub source_end: i64,
    /// Where the source's records are on the target: one run at the same offsets, unless they were shifted. All offsets of the
    /// report are the source's. None where that is not known.
    pub runs: Vec<Run>,
    /// Records that were judged, each offset once: those on both sides, and those on one side alone.
    pub records_compared: u64,
    /// Records that stand on both sides and are equal.
    pub records_equal: u64,
    /// Records that only one side still holds, rightly: the other side's cleaner removed them, or they are repeats in a
    /// cleaned hole. A later record has the key of each, or it is a deletion of what is not there on the other side.
    pub records_cleaned: u64,
    /// Records that only one side of a compacted topic holds, and of which a sample cannot tell whether they were cleaned.
    pub records_unproven: u64,
    /// Records that have expired on the target and that the source may delete any moment, by its own retention.
    pub records_expired: u64,
    /// Records that the target's own retention removed, and that the source's keeps.
    pub records_removed: u64,
    /// Which of the target topic's settings did that.
    pub removed_by: String,
    /// Where the target's log begins, if the source holds earlier records: nothing below can be compared.
    pub comparable_from: Option<i64>,
    /// Offsets below the beginning of the source's log that the target still holds: nothing there can be compared.
    pub offsets_older: u64,
    /// Records whose timestamp is the source's append time, which the target shows as a create time.
    pub append_times_kept: u64,
    /// Records that somebody else wrote to the target and that the lineage steps over, by policy.
    pub records_foreign: u64,
    /// Offsets of the source that were not copied yet when the verification began.
    pub behind: u64,
    /// How many differences there are. Only the first ones are listed.
    pub differences_count: u64,
    /// The first differences, in the order in which they were found.
    pub differences: Vec<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The offset; `None` where the whole partition is meant.
    pub offset: Option<i64>,
    /// What differs.
    pub kind: DifferenceKind,
    /// The two values, shortened.
    pub detail: String,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
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
    /// The target shows placeholders of a head that was filled and is to be cut off: records that nobody wrote.
    Placeholder,
    /// It is not known where the source's records are on the target.
    Lineage,
}

impl VerifyReport {
    /// What is to be said of all partitions together. They are equal where records of any of them were compared and none of any differs.
    pub fn verdict(&self) -> Verdict {
        let has = |wanted| self.partitions.iter().any(|partition| partition.verdict() == wanted);
        [Verdict::Different, Verdict::RemovedByRetention, Verdict::Equal, Verdict::NotCopiedYet]
            .into_iter()
            .find(|verdict| has(*verdict))
            .unwrap_or(Verdict::NothingToCompare)
    }

    /// Whether records were compared and nothing differs, as far as the target has come.
    pub fn is_equal(&self) -> bool {
        self.verdict() == Verdict::Equal
    }

    /// Whether everything was copied that the source held when the verification began.
    pub fn is_complete(&self) -> bool {
        self.behind() == 0
    }

    /// Offsets of the source that were not copied yet.
    pub fn behind(&self) -> u64 {
        self.sum(|partition| partition.behind)
    }

    /// All differences, listed or not.
    pub fn differences_count(&self) -> u64 {
        self.sum(|partition| partition.differences_count)
    }

    /// Records that were judged.
    pub fn records_compared(&self) -> u64 {
        self.sum(|partition| partition.records_compared)
    }

    /// Records that were found equal.
    pub fn records_equal(&self) -> u64 {
        self.sum(|partition| partition.records_equal)
    }

    /// Records that the target's own retention removed.
    pub fn records_removed(&self) -> u64 {
        self.sum(|partition| partition.records_removed)
    }

    fn sum(&self, count: impl Fn(&PartitionReport) -> u64) -> u64 {
        self.partitions.iter().map(count).sum()
    }
}

impl PartitionReport {
    /// What is to be said of the partition.
    pub fn verdict(&self) -> Verdict {
        if self.differences_count > 0 {
            Verdict::Different
        } else if self.records_removed > 0 {
            Verdict::RemovedByRetention
        } else if self.records_compared > 0 {
            Verdict::Equal
        } else if self.behind > 0 {
            Verdict::NotCopiedYet
        } else {
            Verdict::NothingToCompare
        }
    }

    /// Counts a record that one side has rightly alone.
    pub(crate) fn clean(&mut self) {
        self.records_compared += 1;
        self.records_cleaned += 1;
    }

    pub(crate) fn differ(&mut self, offset: impl Into<Option<i64>>, kind: DifferenceKind, detail: String) {
        self.differences_count += 1;
        if self.differences.len() < DIFFERENCES_LISTED_MAX {
            self.differences.push(Difference { offset: offset.into(), kind, detail });
        }
    }
}

impl DifferenceKind {
    /// The name in reports: stable, lower case.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Extra => "extra",
            DifferenceKind::Key => "key",
            DifferenceKind::Value => "value",
            DifferenceKind::Headers => "headers",
            DifferenceKind::Timestamp => "timestamp",
            DifferenceKind::TimestampType => "timestamp_type",
            DifferenceKind::Unreadable => "unreadable",
            DifferenceKind::Placeholder => "placeholder",
            DifferenceKind::Lineage => "lineage",
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
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_equal_that_was_not_compared() {
        let partition = |compared, behind, removed, differences| PartitionReport {
            records_compared: compared,
            behind,
            records_removed: removed,
            differences_count: differences,
            ..PartitionReport::default()
        };
        let of = |partitions: &[PartitionReport]| VerifyReport { partitions: partitions.to_vec() };
        let empty = partition(0, 0, 0, 0);
        let behind = partition(0, 3, 0, 0);
        let equal = partition(5, 3, 0, 0);
        let removed = partition(5, 0, 2, 0);
        let different = partition(5, 0, 2, 1);
        let table = [
            (vec![], Verdict::NothingToCompare),
            (vec![empty.clone()], Verdict::NothingToCompare),
            (vec![empty.clone(), behind.clone()], Verdict::NotCopiedYet),
            (vec![empty, behind, equal.clone()], Verdict::Equal),
            (vec![equal.clone(), removed.clone()], Verdict::RemovedByRetention),
            (vec![equal, removed, different], Verdict::Different),
        ];
        for (partitions, expected) in table {
            let report = of(&partitions);
            assert_eq!(report.verdict(), expected, "{partitions:?}");
            assert_eq!(report.is_equal(), expected == Verdict::Equal);
        }
        assert!(!of(&[partition(5, 3, 0, 0)]).is_complete() && of(&[partition(5, 0, 0, 0)]).is_complete());
    }
}
