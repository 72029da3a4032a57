//! Whatever is wrong with a copy is found, and nothing is said of what was not looked at.

mod mutations;
mod world;

use std::time::Duration;

use kmirror::{DifferenceKind, Error, PartitionReport, Verdict, VerifyOptions, VerifyReport};
use kmirror_embedded::{ApiKey, Codec, Fault, FaultKind};

use world::{World, options, record};

#[tokio::test]
async fn a_deletion_that_was_lost_is_a_difference_and_one_that_deletes_nothing_is_none() {
    let world = World::new(&[("cleanup.policy", "compact")]).await;
    world.target.create_topic("orders", 1, &[("cleanup.policy", "compact")]).unwrap();
    for key in ["a", "b", "c"] {
        world.write_on_both(key, Some("value"));
    }
    // Neither is on the target, and only one of the keys lives there.
    for key in ["a", "z"] {
        world.write(&[record(0, key, None)]);
        world.target.end_transaction("orders", 0, 4711, 0, false).unwrap();
    }
    world.write_on_both("d", Some("value"));
    let report = world.partition().await;
    assert_eq!(listed(&report), ["3 missing"]);
    assert_eq!((report.records_equal, report.records_cleaned, report.records_compared), (4, 1, 6));
    // Before the deletion nothing is wrong, and behind it nothing tells; but the whole log is looked at for what it deletes.
    assert_eq!(listed(&world.partition_from(1).await), ["3 missing"]);
    assert_eq!(listed(&world.partition_from(4).await), [] as [&str; 0]);
}

#[tokio::test]
async fn what_is_not_copied_yet_does_not_explain_what_the_target_lacks() {
    let world = World::new(&[("cleanup.policy", "compact")]).await;
    world.target.create_topic("orders", 1, &[("cleanup.policy", "compact")]).unwrap();
    world.write(&[record(0, "a", Some("lost"))]);
    world.target.end_transaction("orders", 0, 4711, 0, false).unwrap();
    world.write_on_both("b", Some("value"));
    world.write(&[record(0, "a", Some("later"))]);
    let report = world.partition().await;
    assert_eq!((listed(&report), report.behind), (vec!["0 missing".to_owned()], 1));
    // Once it is there, a cleaner may have removed what came before.
    let later = world.source.log("orders", 0).unwrap().batches.remove(2);
    world.target.append("orders", 0, &world::as_produced(&later)).unwrap();
    assert_eq!(world.verdict().await, Verdict::Equal);
}

#[tokio::test]
async fn a_lost_head_is_a_difference() {
    let world = World::copied(20).await;
    world.target.delete_below("orders", 0, 15).unwrap();
    let report = world.partition().await;
    assert_eq!((report.differences_count, report.records_equal), (15, 5));
    assert!(
        report.differences[0].detail.contains("the target's log begins at 15"),
        "{:?}",
        report.differences
    );
    // What is compared is right all the same.
    assert_eq!(world.partition_from(15).await.verdict(), Verdict::Equal);
    // Where nothing at all is left, nothing is equal.
    world.target.delete_below("orders", 0, 20).unwrap();
    assert_eq!(world.partition().await.differences_count, 20);
}

#[tokio::test]
async fn what_retention_explains_at_the_head_is_counted_and_said_to_be_whose() {
    const HOUR_MS: &str = "3600000";
    const DAY_MS: &str = "86400000";
    let table = [
        // Retention of the source and of the target: how many records expired, were removed, or are missing.
        (DAY_MS, DAY_MS, (0, 0, 15)),
        (HOUR_MS, HOUR_MS, (15, 0, 0)),
        (DAY_MS, HOUR_MS, (0, 15, 0)),
        (HOUR_MS, DAY_MS, (15, 0, 0)),
        ("-1", DAY_MS, (0, 0, 15)),
        ("-1", HOUR_MS, (0, 15, 0)),
    ];
    let world = World::new(&[]).await;
    // Two hours old.
    world.write(&(0..20).map(|index| record(index - 7_200_000, "key", Some("value"))).collect::<Vec<_>>());
    world.once().await;
    world.target.delete_below("orders", 0, 15).unwrap();
    for (source, target, expected) in table {
        world.source.alter_topic("orders", &[("retention.ms", source)]).unwrap();
        world.target.alter_topic("orders", &[("retention.ms", target)]).unwrap();
        let report = world.partition().await;
        let found = (report.records_expired, report.records_removed, report.differences_count);
        assert_eq!(found, expected, "{source} {target}");
        let (verdict, from) = match expected {
            (15, ..) => (Verdict::Equal, Some(15)),
            (_, 15, _) => (Verdict::RemovedByRetention, Some(15)),
            _ => (Verdict::Different, None),
        };
        assert_eq!((report.verdict(), report.comparable_from), (verdict, from), "{source} {target}");
        let named = format!("retention.ms is {target}, on the source {source}");
        assert_eq!(
            report.removed_by == named,
            verdict == Verdict::RemovedByRetention,
            "{}",
            report.removed_by
        );
        assert_eq!(report.first, Some(from.unwrap_or(0)), "nothing is said of what was not compared");
    }
}

#[tokio::test]
async fn retention_by_size_explains_a_lost_head_where_enough_is_left() {
    let configs = [("retention.bytes", "1000"), ("retention.ms", "-1")];
    let world = World::new(&configs).await;
    world.target.create_topic("orders", 1, &configs).unwrap();
    // Ten batches of the same size.
    (0..10).for_each(|_| world.write_on_both("key", Some(&"x".repeat(300))));
    world.target.delete_below("orders", 0, 2).unwrap();
    let report = world.partition().await;
    assert_eq!(
        (report.verdict(), report.records_expired, report.comparable_from),
        (Verdict::Equal, 2, Some(2))
    );
    world.target.delete_below("orders", 0, 9).unwrap();
    let report = world.partition().await;
    assert_eq!((report.records_expired, report.differences_count), (0, 9), "retention leaves more");
    world.source.alter_topic("orders", &[("retention.bytes", "-1")]).unwrap();
    world.target.alter_topic("orders", &[("retention.bytes", "100")]).unwrap();
    let report = world.partition().await;
    assert_eq!((report.verdict(), report.records_removed), (Verdict::RemovedByRetention, 9));
}

#[tokio::test]
async fn retention_by_size_leaves_nothing_of_a_batch() {
    let world = World::new(&[("retention.bytes", "1000"), ("retention.ms", "-1")]).await;
    let large = "x".repeat(300);
    world.write(&(0..10).map(|index| record(index, "key", Some(&large))).collect::<Vec<_>>());
    world.once().await;
    // The batch is still there, with all its bytes, but somebody has moved the start of the log into its midst.
    world.target.delete_below("orders", 0, 4).unwrap();
    let report = world.partition().await;
    assert_eq!((report.records_expired, report.differences_count), (0, 4));
}

#[tokio::test]
async fn what_the_configuration_of_the_target_topic_destroyed_is_a_difference() {
    let table = [
        (("cleanup.policy", "compact"), DifferenceKind::Missing, "the target topic is compacted"),
        (
            ("message.timestamp.type", "LogAppendTime"),
            DifferenceKind::TimestampType,
            "message.timestamp.type",
        ),
    ];
    for (config, kind, words) in table {
        let world = World::new(&[]).await;
        world.target.create_topic("orders", 1, &[config]).unwrap();
        for index in 0..6 {
            world.write(&[record(index, "key", Some("value"))]);
        }
        for batch in world.source.log("orders", 0).unwrap().batches {
            world.target.append("orders", 0, &world::as_produced(&batch)).unwrap();
        }
        world.target.clean("orders", 0, 6).unwrap();
        let report = world.partition().await;
        let found = report.differences.iter().find(|difference| difference.kind == kind);
        assert!(found.is_some_and(|found| found.detail.contains(words)), "{:?}", report.differences);
    }
}

#[tokio::test]
async fn placeholders_that_can_be_read_are_a_difference() {
    // With records behind the head, and without.
    for behind in [5, 0] {
        let world = World::new(&[]).await;
        world.source.begin_at("orders", 0, 300).unwrap();
        for index in 0..behind {
            world.write(&[record(index, "key", Some("value"))]);
        }
        // The head is filled, and never cut off: as after a crash of the broker that has just cut it.
        world.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::DeleteRecords).times(1_000));
        let handle = world.mirror().spawn();
        world.await_target("the head is filled", |log| log.end >= 300).await;
        handle.shutdown(Duration::from_secs(10)).await.unwrap();
        world.target.clear_faults();
        let report = world.partition().await;
        assert_eq!(listed(&report), ["0 placeholder"], "{behind}");
        assert!(report.differences[0].detail.starts_with("300 placeholders"), "{:?}", report.differences);
        world.target.delete_below("orders", 0, 100).unwrap();
        let report = world.partition().await;
        assert!(report.differences[0].detail.starts_with("200 placeholders"), "{:?}", report.differences);
        world.once().await;
        let expected = if behind == 0 { Verdict::NothingToCompare } else { Verdict::Equal };
        assert_eq!(world.verdict().await, expected, "cut off");
    }
}

#[tokio::test]
async fn what_only_the_target_still_holds_is_counted_and_no_difference() {
    let world = World::copied(20).await;
    world.source.delete_below("orders", 0, 12).unwrap();
    let report = world.partition().await;
    assert_eq!((report.verdict(), report.first, report.offsets_older), (Verdict::Equal, Some(12), 12));
}

#[tokio::test]
async fn a_broker_that_shows_nothing_for_a_while_is_asked_again() {
    for configs in [&[][..], &[("cleanup.policy", "compact")]] {
        let world = World::new(configs).await;
        for index in 0..20 {
            world.write(&[record(index, &format!("key {index}"), Some("value"))]);
        }
        world.once().await;
        // The target's state topic is read first.
        for (cluster, skip) in [(&world.source, 0), (&world.target, 1)] {
            // Fewer times than a compacted log has to show nothing, so that it is believed.
            cluster.inject(Fault::new(FaultKind::NoRecords).of(ApiKey::Fetch).after(skip).times(2));
        }
        let report = world.partition().await;
        assert_eq!((report.verdict(), report.records_equal), (Verdict::Equal, 20), "{configs:?}");
    }
}

#[tokio::test]
async fn a_broker_that_goes_on_showing_nothing_is_an_error_and_not_equal() {
    let world = World::copied(20).await;
    let impatient = options(|options| options.patience = Duration::from_secs(1));
    for (cluster, alias, skip) in [(&world.source, "east", 0), (&world.target, "west", 1)] {
        cluster.inject(Fault::new(FaultKind::NoRecords).of(ApiKey::Fetch).after(skip).times(100_000));
        let error = world.verify(&impatient).await.expect_err("nothing was shown");
        cluster.clear_faults();
        let shown = error.to_string();
        assert!(shown.contains("shows nothing though the log ends at 20"), "{shown}");
        assert!(shown.contains(alias) && shown.contains("orders-0"), "{shown}");
    }
}

#[tokio::test]
async fn the_end_of_a_log_that_a_cleaner_emptied_is_believed() {
    let world = World::new(&[("cleanup.policy", "compact")]).await;
    for key in ["a", "b", "a"] {
        world.write(&[record(0, key, Some("value"))]);
    }
    world.once().await;
    // The deletion at the end is gone on the source, with its key.
    world.write(&[record(0, "b", None)]);
    world.once().await;
    world.source.clean("orders", 0, 4).unwrap();
    world.source.advance(Duration::from_secs(3 * 86_400));
    world.source.clean("orders", 0, 4).unwrap();
    let records = world.source.log("orders", 0).unwrap().records(kmirror_embedded::Isolation::ReadCommitted);
    assert_eq!(records.unwrap().len(), 1);
    let report = world.partition().await;
    assert_eq!((report.verdict(), report.records_equal, report.records_cleaned), (Verdict::Equal, 1, 3));
}

#[tokio::test]
async fn nothing_selected_and_nothing_behind_an_offset_are_errors() {
    let world = World::copied(5).await;
    let options = |topics: &[&str], from| {
        options(|options| {
            options.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
            options.from = from;
        })
    };
    world.source.create_topic("other", 1, &[]).unwrap();
    for topics in [&["orders", "other"][..], &["nowhere"]] {
        let refused = world.verify(&options(topics, None)).await;
        assert!(matches!(refused, Err(Error::NotSelected { .. })), "{refused:?}");
    }
    let refused = world.verify(&options(&[], Some(5))).await;
    assert!(matches!(refused, Err(Error::BehindTheEnd { from: 5, end: 5 })), "{refused:?}");
    let report = world.verify(&options(&["orders"], Some(4))).await.unwrap();
    assert_eq!((report.verdict(), report.records_compared()), (Verdict::Equal, 1));
}

#[tokio::test]
async fn what_is_empty_or_not_copied_yet_is_not_called_equal() {
    let world = World::new(&[]).await;
    let all = || VerifyOptions::default();
    let what = |report: &VerifyReport| {
        let partition = &report.partitions[0];
        let range = (partition.first, partition.end);
        (report.verdict(), report.is_complete(), report.records_compared(), range, partition.is_on_target)
    };
    // Neither has anything, and the topic is not even there.
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::NothingToCompare, true, 0, (None, None), false));
    world.write(&[record(0, "key", Some("value")), record(1, "key", Some("value"))]);
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::NotCopiedYet, false, 0, (None, None), false));
    assert_eq!((report.behind(), report.differences_count()), (2, 0));
    world.target.create_topic("orders", 1, &[]).unwrap();
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::NotCopiedYet, false, 0, (None, None), true));
    world.once().await;
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::Equal, true, 2, (Some(0), Some(2)), true));
    // As far as it has come.
    world.write(&[record(2, "key", Some("value"))]);
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::Equal, false, 2, (Some(0), Some(2)), true));
    // Everything has expired, on both sides.
    world.once().await;
    for cluster in [&world.source, &world.target] {
        cluster.delete_below("orders", 0, 3).unwrap();
    }
    let report = world.verify(&all()).await.unwrap();
    assert_eq!(what(&report), (Verdict::NothingToCompare, true, 0, (None, None), true));
}

#[tokio::test]
async fn what_is_not_known_of_where_records_are_is_not_equal() {
    let world = World::copied(5).await;
    let state_topic = "__kmirror_state";
    let key = b"partition/orders/0";
    world.target.write(state_topic, 0, Codec::None, &[(Some(key), Some(b"{}"))]).unwrap();
    assert_eq!(listed(&world.partition().await), ["lineage"]);
    // Nothing is recorded of a copy whose offsets differ.
    world.target.delete_topic(state_topic);
    assert_eq!(world.verdict().await, Verdict::Equal, "offsets of an exact copy are equal");
    let shifted = world.shifted();
    assert_eq!(listed(&shifted.partition().await), ["lineage"]);
    shifted.target.delete_below("orders", 0, 5).unwrap();
    assert_eq!(shifted.verdict().await, Verdict::NotCopiedYet);
}

/// Offset and kind of each difference.
fn listed(report: &PartitionReport) -> Vec<String> {
    let offset = |offset: Option<i64>| offset.map(|offset| format!("{offset} ")).unwrap_or_default();
    let shown = report.differences.iter().map(|found| format!("{}{}", offset(found.offset), found.kind));
    shown.collect()
}
