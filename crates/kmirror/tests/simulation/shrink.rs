//! Cuts a failing schedule down, so that somebody can read it.

use crate::oracle::Violation;
use crate::schedule::Schedule;

/// As few steps as it takes to break the same rule: halves, quarters and so on are left out, and then single steps, for as long as
/// that helps. With the violation that is left. `run` lets a schedule happen.
pub(crate) fn shrunk(
    schedule: &Schedule,
    violation: &Violation,
    mut run: impl FnMut(&Schedule) -> Result<(), Violation>,
) -> (Schedule, Violation) {
    let (mut short, mut left, mut runs) = (schedule.clone(), violation.clone(), 0);
    let mut size = short.steps.len().div_ceil(2);
    while size > 0 {
        let mut has_helped = false;
        let mut from = 0;
        while from < short.steps.len() && runs < RUNS_MAX {
            let mut shorter = short.clone();
            shorter.steps.drain(from..(from + size).min(shorter.steps.len()));
            runs += 1;
            match run(&shorter) {
                Err(violation) if violation.rule == left.rule => {
                    (short, left, has_helped) = (shorter, violation, true);
                }
                _ => from += size,
            }
        }
        if runs >= RUNS_MAX || (size == 1 && !has_helped) {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    (short, left)
}

const RUNS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::violation;
    use crate::schedule::{Kinds, Step, What};

    #[test]
    fn what_it_does_not_take_is_left_out() {
        let mut schedule = Schedule::of(1, &Kinds::default());
        let steps = &mut schedule.steps;
        steps.insert(7, Step { at_ms: 3, what: What::ExpireProducers { partition: 0 } });
        steps.push(Step { at_ms: 900, what: What::ExpireProducers { partition: 1 } });
        let expires = |schedule: &Schedule| {
            let expired =
                schedule.steps.iter().filter(|step| matches!(step.what, What::ExpireProducers { .. }));
            if expired.count() == 2 { Err(violation("both", String::new())) } else { Ok(()) }
        };
        let (short, left) = shrunk(&schedule, &violation("both", String::new()), expires);
        assert_eq!((short.steps.len(), left.rule), (2, "both"), "{short}");
        let other = violation("another rule", String::new());
        assert_eq!(shrunk(&schedule, &other, expires).0.steps.len(), schedule.steps.len());
    }
}
