//! Whether the target's last records are the source's. Pure: it is given both.

use kmirror_codec::{Batch, BatchError, Limits, Records, Workspace, decompress};

use crate::lineage::{Lineage, Run};

/// How the two topics may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompareRules {
    pub(crate) source_is_compacted: bool,
    pub(crate) target_is_compacted: bool,
    /// Whether the target keeps the timestamps it is sent (`message.timestamp.type`).
    pub(crate) keeps_timestamps: bool,
}

impl CompareRules {
    /// Whether a cleaner may have removed records on either side.
    pub(crate) fn is_cleaned(&self) -> bool {
        self.source_is_compacted || self.target_is_compacted
    }
}

/// A record that keeps what it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<u8>,
}

impl OwnedRecord {
    /// Bytes of what it holds.
    pub(crate) fn size(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size(&self.key) + size(&self.value) + self.headers.len()
    }
}

/// Decodes the records of a batch within `[first, end)`.
pub(crate) fn records_of(
    batch: &Batch,
    first: i64,
    end: i64,
    workspace: &mut Workspace,
) -> Result<Vec<OwnedRecord>, BatchError> {
    batch.verify_crc()?;
    let mut records = Vec::new();
    for record in Records::new(batch.header(), decompress(batch, &Limits::default(), workspace)?) {
        let record = record?;
        if (first..end).contains(&record.offset) {
            records.push(OwnedRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.header_bytes().to_vec(),
            });
        }
    }
    Ok(records)
}

/// What the records of both sides say about where the target's are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Whether at least one record stands on both sides and is equal.
    pub(crate) is_proven: bool,
    /// Whether all of them stand further back on the source as well: records that are the same cannot be told from each other.
    pub(crate) is_ambiguous: bool,
    /// Runs that are not in the lineage, in order: from each on the target is further ahead than recorded.
    pub(crate) displaced: Vec<Run>,
    /// Whether the last of them rests on where the source ends: it has no record there that would show how long its hole is.
    pub(crate) rests_on_end: bool,
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
/// for a repeat stands before the record that it repeats.
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

/// Goes along the target's records. `last_matched`: the source offset up to which the target is known to have all. The lineage with what
/// was found displaced.
fn walk(
    mut lineage: Lineage,
    mut last_matched: Option<i64>,
    tails: &Tails<'_>,
    rules: &CompareRules,
) -> Result<(Lineage, Alignment), Misaligned> {
    let mut alignment = Alignment::default();
    for record in tails.target {
        let expected = lineage.source_of(record.offset);
        let place = match rules.is_cleaned() {
            true => place_among_cleaned(tails, rules, last_matched, expected, record),
            false => place_in_a_row(tails, rules, last_matched, expected, record),
        };
        match place {
            Place::Unknown => continue,
            Place::At(source) if source < expected => {
                let run = Run { source, target: record.offset };
                lineage.begin(run).map_err(|error| Misaligned::Diverged(error.to_string()))?;
                alignment.displaced.push(run);
                last_matched = Some(source);
            }
            Place::At(source) => last_matched = Some(source),
            Place::Wrong => {
                let problem = problem(tails, rules, &lineage, last_matched, record);
                return Err(match last_matched {
                    None => Misaligned::Unanchored(problem),
                    Some(_) => Misaligned::Diverged(problem),
                });
            }
        }
        alignment.is_proven = true;
    }
    match first_missing(&lineage, tails, rules) {
        None => Ok((lineage, alignment)),
        Some(missing) => Err(Misaligned::Diverged(only_on_source(&lineage, missing))),
    }
}

/// Where one record of the target stands on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At this source offset, which is before the expected one where it was displaced.
    At(i64),
    /// It says nothing: the source has no record there any more, or it is a repeat.
    Unknown,
    /// It is not the source's, or the records before it have to tell where it stands.
    Wrong,
}

/// The place of a record where every record of the source is on the target.
fn place_in_a_row(
    tails: &Tails<'_>,
    rules: &CompareRules,
    last_matched: Option<i64>,
    expected: i64,
    record: &OwnedRecord,
) -> Place {
    let next = match last_matched {
        None => find(tails.source, expected),
        Some(last) => next_after(tails.source, last).filter(|next| next.offset <= expected),
    };
    match next {
        Some(next) if is_equal(next, record, rules) => Place::At(next.offset),
        None if expected < tails.source_start => Place::Unknown,
        _ => Place::Wrong,
    }
}

/// The place of a record where either side may lack some, and the target may have repeats.
fn place_among_cleaned(
    tails: &Tails<'_>,
    rules: &CompareRules,
    last_matched: Option<i64>,
    expected: i64,
    record: &OwnedRecord,
) -> Place {
    let original = find(tails.source, expected);
    if original.is_some_and(|original| is_equal(original, record, rules)) {
        return Place::At(expected);
    }
    match behind_its_place(tails, rules, last_matched, expected, record) {
        Some(source) if last_matched.is_some() => Place::At(source),
        // How far it was displaced the records before it tell.
        Some(_) => Place::Wrong,
        None if original.is_none() => Place::Unknown,
        None => Place::Wrong,
    }
}

/// The source's record which this one is, if it stands behind its place. A repeat never does, so where an equal one follows on the source
/// it is one. Of several the nearest counts, which is the smallest distance.
fn behind_its_place(
    tails: &Tails<'_>,
    rules: &CompareRules,
    last_matched: Option<i64>,
    expected: i64,
    record: &OwnedRecord,
) -> Option<i64> {
    let equal = |candidate: &&OwnedRecord| is_equal(candidate, record, rules);
    let at = tails.source.partition_point(|candidate| candidate.offset < expected);
    let (before, from_here) = tails.source.split_at(at);
    if from_here.iter().any(|candidate| equal(&candidate)) {
        return None;
    }
    // The last one that fits may have been a repeat of it.
    let from = last_matched.unwrap_or(i64::MIN);
    before.iter().rev().take_while(|candidate| candidate.offset >= from).find(equal).map(|found| found.offset)
}

/// Whether the target's records may be others of the source as well, before those that they were found equal to: then there would be
/// offsets before them that the source has not.
fn stands_further_back(lineage: &Lineage, tails: &Tails<'_>, rules: &CompareRules) -> bool {
    let Some(first) = tails.target.first() else { return false };
    let expected = lineage.source_of(first.offset);
    let candidates = tails.source.iter().take_while(|candidate| candidate.offset < expected);
    candidates.filter(|candidate| is_equal(candidate, first, rules)).any(|candidate| {
        let mut other = lineage.clone();
        other.begin(Run { source: candidate.offset, target: first.offset }).is_ok()
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

fn is_equal(source: &OwnedRecord, target: &OwnedRecord, rules: &CompareRules) -> bool {
    difference(source, target, rules.keeps_timestamps).is_none()
}

pub(crate) fn difference(
    source: &OwnedRecord,
    target: &OwnedRecord,
    timestamps: bool,
) -> Option<&'static str> {
    if source.key != target.key {
        Some("key")
    } else if source.value != target.value {
        Some("value")
    } else if source.headers != target.headers {
        Some("headers")
    } else if timestamps && source.timestamp != target.timestamp {
        Some("timestamp")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
