//! Changes to topics that are there.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::*;

pub(super) async fn alters_configs(client: &Client, topic: &Arc<str>) {
    let change = |name: &str, value: Option<&str>| ConfigChange {
        name: name.to_owned(),
        value: value.map(ToOwned::to_owned),
    };
    let changes =
        vec![change("cleanup.policy", Some("compact")), change("message.timestamp.after.max.ms", None)];
    let validated = client.alter_topic_configs(&[(topic.clone(), changes.clone())], true).await.unwrap();
    assert!(validated[0].1.is_ok(), "{validated:?}");
    assert_eq!(own_value(client, topic, "cleanup.policy").await, None, "only asked");
    let both = [(topic.clone(), changes), ("nowhere".into(), vec![change("cleanup.policy", Some("delete"))])];
    let altered = client.alter_topic_configs(&both, false).await.unwrap();
    assert!(altered[0].1.is_ok(), "{altered:?}");
    let missing = altered[1].1.as_ref().unwrap_err();
    assert_eq!(missing.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));
    // Configurations arrive at a broker a moment after they are changed.
    while own_value(client, topic, "cleanup.policy").await.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(own_value(client, topic, "cleanup.policy").await.as_deref(), Some("compact"));
    assert_eq!(own_value(client, topic, "message.timestamp.after.max.ms").await, None);
    assert_eq!(own_value(client, topic, "max.message.bytes").await.as_deref(), Some("100000"), "untouched");

    let wrong = [(topic.clone(), vec![change("cleanup.policy", Some("nonsense"))])];
    let refused = client.alter_topic_configs(&wrong, true).await.unwrap();
    let refused = refused[0].1.as_ref().unwrap_err();
    assert_eq!(refused.kafka_error(), Some(KafkaError::INVALID_CONFIG), "{refused}");

    let back =
        vec![change("cleanup.policy", None), change("message.timestamp.after.max.ms", Some("3600000"))];
    let altered = client.alter_topic_configs(&[(topic.clone(), back)], false).await.unwrap();
    assert!(altered[0].1.is_ok(), "{altered:?}");
    while own_value(client, topic, "cleanup.policy").await.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The value that is set on the topic itself.
async fn own_value(client: &Client, topic: &Arc<str>, name: &str) -> Option<String> {
    let described = client.describe_topic_configs(std::slice::from_ref(topic)).await.unwrap();
    let entries = described[0].1.as_ref().unwrap();
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    (entry.source == ConfigSource::DynamicTopic).then(|| entry.value.clone()).flatten()
}

pub(super) async fn creates_partitions(client: &Client, topic: &Arc<str>) {
    let raised = [(topic.clone(), 4), ("nowhere".into(), 2)];
    let validated = client.create_partitions(&raised, true).await.unwrap();
    assert!(validated[0].1.is_ok(), "{validated:?}");
    let missing = validated[1].1.as_ref().unwrap_err();
    assert_eq!(missing.kafka_error(), Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(partition_count(client, topic).await, 3, "only validated");
    let created = client.create_partitions(&raised[..1], false).await.unwrap();
    assert!(created[0].1.is_ok(), "{created:?}");
    while partition_count(client, topic).await < 4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = client.create_partitions(&raised[..1], false).await.unwrap();
    let again = again[0].1.as_ref().unwrap_err();
    assert_eq!(again.kafka_error(), Some(KafkaError::INVALID_PARTITIONS), "{again}");
}

async fn partition_count(client: &Client, topic: &Arc<str>) -> usize {
    let metadata = client.refresh_metadata(Topics::Named(vec![topic.clone()])).await.unwrap();
    metadata.topic(topic).unwrap().partitions.len()
}
