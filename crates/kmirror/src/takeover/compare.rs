//! Whether the target's last records are the source's. Pure: it is given both.

mod lacking;
mod walk;

use self::walk::walk;
use crate::ground::lineage::{Lineage, Run};
use crate::ground::rules::CompareRules;
use crate::logs::owned_record::{OwnedRecord, difference, is_equal};

/// What the records of both sides say about where the target's are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Whether at least one record stands on both sides and is equal, or the first one of the copy is where `assumed` says.
    pub(crate) is_proven: bool,
    /// Whether all of them stand further back on the source as well: records that are the same cannot be told from each other.
    pub(crate) is_ambiguous: bool,
    /// Runs that are not in the lineage, in order: from each on the target is further ahead than recorded.
    pub(crate) displaced: Vec<Run>,
    /// Whether the last of them rests on where the source ends: it has no record there that would show how long its hole is.
    pub(crate) rests_on_end: bool,
    /// What would be wrong if a displaced record that the source has not were none that its cleaner has removed.
    pub(crate) assumed: Option<String>,
}

/// Why the records of both sides do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misaligned {
    /// No record before it was found equal: one further back may explain it.
    Unanchored(String),
    /// It cannot be explained.
    Diverged(String),
}

/// The flow's records on the target and the source's around them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tails<'a> {
    /// The source's records, by offset. Each that is there from the first one's offset on up to the target's end; some of them may be
    /// before the place of the first one of the target.
    pub(crate) source: &'a [OwnedRecord],
    /// The flow's records on the target, at target offsets.
    pub(crate) target: &'a [OwnedRecord],
    /// Where the batches of these begin. What was appended at once stands at one distance from the source.
    pub(crate) batches: &'a [i64],
    /// Whether both sides begin where the copy begins: then the first record must be the source's first.
    pub(crate) is_whole: bool,
    /// The target offset after the flow's last batch.
    pub(crate) data_end: i64,
    /// The target offset from which on nothing but markers, or what somebody else wrote, was seen. Before it there may be offsets without a
    /// batch.
    pub(crate) markers_from: i64,
    pub(crate) target_end: i64,
    /// Where the source may be read up to.
    pub(crate) readable_end: i64,
    /// The source holds nothing below this offset any more.
    pub(crate) source_start: i64,
}

/// Compares the target's records with those that the source holds where the lineage puts them.
///
/// Without a cleaner the target's records are the source's, one after the other: one that is not where it should be was displaced by
/// offsets that are not the source's, if it is equal to the record that follows the last one that fits. Where a cleaner is at work, a
/// record that only one side has was cleaned from the other, or is the repeat of one; and one that is behind its place was displaced,
/// for a repeat stands before the record that it repeats. A record that the source has not and that stands where the source has another
/// one was displaced as well, and cleaned from the source since: an owner that had read it before appended it behind what another one, which
/// had not, wrote into the hole.
pub(crate) fn align(
    lineage: &Lineage,
    tails: &Tails<'_>,
    rules: &CompareRules,
) -> Result<Alignment, Misaligned> {
    let anchor = tails.is_whole.then(|| lineage.first().source - 1);
    let (lineage, mut alignment) = walk(lineage.clone(), anchor, tails, rules)?;
    alignment.is_ambiguous =
        !tails.is_whole && alignment.is_proven && stands_further_back(&lineage, tails, rules);
    if let Some((run, rests_on_end)) = surplus(&lineage, tails) {
        alignment.displaced.push(run);
        alignment.rests_on_end = rests_on_end;
    }
    Ok(alignment)
}

/// Whether the target's records may be others of the source as well, before those that they were found equal to: then there would be
/// offsets before them that the source has not.
fn stands_further_back(lineage: &Lineage, tails: &Tails<'_>, rules: &CompareRules) -> bool {
    let Some(first) = tails.target.first() else { return false };
    let expected = lineage.source_of(first.offset);
    let candidates = tails.source.iter().take_while(|candidate| candidate.offset < expected);
    candidates.filter(|candidate| is_equal(candidate, first, rules)).any(|candidate| {
        let mut other = lineage.clone();
        other.displace(Run { source: candidate.offset, target: first.offset }).is_ok()
            && walk(other, Some(candidate.offset - 1), tails, rules).is_ok()
    })
}

fn problem(
    tails: &Tails<'_>,
    rules: &CompareRules,
    lineage: &Lineage,
    last_matched: Option<i64>,
    record: &OwnedRecord,
) -> String {
    let (offset, expected) = (record.offset, lineage.source_of(record.offset));
    let Some(original) = find(tails.source, expected) else {
        return format!("there is a record at offset {offset}, and the source has none at {expected}");
    };
    match (difference(original, record, rules.keeps_timestamps), last_matched) {
        (Some(part), _) => {
            format!("the record at offset {offset} is not the source's at {expected}: its {part} differs")
        }
        (None, last) => {
            let missing = last.and_then(|last| next_after(tails.source, last));
            only_on_source(lineage, missing.map_or(expected, |missing| missing.offset))
        }
    }
}

fn only_on_source(lineage: &Lineage, missing: i64) -> String {
    let target = lineage.target_of(missing);
    format!("the source has a record at offset {missing}, and the target none at {target}")
}

/// The first source offset between the flow's records at which only the source has one.
fn first_missing(lineage: &Lineage, tails: &Tails<'_>, rules: &CompareRules) -> Option<i64> {
    if rules.target_is_compacted {
        return None;
    }
    let begin = tails.target.first().map_or(tails.data_end, |first| first.offset);
    let begin = if tails.is_whole { lineage.first().source } else { lineage.source_of(begin) };
    let end = lineage.source_of(tails.data_end);
    let offsets = tails.source.iter().map(|record| record.offset);
    let mut between = offsets.filter(|offset| (begin..end).contains(offset));
    between.find(|offset| find(tails.target, lineage.target_of(*offset)).is_none())
}

/// The run that begins behind markers of which there are more than the source has offsets without a record, and whether the source's end
/// alone says how many these are.
fn surplus(lineage: &Lineage, tails: &Tails<'_>) -> Option<(Run, bool)> {
    let end = lineage.source_of(tails.data_end.max(tails.markers_from));
    let position = lineage.source_of(tails.target_end);
    let record = tails.source.iter().map(|record| record.offset).find(|offset| *offset >= end);
    let hole_end = record.unwrap_or(tails.readable_end.max(end));
    (hole_end < position).then_some((Run { source: hole_end, target: tails.target_end }, record.is_none()))
}

/// The run that makes up for offsets which the target has too many, where the source has a hole of at least as many at
/// `position`, which is what the target's end belongs to: as many markers fewer are written there. `hole_end`: the next offset at
/// which the source has a record, or where it ends.
pub(crate) fn make_up(lineage: &Lineage, position: i64, hole_end: i64) -> Option<Run> {
    let surplus = lineage.surplus();
    (surplus > 0 && hole_end - position >= surplus)
        .then(|| Run { source: position + surplus, target: lineage.target_of(position) })
}

fn find(records: &[OwnedRecord], offset: i64) -> Option<&OwnedRecord> {
    records.binary_search_by_key(&offset, |record| record.offset).ok().and_then(|index| records.get(index))
}

fn next_after(records: &[OwnedRecord], offset: i64) -> Option<&OwnedRecord> {
    records.get(records.partition_point(|record| record.offset <= offset))
}

#[cfg(test)]
mod tests;
