//! Coordinators and groups, from outside.

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use kmirror_embedded::{EmbeddedCluster, Profile};

use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_living_broker_coordinates_each_key() {
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let mut wire = Wire::connect(cluster.bootstrap_servers().split(',').next().unwrap());
        let version = if profile == Profile::Kafka2_1 { 2 } else { 3 };
        let one = |key: &'static str| {
            FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(key)).with_key_type(1)
        };
        // Java's hash puts "c" into partition 49 of 50, which the second of three brokers leads at first.
        assert_eq!(wire.call(version, &one("c")).node_id.0, 2);
        cluster.stop_broker(2).unwrap();
        let moved = wire.call(version, &one("c"));
        assert_ne!(moved.node_id.0, 2);
        assert!(cluster.bootstrap_servers().contains(&format!("{}:{}", &*moved.host, moved.port)));
        cluster.start_broker(2).unwrap();
        assert_eq!(wire.call(version, &one("c")).node_id, moved.node_id);
        if matches!(profile, Profile::Kafka3_9 | Profile::Kafka4_3) {
            let keys = ["a", "b", "c"].map(StrBytes::from_static_str).to_vec();
            let found = wire.call(6, &FindCoordinatorRequest::default().with_coordinator_keys(keys.clone()));
            let found: Vec<_> =
                found.coordinators.iter().map(|one| (one.error_code, one.node_id.0)).collect();
            assert_eq!(found, [(0, 3), (0, 1), (0, moved.node_id.0)]);
            let shared = FindCoordinatorRequest::default().with_coordinator_keys(keys).with_key_type(2);
            assert!(wire.call(6, &shared).coordinators.iter().all(|one| one.error_code == 42));
        }
    }
}
