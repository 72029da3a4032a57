//! Where a copy begins: heads that have expired, other starts than the earliest, targets that hold something already.

use std::time::Duration;

use kmirror_testkit::{CompactedTopic, LogOffset, real_kafka};

use crate::scene::Scene;
use crate::schedule::Schedule;

#[test]
fn a_source_without_its_head_gets_a_target_that_begins_where_it_does() {
    let Some(kafka) = real_kafka("a_source_without_its_head_gets_a_target_that_begins_where_it_does") else {
        return;
    };
    let scene = Scene::new(kafka.pair().unwrap(), "head", "");
    scene.write(200);
    scene.source.delete_records(&scene.topic, 0, 120).unwrap();
    scene.copies();
    assert_eq!(scene.target.offset(&scene.topic, 0, LogOffset::Earliest).unwrap(), 120);
    // With everything gone there is no record left that would show where the copy stands.
    scene.source.delete_records(&scene.topic, 0, 200).unwrap();
    scene.kmirror().copy();
    scene.write(10);
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target_end(), 210);
}

#[test]
fn a_compacted_topic_without_its_head_is_copied_and_compacted() {
    let Some(kafka) = real_kafka("a_compacted_topic_without_its_head_is_copied_and_compacted") else {
        return;
    };
    let scene = Scene::new(kafka.pair().unwrap(), "compacted-head", "");
    scene.write_to_neighbour(20);
    CompactedTopic::create(scene.source, &scene.topic, "lz4").unwrap();
    scene.source.alter_topic(&scene.topic, &[("cleanup.policy", "compact,delete")]).unwrap();
    scene.source.delete_records(&scene.topic, 0, 2_500).unwrap();
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target.offset(&scene.topic, 0, LogOffset::Earliest).unwrap(), 2_500);
    let described = scene.target.tool(&["topics", "--describe", "--topic", &scene.topic]).unwrap();
    assert!(described.stdout.contains("cleanup.policy=compact,delete"), "{}", described.stdout);
}

#[test]
fn a_head_whose_filling_is_killed_again_and_again_is_filled() {
    let Some(kafka) = real_kafka("a_head_whose_filling_is_killed_again_and_again_is_filled") else { return };
    let scene = Scene::new(kafka.pair().unwrap(), "killed-head", "");
    let mut schedule = Schedule::new();
    // Long enough to be killed in, and without keys and values quickly written.
    scene.write_with(|workload| {
        workload
            .records(HEAD as u64 + 100)
            .tombstone_every(1)
            .codec("zstd")
            .batch_bytes(1_000_000)
            .linger_ms(100)
    });
    scene.source.delete_records(&scene.topic, 0, HEAD).unwrap();
    for _ in 0..4 {
        let mut mirror = scene.kmirror().start();
        std::thread::sleep(Duration::from_millis(schedule.up_to(1_200)));
        mirror.kill();
    }
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target.offset(&scene.topic, 0, LogOffset::Earliest).unwrap(), HEAD);
}

const HEAD: i64 = 3_000_000;

#[test]
fn a_head_that_is_too_long_parks_and_a_shifted_copy_needs_none() {
    let Some(kafka) = real_kafka("a_head_that_is_too_long_parks_and_a_shifted_copy_needs_none") else {
        return;
    };
    let mut scene = Scene::new(kafka.pair().unwrap(), "long-head", "head_fill_max: 100");
    scene.write(200);
    scene.source.delete_records(&scene.topic, 0, 120).unwrap();
    scene.parks_after_writing("RecordsExpired", &["offsets [0, 120)", "head_fill_max", "offsets: shifted"]);
    assert_eq!(scene.target_end(), 0);
    scene.set("offsets: shifted\nhead_fill_max: 100");
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target_end(), 80);
}
