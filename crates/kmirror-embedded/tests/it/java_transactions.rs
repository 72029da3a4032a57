//! The transactional Java producer, Java's tools for transactions, and a Java program that reads, transforms and writes exactly once,
//! against the embedded cluster.

use kmirror_embedded::{Codec, EmbeddedCluster, Isolation as Log, LogRecord, NewBatch, NewRecord, Profile};
use kmirror_testkit::{Isolation, KafkaEndpoint, Workload, real_kafka};

#[tokio::test(flavor = "multi_thread")]
async fn java_transactions_are_seen_whole_or_not_at_all() {
    let Some(kafka) = real_kafka("java_transactions_are_seen_whole_or_not_at_all") else { return };
    let jars = kafka.pair().unwrap().source.jars().clone();
    // Without epochs of their own, without verification, and with both.
    for profile in [Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let java = KafkaEndpoint::new(jars.clone(), cluster.bootstrap_servers());
        tokio::task::block_in_place(|| {
            what_was_aborted_is_not_read(&cluster, &java);
            records_and_offsets_are_committed_together(&cluster, &java);
            if profile != Profile::Kafka2_8 {
                tools_look_at_transactions(&cluster, &java, profile);
            }
        });
    }
}

fn what_was_aborted_is_not_read(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    let load = Workload::new("orders").partitions(3).records(300).transactions(10).abort_every(3).keys(20);
    java.produce(&[load]).unwrap();
    assert_eq!(java.records("orders", Isolation::ReadCommitted).unwrap().len(), 200);
    assert_eq!(java.records("orders", Isolation::ReadUncommitted).unwrap().len(), 300);
    for partition in 0..3 {
        let log = cluster.log("orders", partition).unwrap();
        assert_eq!(log.last_stable_offset, log.end, "no transaction is left open");
        assert!(log.end > 100, "markers have offsets of their own");
    }
}

/// The program aborts some of its transactions at random, and does them again. It counts records and not offsets, so it must be told
/// how many there are; and it keeps their partition.
fn records_and_offsets_are_committed_together(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    cluster.create_topic("copies", 3, &[]).unwrap();
    let read = |topic, partition| cluster.log(topic, partition).unwrap().records(Log::ReadCommitted).unwrap();
    let source = read("orders", 1);
    let arguments = format!(
        "transactional-copier --input-topic orders --input-partition 1 --max-messages {} --output-topic copies --transactional-id copier \
         --consumer-group copiers --transaction-size 7 --enable-random-aborts --use-group-metadata",
        source.len()
    );
    let done = java.tool(&arguments.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert!(done.stdout.contains("ShutdownComplete"), "{}\n{}", done.stdout, done.stderr);
    let last = source.last().unwrap().offset;
    // It takes values for text, which they are not.
    let keys = |records: Vec<LogRecord>| records.into_iter().map(|record| record.key).collect::<Vec<_>>();
    assert_eq!(keys(read("copies", 1)), keys(source));
    let committed = cluster.committed_offsets("copiers");
    assert!(committed[&("orders".to_owned(), 1)] > last, "{committed:?}");
}

fn tools_look_at_transactions(cluster: &EmbeddedCluster, java: &KafkaEndpoint, profile: Profile) {
    let listed = java.tool(&["transactions", "list"]).unwrap().stdout;
    let copier = listed.lines().find(|line| line.starts_with("copier")).unwrap_or_else(|| panic!("{listed}"));
    assert!(copier.contains("CompleteCommit") || copier.contains("CompleteAbort"), "{copier}");
    let tool = ["transactions", "describe", "--transactional-id", "copier"];
    let described = java.tool(&tool).unwrap().stdout;
    let columns: Vec<_> = described.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!((columns[1], columns[5]), ("copier", "60000"), "{described}");
    // Ten transactions: every end raises the epoch, or none does (KIP-890).
    let epoch: i16 = columns[3].parse().unwrap();
    let raises_epoch = profile == Profile::Kafka4_3;
    assert!(if raises_epoch { epoch >= 10 } else { epoch == 0 }, "{described}");
    let tool = ["transactions", "describe-producers", "--topic", "orders", "--partition", "1"];
    let producers = java.tool(&tool).unwrap().stdout;
    assert!(
        producers.lines().last().is_some_and(|line| line.contains("None")),
        "nothing is open: {producers}"
    );
    let hanging = ["transactions", "find-hanging", "--topic", "orders", "--max-transaction-timeout", "0"];
    assert_eq!(java.tool(&hanging).unwrap().stdout.lines().count(), 1, "none but the head of the table");
    hanging_transactions_can_be_aborted(cluster, java);
}

/// Somebody wrote into a transaction that no coordinator knows of.
fn hanging_transactions_can_be_aborted(cluster: &EmbeddedCluster, java: &KafkaEndpoint) {
    let mut batch = NewBatch::new(Codec::None);
    batch.push(NewRecord::new(1_700_000_000_000).value("hangs"));
    let offset = cluster.append("copies", 0, &batch.transactional(4_000, 0, 0).bytes()).unwrap();
    assert_eq!(cluster.log("copies", 0).unwrap().last_stable_offset, offset);
    let offset = offset.to_string();
    let tool = ["transactions", "abort", "--topic", "copies", "--partition", "0", "--start-offset", &offset];
    let aborted = java.tool(&tool).unwrap();
    let log = cluster.log("copies", 0).unwrap();
    assert_eq!(log.last_stable_offset, log.end, "{}\n{}", aborted.stdout, aborted.stderr);
}
