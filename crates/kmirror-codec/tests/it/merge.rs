use bytes::Bytes;
use kmirror_codec::{
    Attributes, Batch, BatchBuilder, BatchHeader, Compression, Merge, Stamp, Workspace, stamp,
};

use crate::support::{OwnedRecord, Random, batch, dense, read};

#[test]
fn the_records_are_the_same_to_every_reader() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let base_offset = random.pick(&[0, 7, 1 << 40]);
        let (mut merge, mut expected, mut next) = (Merge::new(1 << 20), Vec::new(), base_offset);
        for _ in 0..1 + random.below(40) {
            // Single records for the most part. More than 63 and 8,191 of them make deltas of two and three bytes.
            let count = match seed % 10 {
                0 if next == base_offset => 9_000,
                _ => random.pick(&[1, 1, 1, 1, 2, 5, 200]),
            };
            let value_bytes_max = if count < 10 { 300 } else { 3 };
            let records: Vec<_> = (next..next + count)
                .map(|offset| OwnedRecord::random(&mut random, offset, value_bytes_max))
                .collect();
            if !merge.push(&batch(next, &records, Compression::None)) {
                break; // full
            }
            next += count;
            expected.extend(records);
        }
        let merged = merge.finish().unwrap();
        merged.verify_crc().unwrap();
        assert_eq!(read(&merged).unwrap(), expected, "seed {seed}");
        let header = merged.header();
        assert_eq!((header.base_offset, header.next_offset()), (base_offset, next));
        assert!(header.is_dense() && merged.bytes().len() <= 1 << 20);
        assert_eq!(header.attributes, Attributes::default());
        let latest = expected.iter().map(|record| record.timestamp).max().unwrap().max(-1);
        assert_eq!(header.max_timestamp, latest, "seed {seed}");
    }
}

/// Transactions and delete horizons are the source's own; a merged batch has no more of them than a stamped one.
#[test]
fn flags_of_the_source_are_left_behind() {
    let flagged = Attributes::default().with_transactional(true).with_delete_horizon(true);
    let producer = Stamp { producer_id: 5, producer_epoch: 6, base_sequence: 7 };
    let mut merge = Merge::new(1 << 20);
    for offset in 0..3 {
        let mut builder = BatchBuilder::new(offset);
        builder.attributes(flagged).producer(producer).partition_leader_epoch(8).base_timestamp(-40);
        OwnedRecord::plain(offset, "key", "value").push_to(&mut builder).unwrap();
        assert!(merge.push(&builder.build(Compression::None, &mut Workspace::new()).unwrap()));
    }
    let merged = merge.finish().unwrap();
    assert_eq!(
        read(&merged).unwrap(),
        (0..3).map(|offset| OwnedRecord::plain(offset, "key", "value")).collect::<Vec<_>>()
    );
    let header = merged.header();
    assert_eq!(header.attributes, Attributes::default());
    assert_eq!((header.producer_id, header.base_sequence, header.partition_leader_epoch), (-1, -1, -1));
    let stamped = [&stamp(&merged, &producer)[..], &merged.payload()].concat();
    Batch::parse(stamped.into()).unwrap().verify_crc().unwrap();
}

#[test]
fn what_is_not_taken_changes_nothing() {
    let sparse = batch(2, &[OwnedRecord::plain(3, "key", "value")], Compression::None);
    let append_time = {
        let mut builder = BatchBuilder::new(2);
        OwnedRecord::plain(2, "key", "value").push_to(&mut builder).unwrap();
        builder.append_time(Some(9));
        builder.build(Compression::None, &mut Workspace::new()).unwrap()
    };
    let whole = dense(2, 3, Compression::None);
    let mut damaged = whole.bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = [
        ("compressed", dense(2, 3, Compression::Lz4)),
        ("a hole before it", dense(3, 1, Compression::None)),
        ("behind", dense(1, 1, Compression::None)),
        ("a hole in it", sparse),
        ("append time", append_time),
        ("control", with_header(&whole, |header| header.attributes = header.attributes.with_control(true))),
        ("no records", with_header(&whole, |header| header.records_count = 0)),
        ("unknown codec", with_header(&whole, |header| header.attributes = Attributes(7))),
        ("damaged", Batch::parse(damaged.into()).unwrap()),
        (
            "more records than it says",
            with_header(&whole, |header| (header.records_count, header.last_offset_delta) = (2, 1)),
        ),
        (
            "fewer records than it says",
            with_header(&whole, |header| (header.records_count, header.last_offset_delta) = (4, 3)),
        ),
        ("too large", batch(2, &[OwnedRecord::plain(2, "key", &"x".repeat(1_000))], Compression::None)),
    ];
    for (what, batch) in refused {
        let mut merge = Merge::new(400);
        assert!(merge.push(&dense(0, 2, Compression::None)));
        assert!(!merge.push(&batch), "{what}");
        assert!(merge.push(&whole), "{what}: the next one is still taken");
        let expected =
            [dense(0, 2, Compression::None), whole.clone()].map(|batch| read(&batch).unwrap()).concat();
        assert_eq!(read(&merge.finish().unwrap()).unwrap(), expected, "{what}");
    }
    assert!(Merge::new(400).finish().is_none());
}

/// `batch` with another header, its checksum right.
fn with_header(batch: &Batch, change: impl Fn(&mut BatchHeader)) -> Batch {
    let mut header = *batch.header();
    change(&mut header);
    header.crc = crc32c::crc32c_append(crc32c::crc32c(&header.encode()[21..]), &batch.payload());
    Batch::parse(Bytes::from([&header.encode()[..], &batch.payload()].concat())).unwrap()
}
