//! The commands that only look: what they say, and that they change nothing.

use kmirror_testkit::{Workload, unique_topic};
use serde_json::Value;

use crate::kmirror::Kmirror;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_shifted_copy_is_planned_shown_and_translated,
    an_exact_copy_onto_foreign_records_is_refused_and_by_policy_goes_behind_them,
    both_ends_are_checked_before_anything_is_copied,
);

fn a_shifted_copy_is_planned_shown_and_translated(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("shifted");
    target.produce(&[Workload::new(&topic).records(40)]);
    source.produce(&[Workload::new(&topic).records(300)]);
    let kmirror = Kmirror::mirroring(&source, &target, &[&topic], "    offsets: shifted\n");

    let step = |kmirror: &Kmirror| {
        let plan = kmirror.run(&["plan", "--format", "json"]).with_code(0);
        let plan: Value = serde_json::from_str(&plan.stdout()).unwrap();
        let partition = &plan["partitions"][0];
        (partition["step"].as_str().unwrap().to_owned(), partition["detail"].as_str().unwrap().to_owned())
    };
    let planned = ("begin".to_owned(), "copy from source offset 0 to target offset 40".to_owned());
    assert_eq!(step(&kmirror), planned);
    assert_eq!(step(&kmirror), planned, "a plan changes nothing");
    let unknown = ["translate", "--topic", &topic, "--partition", "0", "--offset", "7"];
    kmirror.run(&unknown).with_code(1).saying("nothing is recorded");

    kmirror.copy();
    kmirror.prove();
    assert_eq!(step(&kmirror).1, "go on at offset 300");
    let lineage = kmirror.run(&["lineage"]).with_code(0).stdout();
    assert!(lineage.contains(&format!("{topic}-0 to {topic}-0: 0→40 (+40)")), "{lineage}");
    let translated = |reverse: &[&str]| {
        let arguments = [&unknown[..], reverse].concat();
        kmirror.run(&arguments).with_code(0).stdout().trim().to_owned()
    };
    assert_eq!(translated(&[]), "47");
    assert_eq!(translated(&["--reverse"]), "0", "before the copy begins");
    let other = ["translate", "--topic", &topic, "--partition", "9", "--offset", "7"];
    kmirror.run(&other).with_code(1).saying("no flow copies partition 9");
}

fn an_exact_copy_onto_foreign_records_is_refused_and_by_policy_goes_behind_them(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("behind");
    target.produce(&[Workload::new(&topic).records(40)]);
    source.produce(&[Workload::new(&topic).records(300)]);
    Kmirror::mirroring(&source, &target, &[&topic], "")
        .run(&["run", "--once"])
        .with_code(1)
        .saying("TargetDiverged");
    let shifting = Kmirror::mirroring(&source, &target, &[&topic], "    on_diverged: shift\n");
    shifting.copy();
    shifting.prove();
    let lineage = shifting.run(&["lineage", "--format", "json"]).with_code(0).stdout();
    let lineage: Value = serde_json::from_str(&lineage).unwrap();
    assert_eq!(lineage["partitions"][0]["runs"], serde_json::json!([{ "source": 0, "target": 40 }]));
}

fn both_ends_are_checked_before_anything_is_copied(stage: &Stage) {
    let (source, target) = stage.pair();
    let topic = unique_topic("checked");
    let checked = Kmirror::mirroring(&source, &target, &[&topic], "").run(&["check"]).with_code(0).stdout();
    assert!(checked.contains("target west is reachable"), "{checked}");
    assert!(checked.contains("filled by control markers"), "{checked}");
    let same =
        Kmirror::mirroring(&source, &source, &[&topic], "").run(&["check", "--format", "json"]).with_code(1);
    let same: Value = serde_json::from_str(&same.stdout()).unwrap();
    assert_eq!(same["flows"][0]["is_same_cluster"], true);
}
