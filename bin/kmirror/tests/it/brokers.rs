//! Brokers that are killed, that lose acknowledged records, and that stand still.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use kmirror_testkit::{
    Isolation, KafkaCluster, KafkaEndpoint, KafkaRelease, LogOffset, Workload, compare_records, real_kafka,
    unique_topic,
};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::schedule::Schedule;

/// A source of one node and a target of three, of which any may be killed at any time and comes back. `KMIRROR_BROKER_KILLS` of
/// them, 4 if not set. How long it takes until copying goes on is printed.
#[test]
fn brokers_that_are_killed_and_come_back_do_no_harm() {
    let Some(_kafka) = real_kafka("brokers_that_are_killed_and_come_back_do_no_harm") else { return };
    let (source, target) = thread::scope(|scope| {
        let source = scope.spawn(|| KafkaCluster::builder(KafkaRelease::KAFKA_4_3).start().unwrap());
        let target = three_nodes();
        (source.join().unwrap(), target)
    });
    let mut schedule = Schedule::new();
    let topics = ["plain", "transactional"].map(unique_topic);
    let [plain, transactional] = &topics;
    let endless = |topic: &str| Workload::new(topic).records(u32::MAX.into()).partitions(3);
    let load = [
        endless(plain).records_per_second(600).linger_ms(100),
        endless(transactional).records_per_second(60).linger_ms(20).transactions(10).abort_every(4),
    ];
    let load = source.start_load(&load).unwrap();
    await_that("the topics are there", || topics.iter().all(|topic| source.replicas(topic).is_ok()));
    let kmirror =
        Kmirror::mirroring(&source, &target, &[plain, transactional], "    metadata_refresh_interval: 1s\n");
    let mirror = kmirror.start();
    await_that("the first records arrive", || {
        target.offset(plain, 0, LogOffset::Latest).is_ok_and(|end| end > 0)
    });
    for _ in 0..Schedule::length("KMIRROR_BROKER_KILLS", 4) {
        let node = schedule.up_to(4) as usize;
        let (cluster, node, name) =
            if node == 0 { (&source, 1, "the source") } else { (&target, node, "a target node") };
        cluster.node(node).unwrap().kill();
        sleep(Duration::from_millis(schedule.up_to(5_000)));
        cluster.restart(node).unwrap();
        let resumed = time_to_resume(&source, &target, plain);
        println!("copying goes on {resumed:?} after the leaders are back, {name} was killed");
    }
    load.stop().unwrap();
    await_that("everything is copied", || {
        topics.iter().all(|topic| {
            (0..3).all(|partition| end(&source, topic, partition) == end(&target, topic, partition))
        })
    });
    drop(mirror);
    kmirror.copy();
    kmirror.prove();
}

/// From the moment when every partition has leaders and the source has records again, until these are on the target.
fn time_to_resume(source: &KafkaEndpoint, target: &KafkaEndpoint, topic: &str) -> Duration {
    let has_leaders = |kafka: &KafkaEndpoint| {
        kafka.replicas(topic).is_ok_and(|found| found.iter().all(|partition| partition.leader.is_some()))
    };
    await_that("all partitions have leaders", || has_leaders(source) && has_leaders(target));
    let before: Vec<Option<i64>> = (0..3).map(|partition| end(source, topic, partition)).collect();
    await_that("the source is written to", || {
        (0..3).all(|partition| end(source, topic, partition) > before[partition as usize])
    });
    let begun = Instant::now();
    let wanted: Vec<Option<i64>> = (0..3).map(|partition| end(source, topic, partition)).collect();
    await_that("the records arrive", || {
        (0..3).all(|partition| end(target, topic, partition) >= wanted[partition as usize])
    });
    begun.elapsed()
}

/// The new leader lacks records that were copied, and gets others at their offsets.
#[test]
fn a_source_that_loses_acknowledged_records_parks_the_partition() {
    let Some(kafka) = real_kafka("a_source_that_loses_acknowledged_records_parks_the_partition") else {
        return;
    };
    let source = three_nodes();
    for is_running in [true, false] {
        let scene = Scene::between(&source, &kafka.pair().unwrap().target, "source-truncated", ATTENTIVE);
        let [leader, follower] = on_two_nodes(&source, &scene.topic);
        scene.write(100);
        let mut mirror = scene.kmirror().start();
        scene.await_copied();
        source.node(follower).unwrap().kill();
        await_in_sync(&source, &scene.topic, &[leader]);
        scene.write(50);
        scene.await_copied();
        if !is_running {
            mirror.kill();
        }
        source.node(leader).unwrap().kill();
        source.restart(follower).unwrap();
        await_leader(&source, &scene.topic, follower);
        source.restart(leader).unwrap();
        scene.write_with(|workload| workload.records(80).seed(5));
        let range = "offsets [100, 150)";
        if is_running {
            scene.parks_running(&mut mirror, "SourceTruncated", &[range, "leader epoch"]);
        } else {
            scene.parks("SourceTruncated", &[range, "leader epoch"]);
        }
        assert_eq!(scene.target_end(), 150);
    }
}

/// Records that the target acknowledged are gone, so they are copied again.
#[test]
fn a_target_that_loses_acknowledged_records_gets_them_again() {
    let Some(kafka) = real_kafka("a_target_that_loses_acknowledged_records_gets_them_again") else { return };
    let target = three_nodes();
    for is_running in [true, false] {
        let scene = Scene::between(&kafka.pair().unwrap().source, &target, "target-truncated", ATTENTIVE);
        let [leader, follower] = on_two_nodes(&target, &scene.topic);
        scene.write(100);
        let mut mirror = scene.kmirror().start();
        scene.await_copied();
        target.node(follower).unwrap().kill();
        await_in_sync(&target, &scene.topic, &[leader]);
        scene.write(50);
        scene.await_copied();
        if !is_running {
            mirror.kill();
        }
        target.node(leader).unwrap().kill();
        target.restart(follower).unwrap();
        await_leader(&target, &scene.topic, follower);
        target.restart(leader).unwrap();
        scene.write(30);
        if is_running {
            scene.await_copied();
            mirror.kill();
        }
        scene.copies();
        assert_eq!(scene.target_end(), 180);
    }
}

/// The target stands still under load: what waits for it stays within the buffer. `KMIRROR_STALL_SECONDS`, 10 if not set.
#[test]
fn a_target_that_stands_still_costs_no_more_memory_than_the_buffer() {
    let Some(kafka) = real_kafka("a_target_that_stands_still_costs_no_more_memory_than_the_buffer") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let Some((_, target)) = pair.clusters() else { return };
    let topic = unique_topic("stalled");
    let load = Workload::new(&topic).records(u32::MAX.into()).partitions(4);
    let load = load.value_bytes(1_000, 1_000).records_per_second(12_000).batch_bytes(100_000);
    let load = pair.source.start_load(&[load]).unwrap();
    await_that("the topic is there", || pair.source.replicas(&topic).is_ok());
    let kmirror = Kmirror::mirroring(&pair.source, &pair.target, &[&topic], "    buffer: 16MiB\n");
    let mirror = kmirror.start();
    sleep(Duration::from_secs(5));
    let before = mirror.resident_bytes();
    target.node(1).unwrap().pause().unwrap();
    let mut highest = before;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(Schedule::length("KMIRROR_STALL_SECONDS", 10).into()) {
        highest = highest.max(mirror.resident_bytes());
        sleep(Duration::from_millis(100));
    }
    target.node(1).unwrap().resume().unwrap();
    println!("{} MiB before the target stood still, {} MiB at most", before >> 20, highest >> 20);
    assert!(highest < before + (16 << 20) + MARGIN_BYTES, "{} MiB, before {}", highest >> 20, before >> 20);
    let written = load.stop().unwrap();
    await_that("everything is copied", || {
        (0..4).all(|partition| end(&pair.source, &topic, partition) == end(&pair.target, &topic, partition))
    });
    assert!(written[0].bytes > 64 << 20, "too little to fill the buffer: {written:?}");
    drop(mirror);
    kmirror.prove();
}

/// Brokers forget producers that have not written for a while, and with them sequence and token.
#[test]
fn a_target_that_forgets_its_producers_is_copied_to_exactly() {
    let Some(kafka) = real_kafka("a_target_that_forgets_its_producers_is_copied_to_exactly") else { return };
    let source = &kafka.pair().unwrap().source;
    let target = KafkaCluster::builder(KafkaRelease::KAFKA_4_3)
        .property("producer.id.expiration.ms", "1000")
        .property("producer.id.expiration.check.interval.ms", "200")
        .property("transactional.id.expiration.ms", "1000")
        .start()
        .unwrap();
    let scene = Scene::between(source, &target, "forgotten", ATTENTIVE);
    let write = || scene.write_with(|workload| workload.records(90).transactions(10).abort_every(3));
    write();
    let mut mirror = scene.kmirror().start();
    for _ in 0..2 {
        scene.await_copied();
        await_forgotten(&target, &scene.topic);
        write();
    }
    scene.await_copied();
    mirror.kill();
    await_forgotten(&target, &scene.topic);
    write();
    scene.copies();
    // Nor does the log say any more who wrote it.
    await_forgotten(&target, &scene.topic);
    let all = end(source, &scene.topic, 0).unwrap();
    source.delete_records(&scene.topic, 0, all).unwrap();
    target.delete_records(&scene.topic, 0, all).unwrap();
    write();
    scene.kmirror().copy();
    scene.kmirror().prove();
    compare_records(&scene.on_source(), &target.records(&scene.topic, Isolation::ReadCommitted).unwrap())
        .unwrap();
}

fn await_forgotten(kafka: &KafkaEndpoint, topic: &str) {
    let arguments = ["transactions", "describe-producers", "--topic", topic, "--partition", "0"];
    await_that("the broker forgets its producers", || {
        let described = kafka.tool(&arguments).unwrap().success().unwrap().stdout;
        described.lines().filter(|line| !line.is_empty() && !line.starts_with("ProducerId")).count() == 0
    });
}

/// Three nodes whose failures are noticed soon.
fn three_nodes() -> KafkaCluster {
    KafkaCluster::builder(KafkaRelease::KAFKA_4_3)
        .nodes(3)
        .property("broker.session.timeout.ms", "3000")
        .property("broker.heartbeat.interval.ms", "500")
        .start()
        .unwrap()
}

/// Creates a topic whose partition is on two nodes, of which any may lead whatever it lacks: leader and follower.
fn on_two_nodes(kafka: &KafkaCluster, topic: &str) -> [usize; 2] {
    let settings = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
    kafka.create_topic(topic, 1, &settings).unwrap();
    kafka.reassign(topic, 0, &[1, 2]).unwrap();
    await_that("a leader among the two", || leader(kafka, topic).is_some_and(|leader| leader < 3));
    let leader = leader(kafka, topic).unwrap();
    [leader, 3 - leader]
}

fn leader(kafka: &KafkaEndpoint, topic: &str) -> Option<usize> {
    kafka.replicas(topic).ok()?.first()?.leader
}

fn await_leader(kafka: &KafkaEndpoint, topic: &str, node: usize) {
    await_that(&format!("node {node} leads {topic}"), || leader(kafka, topic) == Some(node));
}

fn await_in_sync(kafka: &KafkaEndpoint, topic: &str, nodes: &[usize]) {
    await_that(&format!("{nodes:?} alone are in sync for {topic}"), || {
        kafka.replicas(topic).is_ok_and(|found| found.first().is_some_and(|found| found.in_sync == nodes))
    });
}

fn end(kafka: &KafkaEndpoint, topic: &str, partition: i32) -> Option<i64> {
    kafka.offset(topic, partition, LogOffset::Latest).ok()
}

/// Looks for leaders and topics often enough for a test.
const ATTENTIVE: &str = "metadata_refresh_interval: 300ms\nparked_retry_interval: 500ms";
/// For what is not counted: frames of the requests themselves, compression, the allocator's own.
const MARGIN_BYTES: u64 = 48 << 20;
