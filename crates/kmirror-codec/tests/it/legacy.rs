//! Formats 0 and 1. Kafka 4 does not write them any more, so an independent encoder builds them from the layout:
//! offset i64, size i32, crc i32, magic i8, attributes i8, [format 1: timestamp i64], key and value behind an i32.

use bytes::Bytes;
use kmirror_codec::{
    Batch, BatchError, Compression, HoleFill, LegacyBatch, Limits, RewriteRequest, Rewritten, TimestampType,
    Timestamps, Workspace, rewrite,
};
use std::io::Write;

use crate::support::{OwnedRecord, read};

/// A message of format 0 or 1 with its offset and size.
pub(crate) fn message(
    offset: i64,
    magic: u8,
    attributes: u8,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.extend(timestamp.to_be_bytes());
    }
    for field in [key, value] {
        body.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
        body.extend(field.unwrap_or_default());
    }
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend((body.len() as i32 + 4).to_be_bytes());
    bytes.extend(crc32(&body).to_be_bytes());
    bytes.extend(body);
    bytes
}

pub(crate) fn plain_message(offset: i64, magic: u8, value: &[u8]) -> Vec<u8> {
    message(offset, magic, 0, 1000, Some(b"key"), Some(value))
}

/// CRC-32 as of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

const GZIP: u8 = 1;
const SNAPPY: u8 = 2;
const LZ4: u8 = 3;
const LOG_APPEND_TIME: u8 = 8;

fn compressed(codec: u8, set: &[u8]) -> Vec<u8> {
    match codec {
        GZIP => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(set).unwrap();
            encoder.finish().unwrap()
        }
        SNAPPY => snap::raw::Encoder::new().compress_vec(set).unwrap(),
        LZ4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(set).unwrap();
            encoder.finish().unwrap()
        }
        _ => unreachable!(),
    }
}

fn convert(bytes: Vec<u8>) -> Result<Batch, BatchError> {
    LegacyBatch::parse(Bytes::from(bytes))?.convert(&Limits::default(), &mut Workspace::new())
}

/// Offset, timestamp and value of every record.
fn view(batch: &Batch) -> Vec<(i64, i64, Vec<u8>)> {
    batch.verify_crc().unwrap();
    let records = read(batch).unwrap();
    records
        .into_iter()
        .map(|record| (record.offset, record.timestamp, record.value.unwrap_or_default()))
        .collect()
}

#[test]
fn one_message_becomes_a_batch_of_one() {
    let batch = convert(message(7, 0, 0, 0, None, Some(b"zero"))).unwrap();
    assert_eq!(view(&batch), [(7, -1, b"zero".to_vec())]);
    assert_eq!((batch.header().base_offset, batch.header().max_timestamp), (7, -1));
    assert!(batch.header().is_dense());

    let batch = convert(message(8, 1, 0, 1234, Some(b"key"), None)).unwrap();
    let record =
        OwnedRecord { offset: 8, timestamp: 1234, key: Some(b"key".to_vec()), value: None, headers: vec![] };
    assert_eq!(read(&batch).unwrap(), [record]);
    assert_eq!(batch.header().max_timestamp, 1234);
}

#[test]
fn offsets_in_a_compressed_message_are_absolute_in_format_0() {
    for codec in [GZIP, SNAPPY, LZ4] {
        let set =
            [plain_message(10, 0, b"a"), plain_message(12, 0, b"b"), plain_message(15, 0, b"c")].concat();
        let mut wrapped = compressed(codec, &set);
        if codec == LZ4 {
            // Kafka's old producers hashed the frame's magic number too.
            wrapped[6] ^= 0xff;
        }
        let batch = convert(message(15, 0, codec, 0, None, Some(&wrapped))).unwrap();
        let expected =
            [(10, b"a"), (12, b"b"), (15, b"c")].map(|(offset, value)| (offset, -1, value.to_vec()));
        assert_eq!(view(&batch), expected);
        assert_eq!(batch.header().attributes.compression(), Ok(Compression::ALL[usize::from(codec)]));
        assert_eq!((batch.header().base_offset, batch.header().last_offset()), (10, 15));
    }
}

#[test]
fn offsets_in_a_compressed_message_are_relative_to_the_last_in_format_1() {
    for codec in [GZIP, SNAPPY, LZ4] {
        let inner = |offset, value| message(offset, 1, 0, 500 + offset, None, Some(value));
        let set = [inner(0, b"a"), inner(1, b"b"), inner(4, b"c")].concat();
        let wrapped = compressed(codec, &set);
        let batch = convert(message(104, 1, codec, 504, None, Some(&wrapped))).unwrap();
        let expected = [(100, 500, b"a"), (101, 501, b"b"), (104, 504, b"c")];
        assert_eq!(view(&batch), expected.map(|(offset, time, value)| (offset, time, value.to_vec())));
        assert!(!batch.header().is_dense());
    }
}

#[test]
fn a_cleaned_compressed_message_keeps_its_offsets() {
    // The first two of five were removed, and the stored relative offsets stay what they were.
    let inner = |offset| message(offset, 1, 0, 500, Some(b"key"), Some(b"value"));
    let wrapped = compressed(GZIP, &[inner(2), inner(4)].concat());
    let batch = convert(message(14, 1, GZIP, 500, None, Some(&wrapped))).unwrap();
    assert_eq!(view(&batch).iter().map(|(offset, _, _)| *offset).collect::<Vec<_>>(), [12, 14]);
    let request = RewriteRequest {
        start: 12,
        batch_bytes_max: 1 << 20,
        timestamps: Timestamps::Keep,
        holes: HoleFill::Repeats,
        limits: Limits::default(),
    };
    let pieces = rewrite(&batch, &request, &mut Workspace::new()).unwrap();
    let [Rewritten::Batch(dense)] = &pieces[..] else { panic!("{pieces:?}") };
    assert!(dense.header().is_dense() && dense.header().records_count == 3);
}

#[test]
fn the_append_time_of_a_compressed_message_counts_for_all() {
    let inner = |offset| message(offset, 1, 0, 500, Some(b"key"), Some(b"value"));
    let wrapped = compressed(GZIP, &[inner(0), inner(1)].concat());
    let batch = convert(message(1, 1, GZIP | LOG_APPEND_TIME, 9999, None, Some(&wrapped))).unwrap();
    assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.header().max_timestamp, 9999);
    assert_eq!(view(&batch)[0].1, 500, "the stored timestamp is kept");
}

#[test]
fn a_set_may_end_in_a_cut_message() {
    let mut set = [plain_message(0, 1, b"a"), plain_message(1, 1, b"b")].concat();
    set.truncate(set.len() - 1);
    let batch = convert(message(10, 1, GZIP, 0, None, Some(&compressed(GZIP, &set)))).unwrap();
    assert_eq!(view(&batch).len(), 1);
}

#[test]
fn damage_is_seen() {
    let good = plain_message(7, 1, b"value");
    for position in 12..good.len() {
        let mut damaged = good.clone();
        damaged[position] ^= 0x10;
        assert!(convert(damaged).is_err(), "{position}");
    }
    let mut inner = plain_message(0, 1, b"value");
    *inner.last_mut().unwrap() ^= 1;
    let wrapped = compressed(GZIP, &inner);
    let error = convert(message(7, 1, GZIP, 0, None, Some(&wrapped))).unwrap_err();
    assert!(matches!(error, BatchError::ChecksumMismatch { .. }), "{error}");
}

#[test]
fn what_cannot_be_is_refused() {
    let wrapped =
        |magic, codec, set: &[u8]| convert(message(7, magic, codec, 0, None, Some(&compressed(GZIP, set))));
    assert!(wrapped(1, GZIP, &[]).is_err(), "no messages");
    assert!(wrapped(1, GZIP, &plain_message(0, 0, b"other format")).is_err());
    let nested = message(0, 1, GZIP, 0, None, Some(&compressed(GZIP, &plain_message(0, 1, b"deep"))));
    assert!(wrapped(1, GZIP, &nested).is_err());
    assert!(wrapped(1, GZIP, &plain_message(8, 1, b"beyond the outer offset")).is_err());
    let falling = [plain_message(1, 1, b"a"), plain_message(1, 1, b"b")].concat();
    assert!(wrapped(1, GZIP, &falling).is_err());
    assert!(convert(message(7, 1, GZIP, 0, None, None)).is_err(), "no value");
    let zstd = convert(message(7, 1, 4, 0, None, Some(b"")));
    assert_eq!(zstd.unwrap_err(), BatchError::UnknownCompression { id: 4 });
    assert!(LegacyBatch::parse(Bytes::from([plain_message(0, 1, b"a"), vec![0]].concat())).is_err());
    assert!(LegacyBatch::parse(Bytes::from(plain_message(0, 1, b"a")[..30].to_vec())).is_err());
    assert!(LegacyBatch::parse(Bytes::from(plain_message(-1, 1, b"a"))).is_err());
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let wrapped = compressed(GZIP, &vec![0; 10_000_000]);
    let legacy = LegacyBatch::parse(Bytes::from(message(0, 1, GZIP, 0, None, Some(&wrapped)))).unwrap();
    let limits = Limits { decompressed_bytes_max: 100_000, ..Limits::default() };
    let error = legacy.convert(&limits, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, BatchError::DecompressedTooLarge { limit: 100_000, .. }), "{error}");
}
