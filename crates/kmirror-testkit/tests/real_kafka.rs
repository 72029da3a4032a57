//! The testkit against real Kafka: what it promises about clusters, workloads and dumps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, UNIX_EPOCH};

use kmirror_testkit::{
    ClusterPair, CompactedTopic, Isolation, KafkaCluster, KafkaRelease, LogOffset, Workload, compare_records,
    printed_bytes, real_kafka, unique_topic,
};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn everything(topic: &str, codec: &str) -> Workload {
    Workload::new(topic)
        .partitions(3)
        .codec(codec)
        .records(300)
        .value_bytes(0, 400)
        .keys(20)
        .null_key_every(7)
        .tombstone_every(11)
        .headers()
        .timestamps(1_700_000_000_000, 3)
}

#[test]
fn two_clusters_show_the_same_records_for_the_same_workload() {
    let Some(kafka) = real_kafka("two_clusters_show_the_same_records_for_the_same_workload") else { return };
    let pair = kafka.pair().unwrap();
    let topics = CODECS.map(unique_topic);
    let workloads: Vec<Workload> =
        topics.iter().zip(CODECS).map(|(topic, codec)| everything(topic, codec)).collect();
    let produced = pair.source.produce(&workloads).unwrap();
    assert_eq!(produced.iter().map(|produced| produced.records).sum::<u64>(), 1500);
    pair.target.produce(&workloads).unwrap();

    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let source = pair.source.records_of(&names, Isolation::ReadCommitted).unwrap();
    let target = pair.target.records_of(&names, Isolation::ReadCommitted).unwrap();
    assert_eq!(source.len(), 1500);
    compare_records(&source, &target).unwrap();
    let headers: BTreeSet<&str> = source.iter().map(|record| record.headers.as_str()).collect();
    assert!(headers.contains(r#""trace"="id-0","trace"="again","trace"=null"#));
    assert!(headers.contains(r#""empty"="",""="key%20is%20empty","null"=null"#));
    assert!(headers.iter().any(|headers| headers.starts_with(r#""bytes"="%C3(%00%FF","gr%C3%B6%C3%9Fe"="#)));
    assert!(source.iter().any(|record| record.key == "null" && record.value != "null"));
    assert!(source.iter().any(|record| record.key != "null" && record.value == "null"));
    assert!(source.iter().any(|record| record.value.starts_with("sha256:")));

    let digests = |topic: &String| pair.source.digests(topic).unwrap();
    let counts: Vec<u64> = digests(&topics[3]).iter().map(|partition| partition.records).collect();
    assert_eq!(counts, [100, 100, 100]);
    assert_eq!(digests(&topics[3]), pair.target.digests(&topics[4]).unwrap());

    // The console consumer is a second pair of eyes.
    let lines = pair.source.console_consumer(&topics[3], 300).unwrap();
    assert_eq!(lines, pair.target.console_consumer(&topics[3], 300).unwrap());
    let records =
        lines.iter().filter(|line| line.contains("CreateTime:17000000") && line.contains("Partition:"));
    assert_eq!(records.count(), 300);

    pair.target.produce(&[Workload::new(&topics[0]).records(1)]).unwrap();
    let target = pair.target.records_of(&names, Isolation::ReadCommitted).unwrap();
    let difference = compare_records(&source, &target).unwrap_err().to_string();
    assert!(difference.contains("@100 "), "{difference}");
    assert_ne!(digests(&topics[0]), pair.target.digests(&topics[0]).unwrap());
}

#[test]
fn a_workload_is_the_same_for_writers_that_are_not_java() {
    let Some(kafka) = real_kafka("a_workload_is_the_same_for_writers_that_are_not_java") else { return };
    let pair = kafka.pair().unwrap();
    let timed = |name: &str| Workload::new(&unique_topic(name)).timestamps(1_700_000_000_000, 3).records(200);
    let workloads = [
        everything(&unique_topic("everything"), "none").value_bytes(0, 200).partition_run(5),
        timed("skewed").first(77).seed(5).keys(30).key_skew(3).json().value_bytes(64, 64),
        timed("lone").keys(7).lone_key_every(3).value_bytes(1, 150).partitions(2).partition(1),
    ];
    for workload in workloads {
        let content = workload.content();
        pair.source.produce(&[workload]).unwrap();
        let mut expected: Vec<_> = (content.first()..content.first() + content.records())
            .map(|index| content.record(index))
            .collect();
        // Stable: within a partition they stay in their order.
        expected.sort_by_key(|record| record.partition);
        let found = pair.source.records(content.topic(), Isolation::ReadCommitted).unwrap();
        assert_eq!(found.len(), expected.len());
        for (expected, found) in expected.iter().zip(found) {
            let headers: Vec<String> = expected
                .headers
                .iter()
                .map(|(key, value)| {
                    format!("{}={}", printed_bytes(Some(key.as_bytes())), printed_bytes(value.as_deref()))
                })
                .collect();
            assert_eq!((found.partition, Some(found.timestamp)), (expected.partition, expected.timestamp));
            assert_eq!(found.key, printed_bytes(expected.key.as_deref()), "{found}");
            assert_eq!(found.value, printed_bytes(expected.value.as_deref()), "{found}");
            assert_eq!(found.headers, headers.join(","), "{found}");
        }
    }
}

#[test]
fn records_have_the_age_that_a_workload_says() {
    let Some(kafka) = real_kafka("records_have_the_age_that_a_workload_says") else { return };
    let source = &kafka.pair().unwrap().source;
    let topic = unique_topic("aged");
    let age = Duration::from_secs(86_400);
    let written = || (UNIX_EPOCH.elapsed().unwrap() - age).as_millis() as i64;
    let before = written();
    source.produce(&[Workload::new(&topic).records(30).records_per_second(100).age(age)]).unwrap();
    let after = written();
    let found = source.records(&topic, Isolation::ReadCommitted).unwrap();
    let timestamps: Vec<i64> = found.iter().map(|record| record.timestamp).collect();
    assert!(timestamps.iter().all(|timestamp| (before..=after).contains(timestamp)), "{timestamps:?}");
    assert!(timestamps.is_sorted() && timestamps[0] < timestamps[29], "{timestamps:?}");
}

#[test]
fn transactions_leave_aborted_records_and_markers() {
    let Some(kafka) = real_kafka("transactions_leave_aborted_records_and_markers") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("transactions");
    let workload = Workload::new(&topic).partitions(2).records(400).transactions(20).abort_every(10);
    pair.source.produce(&[workload]).unwrap();
    let committed = pair.source.records(&topic, Isolation::ReadCommitted).unwrap();
    let all = pair.source.records(&topic, Isolation::ReadUncommitted).unwrap();
    assert_eq!((committed.len(), all.len()), (360, 400));
    let ends = pair.source.tool(&["get-offsets", "--topic", &topic]).unwrap().success().unwrap().stdout;
    // 200 records and 20 markers in each partition.
    assert_eq!(ends.lines().collect::<Vec<_>>(), [format!("{topic}:0:220"), format!("{topic}:1:220")]);
}

#[test]
fn large_records_and_tools_with_input() {
    let Some(kafka) = real_kafka("large_records_and_tools_with_input") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("large");
    pair.source.produce(&[Workload::new(&topic).records(4).value_bytes(900_000, 900_000)]).unwrap();
    let arguments = ["console-producer", "--topic", &topic];
    pair.source.tool_with_input(&arguments, "by hand\n").unwrap().success().unwrap();
    let values: Vec<String> = pair
        .source
        .records(&topic, Isolation::ReadCommitted)
        .unwrap()
        .into_iter()
        .map(|record| record.value)
        .collect();
    assert_eq!(values.len(), 5);
    assert!(values[..4].iter().all(|value| value.ends_with("/900000")));
    assert_eq!(values[4], "\"by%20hand\"");
    let failed = pair.source.tool(&["topics", "--describe", "--topic", "there-is-none"]).unwrap();
    assert!(failed.success().is_err());
    assert!(pair.source.records("there-is-none", Isolation::ReadCommitted).is_err());
}

#[test]
fn compaction_leaves_holes_in_batches_and_between_them() {
    let Some(kafka) = real_kafka("compaction_leaves_holes_in_batches_and_between_them") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("compacted");
    let compacted = CompactedTopic::create(&pair.source, &topic, "lz4").unwrap();
    assert!((compacted.records.len() as u64) < compacted.records_written);
    assert!(compacted.records.iter().any(|record| record.value == "null"), "no tombstone survived");
    assert_eq!(
        compacted.records.last().map(|record| record.offset as u64),
        Some(compacted.records_written - 1)
    );

    let Some((source, _)) = pair.clusters() else { return };
    let batches = batches(source, &topic);
    assert!(
        batches.iter().any(|batch| batch.count > 0 && batch.count < batch.last - batch.base + 1),
        "{batches:?}"
    );
    assert!(batches.windows(2).any(|pair| pair[1].base > pair[0].last + 1), "{batches:?}");
}

#[derive(Debug)]
struct Batch {
    base: i64,
    last: i64,
    count: i64,
}

/// What `dump-log` says about the batches of partition 0.
fn batches(cluster: &KafkaCluster, topic: &str) -> Vec<Batch> {
    let folder = cluster.node(1).unwrap().log_dir().join(format!("{topic}-0"));
    let mut segments: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".log"))
        .collect();
    segments.sort();
    let dump = cluster.tool(&["dump-log", "--files", &segments.join(",")]).unwrap().success().unwrap();
    let lines = dump.stdout.lines().filter(|line| line.starts_with("baseOffset:"));
    lines
        .map(|line| {
            let number = |name: &str| {
                let rest = line.split_once(&format!("{name}: ")).unwrap().1;
                rest.split(' ').next().unwrap().parse().unwrap()
            };
            Batch { base: number("baseOffset"), last: number("lastOffset"), count: number("count") }
        })
        .collect()
}

#[test]
fn data_outlives_kill_stop_and_pause_in_both_releases() {
    let Some(_kafka) = real_kafka("data_outlives_kill_stop_and_pause_in_both_releases") else { return };
    let pair = ClusterPair::start(KafkaRelease::KAFKA_3_9, KafkaRelease::KAFKA_4_3).unwrap();
    let (old, new) = pair.clusters().unwrap();
    let topic = unique_topic("kept");
    for cluster in [old, new] {
        cluster.produce(&[everything(&topic, "zstd")]).unwrap();
        cluster.node(1).unwrap().kill();
        assert!(cluster.node(1).unwrap().pause().is_err());
        cluster.restart(1).unwrap();
        assert!(cluster.restart(1).is_err());
    }
    let before = old.records(&topic, Isolation::ReadCommitted).unwrap();
    compare_records(&before, &new.records(&topic, Isolation::ReadCommitted).unwrap()).unwrap();

    let node = new.node(1).unwrap();
    node.stop().unwrap();
    new.restart(1).unwrap();
    node.pause().unwrap();
    let mut producer = new.start_produce(&[Workload::new(&topic).records(1)]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(producer.is_running(), "a paused node answered");
    node.resume().unwrap();
    producer.wait(Duration::from_secs(60)).unwrap().success().unwrap();
    assert_eq!(new.records(&topic, Isolation::ReadCommitted).unwrap().len(), before.len() + 1);

    let data = node.log_dir();
    assert!(data.exists());
    drop(pair);
    assert!(!data.exists());
}

#[test]
fn three_nodes_go_on_when_one_is_killed() {
    let Some(_kafka) = real_kafka("three_nodes_go_on_when_one_is_killed") else { return };
    let cluster =
        KafkaCluster::builder(KafkaRelease::KAFKA_4_3).nodes(3).java_option("-Xmx256m").start().unwrap();
    let topic = unique_topic("replicated");
    cluster.produce(&[everything(&topic, "none")]).unwrap();
    cluster.node(2).unwrap().kill();
    cluster.produce(&[everything(&topic, "none").first(300)]).unwrap();
    cluster.restart(2).unwrap();
    assert_eq!(cluster.records(&topic, Isolation::ReadCommitted).unwrap().len(), 600);
    assert!(cluster.node(4).is_err());
}

/// The test runs itself again as a child that starts a cluster, and kills the child.
#[test]
fn a_cluster_dies_with_the_process_that_started_it() {
    const CHILD: &str = "KMIRROR_TESTKIT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let cluster = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).start().unwrap();
        println!("data in {}", cluster.node(1).unwrap().log_dir().display());
        std::thread::sleep(Duration::from_secs(120));
        return;
    }
    let Some(_kafka) = real_kafka("a_cluster_dies_with_the_process_that_started_it") else { return };
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_cluster_dies_with_the_process_that_started_it", "--nocapture"])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let data = std::io::BufRead::lines(stdout)
        .map_while(Result::ok)
        .find_map(|line| line.split_once("data in ").map(|(_, data)| data.to_owned()))
        .expect("the child started a cluster");
    assert!(fs::exists(&data).unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while fs::exists(&data).unwrap() {
        assert!(killed.elapsed() < Duration::from_secs(10), "{data} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn topics_and_groups_are_changed_by_one_process() {
    let Some(kafka) = real_kafka("topics_and_groups_are_changed_by_one_process") else { return };
    let source = &kafka.pair().unwrap().source;
    let topic = unique_topic("changed");
    source.produce(&[Workload::new(&topic).records(100).timestamps(1_700_000_000_000, 10)]).unwrap();
    source.delete_records(&topic, 0, 40).unwrap();
    let offset = |place| source.offset(&topic, 0, place).unwrap();
    assert_eq!((offset(LogOffset::Earliest), offset(LogOffset::Latest)), (40, 100));
    assert_eq!(offset(LogOffset::Timestamp(1_700_000_000_701)), 71);
    assert_eq!(offset(LogOffset::Timestamp(1_800_000_000_000)), -1);

    let read = source.consume(&topic, &topic, 10).unwrap();
    assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), Vec::from_iter(40..50));
    assert_eq!(source.group_offsets(&topic).unwrap(), [(topic.clone(), 0, 50)]);
    source.set_group_offset(&topic, &topic, 0, 90).unwrap();
    assert_eq!(source.consume(&topic, &topic, 1).unwrap()[0].offset, 90);

    source.alter_topic(&topic, &[("max.message.bytes", "1000")]).unwrap();
    source.add_partitions(&topic, 2).unwrap();
    let leaders: Vec<_> = source.replicas(&topic).unwrap().iter().map(|described| described.leader).collect();
    assert_eq!(leaders, [Some(1), Some(1)]);
    let too_large = source.produce(&[Workload::new(&topic).records(1).value_bytes(2000, 2000)]);
    assert!(too_large.unwrap_err().to_string().contains("RecordTooLargeException"));
    source.delete_topic(&topic).unwrap();
    assert!(source.offset(&topic, 0, LogOffset::Latest).is_err());
}

#[test]
fn a_load_is_written_together_and_ends_when_it_is_stopped() {
    let Some(kafka) = real_kafka("a_load_is_written_together_and_ends_when_it_is_stopped") else { return };
    let source = &kafka.pair().unwrap().source;
    let topics = ["plain", "transactional"].map(unique_topic);
    for topic in &topics {
        source.create_topic(topic, 1, &[]).unwrap();
    }
    let endless = |topic: &str| Workload::new(topic).records(u32::MAX.into()).records_per_second(500);
    let load = source.start_load(&[endless(&topics[0]), endless(&topics[1]).transactions(10)]).unwrap();
    let has_records = |topic: &String| source.offset(topic, 0, LogOffset::Latest).is_ok_and(|end| end > 50);
    while !topics.iter().all(has_records) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let produced = load.stop().unwrap();
    let [plain, transactional] = produced.as_slice() else { panic!("{produced:?}") };
    assert_eq!(plain.records as i64, source.offset(&topics[0], 0, LogOffset::Latest).unwrap());
    assert_eq!(transactional.records % 10, 0, "a transaction is written to its end");
    let found = source.records(&topics[1], Isolation::ReadCommitted).unwrap();
    assert_eq!(transactional.records as usize, found.len());
}
