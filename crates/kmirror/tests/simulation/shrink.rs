//! Cuts a failing schedule down, so that somebody can read it.

use std::time::Duration;

use crate::oracle::Violation;
use crate::run::once_within;
use crate::schedule::Schedule;

/// As few steps as it takes to break the same rule: halves, quarters and so on are left out, and then single steps, for as long as
/// that helps. With the violation that is left.
pub(crate) fn shrunk(schedule: &Schedule, violation: &Violation) -> (Schedule, Violation) {
    let (mut short, mut left, mut runs) = (schedule.clone(), violation.clone(), 0);
    let mut size = short.steps.len().div_ceil(2);
    while size > 0 {
        let mut has_helped = false;
        let mut from = 0;
        while from < short.steps.len() && runs < RUNS_MAX {
            let mut shorter = short.clone();
            shorter.steps.drain(from..(from + size).min(shorter.steps.len()));
            runs += 1;
            match once_within(&shorter, false, STUCK_AFTER) {
                Err(violation) if violation.rule == left.rule => {
                    (short, left, has_helped) = (shorter, violation, true);
                }
                _ => from += size,
            }
        }
        if size == 1 && !has_helped || runs >= RUNS_MAX {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    (short, left)
}

const RUNS_MAX: usize = 600;
/// What is stuck is so soon.
const STUCK_AFTER: Duration = Duration::from_secs(2);
