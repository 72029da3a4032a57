//! CreateTopics, DeleteTopics, CreatePartitions (`ReplicationControlManager`).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::{Context, text};
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};

pub(super) fn create(request: CreateTopicsRequest, context: &mut Context<'_>) -> CreateTopicsResponse {
    let validate_only = request.validate_only;
    let topics = request.topics.into_iter().map(|topic| create_one(topic, validate_only, context));
    CreateTopicsResponse::default().with_topics(topics.collect())
}

fn create_one(topic: CreatableTopic, validate_only: bool, context: &mut Context<'_>) -> CreatableTopicResult {
    let name = topic.name.to_string();
    let configs: BTreeMap<_, _> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    if !validate_only {
        context.state.changes.note(ApiKey::CreateTopics, &name);
    }
    let brokers = context.state.brokers.len();
    let partitions =
        if topic.num_partitions == -1 { 1 } else { usize::try_from(topic.num_partitions).unwrap_or(0) };
    let replication_factor = match topic.replication_factor {
        -1 => 1.min(brokers),
        factor => usize::try_from(factor).unwrap_or(0),
    };
    let may = context.may(Operation::Create, ResourceType::Cluster, CLUSTER_NAME)
        || context.may_topic(Operation::Create, &name);
    let created = if let Some(error) = context.injected {
        Err((error, "injected".to_owned()))
    } else if may {
        context.state.create_topic(&name, partitions, replication_factor, configs)
    } else {
        Err(unauthorized())
    };
    if validate_only && created.is_ok() {
        context.state.topics.remove(&name);
    }
    let result = CreatableTopicResult::default().with_name(topic.name);
    let result = match created {
        Ok(id) => {
            let result = if context.version >= 7 { result.with_topic_id(id) } else { result };
            result
                .with_num_partitions(i32::try_from(partitions).unwrap_or(i32::MAX))
                .with_replication_factor(i16::try_from(replication_factor).unwrap_or(i16::MAX))
        }
        Err((error, message)) => result
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
            .with_num_partitions(-1)
            .with_replication_factor(-1),
    };
    if context.version >= 5 { result.with_configs(Some(Vec::new())) } else { result }
}

pub(super) fn delete(request: DeleteTopicsRequest, context: &mut Context<'_>) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_state = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let responses = by_name.chain(by_state).map(|(name, id)| {
        let found = match &name {
            Some(name) => context.state.topics.contains_key(name.as_str()).then(|| name.to_string()),
            None => context.state.topic_name("", id),
        };
        if let Some(name) = &found {
            context.state.changes.note(ApiKey::DeleteTopics, name);
        }
        let is_known = found.is_some();
        let found = found.filter(|name| context.may_topic(Operation::Delete, name));
        let is_forbidden = is_known && found.is_none();
        let removed = found.and_then(|name| Some((context.state.delete_topic(&name)?, name)));
        let result = DeletableTopicResult::default();
        match removed {
            Some((topic, removed)) => {
                let result = result.with_name(Some(TopicName(text(removed))));
                if context.version >= 6 { result.with_topic_id(topic.id) } else { result }
            }
            None => {
                let error = if is_forbidden {
                    ResponseError::TopicAuthorizationFailed
                } else if name.is_some() {
                    ResponseError::UnknownTopicOrPartition
                } else {
                    ResponseError::UnknownTopicId
                };
                let result = result.with_name(name).with_error_code(error.code());
                if context.version >= 6 { result.with_topic_id(id) } else { result }
            }
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

pub(super) fn add_partitions(
    request: CreatePartitionsRequest,
    context: &mut Context<'_>,
) -> CreatePartitionsResponse {
    let validate_only = request.validate_only;
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.to_string();
        if !validate_only {
            context.state.changes.note(ApiKey::CreatePartitions, &name);
        }
        let before = context.state.topics.get(&name).map(|topic| topic.partitions.len());
        let wanted = usize::try_from(topic.count).unwrap_or(0);
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        let refused = |error: ResponseError, message: String| {
            result.clone().with_error_code(error.code()).with_error_message(Some(text(message)))
        };
        if !context.may_topic(Operation::Alter, &name) {
            let (error, message) = unauthorized();
            return refused(error, message);
        }
        match before {
            None => refused(
                ResponseError::UnknownTopicOrPartition,
                "This server does not host this topic".to_owned(),
            ),
            Some(before) if wanted <= before => refused(
                ResponseError::InvalidPartitions,
                format!(
                    "The topic {name} currently has {before} partition(s); {wanted} would not be an increase."
                ),
            ),
            Some(_) => {
                if !validate_only {
                    context.state.add_partitions(&name, wanted);
                }
                result
            }
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn unauthorized() -> (ResponseError, String) {
    (ResponseError::TopicAuthorizationFailed, "Authorization failed.".to_owned())
}
