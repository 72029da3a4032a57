//! What `plan` says is what `run` does, and after that there is nothing to do.

use kmirror_testkit::{Workload, unique_topic};
use serde_json::{Value, json};

use crate::kmirror::Kmirror;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_plan_is_what_run_does_and_then_it_is_empty,
    a_plan_says_what_run_would_wait_for,
    what_the_target_does_not_take_is_no_part_of_a_plan,
    a_plan_refuses_what_would_be_copied_for_ever,
);

fn planned(kmirror: &Kmirror) -> Value {
    let plan = kmirror.run(&["plan", "--format", "json"]).with_code(0);
    serde_json::from_str(&plan.stdout()).unwrap()
}

/// Brokers of release 4 refuse timestamps in the future by default, and the source has taken them.
fn with_limit(mut configs: Value) -> Value {
    configs[LIMIT] = json!(NO_LIMIT);
    configs
}

const LIMIT: &str = "message.timestamp.after.max.ms";
const NO_LIMIT: &str = "9223372036854775807";

/// Some fields of each row.
fn rows(plan: &Value, kind: &str, fields: &[&str]) -> Vec<Vec<Value>> {
    let rows = plan[kind].as_array().unwrap().iter();
    let mut rows: Vec<Vec<Value>> =
        rows.map(|row| fields.iter().map(|field| row[field].clone()).collect()).collect();
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

fn a_plan_is_what_run_does_and_then_it_is_empty(stage: &Stage) {
    let (source, target) = (stage.guarded_cluster(), stage.guarded_cluster());
    let [new, grown, group, ahead] = ["a-new", "b-grown", "group", "moved"].map(unique_topic);
    source.create_topic(&new, 3, &[("retention.ms", "900000000"), ("min.insync.replicas", "1")]);
    source.create_topic(&grown, 2, &[("retention.ms", "800000000")]);
    target.create_topic(&grown, 1, &[("segment.ms", "700000000")]);
    source.produce(&[
        Workload::new(&new).partitions(3).records(90),
        Workload::new(&grown).partitions(2).records(40),
    ]);
    source.commit(&group, &new, 1, 20);
    source.commit(&group, &grown, 1, 7);
    source.commit(&ahead, &grown, 0, 3);
    source.add_acl(&format!("ALLOW ALL TOPIC LITERAL {new} User:alice *"));
    let state = unique_topic("__state");
    let more =
        format!("    state_topic: {state}\n    mm2_topics: {{ heartbeats: true, checkpoints: true }}\n");
    let kmirror = Kmirror::mirroring(&source, &target, &[&new, &grown], &more);

    let plan = planned(&kmirror);
    assert_eq!(plan["is_empty"], false);
    let fields = ["target_topic", "step", "partitions_from", "partitions_to", "configs"];
    let compact = json!({ "cleanup.policy": "compact" });
    let mut expected = [
        [json!(state), json!("create"), json!(null), json!(1), compact.clone()],
        [json!("heartbeats"), json!("create"), json!(null), json!(1), compact.clone()],
        [json!("east.heartbeats"), json!("create"), json!(null), json!(1), compact.clone()],
        [json!("east.checkpoints.internal"), json!("create"), json!(null), json!(1), compact],
        [
            json!(new),
            json!("create"),
            json!(null),
            json!(3),
            with_limit(json!({ "retention.ms": "900000000" })),
        ],
        [json!(grown), json!("add_partitions"), json!(1), json!(2), json!({})],
    ];
    expected.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(rows(&plan, "topics", &fields), expected);
    let configs = [
        [json!(grown), json!(LIMIT), json!(null), json!(NO_LIMIT)],
        [json!(grown), json!("retention.ms"), json!(null), json!("800000000")],
        [json!(grown), json!("segment.ms"), json!("700000000"), json!(null)],
    ];
    assert_eq!(rows(&plan, "configs", &["target_topic", "key", "from", "to"]), configs);
    let partitions = rows(&plan, "partitions", &["source_topic", "partition", "step", "offsets"]);
    let begins =
        |topic: &String, partition, offsets| [json!(topic), json!(partition), json!("begin"), json!(offsets)];
    let expected = [
        begins(&new, 0, 30),
        begins(&new, 1, 30),
        begins(&new, 2, 30),
        begins(&grown, 0, 20),
        begins(&grown, 1, 20),
    ];
    assert_eq!(partitions, expected);
    let acls = rows(&plan, "acls", &["action", "permission", "operation", "resource_name", "principal"]);
    assert_eq!(acls, [[json!("add"), json!("ALLOW"), json!("READ"), json!(new), json!("User:alice")]]);
    let groups = rows(&plan, "groups", &["group", "source_topic", "partition", "from", "to"]);
    let stands = |group: &String, topic: &String, partition, to| {
        [json!(group), json!(topic), json!(partition), json!(null), json!(to)]
    };
    assert_eq!(
        groups,
        [stands(&group, &new, 1, 20), stands(&group, &grown, 1, 7), stands(&ahead, &grown, 0, 3)]
    );

    assert_eq!(planned(&kmirror), plan, "a plan changes nothing");
    assert_eq!(target.partitions(&new), None);
    let shown = kmirror.run(&["plan", "--exit-code"]).with_code(3).stdout();
    for words in [
        &format!("create with 3 partitions, {LIMIT}={NO_LIMIT}, retention.ms=900000000"),
        "from 1 to 2 partitions",
        "from nowhere to 20 on west",
    ] {
        assert!(shown.contains(words), "no {words:?} in:\n{shown}");
    }
    kmirror.copy();
    assert_eq!((target.partitions(&new), target.partitions(&grown)), (Some(3), Some(2)));
    assert!(target.has_config(&new, "retention.ms", "900000000"));
    assert!(target.has_config(&grown, "retention.ms", "800000000"));
    assert!(!target.has_config(&grown, "segment.ms", "700000000"));
    assert_eq!(target.acls(), [format!("ALLOW READ TOPIC LITERAL {new} User:alice *")]);
    let committed = |group: &str, topic: &str, partition| target.committed(group, topic, partition);
    assert_eq!((committed(&group, &new, 1), committed(&group, &grown, 1)), (Some(20), Some(7)));

    let shown = kmirror.run(&["plan", "--exit-code"]).with_code(0).stdout();
    assert_eq!(shown, "5 partitions go on, with nothing to copy\nnothing to do\n");
    let plan = planned(&kmirror);
    assert_eq!((&plan["is_empty"], &plan["notes"]), (&json!(true), &json!([])));
    // A group that reads on at the target is left alone; one record more is something to do.
    target.commit(&ahead, &grown, 0, 15);
    kmirror.run(&["plan", "--exit-code"]).with_code(0);
    source.produce(&[Workload::new(&grown).partitions(2).records(1)]);
    kmirror.run(&["plan", "--exit-code"]).with_code(3);
}

fn a_plan_says_what_run_would_wait_for(stage: &Stage) {
    let (source, target) = stage.pair();
    let [absent, small, group] = ["absent", "small", "group"].map(unique_topic);
    source.produce(&[Workload::new(&absent).records(10), Workload::new(&small).partitions(2).records(10)]);
    target.create_topic(&small, 1, &[]);
    source.commit(&group, &absent, 0, 5);
    let more = format!("    create_topics: false\n    state_topic: {}\n", unique_topic("__state"));
    let kmirror = Kmirror::mirroring(&source, &target, &[&absent, &small], &more);
    let plan = planned(&kmirror);
    let waits: Vec<_> = rows(&plan, "topics", &["step", "target_topic", "partitions_from", "partitions_to"]);
    let expected = [
        [json!("await"), json!(absent), json!(null), json!(1)],
        [json!("await"), json!(small), json!(1), json!(2)],
    ];
    assert_eq!(waits[..2], expected);
    let steps = rows(&plan, "partitions", &["source_topic", "partition", "step"]);
    let expected = [
        [json!(absent), json!(0), json!("await")],
        [json!(small), json!(0), json!("begin")],
        [json!(small), json!(1), json!("park")],
    ];
    assert_eq!(steps, expected);
    assert_eq!(plan["groups"], json!([]), "nothing is committed for what is not copied");
    assert!(plan["notes"][0].as_str().unwrap().contains("no authorizer"), "{plan}");
}

/// Kafka 4 does not know a configuration that Kafka 3 has.
fn what_the_target_does_not_take_is_no_part_of_a_plan(stage: &Stage) {
    let (source, target) = (stage.older_cluster(), stage.cluster());
    let topic = unique_topic("older");
    let gone = ("message.downconversion.enable", "true");
    source.create_topic(&topic, 1, &[gone, ("retention.ms", "900000000")]);
    source.produce(&[Workload::new(&topic).records(10)]);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "    acls: none\n");
    let plan = planned(&kmirror);
    let expected = [vec![json!(topic), json!("create"), with_limit(json!({ "retention.ms": "900000000" }))]];
    let topics = rows(&plan, "topics", &["target_topic", "step", "configs"]);
    assert_eq!(topics.iter().filter(|row| row[0] == json!(topic)).cloned().collect::<Vec<_>>(), expected);
    let noted = |plan: &Value, words: &[&str]| {
        let note = plan["notes"][0].as_str().unwrap_or_default();
        assert!(words.iter().all(|words| note.contains(words)), "{words:?} in {plan:#}");
    };
    noted(&plan, &["it would be created without", gone.0]);
    kmirror.copy();
    let plan = planned(&kmirror);
    assert_eq!(plan["is_empty"], true, "{plan:#}");
    noted(&plan, &["the target does not take it", gone.0]);
}

fn a_plan_refuses_what_would_be_copied_for_ever(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("round");
    source.produce(&[Workload::new(&topic).records(10)]);
    let circle = Kmirror::mirroring(&source, &source, &[&topic], "");
    circle.run(&["plan"]).with_code(78).saying("it passes east-to-west, then east-to-west");
    Kmirror::mirroring(&source, &target, &[&topic], "").run(&["plan"]).with_code(0);
}
