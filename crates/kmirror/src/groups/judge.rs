//! What is to be committed, and on which side, for a group and a partition. Pure.
//!
//! Groups follow from the source to the target. Where they may return, which has to be asked for, a group that is further on the target
//! than on the source has moved there, and the source's follows it. One judge decides both, so that they cannot
//! fight: whatever it has brought to the source is not taken for a move of the source's group afterwards.

use crate::config::OnGroupReset;
use crate::lineage::Lineage;

/// How far a partition's copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Where source offsets are on the target.
    pub(crate) lineage: Lineage,
    /// The source offset below which everything is on the target.
    pub(crate) position: i64,
    /// Where the source ends, as it was seen last; below zero where that is not known.
    pub(crate) source_end: i64,
}

/// What the configuration says about groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupRules {
    pub(crate) on_reset: OnGroupReset,
    /// Whether a group that moved to the target is followed on the source.
    pub(crate) may_return: bool,
}

/// Where a group stands in a partition: the offset that it reads next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// On the source; `None` where it has committed nothing.
    pub(crate) source: Option<i64>,
    /// On the target, in offsets of the target; the same.
    pub(crate) target: Option<i64>,
    /// What was settled before, by this process or an earlier one.
    pub(crate) settled: Option<Settled>,
}

/// What was settled for a group in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Where it stood on the source, as far as that has arrived.
    pub(crate) source: i64,
    /// Where it stood on the target: it was put or found there. Whoever sets it back from there means that.
    pub(crate) target: i64,
    /// Where it was left on the target though it was reset on the source: it has not moved there by itself.
    pub(crate) kept: Option<i64>,
}

impl Settled {
    pub(crate) fn at(source: i64, target: i64) -> Settled {
        Settled { source, target, kept: None }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It keeps its place.
    Same,
    /// It stands where it should, as far as that has arrived.
    Right(Settled),
    /// It stands behind the source's, where this flow has not put it: it is left there until it moves on the source.
    Found(Settled),
    /// It reads what was copied to the target before kmirror did that: where that is on the other side is not known, and it keeps the
    /// place that it was given then.
    Unknown,
    /// It stands further than the source's: it reads on the target already, and keeps its place.
    Ahead(Settled),
    /// This offset of the target is to be committed. What is before it has arrived.
    Commit {
        /// The offset.
        target: i64,
        /// The same on the source: where the group stands, or before that, if the rest has not arrived yet.
        source: i64,
    },
    /// This offset of the source is to be committed there: the group has read so far on the target.
    Return {
        /// The offset.
        source: i64,
    },
}

/// Judges one group in one partition. An offset that has not arrived yet is clamped to what has: a consumer that moves reads twice
/// rather than not at all.
pub(crate) fn judge(standing: Standing, arrived: &Arrived, rules: GroupRules) -> Decision {
    let Some(source) = standing.source else { return judge_on_target_alone(standing, arrived, rules) };
    if !arrived.lineage.knows(source) {
        return Decision::Unknown;
    }
    let reached = source.min(arrived.position);
    let target = arrived.lineage.target_of(reached);
    let commit = Decision::Commit { target, source: reached };
    match (standing.target, standing.settled) {
        (Some(there), _) if there == target => Decision::Right(Settled::at(reached, there)),
        (Some(there), settled) if there > target => {
            judge_ahead(source, there, settled, arrived, rules).unwrap_or(commit)
        }
        // Somebody else has put it there, before this flow has ever looked.
        (Some(there), None) => Decision::Found(Settled::at(source, there)),
        // Whoever set it back on the target alone meant that.
        (Some(there), Some(settled)) if there < settled.target => Decision::Same,
        // Nor is it taken forward, or back where it was deleted, before it moves on the source.
        (_, Some(settled)) if settled.source == source => Decision::Same,
        _ => commit,
    }
}

/// A group that stands further on the target than on the source. `None`: it is to be reset there as well.
fn judge_ahead(
    source: i64,
    there: i64,
    settled: Option<Settled>,
    arrived: &Arrived,
    rules: GroupRules,
) -> Option<Decision> {
    let seen = settled.map_or(there, |settled| settled.target.max(there));
    if settled.is_some_and(|settled| source < settled.source) {
        let kept = Settled { source, target: seen, kept: Some(there) };
        return (rules.on_reset == OnGroupReset::Keep).then_some(Decision::Ahead(kept));
    }
    let kept = settled.and_then(|settled| settled.kept);
    let has_moved = kept.is_none_or(|kept| there > kept);
    Some(match returning(there, arrived, rules).filter(|back| has_moved && *back > source) {
        Some(source) => Decision::Return { source },
        None => Decision::Ahead(Settled { source, target: seen, kept }),
    })
}

/// A group that began on the target while its consumers were there. One that was on the source before was deleted there, and does not
/// come back.
fn judge_on_target_alone(standing: Standing, arrived: &Arrived, rules: GroupRules) -> Decision {
    match standing.target {
        Some(there) if standing.settled.is_none() => match returning(there, arrived, rules) {
            Some(source) => Decision::Return { source },
            None => Decision::Same,
        },
        _ => Decision::Same,
    }
}

/// The source offset of an offset of the target, where groups may return and that is known: never beyond what was copied, for what the
/// target holds behind that is nobody's on the source, and never beyond the source's end.
fn returning(target: i64, arrived: &Arrived, rules: GroupRules) -> Option<i64> {
    let lineage = &arrived.lineage;
    let is_known = !lineage.is_continuing() || target >= lineage.first().target;
    (rules.may_return && is_known && arrived.source_end >= 0)
        .then(|| lineage.source_of(target).min(arrived.position).min(arrived.source_end))
}

#[cfg(test)]
mod tests {
    use super::OnGroupReset::{Follow, Keep};
    use super::*;

    const ARRIVED: i64 = 100;

    fn rules(on_reset: OnGroupReset, may_return: bool) -> GroupRules {
        GroupRules { on_reset, may_return }
    }

    fn judged(
        source: Option<i64>,
        target: Option<i64>,
        settled: Option<Settled>,
        rules: GroupRules,
    ) -> Decision {
        let arrived =
            Arrived { lineage: Lineage::beginning_at(0, 0), position: ARRIVED, source_end: ARRIVED + 20 };
        judge(Standing { source, target, settled }, &arrived, rules)
    }

    /// The offsets of both sides are equal.
    fn at(place: i64) -> Option<Settled> {
        Some(Settled::at(place, place))
    }

    fn right(place: i64) -> Decision {
        Decision::Right(Settled::at(place, place))
    }

    #[test]
    fn every_standing_has_its_decision() {
        let commit = |place| Decision::Commit { target: place, source: place };
        let ahead = |source, target| Decision::Ahead(Settled::at(source, target));
        let kept = |source, kept| Decision::Ahead(Settled { source, target: kept, kept: Some(kept) });
        let table = [
            (40, None, None, Follow, commit(40)),
            (40, Some(40), None, Follow, right(40)),
            (40, Some(30), at(30), Follow, commit(40)),
            // Who has put it there is not known: it is not moved before it moves on the source.
            (40, Some(30), None, Follow, Decision::Found(Settled::at(40, 30))),
            (40, Some(30), Some(Settled::at(40, 30)), Follow, Decision::Same),
            (41, Some(30), Some(Settled::at(40, 30)), Follow, commit(41)),
            // Consumers have moved to the target, or were there and went on.
            (40, Some(41), None, Follow, ahead(40, 41)),
            (41, Some(60), at(40), Follow, ahead(41, 60)),
            (70, Some(60), Some(Settled::at(41, 60)), Follow, commit(70)),
            // Somebody set it back there, before and after it had got on by itself.
            (90, Some(10), at(90), Follow, Decision::Same),
            (95, Some(10), at(90), Follow, Decision::Same),
            (50, Some(55), Some(Settled::at(40, 60)), Follow, ahead(50, 60)),
            (58, Some(55), Some(Settled::at(50, 60)), Follow, Decision::Same),
            (95, Some(95), at(90), Follow, right(95)),
            // Somebody reset the group on the source.
            (10, Some(40), at(40), Follow, commit(10)),
            (10, Some(40), at(40), Keep, kept(10, 40)),
            (50, Some(40), Some(Settled { source: 10, target: 40, kept: Some(40) }), Keep, commit(50)),
            (10, Some(5), at(40), Keep, Decision::Same),
            // Not all that it has read is there.
            (120, None, None, Follow, commit(100)),
            (120, Some(100), at(100), Follow, right(100)),
            (120, Some(90), at(90), Follow, commit(100)),
            (100, None, None, Follow, commit(100)),
        ];
        for (source, target, settled, on_reset, decision) in table {
            let judged = judged(Some(source), target, settled, rules(on_reset, false));
            assert_eq!(judged, decision, "source {source}, target {target:?}, {settled:?}, {on_reset:?}");
        }
    }

    #[test]
    fn a_group_that_moved_to_the_target_returns() {
        let back = |source| Decision::Return { source };
        let commit = |place| Decision::Commit { target: place, source: place };
        let ahead = |source, target| Decision::Ahead(Settled::at(source, target));
        let kept = |source, target| Settled { source, target, kept: Some(target) };
        let table = [
            // It read on there, and does so again after it was brought back.
            (Some(50), Some(100), at(50), Follow, back(100)),
            (Some(50), Some(100), None, Follow, back(100)),
            (Some(100), Some(100), at(100), Follow, right(100)),
            (Some(80), Some(90), at(80), Follow, back(90)),
            // It is on the source again, and reads on there.
            (Some(110), Some(100), at(100), Follow, right(100)),
            (Some(110), Some(90), at(90), Follow, commit(100)),
            (Some(90), Some(80), at(80), Follow, commit(90)),
            // Never beyond what was copied, though the source has more by now: the rest is not what it has read. Never backwards.
            (Some(50), Some(130), at(50), Follow, back(100)),
            (Some(100), Some(130), at(100), Follow, ahead(100, 130)),
            (Some(120), Some(130), at(120), Follow, ahead(120, 130)),
            (Some(115), Some(110), at(110), Follow, ahead(115, 110)),
            // It was reset on the source, which is no reason to take it forward again: neither now nor in the next round.
            (Some(10), Some(100), at(100), Follow, commit(10)),
            (Some(10), Some(100), at(100), Keep, Decision::Ahead(kept(10, 100))),
            (Some(10), Some(100), Some(kept(10, 100)), Keep, Decision::Ahead(kept(10, 100))),
            (Some(10), Some(95), Some(kept(10, 90)), Keep, back(95)),
            // It was reset on the target: nobody takes it forward again. Where it was deleted it is back once it moves on the source.
            (Some(100), Some(30), at(100), Follow, Decision::Same),
            (Some(101), Some(30), at(100), Follow, Decision::Same),
            (Some(100), None, at(100), Follow, Decision::Same),
            (Some(101), None, at(100), Follow, commit(100)),
            // It began on the target. One that was deleted on the source does not come back.
            (None, Some(30), None, Follow, back(30)),
            (None, Some(30), at(30), Follow, Decision::Same),
            (None, None, None, Follow, Decision::Same),
        ];
        for (source, target, settled, on_reset, decision) in table {
            let judged = judged(source, target, settled, rules(on_reset, true));
            assert_eq!(judged, decision, "source {source:?}, target {target:?}, {settled:?}, {on_reset:?}");
        }
        assert_eq!(judged(None, Some(30), None, rules(Follow, false)), Decision::Same, "one way only");
    }

    /// Whatever is done leads to a standing with which nothing more is done.
    #[test]
    fn the_two_directions_do_not_fight() {
        for may_return in [false, true] {
            for on_reset in [Follow, Keep] {
                for (source, target) in
                    (0..=130).step_by(5).flat_map(|a| (0..=130).step_by(5).map(move |b| (a, b)))
                {
                    for before in [None, at(20), at(60), at(source)] {
                        let (mut source, mut target, mut settled) = (source, target, before);
                        let settles = (0..4).any(|_| {
                            match judged(Some(source), Some(target), settled, rules(on_reset, may_return)) {
                                Decision::Commit { target: there, source: reached } => {
                                    target = there;
                                    settled = Some(Settled::at(reached, there));
                                    false
                                }
                                Decision::Return { source: back } => {
                                    assert!(back > source, "never backwards");
                                    (source, settled) = (back, Some(Settled::at(back, target)));
                                    false
                                }
                                Decision::Ahead(now) | Decision::Right(now) | Decision::Found(now) => {
                                    let is_still = settled == Some(now);
                                    settled = Some(now);
                                    is_still
                                }
                                Decision::Same | Decision::Unknown => true,
                            }
                        });
                        assert!(
                            settles,
                            "source {source}, target {target}, {before:?}, {on_reset:?}, {may_return}"
                        );
                    }
                }
            }
        }
    }

    /// A source that was truncated ends before what was copied, until that is noticed.
    #[test]
    fn nothing_returns_beyond_the_end_of_the_source() {
        let returned = |source_end| {
            let arrived = Arrived { lineage: Lineage::beginning_at(0, 0), position: ARRIVED, source_end };
            let standing = Standing { source: Some(50), target: Some(ARRIVED), settled: at(50) };
            judge(standing, &arrived, rules(Follow, true))
        };
        assert_eq!(returned(80), Decision::Return { source: 80 });
        assert_eq!(returned(-1), Decision::Ahead(Settled::at(50, ARRIVED)), "not known");
    }

    #[test]
    fn what_a_predecessor_has_copied_is_left_to_it() {
        let lineage = Lineage::beginning_at(50, 60).continuing();
        let arrived = Arrived { lineage, position: 90, source_end: 90 };
        let judged = |source, target| {
            judge(
                Standing { source, target, settled: Some(Settled::at(70, 20)) },
                &arrived,
                rules(Follow, true),
            )
        };
        assert_eq!(
            (judged(Some(49), None), judged(Some(49), Some(80))),
            (Decision::Unknown, Decision::Unknown)
        );
        assert_eq!(judged(Some(50), Some(20)), Decision::Commit { target: 60, source: 50 });
        let alone = |target| {
            let standing = Standing { target: Some(target), ..Standing::default() };
            judge(standing, &arrived, rules(Follow, true))
        };
        assert_eq!((alone(59), alone(62)), (Decision::Same, Decision::Return { source: 52 }));
    }

    #[test]
    fn offsets_are_those_of_the_other_side() {
        let mut lineage = Lineage::beginning_at(50, 1_000);
        lineage.begin(crate::lineage::Run { source: 80, target: 1_035 }).expect("forwards");
        let arrived = Arrived { lineage, position: 90, source_end: 95 };
        let judged =
            |source, target| judge(Standing { source, target, settled: None }, &arrived, rules(Follow, true));
        let target_of = |source| match judged(Some(source), None) {
            Decision::Commit { target, .. } => target,
            decision => panic!("{decision:?}"),
        };
        assert_eq!(target_of(10), 1_000, "before the copy begins: where it begins");
        assert_eq!((target_of(60), target_of(85), target_of(95)), (1_010, 1_040, 1_045));
        let source_of = |target| match judged(Some(50), Some(target)) {
            Decision::Return { source } => source,
            decision => panic!("{decision:?}"),
        };
        assert_eq!(
            (source_of(1_010), source_of(1_032), source_of(1_040)),
            (60, 80, 85),
            "a hole's surplus belongs to what follows"
        );
    }
}
