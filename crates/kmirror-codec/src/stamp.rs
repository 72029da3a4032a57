use crate::header::CRC_FROM;
use crate::{Attributes, BATCH_HEADER_BYTES, Batch, BatchHeader, TimestampType, crc};

/// Whose append this is: the producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Producer id, -1 for an append without idempotence.
    pub producer_id: i64,
    /// Producer epoch, -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without idempotence.
    pub base_sequence: i32,
}

/// The header under which the payload of `batch` is appended to another log, payload untouched and unread.
///
/// - Base offset 0 and leader epoch -1: a broker takes no others from a client (`UnifiedLog.analyzeAndValidateRecords`).
/// - The flags for LogAppendTime, transaction, control and delete horizon are cleared: a client may not send them, or
///   they belong to the source. Without the delete horizon the base timestamp still is what deltas are relative to.
/// - The checksum is carried, not computed: constant time for any payload, and bytes that were damaged before still
///   fail the check of the target broker.
pub fn stamp(batch: &Batch, stamp: &Stamp) -> [u8; BATCH_HEADER_BYTES] {
    let mut header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: -1,
        attributes: client_attributes(batch.header().attributes),
        producer_id: stamp.producer_id,
        producer_epoch: stamp.producer_epoch,
        base_sequence: stamp.base_sequence,
        ..*batch.header()
    };
    let (old, new) = (batch.header().encode(), header.encode());
    let hashed = |bytes: &[u8; BATCH_HEADER_BYTES]| -> [u8; HASHED_HEADER_BYTES] {
        *bytes.last_chunk().unwrap_or(&[0; HASHED_HEADER_BYTES])
    };
    header.crc = crc::carry(header.crc, &hashed(&old), &hashed(&new), header.payload_bytes());
    header.encode()
}

fn client_attributes(attributes: Attributes) -> Attributes {
    attributes
        .with_timestamp_type(TimestampType::CreateTime)
        .with_transactional(false)
        .with_control(false)
        .with_delete_horizon(false)
}

const HASHED_HEADER_BYTES: usize = BATCH_HEADER_BYTES - CRC_FROM;
