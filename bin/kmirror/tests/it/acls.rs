//! Access control lists: who may use a topic on the source may use its copy.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kmirror_testkit::{KafkaCluster, KafkaRelease, Workload, real_kafka, unique_topic};

use crate::kmirror::{Kmirror, Running, await_long, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};
use crate::takes_over::FACTORS;

on_both_kinds!(
    lists_follow_by_the_rules_of_mirror_maker,
    lists_follow_exactly_and_removals_with_them,
    without_an_authorizer_it_is_said_once,
    a_missing_right_on_a_cluster_is_named,
    a_topic_that_is_closed_for_everybody_closes_its_copy,
    what_denies_many_topics_denies_each_copy,
    what_was_added_under_other_names_is_removed,
    what_somebody_takes_back_again_and_again_is_told_once,
);

fn lists_follow_by_the_rules_of_mirror_maker(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let (topic, other) = (unique_topic("orders"), unique_topic("other"));
    source.produce(&[&topic, &other].map(|topic| Workload::new(topic).records(10)));
    let of = |lines: &[&str], topic: &str| -> Vec<String> {
        let mut lines: Vec<String> = lines.iter().map(|line| line.replace("TOPIC_NAME", topic)).collect();
        lines.sort();
        lines
    };
    let followed = [
        "ALLOW READ TOPIC LITERAL TOPIC_NAME User:alice *",
        "ALLOW DESCRIBE_CONFIGS TOPIC LITERAL TOPIC_NAME User:alice 10.0.0.7",
        "DENY ALL TOPIC LITERAL TOPIC_NAME User:mallory *",
        "DENY WRITE TOPIC LITERAL TOPIC_NAME User:* *",
    ];
    let left_out = [
        "ALLOW WRITE TOPIC LITERAL TOPIC_NAME User:alice *",
        "ALLOW READ TOPIC LITERAL * User:bob *",
        "ALLOW READ TOPIC PREFIXED ord User:bob *",
        "ALLOW READ GROUP LITERAL billing User:alice *",
        "ALLOW WRITE TRANSACTIONAL_ID LITERAL billing User:alice *",
        "DENY READ TOPIC PREFIXED elsewhere User:bob *",
    ];
    let all = "ALLOW ALL TOPIC LITERAL TOPIC_NAME User:carol *";
    for line in of(&[&followed[..], &left_out, &[all]].concat(), &topic) {
        source.add_acl(&line);
    }
    source.add_acl(&format!("ALLOW READ TOPIC LITERAL {other} User:alice *"));
    let somebodys = "ALLOW WRITE TOPIC LITERAL elsewhere User:dave *";
    target.add_acl(somebodys);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "    naming: prefixed\n");
    let reads = all.replace("ALL TOPIC", "READ TOPIC");
    let mut expected = of(&[&followed[..], &[reads.as_str()]].concat(), &format!("east.{topic}"));
    expected.push(somebodys.to_owned());
    expected.sort();
    kmirror.run(&["run", "--once"]).with_code(0).saying("access control entry added on the target");
    assert_eq!(target.acls(), expected);
    // Nothing is removed, and what is there is not added again.
    source.remove_acl(&of(&followed, &topic)[0]);
    let again = kmirror.run(&["run", "--once"]).with_code(0);
    assert!(!again.stderr().contains("access control entry"), "{}", again.stderr());
    assert_eq!(target.acls(), expected);
}

fn lists_follow_exactly_and_removals_with_them(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let mut scene = Scene::between(&source, &target, "exactly", "acls: full\nacls_interval: 200ms");
    scene.write(10);
    let topic = scene.topic.clone();
    let own = format!("ALLOW WRITE TOPIC LITERAL {topic} User:ANONYMOUS *");
    let on_target_alone = format!("ALLOW READ TOPIC LITERAL {topic} User:dave *");
    let first = [
        format!("ALLOW ALL TOPIC LITERAL {topic} User:carol *"),
        format!("ALLOW WRITE TOPIC LITERAL {topic} User:alice *"),
        "ALLOW READ TOPIC LITERAL * User:bob *".to_owned(),
        "ALLOW WRITE TOPIC PREFIXED exact User:bob *".to_owned(),
        "ALLOW READ GROUP PREFIXED bill User:alice *".to_owned(),
        "ALLOW WRITE TRANSACTIONAL_ID PREFIXED bill User:alice *".to_owned(),
    ];
    let left_out = [
        "ALLOW READ GROUP LITERAL console-consumer-1 User:alice *",
        "ALLOW READ TOPIC LITERAL elsewhere User:alice *",
        "ALLOW READ TOPIC PREFIXED else User:alice *",
        "ALLOW ALTER CLUSTER LITERAL kafka-cluster User:alice *",
    ];
    first.iter().for_each(|line| source.add_acl(line));
    left_out.iter().for_each(|line| source.add_acl(line));
    // The same entry on both sides: nobody knows who needs it here.
    [&source, &target].iter().for_each(|cluster| cluster.add_acl(&own));
    target.add_acl(&on_target_alone);
    let there = |lines: &[&[String]]| {
        let mut expected = [lines.concat(), vec![own.clone(), on_target_alone.clone()]].concat();
        expected.sort();
        target.acls() == expected
    };
    let mut mirror = scene.kmirror().start();
    await_that("the lists have followed", || there(&[&first]));
    let later = [format!("DENY READ TOPIC LITERAL {topic} User:mallory 10.0.0.7")];
    source.add_acl(&later[0]);
    await_that("a new entry has followed", || there(&[&first, &later]));
    source.remove_acl(&first[1]);
    source.remove_acl(&own);
    await_that("a removal has followed", || there(&[&first[..1], &first[2..], &later]));
    assert_eq!(mirror.end("TERM"), Some(143));
    // While nobody runs, and with other rules in between, which remove nothing.
    source.remove_acl(&first[0]);
    scene.set("acls: safe");
    scene.kmirror().copy();
    scene.set("acls: none");
    scene.kmirror().copy();
    assert!(there(&[&first[..1], &first[2..], &later]), "{:?}", target.acls());
    scene.set("acls: full");
    scene.kmirror().run(&["run", "--once"]).with_code(0).saying("access control entry removed on the target");
    assert!(there(&[&first[2..], &later]), "{:?}", target.acls());
    // Lists that are empty all at once are no reason to remove everything, and neither is the first that is restored.
    let before = source.acls();
    before.iter().for_each(|entry| source.remove_acl(entry));
    scene.kmirror().run(&["run", "--once"]).with_code(0).saying("which may be an accident");
    assert!(there(&[&first[2..], &later]), "{:?}", target.acls());
    source.add_acl(&later[0]);
    let plan = scene.kmirror().run(&["plan", "--exit-code"]).with_code(0);
    assert!(plan.stderr().contains("which may be an accident"), "{}", plan.stderr());
    scene.kmirror().run(&["run", "--once"]).with_code(0).saying("which may be an accident");
    assert!(there(&[&first[2..], &later]), "{:?}", target.acls());
    before.iter().for_each(|entry| source.add_acl(entry));
    // Somebody adds on the target what kmirror had added before: now it is his.
    target.add_acl(&first[0]);
    scene.kmirror().copy();
    assert!(there(&[&first[..1], &first[2..], &later]), "{:?}", target.acls());
}

fn without_an_authorizer_it_is_said_once(stage: &Stage) {
    let scene = Scene::copied(stage, "unguarded", "acls_interval: 100ms");
    let mut mirror = scene.kmirror().start();
    let line = mirror.says(&["access control lists are not copied", "has no authorizer"]);
    assert!(line.contains("INFO"), "{line}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(mirror.log().matches("access control lists are not copied").count(), 1, "{}", mirror.log());
}

fn a_missing_right_on_a_cluster_is_named(stage: &Stage) {
    let all_topics: (&[&str], _) =
        (&["--operation", "All", "--topic", "*"], "ALLOW ALL TOPIC LITERAL * User:ANONYMOUS *");
    let describe: (&[&str], _) = (
        &["--operation", "Describe", "--cluster"],
        "ALLOW DESCRIBE CLUSTER LITERAL kafka-cluster User:ANONYMOUS *",
    );
    let (guarded, closed) = (stage.guarded_cluster(), stage.closed_cluster(&[all_topics]));
    let seen = stage.closed_cluster(&[all_topics, describe]);
    let topic = unique_topic("unseen");
    for source in [&closed, &guarded] {
        source.produce(&[Workload::new(&topic).records(10)]);
    }
    guarded.add_acl(&format!("ALLOW READ TOPIC LITERAL {topic} User:alice *"));
    let more = "    groups: { include: [] }\n    acls_interval: 100ms\n";
    for (source, target, right) in [
        (&closed, &guarded, "kmirror needs DESCRIBE on the cluster east"),
        (&guarded, &closed, "kmirror needs DESCRIBE on the cluster west"),
        (&guarded, &seen, "kmirror needs ALTER on the cluster west"),
    ] {
        let target_topic = format!("    naming: {{ template: \"{}-{{topic}}\" }}\n", unique_topic("copy"));
        let mut mirror =
            Kmirror::mirroring(source, target, &[&topic], &(more.to_owned() + &target_topic)).start();
        let line = mirror.says(&["access control lists are not copied", right]);
        assert!(line.contains("WARN"), "{line}");
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(mirror.end("TERM"), Some(143));
        assert_eq!(
            mirror.log().matches("access control lists are not copied").count(),
            1,
            "{}",
            mirror.log()
        );
    }
}

/// As MirrorMaker's rules have it. Here the program is nobody who may do everything.
fn a_topic_that_is_closed_for_everybody_closes_its_copy(stage: &Stage) {
    let all_topics: (&[&str], _) =
        (&["--operation", "All", "--topic", "*"], "ALLOW ALL TOPIC LITERAL * User:ANONYMOUS *");
    let alter: (&[&str], _) = (
        &["--operation", "Alter", "--cluster"],
        "ALLOW ALTER CLUSTER LITERAL kafka-cluster User:ANONYMOUS *",
    );
    let (source, target) = (stage.guarded_cluster(), stage.closed_cluster(&[all_topics, alter]));
    let settings = "acls_interval: 100ms\nparked_retry_interval: 500ms\ngroups: { include: [] }";
    let scene = Scene::between(&source, &target, "closed", settings);
    scene.write(10);
    let mut mirror = scene.kmirror().start();
    scene.await_copied();
    let lock = format!("DENY WRITE TOPIC LITERAL {} User:* *", scene.topic);
    source.add_acl(&lock);
    await_that("the copy is closed", || target.acls().contains(&lock));
    scene.write(10);
    scene.parks_running(&mut mirror, "Unauthorized", &["WRITE"]);
    source.remove_acl(&lock);
    target.remove_acl(&lock);
    scene.await_copied();
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn what_denies_many_topics_denies_each_copy(stage: &Stage) {
    let source = stage.guarded_cluster();
    let topics = ["secret", "secret"].map(unique_topic);
    source.produce(&topics.each_ref().map(|topic| Workload::new(topic).records(10)));
    for entry in [
        format!("ALLOW READ TOPIC LITERAL {} User:* *", topics[0]),
        "DENY READ TOPIC PREFIXED secret User:bob 10.0.0.7".to_owned(),
        "DENY ALL TOPIC LITERAL * User:eve *".to_owned(),
    ] {
        source.add_acl(&entry);
    }
    let of = |topic: &str| {
        [
            format!("DENY READ TOPIC LITERAL {topic} User:bob 10.0.0.7"),
            format!("DENY ALL TOPIC LITERAL {topic} User:eve *"),
        ]
    };
    let prefixed = topics.each_ref().map(|topic| format!("east.{topic}"));
    for (acls, naming, copies) in
        [("safe", "identity", &topics), ("safe", "prefixed", &prefixed), ("full", "prefixed", &prefixed)]
    {
        let target = stage.guarded_cluster();
        let settings = format!("    naming: {naming}\n    acls: {acls}\n");
        let kmirror = Kmirror::mirroring(&source, &target, &topics.each_ref().map(String::as_str), &settings);
        let mut expected = copies.iter().flat_map(|copy| of(copy)).collect::<Vec<_>>();
        expected.push(format!("ALLOW READ TOPIC LITERAL {} User:* *", copies[0]));
        expected.sort();
        let plan = kmirror.run(&["plan", "--exit-code"]).with_code(3).stdout();
        assert!(plan.contains("the source has DENY ALL for User:eve from * on TOPIC *"), "{plan}");
        kmirror.run(&["run", "--once"]).with_code(0);
        assert_eq!(target.acls(), expected, "{acls}, {naming}");
    }
}

fn what_was_added_under_other_names_is_removed(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let settings = |naming: &str| format!("acls: full\nnaming: {naming}");
    let mut scene = Scene::between(&source, &target, "renamed", &settings("identity"));
    scene.write(10);
    let of =
        |user: &str, prefix: &str| format!("ALLOW READ TOPIC LITERAL {prefix}{} User:{user} *", scene.topic);
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    let first = ["ann", "bob", "eve"].map(|user| of(user, ""));
    let second = ["ann", "bob", "eve"].map(|user| of(user, "east."));
    first.iter().for_each(|line| source.add_acl(line));
    scene.kmirror().copy();
    assert_eq!(target.acls(), sorted(&first));
    scene.set(&settings("prefixed"));
    scene.kmirror().copy();
    assert_eq!(target.acls(), sorted(&[first.clone(), second.clone()].concat()));
    source.remove_acl(&first[2]);
    scene.kmirror().copy();
    assert_eq!(target.acls(), sorted(&[&first[..2], &second[..2]].concat()));
}

fn what_somebody_takes_back_again_and_again_is_told_once(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let scene = Scene::between(&source, &target, "returning", "acls_interval: 1s");
    scene.write(10);
    let allow = format!("ALLOW READ TOPIC LITERAL {} User:* *", scene.topic);
    let deny = format!("DENY READ TOPIC LITERAL {} User:bob *", scene.topic);
    source.add_acl(&allow);
    source.add_acl("DENY READ TOPIC PREFIXED returning User:bob *");
    let mut mirror = scene.kmirror().start();
    await_that("they have followed", || target.acls().contains(&allow));
    let logged = |mirror: &Running, words: [&str; 2]| {
        let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
        mirror.log().lines().filter(is_it).count()
    };
    let told = |mirror: &Running, entry: &str| logged(mirror, ["somebody removes it", entry]);
    let take_back = |mirror: &Running, line: &str, entry: &str| {
        let added = || logged(mirror, ["access control entry added on the target", entry]);
        let before = added();
        // Some of its looks: what is gone before kmirror has seen it there may be on its way to the brokers, and is waited for.
        std::thread::sleep(Duration::from_millis(1_500));
        target.remove_acl(line);
        await_long("it is back", || added() > before);
    };
    let of_all = format!("ALLOW READ for User:* from * on TOPIC {}", scene.topic);
    let of_bob = format!("DENY READ for User:bob from * on TOPIC {}", scene.topic);
    for (line, entry) in [(&allow, &of_all), (&deny, &of_bob)] {
        // One that is gone before kmirror has seen it there is none that it has to add again.
        while told(&mirror, entry) == 0 {
            take_back(&mirror, line, entry);
        }
    }
    // What limits another entry never waits.
    (0..3).for_each(|_| take_back(&mirror, &deny, &of_bob));
    let source = "source=DENY READ for User:bob from * on TOPIC returning (PREFIXED)";
    assert_eq!(logged(&mirror, ["WARN", source]), 1, "{}", mirror.log());
    assert_eq!(mirror.end("TERM"), Some(143));
    assert_eq!(mirror.log().matches("somebody removes it").count(), 2, "{}", mirror.log());
}

/// For real Kafka alone, since its authorizer judges.
#[test]
fn whoever_may_not_read_a_topic_may_not_read_its_copy() {
    let Some(_kafka) = real_kafka("whoever_may_not_read_a_topic_may_not_read_its_copy") else { return };
    let guarded = || {
        let guarded = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer();
        guarded.property("super.users", "User:kafka;User:ANONYMOUS").start().unwrap()
    };
    let (source, target) = (guarded(), guarded());
    source.produce(&["secret.pay", "open"].map(|topic| Workload::new(topic).records(10))).unwrap();
    for entry in [
        "ALLOW READ TOPIC LITERAL secret.pay User:* *",
        "ALLOW READ TOPIC LITERAL open User:* *",
        "DENY READ TOPIC PREFIXED secret. User:bob *",
        "DENY ALL TOPIC LITERAL * User:eve *",
    ] {
        source.add_acl(entry).unwrap();
    }
    let may_read = |cluster: &KafkaCluster, user: &str, topic: &str| {
        let consumed = cluster.consume_as(user, topic, 10).unwrap();
        let printed = format!("{}{}", consumed.stdout, consumed.stderr);
        let is_refused = printed.contains("TopicAuthorizationException");
        assert!(is_refused || printed.contains("Processed a total of 10 messages"), "{printed}");
        !is_refused
    };
    let judged = |cluster: &KafkaCluster, secret: &str, open: &str| {
        [("alice", secret), ("bob", secret), ("bob", open), ("eve", open)]
            .map(|(user, topic)| may_read(cluster, user, topic))
    };
    let expected = [true, false, true, false];
    assert_eq!(judged(&source, "secret.pay", "open"), expected);
    for (acls, naming, secret, open) in
        [("safe", "identity", "secret.pay", "open"), ("full", "prefixed", "east.secret.pay", "east.open")]
    {
        let settings = format!("    naming: {naming}\n    acls: {acls}\n    state_topic: __state-{acls}\n");
        let (source, target_servers) = (source.bootstrap_servers(), target.bootstrap_servers());
        Kmirror::between(source, target_servers, &["secret.pay", "open"], &settings).copy();
        assert_eq!(judged(&target, secret, open), expected, "{acls}, {naming}");
    }
}

/// For real Kafka alone, since MirrorMaker 2 judges.
#[test]
fn mirror_maker_makes_the_same_of_the_same_lists() {
    let Some(_kafka) = real_kafka("mirror_maker_makes_the_same_of_the_same_lists") else { return };
    let guarded = || {
        let guarded = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer();
        guarded.property("super.users", "User:kafka;User:ANONYMOUS").start().unwrap()
    };
    let (source, theirs, ours) = (guarded(), guarded(), guarded());
    source.produce(&["orders", "payments"].map(|topic| Workload::new(topic).records(10))).unwrap();
    let operations = [
        "ALL",
        "READ",
        "WRITE",
        "CREATE",
        "DELETE",
        "ALTER",
        "DESCRIBE",
        "DESCRIBE_CONFIGS",
        "ALTER_CONFIGS",
    ];
    for (permission, principal) in [("ALLOW", "User:alice"), ("DENY", "User:mallory"), ("DENY", "User:*")] {
        for operation in operations {
            source.add_acl(&format!("{permission} {operation} TOPIC LITERAL orders {principal} *")).unwrap();
        }
    }
    for entry in [
        "ALLOW READ TOPIC LITERAL payments User:bob 10.0.0.7",
        "ALLOW READ TOPIC LITERAL absent User:bob *",
        "ALLOW READ TOPIC LITERAL * User:bob *",
        "ALLOW READ TOPIC PREFIXED ord User:bob *",
        "ALLOW READ GROUP LITERAL billing User:bob *",
        "ALLOW WRITE TRANSACTIONAL_ID LITERAL billing User:bob *",
        "ALLOW DESCRIBE CLUSTER LITERAL kafka-cluster User:bob *",
    ] {
        source.add_acl(entry).unwrap();
    }
    let file = |target: &KafkaCluster| {
        format!(
            "clusters = primary, backup\nprimary.bootstrap.servers = {}\nbackup.bootstrap.servers = {}\n\
             primary->backup.enabled = true\nbackup->primary.enabled = false\ntopics = .*\nreplication.factor = 1\n\
             sync.topic.acls.interval.seconds = 1\n{FACTORS}",
            source.bootstrap_servers(),
            target.bootstrap_servers()
        )
    };
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.properties", unique_topic("acls")));
    std::fs::write(&path, file(&theirs)).unwrap();
    let mirror_maker = theirs.start_tool(&["mirror-maker", path.to_str().unwrap()], "").unwrap();
    Kmirror::with_file("properties", &file(&ours)).copy();
    let entries = |cluster: &KafkaCluster| BTreeSet::from_iter(cluster.acls().unwrap());
    let last = "ALLOW READ TOPIC LITERAL primary.payments User:bob 10.0.0.7";
    await_that("MirrorMaker has copied them", || entries(&theirs).contains(last));
    let (theirs, ours) = (entries(&theirs), entries(&ours));
    drop(mirror_maker);
    // It takes what means every topic for the name of one, and copies entries of topics that do not exist.
    let only_theirs: Vec<&String> = theirs.difference(&ours).collect();
    let useless = ["absent", "*"].map(|name| format!("ALLOW READ TOPIC LITERAL primary.{name} User:bob *"));
    assert_eq!(only_theirs, useless.iter().rev().collect::<Vec<_>>());
    assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(ours.len(), 8 + 9 + 9 + 1 - 1, "of those that are allowed, ALL became one that was there");
}
