//! Reading: requests, fetch sessions (KIP-227) and what comes back.

mod once;
mod response;
mod session;

use std::time::Duration;

use kafka_protocol::messages as m;

pub use response::{AbortedTransaction, EpochEndOffset, FetchResponse, FetchedPartition};
pub use session::{FetchPosition, FetchSession, FetchSettings, SessionError};

/// A fetch, made by [`FetchSession::next_request`].
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub(crate) version: i16,
    pub(crate) body: m::FetchRequest,
}

impl FetchRequest {
    /// The longest time that the broker may wait for data.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.body.max_wait_ms).unwrap_or(0))
    }

    /// The largest response that is no surprise: the limit, and framing on top. One batch larger than all limits may
    /// still come (KIP-74).
    pub fn expected_bytes(&self) -> usize {
        let bytes_max = usize::try_from(self.body.max_bytes).unwrap_or(0);
        bytes_max + bytes_max / 16 + (64 << 10)
    }
}
