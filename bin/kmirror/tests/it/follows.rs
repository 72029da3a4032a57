//! A mirror that goes on: new records, signals, kills.

use std::time::{Duration, Instant};

use kmirror_testkit::{Isolation, Workload, real_kafka, unique_topic};

use crate::kmirror::{Kmirror, signal, wait};

#[test]
fn new_records_arrive_soon_and_signals_stop_it() {
    let Some(kafka) = real_kafka("new_records_arrive_soon_and_signals_stop_it") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("followed");
    let workload = Workload::new(&topic).partitions(2);
    pair.source.produce(&[workload.clone().records(100)]).unwrap();
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], "");
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut running = kmirror.start();
        await_records(pair, &topic);
        pair.source.produce(&[workload.clone().first(100).records(50).records_per_second(100)]).unwrap();
        await_records(pair, &topic);
        signal(&running, name);
        assert_eq!(wait(&mut running, Duration::from_secs(30)), Some(code));
    }
    kmirror.prove();
}

#[test]
fn a_mirror_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let Some(kafka) = real_kafka("a_mirror_that_is_killed_again_and_again_loses_and_doubles_nothing") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let (plain, transactional) = (unique_topic("killed"), unique_topic("killed-transactional"));
    let plain_load = Workload::new(&plain).partitions(4).records(40_000).records_per_second(8_000);
    let transactional_load = Workload::new(&transactional).records(3_000).transactions(10).abort_every(5);
    let topics = [plain.as_str(), transactional.as_str()];
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &topics, "");
    let mut producing = pair.source.start_produce(&[transactional_load, plain_load]).unwrap();
    let mut kills = 0;
    while producing.is_running() || kills < 8 {
        let mut running = kmirror.start();
        std::thread::sleep(Duration::from_millis(150 + 130 * (kills % 7)));
        running.kill().unwrap();
        running.wait().unwrap();
        kills += 1;
    }
    producing.wait(Duration::from_secs(60)).unwrap().success().unwrap();
    kmirror.copy();
    kmirror.prove();
}

#[test]
fn two_mirrors_of_one_topic_do_no_harm() {
    let Some(kafka) = real_kafka("two_mirrors_of_one_topic_do_no_harm") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("two-mirrors");
    let load = Workload::new(&topic).partitions(3).records(30_000).records_per_second(3_000);
    pair.source.create_topic(&topic, 3, &[]).unwrap();
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], "");
    let mut producing = pair.source.start_produce(&[load]).unwrap();
    let mut mirrors = [kmirror.start(), kmirror.start()];
    while producing.is_running() {
        // Whoever is stopped does not know, when it goes on, that the other went ahead.
        for mirror in &mirrors {
            signal(mirror, "STOP");
            std::thread::sleep(Duration::from_millis(1_500));
            signal(mirror, "CONT");
        }
    }
    producing.wait(Duration::from_secs(60)).unwrap().success().unwrap();
    await_records(pair, &topic);
    for mirror in &mut mirrors {
        signal(mirror, "TERM");
        assert_eq!(wait(mirror, Duration::from_secs(30)), Some(143));
    }
    kmirror.prove();
}

/// Waits until the target has the source's records.
fn await_records(pair: &kmirror_testkit::ClusterPair, topic: &str) {
    let expected = pair.source.records(topic, Isolation::ReadCommitted).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = pair.target.records(topic, Isolation::ReadCommitted);
        if found.as_ref().is_ok_and(|found| *found == expected) {
            return;
        }
        assert!(Instant::now() < deadline, "the records of {topic} have not arrived");
    }
}
