//! An instance stands still with batches in hand while another one goes on, and wakes when the target has forgotten both.

use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use kmirror_testkit::{Workload, compare_records};

use crate::kmirror::await_that;
use crate::scene::Scene;
use crate::schedule::Schedule;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds! {
    an_instance_that_wakes_late_doubles_nothing,
    an_instance_that_wakes_late_doubles_nothing_on_an_older_release,
    an_instance_that_wakes_late_doubles_nothing_on_three_nodes,
}

fn an_instance_that_wakes_late_doubles_nothing(stage: &Stage) {
    wakes_late(&stage.cluster(), &stage.often_checking_cluster(1, false));
}

fn an_instance_that_wakes_late_doubles_nothing_on_an_older_release(stage: &Stage) {
    wakes_late(&stage.cluster(), &stage.often_checking_cluster(1, true));
}

fn an_instance_that_wakes_late_doubles_nothing_on_three_nodes(stage: &Stage) {
    wakes_late(&stage.cluster(), &stage.often_checking_cluster(3, false));
}

/// Brokers forget a producer by the time of its newest record (`ProducerStateManager.isProducerExpired`): after one of their checks they
/// would take what the first instance still has in hand, whatever its sequence.
fn wakes_late(source: &AnyCluster, target: &AnyCluster) {
    let rounds = Schedule::length("KMIRROR_FREEZES", 1);
    let mut frozen = 0;
    // Now and then the first one is done before it stands still.
    for _ in 0..rounds * 10 {
        frozen += u32::from(is_frozen_in_time(source, target));
        if frozen == rounds {
            return;
        }
    }
    panic!("frozen {frozen} times in {} rounds", rounds * 10);
}

/// Whether the first instance stood still with batches in hand.
fn is_frozen_in_time(source: &AnyCluster, target: &AnyCluster) -> bool {
    let scene = Scene::between(source, target, "frozen", "");
    let two_days_ago = UNIX_EPOCH.elapsed().unwrap() - Duration::from_secs(2 * 86_400);
    scene.write_with(|workload: Workload| {
        workload
            .records(RECORDS)
            .value_bytes(300_000, 300_000)
            .batch_bytes(310_000)
            .linger_ms(0)
            .topic_property("retention.ms", "-1")
            .timestamps(two_days_ago.as_millis() as i64, 1)
    });
    let mut first = scene.kmirror().start();
    await_that("something is copied", || target.end(&scene.topic, 0).is_some_and(|end| end > 0));
    first.signal("STOP");
    if target.end(&scene.topic, 0) == Some(RECORDS as i64) {
        first.kill();
        return false;
    }
    let mut second = scene.kmirror().start();
    scene.await_copied();
    // The target checks meanwhile, and forgets who wrote.
    sleep(Duration::from_secs(4));
    first.signal("CONT");
    sleep(Duration::from_secs(3));
    scene.write_to_neighbour(10);
    scene.await_copied();
    compare_records(&scene.on_source(), &scene.on_target()).unwrap();
    scene.kmirror().prove();
    first.kill();
    second.kill();
    true
}

const RECORDS: u64 = 60;
