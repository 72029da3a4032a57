//! How far the target is behind: by kmirror, and by what the clusters say themselves.

use std::process::Command;

use kmirror_testkit::Workload;

use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(what_is_not_on_the_target_is_its_lag,);

fn what_is_not_on_the_target_is_its_lag(stage: &Stage) {
    let scene = Scene::copied(stage, "lagging", "");
    let lines = |arguments: &[&str], code| {
        let ended = scene.kmirror().run(&[arguments, &["--topic", &scene.topic, "--format", "csv"]].concat());
        ended.with_code(code).stdout().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    scene.source.produce(&[Workload::new(&scene.topic).records(40).timestamps(now_ms - 3_600_000, 1)]);
    // What the clusters say themselves.
    let ends = [&scene.source, &scene.target].map(|cluster| cluster.end(&scene.topic, 0).unwrap());
    assert_eq!(ends, [140, 100]);
    let [partition] = lines(&["lag"], 0).try_into().unwrap();
    let columns: Vec<&str> = partition.split(',').collect();
    assert_eq!(columns[..7], ["east-to-west", &scene.topic, &scene.topic, "0", "140", "100", "40"]);
    let age_seconds: f64 = columns[7].parse().unwrap();
    assert!((3_600.0..3_700.0).contains(&age_seconds), "{partition}");
    assert!(
        lines(&["status"], 0)[0].starts_with(&format!("east-to-west,{0},{0},0,,,140,100,40,", scene.topic))
    );
    for (limit, code) in [
        (["--max-lag", "40"], 0),
        (["--max-lag", "39"], 3),
        (["--max-age", "2h"], 0),
        (["--max-age", "59m"], 3),
    ] {
        lines(&[&["lag"], &limit[..]].concat(), code);
        lines(&[&["status"], &limit[..]].concat(), code);
    }
    scene.copies();
    assert_eq!(
        lines(&["lag", "--max-lag", "0", "--max-age", "0s"], 0),
        [format!("east-to-west,{0},{0},0,140,140,0,,", scene.topic)]
    );
    // A name that there is not is no empty answer.
    let mistyped = scene.topic.replacen("lagging", "laging", 1);
    for command in ["lag", "status", "topics", "lineage"] {
        let ended = scene.kmirror().run(&[command, "--topic", &mistyped]).with_code(2);
        assert_eq!(ended.stdout(), "", "{command}");
        ended
            .saying(&format!("no flow has a topic {mistyped:?}"))
            .saying(&format!("did you mean `{}`?", scene.topic));
    }
    scene
        .kmirror()
        .run(&["groups", "--group", "nobody"])
        .with_code(2)
        .saying("no flow has a group \"nobody\"");
    // What was lost is told as well.
    scene.source.delete_topic(&scene.topic);
    scene.source.produce(&[Workload::new(&scene.topic).records(10)]);
    assert_eq!(lines(&["lag"], 0), [format!("east-to-west,{0},{0},0,10,,10,,SourceRecreated", scene.topic)]);
}

#[test]
fn completions_and_a_manual_page_are_printed() {
    let printed = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kmirror")).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&["completions", shell]).contains("translate"), "{shell}");
    }
    let page = printed(&["man"]);
    assert!(
        page.contains(".TH kmirror 1") && page.contains("KMIRROR VERIFY") && page.contains("Exit codes"),
        "{page}"
    );
}
