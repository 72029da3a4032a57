//! The memory of a flow: a number of bytes that fetch responses may hold at any time.
//!
//! A permit is taken before a fetch is sent, trimmed when the length of the response is known, and given back when the last
//! slice of the response is dropped, which is after its batches were acknowledged. So a stalled target stops the fetchers,
//! and costs no more than the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kmirror_client::FrameOwner;
use tokio::sync::Notify;

/// A number of bytes shared by the fetchers of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// May fall below zero: a first batch larger than every limit is sent whole (KIP-74), and refusing it would mean
    /// standing still for ever.
    available_bytes: AtomicI64,
    freed: Notify,
}

/// Bytes taken from a budget. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Permit {
    inner: Arc<Inner>,
    bytes: i64,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Budget {
        let available_bytes = AtomicI64::new(signed(bytes_max));
        Budget { inner: Arc::new(Inner { available_bytes, freed: Notify::new() }) }
    }

    /// Waits until `bytes` are free and takes them.
    pub(crate) async fn acquire(&self, bytes: usize) -> Permit {
        loop {
            let freed = self.inner.freed.notified();
            if let Some(permit) = self.try_acquire(bytes) {
                return permit;
            }
            freed.await;
        }
    }

    fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let bytes = signed(bytes);
        self.inner
            .available_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |available| {
                (available >= bytes).then(|| available - bytes)
            })
            .ok()
            .map(|_| Permit { inner: Arc::clone(&self.inner), bytes })
    }
}

impl FrameOwner for Permit {
    fn frame_bytes(&mut self, bytes: usize) {
        let bytes = signed(bytes);
        self.inner.available_bytes.fetch_add(self.bytes - bytes, Ordering::AcqRel);
        self.bytes = bytes;
        self.inner.freed.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.available_bytes.fetch_add(self.bytes, Ordering::AcqRel);
        self.inner.freed.notify_waiters();
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_permit_is_trimmed_to_the_frame_and_returned_by_its_drop() {
        let budget = Budget::new(100);
        let mut first = budget.acquire(80).await;
        assert!(budget.try_acquire(30).is_none());
        first.frame_bytes(10);
        let second = budget.try_acquire(90).expect("the rest is free");
        assert!(budget.try_acquire(1).is_none());
        drop(first);
        assert!(budget.try_acquire(11).is_none());
        drop(second);
        assert!(budget.try_acquire(100).is_some());
    }

    #[tokio::test]
    async fn a_frame_larger_than_the_budget_is_paid_back_before_the_next_fetch() {
        let budget = Budget::new(100);
        let mut permit = budget.acquire(50).await;
        permit.frame_bytes(500);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(1).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.expect("woken by the drop");
    }
}
