//! The present, for what is given the time.

use std::ops::Add;
use std::time::{Duration, Instant};

use kmirror_client::{Moment, clock};

/// The present by the clock that timers go by, and by those that go on while a process or a machine is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) moment: Moment,
}

impl Now {
    /// Reads the clocks.
    pub(crate) fn read() -> Now {
        Now { instant: clock::now(), moment: Moment::now() }
    }
}

#[cfg(test)]
impl Now {
    /// When a test begins. By the wall clock that is 1970, so that the timestamps of most test records are those of new ones.
    pub(crate) fn of_test() -> Now {
        Now { instant: clock::now(), moment: Moment::at(Duration::from_secs(100), Duration::from_secs(100)) }
    }
}

impl Add<Duration> for Now {
    type Output = Now;

    fn add(self, passed: Duration) -> Now {
        Now { instant: self.instant + passed, moment: self.moment + passed }
    }
}

#[cfg(test)]
impl std::ops::AddAssign<Duration> for Now {
    fn add_assign(&mut self, passed: Duration) {
        *self = *self + passed;
    }
}
