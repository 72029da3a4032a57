//! Where a copy begins: heads that have expired, other starts than the earliest, targets that hold something already.

use std::time::Duration;

use crate::scene::Scene;
use crate::schedule::Schedule;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_source_without_its_head_gets_a_target_that_begins_where_it_does,
    a_compacted_topic_without_its_head_is_copied_and_compacted,
    a_head_whose_filling_is_killed_again_and_again_is_filled,
    a_head_that_is_too_long_parks_and_a_shifted_copy_needs_none,
);

fn a_source_without_its_head_gets_a_target_that_begins_where_it_does(stage: &Stage) {
    let scene = Scene::new(stage, "head", "");
    scene.write(200);
    scene.source.delete_records(&scene.topic, 0, 120);
    scene.copies();
    assert_eq!(scene.target.start(&scene.topic), Some(120));
    // With everything gone there is no record left that would show where the copy stands.
    scene.source.delete_records(&scene.topic, 0, 200);
    scene.kmirror().copy();
    scene.write(10);
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target_end(), 210);
}

fn a_compacted_topic_without_its_head_is_copied_and_compacted(stage: &Stage) {
    let scene = Scene::new(stage, "compacted-head", "");
    scene.write_to_neighbour(20);
    scene.source.write_compacted(&scene.topic, "lz4");
    scene.source.alter_topic(&scene.topic, &[("cleanup.policy", "compact,delete")]);
    scene.source.delete_records(&scene.topic, 0, 2_500);
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target.start(&scene.topic), Some(2_500));
    assert!(scene.target.has_config(&scene.topic, "cleanup.policy", "compact,delete"));
}

fn a_head_whose_filling_is_killed_again_and_again_is_filled(stage: &Stage) {
    let scene = Scene::new(stage, "killed-head", "");
    let mut schedule = Schedule::new();
    scene.write_to_neighbour(20);
    scene.source.write_behind_head(&scene.topic, HEAD);
    for _ in 0..4 {
        let mut mirror = scene.kmirror().start();
        std::thread::sleep(Duration::from_millis(schedule.up_to(1_200)));
        mirror.kill();
    }
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target.start(&scene.topic), Some(HEAD));
}

/// Long enough to be killed in.
const HEAD: i64 = 3_000_000;

fn a_head_that_is_too_long_parks_and_a_shifted_copy_needs_none(stage: &Stage) {
    let mut scene = Scene::new(stage, "long-head", "head_fill_max: 100");
    scene.write(200);
    scene.source.delete_records(&scene.topic, 0, 120);
    scene.parks_after_writing("RecordsExpired", &["offsets [0, 120)", "head_fill_max", "offsets: shifted"]);
    assert_eq!(scene.target_end(), 0);
    scene.set("offsets: shifted\nhead_fill_max: 100");
    scene.kmirror().copy();
    scene.kmirror().prove();
    assert_eq!(scene.target_end(), 80);
}
