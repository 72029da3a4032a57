//! How much of the flow's buffer each fetch asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What each fetch may ask for. Clones follow the number of fetchers that exist.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    buffer_bytes_max: usize,
    fetch_bytes_max: usize,
    fetchers: Arc<AtomicUsize>,
}

impl Share {
    pub(crate) fn new(buffer_bytes_max: usize, fetch_bytes_max: usize) -> Share {
        Share { buffer_bytes_max, fetch_bytes_max, fetchers: Arc::default() }
    }

    /// So many fetchers share the buffer from now on.
    pub(crate) fn among(&self, fetchers: usize) {
        self.fetchers.store(fetchers, Ordering::Relaxed);
    }

    /// Half of an equal share: what was read waits for the target in the other half.
    pub(crate) fn bytes(&self) -> usize {
        let fetchers = self.fetchers.load(Ordering::Relaxed).max(1);
        self.fetch_bytes_max.min(self.buffer_bytes_max / (2 * fetchers)).max(1)
    }
}

/// What each of so many partitions may take of an answer. One that has a connection for itself takes all of it: over a long link each
/// answer costs a round trip more, in which nothing of the partition is on its way.
pub(crate) fn share_of_answer(
    partitions: usize,
    fetch_bytes_max: usize,
    partition_fetch_bytes_max: usize,
) -> usize {
    partition_fetch_bytes_max.max(fetch_bytes_max / partitions.max(1))
}
