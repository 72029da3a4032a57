use super::*;
use crate::log::validator::Rules;
use crate::log::{Origin, PartitionLog};
use crate::state::State;
use crate::{Codec, NewBatch, NewRecord};

#[test]
fn rounds_continue_the_offsets() {
    let canned = canned();
    let log = PartitionLog::canned(Canned::Repeats(canned.clone()), 12);
    assert_eq!((log.start(), log.end(), log.high_watermark()), (0, 12, 12));
    let bases = |bytes: Bytes| bases(&bytes);
    assert_eq!(bases(log.read(0, 12, usize::MAX, true).records), [0, 2, 5, 7, 10]);
    assert_eq!(
        bases(log.read(6, 12, usize::MAX, true).records),
        [5, 7, 10],
        "from the batch that holds the offset"
    );
    assert_eq!(bases(log.read(5, 11, usize::MAX, true).records), [5, 7], "the next one ends behind");
    assert_eq!(bases(log.read(12, 12, usize::MAX, true).records), [0_i64; 0]);
}

#[test]
fn an_extent_counts_whole_rounds_and_the_rest() {
    let canned = canned();
    let round = canned.first(2);
    assert_eq!((round.records, round.batches, round.bytes), (5, 2, canned.0.bytes as u64));
    let more = canned.first(5);
    let first = canned.from(0).next().map_or(0, |(_, batch)| batch.bytes.len() as u64);
    assert_eq!((more.records, more.batches, more.bytes), (12, 5, 2 * round.bytes + first));
}

#[test]
fn answers_are_cut_as_those_of_a_file() {
    let canned = canned();
    let one = canned.from(0).next().map_or(0, |(_, batch)| batch.bytes.len());
    assert_eq!(canned.read(0, 50, one + 7, false).len(), one + 7);
    assert_eq!(canned.read(0, 50, 7, true).len(), one, "the first is whole");
    assert_eq!(canned.read(0, 50, 7, false).len(), 7);
    assert_eq!(canned.read(0, 50, 0, false).len(), 0);
}

#[test]
fn what_was_read_is_taken_and_nothing_else() {
    let mut log = target();
    for (index, bytes) in sent(0).into_iter().enumerate() {
        let at = append(&mut log, &bytes).expect("it is the one that is expected");
        assert_eq!(at, [0, 2][index]);
    }
    assert!(append(&mut log, &sent(5)[1]).is_err(), "another sequence");
    let damaged = record(0).value("other");
    let wrong = [damaged, record(1)].into_iter().fold(NewBatch::new(Codec::None), pushed).producer(7, 0, 5);
    assert!(append(&mut log, &wrong.bytes()).is_err(), "another record");
    assert_eq!(append(&mut log, &sent(5)[0]), Ok(5));
    assert_eq!(append(&mut log, &sent(5)[0]), Ok(5), "a repeat is answered and not counted");
    let Some(Canned::Compares(_, taken)) = &log.canned else { panic!("it is another kind") };
    assert_eq!((taken.records, taken.batches, taken.rewritten, taken.wrong), (7, 3, 0, 1));
    assert_eq!((log.end(), log.batches().count()), (7, 0));
}

#[test]
fn batches_that_are_cut_otherwise_are_compared_by_their_records() {
    let mut log = target();
    let merged = (0..8).map(|offset| record(offset % 5)).fold(NewBatch::new(Codec::Zstd), pushed);
    assert_eq!(append(&mut log, &merged.producer(7, 0, 0).bytes()), Ok(0));
    let swapped = [4, 3].map(record).into_iter().fold(NewBatch::new(Codec::None), pushed);
    assert!(append(&mut log, &swapped.producer(7, 0, 8).bytes()).is_err());
    let Some(Canned::Compares(_, taken)) = &log.canned else { panic!("it is another kind") };
    assert_eq!((taken.records, taken.rewritten, taken.wrong), (8, 1, 1));
}

#[test]
fn what_is_no_batch_cannot_be_canned() {
    let whole = sent(0).remove(0);
    assert!(CannedBatches::new([whole.slice(..whole.len() - 1)]).is_none());
    assert!(CannedBatches::new([]).is_none());
}

/// Two records, then three.
fn canned() -> CannedBatches {
    CannedBatches::new(sent(0)).expect("they are whole")
}

/// Its batches as a producer sends them whose next sequence this is.
fn sent(sequence: i32) -> Vec<Bytes> {
    let batch = |offsets: std::ops::Range<i64>| {
        let sequence = sequence + i32::try_from(offsets.start).expect("small");
        let batch = offsets.map(record).fold(NewBatch::new(Codec::None), pushed);
        batch.producer(7, 0, sequence).bytes()
    };
    vec![batch(0..2), batch(2..5)]
}

fn record(offset: i64) -> NewRecord {
    NewRecord::new(100 + offset).value(format!("value {offset}"))
}

fn pushed(mut batch: NewBatch, record: NewRecord) -> NewBatch {
    batch.push(record);
    batch
}

fn target() -> PartitionLog {
    PartitionLog::canned(Canned::Compares(canned(), Taken::default()), 0)
}

fn append(log: &mut PartitionLog, bytes: &Bytes) -> Result<i64, String> {
    let origin = Origin { version: 13, leader_epoch: 0, now_ms: 100 };
    let appended = log.append(bytes, &rules(), origin);
    appended.map(|appended| appended.base_offset).map_err(|refused| refused.message)
}

fn rules() -> Rules {
    State::new(String::new(), crate::Profile::Kafka4_3, std::collections::BTreeMap::new()).rules_of("")
}

fn bases(mut bytes: &[u8]) -> Vec<i64> {
    let mut bases = Vec::new();
    while let Some(header) = Header::parse(bytes) {
        bases.push(header.base_offset);
        bytes = &bytes[usize::try_from(header.length).expect("positive") + OVERHEAD_BYTES..];
    }
    bases
}
