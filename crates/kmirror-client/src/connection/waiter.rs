//! Those who wait for answers on a link.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::FrameOwner;
use crate::error::ClientError;
use crate::wire::{Api, decode_response};

/// Who waits for an answer.
pub(super) struct Waiter {
    pub(super) correlation_id: i32,
    pub(super) api: &'static str,
    pub(super) timeout: Duration,
    pub(super) sent_at: Instant,
    /// How long the request is, without the length itself.
    pub(super) length: i32,
    /// When some of it was taken last.
    pub(super) written_at: Arc<Mutex<Option<Instant>>>,
    pub(super) expected_bytes: usize,
    pub(super) owner: Option<Box<dyn FrameOwner>>,
    pub(super) respond: Box<dyn FnOnce(Result<Bytes, ClientError>) -> Duration + Send>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Waiter {
    pub(super) fn written_at(&self) -> Option<Instant> {
        *self.written_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the broker should have taken the whole request.
    pub(super) fn taken_by(&self) -> Instant {
        let bytes = u32::try_from(self.length).unwrap_or(0);
        self.sent_at + self.timeout + Duration::from_secs(1) * bytes / WRITTEN_BYTES_PER_SECOND_MIN
    }
}

/// Decodes the answer where it arrives, so that the throttle time counts even when nobody waits any more.
pub(super) fn responder<A: Api>(
    address: Arc<str>,
    version: i16,
    answer: oneshot::Sender<Result<A::Response, ClientError>>,
) -> Box<dyn FnOnce(Result<Bytes, ClientError>) -> Duration + Send> {
    Box::new(move |body| {
        let response = body.and_then(|body| {
            decode_response::<A>(body, version)
                .map_err(|problem| ClientError::invalid_response(&address, A::NAME, problem))
        });
        let throttle_time_ms = response.as_ref().map_or(0, A::throttle_time_ms);
        // Nobody waits: the answer is discarded.
        drop(answer.send(response));
        Duration::from_millis(u64::try_from(throttle_time_ms).unwrap_or(0))
    })
}

/// A link on which requests are taken more slowly is none.
const WRITTEN_BYTES_PER_SECOND_MIN: u32 = 16 << 10;
