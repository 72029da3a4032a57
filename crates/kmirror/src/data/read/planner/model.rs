//! [`Planner`] against random source logs, fed in random portions: what comes out must be the log, nothing left out and nothing
//! added but the repeats that a compacted topic may hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kmirror_codec::{Batch, Entry, GapReason, HoleFill, Limits, TimestampType, Timestamps, Workspace, split};

use super::{Planner, TargetRules};
use crate::ground::budget::Budget;
use crate::ground::item::Item;
use crate::logs::fetch_state::Sourced;
use crate::test_support::{CODECS, Random, TestBatch, TestRecord, legacy_message, records_of};

#[test]
fn random_logs_come_out_as_they_are() {
    for seed in 0..600 {
        let mut random = Random::new(seed);
        let log = Log::random(&mut random);
        let planned = log.plan(&mut random, seed);
        log.check(&planned, seed);
    }
}

/// A source log, and what must come out of it.
#[derive(Debug)]
struct Log {
    pieces: Vec<Sourced>,
    survivors: BTreeMap<i64, TestRecord>,
    /// Offsets of control batches and aborted data.
    gaps: BTreeMap<i64, GapReason>,
    /// Batches that need nothing done: their bytes must arrive.
    untouched: Vec<Batch>,
    start: i64,
    end: i64,
    target: TargetRules,
    limits: Limits,
}

struct Planned {
    items: Vec<Item>,
    /// Offsets that were filled because the log ended there at the time.
    flushed: BTreeSet<i64>,
}

impl Log {
    fn random(random: &mut Random) -> Log {
        let target = TargetRules {
            batch_bytes_max: random.pick(&[400, 2_000, 1 << 20]),
            holes: random.pick(&[HoleFill::Repeats, HoleFill::Markers]),
            timestamps: random.pick(&[Timestamps::Keep, Timestamps::FromAppendTime]),
        };
        let limits =
            Limits { rewritten_bytes_max: random.pick(&[300, 5_000, 64 << 20]), ..Limits::default() };
        let mut log = Log {
            pieces: Vec::new(),
            survivors: BTreeMap::new(),
            gaps: BTreeMap::new(),
            untouched: Vec::new(),
            start: 0,
            end: 0,
            target,
            limits,
        };
        if random.one_in(2) {
            log.end = random.below(20) as i64; // a hole before the first batch
        }
        for _ in 0..=random.below(14) {
            log.grow(random);
        }
        // Often the position is in the middle of something.
        log.start = random.below(log.end as u64 + 1) as i64 * random.below(2) as i64;
        log.pieces.retain(|piece| end_of(piece) > log.start);
        log.untouched.retain(|batch| batch.header().base_offset >= log.start);
        log
    }

    fn grow(&mut self, random: &mut Random) {
        let first = self.end;
        let length = 1 + random.below(8) as i64;
        self.end += length;
        match random.below(10) {
            0..=2 => {
                let records = self.records(random, first, |_| true);
                let batch = TestBatch::of(records).codec(random.pick(&CODECS)).build();
                if batch.bytes().len() <= self.target.batch_bytes_max {
                    self.untouched.push(batch.clone());
                }
                self.pieces.push(Sourced::Batch(batch));
            }
            3..=5 => {
                let kept = first + random.below(length as u64) as i64;
                let mut dropped: BTreeSet<i64> = (first..self.end).filter(|_| random.one_in(2)).collect();
                dropped.remove(&kept);
                let records = self.records(random, first, |offset| !dropped.contains(&offset));
                let batch = TestBatch::of(records).covering(first, self.end).codec(random.pick(&CODECS));
                self.pieces.push(Sourced::Batch(batch.build()));
            }
            6 => {
                let append_time = 5_000 + first;
                let records = self.records(random, first, |_| true);
                for record in &records {
                    self.survivors.insert(record.offset, record.clone().at(append_time));
                }
                self.pieces.push(Sourced::Batch(TestBatch::of(records).appended_at(append_time).build()));
            }
            7 => {
                let reason = random.pick(&[GapReason::Control, GapReason::Aborted]);
                self.gaps.extend((first..self.end).map(|offset| (offset, reason)));
                self.pieces.push(Sourced::Gap { first, end: self.end, reason });
            }
            8 => match random.below(3) {
                0 => self.legacy(first),
                _ => self.pieces.push(Sourced::Batch(TestBatch::empty(first, self.end).build())),
            },
            _ => {} // offsets that no batch covers
        }
    }

    /// Records from `first` to the end of the log, those that are left.
    fn records(&mut self, random: &mut Random, first: i64, is_left: impl Fn(i64) -> bool) -> Vec<TestRecord> {
        let value_bytes = match self.target.batch_bytes_max {
            400 => 150,
            2_000 => 600,
            _ => random.pick(&[50, 500, 6_000, 40_000]),
        };
        let records = (first..self.end).filter(|offset| is_left(*offset)).map(|offset| {
            let letter = char::from(b'a' + random.below(26) as u8);
            let value: String = (0..random.below(value_bytes))
                .map(|index| if index % 7 == 0 { 'x' } else { letter })
                .collect();
            let key = format!("key-{}", random.below(5));
            match random.below(8) {
                0 => TestRecord::tombstone(offset, &key),
                1 => TestRecord::new(offset, "", &value).without_key(),
                2 => TestRecord::new(offset, &key, &value).header("a", Some("1")).header("a", None),
                _ => TestRecord::new(offset, &key, &value).at(random.below(5_000) as i64),
            }
        });
        let records: Vec<_> = records.collect();
        self.survivors.extend(records.iter().map(|record| (record.offset, record.clone())));
        records
    }

    fn legacy(&mut self, first: i64) {
        self.end = first + 1;
        let Some(Ok(Entry::Legacy(legacy))) = split(legacy_message(first, 77, b"old"), first).next() else {
            panic!("a message of format 1");
        };
        self.pieces.push(Sourced::Legacy(legacy));
        let record = TestRecord::new(first, "", "old").without_key().at(77);
        self.survivors.insert(first, record);
    }

    /// Feeds the pieces in random portions, as a fetcher and its workers do.
    fn plan(&self, random: &mut Random, seed: u64) -> Planned {
        let merged_bytes_max = if random.one_in(2) { self.target.batch_bytes_max } else { 0 };
        let mut planner = Planner::new(self.start, self.target).merging(merged_bytes_max, Budget::new(0));
        planner.limits = self.limits;
        let mut workspace = Workspace::new();
        let mut planned = Planned { items: Vec::new(), flushed: BTreeSet::new() };
        let mut ahead: VecDeque<_> = self.pieces.iter().cloned().collect();
        while !ahead.is_empty() {
            let portion = (1 + random.below(4) as usize).min(ahead.len());
            let mut pieces: VecDeque<_> = ahead.drain(..portion).collect();
            let position = pieces.back().map_or(0, end_of);
            let must_decode = planner.plan_ahead(&mut pieces, &mut planned.items).unwrap_or_else(|error| {
                panic!("seed {seed}: {error}");
            });
            assert_eq!(must_decode, !pieces.is_empty(), "seed {seed}");
            let mut rounds = 0;
            while !pieces.is_empty() {
                planner
                    .plan_some(&mut pieces, &mut planned.items, &mut workspace)
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                rounds += 1;
                assert!(rounds < 10_000, "seed {seed}: no progress");
            }
            if random.one_in(4) {
                // The log ended here at the time, perhaps with offsets that no batch covers.
                let next = ahead.front().map_or(self.end, first_of).max(position);
                let end = position + random.below((next - position) as u64 + 1) as i64;
                planned.flush(&mut planner, end);
            }
        }
        planned.flush(&mut planner, self.end);
        planned
    }

    fn check(&self, planned: &Planned, seed: u64) {
        let mut next = self.start;
        for item in &planned.items {
            assert_eq!(item.first(), next, "seed {seed}: not contiguous: {item:?}");
            assert!(item.end() > next, "seed {seed}: empty: {item:?}");
            next = item.end();
            match item {
                Item::Batch { batch, .. } => self.check_batch(batch, seed),
                Item::Gap { first, end, reason } => {
                    for offset in *first..*end {
                        let expected = self.gaps.get(&offset).copied().unwrap_or(GapReason::Cleaned);
                        assert_eq!(*reason, expected, "seed {seed}: offset {offset}");
                        assert!(
                            !self.survivors.contains_key(&offset),
                            "seed {seed}: the record at {offset} is lost"
                        );
                        assert!(
                            planned.flushed.contains(&offset) || !self.takes_repeat(offset),
                            "seed {seed}: {offset} should be a repeat"
                        );
                    }
                }
            }
        }
        assert_eq!(next, self.end.max(self.start), "seed {seed}: offsets are missing at the end");
        for batch in &self.untouched {
            let range = batch.header().base_offset..batch.header().next_offset();
            let is_there = planned.items.iter().any(|item| match item {
                Item::Batch { merged: 1.., .. } => item.first() <= range.start && range.end <= item.end(),
                Item::Batch { batch: there, .. } => there.bytes() == batch.bytes(),
                Item::Gap { .. } => false,
            });
            assert!(is_there, "seed {seed}: {batch:?} did not pass through");
        }
    }

    fn check_batch(&self, batch: &Batch, seed: u64) {
        let header = batch.header();
        assert!(header.is_dense(), "seed {seed}: {batch:?}");
        assert!(batch.bytes().len() <= self.target.batch_bytes_max, "seed {seed}: {batch:?} is too large");
        if self.target.timestamps == Timestamps::FromAppendTime {
            assert_eq!(header.attributes.timestamp_type(), TimestampType::CreateTime, "seed {seed}");
        }
        for record in records_of(batch) {
            let offset = record.offset;
            match self.survivors.get(&offset) {
                Some(survivor) => assert_eq!(&record, survivor, "seed {seed}: offset {offset}"),
                None => {
                    assert_eq!(self.target.holes, HoleFill::Repeats, "seed {seed}: a record at {offset}");
                    assert!(!self.gaps.contains_key(&offset), "seed {seed}: a record in the gap at {offset}");
                    let survivor = self.survivor_after(offset);
                    assert!(
                        survivor.is_some_and(|survivor| record.repeats(survivor)),
                        "seed {seed}: {record:?} does not repeat {survivor:?}"
                    );
                }
            }
        }
    }

    /// The record that follows the hole with this offset, if no gap comes first.
    fn survivor_after(&self, offset: i64) -> Option<&TestRecord> {
        let (at, survivor) = self.survivors.range(offset..).next()?;
        self.gaps.range(offset..*at).next().is_none().then_some(survivor)
    }

    fn takes_repeat(&self, offset: i64) -> bool {
        self.target.holes == HoleFill::Repeats
            && self
                .survivor_after(offset)
                .is_some_and(|survivor| survivor.value.as_ref().is_none_or(|value| value.len() < 3_000))
    }
}

impl Planned {
    fn flush(&mut self, planner: &mut Planner, end: i64) {
        if let Some(item) = planner.flush(end) {
            self.flushed.extend(item.first()..item.end());
            self.items.push(item);
        }
    }
}

fn first_of(piece: &Sourced) -> i64 {
    match piece {
        Sourced::Batch(batch) => batch.header().base_offset,
        Sourced::Legacy(legacy) => legacy.last_offset(),
        Sourced::Gap { first, .. } => *first,
    }
}

fn end_of(piece: &Sourced) -> i64 {
    match piece {
        Sourced::Batch(batch) => batch.header().next_offset(),
        Sourced::Legacy(legacy) => legacy.last_offset() + 1,
        Sourced::Gap { end, .. } => *end,
    }
}
