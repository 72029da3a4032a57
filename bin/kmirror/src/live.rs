//! A mirror that runs, and the file that it came from.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use kmirror::{FlowChange, MirrorHandle, Reloaded};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::exit::Failure;

/// A mirror that runs.
pub(crate) struct Live {
    config: PathBuf,
    once: bool,
    handle: MirrorHandle,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
}

impl Live {
    pub(crate) fn new(config: PathBuf, once: bool, handle: MirrorHandle) -> Live {
        Live { config, once, handle, reloads: AtomicU64::new(0), reloads_refused: AtomicU64::new(0) }
    }

    pub(crate) fn handle(&self) -> &MirrorHandle {
        &self.handle
    }

    /// Reads the file again and lets the mirror become what it says now. A file that is wrong changes nothing. Says what was done, by
    /// the names of flows alone: a file may hold secrets.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Failure> {
        let file = self.config.display();
        if self.once {
            let ignored = "a run with --once is not changed meanwhile: the request to reload is ignored";
            warn!(%file, "{ignored}");
            return Err(Failure::runtime(ignored));
        }
        match self.try_reload().await {
            Ok(reloaded) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                let names = |change| reloaded.flows_that(change).collect::<Vec<_>>().join(", ");
                info!(
                    %file,
                    started = names(FlowChange::Started),
                    stopped = names(FlowChange::Stopped),
                    filtered = names(FlowChange::Filtered),
                    restarted = names(FlowChange::Restarted),
                    unchanged = names(FlowChange::Unchanged),
                    "reloaded"
                );
                Ok(reloaded)
            }
            Err(failure) => {
                let refused = self.reloads_refused.fetch_add(1, Ordering::Relaxed) + 1;
                error!(%file, %failure, refused, "not reloaded: everything goes on as it was");
                Err(failure)
            }
        }
    }

    async fn try_reload(&self) -> Result<Reloaded, Failure> {
        let mirror = Config::load(&self.config)?.mirror(false)?;
        Ok(self.handle.reload(mirror).await?)
    }
}
