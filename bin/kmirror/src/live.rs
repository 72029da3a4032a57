//! A mirror that runs, and the file that it came from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kmirror::{FlowChange, MirrorHandle, Reloaded};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::exit::Failure;
use crate::source::ConfigSource;
use crate::status::Status;

/// A mirror that runs.
pub(crate) struct Live {
    config: ConfigSource,
    once: bool,
    handle: MirrorHandle,
    /// Where it answers HTTP.
    http: Option<SocketAddr>,
    asked: mpsc::Sender<Asked>,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
}

/// Somebody asks to reload, and waits for the answer.
pub(crate) type Asked = oneshot::Sender<Result<Reloaded, Failure>>;

impl Live {
    /// Requests to reload come out of the receiver.
    pub(crate) fn new(
        config: ConfigSource,
        once: bool,
        http: Option<SocketAddr>,
        handle: MirrorHandle,
    ) -> (Arc<Live>, mpsc::Receiver<Asked>) {
        let (asked, requests) = mpsc::channel(1);
        let (reloads, reloads_refused) = (AtomicU64::new(0), AtomicU64::new(0));
        (Arc::new(Live { config, once, handle, http, asked, reloads, reloads_refused }), requests)
    }

    /// How everything is now.
    pub(crate) fn status(&self) -> Status {
        let (reloads, refused) = (&self.reloads, &self.reloads_refused);
        Status::of_process(
            &self.handle.status(),
            reloads.load(Ordering::Relaxed),
            refused.load(Ordering::Relaxed),
        )
    }

    /// Has it reloaded by whom that belongs to. One that is given up goes on all the same.
    pub(crate) async fn ask_to_reload(&self) -> Result<Reloaded, Failure> {
        let ended = || Failure::runtime("the mirror is being stopped");
        let (answer, answered) = oneshot::channel();
        self.asked.send(answer).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    pub(crate) fn handle(&self) -> &MirrorHandle {
        &self.handle
    }

    /// Reads the file again and lets the mirror become what it says now. A file that is wrong changes nothing. Says what was done, by
    /// the names of flows alone: a file may hold secrets.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Failure> {
        let file = &self.config;
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
        let config = self.config.load()?;
        if config.http()? != self.http {
            warn!(file = %self.config, "http.listen has changed, which only a restart can follow");
        }
        let mirror = config.mirror(false)?;
        Ok(self.handle.reload(mirror).await?)
    }
}
