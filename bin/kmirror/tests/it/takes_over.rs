//! Taking over from another mirror: from a real MirrorMaker 2, with its own file, while producers go on; and in every situation that its
//! positions and both logs may be found in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kmirror_testkit::{
    ClusterPair, Isolation, KafkaEndpoint, KafkaJars, KafkaRelease, PrintedRecord, RunningTool, Workload,
    real_kafka, unique_topic,
};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    an_old_position_is_found_in_the_logs,
    records_that_are_not_the_sources_are_left_alone,
    what_expired_since_a_position_is_not_taken_for_copied,
    a_group_says_where_another_mirror_stood,
    a_group_is_believed_once,
    an_open_transaction_of_another_mirror_is_waited_for,
    positions_that_may_not_be_read_are_not_taken_for_none,
);

/// A scene of which another mirror has copied the first records, and said that it has copied up to `position`, some time ago.
fn half_copied(stage: &Stage, name: &str, position: i64, more: &str) -> Scene {
    let offsets_topic = unique_topic("connect-offsets");
    let takeover =
        format!("takeover: {{ mm2: {{ offsets_topic: {offsets_topic}, source_alias: primary }} }}");
    let scene = Scene::new(stage, name, &format!("{takeover}\n{more}"));
    scene.write_with(|workload| timed(workload).records(100));
    scene.target.produce(&[timed(Workload::new(&scene.topic)).records(80)]);
    scene.target.create_topic(&offsets_topic, 1, &[("cleanup.policy", "compact")]);
    let key = |cluster: &str| {
        format!(
            r#"["MirrorSourceConnector",{{"cluster":"{cluster}","partition":0,"topic":"{}"}}]"#,
            scene.topic
        )
    };
    for (cluster, offset) in [("primary", 3), ("other", 90), ("primary", position)] {
        scene.target.write_text(&offsets_topic, &key(cluster), &format!(r#"{{"offset":{offset}}}"#));
    }
    scene
}

/// Mirrors keep times.
fn timed(workload: Workload) -> Workload {
    workload.timestamps(1_700_000_000_000, 10)
}

fn contents(records: Vec<PrintedRecord>) -> Vec<Content> {
    by_partition(records).remove(&0).unwrap_or_default()
}

fn an_old_position_is_found_in_the_logs(stage: &Stage) {
    // It is as old as that, it is not older than the last record, and the source has lost what was copied first.
    for (position, log_start) in [(49, 0), (79, 0), (49, 70)] {
        let mut scene = half_copied(stage, "half-copied", position, "");
        scene.source.delete_records(&scene.topic, 0, log_start);
        let planned = scene.kmirror().run(&["plan"]).with_code(0).stdout();
        assert!(planned.contains("go on behind what was copied before"), "{planned}");
        scene.kmirror().copy_undisturbed();
        scene.kmirror().prove();
        assert_eq!(scene.target_end(), 100);
        let (source, target) = (contents(scene.on_source()), contents(scene.on_target()));
        assert!(target.ends_with(&source) && target.len() == 100, "each once, in order");
        scene.write_with(|workload| timed(workload).first(100).records(20));
        scene.kmirror().copy_undisturbed();
        assert!(
            contents(scene.on_target()).ends_with(&contents(scene.on_source())),
            "it goes on like any other"
        );
        // Without the state nothing says any more which records are whose.
        scene.lose_state();
        scene.parks_without_state("TargetDiverged", &["it was lost"]);
    }
}

fn records_that_are_not_the_sources_are_left_alone(stage: &Stage) {
    let scene = half_copied(stage, "half-foreign", 49, "");
    scene.target.produce(&[timed(Workload::new(&scene.topic)).seed(7).first(80).records(3)]);
    scene
        .parks("TargetDiverged", &["is not among the source's from offset 49 on", "Delete the target topic"]);
}

fn what_expired_since_a_position_is_not_taken_for_copied(stage: &Stage) {
    let mut scene = half_copied(stage, "half-expired", 49, "");
    scene.source.delete_records(&scene.topic, 0, 90);
    scene.parks("RecordsExpired", &["offsets [50, 90)"]);
    scene.add("on_expired: skip");
    scene.kmirror().copy();
    let source = contents(scene.on_source());
    assert_eq!(source.len(), 10);
    assert!(contents(scene.on_target()).ends_with(&source));
    scene.kmirror().prove();
}

fn a_group_says_where_another_mirror_stood(stage: &Stage) {
    let group = unique_topic("mirror-maker-1");
    let scene = Scene::new(stage, "grouped", &format!("takeover: {{ group: {group} }}"));
    scene.write_with(|workload| timed(workload).records(100));
    scene.target.produce(&[timed(Workload::new(&scene.topic)).records(60)]);
    scene.source.commit(&group, &scene.topic, 0, 60);
    scene.kmirror().copy_undisturbed();
    scene.kmirror().prove();
    assert_eq!(contents(scene.on_target()), contents(scene.on_source()));
}

/// The target topic is deleted to have it copied anew: what the group had copied is gone with it.
fn a_group_is_believed_once(stage: &Stage) {
    let group = unique_topic("mirror-maker-1");
    let scene = Scene::new(stage, "once", &format!("takeover: {{ group: {group} }}"));
    scene.write_with(|workload| timed(workload).records(100));
    scene.target.produce(&[timed(Workload::new(&scene.topic)).records(60)]);
    scene.source.commit(&group, &scene.topic, 0, 60);
    scene.kmirror().copy();
    scene.target.delete_topic(&scene.topic);
    await_that("it is gone", || scene.target.partitions(&scene.topic).is_none());
    scene.kmirror().copy();
    assert_eq!(contents(scene.on_target()), contents(scene.on_source()));
}

/// MirrorMaker 2 and its file.
struct MirrorMaker {
    pair: &'static ClusterPair,
    alias: String,
    file: String,
}

impl MirrorMaker {
    /// Copies these topics and follows this group. `more`: lines of the file, with `ALIAS` for the source.
    fn of(pair: &'static ClusterPair, topics: &[&str], group: &str, more: &str) -> MirrorMaker {
        let alias = unique_topic("primary");
        let file = format!(
            "clusters = {alias}, backup\n{alias}.bootstrap.servers = {}\nbackup.bootstrap.servers = {}\n\
             {alias}->backup.enabled = true\nbackup->{alias}.enabled = false\nbackup->{alias}.emit.heartbeats.enabled = false\n\
             topics = {}\ngroups = {group}\ngroups.exclude = none\nreplication.factor = 1\n{FACTORS}{more}",
            pair.source.bootstrap_servers(),
            pair.target.bootstrap_servers(),
            topics.join(", "),
        )
        .replace("ALIAS", &alias);
        MirrorMaker { pair, alias, file }
    }

    fn start(&self) -> RunningTool {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.properties", self.alias));
        std::fs::write(&path, &self.file).unwrap();
        self.pair.target.start_tool(&["mirror-maker", path.to_str().unwrap()], "").unwrap()
    }

    /// The program with the same file.
    fn kmirror(&self) -> Kmirror {
        Kmirror::with_file("properties", &self.file)
    }

    fn remote(&self, topic: &str) -> String {
        format!("{}.{topic}", self.alias)
    }

    /// How many records it has copied.
    fn copied(&self, topic: &str) -> usize {
        let remote = self.remote(topic);
        self.pair.target.records(&remote, Isolation::ReadUncommitted).map_or(0, |records| records.len())
    }

    fn assert_copied_once(&self, topic: &str) {
        assert_copied_once(self.pair, topic, &self.remote(topic));
    }
}

/// Each record of the source is on the target once, in order, whatever its offset.
pub(crate) fn assert_copied_once(pair: &ClusterPair, topic: &str, remote: &str) {
    let source = pair.source.records(topic, Isolation::ReadCommitted).unwrap();
    let target = pair.target.records(remote, Isolation::ReadCommitted).unwrap();
    let (source, target) = (by_partition(source), by_partition(target));
    for (partition, records) in &source {
        let found = target.get(partition).unwrap();
        let differs = records.iter().zip(found).position(|(record, found)| record != found);
        assert_eq!((differs, found.len()), (None, records.len()), "{topic}-{partition}");
    }
    assert_eq!(source.len(), target.len());
}

/// What a record is, but for its offset.
type Content = (i64, String, String, String);

fn by_partition(records: Vec<PrintedRecord>) -> BTreeMap<i32, Vec<Content>> {
    let mut partitions: BTreeMap<i32, Vec<Content>> = BTreeMap::new();
    for record in records {
        let PrintedRecord { partition, timestamp, key, headers, value, .. } = record;
        partitions.entry(partition).or_default().push((timestamp, key, headers, value));
    }
    partitions
}

#[test]
fn what_mirror_maker_has_filled_goes_on_where_it_was_stopped() {
    let Some(kafka) = real_kafka("what_mirror_maker_has_filled_goes_on_where_it_was_stopped") else { return };
    let pair = kafka.pair().unwrap();
    let (plain, transactional, group) =
        (unique_topic("plain"), unique_topic("transactional"), unique_topic("billing"));
    let more = "offset.lag.max = 0\nALIAS.consumer.isolation.level = read_committed\n";
    let mirror_maker = MirrorMaker::of(pair, &[&plain, &transactional], &group, more);
    let loads = [
        Workload::new(&plain).partitions(3).records(u32::MAX.into()).records_per_second(600).headers(),
        Workload::new(&transactional)
            .records(u32::MAX.into())
            .records_per_second(200)
            .transactions(10)
            .abort_every(3),
    ];
    let load = pair.source.start_load(&loads).unwrap();
    let running = mirror_maker.start();
    await_that("it copies both", || {
        mirror_maker.copied(&plain) > 900 && mirror_maker.copied(&transactional) > 200
    });
    pair.source.set_group_offset(&group, &plain, 0, 150).unwrap();
    let remote = mirror_maker.remote(&plain);
    let translated = || translated(&pair.target, &mirror_maker.alias, &group, &remote);
    await_that("it has written a checkpoint", || translated().is_some());
    let before = translated().unwrap();
    assert!((1..=150).contains(&before), "no record is left out: {before}");
    running.terminate(Duration::from_secs(60)).unwrap();
    let taken_over = pair.source.records(&plain, Isolation::ReadCommitted).unwrap().len();

    let kmirror = mirror_maker.kmirror();
    let mut mirror = kmirror.start();
    mirror.says(&["going on behind what was copied before", &remote]);
    await_that("what was written since has arrived", || mirror_maker.copied(&plain) > taken_over + 600);
    // Where kmirror has copied nothing it does not know better.
    assert_eq!(translated(), Some(before), "the checkpoint of MirrorMaker stays");
    let goal = pair.source.offset(&plain, 0, kmirror_testkit::LogOffset::Latest).unwrap();
    pair.source.set_group_offset(&group, &plain, 0, goal).unwrap();
    await_that("kmirror's checkpoint is there", || translated().is_some_and(|offset| offset > before));
    load.stop().unwrap();
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.copy();
    kmirror.prove();
    mirror_maker.assert_copied_once(&plain);
    mirror_maker.assert_copied_once(&transactional);
    // The record that the group reads next is the same on both sides.
    let at = |kafka: &KafkaEndpoint, topic: &str, offset| {
        let records = kafka.records(topic, Isolation::ReadCommitted).unwrap();
        let found = records.into_iter().find(|record| record.partition == 0 && record.offset == offset);
        found.map(|record| (record.key, record.value))
    };
    let next = at(&pair.source, &plain, goal);
    assert!(next.is_some());
    assert_eq!(at(&pair.target, &remote, translated().unwrap()), next);
}

/// What it says of its position is a minute old then, and it has copied more since.
#[test]
fn what_mirror_maker_has_filled_goes_on_where_it_was_killed() {
    let Some(kafka) = real_kafka("what_mirror_maker_has_filled_goes_on_where_it_was_killed") else { return };
    let pair = kafka.pair().unwrap();
    let (plain, transactional, compacted) =
        (unique_topic("plain"), unique_topic("transactional"), unique_topic("compacted"));
    let mirror_maker = MirrorMaker::of(
        pair,
        &[&plain, &transactional, &compacted],
        "none",
        "offset.flush.interval.ms = 2000\n",
    );
    let loads = [
        Workload::new(&plain)
            .partitions(2)
            .records(u32::MAX.into())
            .records_per_second(1_000)
            .codec("lz4")
            .json(),
        Workload::new(&transactional).records(u32::MAX.into()).records_per_second(200).transactions(10),
        Workload::new(&compacted)
            .topic_property("cleanup.policy", "compact")
            .records(u32::MAX.into())
            .records_per_second(300)
            .keys(200)
            .tombstone_every(20),
    ];
    let load = pair.source.start_load(&loads).unwrap();
    let running = mirror_maker.start();
    await_that("it copies all", || {
        mirror_maker.copied(&plain) > 4_000
            && mirror_maker.copied(&transactional) > 900
            && mirror_maker.copied(&compacted) > 1_500
    });
    drop(running);
    let kmirror = mirror_maker.kmirror();
    // Whatever a take-over leaves undone, the next one finds.
    let mut mirror = kmirror.start();
    mirror.says(&["going on behind what was copied before", &mirror_maker.remote(&plain)]);
    mirror.kill();
    let mut mirror = kmirror.start();
    let before = mirror_maker.copied(&plain);
    await_that("it goes on", || mirror_maker.copied(&plain) > before + 1_000);
    load.stop().unwrap();
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.copy();
    kmirror.prove();
    for topic in [&plain, &transactional, &compacted] {
        mirror_maker.assert_copied_once(topic);
    }
}

/// It may still be committed, and then what is in it was copied.
fn an_open_transaction_of_another_mirror_is_waited_for(stage: &Stage) {
    let scene = half_copied(stage, "half-open", 79, "");
    let open = timed(Workload::new(&scene.topic)).first(80).records(20).transactions(20);
    let load = scene.target.start_load(&[open.records_per_second(5)]);
    await_that("it is open", || scene.target_end() > 80);
    scene.kmirror().copy();
    load.stop();
    assert_eq!(contents(scene.on_target()), contents(scene.on_source()), "each once, in order");
    scene.kmirror().prove();
}

fn positions_that_may_not_be_read_are_not_taken_for_none(stage: &Stage) {
    let all: (&[&str], _) = (
        &["--operation", "All", "--topic", "open-", "--resource-pattern-type", "prefixed"],
        "ALLOW ALL TOPIC PREFIXED open- User:ANONYMOUS *",
    );
    let (source, target) = (stage.cluster(), stage.closed_cluster(&[all]));
    let (topic, state) = (unique_topic("open-orders"), unique_topic("open-state"));
    source.produce(&[Workload::new(&topic).records(10)]);
    let more = format!("    state_topic: {state}\n    takeover: {{ mm2: {{ offsets_topic: closed }} }}\n");
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], &more);
    kmirror
        .run(&["run", "--once"])
        .with_code(77)
        .saying("cannot read in \"closed\"")
        .saying("READ and DESCRIBE");
    assert_eq!(target.partitions(&topic), None, "nothing was copied");
}

/// What Java finds on the target for a partition of a group of the source.
fn translated(target: &KafkaEndpoint, alias: &str, group: &str, remote: &str) -> Option<i64> {
    let offsets = target.translate_offsets(".", alias, group).unwrap_or_default();
    offsets
        .into_iter()
        .find(|(topic, partition, _)| topic == remote && *partition == 0)
        .map(|(.., offset)| offset)
}

/// One node has no place for replicas, and a test no time to wait for minutes.
pub(crate) const FACTORS: &str = "offset-syncs.topic.replication.factor = 1\ncheckpoints.topic.replication.factor = 1\n\
    heartbeats.topic.replication.factor = 1\noffset.storage.replication.factor = 1\nstatus.storage.replication.factor = 1\n\
    config.storage.replication.factor = 1\noffset.storage.partitions = 2\nrefresh.topics.interval.seconds = 1\n\
    refresh.groups.interval.seconds = 1\nemit.checkpoints.interval.seconds = 1\nsync.group.offsets.interval.seconds = 1\n";

/// With `exactly.once.source.support` its positions are in the transactions of its records, and the last one stays open.
#[test]
fn what_mirror_maker_has_filled_in_transactions_goes_on_behind_the_last_one() {
    let Some(kafka) = real_kafka("what_mirror_maker_has_filled_in_transactions_goes_on_behind_the_last_one")
    else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("transactional");
    let more = "backup.exactly.once.source.support = enabled\nALIAS.consumer.isolation.level = read_committed\n\
                ALIAS->backup.producer.override.transaction.timeout.ms = 5000\n";
    let mirror_maker = MirrorMaker::of(pair, &[&topic], "none", more);
    let endless = Workload::new(&topic).partitions(2).records(u32::MAX.into()).records_per_second(2_000);
    let load = pair.source.start_load(&[endless.transactions(10).abort_every(4)]).unwrap();
    let running = mirror_maker.start();
    await_that("it copies", || mirror_maker.copied(&topic) > 3_000);
    drop(running);
    let kmirror = mirror_maker.kmirror();
    let mut mirror = kmirror.start();
    mirror.says(&["going on behind what was copied before", &mirror_maker.remote(&topic)]);
    load.stop().unwrap();
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.copy();
    kmirror.prove();
    mirror_maker.assert_copied_once(&topic);
}

/// It commits on the source what has arrived when it is stopped.
#[test]
fn what_mirror_maker_1_has_filled_goes_on_where_it_was_stopped() {
    let Some(kafka) = real_kafka("what_mirror_maker_1_has_filled_goes_on_where_it_was_stopped") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let (topic, group) = (unique_topic("mm1"), unique_topic("mirror-maker-1"));
    let old = |kafka: &KafkaEndpoint| {
        KafkaEndpoint::new(KafkaJars::resolve(KafkaRelease::KAFKA_3_9).unwrap(), kafka.bootstrap_servers())
    };
    let file = |name: &str, kafka: &KafkaEndpoint, more: &str| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{group}-{name}.properties"));
        std::fs::write(&path, format!("bootstrap.servers={}\n{more}", kafka.bootstrap_servers())).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let consumer = file("consumer", &pair.source, &format!("group.id={group}\nauto.offset.reset=earliest\n"));
    let producer = file("producer", &pair.target, "");
    let flags = ["--consumer.config", &consumer, "--producer.config", &producer, "--include", &topic];
    // It creates no topics, and sees new ones late.
    [&pair.source, &pair.target].iter().for_each(|kafka| kafka.create_topic(&topic, 1, &[]).unwrap());
    let load = pair
        .source
        .start_load(&[Workload::new(&topic).records(u32::MAX.into()).records_per_second(500)])
        .unwrap();
    let arrived =
        || pair.target.records(&topic, Isolation::ReadUncommitted).map_or(0, |records| records.len());
    let running =
        old(&pair.target).start_tool(&[&["kafka.tools.MirrorMaker"], &flags[..]].concat(), "").unwrap();
    await_that("it copies", || arrived() > 1_000);
    running.terminate(Duration::from_secs(60)).unwrap();
    let before = arrived();
    load.stop().unwrap();
    let kmirror =
        Command::new(env!("CARGO_BIN_EXE_kmirror")).arg("mm1").args(flags).arg("--once").output().unwrap();
    assert!(kmirror.status.success(), "{}", String::from_utf8_lossy(&kmirror.stderr));
    assert!(arrived() > before, "records were left for kmirror");
    assert_copied_once(pair, &topic, &topic);
}
