use crate::Compression;

/// What is wrong with the bytes of a batch.
///
/// Every variant but [`BatchError::RecordTooLarge`] blames the bytes, so the source broker, its disk or the wire:
/// fetching again may help once, after that the partition has to stop. None of them is a bug of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch that they announce.
    #[error("the batch needs {needed} bytes, only {available} are there")]
    Truncated {
        /// Bytes that the batch takes, as far as is known.
        needed: usize,
        /// Bytes that were given.
        available: usize,
    },

    /// More bytes follow where exactly one batch was expected.
    #[error("batch at offset {base_offset}: {extra_bytes} bytes follow where it should end")]
    TrailingBytes {
        /// Base offset of the batch.
        base_offset: i64,
        /// Bytes behind its end.
        extra_bytes: usize,
    },

    /// A message format that does not exist (known are 0, 1 and 2).
    #[error("entry at offset {offset}: message format (magic) {magic} is not known here")]
    UnsupportedMagic {
        /// Offset field of the entry.
        offset: i64,
        /// The magic byte.
        magic: i8,
    },

    /// A field of the header contradicts the format or another field.
    #[error("batch at offset {base_offset}: {field} is {value}, {problem}")]
    InvalidHeader {
        /// Base offset of the batch, as it stands in the header.
        base_offset: i64,
        /// Kafka's name of the field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// Why that cannot be.
        problem: &'static str,
    },

    /// A compression codec that does not exist, or not in this message format.
    #[error("compression codec {id} is not known in this message format")]
    UnknownCompression {
        /// Bits 0 to 2 of the attributes.
        id: i16,
    },

    /// The stored checksum is not the checksum of the bytes.
    #[error(
        "entry at offset {offset}: its checksum is {stored:#010x}, but the bytes hash to {computed:#010x}"
    )]
    ChecksumMismatch {
        /// Base offset of the batch, or the offset of a message of format 0 or 1.
        offset: i64,
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes that are there.
        computed: u32,
    },

    /// The entries of a fetched log do not rise.
    #[error(
        "the entry at offset {offset} follows one that ends at {previous_last_offset}: offsets must rise"
    )]
    OffsetsNotRising {
        /// Last offset of the entry before.
        previous_last_offset: i64,
        /// First offset of the entry that breaks the order.
        offset: i64,
    },

    /// A record inside a batch contradicts the format or the header.
    #[error("batch at offset {base_offset}, record {index}: {problem}")]
    InvalidRecord {
        /// Base offset of the batch.
        base_offset: i64,
        /// Position of the record within the batch, from 0.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// The payload is not what its codec writes.
    #[error("batch at offset {base_offset}: the {codec} payload cannot be read: {problem}")]
    Decompression {
        /// Base offset of the batch.
        base_offset: i64,
        /// The codec that its attributes name.
        codec: Compression,
        /// What the decompressor says.
        problem: String,
    },

    /// The payload grows beyond [`Limits::decompressed_bytes_max`](crate::Limits::decompressed_bytes_max).
    #[error("batch at offset {base_offset}: the {codec} payload is larger than {limit} bytes")]
    DecompressedTooLarge {
        /// Base offset of the batch.
        base_offset: i64,
        /// The codec that its attributes name.
        codec: Compression,
        /// The limit, in bytes.
        limit: usize,
    },

    /// One record alone is larger than a batch may be. Nobody's bytes are wrong: the limit has to be raised.
    #[error("the record at offset {offset} takes {bytes} bytes in a batch of its own, the limit is {limit}")]
    RecordTooLarge {
        /// Offset of the record.
        offset: i64,
        /// Bytes of the smallest batch that holds it.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}
