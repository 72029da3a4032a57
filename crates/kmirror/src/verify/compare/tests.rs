//! What counts as equal, as cleaned, and as a difference.

use kmirror_codec::Compression;

use super::*;
use crate::test_support::{CODECS, Random, TestBatch, TestRecord, damaged};

const PLAIN: CompareRules = CompareRules { is_compacted: false, keeps_timestamps: true };
const COMPACTED: CompareRules = CompareRules { is_compacted: true, keeps_timestamps: true };

#[test]
fn batches_that_passed_through_are_equal_without_being_decoded() {
    let batches = |producer_id| {
        [TestBatch::dense(0, 4), TestBatch::dense(4, 9).codec(Compression::Zstd)]
            .map(|batch| batch.producer(producer_id, 3).build())
    };
    let mut comparison = Comparison::new(PLAIN, 0, 9, PartitionReport::default());
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
    let mut comparison = Comparison::new(PLAIN, 0, 9, PartitionReport::default());
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
        let mut comparison = Comparison::new(PLAIN, 2, 8, PartitionReport::default());
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
    assert_eq!(report.differences[99].offset, 99);
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
    assert_eq!((report.first, report.end), (6, 17));
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
    // The other way round the target hides what its producers wrote.
    let report = run(PLAIN, 0, 3, &target(5_000), &source);
    assert_eq!(listed(&report), ["0 timestamp_type", "1 timestamp_type", "2 timestamp_type"]);
    // Unless it keeps no times at all.
    let clockwork = CompareRules { keeps_timestamps: false, ..PLAIN };
    let report = run(clockwork, 0, 3, &target(1), &source);
    assert_eq!((report.records_equal, report.append_times_kept), (3, 0));
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
    let mut comparison = Comparison::new(COMPACTED, 0, 4, PartitionReport::default());
    comparison.feed_source(source.map(|batch| batch.build()).into());
    comparison.feed_target(target.map(|batch| batch.build()).into());
    comparison.advance(&mut Workspace::new());
    assert!(!comparison.has_unproven(), "it was not skipped");
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
fn tombstones_may_be_gone_on_one_side() {
    let full =
        [TestBatch::of([TestRecord::plain(0), TestRecord::tombstone(1, "gone"), TestRecord::plain(2)])];
    let cleaned = [TestBatch::of([TestRecord::plain(0), TestRecord::plain(2)])];
    for (source, target) in [(&full, &cleaned), (&cleaned, &full)] {
        let report = run(COMPACTED, 0, 3, source, target);
        assert_eq!((report.records_cleaned, report.differences_count), (1, 0));
    }
    // A tombstone on either side justifies what it deletes.
    let before = [TestBatch::of([TestRecord::new(0, "gone", "value"), TestRecord::tombstone(1, "gone")])];
    let after = [TestBatch::of([TestRecord::tombstone(1, "gone")])];
    assert!(differences(COMPACTED, &before, &after).is_empty());
    assert!(differences(COMPACTED, &before, &[]).is_empty());
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
        let mut comparison = Comparison::new(COMPACTED, 0, 2, PartitionReport::default());
        let batches = vec![whole.clone()];
        if from_source {
            comparison.feed_source(batches);
            comparison.feed_target(Vec::new());
        } else {
            comparison.feed_source(Vec::new());
            comparison.feed_target(batches);
        }
        assert_eq!(comparison.advance(&mut workspace), Wants::Nothing);
        assert!(comparison.has_unproven());
        // The reader goes on at offset 2, and the broker answers with the whole batch.
        comparison.prove(&whole, &mut workspace);
        comparison.settle(false);
        assert!(!comparison.has_unproven());
        assert_eq!(listed(&comparison.report), [kind]);
        assert_eq!(comparison.report.records_cleaned, 1);
    }
}

#[test]
fn a_sample_does_not_call_what_it_cannot_prove_a_difference() {
    let mut comparison = Comparison::new(COMPACTED, 0, 3, PartitionReport::default());
    comparison.feed_source(vec![TestBatch::dense(0, 3).build()]);
    comparison.feed_target(Vec::new());
    assert_eq!(comparison.advance(&mut Workspace::new()), Wants::Source);
    comparison.feed_source(Vec::new());
    assert_eq!(comparison.advance(&mut Workspace::new()), Wants::Nothing);
    comparison.settle(true);
    assert_eq!((comparison.report.differences_count, comparison.report.records_cleaned), (0, 3));
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
    let mut comparison = Comparison::new(COMPACTED, 0, 6, PartitionReport::default());
    comparison.unproven_max = 2;
    comparison.feed_source(vec![source.clone()]);
    comparison.feed_target(vec![target]);
    assert_eq!(comparison.advance(&mut workspace), Wants::Proofs);
    assert_eq!(comparison.reached(), 2, "the proofs of both still are ahead");
    comparison.prove(&source, &mut workspace);
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
    report.differences.iter().map(|difference| format!("{} {}", difference.offset, difference.kind)).collect()
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

/// Feeds each side one batch at a time, as it is asked for.
fn compare_batches(
    rules: CompareRules,
    first: i64,
    end: i64,
    source: &[Batch],
    target: &[Batch],
) -> PartitionReport {
    let (mut source, mut target) = (source.iter().cloned(), target.iter().cloned());
    let mut comparison = Comparison::new(rules, first, end, PartitionReport::default());
    let mut workspace = Workspace::new();
    loop {
        match comparison.advance(&mut workspace) {
            Wants::Source => comparison.feed_source(source.next().into_iter().collect()),
            Wants::Target => comparison.feed_target(target.next().into_iter().collect()),
            Wants::Proofs => panic!("not that many"),
            Wants::Nothing => break,
        }
    }
    comparison.settle(false);
    comparison.report
}
