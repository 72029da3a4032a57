//! What counts as equal, as cleaned, and as a difference.

use kmirror_codec::Compression;

use super::super::head::Deletable;
use super::super::report::Difference;
use super::super::settings::TopicSettings;
use super::*;
use crate::test_support::{CODECS, Random, TestBatch, TestRecord, damaged};

const PLAIN: CompareRules =
    CompareRules { is_compacted: false, target_alone_is_compacted: false, head: NO_HEAD, fillers: None };
const COMPACTED: CompareRules = CompareRules { is_compacted: true, ..PLAIN };
const NO_HEAD: Head = Head { end: 0, source: Deletable::NOTHING, target: Deletable::NOTHING };

#[test]
fn batches_that_passed_through_are_equal_without_being_decoded() {
    let batches = |producer_id| {
        [TestBatch::dense(0, 4), TestBatch::dense(4, 9).codec(Compression::Zstd)]
            .map(|batch| batch.producer(producer_id, 3).build())
    };
    let mut comparison = Comparison::new(PLAIN, (0, 9), PartitionReport::default());
    comparison.feed_source(batches(1).into());
    comparison.feed_target(batches(2).into());
    assert!(comparison.skip_equal_batches() && comparison.skip_equal_batches());
    assert!(!comparison.skip_equal_batches(), "nothing is left");
    assert_eq!((comparison.report.records_equal, comparison.reached()), (9, 9));
}

#[test]
fn batches_are_skipped_again_after_some_were_decoded() {
    let source = [TestBatch::dense(0, 4), TestBatch::dense(4, 8), TestBatch::dense(8, 9)];
    let target = [TestBatch::dense(0, 4).codec(Compression::Lz4), TestBatch::dense(4, 8)];
    let mut comparison = Comparison::new(PLAIN, (0, 9), PartitionReport::default());
    comparison.feed_source(source.map(|batch| batch.build()).into());
    comparison.feed_target(target.map(|batch| batch.build()).into());
    let mut workspace = Workspace::new();
    comparison.source.load(&mut workspace, 0, 9, &mut comparison.report);
    comparison.target.load(&mut workspace, 0, 9, &mut comparison.report);
    assert!(!comparison.skip_equal_batches(), "in the middle of a batch");
    (0..4).for_each(|_| assert!(comparison.compare_next()));
    assert!(comparison.skip_equal_batches(), "behind it");
    assert_eq!((comparison.report.records_equal, comparison.reached()), (8, 8));
}

#[test]
fn what_only_looks_equal_is_not_skipped() {
    let same = TestBatch::dense(2, 5);
    let differing = [
        ("the source's checksum", other_checksum(&same), same.build()),
        ("the target's checksum", same.build(), other_checksum(&same)),
        ("both checksums", damaged(&same.build()), damaged(&same.build())),
        ("append time", same.clone().appended_at(7).build(), same.clone().appended_at(9).build()),
        ("base offset", same.build(), TestBatch::dense(3, 6).build()),
        // The same deltas behind another base timestamp.
        ("timestamps", timestamps(0).build(), timestamps(5).build()),
        ("behind the end", TestBatch::dense(7, 9).build(), TestBatch::dense(7, 9).build()),
    ];
    for (what, source, target) in differing {
        let mut comparison = Comparison::new(PLAIN, (2, 8), PartitionReport::default());
        comparison.feed_source(vec![source]);
        comparison.feed_target(vec![target]);
        assert!(!comparison.skip_equal_batches(), "{what}");
    }
    assert_eq!(differences(PLAIN, &[timestamps(0)], &[timestamps(5)]), ["2 timestamp", "3 timestamp"]);
}

#[test]
fn boundaries_and_codecs_of_batches_do_not_matter() {
    let mut random = Random::new(7);
    for (index, codec) in CODECS.into_iter().enumerate() {
        let cut = |random: &mut Random, codec| {
            let mut batches = Vec::new();
            let mut first = 0;
            while first < 60 {
                let end = (first + 1 + random.below(12) as i64).min(60);
                let records = (first..end).map(|offset| TestRecord::plain(offset).header("h", None));
                batches.push(TestBatch::of(records).codec(codec));
                first = end;
            }
            batches
        };
        let (source, target) = (cut(&mut random, codec), cut(&mut random, CODECS[(index + 1) % 5]));
        let report = run(PLAIN, 0, 60, &source, &target);
        assert_eq!((report.records_equal, report.differences_count), (60, 0), "{codec}");
    }
}

#[test]
fn each_difference_is_named_at_its_offset() {
    let record = || TestRecord::new(6, "key", "value").header("a", Some("1"));
    let table = [
        (TestRecord { key: Some("other".into()), ..record() }, vec!["6 key"]),
        (record().without_key(), vec!["6 key"]),
        (TestRecord { key: Some(Vec::new()), ..record() }, vec!["6 key"]),
        (TestRecord { value: Some("other".into()), ..record() }, vec!["6 value"]),
        (TestRecord { value: None, ..record() }, vec!["6 value"]),
        (record().header("a", Some("1")), vec!["6 headers"]),
        (TestRecord { headers: vec![(b"a".into(), None)], ..record() }, vec!["6 headers"]),
        (record().at(4), vec!["6 timestamp"]),
        (TestRecord::plain(6), vec!["6 key", "6 value", "6 headers"]),
        (record(), vec![]),
    ];
    for (other, expected) in table {
        let batch = |record| {
            TestBatch::of([TestRecord::plain(5), record, TestRecord::plain(7)]).codec(Compression::Lz4)
        };
        for (source, target) in [(record(), other.clone()), (other, record())] {
            let report = run(PLAIN, 5, 8, &[batch(source)], &[batch(target)]);
            assert_eq!(listed(&report), expected);
            assert_eq!(report.records_equal, 3 - u64::from(!expected.is_empty()));
        }
    }
}

#[test]
fn nulls_and_empty_bytes_are_told_apart() {
    let empty = TestRecord::new(0, "", "").header("", Some(""));
    let nulls = TestRecord { key: None, value: None, ..empty.clone() };
    let batch = |record: &TestRecord| [TestBatch::of([record.clone()]).codec(Compression::Gzip)];
    assert_eq!(differences(PLAIN, &batch(&empty), &batch(&nulls)), ["0 key", "0 value"]);
    assert!(differences(PLAIN, &batch(&empty), &[TestBatch::of([empty.clone()])]).is_empty());
}

#[test]
fn headers_are_compared_in_order() {
    let batch = |first, second| {
        [TestBatch::of([TestRecord::plain(0).header(first, Some("1")).header(second, Some("1"))])]
    };
    assert_eq!(differences(PLAIN, &batch("a", "b"), &batch("b", "a")), ["0 headers"]);
}

#[test]
fn a_record_that_one_side_lacks_is_missing_or_extra() {
    let all = [TestBatch::dense(0, 9)];
    let table = [
        (vec![TestBatch::dense(0, 4), TestBatch::dense(5, 9)], vec![4]),
        (vec![TestBatch::of([1, 2, 5, 8].map(TestRecord::plain)).covering(0, 9)], vec![0, 3, 4, 6, 7]),
        (vec![TestBatch::dense(0, 7)], vec![7, 8]),
        (vec![], (0..9).collect()),
    ];
    for (fewer, offsets) in table {
        let expected =
            |kind: &str| offsets.iter().map(|offset| format!("{offset} {kind}")).collect::<Vec<_>>();
        let report = run(PLAIN, 0, 9, &all, &fewer);
        assert_eq!(listed(&report), expected("missing"));
        assert_eq!(report.records_equal, 9 - offsets.len() as u64);
        assert_eq!(differences(PLAIN, &fewer, &all), expected("extra"));
    }
}

#[test]
fn many_differences_are_counted_and_the_first_are_listed() {
    let report = run(PLAIN, 0, 500, &[TestBatch::dense(0, 500)], &[]);
    assert_eq!((report.differences_count, report.differences.len()), (500, 100));
    assert_eq!(report.differences[99].offset, Some(99));
}

#[test]
fn only_the_range_is_compared() {
    let source = [TestBatch::dense(0, 10), TestBatch::dense(10, 20)];
    let other = TestRecord::new(5, "other", "other");
    let beyond = TestRecord::new(17, "other", "other");
    let target =
        [TestBatch::of([other]), TestBatch::dense(6, 17).codec(Compression::Snappy), TestBatch::of([beyond])];
    let report = run(PLAIN, 6, 17, &source, &target);
    assert_eq!((listed(&report), report.records_equal), (Vec::<String>::new(), 11));
    assert_eq!(report.records_compared, 11);
    assert_eq!(listed(&run(PLAIN, 5, 18, &source, &target)), ["5 key", "5 value", "17 key", "17 value"]);
    assert_eq!(run(PLAIN, 20, 20, &source, &target).records_equal, 0);
}

#[test]
fn append_times_are_kept_as_create_times() {
    let source = [TestBatch::dense(0, 3).appended_at(5_000)];
    let target = |timestamp| [TestBatch::of((0..3).map(|offset| TestRecord::plain(offset).at(timestamp)))];
    let report = run(PLAIN, 0, 3, &source, &target(5_000));
    assert_eq!((report.records_equal, report.append_times_kept), (3, 3));
    assert_eq!(listed(&report), Vec::<String>::new());
    assert_eq!(differences(PLAIN, &source, &target(1_000)).len(), 3);
    // The other way round the target hides what its producers wrote, whatever the source's own times are.
    let types = ["0 timestamp_type", "1 timestamp_type", "2 timestamp_type"];
    assert_eq!(differences(PLAIN, &target(5_000), &source), types);
    assert_eq!(differences(PLAIN, &source, &source), types);
    let both = differences(PLAIN, &target(1), &[TestBatch::dense(0, 1).appended_at(5_000)]);
    assert_eq!(both[..2], ["0 timestamp", "0 timestamp_type"]);
}

#[test]
fn a_batch_that_cannot_be_read_is_a_difference() {
    let good =
        [TestBatch::dense(0, 3).build(), TestBatch::dense(3, 5).build(), TestBatch::dense(5, 8).build()];
    let bad = [good[0].clone(), damaged(&good[1]), good[2].clone()];
    let report = compare_batches(PLAIN, 0, 8, &good, &bad);
    assert_eq!(listed(&report), ["3 unreadable", "3 missing", "4 missing"]);
    assert_eq!(report.records_equal, 6);
    assert_eq!(listed(&compare_batches(PLAIN, 0, 8, &bad, &good)), ["3 unreadable", "3 extra", "4 extra"]);
    // Beyond the range it is nobody's business.
    assert_eq!(compare_batches(PLAIN, 0, 3, &good, &bad).differences_count, 0);
}

#[test]
fn on_a_compacted_topic_a_later_record_with_its_key_justifies_one() {
    let record = |offset, key| TestRecord::new(offset, key, "value");
    let full = [TestBatch::of([record(0, "a"), record(1, "b"), record(2, "a"), record(3, "c")])];
    let cleaned = [TestBatch::of([record(1, "b"), record(2, "a"), record(3, "c")]).covering(0, 4)];
    for (source, target) in [(&full, &cleaned), (&cleaned, &full)] {
        let report = run(COMPACTED, 0, 4, source, target);
        assert_eq!((report.records_equal, report.records_cleaned), (3, 1));
        assert_eq!(report.differences_count, 0);
        assert_eq!(run(PLAIN, 0, 4, source, target).differences_count, 1, "not without a cleaner");
    }
}

#[test]
fn a_proof_is_found_in_a_batch_that_is_equal_on_both_sides() {
    let record = |offset, key| TestRecord::new(offset, key, "value");
    let both = TestBatch::of([record(2, "a"), record(3, "b")]);
    let source = [TestBatch::of([record(0, "a"), record(1, "c")]), both.clone()];
    let target = [TestBatch::of([record(1, "c")]), both];
    let mut comparison = Comparison::new(COMPACTED, (0, 4), PartitionReport::default());
    comparison.feed_source(source.map(|batch| batch.build()).into());
    comparison.feed_target(target.map(|batch| batch.build()).into());
    comparison.advance(&mut Workspace::new());
    assert!(comparison.lone().is_empty(), "it was not skipped");
    assert_eq!((comparison.report.records_equal, comparison.report.records_cleaned), (3, 1));
}

#[test]
fn repeats_are_justified_by_what_they_repeat() {
    let at = |offset| TestRecord::new(offset, "k", "value").at(1);
    let source = [TestBatch::of([TestRecord::plain(0), at(9)]).covering(0, 10)];
    let target = [TestBatch::dense(0, 1), TestBatch::of((1..10).map(at))];
    let report = run(COMPACTED, 0, 10, &source, &target);
    assert_eq!((report.records_equal, report.records_cleaned, report.differences_count), (2, 8, 0));
    // What repeats nothing is extra: only the last one, for it justifies those before it.
    let target = [TestBatch::dense(0, 1), TestBatch::of((1..9).map(at))];
    assert_eq!(differences(COMPACTED, &source[..1], &target), ["9 missing"]);
    assert_eq!(differences(COMPACTED, &[TestBatch::dense(0, 1)], &target), ["8 extra"]);
}

#[test]
fn deletions_may_be_gone_on_one_side_with_what_they_deleted() {
    let full =
        [TestBatch::of([TestRecord::plain(0), TestRecord::tombstone(1, "gone"), TestRecord::plain(2)])];
    let cleaned = [TestBatch::of([TestRecord::plain(0), TestRecord::plain(2)])];
    for (source, target) in [(&full, &cleaned), (&cleaned, &full)] {
        let report = run(COMPACTED, 0, 3, source, target);
        assert_eq!((report.records_cleaned, report.differences_count), (1, 0));
        assert_eq!((report.records_equal, report.records_compared), (2, 3));
    }
    // A deletion on either side justifies what it deletes.
    let before = [TestBatch::of([TestRecord::new(0, "gone", "value"), TestRecord::tombstone(1, "gone")])];
    let after = [TestBatch::of([TestRecord::tombstone(1, "gone")])];
    for (source, target) in [(&before[..], &after[..]), (&before, &[]), (&after, &before), (&[], &before)] {
        assert_eq!(differences(COMPACTED, source, target), [] as [&str; 0]);
    }
}

#[test]
fn a_deletion_that_one_side_lacks_while_its_key_lives_on_there_is_a_difference() {
    let value = |offset, key| TestRecord::new(offset, key, "value");
    let deletion = |offset, key| TestRecord::tombstone(offset, key);
    let batch = |records: &[TestRecord]| [TestBatch::of(records.iter().cloned())];
    let table = [
        // What the other side lacks, what it has, and the difference, if it is one.
        (vec![value(0, "a"), value(1, "b"), deletion(2, "a")], vec![value(0, "a"), value(1, "b")], Some(2)),
        // A deletion that was cleaned on this side is the last word over there.
        (vec![deletion(2, "a")], vec![value(0, "a"), value(1, "a")], Some(2)),
        (vec![deletion(2, "a")], vec![deletion(1, "a")], None),
        (vec![deletion(2, "a")], vec![value(0, "a"), deletion(1, "a")], None),
        (vec![deletion(1, "a"), deletion(3, "a")], vec![value(0, "a"), value(2, "a")], Some(3)),
        // It lives again, on both sides.
        (vec![deletion(2, "a"), value(3, "a")], vec![value(0, "a"), value(3, "a")], None),
        (vec![deletion(2, "a")], vec![value(0, "b"), value(1, "c")], None),
    ];
    for (with, without, lacking) in table {
        let common = |records: &[TestRecord]| {
            // What only the other side has besides is not what this is about.
            let mut records = records.to_vec();
            records.extend([value(8, "b"), value(9, "c")]);
            records
        };
        let (with, without) = (batch(&common(&with)), batch(&common(&without)));
        for (source, target, kind) in [(&with, &without, "missing"), (&without, &with, "extra")] {
            let expected: Vec<_> =
                lacking.map(|offset: i64| format!("{offset} {kind}")).into_iter().collect();
            assert_eq!(differences(COMPACTED, source, target), expected, "{with:?} {without:?}");
        }
    }
}

#[test]
fn what_was_not_copied_yet_is_no_reason_for_what_the_target_lacks() {
    let value = |offset, key| TestRecord::new(offset, key, "value");
    let source = [TestBatch::of([value(0, "a"), value(1, "b")]), TestBatch::of([value(5, "a")])];
    let target = [TestBatch::of([value(1, "b")])];
    let proven = |target_end| {
        let mut comparison = Comparison::new(COMPACTED, (0, 2), PartitionReport::default());
        comparison.feed_source(vec![source[0].build()]);
        comparison.feed_target(vec![target[0].build()]);
        let mut workspace = Workspace::new();
        assert_eq!(comparison.advance(&mut workspace), Wants::Source);
        comparison.begin_proofs(target_end);
        comparison.prove(Side::Source, 0, &source[1].build(), &mut workspace);
        comparison.settle(false);
        listed(&comparison.report)
    };
    assert_eq!(proven(5), ["0 missing"], "the target ends before the later record");
    assert_eq!(proven(6), [] as [&str; 0], "it has arrived meanwhile, and so has the cleaner");
    // What the source lacks may well have gone because of a record that is still to come.
    let mut comparison = Comparison::new(COMPACTED, (0, 2), PartitionReport::default());
    comparison.feed_source(Vec::new());
    comparison.feed_target(vec![TestBatch::of([value(0, "a")]).build()]);
    comparison.advance(&mut Workspace::new());
    comparison.begin_proofs(5);
    comparison.prove(Side::Source, 0, &source[1].build(), &mut Workspace::new());
    assert!(comparison.lone().is_empty());
}

#[test]
fn what_the_target_lost_at_its_head_is_a_difference_unless_it_was_to_go() {
    // Records are of the times 1000 to 1004.
    let source = [TestBatch::dense(0, 5)];
    // A log may begin in the midst of a batch.
    let target = [TestBatch::dense(0, 5)];
    let kept = |retention_ms, retention_bytes| TopicSettings {
        retention_ms,
        retention_bytes,
        ..TopicSettings::default()
    };
    let for_ever = kept(None, None);
    let table = [
        // Source, target, now, bytes: expired, removed, missing.
        (&for_ever, &for_ever, 9_000, false, (0, 0, 3)),
        (&kept(Some(500), None), &kept(Some(500), None), 9_000, false, (3, 0, 0)),
        (&kept(Some(500), None), &kept(Some(500), None), 1_502, false, (2, 0, 1)),
        (&kept(Some(9_000), None), &kept(Some(500), None), 9_000, false, (0, 3, 0)),
        (&kept(Some(500), None), &kept(Some(100), None), 1_502, false, (2, 1, 0)),
        (&kept(None, Some(7)), &kept(None, Some(7)), 9_000, true, (3, 0, 0)),
        (&kept(None, Some(7)), &kept(None, Some(7)), 9_000, false, (0, 0, 3)),
        (&for_ever, &kept(None, Some(7)), 9_000, true, (0, 3, 0)),
    ];
    for is_compacted in [false, true] {
        for (ours, theirs, now_ms, has_enough, expected) in &table {
            let deletable = |settings| Deletable::by(settings, *now_ms, *has_enough);
            let head = Head { end: 3, source: deletable(ours), target: deletable(theirs) };
            let report = run(CompareRules { head, is_compacted, ..PLAIN }, 0, 5, &source, &target);
            let found = (report.records_expired, report.records_removed, report.differences_count);
            assert_eq!(found, *expected, "{ours:?} {theirs:?} at {now_ms}");
            assert_eq!(report.records_compared, 2 + expected.2, "what is not there is not compared");
        }
    }
    // Nothing behind the head is explained by retention, and nothing that the target shows alone.
    let deletable = Deletable::by(&kept(Some(0), None), 9_000, false);
    let rules = CompareRules { head: Head { end: 3, source: deletable, target: deletable }, ..PLAIN };
    assert_eq!(listed(&run(rules, 0, 5, &source, &[])), ["3 missing", "4 missing"]);
    assert_eq!(listed(&run(rules, 0, 5, &[], &source)), ["3 extra", "4 extra"]);
    // A log without timestamps does not expire by them.
    let untimed = [TestBatch::of((0..3).map(|offset| TestRecord::plain(offset).at(-1)))];
    assert_eq!(run(rules, 0, 3, &untimed, &[]).differences_count, 3);
}

#[test]
fn placeholders_are_named_as_what_they_are() {
    let rules = CompareRules { fillers: Some(77), ..PLAIN };
    let placeholder = TestRecord { key: None, value: Some(Vec::new()), ..TestRecord::plain(0).at(-1) };
    let target = [TestBatch::of([placeholder]).producer(77, 0), TestBatch::dense(1, 2).producer(78, 0)];
    assert_eq!(listed(&run(rules, 0, 2, &[], &target)), ["0 placeholder", "1 extra"]);
}

#[test]
fn what_the_target_topic_destroyed_by_being_compacted_is_named() {
    let rules = CompareRules { target_alone_is_compacted: true, ..PLAIN };
    let record = |offset| TestRecord::new(offset, "a", "value");
    let report = run(rules, 0, 2, &[TestBatch::of([record(0), record(1)])], &[TestBatch::of([record(1)])]);
    assert_eq!(listed(&report), ["0 missing"]);
    assert!(report.differences[0].detail.contains("cleanup.policy"), "{}", report.differences[0].detail);
}

#[test]
fn a_record_that_nothing_justifies_is_a_difference() {
    let full = [TestBatch::of([
        TestRecord::new(0, "a", "early"),
        TestRecord::new(1, "b", "value"),
        TestRecord::new(2, "a", "late"),
    ])];
    let fewer = [TestBatch::of([TestRecord::new(0, "a", "early"), TestRecord::new(1, "b", "value")])];
    assert_eq!(differences(COMPACTED, &full, &fewer), ["2 missing"]);
    assert_eq!(differences(COMPACTED, &fewer, &full), ["2 extra"]);
    let keyless = [TestBatch::of([TestRecord::plain(0).without_key()])];
    assert_eq!(differences(COMPACTED, &keyless, &[]), ["0 missing"]);
}

#[test]
fn values_of_records_on_both_sides_differ_whatever_the_cleaner_does() {
    let batch = |value| [TestBatch::of([TestRecord::new(0, "a", value), TestRecord::new(1, "a", "late")])];
    assert_eq!(differences(COMPACTED, &batch("one"), &batch("two")), ["0 value"]);
}

#[test]
fn proofs_are_found_behind_the_range_but_not_in_the_record_itself() {
    let whole = TestBatch::of([
        TestRecord::new(0, "a", "value"),
        TestRecord::new(1, "b", "value"),
        TestRecord::new(2, "a", "later"),
    ])
    .build();
    let mut workspace = Workspace::new();
    for (from_source, kind) in [(true, "1 missing"), (false, "1 extra")] {
        let mut comparison = Comparison::new(COMPACTED, (0, 2), PartitionReport::default());
        let batches = vec![whole.clone()];
        if from_source {
            comparison.feed_source(batches);
            comparison.feed_target(Vec::new());
        } else {
            comparison.feed_source(Vec::new());
            comparison.feed_target(batches);
        }
        assert_eq!(comparison.advance(&mut workspace), Wants::Nothing);
        assert!(!comparison.lone().is_empty());
        // The reader goes on at offset 2, and the broker answers with the whole batch.
        comparison.begin_proofs(3);
        comparison.prove(Side::Source, 0, &whole, &mut workspace);
        comparison.settle(false);
        assert!(comparison.lone().is_empty());
        assert_eq!(listed(&comparison.report), [kind]);
        assert_eq!(comparison.report.records_cleaned, 1);
    }
}

#[test]
fn a_sample_does_not_call_what_it_cannot_prove_a_difference() {
    let mut comparison = Comparison::new(COMPACTED, (0, 3), PartitionReport::default());
    comparison.feed_source(vec![TestBatch::dense(0, 3).build()]);
    comparison.feed_target(Vec::new());
    assert_eq!(comparison.advance(&mut Workspace::new()), Wants::Source);
    comparison.feed_source(Vec::new());
    assert_eq!(comparison.advance(&mut Workspace::new()), Wants::Nothing);
    comparison.settle(true);
    assert_eq!((comparison.report.differences_count, comparison.report.records_unproven), (0, 3));
    assert_eq!((comparison.report.records_compared, comparison.report.records_cleaned), (0, 0));
}

#[test]
fn unproven_differences_are_listed_in_offset_order() {
    let even = TestBatch::of([0, 2, 4].map(TestRecord::plain));
    let odd = TestBatch::of([1, 3, 5].map(TestRecord::plain));
    assert_eq!(
        differences(COMPACTED, &[even], &[odd]),
        ["0 missing", "1 extra", "2 missing", "3 extra", "4 missing", "5 extra"]
    );
}

#[test]
fn where_too_many_wait_proofs_are_asked_for_from_where_the_comparison_stands() {
    let records = |keys: &[&str], first: i64| {
        TestBatch::of(keys.iter().zip(first..).map(|(key, offset)| TestRecord::new(offset, key, "value")))
    };
    let source = records(&["a", "b", "c", "a", "b", "c"], 0).build();
    let target = records(&["a", "b", "c"], 3).build();
    let mut workspace = Workspace::new();
    let mut comparison = Comparison::new(COMPACTED, (0, 6), PartitionReport::default());
    comparison.lone_max = 2;
    comparison.feed_source(vec![source.clone()]);
    comparison.feed_target(vec![target]);
    assert_eq!(comparison.advance(&mut workspace), Wants::Proofs);
    assert_eq!(comparison.reached(), 2, "the proofs of both still are ahead");
    comparison.prove(Side::Source, 0, &source, &mut workspace);
    comparison.settle(false);
    comparison.feed_source(Vec::new());
    comparison.feed_target(Vec::new());
    assert_eq!(comparison.advance(&mut workspace), Wants::Nothing);
    comparison.settle(false);
    assert_eq!((comparison.report.records_equal, comparison.report.records_cleaned), (3, 3));
    assert_eq!(comparison.report.differences_count, 0);
}

/// The batch with the same payload under a checksum that is not its own.
fn other_checksum(batch: &TestBatch) -> Batch {
    let mut bytes = batch.build().bytes().to_vec();
    bytes[17] ^= 1;
    Batch::parse(bytes.into()).expect("the header is whole")
}

/// Two records one millisecond apart.
fn timestamps(first: i64) -> TestBatch {
    TestBatch::of([TestRecord::plain(2).at(first), TestRecord::plain(3).at(first + 1)])
}

fn differences(rules: CompareRules, source: &[TestBatch], target: &[TestBatch]) -> Vec<String> {
    listed(&run(rules, 0, 10, source, target))
}

fn listed(report: &PartitionReport) -> Vec<String> {
    let offset = |difference: &Difference| difference.offset.expect("of a record");
    let shown = |difference: &Difference| format!("{} {}", offset(difference), difference.kind);
    report.differences.iter().map(shown).collect()
}

fn run(
    rules: CompareRules,
    first: i64,
    end: i64,
    source: &[TestBatch],
    target: &[TestBatch],
) -> PartitionReport {
    let build = |batches: &[TestBatch]| batches.iter().map(TestBatch::build).collect::<Vec<_>>();
    compare_batches(rules, first, end, &build(source), &build(target))
}

/// Feeds each side one batch at a time, as it is asked for, and looks back for what deletions should have removed.
fn compare_batches(
    rules: CompareRules,
    first: i64,
    end: i64,
    source: &[Batch],
    target: &[Batch],
) -> PartitionReport {
    let (mut sources, mut targets) = (source.iter().cloned(), target.iter().cloned());
    let mut comparison = Comparison::new(rules, (first, end), PartitionReport::default());
    let mut workspace = Workspace::new();
    loop {
        match comparison.advance(&mut workspace) {
            Wants::Source => comparison.feed_source(sources.next().into_iter().collect()),
            Wants::Target => comparison.feed_target(targets.next().into_iter().collect()),
            Wants::Proofs => panic!("not that many"),
            Wants::Nothing => break,
        }
    }
    for (side, batches) in [(Side::Source, source), (Side::Target, target)] {
        if comparison.lone().deletions_missing_on(side).is_some() {
            batches
                .iter()
                .for_each(|batch| comparison.look_back(side, rules.head.end, batch, &mut workspace));
        }
    }
    comparison.settle(false);
    comparison.report
}
