//! Every situation in which a partition may be found, and what is done in it.

use super::*;
use crate::ground::epoch_start::EpochStart;
use crate::ground::lineage::Run;
use crate::ground::policies::OnDiverged;

#[test]
fn a_fresh_target_begins_at_zero() {
    let verdict = situation().judge();
    assert_eq!(verdict, Ok(Verdict::Begin(record(0, 0))));
}

#[test]
fn a_source_without_its_head_fills_the_targets_first() {
    let expired = Situation { bounds: bounds(700, 1_000), beginning: 700, ..situation() };
    let head = |from, to| Verdict::FillHead(record(to, to), Head { from, to });
    assert_eq!(expired.clone().judge(), Ok(head(0, 700)));
    // Killed in the middle of it, and before it was cut off.
    let recorded = Situation { recorded: recorded(700, 700), ..expired };
    for (target_start, target_end) in [(0, 0), (0, 300), (100, 300), (0, 700), (300, 700)] {
        let resumed = Situation { target_start, target_end, ..recorded.clone() };
        assert_eq!(resumed.judge(), Ok(head(target_end, 700)), "{target_start}..{target_end}");
    }
    let cut = Situation { target_start: 700, target_end: 700, ..recorded.clone() };
    assert_eq!(cut.judge(), Ok(Verdict::Begin(record(700, 700))));
    // More expired meanwhile: nothing was copied, so nothing is lost.
    let moved =
        Situation { bounds: bounds(900, 1_000), target_start: 700, target_end: 700, ..recorded.clone() };
    assert_eq!(moved.judge(), Ok(head(700, 900)));
    let latest = Situation { beginning: 900, ..situation() };
    assert_eq!(latest.judge(), Ok(head(0, 900)), "`start: latest` has a head as well");
}

#[test]
fn a_head_that_would_take_too_long_parks_and_says_what_it_would_cost() {
    let long = Situation {
        bounds: bounds(40_000_000_000, 40_000_000_100),
        beginning: 40_000_000_000,
        ..situation()
    };
    parks(long.clone(), ParkReason::RecordsExpired, &["[0, 40000000000)", "3 hours", "38146 MiB", "shifted"]);
    let shifted = Situation { offsets: Offsets::Shifted, ..long };
    assert_eq!(shifted.judge(), Ok(Verdict::Begin(record(40_000_000_000, 0))));
}

#[test]
fn a_target_behind_or_equal_is_resumed() {
    for target_end in [1, 400, 1_000] {
        for recorded in [recorded(0, 0), Recorded::Nothing] {
            let is_recorded = recorded != Recorded::Nothing;
            let verdict = Situation { recorded, target_end, ..situation() }.judge();
            assert_eq!(verdict, Ok(resume(record(0, 0), is_recorded, target_end)));
        }
    }
    let shifted = Situation { recorded: recorded(50, 500), target_end: 600, ..situation() };
    assert_eq!(shifted.judge(), Ok(resume(record(50, 500), true, 150)));
}

/// What was displaced is lost, and comes to stand as what is left does.
#[test]
fn a_target_that_lost_its_end_is_resumed_as_what_is_left_of_it_stands() {
    let mut displaced = record(0, 0);
    displaced.lineage.begin(Run { source: 400, target: 403 }).unwrap();
    let recorded = Recorded::Record(Box::new(displaced.clone()));
    let left = |target_end| Situation { recorded: recorded.clone(), target_end, ..situation() }.judge();
    assert_eq!(left(402), Ok(resume(record(0, 0), true, 402)));
    assert_eq!(left(403), Ok(resume(displaced.clone(), true, 400)));
    assert_eq!(left(500), Ok(resume(displaced.clone(), true, 497)));
}

#[test]
fn damaged_state_is_no_harm_to_an_exact_copy_and_parks_a_shifted_one() {
    let damaged = Recorded::Unreadable(RecordError::Damaged("cut".to_owned()));
    let exact = Situation { recorded: damaged.clone(), target_end: 40, ..situation() };
    assert_eq!(exact.clone().judge(), Ok(resume(record(0, 0), false, 40)));
    let shifted = Situation { offsets: Offsets::Shifted, ..exact };
    parks(shifted, ParkReason::TargetDiverged, &["cut", "ends at 40"]);
    let newer = Situation { recorded: Recorded::Unreadable(RecordError::Newer(9)), ..situation() };
    parks(newer, ParkReason::Rejected, &["version is 9"]);
}

#[test]
fn a_shifted_copy_without_state_begins_behind_what_is_there() {
    let shifted = Situation { offsets: Offsets::Shifted, target_end: 40, beginning: 7, ..situation() };
    assert_eq!(shifted.judge(), Ok(Verdict::BeginBehind(record(7, 40))));
}

#[test]
fn records_that_expired_stop_or_are_skipped() {
    let expired = Situation {
        recorded: recorded(0, 0),
        bounds: bounds(700, 1_000),
        beginning: 700,
        target_end: 400,
        ..situation()
    };
    parks(expired.clone(), ParkReason::RecordsExpired, &["[400, 700)", "on_expired: skip"]);
    let policies = Policies { on_expired: OnExpired::Skip, ..Policies::default() };
    let lost = LostRange { first: 400, end: 700 };
    let skipped = Resume {
        record: PartitionRecord { lost: vec![lost], ..record(0, 0) },
        is_recorded: true,
        is_comparable: true,
        position: 400,
        expired: Some(lost),
    };
    assert_eq!(Situation { policies, ..expired }.judge(), Ok(Verdict::Resume(skipped)));
}

#[test]
fn another_source_topic_stops_or_is_copied_behind_the_old_one() {
    let recreated = Situation {
        recorded: recorded(0, 0),
        source: SourceIdentity { topic_id: id('2'), ..identity() },
        target_end: 400,
        ..situation()
    };
    let message = ["[0, 400)", "[0, 1000)", "on_recreated: restart"];
    parks(recreated.clone(), ParkReason::SourceRecreated, &message);
    let policies = Policies { on_recreated: OnRecreated::Restart, ..Policies::default() };
    let Ok(Verdict::Resume(restarted)) = Situation { policies, ..recreated.clone() }.judge() else {
        panic!("it goes on");
    };
    assert!(!restarted.is_comparable, "the old records are not the new topic's");
    assert_eq!((restarted.position, restarted.record.lineage.target_of(5)), (0, 405));
    assert_eq!(restarted.record.source.topic_id, id('2'));
    assert_eq!(restarted.record.earlier.len(), 1);
    // And once that is recorded, it goes on as any other.
    let again = Situation {
        recorded: Recorded::Record(Box::new(restarted.record.clone())),
        target_end: 450,
        ..recreated
    };
    assert_eq!(again.judge(), Ok(resume(restarted.record, true, 50)));
}

#[test]
fn another_source_cluster_parks() {
    let other = SourceIdentity { cluster_id: "another".to_owned(), ..identity() };
    let moved = Situation { recorded: recorded(0, 0), source: other, target_end: 400, ..situation() };
    parks(moved, ParkReason::SourceRecreated, &["cluster east", "cluster another", "400"]);
}

#[test]
fn another_target_topic_is_copied_anew() {
    let recreated = Situation { recorded: recorded(0, 0), target_topic_id: id('8'), ..situation() };
    let expected = PartitionRecord { target_topic_id: id('8'), ..record(0, 0) };
    assert_eq!(recreated.judge(), Ok(Verdict::Begin(expected)));
}

#[test]
fn a_shifted_target_that_lost_its_beginning_parks() {
    let lost = Situation { recorded: recorded(50, 500), target_end: 499, ..situation() };
    parks(lost, ParkReason::TargetDiverged, &["500", "499"]);
    let empty = Situation { recorded: recorded(50, 500), target_end: 500, ..situation() };
    assert_eq!(empty.judge(), Ok(Verdict::Begin(record(50, 500))));
}

#[test]
fn clusters_without_topic_ids_are_not_told_apart_by_them() {
    let old = Situation {
        recorded: recorded(0, 0),
        source: SourceIdentity { topic_id: TopicId::NONE, ..identity() },
        target_topic_id: TopicId::NONE,
        target_end: 400,
        ..situation()
    };
    let Ok(Verdict::Resume(resumed)) = old.judge() else { panic!("it goes on") };
    assert_eq!(resumed.position, 400);
}

fn parks(situation: Situation, reason: ParkReason, parts: &[&str]) {
    let parked = situation.judge().expect_err("parked");
    assert_eq!(parked.reason, reason, "{parked}");
    for part in parts {
        assert!(parked.message.contains(part), "{part:?} in {parked}");
    }
}

#[test]
fn what_a_predecessor_has_filled_goes_on_behind_it() {
    let filled = |stood| Situation { predecessor: Some(stood), target_end: 800, ..situation() };
    for (stood, next) in
        [(Stood::AtLeastAt(Some(699)), 700), (Stood::AtLeastAt(None), 0), (Stood::Before(700), 700)]
    {
        for offsets in [Offsets::Exact, Offsets::Shifted] {
            let verdict = Situation { offsets, ..filled(stood) }.judge();
            assert_eq!(verdict, Ok(Verdict::Continue(continuing(next, 800), stood)), "{stood:?}");
        }
    }
    // What kmirror recorded counts, and the predecessor no more. Distance 0 is as good as any other.
    for (source, target) in [(700, 800), (800, 800)] {
        let recorded = Recorded::Record(Box::new(continuing(source, target)));
        let taken = Situation { recorded, ..filled(Stood::AtLeastAt(Some(3))) };
        assert_eq!(
            taken.clone().judge(),
            Ok(resume(continuing(source, target), true, source)),
            "nothing copied yet"
        );
        let later = Situation { target_end: target + 50, ..taken.clone() };
        assert_eq!(later.judge(), Ok(resume(continuing(source, target), true, source + 50)));
        let expired = Situation { bounds: bounds(source + 9, 1_000), ..taken.clone() };
        parks(expired, ParkReason::RecordsExpired, &[&format!("[{source}, {})", source + 9)]);
        let lost = Situation { target_end: target - 1, ..taken };
        parks(lost, ParkReason::TargetDiverged, &["it lost records of somebody else"]);
    }
}

#[test]
fn a_target_that_a_predecessor_has_not_filled_begins_as_any_other() {
    let empty = |stood| Situation { predecessor: Some(stood), ..situation() };
    assert_eq!(
        empty(Stood::AtLeastAt(Some(699))).judge(),
        Ok(Verdict::Begin(record(0, 0))),
        "it was created again"
    );
    // Where a group says it, the records before were copied to other partitions.
    let head = Verdict::FillHead(record(700, 700), Head { from: 0, to: 700 });
    assert_eq!(empty(Stood::Before(700)).judge(), Ok(head));
    let shifted = Situation { offsets: Offsets::Shifted, ..empty(Stood::Before(700)) };
    assert_eq!(shifted.judge(), Ok(Verdict::Begin(record(700, 0))));
    let expired = Situation { bounds: bounds(750, 1_000), ..empty(Stood::Before(700)) };
    parks(expired.clone(), ParkReason::RecordsExpired, &["[700, 750)"]);
    let policies = Policies { on_expired: OnExpired::Skip, ..Policies::default() };
    let skipped = Situation { policies, offsets: Offsets::Shifted, ..expired };
    assert_eq!(skipped.judge(), Ok(Verdict::Begin(record(750, 0))));
}

/// The way out that messages name is to delete the target topic: the group's offset would leave out what was in it.
#[test]
fn what_a_group_had_copied_counts_once() {
    let deleted = |record: PartitionRecord| {
        let record = PartitionRecord { target_topic_id: id('8'), ..record };
        let recorded = Recorded::Record(Box::new(record));
        Situation { recorded, predecessor: Some(Stood::Before(700)), ..situation() }
    };
    assert_eq!(deleted(continuing(700, 800)).judge(), Ok(Verdict::Begin(record(0, 0))));
    let of_another_source = PartitionRecord {
        source: SourceIdentity { cluster_id: "elsewhere".to_owned(), ..record(0, 0).source },
        ..continuing(700, 800)
    };
    let head = Verdict::FillHead(record(700, 700), Head { from: 0, to: 700 });
    assert_eq!(deleted(of_another_source).judge(), Ok(head));
}

fn continuing(source: i64, target: i64) -> PartitionRecord {
    let record = record(source, target);
    PartitionRecord { lineage: record.lineage.clone().continuing(), ..record }
}

fn resume(record: PartitionRecord, is_recorded: bool, position: i64) -> Verdict {
    Verdict::Resume(Resume { record, is_recorded, is_comparable: true, position, expired: None })
}

/// A source with records [0, 1000), an empty target, nothing recorded.
fn situation() -> Situation {
    Situation {
        recorded: Recorded::Nothing,
        source: identity(),
        bounds: bounds(0, 1_000),
        beginning: 0,
        target_topic_id: id('9'),
        target_start: 0,
        target_end: 0,
        predecessor: None,
        offsets: Offsets::Exact,
        policies: Policies { on_diverged: OnDiverged::Stop, ..Policies::default() },
        head_fill_offsets_max: 1_000_000_000,
    }
}

fn bounds(log_start: i64, end: i64) -> SourceBounds {
    SourceBounds { log_start, readable_end: end, high_watermark: end }
}

fn identity() -> SourceIdentity {
    SourceIdentity { cluster_id: "east".to_owned(), topic: "orders".to_owned(), topic_id: id('1') }
}

fn record(source: i64, target: i64) -> PartitionRecord {
    PartitionRecord {
        source: identity(),
        target_topic_id: id('9'),
        lineage: Lineage::beginning_at(source, target),
        leader_epochs: Vec::<EpochStart>::new(),
        lost: Vec::new(),
        earlier: Vec::new(),
        cleanup_policy_after_seeding: None,
    }
}

fn recorded(source: i64, target: i64) -> Recorded {
    Recorded::Record(Box::new(record(source, target)))
}

fn id(digit: char) -> TopicId {
    // 22 characters of base64 hold 132 bits, of which the last four are zero.
    (String::from(digit).repeat(21) + "A").parse().expect("an id")
}
