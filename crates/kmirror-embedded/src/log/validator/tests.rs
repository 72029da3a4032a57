//! Each way in which a batch may be wrong, and the error that Kafka gives.

use super::*;
use crate::log::batch::encode;

#[test]
fn a_good_batch_is_kept_byte_for_byte() {
    for codec in 0..5 {
        let good = Draft { codec, ..Draft::new() };
        let valid = validate(&good.bytes(), 9, &RULES, NOW).expect("good");
        assert_eq!(valid.payload, good.bytes().slice(HEADER_BYTES..), "codec {codec}");
        assert_eq!(valid.header.max_timestamp, NOW + 2);
    }
}

#[test]
fn what_is_wrong_gets_kafkas_error() {
    let draft = Draft::new;
    let corrupt = |at: usize| {
        let mut bytes = draft().bytes().to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let twice = [draft().bytes(), draft().bytes()].concat();
    let cut = draft().bytes().slice(..70);
    let table = [
        ("another magic", corrupt(MAGIC_AT), ResponseError::InvalidRecord),
        ("two batches", twice.into(), ResponseError::InvalidRecord),
        ("a cut batch", cut, ResponseError::CorruptMessage),
        ("nothing", Bytes::new(), ResponseError::InvalidRecord),
        ("a base offset", Draft { base_offset: 7, ..draft() }.bytes(), ResponseError::InvalidRecord),
        ("a wrong checksum", corrupt(80), ResponseError::CorruptMessage),
        (
            "a count that is not the offsets'",
            Draft { last_offset_delta: 5, ..draft() }.bytes(),
            ResponseError::InvalidRecord,
        ),
        (
            "no records",
            Draft { count: 0, last_offset_delta: 0, ..draft() }.bytes(),
            ResponseError::InvalidRecord,
        ),
        (
            "less records than said",
            Draft { count: 4, last_offset_delta: 3, ..draft() }.bytes(),
            ResponseError::InvalidRecord,
        ),
        ("a control batch", Draft { attributes: 0x20, ..draft() }.bytes(), ResponseError::InvalidRecord),
        (
            "no sequence",
            Draft { producer_id: 5, base_sequence: -1, ..draft() }.bytes(),
            ResponseError::InvalidRecord,
        ),
        (
            "an unknown codec",
            Draft { attributes: 5, ..draft() }.bytes(),
            ResponseError::UnsupportedCompressionType,
        ),
        (
            "too late",
            Draft { timestamp: NOW + 3_600_001, ..draft() }.bytes(),
            ResponseError::InvalidTimestamp,
        ),
    ];
    for (what, bytes, error) in table {
        assert_eq!(
            validate(&bytes, 9, &RULES, NOW).map(|_| ()).map_err(|refused| refused.error),
            Err(error),
            "{what}"
        );
    }
    let zstd = Draft { codec: 4, ..draft() }.bytes();
    assert_eq!(refused(&zstd, 6, &RULES), ResponseError::UnsupportedCompressionType, "before Produce 7");
    let small = Rules { batch_bytes_max: zstd.len() - 1, ..RULES };
    assert_eq!(refused(&zstd, 9, &small), ResponseError::MessageTooLarge);
}

#[test]
fn a_compacted_topic_names_the_records_without_a_key() {
    let compacted = Rules { is_compacted: true, ..RULES };
    let refused = validate(&Draft::new().bytes(), 9, &compacted, NOW).expect_err("the second has no key");
    assert_eq!(refused.error, ResponseError::InvalidRecord);
    assert_eq!(refused.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
}

#[test]
fn append_times_are_the_leaders_and_must_not_be_the_producers() {
    let appending = Rules { takes_append_time: true, ..RULES };
    let valid = validate(&Draft::new().bytes(), 9, &appending, NOW).expect("good");
    assert!(valid.header.has_append_time() && valid.header.max_timestamp == NOW);
    let pretending = Draft { attributes: 0x08, ..Draft::new() }.bytes();
    assert_eq!(refused(&pretending, 9, &appending), ResponseError::InvalidTimestamp);
    let valid = validate(&pretending, 9, &RULES, NOW).expect("the bit is cleared");
    assert!(!valid.header.has_append_time());
}

#[test]
fn inner_offsets_are_made_dense_where_the_codec_changes_and_not_looked_at_where_there_is_none() {
    let gappy = |codec| Draft { codec, deltas: [0, 5, 9], ..Draft::new() };
    let deltas = |codec, written| {
        let rules = Rules { codec: Some(written), ..RULES };
        let valid = validate(&gappy(codec).bytes(), 9, &rules, NOW).expect("taken");
        let payload = compression::decompress(written, &valid.payload).expect("readable");
        let records = batch::records(payload, 3).expect("readable");
        records.iter().map(|record| record.offset_delta).collect::<Vec<_>>()
    };
    assert_eq!(deltas(4, 3), [0, 1, 2]);
    assert_eq!(deltas(0, 0), [0, 5, 9]);
    assert_eq!(refused(&gappy(4).bytes(), 9, &RULES), ResponseError::UnknownServerError);
}

#[test]
fn a_topic_with_a_codec_of_its_own_writes_with_it() {
    let zstd = Rules { codec: Some(4), ..RULES };
    let valid = validate(&Draft::new().bytes(), 9, &zstd, NOW).expect("good");
    assert_eq!(valid.header.codec(), 4);
    let payload = compression::decompress(4, &valid.payload).expect("readable");
    assert_eq!(payload, Draft::new().bytes().slice(HEADER_BYTES..));
}

fn refused(bytes: &Bytes, version: i16, rules: &Rules) -> ResponseError {
    validate(bytes, version, rules, NOW).expect_err("refused").error
}

/// A batch of three records, the second of which has no key.
#[derive(Clone)]
struct Draft {
    base_offset: i64,
    attributes: i16,
    codec: i16,
    last_offset_delta: i32,
    count: i32,
    timestamp: i64,
    producer_id: i64,
    base_sequence: i32,
    deltas: [i32; 3],
}

impl Draft {
    fn new() -> Draft {
        Draft {
            base_offset: 0,
            attributes: 0,
            codec: 0,
            last_offset_delta: 2,
            count: 3,
            timestamp: NOW,
            producer_id: -1,
            base_sequence: -1,
            deltas: [0, 1, 2],
        }
    }

    fn bytes(&self) -> Bytes {
        let records: Vec<_> = (0_i64..)
            .zip(self.deltas)
            .map(|(index, offset_delta)| Record {
                offset_delta,
                timestamp_delta: index,
                key: (index != 1).then(|| Bytes::from_static(b"key")),
                value: Some(Bytes::from_static(b"value")),
                headers: Bytes::from_static(&[0]),
            })
            .collect();
        let header = Header {
            base_offset: self.base_offset,
            length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: self.attributes | self.codec,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.timestamp,
            max_timestamp: self.timestamp,
            producer_id: self.producer_id,
            producer_epoch: 0,
            base_sequence: self.base_sequence,
            records_count: self.count,
        };
        header.with_payload(&compression::compress(self.codec, &encode(&records)).expect("compresses"))
    }
}

const NOW: i64 = 1_700_000_000_000;
const RULES: Rules = Rules {
    batch_bytes_max: 1_048_588,
    is_compacted: false,
    takes_append_time: false,
    timestamp_before_ms_max: i64::MAX,
    timestamp_after_ms_max: 3_600_000,
    codec: None,
};
