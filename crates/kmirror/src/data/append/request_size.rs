//! How large a Produce request to a broker may be. A broker hangs up on a request that is larger than its `socket.request.max.bytes`, without
//! an answer (`NetworkReceive`, `InvalidReceiveException`), so what it takes must be found out.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What is known of one broker. All connections to it share it.
#[derive(Debug)]
pub(crate) struct RequestSize {
    bytes_max: AtomicUsize,
    /// The largest request that was answered: one of this size is not why it hangs up.
    answered_bytes_max: AtomicUsize,
    /// How often in a row it hung up on a batch alone.
    hang_ups: AtomicU32,
    is_told: AtomicBool,
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
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, bytes: usize) {
        self.answered_bytes_max.fetch_max(bytes, Ordering::Relaxed);
        self.hang_ups.store(0, Ordering::Relaxed);
    }

    /// The broker hung up when a request of so many batches was the next one that it had to answer.
    pub(crate) fn hung_up(&self, bytes: usize, batches: usize) -> HungUp {
        if bytes <= self.answered_bytes_max.load(Ordering::Relaxed).max(TAKEN_BYTES) || batches == 0 {
            return HungUp::Nothing;
        }
        if batches == 1 {
            let hang_ups = self.hang_ups.fetch_add(1, Ordering::Relaxed) + 1;
            return if hang_ups < ALONE_HANG_UPS_MAX { HungUp::Nothing } else { HungUp::Alone };
        }
        self.bytes_max.fetch_min(bytes / 2, Ordering::Relaxed);
        let is_news = !self.is_told.swap(true, Ordering::Relaxed);
        HungUp::Smaller { bytes_max: self.bytes_max(), is_news }
    }
}

impl Default for RequestSize {
    fn default() -> RequestSize {
        RequestSize {
            bytes_max: AtomicUsize::new(REQUEST_BYTES_MAX),
            answered_bytes_max: AtomicUsize::default(),
            hang_ups: AtomicU32::default(),
            is_told: AtomicBool::default(),
        }
    }
}

/// Far below the default of `socket.request.max.bytes`, 100 MiB.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// No broker that is good for anything takes less.
const TAKEN_BYTES: usize = 64 << 10;
/// A broker that is stopped hangs up once.
const ALONE_HANG_UPS_MAX: u32 = 2;

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
}
