//! Batches that the target refuses, and damaged ones: the partition parks, says what to change, and goes on once it was changed.

use kmirror_testkit::compare_records;

use crate::kmirror::Running;
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_record_above_the_targets_limit_parks_until_the_limit_is_raised,
    a_batch_above_the_targets_limit_is_divided,
    a_timestamp_that_the_target_does_not_take_parks_until_it_does,
    a_record_without_a_key_parks_on_a_target_that_was_made_compacted,
    a_record_without_a_key_among_tiny_batches_parks_alone,
    a_batch_that_is_damaged_on_the_sources_disk_parks_the_partition,
);

/// Looks for changed limits often enough for a test.
const ATTENTIVE: &str = "metadata_refresh_interval: 300ms\nparked_retry_interval: 500ms";

fn a_record_above_the_targets_limit_parks_until_the_limit_is_raised(stage: &Stage) {
    let scene = Scene::copied(stage, "too-large", ATTENTIVE);
    let mut mirror = running(&scene);
    scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "2000")]);
    scene.write_with(|workload| workload.records(1).value_bytes(5_000, 5_000));
    scene.parks_running(&mut mirror, "TooLarge", &["offset 100", "max.message.bytes"]);
    assert_eq!(scene.target_end(), 100);
    scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "20000")]);
    scene.await_copied();
    drop(mirror);
    scene.copies();
}

fn a_batch_above_the_targets_limit_is_divided(stage: &Stage) {
    let scene = Scene::copied(stage, "divided", ATTENTIVE);
    for running_before in [true, false] {
        let mirror = running_before.then(|| running(&scene));
        scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "2000")]);
        scene.write_with(|workload| workload.records(200).value_bytes(500, 500).linger_ms(50).headers());
        if mirror.is_some() {
            scene.await_copied();
        }
        drop(mirror);
        scene.copies();
        scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "1000000")]);
    }
}

fn a_timestamp_that_the_target_does_not_take_parks_until_it_does(stage: &Stage) {
    let limits = [
        ("message.timestamp.before.max.ms", "3600000", LONG_AGO),
        ("message.timestamp.after.max.ms", "3600000", FAR_AHEAD),
    ];
    for (limit, value, timestamp) in limits {
        let scene = Scene::copied(stage, "timestamp", ATTENTIVE);
        let mut mirror = running(&scene);
        scene.source.alter_topic(&scene.topic, &[(limit, NO_LIMIT)]);
        scene.target.alter_topic(&scene.topic, &[(limit, value)]);
        scene.write_with(|workload| workload.records(20).timestamps(timestamp, 1));
        scene.parks_running(&mut mirror, "Rejected", &["source offsets [100, 120)", limit]);
        assert_eq!(scene.target_end(), 100);
        scene.target.alter_topic(&scene.topic, &[(limit, NO_LIMIT)]);
        scene.await_copied();
        drop(mirror);
        scene.copies();
    }
}

fn a_record_without_a_key_parks_on_a_target_that_was_made_compacted(stage: &Stage) {
    let scene = Scene::new(stage, "keyless", ATTENTIVE);
    scene.write_with(|workload| workload.records(100).keys(10_000));
    scene.copies();
    let mut mirror = running(&scene);
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "compact")]);
    scene.write(20);
    scene.parks_running(&mut mirror, "Rejected", &["source offsets [100, 120)", "cleanup.policy"]);
    assert_eq!(scene.target_end(), 100);
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "delete")]);
    scene.await_copied();
    drop(mirror);
    scene.copies();
}

fn a_record_without_a_key_among_tiny_batches_parks_alone(stage: &Stage) {
    let scene = Scene::new(stage, "keyless-tiny", "topic_configs: { exclude: [cleanup.policy] }");
    let write = |records, keys| {
        scene.write_with(|workload| workload.records(records).keys(keys).batch_bytes(1).linger_ms(0));
    };
    write(100, 10_000);
    scene.copies();
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "compact")]);
    write(30, 10_000);
    write(1, 0);
    write(30, 10_000);
    scene.parks_after_writing("Rejected", &["source offsets [130, 131)", "cleanup.policy"]);
    assert_eq!(scene.target_end(), 130, "what is before it is copied");
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "delete")]);
    scene.copies();
}

fn a_batch_that_is_damaged_on_the_sources_disk_parks_the_partition(stage: &Stage) {
    let (source, (_, target)) = (stage.cluster(), stage.pair());
    let scene = Scene::between(&source, &target, "damaged", "");
    scene.write(100);
    scene.copies();
    scene.write(50);
    scene.write(50);
    let before = scene.on_source();
    source.damage(&scene.topic);
    scene.parks_after_writing("CorruptBatch", &["source offsets [150, 200)"]);
    compare_records(&before[..150], &scene.on_target()).unwrap();
}

/// A mirror that has copied something, and so has its connections and knows the limits of before.
fn running(scene: &Scene) -> Running {
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    mirror
}

const NO_LIMIT: &str = "9223372036854775807";
const LONG_AGO: i64 = 1_500_000_000_000;
const FAR_AHEAD: i64 = 4_000_000_000_000;
