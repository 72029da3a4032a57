//! A mirror that goes on: new records, signals, kills, a second instance.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kmirror_testkit::{Isolation, LogOffset, Workload, unique_topic};

use crate::cluster::Load;
use crate::kmirror::{Kmirror, Running, await_that};
use crate::schedule::Schedule;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    new_records_arrive_soon_and_signals_stop_it,
    a_mirror_that_is_killed_again_and_again_loses_and_doubles_nothing,
    two_mirrors_that_are_stopped_and_continued_do_no_harm,
);

fn new_records_arrive_soon_and_signals_stop_it(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("followed");
    let workload = Workload::new(&topic).partitions(2);
    source.produce(&[workload.clone().records(100)]);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "");
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut running = kmirror.start();
        await_records(&source, &target, &topic);
        source.produce(&[workload.clone().first(100).records(50).records_per_second(100)]);
        await_records(&source, &target, &topic);
        assert_eq!(running.end(name), Some(code));
    }
    kmirror.prove();
}

/// Each life of the program is as long as the schedule says: too short to connect, to take over, to come to an end, and long
/// enough to copy. `KMIRROR_KILLS` of them, 20 if not set.
fn a_mirror_that_is_killed_again_and_again_loses_and_doubles_nothing(stage: &Stage) {
    let (source, target) = stage.pair();
    let mut schedule = Schedule::new();
    let kills = Schedule::length("KMIRROR_KILLS", 20);
    let began = SystemTime::now();
    let (load, topics) = start_mixed_load(&source);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let kmirror = Kmirror::mirroring(&source, &target, &topics, "");
    let mut lives_with_copies = 0;
    for _ in 0..kills {
        let mut running = kmirror.start();
        sleep(match schedule.up_to(4) {
            0 => Duration::from_millis(schedule.up_to(60)),
            1 => Duration::from_millis(schedule.up_to(400)),
            _ => Duration::from_millis(200 + schedule.up_to(1_300)),
        });
        running.kill();
        assert_no_error(&running);
        lives_with_copies += u32::from(running.log().contains(" copying "));
    }
    load.stop();
    eprintln!("{lives_with_copies} of {kills} lives were long enough to copy");
    assert!(
        lives_with_copies > 0,
        "nothing was copied before the end: no kill was in the middle of anything"
    );
    assert_old(&source, topics[OLD], began);
    kmirror.copy();
    kmirror.prove();
}

/// The second of two instances stands by. Whoever is stopped does not know, when it goes on, that the other went ahead.
/// `KMIRROR_PAUSES` of them, 12 if not set.
fn two_mirrors_that_are_stopped_and_continued_do_no_harm(stage: &Stage) {
    let (source, target) = stage.pair();
    let mut schedule = Schedule::new();
    let (load, topics) = start_mixed_load(&source);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let kmirror = Kmirror::mirroring(&source, &target, &topics, "");
    let mut mirrors = [kmirror.start(), kmirror.start()];
    for _ in 0..Schedule::length("KMIRROR_PAUSES", 12) {
        let mirror = &mirrors[schedule.up_to(2) as usize];
        mirror.signal("STOP");
        sleep(Duration::from_millis(schedule.up_to(2_500)));
        mirror.signal("CONT");
        sleep(Duration::from_millis(schedule.up_to(1_000)));
    }
    load.stop();
    await_that("one of the mirrors has copied everything", || {
        topics.iter().all(|topic| has_same_ends(&source, &target, topic))
    });
    for mirror in &mut mirrors {
        assert_eq!(mirror.end("TERM"), Some(143));
        assert_no_error(mirror);
    }
    kmirror.prove();
}

/// Records without end, until the load is stopped: several partitions, transactions of which some are aborted and some are of
/// one record, a topic that the cleaner goes through again and again, and one whose records are old, which go one batch at a time.
fn start_mixed_load(source: &AnyCluster) -> (Box<dyn Load>, Vec<String>) {
    let topics = ["plain", "transactional", "single", "compacted", "old"].map(unique_topic);
    let [plain, transactional, single, compacted, old] = &topics;
    let endless = |topic: &str| Workload::new(topic).records(u32::MAX.into());
    let loads = [
        endless(plain).partitions(4).records_per_second(3_000).codec("lz4").json(),
        endless(transactional).partitions(2).records_per_second(600).transactions(10).abort_every(5),
        endless(single).records_per_second(100).transactions(1).abort_every(3),
        endless(compacted)
            .topic_property("cleanup.policy", "compact")
            .topic_property("segment.ms", "2000")
            .topic_property("min.cleanable.dirty.ratio", "0.01")
            .records_per_second(1_000)
            .keys(500)
            .key_skew(4)
            .tombstone_every(40),
        // Each record is a batch, and too large to be merged with the next one.
        endless(old)
            .topic_property("retention.ms", "-1")
            .records_per_second(60)
            .value_bytes(5_000, 6_000)
            .linger_ms(0)
            .age(AGE),
    ];
    let load = source.start_load(&loads);
    await_that("every topic is there", || topics.iter().all(|topic| source.partitions(topic).is_some()));
    (load, topics.into())
}

/// Whether each record is as old as it should be when it was written: otherwise nothing would go one batch at a time.
fn assert_old(source: &AnyCluster, topic: &str, began: SystemTime) {
    let first_at = |moment: SystemTime| {
        let timestamp = (moment - AGE).duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        source.offset(topic, 0, LogOffset::Timestamp(timestamp)).unwrap()
    };
    let ended = SystemTime::now();
    let halfway = began + ended.duration_since(began).unwrap() / 2;
    assert_eq!(first_at(began), 0, "none is older");
    assert!(first_at(halfway) > 0, "they are as old as the first one");
    assert_eq!(first_at(ended + Duration::from_millis(1)), -1, "none is younger");
}

fn has_same_ends(source: &AnyCluster, target: &AnyCluster, topic: &str) -> bool {
    source.ends(topic).is_some_and(|ends| target.ends(topic) == Some(ends))
}

/// An error is logged where a human is needed, which no kill and no pause is a reason for.
fn assert_no_error(mirror: &Running) {
    let log = mirror.log();
    assert!(!log.contains("ERROR"), "{log}");
}

/// Waits until the target has the source's records.
fn await_records(source: &AnyCluster, target: &AnyCluster, topic: &str) {
    let expected = source.records(topic, Isolation::ReadCommitted);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = target.records_of(&[topic], Isolation::ReadCommitted);
        if found.is_some_and(|found| found == expected) {
            return;
        }
        assert!(Instant::now() < deadline, "the records of {topic} have not arrived");
    }
}

/// Of the topics of the mixed load, the one with old records.
const OLD: usize = 4;
/// Brokers forget the producer of a record that is older than a day.
const AGE: Duration = Duration::from_secs(3 * 86_400);
