//! Topics that are deleted on the target after their source was: only what is the source's copy, and not most of them.

use std::thread::sleep;
use std::time::Duration;

use kmirror_testkit::{Workload, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_copy_that_producers_have_moved_to_is_not_deleted,
    an_intended_deletion_is_shown_and_kept_across_a_restart,
    a_topic_that_was_made_anew_before_its_time_is_not_deleted,
    most_topics_are_not_deleted_one_after_the_other,
);

fn scene(stage: &Stage, name: &str, after: &str) -> Scene {
    Scene::copied(
        stage,
        name,
        &format!("on_deleted: {{ delete_after: {after} }}\nmetadata_refresh_interval: 200ms"),
    )
}

fn a_copy_that_producers_have_moved_to_is_not_deleted(stage: &Stage) {
    let scene = scene(stage, "moved-to", "1s");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.target.produce(&[Workload::new(&scene.topic).first(100).records(30)]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["the target's stays", &scene.topic]);
    sleep(Duration::from_secs(2));
    assert_eq!(scene.target_end(), 130);
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn an_intended_deletion_is_shown_and_kept_across_a_restart(stage: &Stage) {
    let mut scene = scene(stage, "intended", "1h");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["the target's will be, unless it is back before", &scene.topic]);
    assert_eq!(mirror.end("TERM"), Some(143));
    let planned = scene.kmirror().run(&["plan"]).with_code(0).stdout();
    assert!(planned.contains(&scene.topic) && planned.contains("delete in"), "{planned}");
    assert_eq!(scene.target_end(), 100);
    // When it is due was recorded with it: that topics are deleted sooner by now changes nothing of it.
    scene.set("on_deleted: { delete_after: 1s }\nmetadata_refresh_interval: 200ms");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["the target's topic is to be deleted, as its source was", &scene.topic]);
    sleep(Duration::from_secs(2));
    assert_eq!(scene.target_end(), 100);
    // It is back: nothing is to be deleted any more.
    scene.source.produce(&[Workload::new(&scene.topic).records(5)]);
    mirror.says(&["the source topic is back: the target's is not deleted"]);
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_topic_that_was_made_anew_before_its_time_is_not_deleted(stage: &Stage) {
    let scene = scene(stage, "made-anew", "15s");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["the target's will be, unless it is back before", &scene.topic]);
    scene.target.delete_topic(&scene.topic);
    await_that("it is gone", || scene.target.partitions(&scene.topic).is_none());
    scene.target.produce(&[Workload::new(&scene.topic).records(7)]);
    mirror.says(&["not deleted on the target", &scene.topic]);
    assert_eq!(scene.target_end(), 7);
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// With a restart before each, which does not make it another hour.
fn most_topics_are_not_deleted_one_after_the_other(stage: &Stage) {
    let (source, target) = stage.pair();
    let topics: Vec<_> = (0..4).map(|_| unique_topic("one-by-one")).collect();
    source.produce(&topics.iter().map(|topic| Workload::new(topic).records(10)).collect::<Vec<_>>());
    let state_topic = unique_topic("__state");
    let settings = format!(
        "    state_topic: {state_topic}\n    on_deleted: {{ delete_after: 1s }}\n    metadata_refresh_interval: 200ms\n"
    );
    // Those that are gone must not be missed by their names.
    let pattern = format!("({})", topics.join("|"));
    let kmirror = Kmirror::mirroring(&source, &target, &[&pattern], &settings);
    kmirror.copy();
    for (index, topic) in topics[..3].iter().enumerate() {
        let mut mirror = kmirror.start();
        topics[index..].iter().for_each(|left| drop(mirror.says(&["copying", left])));
        source.delete_topic(topic);
        if index < 2 {
            await_that("it is deleted", || target.partitions(topic).is_none());
        } else {
            mirror.says(&["more than half of the source's topics are gone", topic]);
            sleep(Duration::from_secs(1));
            assert_eq!(target.end(topic, 0), Some(10));
        }
        assert_eq!(mirror.end("TERM"), Some(143));
    }
}
