//! The memory of a flow: a number of bytes that fetch responses may hold at any time.
//!
//! A permit is taken before a fetch is sent, trimmed when the length of the response is known, and given back when the last
//! slice of the response is dropped, which is after its batches were acknowledged. So a stalled target stops the fetchers,
//! and costs no more than the budget. Batches that are merged from tiny ones (`data/tiny.rs`) or rewritten (`data/read/planner.rs`) are charged for
//! themselves; the latter hold what they were made from as well, until they are acknowledged.
//!
//! The memory itself stays here between two responses: pages that were never touched cost more than what is read into them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
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
    /// Buffers that no response uses now, the one that was used last at the end.
    idle: Mutex<Vec<Vec<u8>>>,
}

/// Bytes that were made here, with what they occupy.
struct Charged {
    bytes: Vec<u8>,
    _permit: Permit,
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
        Budget { inner: Arc::new(Inner { available_bytes, freed: Notify::new(), idle: Mutex::default() }) }
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

    /// Takes what `bytes` occupy, whether that is free or not, for what they were made from is given back now. They give it back
    /// when the last slice of them is dropped.
    pub(crate) fn charge(&self, bytes: Vec<u8>) -> Bytes {
        let permit = self.debit(bytes.capacity());
        Bytes::from_owner(Charged { bytes, _permit: permit })
    }

    /// Takes so many bytes, whether they are free or not, for something that is there already.
    pub(crate) fn debit(&self, bytes: usize) -> Permit {
        let bytes = signed(bytes);
        self.inner.available_bytes.fetch_sub(bytes, Ordering::AcqRel);
        Permit { inner: Arc::clone(&self.inner), bytes }
    }

    #[cfg(test)]
    pub(crate) fn available_bytes(&self) -> i64 {
        self.inner.available_bytes.load(Ordering::Acquire)
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

impl Permit {
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(0)
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FrameOwner for Permit {
    fn frame_bytes(&mut self, bytes: usize) {
        let bytes = signed(bytes);
        self.inner.available_bytes.fetch_add(self.bytes - bytes, Ordering::AcqRel);
        self.bytes = bytes;
        self.inner.freed.notify_waiters();
    }

    fn buffer(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let buffer = self.inner.idle_buffer(bytes)?;
        // It is paid for as large as it is, which may be twice the frame.
        self.frame_bytes(buffer.capacity());
        Some(buffer)
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        // The permit goes with it, so its bytes are free.
        self.inner.keep(buffer, self.bytes);
    }
}

impl Inner {
    /// The buffer that was used last, of those that suit: what is left over of a large one would not be accounted for.
    fn idle_buffer(&self, bytes: usize) -> Option<Vec<u8>> {
        if bytes < KEPT_BYTES_MIN {
            return None;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let suiting = idle.iter().rposition(|buffer| (bytes..=2 * bytes).contains(&buffer.capacity()));
        if suiting.is_none() {
            self.forget_some(&mut idle, 0); // for another one is allocated now
        }
        Some(idle.remove(suiting?))
    }

    fn keep(&self, buffer: Vec<u8>, freed_bytes: i64) {
        if buffer.capacity() < KEPT_BYTES_MIN {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        self.forget_some(&mut idle, freed_bytes);
    }

    /// Buffers are kept out of what nobody has taken: they are part of the budget.
    fn forget_some(&self, idle: &mut Vec<Vec<u8>>, freed_bytes: i64) {
        let free = self.available_bytes.load(Ordering::Acquire) + freed_bytes;
        let free = usize::try_from(free).unwrap_or(0);
        let kept_bytes_max = free.min(KEPT_BYTES_MAX);
        let mut kept_bytes: usize = idle.iter().map(Vec::capacity).sum();
        let forgotten = idle.iter().take_while(|buffer| {
            let is_over = kept_bytes > kept_bytes_max;
            kept_bytes -= buffer.capacity();
            is_over
        });
        let forgotten = forgotten.count();
        idle.drain(..forgotten);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.available_bytes.fetch_add(self.bytes, Ordering::AcqRel);
        self.inner.freed.notify_waiters();
    }
}

/// Smaller buffers cost the allocator nothing that is worth a search.
const KEPT_BYTES_MIN: usize = 64 << 10;
/// What an idle flow keeps at most. Enough for the responses that are read while others are written.
const KEPT_BYTES_MAX: usize = 16 << 20;

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

    #[test]
    fn what_is_charged_is_given_back_with_the_last_slice() {
        let budget = Budget::new(100);
        let slice = budget.charge(Vec::from([7; 80])).slice(10..20);
        assert_eq!(slice.as_ref(), [7; 10]);
        assert!(budget.try_acquire(21).is_none());
        let more = budget.charge(vec![0; 80]);
        assert!(budget.try_acquire(1).is_none(), "more was taken than there is");
        drop((slice, more));
        assert!(budget.try_acquire(100).is_some());
    }

    #[test]
    fn buffers_are_used_again_where_they_suit() {
        let inner = Budget::new(100 << 20).inner;
        inner.keep(Vec::with_capacity(1_000), 0); // too small to be worth it
        for megabytes in [1, 4, 2] {
            inner.keep(Vec::with_capacity(megabytes << 20), 0);
        }
        let capacity = |bytes| inner.idle_buffer(bytes).map(|buffer| buffer.capacity() >> 20);
        assert_eq!(capacity(500), None);
        assert_eq!(capacity(5 << 20), None, "none is that large");
        assert_eq!(capacity(1 << 20), Some(2), "the last of those that suit");
        assert_eq!(capacity(1 << 20), Some(1));
        assert_eq!(capacity(1 << 20), None, "the one that is left is four times as large");
        assert_eq!(capacity(4 << 20), Some(4));
    }

    #[tokio::test]
    async fn a_buffer_that_is_larger_than_its_frame_is_paid_for() {
        let budget = Budget::new(10 << 20);
        budget.inner.keep(Vec::with_capacity(4 << 20), 0);
        let mut permit = budget.acquire(3 << 20).await;
        permit.frame_bytes(2 << 20);
        let buffer = permit.buffer(2 << 20).expect("one is kept");
        assert_eq!((buffer.capacity(), budget.available_bytes()), (4 << 20, 6 << 20));
        permit.give_back(buffer);
        drop(permit);
        assert_eq!(budget.available_bytes(), 10 << 20);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let inner = Budget::new(100 << 20).inner;
        for _ in 0..20 {
            inner.keep(Vec::with_capacity(3 << 20), 0);
        }
        assert_eq!(inner.idle.lock().unwrap().len(), 5);
        inner.keep(Vec::with_capacity(30 << 20), 0);
        assert!(inner.idle.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_kept_is_part_of_the_budget() {
        let budget = Budget::new(10 << 20);
        (0..4).for_each(|_| budget.inner.keep(Vec::with_capacity(2 << 20), 0));
        let permit = budget.acquire(7 << 20).await;
        assert!(budget.inner.idle_buffer(7 << 20).is_none(), "none is that large");
        assert_eq!(budget.inner.idle.lock().unwrap().len(), 1, "and 3 MiB are left");
        drop(permit);
    }
}
