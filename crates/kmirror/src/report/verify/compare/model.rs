//! Random compacted logs, cleaned on either side at any time: whatever cleaners do is no difference, and whatever a key has lost is one.

use super::*;
use crate::test_support::{Random, TestBatch, TestRecord};

/// A log of a compacted topic.
#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<TestRecord>,
    end: i64,
}

impl Log {
    /// What a cleaner leaves that goes up to `to`: below, the last record of each key, and deletions that have not expired.
    fn clean(&mut self, to: i64, expires: impl Fn(i64) -> bool) {
        let all = self.records.clone();
        self.records.retain(|record| {
            let is_last = !all
                .iter()
                .any(|later| later.key == record.key && later.offset > record.offset && later.offset < to);
            record.offset >= to || is_last && (record.value.is_some() || !expires(record.offset))
        });
    }

    /// What a key is at last.
    fn last(&self, key: &Option<Vec<u8>>) -> Option<&TestRecord> {
        self.records.iter().rfind(|record| record.key == *key).filter(|record| record.value.is_some())
    }

    fn batches(&self, random: &mut Random) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut left = &self.records[..];
        while !left.is_empty() {
            let (batch, rest) = left.split_at((1 + random.below(4) as usize).min(left.len()));
            batches.push(TestBatch::of(batch.iter().cloned()).build());
            left = rest;
        }
        batches
    }
}

/// A source, its copy as far as it has come, and which deletions were copied.
struct Pair {
    source: Log,
    target: Log,
}

impl Pair {
    fn new(random: &mut Random) -> Pair {
        let mut pair = Pair { source: Log::default(), target: Log::default() };
        for _ in 0..4 + random.below(20) {
            match random.below(8) {
                0 => {
                    let to = random.below(pair.source.end as u64 + 1) as i64;
                    // What expires before it is copied is lost to every reader, and verify says so.
                    let (copied, expires) = (pair.target.end, random.one_in(2));
                    pair.source.clean(to, |offset| expires && offset < copied);
                }
                1 => {
                    let to = random.below(pair.target.end as u64 + 1) as i64;
                    let expires = random.one_in(2);
                    pair.target.clean(to, |_| expires);
                }
                2 | 3 => pair.copy(random),
                _ => pair.write(random),
            }
        }
        pair
    }

    fn write(&mut self, random: &mut Random) {
        let key = format!("key {}", random.below(4));
        let offset = self.source.end;
        self.source.records.push(match random.one_in(3) {
            true => TestRecord::tombstone(offset, &key),
            false => TestRecord::new(offset, &key, &format!("value {offset}")),
        });
        self.source.end += 1;
    }

    /// Copies up to some record, with repeats of the next one in some of the holes.
    fn copy(&mut self, random: &mut Random) {
        let to = self.target.end + random.below((self.source.end - self.target.end) as u64 + 1) as i64;
        for offset in self.target.end..to {
            let next = self.source.records.iter().find(|record| record.offset >= offset).cloned();
            let Some(next) = next.filter(|next| next.offset < to) else { continue };
            if next.offset == offset || random.one_in(2) {
                self.target.records.push(TestRecord { offset, ..next });
            }
        }
        self.target.end = to;
    }

    /// As the comparison of a partition goes.
    fn compare(&self, random: &mut Random) -> PartitionReport {
        let rules = CompareRules { is_compacted: true, ..CompareRules::default() };
        let end = self.target.end;
        let mut comparison = Comparison::new(rules, (0, end), PartitionReport::default());
        let (source, target) = (self.source.batches(random), self.target.batches(random));
        comparison.feed_source(source.clone());
        comparison.feed_target(target.clone());
        let mut workspace = Workspace::new();
        comparison.lone_max = 1 + random.below(4) as usize;
        loop {
            match comparison.advance(&mut workspace) {
                Wants::Source => comparison.feed_source(Vec::new()),
                Wants::Target => comparison.feed_target(Vec::new()),
                Wants::Proofs => self.settle(&mut comparison, &source, &target),
                Wants::Nothing => break,
            }
        }
        self.settle(&mut comparison, &source, &target);
        comparison.report
    }

    fn settle(&self, comparison: &mut Comparison, source: &[Batch], target: &[Batch]) {
        let mut workspace = Workspace::new();
        comparison.begin_proofs(self.target.end);
        let from = comparison.reached();
        for (side, batches) in [(Side::Source, source), (Side::Target, target)] {
            batches.iter().for_each(|batch| comparison.prove(side, from, batch, &mut workspace));
        }
        for (side, batches) in [(Side::Source, source), (Side::Target, target)] {
            batches.iter().for_each(|batch| comparison.look_back(side, 0, batch, &mut workspace));
        }
        comparison.settle(false);
    }
}

#[test]
fn what_cleaners_do_is_no_difference_and_what_a_key_has_lost_is_one() {
    let (mut found, mut cleaned) = (0, 0);
    for seed in 0..5_000 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&mut random);
        let report = pair.compare(&mut random);
        assert_eq!(report.differences, [], "seed {seed}: {:?} {:?}", pair.source, pair.target);
        cleaned += report.records_cleaned;
        if pair.target.records.is_empty() {
            continue;
        }
        let index = random.below(pair.target.records.len() as u64) as usize;
        let key = pair.target.records[index].key.clone();
        let before = pair.target.last(&key).cloned();
        let lost = pair.target.records.remove(index);
        let has_changed = pair.target.last(&key).cloned() != before;
        // Of what the source has replaced since, and cleaned, nobody can tell what it was.
        let of_key = |record: &&TestRecord| record.key == key;
        let mut on_source = pair.source.records.iter().filter(of_key).map(|record| record.offset);
        let is_known = on_source.clone().any(|offset| offset == lost.offset)
            || on_source.all(|offset| offset < pair.target.end);
        if has_changed && is_known {
            let report = pair.compare(&mut random);
            assert!(
                report.differences_count > 0,
                "seed {seed}: {lost:?} of {:?} {:?}",
                pair.source,
                pair.target
            );
            found += 1;
        }
    }
    assert!(found > 500 && cleaned > 500, "{found} {cleaned}");
}
