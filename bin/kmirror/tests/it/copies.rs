//! Topics of every kind between clusters of every release.

use kmirror_testkit::{
    Isolation, KafkaCluster, KafkaEndpoint, KafkaRelease, Workload, real_kafka, unique_topic,
};

use crate::kmirror::Kmirror;
use crate::topics::Topics;

fn copy_and_compare(source: &KafkaEndpoint, target: &KafkaEndpoint) {
    let topics = Topics::write(source);
    let kmirror = Kmirror::between(source.bootstrap_servers(), target.bootstrap_servers(), &topics.all(), "");
    kmirror.copy();
    kmirror.prove();
    topics.compare(source, target);
    // Taken over again, with nothing new to copy: every kind of topic is recognised as what it is.
    let before = target.records_of(&topics.kept(), Isolation::ReadUncommitted).unwrap();
    kmirror.copy();
    assert_eq!(target.records_of(&topics.kept(), Isolation::ReadUncommitted).unwrap(), before);
    kmirror.prove();
}

#[test]
fn copies_every_kind_of_topic() {
    let Some(kafka) = real_kafka("copies_every_kind_of_topic") else { return };
    let pair = kafka.pair().unwrap();
    copy_and_compare(&pair.source, &pair.target);
}

#[test]
fn copies_between_releases_both_ways() {
    let Some(kafka) = real_kafka("copies_between_releases_both_ways") else { return };
    let pair = kafka.pair().unwrap();
    let older = KafkaCluster::builder(KafkaRelease::KAFKA_3_9).start().unwrap();
    copy_and_compare(&older, &pair.target);
    copy_and_compare(&pair.source, &older);
}

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

#[test]
fn goes_on_where_an_earlier_run_stopped() {
    let Some(kafka) = real_kafka("goes_on_where_an_earlier_run_stopped") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("continued");
    let workload = Workload::new(&topic).partitions(2).transactions(7).abort_every(3);
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], "");
    for first in [0, 700, 1_400] {
        pair.source.produce(&[workload.clone().first(first).records(700)]).unwrap();
        kmirror.copy();
        let proof = kmirror.prove();
        assert!(proof.stdout().contains("equal:"), "{}", proof.stdout());
    }
    // Nothing new: nothing is written.
    let before = pair.target.records(&topic, Isolation::ReadUncommitted).unwrap();
    kmirror.copy();
    assert_eq!(pair.target.records(&topic, Isolation::ReadUncommitted).unwrap(), before);
}

#[test]
fn read_uncommitted_copies_aborted_records_too() {
    let Some(kafka) = real_kafka("read_uncommitted_copies_aborted_records_too") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("uncommitted");
    pair.source.produce(&[Workload::new(&topic).records(300).transactions(10).abort_every(2)]).unwrap();
    let more = "    isolation: read_uncommitted\n";
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], more);
    kmirror.copy();
    kmirror.prove();
    let expected = pair.source.records(&topic, Isolation::ReadUncommitted).unwrap();
    assert_eq!(expected.len(), 300);
    assert_eq!(pair.target.records(&topic, Isolation::ReadCommitted).unwrap(), expected);
}

#[test]
fn verify_names_a_record_that_differs() {
    let Some(kafka) = real_kafka("verify_names_a_record_that_differs") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("differs");
    let (source, target) = (&pair.source, &pair.target);
    source.produce(&[Workload::new(&topic).records(200).timestamps(1_700_000_000_000, 1)]).unwrap();
    // The target gets the same records but for one, written by a Java producer: the 121st has another seed.
    let same = Workload::new(&topic).timestamps(1_700_000_000_000, 1);
    let other = same.clone().first(120).records(1).seed(99);
    target.produce(&[same.clone().records(120), other, same.first(121).records(79)]).unwrap();
    let kmirror = Kmirror::between(source.bootstrap_servers(), target.bootstrap_servers(), &[&topic], "");
    let ended = kmirror.run(&["verify"]).with_code(4);
    assert!(ended.stdout().contains(&format!("{topic}-0 offset 120: value")), "{}", ended.stdout());
    let json = kmirror.run(&["verify", "--format", "json"]).with_code(4).stdout();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["partitions"][0]["differences"][0]["offset"], 120);
    assert_eq!(report["equal"], false);
    kmirror.run(&["verify", "--from", "121"]).with_code(0);
    // And kmirror does not write into somebody else's records.
    let before = target.records(&topic, Isolation::ReadUncommitted).unwrap();
    kmirror.run(&["run", "--once"]).with_code(1).saying("TargetDiverged");
    assert_eq!(target.records(&topic, Isolation::ReadUncommitted).unwrap(), before);
}
