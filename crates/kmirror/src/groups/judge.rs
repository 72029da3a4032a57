//! What is to be committed on the target for a group and a partition. Pure.

use crate::config::OnGroupReset;
use crate::lineage::Lineage;

/// How far a partition's copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Where source offsets are on the target.
    pub(crate) lineage: Lineage,
    /// The source offset below which everything is on the target.
    pub(crate) position: i64,
}

/// Where a group stands in a partition: the offset that it reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// On the source.
    pub(crate) source: i64,
    /// On the target, in offsets of the target; `None` where it has committed nothing.
    pub(crate) target: Option<i64>,
    /// On the source when it was looked at last, in the life of this process.
    pub(crate) source_before: Option<i64>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It stands where it should.
    Same,
    /// It reads on the source what was copied to the target before kmirror did that: where that is is not known, and it keeps the place
    /// that it was given then.
    Unknown,
    /// It stands further than the source's, which was not reset: it reads on the target already, and keeps its place.
    Ahead,
    /// This offset of the target is to be committed. What is before it has arrived.
    Commit {
        /// The offset.
        target: i64,
        /// Whether it is all that the group has read: else the rest has not arrived yet.
        is_all: bool,
    },
}

/// Judges one group in one partition. An offset that has not arrived yet is clamped to what has: a consumer that moves reads twice
/// rather than not at all.
pub(crate) fn judge(standing: Standing, arrived: &Arrived, on_reset: OnGroupReset) -> Decision {
    if !arrived.lineage.knows(standing.source) {
        return Decision::Unknown;
    }
    let source = standing.source.min(arrived.position);
    let is_all = source == standing.source;
    let target = arrived.lineage.target_of(source);
    let was_reset = standing.source_before.is_some_and(|before| standing.source < before);
    match standing.target {
        Some(there) if there == target => Decision::Same,
        Some(there) if there > target && !(was_reset && on_reset == OnGroupReset::Follow) => Decision::Ahead,
        _ => Decision::Commit { target, is_all },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVED: i64 = 100;

    fn judged(
        source: i64,
        target: Option<i64>,
        source_before: Option<i64>,
        on_reset: OnGroupReset,
    ) -> Decision {
        let arrived = Arrived { lineage: Lineage::beginning_at(0, 0), position: ARRIVED };
        judge(Standing { source, target, source_before }, &arrived, on_reset)
    }

    #[test]
    fn every_standing_has_its_decision() {
        use OnGroupReset::{Follow, Keep};
        let commit = |target| Decision::Commit { target, is_all: true };
        let table = [
            (40, None, None, Follow, commit(40)),
            (40, Some(30), None, Follow, commit(40)),
            (40, Some(40), None, Follow, Decision::Same),
            // Consumers have moved to the target.
            (40, Some(41), None, Follow, Decision::Ahead),
            (41, Some(60), Some(40), Follow, Decision::Ahead),
            // Somebody reset the group on the source.
            (10, Some(40), Some(40), Follow, commit(10)),
            (10, Some(40), Some(40), Keep, Decision::Ahead),
            (10, Some(5), Some(40), Keep, commit(10)),
            // Not all that it has read is there.
            (120, None, None, Follow, Decision::Commit { target: 100, is_all: false }),
            (120, Some(100), Some(110), Follow, Decision::Same),
            (100, None, None, Follow, commit(100)),
        ];
        for (source, target, before, on_reset, decision) in table {
            let judged = judged(source, target, before, on_reset);
            assert_eq!(
                judged, decision,
                "source {source}, target {target:?}, before {before:?}, {on_reset:?}"
            );
        }
    }

    #[test]
    fn what_a_predecessor_has_copied_is_left_to_it() {
        let arrived = Arrived { lineage: Lineage::beginning_at(50, 60).continuing(), position: 90 };
        let judged = |source, target| {
            judge(Standing { source, target, source_before: Some(70) }, &arrived, OnGroupReset::Follow)
        };
        assert_eq!((judged(49, None), judged(49, Some(80))), (Decision::Unknown, Decision::Unknown));
        assert_eq!(judged(50, Some(20)), Decision::Commit { target: 60, is_all: true });
    }

    #[test]
    fn offsets_are_those_of_the_target() {
        let mut lineage = Lineage::beginning_at(50, 1_000);
        lineage.begin(crate::lineage::Run { source: 80, target: 1_035 }).expect("forwards");
        let arrived = Arrived { lineage, position: 90 };
        let target_of = |source| {
            let standing = Standing { source, target: None, source_before: None };
            match judge(standing, &arrived, OnGroupReset::Follow) {
                Decision::Commit { target, .. } => target,
                decision => panic!("{decision:?}"),
            }
        };
        assert_eq!(target_of(10), 1_000, "before the copy begins: where it begins");
        assert_eq!((target_of(60), target_of(85), target_of(95)), (1_010, 1_040, 1_045));
    }
}
