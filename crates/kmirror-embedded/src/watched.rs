//! A value that tasks wait for. As `tokio::sync::watch`, but for the order in which they are woken: there it is a matter of
//! chance, here whoever began to wait first is the first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The value.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    /// Changes it, and wakes all who wait.
    pub(crate) fn modify(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Waits until something is so.
    pub(crate) async fn wait_for(&self, is_so: impl Fn(&T) -> bool) {
        loop {
            // It is woken by every change from here on.
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched<u64> {
    /// Whoever wants to know of the next change.
    pub(crate) fn subscribe(&self) -> Subscription<'_> {
        Subscription { seen: *self.lock(), counter: self }
    }
}

/// Sees each change of a counter.
pub(crate) struct Subscription<'a> {
    seen: u64,
    counter: &'a Watched<u64>,
}

impl Subscription<'_> {
    /// Waits until it is another one than when it was seen last.
    pub(crate) async fn changed(&mut self) {
        let seen = self.seen;
        self.counter.wait_for(|count| *count != seen).await;
        self.seen = *self.counter.lock();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_first_is_woken_first() {
        let (counter, woken) = (Arc::new(Watched::<u64>::default()), Arc::new(Mutex::new(Vec::new())));
        for number in 0..20 {
            let (counter, woken) = (Arc::clone(&counter), Arc::clone(&woken));
            tokio::spawn(async move {
                counter.subscribe().changed().await;
                woken.lock().unwrap().push(number);
            });
        }
        tokio::task::yield_now().await;
        counter.modify(|count| *count += 1);
        tokio::task::yield_now().await;
        assert_eq!(*woken.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_not_missed_between_looking_and_waiting() {
        let counter = Watched::<u64>::default();
        let mut subscription = counter.subscribe();
        counter.modify(|count| *count += 1);
        subscription.changed().await;
    }
}
