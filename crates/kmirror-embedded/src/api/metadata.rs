//! Metadata and DescribeCluster (`KafkaApis.handleTopicMetadataRequest`): brokers, topics, leaders.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;

use super::{Context, text};
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::state::{Partition, State, Topic};

pub(super) fn handle(request: MetadataRequest, context: &mut Context<'_>) -> MetadataResponse {
    if let Some(heard) = context.state.cut_off.get(&context.broker) {
        return of_what_was_heard(heard.clone(), request);
    }
    let may = |name: &str| context.may_topic(Operation::Describe, name);
    let state = &*context.state;
    let wants_operations = request.include_topic_authorized_operations;
    let describe = |name: &str, topic: &Topic| {
        let mut described = describe(name, topic, state);
        if context.version < 9 {
            for partition in &mut described.partitions {
                partition.leader_epoch = (partition.leader_epoch - state.epochs_behind).max(0);
            }
        }
        if !wants_operations {
            return described;
        }
        let operations = state.authorizer.operations(context.principal, ResourceType::Topic, name);
        described.with_topic_authorized_operations(operations)
    };
    let all = || {
        let visible = state.topics.iter().filter(|(name, _)| may(name));
        visible.map(|(name, topic)| describe(name, topic)).collect()
    };
    let topics = match request.topics {
        None => all(),
        Some(topics) if topics.is_empty() && context.version == 0 => all(),
        Some(topics) => topics
            .iter()
            .map(|wanted| match &wanted.name {
                Some(name) if wanted.topic_id.is_nil() && !may(name) => {
                    missing(Some(name.clone()), Uuid::nil(), ResponseError::TopicAuthorizationFailed)
                }
                Some(name) if wanted.topic_id.is_nil() => match state.topics.get(name.as_str()) {
                    Some(topic) => describe(name, topic),
                    None => missing(Some(name.clone()), Uuid::nil(), ResponseError::UnknownTopicOrPartition),
                },
                _ => match state
                    .topic_name("", wanted.topic_id)
                    .and_then(|name| state.topics.get_key_value(&name))
                {
                    // An id tells nothing to whom the topic is none of his business.
                    Some((name, topic)) if may(name) => describe(name, topic),
                    _ => missing(None, wanted.topic_id, ResponseError::UnknownTopicId),
                },
            })
            .collect(),
    };
    of_topics(topics, state).with_error_code(context.injected.map_or(0, |error| error.code()))
}

fn of_topics(topics: Vec<MetadataResponseTopic>, state: &State) -> MetadataResponse {
    MetadataResponse::default()
        .with_brokers(
            up(state)
                .map(|(id, host, port)| {
                    MetadataResponseBroker::default().with_node_id(id).with_host(host).with_port(port)
                })
                .collect(),
        )
        .with_cluster_id(state.cluster_id.clone().map(text))
        .with_controller_id(up(state).next().map_or(BrokerId(-1), |(id, _, _)| id))
        .with_topics(topics)
}

/// What a broker answers that is asked for all topics, and that knows all.
pub(crate) fn of_all_topics(state: &State) -> MetadataResponse {
    let topics = state.topics.iter().map(|(name, topic)| describe(name, topic, state));
    of_topics(topics.collect(), state)
}

/// The answer of a broker that has heard nothing since. It shows everything to everybody.
fn of_what_was_heard(mut heard: MetadataResponse, request: MetadataRequest) -> MetadataResponse {
    let Some(wanted) = request.topics else { return heard };
    let known = std::mem::take(&mut heard.topics);
    let topics = wanted.into_iter().map(|wanted| {
        let is_wanted = |topic: &&MetadataResponseTopic| match &wanted.name {
            Some(_) => topic.name == wanted.name,
            None => topic.topic_id == wanted.topic_id,
        };
        let error = if wanted.name.is_some() {
            ResponseError::UnknownTopicOrPartition
        } else {
            ResponseError::UnknownTopicId
        };
        known.iter().find(is_wanted).cloned().unwrap_or_else(|| missing(wanted.name, wanted.topic_id, error))
    });
    heard.topics = topics.collect();
    heard
}

pub(super) fn describe_cluster(
    request: DescribeClusterRequest,
    context: &mut Context<'_>,
) -> DescribeClusterResponse {
    let state = &*context.state;
    let operations = if request.include_cluster_authorized_operations {
        state.authorizer.operations(context.principal, ResourceType::Cluster, CLUSTER_NAME)
    } else {
        i32::MIN
    };
    DescribeClusterResponse::default()
        .with_cluster_authorized_operations(operations)
        .with_cluster_id(text(state.cluster_id.clone().unwrap_or_default()))
        .with_controller_id(up(state).next().map_or(BrokerId(-1), |(id, _, _)| id))
        .with_brokers(
            up(state)
                .map(|(id, host, port)| {
                    DescribeClusterBroker::default().with_broker_id(id).with_host(host).with_port(port)
                })
                .collect(),
        )
}

/// The brokers that are up.
fn up(state: &State) -> impl Iterator<Item = (BrokerId, kafka_protocol::protocol::StrBytes, i32)> {
    let up = state.brokers.iter().filter(|(_, broker)| broker.is_up);
    up.map(|(id, broker)| (BrokerId(*id), text(broker.host.clone()), i32::from(broker.port)))
}

fn missing(name: Option<TopicName>, id: Uuid, error: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(error.code()).with_name(name).with_topic_id(id)
}

fn describe(name: &str, topic: &Topic, state: &State) -> MetadataResponseTopic {
    let partition = |(index, partition): (i32, &Partition)| {
        let replicas: Vec<_> = partition.replicas.iter().copied().map(BrokerId).collect();
        let is_up = |id: &&BrokerId| state.brokers.get(&id.0).is_some_and(|broker| broker.is_up);
        let (in_sync, offline): (Vec<_>, Vec<_>) = replicas.iter().partition(is_up);
        let error = if partition.leader.is_none() { ResponseError::LeaderNotAvailable.code() } else { 0 };
        MetadataResponsePartition::default()
            .with_error_code(error)
            .with_partition_index(index)
            .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(replicas)
            .with_isr_nodes(in_sync)
            .with_offline_replicas(offline)
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(name))))
        .with_topic_id(topic.id)
        .with_is_internal(name == "__consumer_offsets" || name == "__transaction_state")
        .with_partitions((0..).zip(&topic.partitions).map(partition).collect())
}
