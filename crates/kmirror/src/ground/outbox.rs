//! Where a task puts what its owner should know.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

/// Puts a task's own events into its owner's inbox. The task does not know what else arrives there, so that it does not know its owner.
pub(crate) struct Outbox<E>(Arc<dyn Fn(E) + Send + Sync>);

impl<E: 'static> Outbox<E> {
    /// One that leads to this inbox. What is put in after the owner has ended is dropped.
    pub(crate) fn to<I: From<E> + Send + 'static>(inbox: &UnboundedSender<I>) -> Outbox<E> {
        let inbox = inbox.clone();
        Outbox(Arc::new(move |event| drop(inbox.send(I::from(event)))))
    }

    pub(crate) fn put(&self, event: E) {
        (self.0)(event);
    }
}

impl<E> Clone for Outbox<E> {
    fn clone(&self) -> Outbox<E> {
        Outbox(Arc::clone(&self.0))
    }
}

impl<E> fmt::Debug for Outbox<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Outbox")
    }
}
