//! Sequence numbers of an idempotent producer.

/// The sequence of a record within its producer's appends to one partition: 0 to 2^31 - 1, then 0 again
/// (`DefaultRecordBatch.incrementSequence`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(i32);

impl Sequence {
    /// The sequence of a partition's first append: the batch's own source offset. Two owners who both start afresh choose
    /// the same number, so only one of them succeeds; also where they do not agree on its target offset, because a marker came
    /// in between.
    pub(crate) fn of_first_append(source_offset: i64) -> Sequence {
        Sequence((source_offset & i64::from(i32::MAX)) as i32)
    }

    /// The sequence after a batch that begins at `base` and has `records` records.
    pub(crate) fn after(base: i32, records: i32) -> Sequence {
        Sequence(base.wrapping_add(records) & i32::MAX)
    }

    /// The sequence `records` later.
    pub(crate) fn plus(self, records: i32) -> Sequence {
        Sequence::after(self.0, records)
    }

    /// Whether it comes before `other`, as far as numbers that wrap can tell.
    pub(crate) fn is_behind(self, other: Sequence) -> bool {
        let ahead = other.0.wrapping_sub(self.0) & i32::MAX;
        ahead != 0 && ahead <= i32::MAX / 2
    }

    /// The number as it stands in a batch header.
    pub(crate) fn value(self) -> i32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        assert_eq!(Sequence::after(i32::MAX, 1).value(), 0);
        assert_eq!(Sequence::after(i32::MAX - 1, 5).value(), 3);
        let (first, last) = (Sequence::after(0, 0), Sequence::after(i32::MAX, 0));
        assert!(last.is_behind(first) && !first.is_behind(last) && !first.is_behind(first));
        assert_eq!(Sequence::of_first_append(i64::from(i32::MAX) + 1).value(), 0);
        assert_eq!(Sequence::of_first_append(i64::from(i32::MAX) + 8).plus(2).value(), 9);
    }
}
