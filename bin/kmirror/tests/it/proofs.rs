//! What `verify` says, and with which exit code: nothing of what it did not look at, and whatever the target's topic destroyed.

use kmirror_testkit::{Workload, unique_topic};
use serde_json::{Value, json};

use crate::kmirror::{Ended, Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_proof_says_nothing_of_what_it_did_not_compare,
    a_proof_of_nothing_is_an_error,
    a_proof_finds_what_the_retention_of_the_target_topic_removed,
    a_proof_finds_what_the_cleaner_of_the_target_topic_removed,
    a_proof_finds_append_times_of_the_target_topic,
    a_proof_finds_a_lost_head,
);

fn a_proof_says_nothing_of_what_it_did_not_compare(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("proved");
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "");
    let json = |code| report(&kmirror.run(&["verify", "--format", "json"]).with_code(code));
    let place = format!("east-to-west {topic}-0: ");
    source.create_topic(&topic, 1, &[]);

    says(
        &kmirror.run(&["verify"]).with_code(0),
        &[
            &format!("{place}nothing to compare, not on the target"),
            "nothing to compare: there are no records in 1 partitions",
        ],
    );
    kmirror.run(&["verify", "--complete"]).with_code(0);
    let empty = json(0);
    assert_eq!((&empty["verdict"], &empty["compared"]), (&json!("nothing_to_compare"), &json!(0)));
    assert_eq!((&empty["equal"], &empty["complete"]), (&Value::Null, &json!(true)));

    source.produce(&[Workload::new(&topic).records(100)]);
    says(
        &kmirror.run(&["verify"]).with_code(0),
        &[
            &format!("{place}not copied yet, not on the target, 100 offsets not copied yet"),
            "not copied yet: 100 offsets in 1 partitions",
        ],
    );
    says(
        &kmirror.run(&["verify", "--complete"]).with_code(4),
        &["INCOMPLETE: 100 offsets are not copied yet"],
    );
    let absent = json(0);
    assert_eq!((&absent["verdict"], &absent["equal"]), (&json!("not_copied_yet"), &Value::Null));
    let partition = &absent["partitions"][0];
    for (key, expected) in [
        ("on_target", json!(false)),
        ("first_offset", Value::Null),
        ("end_offset", Value::Null),
        ("offsets_behind", json!(100)),
        ("differences", json!([])),
    ] {
        assert_eq!(partition[key], expected, "{key}");
    }

    kmirror.copy();
    says(
        &kmirror.run(&["verify", "--complete"]).with_code(0),
        &[&format!("{place}equal, offsets [0, 100), 100 records"), "equal: 100 records in 1 partitions"],
    );
    source.produce(&[Workload::new(&topic).first(100).records(7)]);
    says(
        &kmirror.run(&["verify"]).with_code(0),
        &["equal: 100 records in 1 partitions, 7 offsets not copied yet"],
    );
    kmirror.run(&["verify", "--complete"]).with_code(4);
    let partly = json(0);
    assert_eq!((&partly["equal"], &partly["complete"]), (&json!(true), &json!(false)));
    assert_eq!((&partly["compared"], &partly["offsets_behind"]), (&json!(100), &json!(7)));
}

fn a_proof_of_nothing_is_an_error(stage: &Stage) {
    let scene = Scene::copied(stage, "nothing", "");
    let neighbour = scene.neighbour();
    let refused = |arguments: &[&str], words: &str| {
        let ended = scene.kmirror().run(&[&["verify"], arguments].concat()).with_code(2).saying(words);
        assert_eq!(ended.stdout(), "", "nothing is said to be equal");
    };
    refused(&["--from", "100"], "nothing to compare from offset 100 on: the source's logs end at 100");
    refused(&["--topic", "nowhere"], "no flow copies a topic \"nowhere\"");
    refused(&["--topic", neighbour, "--topic", "nowhere"], "no flow copies a topic \"nowhere\"");
    let (source, target) = (&scene.source, &scene.target);
    Kmirror::mirroring(source, target, &["nothing-is-called-.*"], "")
        .run(&["verify"])
        .with_code(2)
        .saying("no topic of the source matches");
    // Where one partition goes as far, it is compared, and of the other one nothing is said.
    let partly = scene.kmirror().run(&["verify", "--from", "60"]).with_code(0);
    says(
        &partly,
        &[
            &format!("{}-0: equal, offsets [60, 100), 40 records", scene.topic),
            &format!("{neighbour}-0: nothing to compare"),
            "equal: 40 records in 1 partitions",
        ],
    );
}

fn a_proof_finds_what_the_retention_of_the_target_topic_removed(stage: &Stage) {
    let scene = Scene::between(&stage.cluster(), &stage.tidy_cluster(), "retained", "");
    scene.source.create_topic(&scene.topic, 1, &[("retention.ms", "604800000")]);
    scene.write(100);
    scene.kmirror().copy();
    scene.kmirror().prove();
    scene.target.alter_topic(&scene.topic, &[("retention.ms", "1000")]);
    await_that("everything has expired on the target", || {
        scene.target.tidy(&scene.topic);
        scene.target.start(&scene.topic) == Some(100)
    });
    let ended = scene.kmirror().run(&["verify"]).with_code(4);
    says(
        &ended,
        &[
            &format!("{}-0: NOT COMPARABLE, not comparable below 100", scene.topic),
            "100 removed by the target's own retention (retention.ms is 1000, on the source 604800000)",
            "NOT COMPARABLE: the target's own retention removed 100 records",
        ],
    );
    let report = report(&scene.kmirror().run(&["verify", "--format", "json"]).with_code(4));
    assert_eq!((&report["verdict"], &report["equal"]), (&json!("removed_by_retention"), &json!(false)));
    // Where the source may delete them as well, that is no fault of the target's.
    scene.source.alter_topic(&scene.topic, &[("retention.ms", "1000")]);
    let ended = scene.kmirror().run(&["verify"]).with_code(0);
    if scene.source.start(&scene.topic) == Some(0) {
        says(&ended, &["not comparable below 100, 100 expired there, as they may on the source"]);
    }
}

fn a_proof_finds_what_the_cleaner_of_the_target_topic_removed(stage: &Stage) {
    let scene = Scene::between(&stage.cluster(), &stage.tidy_cluster(), "compacted-there", "");
    // Of several segments, since the last one is never cleaned.
    scene.source.create_topic(
        &scene.topic,
        1,
        &[("segment.bytes", "1048576"), ("max.compaction.lag.ms", "100")],
    );
    scene.write_with(|workload| workload.records(3_000).keys(10).value_bytes(1_000, 1_000));
    scene.kmirror().copy();
    scene.kmirror().prove();
    let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")];
    scene.target.alter_topic(&scene.topic, &compacted);
    await_that("the target's cleaner has been there", || {
        scene.target.tidy(&scene.topic);
        scene.on_target().len() < 3_000
    });
    let ended = scene.kmirror().run(&["verify"]).with_code(4);
    says(&ended, &[": missing: ", "the target topic is compacted (cleanup.policy), the source topic is not"]);
}

fn a_proof_finds_append_times_of_the_target_topic(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("clocked");
    // A Java producer writes the same records to both, and the target's broker puts its own times to them.
    let workload = Workload::new(&topic).records(50).timestamps(1_700_000_000_000, 1);
    source.produce(std::slice::from_ref(&workload));
    target.produce(&[workload.topic_property("message.timestamp.type", "LogAppendTime")]);
    let ended = Kmirror::mirroring(&source, &target, &[&topic], "").run(&["verify"]).with_code(4);
    says(
        &ended,
        &[
            &format!("{topic}-0 offset 0: timestamp: source 1700000000000, target "),
            &format!("{topic}-0 offset 0: timestamp_type: the target has its append time"),
            "DIFFERENT: 100 differences in 1 partitions, 0 records are equal",
        ],
    );
}

fn a_proof_finds_a_lost_head(stage: &Stage) {
    let scene = Scene::copied(stage, "beheaded", "");
    scene.target.delete_records(&scene.topic, 0, 60);
    let ended = scene.kmirror().run(&["verify"]).with_code(4);
    says(
        &ended,
        &[
            "offset 0: missing: ",
            "the target's log begins at 60",
            "DIFFERENT: 60 differences in 2 partitions",
        ],
    );
    scene.kmirror().run(&["verify", "--from", "60"]).with_code(0);
    // What the source has lost as well is nothing to be found.
    scene.source.delete_records(&scene.topic, 0, 60);
    scene.kmirror().prove();
}

fn says(ended: &Ended, words: &[&str]) {
    for words in words {
        assert!(ended.stdout().contains(words), "no {words:?} in {}", ended.stdout());
    }
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout()).unwrap()
}
