use crate::batch_builder::BatchBuilder;
use crate::compression::Compressor;
use crate::plan::append_time_is_written;
use crate::{
    BATCH_HEADER_BYTES, Batch, BatchError, Compression, HoleFill, Limits, RecordRef, Records, TimestampType,
    Timestamps, Workspace,
};

/// How a batch is to be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewriteRequest {
    /// First offset to be covered: the position. Records below it are dropped.
    pub start: i64,
    /// Largest batch to be written, header included.
    pub batch_bytes_max: usize,
    /// What becomes of append times.
    pub timestamps: Timestamps,
    /// How holes are filled.
    pub holes: HoleFill,
    /// What it may cost.
    pub limits: Limits,
}

/// A piece of what a batch was rewritten to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// Append this: a dense batch whose base offset is its true offset.
    Batch(Batch),
    /// Fill these offsets with markers.
    Gap {
        /// First offset of the gap.
        first: i64,
        /// First offset after it.
        end: i64,
    },
    /// Always the last piece: [`Limits::rewritten_bytes_max`] is reached. Append what there is, then call
    /// [`rewrite`] again with this start.
    Rest {
        /// First offset that is not covered yet.
        start: i64,
    },
}

/// Decodes a batch and encodes it again as dense batches that a broker takes from a client.
///
/// The pieces are contiguous and cover exactly the offsets from [`RewriteRequest::start`] to the last surviving record,
/// in order. Offsets behind that record, where the cleaner removed the last ones of the batch, are left to the caller:
/// they belong to the next surviving record. Without any record at or after the start, and for a control batch, there
/// are no pieces.
///
/// With [`HoleFill::Repeats`] the offsets of a hole hold the next surviving record: same key, value, headers and
/// timestamp. The record itself still is the last of its key, at its true offset. Where markers are cheaper the hole is
/// a [`Rewritten::Gap`] even then.
///
/// - A written batch has the codec of the source, but zstd where it holds repeats and the source's is none, gzip or
///   snappy, and where a record alone is too large in its own codec.
/// - Producer fields are -1 and flags cleared. The timestamp type is kept with [`Timestamps::Keep`] (and the append
///   time with it), cleared where the append time is written into the records. Timestamps relative to a delete horizon
///   come out as themselves.
/// - A batch that only needs the hole before it filled follows its filling as it was, untouched.
///
/// The checksum of the batch is verified first, so that damaged bytes are never signed anew.
///
/// # Errors
/// Everything that [`BatchError`] has to say about a batch and its records; [`BatchError::RecordTooLarge`] where a
/// single record does not fit into [`RewriteRequest::batch_bytes_max`]. Nothing is written then.
pub fn rewrite(
    batch: &Batch,
    request: &RewriteRequest,
    workspace: &mut Workspace,
) -> Result<Vec<Rewritten>, BatchError> {
    batch.verify_crc()?;
    if batch.header().attributes.is_control() {
        return Ok(Vec::new());
    }
    let codec = batch.header().attributes.compression()?;
    let payload = workspace.decompressor.batch(batch, &request.limits)?;
    let cursor = Cursor::new(Records::new(batch.header(), payload), request.start)?;
    let mut rewriter = Rewriter {
        batch,
        request,
        codec,
        compressor: &mut workspace.compressor,
        buffer: &mut workspace.records,
        compressible_bytes_max: first_guess(batch, codec, payload.len(), request.batch_bytes_max),
        pieces: Vec::new(),
        records_bytes: 0,
    };
    rewriter.run(cursor)?;
    Ok(rewriter.pieces)
}

struct Rewriter<'a> {
    batch: &'a Batch,
    request: &'a RewriteRequest,
    codec: Compression,
    compressor: &'a mut Compressor,
    buffer: &'a mut Vec<u8>,
    /// Bytes of records, before compression, that are expected to fit into one batch; learned from batch to batch.
    compressible_bytes_max: usize,
    pieces: Vec<Rewritten>,
    /// Bytes of records, before compression, in the pieces.
    records_bytes: usize,
}

impl Rewriter<'_> {
    fn run(&mut self, mut cursor: Cursor<'_>) -> Result<(), BatchError> {
        while let Some(record) = cursor.record {
            if self.ends_before_original() == Some(cursor.next) {
                self.pieces.push(Rewritten::Batch(self.batch.clone()));
                break;
            }
            if self.records_bytes >= self.request.limits.rewritten_bytes_max {
                self.pieces.push(Rewritten::Rest { start: cursor.next });
                break;
            }
            if self.takes_markers(&cursor, &record) {
                self.pieces.push(Rewritten::Gap { first: cursor.next, end: record.offset });
                cursor.next = record.offset;
            } else {
                let batch = self.write_batch(&mut cursor)?;
                self.pieces.push(Rewritten::Batch(batch));
            }
        }
        Ok(())
    }

    /// The next batch, as large as the limits allow; `cursor` moves behind it.
    fn write_batch(&mut self, cursor: &mut Cursor<'_>) -> Result<Batch, BatchError> {
        loop {
            let mut ahead = cursor.clone();
            let mut builder = BatchBuilder::with_buffer(cursor.next, std::mem::take(self.buffer));
            let codec = self.fill(&mut builder, &mut ahead)?;
            let mut batch = builder.compress(codec, self.compressor)?;
            if builder.records_count() == 1 {
                batch = self.squeeze(&builder, batch, codec)?;
            }
            let (records_bytes, bytes) = (builder.records_bytes(), batch.bytes().len());
            *self.buffer = builder.into_buffer();
            if bytes <= self.request.batch_bytes_max {
                *cursor = ahead;
                self.records_bytes = self.records_bytes.saturating_add(records_bytes);
                return Ok(batch);
            }
            self.compressible_bytes_max = scale(records_bytes, self.request.batch_bytes_max, bytes);
        }
    }

    /// Writes repeats and records into `builder` until it is full or the next hole takes markers; the codec for it.
    fn fill(&self, builder: &mut BatchBuilder, cursor: &mut Cursor<'_>) -> Result<Compression, BatchError> {
        let header = self.batch.header();
        let append_time_is_written = append_time_is_written(header, self.request.timestamps);
        let keeps_append_time =
            !append_time_is_written && header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        builder.append_time(keeps_append_time.then_some(header.max_timestamp));
        builder.partition_leader_epoch(header.partition_leader_epoch);

        let end = self.ends_before_original().unwrap_or(i64::MAX);
        let mut codec = self.codec;
        while let Some(record) = cursor.record {
            if self.takes_markers(cursor, &record) {
                break;
            }
            let codec_from_here = if cursor.next < record.offset { codec_with_repeats(codec) } else { codec };
            let bytes_max = self.records_bytes_max(codec_from_here);
            let timestamp = if append_time_is_written { record.timestamp } else { record.stored_timestamp };
            while cursor.next <= record.offset {
                let full = builder.records_bytes().saturating_add(record.body().len() + PREFIX_BYTES_MAX)
                    > bytes_max
                    || builder.offsets_are_exhausted(cursor.next);
                if cursor.next == end || (full && builder.records_count() > 0) {
                    return Ok(codec);
                }
                builder.push_body(cursor.next, timestamp, record.body())?;
                codec = codec_from_here;
                cursor.next += 1;
            }
            cursor.advance()?;
        }
        Ok(codec)
    }

    /// One record is as small as a batch gets. Encoders differ by a few bytes, so what fitted on the source may just
    /// not fit when it is compressed again: then zstd may do.
    fn squeeze(
        &mut self,
        builder: &BatchBuilder,
        batch: Batch,
        codec: Compression,
    ) -> Result<Batch, BatchError> {
        let limit = self.request.batch_bytes_max;
        let mut smallest = batch;
        if smallest.bytes().len() > limit && !matches!(codec, Compression::None | Compression::Zstd) {
            smallest = builder.compress(Compression::Zstd, self.compressor)?;
        }
        let bytes = smallest.bytes().len();
        if bytes > limit {
            return Err(BatchError::RecordTooLarge { offset: smallest.header().base_offset, bytes, limit });
        }
        Ok(smallest)
    }

    fn takes_markers(&self, cursor: &Cursor<'_>, next_record: &RecordRef<'_>) -> bool {
        let hole = next_record.offset.saturating_sub(cursor.next);
        hole > 0
            && match self.request.holes {
                HoleFill::Markers => true,
                HoleFill::Repeats => markers_are_cheaper(hole, next_record.body().len()),
            }
    }

    /// Where the original batch takes over, if it can be appended as it is once the hole before it is filled.
    fn ends_before_original(&self) -> Option<i64> {
        let header = self.batch.header();
        let as_it_is = header.is_dense()
            && self.request.start <= header.base_offset
            && header.total_bytes() <= self.request.batch_bytes_max
            && !append_time_is_written(header, self.request.timestamps);
        as_it_is.then_some(header.base_offset)
    }

    fn records_bytes_max(&self, codec: Compression) -> usize {
        match codec {
            Compression::None => self.request.batch_bytes_max.saturating_sub(BATCH_HEADER_BYTES),
            _ => self.compressible_bytes_max,
        }
        .min(self.request.limits.written_records_bytes_max)
    }
}

/// A place in the records of the source batch, and how far the offsets are covered.
#[derive(Clone)]
struct Cursor<'a> {
    records: Records<'a>,
    /// The next surviving record at or after `next`.
    record: Option<RecordRef<'a>>,
    /// Next offset to be covered.
    next: i64,
}

impl<'a> Cursor<'a> {
    fn new(records: Records<'a>, start: i64) -> Result<Cursor<'a>, BatchError> {
        let mut cursor = Cursor { records, record: None, next: start };
        cursor.advance()?;
        while cursor.record.is_some_and(|record| record.offset < start) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<(), BatchError> {
        self.record = self.records.next().transpose()?;
        Ok(())
    }
}

/// Whether a hole costs less as markers than as repeats of the record behind it.
///
/// A marker costs the target broker 16 µs and a hole one round trip of about 2 ms. A repeat costs its bytes: compressing
/// them here and decompressing them in the broker, in its cleaner and in every reader, together about 4 ns a byte. So
/// long holes take markers from records of 4 KB on, short ones later. A record that does not fit twice into a block of
/// 64 KiB takes markers always: lz4 would not find the repeat.
fn markers_are_cheaper(hole: i64, record_bytes: usize) -> bool {
    const MARKER_NANOSECONDS: i64 = 16_000;
    const ROUND_TRIP_NANOSECONDS: i64 = 2_000_000;
    const REPEATED_BYTE_NANOSECONDS: i64 = 4;
    const REPEATED_BYTES_MAX: usize = 32 << 10;

    let repeat = REPEATED_BYTE_NANOSECONDS.saturating_mul(record_bytes as i64);
    let markers = hole.saturating_mul(MARKER_NANOSECONDS).saturating_add(ROUND_TRIP_NANOSECONDS);
    record_bytes > REPEATED_BYTES_MAX || hole.saturating_mul(repeat) > markers
}

/// Repeats are only cheap under a codec that is good at them and fast.
fn codec_with_repeats(codec: Compression) -> Compression {
    match codec {
        Compression::Lz4 | Compression::Zstd => codec,
        Compression::None | Compression::Gzip | Compression::Snappy => Compression::Zstd,
    }
}

/// A batch that is too large as it is will be so again: begin with what should fit at its ratio.
fn first_guess(batch: &Batch, codec: Compression, payload_bytes: usize, batch_bytes_max: usize) -> usize {
    let bytes = batch.bytes().len();
    if codec != Compression::None && bytes > batch_bytes_max {
        return scale(payload_bytes, batch_bytes_max, bytes);
    }
    usize::MAX
}

/// Bytes that should fit into a batch of `wanted` bytes, where `bytes` made one of `made`; less than `bytes`.
fn scale(bytes: usize, wanted: usize, made: usize) -> usize {
    let scaled = bytes as u128 * wanted as u128 * 9 / 10 / made.max(1) as u128;
    usize::try_from(scaled).unwrap_or(bytes)
}

/// The most that stands before key, value and headers of a record: length, attributes and two deltas.
const PREFIX_BYTES_MAX: usize = 5 + 1 + 10 + 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_repeats_keeps_taking_them_when_part_of_the_hole_is_filled() {
        for record_bytes in [10, 1_000, 4_000, 4_001, 5_000, 20_000, 32 << 10] {
            for hole in [1, 2, 10, 500, 1_000_000, i64::MAX] {
                if !markers_are_cheaper(hole, record_bytes) {
                    assert!(!markers_are_cheaper(hole / 2, record_bytes), "{hole} {record_bytes}");
                }
            }
        }
    }

    #[test]
    fn small_records_are_repeated_and_large_ones_are_not() {
        assert!(!markers_are_cheaper(100_000_000, 3_999));
        assert!(markers_are_cheaper(100_000, 5_000));
        assert!(!markers_are_cheaper(1, 10_000));
        assert!(markers_are_cheaper(1, 900_000));
    }
}
