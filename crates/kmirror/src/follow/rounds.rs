//! When a task beside a flow has something to do.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// When a task beside a flow has something to do: now and then, and once more when it is stopped.
pub(crate) struct Rounds {
    interval: Duration,
    /// Until the next round.
    pause: Duration,
    stop: CancellationToken,
    has_ended: bool,
}

impl Rounds {
    pub(crate) fn new(interval: Duration, stop: CancellationToken) -> Rounds {
        Rounds { interval, pause: interval, stop, has_ended: false }
    }

    /// The next round is not later than this, whatever the interval.
    pub(crate) fn soon(&mut self, pause: Duration) {
        self.pause = self.interval.min(pause);
    }

    /// Whether there is none after the present one.
    pub(crate) fn is_last(&self) -> bool {
        self.has_ended
    }

    /// Waits for the next round; false when there is none any more.
    pub(crate) async fn next(&mut self) -> bool {
        if self.has_ended {
            return false;
        }
        let pause = std::mem::replace(&mut self.pause, self.interval);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => self.has_ended = true,
            () = tokio::time::sleep(pause) => {}
        }
        true
    }
}
