//! Whether a leader takes a batch from a client, and how it is written (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`). The order of the checks is Kafka's: a batch that is wrong twice gets
//! the error that Kafka gives.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::Refused;
use super::batch::{self, HEADER_BYTES, Header, MAGIC_AT, OVERHEAD_BYTES, Record};
use super::compression;

/// What a topic demands of its batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) batch_bytes_max: usize,
    pub(crate) is_compacted: bool,
    pub(crate) takes_append_time: bool,
    pub(crate) timestamp_before_ms_max: i64,
    pub(crate) timestamp_after_ms_max: i64,
    /// The codec that batches are written with; `None`: as they come (`compression.type=producer`).
    pub(crate) codec: Option<i16>,
}

/// A batch that is taken, ready for its place.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    pub(crate) header: Header,
    pub(crate) payload: Bytes,
}

/// Validates what a Produce request holds for a partition.
pub(crate) fn validate(records: &Bytes, version: i16, rules: &Rules, now_ms: i64) -> Result<Valid, Refused> {
    let Valid { header, payload } = validate_unread(records, version, rules)?;
    let decoded = compression::decompress(header.codec(), &payload)
        .and_then(|payload| batch::records(payload, header.records_count))
        .ok_or_else(|| invalid("Found invalid record count or structure in the batch"))?;
    validate_records(&header, &decoded, rules, now_ms)?;
    write(header, payload, decoded, rules, now_ms)
}

/// Validates it as far as its records need not be read.
pub(crate) fn validate_unread(records: &Bytes, version: i16, rules: &Rules) -> Result<Valid, Refused> {
    let header = one_batch(records, version)?;
    if header.base_offset != 0 {
        return Err(invalid(format!(
            "The baseOffset of the record batch in the append should be 0, but it is {}",
            header.base_offset
        )));
    }
    if records.len() > rules.batch_bytes_max {
        return Err(Refused::new(
            ResponseError::MessageTooLarge,
            format!(
                "The record batch size in the append is {} bytes which exceeds the maximum configured value of {}.",
                records.len(),
                rules.batch_bytes_max
            ),
        ));
    }
    if !batch::has_valid_crc(records, &header) {
        return Err(Refused::new(
            ResponseError::CorruptMessage,
            "Record is corrupt (stored crc does not match)",
        ));
    }
    validate_header(&header, rules)?;
    Ok(Valid { header, payload: records.slice(HEADER_BYTES..) })
}

/// The request must hold one whole batch of format 2.
fn one_batch(records: &Bytes, version: i16) -> Result<Header, Refused> {
    let magic = records.get(MAGIC_AT).copied();
    let header = Header::parse(records)
        .filter(|_| magic == Some(2))
        .ok_or_else(|| invalid(format!("Produce requests with version {version} are only allowed to contain record batches with magic version 2")))?;
    let whole = usize::try_from(header.length).ok().map(|length| length + OVERHEAD_BYTES);
    match whole {
        Some(whole) if whole >= HEADER_BYTES && whole == records.len() => {}
        Some(whole) if whole >= HEADER_BYTES && whole < records.len() => {
            return Err(invalid(format!(
                "Produce requests with version {version} are only allowed to contain exactly one record batch per partition"
            )));
        }
        _ => return Err(Refused::new(ResponseError::CorruptMessage, "The record batch is cut")),
    }
    if header.codec() == 4 && version < 7 {
        return Err(Refused::new(
            ResponseError::UnsupportedCompressionType,
            "Produce requests with version below 7 are not allowed to use ZStandard compression",
        ));
    }
    Ok(header)
}

fn validate_header(header: &Header, rules: &Rules) -> Result<(), Refused> {
    if header.last_offset_delta < 0 {
        return Err(invalid("Batch has an invalid offset range"));
    }
    if header.records_count <= 0 {
        return Err(invalid("Invalid reported count for record batch"));
    }
    if i64::from(header.records_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(invalid("Inconsistent batch offset range"));
    }
    if header.is_control() {
        return Err(invalid("Clients are not allowed to write control records"));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        return Err(invalid("Invalid sequence number in record batch with producerId"));
    }
    if header.has_append_time() && rules.takes_append_time {
        return Err(Refused::new(
            ResponseError::InvalidTimestamp,
            "Invalid timestamp type in batch: Producer should not set timestamp type to LogAppendTime.",
        ));
    }
    if header.codec() > 4 {
        return Err(Refused::new(ResponseError::UnsupportedCompressionType, "Unknown compression type"));
    }
    Ok(())
}

fn validate_records(header: &Header, records: &[Record], rules: &Rules, now_ms: i64) -> Result<(), Refused> {
    let mut refused = Refused::new(ResponseError::InvalidRecord, "One or more records have been rejected");
    for (index, record) in (0_i32..).zip(records) {
        if rules.is_compacted && record.key.is_none() {
            let text = "Compacted topic cannot accept message without key in topic partition";
            refused.records.push((index, text.to_owned()));
        }
        if !rules.takes_append_time && !is_timely(timestamp(header, record), rules, now_ms) {
            refused.error = ResponseError::InvalidTimestamp;
            refused.records.push((index, "Timestamp of message is out of range".to_owned()));
        }
    }
    if refused.records.is_empty() { Ok(()) } else { Err(refused) }
}

fn timestamp(header: &Header, record: &Record) -> i64 {
    header.base_timestamp.saturating_add(record.timestamp_delta)
}

fn is_timely(timestamp: i64, rules: &Rules, now_ms: i64) -> bool {
    timestamp == NO_TIMESTAMP
        || now_ms.saturating_sub(timestamp) <= rules.timestamp_before_ms_max
            && timestamp.saturating_sub(now_ms) <= rules.timestamp_after_ms_max
}

/// As it is written: untouched where nothing asks for more, else encoded anew, with the offsets that it should have.
fn write(
    mut header: Header,
    payload: Bytes,
    mut records: Vec<Record>,
    rules: &Rules,
    now_ms: i64,
) -> Result<Valid, Refused> {
    let codec = rules.codec.unwrap_or_else(|| header.codec());
    let is_dense = (0_i32..).zip(&records).all(|(index, record)| record.offset_delta == index);
    // Inner offsets of a batch without compression are never looked at (`LogValidator.assignOffsetsNonCompressed`).
    let is_kept = codec == header.codec() && (is_dense || codec == 0);
    if codec == header.codec() && !is_kept {
        // Kafka has skipped keys and values by the time it notices, and fails (`PartialDefaultRecord`).
        return Err(Refused::new(ResponseError::UnknownServerError, ""));
    }
    let newest = records.iter().map(|record| timestamp(&header, record)).max().unwrap_or(NO_TIMESTAMP);
    header.set_append_time(rules.takes_append_time);
    header.max_timestamp = if rules.takes_append_time { now_ms } else { newest };
    if is_kept {
        return Ok(Valid { header, payload });
    }
    for (index, record) in (0_i32..).zip(&mut records) {
        record.offset_delta = index;
    }
    header.attributes = header.attributes & !0x07 | codec;
    let payload = compression::compress(codec, &batch::encode(&records))
        .ok_or_else(|| Refused::new(ResponseError::UnsupportedCompressionType, "Unknown compression type"))?;
    Ok(Valid { header, payload: payload.into() })
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(ResponseError::InvalidRecord, message)
}

const NO_TIMESTAMP: i64 = -1;

#[cfg(test)]
mod tests;
