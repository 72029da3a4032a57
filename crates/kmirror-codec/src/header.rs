use std::fmt;

use crate::BatchError;
use crate::wire::Reader;

/// Bytes of the header of a format 2 batch; the records follow.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of the base offset and the batch length, which the batch length does not count.
pub(crate) const LOG_OVERHEAD_BYTES: usize = 12;

/// First byte that the checksum covers: the attributes.
pub(crate) const CRC_FROM: usize = 21;

/// The header of a format 2 batch (`DefaultRecordBatch`), field by field.
///
/// The checksum covers everything from the attributes on; base offset, length, leader epoch and magic are outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record that the batch was written with; the cleaner keeps it when it removes records.
    pub base_offset: i64,
    /// Bytes of the batch after this field: the whole batch less 12.
    pub batch_length: i32,
    /// Leader epoch in which the batch was appended; -1 in an append.
    pub partition_leader_epoch: i32,
    /// Message format, 2.
    pub magic: i8,
    /// CRC-32C of all bytes from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Offset of the last record that the batch was written with, less the base offset.
    pub last_offset_delta: i32,
    /// What the timestamps of the records are relative to, in milliseconds since the epoch: the timestamp of the first
    /// record, or the delete horizon where [`Attributes::has_delete_horizon`].
    pub base_timestamp: i64,
    /// Largest timestamp of the records, or the append time of all of them where the type is
    /// [`TimestampType::LogAppendTime`].
    pub max_timestamp: i64,
    /// Producer id, -1 for none.
    pub producer_id: i64,
    /// Producer epoch, -1 for none.
    pub producer_epoch: i16,
    /// Sequence of the first record that the batch was written with, -1 for none.
    pub base_sequence: i32,
    /// Records that the batch holds; 0 where the cleaner kept the batch for the producer's state alone (KIP-98).
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// Checked is what everything else relies on: magic 2, a length that holds at least the header, offsets that do
    /// not overflow, a count between 0 and `last_offset_delta + 1`.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::UnsupportedMagic`] or [`BatchError::InvalidHeader`].
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let header = Self::read(bytes)
            .ok_or(BatchError::Truncated { needed: BATCH_HEADER_BYTES, available: bytes.len() })?;
        header.check()?;
        Ok(header)
    }

    /// The 61 bytes of this header. The checksum is written as it stands in [`BatchHeader::crc`].
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, self.base_offset.to_be_bytes());
        put(&mut rest, self.batch_length.to_be_bytes());
        put(&mut rest, self.partition_leader_epoch.to_be_bytes());
        put(&mut rest, self.magic.to_be_bytes());
        put(&mut rest, self.crc.to_be_bytes());
        put(&mut rest, self.attributes.0.to_be_bytes());
        put(&mut rest, self.last_offset_delta.to_be_bytes());
        put(&mut rest, self.base_timestamp.to_be_bytes());
        put(&mut rest, self.max_timestamp.to_be_bytes());
        put(&mut rest, self.producer_id.to_be_bytes());
        put(&mut rest, self.producer_epoch.to_be_bytes());
        put(&mut rest, self.base_sequence.to_be_bytes());
        put(&mut rest, self.records_count.to_be_bytes());
        debug_assert!(rest.is_empty());
        bytes
    }

    /// Last offset that the batch covers, inclusive; there need not be a record at it any more.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// First offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Bytes of the whole batch, header included.
    pub fn total_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES.saturating_add(usize::try_from(self.batch_length).unwrap_or(0))
    }

    /// Bytes of the records, as they are stored (compressed or not).
    pub fn payload_bytes(&self) -> usize {
        self.total_bytes().saturating_sub(BATCH_HEADER_BYTES)
    }

    /// Whether there is a record at each offset that the batch covers. A broker takes no other batch
    /// (`LogValidator.validateBatch`).
    pub fn is_dense(&self) -> bool {
        self.records_count > 0 && i64::from(self.records_count) == i64::from(self.last_offset_delta) + 1
    }

    fn read(bytes: &[u8]) -> Option<BatchHeader> {
        let mut reader = Reader::new(bytes);
        Some(BatchHeader {
            base_offset: reader.i64()?,
            batch_length: reader.i32()?,
            partition_leader_epoch: reader.i32()?,
            magic: reader.i8()?,
            crc: reader.u32()?,
            attributes: Attributes(reader.i16()?),
            last_offset_delta: reader.i32()?,
            base_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            base_sequence: reader.i32()?,
            records_count: reader.i32()?,
        })
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.magic != 2 {
            return Err(BatchError::UnsupportedMagic { offset: self.base_offset, magic: self.magic });
        }
        let invalid = |field, value: i64, problem| {
            Err(BatchError::InvalidHeader { base_offset: self.base_offset, field, value, problem })
        };
        if self.base_offset < 0 {
            return invalid("base offset", self.base_offset, "an offset in a log is not negative");
        }
        if self.total_bytes() < BATCH_HEADER_BYTES {
            return invalid("batch length", self.batch_length.into(), "less than the header alone");
        }
        if self.last_offset_delta < 0 {
            return invalid("last offset delta", self.last_offset_delta.into(), "not negative in any batch");
        }
        if self.base_offset.checked_add(i64::from(self.last_offset_delta) + 1).is_none() {
            return invalid("last offset delta", self.last_offset_delta.into(), "beyond the largest offset");
        }
        if self.records_count < 0 {
            return invalid("records count", self.records_count.into(), "not negative in any batch");
        }
        if i64::from(self.records_count) > i64::from(self.last_offset_delta) + 1 {
            return invalid("records count", self.records_count.into(), "more than the offsets of the batch");
        }
        Ok(())
    }
}

/// The attributes of a batch: codec, timestamp type and flags.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    /// Attributes of a plain batch of data.
    pub fn new(compression: Compression, timestamp_type: TimestampType) -> Attributes {
        Attributes(compression.id()).with_timestamp_type(timestamp_type)
    }

    /// The codec of the payload.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`] for the ids 5 to 7, which no Kafka release has used.
    pub fn compression(self) -> Result<Compression, BatchError> {
        match self.0 & Self::COMPRESSION {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            id => Err(BatchError::UnknownCompression { id }),
        }
    }

    /// Whether the records carry their own timestamps or share the append time of the batch.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch is a control batch: a transaction marker or a note of the broker, never data.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time at which the cleaner may remove tombstones and markers (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same with another codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Attributes {
        Attributes(self.0 & !Self::COMPRESSION | compression.id())
    }

    /// The same with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Self::LOG_APPEND_TIME),
        }
    }

    /// The same as or not as part of a transaction.
    #[must_use]
    pub fn with_transactional(self, transactional: bool) -> Attributes {
        self.with(Self::TRANSACTIONAL, transactional)
    }

    /// The same as or not as a control batch.
    #[must_use]
    pub fn with_control(self, control: bool) -> Attributes {
        self.with(Self::CONTROL, control)
    }

    /// The same with or without the delete horizon flag.
    #[must_use]
    pub fn with_delete_horizon(self, delete_horizon: bool) -> Attributes {
        self.with(Self::DELETE_HORIZON, delete_horizon)
    }

    fn with(self, flag: i16, set: bool) -> Attributes {
        Attributes(if set { self.0 | flag } else { self.0 & !flag })
    }

    const COMPRESSION: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;
}

impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Attributes({:#b})", self.0)
    }
}

/// Codec of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// The records as they are.
    None,
    /// RFC 1952, one or more members.
    Gzip,
    /// Snappy blocks in the framing of snappy-java ("xerial"), or one raw block.
    Snappy,
    /// An LZ4 frame.
    Lz4,
    /// Zstandard frames (KIP-110, Kafka 2.1).
    Zstd,
}

impl Compression {
    /// Every codec, in the order of its id.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    fn id(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where the timestamps that a consumer sees come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Each record has the timestamp that its producer gave it.
    CreateTime,
    /// All records of a batch have the time at which the broker appended it; the producer's are still stored.
    LogAppendTime,
}

fn put<const N: usize>(rest: &mut &mut [u8], value: [u8; N]) {
    if let Some((head, tail)) = std::mem::take(rest).split_first_chunk_mut::<N>() {
        *head = value;
        *rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: 0x0102_0304_0506_0708,
            batch_length: 1000,
            partition_leader_epoch: 7,
            magic: 2,
            crc: 0xdead_beef,
            attributes: Attributes(0b101_0100),
            last_offset_delta: 41,
            base_timestamp: -1,
            max_timestamp: 1_700_000_000_000,
            producer_id: 4,
            producer_epoch: 5,
            base_sequence: 6,
            records_count: 40,
        }
    }

    #[test]
    fn what_is_encoded_is_parsed() {
        let bytes = header().encode();
        assert_eq!(BatchHeader::parse(&bytes), Ok(header()));
        assert_eq!(bytes[16], 2);
        assert_eq!(&bytes[17..21], &[0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(&bytes[57..], &[0, 0, 0, 40]);
    }

    #[test]
    fn sizes_and_offsets() {
        let header = header();
        assert_eq!(header.total_bytes(), 1012);
        assert_eq!(header.payload_bytes(), 951);
        assert_eq!(header.next_offset(), header.base_offset + 42);
        assert!(!header.is_dense());
        assert!(BatchHeader { records_count: 42, ..header }.is_dense());
    }

    #[test]
    fn every_contradiction_is_refused() {
        let refused = |header: BatchHeader| BatchHeader::parse(&header.encode()).is_err();
        assert!(!refused(header()));
        assert!(!refused(BatchHeader { records_count: 0, batch_length: 49, ..header() }));
        assert!(!refused(BatchHeader { base_offset: i64::MAX - 42, ..header() }));
        assert!(refused(BatchHeader { base_offset: i64::MAX - 41, ..header() }));
        assert!(refused(BatchHeader { base_offset: -1, ..header() }));
        assert!(refused(BatchHeader { batch_length: 48, ..header() }));
        assert!(refused(BatchHeader { batch_length: -1, ..header() }));
        assert!(refused(BatchHeader { magic: 1, ..header() }));
        assert!(refused(BatchHeader { magic: 3, ..header() }));
        assert!(refused(BatchHeader { last_offset_delta: -1, records_count: 0, ..header() }));
        assert!(refused(BatchHeader { records_count: 43, ..header() }));
        assert!(refused(BatchHeader { records_count: -1, ..header() }));
        assert!(BatchHeader::parse(&header().encode()[..60]).is_err());
    }

    #[test]
    fn attributes_say_what_their_bits_say() {
        for codec in Compression::ALL {
            let attributes = Attributes::new(codec, TimestampType::LogAppendTime).with_transactional(true);
            assert_eq!(attributes.compression(), Ok(codec));
            assert_eq!(attributes.timestamp_type(), TimestampType::LogAppendTime);
            assert!(attributes.is_transactional() && !attributes.is_control());
            assert!(!attributes.has_delete_horizon());
        }
        assert_eq!(Attributes(5).compression(), Err(BatchError::UnknownCompression { id: 5 }));
        assert!(Attributes(0x20).is_control() && Attributes(0x40).has_delete_horizon());
    }
}
