//! A log that is appended to, read, and cut at either end.

use super::*;
use crate::log::batch::{Record, encode};

#[test]
fn offsets_follow_each_other_and_epochs_are_the_leaders() {
    let mut log = PartitionLog::default();
    assert_eq!(append(&mut log, 0, data(3, -1, -1)), Ok(0));
    assert_eq!(append(&mut log, 2, data(2, -1, -1)), Ok(3));
    assert_eq!((log.end(), log.high_watermark()), (5, 0));
    log.replicate(4);
    log.replicate(2);
    assert_eq!(log.high_watermark(), 4);
    let epochs: Vec<_> =
        log.batches().filter_map(|bytes| Header::parse(bytes)).map(|header| header.leader_epoch).collect();
    assert_eq!(epochs, [0, 2]);
    assert_eq!(log.epochs.end_offset_for(0, 2, 5), Some((0, 3)));
    assert!(
        log.batches()
            .all(|bytes| Header::parse(bytes).is_some_and(|header| batch::has_valid_crc(bytes, &header)))
    );
}

#[test]
fn a_repeat_is_answered_and_appends_nothing() {
    let mut log = PartitionLog::default();
    append(&mut log, 0, data(3, -1, -1)).expect("taken");
    assert_eq!(append(&mut log, 0, data(2, 9, 0)), Ok(3));
    assert_eq!(append(&mut log, 0, data(2, 9, 0)), Ok(3));
    assert_eq!(append(&mut log, 0, data(2, 9, 5)), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(log.end(), 5);
}

#[test]
fn transactions_hold_the_stable_offset_and_are_listed_when_aborted() {
    let mut log = PartitionLog::default();
    append(&mut log, 0, data(2, -1, -1)).expect("taken");
    append(&mut log, 0, transactional(2, 9, 0)).expect("taken");
    append(&mut log, 0, data(2, -1, -1)).expect("taken");
    log.replicate(6);
    assert_eq!(log.last_stable_offset(), 2);
    let marked = log.append_marker(9, 0, false, 1, ORIGIN).expect("taken");
    log.replicate(7);
    assert_eq!((marked.base_offset, log.last_stable_offset()), (6, 7));
    let aborted = Aborted { producer_id: 9, first_offset: 2, last_offset: 6 };
    assert_eq!(log.read(0, 7, 10_000, true).aborted, [aborted]);
    assert_eq!(log.read(4, 7, 10_000, true).aborted, [aborted], "its marker is still to come");
    // A marker without a transaction changes nothing but the end.
    log.append_marker(77, 0, false, 3, ORIGIN).expect("taken");
    log.replicate(8);
    assert_eq!((log.last_stable_offset(), log.read(0, 8, 10_000, true).aborted.len()), (8, 1));
    let fenced = log.append_marker(77, 0, false, 2, ORIGIN);
    assert_eq!(fenced, Err(ResponseError::TransactionCoordinatorFenced));
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset_and_may_end_in_a_cut_one() {
    let mut log = PartitionLog::default();
    (0..3).for_each(|_| assert!(append(&mut log, 0, data(10, -1, -1)).is_ok()));
    let one = log.batches().next().expect("there").len();
    let read = |offset, end, bytes, first| log.read(offset, end, bytes, first).records.len();
    assert_eq!(read(0, 30, 10_000, true), 3 * one);
    assert_eq!(read(15, 30, 10_000, true), 2 * one);
    assert_eq!(read(0, 25, 10_000, true), 2 * one, "nothing behind the high watermark");
    assert_eq!(read(0, 30, one + 7, false), one + 7, "cut");
    assert_eq!(read(0, 30, 5, true), one, "the first is whole, however large");
    assert_eq!(read(0, 30, 5, false), 5);
    assert_eq!(read(30, 30, 10_000, true), 0);
}

#[test]
fn what_is_cut_off_is_forgotten_with_its_producers() {
    let mut log = PartitionLog::default();
    append(&mut log, 0, data(2, 9, 0)).expect("taken");
    append(&mut log, 1, data(2, 9, 2)).expect("taken");
    log.replicate(4);
    log.truncate(2);
    assert_eq!((log.end(), log.high_watermark()), (2, 2));
    assert_eq!(append(&mut log, 2, data(2, 9, 2)), Ok(2), "as if it had never been");
    log.replicate(4);
    log.delete_below(3);
    assert_eq!((log.start(), log.batches().count()), (3, 1), "a batch stays while one of its offsets does");
    log.delete_below(4);
    assert_eq!((log.start(), log.batches().count(), log.end()), (4, 0, 4));
    assert_eq!(append(&mut log, 2, data(1, 9, 4)), Ok(4));
}

#[test]
fn what_was_deleted_last_comes_back_where_a_broker_is_killed() {
    let mut log = PartitionLog::default();
    append(&mut log, 0, data(2, 9, 0)).expect("taken");
    append(&mut log, 1, data(2, 9, 2)).expect("taken");
    log.replicate(4);
    let before: Vec<_> = log.batches().cloned().collect();
    log.delete_records(3);
    append(&mut log, 2, data(1, 9, 4)).expect("taken");
    log.undo_delete_records();
    assert_eq!((log.start(), log.end()), (0, 5));
    assert_eq!(log.batches().take(2).cloned().collect::<Vec<_>>(), before);
    assert_eq!(log.epochs.end_offset_for(0, 2, 5), Some((0, 2)), "leader epochs come back with it");
    log.delete_records(3);
    log.delete_below(4);
    log.undo_delete_records();
    assert_eq!(log.start(), 4, "retention has gone further since");
}

#[test]
fn the_cleaner_keeps_the_last_of_each_key_and_every_batchs_offsets() {
    let mut log = PartitionLog::default();
    for sequence in [0, 3, 6] {
        append(&mut log, 0, data(3, 9, sequence)).expect("taken");
    }
    append(&mut log, 0, data(3, -1, -1)).expect("taken");
    log.replicate(12);
    log.clean(12, 0, 86_400_000);
    let kept: Vec<_> = log
        .batches()
        .filter_map(|bytes| Header::parse(bytes))
        .map(|header| (header.base_offset, header.last_offset(), header.records_count))
        .collect();
    assert_eq!(kept, [(6, 8, 0), (9, 11, 3)], "the producer's last batch stays, empty");
    assert_eq!(append(&mut log, 0, data(1, 9, 9)), Ok(12));
    let read = log.read(0, 12, 10_000, true);
    assert_eq!(Header::parse(&read.records).map(|header| header.base_offset), Some(6));
}

#[test]
fn moments_are_looked_up_record_by_record() {
    let mut log = PartitionLog::default();
    (0..2).for_each(|_| assert!(append(&mut log, 0, data(3, -1, -1)).is_ok()));
    for (timestamp, found) in
        [(0, Some((0, NOW))), (NOW + 1, Some((1, NOW + 1))), (NOW + 2, Some((2, NOW + 2))), (NOW + 3, None)]
    {
        assert_eq!(log.offset_at(timestamp, 6), found);
    }
    assert_eq!(log.offset_at(0, 2), None, "not visible yet");
}

fn append(log: &mut PartitionLog, leader_epoch: i32, bytes: Bytes) -> Result<i64, ResponseError> {
    let origin = Origin { leader_epoch, ..ORIGIN };
    log.append(&bytes, &RULES, origin).map(|appended| appended.base_offset).map_err(|refused| refused.error)
}

fn transactional(count: i32, producer_id: i64, base_sequence: i32) -> Bytes {
    let bytes = data(count, producer_id, base_sequence);
    let header = Header::parse(&bytes).expect("a header");
    Header { attributes: 0x10, ..header }.with_payload(&bytes[HEADER_BYTES..])
}

/// Records with the keys 0, 1, 2 …
fn data(count: i32, producer_id: i64, base_sequence: i32) -> Bytes {
    let records: Vec<_> = (0..count)
        .map(|index| Record {
            offset_delta: index,
            timestamp_delta: i64::from(index),
            key: Some(Bytes::from(index.to_string())),
            value: None,
            headers: Bytes::from_static(&[0]),
        })
        .collect();
    let header = Header {
        base_offset: 0,
        length: 0,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: NOW,
        max_timestamp: NOW + i64::from(count) - 1,
        producer_id,
        producer_epoch: 0,
        base_sequence,
        records_count: count,
    };
    header.with_payload(&encode(&records))
}

const NOW: i64 = 1_700_000_000_000;
const ORIGIN: Origin = Origin { version: 9, leader_epoch: 0, now_ms: NOW };
const RULES: Rules = Rules {
    batch_bytes_max: 1_048_588,
    is_compacted: false,
    takes_append_time: false,
    timestamp_before_ms_max: i64::MAX,
    timestamp_after_ms_max: i64::MAX,
    codec: None,
};
