//! A mirror whose configuration changes while it runs.

use std::time::Duration;

use kmirror_testkit::{Workload, unique_topic};

use crate::kmirror::{Kmirror, Running, await_that};
use crate::schedule::Schedule;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    a_reload_changes_what_it_says_and_disturbs_nothing_else,
    a_reload_that_cannot_be_changes_nothing,
    many_reloads_under_load_lose_and_double_nothing,
    topics_that_are_selected_anew_begin_as_at_a_start,
    groups_that_are_selected_anew_follow,
    a_run_with_once_is_not_changed,
);

fn a_reload_changes_what_it_says_and_disturbs_nothing_else(stage: &Stage) {
    let file = File::new(stage);
    let [steady, first, second] = ["steady", "first", "second"].map(unique_topic);
    let endless = |topic| Workload::new(topic).records(u32::MAX.into()).partitions(2).records_per_second(300);
    let load = file.source.start_load(&[endless(&steady), endless(&first), endless(&second)]);
    await_that("every topic is there", || {
        [&steady, &first, &second].iter().all(|topic| file.source.partitions(topic) == Some(2))
    });
    let steady_flow = flow(&[&steady], "");
    let kmirror = file.kmirror(&[&steady_flow, &flow(&[&first], "")]);
    let mut mirror = kmirror.start();
    file.arrives(&[&steady, &first]);
    // A topic is added to the filter of one of two flows between the same clusters.
    let both = flow(&[&first, &second], "");
    file.reload(&kmirror, &mirror, &[&steady_flow, &both], "filtered=\"east-to-west-2\"");
    file.arrives(&[&steady, &first, &second]);
    assert_eq!(take_overs(&mirror, &first), 2, "it goes on as it was:\n{}", mirror.log());
    // That flow is removed, and is back with one of its topics.
    file.reload(&kmirror, &mirror, &[&steady_flow], "stopped=\"east-to-west-2\"");
    let stopped_at = file.target.ends(&first);
    file.arrives(&[&steady]);
    assert_eq!(file.target.ends(&first), stopped_at, "nobody copies it");
    file.reload(&kmirror, &mirror, &[&flow(&[&second], ""), &steady_flow], "started=\"east-to-west-2\"");
    file.arrives(&[&steady, &second]);
    // The other topic of that filter.
    file.reload(&kmirror, &mirror, &[&flow(&[&first], ""), &steady_flow], "filtered=\"east-to-west-2\"");
    mirror.says(&["not copied any more", &second]);
    file.arrives(&[&steady, &first]);
    let left_at = file.target.ends(&second);
    file.arrives(&[&steady, &first]);
    assert_eq!(file.target.ends(&second), left_at, "nobody copies it");
    file.reload(&kmirror, &mirror, &[&both, &steady_flow], "filtered=\"east-to-west-2\"");
    file.arrives(&[&second]);
    // What cannot be changed while a flow runs is changed by a flow that starts anew, alone.
    let before = take_overs(&mirror, &first);
    let others = [&flow(&[&first], "    buffer: 20MiB\n"), steady_flow.as_str()];
    file.reload(&kmirror, &mirror, &others, "restarted=\"east-to-west-2\"");
    await_that("it is taken over again", || take_overs(&mirror, &first) == before + 2);
    file.arrives(&[&steady, &first]);
    assert_eq!(take_overs(&mirror, &steady), 2, "nothing of this disturbs it:\n{}", mirror.log());
    load.stop();
    file.arrives(&[&steady, &first]);
    assert_eq!(mirror.end("TERM"), Some(143));
    let all = file.kmirror(&[&flow(&[&steady, &first, &second], "")]);
    all.copy();
    all.prove();
}

fn a_reload_that_cannot_be_changes_nothing(stage: &Stage) {
    let file = File::new(stage);
    let topic = unique_topic("goes-on");
    file.source.produce(&[Workload::new(&topic).records(100)]);
    let good = flow(&[&topic], "");
    let kmirror = file.kmirror(&[&good]);
    let mut mirror = kmirror.start();
    file.arrives(&[&topic]);
    let back = format!("  - {{ source: west, target: east, topics: {{ include: [{topic:?}] }} }}\n");
    let elsewhere = "  - { source: east, target: nowhere, topics: { include: [\".*\"] } }\n";
    for (flows, words) in [
        (format!("{good}{back}"), "it passes east-to-west, then west-to-east, then east-to-west"),
        (format!("{good}    toopics: 1\n"), "unknown key `toopics`"),
        (format!("{good}{elsewhere}"), "there is no cluster \"nowhere\""),
        (format!("{good}clusters: 7\n"), "clusters"),
    ] {
        kmirror.rewrite(&file.text(&[&flows]));
        mirror.signal("HUP");
        mirror.says(&["ERROR", "not reloaded: everything goes on as it was", words]);
    }
    mirror.says(&["not reloaded", "refused=4"]);
    file.source.produce(&[Workload::new(&topic).records(100)]);
    file.arrives(&[&topic]);
    assert_eq!(take_overs(&mirror, &topic), 1, "nothing was changed:\n{}", mirror.log());
    file.reload(&kmirror, &mirror, &[&good], "unchanged=\"east-to-west\"");
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn topics_that_are_selected_anew_begin_as_at_a_start(stage: &Stage) {
    let file = File::new(stage);
    let [first, second, third] = ["first", "second", "third"].map(unique_topic);
    let write = |topic: &str| file.source.produce(&[Workload::new(topic).records(100)]);
    write(&first);
    write(&second);
    let latest = "    start: latest\n    metadata_refresh_interval: 300ms\n";
    let kmirror = file.kmirror(&[&flow(&[&first, &third], latest)]);
    let mut mirror = kmirror.start();
    mirror.says(&["copying", &first]);
    // One that was there before, and one that appears.
    file.reload(&kmirror, &mirror, &[&flow(&[&first, &second, &third], latest)], "filtered=");
    mirror.says(&["copying", &second]);
    write(&third);
    mirror.says(&["copying", &third]);
    write(&second);
    file.arrives(&[&first, &second, &third]);
    assert_eq!(file.target.start(&second), Some(100), "what was there before is not copied");
    assert_eq!(file.target.start(&third), Some(0), "what appears is copied whole");
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// Filters change while what they take out is on its way, flows come and go, faster than partitions are taken over.
fn many_reloads_under_load_lose_and_double_nothing(stage: &Stage) {
    let file = File::new(stage);
    let mut schedule = Schedule::new();
    let topics = ["one", "two", "three"].map(unique_topic);
    let load = |topic: &String| {
        Workload::new(topic).records(u32::MAX.into()).partitions(2).records_per_second(1_000)
    };
    let loads =
        [load(&topics[0]), load(&topics[1]).transactions(10).abort_every(4), load(&topics[2]).codec("lz4")];
    let load = file.source.start_load(&loads);
    await_that("every topic is there", || {
        topics.iter().all(|topic| file.source.partitions(topic) == Some(2))
    });
    let all: Vec<&str> = topics.iter().map(String::as_str).collect();
    let kmirror = file.kmirror(&[&flow(&all, "")]);
    let mut mirror = kmirror.start();
    mirror.says(&["copying"]);
    for _ in 0..40 {
        // Each topic in one of two flows, or in none.
        let mut flows = [Vec::new(), Vec::new(), Vec::new()];
        for topic in &all {
            flows[schedule.up_to(3) as usize].push(*topic);
        }
        let buffer = ["", "    buffer: 20MiB\n"][schedule.up_to(2) as usize];
        kmirror.rewrite(&file.text(&[&flow(&flows[0], ""), &flow(&flows[1], buffer)]));
        mirror.signal("HUP");
        std::thread::sleep(Duration::from_millis(schedule.up_to(300)));
    }
    file.reload(&kmirror, &mirror, &[&flow(&all, "")], "reloaded");
    load.stop();
    file.arrives(&all);
    assert!(!mirror.log().contains("ERROR"), "{}", mirror.log());
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.copy();
    kmirror.prove();
}

fn groups_that_are_selected_anew_follow(stage: &Stage) {
    let file = File::new(stage);
    let (topic, group) = (unique_topic("read"), unique_topic("group"));
    file.source.produce(&[Workload::new(&topic).records(100)]);
    file.source.commit(&group, &topic, 0, 40);
    let groups = |groups: &str| {
        flow(&[&topic], &format!("    groups_interval: 200ms\n    groups: {{ include: [{groups}] }}\n"))
    };
    let kmirror = file.kmirror(&[&groups("")]);
    let mut mirror = kmirror.start();
    file.arrives(&[&topic]);
    file.reload(&kmirror, &mirror, &[&groups(&group)], "filtered=\"east-to-west\"");
    await_that("the group has followed", || file.target.committed(&group, &topic, 0) == Some(40));
    file.reload(&kmirror, &mirror, &[&groups("")], "filtered=\"east-to-west\"");
    file.source.commit(&group, &topic, 0, 60);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(file.target.committed(&group, &topic, 0), Some(40), "it does not follow any more");
    assert_eq!(take_overs(&mirror, &topic), 1, "{}", mirror.log());
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_run_with_once_is_not_changed(stage: &Stage) {
    let file = File { source: stage.cluster(), target: stage.cluster() };
    let topic = unique_topic("once");
    file.source.produce(&[Workload::new(&topic).records(100)]);
    let kmirror = file.kmirror(&[&flow(&[&topic], "")]);
    file.target.pause(1);
    let mut once = kmirror.start_with(&["run", "--once"]);
    await_that("it catches hang-ups", || once.catches_hang_ups());
    kmirror.rewrite("nonsense");
    once.signal("HUP");
    once.says(&["WARN", "a run with --once is not changed meanwhile"]);
    file.target.resume(1);
    assert_eq!(once.ended(), Some(0));
    assert_eq!(file.target.end(&topic, 0), Some(100));
}

/// A configuration file with flows from one cluster to another.
struct File {
    source: AnyCluster,
    target: AnyCluster,
}

impl File {
    fn new(stage: &Stage) -> File {
        let (source, target) = stage.pair();
        File { source, target }
    }

    fn text(&self, flows: &[&str]) -> String {
        format!(
            "clusters:\n  east: {{ bootstrap_servers: \"{}\" }}\n  west: {{ bootstrap_servers: \"{}\", connect_timeout: 60s }}\n\
             flows:\n{}",
            self.source.bootstrap_servers(),
            self.target.bootstrap_servers(),
            flows.concat()
        )
    }

    fn kmirror(&self, flows: &[&str]) -> Kmirror {
        Kmirror::with_config(&self.text(flows))
    }

    /// Gives a running mirror other flows, and waits until it says what that changed.
    fn reload(&self, kmirror: &Kmirror, mirror: &Running, flows: &[&str], says: &str) {
        let reloads = || {
            let log = mirror.log();
            log.lines().filter(|line| line.contains(" reloaded ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = reloads().len();
        kmirror.rewrite(&self.text(flows));
        mirror.signal("HUP");
        await_that("it is reloaded", || reloads().len() > before);
        let last = reloads().pop().unwrap();
        assert!(last.contains(says), "no {says:?} in:\n{last}");
    }

    /// Waits until the target has what the source has now.
    fn arrives(&self, topics: &[&str]) {
        for topic in topics {
            let wanted = self.source.ends(topic).unwrap();
            await_that(&format!("{topic} arrives"), || {
                let there = self.target.ends(topic).filter(|there| there.len() == wanted.len());
                there.is_some_and(|there| there.iter().zip(&wanted).all(|(there, wanted)| there >= wanted))
            });
        }
    }
}

fn flow(topics: &[&str], more: &str) -> String {
    let include: Vec<_> = topics.iter().map(|topic| format!("{topic:?}")).collect();
    format!("  - source: east\n    target: west\n    topics: {{ include: [{}] }}\n{more}", include.join(", "))
}

/// How often partitions of a topic were taken over.
fn take_overs(mirror: &Running, topic: &str) -> usize {
    let (log, partition) = (mirror.log(), format!("partition={topic}-"));
    log.lines().filter(|line| line.contains(" copying ") && line.contains(&partition)).count()
}
