//! Work that takes a core's time.

use std::num::NonZeroUsize;
use std::thread;

use kmirror_client::simulated;
use tokio::task::JoinHandle;

/// Does work on a thread that may be busy with it, for the tasks that serve sockets must not wait. In a simulated world, which has one
/// thread, it is done in a task of its own.
///
/// An error says that it panicked, or that the runtime shuts down.
#[expect(clippy::disallowed_methods, reason = "the one place that leaves the thread")]
pub(crate) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if simulated::is_entered() {
        tokio::spawn(async move { work() })
    } else {
        tokio::task::spawn_blocking(work)
    }
}

/// How many pieces of work are done at the same time.
pub(crate) fn parallelism() -> usize {
    // What is done next in a simulated world must not depend on the machine.
    if simulated::is_entered() { 2 } else { thread::available_parallelism().map_or(1, NonZeroUsize::get) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_stays_on_the_thread_of_a_simulated_world() {
        let here = thread::current().id();
        assert_ne!(run(|| thread::current().id()).await.unwrap(), here);
        let _world = simulated::enter(1);
        assert_eq!(run(|| thread::current().id()).await.unwrap(), here);
    }
}
