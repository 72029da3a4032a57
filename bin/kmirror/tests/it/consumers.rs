//! What a consumer relies on when it moves to the target: that its group stands there where it stood, and look-ups by timestamp.

use std::collections::BTreeMap;
use std::time::Duration;

use kmirror_testkit::{
    GroupProtocol, Isolation, KafkaEndpoint, LogOffset, PrintedRecord, Workload, real_kafka, unique_topic,
};

use crate::kmirror::{Kmirror, Running, await_that};
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    groups_go_there_and_back_and_read_each_record_once,
    a_group_that_moved_keeps_its_place_on_both_sides,
    a_failback_skips_no_record_of_a_group,
    a_group_that_has_the_same_name_at_both_sites_is_left_on_the_source,
    a_look_up_by_timestamp_never_lands_behind_the_sources,
    groups_follow_and_go_back_only_where_they_were_reset,
    groups_of_a_shifted_copy_stand_at_the_same_records,
    a_copy_that_ends_takes_its_groups_along,
    what_was_done_to_groups_on_the_target_outlives_a_restart,
    what_a_group_no_longer_holds_on_the_source_stays_on_the_target,
);

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
    let rest = target.consume(&group, &topic, all.len() - read.len()).unwrap();
    assert_eq!(by_partition([read, rest].concat()), by_partition(all), "each record once, in order");
}

/// A file for two sites that both may be written to, whose groups return.
fn both_ways(source: &str, target: &str, topic: &str) -> Kmirror {
    two_sites(source, target, topic, "groups: { return: [\".*\"] }")
}

/// The usual file for two sites that both may be written to. `more`: of each flow.
fn two_sites(source: &str, target: &str, topic: &str, more: &str) -> Kmirror {
    let flow = |from: &str, to: &str| {
        format!(
            "  - {{ source: {from}, target: {to}, topics: {{ include: [{topic:?}] }}, naming: prefixed, groups_interval: 200ms, {more} }}\n"
        )
    };
    Kmirror::with_config(&format!(
        "clusters:\n  east: {{ bootstrap_servers: \"{}\" }}\n  west: {{ bootstrap_servers: \"{}\" }}\nflows:\n{}{}",
        source,
        target,
        flow("east", "west"),
        flow("west", "east")
    ))
}

fn start_both_ways(source: &AnyCluster, target: &AnyCluster, topic: &str) -> Running {
    both_ways(&source.bootstrap_servers(), &target.bootstrap_servers(), topic).start()
}

fn groups_go_there_and_back_and_read_each_record_once(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, group) = (unique_topic("commuters"), unique_topic("group"));
    let there = format!("east.{topic}");
    let load =
        |first, records| Workload::new(&topic).first(first).records(records).transactions(7).abort_every(4);
    source.produce(&[load(0, 300)]);
    let mut mirror = start_both_ways(&source, &target, &topic);
    await_that("everything is copied", || target.end(&there, 0) == source.end(&topic, 0));
    // A consumer reads so many records from where its group stands, and commits behind them.
    let mut read = Vec::new();
    let mut consume = |cluster: &AnyCluster, topic: &str, count: usize| {
        let from = cluster.committed(&group, topic, 0).unwrap_or(0);
        let records = cluster.records(topic, Isolation::ReadCommitted).into_iter();
        let part: Vec<_> = records.filter(|record| record.offset >= from).take(count).collect();
        let next = part.last().unwrap().offset + 1;
        read.extend(part.into_iter().map(|record| record.value));
        cluster.commit(&group, topic, 0, next);
        next
    };
    let is_at = |cluster: &AnyCluster, topic: &str, offset| {
        await_that("the group has followed", || cluster.committed(&group, topic, 0) == Some(offset));
    };
    let next = consume(&source, &topic, 50);
    is_at(&target, &there, next);
    for _ in 0..2 {
        let next = consume(&target, &there, 30);
        is_at(&source, &topic, next);
    }
    source.produce(&[load(300, 100)]);
    let next = consume(&source, &topic, 40);
    is_at(&target, &there, next);
    assert_eq!(mirror.end("TERM"), Some(143));
    // It moves while nobody looks.
    consume(&target, &there, 20);
    let (east, west) = (source.bootstrap_servers(), target.bootstrap_servers());
    let planned = both_ways(&east, &west, &topic).run(&["plan", "--format", "json"]).with_code(0).stdout();
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    let returns = &planned["groups"][0];
    assert_eq!(
        (&returns["group"], &returns["cluster"]),
        (&group.as_str().into(), &"east".into()),
        "{planned:#}"
    );
    assert_eq!(planned["is_empty"], false);
    let mut mirror = start_both_ways(&source, &target, &topic);
    await_that("the group has followed", || {
        source.committed(&group, &topic, 0) == target.committed(&group, &there, 0)
    });
    await_that("everything is copied", || target.end(&there, 0) == source.end(&topic, 0));
    consume(&source, &topic, usize::MAX);
    let all = source.records(&topic, Isolation::ReadCommitted).into_iter();
    assert_eq!(read, all.map(|record| record.value).collect::<Vec<_>>(), "each record once, in order");
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_group_that_moved_keeps_its_place_on_both_sides(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("places");
    let there = format!("east.{topic}");
    let [group, young, deleted] = ["group", "young", "deleted"].map(unique_topic);
    source.produce(&[Workload::new(&topic).records(200)]);
    let mut mirror = start_both_ways(&source, &target, &topic);
    await_that("everything is copied", || target.end(&there, 0) == Some(200));
    let places = |group: &str| (source.committed(group, &topic, 0), target.committed(group, &there, 0));
    let rests_at = |group: &str, here, away| {
        let expected = (Some(here), Some(away));
        await_that(&format!("{group} is at {expected:?}"), || places(group) == expected);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(places(group), expected, "it stays there");
    };
    for group in [&group, &deleted] {
        source.commit(group, &topic, 0, 50);
    }
    rests_at(&group, 50, 50);
    target.commit(&group, &there, 0, 100);
    rests_at(&group, 100, 100);
    source.commit(&group, &topic, 0, 150);
    rests_at(&group, 150, 150);
    // Resets: on the source, which the target follows, and on the target alone.
    source.commit(&group, &topic, 0, 5);
    rests_at(&group, 5, 5);
    target.commit(&group, &there, 0, 2);
    rests_at(&group, 5, 2);
    target.commit(&group, &there, 0, 120);
    rests_at(&group, 120, 120);
    // One that begins on the target, where nobody knows at first whether it moves, and one that is deleted on the source.
    target.commit(&young, &there, 0, 30);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(places(&young), (None, Some(30)));
    target.commit(&young, &there, 0, 35);
    rests_at(&young, 35, 35);
    source.delete_group(&deleted);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(places(&deleted), (None, Some(50)));
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// While the source is away producers write to the target, and the group reads that; then producers go home.
fn a_failback_skips_no_record_of_a_group(stage: &Stage) {
    let (source, target) = stage.pair();
    let [topic, group] = ["failback", "group"].map(unique_topic);
    let there = format!("east.{topic}");
    source.produce(&[Workload::new(&topic).records(100)]);
    let mut mirror = start_both_ways(&source, &target, &topic);
    await_that("everything is copied", || target.end(&there, 0) == Some(100));
    source.commit(&group, &topic, 0, 100);
    await_that("the group has followed", || target.committed(&group, &there, 0) == Some(100));
    target.produce(&[Workload::new(&there).first(100).records(200)]);
    target.commit(&group, &there, 0, 300);
    source.produce(&[Workload::new(&topic).first(300).records(200)]);
    mirror.says(&["TargetDiverged", &there]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        source.committed(&group, &topic, 0),
        Some(100),
        "it has read nothing of what the source has since"
    );
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// Two deployments of a program, one at each site, read the topic and its copy with the same group. Both files are usual ones.
fn a_group_that_has_the_same_name_at_both_sites_is_left_on_the_source(stage: &Stage) {
    let (source, target) = stage.pair();
    let [app, witness] = ["app", "witness"].map(unique_topic);
    let (east, west) = (source.bootstrap_servers(), target.bootstrap_servers());
    for is_mirror_makers in [false, true] {
        let topic = unique_topic("both-sites");
        let there = format!("east.{topic}");
        source.produce(&[Workload::new(&topic).records(100)]);
        source.commit(&app, &topic, 0, 40);
        let kmirror = match is_mirror_makers {
            false => two_sites(&east, &west, &topic, ""),
            true => Kmirror::with_file(
                "properties",
                &format!(
                    "clusters = east, west\neast.bootstrap.servers = {east}\nwest.bootstrap.servers = {west}\n\
                     east->west.enabled = true\nwest->east.enabled = true\ntopics = {topic}\nreplication.factor = 1\n\
                     sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 1\n"
                ),
            ),
        };
        let mut mirror = kmirror.start();
        let at = |group: &str| (source.committed(group, &topic, 0), target.committed(group, &there, 0));
        await_that("the group has followed", || at(&app) == (Some(40), Some(40)));
        target.commit(&app, &there, 0, 100);
        for offset in [1, 2] {
            source.commit(&witness, &topic, 0, offset);
            await_that("groups were looked at", || at(&witness).1 == Some(offset));
        }
        assert_eq!(at(&app), (Some(40), Some(100)), "60 records are not read at home");
        assert_eq!(mirror.end("TERM"), Some(143));
        let plan = kmirror.run(&["plan"]).with_code(0);
        let told = format!("{app}: it is further on the target, and does not return");
        assert!(plan.stderr().contains(&told), "{}", plan.stderr());
    }
}

/// For real Kafka alone, since it is Java's consumers, of both protocols, that move.
#[test]
fn consumers_go_there_and_back_and_read_each_record_once() {
    let Some(kafka) = real_kafka("consumers_go_there_and_back_and_read_each_record_once") else { return };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    let (topic, group) = (unique_topic("commuters"), unique_topic("group"));
    let there = format!("east.{topic}");
    source.produce(&[Workload::new(&topic).partitions(2).records(400)]).unwrap();
    let mut mirror = both_ways(source.bootstrap_servers(), target.bootstrap_servers(), &topic).start();
    let end = |kafka: &KafkaEndpoint, topic: &str, partition| {
        kafka.offset(topic, partition, LogOffset::Latest).unwrap_or(-1)
    };
    await_that("everything is copied", || {
        (0..2).all(|partition| end(target, &there, partition) == end(source, &topic, partition))
    });
    let positions = |kafka: &KafkaEndpoint| -> BTreeMap<i32, i64> {
        let offsets = kafka.group_offsets(&group).unwrap().into_iter();
        offsets.map(|(_, partition, offset)| (partition, offset)).collect()
    };
    let mut read = Vec::new();
    for (kafka, topic, protocol, count) in [
        (source, &topic, GroupProtocol::Classic, 130),
        (target, &there, GroupProtocol::Consumer, 130),
        (source, &topic, GroupProtocol::Classic, 140),
    ] {
        read.extend(kafka.consume_by(protocol, &group, topic, count).unwrap());
        await_that("the group has followed", || positions(source) == positions(target));
    }
    read.iter_mut().for_each(|record| record.topic.clone_from(&topic));
    let all = source.records(&topic, Isolation::ReadCommitted).unwrap();
    assert_eq!(by_partition(read), by_partition(all), "each record once, in order");
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// For real Kafka alone, since it is Java's consumers that are members, by either protocol.
#[test]
fn a_group_with_members_is_followed_and_one_with_members_on_the_target_is_left_alone() {
    let test = "a_group_with_members_is_followed_and_one_with_members_on_the_target_is_left_alone";
    let Some(kafka) = real_kafka(test) else { return };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    for protocol in ["classic", "consumer"] {
        let (topic, group) = (unique_topic("members"), unique_topic(protocol));
        source.produce(&[Workload::new(&topic).records(100)]).unwrap();
        let member = |kafka: &KafkaEndpoint, commits: bool| {
            let protocol = format!("group.protocol={protocol}");
            let commits = format!("enable.auto.commit={commits}");
            let settings =
                [&*protocol, &*commits, "auto.commit.interval.ms=200", "auto.offset.reset=earliest"];
            let mut arguments = vec!["console-consumer", "--topic", &topic, "--group", &group];
            settings.iter().for_each(|setting| arguments.extend(["--command-property", setting]));
            kafka.start_tool(&arguments, "").unwrap()
        };
        let there = |kafka: &KafkaEndpoint| {
            let offsets = kafka.group_offsets(&group).unwrap();
            offsets.first().map(|(.., offset)| *offset)
        };
        let reading = member(source, true);
        let servers = (source.bootstrap_servers(), target.bootstrap_servers());
        let kmirror = Kmirror::between(servers.0, servers.1, &[&topic], "    groups_interval: 200ms\n");
        let mut mirror = kmirror.start();
        await_that("a group with members has followed", || there(target) == Some(100));
        // Somebody reads the target with it, and has not committed yet.
        let moved = member(target, false);
        await_that("it has a member on the target", || {
            let described = target.tool(&["consumer-groups", "--describe", "--members", "--group", &group]);
            described.unwrap().stdout.contains("console-consumer")
        });
        source.produce(&[Workload::new(&topic).records(50)]).unwrap();
        await_that("the group goes on at the source", || there(source) == Some(150));
        mirror.says(&["it keeps its own place there", &group]);
        assert_eq!(there(target), Some(100), "{protocol}");
        let plan = kmirror.run(&["plan", "--exit-code"]).with_code(0);
        assert!(plan.stderr().contains("consumers read west with this group"), "{}", plan.stderr());
        moved.terminate(Duration::from_secs(30)).unwrap();
        await_that("it follows again", || there(target) == Some(150));
        reading.terminate(Duration::from_secs(30)).unwrap();
        assert_eq!(mirror.end("TERM"), Some(143));
    }
}

/// For real Kafka alone, since it takes a consumer that stays.
#[test]
fn a_group_that_is_read_with_on_the_source_is_not_touched_there() {
    let Some(kafka) = real_kafka("a_group_that_is_read_with_on_the_source_is_not_touched_there") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    let ([topic, other], group) = (["returns", "other"].map(unique_topic), unique_topic("group"));
    source.produce(&[&topic, &other].map(|topic| Workload::new(topic).records(100))).unwrap();
    source.set_group_offset(&group, &topic, 0, 50).unwrap();
    let reads = ["verifiable-consumer", "--topic", &other, "--group-id", &group];
    let consumer = source.start_tool(&reads, "").unwrap();
    let at = |kafka: &KafkaEndpoint, topic: &str| {
        let offsets = kafka.group_offsets(&group).unwrap().into_iter();
        offsets.filter(|(name, ..)| name == topic).map(|(.., offset)| offset).next()
    };
    await_that("the consumer reads", || at(source, &other) == Some(100));
    let mut mirror = both_ways(source.bootstrap_servers(), target.bootstrap_servers(), &topic).start();
    let there = format!("east.{topic}");
    await_that("the group has followed", || at(target, &there) == Some(50));
    target.set_group_offset(&group, &there, 0, 80).unwrap();
    mirror.says(&["consumers read this cluster with this group", &group]);
    assert_eq!(at(source, &topic), Some(50), "its consumers say where it stands");
    consumer.terminate(Duration::from_secs(30)).unwrap();
    await_that("it returns when they have gone", || at(source, &topic) == Some(80));
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn groups_follow_and_go_back_only_where_they_were_reset(stage: &Stage) {
    let scene = Scene::copied(stage, "follow", "groups_interval: 200ms");
    let [group, moved, left_out] = ["group", "moved", "console-consumer"].map(unique_topic);
    for group in [&group, &moved, &left_out] {
        scene.source.commit(group, &scene.topic, 0, 40);
    }
    let there = |group: &str| scene.target.committed(group, &scene.topic, 0);
    let mut mirror = scene.kmirror().start();
    await_that("both groups have followed", || (there(&group), there(&moved)) == (Some(40), Some(40)));
    assert_eq!(there(&left_out), None);
    // Consumers of one read the target now: it keeps its place, whatever is committed on the source.
    scene.target.commit(&moved, &scene.topic, 0, 90);
    for group in [&group, &moved] {
        scene.source.commit(group, &scene.topic, 0, 70);
    }
    await_that("the group has followed", || there(&group) == Some(70));
    // An operator resets the other.
    scene.source.commit(&group, &scene.topic, 0, 5);
    await_that("the group was reset", || there(&group) == Some(5));
    assert_eq!(there(&moved), Some(90));
    let groups = scene.kmirror().run(&["groups", "--format", "csv"]).with_code(0).stdout();
    let row = |group: &str| groups.lines().find(|line| line.contains(group)).unwrap_or_default().to_owned();
    assert!(row(&group).ends_with(",0,5,5,5,0,0,"), "{groups}");
    // The first of the records that it would miss, and how old that is.
    let missing = row(&moved);
    let (figures, age_seconds) = missing.rsplit_once(',').unwrap();
    assert!(figures.ends_with(",0,70,70,90,0,20"), "{groups}");
    let age_seconds: f64 = age_seconds.parse().unwrap();
    assert!((0.0..600.0).contains(&age_seconds), "{groups}");
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn groups_of_a_shifted_copy_stand_at_the_same_records(stage: &Stage) {
    let scene = Scene::new(stage, "shifted-group", "offsets: shifted");
    scene.write(100);
    scene.source.delete_records(&scene.topic, 0, 30);
    let group = unique_topic("group");
    scene.source.commit(&group, &scene.topic, 0, 55);
    scene.kmirror().run(&["run", "--once"]).with_code(0);
    assert_eq!(scene.target.committed(&group, &scene.topic, 0), Some(25));
}

fn a_copy_that_ends_takes_its_groups_along(stage: &Stage) {
    let scene = Scene::copied(stage, "along", "");
    let group = unique_topic("group");
    scene.write(50);
    scene.source.commit(&group, &scene.topic, 0, 130);
    let described = || {
        let ended = scene.kmirror().run(&["groups", "--group", &group, "--format", "csv"]).with_code(0);
        ended.stdout().lines().last().unwrap_or_default().to_owned()
    };
    assert!(described().ends_with(",0,130,130,,,,"), "{}", described());
    scene.copies();
    assert_eq!(scene.target.committed(&group, &scene.topic, 0), Some(130));
    assert!(described().ends_with(",0,130,130,130,0,0,"), "{}", described());
}

/// Offsets that expire, and groups that are deleted, are no reason to forget where a consumer would go on: the target keeps them as
/// long as its own retention does. A group that comes back is followed from there.
fn what_a_group_no_longer_holds_on_the_source_stays_on_the_target(stage: &Stage) {
    let scene = Scene::copied(stage, "vanished", "groups_interval: 100ms");
    let [expired, deleted, witness] = ["expired", "deleted", "witness"].map(unique_topic);
    for group in [&expired, &deleted] {
        scene.source.commit(group, &scene.topic, 0, 40);
        scene.source.commit(group, scene.neighbour(), 0, 10);
    }
    let there = |group: &str| scene.target.committed(group, &scene.topic, 0);
    let mut mirror = scene.kmirror().start();
    await_that("both have followed", || (there(&expired), there(&deleted)) == (Some(40), Some(40)));
    scene.source.delete_committed(&expired, &scene.topic, 0);
    scene.source.delete_group(&deleted);
    // Another one shows that groups were looked at since, twice.
    for offset in [1, 2] {
        scene.source.commit(&witness, &scene.topic, 0, offset);
        await_that("groups were looked at", || there(&witness) == Some(offset));
    }
    assert_eq!((there(&expired), there(&deleted)), (Some(40), Some(40)));
    assert_eq!(scene.target.committed(&deleted, scene.neighbour(), 0), Some(10));
    // One goes on, the other begins anew, which is a reset.
    scene.source.commit(&expired, &scene.topic, 0, 70);
    scene.source.commit(&deleted, &scene.topic, 0, 5);
    await_that("both are followed again", || (there(&expired), there(&deleted)) == (Some(70), Some(5)));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert!(!mirror.log().contains("WARN"), "{}", mirror.log());
}

/// A group that was set back for a replay, and one that was deleted on purpose: before the restart, and while nobody looks.
fn what_was_done_to_groups_on_the_target_outlives_a_restart(stage: &Stage) {
    let scene = Scene::copied(stage, "outlives", "groups_interval: 100ms");
    let [before, meanwhile, deleted, gone, goes_on] =
        ["before", "meanwhile", "deleted", "gone", "goes-on"].map(unique_topic);
    let groups = [&before, &meanwhile, &deleted, &gone, &goes_on];
    groups.iter().for_each(|group| scene.source.commit(group, &scene.topic, 0, 90));
    let there = |group: &str| scene.target.committed(group, &scene.topic, 0);
    let look = |offsets: [i64; 2]| {
        for offset in offsets {
            scene.source.commit(&goes_on, &scene.topic, 0, offset);
            await_that("groups were looked at", || there(&goes_on) == Some(offset));
        }
    };
    let mut mirror = scene.kmirror().start();
    await_that("all have followed", || groups.iter().all(|group| there(group) == Some(90)));
    scene.target.commit(&before, &scene.topic, 0, 10);
    scene.target.delete_group(&deleted);
    look([91, 92]);
    assert_eq!(mirror.end("TERM"), Some(143));
    scene.target.commit(&meanwhile, &scene.topic, 0, 10);
    scene.target.delete_group(&gone);
    let plan = scene.kmirror().run(&["plan", "--exit-code"]).with_code(0);
    assert!(!plan.stderr().contains("does not return"), "{}", plan.stderr());
    let mut mirror = scene.kmirror().start();
    look([93, 94]);
    assert_eq!(
        [&before, &meanwhile, &deleted, &gone].map(|group| there(group)),
        [Some(10), Some(10), None, None]
    );
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn by_partition(records: Vec<PrintedRecord>) -> BTreeMap<i32, Vec<PrintedRecord>> {
    let mut partitions: BTreeMap<i32, Vec<PrintedRecord>> = BTreeMap::new();
    records.into_iter().for_each(|record| partitions.entry(record.partition).or_default().push(record));
    partitions
}

/// For real Kafka alone, since it is Java's reader that looks.
#[test]
fn the_readers_of_mirror_maker_find_what_they_look_for() {
    let Some(kafka) = real_kafka("the_readers_of_mirror_maker_find_what_they_look_for") else { return };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    for separator in [".", "__"] {
        let (topic, group, alias) = (unique_topic("orders"), unique_topic("group"), unique_topic("upstream"));
        source.produce(&[Workload::new(&topic).partitions(2).records(100)]).unwrap();
        source.set_group_offset(&group, &topic, 1, 30).unwrap();
        let file = format!(
            "clusters = {alias}, here\n{alias}.bootstrap.servers = {}\nhere.bootstrap.servers = {}\n{alias}->here.enabled = true\n\
             topics = {topic}\ngroups = {group}\nreplication.factor = 1\nsync.group.offsets.interval.seconds = 1\n\
             replication.policy.separator = {separator}\noffset-syncs.topic.location = target\n",
            source.bootstrap_servers(),
            target.bootstrap_servers()
        );
        let kmirror = Kmirror::with_file("properties", &file);
        let mut mirror = kmirror.start();
        let remote = format!("{alias}{separator}{topic}");
        let translated = || target.translate_offsets(separator, &alias, &group).unwrap_or_default();
        await_that("the checkpoint is there", || translated() == [(remote.clone(), 1, 30)]);
        source.set_group_offset(&group, &topic, 1, 50).unwrap();
        await_that("the next one is", || translated() == [(remote.clone(), 1, 50)]);
        let hop = format!("{alias}\t1");
        await_that("a heartbeat was seen", || target.upstream_clusters(separator).unwrap().contains(&hop));
        assert_eq!(mirror.end("TERM"), Some(143));
        // MirrorMaker's own format of the last offset that has arrived, 49 of each partition.
        let syncs = format!("mm2-offset-syncs{separator}{alias}{separator}internal");
        let last = target.records(&syncs, Isolation::ReadCommitted).unwrap().pop().unwrap();
        assert!(last.key.starts_with(&format!("\"%00%{:02X}{topic}%00", topic.len())), "{last}");
        assert_eq!(last.value, format!("\"{0}1{0}1\"", "%00".repeat(7)), "{last}");
    }
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
