use bytes::Bytes;

use crate::compression::Compressor;
use crate::header::CRC_FROM;
use crate::wire::{put_varlong, varlong_bytes};
use crate::{
    Attributes, BATCH_HEADER_BYTES, Batch, BatchError, BatchHeader, Compression, Stamp, TimestampType,
    Workspace,
};

/// A record to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since the epoch; -1 for none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Builds one format 2 batch from records whose offsets rise.
///
/// What it is not told: leader epoch -1, no producer id, timestamp type CreateTime, and the last record's offset as the
/// last offset.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: i64,
    last_offset: i64,
    partition_leader_epoch: i32,
    attributes: Attributes,
    append_time: Option<i64>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    stamp: Stamp,
    records_count: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// A batch that begins at `base_offset`, which need not be the offset of its first record.
    pub fn new(base_offset: i64) -> BatchBuilder {
        BatchBuilder::with_buffer(base_offset, Vec::new())
    }

    /// The same, with a buffer that is used again.
    pub(crate) fn with_buffer(base_offset: i64, mut records: Vec<u8>) -> BatchBuilder {
        records.clear();
        BatchBuilder {
            base_offset,
            last_offset: base_offset,
            partition_leader_epoch: -1,
            attributes: Attributes::default(),
            append_time: None,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            stamp: Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 },
            records_count: 0,
            records,
        }
    }

    /// Sets flags. Codec and timestamp type are set by [`BatchBuilder::build`] and [`BatchBuilder::append_time`].
    pub fn attributes(&mut self, attributes: Attributes) -> &mut BatchBuilder {
        self.attributes = attributes;
        self
    }

    /// Makes it a LogAppendTime batch with this append time. The records keep their own timestamps as stored ones.
    pub fn append_time(&mut self, append_time: Option<i64>) -> &mut BatchBuilder {
        self.append_time = append_time;
        self
    }

    /// Sets what timestamps are stored relative to; otherwise the timestamp of the first record.
    pub fn base_timestamp(&mut self, base_timestamp: i64) -> &mut BatchBuilder {
        self.base_timestamp = Some(base_timestamp);
        self
    }

    /// Sets the leader epoch.
    pub fn partition_leader_epoch(&mut self, partition_leader_epoch: i32) -> &mut BatchBuilder {
        self.partition_leader_epoch = partition_leader_epoch;
        self
    }

    /// Sets the producer fields.
    pub fn producer(&mut self, stamp: Stamp) -> &mut BatchBuilder {
        self.stamp = stamp;
        self
    }

    /// Makes the batch cover offsets up to this one, inclusive, behind its last record. To be called after the last
    /// [`BatchBuilder::push`].
    pub fn last_offset(&mut self, last_offset: i64) -> &mut BatchBuilder {
        self.last_offset = self.last_offset.max(last_offset);
        self
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`BatchError::InvalidRecord`] where the offset does not follow the last one, or is too far from the base offset.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BatchError> {
        let mut body = Vec::new();
        put_nullable(&mut body, record.key);
        put_nullable(&mut body, record.value);
        put_varlong(&mut body, record.headers.len() as i64);
        for (key, value) in record.headers {
            put_nullable(&mut body, Some(key));
            put_nullable(&mut body, *value);
        }
        self.push_body(record.offset, record.timestamp, &body)
    }

    /// Appends a record whose key, value and headers are encoded already.
    pub(crate) fn push_body(&mut self, offset: i64, timestamp: i64, body: &[u8]) -> Result<(), BatchError> {
        let rises =
            if self.records_count == 0 { offset >= self.base_offset } else { offset > self.last_offset };
        let offset_delta = offset.wrapping_sub(self.base_offset);
        if !rises || i32::try_from(offset_delta).is_err() {
            return Err(self.invalid("its offset does not rise within the batch"));
        }
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        // Wraps as the addition on reading does.
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let length = 1 + varlong_bytes(timestamp_delta) + varlong_bytes(offset_delta) + body.len();
        if i32::try_from(length).is_err() {
            return Err(self.invalid("it is longer than any record can be"));
        }
        put_varlong(&mut self.records, length as i64);
        self.records.push(0); // attributes: none is defined
        put_varlong(&mut self.records, timestamp_delta);
        put_varlong(&mut self.records, offset_delta);
        self.records.extend_from_slice(body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset = offset;
        self.records_count += 1;
        Ok(())
    }

    /// Bytes of the records so far, before compression.
    pub(crate) fn records_bytes(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Whether this offset is too far from the base offset.
    pub(crate) fn offsets_are_exhausted(&self, offset: i64) -> bool {
        offset.wrapping_sub(self.base_offset) >= i64::from(i32::MAX)
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.records
    }

    /// The batch, compressed and with its checksum.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], where the builder was told what cannot be.
    pub fn build(&self, compression: Compression, workspace: &mut Workspace) -> Result<Batch, BatchError> {
        self.compress(compression, &mut workspace.compressor)
    }

    pub(crate) fn compress(
        &self,
        compression: Compression,
        compressor: &mut Compressor,
    ) -> Result<Batch, BatchError> {
        let payload = compressor.compress(compression, &self.records, self.base_offset)?;
        let batch_length = i32::try_from(payload.len().saturating_add(BATCH_HEADER_BYTES - 12))
            .map_err(|_| self.invalid("the batch is longer than any can be"))?;
        let mut header = self.header(compression, batch_length);
        header.crc = crc32c::crc32c(header.encode().get(CRC_FROM..).unwrap_or_default());
        header.crc = crc32c::crc32c_append(header.crc, payload);
        let mut bytes = Vec::with_capacity(header.total_bytes());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(payload);
        Batch::parse(Bytes::from(bytes))
    }

    fn header(&self, compression: Compression, batch_length: i32) -> BatchHeader {
        let timestamp_type = match self.append_time {
            None => TimestampType::CreateTime,
            Some(_) => TimestampType::LogAppendTime,
        };
        BatchHeader {
            base_offset: self.base_offset,
            batch_length,
            partition_leader_epoch: self.partition_leader_epoch,
            magic: 2,
            crc: 0,
            attributes: self.attributes.with_compression(compression).with_timestamp_type(timestamp_type),
            last_offset_delta: i32::try_from(self.last_offset.wrapping_sub(self.base_offset)).unwrap_or(-1),
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: self.stamp.producer_id,
            producer_epoch: self.stamp.producer_epoch,
            base_sequence: self.stamp.base_sequence,
            records_count: self.records_count,
        }
    }

    fn invalid(&self, problem: &'static str) -> BatchError {
        let index = usize::try_from(self.records_count).unwrap_or_default();
        BatchError::InvalidRecord { base_offset: self.base_offset, index, problem }
    }
}

fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(buffer, -1),
        Some(bytes) => {
            put_varlong(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
    }
}

const NO_TIMESTAMP: i64 = -1;
