//! Clients that are not ours: the Java producer, the Java consumer and the Java admin client, against the embedded cluster.

use kmirror_embedded::{EmbeddedCluster, Profile};
use kmirror_testkit::{Isolation, KafkaEndpoint, Workload, real_kafka};

#[tokio::test(flavor = "multi_thread")]
async fn java_clients_write_and_read() {
    let Some(kafka) = real_kafka("java_clients_write_and_read") else { return };
    let jars = kafka.pair().unwrap().source.jars().clone();
    for profile in [Profile::Kafka2_8, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let java = KafkaEndpoint::new(jars.clone(), cluster.bootstrap_servers());
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        let loads: Vec<_> = codecs
            .iter()
            .map(|codec| Workload::new(codec).partitions(2).codec(codec).records(500).keys(20).headers())
            .collect();
        let written = tokio::task::block_in_place(|| java.produce(&loads)).unwrap();
        assert_eq!(written.len(), codecs.len());
        for codec in codecs {
            let records =
                tokio::task::block_in_place(|| java.records(codec, Isolation::ReadCommitted)).unwrap();
            assert_eq!(records.len(), 500, "{codec} on {profile:?}");
            let ends: i64 = (0..2).map(|partition| cluster.log(codec, partition).unwrap().end).sum();
            assert_eq!(ends, 500, "{codec} on {profile:?}");
        }
    }
}
