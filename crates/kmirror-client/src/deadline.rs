//! Until when a request may be written, by clocks that go on while a process or a machine is frozen.
//!
//! What was seen on a cluster some seconds ago is believed; what a process saw before it was stopped and woken again is not. A
//! timer does not tell the two apart: it fires late, after what it should have kept from being sent. So the check stands where the
//! bytes are written.

use std::ops::Add;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock;

/// A moment by the boot clock and the wall clock.
///
/// The boot clock goes on while the machine sleeps (`CLOCK_BOOTTIME`), the wall clock also where a hypervisor has stopped the whole
/// machine and set its time right afterwards. What has passed between two moments is the larger progress of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    boot: Duration,
    wall: Duration,
}

impl Moment {
    /// The present one.
    pub fn now() -> Moment {
        let wall = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { boot: clock::boot(), wall }
    }

    /// The moment at which the boot clock and the wall clock show these times: for tests of what is given the time.
    pub const fn at(boot: Duration, wall: Duration) -> Moment {
        Moment { boot, wall }
    }

    /// How much time has passed since `earlier`; none if `earlier` is the later one.
    pub fn since(self, earlier: Moment) -> Duration {
        let boot = self.boot.saturating_sub(earlier.boot);
        boot.max(self.wall.saturating_sub(earlier.wall))
    }

    /// Milliseconds since the epoch by the wall clock, which is how records are stamped.
    pub fn wall_ms(self) -> i64 {
        i64::try_from(self.wall.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, passed: Duration) -> Moment {
        Moment { boot: self.boot.saturating_add(passed), wall: self.wall.saturating_add(passed) }
    }
}

/// A request may be written as long as what it rests on is not older than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    seen_at: Moment,
    age_max: Duration,
}

impl Deadline {
    /// The request rests on the answer to one that was sent at `seen_at`, and may be written until that is `age_max` old. It counts
    /// from sending: a process that was frozen finds old answers in its sockets when it wakes.
    pub fn new(seen_at: Moment, age_max: Duration) -> Deadline {
        Deadline { seen_at, age_max }
    }

    /// Whether it is too late at `now`.
    pub fn is_over(&self, now: Moment) -> bool {
        self.left(now).is_zero()
    }

    /// The deadline that is over first.
    pub fn min(self, other: Deadline, now: Moment) -> Deadline {
        if other.left(now) < self.left(now) { other } else { self }
    }

    fn left(&self, now: Moment) -> Duration {
        self.age_max.saturating_sub(now.since(self.seen_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: u64, wall: u64) -> Moment {
        Moment::at(Duration::from_secs(boot), Duration::from_secs(wall))
    }

    #[test]
    fn the_larger_progress_counts() {
        let began = moment(100, 1_000);
        for (now, passed) in [
            (moment(103, 1_003), 3),
            (moment(103, 1_900), 900), // the hypervisor stopped the machine
            (moment(900, 1_003), 800), // somebody set the wall clock back meanwhile
            (moment(103, 5), 3),
            (moment(90, 900), 0),
        ] {
            assert_eq!(now.since(began), Duration::from_secs(passed), "{now:?}");
        }
        assert!(Moment::now().since(Moment::now()) < Duration::from_secs(60));
    }

    #[test]
    fn a_deadline_is_over_when_what_was_seen_is_too_old() {
        let deadline = Deadline::new(moment(100, 1_000), Duration::from_secs(10));
        assert!(!deadline.is_over(moment(109, 1_009)));
        assert!(deadline.is_over(moment(110, 1_009)) && deadline.is_over(moment(109, 1_010)));
        let sooner = Deadline::new(moment(104, 1_004), Duration::from_secs(3));
        assert_eq!(deadline.min(sooner, moment(105, 1_005)), sooner);
        assert_eq!(sooner.min(deadline, moment(105, 1_005)), sooner);
    }
}
