//! Along the target's records, each of which is looked for on the source.

use super::lacking::Lacking;
use super::{Alignment, Misaligned, Tails, find, first_missing, next_after, only_on_source, problem};
use crate::ground::lineage::{Lineage, Run};
use crate::ground::rules::CompareRules;
use crate::logs::owned_record::{OwnedRecord, is_equal};

/// Goes along the target's records. `last_matched`: the source offset up to which the target is known to have all. The lineage with what
/// was found displaced.
pub(super) fn walk(
    lineage: Lineage,
    last_matched: Option<i64>,
    tails: &Tails<'_>,
    rules: &CompareRules,
) -> Result<(Lineage, Alignment), Misaligned> {
    let mut walk = Walk {
        tails,
        rules,
        batch: Begun { offset: i64::MIN, lineage: lineage.clone(), last_matched, ahead: None },
        lineage,
        last_matched,
        lacking: Lacking::new(tails, rules),
        alignment: Alignment::default(),
    };
    tails.target.iter().try_for_each(|record| walk.record(record))?;
    match first_missing(&walk.lineage, tails, rules) {
        None => Ok((walk.lineage, walk.alignment)),
        Some(missing) => Err(Misaligned::Diverged(only_on_source(&walk.lineage, missing))),
    }
}

/// What is known before the next record.
struct Walk<'a> {
    tails: &'a Tails<'a>,
    rules: &'a CompareRules,
    lineage: Lineage,
    last_matched: Option<i64>,
    batch: Begun,
    lacking: Lacking<'a>,
    alignment: Alignment,
}

/// What was known where the batch of the present record begins.
struct Begun {
    offset: i64,
    lineage: Lineage,
    last_matched: Option<i64>,
    /// How far before the record that it equals the first one stands of those that may be repeats, since one fitted.
    ahead: Option<i64>,
}

/// Where one record of the target stands on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At this source offset, which is before the expected one where it was displaced.
    At(i64),
    /// It says nothing: the source has no record there any more, or it is a repeat.
    Unknown,
    /// The source has it no more, and has another one where it is expected: it was displaced from the hole that ends with this offset.
    InHole(i64),
    /// It is not the source's, or the records before it have to tell where it stands.
    Wrong,
}

impl Walk<'_> {
    fn record(&mut self, record: &OwnedRecord) -> Result<(), Misaligned> {
        self.enter_batch(record);
        let expected = self.lineage.source_of(record.offset);
        let place = if self.rules.is_cleaned() {
            self.place_among_cleaned(expected, record)
        } else {
            self.place_in_a_row(expected, record)
        };
        match place {
            Place::Unknown => return Ok(()),
            Place::InHole(source) => {
                self.alignment.assumed.get_or_insert_with(|| {
                    problem(self.tails, self.rules, &self.lineage, self.last_matched, record)
                });
                self.displace(source, record)?;
            }
            Place::At(source) => {
                if source < expected {
                    self.displace(source, record)?;
                }
                self.last_matched = Some(source);
                self.batch.ahead = None;
            }
            Place::Wrong => {
                let problem = problem(self.tails, self.rules, &self.lineage, self.last_matched, record);
                return Err(match self.last_matched {
                    None => Misaligned::Unanchored(problem),
                    Some(_) => Misaligned::Diverged(problem),
                });
            }
        }
        self.alignment.is_proven = true;
        Ok(())
    }

    fn enter_batch(&mut self, record: &OwnedRecord) {
        let index = self.tails.batches.partition_point(|begin| *begin <= record.offset);
        let begin = index.checked_sub(1).and_then(|index| self.tails.batches.get(index)).copied();
        let offset = begin.unwrap_or(record.offset);
        if offset != self.batch.offset {
            let (lineage, last_matched) = (self.lineage.clone(), self.last_matched);
            self.batch = Begun { offset, lineage, last_matched, ahead: None };
        }
    }

    /// The record is the one at `source`: its whole batch was displaced by as much, unless the records before contradict that.
    fn displace(&mut self, source: i64, record: &OwnedRecord) -> Result<(), Misaligned> {
        let whole = Run { source: source - (record.offset - self.batch.offset), target: self.batch.offset };
        let is_whole = self.batch.last_matched.is_none_or(|last| last < whole.source)
            && whole.source >= self.lineage.first().source;
        let (mut lineage, run) = if is_whole {
            (self.batch.lineage.clone(), whole)
        } else {
            (self.lineage.clone(), Run { source, target: record.offset })
        };
        lineage.displace(run).map_err(|error| Misaligned::Diverged(error.to_string()))?;
        self.lineage = lineage;
        let holds = |before: &Run| before.source < run.source && before.target < run.target;
        self.alignment.displaced.retain(holds);
        self.alignment.displaced.push(run);
        Ok(())
    }

    /// The place of a record where every record of the source is on the target.
    fn place_in_a_row(&self, expected: i64, record: &OwnedRecord) -> Place {
        let source = self.tails.source;
        let next = match self.last_matched {
            None => find(source, expected),
            Some(last) => next_after(source, last).filter(|next| next.offset <= expected),
        };
        match next {
            Some(next) if is_equal(next, record, self.rules) => Place::At(next.offset),
            None if expected < self.tails.source_start => Place::Unknown,
            _ => Place::Wrong,
        }
    }

    /// The place of a record where either side may lack some, and the target may have repeats.
    fn place_among_cleaned(&mut self, expected: i64, record: &OwnedRecord) -> Place {
        let original = find(self.tails.source, expected);
        if original.is_some_and(|original| is_equal(original, record, self.rules)) {
            return Place::At(expected);
        }
        let at = self.tails.source.partition_point(|candidate| candidate.offset < expected);
        let (before, from_here) = self.tails.source.split_at(at);
        if let Some(later) = from_here.iter().find(|candidate| is_equal(candidate, record, self.rules)) {
            let is_repeat = original.is_none() && self.is_repeat(later.offset - expected);
            return if is_repeat { Place::Unknown } else { Place::Wrong };
        }
        match self.nearest(before, record) {
            Some(source) if self.last_matched.is_some() => Place::At(source),
            // How far it was displaced the records before it tell.
            Some(_) => Place::Wrong,
            None if original.is_some() || self.lacking.any_before(expected, self.last_matched, record) => {
                self.in_hole()
            }
            None => Place::Unknown,
        }
    }

    /// Whether a record that stands `distance` before the one that it equals may be a repeat of that. Repeats stand at one distance after the
    /// other; where two of a batch have the same, they are no repeats, and the target has lost offsets before them.
    fn is_repeat(&mut self, distance: i64) -> bool {
        match self.batch.ahead {
            Some(ahead) => ahead != distance,
            None => {
                self.batch.ahead = Some(distance);
                true
            }
        }
    }

    /// The source's record which this one is, of those before its place: where several are equal the nearest, which is the smallest
    /// distance.
    fn nearest(&self, before: &[OwnedRecord], record: &OwnedRecord) -> Option<i64> {
        // The last one that fits may have been a repeat of it.
        let from = self.last_matched.unwrap_or(i64::MIN);
        let mut behind = before.iter().rev().take_while(|candidate| candidate.offset >= from);
        behind.find(|candidate| is_equal(candidate, record, self.rules)).map(|found| found.offset)
    }

    /// Only a source with a cleaner has holes that had records; and where others of the batch seem to stand before their places, more than a
    /// cleaner was at work.
    fn may_be_of_hole(&self) -> bool {
        self.rules.source_is_compacted && self.batch.ahead.is_none()
    }

    /// The place of a record that the source has no more, and that is not where it is expected: everything else of the source follows it,
    /// so it is of the hole behind the last one that fits. Where in that hole it was does not matter, as the source has nothing there: the
    /// last offset is the smallest distance.
    fn in_hole(&self) -> Place {
        let next = |last| next_after(self.tails.source, last).map(|next| (last, next.offset));
        match self.last_matched.and_then(next) {
            Some((last, next)) if self.may_be_of_hole() && last + 1 < next => Place::InHole(next - 1),
            _ => Place::Wrong,
        }
    }
}
