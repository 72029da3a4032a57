//! Brokers that are killed, that lose acknowledged records, and that stand still.

use std::thread::sleep;
use std::time::{Duration, Instant};

use kmirror_testkit::{Isolation, Workload, compare_records, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::schedule::Schedule;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    brokers_that_are_killed_and_come_back_do_no_harm,
    a_source_that_loses_acknowledged_records_parks_the_partition,
    a_target_that_loses_acknowledged_records_gets_them_again,
    a_target_that_stands_still_costs_no_more_memory_than_the_buffer,
    a_target_that_forgets_its_producers_is_copied_to_exactly,
);

/// A source of one node and a target of three, of which any may be killed at any time and comes back. `KMIRROR_BROKER_KILLS` of
/// them, 4 if not set. How long it takes until copying goes on is printed.
fn brokers_that_are_killed_and_come_back_do_no_harm(stage: &Stage) {
    let (source, target) = stage.one_and_three_nodes();
    let mut schedule = Schedule::new();
    let topics = ["plain", "transactional"].map(unique_topic);
    let [plain, transactional] = &topics;
    let endless = |topic: &str| Workload::new(topic).records(u32::MAX.into()).partitions(3);
    let load = [
        endless(plain).records_per_second(600).linger_ms(100),
        endless(transactional).records_per_second(60).linger_ms(20).transactions(10).abort_every(4),
    ];
    let load = source.start_load(&load);
    await_that("the topics are there", || topics.iter().all(|topic| source.partitions(topic).is_some()));
    let kmirror =
        Kmirror::mirroring(&source, &target, &[plain, transactional], "    metadata_refresh_interval: 1s\n");
    let mirror = kmirror.start();
    await_that("the first records arrive", || target.end(plain, 0).is_some_and(|end| end > 0));
    for _ in 0..Schedule::length("KMIRROR_BROKER_KILLS", 4) {
        let node = schedule.up_to(4) as usize;
        let (cluster, node, name) =
            if node == 0 { (&source, 1, "the source") } else { (&target, node, "a target node") };
        cluster.kill(node);
        sleep(Duration::from_millis(schedule.up_to(stage.either(1_000, 5_000))));
        cluster.restart(node);
        let resumed = time_to_resume(&source, &target, plain);
        println!("copying goes on {resumed:?} after the leaders are back, {name} was killed");
    }
    load.stop();
    await_that("everything is copied", || {
        topics.iter().all(|topic| source.ends(topic).is_some_and(|ends| target.ends(topic) == Some(ends)))
    });
    drop(mirror);
    kmirror.copy();
    kmirror.prove();
}

/// From the moment when every partition has leaders and the source has records again, until these are on the target.
fn time_to_resume(source: &AnyCluster, target: &AnyCluster, topic: &str) -> Duration {
    let are_beyond = |cluster: &AnyCluster, ends: &[i64]| {
        cluster.ends(topic).is_some_and(|now| now.iter().zip(ends).all(|(now, end)| now >= end))
    };
    let await_ends = || {
        let mut ends = None;
        await_that("all partitions have leaders", || {
            ends = target.ends(topic).and_then(|_| source.ends(topic));
            ends.is_some()
        });
        ends.unwrap()
    };
    let next: Vec<i64> = await_ends().iter().map(|end| end + 1).collect();
    await_that("the source is written to", || are_beyond(source, &next));
    let begun = Instant::now();
    let wanted = await_ends();
    await_that("the records arrive", || are_beyond(target, &wanted));
    begun.elapsed()
}

/// The new leader lacks records that were copied, and gets others at their offsets.
fn a_source_that_loses_acknowledged_records_parks_the_partition(stage: &Stage) {
    let (source, (_, target)) = (stage.three_nodes(), stage.pair());
    for is_running in [true, false] {
        let scene = Scene::between(&source, &target, "source-truncated", ATTENTIVE);
        source.create_on_two_nodes(&scene.topic);
        scene.write(100);
        let mut mirror = scene.kmirror().start();
        scene.await_copied();
        source.lose_follower(&scene.topic);
        scene.write(50);
        scene.await_copied();
        if !is_running {
            mirror.kill();
        }
        source.lose_leader(&scene.topic);
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
fn a_target_that_loses_acknowledged_records_gets_them_again(stage: &Stage) {
    let (target, (source, _)) = (stage.three_nodes(), stage.pair());
    for is_running in [true, false] {
        let scene = Scene::between(&source, &target, "target-truncated", ATTENTIVE);
        target.create_on_two_nodes(&scene.topic);
        scene.write(100);
        let mut mirror = scene.kmirror().start();
        scene.await_copied();
        target.lose_follower(&scene.topic);
        scene.write(50);
        scene.await_copied();
        if !is_running {
            mirror.kill();
        }
        target.lose_leader(&scene.topic);
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
fn a_target_that_stands_still_costs_no_more_memory_than_the_buffer(stage: &Stage) {
    let (source, target) = stage.pair();
    if !target.has_nodes() {
        return;
    }
    let topic = unique_topic("stalled");
    let load = Workload::new(&topic).records(u32::MAX.into()).partitions(4);
    let load = load.value_bytes(1_000, 1_000).records_per_second(12_000).batch_bytes(100_000);
    let load = source.start_load(&[load]);
    await_that("the topic is there", || source.partitions(&topic).is_some());
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "    buffer: 16MiB\n");
    let mirror = kmirror.start();
    sleep(Duration::from_secs(5));
    let before = mirror.resident_bytes();
    target.pause(1);
    let mut highest = before;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(Schedule::length("KMIRROR_STALL_SECONDS", 10).into()) {
        highest = highest.max(mirror.resident_bytes());
        sleep(Duration::from_millis(100));
    }
    target.resume(1);
    println!("{} MiB before the target stood still, {} MiB at most", before >> 20, highest >> 20);
    assert!(highest < before + (16 << 20) + MARGIN_BYTES, "{} MiB, before {}", highest >> 20, before >> 20);
    let written_bytes = load.stop();
    await_that("everything is copied", || {
        source.ends(&topic).is_some_and(|ends| target.ends(&topic) == Some(ends))
    });
    assert!(written_bytes > 64 << 20, "too little to fill the buffer: {written_bytes}");
    drop(mirror);
    kmirror.prove();
}

/// Brokers forget producers that have not written for a while, and with them sequence and token.
fn a_target_that_forgets_its_producers_is_copied_to_exactly(stage: &Stage) {
    let (target, (source, _)) = (stage.forgetful_cluster(), stage.pair());
    let scene = Scene::between(&source, &target, "forgotten", ATTENTIVE);
    let write = || scene.write_with(|workload| workload.records(90).transactions(10).abort_every(3));
    write();
    let mut mirror = scene.kmirror().start();
    for _ in 0..2 {
        scene.await_copied();
        target.forget_producers(&scene.topic);
        write();
    }
    scene.await_copied();
    mirror.kill();
    target.forget_producers(&scene.topic);
    write();
    scene.copies();
    // Nor does the log say any more who wrote it.
    target.forget_producers(&scene.topic);
    let all = source.end(&scene.topic, 0).unwrap();
    source.delete_records(&scene.topic, 0, all);
    target.delete_records(&scene.topic, 0, all);
    write();
    scene.kmirror().copy();
    scene.kmirror().prove();
    compare_records(&scene.on_source(), &target.records(&scene.topic, Isolation::ReadCommitted)).unwrap();
}

/// Looks for leaders and topics often enough for a test.
const ATTENTIVE: &str = "metadata_refresh_interval: 300ms\nparked_retry_interval: 500ms";
/// For what is not counted: frames of the requests themselves, compression, the allocator's own.
const MARGIN_BYTES: u64 = 48 << 20;
