//! Since when a partition cannot be read. Pure.

use std::time::{Duration, Instant};

/// A row of failures in which nothing was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failing {
    since: Option<Instant>,
    is_told: bool,
}

impl Failing {
    /// Counts a failure. Whether the row is so long by now that it is to be told.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.is_told = self.is_told || now.saturating_duration_since(since) >= FAILING_TOLD;
        self.is_told
    }

    /// An answer without an error. Whether it was told that there was none.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(self).is_told
    }

    /// Whether it is told.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }
}

/// An election takes less; who watches the lag should not wait for longer.
const FAILING_TOLD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use kmirror_client::clock;

    #[test]
    fn a_row_of_failures_is_told_after_a_while_and_until_something_is_read() {
        let (mut failing, now) = (Failing::default(), clock::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!failing.succeeded());
        assert!(!failing.failed(now) && !failing.failed(at(4)));
        assert!(!failing.succeeded() && !failing.failed(at(5)), "a new row");
        assert!(failing.failed(at(10)) && failing.is_told() && failing.failed(at(11)));
        assert!(failing.succeeded() && !failing.is_told() && !failing.succeeded());
    }
}
