//! Batches that the target refuses, and damaged ones: the partition parks, says what to change, and goes on once it was changed.

use std::fs;
use std::os::unix::fs::FileExt;

use kmirror_testkit::{KafkaCluster, KafkaRelease, compare_records, real_kafka};

use crate::kmirror::Running;
use crate::scene::Scene;

/// Looks for changed limits often enough for a test.
const ATTENTIVE: &str = "metadata_refresh_interval: 300ms\nparked_retry_interval: 500ms";

#[test]
fn a_record_above_the_targets_limit_parks_until_the_limit_is_raised() {
    let Some(kafka) = real_kafka("a_record_above_the_targets_limit_parks_until_the_limit_is_raised") else {
        return;
    };
    let scene = Scene::copied(kafka.pair().unwrap(), "too-large", ATTENTIVE);
    let mut mirror = running(&scene);
    scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "2000")]).unwrap();
    scene.write_with(|workload| workload.records(1).value_bytes(5_000, 5_000));
    scene.parks_running(&mut mirror, "TooLarge", &["offset 100", "max.message.bytes"]);
    assert_eq!(scene.target_end(), 100);
    scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "20000")]).unwrap();
    scene.await_copied();
    drop(mirror);
    scene.copies();
}

#[test]
fn a_batch_above_the_targets_limit_is_divided() {
    let Some(kafka) = real_kafka("a_batch_above_the_targets_limit_is_divided") else { return };
    let scene = Scene::copied(kafka.pair().unwrap(), "divided", ATTENTIVE);
    for running_before in [true, false] {
        let mirror = running_before.then(|| running(&scene));
        scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "2000")]).unwrap();
        scene.write_with(|workload| workload.records(200).value_bytes(500, 500).linger_ms(50).headers());
        if mirror.is_some() {
            scene.await_copied();
        }
        drop(mirror);
        scene.copies();
        scene.target.alter_topic(&scene.topic, &[("max.message.bytes", "1000000")]).unwrap();
    }
}

#[test]
fn a_timestamp_that_the_target_does_not_take_parks_until_it_does() {
    let Some(kafka) = real_kafka("a_timestamp_that_the_target_does_not_take_parks_until_it_does") else {
        return;
    };
    let limits = [
        ("message.timestamp.before.max.ms", "3600000", LONG_AGO),
        ("message.timestamp.after.max.ms", "3600000", FAR_AHEAD),
    ];
    for (limit, value, timestamp) in limits {
        let scene = Scene::copied(kafka.pair().unwrap(), "timestamp", ATTENTIVE);
        let mut mirror = running(&scene);
        scene.source.alter_topic(&scene.topic, &[(limit, NO_LIMIT)]).unwrap();
        scene.target.alter_topic(&scene.topic, &[(limit, value)]).unwrap();
        scene.write_with(|workload| workload.records(20).timestamps(timestamp, 1));
        scene.parks_running(&mut mirror, "Rejected", &["source offsets [100, 120)", limit]);
        assert_eq!(scene.target_end(), 100);
        scene.target.alter_topic(&scene.topic, &[(limit, NO_LIMIT)]).unwrap();
        scene.await_copied();
        drop(mirror);
        scene.copies();
    }
}

#[test]
fn a_record_without_a_key_parks_on_a_target_that_was_made_compacted() {
    let Some(kafka) = real_kafka("a_record_without_a_key_parks_on_a_target_that_was_made_compacted") else {
        return;
    };
    let scene = Scene::new(kafka.pair().unwrap(), "keyless", ATTENTIVE);
    scene.write_with(|workload| workload.records(100).keys(10_000));
    scene.copies();
    let mut mirror = running(&scene);
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "compact")]).unwrap();
    scene.write(20);
    scene.parks_running(&mut mirror, "Rejected", &["source offsets [100, 120)", "cleanup.policy"]);
    assert_eq!(scene.target_end(), 100);
    scene.target.alter_topic(&scene.topic, &[("cleanup.policy", "delete")]).unwrap();
    scene.await_copied();
    drop(mirror);
    scene.copies();
}

#[test]
fn a_batch_that_is_damaged_on_the_sources_disk_parks_the_partition() {
    let Some(kafka) = real_kafka("a_batch_that_is_damaged_on_the_sources_disk_parks_the_partition") else {
        return;
    };
    let target = &kafka.pair().unwrap().target;
    let source = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).start().unwrap();
    let scene = Scene::between(&source, target, "damaged", "");
    scene.write(100);
    scene.copies();
    scene.write(50);
    scene.write(50);
    let before = scene.on_source();
    // A stop in an orderly way, since after a kill the broker would find the damage itself and cut the log there.
    let node = source.node(1).unwrap();
    node.stop().unwrap();
    damage(node.log_dir().join(format!("{}-0", scene.topic)).join("00000000000000000000.log"));
    source.restart(1).unwrap();
    scene.parks_after_writing("CorruptBatch", &["source offsets [150, 200)"]);
    compare_records(&before[..150], &scene.on_target()).unwrap();
}

/// A mirror that has copied something, and so has its connections and knows the limits of before.
fn running(scene: &Scene<'_>) -> Running {
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    mirror
}

/// Changes a byte in the last batch of a segment.
fn damage(segment: std::path::PathBuf) {
    let file = fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let end = file.metadata().unwrap().len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, end - 20).unwrap();
    file.write_all_at(&[byte[0] ^ 0xFF], end - 20).unwrap();
}

const NO_LIMIT: &str = "9223372036854775807";
const LONG_AGO: i64 = 1_500_000_000_000;
const FAR_AHEAD: i64 = 4_000_000_000_000;
