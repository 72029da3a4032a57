//! Brokers that are cut off from their controller, or keep silent: what they say, or do not, is not all that counts.

use std::time::Duration;

use kmirror_client::*;
use kmirror_embedded::{ApiKey, EmbeddedCluster, Fault, FaultKind, ResponseError};
use tokio::time::Instant;

use crate::names::{Names, cluster, config, two_brokers};

async fn knows(client: &Client, topic: &str) -> bool {
    let metadata = client.refresh_metadata(Topics::All).await.unwrap();
    metadata.topic(topic).is_some_and(|topic| topic.error.is_none())
}

#[tokio::test]
async fn a_topic_that_one_broker_denies_is_there() {
    let (names, east, client) = two_brokers().await;
    east.cut_off(1, true).unwrap();
    east.create_topic("late", 1, &[]).unwrap();
    let mut looks = 0;
    while !knows(&client, "late").await {
        looks += 1;
        assert!(looks < 100, "the other broker is never asked");
    }
    for _ in 0..10 {
        assert!(knows(&client, "late").await);
        let named = client.refresh_metadata(Topics::Named(vec!["late".into()])).await.unwrap();
        assert_eq!(named.topic("late").unwrap().error, None);
    }
    // Nobody is left who could say so as well.
    names.remove("broker-2:9092");
    east.stop_broker(2).unwrap();
    for _ in 0..3 {
        assert!(knows(&client, "late").await);
    }
    east.start_broker(2).unwrap();
    names.point("broker-2:9092", &east, 2);
    east.cut_off(1, false).unwrap();
    assert!(knows(&client, "late").await);
    east.delete_topic("late");
    assert!(!knows(&client, "late").await, "both say that it is gone");
}

#[tokio::test]
async fn a_topic_is_gone_when_the_only_broker_says_so() {
    let east = cluster(1).await;
    let names = Names::of(&east);
    east.create_topic("orders", 1, &[]).unwrap();
    let client = Client::connect(config(&names, &["broker-1:9092"])).await.unwrap();
    assert!(knows(&client, "orders").await);
    east.delete_topic("orders");
    assert!(!knows(&client, "orders").await);
}

/// A topic that was created again is not told by its name, and the broker that has not heard of it goes on naming the old id.
#[tokio::test]
async fn a_topic_is_another_one_when_two_brokers_say_so() {
    let east = cluster(3).await;
    let names = Names::of(&east);
    east.create_topic("orders", 1, &[]).unwrap();
    let client = Client::connect(config(&names, &["broker-1:9092"])).await.unwrap();
    let id = async || {
        let topics = if east.leader("orders", 0).is_ok() { Topics::All } else { Topics::Named(Vec::new()) };
        client.refresh_metadata(topics).await.unwrap().topic("orders").unwrap().id
    };
    let before = id().await;
    east.cut_off(1, true).unwrap();
    east.delete_topic("orders");
    east.create_topic("orders", 1, &[]).unwrap();
    let mut looks = 0;
    while id().await == before {
        looks += 1;
        assert!(looks < 100, "it is never found that it is another one");
    }
    for _ in 0..20 {
        assert_ne!(id().await, before, "a broker that has not heard of it is believed");
    }
}

/// Where a broker that is cut off is asked again and again, no leader is ever found.
#[tokio::test]
async fn a_leader_that_one_broker_does_not_know_is_asked_of_another_one() {
    for cut_off in [1, 2] {
        let (_names, east, client) = two_brokers().await;
        east.create_topic("orders", 1, &[]).unwrap();
        east.move_leader("orders", 0, cut_off).unwrap();
        client.refresh_metadata(Topics::All).await.unwrap();
        east.cut_off(cut_off, true).unwrap();
        east.move_leader("orders", 0, 3 - cut_off).unwrap();
        let partition = [(TopicPartition::new("orders", 0), OffsetSpec::Latest)];
        let mut looks = 0;
        while let (_, Err(error)) = &client.list_offsets(&partition, Isolation::ReadUncommitted).await[0] {
            looks += 1;
            assert!(looks < 100, "the other broker is never asked: {error}");
        }
    }
}

/// The brokers' addresses are given up, whoever of them still answers (KIP-1102).
#[tokio::test]
async fn a_cluster_may_ask_to_begin_again_at_the_bootstrap_servers() {
    let east = cluster(2).await;
    let names = Names::of(&east);
    names.point("start:9092", &east, 1);
    let client = Client::connect(config(&names, &["start:9092"])).await.unwrap();
    for broker in [1, 2] {
        client.connection(BrokerId(broker), Lane::Control).await.unwrap();
    }
    names.take_connected();
    let again = FaultKind::Error(ResponseError::RebootstrapRequired);
    east.inject(Fault::new(again.clone()).of(ApiKey::Metadata));
    client.refresh_metadata(Topics::All).await.unwrap();
    assert_eq!(names.take_connected(), ["start:9092"]);
    client.connection(BrokerId(2), Lane::Control).await.unwrap();
    assert_eq!(names.take_connected(), ["broker-2:9092"], "the connection from before is closed");
    // The bootstrap servers say so as well: that is an error like any other, and no circle.
    east.inject(Fault::new(again).of(ApiKey::Metadata).times(u32::MAX));
    let error = client.refresh_metadata(Topics::All).await.unwrap_err();
    assert_eq!(error.kafka_error(), Some(KafkaError::REBOOTSTRAP_REQUIRED));
    east.clear_faults();
    client.refresh_metadata(Topics::All).await.unwrap();
}

/// The time is the test's own: it passes while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_broker_that_keeps_silent_is_not_waited_for() {
    let builder = EmbeddedCluster::builder().brokers(2).without_sockets("broker").simulated(1);
    let east = std::sync::Arc::new(builder.start().await.unwrap());
    let names = Names::of(&east);
    let client = Client::connect(config(&names, &["broker-1:9092"])).await.unwrap();
    for _ in 0..2 {
        client.refresh_metadata(Topics::All).await.unwrap();
    }
    east.inject(Fault::new(FaultKind::Silence).of(ApiKey::Metadata).at(1).times(u32::MAX));
    let began = Instant::now();
    for _ in 0..10 {
        client.refresh_metadata(Topics::All).await.unwrap();
    }
    assert!(began.elapsed() < client.config().request_timeout, "after {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "it is asked first again and again: {:?}",
        began.elapsed()
    );
}
