//! What a consumer relies on when it moves to the target: its offsets, and look-ups by timestamp.

use std::collections::BTreeMap;

use kmirror_testkit::{Isolation, LogOffset, PrintedRecord, Workload, real_kafka, unique_topic};

use crate::kmirror::Kmirror;
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(a_look_up_by_timestamp_never_lands_behind_the_sources,);

// For real Kafka alone, since it is Java's consumer that goes on.
#[test]
fn a_group_goes_on_at_the_next_record_with_its_offsets_as_they_are() {
    let Some(kafka) = real_kafka("a_group_goes_on_at_the_next_record_with_its_offsets_as_they_are") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    let (topic, group) = (unique_topic("groups"), unique_topic("group"));
    let load = Workload::new(&topic).partitions(2).records(400).transactions(7).abort_every(4).headers();
    source.produce(&[load]).unwrap();
    let all = source.records(&topic, Isolation::ReadCommitted).unwrap();
    let read = source.consume(&group, &topic, all.len() / 2).unwrap();
    Kmirror::between(source.bootstrap_servers(), target.bootstrap_servers(), &[&topic], "").copy();
    for (topic, partition, offset) in source.group_offsets(&group).unwrap() {
        target.set_group_offset(&group, &topic, partition, offset).unwrap();
    }
    let rest = target.consume(&group, &topic, all.len() - read.len()).unwrap();
    assert_eq!(by_partition([read, rest].concat()), by_partition(all), "each record once, in order");
}

fn by_partition(records: Vec<PrintedRecord>) -> BTreeMap<i32, Vec<PrintedRecord>> {
    let mut partitions: BTreeMap<i32, Vec<PrintedRecord>> = BTreeMap::new();
    records.into_iter().for_each(|record| partitions.entry(record.partition).or_default().push(record));
    partitions
}

/// A marker carries the time of the target's broker, which on a back-filled topic is later than that of the records around it. So a
/// look-up may land on a marker before the record that it would find on the source, never behind it.
fn a_look_up_by_timestamp_never_lands_behind_the_sources(stage: &Stage) {
    // Markers where the source has some as well, and where records expired.
    let scene = Scene::new(stage, "timestamps", "on_expired: skip");
    let timed = |workload: Workload| workload.timestamps(FIRST, STEP_MS);
    scene.write_with(|workload| timed(workload).records(100));
    scene.kmirror().copy();
    scene.write_with(|workload| timed(workload).first(100).records(100));
    scene.source.delete_records(&scene.topic, 0, 150);
    scene.write_with(|workload| timed(workload).first(200).records(100).transactions(5).abort_every(3));
    scene.kmirror().copy();
    let mut earlier = 0;
    for index in (-5..310).step_by(7) {
        let timestamp = LogOffset::Timestamp(FIRST + index * i64::from(STEP_MS) + 3);
        let offset = |kafka: &AnyCluster| match kafka.offset(&scene.topic, 0, timestamp).unwrap() {
            -1 => i64::MAX,
            offset => offset,
        };
        let (expected, found) = (offset(&scene.source), offset(&scene.target));
        assert!(found <= expected, "{timestamp:?}: source {expected}, target {found}");
        earlier += i64::from(found < expected);
    }
    assert!(earlier > 0, "no look-up lands on a marker: the test shows nothing");
}

const FIRST: i64 = 1_600_000_000_000;
const STEP_MS: u32 = 1_000;
