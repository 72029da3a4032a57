//! Record batches of format 2, read with eyes of its own (`DefaultRecordBatch`).

use bytes::{BufMut, Bytes, BytesMut};

/// The header of a batch, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// Bytes after this field.
    pub(crate) length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records_count: i32,
}

/// A record as it lies in a decompressed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Relative to the batch's base offset.
    pub(crate) offset_delta: i32,
    /// Relative to the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    /// Count, keys and values as they are encoded.
    pub(crate) headers: Bytes,
}

/// Where fields stand.
const LENGTH_AT: usize = 8;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
/// The header's length.
pub(crate) const HEADER_BYTES: usize = 61;
/// What the length field does not count.
pub(crate) const OVERHEAD_BYTES: usize = 12;
/// Where the magic byte stands, in every format.
pub(crate) const MAGIC_AT: usize = 16;

const CODEC_MASK: i16 = 0x07;
const APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

impl Header {
    /// The header at the beginning of `bytes`, if they are long enough for one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Header {
            base_offset: i64::from_be_bytes(at(bytes, 0)),
            length: i32::from_be_bytes(at(bytes, LENGTH_AT)),
            leader_epoch: i32::from_be_bytes(at(bytes, 12)),
            magic: i8::from_be_bytes(at(bytes, MAGIC_AT)),
            crc: u32::from_be_bytes(at(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(at(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(at(bytes, 23)),
            base_timestamp: i64::from_be_bytes(at(bytes, 27)),
            max_timestamp: i64::from_be_bytes(at(bytes, 35)),
            producer_id: i64::from_be_bytes(at(bytes, 43)),
            producer_epoch: i16::from_be_bytes(at(bytes, 51)),
            base_sequence: i32::from_be_bytes(at(bytes, 53)),
            records_count: i32::from_be_bytes(at(bytes, 57)),
        })
    }

    /// A whole batch with this header and payload: length and checksum are computed.
    pub(crate) fn with_payload(mut self, payload: &[u8]) -> Bytes {
        self.length = i32::try_from(HEADER_BYTES - OVERHEAD_BYTES + payload.len()).unwrap_or(i32::MAX);
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        bytes.put_i64(self.base_offset);
        bytes.put_i32(self.length);
        bytes.put_i32(self.leader_epoch);
        bytes.put_i8(self.magic);
        bytes.put_u32(0);
        bytes.put_i16(self.attributes);
        bytes.put_i32(self.last_offset_delta);
        bytes.put_i64(self.base_timestamp);
        bytes.put_i64(self.max_timestamp);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(self.records_count);
        bytes.put_slice(payload);
        let crc = crc32c::crc32c(bytes.get(ATTRIBUTES_AT..).unwrap_or_default());
        if let Some(field) = bytes.get_mut(CRC_AT..ATTRIBUTES_AT) {
            field.copy_from_slice(&crc.to_be_bytes());
        }
        bytes.freeze()
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub(crate) fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    pub(crate) fn clear_codec(&mut self) {
        self.attributes &= !CODEC_MASK;
    }

    /// When its deletions may go (KIP-534): the base timestamp stands for it then.
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    pub(crate) fn set_delete_horizon_ms(&mut self, horizon: i64) {
        self.attributes |= DELETE_HORIZON_BIT;
        self.base_timestamp = horizon;
    }

    pub(crate) fn has_append_time(&self) -> bool {
        self.attributes & APPEND_TIME_BIT != 0
    }

    pub(crate) fn set_append_time(&mut self, append_time: bool) {
        self.attributes = self.attributes & !APPEND_TIME_BIT | if append_time { APPEND_TIME_BIT } else { 0 };
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }
}

/// The bytes of a field. The offset is a constant within the header.
fn at<const N: usize>(bytes: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

/// Whether the checksum over everything behind it is right.
pub(crate) fn has_valid_crc(bytes: &[u8], header: &Header) -> bool {
    crc32c::crc32c(bytes.get(ATTRIBUTES_AT..).unwrap_or_default()) == header.crc
}

/// The fields that the checksum does not cover, as the leader sets them: the payload is not touched.
pub(crate) fn placed(bytes: &Bytes, base_offset: i64, leader_epoch: i32) -> Bytes {
    let mut placed = BytesMut::from(bytes.as_ref());
    if let Some(field) = placed.get_mut(0..LENGTH_AT) {
        field.copy_from_slice(&base_offset.to_be_bytes());
    }
    if let Some(field) = placed.get_mut(12..MAGIC_AT) {
        field.copy_from_slice(&leader_epoch.to_be_bytes());
    }
    placed.freeze()
}

/// Reads `count` records of a decompressed payload. `None` where it is not what the header says.
pub(crate) fn records(mut payload: Bytes, count: i32) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(varint(&mut payload)?).ok()?;
        if length > payload.len() {
            return None;
        }
        let mut body = payload.split_to(length);
        let _attributes = take(&mut body, 1)?;
        let timestamp_delta = varint(&mut body)?;
        let offset_delta = i32::try_from(varint(&mut body)?).ok()?;
        let key = nullable(&mut body)?;
        let value = nullable(&mut body)?;
        records.push(Record { offset_delta, timestamp_delta, key, value, headers: body });
    }
    payload.is_empty().then_some(records)
}

/// Encodes records one after the other.
pub(crate) fn encode(records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::new();
    for record in records {
        let mut body = vec![0];
        put_varint(&mut body, record.timestamp_delta);
        put_varint(&mut body, i64::from(record.offset_delta));
        put_nullable(&mut body, record.key.as_ref());
        put_nullable(&mut body, record.value.as_ref());
        body.extend_from_slice(&record.headers);
        put_varint(&mut payload, body.len() as i64);
        payload.extend_from_slice(&body);
    }
    payload
}

/// A header of a record: its key, and its value or null.
pub(crate) type RecordHeader = (Bytes, Option<Bytes>);

/// Reads the headers of a record.
pub(crate) fn headers(mut encoded: Bytes) -> Option<Vec<RecordHeader>> {
    let mut headers = Vec::new();
    for _ in 0..varint(&mut encoded)? {
        headers.push((nullable(&mut encoded)??, nullable(&mut encoded)?));
    }
    encoded.is_empty().then_some(headers)
}

/// Encodes the headers of a record.
pub(crate) fn encode_headers(headers: &[RecordHeader]) -> Bytes {
    let mut encoded = Vec::new();
    put_varint(&mut encoded, headers.len() as i64);
    for (key, value) in headers {
        put_nullable(&mut encoded, Some(key));
        put_nullable(&mut encoded, value.as_ref());
    }
    encoded.into()
}

fn take(bytes: &mut Bytes, count: usize) -> Option<Bytes> {
    (bytes.len() >= count).then(|| bytes.split_to(count))
}

/// `Some(None)`: null.
fn nullable(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    match varint(bytes)? {
        -1 => Some(None),
        length => take(bytes, usize::try_from(length).ok()?).map(Some),
    }
}

/// A zigzag varint of at most ten bytes.
fn varint(bytes: &mut Bytes) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn put_nullable(bytes: &mut Vec<u8>, value: Option<&Bytes>) {
    match value {
        Some(value) => {
            put_varint(bytes, value.len() as i64);
            bytes.extend_from_slice(value);
        }
        None => put_varint(bytes, -1),
    }
}

fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut value = (value << 1 ^ value >> 63) as u64;
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_again() {
        let record = |offset_delta, key: Option<&'static str>| Record {
            offset_delta,
            timestamp_delta: i64::from(offset_delta) * -1_000,
            key: key.map(Bytes::from_static_str),
            value: Some(Bytes::from_static(b"value")),
            headers: Bytes::from_static(&[0]),
        };
        let written = vec![record(0, Some("key")), record(300, None), record(i32::MAX, Some(""))];
        let payload = Bytes::from(encode(&written));
        assert_eq!(records(payload.clone(), 3), Some(written));
        assert_eq!(records(payload.clone(), 2), None, "there is more");
        assert_eq!(records(payload.clone(), 4), None, "there is less");
        for length in 0..payload.len() {
            assert_eq!(records(payload.slice(..length), 3), None, "cut at {length}");
        }
    }

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }
}
