//! What is to be committed, and on which side, for a group and a partition. Pure.
//!
//! Groups follow from the source to the target. Where they may return, which has to be asked for, a group that is further on the target
//! than on the source has moved there, and the source's follows it. One judge decides both, so that they cannot
//! fight: whatever it has brought to the source is not taken for a move of the source's group afterwards.

use serde::{Deserialize, Serialize};

use crate::ground::lineage::Lineage;
use crate::ground::policies::OnGroupReset;

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
    /// Whether a consumer has committed that: it says a leader epoch, which no tool and no mirror does.
    pub(crate) is_consumers: bool,
    /// What was settled before, by this process or another one.
    pub(crate) settled: Option<Settled>,
    /// Whether that is what another process has recorded, which may have moved the group on since.
    pub(crate) is_recalled: bool,
}

/// What was settled for a group in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Where it stood on the source, as far as that has arrived; below zero where it has never stood there.
    pub(crate) source: i64,
    /// Where it stood on the target: it was put or found there. Whoever sets it back from there means that.
    pub(crate) target: i64,
    /// Where it was left on the target though it is further there: it has not moved there by itself since it was looked at.
    pub(crate) kept: Option<i64>,
    /// Where it stood on the source, arrived or not.
    pub(crate) committed: i64,
    /// Who moves it on the target.
    pub(crate) side: Side,
    /// Where it is put on the source: found there, that is no move of its own.
    pub(crate) returned: Option<i64>,
}

/// Who moves a group on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// It follows its namesake on the source.
    #[default]
    Follows,
    /// Consumers had committed there before anybody looked: it is theirs until it stands at the same record as on the source.
    Own,
    /// It has begun to move there by itself.
    Moved,
    /// It has, and has committed on the source after that: these are two programs. Neither says where the other one is to read.
    Both,
}

impl Settled {
    /// It stood on neither side.
    pub(crate) const NOWHERE: Settled = Settled {
        source: NOWHERE,
        target: NOWHERE,
        kept: None,
        committed: NOWHERE,
        side: Side::Moved,
        returned: None,
    };

    pub(crate) fn at(source: i64, target: i64) -> Settled {
        Settled { source, target, kept: None, committed: source, side: Side::Follows, returned: None }
    }

    /// Somewhere else on the target than where it would follow to.
    fn left(source: i64, target: i64, side: Side) -> Settled {
        Settled { side, ..Settled::at(source, target) }
    }

    /// What has been put on the source, or was to be, is no move of the group.
    fn without_own_move(self, source: i64) -> Settled {
        match self.returned {
            Some(returned) if returned == source => {
                Settled { source, committed: source, returned: None, ..self }
            }
            _ => self,
        }
    }

    /// Who moves it, now that it stands on the source there, and has moved on the target by itself.
    fn moved(self, source: i64) -> Side {
        match self.side {
            Side::Both => Side::Both,
            _ if source != self.committed => Side::Both,
            _ => Side::Moved,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It keeps its place.
    Same,
    /// It stands where it should, as far as that has arrived.
    Right(Settled),
    /// It stands behind the source's, where this flow is not known to have put it: it is left there until it moves on the source, or, where
    /// consumers have put it there, until both stand at the same record.
    Found(Settled),
    /// Somebody has set it back there, and it keeps its place.
    SetBack(Settled),
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
/// rather than not at all. Nothing is moved forward on the target over a place that is not known to be where it was put.
pub(crate) fn judge(standing: Standing, arrived: &Arrived, rules: GroupRules) -> Decision {
    let Some(source) = standing.source else { return judge_on_target_alone(standing, arrived, rules) };
    if !arrived.lineage.knows(source) {
        return Decision::Unknown;
    }
    let reached = source.min(arrived.position);
    let target = arrived.lineage.target_of(reached);
    let settled = standing.settled.map(|settled| settled.without_own_move(source));
    let found = |there| {
        let side = if standing.is_consumers { Side::Own } else { Side::Follows };
        Decision::Found(Settled::left(source, there, side))
    };
    match (standing.target, settled) {
        (Some(there), settled) if there == target => {
            let side = settled.map_or(Side::Follows, |settled| side_of_equals(settled, source, standing));
            Decision::Right(Settled { committed: source, side, ..Settled::at(reached, there) })
        }
        (Some(there), settled) if there > target => judge_ahead(source, there, settled, arrived, rules)
            .unwrap_or(Decision::Commit { target, source: reached }),
        // Somebody else has put it there, before this flow has ever looked.
        (Some(there), None) => found(there),
        (Some(_), Some(settled)) if settled.side == Side::Own => Decision::Same,
        // Whoever set it back on the target alone meant that.
        (Some(there), Some(settled)) if there < settled.target => {
            Decision::SetBack(Settled { committed: source, side: settled.moved(source), ..settled })
        }
        // Nor is it taken forward, or back where it was deleted, before it moves on the source.
        (_, Some(settled)) if settled.source == source => Decision::Same,
        // Not where it was put when that was recorded, and not where it would be: whoever has put it there is not known.
        (Some(there), Some(settled)) if standing.is_recalled && there > settled.target => found(there),
        _ => Decision::Commit { target, source: reached },
    }
}

/// Who moves a group that stands at the same record on both sides. Consumers may have come there on either side, and else it was put
/// there, by another instance.
fn side_of_equals(settled: Settled, source: i64, standing: Standing) -> Side {
    match settled.side {
        Side::Own => Side::Follows,
        Side::Follows if !standing.is_consumers || standing.target == Some(settled.target) => Side::Follows,
        Side::Moved if source == settled.committed => Side::Moved,
        _ => settled.moved(source),
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
    let Some(settled) = settled else {
        // Since when, and whether it moves there at all, is not known: it is looked at from here on.
        let kept = Some(there);
        return Some(Decision::Ahead(Settled { kept, ..Settled::left(source, there, Side::Moved) }));
    };
    let seen = settled.target.max(there);
    if source < settled.source {
        let kept = Settled { kept: Some(there), ..Settled::left(source, seen, Side::Moved) };
        return (rules.on_reset == OnGroupReset::Keep).then_some(Decision::Ahead(kept));
    }
    // Where the source's has read more than has arrived, it is not this one that is ahead.
    let is_ahead = arrived.lineage.source_of(there) > source;
    let side = if is_ahead { settled.moved(source) } else { settled.side };
    let has_moved = settled.kept.is_none_or(|kept| there > kept);
    let back =
        returning(there, arrived, rules).filter(|back| side == Side::Moved && has_moved && *back > source);
    Some(match back {
        Some(source) => Decision::Return { source },
        None => Decision::Ahead(Settled { kept: settled.kept, ..Settled::left(source, seen, side) }),
    })
}

/// A group that stands on the target alone. One that was on the source before was deleted there, and does not come back; one that was
/// never there gets a place there once it moves, if it may return.
fn judge_on_target_alone(standing: Standing, arrived: &Arrived, rules: GroupRules) -> Decision {
    match (standing.target, standing.settled) {
        (Some(there), None) if rules.may_return => {
            let found = Settled { kept: Some(there), ..Settled::left(NOWHERE, there, Side::Moved) };
            Decision::Ahead(found)
        }
        (Some(there), Some(settled)) if settled.source == NOWHERE => {
            let has_moved = settled.kept.is_none_or(|kept| there > kept);
            match returning(there, arrived, rules).filter(|_| has_moved) {
                Some(source) => Decision::Return { source },
                None => Decision::Same,
            }
        }
        _ => Decision::Same,
    }
}

/// Where a group stands that was never on the source.
pub(crate) const NOWHERE: i64 = -1;

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
        judge(Standing { source, target, settled, ..Standing::default() }, &arrived, rules)
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
        let ahead = |source, target, side| Decision::Ahead(Settled::left(source, target, side));
        let kept = |source, kept| Settled { kept: Some(kept), ..Settled::left(source, kept, Side::Moved) };
        let set_back = |source, target| Settled::left(source, target, Side::Moved);
        let table = [
            (40, None, None, Follow, commit(40)),
            (40, Some(40), None, Follow, right(40)),
            (40, Some(30), at(30), Follow, commit(40)),
            // Who has put it there is not known: it is not moved before it moves on the source.
            (40, Some(30), None, Follow, Decision::Found(Settled::at(40, 30))),
            (40, Some(30), Some(Settled::at(40, 30)), Follow, Decision::Same),
            (41, Some(30), Some(Settled::at(40, 30)), Follow, commit(41)),
            // Consumers have moved to the target, or were there and went on.
            (40, Some(41), None, Follow, Decision::Ahead(kept(40, 41))),
            (40, Some(60), at(40), Follow, ahead(40, 60, Side::Moved)),
            (41, Some(60), at(40), Follow, ahead(41, 60, Side::Both)),
            (70, Some(60), Some(Settled::at(41, 60)), Follow, commit(70)),
            // Somebody set it back there, before and after it had got on by itself.
            (90, Some(10), at(90), Follow, Decision::SetBack(set_back(90, 90))),
            (50, Some(55), Some(set_back(50, 60)), Follow, ahead(50, 60, Side::Moved)),
            (58, Some(55), Some(set_back(58, 60)), Follow, Decision::SetBack(set_back(58, 60))),
            (95, Some(95), at(90), Follow, right(95)),
            // Somebody reset the group on the source.
            (10, Some(40), at(40), Follow, commit(10)),
            (10, Some(40), at(40), Keep, Decision::Ahead(kept(10, 40))),
            (50, Some(40), Some(kept(10, 40)), Keep, commit(50)),
            (10, Some(5), at(10), Keep, Decision::SetBack(set_back(10, 10))),
            // Not all that it has read is there.
            (120, None, None, Follow, commit(100)),
            (
                120,
                Some(100),
                at(100),
                Follow,
                Decision::Right(Settled { committed: 120, ..Settled::at(100, 100) }),
            ),
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
        let ahead = |source, target, side| Decision::Ahead(Settled::left(source, target, side));
        let kept =
            |source, target| Settled { kept: Some(target), ..Settled::left(source, target, Side::Moved) };
        let moved = |source, target| Some(Settled::left(source, target, Side::Moved));
        let stands = |place, side| Decision::Right(Settled::left(place, place, side));
        let found = Settled { kept: Some(30), ..Settled::left(NOWHERE, 30, Side::Moved) };
        let was_returned = |source, returned| {
            Some(Settled { returned: Some(returned), ..Settled::left(source, returned, Side::Moved) })
        };
        let table = [
            // It read on there, and does so again after it was brought back.
            (Some(50), Some(100), at(50), Follow, back(100)),
            (Some(100), Some(100), moved(100, 100), Follow, stands(100, Side::Moved)),
            // Found there: only once it moves.
            (Some(50), Some(90), None, Follow, Decision::Ahead(kept(50, 90))),
            (Some(50), Some(90), Some(kept(50, 90)), Follow, Decision::Ahead(kept(50, 90))),
            (Some(50), Some(95), Some(kept(50, 90)), Follow, back(95)),
            // Its namesake on the source has committed since it began there, or it is not known which was first: two programs.
            (
                Some(51),
                Some(95),
                Some(kept(50, 90)),
                Follow,
                Decision::Ahead(Settled { kept: Some(90), ..Settled::left(51, 95, Side::Both) }),
            ),
            (Some(60), Some(90), at(50), Follow, ahead(60, 90, Side::Both)),
            (Some(60), Some(95), Some(Settled::left(60, 90, Side::Both)), Follow, ahead(60, 95, Side::Both)),
            (Some(95), Some(95), Some(Settled::left(60, 90, Side::Both)), Follow, stands(95, Side::Both)),
            (Some(95), Some(95), moved(60, 90), Follow, stands(95, Side::Both)),
            (Some(95), Some(80), Some(Settled::left(90, 80, Side::Both)), Follow, commit(95)),
            // What kmirror put on the source is no move, whether that has come to pass or not.
            (Some(90), Some(95), was_returned(50, 90), Follow, back(95)),
            (Some(50), Some(95), was_returned(50, 90), Follow, back(95)),
            (Some(60), Some(95), was_returned(50, 90), Follow, ahead(60, 95, Side::Both)),
            (Some(80), Some(90), at(80), Follow, back(90)),
            // It is on the source again, and reads on there.
            (
                Some(110),
                Some(100),
                at(100),
                Follow,
                Decision::Right(Settled { committed: 110, ..Settled::at(100, 100) }),
            ),
            (Some(110), Some(90), at(90), Follow, commit(100)),
            (Some(90), Some(80), at(80), Follow, commit(90)),
            // Never beyond what was copied, though the source has more by now: the rest is not what it has read. Never backwards.
            (Some(50), Some(130), at(50), Follow, back(100)),
            (Some(100), Some(130), at(100), Follow, ahead(100, 130, Side::Moved)),
            (Some(120), Some(130), at(120), Follow, ahead(120, 130, Side::Moved)),
            (Some(115), Some(110), at(110), Follow, ahead(115, 110, Side::Follows)),
            // It was reset on the source, which is no reason to take it forward again: neither now nor in the next round.
            (Some(10), Some(100), at(100), Follow, commit(10)),
            (Some(10), Some(100), at(100), Keep, Decision::Ahead(kept(10, 100))),
            (Some(10), Some(100), Some(kept(10, 100)), Keep, Decision::Ahead(kept(10, 100))),
            (Some(10), Some(95), Some(kept(10, 90)), Keep, back(95)),
            // It was reset on the target: nobody takes it forward again. Where it was deleted it is back once it moves on the source.
            (Some(100), Some(30), at(100), Follow, Decision::SetBack(Settled::left(100, 100, Side::Moved))),
            (
                Some(90),
                Some(30),
                moved(80, 80),
                Follow,
                Decision::SetBack(Settled { committed: 90, ..Settled::left(80, 80, Side::Both) }),
            ),
            (Some(100), None, at(100), Follow, Decision::Same),
            (Some(101), None, at(100), Follow, commit(100)),
            // It began on the target, and is found there: only once it moves. One that was deleted on the source does not come back.
            (None, Some(30), None, Follow, Decision::Ahead(found)),
            (None, Some(30), Some(found), Follow, Decision::Same),
            (None, Some(35), Some(found), Follow, back(35)),
            (None, Some(35), Some(Settled::NOWHERE), Follow, back(35)),
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
                                    source = back;
                                    settled = Some(Settled::left(back, target, Side::Moved));
                                    false
                                }
                                Decision::Ahead(now)
                                | Decision::Right(now)
                                | Decision::Found(now)
                                | Decision::SetBack(now) => {
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
            let (source, target) = (Some(50), Some(ARRIVED));
            let standing = Standing { source, target, settled: at(50), ..Standing::default() };
            judge(standing, &arrived, rules(Follow, true))
        };
        assert_eq!(returned(80), Decision::Return { source: 80 });
        let stays = Settled::left(50, ARRIVED, Side::Moved);
        assert_eq!(returned(-1), Decision::Ahead(stays), "not known");
    }

    #[test]
    fn what_a_predecessor_has_copied_is_left_to_it() {
        let lineage = Lineage::beginning_at(50, 60).continuing();
        let arrived = Arrived { lineage, position: 90, source_end: 90 };
        let judged = |source, target| {
            let settled = Some(Settled::at(70, 20));
            let standing = Standing { source, target, settled, ..Standing::default() };
            judge(standing, &arrived, rules(Follow, true))
        };
        assert_eq!(
            (judged(Some(49), None), judged(Some(49), Some(80))),
            (Decision::Unknown, Decision::Unknown)
        );
        assert_eq!(judged(Some(50), Some(20)), Decision::Commit { target: 60, source: 50 });
        let alone = |target| {
            let settled = Some(Settled::left(NOWHERE, 40, Side::Moved));
            let standing = Standing { target: Some(target), settled, ..Standing::default() };
            judge(standing, &arrived, rules(Follow, true))
        };
        assert_eq!((alone(59), alone(62)), (Decision::Same, Decision::Return { source: 52 }));
    }

    /// What stands on the target and was not put there by the process that looks.
    #[test]
    fn nothing_moves_a_place_forward_that_somebody_else_may_have_chosen() {
        let arrived =
            Arrived { lineage: Lineage::beginning_at(0, 0), position: ARRIVED, source_end: ARRIVED };
        let judged = |source, there, settled, is_consumers, is_recalled| {
            let target = Some(there);
            let standing = Standing { source: Some(source), target, is_consumers, settled, is_recalled };
            judge(standing, &arrived, rules(Follow, false))
        };
        let own = Settled::left(40, 30, Side::Own);
        let commit = |place| Decision::Commit { target: place, source: place };
        // A tool's or a mirror's place is given up once the group moves on the source, a consumer's when both stand at the same record.
        assert_eq!(judged(40, 30, None, false, false), Decision::Found(Settled::at(40, 30)));
        assert_eq!(judged(50, 30, Some(Settled::at(40, 30)), false, false), commit(50));
        assert_eq!(judged(40, 30, None, true, false), Decision::Found(own));
        assert_eq!(judged(50, 30, Some(own), true, false), Decision::Same);
        assert_eq!(judged(50, 45, Some(own), true, false), Decision::Same);
        assert_eq!(judged(50, 50, Some(own), true, false), right(50));
        // A record may be older than the last move; this process's own memory is not.
        assert_eq!(judged(50, 40, at(40), false, true), commit(50));
        assert_eq!(judged(50, 45, at(40), false, true), Decision::Found(Settled::at(50, 45)));
        assert_eq!(judged(50, 45, at(40), false, false), commit(50));
    }

    /// Consumers that come to the same record on both sides by themselves are two programs; what another instance has put there is not.
    #[test]
    fn who_moves_a_group_is_told_by_what_consumers_commit() {
        let arrived =
            Arrived { lineage: Lineage::beginning_at(0, 0), position: ARRIVED, source_end: ARRIVED };
        let side = |is_consumers| {
            let (source, target) = (Some(60), Some(60));
            let standing = Standing { source, target, is_consumers, settled: at(50), is_recalled: false };
            match judge(standing, &arrived, rules(Follow, true)) {
                Decision::Right(settled) => settled.side,
                decision => panic!("{decision:?}"),
            }
        };
        assert_eq!((side(true), side(false)), (Side::Both, Side::Follows));
    }

    #[test]
    fn offsets_are_those_of_the_other_side() {
        let mut lineage = Lineage::beginning_at(50, 1_000);
        lineage.begin(crate::ground::lineage::Run { source: 80, target: 1_035 }).expect("forwards");
        let arrived = Arrived { lineage, position: 90, source_end: 95 };
        let judged = |source, target, settled| {
            judge(Standing { source, target, settled, ..Standing::default() }, &arrived, rules(Follow, true))
        };
        let target_of = |source| match judged(Some(source), None, None) {
            Decision::Commit { target, .. } => target,
            decision => panic!("{decision:?}"),
        };
        assert_eq!(target_of(10), 1_000, "before the copy begins: where it begins");
        assert_eq!((target_of(60), target_of(85), target_of(95)), (1_010, 1_040, 1_045));
        let source_of = |target| match judged(Some(50), Some(target), Some(Settled::at(50, 1_000))) {
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
