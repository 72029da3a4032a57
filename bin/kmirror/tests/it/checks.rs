//! What `check` finds before anything is copied.

use std::time::Duration;

use kmirror_testkit::{Workload, real_kafka, unique_topic};
use serde_json::Value;

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    missing_rights_are_printed_as_commands_that_give_them,
    each_right_alone_is_missed,
    limits_are_found_that_would_be_in_the_way,
    what_would_park_is_found,
    older_releases_are_looked_at_as_well,
);

fn missing_rights_are_printed_as_commands_that_give_them(stage: &Stage) {
    let writes: (&[&str], _) =
        (&["--operation", "Write", "--topic", "*"], "ALLOW WRITE TOPIC LITERAL * User:ANONYMOUS *");
    let creates: (&[&str], _) =
        (&["--operation", "Create", "--topic", "*"], "ALLOW CREATE TOPIC LITERAL * User:ANONYMOUS *");
    let (source, target) = (stage.closed_cluster(&[writes, creates]), stage.closed_cluster(&[]));
    let [first, second, unseen] = ["first", "second", "unseen"].map(unique_topic);
    // With holes, so that these have to be filled.
    let load = |topic: &str| Workload::new(topic).records(60).transactions(5).abort_every(3);
    source.allow(&["--operation", "Write", "--transactional-id", "*"]);
    source.produce(&[load(&first), load(&second)]);
    let group = unique_topic("group");
    source.allow(&["--operation", "Read", "--group", &group]);
    source.allow(&["--operation", "Read", "--topic", &second]);
    source.commit(&group, &second, 0, 7);
    let more = "    commit_group: positions\n    mm2_topics: { heartbeats: true, checkpoints: true }\n";
    let kmirror = Kmirror::mirroring(&source, &target, &[&first, &second, &unseen], more);
    kmirror.run(&["check", "--no-connect"]).with_code(0);
    let mut printed = Vec::new();
    let mut code = 77;
    for _ in 0..4 {
        let ended = kmirror.run(&["check", "--format", "json"]);
        let commands = commands(&ended.stdout());
        if commands.is_empty() {
            break;
        }
        ended.with_code(code);
        for (cluster, command) in &commands {
            let cluster = if cluster == "east" { &source } else { &target };
            assert!(!printed.contains(command), "it was given already: {command}");
            execute(cluster, command);
        }
        std::thread::sleep(IN_FORCE);
        printed.extend(commands.into_iter().map(|(_, command)| command));
        // Whoever may do everything that must be is told what else could be better.
        code = if target.partitions(&first).is_some() { 0 } else { code };
    }
    let all = printed.join("\n");
    for words in [
        &format!("--operation Read --operation DescribeConfigs --topic {first}"),
        &format!("--operation DescribeConfigs --topic {second}"),
        &format!("--operation Create --topic {first} --topic {second}"),
        "--operation Create --topic __kmirror_state",
        "--operation Write --operation Create --topic east.checkpoints.internal --topic east.heartbeats --topic heartbeats",
        "--operation Read --group positions",
        &format!("--operation Read --group {group}"),
        "--operation Alter --cluster",
        "--operation Write --transactional-id kmirror- --resource-pattern-type prefixed",
    ] {
        assert!(all.contains(words), "no {words:?} in:\n{all}");
    }
    assert_eq!((target.partitions(&first), source.partitions(&unseen)), (None, None), "nothing was created");
    // The literal topic that is not there is the only thing left.
    let left = kmirror.run(&["check"]).with_code(0).stdout();
    assert_eq!(left.matches(": warning: ").count(), 1, "{left}");
    assert!(
        left.contains(&format!("topic {unseen}: it is not there")) && !left.contains(": error: "),
        "{left}"
    );
    kmirror.run(&["check", "--deny-warnings"]).with_code(1);
    source.produce(&[load(&unseen)]);
    for _ in 0..2 {
        let ended = kmirror.run(&["check", "--format", "json"]);
        for (cluster, command) in commands(&ended.stdout()) {
            execute(if cluster == "east" { &source } else { &target }, &command);
        }
        std::thread::sleep(IN_FORCE);
    }
    kmirror.run(&["check", "--deny-warnings"]).with_code(0);
    let ended = kmirror.run(&["run", "--once"]).with_code(0);
    assert!(!ended.stderr().contains("AUTHORIZATION"), "{}", ended.stderr());
    kmirror.prove();
    assert_eq!(target.committed(&group, &second, 0), Some(7));
    kmirror.run(&["check", "--deny-warnings"]).with_code(0);
}

/// For real Kafka alone, since it is Java's consumer that reads with it.
#[test]
fn a_commit_group_that_consumers_read_with_is_found() {
    let Some(kafka) = real_kafka("a_commit_group_that_consumers_read_with_is_found") else { return };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    let [topic, group] = ["orders", "application"].map(unique_topic);
    source.produce(&[Workload::new(&topic).records(20)]).unwrap();
    let more = format!("    commit_group: {group}\n");
    let kmirror = Kmirror::between(source.bootstrap_servers(), target.bootstrap_servers(), &[&topic], &more);
    kmirror.run(&["check"]).with_code(0);
    let reads = ["verifiable-consumer", "--topic", &topic, "--group-id", &group];
    let consumer = source.start_tool(&reads, "").unwrap();
    await_that("the consumer reads", || !source.group_offsets(&group).unwrap().is_empty());
    let checked = kmirror.run(&["check"]).with_code(78);
    assert!(checked.stdout().contains("consumers read with it"), "{}", checked.stdout());
    consumer.terminate(Duration::from_secs(30)).unwrap();
    let checked = kmirror.run(&["check", "--deny-warnings"]);
    assert!(checked.stdout().contains("consumers have read with it"), "{}", checked.stdout());
}

/// Also where a topic is not there yet, of which a broker says nothing.
fn each_right_alone_is_missed(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.closed_cluster(&[]));
    let run = unique_topic("run");
    let operations = ["Create", "Read", "Write", "Alter", "AlterConfigs"];
    let topics = operations.map(|operation| format!("no-{operation}-{run}"));
    let allow = |operations: &[&str], name: &str| {
        let options = operations.iter().flat_map(|operation| ["--operation", operation]);
        target.allow(&[&options.collect::<Vec<_>>()[..], &["--topic", name]].concat());
    };
    source.produce(&topics.each_ref().map(|topic| Workload::new(topic).records(10)));
    for (operation, topic) in operations.iter().zip(&topics) {
        let others: Vec<_> = operations.iter().copied().filter(|other| other != operation).collect();
        allow(&others, topic);
    }
    allow(&["All"], "__kmirror_state");
    target.allow(&["--operation", "Write", "--transactional-id", "kmirror-check"]);
    std::thread::sleep(IN_FORCE);
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let kmirror = Kmirror::mirroring(&source, &target, &names, "");
    let lines = || {
        let ended = kmirror.run(&["check", "--format", "json"]);
        commands(&ended.stdout()).into_iter().map(|(_, command)| command).collect::<Vec<_>>()
    };
    let absent = lines();
    let of = |lines: &[String], topic: &str| {
        lines.iter().find(|line| line.contains(&format!("--topic {topic}"))).cloned().unwrap_or_default()
    };
    for topic in &topics {
        assert!(of(&absent, topic).contains("--operation Create"), "{topic}: {absent:?}");
    }
    // Of those that are there exactly what is missing is printed.
    names[1..].iter().for_each(|topic| target.create_topic(topic, 1, &[]));
    let there = lines();
    for (operation, topic) in operations.iter().zip(&topics).skip(1) {
        assert!(
            of(&there, topic).ends_with(&format!("User:ANONYMOUS --operation {operation} --topic {topic}")),
            "{topic}: {there:?}"
        );
    }
}

fn limits_are_found_that_would_be_in_the_way(stage: &Stage) {
    let (source, target) = stage.pair();
    let [small, old, wide] = ["small", "old", "wide"].map(unique_topic);
    let load = |topic: &str| Workload::new(topic).records(10);
    source.produce(&[load(&small), load(&old).timestamps(1_600_000_000_000, 1_000), load(&wide)]);
    let checked = |topic: &str, more: &str, code: i32| {
        let more = format!("    topic_configs: {{ follow: false }}\n{more}");
        let kmirror = Kmirror::mirroring(&source, &target, &[topic], &more);
        (kmirror.run(&["check"]).with_code(code).stdout(), kmirror)
    };
    target.create_topic(&small, 1, &[("max.message.bytes", "1000")]);
    let (said, kmirror) = checked(&small, "", 0);
    assert!(said.contains("warning: west: topic") && said.contains("the target of 1000"), "{said}");
    kmirror.run(&["check", "--deny-warnings"]).with_code(1);
    target.create_topic(&old, 1, &[("message.timestamp.before.max.ms", "86400000")]);
    let (said, _) = checked(&old, "", 78);
    assert!(
        said.contains("it takes no record that is older than 86400000 ms, and the source has some"),
        "{said}"
    );
    assert!(
        said.contains("records older than a quarter of that")
            && said.contains("--add-config producer.id.expiration.ms=2147483647"),
        "{said}"
    );
    source.produce(&[Workload::new(&wide).records(1)]);
    let (said, _) = checked(&wide, "    replication_factor: 9\n", 78);
    assert!(said.contains("it cannot be created") && said.contains("look at replication_factor"), "{said}");
    let narrow = unique_topic("narrow");
    source.produce(&[Workload::new(&narrow).partitions(3).records(10)]);
    target.create_topic(&narrow, 5, &[("min.insync.replicas", "2")]);
    let (said, _) = checked(&narrow, "", 78);
    assert!(said.contains("the target 5") && said.contains("every append is refused"), "{said}");
    // Somebody who is not there, for a while.
    let (topic, address) = (unique_topic("late"), "127.0.0.1:1");
    let unreachable = Kmirror::between(address, &target.bootstrap_servers(), &[&topic], "");
    unreachable.run(&["check", "--wait", "1s"]).with_code(69).saying(address);
    unreachable.run(&["check", "--no-connect"]).with_code(0);
}

fn what_would_park_is_found(stage: &Stage) {
    let scene = Scene::copied(stage, "again", "");
    let (source, target, topic) = (&scene.source, &scene.target, &scene.topic);
    source.delete_topic(topic);
    source.produce(&[Workload::new(topic).records(10)]);
    let kmirror = scene.kmirror();
    let said = kmirror.run(&["check"]).with_code(1).stdout();
    assert!(said.contains(&format!("partition {topic}-0: it would park: SourceRecreated")), "{said}");
    assert_eq!(target.end(topic, 0), Some(100), "nothing was changed");
    // Records of somebody else, where nothing was copied yet.
    let foreign = unique_topic("foreign");
    [source, target].iter().for_each(|cluster| cluster.produce(&[Workload::new(&foreign).records(10)]));
    let said = Kmirror::mirroring(source, target, &[&foreign], "").run(&["check"]).with_code(0).stdout();
    assert!(
        said.contains(&format!("partition {foreign}-0: its last records were not written by kmirror")),
        "{said}"
    );
    // The same cluster on both ends, and a circle.
    let same = Kmirror::mirroring(source, source, &[topic], "").run(&["check"]).with_code(78).stdout();
    assert!(same.contains("A stretch cluster needs no mirror"), "{same}");
    let back = format!("  - {{ source: west, target: east, topics: {{ include: [{topic:?}] }} }}\n");
    let circle = Kmirror::mirroring(source, target, &[topic], &back);
    circle.run(&["check"]).with_code(78).saying("it passes");
}

fn older_releases_are_looked_at_as_well(stage: &Stage) {
    let (source, target) = (stage.older_cluster(), stage.older_cluster());
    let topic = unique_topic("older");
    source.produce(&[Workload::new(&topic).records(10)]);
    source.commit("readers", &topic, 0, 5);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "");
    kmirror.run(&["check", "--deny-warnings"]).with_code(0);
    kmirror.copy();
    kmirror.run(&["check", "--deny-warnings"]).with_code(0);
}

/// Commands, each with the alias of its cluster.
fn commands(json: &str) -> Vec<(String, String)> {
    let whole: Value = serde_json::from_str(json).unwrap();
    let findings = whole["flows"][0]["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    findings.filter_map(|finding| Some((text(&finding["cluster"])?, text(&finding["command"])?))).collect()
}

/// Does what a printed line says, as whoever may.
fn execute(cluster: &AnyCluster, command: &str) {
    let begin = format!(
        "kafka-acls --bootstrap-server {} --add --allow-principal User:ANONYMOUS ",
        cluster.bootstrap_servers()
    );
    let options: Vec<&str> =
        command.strip_prefix(&begin).unwrap_or_else(|| panic!("{command}")).split(' ').collect();
    cluster.allow(&options);
}

/// How long every broker takes at most until it knows an entry that is there.
const IN_FORCE: Duration = Duration::from_secs(1);
