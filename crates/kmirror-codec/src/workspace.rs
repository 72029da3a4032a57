use std::fmt;

use crate::compression::{Compressor, Decompressor};
use crate::{Batch, BatchError, Limits};

/// Buffers and codec contexts that are used again from batch to batch: one per worker.
///
/// It grows to the largest batch that it has seen, so to at most
/// [`Limits::decompressed_bytes_max`] and [`Limits::written_records_bytes_max`] twice.
#[derive(Default)]
pub struct Workspace {
    pub(crate) decompressor: Decompressor,
    pub(crate) compressor: Compressor,
    /// Records that are being written, before compression.
    pub(crate) records: Vec<u8>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Workspace {
        Workspace::default()
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Workspace").finish_non_exhaustive()
    }
}

/// The records of a batch without compression: for [`Records::new`](crate::Records::new). Borrowed from the batch
/// itself where it is not compressed. Does not verify the checksum.
///
/// # Errors
/// [`BatchError::UnknownCompression`], [`BatchError::Decompression`] or [`BatchError::DecompressedTooLarge`].
pub fn decompress<'a>(
    batch: &'a Batch,
    limits: &Limits,
    workspace: &'a mut Workspace,
) -> Result<&'a [u8], BatchError> {
    workspace.decompressor.batch(batch, limits)
}
