//! Topics and configurations.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages as m;
use kafka_protocol::messages::create_partitions_request as partitions_wire;
use kafka_protocol::messages::create_topics_request as create_wire;
use kafka_protocol::messages::describe_configs_request as configs_wire;
use kafka_protocol::messages::incremental_alter_configs_request as alter_wire;

use crate::client::{Client, Lane};
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, TopicId, to_wire};
use crate::wire::Api;

/// One result per topic, in the order of the call.
pub type TopicResults<T> = Vec<(Arc<str>, Result<T, ClientError>)>;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions; -1 for the cluster's default (brokers of 2.4 and later).
    pub partitions: i32,
    /// How many replicas of each; -1 for the cluster's default (brokers of 2.4 and later).
    pub replication_factor: i16,
    /// Configuration that differs from the cluster's.
    pub configs: Vec<(String, String)>,
}

/// A topic that was created, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id, [`TopicId::NONE`] on brokers before 2.8 and where nothing was created.
    pub id: TopicId,
    /// How many partitions, where the broker says (2.4 and later).
    pub partitions: Option<i32>,
    /// How many replicas of each, where the broker says (2.4 and later).
    pub replication_factor: Option<i16>,
}

/// One configuration of a topic or broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; `None` where it has none, or where it is a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// Whether it cannot be altered.
    pub read_only: bool,
}

/// Where the value of a configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set on the topic: what a mirror copies.
    DynamicTopic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set on all brokers while they run.
    DynamicDefaultBroker,
    /// From the broker's properties file.
    StaticBroker,
    /// Kafka's own default.
    Default,
    /// Something else, by its number in the protocol.
    Other(i8),
}

/// A change to one configuration of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its key.
    pub name: String,
    /// The value to set on the topic; `None` takes the topic's own away, so that the cluster's default holds.
    pub value: Option<String>,
}

impl Client {
    /// Creates topics, or with `validate_only` only says whether it would.
    ///
    /// # Errors
    /// Those of any call. The fate of each topic is in its result.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<TopicResults<CreatedTopic>, ClientError> {
        let request = m::CreateTopicsRequest::default()
            .with_topics(topics.iter().map(NewTopic::to_wire).collect())
            .with_timeout_ms(self.request_timeout_ms())
            .with_validate_only(validate_only);
        let moved = |response: &m::CreateTopicsResponse| {
            response.topics.iter().any(|topic| is_not_controller(topic.error_code))
        };
        let response = self.call_controller(request, moved).await?;
        let results = response.topics.into_iter().map(|topic| {
            let message = topic.error_message.as_ref().map(|message| message.as_str());
            let api = m::CreateTopicsRequest::NAME;
            let checked = ClientError::check(topic.error_code, api, topic.name.as_str(), message);
            let created = CreatedTopic {
                id: TopicId(topic.topic_id),
                partitions: (topic.num_partitions >= 0).then_some(topic.num_partitions),
                replication_factor: (topic.replication_factor >= 0).then_some(topic.replication_factor),
            };
            (topic.name.as_str().to_owned(), checked.map(|()| created))
        });
        let names = topics.iter().map(|topic| topic.name.clone());
        Ok(in_order(self, m::CreateTopicsRequest::NAME, names, results.collect()))
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// Those of any call. The fate of each topic is in its result.
    pub async fn delete_topics(&self, topics: &[Arc<str>]) -> Result<TopicResults<()>, ClientError> {
        let request = m::DeleteTopicsRequest::default()
            .with_topic_names(topics.iter().map(|topic| to_wire(topic).into()).collect())
            .with_timeout_ms(self.request_timeout_ms());
        let moved = |response: &m::DeleteTopicsResponse| {
            response.responses.iter().any(|topic| is_not_controller(topic.error_code))
        };
        let response = self.call_controller(request, moved).await?;
        let results = response.responses.into_iter().filter_map(|topic| {
            let name = topic.name.as_ref()?.as_str().to_owned();
            let message = topic.error_message.as_ref().map(|message| message.as_str());
            let checked = ClientError::check(topic.error_code, m::DeleteTopicsRequest::NAME, &name, message);
            Some((name, checked))
        });
        Ok(in_order(self, m::DeleteTopicsRequest::NAME, topics.iter().cloned(), results.collect()))
    }

    /// Raises the partition counts of topics to these totals, or with `validate_only` only says whether it would.
    ///
    /// # Errors
    /// Those of any call. The fate of each topic is in its result:
    /// [`INVALID_PARTITIONS`](KafkaError::INVALID_PARTITIONS) where it has as many already.
    pub async fn create_partitions(
        &self,
        totals: &[(Arc<str>, i32)],
        validate_only: bool,
    ) -> Result<TopicResults<()>, ClientError> {
        let topics = totals.iter().map(|(topic, total)| {
            partitions_wire::CreatePartitionsTopic::default()
                .with_name(to_wire(topic).into())
                .with_count(*total)
                .with_assignments(None)
        });
        let request = m::CreatePartitionsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(self.request_timeout_ms())
            .with_validate_only(validate_only);
        let moved = |response: &m::CreatePartitionsResponse| {
            response.results.iter().any(|topic| is_not_controller(topic.error_code))
        };
        let api = m::CreatePartitionsRequest::NAME;
        let response = self.call_controller(request, moved).await?;
        let results = response.results.into_iter().map(|topic| {
            let name = topic.name.as_str().to_owned();
            let message = topic.error_message.as_ref().map(|message| message.as_str());
            let checked = ClientError::check(topic.error_code, api, &name, message);
            (name, checked)
        });
        let names = totals.iter().map(|(topic, _)| topic.clone());
        Ok(in_order(self, api, names, results.collect()))
    }

    /// Changes single configurations of topics and leaves their others as they are (KIP-339), or, with `validate_only`, only says
    /// whether it would. Each topic at most once.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] on brokers before 2.3: what they have instead replaces all configurations of a topic
    /// at once. Those of any call. The fate of each topic is in its result.
    pub async fn alter_topic_configs(
        &self,
        topics: &[(Arc<str>, Vec<ConfigChange>)],
        validate_only: bool,
    ) -> Result<TopicResults<()>, ClientError> {
        let resources = topics.iter().map(|(topic, changes)| {
            alter_wire::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(to_wire(topic))
                .with_configs(changes.iter().map(ConfigChange::to_wire).collect())
        });
        let request = m::IncrementalAlterConfigsRequest::default()
            .with_resources(resources.collect())
            .with_validate_only(validate_only);
        let altered = self.alter_configs(request).await?;
        let names = topics.iter().map(|(topic, _)| topic.clone());
        Ok(in_order(self, m::IncrementalAlterConfigsRequest::NAME, names, altered))
    }

    /// Changes single configurations of all brokers while they run (KIP-226), and leaves the others as they are.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] on brokers before 2.3. Those of any call, and those of the broker.
    pub async fn alter_default_broker_config(&self, changes: &[ConfigChange]) -> Result<(), ClientError> {
        let resource = alter_wire::AlterConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(to_wire(""))
            .with_configs(changes.iter().map(ConfigChange::to_wire).collect());
        let request = m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        self.alter_configs(request).await?.remove("").unwrap_or_else(|| {
            let (cluster, api): (Arc<str>, _) =
                (self.alias().into(), m::IncrementalAlterConfigsRequest::NAME);
            Err(ClientError::invalid_response(&cluster, api, "nothing about the brokers"))
        })
    }

    /// By the name of each resource.
    async fn alter_configs(
        &self,
        request: m::IncrementalAlterConfigsRequest,
    ) -> Result<HashMap<String, Result<(), ClientError>>, ClientError> {
        let api = m::IncrementalAlterConfigsRequest::NAME;
        let response = self.call_any(request).await.map_err(|error| match error {
            ClientError::Unsupported { api, broker, .. } => {
                ClientError::Unsupported { api, broker, detail: "brokers do from release 2.3 on".into() }
            }
            other => other,
        })?;
        let results = response.responses.into_iter().map(|resource| {
            let name = resource.resource_name.as_str().to_owned();
            let message = resource.error_message.as_ref().map(|message| message.as_str());
            let checked = ClientError::check(resource.error_code, api, &name, message);
            (name, checked)
        });
        Ok(results.collect())
    }

    /// All configurations of topics, also those that are defaults.
    ///
    /// # Errors
    /// Those of any call. The errors of each topic are in its result.
    pub async fn describe_topic_configs(
        &self,
        topics: &[Arc<str>],
    ) -> Result<TopicResults<Vec<ConfigEntry>>, ClientError> {
        let request = describe_configs(TOPIC, topics.iter().map(AsRef::as_ref));
        let response = self.call_any(request).await?;
        Ok(in_order(self, m::DescribeConfigsRequest::NAME, topics.iter().cloned(), configs(response)))
    }

    /// All configurations of a broker, also those that are defaults.
    ///
    /// # Errors
    /// Those of any call, and those of the broker.
    pub async fn describe_broker_config(&self, broker: BrokerId) -> Result<Vec<ConfigEntry>, ClientError> {
        let name = broker.to_string();
        let connection = self.connection(broker, Lane::Control).await?;
        let response = connection.call(describe_configs(BROKER, [name.as_str()])).await?;
        configs(response).remove(&name).unwrap_or_else(|| {
            let problem = format!("nothing about broker {broker}");
            let api = m::DescribeConfigsRequest::NAME;
            Err(ClientError::invalid_response(connection.shared_address(), api, problem))
        })
    }

    /// What is set on all brokers while they run (KIP-226), and nothing else.
    ///
    /// # Errors
    /// Those of any call, and those of the broker.
    pub async fn describe_default_broker_config(&self) -> Result<Vec<ConfigEntry>, ClientError> {
        let response = self.call_any(describe_configs(BROKER, [""])).await?;
        configs(response).remove("").unwrap_or_else(|| {
            let (cluster, api): (Arc<str>, _) = (self.alias().into(), m::DescribeConfigsRequest::NAME);
            Err(ClientError::invalid_response(&cluster, api, "nothing about the brokers"))
        })
    }
}

impl NewTopic {
    fn to_wire(&self) -> create_wire::CreatableTopic {
        let configs = self.configs.iter().map(|(name, value)| {
            create_wire::CreatableTopicConfig::default()
                .with_name(to_wire(name))
                .with_value(Some(to_wire(value)))
        });
        create_wire::CreatableTopic::default()
            .with_name(to_wire(&self.name).into())
            .with_num_partitions(self.partitions)
            .with_replication_factor(self.replication_factor)
            .with_configs(configs.collect())
    }
}

impl ConfigChange {
    fn to_wire(&self) -> alter_wire::AlterableConfig {
        // `AlterConfigOp.OpType`.
        const SET: i8 = 0;
        const DELETE: i8 = 1;
        alter_wire::AlterableConfig::default()
            .with_name(to_wire(&self.name))
            .with_config_operation(if self.value.is_some() { SET } else { DELETE })
            .with_value(self.value.as_deref().map(to_wire))
    }
}

impl ConfigSource {
    fn from_wire(source: i8) -> Self {
        match source {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

// `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn describe_configs<'a>(
    resource_type: i8,
    names: impl IntoIterator<Item = &'a str>,
) -> m::DescribeConfigsRequest {
    let resources = names.into_iter().map(|name| {
        configs_wire::DescribeConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(to_wire(name))
            .with_configuration_keys(None)
    });
    m::DescribeConfigsRequest::default().with_resources(resources.collect())
}

fn configs(response: m::DescribeConfigsResponse) -> HashMap<String, Result<Vec<ConfigEntry>, ClientError>> {
    let results = response.results.into_iter().map(|result| {
        let name = result.resource_name.as_str().to_owned();
        let message = result.error_message.as_ref().map(|message| message.as_str());
        let checked = ClientError::check(result.error_code, m::DescribeConfigsRequest::NAME, &name, message);
        let entries = result.configs.into_iter().map(|config| ConfigEntry {
            name: config.name.as_str().to_owned(),
            value: config.value.map(|value| value.as_str().to_owned()),
            source: ConfigSource::from_wire(config.config_source),
            is_sensitive: config.is_sensitive,
            read_only: config.read_only,
        });
        (name, checked.map(|()| entries.collect()))
    });
    results.collect()
}

fn in_order<T>(
    client: &Client,
    api: &'static str,
    names: impl Iterator<Item = Arc<str>>,
    mut results: HashMap<String, Result<T, ClientError>>,
) -> TopicResults<T> {
    let cluster: Arc<str> = client.alias().into();
    let results = names.map(|name| {
        let result = results.remove(&*name).unwrap_or_else(|| {
            Err(ClientError::invalid_response(&cluster, api, format!("nothing about topic {name}")))
        });
        (name, result)
    });
    results.collect()
}

fn is_not_controller(code: i16) -> bool {
    KafkaError::from_code(code) == Some(KafkaError::NOT_CONTROLLER)
}
