//! What the client may do, asked without doing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages as m;

use crate::acls::AclOperation;
use crate::client::{Client, Lane};
use crate::coordinator::CoordinatorKind;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::fetch::FetchRequest;
use crate::ids::{BrokerId, TopicId, to_wire};
use crate::metadata::Topics;
use crate::produce::{BATCH_HEADER_BYTES, ProducePartition, ProduceRequest};
use crate::wire::Api;

/// Operations that the client may do with a resource, by its own permissions and by those that these imply (KIP-430).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedOperations(i32);

impl AllowedOperations {
    /// Nothing where the broker does not say.
    fn from_wire(bits: i32) -> Option<AllowedOperations> {
        (bits != i32::MIN).then_some(AllowedOperations(bits))
    }

    /// Whether this is among them.
    pub fn allow(self, operation: AclOperation) -> bool {
        let bit = u32::try_from(operation.to_wire()).ok().and_then(|code| 1_i32.checked_shl(code));
        bit.is_some_and(|bit| self.0 & bit != 0)
    }
}

impl Client {
    /// What may be done with the cluster itself; `None` where its release does not say (before 2.8).
    ///
    /// # Errors
    /// Those of any call.
    pub async fn allowed_on_cluster(&self) -> Result<Option<AllowedOperations>, ClientError> {
        let request = m::DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        match self.call_any(request).await {
            Ok(response) => {
                let context = self.alias();
                ClientError::check(response.error_code, m::DescribeClusterRequest::NAME, context, None)?;
                Ok(AllowedOperations::from_wire(response.cluster_authorized_operations))
            }
            Err(ClientError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What may be done with each of these topics; `None` where the release does not say (before 2.3). The error of a topic that is
    /// not there is its result, and so is that of one of which nothing may be known.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn allowed_on_topics(
        &self,
        topics: &[Arc<str>],
    ) -> Result<Vec<(Arc<str>, Result<Option<AllowedOperations>, ClientError>)>, ClientError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let connection = self.any().await?;
        let version = connection.version::<m::MetadataRequest>()?;
        let request =
            Topics::Named(topics.to_vec()).to_wire().with_include_topic_authorized_operations(version >= 8);
        let response = connection.call_version(request, version).await?;
        let found = response.topics.into_iter().filter_map(|topic| {
            let name: Arc<str> = topic.name.as_ref()?.as_str().into();
            let checked = ClientError::check(topic.error_code, m::MetadataRequest::NAME, &name, None);
            let allowed = AllowedOperations::from_wire(topic.topic_authorized_operations);
            Some((name, checked.map(|()| allowed)))
        });
        Ok(found.collect())
    }

    /// Whether offsets may be committed for a group (READ): asked by a heartbeat of a member that it does not have.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn may_read_group(&self, group: &str, timeout: Duration) -> Result<bool, ClientError> {
        let build = |_| {
            m::HeartbeatRequest::default()
                .with_group_id(to_wire(group).into())
                .with_generation_id(0)
                .with_member_id(to_wire("kmirror-asks"))
        };
        let key = (CoordinatorKind::Group, group);
        let code = |response: &m::HeartbeatResponse| response.error_code;
        match self.call_coordinator(key, timeout, build, code).await {
            Ok((_, response)) => {
                let heard = ClientError::check(response.error_code, m::HeartbeatRequest::NAME, group, None);
                Ok(!heard.is_err_and(|error| error.is_authorization()))
            }
            Err(error) if error.is_authorization() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether records may be appended to a topic (WRITE), also to one that is not there: asked by a batch for a partition that cannot
    /// exist, which the broker looks at only after the permission (`KafkaApis.handleProduceRequest`).
    ///
    /// # Errors
    /// Those of any call.
    pub async fn may_write_topic(
        &self,
        topic: &Arc<str>,
        header: [u8; BATCH_HEADER_BYTES],
        payload: Bytes,
        timeout: Duration,
    ) -> Result<bool, ClientError> {
        let batch = ProducePartition {
            topic: topic.clone(),
            topic_id: TopicId::NONE,
            partition: NO_PARTITION,
            header,
            payload,
        };
        let request = ProduceRequest { timeout, partitions: vec![batch] };
        let response = self.any().await?.submit_produce(request).await?.await?;
        let errors = response.partitions.into_iter().filter_map(|partition| partition.error);
        Ok(!errors.into_iter().any(|error| error == KafkaError::TOPIC_AUTHORIZATION_FAILED))
    }

    /// Whether a topic may be read (READ), also one that is not there.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn may_read_topic(&self, topic: &str) -> Result<bool, ClientError> {
        use m::fetch_request as wire;
        let connection = self.any().await?;
        let partition =
            wire::FetchPartition::default().with_partition(NO_PARTITION).with_partition_max_bytes(1);
        let topic =
            wire::FetchTopic::default().with_topic(to_wire(topic).into()).with_partitions(vec![partition]);
        let body = m::FetchRequest::default()
            .with_max_wait_ms(0)
            .with_max_bytes(1)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        // Later versions know topics by their ids, which one that is not there does not have.
        let request = FetchRequest { version: connection.fetch_version()?.min(12), body };
        // A throttled answer says nothing of rights.
        let response = self.fetch_unthrottled(&connection, request, None).await?;
        let mut partitions = response.body.responses.iter().flat_map(|topic| &topic.partitions);
        let refused = KafkaError::TOPIC_AUTHORIZATION_FAILED;
        Ok(!partitions.any(|partition| KafkaError::from_code(partition.error_code) == Some(refused)))
    }

    /// What a broker lacks that kmirror cannot do without. Empty where it lacks nothing.
    ///
    /// # Errors
    /// Those of a connection to it.
    pub async fn lacking_at(&self, broker: BrokerId) -> Result<Vec<ClientError>, ClientError> {
        let connection = self.connection(broker, Lane::Control).await?;
        let versions = [
            connection.version::<m::ProduceRequest>(),
            connection.version::<m::FetchRequest>(),
            connection.version::<m::ListOffsetsRequest>(),
            connection.version::<m::MetadataRequest>(),
            connection.version::<m::OffsetForLeaderEpochRequest>(),
            connection.version::<m::CreateTopicsRequest>(),
            connection.version::<m::DescribeConfigsRequest>(),
        ];
        Ok(versions.into_iter().filter_map(Result::err).collect())
    }
}

/// No topic has as many.
const NO_PARTITION: i32 = i32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_its_bit() {
        // What a broker answers for READ and DESCRIBE_CONFIGS with what they imply.
        let allowed = AllowedOperations::from_wire(1 << 3 | 1 << 8 | 1 << 10).unwrap();
        let is_allowed = |operation| allowed.allow(operation);
        assert!(
            [AclOperation::Read, AclOperation::Describe, AclOperation::DescribeConfigs].map(is_allowed)
                == [true; 3]
        );
        assert!(
            [AclOperation::Write, AclOperation::Alter, AclOperation::Other(-1), AclOperation::Other(99)]
                .map(is_allowed)
                == [false; 4]
        );
        assert_eq!(AllowedOperations::from_wire(i32::MIN), None);
    }
}
