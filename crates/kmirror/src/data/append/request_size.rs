//! How large a Produce request to a broker may be. A broker hangs up on a request that is larger than its `socket.request.max.bytes`, without
//! an answer (`NetworkReceive`, `InvalidReceiveException`), so what it takes must be found out. There are other reasons to hang up, and a limit
//! may be raised or lowered: so requests grow again, and what was taken once is not taken for granted for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of one broker. All connections to it share it.
#[derive(Debug, Default)]
pub(crate) struct RequestSize(Mutex<Known>);

#[derive(Debug)]
struct Known {
    bytes_max: usize,
    /// The largest request that was answered: one of this size is not why it hangs up.
    answered_bytes_max: usize,
    /// The smallest request that it hung up on since it has answered one as large, and how often it hung up since.
    hung_up_bytes_min: usize,
    hang_ups: u32,
    /// How often in a row it hung up on a batch alone.
    alone_hang_ups: u32,
    /// How many requests of full size were answered since that size was another one, and after how many it doubles.
    full_answered: u32,
    grows_after: u32,
    /// Whether the size has doubled, and no request of it was answered yet.
    is_tried: bool,
    is_told: bool,
}

/// What follows when a broker has hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HungUp {
    /// Nothing: there are many other reasons.
    Nothing,
    /// Requests are smaller from now on. `is_news`: nobody was told.
    Smaller { bytes_max: usize, is_news: bool },
    /// The request held one batch, and cannot be smaller.
    Alone,
}

impl RequestSize {
    /// A request takes no more batches at this size; it may be one batch larger.
    pub(crate) fn bytes_max(&self) -> usize {
        self.known().bytes_max
    }

    /// A request was answered.
    pub(crate) fn answered(&self, bytes: usize) {
        self.known().answered(bytes);
    }

    /// The broker hung up when a request of so many batches was the next one that it had to answer.
    pub(crate) fn hung_up(&self, bytes: usize, batches: usize) -> HungUp {
        self.known().hung_up(bytes, batches)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn answered(&mut self, bytes: usize) {
        self.answered_bytes_max = self.answered_bytes_max.max(bytes);
        self.alone_hang_ups = 0;
        if bytes >= self.hung_up_bytes_min {
            (self.hang_ups, self.hung_up_bytes_min) = (0, usize::MAX);
        }
        if bytes >= self.bytes_max {
            self.answered_in_full();
        }
    }

    fn answered_in_full(&mut self) {
        if std::mem::take(&mut self.is_tried) {
            self.grows_after = GROWS_AFTER_MIN;
        }
        self.full_answered = self.full_answered.saturating_add(1);
        if self.full_answered >= self.grows_after && self.bytes_max < REQUEST_BYTES_MAX {
            self.bytes_max = (self.bytes_max * 2).min(REQUEST_BYTES_MAX);
            self.full_answered = 0;
            self.is_tried = true;
        }
    }

    fn hung_up(&mut self, bytes: usize, batches: usize) -> HungUp {
        if bytes <= TAKEN_BYTES || batches == 0 {
            return HungUp::Nothing;
        }
        self.hang_ups += 1;
        self.hung_up_bytes_min = self.hung_up_bytes_min.min(bytes);
        if self.hang_ups >= HANG_UPS_MAX {
            self.answered_bytes_max = self.answered_bytes_max.min(self.hung_up_bytes_min - 1);
        }
        if bytes <= self.answered_bytes_max {
            return HungUp::Nothing;
        }
        if batches == 1 {
            self.alone_hang_ups += 1;
            return if self.alone_hang_ups < ALONE_HANG_UPS_MAX { HungUp::Nothing } else { HungUp::Alone };
        }
        self.shrink(bytes / 2);
        let is_news = !std::mem::replace(&mut self.is_told, true);
        HungUp::Smaller { bytes_max: self.bytes_max, is_news }
    }

    /// A size that was tried in vain is tried again after twice as many requests: each time all partitions of a connection are taken over.
    fn shrink(&mut self, bytes_max: usize) {
        if bytes_max >= self.bytes_max {
            return;
        }
        if std::mem::take(&mut self.is_tried) {
            self.grows_after = (self.grows_after * 2).min(GROWS_AFTER_MAX);
        }
        (self.bytes_max, self.full_answered) = (bytes_max, 0);
    }
}

impl Default for Known {
    fn default() -> Known {
        Known {
            bytes_max: REQUEST_BYTES_MAX,
            answered_bytes_max: 0,
            hung_up_bytes_min: usize::MAX,
            hang_ups: 0,
            alone_hang_ups: 0,
            full_answered: 0,
            grows_after: GROWS_AFTER_MIN,
            is_tried: false,
            is_told: false,
        }
    }
}

/// Far below the default of `socket.request.max.bytes`, 100 MiB.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// No broker that is good for anything takes less.
const TAKEN_BYTES: usize = 64 << 10;
/// A broker that is stopped hangs up once.
const ALONE_HANG_UPS_MAX: u32 = 2;
/// A broker that is stopped hangs up once on each connection, and there are at most 24 to it (`ground/pipe.rs`).
const HANG_UPS_MAX: u32 = 32;
const GROWS_AFTER_MIN: u32 = 64;
/// Some gigabytes.
const GROWS_AFTER_MAX: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_halved_until_they_are_answered() {
        let size = RequestSize::default();
        assert_eq!(size.hung_up(5_000_000, 9), HungUp::Smaller { bytes_max: 2_500_000, is_news: true });
        // Others were on their way.
        assert_eq!(size.hung_up(5_000_000, 9), HungUp::Smaller { bytes_max: 2_500_000, is_news: false });
        assert_eq!(size.hung_up(2_600_000, 5), HungUp::Smaller { bytes_max: 1_300_000, is_news: false });
        size.answered(1_400_000);
        assert_eq!(size.hung_up(1_400_000, 3), HungUp::Nothing, "one as large was answered");
        assert_eq!(size.bytes_max(), 1_300_000);
    }

    #[test]
    fn a_broker_may_hang_up_for_other_reasons() {
        let size = RequestSize::default();
        assert_eq!(size.hung_up(TAKEN_BYTES, 9), HungUp::Nothing);
        assert_eq!(size.hung_up(0, 0), HungUp::Nothing);
        assert_eq!(size.hung_up(1_000_000, 1), HungUp::Nothing);
        size.answered(500_000);
        assert_eq!(size.hung_up(1_000_000, 1), HungUp::Nothing);
        assert_eq!(size.hung_up(1_000_000, 1), HungUp::Alone, "again and again");
        assert_eq!(size.bytes_max(), REQUEST_BYTES_MAX, "no request would be smaller");
    }

    /// Full requests to a broker that takes `limit` bytes: how many were answered between the hang-ups.
    fn between_hang_ups(size: &RequestSize, limit: usize, hang_ups: usize) -> Vec<u32> {
        let mut answered = vec![0];
        while answered.len() <= hang_ups {
            let bytes = size.bytes_max() + 10;
            if bytes <= limit {
                size.answered(bytes);
                *answered.last_mut().expect("one") += 1;
            } else {
                assert!(matches!(size.hung_up(bytes, 9), HungUp::Smaller { .. }));
                answered.push(0);
            }
            assert!(answered.last().is_none_or(|answered| *answered <= GROWS_AFTER_MAX));
        }
        answered.pop();
        answered
    }

    #[test]
    fn one_hang_up_is_not_remembered_for_ever() {
        let size = RequestSize::default();
        for _ in 0..4 {
            size.hung_up(size.bytes_max() + 10, 9);
        }
        assert_eq!(size.bytes_max() >> 10, 256);
        for _ in 0..100_000 {
            size.answered(200_000);
        }
        assert_eq!(size.bytes_max() >> 10, 256, "nobody asks for more");
        for answered in 0..4 * GROWS_AFTER_MIN {
            assert!(size.bytes_max() < REQUEST_BYTES_MAX, "after {answered}");
            size.answered(size.bytes_max() + 10);
        }
        assert_eq!(size.bytes_max(), REQUEST_BYTES_MAX);
    }

    #[test]
    fn a_limit_that_stays_is_tried_less_and_less_often() {
        let size = RequestSize::default();
        let answered = between_hang_ups(&size, 1_000_000, 12);
        assert_eq!(answered, [0, 0, 0, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384]);
        assert_eq!(between_hang_ups(&size, 1_000_000, 2), [GROWS_AFTER_MAX; 2], "and never no more");
        // It is raised: what is hung up on later is tried again as soon as at first.
        while size.bytes_max() < REQUEST_BYTES_MAX {
            size.answered(size.bytes_max() + 10);
        }
        size.answered(size.bytes_max() + 10);
        size.hung_up(size.bytes_max() + 600_000, 9);
        assert!(size.bytes_max() < REQUEST_BYTES_MAX);
        assert_eq!(size.known().grows_after, GROWS_AFTER_MIN);
    }

    /// A broker that comes back with a smaller limit hangs up on what it has answered before.
    #[test]
    fn what_was_answered_long_ago_is_not_taken_for_granted() {
        let size = RequestSize::default();
        for _ in 0..10 {
            size.answered(4_300_000);
            for _ in 0..24 {
                assert_eq!(size.hung_up(4_300_000, 9), HungUp::Nothing, "a restart");
            }
        }
        let mut hang_ups = 0;
        while size.bytes_max() > 1_000_000 {
            // Its neighbours' small requests are answered meanwhile.
            size.answered(100_000);
            size.hung_up(size.bytes_max() + 10, 9);
            hang_ups += 1;
            assert!(hang_ups < 100, "requests do not shrink");
        }
    }
}
