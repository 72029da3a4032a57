//! DescribeConfigs and IncrementalAlterConfigs (`ConfigHelper`, `ConfigurationControlManager`).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    ApiKey, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::{Context, text};
use crate::security::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::state::{DEFAULT_CONFIGS, PRODUCER_EXPIRATION, Topic, alter_config};

pub(super) fn describe(
    request: DescribeConfigsRequest,
    context: &mut Context<'_>,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| describe_one(resource, context));
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(resource: DescribeConfigsResource, context: &mut Context<'_>) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    let may = match resource.resource_type {
        TOPIC => context.may_topic(Operation::DescribeConfigs, &resource.resource_name),
        _ => context.may(Operation::DescribeConfigs, ResourceType::Cluster, CLUSTER_NAME),
    };
    if !may {
        return result.with_error_code(unauthorized(resource.resource_type).code());
    }
    if resource.resource_type == BROKER && resource.resource_name.is_empty() {
        return result.with_configs(set_on_all_brokers(&context.state.broker_configs));
    }
    let of_brokers = &context.state.topic_defaults;
    let set = match resource.resource_type {
        TOPIC => match context.state.topics.get(resource.resource_name.as_str()) {
            Some(topic) => topic.configs.clone(),
            None => {
                return result
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_error_message(Some(text("This server does not host this topic-partition.")));
            }
        },
        BROKER => BTreeMap::new(),
        _ => return result.with_error_code(ResponseError::InvalidRequest.code()),
    };
    let is_wanted = |name: &str| {
        resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
    };
    let defaults = DEFAULT_CONFIGS.iter().filter(|(name, _)| !set.contains_key(*name));
    let is_broker = resource.resource_type == BROKER;
    let expiration_ms = context.state.producer_expiration_ms().to_string();
    let is_set = context.state.broker_configs.contains_key(PRODUCER_EXPIRATION);
    let source = if is_set { DYNAMIC_DEFAULT_BROKER } else { STATIC_BROKER };
    let of_broker = [(PRODUCER_EXPIRATION, expiration_ms.as_str(), source)];
    let is_dynamic = context.state.profile.has_dynamic_producer_expiration();
    let entries = defaults
        .map(|(name, value)| {
            let (value, source) = match of_brokers.get(*name) {
                Some(value) => (value.as_str(), STATIC_BROKER),
                None => (*value, DEFAULT),
            };
            (if is_broker { broker_name(name) } else { name }, value, source)
        })
        .chain(set.iter().map(|(name, value)| (name.as_str(), value.as_str(), DYNAMIC_TOPIC)))
        .chain(of_broker.into_iter().filter(|_| is_broker))
        .filter(|(name, ..)| is_wanted(name))
        .map(|(name, value, source)| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_config_source(source)
                .with_read_only(name == PRODUCER_EXPIRATION && !is_dynamic)
        });
    result.with_configs(entries.collect())
}

/// What is set on the whole cluster, and nothing else (`DynamicBrokerConfig.currentDynamicDefaultConfigs`).
fn set_on_all_brokers(configs: &BTreeMap<String, String>) -> Vec<DescribeConfigsResourceResult> {
    let entries = configs.iter().map(|(name, value)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_config_source(DYNAMIC_DEFAULT_BROKER)
    });
    entries.collect()
}

pub(super) fn alter(
    request: IncrementalAlterConfigsRequest,
    context: &mut Context<'_>,
) -> IncrementalAlterConfigsResponse {
    let validate_only = request.validate_only;
    let responses = request.resources.into_iter().map(|resource| alter_one(resource, validate_only, context));
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn alter_one(
    resource: AlterConfigsResource,
    validate_only: bool,
    context: &mut Context<'_>,
) -> AlterConfigsResourceResponse {
    if !validate_only {
        context.state.changes.note(ApiKey::IncrementalAlterConfigs, &resource.resource_name);
    }
    let response = AlterConfigsResourceResponse::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    let may = match resource.resource_type {
        BROKER => context.may(Operation::AlterConfigs, ResourceType::Cluster, CLUSTER_NAME),
        _ => context.may_topic(Operation::AlterConfigs, &resource.resource_name),
    };
    if !may {
        return response.with_error_code(unauthorized(resource.resource_type).code());
    }
    if resource.resource_type == BROKER {
        return alter_brokers(&resource, response, validate_only, context);
    }
    let profile = context.state.profile;
    let topic = context.state.topics.get_mut(resource.resource_name.as_str());
    let Some(topic) = topic.filter(|_| resource.resource_type == TOPIC) else {
        return response.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    // All of it or nothing.
    let mut altered = topic.clone();
    for config in &resource.configs {
        let value = match config.config_operation {
            SET => config.value.as_ref().map(|value| value.as_str()),
            DELETE => None,
            _ => {
                return response
                    .with_error_code(ResponseError::InvalidConfig.code())
                    .with_error_message(Some(text("only SET and DELETE are understood here")));
            }
        };
        if let Err((error, message)) = alter_config(profile, &mut altered, &config.name, value) {
            return response.with_error_code(error.code()).with_error_message(Some(text(message)));
        }
    }
    if let Err((error, message)) = check_together(&altered) {
        return response.with_error_code(error.code()).with_error_message(Some(text(message)));
    }
    if !validate_only {
        topic.configs = altered.configs;
    }
    response
}

/// What configurations of a topic must be together (`LogConfig.validateValues`).
fn check_together(topic: &Topic) -> Result<(), (ResponseError, String)> {
    let lag = |key: &str| topic.configs.get(key).and_then(|value| value.parse::<i64>().ok());
    let (min, max) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    match min.zip(max) {
        Some((min, max)) if min > max => Err((
            ResponseError::InvalidConfig,
            format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            ),
        )),
        _ => Ok(()),
    }
}

/// Only all brokers at once.
fn alter_brokers(
    resource: &AlterConfigsResource,
    response: AlterConfigsResourceResponse,
    validate_only: bool,
    context: &mut Context<'_>,
) -> AlterConfigsResourceResponse {
    if !resource.resource_name.is_empty() {
        return response.with_error_code(ResponseError::InvalidRequest.code());
    }
    let before = context.state.broker_configs.clone();
    let altered = resource.configs.iter().try_for_each(|config| {
        let value = config.value.as_ref().filter(|_| config.config_operation == SET);
        context.state.alter_broker_config(&config.name, value.map(|value| value.as_str()))
    });
    if altered.is_err() || validate_only {
        context.state.broker_configs = before;
    }
    match altered {
        Ok(()) => response,
        Err((error, message)) => {
            response.with_error_code(error.code()).with_error_message(Some(text(message)))
        }
    }
}

/// What a broker calls a configuration of topics (`ServerTopicConfigSynonyms`).
fn broker_name(of_topic: &'static str) -> &'static str {
    match of_topic {
        "cleanup.policy" => "log.cleanup.policy",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.type" => "log.message.timestamp.type",
        "retention.bytes" => "log.retention.bytes",
        "retention.ms" => "log.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        other => other,
    }
}

fn unauthorized(resource_type: i8) -> ResponseError {
    match resource_type {
        TOPIC => ResponseError::TopicAuthorizationFailed,
        _ => ResponseError::ClusterAuthorizationFailed,
    }
}

/// `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// `DescribeConfigsResponse.ConfigSource`.
const DYNAMIC_TOPIC: i8 = 1;
const DYNAMIC_DEFAULT_BROKER: i8 = 3;
const STATIC_BROKER: i8 = 4;
const DEFAULT: i8 = 5;
/// `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
