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
    /// The target offset from which on nothing but markers was seen. Before it there may be offsets without a batch.
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
    alignment.displaced.extend(surplus(&lineage, tails));
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

/// The run that begins behind markers of which there are more than the source has offsets without a record.
fn surplus(lineage: &Lineage, tails: &Tails<'_>) -> Option<Run> {
    let end = lineage.source_of(tails.data_end.max(tails.markers_from));
    let position = lineage.source_of(tails.target_end);
    let hole_end = tails.source.iter().map(|record| record.offset).find(|offset| *offset >= end);
    let hole_end = hole_end.unwrap_or(tails.readable_end.max(end));
    (hole_end < position).then_some(Run { source: hole_end, target: tails.target_end })
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
mod tests {
    use kmirror_codec::Compression;

    use super::*;
    use crate::test_support::{TestBatch, TestRecord, damaged};

    #[test]
    fn records_are_read_within_the_range_only() {
        let batch = TestBatch::dense(0, 9).codec(Compression::Zstd).build();
        let mut workspace = Workspace::new();
        let records = records_of(&batch, 3, 5, &mut workspace).expect("readable");
        assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(records[0].value.as_deref(), Some(&b"value-3"[..]));
        assert!(records_of(&batch, 9, 20, &mut workspace).expect("readable").is_empty());
        assert!(records_of(&damaged(&batch), 0, 9, &mut workspace).is_err(), "its checksum is verified");
    }

    #[test]
    fn records_on_both_sides_must_be_equal() {
        let records = || owned((0..5).map(TestRecord::plain));
        assert_eq!(aligned(&records(), &records(), 5, PLAIN), Ok(PROVEN));
        let whole = || TestRecord::new(2, "key", "value").header("a", Some("1"));
        let table = [
            (TestRecord { key: None, ..whole() }, "key"),
            (TestRecord { value: None, ..whole() }, "value"),
            (whole().header("a", Some("1")), "headers"),
            (whole().at(5), "timestamp"),
        ];
        for (other, difference) in table {
            let with = |record| owned([TestRecord::plain(1), record, TestRecord::plain(3)]);
            let (source, target) = (with(whole()), with(other.clone()));
            let problem = aligned(&source, &target, 4, PLAIN).expect_err(difference);
            let expected =
                format!("the record at offset 2 is not the source's at 2: its {difference} differs");
            assert_eq!(problem, Misaligned::Diverged(expected.clone()));
            let alone = aligned(&owned([whole()]), &owned([other]), 3, PLAIN);
            assert_eq!(alone, Err(Misaligned::Unanchored(expected)), "a record before it may explain it");
            let without_times =
                aligned(&source, &target, 4, CompareRules { keeps_timestamps: false, ..PLAIN });
            assert_eq!(without_times.is_ok(), difference == "timestamp");
        }
    }

    #[test]
    fn repeats_and_cleaned_records_say_nothing() {
        let at = |offset| TestRecord::new(offset, "key", "value").at(1);
        let both = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
        // The source has a record at 4 only; the target repeats it in the hole before.
        assert_eq!(aligned(&owned([at(4)]), &owned((0..5).map(at)), 5, both), Ok(PROVEN));
        // The target's cleaner has removed what the source still has; the source's what the target has.
        let whole = owned((0..5).map(TestRecord::plain));
        let part = owned([TestRecord::plain(3)]);
        let (source_cleans, target_cleans) = (
            CompareRules { source_is_compacted: true, ..PLAIN },
            CompareRules { target_is_compacted: true, ..PLAIN },
        );
        assert_eq!(aligned(&whole, &part, 5, target_cleans), Ok(PROVEN));
        assert!(aligned(&whole, &part, 5, source_cleans).is_err());
        assert_eq!(aligned(&part, &whole, 5, source_cleans), Ok(PROVEN));
        assert!(aligned(&part, &whole, 5, PLAIN).is_err());
        // A repeat is no proof, and neither is nothing.
        assert_eq!(aligned(&owned([at(9)]), &owned([at(7), at(8)]), 9, both), Ok(Alignment::default()));
        assert_eq!(aligned(&[], &owned([at(7)]), 8, both), Ok(Alignment::default()));
    }

    #[test]
    fn a_record_that_is_missing_or_too_much_diverges() {
        let whole = owned((0..5).map(TestRecord::plain));
        let without = |left_out| owned((0..5).filter(|offset| *offset != left_out).map(TestRecord::plain));
        let problem = aligned(&whole, &without(2), 5, PLAIN).expect_err("lost");
        assert!(
            format!("{problem:?}").contains("a record at offset 2, and the target none at 2"),
            "{problem:?}"
        );
        let problem = aligned(&without(2), &whole, 5, PLAIN).expect_err("invented");
        assert!(
            format!("{problem:?}").contains("a record at offset 2, and the source has none"),
            "{problem:?}"
        );
    }

    #[test]
    fn markers_beyond_the_hole_begin_a_run() {
        // The source has a hole [3, 5); of the target's markers at [3, end) those from 5 on are too many.
        let source = owned([0, 1, 2, 5, 6].map(TestRecord::plain));
        let target = owned((0..3).map(TestRecord::plain));
        for (target_end, displaced) in [
            (3, None),
            (4, None),
            (5, None),
            (6, Some(Run { source: 5, target: 6 })),
            (8, Some(Run { source: 5, target: 8 })),
        ] {
            let tails = Tails {
                source: &source,
                target: &target,
                is_whole: false,
                data_end: 3,
                markers_from: 3,
                target_end,
                readable_end: 7,
                source_start: 0,
            };
            let alignment = align(&Lineage::beginning_at(0, 0), &tails, &PLAIN).expect("explained");
            assert_eq!(
                alignment,
                Alignment { displaced: Vec::from_iter(displaced), ..PROVEN },
                "{target_end}"
            );
            let cleaned = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
            assert_eq!(
                align(&Lineage::beginning_at(0, 0), &tails, &cleaned),
                Ok(alignment.clone()),
                "cleaned or not"
            );
        }
        // Where the source ends in a hole.
        let tails = Tails {
            source: &target,
            target: &target,
            is_whole: false,
            data_end: 3,
            markers_from: 3,
            target_end: 6,
            readable_end: 4,
            source_start: 0,
        };
        let alignment = align(&Lineage::beginning_at(0, 0), &tails, &PLAIN).expect("explained");
        assert_eq!(alignment.displaced, [Run { source: 4, target: 6 }]);
    }

    #[test]
    fn offsets_without_a_batch_are_no_markers() {
        // The target's cleaner has removed deletions at [1, 6); of a marker that was seen at 6 the source has none.
        let source = owned([TestRecord::plain(0)]);
        for (markers_from, target_end, displaced) in [
            (6, 6, None),
            (6, 7, Some(Run { source: 6, target: 7 })),
            (1, 7, Some(Run { source: 6, target: 7 })),
        ] {
            let tails = Tails {
                source: &source,
                target: &source,
                is_whole: false,
                data_end: 1,
                markers_from,
                target_end,
                readable_end: 6,
                source_start: 0,
            };
            let cleaned = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
            let alignment = align(&Lineage::beginning_at(0, 0), &tails, &cleaned).expect("explained");
            assert_eq!(alignment.displaced, Vec::from_iter(displaced), "{markers_from}, {target_end}");
        }
        // Where the source still has what the target's cleaner removed, nothing is too many.
        let source = owned((0..6).map(TestRecord::plain));
        for (markers_from, displaced) in [(6, None), (3, Some(Run { source: 3, target: 6 }))] {
            let tails = Tails {
                source: &source,
                target: &source[..1],
                is_whole: false,
                data_end: 1,
                markers_from,
                target_end: 6,
                readable_end: 6,
                source_start: 0,
            };
            let cleaned = CompareRules { target_is_compacted: true, ..PLAIN };
            let alignment = align(&Lineage::beginning_at(0, 0), &tails, &cleaned).expect("explained");
            assert_eq!(alignment.displaced, Vec::from_iter(displaced), "{markers_from}");
        }
    }

    #[test]
    fn records_behind_too_many_markers_are_found() {
        let source = owned([0, 1, 4, 5, 6].map(TestRecord::plain));
        let moved = |offset, by| TestRecord { offset: offset + by, ..TestRecord::plain(offset) };
        let target =
            owned([TestRecord::plain(0), TestRecord::plain(1), moved(4, 2), moved(5, 2), moved(6, 3)]);
        let alignment = aligned(&source, &target, 10, PLAIN).expect("explained");
        assert_eq!(alignment.displaced, [Run { source: 4, target: 6 }, Run { source: 6, target: 9 }], "both");
        let compacted = CompareRules { source_is_compacted: true, ..PLAIN };
        assert_eq!(
            aligned(&source, &target, 10, compacted),
            Ok(alignment),
            "a repeat is never behind its place"
        );
        let back = owned([TestRecord::plain(0), TestRecord::plain(1), moved(4, -1)]);
        assert!(aligned(&source, &back, 4, PLAIN).is_err(), "nothing explains a hole that is too short");
        assert!(matches!(aligned(&source, &target[2..], 10, PLAIN), Err(Misaligned::Unanchored(_))));
    }

    /// Records by letters, at offsets from `first` on; `.` is an offset without one.
    fn letters(first: i64, letters: &str) -> Vec<OwnedRecord> {
        let records = (first..).zip(letters.chars()).filter(|(_, letter)| *letter != '.');
        owned(records.map(|(offset, letter)| TestRecord::new(offset, &letter.to_string(), "value").at(1)))
    }

    #[test]
    fn a_repeat_never_stands_behind_its_place() {
        let both = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
        type Case = (&'static str, &'static str, &'static [(i64, i64)]);
        let table: [Case; 8] = [
            // Repeats of what follows, and what either cleaner removed.
            ("a..d", "addd", &[]),
            ("a..d", "a..d", &[]),
            ("a..d", "abcd", &[]),
            ("abcd", "a..d", &[]),
            // One marker too many, and two: behind its place there is a hole of the source, a record, or the end.
            ("a.c..f", "a..c.f", &[(2, 3)]),
            ("a.cde", "a...cde", &[(2, 4)]),
            ("a.c", "a...c", &[(2, 4)]),
            // The repeats were displaced with it.
            ("a..d", "a.ddd.", &[(3, 4)]),
        ];
        for (source, target, displaced) in table {
            let (source, target) = (letters(0, source), letters(0, target));
            let end = target.last().map_or(0, |last| last.offset + 1);
            let runs: Vec<_> =
                displaced.iter().map(|(source, target)| Run { source: *source, target: *target }).collect();
            let alignment = aligned(&source, &target, end, both).expect("explained");
            assert_eq!(alignment, Alignment { displaced: runs, ..PROVEN }, "{source:?} {target:?}");
        }
    }

    #[test]
    fn records_that_are_the_same_are_told_by_those_around_them() {
        let compacted = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
        let outcome = |source: &str, [begin, target]: [&str; 2], rules| {
            let first = begin.len() as i64;
            let (source, target) = (letters(0, source), letters(first, target));
            let end = target.last().map_or(0, |last| last.offset + 1);
            let alignment = aligned(&source, &target, end, rules).expect("explained");
            let runs: Vec<_> = alignment.displaced.iter().map(|run| (run.source, run.target)).collect();
            (alignment.is_ambiguous, runs)
        };
        // The source has a hole at 1; the target has a marker too many there, or not. A part of the tail alone does not tell.
        for rules in [PLAIN, compacted] {
            assert_eq!(outcome("x.aaab", ["x.aa", "ab"], rules), (false, vec![]), "b tells");
            assert_eq!(
                outcome("x.aaab", ["x.a", "aa"], rules),
                (true, vec![]),
                "the last two, or those before"
            );
            assert_eq!(outcome("x.aaab", ["", "x.aaa"], rules), (false, vec![]), "all of it");
        }
        assert_eq!(outcome("x.aaab", ["", "x..aaa"], PLAIN), (false, vec![(2, 3)]));
        assert_eq!(outcome("x.aaab", ["", "x..aaab"], PLAIN), (false, vec![(2, 3)]));
        assert_eq!(outcome("x.aaab", ["", "x...aaab"], PLAIN), (false, vec![(2, 4)]));
        // All that is left of a key is the last one: where the others are does not matter.
        assert_eq!(outcome("x.aaab", ["", "x..aaab"], compacted), (false, vec![(4, 5)]));
    }

    #[test]
    fn the_first_record_follows_the_beginning_of_the_copy() {
        // The hole [50, 52) of the source came out longer by one, and the copy begins at 10.
        let lineage = Lineage::beginning_at(50, 10);
        let source = owned([52, 53].map(TestRecord::plain));
        let moved = |offset| TestRecord { offset: offset - 39, ..TestRecord::plain(offset) };
        let whole = |target| Tails {
            source: &source,
            target,
            is_whole: true,
            data_end: 15,
            markers_from: 15,
            target_end: 15,
            readable_end: 54,
            source_start: 0,
        };
        let target = owned([52, 53].map(moved));
        let alignment = align(&lineage, &whole(&target), &PLAIN).expect("explained");
        assert_eq!(alignment.displaced, [Run { source: 52, target: 13 }]);
        let part = Tails { is_whole: false, ..whole(&target) };
        assert!(matches!(align(&lineage, &part, &PLAIN), Err(Misaligned::Unanchored(_))));
        let second = owned([moved(53)]);
        let problem = align(&lineage, &whole(&second), &PLAIN);
        assert!(matches!(problem, Err(Misaligned::Diverged(_))), "the first one is missing: {problem:?}");
    }

    #[test]
    fn a_hole_of_at_least_the_surplus_makes_up_for_it() {
        // Two offsets too many since the source's offset 12, in a copy that began 100 further ahead.
        let mut lineage = Lineage::beginning_at(0, 100);
        assert_eq!(make_up(&lineage, 0, 50), None, "there is nothing to make up for");
        lineage.begin(Run { source: 12, target: 114 }).expect("in order");
        for (hole_end, expected) in [(30, None), (31, None), (32, Some(32)), (40, Some(32))] {
            let run = make_up(&lineage, 30, hole_end);
            assert_eq!(run, expected.map(|source| Run { source, target: 132 }), "{hole_end}");
        }
        lineage.begin(Run { source: 32, target: 132 }).expect("in order");
        assert_eq!((lineage.surplus(), lineage.source_of(132)), (0, 32));
    }

    #[test]
    fn a_shifted_target_is_compared_at_its_own_offsets() {
        let source = owned((50..60).map(TestRecord::plain));
        let target =
            owned((50..60).map(|offset| TestRecord { offset: offset - 40, ..TestRecord::plain(offset) }));
        let tails = Tails {
            source: &source,
            target: &target,
            is_whole: false,
            data_end: 20,
            markers_from: 20,
            target_end: 20,
            readable_end: 60,
            source_start: 0,
        };
        assert_eq!(align(&Lineage::beginning_at(50, 10), &tails, &PLAIN), Ok(PROVEN));
        assert!(align(&Lineage::beginning_at(50, 11), &tails, &PLAIN).is_err());
    }

    #[test]
    fn an_append_time_equals_the_create_time_that_the_target_shows() {
        let source = TestBatch::dense(0, 2).appended_at(9_000).build();
        let target = TestBatch::of((0..2).map(|offset| TestRecord::plain(offset).at(9_000))).build();
        let mut workspace = Workspace::new();
        let mut records = |batch| records_of(batch, 0, 2, &mut workspace).expect("readable");
        let (source, target) = (records(&source), records(&target));
        assert_eq!(aligned(&source, &target, 2, PLAIN), Ok(PROVEN));
    }

    const PLAIN: CompareRules =
        CompareRules { source_is_compacted: false, target_is_compacted: false, keeps_timestamps: true };
    const PROVEN: Alignment = Alignment { is_proven: true, is_ambiguous: false, displaced: Vec::new() };

    /// An exact target that ends with its last record.
    fn aligned(
        source: &[OwnedRecord],
        target: &[OwnedRecord],
        end: i64,
        rules: CompareRules,
    ) -> Result<Alignment, Misaligned> {
        let tails = Tails {
            source,
            target,
            is_whole: false,
            data_end: end,
            markers_from: end,
            target_end: end,
            readable_end: 100,
            source_start: 0,
        };
        align(&Lineage::beginning_at(0, 0), &tails, &rules)
    }

    fn owned(records: impl IntoIterator<Item = TestRecord>) -> Vec<OwnedRecord> {
        let batch = TestBatch::of(records).build();
        records_of(&batch, 0, i64::MAX, &mut Workspace::new()).expect("readable")
    }
}
