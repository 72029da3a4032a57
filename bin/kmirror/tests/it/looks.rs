//! The commands that only look: what they say, and that they change nothing.

use kmirror_testkit::{Workload, unique_topic};
use serde_json::{Value, json};

use crate::kmirror::Kmirror;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    a_shifted_copy_is_planned_shown_and_translated,
    an_exact_copy_onto_foreign_records_is_refused_and_by_policy_goes_behind_them,
    both_ends_are_checked_before_anything_is_copied,
    topics_are_shown_beside_their_copies_with_the_rule_that_decides,
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
    // What is not on the target is nowhere; the next record of who has read all will be.
    let at =
        |offset: &str| kmirror.run(&["translate", "--topic", &topic, "--partition", "0", "--offset", offset]);
    assert_eq!(at("300").with_code(0).stdout().trim(), "340");
    at("301").with_code(1).saying("offset 341").saying("is not on the target yet: its log ends at 340");
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
        Kmirror::mirroring(&source, &source, &[&topic], "").run(&["check", "--format", "json"]).with_code(78);
    let same: Value = serde_json::from_str(&same.stdout()).unwrap();
    assert_eq!(same["flows"][0]["is_same_cluster"], true);
}

fn topics_are_shown_beside_their_copies_with_the_rule_that_decides(stage: &Stage) {
    let (source, target) = stage.pair();
    let base = unique_topic("shown");
    let [copied, new, left_out, other] =
        ["copied", "new", "new.tmp", "other"].map(|name| format!("{base}-{name}"));
    source.create_topic(&copied, 3, &[("retention.ms", "900000000"), ("segment.ms", "800000000")]);
    target.create_topic(&copied, 2, &[("retention.ms", "900000000")]);
    source.create_topic(&new, 1, &[]);
    [&left_out, &other].into_iter().for_each(|topic| source.create_topic(topic, 1, &[]));
    let include = [copied.as_str(), &format!("{base}-new.*")];
    let kmirror = Kmirror::mirroring(&source, &target, &include, "");
    let exclude = kmirror_with(&source, &target, &include, &format!("{base}.*tmp"));

    let listed = |kmirror: &Kmirror, topics: &[&String]| {
        let only = topics.iter().flat_map(|topic| ["--topic", topic.as_str()]);
        let arguments: Vec<_> = ["topics", "--format", "json"].into_iter().chain(only).collect();
        let listed: Value = serde_json::from_str(&kmirror.run(&arguments).with_code(0).stdout()).unwrap();
        listed["topics"].as_array().unwrap().clone()
    };
    let rows = listed(&exclude, &[&copied, &new, &left_out, &other]);
    let fields = [
        "source_topic",
        "selected",
        "rule",
        "on_target",
        "source_partitions",
        "target_partitions",
        "config_differences",
    ];
    let shown: Vec<Value> =
        rows.iter().map(|row| fields.iter().map(|field| row[field].clone()).collect()).collect();
    assert_eq!(
        shown,
        [
            // Retention, and the limit of timestamps that brokers have by default.
            json!([copied, true, format!("include {copied}"), "exists", 3, 2, 2]),
            json!([new, true, format!("include {base}-new.*"), "would be created", 1, null, null]),
            json!([left_out, false, format!("exclude {base}.*tmp"), null, 1, null, null]),
            json!([other, false, "not included", null, 1, null, null]),
        ]
    );
    assert_eq!(target.partitions(&new), None, "it only looks");
    exclude.copy();
    let rows = listed(&exclude, &[&copied, &new]);
    let after: Vec<_> = rows
        .iter()
        .map(|row| (row["target_partitions"].clone(), row["config_differences"].clone()))
        .collect();
    assert_eq!(after, [(json!(3), json!(0)), (json!(1), json!(0))]);
    assert_eq!(rows[0]["target_replication_factor"], 1);
    let table = kmirror.run(&["topics", "--selected", "--topic", &left_out]).with_code(0).stdout();
    assert!(table.starts_with("FLOW") && table.contains(&format!("include {base}-new.*")), "{table}");
    // A name that would be copied for ever is shown instead of refused.
    let circle = Kmirror::mirroring(&source, &source, &[&copied], "");
    assert_eq!(listed(&circle, &[&copied])[0]["rule"], "refused: a loop by east-to-west, then east-to-west");
}

fn kmirror_with(source: &AnyCluster, target: &AnyCluster, include: &[&str], exclude: &str) -> Kmirror {
    let (east, west) = (source.bootstrap_servers(), target.bootstrap_servers());
    Kmirror::with_config(&format!(
        "clusters:\n  east: {{ bootstrap_servers: \"{east}\" }}\n  west: {{ bootstrap_servers: \"{west}\" }}\nflows:\n  \
         - {{ source: east, target: west, topics: {{ include: {include:?}, exclude: [{exclude:?}] }} }}\n"
    ))
}
