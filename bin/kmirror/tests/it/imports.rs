//! Files of other mirrors, and their scripts' names and flags.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kmirror_testkit::{Isolation, PrintedRecord, Workload, unique_topic};

use crate::kmirror::Kmirror;
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    a_file_of_mirror_maker_runs_as_it_is,
    a_resource_of_strimzi_runs_as_it_is,
    the_flags_of_mirror_maker_1_go_on_behind_its_group,
);

fn a_file_of_mirror_maker_runs_as_it_is(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, left_out, group) =
        (unique_topic("mm2.orders"), unique_topic("mm2.left-out"), unique_topic("billing"));
    source
        .produce(&[&topic, &left_out].map(|topic| Workload::new(topic).partitions(2).records(60).headers()));
    source.commit(&group, &topic, 1, 20);
    let file = format!(
        "# Two data centres\nclusters = primary, backup\n\
         primary.bootstrap.servers = {}\nbackup.bootstrap.servers = {}\n\
         primary->backup.enabled = true\nprimary->backup.topics = {}\nreplication.factor = 1\n\
         sync.group.offsets.enabled = true\ngroups = {group}\ntasks.max = 4\n",
        source.bootstrap_servers(),
        target.bootstrap_servers(),
        topic.replace('.', "\\\\."),
    );
    let kmirror = Kmirror::with_file("properties", &file);
    let imported = kmirror.import().with_code(0).saying("tasks.max: one process");
    assert!(imported.stdout().contains("naming: prefixed"), "{}", imported.stdout());
    kmirror.copy();
    kmirror.prove();
    let remote = format!("primary.{topic}");
    let copied = target.records(&remote, Isolation::ReadCommitted);
    assert_eq!(values(copied), values(source.records(&topic, Isolation::ReadCommitted)));
    assert_eq!(target.partitions(&format!("primary.{left_out}")), None);
    assert_eq!(target.committed(&group, &remote, 1), Some(20));
    // What is printed means the same.
    let again = Kmirror::with_config(&imported.stdout());
    again.copy();
    again.prove();
}

/// Where each value is, which names of topics say nothing about.
fn values(records: Vec<PrintedRecord>) -> Vec<(i32, i64, String)> {
    records.into_iter().map(|record| (record.partition, record.offset, record.value)).collect()
}

fn a_resource_of_strimzi_runs_as_it_is(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, left_out) = (unique_topic("strimzi.orders"), unique_topic("strimzi.left-out"));
    source.produce(&[&topic, &left_out].map(|topic| Workload::new(topic).partitions(2).records(60)));
    let (east, west) = (source.bootstrap_servers(), target.bootstrap_servers());
    let connectors =
        "      sourceConnector:\n        tasksMax: 2\n        config: { replication.factor: 1 }\n";
    let first = format!(
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaMirrorMaker2\n\
         spec:\n  connectCluster: west\n  clusters:\n    - {{ alias: east, bootstrapServers: \"{east}\" }}\n    \
         - {{ alias: west, bootstrapServers: \"{west}\" }}\n  mirrors:\n    - sourceCluster: east\n      targetCluster: west\n      \
         topicsPattern: \"{topic}, no-such-.*\"\n{connectors}"
    );
    let second = format!(
        "apiVersion: kafka.strimzi.io/v1\nkind: KafkaMirrorMaker2\nspec:\n  target: {{ alias: west, bootstrapServers: \"{west}\" }}\n  \
         mirrors:\n    - source: {{ alias: east, bootstrapServers: \"{east}\" }}\n      topicsPattern: \"{topic}\"\n{connectors}"
    );
    for resource in [first, second] {
        let kmirror = Kmirror::with_file("yaml", &resource);
        kmirror.import().with_code(0).saying("spec.mirrors[0].sourceConnector.tasksMax: one process");
        kmirror.copy();
        kmirror.prove();
    }
    let copied = target.records(&format!("east.{topic}"), Isolation::ReadCommitted);
    assert_eq!(values(copied), values(source.records(&topic, Isolation::ReadCommitted)));
    assert_eq!(target.partitions(&format!("east.{left_out}")), None);
}

fn the_flags_of_mirror_maker_1_go_on_behind_its_group(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, group) = (unique_topic("mm1.orders"), unique_topic("mirror-maker"));
    source.produce(&[Workload::new(&topic).records(60)]);
    source.commit(&group, &topic, 0, 20);
    // What MirrorMaker has copied: it need not lie where it lay on the source.
    target.produce(&[Workload::new(&topic).records(25)]);
    let [consumer, producer] = [
        ("consumer", format!("bootstrap.servers={}\ngroup.id={group}\n", source.bootstrap_servers())),
        ("producer", format!("bootstrap.servers={}\nacks=all\n", target.bootstrap_servers())),
    ]
    .map(|(name, text)| {
        let path = folder(&group).join(format!("{name}.properties"));
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let flags = ["--consumer.config", &consumer, "--producer.config", &producer, "--whitelist", &topic];
    let run = |more: &[&str]| {
        let script = script(&group, "kafka-mirror-maker.sh");
        let output = Command::new(script).args(flags).args(more).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, config, report) = run(&["--print-config", "--num.streams", "2"]);
    assert!(code == Some(0) && report.contains("--num.streams: one process"), "{report}");
    assert!(config.contains(&format!("group: {group}")), "{config}");
    let (code, _, log) = run(&["--once"]);
    assert_eq!(code, Some(0), "{log}");
    let values = |cluster: &AnyCluster, from: usize| {
        let records = cluster.records(&topic, Isolation::ReadCommitted);
        records.into_iter().skip(from).map(|record| record.value).collect::<Vec<_>>()
    };
    assert_eq!(values(&target, 25), values(&source, 20));
    let (code, _, refused) = run(&["--message.handler", "com.example.Handler"]);
    assert!(code == Some(78) && refused.contains("com.example.Handler"), "{refused}");
}

/// A folder of a scenario's own.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program under the name of a script.
fn script(folder_name: &str, name: &str) -> PathBuf {
    let script = folder(folder_name).join(name);
    if !script.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmirror"), &script).unwrap();
    }
    script
}

#[test]
fn only_flows_to_the_clusters_that_are_named_are_run() {
    let file = "clusters = a, b, c\nbootstrap.servers = 127.0.0.1:1\na->b.enabled = true\n";
    let run = |arguments: &[&str]| {
        let kmirror = Kmirror::with_file("properties", file);
        kmirror.run(&[&["run", "--once", "--clusters"], arguments].concat()).with_code(78)
    };
    run(&["c"]).saying("no flow of").saying("writes to c");
    run(&["b", "d"]).saying("has no cluster \"d\"");
    let name = unique_topic("mm2-script");
    let config = folder(&name).join("mm2.conf");
    fs::write(&config, file).unwrap();
    let script = script(&name, "connect-mirror-maker.sh");
    let code = |clusters: &[&str]| {
        let output = Command::new(&script).arg(&config).args(clusters).stdin(Stdio::null()).output().unwrap();
        output.status.code()
    };
    assert_eq!(code(&["--clusters", "c"]), Some(78));
    assert_eq!(code(&["--clusters", "b", "c"]), Some(69), "it runs, and nobody is there");
    assert_eq!(code(&["--topics", "x"]), Some(2));
}

#[test]
fn what_cannot_be_imported_is_refused_with_the_reason() {
    let file = "clusters = a, b\nbootstrap.servers = x:1\na->b.enabled = true\ntopic.filter.class = com.example.Mine\n";
    Kmirror::with_file("properties", file)
        .import()
        .with_code(78)
        .saying("com.example.Mine")
        .saying("write `topics`");
    Kmirror::with_file("properties", "clusters = a, b\na->b.enabled = true\n")
        .run(&["run"])
        .with_code(78)
        .saying("a.bootstrap.servers");
    Kmirror::with_file("conf", "").import().with_code(78).saying(".properties");
}
