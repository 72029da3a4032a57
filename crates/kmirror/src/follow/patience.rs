//! When a change is tried again that the target did not take, or that somebody takes back: an access control entry, a setting. Pure: whoever
//! asks says what time it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kmirror_client::Moment;

/// What the target has answered to changes, and what became of them there. What was told of a refusal says nothing of returns, nor the other way
/// round.
#[derive(Debug)]
pub(crate) struct Patience<C> {
    refusals: BTreeMap<C, Refusal>,
    /// What was made by this process, and when, and whether it was seen since: brokers learn of it a moment later.
    made: BTreeMap<C, (Moment, bool)>,
    returns: BTreeMap<C, Returns>,
}

#[derive(Debug)]
enum Refusal {
    /// The same change meets the same answer.
    Final,
    Passing(Pause),
}

/// When a change was made that had been made before, and was taken back since by somebody else.
#[derive(Debug, Default)]
struct Returns {
    times: VecDeque<Moment>,
    pause: Option<Pause>,
}

/// How long something is not done, from a moment on.
#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Moment,
    length: Duration,
}

impl<C> Default for Patience<C> {
    fn default() -> Patience<C> {
        Patience { refusals: BTreeMap::new(), made: BTreeMap::new(), returns: BTreeMap::new() }
    }
}

impl<C: Clone + Ord> Patience<C> {
    /// Whether the target has said for good that it does not take a change.
    pub(crate) fn is_refused(&self, change: &C) -> bool {
        matches!(self.refusals.get(change), Some(Refusal::Final))
    }

    /// Whether a change that the target did not take is asked for again.
    pub(crate) fn may_ask(&self, change: &C, now: Moment) -> bool {
        match self.refusals.get(change) {
            None => true,
            Some(Refusal::Final) => false,
            Some(Refusal::Passing(pause)) => pause.is_over(now),
        }
    }

    /// Whether a change that somebody takes back again and again is made once more.
    pub(crate) fn may_return(&self, change: &C, now: Moment) -> bool {
        let pause = self.returns.get(change).and_then(|returns| returns.pause);
        pause.is_none_or(|pause| pause.is_over(now))
    }

    /// The target did not take a change, and would not the next time either where that `is_final`. Whether it is to be said: it is for good, or
    /// the first time.
    pub(crate) fn refused(&mut self, change: &C, is_final: bool, now: Moment) -> bool {
        let last = match self.refusals.get(change) {
            Some(Refusal::Passing(pause)) => Some(*pause),
            _ => None,
        };
        let passing = || Refusal::Passing(Pause::after(last, ASKED_MIN, ASKED_MAX, now));
        self.refusals.insert(change.clone(), if is_final { Refusal::Final } else { passing() });
        is_final || last.is_none()
    }

    /// A change was made. Whether somebody has taken it back so often that it is to be said.
    pub(crate) fn made(&mut self, change: &C, now: Moment) -> bool {
        self.refusals.remove(change);
        let before = self.made.insert(change.clone(), (now, false));
        if !before.is_some_and(|(_, is_seen)| is_seen) {
            return false;
        }
        let returns = self.returns.entry(change.clone()).or_default();
        returns.times.retain(|time| now.since(*time) < HOUR);
        returns.times.push_back(now);
        if returns.times.len() < RETURNS_MAX {
            returns.pause = None;
            return false;
        }
        let is_first = returns.pause.is_none();
        returns.pause = Some(Pause::after(returns.pause, RETURNED_MIN, RETURNED_MAX, now));
        is_first
    }

    /// Those of which this is so are on the target.
    pub(crate) fn seen(&mut self, is_there: impl Fn(&C) -> bool) {
        for (change, (_, is_seen)) in &mut self.made {
            *is_seen |= is_there(change);
        }
    }

    /// Whether what is not to be seen may be there nevertheless, for it has just been made.
    pub(crate) fn is_unseen(&self, change: &C, now: Moment) -> bool {
        self.made.get(change).is_some_and(|(made_at, is_seen)| !is_seen && now.since(*made_at) < LAG_MAX)
    }

    /// It is not wanted any more: nothing counts that was known of it.
    pub(crate) fn forget(&mut self, change: &C) {
        self.refusals.remove(change);
        self.made.remove(change);
        self.returns.remove(change);
    }
}

impl Pause {
    /// Twice as long as the last one.
    fn after(last: Option<Pause>, min: Duration, max: Duration, now: Moment) -> Pause {
        Pause { since: now, length: last.map_or(min, |last| (last.length * 2).min(max)) }
    }

    fn is_over(&self, now: Moment) -> bool {
        now.since(self.since) >= self.length
    }
}

/// How far a broker may be behind that answers at all.
const LAG_MAX: Duration = Duration::from_secs(60);
/// So often within an hour it may be a mistake that somebody corrects.
const RETURNS_MAX: usize = 3;
const HOUR: Duration = Duration::from_secs(60 * 60);
const ASKED_MIN: Duration = Duration::from_secs(1);
const ASKED_MAX: Duration = Duration::from_secs(10 * 60);
const RETURNED_MIN: Duration = Duration::from_secs(60);
/// Shorter than the hour that they are counted for, or each pause would end the count.
const RETURNED_MAX: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = "orders: retention.ms to 5";

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds), Duration::from_secs(1_000_000 + seconds))
    }

    #[test]
    fn what_may_pass_is_asked_for_again_after_growing_pauses() {
        let (mut patience, mut now) = (Patience::default(), 0);
        for (times, pause) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].into_iter().enumerate() {
            assert!(patience.may_ask(&CHANGE, at(now)));
            assert_eq!(patience.refused(&CHANGE, false, at(now)), times == 0);
            assert!(!patience.may_ask(&CHANGE, at(now + pause - 1)), "{pause}");
            assert!(!patience.is_refused(&CHANGE));
            now += pause;
        }
        assert!(!patience.made(&CHANGE, at(now)));
        patience.refused(&CHANGE, false, at(now));
        assert!(patience.may_ask(&CHANGE, at(now + 1)), "it begins anew");
    }

    #[test]
    fn what_is_refused_for_good_is_not_asked_for_again() {
        let mut patience = Patience::default();
        patience.refused(&CHANGE, false, at(0));
        assert!(patience.refused(&CHANGE, true, at(1)), "said as well");
        assert!(patience.is_refused(&CHANGE) && !patience.may_ask(&CHANGE, at(1_000_000)));
        assert!(patience.may_ask(&"orders: retention.ms to 6", at(1)));
        patience.forget(&CHANGE);
        assert!(patience.may_ask(&CHANGE, at(1)), "it was wanted no more for a while");
    }

    /// It was seen, and has been made again.
    fn returns(patience: &mut Patience<&'static str>, now: u64) -> bool {
        patience.seen(|change| *change == CHANGE);
        patience.made(&CHANGE, at(now))
    }

    #[test]
    fn the_third_return_within_an_hour_is_told_once() {
        let mut patience = Patience::default();
        let told = [0, 100, 200, 3_800, 3_900].map(|now| returns(&mut patience, now));
        assert_eq!(told, [false; 5], "the first is none, and two have passed");
        assert!(patience.may_return(&CHANGE, at(3_900)));
        let mut now = 4_000;
        for (times, pause) in [60, 120, 240, 480, 900, 900].into_iter().enumerate() {
            assert!(patience.may_return(&CHANGE, at(now)));
            assert_eq!(returns(&mut patience, now), times == 0);
            assert!(!patience.may_return(&CHANGE, at(now + pause - 1)), "{pause}");
            now += pause;
        }
        // Nobody has taken it back for an hour.
        now += 3_600;
        assert!(!returns(&mut patience, now));
        assert!(patience.may_return(&CHANGE, at(now)));
    }

    /// That it failed once was told, and is another matter.
    #[test]
    fn returns_are_told_whatever_was_told_of_failures() {
        let mut patience = Patience::default();
        assert!(patience.refused(&CHANGE, false, at(0)));
        let told = [1, 2, 3, 4].map(|now| returns(&mut patience, now));
        assert_eq!(told, [false, false, false, true]);
        assert!(patience.refused(&CHANGE, false, at(5)), "nor the other way round");
    }

    #[test]
    fn what_was_taken_back_on_purpose_does_not_return() {
        let mut patience = Patience::default();
        for now in 0..10 {
            assert!(!returns(&mut patience, now));
            patience.forget(&CHANGE);
        }
    }

    /// A broker that is behind shows what was there before.
    #[test]
    fn what_was_not_seen_yet_does_not_return() {
        let mut patience = Patience::default();
        for now in 0..10 {
            assert!(!patience.made(&CHANGE, at(now)));
            patience.seen(|_| false);
        }
        assert!(patience.is_unseen(&CHANGE, at(9)) && !patience.is_unseen(&CHANGE, at(69)));
        patience.seen(|_| true);
        assert!(!patience.is_unseen(&CHANGE, at(9)));
    }
}
