//! What the driver of a link tells its callers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::frame::RequestFrame;
use crate::config::ClientConfig;
use crate::error::ClientError;

/// What the driver tells the callers.
pub(super) struct State {
    /// What it usually means that the broker closes before it has answered anything.
    closed_hint: &'static str,
    pub(super) poison: OnceLock<ClientError>,
    /// Why nothing more is sent, by whoever gave the link up. The broker may have closed it at the same time, without a reason.
    pub(super) given_up: OnceLock<ClientError>,
    /// No new request before (KIP-219).
    throttled_until: Mutex<Option<Instant>>,
    /// Of the quickest answer so far.
    pub(super) round_trip: Mutex<Option<Duration>>,
    /// Of requests that are queued or being written.
    pub(super) unwritten_bytes: AtomicUsize,
    /// One of them was written, or none will be any more.
    pub(super) written: Notify,
}

impl State {
    pub(super) fn new(config: &ClientConfig) -> State {
        State {
            closed_hint: closed_hint(config),
            poison: OnceLock::new(),
            given_up: OnceLock::new(),
            throttled_until: Mutex::default(),
            round_trip: Mutex::default(),
            unwritten_bytes: AtomicUsize::default(),
            written: Notify::new(),
        }
    }

    pub(super) fn closed(&self, address: &Arc<str>, during: &'static str) -> ClientError {
        let hint = if during == "ApiVersions" { self.closed_hint } else { "" };
        ClientError::Closed { address: address.clone(), during, hint }
    }

    pub(super) async fn throttle_over(&self) {
        while let Some(until) = self.throttled_until().filter(|until| *until > Instant::now()) {
            sleep_until(until).await;
        }
    }

    pub(super) fn throttled_until(&self) -> Option<Instant> {
        *self.throttled_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wrote(&self, frame: &RequestFrame) {
        let bytes = frame.length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        self.unwritten_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.written.notify_waiters();
    }

    pub(super) fn answered_after(&self, time: Duration) {
        let mut quickest = self.round_trip.lock().unwrap_or_else(PoisonError::into_inner);
        *quickest = Some(quickest.map_or(time, |quickest| quickest.min(time)));
    }

    pub(super) fn throttle(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut throttled_until = self.throttled_until.lock().unwrap_or_else(PoisonError::into_inner);
        *throttled_until = (*throttled_until).max(Some(until));
    }
}

fn closed_hint(config: &ClientConfig) -> &'static str {
    match &config.tls {
        None => ": does this listener expect TLS?",
        // A broker with TLS 1.3 looks at the client's certificate when the client believes that all is done.
        Some(tls) if tls.certificate.is_none() => {
            ": does this listener ask for a client certificate (tls.cert_file, tls.key_file)?"
        }
        Some(_) => ": does this listener trust our certificate?",
    }
}
