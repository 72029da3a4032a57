use bytes::Bytes;

use crate::batch_builder::BatchBuilder;
use crate::compression::repair_lz4_header_checksum;
use crate::header::LOG_OVERHEAD_BYTES;
use crate::wire::{Reader, put_varlong};
use crate::{Batch, BatchError, Compression, Limits, TimestampType, Workspace};

/// A message of format 0 or 1 as it stands in a log: one record, or a compressed set of them.
///
/// Kafka 4 writes neither any more, but serves what is in its logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyBatch {
    offset: i64,
    magic: i8,
    bytes: Bytes,
}

impl LegacyBatch {
    /// Takes `bytes` as exactly one message, with its offset and size in front. Checks the framing and the format, not
    /// the checksum.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::TrailingBytes`], [`BatchError::UnsupportedMagic`] or
    /// [`BatchError::InvalidHeader`].
    pub fn parse(bytes: Bytes) -> Result<LegacyBatch, BatchError> {
        let mut reader = Reader::new(&bytes);
        let entry = next_entry(&mut reader)?
            .ok_or(BatchError::Truncated { needed: needed(&bytes), available: bytes.len() })?;
        let (offset, magic) = (entry.offset, entry.magic);
        if !reader.is_empty() {
            return Err(BatchError::TrailingBytes { base_offset: offset, extra_bytes: reader.rest().len() });
        }
        if !matches!(magic, 0 | 1) {
            return Err(BatchError::UnsupportedMagic { offset, magic });
        }
        if offset < 0 {
            let problem = "an offset in a log is not negative";
            return Err(BatchError::InvalidHeader {
                base_offset: offset,
                field: "offset",
                value: offset,
                problem,
            });
        }
        Ok(LegacyBatch { offset, magic, bytes })
    }

    /// Offset of the last record in it.
    pub fn last_offset(&self) -> i64 {
        self.offset
    }

    /// Message format, 0 or 1.
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The whole entry, offset and size included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same records as a batch of format 2 with the same codec. It has holes where a cleaner removed records.
    ///
    /// Records of format 0 have no timestamp: theirs is -1. A LogAppendTime message becomes a LogAppendTime batch.
    ///
    /// # Errors
    /// Everything that [`BatchError`] has to say about checksums, payloads and records.
    pub fn convert(&self, limits: &Limits, workspace: &mut Workspace) -> Result<Batch, BatchError> {
        let message = self.message(self.entry()?)?;
        message.verify_checksum()?;
        let codec = message.compression()?;
        let inner = match codec {
            Compression::None => None,
            codec => Some(self.decompress(&message, codec, limits, workspace)?),
        };
        let builder = match inner {
            None => self.build(std::iter::once(Ok((self.offset, message))), &message, self.offset)?,
            Some(set) => {
                let shift = self.offset_shift(&set)?;
                let first =
                    self.inner(&set).next().transpose()?.map_or(self.offset, |(offset, _)| offset + shift);
                let records =
                    self.inner(&set).map(|record| record.map(|(offset, record)| (offset + shift, record)));
                self.build(records, &message, first)?
            }
        };
        builder.build(codec, workspace)
    }

    fn build<'a>(
        &self,
        records: impl Iterator<Item = Result<(i64, Message<'a>), BatchError>>,
        outer: &Message<'_>,
        base_offset: i64,
    ) -> Result<BatchBuilder, BatchError> {
        let mut builder = BatchBuilder::new(base_offset);
        let mut body = Vec::new();
        for record in records {
            let (offset, record) = record?;
            body.clear();
            put_nullable(&mut body, record.key);
            put_nullable(&mut body, record.value);
            put_varlong(&mut body, 0); // headers came with format 2
            builder.push_body(offset, record.timestamp, &body)?;
        }
        builder.last_offset(self.offset);
        if outer.timestamp_type() == TimestampType::LogAppendTime {
            builder.append_time(Some(outer.timestamp));
        }
        Ok(builder)
    }

    /// The set of messages that is the value of a compressed message.
    fn decompress(
        &self,
        message: &Message<'_>,
        codec: Compression,
        limits: &Limits,
        workspace: &mut Workspace,
    ) -> Result<Vec<u8>, BatchError> {
        let payload = message.value.ok_or_else(|| self.invalid("a compressed message without a value"))?;
        let decompressor = &mut workspace.decompressor;
        if codec == Compression::Lz4 && self.magic == 0 {
            let mut repaired = payload.to_vec();
            repair_lz4_header_checksum(&mut repaired);
            return decompressor.decompress(codec, &repaired, self.offset, limits).map(<[u8]>::to_vec);
        }
        decompressor.decompress(codec, payload, self.offset, limits).map(<[u8]>::to_vec)
    }

    /// The messages of a compressed set, with their offsets as stored. A set ends where a whole message no longer
    /// follows: old producers cut it, and Kafka's reader takes that as its end (`DataLogInputStream`).
    fn inner<'a>(&'a self, set: &'a [u8]) -> impl Iterator<Item = Result<(i64, Message<'a>), BatchError>> {
        let mut reader = Reader::new(set);
        std::iter::from_fn(move || next_entry(&mut reader).transpose()).map(|entry| {
            let entry = entry?;
            let message = self.message(entry)?;
            if entry.magic != self.magic {
                return Err(self.invalid("a message of another format in a compressed one"));
            }
            if message.compression()? != Compression::None {
                return Err(self.invalid("a compressed message in a compressed one"));
            }
            message.verify_checksum()?;
            Ok((entry.offset, message))
        })
    }

    /// What is added to the stored offsets of a compressed set. In format 0 they are absolute; in format 1 they are
    /// relative, and the outer offset is that of the last (KIP-31).
    fn offset_shift(&self, set: &[u8]) -> Result<i64, BatchError> {
        let mut last = None;
        for message in self.inner(set) {
            let (offset, _) = message?;
            if offset < 0 || last.is_some_and(|last| offset <= last) || offset > self.offset {
                return Err(self.invalid("the offsets within a compressed message do not rise to its own"));
            }
            last = Some(offset);
        }
        let last = last.ok_or_else(|| self.invalid("a compressed message without messages"))?;
        Ok(if self.magic == 0 { 0 } else { self.offset - last })
    }

    fn entry(&self) -> Result<RawEntry<'_>, BatchError> {
        next_entry(&mut Reader::new(&self.bytes))?.ok_or_else(|| self.invalid("it is cut off"))
    }

    fn message<'a>(&self, entry: RawEntry<'a>) -> Result<Message<'a>, BatchError> {
        Message::parse(entry).ok_or_else(|| self.invalid("its key and value do not fit its size"))
    }

    fn invalid(&self, problem: &'static str) -> BatchError {
        BatchError::InvalidRecord { base_offset: self.offset, index: 0, problem }
    }
}

/// One message as framed, not yet looked into.
#[derive(Clone, Copy)]
struct RawEntry<'a> {
    offset: i64,
    magic: i8,
    bytes: &'a [u8],
}

/// The next whole message in front of `reader`, if one is there.
fn next_entry<'a>(reader: &mut Reader<'a>) -> Result<Option<RawEntry<'a>>, BatchError> {
    let mut ahead = reader.clone();
    let (Some(offset), Some(size)) = (ahead.i64(), ahead.i32()) else { return Ok(None) };
    let Some(size) = usize::try_from(size).ok().filter(|size| *size >= LEGACY_MESSAGE_BYTES_MIN) else {
        let problem = "less than the smallest message";
        let value = size.into();
        return Err(BatchError::InvalidHeader { base_offset: offset, field: "message size", value, problem });
    };
    let Some(bytes) = ahead.bytes(size) else { return Ok(None) };
    *reader = ahead;
    let mut message = Reader::new(bytes);
    let magic = message.u32().and_then(|_| message.i8()).unwrap_or(-1);
    Ok(Some(RawEntry { offset, magic, bytes }))
}

fn needed(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(bytes);
    let size = reader.i64().and_then(|_| reader.i32()).and_then(|size| usize::try_from(size).ok());
    LOG_OVERHEAD_BYTES.saturating_add(size.unwrap_or(LEGACY_MESSAGE_BYTES_MIN))
}

/// The fields of one message.
#[derive(Clone, Copy)]
struct Message<'a> {
    offset: i64,
    crc: u32,
    checksummed: &'a [u8],
    magic: i8,
    attributes: i8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn parse(entry: RawEntry<'a>) -> Option<Message<'a>> {
        let mut reader = Reader::new(entry.bytes);
        let crc = reader.u32()?;
        let checksummed = reader.rest();
        let magic = reader.i8()?;
        let attributes = reader.i8()?;
        let timestamp = if magic == 0 { NO_TIMESTAMP } else { reader.i64()? };
        let key = read_nullable(&mut reader)?;
        let value = read_nullable(&mut reader)?;
        let message =
            Message { offset: entry.offset, crc, checksummed, magic, attributes, timestamp, key, value };
        reader.is_empty().then_some(message)
    }

    fn verify_checksum(&self) -> Result<(), BatchError> {
        let mut crc = flate2::Crc::new();
        crc.update(self.checksummed);
        if crc.sum() == self.crc {
            return Ok(());
        }
        Err(BatchError::ChecksumMismatch { offset: self.offset, stored: self.crc, computed: crc.sum() })
    }

    fn compression(&self) -> Result<Compression, BatchError> {
        match i16::from(self.attributes) & 0b111 {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            // zstd came with Kafka 2.1 and needs format 2 (KIP-110).
            id => Err(BatchError::UnknownCompression { id }),
        }
    }

    fn timestamp_type(&self) -> TimestampType {
        if self.magic > 0 && self.attributes & (1 << 3) != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }
}

/// Bytes behind an i32 length, -1 for null.
fn read_nullable<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match reader.i32()? {
        -1 => Some(None),
        length => reader.bytes(usize::try_from(length).ok()?).map(Some),
    }
}

fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varlong(buffer, bytes.map_or(-1, |bytes| bytes.len() as i64));
    buffer.extend_from_slice(bytes.unwrap_or_default());
}

/// Checksum, magic, attributes and two lengths: a message of format 0 without key and value.
pub(crate) const LEGACY_MESSAGE_BYTES_MIN: usize = 4 + 1 + 1 + 4 + 4;

const NO_TIMESTAMP: i64 = -1;
