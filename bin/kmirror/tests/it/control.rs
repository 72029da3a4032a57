//! What happens to topics beside their records: they are created, grow, get other configurations, and vanish.

use kmirror_testkit::{Workload, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    configurations_and_partitions_follow_while_it_runs,
    a_deleted_topic_is_deleted_after_its_time,
    a_deleted_topic_parks_where_the_policy_says_so,
    a_deleted_topic_stays_on_the_target_else,
    topics_may_be_left_to_somebody_else,
    what_would_be_copied_for_ever_is_refused,
    two_files_with_other_aliases_do_not_copy_for_ever,
    three_files_in_a_ring_do_not_copy_for_ever,
    heartbeats_go_on_where_their_topic_was_deleted,
);

/// Looks often.
const OFTEN: &str = "metadata_refresh_interval: 200ms\ntopic_configs: { interval: 200ms }";

fn configurations_and_partitions_follow_while_it_runs(stage: &Stage) {
    let scene = Scene::new(stage, "control", OFTEN);
    scene.source.create_topic(
        &scene.topic,
        1,
        &[("retention.ms", "900000000"), ("min.insync.replicas", "1")],
    );
    scene.write(100);
    let mut mirror = scene.kmirror().start();
    scene.await_copied();
    let topic = scene.topic.as_str();
    assert!(scene.target.has_config(topic, "retention.ms", "900000000"), "created with it");
    scene.source.alter_topic(topic, &[("retention.ms", "800000000"), ("segment.ms", "700000000")]);
    await_that("changes have followed", || {
        scene.target.has_config(topic, "retention.ms", "800000000")
            && scene.target.has_config(topic, "segment.ms", "700000000")
    });
    scene.source.reset_topic(topic, "segment.ms");
    // Somebody changes the target's: it is corrected. What is excluded is his business.
    scene.target.alter_topic(topic, &[("flush.messages", "77"), ("min.insync.replicas", "1")]);
    await_that("it is as on the source again", || {
        !scene.target.has_config(topic, "segment.ms", "700000000")
            && !scene.target.has_config(topic, "flush.messages", "77")
    });
    scene.source.add_partitions(topic, 3);
    await_that("partitions were added", || scene.target.partitions(topic) == Some(3));
    scene.write(50);
    scene.await_copied();
    assert_eq!(mirror.end("TERM"), Some(143));
    scene.kmirror().prove();
}

fn a_deleted_topic_is_deleted_after_its_time(stage: &Stage) {
    let scene = Scene::copied(stage, "vanishes", &format!("on_deleted: {{ delete_after: 1s }}\n{OFTEN}"));
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["the target's will be, unless it is back before"]);
    await_that("it is deleted on the target", || scene.target.partitions(&scene.topic).is_none());
    scene.write_to_neighbour(20);
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_deleted_topic_parks_where_the_policy_says_so(stage: &Stage) {
    let scene = Scene::copied(stage, "deleted-parks", &format!("on_deleted: park\n{OFTEN}"));
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["parked", "SourceDeleted", "the target keeps what was copied"]);
    assert_eq!(scene.target_end(), 100);
    // It is back, and parks for another reason.
    scene.write(40);
    mirror.says(&["parked", "SourceRecreated"]);
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_deleted_topic_stays_on_the_target_else(stage: &Stage) {
    let scene = Scene::copied(stage, "deleted-stays", OFTEN);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    mirror.says(&["the source topic was deleted; the target's stays"]);
    scene.write_to_neighbour(20);
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(scene.target_end(), 100);
}

fn topics_may_be_left_to_somebody_else(stage: &Stage) {
    let scene = Scene::new(stage, "left-alone", &format!("create_topics: false\n{OFTEN}"));
    scene.write(100);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["the flow waits for somebody to create the copy of this topic", &scene.topic]);
    assert_eq!(scene.target.partitions(&scene.topic), None);
    scene.target.create_topic(&scene.topic, 1, &[]);
    mirror.says(&["copying", &scene.topic]);
    let neighbour = scene.neighbour();
    scene.target.create_topic(neighbour, 1, &[]);
    scene.await_copied();
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn what_would_be_copied_for_ever_is_refused(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, other) = (unique_topic("circle"), unique_topic("before-the-circle"));
    source.produce(&[&topic, &other].map(|topic| Workload::new(topic).records(10)));
    let config = |west: &str, flows: &str| {
        let east = source.bootstrap_servers();
        Kmirror::with_config(&format!(
            "clusters:\n  east: {{ bootstrap_servers: \"{east}\" }}\n  west: {{ bootstrap_servers: \"{west}\" }}\nflows:\n{flows}"
        ))
    };
    let flow = |from: &str, to: &str, naming: &str| {
        format!(
            "  - {{ source: {from}, target: {to}, topics: {{ include: [\"(.*\\\\.)?{topic}\"] }}, naming: {naming}, replication_factor: 1 }}\n"
        )
    };
    let there_and_back = |naming| flow("east", "west", naming) + &flow("west", "east", naming);
    // One that would not come back, and is the first by its name.
    let innocent = flow("east", "west", "identity").replace("include: [", &format!("include: [{other:?}, "));
    // Two names of one cluster: every record would be copied behind itself.
    let one_cluster = config(&source.bootstrap_servers(), &flow("east", "west", "identity"));
    one_cluster.run(&["run", "--once"]).with_code(78).saying("it passes east-to-west, then east-to-west");
    let circle = config(&target.bootstrap_servers(), &(innocent + &flow("west", "east", "identity")));
    circle.run(&["run"]).with_code(78).saying("it passes east-to-west, then west-to-east, then east-to-west");
    assert_eq!((source.end(&topic, 0), target.partitions(&topic)), (Some(10), None), "nothing was written");
    assert_eq!(target.partitions(&other), None, "nor created");
    // One of a scenario's own, since others share the clusters.
    let state = unique_topic("state");
    let one_cluster =
        flow("east", "west", "identity").replace(", naming", &format!(", state_topic: {state}, naming"));
    config(&source.bootstrap_servers(), &one_cluster).run(&["run", "--once"]).with_code(78);
    assert_eq!(source.partitions(&state), None, "nothing is written before it is refused");
    // A prefix tells where a topic came from, and it is not copied back.
    config(&target.bootstrap_servers(), &flow("east", "west", "prefixed")).copy();
    let mut mirror = config(&target.bootstrap_servers(), &there_and_back("prefixed")).start();
    source.produce(&[Workload::new(&topic).records(10)]);
    await_that("the records have arrived", || target.end(&format!("east.{topic}"), 0) == Some(20));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(source.partitions(&format!("west.east.{topic}")), None);
}

/// One mirror at each site, each with a file of its own, in which the clusters are called otherwise.
fn two_files_with_other_aliases_do_not_copy_for_ever(stage: &Stage) {
    let (source, target) = stage.pair();
    let [topic, local, state_topic] = ["two-files", "two-files-local", "__state"].map(unique_topic);
    let settings = format!("naming: prefixed, state_topic: {state_topic}, metadata_refresh_interval: 200ms");
    let site = |[from, to]: [&str; 2], clusters: [&AnyCluster; 2]| {
        let [from_servers, to_servers] = clusters.map(|cluster| cluster.bootstrap_servers());
        Kmirror::with_config(&format!(
            "clusters:\n  {from}: {{ bootstrap_servers: \"{from_servers}\" }}\n  {to}: {{ bootstrap_servers: \"{to_servers}\" }}\nflows:\n  \
             - {{ source: {from}, target: {to}, topics: {{ include: [\"(.*\\\\.)?({topic}|{local})\"] }}, {settings} }}\n"
        ))
    };
    source.produce(&[Workload::new(&topic).records(10)]);
    target.produce(&[Workload::new(&local).records(10)]);
    let mut there = site(["east", "west"], [&source, &target]).start();
    let copy = format!("east.{topic}");
    await_that("it is copied there", || target.end(&copy, 0) == Some(10));
    let mut back = site(["here", "dr"], [&target, &source]).start();
    await_that("what is at home there is copied", || source.end(&format!("here.{local}"), 0) == Some(10));
    back.says(&["left out: it has passed this flow's target", &copy]);
    there.says(&["left out: it has passed this flow's target", &format!("here.{local}")]);
    assert_eq!(source.partitions(&format!("here.{copy}")), None);
    assert_eq!(target.partitions(&format!("east.here.{local}")), None);
    assert_eq!((there.end("TERM"), back.end("TERM")), (Some(143), Some(143)));
}

/// Three sites in a ring, each with a file of its own: what comes round has passed a cluster that the last file does not know.
fn three_files_in_a_ring_do_not_copy_for_ever(stage: &Stage) {
    let (first, second) = stage.pair();
    let third = stage.cluster();
    let [topic, state_topic] = ["ring", "__state"].map(unique_topic);
    let link = |[from, to]: [&str; 2], clusters: [&AnyCluster; 2]| {
        let [from_servers, to_servers] = clusters.map(|cluster| cluster.bootstrap_servers());
        Kmirror::with_config(&format!(
            "clusters:\n  {from}: {{ bootstrap_servers: \"{from_servers}\" }}\n  {to}: {{ bootstrap_servers: \"{to_servers}\" }}\nflows:\n  \
             - {{ source: {from}, target: {to}, topics: {{ include: [\"(.*\\\\.)?{topic}\"] }}, naming: prefixed, state_topic: {state_topic}, \
             metadata_refresh_interval: 200ms }}\n"
        ))
    };
    first.produce(&[Workload::new(&topic).records(10)]);
    let mut links = [
        link(["paris", "oslo"], [&first, &second]).start(),
        link(["norway", "dr"], [&second, &third]).start(),
        link(["backup", "main"], [&third, &first]).start(),
    ];
    let round = format!("norway.paris.{topic}");
    await_that("it is copied, and copied on", || third.end(&round, 0) == Some(10));
    links[2].says(&["left out: it has passed this flow's target", &round]);
    assert_eq!(first.partitions(&format!("backup.{round}")), None);
    links.iter_mut().for_each(|link| assert_eq!(link.end("TERM"), Some(143)));
}

fn heartbeats_go_on_where_their_topic_was_deleted(stage: &Stage) {
    let scene = Scene::copied(stage, "beats", "mm2_topics: { heartbeats: true }");
    let mut mirror = scene.kmirror().start();
    let end = || scene.target.end("east.heartbeats", 0).unwrap_or(0);
    let before = end();
    await_that("this process beats as well", || end() > before + 1);
    scene.target.delete_topic("east.heartbeats");
    await_that("it goes on in a topic that is created again", || end() > 0);
    assert_eq!(mirror.end("TERM"), Some(143));
}
