//! What [`AppendState`] asks for, step by step. That this is enough is for `data/append/model.rs` to show.

use kmirror_codec::{BatchHeader, GapReason};

use super::*;
use crate::test_support::{TestBatch, TestRecord};

#[test]
fn one_batch_until_the_first_acknowledgement_then_five() {
    let mut script = Script::new(100, None);
    (0..9).for_each(|index| script.push_batch(100 + 2 * index, 102 + 2 * index));
    assert_eq!(script.send_all(), [100], "its own offset, and alone");
    assert!(matches!(script.produced(Ok(100)), Outcome::Acknowledged { records: 2, bytes: 1.. }));
    assert_eq!(script.send_all(), [102, 104, 106, 108, 110]);
    script.produced(Ok(102));
    assert_eq!(script.send_all(), [112]);
    assert_eq!(script.state.acknowledged(), 104);
}

#[test]
fn batches_of_a_source_with_a_cleaner_go_one_at_a_time() {
    let mut script = Script::new(100, None);
    script.state = script.state.one_at_a_time();
    (0..3).for_each(|index| script.push_batch(100 + 2 * index, 102 + 2 * index));
    for (expected, offset) in [(100, 100), (102, 102), (104, 104)] {
        assert_eq!(script.send_all(), [expected]);
        assert!(matches!(script.produced(Ok(offset)), Outcome::Acknowledged { .. }));
    }
}

#[test]
fn sequences_count_records_and_wrap() {
    let mut script = Script::new(50, Some(Sequence::after(i32::MAX, -2)));
    script.push_batch(50, 53);
    script.push_gap(53, 60);
    script.push_batch(60, 61);
    assert_eq!(script.send_all(), [i32::MAX - 2]);
    script.produced(Ok(50));
    script.fill(53, 60);
    assert_eq!(script.send_all(), [0], "holes take no sequence");
}

#[test]
fn the_header_is_stamped() {
    let mut script = Script::new(8, None);
    script.push_batch(8, 10);
    let outgoing = script.state.next_batch(script.now).expect("due");
    let header = BatchHeader::parse(&outgoing.header).expect("a header");
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 0, 8));
    assert_eq!((header.base_offset, header.partition_leader_epoch), (0, -1));
}

#[test]
fn after_an_append_at_another_offset_the_log_is_read_once_nothing_is_in_flight() {
    for found in [99, 103, 0] {
        let mut script = Script::going(3);
        script.send_all();
        assert_eq!(script.produced(Ok(found)), Outcome::Going);
        assert_eq!(script.produced(Ok(found + 2)), Outcome::Going);
        let displaced = TakeOverCause::Displaced { expected: 102, found };
        assert_eq!(script.produced(Ok(found + 4)), Outcome::TakeOver(displaced));
        assert_eq!(script.state.acknowledged(), 102, "nothing of it counts");
    }
}

#[test]
fn a_shifted_target_is_appended_to_at_its_own_offsets() {
    let mut script = Script::shifted(100, -60);
    script.push_batch(100, 102);
    script.push_gap(102, 105);
    script.push_batch(105, 106);
    assert_eq!(script.send_all(), [100], "the first sequence is the source's offset");
    assert!(matches!(script.produced(Ok(40)), Outcome::Acknowledged { records: 2, .. }));
    assert_eq!(script.state.acknowledged(), 102);
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.log_end(42), Outcome::Going);
    script.writes_markers(1);
    script.state.on_markers(Ok(()));
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.log_end(43), Outcome::Going);
    script.writes_markers(2);
    script.state.on_markers(Ok(()));
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert!(matches!(script.log_end(45), Outcome::Acknowledged { .. }));
    assert_eq!((script.send_all(), script.state.acknowledged()), (vec![102], 105));
    let displaced = TakeOverCause::Displaced { expected: 45, found: 105 };
    assert_eq!(script.produced(Ok(105)), Outcome::TakeOver(displaced));
}

#[test]
fn after_a_refusal_everything_in_flight_is_answered_and_sent_again_unchanged() {
    // What happened to the second and third: refused with the first, or appended although the first seemed to fail.
    for later in [Ok(104), Err(Refusal::TakeOver(TakeOverCause::OutOfOrder)), again()] {
        let mut script = Script::going(4);
        assert_eq!(script.send_all(), [102, 104, 106, 108]);
        assert_eq!(script.produced(again()), Outcome::Going);
        script.push_batch(110, 112);
        for _ in 0..3 {
            assert_eq!(script.send_all(), [0; 0], "answers are outstanding, or a pause");
            assert_eq!(script.produced(later.clone()), Outcome::Going);
        }
        assert_eq!(script.send_all(), [0; 0], "a pause");
        assert_eq!(script.state.wakes_at(), Some(script.now.instant + BACKOFF_MIN));
        script.now += BACKOFF_MIN;
        assert_eq!(script.send_all(), [102, 104, 106, 108, 110]);
        for base_offset in [102, 104, 106, 108, 110] {
            assert!(matches!(script.produced(Ok(base_offset)), Outcome::Acknowledged { records: 2, .. }));
        }
        assert_eq!(script.state.acknowledged(), 112);
    }
}

#[test]
fn pauses_grow_until_the_leader_is_looked_for_and_begin_anew_with_a_success() {
    let mut script = Script::going(1);
    for round in 0..2 {
        let mut pauses = Vec::new();
        loop {
            assert_eq!(script.send_all().len(), 1, "round {round}");
            if round == 0 && pauses.len() == 5 {
                script.produced(Ok(102));
                script.push_batch(104, 106);
                break;
            }
            match script.produced(again()) {
                Outcome::Going => {}
                Outcome::TakeOver(TakeOverCause::Refused(_)) => break,
                other => panic!("{other:?}"),
            }
            let wakes_at = script.state.wakes_at().expect("a pause");
            pauses.push((wakes_at - script.now.instant).as_millis());
            assert!(pauses.len() <= 8, "endless: {pauses:?}");
            script.now += wakes_at - script.now.instant;
        }
        let expected: &[u128] =
            if round == 0 { &[50, 100, 200, 400, 800] } else { &[50, 100, 200, 400, 800, 1000, 1000, 1000] };
        assert_eq!(pauses, expected);
    }
}

#[test]
fn the_first_refusal_decides_once_nothing_is_in_flight() {
    let fenced = || Refusal::TakeOver(TakeOverCause::OutOfOrder);
    let parked = || Refusal::Park(Parked::new(ParkReason::TooLarge, "too large"));
    for (first, second) in [(fenced(), parked()), (parked(), fenced())] {
        let mut script = Script::going(2);
        script.send_all();
        assert_eq!(script.produced(Err(first.clone())), Outcome::Going);
        let outcome = script.produced(Err(second));
        match first {
            Refusal::TakeOver(cause) => assert_eq!(outcome, Outcome::TakeOver(cause)),
            Refusal::Park(_) => {
                let text = "source offsets [102, 104): too large";
                assert_eq!(outcome, Outcome::Park(Parked::new(ParkReason::TooLarge, text)));
            }
            Refusal::Again(_) | Refusal::Damaged(_) => {}
        }
    }
}

#[test]
fn the_first_marker_goes_alone_and_the_log_end_says_what_is_missing() {
    let mut script = Script::going(1);
    script.push_gap(104, 110);
    script.push_batch(110, 112);
    assert_eq!(script.control(), None, "a batch is not acknowledged yet");
    script.send_all();
    assert_eq!(script.control(), None);
    script.produced(Ok(102));
    assert_eq!(script.send_all(), [0; 0], "the hole comes first");

    assert_eq!(script.control(), Some(Control::ReadEnd), "does the log still end at the hole?");
    assert_eq!((script.control(), script.send_all().len()), (None, 0));
    assert_eq!(script.log_end(104), Outcome::Going);
    script.writes_markers(1);
    assert_eq!((script.control(), script.send_all().len()), (None, 0), "each demand is made once");
    assert_eq!(script.state.on_markers(Ok(())), Outcome::Going);
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.control(), None);
    // An earlier owner's late request has added two.
    assert_eq!(script.log_end(107), Outcome::Going);
    assert_eq!(script.state.acknowledged(), 107);
    script.writes_markers(3);
    assert_eq!((script.control(), script.send_all().len()), (None, 0));
    assert_eq!(script.state.on_markers(Ok(())), Outcome::Going);
    assert_eq!(script.control(), Some(Control::ReadEnd), "it may have done so again before our first");
    assert_eq!(script.log_end(110), Outcome::Acknowledged { records: 0, bytes: 0 });
    assert_eq!((script.control(), script.send_all()), (None, vec![104]));
}

#[test]
fn a_hole_of_one_offset_is_filled_by_the_first_marker() {
    let mut script = Script::new(0, None);
    script.push_gap(0, 1);
    script.push_batch(1, 2);
    script.fence();
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert!(matches!(script.log_end(1), Outcome::Acknowledged { .. }));
    assert_eq!(script.send_all(), [1]);
}

#[test]
fn later_holes_take_one_round_trip() {
    let mut script = Script::fenced();
    script.push_gap(10, 14);
    script.writes_markers(4);
    assert!(matches!(script.state.on_markers(Ok(())), Outcome::Acknowledged { .. }));
    assert_eq!((script.control(), script.state.acknowledged()), (None, 14));
}

#[test]
fn long_holes_take_several_requests() {
    let mut script = Script::new(0, None);
    script.push_gap(0, 25_000);
    let (mut counts, mut end) = (Vec::new(), 0);
    while let Some(control) = script.control() {
        match control {
            Control::WriteMarkers { count, .. } => {
                counts.push(count);
                end += i64::from(count);
                assert!(end <= 25_000, "too many: {counts:?}");
                script.state.on_markers(Ok(()));
            }
            Control::ReadEnd => drop(script.log_end(end)),
            Control::MakeUp | Control::CheckEnd | Control::ReadBack { .. } => {
                panic!("there is no need for {control:?}")
            }
        }
    }
    assert_eq!(counts, [1, 10_000, 10_000, 4_999]);
    script.push_gap(25_000, 45_001);
    let mut counts = Vec::new();
    while let Some(Control::WriteMarkers { count, .. }) = script.control() {
        counts.push(count);
        script.state.on_markers(Ok(()));
    }
    assert_eq!((counts, script.state.acknowledged()), (vec![10_000, 10_000, 1], 45_001));
}

#[test]
fn after_a_log_end_outside_the_hole_the_log_is_read() {
    for found in [9, 10, 15, 100] {
        let mut script = Script::new(10, None);
        script.push_gap(10, 14);
        script.fence();
        script.control();
        let displaced = TakeOverCause::Displaced { expected: 14, found };
        assert_eq!(script.log_end(found), Outcome::TakeOver(displaced));
    }
}

#[test]
fn where_somebody_has_gone_on_no_marker_is_sent() {
    for log_end in [9, 11, 14, 15] {
        let mut script = Script::new(10, None);
        script.push_gap(10, 14);
        assert_eq!(script.control(), Some(Control::ReadEnd));
        // Not at rest yet: what counts is where it comes to rest.
        assert_eq!(script.state.on_log_end(script.now, log_end - 1, log_end), Outcome::Going);
        assert_eq!(
            (script.control(), script.state.wakes_at()),
            (None, Some(script.now.instant + REST_INTERVAL_MIN))
        );
        script.now += REST_INTERVAL_MIN;
        assert_eq!(script.control(), Some(Control::ReadEnd));
        assert_eq!(script.log_end(log_end), Outcome::TakeOver(TakeOverCause::Overtaken));
    }
}

#[test]
fn a_log_that_does_not_rest_is_asked_again() {
    let mut script = Script::new(10, None);
    script.push_gap(10, 14);
    script.fence();
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.state.on_log_end(script.now, 11, 14), Outcome::Going);
    assert_eq!(script.state.acknowledged(), 10, "what is not replicated may be lost yet");
    assert_eq!(script.control(), None);
    assert_eq!(script.state.wakes_at(), Some(script.now.instant + REST_INTERVAL_MIN));
    script.now += REST_INTERVAL_MIN;
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert!(matches!(script.log_end(14), Outcome::Acknowledged { .. }));
}

#[test]
fn a_log_that_never_rests_is_taken_over_after_a_bounded_time() {
    let mut script = Script::new(10, None);
    script.push_gap(10, 14);
    script.fence();
    let begun = script.now;
    loop {
        assert_eq!(script.control(), Some(Control::ReadEnd));
        match script.state.on_log_end(script.now, 11, 14) {
            Outcome::Going => {
                let wakes_at = script.state.wakes_at().expect("it will ask again");
                script.now += wakes_at - script.now.instant;
            }
            outcome => {
                assert!(matches!(outcome, Outcome::TakeOver(TakeOverCause::LeaderUnknown(_))), "{outcome:?}");
                break;
            }
        }
    }
    let waited = script.now.instant - begun.instant;
    assert!(waited > Duration::from_secs(20) && waited < Duration::from_secs(60), "{waited:?}");
}

#[test]
fn neighbouring_gaps_are_filled_as_one_until_filling_begins() {
    let mut script = Script::fenced();
    script.push_gap(10, 12);
    script.push_gap(12, 15);
    script.writes_markers(5);
    script.push_gap(15, 16);
    script.push_gap(16, 18);
    assert!(matches!(script.state.on_markers(Ok(())), Outcome::Acknowledged { .. }));
    script.writes_markers(3);
    // Behind a batch gaps are neighbours as well.
    script.state.on_markers(Ok(()));
    script.push_batch(18, 19);
    script.push_gap(19, 20);
    script.push_gap(20, 22);
    script.send_all();
    script.produced(Ok(18));
    script.writes_markers(3);
}

#[test]
fn a_hole_of_at_least_the_surplus_is_left_to_a_take_over() {
    let start = AppendStart {
        position: 9,
        delta: 2,
        surplus: 2,
        next_sequence: None,
        token: 4,
        seen_at: Now::of_test().moment,
    };
    for (length, expected) in [(1, false), (2, true), (5, true)] {
        for is_fenced in [false, true] {
            let mut script = Script::starting(start);
            if is_fenced {
                script.push_gap(9, 10);
                script.fence_at(11);
            } else {
                script.push_batch(9, 10);
                script.send_all();
                script.produced(Ok(11));
            }
            script.push_gap(10, 10 + length);
            assert_eq!(script.control() == Some(Control::MakeUp), expected, "{length}");
            script.push_batch(10 + length, 20);
            assert_eq!((script.control(), script.send_all()), (None, vec![]), "each demand is made once");
        }
    }
    // The take-over that led here has looked at this one.
    let mut script = Script::starting(start);
    script.push_gap(9, 19);
    assert_eq!(script.control(), Some(Control::ReadEnd));
}

#[test]
fn markers_are_never_sent_twice() {
    let parked = Parked::new(ParkReason::Unauthorized, "no permission");
    let fenced = TakeOverCause::Fenced { token: 4 };
    let table = [
        (Refusal::Again("busy".to_owned()), Outcome::TakeOver(TakeOverCause::AnswerLost("busy".to_owned()))),
        (Refusal::TakeOver(fenced.clone()), Outcome::TakeOver(fenced)),
        (Refusal::Park(parked.clone()), Outcome::Park(parked)),
    ];
    for (refusal, expected) in table {
        for mut script in [Script::new(10, None), Script::fenced()] {
            script.push_gap(10, 12);
            if script.control() == Some(Control::ReadEnd) {
                script.log_end(10);
                script.control();
            }
            assert_eq!(script.state.on_markers(Err(refusal.clone())), expected);
            assert_eq!(script.control(), None);
        }
    }
}

#[test]
fn items_that_are_not_the_next_are_refused() {
    let gap = |first, end| Item::Gap { first, end, reason: GapReason::Control };
    for item in [gap(9, 12), gap(11, 12), gap(10, 10), gap(10, 9)] {
        let mut script = Script::new(10, None);
        let parked = script.state.push(item).expect_err("not the next");
        assert!(parked.message.contains("internal error"), "{parked}");
        script.push_batch(10, 11);
    }
}

#[test]
fn what_was_seen_too_long_ago_is_looked_at_before_the_next_batch() {
    let mut script = Script::going(2);
    script.now += Duration::from_secs(9);
    assert_eq!(script.control(), None);
    script.now += Duration::from_secs(1);
    assert_eq!(script.send_all(), [0; 0]);
    assert_eq!(script.control(), Some(Control::CheckEnd));
    assert_eq!((script.control(), script.send_all().len()), (None, 0), "each demand is made once");
    assert_eq!(script.state.on_end_checked(script.now, 102), Outcome::Going);
    assert_eq!(script.send_all(), [102, 104]);
    // Somebody else has gone on, or what was appended is gone.
    for log_end in [104, 101] {
        let mut script = Script::going(1);
        script.now += Duration::from_secs(60);
        assert_eq!(script.control(), Some(Control::CheckEnd));
        let overtaken = Outcome::TakeOver(TakeOverCause::Overtaken);
        assert_eq!(script.state.on_end_checked(script.now, log_end), overtaken, "{log_end}");
    }
}

#[test]
fn a_repeat_behind_a_hole_that_others_may_see_otherwise_is_read_back() {
    for (reason, is_read) in [
        (GapReason::Cleaned, true),
        (GapReason::Expired, true),
        (GapReason::Control, false),
        (GapReason::Aborted, false),
    ] {
        let mut script = Script::going(0);
        script.state.push(Item::Gap { first: 102, end: 103, reason }).expect("the next");
        script.fence_at(102);
        script.push_batch(103, 105);
        script.push_batch(105, 107);
        assert_eq!(script.send_all().len(), if is_read { 1 } else { 2 }, "{reason:?}: it goes alone");
        let outcome = script.repeated(103);
        if !is_read {
            assert!(matches!(outcome, Outcome::Acknowledged { .. }), "{reason:?}");
            continue;
        }
        assert_eq!(outcome, Outcome::Going);
        assert_eq!(script.state.acknowledged(), 103, "it is not known yet");
        assert_eq!(script.send_all(), [0; 0]);
        assert_eq!(script.control(), Some(Control::ReadBack { first: 103, end: 105 }));
        assert_eq!(script.control(), None, "it is asked once");
        let ours = [TestBatch::dense(103, 105).build()];
        assert_eq!(
            script.state.clone().on_read_back(&ours),
            Outcome::Acknowledged { records: 2, bytes: weight(&ours) }
        );
        for log in [vec![], vec![TestBatch::dense(103, 104).build()]] {
            let mistaken = Outcome::TakeOver(TakeOverCause::Mistaken { offset: 103 });
            assert_eq!(script.state.clone().on_read_back(&log), mistaken, "{log:?}");
        }
        script.state.on_read_back(&ours);
        assert_eq!(script.send_all().len(), 1, "right behind data that was read nothing is doubted");
        assert!(matches!(script.repeated(105), Outcome::Acknowledged { .. }));
    }
}

#[test]
fn the_first_batch_of_an_owner_is_read_back_where_it_is_a_repeat() {
    let mut script = Script::new(100, None);
    script.push_batch(100, 102);
    script.send_all();
    assert_eq!(script.repeated(100), Outcome::Going);
    assert_eq!(script.control(), Some(Control::ReadBack { first: 100, end: 102 }));
}

/// A batch without timestamps: the time of the answer is that of no batch, and does not tell one from the other.
#[test]
fn an_answer_without_a_time_tells_nothing_of_a_batch_without_timestamps() {
    let mut script = Script::new(100, None);
    let record = TestRecord::plain(100).at(-1);
    let batch = TestBatch::of([record]).build();
    script.state.push(Item::Batch { batch, held: None, merged: 0 }).expect("the next");
    script.send_all();
    assert_eq!(script.produced(Ok(100)), Outcome::Going);
    assert_eq!(script.control(), Some(Control::ReadBack { first: 100, end: 101 }));
}

fn weight(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.bytes().len() as u64).sum()
}

#[test]
fn an_answer_is_as_old_as_its_request() {
    let mut script = Script::going(2);
    let sent_at = script.now.moment;
    assert_eq!(script.send_all(), [102, 104]);
    script.now += Duration::from_secs(60);
    assert_eq!(script.control(), None, "the answers will tell");
    for base_offset in [102, 104] {
        script.state.on_produced(script.now, sent_at, Ok(Appended::at(base_offset)));
    }
    script.push_batch(106, 108);
    assert_eq!(script.send_all(), [0; 0], "the process was frozen, and the answers lay in its socket");
    assert_eq!(script.control(), Some(Control::CheckEnd));
}

#[test]
fn a_batch_may_be_written_as_long_as_what_was_seen_holds() {
    let mut script = Script::going(1);
    script.now += Duration::from_secs(4);
    let deadline = script.state.next_batch(script.now).expect("due").deadline;
    assert!(!deadline.is_over((script.now + Duration::from_secs(5)).moment));
    assert!(deadline.is_over((script.now + Duration::from_secs(6)).moment));
}

#[test]
fn old_batches_go_one_by_one() {
    let mut script = Script::new(100, None);
    script.now += Duration::from_secs(30 * 86_400);
    script.state.freshness = Freshness::new(script.now.moment);
    (0..4).for_each(|index| script.push_batch(100 + 2 * index, 102 + 2 * index));
    for base in [100, 102, 104] {
        assert_eq!(script.send_all(), [base as i32]);
        assert!(matches!(script.produced(Ok(base)), Outcome::Acknowledged { records: 2, .. }));
    }
    script.now += Duration::from_secs(3);
    assert_eq!((script.send_all().len(), script.control()), (0, Some(Control::CheckEnd)));
    // Refused, and perhaps appended all the same: a broker that has forgotten us would append it again.
    script.state.on_end_checked(script.now, 106);
    assert_eq!(script.send_all(), [106]);
    script.produced(again());
    script.now += BACKOFF_MIN;
    assert_eq!((script.send_all().len(), script.control()), (0, Some(Control::CheckEnd)));
}

#[test]
fn no_marker_is_written_behind_an_end_that_was_seen_too_long_ago() {
    let mut script = Script::fenced();
    let position = script.state.acknowledged();
    script.push_gap(position, position + 3);
    script.now += Duration::from_secs(10);
    assert_eq!(script.control(), Some(Control::ReadEnd), "the fence may be forgotten");
    assert_eq!(script.log_end(position), Outcome::Going);
    script.now += Duration::from_secs(10);
    assert_eq!(script.control(), Some(Control::ReadEnd), "the answer took too long");
    assert_eq!(script.log_end(position), Outcome::Going);
    script.writes_markers(1);
    script.state.on_markers(Ok(()));
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.log_end(position + 1), Outcome::Going);
    script.now += Duration::from_secs(10);
    assert_eq!(script.control(), Some(Control::ReadEnd));
    assert_eq!(script.log_end(position + 1), Outcome::Going);
    script.writes_markers(2);
}

#[test]
fn a_batch_that_is_damaged_on_the_way_is_sent_again_but_not_for_ever() {
    let damaged = || Err(Refusal::Damaged("CORRUPT_MESSAGE (2)".to_owned()));
    let mut script = Script::going(1);
    for _ in 0..3 {
        assert_eq!(script.send_all(), [102]);
        assert_eq!(script.produced(damaged()), Outcome::Going);
        script.now += BACKOFF_MAX;
    }
    assert_eq!(script.send_all(), [102]);
    let Outcome::Park(parked) = script.produced(damaged()) else { panic!("for ever") };
    assert_eq!(parked.reason, ParkReason::Rejected);
    assert!(
        parked.message.starts_with("source offsets [102, 104): the target answers CORRUPT_MESSAGE"),
        "{parked}"
    );
    // One that is not whole here is no better the next time.
    let mut script = Script::new(100, None);
    let batch = crate::test_support::damaged(&TestBatch::dense(100, 102).build());
    script.state.push(Item::Batch { batch, held: None, merged: 0 }).expect("the next");
    script.send_all();
    let Outcome::Park(parked) = script.produced(damaged()) else { panic!("again") };
    assert_eq!(parked.reason, ParkReason::CorruptBatch);
}

/// A partition whose clock is turned by hand.
struct Script {
    state: AppendState,
    now: Now,
}

impl Script {
    fn new(position: i64, next_sequence: Option<Sequence>) -> Script {
        Script::starting(AppendStart {
            position,
            delta: 0,
            surplus: 0,
            next_sequence,
            token: 4,
            seen_at: Now::of_test().moment,
        })
    }

    fn shifted(position: i64, delta: i64) -> Script {
        Script::starting(AppendStart {
            position,
            delta,
            surplus: 0,
            next_sequence: None,
            token: 4,
            seen_at: Now::of_test().moment,
        })
    }

    fn starting(start: AppendStart) -> Script {
        Script { state: AppendState::new(7, start), now: Now::of_test() }
    }

    /// Something is acknowledged up to offset 102, and `batches` of two records are queued.
    fn going(batches: i64) -> Script {
        let mut script = Script::new(100, None);
        script.push_batch(100, 102);
        script.send_all();
        script.produced(Ok(100));
        (0..batches).for_each(|index| script.push_batch(102 + 2 * index, 104 + 2 * index));
        script
    }

    /// A marker of ours is in the log, which ends at offset 10.
    fn fenced() -> Script {
        let mut script = Script::new(9, None);
        script.push_gap(9, 10);
        script.fence();
        script.control();
        assert!(matches!(script.log_end(10), Outcome::Acknowledged { .. }));
        script
    }

    fn push_batch(&mut self, first: i64, end: i64) {
        let batch = TestBatch::dense(first, end).build();
        self.state.push(Item::Batch { batch, held: None, merged: 0 }).expect("the next");
    }

    fn push_gap(&mut self, first: i64, end: i64) {
        self.state.push(Item::Gap { first, end, reason: GapReason::Control }).expect("the next");
    }

    /// Sends what may be sent; the base sequences.
    fn send_all(&mut self) -> Vec<i32> {
        let sequence =
            |outgoing: Outgoing| BatchHeader::parse(&outgoing.header).expect("a header").base_sequence;
        std::iter::from_fn(|| self.state.next_batch(self.now)).map(sequence).collect()
    }

    fn produced(&mut self, produced: Result<i64, Refusal>) -> Outcome {
        self.state.on_produced(self.now, self.now.moment, produced.map(Appended::at))
    }

    /// The broker answers that it has a batch like the front's already.
    fn repeated(&mut self, base_offset: i64) -> Outcome {
        let appended = Appended { base_offset, log_append_time: Some(0) };
        self.state.on_produced(self.now, self.now.moment, Ok(appended))
    }

    fn writes_markers(&mut self, expected: u32) {
        match self.control() {
            Some(Control::WriteMarkers { count, token: 4, .. }) => assert_eq!(count, expected),
            other => panic!("{other:?}"),
        }
    }

    fn control(&mut self) -> Option<Control> {
        self.state.next_control(self.now)
    }

    fn log_end(&mut self, log_end: i64) -> Outcome {
        self.state.on_log_end(self.now, log_end, log_end)
    }

    /// Fills a hole of one offset with the first marker. The target's log ends at `log_end`.
    fn fence_at(&mut self, log_end: i64) {
        assert_eq!(self.control(), Some(Control::ReadEnd));
        self.log_end(log_end);
        self.writes_markers(1);
        self.state.on_markers(Ok(()));
        assert_eq!(self.control(), Some(Control::ReadEnd));
        assert!(matches!(self.log_end(log_end + 1), Outcome::Acknowledged { .. }));
    }

    /// Gets the first marker into the log.
    fn fence(&mut self) {
        assert_eq!(self.control(), Some(Control::ReadEnd));
        self.log_end(self.state.acknowledged());
        self.writes_markers(1);
        assert_eq!(self.state.on_markers(Ok(())), Outcome::Going);
    }

    /// Fills the hole at the front as a well-behaved target would.
    fn fill(&mut self, first: i64, end: i64) {
        let mut log_end = first;
        while let Some(control) = self.control() {
            match control {
                Control::WriteMarkers { count, .. } => {
                    log_end += i64::from(count);
                    assert!(log_end <= end, "too many");
                    self.state.on_markers(Ok(()));
                }
                Control::ReadEnd => drop(self.log_end(log_end)),
                Control::MakeUp | Control::CheckEnd | Control::ReadBack { .. } => {
                    panic!("there is no need for {control:?}")
                }
            }
        }
        assert_eq!(self.state.acknowledged(), end);
    }
}

fn again() -> Result<i64, Refusal> {
    Err(Refusal::Again("not enough replicas".to_owned()))
}
