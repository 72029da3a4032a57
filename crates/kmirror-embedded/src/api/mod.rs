//! Requests by their kind. One file for each API, headed with the rule's source in Kafka.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod api_versions;
mod configs;
mod delete_groups;
mod delete_records;
mod describe_groups;
mod describe_producers;
mod describe_transactions;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_transactions;
pub(crate) mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl;
mod sync_group;
mod topics;
mod txn_offset_commit;
mod write_txn_markers;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request as Message, StrBytes};

use crate::cluster::Shared;
use crate::coordinator::groups;
use crate::fault::TAKE_ERRORS;
use crate::log::validator::Rules;
use crate::network::Connection;
use crate::security::acl::{Operation, ResourceType};
use crate::security::{Authentication, Principal};
use crate::state::{Partition, State};

/// A request whose header was understood.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: String,
    body: Bytes,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A whole frame, length included.
    Answer(Bytes),
    /// It wants no answer.
    Nothing,
    /// It cannot be understood, and Kafka closes the connection.
    HangUp,
}

/// What a handler works with.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) broker: i32,
    pub(crate) principal: &'a Principal,
    pub(crate) client_id: &'a str,
    pub(crate) version: i16,
    /// The error that every partition is to be answered with.
    pub(crate) injected: Option<ResponseError>,
}

impl Context<'_> {
    /// Whether the principal may do this.
    pub(crate) fn may(&self, operation: Operation, resource_type: ResourceType, name: &str) -> bool {
        self.state.authorizer.allows(self.principal, operation, resource_type, name)
    }

    pub(crate) fn may_topic(&self, operation: Operation, topic: &str) -> bool {
        self.may(operation, ResourceType::Topic, topic)
    }

    /// Checks that the principal may do this to a group, and that this broker coordinates it.
    ///
    /// # Errors
    /// GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID for an empty name where that is refused, NOT_COORDINATOR, and what is
    /// injected.
    pub(crate) fn check_group(
        &self,
        operation: Operation,
        name: &str,
        empty_name: EmptyName,
    ) -> Result<(), ResponseError> {
        if !self.may(operation, ResourceType::Group, name) {
            return Err(ResponseError::GroupAuthorizationFailed);
        }
        if name.is_empty() && empty_name == EmptyName::Refused {
            return Err(ResponseError::InvalidGroupId);
        }
        self.injected.map_or(Ok(()), Err)?;
        self.state.placement.check(self.broker, name)
    }

    /// Whether the principal may produce under a transactional id.
    pub(crate) fn may_produce_as(&self, transactional_id: &str) -> bool {
        self.may(Operation::Write, ResourceType::TransactionalId, transactional_id)
    }

    /// Checks that the principal may produce under a transactional id, and that this broker coordinates it.
    ///
    /// # Errors
    /// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST for no id, NOT_COORDINATOR, and what is injected.
    pub(crate) fn check_transactional_id(&self, id: &str) -> Result<(), ResponseError> {
        if !self.may_produce_as(id) {
            return Err(ResponseError::TransactionalIdAuthorizationFailed);
        }
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        self.check_transaction_coordinator(id)
    }

    /// Checks that this broker coordinates a transactional id.
    ///
    /// # Errors
    /// NOT_COORDINATOR, and what is injected.
    pub(crate) fn check_transaction_coordinator(&self, id: &str) -> Result<(), ResponseError> {
        self.injected.map_or(Ok(()), Err)?;
        self.state.placement.check(self.broker, id)
    }

    /// Checks that a partition may be read, and that it is there.
    ///
    /// # Errors
    /// TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION.
    pub(crate) fn check_partition(&self, topic: &str, number: i32) -> Result<(), ResponseError> {
        if !self.may_topic(Operation::Read, topic) {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        let partitions = self.state.topics.get(topic).map_or(0, |topic| topic.partitions.len());
        let is_there = usize::try_from(number).is_ok_and(|number| number < partitions);
        if is_there { Ok(()) } else { Err(ResponseError::UnknownTopicOrPartition) }
    }

    /// A partition that this broker leads, for somebody who may do this to its topic.
    ///
    /// # Errors
    /// TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION and NOT_LEADER_OR_FOLLOWER.
    pub(crate) fn led(
        &mut self,
        operation: Operation,
        topic: &str,
        number: i32,
    ) -> Result<(&mut Partition, Rules), ResponseError> {
        if !self.may_topic(operation, topic) {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        self.state.led_by(self.broker, topic, number)
    }
}

/// What becomes of a group without a name: old clients had such, and may still commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmptyName {
    Refused,
    Permitted,
}

/// The APIs that are served.
pub(crate) const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::OffsetDelete,
    ApiKey::TxnOffsetCommit,
    ApiKey::ListGroups,
    ApiKey::DescribeGroups,
    ApiKey::DeleteGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::WriteTxnMarkers,
    ApiKey::DescribeConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DescribeProducers,
    ApiKey::DescribeCluster,
    ApiKey::DescribeAcls,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
];

impl Request {
    /// Reads the header of a request. `None`: Kafka would close the connection.
    pub(crate) fn parse(mut frame: Bytes) -> Option<Request> {
        // The decoder trusts that there is room for key, version and correlation id.
        let (key, rest) = frame.split_first_chunk::<2>()?;
        let version = i16::from_be_bytes(*rest.first_chunk::<2>()?);
        if frame.len() < HEADER_BYTES_MIN {
            return None;
        }
        let api = ApiKey::try_from(i16::from_be_bytes(*key)).ok()?;
        let header_version = api.request_header_version(version);
        let header = RequestHeader::decode(&mut frame, header_version).ok()?;
        let client_id = header.client_id.map_or_else(String::new, |id| id.to_string());
        Some(Request { api, version, correlation_id: header.correlation_id, client_id, body: frame })
    }

    /// Answers it.
    pub(crate) async fn answer(
        self,
        shared: &Shared,
        connection: &mut Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        let offered = SERVED.contains(&self.api).then(|| shared.lock().profile.versions(self.api)).flatten();
        let is_offered = offered.is_some_and(|(min, max)| (min..=max).contains(&self.version));
        if self.api == ApiKey::ApiVersions && !is_offered {
            let profile = shared.lock().profile;
            return self.frame(0, &api_versions::unsupported(profile));
        }
        if !is_offered || !self.is_allowed_to(connection) {
            return Reply::HangUp;
        }
        if injected.is_some() && !TAKE_ERRORS.contains(&self.api) {
            return Reply::HangUp;
        }
        match self.api {
            ApiKey::Produce => self.produce(shared, connection, injected).await,
            ApiKey::Fetch => self.fetch(shared, connection, injected).await,
            ApiKey::JoinGroup => self.join_group(shared, connection, injected).await,
            ApiKey::SyncGroup => self.sync_group(shared, connection, injected).await,
            ApiKey::WriteTxnMarkers => self.write_txn_markers(shared, connection, injected).await,
            ApiKey::SaslHandshake => self.handshake(shared, connection),
            ApiKey::SaslAuthenticate => self.authenticate(shared, connection),
            _ => self.answer_at_once(shared, connection, injected),
        }
    }

    /// Answers a request that waits for nothing.
    fn answer_at_once(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        match self.api {
            ApiKey::ListOffsets => self.at_once(shared, connection, injected, list_offsets::handle),
            ApiKey::Metadata => self.at_once(shared, connection, injected, metadata::handle),
            ApiKey::DescribeCluster => self.at_once(shared, connection, injected, metadata::describe_cluster),
            ApiKey::ApiVersions => self.at_once(shared, connection, injected, api_versions::handle),
            ApiKey::CreateTopics => self.at_once(shared, connection, injected, topics::create),
            ApiKey::DeleteTopics => self.at_once(shared, connection, injected, topics::delete),
            ApiKey::CreatePartitions => self.at_once(shared, connection, injected, topics::add_partitions),
            ApiKey::DeleteRecords => self.at_once(shared, connection, injected, delete_records::handle),
            ApiKey::InitProducerId => self.at_once(shared, connection, injected, init_producer_id::handle),
            ApiKey::AddPartitionsToTxn => {
                self.at_once(shared, connection, injected, add_partitions_to_txn::handle)
            }
            ApiKey::AddOffsetsToTxn => self.at_once(shared, connection, injected, add_offsets_to_txn::handle),
            ApiKey::EndTxn => self.at_once(shared, connection, injected, end_txn::handle),
            ApiKey::DescribeTransactions => {
                self.at_once(shared, connection, injected, describe_transactions::handle)
            }
            ApiKey::ListTransactions => self.at_once(shared, connection, injected, list_transactions::handle),
            ApiKey::FindCoordinator => self.at_once(shared, connection, injected, find_coordinator::handle),
            ApiKey::Heartbeat => self.at_once(shared, connection, injected, heartbeat::handle),
            ApiKey::LeaveGroup => self.at_once(shared, connection, injected, leave_group::handle),
            ApiKey::OffsetCommit => self.at_once(shared, connection, injected, offset_commit::handle),
            ApiKey::OffsetFetch => self.at_once(shared, connection, injected, offset_fetch::handle),
            ApiKey::OffsetDelete => self.at_once(shared, connection, injected, offset_delete::handle),
            ApiKey::TxnOffsetCommit => self.at_once(shared, connection, injected, txn_offset_commit::handle),
            ApiKey::ListGroups => self.at_once(shared, connection, injected, list_groups::handle),
            ApiKey::DescribeGroups => self.at_once(shared, connection, injected, describe_groups::handle),
            ApiKey::DeleteGroups => self.at_once(shared, connection, injected, delete_groups::handle),
            ApiKey::OffsetForLeaderEpoch => {
                self.at_once(shared, connection, injected, offset_for_leader_epoch::handle)
            }
            ApiKey::DescribeConfigs => self.at_once(shared, connection, injected, configs::describe),
            ApiKey::IncrementalAlterConfigs => self.at_once(shared, connection, injected, configs::alter),
            ApiKey::DescribeAcls => self.at_once(shared, connection, injected, acls::describe),
            ApiKey::CreateAcls => self.at_once(shared, connection, injected, acls::create),
            ApiKey::DeleteAcls => self.at_once(shared, connection, injected, acls::delete),
            ApiKey::DescribeProducers => {
                self.at_once(shared, connection, injected, describe_producers::handle)
            }
            _ => Reply::HangUp,
        }
    }

    /// Answers a request that waits for nothing.
    fn at_once<Q: Message>(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
        handle: impl FnOnce(Q, &mut Context<'_>) -> Q::Response,
    ) -> Reply {
        let Some(request) = self.decode::<Q>() else { return Reply::HangUp };
        let response = handle(request, &mut self.context(&mut shared.lock(), connection, injected));
        shared.changed();
        self.frame(self.version, &response)
    }

    fn context<'a>(
        &'a self,
        state: &'a mut State,
        connection: &'a Connection,
        injected: Option<ResponseError>,
    ) -> Context<'a> {
        let (broker, principal) = (connection.broker, &connection.principal);
        Context { state, broker, principal, client_id: &self.client_id, version: self.version, injected }
    }

    /// Who must say who he is may do nothing else before.
    fn is_allowed_to(&self, connection: &Connection) -> bool {
        match self.api {
            ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => true,
            // Nor while somebody who is known says once more who he is.
            ApiKey::ApiVersions => connection.session.renewing.is_none(),
            _ => matches!(connection.authentication, Authentication::Known) && !connection.session.is_over(),
        }
    }

    fn handshake(self, shared: &Shared, connection: &mut Connection) -> Reply {
        let has_users = !shared.lock().users.0.is_empty();
        match self.decode() {
            // Tokens without requests around them, as before KIP-152, are not understood.
            Some(request) if self.version >= 1 => {
                self.frame(self.version, &sasl::handshake(&request, connection, has_users))
            }
            _ => Reply::HangUp,
        }
    }

    fn authenticate(self, shared: &Shared, connection: &mut Connection) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        let users = shared.lock().users.clone();
        let state = &mut *shared.lock();
        let (machine, count) = (&mut state.machine, &mut state.authentications);
        self.frame(self.version, &sasl::authenticate(&request, connection, &users, machine, count))
    }

    async fn produce(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        match produce::handle(request, shared, connection, self.version, injected).await {
            Some(response) => self.frame(self.version, &response),
            None => Reply::Nothing,
        }
    }

    async fn write_txn_markers(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        let (mut response, appended) = write_txn_markers::append_all(
            &request,
            &mut self.context(&mut shared.lock(), connection, injected),
        );
        shared.changed();
        write_txn_markers::replicated(&mut response, appended, shared, connection.broker).await;
        self.frame(self.version, &response)
    }

    async fn join_group(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        let begun = join_group::begin(&request, &mut self.context(&mut shared.lock(), connection, injected));
        shared.changed();
        let joined = match begun {
            Ok(awaited) => groups::joined(shared, &request.group_id, awaited).await,
            Err(error) => Some(join_group::refused(&request, error)),
        };
        joined.map_or(Reply::HangUp, |joined| {
            self.frame(self.version, &join_group::response(joined, self.version))
        })
    }

    async fn sync_group(
        self,
        shared: &Shared,
        connection: &Connection,
        injected: Option<ResponseError>,
    ) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        let begun = sync_group::begin(&request, &mut self.context(&mut shared.lock(), connection, injected));
        shared.changed();
        let synced = match begun {
            Ok(awaited) => groups::synced(shared, &request.group_id, awaited).await,
            Err(error) => Some(Err(error)),
        };
        synced.map_or(Reply::HangUp, |synced| self.frame(self.version, &sync_group::response(synced)))
    }

    async fn fetch(self, shared: &Shared, connection: &Connection, injected: Option<ResponseError>) -> Reply {
        let Some(request) = self.decode() else { return Reply::HangUp };
        let response = fetch::handle(request, shared, connection, self.version, injected).await;
        self.frame(self.version, &response)
    }

    fn decode<Q: Message>(&self) -> Option<Q> {
        Q::decode(&mut self.body.clone(), self.version).ok()
    }

    /// The answer as a frame. ApiVersions is answered with the oldest header, so that clients of any age understand it.
    fn frame<R: Encodable + HeaderVersion>(&self, version: i16, response: &R) -> Reply {
        // Answers with records are large: growing would copy them again.
        let mut frame =
            BytesMut::with_capacity(response.compute_size(version).unwrap_or(0) + FRAME_HEADER_BYTES);
        frame.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        let header_version = if self.api == ApiKey::ApiVersions { 0 } else { R::header_version(version) };
        let encoded =
            header.encode(&mut frame, header_version).and_then(|()| response.encode(&mut frame, version));
        if encoded.is_err() {
            return Reply::HangUp;
        }
        let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
        if let Some(field) = frame.first_chunk_mut::<4>() {
            *field = length.to_be_bytes();
        }
        Reply::Answer(frame.freeze())
    }
}

/// The code of an error; 0 for none.
pub(crate) fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

/// An error of transactions as the client knows it: before 2.7 there was no PRODUCER_FENCED.
pub(crate) fn fenced_as_known(error: ResponseError, knows_fenced: bool) -> ResponseError {
    if error == ResponseError::ProducerFenced && !knows_fenced {
        ResponseError::InvalidProducerEpoch
    } else {
        error
    }
}

/// Text for a response.
pub(crate) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Length, correlation id and tagged fields.
const FRAME_HEADER_BYTES: usize = 16;
/// Key, version and correlation id.
const HEADER_BYTES_MIN: usize = 8;
