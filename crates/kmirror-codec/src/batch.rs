use std::fmt;

use bytes::Bytes;

use crate::header::CRC_FROM;
use crate::{BATCH_HEADER_BYTES, BatchError, BatchHeader};

/// One whole format 2 batch: its bytes and its parsed header. Cloning it copies no payload.
///
/// ```
/// # use kmirror_codec::{Batch, BatchBuilder, Compression, NewRecord, Workspace};
/// let mut builder = BatchBuilder::new(100);
/// builder.push(&NewRecord { offset: 100, timestamp: 7, key: None, value: Some(b"hello"), headers: &[] })?;
/// let batch = builder.build(Compression::None, &mut Workspace::new())?;
///
/// let again = Batch::parse(batch.bytes().clone())?;
/// again.verify_crc()?;
/// assert_eq!(again.header().last_offset(), 100);
/// # Ok::<(), kmirror_codec::BatchError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes `bytes` as exactly one batch. Checks the header, not the checksum.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], [`BatchError::Truncated`] and [`BatchError::TrailingBytes`].
    pub fn parse(bytes: Bytes) -> Result<Batch, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        let needed = header.total_bytes();
        let available = bytes.len();
        if available < needed {
            return Err(BatchError::Truncated { needed, available });
        }
        if available > needed {
            return Err(BatchError::TrailingBytes {
                base_offset: header.base_offset,
                extra_bytes: available - needed,
            });
        }
        Ok(Batch { header, bytes })
    }

    /// The parsed header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The same batch at another base offset, which the checksum does not cover. Copies it.
    ///
    /// # Errors
    /// Those of [`Batch::parse`].
    pub fn moved_to(&self, base_offset: i64) -> Result<Batch, BatchError> {
        let mut bytes = bytes::BytesMut::from(self.bytes.as_ref());
        if let Some(field) = bytes.first_chunk_mut::<8>() {
            *field = base_offset.to_be_bytes();
        }
        Batch::parse(bytes.freeze())
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records as they are stored, compressed or not: a slice that shares the batch's buffer.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(BATCH_HEADER_BYTES..)
    }

    /// Hashes the batch and compares with its checksum.
    ///
    /// # Errors
    /// [`BatchError::ChecksumMismatch`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(self.checksummed());
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::ChecksumMismatch {
            offset: self.header.base_offset,
            stored: self.header.crc,
            computed,
        })
    }

    pub(crate) fn payload_slice(&self) -> &[u8] {
        self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default()
    }

    fn checksummed(&self) -> &[u8] {
        self.bytes.get(CRC_FROM..).unwrap_or_default()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(formatter)
    }
}
