//! Where batches are decoded and encoded again: a bounded number of workers off the tasks that serve sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use kmirror_codec::Workspace;
use tokio::sync::Semaphore;

use crate::data::read::planner::Planner;
use crate::ground::item::Item;
use crate::ground::park::Parked;
use crate::ground::work;
use crate::logs::fetch_state::Sourced;

/// Workers with their buffers and compression contexts.
#[derive(Clone)]
pub(crate) struct RewritePool {
    workers: Arc<Semaphore>,
    /// Workspaces of idle workers: a compression context costs more to make than a small batch to compress.
    idle: Arc<Mutex<Vec<Workspace>>>,
}

/// What came of planning pieces: the planner travels with them, so that a partition stays in order.
pub(crate) struct Rewrite {
    pub(crate) planner: Planner,
    /// What is left to plan once there is room for it.
    pub(crate) rest: VecDeque<Sourced>,
    /// The items; where a piece cannot be copied, those before it and why.
    pub(crate) planned: Result<Vec<Item>, (Vec<Item>, Parked)>,
}

impl RewritePool {
    pub(crate) fn new(workers: usize) -> RewritePool {
        RewritePool { workers: Arc::new(Semaphore::new(workers.max(1))), idle: Arc::default() }
    }

    /// Plans `pieces` on a worker; the items go behind those planned already.
    pub(crate) async fn plan(
        &self,
        mut planner: Planner,
        mut pieces: VecDeque<Sourced>,
        mut items: Vec<Item>,
    ) -> Result<Rewrite, Parked> {
        let interrupted = || Parked::defect("a worker stopped while it rewrote a batch");
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| interrupted())?;
        let idle = Arc::clone(&self.idle);
        work::run(move || {
            let mut workspace = lock(&idle).pop().unwrap_or_default();
            let planned = match planner.plan_some(&mut pieces, &mut items, &mut workspace) {
                Ok(()) => Ok(items),
                Err(parked) => Err((items, parked)),
            };
            lock(&idle).push(workspace);
            drop(worker);
            Rewrite { planner, rest: pieces, planned }
        })
        .await
        .map_err(|_| interrupted())
    }
}

fn lock(idle: &Mutex<Vec<Workspace>>) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
