//! What is wrong gets one clear message, the right exit code, and nothing is written.

use std::process::Command;

use kmirror_testkit::{Workload, real_kafka, unique_topic};

use crate::kmirror::Kmirror;

#[test]
fn a_missing_file_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kmirror")).args(["run", "-c", "no/such.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such.yaml"));
}

#[test]
fn a_wrong_command_line_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_kmirror")).args(["run", "--onze"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_wrong_key_names_the_nearest_known_one() {
    let config = "clusters:\n  east: { bootstrap_servers: \"127.0.0.1:1\" }\n  west: { bootstrap_server: \"127.0.0.1:1\" }\nflows: []\n";
    Kmirror::with_config(config)
        .run(&["run", "--once"])
        .with_code(78)
        .saying("unknown key `bootstrap_server`; did you mean `bootstrap_servers`?");
}

/// As in a shell, what is empty counts as not set where there is a default.
#[test]
fn placeholders_are_replaced_by_what_the_environment_holds() {
    let config = "clusters:\n  east: { bootstrap_servers: \"${KMIRROR_IT_EMPTY:-127.0.0.1:1}\" }\n  \
                  west: { bootstrap_servers: \"${KMIRROR_IT_SERVERS}\" }\nflows:\n  \
                  - { source: east, target: west, topics: { include: [orders] }, commit_group: \"${KMIRROR_IT_EMPTY:?name a group}\" }\n";
    let kmirror = Kmirror::with_config(config);
    let check = |group: &str| {
        let mut command = kmirror.command(&["config", "check"]);
        let command =
            command.env("KMIRROR_IT_EMPTY", group).env("KMIRROR_IT_SERVERS", "127.0.0.1:2,127.0.0.1:3");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, refused) = check("");
    assert!(
        code == Some(78) && refused.contains("${KMIRROR_IT_EMPTY:?name a group}: name a group"),
        "{refused}"
    );
    assert_eq!(check("127.0.0.1:4"), (Some(0), String::new()));
}

#[test]
fn an_unreachable_cluster_is_reported_with_its_address() {
    for command in ["run", "verify"] {
        Kmirror::between("127.0.0.1:1", "127.0.0.1:2", &["any"], "")
            .run(&[command])
            .with_code(69)
            .saying("127.0.0.1:1");
    }
}

#[test]
fn a_topic_that_does_not_exist_is_named() {
    let Some(kafka) = real_kafka("a_topic_that_does_not_exist_is_named") else { return };
    let pair = kafka.pair().unwrap();
    let (exists, missing) = (unique_topic("exists"), unique_topic("missing"));
    pair.source.produce(&[Workload::new(&exists).records(10)]).unwrap();
    let topics = [exists.as_str(), missing.as_str()];
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &topics, "");
    kmirror.run(&["run", "--once"]).with_code(1).saying(&missing);
    let listed = pair.target.tool(&["topics", "--list"]).unwrap().success().unwrap();
    assert!(!listed.stdout.contains(&exists), "nothing is written where something is missing");
}
