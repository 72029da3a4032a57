//! The Java consumer and Java's tool for groups, against the embedded cluster.

use std::time::{Duration, Instant};

use kmirror_embedded::{EmbeddedCluster, Profile};
use kmirror_testkit::{KafkaEndpoint, Workload, real_kafka};

#[tokio::test(flavor = "multi_thread")]
async fn java_consumers_share_a_topic_and_tools_look_at_it() {
    let Some(kafka) = real_kafka("java_consumers_share_a_topic_and_tools_look_at_it") else { return };
    let jars = kafka.pair().unwrap().source.jars().clone();
    for profile in [Profile::Kafka2_8, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        cluster.create_topic("orders", 4, &[]).unwrap();
        let java = KafkaEndpoint::new(jars.clone(), cluster.bootstrap_servers());
        tokio::task::block_in_place(|| {
            one_leaves_and_the_other_goes_on(&cluster, &java);
            tools_look_at_a_group(&cluster, &java);
            offsets_are_the_groups_own(&cluster, &java);
        });
    }
}

/// Two consumers share four partitions. One has enough after 100 records, and the other reads the rest, none twice.
fn one_leaves_and_the_other_goes_on(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    let consumer = |count: &str| {
        let arguments =
            ["verifiable-consumer", "--topic", "orders", "--group-id", "readers", "--max-messages", count];
        java.start_tool(&arguments, "").unwrap()
    };
    let (leaves, stays) = (consumer("100"), consumer("300"));
    until(|| {
        cluster.group("readers").is_some_and(|group| group.state == "Stable" && group.members.len() == 2)
    });
    let refused = groups_tool(java, &["--delete", "--group", "readers"]);
    assert!(refused.contains("GroupNotEmptyException"), "{refused}");
    let members = groups_tool(java, &["--describe", "--members", "--group", "readers"]);
    assert_eq!(members.lines().filter(|line| line.starts_with("readers")).count(), 2, "{members}");
    java.produce(&[Workload::new("orders").partitions(4).records(400).keys(40)]).unwrap();
    let (left, stayed) = (leaves.wait(PATIENCE).unwrap(), stays.wait(PATIENCE).unwrap());
    assert_eq!(
        (consumed(&left.stdout), consumed(&stayed.stdout)),
        (100, 300),
        "{}\n{}",
        left.stdout,
        stayed.stdout
    );
    let ends = (0..4).map(|partition| cluster.log("orders", partition).unwrap().end);
    let committed: Vec<_> = cluster.committed_offsets("readers").into_values().collect();
    assert_eq!(committed, ends.collect::<Vec<_>>());
    assert_eq!(cluster.group("readers").unwrap().members, Vec::<String>::new());
}

fn tools_look_at_a_group(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    let described = groups_tool(java, &["--describe", "--group", "readers"]);
    let rows: Vec<Vec<_>> = described
        .lines()
        .filter(|line| line.starts_with("readers"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 4, "{described}");
    for row in rows {
        let partition: i32 = row[2].parse().unwrap();
        let end = cluster.log("orders", partition).unwrap().end.to_string();
        assert!(row.windows(3).any(|window| window == [end.as_str(), end.as_str(), "0"]), "{described}");
    }
    assert!(groups_tool(java, &["--list", "--state"]).contains("Empty"));
    let topic = ["--reset-offsets", "--group", "readers", "--topic", "orders", "--to-earliest", "--execute"];
    groups_tool(java, &topic);
    assert_eq!(cluster.committed_offsets("readers").into_values().collect::<Vec<_>>(), [0; 4]);
    groups_tool(java, &["--delete-offsets", "--group", "readers", "--topic", "orders:2"]);
    assert_eq!(cluster.committed_offsets("readers").len(), 3);
    groups_tool(java, &["--delete", "--group", "readers"]);
    assert_eq!(cluster.group("readers"), None);
}

/// What is committed on either side is seen on the other, and read from there.
fn offsets_are_the_groups_own(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    for partition in 0..4 {
        let end = cluster.log("orders", partition).unwrap().end;
        cluster.commit_offsets("resumes", "orders", partition, end - 5).unwrap();
    }
    cluster.move_coordinator("resumes", 2).unwrap();
    assert_eq!(java.consume("resumes", "orders", 20).unwrap().len(), 20);
    cluster.stop_broker(2).unwrap();
    let offsets = java.group_offsets("resumes").unwrap();
    let known = offsets.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)).collect();
    assert_eq!(cluster.committed_offsets("resumes"), known);
    assert_eq!(known.len(), 4);
}

fn groups_tool(java: &KafkaEndpoint, arguments: &[&str]) -> String {
    let output = java.tool(&[&["consumer-groups"], arguments].concat()).unwrap();
    format!("{}{}", output.stdout, output.stderr)
}

/// The records that a VerifiableConsumer says to have read, by partition: what it polled may be more.
fn consumed(printed: &str) -> usize {
    let events = printed.lines().filter(|line| line.contains("\"records_consumed\""));
    let partitions =
        events.filter_map(|event| event.split_once("\"partitions\":")).map(|(_, partitions)| partitions);
    let counts = partitions.flat_map(|partitions| partitions.split("\"count\":").skip(1));
    counts.filter_map(|count| count.split(',').next()?.parse::<usize>().ok()).sum()
}

fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PATIENCE: Duration = Duration::from_secs(90);
