//! Heads on a broker that has forgotten who writes placeholders, as it does soon: they are dated before all time.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use kmirror_client::{Client, ClientConfig, TopicPartition, Topics};
use kmirror_embedded::EmbeddedCluster;

use super::*;
use crate::ground::identity::ProducerIds;

/// An owner that wakes up late believes that the log is empty, and the broker would take any sequence.
#[tokio::test]
async fn placeholders_are_not_written_where_the_log_ends_elsewhere() {
    let topic: Arc<str> = "orders".into();
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic(&topic, 1, &[]).unwrap();
    let client = Client::connect(ClientConfig::new("west", [cluster.bootstrap_servers()])).await.unwrap();
    client.refresh_metadata(Topics::Named(vec![Arc::clone(&topic)])).await.unwrap();
    let seed = Seed {
        topic_id: client.metadata().topic(&topic).unwrap().id,
        target: TopicPartition::new(Arc::clone(&topic), 0),
        client,
        producer_id: ProducerIds::of_flow("east").fillers,
        from: 0,
        to: 10,
    };
    let bounds = || cluster.log(&topic, 0).map(|log| (log.start, log.end)).unwrap();
    seed.clone().run(&AtomicI64::new(0)).await.unwrap();
    assert_eq!(bounds(), (10, 10));
    cluster.expire_producers(&topic, 0).unwrap();
    let late = seed.run(&AtomicI64::new(0)).await;
    assert!(matches!(late, Err(TakeOverFailure::Again(_))), "{late:?}");
    assert_eq!(bounds(), (10, 10), "nothing was written");
}
