//! A batch whose records are looked at one by one, with a place to go on from.

use kmirror_codec::{Batch, BatchError, Limits, Records, TimestampType, Workspace, decompress};

/// A decoded batch. Its records lie in one buffer; what is kept of each is where its parts are.
#[derive(Debug)]
pub(crate) struct DecodedBatch {
    records: Vec<RecordParts>,
    bytes: Vec<u8>,
    next: usize,
    timestamp_type: TimestampType,
    producer_id: i64,
}

#[derive(Clone, Copy, Debug)]
struct RecordParts {
    offset: i64,
    timestamp: i64,
    key: Part,
    value: Part,
    headers: Part,
}

/// Where a part lies; `None`: null.
type Part = Option<(usize, usize)>;

/// One record of a decoded batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// All headers as they are encoded: count, keys and values in order.
    pub(crate) headers: &'a [u8],
    /// Of its batch.
    pub(crate) producer_id: i64,
}

impl DecodedBatch {
    /// Decodes the records of a batch, its checksum verified.
    pub(crate) fn decode(batch: &Batch, workspace: &mut Workspace) -> Result<DecodedBatch, BatchError> {
        batch.verify_crc()?;
        let header = batch.header();
        let bytes = decompress(batch, &Limits::default(), workspace)?.to_vec();
        let base = bytes.as_ptr() as usize;
        let part = |slice: &[u8]| (slice.as_ptr() as usize - base, slice.len());
        let mut records = Vec::new();
        for record in Records::new(header, &bytes) {
            let record = record?;
            records.push(RecordParts {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(part),
                value: record.value.map(part),
                headers: Some(part(record.header_bytes())),
            });
        }
        let timestamp_type = header.attributes.timestamp_type();
        Ok(DecodedBatch { records, bytes, next: 0, timestamp_type, producer_id: header.producer_id })
    }

    /// The record that comes next.
    pub(crate) fn peek(&self) -> Option<RecordView<'_>> {
        let record = self.records.get(self.next)?;
        let part = |part: Part| part.and_then(|(start, length)| self.bytes.get(start..start + length));
        Some(RecordView {
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: self.timestamp_type,
            key: part(record.key),
            value: part(record.value),
            headers: part(record.headers).unwrap_or_default(),
            producer_id: self.producer_id,
        })
    }

    /// Goes on to the record after.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }
}
