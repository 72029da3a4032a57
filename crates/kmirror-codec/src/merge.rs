use bytes::Bytes;

use crate::header::{CRC_FROM, LOG_OVERHEAD_BYTES};
use crate::wire::{Reader, put_varlong, varlong_bytes};
use crate::{Attributes, BATCH_HEADER_BYTES, Batch, BatchHeader, Compression, TimestampType};

/// Puts neighbouring batches without compression together into one.
///
/// A record says where it stands in its batch: its timestamp and its offset, as deltas. Only these are written anew; key,
/// value and headers are copied as they lie. So it costs little more than the copy, and the records are the same to every
/// reader.
///
/// ```
/// # use kmirror_codec::{BatchBuilder, Compression, Merge, NewRecord, Workspace};
/// # let batch = |offset| {
/// #     let mut builder = BatchBuilder::new(offset);
/// #     builder.push(&NewRecord { offset, timestamp: 7, key: None, value: Some(b"hello"), headers: &[] }).unwrap();
/// #     builder.build(Compression::None, &mut Workspace::new()).unwrap()
/// # };
/// let mut merge = Merge::new(1 << 20);
/// assert!(merge.push(&batch(10)) && merge.push(&batch(11)));
/// assert!(!merge.push(&batch(15)), "not its neighbour");
/// let merged = merge.finish().expect("not empty");
/// assert_eq!((merged.header().base_offset, merged.header().records_count), (10, 2));
/// ```
#[derive(Debug)]
pub struct Merge {
    batch_bytes_max: usize,
    /// Of what was pushed so far, but for length and checksum.
    header: Option<BatchHeader>,
    bytes: Vec<u8>,
}

impl Merge {
    /// Merges up to `batch_bytes_max`, header included.
    pub fn new(batch_bytes_max: usize) -> Merge {
        Merge { batch_bytes_max, header: None, bytes: Vec::new() }
    }

    /// Adds a batch behind those that are there. `false`: it is not taken, and nothing has changed.
    ///
    /// Taken is a neighbour without compression that holds a record at each of its offsets, has its records' own timestamps,
    /// and matches its checksum; whatever is wrong with another is for the target broker to say, so it goes as it is.
    pub fn push(&mut self, batch: &Batch) -> bool {
        let header = batch.header();
        let merged = self.header.unwrap_or(*header);
        let is_next = self.header.is_none_or(|merged| merged.next_offset() == header.base_offset);
        let fits = self.bytes.len() + header.total_bytes() <= self.batch_bytes_max;
        if !is_next || !fits || !can_be_merged(header) || batch.verify_crc().is_err() {
            return false;
        }
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEADER_BYTES, 0);
        }
        let before = self.bytes.len();
        let is_whole = append(&mut self.bytes, &merged, batch).is_some();
        let extended = is_whole.then(|| extended(&merged, header)).flatten();
        let Some(extended) = extended.filter(|_| self.bytes.len() <= self.batch_bytes_max) else {
            self.bytes.truncate(before);
            return false;
        };
        self.header = Some(extended);
        true
    }

    /// The merged batch, without leader epoch and producer. `None` where nothing was pushed.
    pub fn finish(self) -> Option<Batch> {
        self.finish_in(Bytes::from)
    }

    /// The same, in memory that somebody accounts for: `own` is given what the batch consists of.
    pub fn finish_in(mut self, own: impl FnOnce(Vec<u8>) -> Bytes) -> Option<Batch> {
        let merged = self.header?;
        let header = BatchHeader {
            batch_length: i32::try_from(self.bytes.len() - LOG_OVERHEAD_BYTES).ok()?,
            partition_leader_epoch: -1,
            attributes: Attributes::default(),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            ..merged
        };
        let hashed = crc32c::crc32c(header.encode().get(CRC_FROM..)?);
        let crc = crc32c::crc32c_append(hashed, self.bytes.get(BATCH_HEADER_BYTES..)?);
        *self.bytes.first_chunk_mut()? = BatchHeader { crc, ..header }.encode();
        Batch::parse(own(self.bytes)).ok()
    }
}

/// `has_delete_horizon` is no obstacle: what the timestamps are relative to is the base timestamp, whatever it means.
fn can_be_merged(header: &BatchHeader) -> bool {
    header.attributes.compression() == Ok(Compression::None)
        && header.attributes.timestamp_type() == TimestampType::CreateTime
        && !header.attributes.is_control()
        && header.records_count > 0
        && header.is_dense()
}

/// The header of `merged` and its neighbour `next` in one.
fn extended(merged: &BatchHeader, next: &BatchHeader) -> Option<BatchHeader> {
    let last_offset_delta = i32::try_from(next.last_offset().checked_sub(merged.base_offset)?).ok()?;
    Some(BatchHeader {
        last_offset_delta,
        max_timestamp: merged.max_timestamp.max(next.max_timestamp),
        records_count: last_offset_delta.checked_add(1)?,
        ..*merged
    })
}

/// Appends the records of `batch` as records of a batch with the header `merged`. `None` where they are not what the header
/// of `batch` says.
fn append(bytes: &mut Vec<u8>, merged: &BatchHeader, batch: &Batch) -> Option<()> {
    let header = batch.header();
    let offsets = header.base_offset.checked_sub(merged.base_offset)?;
    // Java's addition wraps as well, so every timestamp comes out as it was.
    let timestamps = header.base_timestamp.wrapping_sub(merged.base_timestamp);
    let mut records = Reader::new(batch.payload_slice());
    for index in 0..i64::from(header.records_count) {
        let length = usize::try_from(records.varint()?).ok()?;
        let mut record = Reader::new(records.bytes(length)?);
        let attributes = record.i8()?;
        let timestamp_delta = record.varlong()?.wrapping_add(timestamps);
        if i64::from(record.varint()?) != index {
            return None;
        }
        let (offset_delta, body) = (offsets + index, record.rest());
        let length = 1 + varlong_bytes(timestamp_delta) + varlong_bytes(offset_delta) + body.len();
        put_varlong(bytes, i64::from(i32::try_from(length).ok()?));
        bytes.push(attributes.to_be_bytes()[0]);
        put_varlong(bytes, timestamp_delta);
        put_varlong(bytes, offset_delta);
        bytes.extend_from_slice(body);
    }
    records.is_empty().then_some(())
}
