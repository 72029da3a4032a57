//! The tables against kafka-protocol's own encoders: what it writes is accepted to the last byte, what lies is refused.

use bytes::BytesMut;
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

mod admin;
mod coordinators;

/// Every version of `A` that this crate speaks.
fn versions<A: Api>() -> impl Iterator<Item = i16> {
    let (min, max) = A::VERSIONS;
    min..=max
}

fn encode(response: &impl Encodable, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    response.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

/// Checks `response`, made for each version, in all of them: whole, cut in many places, and with one byte raised.
fn check<A: Api>(response: impl Fn(i16) -> A::Response)
where
    A::Response: Encodable + PartialEq + std::fmt::Debug,
{
    for version in versions::<A>() {
        let response = response(version);
        let bytes = encode(&response, version);
        assert_eq!(check::walk(A::RESPONSE, version, &bytes), Ok(bytes.len()), "{} v{version}", A::NAME);
        let decoded = A::Response::decode(&mut Bytes::from(bytes.clone()), version).unwrap();
        assert_eq!(decoded, response, "{} v{version}", A::NAME);
        let step = 1 + bytes.len() / 100;
        for end in (0..bytes.len()).step_by(step) {
            assert!(check::walk(A::RESPONSE, version, &bytes[..end]).is_err(), "{} v{version} cut", A::NAME);
        }
        for position in (0..bytes.len()).step_by(step) {
            for value in [0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[position] = value;
                decode_within_bounds::<A>(damaged, version);
            }
        }
    }
}

/// Decodes what the walk lets through. A count that lies would end the process here: with memory for it there is none.
fn decode_within_bounds<A: Api>(bytes: Vec<u8>, version: i16) {
    if check::walk(A::RESPONSE, version, &bytes) == Ok(bytes.len()) {
        drop(A::Response::decode(&mut Bytes::from(bytes), version));
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn since<T: Default>(condition: bool, value: T) -> T {
    if condition { value } else { T::default() }
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    number: i64,
    count: usize,
    bytes: Vec<u8>,
    tag: Option<Vec<u8>>,
}

fn samples() -> impl Strategy<Value = Sample> {
    (
        "[a-z]{0,60}|[a-z]{130}",
        any::<i64>(),
        0usize..4,
        vec(any::<u8>(), 0..40),
        proptest::option::of(vec(any::<u8>(), 0..9)),
    )
        .prop_map(|(name, number, count, bytes, tag)| Sample { name, number, count, bytes, tag })
}

impl Sample {
    fn int(&self) -> i32 {
        self.number as i32
    }

    fn short(&self) -> i16 {
        self.number as i16
    }

    fn nullable(&self) -> Option<StrBytes> {
        (self.count % 2 == 1).then(|| text(&self.name))
    }

    /// A tagged field of a future release, in versions that can have it.
    fn tags(&self, flexible: bool) -> std::collections::BTreeMap<i32, Bytes> {
        let tag = self.tag.clone().filter(|_| flexible);
        tag.map(|content| (1_000, Bytes::from(content))).into_iter().collect()
    }

    fn many<T: Clone>(&self, value: T) -> Vec<T> {
        vec![value; self.count]
    }
}

fn fetch(sample: &Sample, version: i16) -> m::FetchResponse {
    use m::fetch_response as r;
    let flexible = version >= 12;
    let aborted = r::AbortedTransaction::default()
        .with_producer_id(sample.number.into())
        .with_first_offset(sample.number)
        .with_unknown_tagged_fields(sample.tags(flexible));
    let leader =
        r::LeaderIdAndEpoch::default().with_leader_id(sample.int().into()).with_leader_epoch(sample.int());
    let diverging = r::EpochEndOffset::default().with_epoch(sample.int()).with_end_offset(sample.number);
    let snapshot = r::SnapshotId::default().with_end_offset(sample.number).with_epoch(sample.int());
    let mut partition = r::PartitionData::default()
        .with_partition_index(sample.int())
        .with_error_code(sample.short())
        .with_high_watermark(sample.number)
        .with_last_stable_offset(sample.number)
        .with_log_start_offset(sample.number)
        .with_aborted_transactions((sample.count != 1).then(|| sample.many(aborted)))
        .with_records((sample.count != 2).then(|| Bytes::from(sample.bytes.clone())))
        .with_unknown_tagged_fields(sample.tags(flexible));
    if version >= 11 {
        partition.preferred_read_replica = sample.int().into();
    }
    if flexible && sample.count > 0 {
        partition.current_leader = leader;
        partition.diverging_epoch = diverging;
        partition.snapshot_id = snapshot;
    }
    let mut topic = r::FetchableTopicResponse::default()
        .with_partitions(sample.many(partition))
        .with_unknown_tagged_fields(sample.tags(flexible));
    if version >= 13 {
        topic.topic_id = Uuid::from_u128(sample.number as u128);
    } else {
        topic.topic = text(&sample.name).into();
    }
    let endpoint = r::NodeEndpoint::default()
        .with_node_id(sample.int().into())
        .with_host(text(&sample.name))
        .with_port(sample.int())
        .with_rack(sample.nullable());
    m::FetchResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_session_id(sample.int())
        .with_responses(sample.many(topic))
        .with_node_endpoints(since(version >= 16, sample.many(endpoint)))
        .with_unknown_tagged_fields(sample.tags(flexible))
}

fn produce(sample: &Sample, version: i16) -> m::ProduceResponse {
    use m::produce_response as r;
    let flexible = version >= 9;
    let record_error = r::BatchIndexAndErrorMessage::default()
        .with_batch_index(sample.int())
        .with_batch_index_error_message(sample.nullable())
        .with_unknown_tagged_fields(sample.tags(flexible));
    let mut partition = r::PartitionProduceResponse::default()
        .with_index(sample.int())
        .with_error_code(sample.short())
        .with_base_offset(sample.number)
        .with_log_append_time_ms(sample.number)
        .with_unknown_tagged_fields(sample.tags(flexible));
    if version >= 5 {
        partition.log_start_offset = sample.number;
    }
    if version >= 8 {
        partition.record_errors = sample.many(record_error);
        partition.error_message = sample.nullable();
    }
    if version >= 10 {
        partition.current_leader = r::LeaderIdAndEpoch::default()
            .with_leader_id(sample.int().into())
            .with_leader_epoch(sample.int());
    }
    let mut topic = r::TopicProduceResponse::default().with_partition_responses(sample.many(partition));
    if version >= 13 {
        topic.topic_id = Uuid::from_u128(sample.number as u128);
    } else {
        topic.name = text(&sample.name).into();
    }
    let endpoint = r::NodeEndpoint::default().with_host(text(&sample.name)).with_rack(sample.nullable());
    m::ProduceResponse::default()
        .with_responses(sample.many(topic))
        .with_throttle_time_ms(sample.int())
        .with_node_endpoints(since(version >= 10, sample.many(endpoint)))
        .with_unknown_tagged_fields(sample.tags(flexible))
}

fn metadata(sample: &Sample, version: i16) -> m::MetadataResponse {
    use m::metadata_response as r;
    let flexible = version >= 9;
    let broker = r::MetadataResponseBroker::default()
        .with_node_id(sample.int().into())
        .with_host(text(&sample.name))
        .with_port(sample.int())
        .with_rack(sample.nullable())
        .with_unknown_tagged_fields(sample.tags(flexible));
    let replicas = sample.many(m::BrokerId(sample.int()));
    let mut partition = r::MetadataResponsePartition::default()
        .with_error_code(sample.short())
        .with_partition_index(sample.int())
        .with_leader_id(sample.int().into())
        .with_replica_nodes(replicas.clone())
        .with_isr_nodes(replicas.clone())
        .with_offline_replicas(since(version >= 5, replicas));
    if version >= 7 {
        partition.leader_epoch = sample.int();
    }
    let mut topic = r::MetadataResponseTopic::default()
        .with_error_code(sample.short())
        .with_name(Some(text(&sample.name).into()))
        .with_is_internal(sample.count > 1)
        .with_partitions(sample.many(partition));
    if version >= 10 {
        topic.topic_id = Uuid::from_u128(sample.number as u128);
    }
    if version >= 8 {
        topic.topic_authorized_operations = sample.int();
    }
    let mut response = m::MetadataResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_brokers(sample.many(broker))
        .with_cluster_id(sample.nullable())
        .with_controller_id(sample.int().into())
        .with_topics(sample.many(topic))
        .with_unknown_tagged_fields(sample.tags(flexible));
    if version >= 13 {
        response.error_code = sample.short();
    }
    if (8..=10).contains(&version) {
        response.cluster_authorized_operations = sample.int();
    }
    response
}

fn api_versions(sample: &Sample, version: i16) -> m::ApiVersionsResponse {
    use m::api_versions_response as r;
    let api = r::ApiVersion::default()
        .with_api_key(sample.short())
        .with_min_version(sample.short())
        .with_max_version(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 3));
    let mut response =
        m::ApiVersionsResponse::default().with_error_code(sample.short()).with_api_keys(sample.many(api));
    if version >= 1 {
        response.throttle_time_ms = sample.int();
    }
    if version >= 3 {
        let supported = r::SupportedFeatureKey::default().with_name(text(&sample.name)).with_max_version(2);
        let finalized =
            r::FinalizedFeatureKey::default().with_name(text(&sample.name)).with_max_version_level(2);
        response.supported_features = sample.many(supported);
        response.finalized_features_epoch = sample.number;
        response.finalized_features = sample.many(finalized);
        response.zk_migration_ready = sample.count > 1;
    }
    response
}

fn delete_records(sample: &Sample, version: i16) -> m::DeleteRecordsResponse {
    use m::delete_records_response as r;
    let partition = r::DeleteRecordsPartitionResult::default()
        .with_partition_index(sample.int())
        .with_low_watermark(sample.number)
        .with_error_code(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 2));
    let topic = r::DeleteRecordsTopicResult::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    m::DeleteRecordsResponse::default().with_throttle_time_ms(sample.int()).with_topics(sample.many(topic))
}

fn init_producer_id(sample: &Sample, version: i16) -> m::InitProducerIdResponse {
    m::InitProducerIdResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_producer_id(sample.number.into())
        .with_producer_epoch(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 2))
}

fn list_offsets(sample: &Sample, version: i16) -> m::ListOffsetsResponse {
    use m::list_offsets_response as r;
    let mut partition = r::ListOffsetsPartitionResponse::default()
        .with_partition_index(sample.int())
        .with_error_code(sample.short())
        .with_timestamp(sample.number)
        .with_offset(sample.number)
        .with_unknown_tagged_fields(sample.tags(version >= 6));
    if version >= 4 {
        partition.leader_epoch = sample.int();
    }
    let topic = r::ListOffsetsTopicResponse::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    m::ListOffsetsResponse::default().with_throttle_time_ms(sample.int()).with_topics(sample.many(topic))
}

fn leader_epochs(sample: &Sample, version: i16) -> m::OffsetForLeaderEpochResponse {
    use m::offset_for_leader_epoch_response as r;
    let partition = r::EpochEndOffset::default()
        .with_error_code(sample.short())
        .with_partition(sample.int())
        .with_leader_epoch(sample.int())
        .with_end_offset(sample.number)
        .with_unknown_tagged_fields(sample.tags(version >= 4));
    let topic = r::OffsetForLeaderTopicResult::default()
        .with_topic(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    m::OffsetForLeaderEpochResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_topics(sample.many(topic))
}

fn write_txn_markers(sample: &Sample, _version: i16) -> m::WriteTxnMarkersResponse {
    use m::write_txn_markers_response as r;
    let partition = r::WritableTxnMarkerPartitionResult::default()
        .with_partition_index(sample.int())
        .with_error_code(sample.short());
    let topic = r::WritableTxnMarkerTopicResult::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    let marker = r::WritableTxnMarkerResult::default()
        .with_producer_id(sample.number.into())
        .with_topics(sample.many(topic))
        .with_unknown_tagged_fields(sample.tags(true));
    m::WriteTxnMarkersResponse::default().with_markers(sample.many(marker))
}

fn describe_producers(sample: &Sample, _version: i16) -> m::DescribeProducersResponse {
    use m::describe_producers_response as r;
    let producer = r::ProducerState::default()
        .with_producer_id(sample.number.into())
        .with_producer_epoch(sample.int())
        .with_last_sequence(sample.int())
        .with_last_timestamp(sample.number)
        .with_coordinator_epoch(sample.int())
        .with_current_txn_start_offset(sample.number);
    let partition = r::PartitionResponse::default()
        .with_partition_index(sample.int())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_active_producers(sample.many(producer));
    let topic = r::TopicResponse::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    m::DescribeProducersResponse::default()
        .with_topics(sample.many(topic))
        .with_unknown_tagged_fields(sample.tags(true))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_is_encoded_is_accepted_and_whatever_is_cut_is_not(sample in samples()) {
        check::<m::FetchRequest>(|version| fetch(&sample, version));
        check::<m::ProduceRequest>(|version| produce(&sample, version));
        check::<m::MetadataRequest>(|version| metadata(&sample, version));
        check::<m::ApiVersionsRequest>(|version| api_versions(&sample, version));
        check::<m::CreateTopicsRequest>(|version| admin::create_topics(&sample, version));
        check::<m::DeleteTopicsRequest>(|version| admin::delete_topics(&sample, version));
        check::<m::DeleteRecordsRequest>(|version| delete_records(&sample, version));
        check::<m::InitProducerIdRequest>(|version| init_producer_id(&sample, version));
        check::<m::ListOffsetsRequest>(|version| list_offsets(&sample, version));
        check::<m::OffsetForLeaderEpochRequest>(|version| leader_epochs(&sample, version));
        check::<m::WriteTxnMarkersRequest>(|version| write_txn_markers(&sample, version));
        check::<m::DescribeConfigsRequest>(|version| admin::describe_configs(&sample, version));
        check::<m::CreatePartitionsRequest>(|version| admin::create_partitions(&sample, version));
        check::<m::IncrementalAlterConfigsRequest>(|version| admin::alter_configs(&sample, version));
        check::<m::HeartbeatRequest>(|version| admin::heartbeat(&sample, version));
        check::<m::DescribeClusterRequest>(|version| admin::describe_cluster(&sample, version));
        check::<m::DescribeAclsRequest>(|version| admin::describe_acls(&sample, version));
        check::<m::CreateAclsRequest>(|version| admin::create_acls(&sample, version));
        check::<m::DeleteAclsRequest>(|version| admin::delete_acls(&sample, version));
        check::<m::OffsetCommitRequest>(|version| coordinators::commits(&sample, version));
        check::<m::OffsetFetchRequest>(|version| coordinators::offsets(&sample, version));
        check::<m::ListGroupsRequest>(|version| coordinators::groups(&sample, version));
        check::<m::FindCoordinatorRequest>(|version| coordinators::coordinators(&sample, version));
        check::<m::AddPartitionsToTxnRequest>(|version| coordinators::added(&sample, version));
        check::<m::EndTxnRequest>(|version| coordinators::ended(&sample, version));
        check::<m::DescribeProducersRequest>(|version| describe_producers(&sample, version));
        check::<m::SaslHandshakeRequest>(|version| admin::sasl_handshake(&sample, version));
        check::<m::SaslAuthenticateRequest>(|version| admin::sasl_authenticate(&sample, version));
    }
}

proptest! {
    #[test]
    fn garbage_is_survived(bytes in vec(any::<u8>(), 0..400)) {
        fn all<A: Api>(bytes: &[u8]) {
            for version in versions::<A>() {
                drop(decode_response::<A>(Bytes::copy_from_slice(bytes), version));
            }
        }
        all::<m::FetchRequest>(&bytes);
        all::<m::ProduceRequest>(&bytes);
        all::<m::MetadataRequest>(&bytes);
        all::<m::ApiVersionsRequest>(&bytes);
        all::<m::CreateTopicsRequest>(&bytes);
        all::<m::DeleteTopicsRequest>(&bytes);
        all::<m::DeleteRecordsRequest>(&bytes);
        all::<m::InitProducerIdRequest>(&bytes);
        all::<m::ListOffsetsRequest>(&bytes);
        all::<m::OffsetForLeaderEpochRequest>(&bytes);
        all::<m::WriteTxnMarkersRequest>(&bytes);
        all::<m::DescribeConfigsRequest>(&bytes);
        all::<m::CreatePartitionsRequest>(&bytes);
        all::<m::IncrementalAlterConfigsRequest>(&bytes);
        all::<m::DescribeAclsRequest>(&bytes);
        all::<m::SaslHandshakeRequest>(&bytes);
        all::<m::SaslAuthenticateRequest>(&bytes);
        all::<m::CreateAclsRequest>(&bytes);
        all::<m::DeleteAclsRequest>(&bytes);
        all::<m::OffsetCommitRequest>(&bytes);
        all::<m::OffsetFetchRequest>(&bytes);
        all::<m::ListGroupsRequest>(&bytes);
        all::<m::FindCoordinatorRequest>(&bytes);
        all::<m::AddPartitionsToTxnRequest>(&bytes);
        all::<m::EndTxnRequest>(&bytes);
        all::<m::DescribeProducersRequest>(&bytes);
    }
}

/// The response that aborted a process: throttle time, then an array of two thousand million topics.
#[test]
fn a_count_that_lies_is_refused_in_words() {
    let array = [0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    let error = decode_response::<m::DeleteRecordsRequest>(Bytes::copy_from_slice(&array), 1).unwrap_err();
    assert_eq!(error, "topics: 2147483647 elements claimed, 0 bytes left");
    let compact = [0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let error = decode_response::<m::DeleteRecordsRequest>(Bytes::copy_from_slice(&compact), 2).unwrap_err();
    assert_eq!(error, "topics: 4294967294 elements claimed, 0 bytes left");
}

#[test]
fn bytes_behind_a_response_are_refused() {
    let response = encode(&m::DeleteRecordsResponse::default(), 1);
    let longer = [response, vec![0]].concat();
    let error = decode_response::<m::DeleteRecordsRequest>(Bytes::from(longer), 1).unwrap_err();
    assert_eq!(error, "1 bytes after the end of the response");
}

/// The decoder ignores the length of a tagged field that it knows, and would read on behind it.
#[test]
fn a_tagged_field_that_is_longer_than_it_says_is_refused() {
    let mut body = encode(&m::ApiVersionsResponse::default(), 3);
    *body.last_mut().unwrap() = 1;
    // Tag 1, the finalized features epoch, has 8 bytes.
    for (length, accepted) in [(8, true), (7, false), (9, false)] {
        let bytes = [body.clone(), vec![1, length], vec![0; usize::from(length)]].concat();
        assert_eq!(check::walk(m::ApiVersionsRequest::RESPONSE, 3, &bytes).is_ok(), accepted, "{length}");
    }
}

#[test]
fn a_flood_of_tagged_fields_is_refused() {
    let mut body = encode(&m::ApiVersionsResponse::default(), 3);
    *body.last_mut().unwrap() = 65;
    let bytes = [body, [9, 0].repeat(65)].concat();
    let error = check::walk(m::ApiVersionsRequest::RESPONSE, 3, &bytes).unwrap_err();
    assert_eq!(error, "65 tagged fields claimed");
}

/// Records are slices of the frame that they came in.
#[test]
fn decoding_a_fetch_copies_no_records() {
    let sample = Sample { name: "a".into(), number: 1, count: 1, bytes: vec![7; 100_000], tag: None };
    for version in versions::<m::FetchRequest>() {
        let header: &[u8] = if version >= 12 { &[0] } else { &[] };
        let frame = Bytes::from([header, &encode(&fetch(&sample, version), version)].concat());
        let response = decode_response::<m::FetchRequest>(frame.clone(), version).unwrap();
        let records = response.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(records.len(), 100_000);
        let frame = frame.as_ptr_range();
        assert!(frame.contains(&records.as_ptr()), "version {version}");
    }
}
