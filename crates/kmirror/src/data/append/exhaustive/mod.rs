//! Every interleaving of two owners on small logs: the engine's own [`AppendState`] and comparison of tails, a leader with
//! replication that may move and lose what is not replicated, answers that are lost, and requests that are executed arbitrarily
//! late.
//!
//! In every state that can be reached no record is lost, doubled or out of order. Offsets that the source does not have get into
//! the log in one window only: the first marker of an owner was on its way while somebody else filled the same hole. An owner that
//! is told of an append elsewhere than expected reads the log again, and records where the records are before it appends more; so
//! the lineage is true whenever an owner goes on, and whoever comes last finishes. A later hole that is long enough makes up for it.
//!
//! Each rule of the protocol is there because the model breaks without it: [`Omit`]. Two habits of the engine are not needed for
//! any of this where no cleaner runs, and the model is without them there: a take-over waits until the log is at rest, and whoever was
//! refused stands by. They make the window rarer.
//!
//! [`AppendState`]: super::state::AppendState

pub(super) mod broker;
mod checks;
mod explore;
pub(super) mod owner;
mod world;

use kmirror_client::clock;

use self::broker::Source;
use self::checks::Violation;
use self::explore::explore;
use super::now::Now;

/// What is explored.
#[derive(Clone, Debug)]
struct Rules {
    source: Source,
    omit: Option<Omit>,
    bounds: Bounds,
    now: Now,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of each owner.
    take_overs: u8,
    /// Crashes and lost connections of both.
    losses: u8,
    fail_overs: u8,
    refusals: u8,
    /// Replicas that were not in sync become the leader.
    unclean_elections: u8,
    /// The leader forgets the flow's producers.
    expiries: u8,
    /// Runs of the target's cleaner.
    cleanings: u8,
    /// Data batches of an owner.
    in_flight: usize,
}

/// A rule of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Omit {
    /// A take-over compares the log with the source.
    Comparison,
    /// Only markers that were seen are too many; an offset without a batch is none.
    SeenMarkers,
    /// The log end is read again after the tail.
    EndAgain,
    /// Where a cleaner is at work, a take-over waits until the log is at rest: the last batch, which alone is sure to stay, is visible.
    RestBeforeTail,
    /// Position and sequence come from the same read.
    OneRead,
    /// A run that is not in the lineage is recorded before anything is appended.
    RecordFirst,
    /// What is recorded replaces what its owner has read, and nothing else.
    CompareAndRecord,
    /// A hole that came out too long is made up for at a later one.
    MakeUp,
    /// All owners that start afresh choose the same first sequence.
    SameFirstSequence,
    /// It is the source offset, whatever the distance.
    FirstSequenceOfSource,
    /// They choose it when the batch is sent, not when they take over.
    FirstSequenceWhenSent,
    /// One batch is in flight until the first success.
    WindowOfOne,
    /// Every acknowledged base offset must be the expected one.
    AcknowledgedOffsets,
    /// A hole is filled only when everything before it is acknowledged.
    WaitForAppends,
    /// An owner that has lost its connection takes over, whether anything was in flight or not.
    EndWithConnection,
    /// The log end is read before the first marker of an owner.
    LookBeforeFirstMarker,
    /// The first marker of an owner goes alone.
    FirstMarkerAlone,
    /// The log end is read after the first markers.
    MeasureAfterMarkers,
    /// A log end counts when the high watermark has reached it.
    Rest,
    /// The token is higher than those in the log.
    TokenAboveTheLog,
    /// It is higher than those of earlier owners that are not in the log yet. The engine keeps this by chance only, by a random step:
    /// without it a shift happens in more than the one window, and is noticed, recorded and made up for all the same.
    TokenAboveAll,
    /// Markers that were refused or not answered are never sent again.
    NoSecondMarkers,
    /// Nothing is written unless the log was seen to end where its owner believes since the leader may have forgotten a producer.
    Freshness,
}

const BOUNDS: Bounds = Bounds {
    take_overs: 2,
    losses: 1,
    fail_overs: 1,
    refusals: 1,
    unclean_elections: 0,
    expiries: 0,
    cleanings: 0,
    in_flight: 2,
};
const THREE_TAKE_OVERS: Bounds = Bounds { take_overs: 3, losses: 1, fail_overs: 0, refusals: 0, ..BOUNDS };

const CLEANED: Bounds = Bounds { cleanings: 1, fail_overs: 0, refusals: 0, ..BOUNDS };
const CLEANED_AND_FORGOTTEN: Bounds = Bounds { expiries: 1, losses: 2, ..CLEANED };

impl Rules {
    fn of(source: &str) -> Rules {
        Rules { source: Source::of(source), omit: None, bounds: BOUNDS, now: Now::of_test() }
    }
}

/// No record is lost, doubled or out of order, and every shift is in its window, noticed and recorded.
#[test]
fn every_interleaving_is_safe() {
    for source in ["#", "###", "#.#", ".#", "..#", "#..", "#..#", "##.#", ".#.", "#.#.", "...#", ".#..#"] {
        is_safe(Rules::of(source));
    }
    // A third take-over of each owner, and what is recorded by one of them comes too late.
    is_safe(Rules { bounds: THREE_TAKE_OVERS, ..Rules::of(".#") });
}

/// The same with more of everything, some ten million states:
/// `cargo test --release -p kmirror --lib exhaustive -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes, and gigabytes of memory"]
fn every_interleaving_of_larger_logs_is_safe() {
    for picture in 1..1u32 << 5 {
        let source: String = (0..5).map(|bit| if picture >> bit & 1 == 1 { '#' } else { '.' }).collect();
        is_safe(Rules::of(&source));
    }
    for source in ["#.#..#", "#..#.#", "#.##.#", "..#..#"] {
        is_safe(Rules::of(source));
    }
    for source in [".#", "#.#", "#..#"] {
        let rules = Rules::of(source);
        is_safe(Rules { bounds: Bounds { take_overs: 3, ..rules.bounds }, ..rules.clone() });
        is_safe(Rules { bounds: Bounds { losses: 2, fail_overs: 2, ..rules.bounds }, ..rules.clone() });
        is_safe(Rules { bounds: Bounds { refusals: 2, in_flight: 3, ..rules.bounds }, ..rules });
    }
}

/// What was acknowledged may be gone: it is copied again.
#[test]
fn an_unclean_election_costs_offsets_at_most() {
    let bounds = Bounds { unclean_elections: 1, fail_overs: 0, refusals: 0, ..BOUNDS };
    for source in ["###", ".#", "#.#", "#..#", "##.#"] {
        is_safe(Rules { bounds, ..Rules::of(source) });
    }
}

/// A leader that has forgotten the flow takes any sequence and any token: the ones that the log shows are the right ones.
#[test]
fn producers_that_are_forgotten_go_on_by_what_the_log_shows() {
    let bounds = Bounds { expiries: 1, fail_overs: 0, losses: 2, refusals: 0, ..BOUNDS };
    for source in ["##", ".#", "#.#", "..#", "#..#"] {
        is_safe(Rules { bounds, ..Rules::of(source) });
    }
}

/// The target's cleaner runs at any time: before a take-over, between its reads, after it.
#[test]
fn what_a_cleaner_removes_is_neither_lost_nor_a_marker() {
    for source in ["##", "#.#", "##.", "#..#"] {
        is_safe(Rules { bounds: CLEANED, ..Rules::of(source) });
    }
    for source in ["##", "##."] {
        is_safe(Rules { bounds: CLEANED_AND_FORGOTTEN, ..Rules::of(source) });
    }
}

/// What is not closed: the leader has forgotten the flow, and between the take-overs of two owners a cleaner removes the last records.
/// One takes the sequence that the log showed, the other the source offset, and the leader takes both.
#[test]
fn two_owners_before_and_after_a_cleaner_of_a_forgotten_log_double_a_record() {
    let violation = violation_of(Rules { bounds: CLEANED_AND_FORGOTTEN, ..Rules::of("#.#") });
    assert_eq!(violation, Violation::LostOrDoubled { source: 2, target: 3 });
}

#[test]
fn offsets_that_a_cleaner_emptied_are_taken_for_markers() {
    let rules = Rules { omit: Some(Omit::SeenMarkers), bounds: CLEANED_AND_FORGOTTEN, ..Rules::of("##") };
    assert_eq!(violation_of(rules), Violation::LostOrDoubled { source: 0, target: 1 });
}

#[test]
fn a_tail_that_was_read_later_than_the_end_doubles_a_record() {
    let rules = Rules { omit: Some(Omit::EndAgain), bounds: CLEANED, ..Rules::of("##.#") };
    assert_eq!(violation_of(rules), Violation::LostOrDoubled { source: 3, target: 4 });
}

#[test]
fn a_tail_without_the_last_batch_doubles_a_record() {
    let rules = Rules { omit: Some(Omit::RestBeforeTail), bounds: CLEANED, ..Rules::of("#.#") };
    assert_eq!(violation_of(rules), Violation::LostOrDoubled { source: 2, target: 3 });
}

#[test]
fn an_owner_that_wakes_when_the_leader_has_forgotten_all_of_them_doubles_a_record() {
    let bounds = Bounds { expiries: 1, fail_overs: 0, losses: 0, refusals: 0, ..BOUNDS };
    let rules = Rules { omit: Some(Omit::Freshness), bounds, ..Rules::of("##") };
    assert!(matches!(violation_of(rules), Violation::LostOrDoubled { .. }));
}

#[test]
fn without_the_comparison_a_crash_in_a_shift_loses_a_record() {
    assert_eq!(violation(Omit::Comparison, ".#"), Violation::NotCopied);
}

#[test]
fn a_record_that_comes_late_replaces_a_newer_lineage() {
    let rules = Rules { bounds: THREE_TAKE_OVERS, ..Rules::of(".#") };
    let violation = violation_of(Rules { omit: Some(Omit::CompareAndRecord), ..rules });
    assert_eq!(violation, Violation::ShiftNotNoticed { source: 1, target: 3 });
}

#[test]
fn a_shift_that_is_not_made_up_for_stays() {
    assert_eq!(violation(Omit::MakeUp, ".#."), Violation::ShiftNotHealed { surplus: 1 });
}

#[test]
fn position_and_sequence_of_different_reads_double_a_record() {
    assert_eq!(violation(Omit::OneRead, "#"), Violation::LostOrDoubled { source: 0, target: 1 });
}

#[test]
fn a_run_that_is_recorded_later_than_data_is_missing_meanwhile() {
    assert_eq!(violation(Omit::RecordFirst, ".#"), Violation::ShiftNotNoticed { source: 1, target: 2 });
}

#[test]
fn two_owners_that_begin_with_different_sequences_double_a_record() {
    assert_eq!(violation(Omit::SameFirstSequence, "#"), Violation::LostOrDoubled { source: 0, target: 1 });
}

#[test]
fn a_first_sequence_taken_from_the_target_offset_doubles_a_record_behind_a_shift() {
    assert_eq!(
        violation(Omit::FirstSequenceOfSource, ".#"),
        Violation::LostOrDoubled { source: 1, target: 3 }
    );
}

#[test]
fn a_first_sequence_chosen_before_a_hole_doubles_a_record() {
    assert_eq!(
        violation(Omit::FirstSequenceWhenSent, ".#"),
        Violation::LostOrDoubled { source: 1, target: 2 }
    );
}

#[test]
fn a_second_batch_before_the_first_success_overtakes_a_failed_first() {
    assert_eq!(violation(Omit::WindowOfOne, "##"), Violation::LostOrDoubled { source: 1, target: 0 });
}

#[test]
fn without_a_look_at_acknowledged_offsets_a_shift_is_not_noticed() {
    let violation = violation(Omit::AcknowledgedOffsets, ".#");
    assert_eq!(violation, Violation::ShiftNotNoticed { source: 1, target: 2 });
}

#[test]
fn an_owner_that_goes_on_over_a_new_connection_appends_to_a_log_that_has_lost_everything() {
    let bounds = Bounds { unclean_elections: 1, ..BOUNDS };
    let rules = Rules { omit: Some(Omit::EndWithConnection), bounds, ..Rules::of("##") };
    assert_eq!(violation_of(rules), Violation::LostOrDoubled { source: 1, target: 0 });
}

#[test]
fn markers_sent_before_data_is_acknowledged_get_in_front_of_it() {
    shifts_outside_the_window(Omit::WaitForAppends, ".#.#");
}

#[test]
fn a_first_marker_sent_without_a_look_at_the_log_end_comes_too_late() {
    shifts_outside_the_window(Omit::LookBeforeFirstMarker, ".#");
}

#[test]
fn a_first_request_for_a_whole_hole_doubles_it() {
    shifts_outside_the_window(Omit::FirstMarkerAlone, "..#");
}

#[test]
fn what_is_missing_after_the_first_marker_must_be_measured() {
    shifts_outside_the_window(Omit::MeasureAfterMarkers, "..#");
}

#[test]
fn a_log_end_that_is_not_replicated_may_be_lost() {
    assert_eq!(violation(Omit::Rest, "..#"), Violation::HoleTooShort { source: 2, target: 1 });
}

#[test]
fn equal_tokens_fence_nobody() {
    shifts_outside_the_window(Omit::TokenAboveTheLog, ".#");
}

#[test]
fn a_token_that_is_lower_than_that_of_a_late_marker_does_not_fence_it() {
    shifts_outside_the_window(Omit::TokenAboveAll, ".#");
}

#[test]
fn markers_sent_again_are_appended_again() {
    shifts_outside_the_window(Omit::NoSecondMarkers, ".#");
}

fn is_safe(rules: Rules) {
    let begun = clock::now();
    match explore(&rules) {
        Ok(explored) => {
            println!("{} {:?}: {explored:?} in {:?}", rules.source, rules.bounds, clock::now() - begun);
            let has_holes = (0..rules.source.end()).any(|offset| !rules.source.has(offset));
            assert_eq!(explored.shifted > 0, has_holes, "dense logs alone have no window");
        }
        Err(schedule) => panic!("{}: {}", rules.source, schedule.replay(&rules)),
    }
}

/// What the model finds without a rule, by the shortest schedule, which is printed.
fn violation(omit: Omit, source: &str) -> Violation {
    violation_of(Rules { omit: Some(omit), ..Rules::of(source) })
}

fn violation_of(rules: Rules) -> Violation {
    let schedule = explore(&rules).expect_err("the rule is needed");
    println!("without {:?}, {}: {}", rules.omit, rules.source, schedule.replay(&rules));
    schedule.violation
}

fn shifts_outside_the_window(omit: Omit, source: &str) {
    let violation = violation(omit, source);
    assert!(matches!(violation, Violation::ShiftOutsideTheWindow { .. }), "{violation}");
}
