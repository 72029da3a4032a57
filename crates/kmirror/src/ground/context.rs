//! What a flow works with, and what may change of it while it runs.

use std::sync::Arc;

use kmirror_client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::Flow;
use super::loops::Route;
use super::selection::Selected;
use super::shared::FlowShared;

/// What a flow's supervisor works with.
#[derive(Clone)]
pub(crate) struct FlowContext {
    pub(crate) flow: Flow,
    /// What may change while the flow runs.
    pub(crate) terms: watch::Receiver<Terms>,
    pub(crate) source: Client,
    pub(crate) target: Client,
    /// Whether the flow ends at the offsets where the source ended when it started.
    pub(crate) once: bool,
    pub(crate) shared: Arc<FlowShared>,
    pub(crate) stop: CancellationToken,
}

/// What a flow copies, and what the others of the mirror copy. A reload may change it while the flow runs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) selected: Selected,
    /// Which of the selections this is that the flow was given.
    pub(crate) selection: u64,
    /// All flows of the mirror, and which of them this is.
    pub(crate) routes: Arc<[Route]>,
    pub(crate) route: usize,
    /// The client of the source of each of them.
    pub(crate) sources: Arc<[Client]>,
}
