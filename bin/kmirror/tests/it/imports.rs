//! Files of other mirrors.

use kmirror_testkit::{Isolation, PrintedRecord, Workload, unique_topic};

use crate::kmirror::Kmirror;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(a_file_of_mirror_maker_runs_as_it_is, a_resource_of_strimzi_runs_as_it_is,);

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
