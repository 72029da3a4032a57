//! What is not the flow's own is not touched, and where another cluster answers nothing is done.

use kmirror_testkit::{Workload, unique_topic};

use crate::kmirror::Kmirror;
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    a_topic_of_somebody_else_stays_as_it_is,
    the_copy_of_a_topic_that_was_created_again_stays_as_it_is,
    a_flow_does_not_start_where_another_cluster_answers,
    a_copy_that_somebody_has_written_to_does_not_grow_after_a_restart,
    what_kmirror_writes_itself_is_not_somebody_elses,
);

/// Everything that follows, as often as it may.
const OFTEN: &str = "metadata_refresh_interval: 200ms\ntopic_configs: { interval: 200ms }\nretention: follow\ngroups_interval: 1s";

/// The target has a topic of its own with the name of one that is copied: fewer partitions, other settings, records.
fn a_topic_of_somebody_else_stays_as_it_is(stage: &Stage) {
    let mut scene = Scene::new(stage, "theirs", OFTEN);
    scene.add("on_deleted: { delete_after: 1s, even_all: true }");
    let topic = scene.topic.clone();
    scene.source.create_topic(&topic, 4, &[("retention.ms", "3600000")]);
    scene.write(100);
    scene.target.create_topic(&topic, 1, &[("retention.ms", "-1")]);
    scene.target.produce(&[Workload::new(&topic).records(30)]);
    let is_untouched = |target: &AnyCluster| {
        let is_theirs = target.has_config(&topic, "retention.ms", "-1");
        is_theirs && target.partitions(&topic) == Some(1) && target.end(&topic, 0) == Some(30)
    };
    let planned = scene.kmirror().run(&["plan"]).with_code(0).saying("nothing says that it is this flow's");
    assert!(!planned.stdout().contains("retention.ms"), "{}", planned.stdout());
    scene.kmirror().run(&["run", "--once"]).with_code(1).saying("TargetDiverged");
    assert!(is_untouched(&scene.target));
    // Nor while it runs, nor where the source's goes.
    let mut mirror = scene.kmirror().start();
    mirror.says(&["parked", &topic, "nothing is copied into it"]);
    scene.source.delete_topic(&topic);
    mirror.says(&[&topic, "the target's stays"]);
    assert_eq!(mirror.end("TERM"), Some(143));
    assert!(is_untouched(&scene.target));
}

/// A source topic is created again with the brokers' defaults, and more partitions: its copy is what is left of the first one.
fn the_copy_of_a_topic_that_was_created_again_stays_as_it_is(stage: &Stage) {
    let scene = Scene::new(stage, "again", OFTEN);
    let topic = scene.topic.as_str();
    scene.source.create_topic(topic, 1, &[("retention.ms", "-1")]);
    scene.write(100);
    let group = unique_topic("group");
    scene.source.commit(&group, topic, 0, 80);
    let mut mirror = scene.kmirror().start();
    scene.await_copied();
    crate::kmirror::await_that("the group has followed", || {
        scene.target.committed(&group, topic, 0) == Some(80)
    });
    scene.source.delete_topic(topic);
    scene.source.create_topic(topic, 3, &[("retention.ms", "1000")]);
    scene.source.produce(&[Workload::new(topic).records(30)]);
    mirror.says(&["parked", topic, "SourceRecreated"]);
    scene.source.commit(&group, topic, 0, 3);
    mirror.says(&["other partitions of the topic are parked", "new ones are not copied either"]);
    // What follows groups has looked again.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert!(scene.target.has_config(topic, "retention.ms", "-1"));
    assert_eq!((scene.target.partitions(topic), scene.target_end()), (Some(1), 100));
    assert_eq!(scene.target.committed(&group, topic, 0), Some(80));
}

/// The name of the source stands for another cluster since the last time.
fn a_flow_does_not_start_where_another_cluster_answers(stage: &Stage) {
    let scene = Scene::new(stage, "elsewhere", "");
    scene.write(100);
    scene.kmirror().copy();
    let other = stage.cluster();
    other.produce(&[Workload::new(&scene.topic).records(7), Workload::new(scene.neighbour()).records(7)]);
    let turned =
        Kmirror::mirroring(&other, &scene.target, &[&scene.topic, scene.neighbour()], &scene.settings());
    let refused = turned.run(&["run", "--once"]).with_code(78).saying("kmirror accept-cluster");
    assert!(refused.stderr().contains("east is the cluster"), "{}", refused.stderr());
    turned.run(&["plan"]).with_code(78);
    assert_eq!(scene.target_end(), 100);
    // And it goes on where the name is turned back.
    scene.write(20);
    scene.kmirror().copy();
    assert_eq!(scene.target_end(), 120);
    let accepted = turned.run(&["accept-cluster"]).with_code(0);
    assert!(accepted.stdout().contains("it was "), "{}", accepted.stdout());
    turned.run(&["run", "--once"]).with_code(1).saying("SourceRecreated");
    assert_eq!(scene.target_end(), 120);
}

/// Somebody has written to one partition of a copy while nobody ran.
fn a_copy_that_somebody_has_written_to_does_not_grow_after_a_restart(stage: &Stage) {
    let scene = Scene::new(stage, "written-to", OFTEN);
    let topic = scene.topic.as_str();
    scene.source.create_topic(topic, 2, &[]);
    scene.write(100);
    scene.kmirror().copy();
    let ends = scene.target.ends(topic);
    scene.target.write_text(topic, "theirs", "record");
    scene.source.add_partitions(topic, 3);
    scene.source.alter_topic(topic, &[("retention.ms", "3600000")]);
    let ended = scene.kmirror().run(&["run", "--once"]).with_code(1).saying("TargetDiverged");
    assert!(ended.stderr().contains("new ones are not copied either"), "{}", ended.stderr());
    assert!(!scene.target.has_config(topic, "retention.ms", "3600000"));
    let after = scene.target.ends(topic);
    let sum = |ends: Option<Vec<i64>>| ends.map(|ends| (ends.len(), ends.iter().sum::<i64>()));
    assert_eq!(sum(after), sum(ends).map(|(partitions, records)| (partitions, records + 1)));
}

/// Topics that are called like those of kmirror: the source's are not copied into them, and the target's are not taken for them.
fn what_kmirror_writes_itself_is_not_somebody_elses(stage: &Stage) {
    let scene = Scene::new(stage, "names", OFTEN);
    scene.write(10);
    let state_topic = scene.state_topic().to_owned();
    scene.source.create_topic(&state_topic, 1, &[("cleanup.policy", "delete")]);
    scene.source.produce(&[Workload::new(&state_topic).records(30)]);
    let topics = [&scene.topic, scene.neighbour(), &state_topic];
    let kmirror = Kmirror::mirroring(&scene.source, &scene.target, &topics, &scene.settings());
    let ended = kmirror.run(&["run", "--once"]).with_code(0);
    let left_out =
        |line: &&str| line.contains("left out though the flow names it") && line.contains(&state_topic);
    assert!(ended.stderr().lines().any(|line| left_out(&line)), "{}", ended.stderr());
    assert!(scene.target.has_config(&state_topic, "cleanup.policy", "compact"));
    // One that somebody else uses, and one that would forget.
    let audit = unique_topic("audit");
    for (policy, why, records) in [("compact", "did not write", 1), ("delete", "would expire", 0)] {
        let used = format!("{audit}-{policy}");
        scene.target.create_topic(&used, 1, &[("cleanup.policy", policy)]);
        (0..records).for_each(|_| scene.target.write_text(&used, "theirs", "record"));
        let settings = scene.settings().replace(&state_topic, &used);
        let taken = Kmirror::mirroring(&scene.source, &scene.target, &topics, &settings);
        taken.run(&["run", "--once"]).with_code(78).saying(why);
        assert_eq!(scene.target.end(&used, 0), Some(records));
    }
}
