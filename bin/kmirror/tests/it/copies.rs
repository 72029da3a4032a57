//! Topics of every kind between clusters of every release.

use kmirror_testkit::{Isolation, Workload, compare_records, real_kafka, unique_topic};

use crate::kmirror::Kmirror;
use crate::stage::{AnyCluster, Stage, on_both_kinds};
use crate::topics::Topics;

on_both_kinds!(
    copies_every_kind_of_topic,
    copies_between_releases_both_ways,
    goes_on_where_an_earlier_run_stopped,
    read_uncommitted_copies_aborted_records_too,
    tiny_batches_travel_together_and_partitions_on_several_connections,
    verify_names_a_record_that_differs,
);

fn copy_and_compare(source: &AnyCluster, target: &AnyCluster) {
    let topics = Topics::write(source);
    let kmirror = Kmirror::mirroring(source, target, &topics.all(), "");
    kmirror.copy_undisturbed();
    kmirror.prove();
    topics.compare(source, target);
    // Taken over again, with nothing new to copy: every kind of topic is recognised as what it is.
    let before = target.records_of(&topics.kept(), Isolation::ReadUncommitted).unwrap();
    kmirror.copy();
    assert_eq!(target.records_of(&topics.kept(), Isolation::ReadUncommitted).unwrap(), before);
    kmirror.prove();
}

fn copies_every_kind_of_topic(stage: &Stage) {
    let (source, target) = stage.pair();
    copy_and_compare(&source, &target);
}

fn copies_between_releases_both_ways(stage: &Stage) {
    let (source, target) = stage.pair();
    let older = stage.older_cluster();
    copy_and_compare(&older, &target);
    copy_and_compare(&source, &older);
}

// For real Kafka alone, since it is the tool that judges.
#[test]
fn a_console_consumer_prints_the_same_lines() {
    let Some(kafka) = real_kafka("a_console_consumer_prints_the_same_lines") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("printed");
    pair.source
        .produce(&[Workload::new(&topic)
            .partitions(2)
            .records(500)
            .json()
            .keys(20)
            .transactions(10)
            .abort_every(5)])
        .unwrap();
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], "");
    kmirror.copy();
    let expected = pair.source.console_consumer(&topic, 400).unwrap();
    assert_eq!(expected.len(), 400);
    assert_eq!(pair.target.console_consumer(&topic, 400).unwrap(), expected);
}

fn tiny_batches_travel_together_and_partitions_on_several_connections(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("tiny");
    let workload = Workload::new(&topic).partitions(5).batch_bytes(1).linger_ms(0);
    let workload = workload.value_bytes(0, 300).keys(50).null_key_every(7).tombstone_every(11).headers();
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "    connections: 3\n");
    for first in [0, 2_000] {
        source.produce(&[workload.clone().first(first).records(2_000)]);
        kmirror.run(&["run", "--once"]).with_code(0).saying(" tiny batches merged)");
        kmirror.prove();
        let read = |cluster: &AnyCluster| cluster.records(&topic, Isolation::ReadCommitted);
        compare_records(&read(&source), &read(&target)).unwrap();
    }
}

fn goes_on_where_an_earlier_run_stopped(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("continued");
    let workload = Workload::new(&topic).partitions(2).transactions(7).abort_every(3);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "");
    for first in [0, 700, 1_400] {
        source.produce(&[workload.clone().first(first).records(700)]);
        kmirror.copy_undisturbed();
        let proof = kmirror.prove();
        assert!(proof.stdout().contains("equal:"), "{}", proof.stdout());
    }
    // Nothing new: nothing is written.
    let before = target.records(&topic, Isolation::ReadUncommitted);
    kmirror.copy();
    assert_eq!(target.records(&topic, Isolation::ReadUncommitted), before);
}

fn read_uncommitted_copies_aborted_records_too(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("uncommitted");
    source.produce(&[Workload::new(&topic).records(300).transactions(10).abort_every(2)]);
    let more = "    isolation: read_uncommitted\n";
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], more);
    kmirror.copy();
    kmirror.prove();
    let expected = source.records(&topic, Isolation::ReadUncommitted);
    assert_eq!(expected.len(), 300);
    assert_eq!(target.records(&topic, Isolation::ReadCommitted), expected);
}

fn verify_names_a_record_that_differs(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("differs");
    source.produce(&[Workload::new(&topic).records(200).timestamps(1_700_000_000_000, 1)]);
    // The target gets the same records but for one, written by a Java producer: the 121st has another seed.
    let same = Workload::new(&topic).timestamps(1_700_000_000_000, 1);
    let other = same.clone().first(120).records(1).seed(99);
    target.produce(&[same.clone().records(120), other, same.first(121).records(79)]);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "");
    let ended = kmirror.run(&["verify"]).with_code(4);
    assert!(ended.stdout().contains(&format!("{topic}-0 offset 120: value")), "{}", ended.stdout());
    let json = kmirror.run(&["verify", "--format", "json"]).with_code(4).stdout();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["partitions"][0]["differences"][0]["offset"], 120);
    assert_eq!(report["equal"], false);
    kmirror.run(&["verify", "--from", "121"]).with_code(0);
    // And kmirror does not write into somebody else's records.
    let before = target.records(&topic, Isolation::ReadUncommitted);
    kmirror.run(&["run", "--once"]).with_code(1).saying("TargetDiverged");
    assert_eq!(target.records(&topic, Isolation::ReadUncommitted), before);
}
