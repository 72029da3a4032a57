//! Brokers of the target whose defaults would change or remove what is copied.

use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use kmirror_testkit::{Workload, compare_records};

use crate::kmirror::await_that;
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds! {
    defaults_of_the_target_destroy_no_copy,
    a_topic_that_is_there_already_is_protected_too,
    what_may_not_be_changed_parks_before_a_record_is_copied,
    what_is_excluded_is_the_operators,
}

/// The source keeps for ever what the target would replace, remove and delete.
fn clusters(stage: &Stage) -> (AnyCluster, AnyCluster) {
    let source = stage.cluster_with_defaults(&[("retention.ms", "-1")]);
    (source, stage.cluster_with_defaults(HOSTILE))
}

fn write_old_records(scene: &Scene) {
    let month_ago = UNIX_EPOCH.elapsed().unwrap() - Duration::from_secs(30 * 86_400);
    scene.write_with(|workload: Workload| {
        workload.records(300).keys(5).timestamps(month_ago.as_millis() as i64, 1)
    });
}

/// Some time for a cleaner and retention, which have nothing to do.
fn stays(scene: &Scene) {
    sleep(Duration::from_secs(2));
    compare_records(&scene.on_source(), &scene.on_target()).unwrap();
    assert_eq!(scene.on_target().len(), 300);
    scene.kmirror().prove();
}

fn defaults_of_the_target_destroy_no_copy(stage: &Stage) {
    let (source, target) = clusters(stage);
    let scene = Scene::between(&source, &target, "defaults", "");
    write_old_records(&scene);
    scene.kmirror().copy_undisturbed();
    stays(&scene);
}

fn a_topic_that_is_there_already_is_protected_too(stage: &Stage) {
    let (source, target) = clusters(stage);
    let scene = Scene::between(&source, &target, "there", "");
    target.create_topic(&scene.topic, 1, &[]);
    write_old_records(&scene);
    scene.kmirror().copy_undisturbed();
    stays(&scene);
}

fn what_may_not_be_changed_parks_before_a_record_is_copied(stage: &Stage) {
    let (source, _) = stage.pair();
    for (key, value, words) in [
        ("cleanup.policy", "compact", "all but the last record of each key is removed"),
        ("message.timestamp.type", "LogAppendTime", "every timestamp is replaced"),
        ("retention.ms", "1000", "records are removed earlier than on the source"),
    ] {
        let target = stage.cluster_with_defaults(&[(key, value)]);
        let mut scene = Scene::between(&source, &target, "left", "topic_configs: { follow: false }");
        for topic in [scene.topic.as_str(), scene.neighbour()] {
            target.create_topic(topic, 1, &[]);
        }
        let good: Vec<_> = GOOD.iter().copied().filter(|(other, _)| *other == key).collect();
        set(&target, scene.neighbour(), &good);
        scene.write(50);
        scene.parks("Rejected", &[key, words, "topic_configs.follow is false"]);
        assert_eq!(scene.target_end(), 0);
        // Once somebody has set it, or kmirror may.
        if key == "cleanup.policy" {
            set(&target, &scene.topic, &good);
        } else {
            scene.set("");
        }
        scene.copies();
    }
}

/// Brokers take a moment to show what was set.
fn set(target: &AnyCluster, topic: &str, configs: &[(&str, &str)]) {
    target.alter_topic(topic, configs);
    await_that("it is set", || configs.iter().all(|(key, value)| target.has_config(topic, key, value)));
}

fn what_is_excluded_is_the_operators(stage: &Stage) {
    let (source, _) = stage.pair();
    let target = stage.cluster_with_defaults(&[("cleanup.policy", "compact")]);
    let scene = Scene::between(&source, &target, "excluded", "topic_configs: { exclude: [cleanup.policy] }");
    target.create_topic(scene.neighbour(), 1, &[("cleanup.policy", "delete")]);
    scene.write_with(|workload| workload.records(50).keys(5));
    let consequence = "cleanup.policy=compact on the target, where the copy needs delete: all but the last record of each key is removed";
    let check = scene.kmirror().run(&["check"]).stdout();
    assert!(check.contains(consequence), "{check}");
    // `plan` says the same, of the topic that would be created and of the one that is there.
    let advice = "take the key out of topic_configs.exclude, or set it yourself";
    let note = format!("{}: {consequence}; {advice}", scene.topic);
    let is_noted = || scene.kmirror().run(&["plan"]).with_code(0).stderr().contains(&note);
    assert!(is_noted(), "before the topic is there");
    scene.kmirror().copy();
    assert!(is_noted(), "once it is there");
    let neighbour = format!("{}: cleanup.policy", scene.neighbour());
    assert!(!scene.kmirror().run(&["plan"]).stderr().contains(&neighbour), "nothing happens to that one");
    assert!(!Rc::clone(&target).has_config(&scene.topic, "cleanup.policy", "delete"));
    assert_eq!(scene.target_end(), 50);
}

const HOSTILE: &[(&str, &str)] = &[
    ("message.timestamp.type", "LogAppendTime"),
    ("cleanup.policy", "compact,delete"),
    ("retention.ms", "1000"),
];
const GOOD: &[(&str, &str)] =
    &[("message.timestamp.type", "CreateTime"), ("cleanup.policy", "delete"), ("retention.ms", "-1")];
