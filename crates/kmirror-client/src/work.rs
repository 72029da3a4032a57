//! Work that blocks a thread.

use tokio::task::JoinHandle;

use crate::simulated;

/// Does work on a thread that may be busy with it: tasks that serve sockets must not wait for a disk or a slow hash. In a simulated
/// world, which has one thread, a task of its own does it.
#[expect(clippy::disallowed_methods, reason = "the one place that leaves the thread")]
pub(crate) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if simulated::is_entered() {
        tokio::spawn(async move { work() })
    } else {
        tokio::task::spawn_blocking(work)
    }
}
