use kmirror_codec::{Compression, Workspace};

use super::*;
use crate::logs::owned_record::records_of;
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
        let expected = format!("the record at offset 2 is not the source's at 2: its {difference} differs");
        assert_eq!(problem, Misaligned::Diverged(expected.clone()));
        let alone = aligned(&owned([whole()]), &owned([other]), 3, PLAIN);
        assert_eq!(alone, Err(Misaligned::Unanchored(expected)), "a record before it may explain it");
        let without_times = aligned(&source, &target, 4, CompareRules { keeps_timestamps: false, ..PLAIN });
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
    assert!(format!("{problem:?}").contains("a record at offset 2, and the target none at 2"), "{problem:?}");
    let problem = aligned(&without(2), &whole, 5, PLAIN).expect_err("invented");
    assert!(format!("{problem:?}").contains("a record at offset 2, and the source has none"), "{problem:?}");
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
            batches: &[],
            is_whole: false,
            data_end: 3,
            markers_from: 3,
            target_end,
            readable_end: 7,
            source_start: 0,
        };
        let alignment = align(&Lineage::beginning_at(0, 0), &tails, &PLAIN).expect("explained");
        assert_eq!(alignment, Alignment { displaced: Vec::from_iter(displaced), ..PROVEN }, "{target_end}");
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
        batches: &[],
        is_whole: false,
        data_end: 3,
        markers_from: 3,
        target_end: 6,
        readable_end: 4,
        source_start: 0,
    };
    let alignment = align(&Lineage::beginning_at(0, 0), &tails, &PLAIN).expect("explained");
    assert_eq!((alignment.displaced, alignment.rests_on_end), (vec![Run { source: 4, target: 6 }], true));
}

#[test]
fn offsets_without_a_batch_are_no_markers() {
    // The target's cleaner has removed deletions at [1, 6); of a marker that was seen at 6 the source has none.
    let source = owned([TestRecord::plain(0)]);
    for (markers_from, target_end, displaced) in
        [(6, 6, None), (6, 7, Some(Run { source: 6, target: 7 })), (1, 7, Some(Run { source: 6, target: 7 }))]
    {
        let tails = Tails {
            source: &source,
            target: &source,
            batches: &[],
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
            batches: &[],
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
    let target = owned([TestRecord::plain(0), TestRecord::plain(1), moved(4, 2), moved(5, 2), moved(6, 3)]);
    let alignment = aligned(&source, &target, 10, PLAIN).expect("explained");
    assert_eq!(alignment.displaced, [Run { source: 4, target: 6 }, Run { source: 6, target: 9 }], "both");
    let compacted = CompareRules { source_is_compacted: true, ..PLAIN };
    assert_eq!(aligned(&source, &target, 10, compacted), Ok(alignment), "a repeat is never behind its place");
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

/// Both are compacted, and the copy begins with both. `batches`: where the target's begin.
fn displaced(source: &str, target: &str, batches: &[i64]) -> Result<(Vec<(i64, i64)>, bool), Misaligned> {
    let rules = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
    let end = target.len() as i64;
    let (source, target) = (letters(0, source), letters(0, target));
    let tails = Tails {
        source: &source,
        target: &target,
        batches,
        is_whole: true,
        data_end: target.last().map_or(0, |last| last.offset + 1),
        markers_from: end,
        target_end: end,
        readable_end: 100,
        source_start: 0,
    };
    let alignment = align(&Lineage::beginning_at(0, 0), &tails, &rules)?;
    let runs = alignment.displaced.iter().map(|run| (run.source, run.target)).collect();
    Ok((runs, alignment.assumed.is_some()))
}

#[test]
fn what_the_source_has_no_more_is_displaced_where_it_has_something_else() {
    type Case = (&'static str, &'static str, &'static [i64], &'static [(i64, i64)]);
    let table: [Case; 7] = [
        // b was of the hole [1, 3), into which another owner had written two markers: d is still to be copied.
        ("a..d", "a..b", &[], &[(2, 3)]),
        ("a..d", "a..bc", &[], &[(2, 4)]),
        ("a..de", "a..bcde", &[], &[(2, 4)]),
        // Nothing of the source was before it, but the beginning of the copy.
        ("..cd", "..b", &[], &[(1, 2)]),
        // A batch stands at one distance: from its first record on.
        ("a..d", "a..bc", &[3], &[(1, 3)]),
        ("a..de", "a..bcde", &[3], &[(1, 3)]),
        // A cleaner does not remove the last value of d from the target: so c is not where it seems to be.
        ("a..d.f", "a...c", &[], &[(2, 4)]),
    ];
    for (source, target, batches, runs) in table {
        assert_eq!(displaced(source, target, batches), Ok((runs.to_vec(), true)), "{source} {target}");
    }
    assert_eq!(displaced("a...e", "a..b.e", &[3]), Ok((vec![(2, 3)], false)), "e proves it");
    assert_eq!(displaced("a..d.f", "a...cd", &[]), Ok((vec![(3, 5)], false)), "d proves it");
    // It is where nothing speaks against it.
    for (source, target) in [("a..d", "a.bd"), ("a..d", "abcd"), ("a..d.f", "a...cfd"), ("a...e", "a..b")] {
        assert_eq!(displaced(source, target, &[]), Ok((vec![], false)), "{source} {target}");
    }
    // No hole explains it.
    for (source, target) in [("ab.d", "ac"), ("abcd", "abce"), ("a..def", "adef")] {
        assert!(matches!(displaced(source, target, &[]), Err(Misaligned::Diverged(_))), "{source} {target}");
    }
    // The target has lost offsets: what was appended at once stands before its place.
    for (source, target) in [("a...ef", "aef"), ("a..d.fg", "adffg"), ("a..def", "adbf")] {
        assert!(matches!(displaced(source, target, &[1]), Err(Misaligned::Diverged(_))), "{source} {target}");
    }
    assert_eq!(displaced("a..d..g", "addd.gg", &[1]), Ok((vec![], false)), "repeats stand so");
}

#[test]
fn a_deletion_may_be_gone_from_the_target_without_a_trace() {
    let rules = CompareRules { source_is_compacted: true, target_is_compacted: true, ..PLAIN };
    let deletion = TestRecord { value: None, ..TestRecord::new(3, "d", "").at(1) };
    let record = |offset, key: &str| TestRecord::new(offset, key, "value").at(1);
    let source = owned([record(0, "a"), deletion, record(5, "f")]);
    let target = owned([record(0, "a"), record(4, "e")]);
    assert_eq!(aligned(&source, &target, 5, rules), Ok(PROVEN), "e was cleaned since, and is in its place");
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
        assert_eq!(outcome("x.aaab", ["x.a", "aa"], rules), (true, vec![]), "the last two, or those before");
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
        batches: &[],
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
        batches: &[],
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
const PROVEN: Alignment = Alignment {
    is_proven: true,
    is_ambiguous: false,
    displaced: Vec::new(),
    rests_on_end: false,
    assumed: None,
};

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
        batches: &[],
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
