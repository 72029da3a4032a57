//! Where the records of a source partition are on the target: a list of runs, each of one distance. Translating an offset is a
//! look-up in it, never an estimate. Pure.

use std::fmt;

/// From the source offset `source` on, records are at `target` and behind, until the next run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// The first source offset of the run.
    pub source: i64,
    /// Where it is on the target.
    pub target: i64,
}

impl Run {
    /// How far target offsets are ahead of source offsets: 0 where they are equal.
    pub fn delta(&self) -> i64 {
        self.target - self.source
    }
}

/// The runs of one target partition, in order. There is at least one.
///
/// `offsets: exact` has one run whose delta is 0, `shifted` one with another delta. A hole that came out longer than the
/// source's begins another one, and so does the hole in which that is made up for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    first: Run,
    later: Vec<Run>,
    /// Whether the target holds records of the source before the first run: a predecessor's, whose places are not known.
    is_continuing: bool,
}

/// Runs that cannot be those of a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineageError {
    /// There is no run at all.
    #[error("a lineage has at least one run")]
    Empty,
    /// An offset is below 0.
    #[error("a run begins at source offset {} and target offset {}: offsets are not negative", run.source, run.target)]
    Negative {
        /// The run.
        run: Run,
    },
    /// A run begins before the one before it on one of the sides.
    #[error("a run begins at source offset {} and target offset {}, behind which the run before it begins", run.source, run.target)]
    Backwards {
        /// The run.
        run: Run,
    },
}

impl Lineage {
    /// A lineage with one run, which begins here.
    pub fn beginning_at(source: i64, target: i64) -> Lineage {
        Lineage { first: Run { source, target }, later: Vec::new(), is_continuing: false }
    }

    /// The same, behind records of the source that something else has copied.
    pub fn continuing(self) -> Lineage {
        Lineage { is_continuing: true, ..self }
    }

    /// Whether the target holds records of the source before the first run, which something else has copied.
    pub fn is_continuing(&self) -> bool {
        self.is_continuing
    }

    /// Whether it is known where this source offset is on the target: not before the first run, if the target holds records from
    /// there as well.
    pub fn knows(&self, source: i64) -> bool {
        !self.is_continuing || source >= self.first.source
    }

    /// The lineage with these runs.
    ///
    /// # Errors
    /// Where there is none, or they are not in order.
    pub fn from_runs(runs: impl IntoIterator<Item = Run>) -> Result<Lineage, LineageError> {
        let mut runs = runs.into_iter();
        let first = runs.next().ok_or(LineageError::Empty)?;
        let mut lineage = Lineage::beginning_at(first.source, first.target);
        check_positive(first)?;
        runs.try_for_each(|run| lineage.begin(run))?;
        Ok(lineage)
    }

    /// Begins a run. One that begins where the last one begins, on either side, replaces it: that one holds nothing.
    ///
    /// # Errors
    /// Where the run begins before the last one on either side.
    pub fn begin(&mut self, run: Run) -> Result<(), LineageError> {
        check_positive(run)?;
        let last = self.last();
        if run.source < last.source || run.target < last.target {
            return Err(LineageError::Backwards { run });
        }
        if run.delta() == last.delta() {
            return Ok(());
        }
        if run.source == last.source || run.target == last.target {
            match self.later.pop() {
                // What is left may go on at the same distance as the new one.
                Some(_) => return self.begin(run),
                None => self.first = run,
            }
            return Ok(());
        }
        self.later.push(run);
        Ok(())
    }

    /// Begins a run where records were found. Runs that begin there or behind, on either side, are forgotten: nothing was found where
    /// they put it.
    ///
    /// # Errors
    /// Where the run begins before the first one.
    pub fn displace(&mut self, run: Run) -> Result<(), LineageError> {
        check_positive(run)?;
        self.later.retain(|later| later.source <= run.source && later.target < run.target);
        self.begin(run)
    }

    /// Forgets the last run, which is returned. The first one stays.
    pub(crate) fn forget_last(&mut self) -> Option<Run> {
        self.later.pop()
    }

    /// Forgets runs that begin behind this target offset: the target lost what they were recorded for.
    pub fn truncate(&mut self, target_end: i64) {
        self.later.retain(|run| run.target <= target_end);
    }

    /// Where the copy begins.
    pub fn first(&self) -> Run {
        self.first
    }

    /// The run that goes on.
    pub fn last(&self) -> Run {
        self.later.last().copied().unwrap_or(self.first)
    }

    /// All runs in order.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = Run> + Clone {
        std::iter::once(self.first).chain(self.later.iter().copied())
    }

    /// Whether every offset on the target is the source's.
    pub fn is_exact(&self) -> bool {
        self.later.is_empty() && self.first.delta() == 0 && !self.is_continuing
    }

    /// How many offsets the last run is further ahead than the first: holes came out longer by as many.
    pub fn surplus(&self) -> i64 {
        self.last().delta() - self.first.delta()
    }

    /// Where a source offset is on the target: the record itself, or where it would be. An offset before the beginning of the
    /// copy is where the copy begins.
    pub fn target_of(&self, source: i64) -> i64 {
        let (run, next) = self.run_of(|run| run.source <= source);
        let target = run.target + source.saturating_sub(run.source).max(0);
        next.map_or(target, |next| target.min(next.target))
    }

    /// The source offset of a target offset. One that a hole has too many belongs to the record after it.
    pub fn source_of(&self, target: i64) -> i64 {
        let (run, next) = self.run_of(|run| run.target <= target);
        let source = run.source + target.saturating_sub(run.target).max(0);
        next.map_or(source, |next| source.min(next.source))
    }

    /// The source offset of a target offset, if it is one: those before the beginning of the copy and between two runs are not
    /// the source's.
    pub fn place_of(&self, target: i64) -> Option<i64> {
        let (run, next) = self.run_of(|run| run.target <= target);
        let source = run.source + (target - run.target);
        (target >= run.target && next.is_none_or(|next| source < next.source)).then_some(source)
    }

    /// The last run that has begun, or the first, and the one after it.
    fn run_of(&self, has_begun: impl Fn(&Run) -> bool) -> (Run, Option<Run>) {
        let begun = self.later.partition_point(has_begun);
        let run = begun.checked_sub(1).and_then(|index| self.later.get(index)).copied();
        (run.unwrap_or(self.first), self.later.get(begun).copied())
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.runs().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{}→{} ({:+})", run.source, run.target, run.delta())?;
        }
        Ok(())
    }
}

fn check_positive(run: Run) -> Result<(), LineageError> {
    if run.source < 0 || run.target < 0 { Err(LineageError::Negative { run }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_run_keeps_its_distance() {
        let exact = Lineage::beginning_at(0, 0);
        assert_eq!((exact.target_of(7), exact.source_of(7)), (7, 7));
        assert!(exact.is_exact());
        let shifted = Lineage::beginning_at(100, 40);
        assert_eq!((shifted.target_of(107), shifted.source_of(47)), (47, 107));
        assert_eq!((shifted.target_of(3), shifted.source_of(3)), (40, 100), "before it begins");
        assert!(!shifted.is_exact());
        assert_eq!(shifted.to_string(), "100→40 (-60)");
    }

    #[test]
    fn a_hole_that_is_too_long_and_one_that_makes_up_for_it() {
        // The source's hole [10, 12) came out two offsets longer, and [30, 35) two shorter.
        let lineage = runs(&[(0, 0), (12, 14), (35, 35)]);
        for (source, target) in [(9, 9), (11, 11), (12, 14), (29, 31), (33, 35), (34, 35), (35, 35), (50, 50)]
        {
            assert_eq!(lineage.target_of(source), target, "{source}");
        }
        for (target, source) in [(11, 11), (12, 12), (13, 12), (14, 12), (31, 29), (34, 32), (35, 35)] {
            assert_eq!(lineage.source_of(target), source, "{target}");
        }
        let places = [(11, Some(11)), (12, None), (13, None), (14, Some(12)), (34, Some(32)), (35, Some(35))];
        for (target, source) in places {
            assert_eq!(lineage.place_of(target), source, "{target}");
        }
        assert_eq!(Lineage::beginning_at(5, 40).place_of(39), None);
        assert_eq!(lineage.surplus(), 0);
        assert_eq!(runs(&[(0, 0), (12, 14)]).surplus(), 2);
    }

    #[test]
    fn a_run_without_offsets_is_replaced() {
        let mut lineage = runs(&[(0, 0), (12, 14)]);
        begin(&mut lineage, 12, 15);
        assert_eq!(lineage, runs(&[(0, 0), (12, 15)]), "the same hole was too long twice");
        begin(&mut lineage, 15, 15);
        assert_eq!(lineage, runs(&[(0, 0)]), "made up for before anything was copied");
        begin(&mut lineage, 20, 20);
        assert_eq!(lineage.runs().count(), 1, "the same distance is no new run");
    }

    #[test]
    fn a_run_that_was_found_replaces_those_that_held_nothing() {
        let displaced = |source, target| {
            let mut lineage = runs(&[(0, 0), (12, 14), (18, 21)]);
            lineage.displace(Run { source, target }).map(|()| lineage)
        };
        assert_eq!(displaced(30, 35), Ok(runs(&[(0, 0), (12, 14), (18, 21), (30, 35)])));
        assert_eq!(displaced(17, 21), Ok(runs(&[(0, 0), (12, 14), (17, 21)])), "where the last one begins");
        assert_eq!(displaced(17, 25), Ok(runs(&[(0, 0), (12, 14), (17, 25)])), "behind it on the target");
        assert_eq!(displaced(16, 20), Ok(runs(&[(0, 0), (12, 14), (16, 20)])));
        assert_eq!(displaced(5, 30), Ok(runs(&[(0, 0), (5, 30)])));
        assert!(displaced(-1, 30).is_err());
    }

    #[test]
    fn the_first_run_is_never_forgotten() {
        let mut lineage = runs(&[(0, 0), (12, 14)]);
        assert_eq!(
            (lineage.forget_last(), lineage.forget_last()),
            (Some(Run { source: 12, target: 14 }), None)
        );
        assert_eq!(lineage, runs(&[(0, 0)]));
    }

    #[test]
    fn a_target_that_lost_its_end_loses_the_runs_there() {
        for (target_end, left) in [(40, 3), (35, 3), (34, 2), (14, 2), (13, 1), (0, 1)] {
            let mut lineage = runs(&[(0, 0), (12, 14), (35, 35)]);
            lineage.truncate(target_end);
            assert_eq!(lineage.runs().count(), left, "{target_end}");
        }
    }

    #[test]
    fn runs_out_of_order_are_refused() {
        let run = |source, target| Run { source, target };
        assert_eq!(Lineage::from_runs([]), Err(LineageError::Empty));
        for bad in [run(5, 30), run(20, 14)] {
            assert_eq!(
                Lineage::from_runs([run(0, 0), run(12, 15), bad]),
                Err(LineageError::Backwards { run: bad })
            );
        }
        assert!(matches!(Lineage::from_runs([run(-1, 0)]), Err(LineageError::Negative { .. })));
    }

    proptest! {
        /// Copies a source with holes, some of which come out longer or shorter, and looks every offset up.
        #[test]
        fn every_copied_record_is_where_the_lineage_says(
            start in 0..50i64,
            shift in 0..50i64,
            pieces in prop::collection::vec((1..5i64, 1..6i64, 0..4i64), 1..12),
        ) {
            let (mut source, mut target) = (start, start + shift);
            let mut lineage = Lineage::beginning_at(source, target);
            let mut copied = Vec::new();
            for (records, hole, surplus) in pieces {
                copied.extend((0..records).map(|index| (source + index, target + index)));
                (source, target) = (source + records + hole, target + records + hole);
                let made_up = lineage.surplus().min(hole);
                target += if made_up > 0 { -made_up } else { surplus };
                lineage.begin(Run { source, target }).expect("in order");
            }
            for (source, target) in copied {
                prop_assert_eq!(lineage.target_of(source), target);
                prop_assert_eq!(lineage.source_of(target), source);
                prop_assert_eq!(lineage.place_of(target), Some(source));
            }
            let all: Vec<_> = lineage.runs().collect();
            prop_assert_eq!(Lineage::from_runs(all), Ok(lineage.clone()));
            for offset in start..source {
                prop_assert!(lineage.target_of(offset) <= lineage.target_of(offset + 1));
                prop_assert!(lineage.source_of(offset) <= lineage.source_of(offset + 1));
            }
        }
    }

    fn runs(runs: &[(i64, i64)]) -> Lineage {
        Lineage::from_runs(runs.iter().map(|(source, target)| Run { source: *source, target: *target }))
            .expect("in order")
    }

    fn begin(lineage: &mut Lineage, source: i64, target: i64) {
        lineage.begin(Run { source, target }).expect("in order");
    }
}
