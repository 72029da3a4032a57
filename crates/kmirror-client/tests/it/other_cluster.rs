//! Names that come to stand for another cluster.

use std::sync::Arc;

use kmirror_client::*;
use kmirror_embedded::EmbeddedCluster;

use crate::names::{Names, cluster, config, two_brokers};

fn is_other(error: &ClientError, address: &str, expected: &EmbeddedCluster, found: &EmbeddedCluster) {
    let (expected, found) = (expected.cluster_id(), found.cluster_id());
    let text = format!(
        "{address}: this is another cluster: its id is {found}, and that of east is {expected}; nothing is read from it or written to it"
    );
    assert_eq!(error.to_string(), text);
    assert!(error.is_other_cluster(), "{error:?}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(!error.is_authorization() && error.kafka_error().is_none());
}

#[tokio::test]
async fn an_address_of_another_clusters_broker_is_not_spoken_to() {
    let (names, east, client) = two_brokers().await;
    let other = cluster(2).await;
    names.point("broker-2:9092", &other, 2);
    for lane in [Lane::Control, Lane::Fetch(0), Lane::Produce(0), Lane::Markers(0), Lane::Seed(0)] {
        is_other(&client.connection(BrokerId(2), lane).await.unwrap_err(), "broker-2:9092", &east, &other);
        client.connection(BrokerId(1), lane).await.unwrap();
    }
    names.point("broker-2:9092", &east, 2);
    client.connection(BrokerId(2), Lane::Control).await.unwrap();
}

#[tokio::test]
async fn where_all_addresses_are_another_clusters_calls_fail_and_nothing_is_learned() {
    let (names, east, client) = two_brokers().await;
    east.create_topic("orders", 1, &[]).unwrap();
    let before = client.refresh_metadata(Topics::All).await.unwrap();
    let other = cluster(2).await;
    other.create_topic("strange", 1, &[]).unwrap();
    for broker in [1, 2] {
        names.point(&format!("broker-{broker}:9092"), &other, broker);
        // It closes the connections.
        east.stop_broker(broker).unwrap();
    }
    let new = NewTopic { name: "orders".into(), partitions: 1, replication_factor: 1, configs: Vec::new() };
    is_other(&client.refresh_metadata(Topics::All).await.unwrap_err(), "broker-1:9092", &east, &other);
    assert!(client.create_topics(&[new], false).await.unwrap_err().is_other_cluster());
    assert!(client.delete_topics(&["strange".into()]).await.unwrap_err().is_other_cluster());
    assert!(other.log("orders", 0).is_err() && other.log("strange", 0).is_ok());
    assert_eq!(client.metadata().topics, before.topics);
    // One that does not answer says nothing of it.
    names.remove("broker-1:9092");
    is_other(&client.refresh_metadata(Topics::All).await.unwrap_err(), "broker-2:9092", &east, &other);
    names.remove("broker-2:9092");
    let error = client.refresh_metadata(Topics::All).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    for broker in [1, 2] {
        east.start_broker(broker).unwrap();
        names.point(&format!("broker-{broker}:9092"), &east, broker);
    }
    client.refresh_metadata(Topics::All).await.unwrap();
}

#[tokio::test]
async fn of_two_clusters_behind_the_addresses_the_expected_one_is_taken() {
    let (names, east, other) = (Arc::new(Names::default()), cluster(1).await, cluster(1).await);
    names.point("one:9092", &other, 1);
    names.point("broker-1:9092", &east, 1);
    let mut config = config(&names, &["one:9092"]);
    config.cluster_id = Some(east.cluster_id().into());
    is_other(&Client::connect(config.clone()).await.unwrap_err(), "one:9092", &east, &other);
    config.bootstrap_servers.push("broker-1:9092".to_owned());
    let client = Client::connect(config).await.unwrap();
    assert_eq!(client.cluster_id(), Some(east.cluster_id()));
    client.connection(BrokerId(1), Lane::Fetch(0)).await.unwrap();
}

/// A proxy may be turned while a connection through it is open.
#[tokio::test]
async fn metadata_of_another_cluster_are_not_taken_over() {
    let (_names, east, client) = two_brokers().await;
    let id = east.cluster_id();
    east.create_topic("strange", 1, &[]).unwrap();
    east.set_cluster_id(Some("other"));
    let error = client.refresh_metadata(Topics::All).await.unwrap_err();
    assert!(matches!(&error, ClientError::OtherCluster { found, .. } if **found == *"other"), "{error}");
    assert!(client.metadata().topics.is_empty());
    assert_eq!(client.cluster_id(), Some(id.clone()));
    east.set_cluster_id(Some(&id));
    assert!(client.refresh_metadata(Topics::All).await.unwrap().topic("strange").is_some());
}

#[tokio::test]
async fn a_broker_that_names_no_cluster_is_not_of_another_one() {
    let (_names, east, client) = two_brokers().await;
    let id = east.cluster_id();
    east.set_cluster_id(None);
    client.refresh_metadata(Topics::All).await.unwrap();
    client.connection(BrokerId(2), Lane::Fetch(0)).await.unwrap();
    assert_eq!(client.cluster_id(), Some(id));
}

/// A broker that moves leaves an address that somebody else is given.
#[tokio::test]
async fn a_broker_that_has_moved_is_looked_for() {
    let (names, east) = (Arc::new(Names::default()), cluster(2).await);
    east.move_broker(2, "elsewhere").unwrap();
    names.point("broker-1:9092", &east, 1);
    names.point("elsewhere:9092", &east, 2);
    let client = Client::connect(config(&names, &["broker-1:9092"])).await.unwrap();
    let other = cluster(2).await;
    names.point("elsewhere:9092", &other, 2);
    east.move_broker(2, "broker-2").unwrap();
    names.point("broker-2:9092", &east, 2);
    let connection = client.connection(BrokerId(2), Lane::Fetch(0)).await.unwrap();
    assert_eq!(connection.address(), "broker-2:9092");
}
