//! How much a cluster takes.

use crate::ClusterBuilder;

/// What a broker's configuration bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Older batches of a partition are deleted.
    pub(crate) partition_bytes_max: Option<usize>,
    pub(crate) request_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { partition_bytes_max: None, request_bytes_max: REQUEST_BYTES_MAX }
    }
}

impl ClusterBuilder {
    /// The most bytes that a partition holds: older batches are deleted, as by retention. Default: no bound.
    pub fn partition_bytes_max(mut self, bytes: usize) -> ClusterBuilder {
        self.limits.partition_bytes_max = Some(bytes);
        self
    }

    /// The largest request that a broker takes (`socket.request.max.bytes`): it hangs up on a larger one. Default: 100 MiB.
    pub fn request_bytes_max(mut self, bytes: usize) -> ClusterBuilder {
        self.limits.request_bytes_max = bytes;
        self
    }
}

const REQUEST_BYTES_MAX: usize = 100 << 20;
