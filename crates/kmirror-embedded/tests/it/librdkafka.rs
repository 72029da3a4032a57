//! librdkafka against the embedded cluster: every codec, groups, transactions, and every profile.

use kmirror_embedded::{EmbeddedCluster, Profile};
use kmirror_testkit::librdkafka;

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_writes_and_reads() {
    let Some(librdkafka) = librdkafka("librdkafka_writes_and_reads") else { return };
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let address = cluster.bootstrap_servers();
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            cluster.create_topic(codec, 2, &[]).unwrap();
            let run = |arguments: &[&str]| {
                tokio::task::block_in_place(|| librdkafka.run(arguments))
                    .unwrap_or_else(|error| panic!("{profile:?}: {error}"))
            };
            run(&["write", &address, codec, codec, "300"]);
            let lines = run(&["dump", &address, codec, "read_committed"]);
            assert_eq!(lines.len(), 300, "{codec} on {profile:?}");
            run(&["group", &address, codec, "readers", "300"]);
            assert_eq!(
                run(&["committed", &address, codec, "readers"]),
                ["0\t150", "1\t150"],
                "{codec} on {profile:?}"
            );
            assert!(lines[0].contains("key-0") && lines[0].contains("again"), "{}", lines[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_writes_in_transactions_and_copies_exactly_once() {
    let Some(librdkafka) = librdkafka("librdkafka_writes_in_transactions_and_copies_exactly_once") else {
        return;
    };
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let address = cluster.bootstrap_servers();
        for topic in ["orders", "copies"] {
            cluster.create_topic(topic, 1, &[]).unwrap();
        }
        let run = |arguments: &[&str]| {
            tokio::task::block_in_place(|| librdkafka.run(arguments))
                .unwrap_or_else(|error| panic!("{profile:?}: {error}"))
        };
        run(&["transactions", &address, "orders", "writer", "9"]);
        assert_eq!(run(&["dump", &address, "orders", "read_committed"]).len(), 60, "{profile:?}");
        assert_eq!(run(&["dump", &address, "orders", "read_uncommitted"]).len(), 90, "{profile:?}");
        run(&["copy", &address, "orders", "copies", "copiers", "copier", "60"]);
        assert_eq!(run(&["dump", &address, "copies", "read_committed"]).len(), 60, "{profile:?}");
        let last = run(&["dump", &address, "orders", "read_committed"]).pop().unwrap();
        let last: i64 = last.split('\t').nth(1).unwrap().parse().unwrap();
        let committed = cluster.committed_offsets("copiers")[&("orders".to_owned(), 0)];
        assert!(committed > last, "{committed} of {last} on {profile:?}");
    }
}
