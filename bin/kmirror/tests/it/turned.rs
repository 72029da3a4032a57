//! Names that come to stand for another cluster, while a mirror runs and while none does. All addresses that it learns lead through the
//! name, as those of a cluster behind a load balancer do.

use std::thread::sleep;
use std::time::Duration;

use kmirror_testkit::{Workload, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::proxy::Proxy;
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    a_source_whose_name_is_turned_is_not_followed,
    a_target_whose_name_is_turned_is_not_written_to,
);

/// Everything that follows, as often as it may.
const OFTEN: &str = "metadata_refresh_interval: 200ms\ntopic_configs: { interval: 200ms }\nretention: follow\ngroups_interval: 1s\n\
                     on_deleted: { delete_after: 1s, even_all: true }\non_recreated: restart";

/// So many rounds of everything that follows have passed.
fn some_rounds() {
    sleep(Duration::from_secs(4));
}

/// A topic as it is: how many partitions it has, where they end, and where a group stands in the first one.
fn seen(cluster: &AnyCluster, topic: &str, group: &str) -> (Option<Vec<i64>>, Option<i64>) {
    (cluster.ends(topic), cluster.committed(group, topic, 0))
}

/// The other cluster has a topic of the same name with other settings, another topic that is selected, and groups that stand elsewhere.
fn a_source_whose_name_is_turned_is_not_followed(stage: &Stage) {
    let name = Proxy::start();
    let ((east, at_east), (other, at_other)) =
        (stage.cluster_behind(name.port()), stage.cluster_behind(name.port()));
    let scene = Scene::between(&east, &stage.cluster(), "turned", OFTEN);
    let (topic, strange, group) = (scene.topic.as_str(), unique_topic("strange"), unique_topic("group"));
    east.create_topic(topic, 1, &[("retention.ms", "-1")]);
    scene.write(100);
    east.commit(&group, topic, 0, 80);
    other.create_topic(topic, 3, &[("retention.ms", "1000")]);
    other.produce(&[Workload::new(topic).records(30), Workload::new(&strange).records(30)]);
    other.commit(&group, topic, 0, 3);
    let there = seen(&other, topic, &group);
    let west = scene.target.bootstrap_servers();
    let topics = [topic, scene.neighbour(), &format!("{strange}.*")];
    let kmirror = Kmirror::between(&name.address(), &west, &topics, &scene.settings());
    let is_untouched = |end: i64| {
        assert_eq!(seen(&scene.target, topic, &group), (Some(vec![end]), Some(80)));
        assert!(scene.target.has_config(topic, "retention.ms", "-1"));
        assert!(scene.target.partitions(scene.neighbour()).is_some(), "it is not deleted");
        assert_eq!(scene.target.partitions(&strange), None);
        assert_eq!(seen(&other, topic, &group), there);
    };
    let ids = [east.cluster_id(), other.cluster_id()];
    name.turn(at_east);
    let mut mirror = kmirror.start();
    scene.await_copied();
    await_that("the group has followed", || scene.target.committed(&group, topic, 0) == Some(80));
    name.turn(at_other);
    mirror.says(&[&ids[0], &ids[1]]);
    some_rounds();
    is_untouched(100);
    name.turn(at_east);
    scene.write(20);
    scene.await_copied();
    assert_eq!(mirror.end("TERM"), Some(143));
    // The same while nobody runs.
    name.turn(at_other);
    kmirror.run(&["run", "--once"]).with_code(78).saying(&ids[0]).saying(&ids[1]);
    is_untouched(120);
    name.turn(at_east);
    scene.write(20);
    kmirror.copy();
    is_untouched(140);
}

/// The other cluster has a topic of the same name that is as long. Which cluster is meant is written down, for its state topic is another one.
fn a_target_whose_name_is_turned_is_not_written_to(stage: &Stage) {
    let name = Proxy::start();
    let ((west, at_west), (other, at_other)) =
        (stage.cluster_behind(name.port()), stage.cluster_behind(name.port()));
    let scene = Scene::between(&stage.cluster(), &west, "turned", OFTEN);
    let (topic, group, later) = (scene.topic.as_str(), unique_topic("group"), unique_topic("later"));
    scene.write(100);
    scene.source.commit(&group, topic, 0, 80);
    other.create_topic(topic, 1, &[("retention.ms", "-1")]);
    other.produce(&[Workload::new(topic).records(100)]);
    other.commit(&group, topic, 0, 3);
    let ids = [west.cluster_id(), other.cluster_id()];
    let kmirror = Kmirror::with_config(&format!(
        "clusters:\n  east: {{ bootstrap_servers: \"{}\" }}\n  west: {{ bootstrap_servers: \"{}\", cluster_id: \"{}\" }}\nflows:\n  \
         - source: east\n    target: west\n    topics: {{ include: [\"{topic}\", \"{}\", \"{later}\"] }}\n{}",
        scene.source.bootstrap_servers(),
        name.address(),
        ids[0],
        scene.neighbour(),
        scene.settings()
    ));
    let is_untouched = || {
        assert_eq!(seen(&other, topic, &group), (Some(vec![100]), Some(3)));
        assert!(other.has_config(topic, "retention.ms", "-1"));
        for created in [scene.neighbour(), &later, scene.state_topic()] {
            assert_eq!(other.partitions(created), None, "{created}");
        }
    };
    name.turn(at_west);
    let mut mirror = kmirror.start();
    scene.await_copied();
    await_that("the group has followed", || west.committed(&group, topic, 0) == Some(80));
    name.turn(at_other);
    scene.write(20);
    scene.source.produce(&[Workload::new(&later).records(10)]);
    scene.source.commit(&group, topic, 0, 90);
    mirror.says(&[&ids[0], &ids[1]]);
    some_rounds();
    is_untouched();
    name.turn(at_west);
    scene.await_copied();
    await_that("all of it follows", || {
        west.end(&later, 0) == Some(10) && west.committed(&group, topic, 0) == Some(90)
    });
    assert_eq!(mirror.end("TERM"), Some(143));
    name.turn(at_other);
    let refused = kmirror.run(&["run", "--once"]).saying(&ids[0]).saying(&ids[1]);
    is_untouched();
    refused.with_code(78);
    name.turn(at_west);
    scene.write(20);
    kmirror.copy();
    assert_eq!(west.end(topic, 0), Some(140));
    is_untouched();
}
