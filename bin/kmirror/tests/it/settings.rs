//! What follows beside records, where the target refuses it, somebody else changes it, or the source has lost too much.

use kmirror_testkit::Workload;

use crate::kmirror::{Running, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_configuration_that_was_refused_is_set_once_it_is_another_one,
    a_configuration_that_somebody_sets_again_and_again_is_told_once,
    a_source_that_lost_more_than_half_at_once_is_not_followed,
);

const OFTEN: &str = "topic_configs: { interval: 200ms, exclude: [max.compaction.lag.ms] }";

fn a_configuration_that_was_refused_is_set_once_it_is_another_one(stage: &Stage) {
    let scene = Scene::copied(stage, "refused", OFTEN);
    let topic = scene.topic.as_str();
    scene.target.alter_topic(topic, &[("max.compaction.lag.ms", "1000")]);
    let mut mirror = scene.kmirror().start();
    scene.source.alter_topic(topic, &[("min.compaction.lag.ms", "5000")]);
    mirror.says(&["the target does not take this configuration", "min.compaction.lag.ms"]);
    scene.source.alter_topic(topic, &[("min.compaction.lag.ms", "500")]);
    await_that("the other value is set", || scene.target.has_config(topic, "min.compaction.lag.ms", "500"));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(
        mirror.log().matches("the target does not take this configuration").count(),
        1,
        "{}",
        mirror.log()
    );
}

fn a_configuration_that_somebody_sets_again_and_again_is_told_once(stage: &Stage) {
    let scene = Scene::new(stage, "flapping", OFTEN);
    let topic = scene.topic.as_str();
    scene.source.create_topic(topic, 1, &[("segment.ms", "900000000")]);
    scene.write(10);
    let mut mirror = scene.kmirror().start();
    scene.await_copied();
    let told = "somebody else sets this configuration on the target again and again";
    // What is seen on the target is in the log a moment later.
    let changes = |mirror: &Running| {
        mirror.log().matches("configuration changed on the target").count()
            + mirror.log().matches(told).count()
    };
    while !mirror.log().contains(told) {
        let before = changes(&mirror);
        scene.target.alter_topic(topic, &[("segment.ms", "800000000")]);
        await_that("it is changed back", || {
            scene.target.has_config(topic, "segment.ms", "900000000") && changes(&mirror) > before
        });
    }
    // From now on it is left in peace, for a minute at first.
    scene.target.alter_topic(topic, &[("segment.ms", "800000000")]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(scene.target.has_config(topic, "segment.ms", "800000000"));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(mirror.log().matches(told).count(), 1, "{}", mirror.log());
}

/// What is written after the loss does not make less of it, and neither does a restart.
fn a_source_that_lost_more_than_half_at_once_is_not_followed(stage: &Stage) {
    let mut scene = Scene::new(stage, "lost-half", "retention: follow\nmetadata_refresh_interval: 200ms");
    let topic = scene.topic.clone();
    scene.write(20_000);
    let mut mirror = scene.kmirror().start();
    scene.await_copied();
    scene.source.delete_records(&topic, 0, 15_000);
    mirror.says(&["WARN", "the source lost more than half of what the target holds", &topic]);
    scene.write_with(|workload| workload.first(20_000).records(20_000));
    scene.await_copied();
    assert_eq!(mirror.end("TERM"), Some(143));
    scene.set("retention: follow\nmetadata_refresh_interval: 100ms");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &topic]);
    // The neighbour follows, which shows that starts were looked at.
    scene.source.delete_records(scene.neighbour(), 0, 10);
    await_that("its start follows", || scene.target.start(scene.neighbour()) == Some(10));
    assert_eq!(scene.target.start(&topic), Some(0));
    // Somebody decides, and it follows again.
    scene.target.delete_records(&topic, 0, 15_000);
    scene.source.produce(&[Workload::new(&topic).first(40_000).records(10)]);
    await_that("somebody has decided", || {
        mirror.log().contains("the target's log start follows the source's again")
            || mirror.log().contains("log start follows")
    });
    scene.source.delete_records(&topic, 0, 15_010);
    await_that("it follows", || scene.target.start(&topic) == Some(15_010));
    assert_eq!(mirror.end("TERM"), Some(143));
}
