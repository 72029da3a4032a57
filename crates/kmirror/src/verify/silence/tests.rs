//! When a log that shows nothing is believed.

use kmirror_client::clock;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn only_a_log_that_a_cleaner_may_have_emptied_holds_nothing() {
    let now = clock::now();
    for (is_compacted, expected) in [(true, Then::Nothing), (false, Then::Ask)] {
        let mut silence = Silence::since(now, is_compacted);
        assert_eq!(silence.judge(shown(1, 0, 9), 9, now, PATIENCE), Then::Ask);
        assert_eq!(silence.judge(shown(1, 0, 9), 9, now, PATIENCE), Then::Ask);
        assert_eq!(silence.judge(shown(1, 0, 9), 9, now, PATIENCE), expected);
        assert_eq!(silence.judge(shown(2, 0, 9), 9, now + PATIENCE, PATIENCE), Then::GiveUp);
    }
}

#[test]
fn answers_count_only_while_nothing_changes() {
    let now = clock::now();
    for other in [shown(2, 0, 9), shown(1, 3, 9), shown(1, 0, 10)] {
        let mut silence = Silence::since(now, true);
        let answers = [shown(1, 0, 9), shown(1, 0, 9), other, other];
        for answer in answers {
            assert_eq!(silence.judge(answer, 9, now, PATIENCE), Then::Ask);
        }
        assert_eq!(silence.judge(other, 9, now, PATIENCE), Then::Nothing);
    }
}

#[test]
fn a_leader_that_lags_says_nothing_of_what_it_does_not_show() {
    let now = clock::now();
    let mut silence = Silence::since(now, true);
    for _ in 0..10 {
        assert_eq!(silence.judge(shown(1, 0, 8), 9, now, PATIENCE), Then::Ask);
    }
    assert_eq!(silence.judge(shown(1, 0, 8), 9, now + PATIENCE, PATIENCE), Then::GiveUp);
}

fn shown(leader_epoch: i32, log_start: i64, readable_end: i64) -> Shown {
    Shown { leader_epoch: Some(leader_epoch), log_start, readable_end }
}
