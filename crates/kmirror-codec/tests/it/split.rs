use bytes::Bytes;
use kmirror_codec::{Batch, BatchBuilder, BatchError, Compression, Entry, Truncated, Workspace, split};

use crate::legacy::{message, plain_message};
use crate::support::{Random, dense};

/// An entry as bytes, with the first and last offset it states.
struct Known {
    bytes: Vec<u8>,
    last_offset: i64,
}

fn empty_batch(base_offset: i64, last_offset: i64) -> Batch {
    BatchBuilder::new(base_offset)
        .last_offset(last_offset)
        .build(Compression::None, &mut Workspace::new())
        .unwrap()
}

/// A log of dense, sparse, empty and legacy entries with holes between them.
fn random_log(random: &mut Random) -> Vec<Known> {
    let mut next = random.below(100) as i64;
    (0..random.below(8))
        .map(|_| {
            let first = next + random.pick(&[0, 0, 0, 1, 50]);
            let last_offset = first + random.below(4) as i64;
            next = last_offset + 1;
            let bytes = match random.below(4) {
                0 => dense(first, last_offset - first + 1, Compression::Lz4).bytes().to_vec(),
                1 => empty_batch(first, last_offset).bytes().to_vec(),
                2 => plain_message(last_offset, 0, b"old"),
                _ => plain_message(last_offset, 1, b"less old"),
            };
            Known { bytes, last_offset }
        })
        .collect()
}

#[test]
fn a_log_cut_anywhere_gives_its_whole_entries() {
    let mut random = Random(1);
    for round in 0..100 {
        let log = random_log(&mut random);
        let bytes = Bytes::from(log.iter().flat_map(|entry| entry.bytes.clone()).collect::<Vec<_>>());
        let wanted_offset = random.below(150) as i64;
        for cut in 0..=bytes.len() {
            check(&log, bytes.slice(..cut), wanted_offset, round);
        }
    }
}

fn check(log: &[Known], bytes: Bytes, wanted_offset: i64, round: u64) {
    let mut expected = Vec::new();
    let mut truncated = None;
    let mut from = 0;
    for entry in log {
        let left = bytes.len() - from;
        if left < entry.bytes.len() {
            let bytes_needed = (left >= 12).then_some(entry.bytes.len());
            truncated = (left > 0).then_some(Truncated { bytes: left, bytes_needed });
            break;
        }
        if entry.last_offset >= wanted_offset {
            expected.push(entry.bytes.clone());
        }
        from += entry.bytes.len();
    }
    let mut entries = split(bytes, wanted_offset);
    let found: Vec<Vec<u8>> = entries.by_ref().map(|entry| bytes_of(&entry.unwrap())).collect();
    assert_eq!(found, expected, "round {round}");
    assert_eq!(entries.truncated(), truncated, "round {round}");
    assert!(entries.next().is_none());
}

fn bytes_of(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Batch(batch) => batch.bytes().to_vec(),
        Entry::Legacy(legacy) => legacy.bytes().to_vec(),
    }
}

#[test]
fn a_batch_that_holds_the_wanted_offset_is_given_whole() {
    let records = [dense(0, 10, Compression::None), dense(10, 10, Compression::None)];
    let bytes = Bytes::from([&records[0].bytes()[..], &records[1].bytes()[..]].concat());
    let first = |wanted_offset| split(bytes.clone(), wanted_offset).next().unwrap().unwrap();
    assert_eq!(first(0), Entry::Batch(records[0].clone()));
    assert_eq!(first(9), Entry::Batch(records[0].clone()));
    assert_eq!(first(10), Entry::Batch(records[1].clone()));
    assert!(split(bytes.clone(), 20).next().is_none());
}

#[test]
fn offsets_that_do_not_rise_are_an_error_and_the_end() {
    let entries =
        [dense(0, 10, Compression::None), dense(9, 1, Compression::None), dense(20, 1, Compression::None)];
    let bytes = Bytes::from(entries.iter().flat_map(|batch| batch.bytes().to_vec()).collect::<Vec<_>>());
    let mut found = split(bytes.clone(), 0);
    assert!(found.next().unwrap().is_ok());
    let error = found.next().unwrap().unwrap_err();
    assert_eq!(error, BatchError::OffsetsNotRising { previous_last_offset: 9, offset: 9 });
    assert!(found.next().is_none());
    // Also among entries that are skipped.
    assert!(split(bytes, 20).any(|entry| entry.is_err()));
}

#[test]
fn formats_are_told_apart_entry_by_entry() {
    let wrapper = message(3, 1, 1, 0, None, Some(b"not looked into"));
    let bytes = [
        plain_message(0, 0, b"zero"),
        dense(1, 1, Compression::None).bytes().to_vec(),
        wrapper,
        dense(4, 1, Compression::None).bytes().to_vec(),
    ];
    let found: Vec<_> = split(Bytes::from(bytes.concat()), 0).map(Result::unwrap).collect();
    assert!(matches!(&found[0], Entry::Legacy(legacy) if legacy.magic() == 0));
    assert!(matches!(&found[1], Entry::Batch(_)));
    assert!(matches!(&found[2], Entry::Legacy(legacy) if legacy.magic() == 1 && legacy.last_offset() == 3));
    assert!(matches!(&found[3], Entry::Batch(_)));
}

#[test]
fn nonsense_is_an_error() {
    let mut unknown = dense(0, 1, Compression::None).bytes().to_vec();
    unknown[16] = 3;
    let mut negative = unknown.clone();
    negative[8] = 0xff;
    let mut tiny = unknown.clone();
    tiny[8..12].copy_from_slice(&13_i32.to_be_bytes());
    for bytes in [unknown, negative, tiny] {
        let mut entries = split(Bytes::from(bytes), 0);
        assert!(entries.next().unwrap().is_err());
        assert!(entries.next().is_none());
    }
}
