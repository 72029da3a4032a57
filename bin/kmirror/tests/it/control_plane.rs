//! Topics, configurations, access control lists and groups together: what a plan says of many is what one run makes of them, and what
//! changes while a mirror runs arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kmirror_testkit::{
    GroupProtocol, Isolation, KafkaCluster, KafkaEndpoint, KafkaRelease, Workload, real_kafka, unique_topic,
};
use serde_json::Value;

use crate::kmirror::{Kmirror, await_that};
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(what_changes_while_it_runs_arrives_within_its_interval,);

/// For real Kafka alone, since it is Java's clients that set the scene and judge, and KIP-848's groups that follow.
#[test]
fn one_run_makes_of_forty_topics_what_the_plan_said() {
    let Some(_kafka) = real_kafka("one_run_makes_of_forty_topics_what_the_plan_said") else { return };
    let start = || {
        let guarded = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer();
        guarded.property("super.users", "User:kafka;User:ANONYMOUS").start().unwrap()
    };
    let (source, target) = (start(), start());
    let scene = Scenery::build(&source, &target);
    let kmirror = Kmirror::between(
        source.bootstrap_servers(),
        target.bootstrap_servers(),
        &["forty-.*"],
        "    acls: full\n    replication_factor: source\n",
    );
    let before = View::of(&target, &scene);
    let plan = kmirror.run(&["plan", "--format", "json"]).with_code(0).stdout();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let planned = before.with(&plan);
    kmirror.copy();
    let after = View::of(&target, &scene);
    assert_eq!(after, planned);

    // And that is what the source has.
    let on_source = View::of(&source, &scene);
    for (topic, (partitions, configs)) in &on_source.topics {
        let mut expected = configs.clone();
        expected.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
        if before.topics.contains_key(topic) {
            // The target had another retention set there, so what applies on the source is set there in its place.
            expected.entry("retention.ms".to_owned()).or_insert_with(|| "-1".to_owned());
        }
        let (found_partitions, mut found) = after.topics[topic].clone();
        found.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
        assert_eq!((found_partitions, found), (*partitions, expected), "{topic}");
    }
    assert!(after.acls.is_superset(&scene.acls), "{:?}", after.acls);
    assert_eq!(after.groups, on_source.groups);
    assert_eq!(after.groups.len(), 10);
    kmirror.prove();
    let listed =
        source.tool(&["consumer-groups", "--list", "--type", "consumer"]).unwrap().success().unwrap();
    assert_eq!(listed.stdout.matches("consumer-").count(), 5, "{}", listed.stdout);

    let again = kmirror.run(&["plan", "--exit-code", "--format", "json"]).with_code(0).stdout();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["is_empty"], true, "{again:#}");
    for kind in ["topics", "configs", "acls", "groups", "notes"] {
        assert_eq!(again[kind], serde_json::json!([]), "{kind}");
    }
    assert_eq!(View::of(&target, &scene), after, "a plan changes nothing");
    // A consumer of either kind goes on at the next record.
    for (group, protocol) in [("classic-1", GroupProtocol::Classic), ("consumer-1", GroupProtocol::Consumer)]
    {
        let topic = scene.topics[READ_BY_ONE].as_str();
        let all = source.records(topic, Isolation::ReadCommitted).unwrap();
        let rest = target.consume_by(protocol, group, topic, all.len() - 4).unwrap();
        let mut offsets: Vec<_> = rest.iter().map(|record| (record.partition, record.offset)).collect();
        offsets.sort_unstable();
        let stood = &after.groups[group];
        let ahead = all.iter().filter(|record| {
            stood.get(&(topic.to_owned(), record.partition)).is_none_or(|stood| record.offset >= *stood)
        });
        assert_eq!(
            offsets,
            ahead.map(|record| (record.partition, record.offset)).collect::<Vec<_>>(),
            "{group}"
        );
    }
}

/// The topic that the groups with number one have read four records of.
const READ_BY_ONE: usize = 11;

/// Forty topics, of which the target has some already, though otherwise; entries of lists; five groups of either protocol.
struct Scenery {
    topics: Vec<String>,
    groups: Vec<String>,
    /// What follows.
    acls: BTreeSet<String>,
}

impl Scenery {
    fn build(source: &KafkaEndpoint, target: &KafkaEndpoint) -> Scenery {
        let topics: Vec<String> = (0..40).map(|index| format!("forty-{index:02}")).collect();
        for (index, topic) in topics.iter().enumerate() {
            let partitions = 1 + index as u32 % 5;
            let mut workload = Workload::new(topic).partitions(partitions);
            for (key, value) in configs(index) {
                workload = workload.topic_property(key, value);
            }
            let records = if index % 8 == 7 { 0 } else { 20 * u64::from(partitions) };
            workload = workload.records(records).keys(50);
            source
                .produce(&[if index % 6 == 5 { workload.transactions(5).abort_every(2) } else { workload }])
                .unwrap();
            if index % 10 == 3 {
                let other =
                    [("retention.ms", "111111111"), ("flush.messages", "9999"), ("min.insync.replicas", "1")];
                target.create_topic(topic, 1, &other).unwrap();
            }
        }
        let acls = [
            "ALLOW READ TOPIC LITERAL forty-00 User:alice *",
            "ALLOW WRITE TOPIC LITERAL forty-01 User:alice *",
            "ALLOW ALL TOPIC LITERAL forty-02 User:carol 10.0.0.7",
            "DENY ALL TOPIC LITERAL forty-03 User:mallory *",
            "ALLOW DESCRIBE_CONFIGS TOPIC PREFIXED forty User:bob *",
            "ALLOW READ GROUP LITERAL classic-0 User:alice *",
            "ALLOW READ GROUP PREFIXED consumer User:alice *",
            "ALLOW WRITE TRANSACTIONAL_ID LITERAL billing User:alice *",
        ];
        let left_out = [
            "ALLOW READ TOPIC LITERAL elsewhere User:alice *",
            "ALLOW READ TOPIC PREFIXED else User:alice *",
            "ALLOW ALTER CLUSTER LITERAL kafka-cluster User:alice *",
        ];
        acls.iter().chain(&left_out).for_each(|entry| source.add_acl(entry).unwrap());
        target.add_acl(acls[0]).unwrap();
        target.add_acl("ALLOW WRITE TOPIC LITERAL forty-00 User:somebody *").unwrap();
        let mut groups = Vec::new();
        for index in 0..5 {
            for (name, protocol) in
                [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)]
            {
                let group = format!("{name}-{index}");
                let topic = &topics[index * 8 + 3];
                source.consume_by(protocol, &group, topic, 2 + 2 * index).unwrap();
                groups.push(group);
            }
        }
        let acls = acls.map(str::to_owned).into();
        Scenery { topics, groups, acls }
    }
}

fn configs(index: usize) -> Vec<(&'static str, &'static str)> {
    match index % 8 {
        0 => vec![],
        1 => vec![("retention.ms", "900000000"), ("segment.bytes", "10485760")],
        2 => vec![("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.9")],
        3 => vec![("compression.type", "zstd"), ("retention.ms", "800000000")],
        4 => vec![("max.message.bytes", "2000000"), ("min.insync.replicas", "1")],
        5 => vec![("message.timestamp.type", "LogAppendTime"), ("segment.ms", "700000000")],
        6 => vec![("cleanup.policy", "compact,delete"), ("delete.retention.ms", "1000000")],
        _ => vec![("message.timestamp.before.max.ms", "9000000000000"), ("retention.bytes", "1000000000")],
    }
}

/// Copies have their own values of these. From 4.0 on brokers refuse times that lie an hour ahead, so the last is set on every copy
/// (KIP-1030).
const NOT_COPIED: [&str; 4] = [
    "min.insync.replicas",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
];

/// What Java's admin client sees of a cluster.
#[derive(Debug, Default, PartialEq)]
struct View {
    /// Partition count, and what is set on the topic.
    topics: BTreeMap<String, (u64, BTreeMap<String, String>)>,
    acls: BTreeSet<String>,
    groups: BTreeMap<String, BTreeMap<(String, i32), i64>>,
}

impl View {
    fn of(cluster: &KafkaEndpoint, scene: &Scenery) -> View {
        let mut view = View { acls: cluster.acls().unwrap().into_iter().collect(), ..View::default() };
        for topic in &scene.topics {
            let Ok(lines) = cluster.described_topics(&[topic]) else { continue };
            let words: Vec<&str> = lines[0].split('\t').collect();
            let set =
                words.get(2).into_iter().flat_map(|set| set.split(' ')).filter_map(|set| set.split_once('='));
            let set = set.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            view.topics.insert(topic.clone(), (words[1].parse().unwrap(), set));
        }
        for group in &scene.groups {
            let offsets = cluster.group_offsets(group).unwrap();
            let offsets: BTreeMap<_, _> =
                offsets.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)).collect();
            if !offsets.is_empty() {
                view.groups.insert(group.clone(), offsets);
            }
        }
        view
    }

    /// What it will be, if a plan tells the truth.
    fn with(&self, plan: &Value) -> View {
        let View { mut topics, mut acls, mut groups } =
            View { topics: self.topics.clone(), acls: self.acls.clone(), groups: self.groups.clone() };
        let rows = |kind: &str| plan[kind].as_array().unwrap().clone();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        for row in rows("topics").iter().filter(|row| row["source_topic"].is_string()) {
            let topic = topics.entry(text(row, "target_topic")).or_default();
            topic.0 = row["partitions_to"].as_u64().unwrap();
            for (key, value) in row["configs"].as_object().unwrap() {
                topic.1.insert(key.clone(), value.as_str().unwrap().to_owned());
            }
        }
        for row in rows("configs") {
            let configs = &mut topics.get_mut(&text(&row, "target_topic")).unwrap().1;
            match row["to"].as_str() {
                Some(value) => configs.insert(text(&row, "key"), value.to_owned()),
                None => configs.remove(&text(&row, "key")),
            };
        }
        for row in rows("acls") {
            let fields = [
                "permission",
                "operation",
                "resource_type",
                "pattern_type",
                "resource_name",
                "principal",
                "host",
            ];
            assert_eq!(row["action"], "add");
            acls.insert(fields.map(|field| text(&row, field)).join(" "));
        }
        for row in rows("groups") {
            let partition = i32::try_from(row["partition"].as_i64().unwrap()).unwrap();
            let place = (text(&row, "target_topic"), partition);
            groups.entry(text(&row, "group")).or_default().insert(place, row["to"].as_i64().unwrap());
        }
        View { topics, acls, groups }
    }
}

/// While records come in, each change reaches the target at the interval at which such things are looked at, rather than at the longer
/// one that applies else.
fn what_changes_while_it_runs_arrives_within_its_interval(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let [loaded, changed, vanishing, group] =
        ["live-loaded", "live-changed", "live-gone", "group"].map(unique_topic);
    let settings = [("retention.ms", "900000000"), ("segment.ms", "800000000")];
    source.create_topic(&changed, 1, &settings);
    source.produce(&[Workload::new(&changed).records(100), Workload::new(&vanishing).records(10)]);
    source.commit(&group, &changed, 0, 80);
    let more = "    on_deleted: { delete_after: 2s }\n    metadata_refresh_interval: 1s\n    topic_configs: { interval: 2s }\n    \
                groups_interval: 1s\n    acls_interval: 2s\n";
    let load = source.start_load(&[Workload::new(&loaded).records(u32::MAX.into()).records_per_second(500)]);
    await_that("the load is there", || source.partitions(&loaded).is_some());
    let kmirror = Kmirror::mirroring(&source, &target, &["live-.*"], more);
    let mut mirror = kmirror.start();
    await_that("topics are there", || target.has_config(&changed, "segment.ms", "800000000"));
    await_that("the group has followed", || target.committed(&group, &changed, 0) == Some(80));

    let begun = Instant::now();
    let fresh = unique_topic("live-fresh");
    source.produce(&[Workload::new(&fresh).records(30)]);
    source.add_partitions(&changed, 4);
    source.alter_topic(&changed, &[("retention.ms", "777000000")]);
    source.reset_topic(&changed, "segment.ms");
    source.commit(&group, &changed, 0, 5);
    let entry = format!("ALLOW READ TOPIC LITERAL {changed} User:alice *");
    source.add_acl(&entry);
    source.delete_topic(&vanishing);
    let changed_in = begun.elapsed();

    await_that("a new topic is copied", || target.end(&fresh, 0) == Some(30));
    await_that("partitions are added", || target.partitions(&changed) == Some(4));
    await_that("a configuration is changed", || target.has_config(&changed, "retention.ms", "777000000"));
    await_that("another is removed", || !target.has_config(&changed, "segment.ms", "800000000"));
    await_that("the group was reset", || target.committed(&group, &changed, 0) == Some(5));
    await_that("an entry was added", || target.acls() == [entry.as_str()]);
    await_that("the topic is deleted, after its time", || target.partitions(&vanishing).is_none());
    let arrived_in = begun.elapsed() - changed_in;
    assert!(arrived_in < DEFAULT_INTERVAL, "{arrived_in:?}, and changing took {changed_in:?}");

    load.stop();
    await_that("the load is copied", || source.end(&loaded, 0) == target.end(&loaded, 0));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert!(!mirror.log().contains("ERROR"), "{}", mirror.log());
    kmirror.run(&["plan", "--exit-code"]).with_code(0);
}

/// At which configurations are compared if nothing is said; access control lists wait twice as long.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
