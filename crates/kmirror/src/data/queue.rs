//! How full the queue between a fetcher and an appender is, for one partition and one take-over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Bytes handed to the appender that are not acknowledged yet. Beyond a bound the fetcher pauses the partition, so that one
/// that is slow on the target does not eat the budget of its neighbours.
#[derive(Debug, Default)]
pub(crate) struct QueueGauge {
    bytes: AtomicUsize,
    /// The fetcher to wake when there is room again; it changes when the source's leader moves.
    fetcher: Mutex<Option<Arc<Notify>>>,
}

impl QueueGauge {
    /// Names the fetcher that fills the queue from now on.
    pub(crate) fn filled_by(&self, fetcher: &Arc<Notify>) {
        *self.fetcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(fetcher));
    }

    /// Counts bytes handed to the appender.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes acknowledged, and wakes the fetcher when the queue has just become short.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > LOW_BYTES && before.saturating_sub(bytes) <= LOW_BYTES {
            let fetcher = self.fetcher.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(fetcher) = &*fetcher {
                fetcher.notify_one();
            }
        }
    }

    /// Whether the partition should be left out of the next fetch.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= HIGH_BYTES
    }

    /// Whether a partition that was left out may be fetched again.
    pub(crate) fn wants_more(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= LOW_BYTES
    }
}

const HIGH_BYTES: usize = 4 << 20;
const LOW_BYTES: usize = 1 << 20;
