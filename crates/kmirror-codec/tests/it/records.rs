use bytes::Bytes;
use kmirror_codec::{
    Attributes, Batch, BatchBuilder, BatchError, BatchHeader, Compression, Records, TimestampType, Workspace,
};

use crate::support::{OwnedRecord, Random, batch, dense, read};

#[test]
fn what_is_built_is_read() {
    let mut random = Random(2);
    for round in 0..300 {
        let mut offset = random.below(1000) as i64;
        let base_offset = offset;
        let records: Vec<_> = (0..random.below(30))
            .map(|_| {
                offset += random.pick(&[1, 1, 1, 2, 1000]);
                OwnedRecord::random(&mut random, offset, 300)
            })
            .collect();
        let batch = batch(base_offset, &records, random.pick(&Compression::ALL));
        batch.verify_crc().unwrap();
        assert_eq!(read(&batch).unwrap(), records, "round {round}");
        assert_eq!(Batch::parse(batch.bytes().clone()).unwrap(), batch);
        let max_timestamp = records.iter().map(|record| record.timestamp).max().unwrap_or(-1).max(-1);
        assert_eq!(batch.header().max_timestamp, max_timestamp);
    }
}

#[test]
fn consumers_see_the_append_time() {
    let mut builder = BatchBuilder::new(0);
    builder.append_time(Some(99));
    OwnedRecord::plain(0, "key", "value").push_to(&mut builder).unwrap();
    let batch = builder.build(Compression::None, &mut Workspace::new()).unwrap();
    assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
    let payload = batch.payload();
    let record = Records::new(batch.header(), &payload).next().unwrap().unwrap();
    assert_eq!((record.timestamp, record.stored_timestamp), (99, 1000));
}

#[test]
fn timestamps_are_relative_to_a_delete_horizon() {
    let mut builder = BatchBuilder::new(0);
    builder.attributes(Attributes::default().with_delete_horizon(true)).base_timestamp(1_000_000);
    OwnedRecord::plain(3, "key", "value").push_to(&mut builder).unwrap();
    let batch = builder.build(Compression::None, &mut Workspace::new()).unwrap();
    assert_eq!(batch.header().base_timestamp, 1_000_000);
    assert_eq!(read(&batch).unwrap()[0].timestamp, 1003);
}

#[test]
fn a_header_that_disagrees_with_the_records_is_an_error() {
    let whole = dense(10, 5, Compression::None);
    let with = |change: fn(&mut BatchHeader)| {
        let mut header = *whole.header();
        change(&mut header);
        Batch::parse(Bytes::from([&header.encode()[..], &whole.payload()].concat())).unwrap()
    };
    let problem = |batch| match read(&batch) {
        Err(BatchError::InvalidRecord { base_offset: 10, index, problem }) => (index, problem),
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(with(|header| header.records_count = 4)), (4, "bytes follow the last record"));
    assert_eq!(problem(with(|header| header.records_count = 0)), (0, "bytes follow the last record"));
    let more = with(|header| (header.records_count, header.last_offset_delta) = (6, 5));
    assert_eq!(problem(more), (5, "the bytes end before the record does"));
    let shorter = with(|header| (header.records_count, header.last_offset_delta) = (4, 3));
    assert_eq!(problem(shorter).0, 4);
}

#[test]
fn offsets_must_rise_within_the_batch() {
    // The same record twice: equal deltas.
    let one = dense(10, 1, Compression::None);
    let mut header = *one.header();
    (header.records_count, header.last_offset_delta) = (2, 1);
    header.batch_length += one.payload().len() as i32;
    let bytes = [&header.encode()[..], &one.payload(), &one.payload()].concat();
    let error = read(&Batch::parse(Bytes::from(bytes)).unwrap()).unwrap_err();
    assert!(error.to_string().contains("does not rise"), "{error}");

    let mut builder = BatchBuilder::new(5);
    assert!(OwnedRecord::plain(4, "", "").push_to(&mut builder).is_err());
    OwnedRecord::plain(5, "", "").push_to(&mut builder).unwrap();
    assert!(OwnedRecord::plain(5, "", "").push_to(&mut builder).is_err());
    assert!(OwnedRecord::plain(6 + i64::from(i32::MAX), "", "").push_to(&mut builder).is_err());
}

#[test]
fn broken_headers_of_a_record_are_errors_of_the_iterator() {
    let record = OwnedRecord { headers: vec![(b"key".to_vec(), None)], ..OwnedRecord::plain(0, "k", "v") };
    let batch = batch(0, &[record], Compression::None);
    let payload = batch.payload();
    // Count 1, key length 3, key, null: the count is the sixth byte from the end.
    for (at, byte) in [(6, 0), (6, 4), (6, 1), (5, 1), (5, 10), (1, 3)] {
        let mut broken = payload.to_vec();
        let position = broken.len() - at;
        broken[position] = byte;
        let record = Records::new(batch.header(), &broken).next().unwrap().unwrap();
        let mut headers = record.headers();
        assert!(headers.by_ref().any(|header| header.is_err()), "{at} {byte}");
        assert!(headers.next().is_none());
    }
}
