//! The APIs that this crate speaks, and the check that every response passes before it is decoded.
//!
//! kafka-protocol's decoder reserves memory for as many elements as an array claims to have, so eight hostile bytes can
//! abort the process. [`check::walk`] therefore visits every count and length first, along the tables in [`schemas`].

mod check;
mod schemas;

use bytes::{Buf, Bytes};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use schemas::Schema;

/// An API of the protocol that this crate speaks. Implemented for kafka-protocol's request types.
///
/// Not kafka-protocol's own `Request`, which exists only together with the encoders and decoders of brokers.
pub(crate) trait Api: Encodable + HeaderVersion + Send {
    /// What the broker answers.
    type Response: Decodable + HeaderVersion + Send + 'static;
    /// The API's number.
    const KEY: i16;
    /// Kafka's name of the API.
    const NAME: &'static str;
    /// The lowest and the highest version that this crate speaks.
    const VERSIONS: (i16, i16);
    /// The layout of the response.
    const RESPONSE: &'static Schema;

    /// How long the broker throttles this connection after the response, in milliseconds (KIP-219).
    fn throttle_time_ms(response: &Self::Response) -> i32;
}

/// The response of `A` in `body`, which begins behind the correlation id.
pub(crate) fn decode_response<A: Api>(mut body: Bytes, version: i16) -> Result<A::Response, String> {
    if A::Response::header_version(version) >= 1 {
        let header_bytes = check::walk_tagged_fields(&body)?;
        body.advance(header_bytes);
    }
    let walked = check::walk(A::RESPONSE, version, &body)?;
    if walked != body.len() {
        return Err(format!("{} bytes after the end of the response", body.len() - walked));
    }
    A::Response::decode(&mut body, version).map_err(|error| error.to_string())
}

macro_rules! apis {
    ($($request:ident -> $response:ident, $key:literal $name:literal $min:literal..=$max:literal $schema:ident $throttle:expr;)*) => {$(
        impl Api for m::$request {
            type Response = m::$response;
            const KEY: i16 = $key;
            const NAME: &'static str = $name;
            const VERSIONS: (i16, i16) = ($min, $max);
            const RESPONSE: &'static Schema = &schemas::$schema;

            fn throttle_time_ms(response: &Self::Response) -> i32 {
                let throttle: fn(&Self::Response) -> i32 = $throttle;
                throttle(response)
            }
        }
    )*};
}

// The lower ends are what brokers of release 2.1 reach easily; below them lie versions without a field that we rely on:
// SaslHandshake 1 puts tokens into requests, Fetch 7 brought sessions, Metadata 4 a request that creates no topics. Upper ends are kafka-protocol's (Kafka 4.1),
// except ApiVersions 3: version 4 only tells brokers to list minimum versions of 0; AddPartitionsToTxn 3: later ones are for
// brokers; EndTxn 4: later ones end transactions of the second kind (KIP-890), which need no AddPartitionsToTxn and would add
// no partition without data; OffsetCommit and OffsetFetch 9: later ones name topics by id.
apis! {
    ProduceRequest -> ProduceResponse, 0 "Produce" 3..=13 PRODUCE |response| response.throttle_time_ms;
    FetchRequest -> FetchResponse, 1 "Fetch" 7..=18 FETCH |response| response.throttle_time_ms;
    ListOffsetsRequest -> ListOffsetsResponse, 2 "ListOffsets" 2..=10 LIST_OFFSETS |response| response.throttle_time_ms;
    MetadataRequest -> MetadataResponse, 3 "Metadata" 4..=13 METADATA |response| response.throttle_time_ms;
    OffsetCommitRequest -> OffsetCommitResponse, 8 "OffsetCommit" 6..=9 OFFSET_COMMIT |response| response.throttle_time_ms;
    OffsetFetchRequest -> OffsetFetchResponse, 9 "OffsetFetch" 5..=9 OFFSET_FETCH |response| response.throttle_time_ms;
    FindCoordinatorRequest -> FindCoordinatorResponse, 10 "FindCoordinator" 1..=6 FIND_COORDINATOR |response| response.throttle_time_ms;
    HeartbeatRequest -> HeartbeatResponse, 12 "Heartbeat" 1..=4 HEARTBEAT |response| response.throttle_time_ms;
    ListGroupsRequest -> ListGroupsResponse, 16 "ListGroups" 1..=5 LIST_GROUPS |response| response.throttle_time_ms;
    SaslHandshakeRequest -> SaslHandshakeResponse, 17 "SaslHandshake" 1..=1 SASL_HANDSHAKE |_| 0;
    ApiVersionsRequest -> ApiVersionsResponse, 18 "ApiVersions" 0..=3 API_VERSIONS |response| response.throttle_time_ms;
    CreateTopicsRequest -> CreateTopicsResponse, 19 "CreateTopics" 2..=7 CREATE_TOPICS |response| response.throttle_time_ms;
    DeleteTopicsRequest -> DeleteTopicsResponse, 20 "DeleteTopics" 1..=5 DELETE_TOPICS |response| response.throttle_time_ms;
    DeleteRecordsRequest -> DeleteRecordsResponse, 21 "DeleteRecords" 0..=2 DELETE_RECORDS |response| response.throttle_time_ms;
    InitProducerIdRequest -> InitProducerIdResponse, 22 "InitProducerId" 0..=5 INIT_PRODUCER_ID |response| response.throttle_time_ms;
    OffsetForLeaderEpochRequest -> OffsetForLeaderEpochResponse, 23 "OffsetForLeaderEpoch" 2..=4 OFFSET_FOR_LEADER_EPOCH |response| response.throttle_time_ms;
    AddPartitionsToTxnRequest -> AddPartitionsToTxnResponse, 24 "AddPartitionsToTxn" 0..=3 ADD_PARTITIONS_TO_TXN |response| response.throttle_time_ms;
    EndTxnRequest -> EndTxnResponse, 26 "EndTxn" 0..=4 END_TXN |response| response.throttle_time_ms;
    WriteTxnMarkersRequest -> WriteTxnMarkersResponse, 27 "WriteTxnMarkers" 1..=1 WRITE_TXN_MARKERS |_| 0;
    DescribeAclsRequest -> DescribeAclsResponse, 29 "DescribeAcls" 1..=3 DESCRIBE_ACLS |response| response.throttle_time_ms;
    CreateAclsRequest -> CreateAclsResponse, 30 "CreateAcls" 1..=3 CREATE_ACLS |response| response.throttle_time_ms;
    DeleteAclsRequest -> DeleteAclsResponse, 31 "DeleteAcls" 1..=3 DELETE_ACLS |response| response.throttle_time_ms;
    DescribeConfigsRequest -> DescribeConfigsResponse, 32 "DescribeConfigs" 1..=4 DESCRIBE_CONFIGS |response| response.throttle_time_ms;
    SaslAuthenticateRequest -> SaslAuthenticateResponse, 36 "SaslAuthenticate" 0..=2 SASL_AUTHENTICATE |_| 0;
    CreatePartitionsRequest -> CreatePartitionsResponse, 37 "CreatePartitions" 0..=3 CREATE_PARTITIONS |response| response.throttle_time_ms;
    IncrementalAlterConfigsRequest -> IncrementalAlterConfigsResponse, 44 "IncrementalAlterConfigs" 0..=1 INCREMENTAL_ALTER_CONFIGS |response| response.throttle_time_ms;
    DescribeClusterRequest -> DescribeClusterResponse, 60 "DescribeCluster" 0..=2 DESCRIBE_CLUSTER |response| response.throttle_time_ms;
    DescribeProducersRequest -> DescribeProducersResponse, 61 "DescribeProducers" 0..=0 DESCRIBE_PRODUCERS |response| response.throttle_time_ms;
}

#[cfg(test)]
mod tests;
