//! The encoder against kafka-protocol's own.

use bytes::BytesMut;
use kafka_protocol::messages::produce_request as wire;
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::collection::btree_map;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn requests() -> impl Strategy<Value = ProduceRequest> {
    let payload = prop_oneof![0usize..400, Just(20_000)];
    let partitions = btree_map(("[a-c]{1,3}|[d]{200}", 0i32..6), (payload, any::<u8>()), 1..40);
    (partitions, 0u64..100_000).prop_map(|(partitions, timeout_ms)| {
        let partitions = partitions.into_iter().map(|((topic, partition), (bytes, byte))| ProducePartition {
            topic_id: TopicId(Uuid::from_u128(topic.bytes().map(u128::from).sum())),
            topic: topic.into(),
            partition,
            header: [byte; BATCH_HEADER_BYTES],
            payload: Bytes::from(vec![byte; bytes]),
        });
        ProduceRequest { timeout: Duration::from_millis(timeout_ms), partitions: partitions.collect() }
    })
}

/// The same request by kafka-protocol. `partitions` are in order.
fn reference(request: &ProduceRequest, version: i16) -> Vec<u8> {
    let topics = request.partitions.chunk_by(same_topic).map(|partitions| {
        let data = partitions.iter().map(|partition| {
            let records = [&partition.header, partition.payload.as_ref()].concat();
            wire::PartitionProduceData::default()
                .with_index(partition.partition)
                .with_records(Some(records.into()))
        });
        let topic = wire::TopicProduceData::default().with_partition_data(data.collect());
        match version {
            ..=12 => topic.with_name(StrBytes::from_string(partitions[0].topic.to_string()).into()),
            _ => topic.with_topic_id(partitions[0].topic_id.0),
        }
    });
    let request = m::ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(request.timeout.as_millis() as i32)
        .with_topic_data(topics.collect());
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

fn encode(request: ProduceRequest, version: i16) -> (Vec<u8>, ProduceTopics) {
    let mut frame = RequestFrame::new(Vec::new());
    let topics = request.encode(version, &mut frame).unwrap();
    let mut bytes = Vec::new();
    let mut start = 0;
    for (position, payload) in &frame.payloads {
        bytes.extend_from_slice(&frame.framing[start..*position]);
        bytes.extend_from_slice(payload);
        start = *position;
    }
    bytes.extend_from_slice(&frame.framing[start..]);
    (bytes, topics)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_version_equals_kafka_protocol_byte_for_byte(request in requests()) {
        for version in 3..=13 {
            let (bytes, _) = encode(request.clone(), version);
            prop_assert_eq!(&bytes, &reference(&request, version), "version {}", version);
            let mut reversed = request.clone();
            reversed.partitions.reverse();
            prop_assert_eq!(encode(reversed, version).0, bytes);
        }
    }
}

fn partition(topic: &str, partition: i32) -> ProducePartition {
    let header = [0; BATCH_HEADER_BYTES];
    ProducePartition {
        topic: topic.into(),
        topic_id: TopicId::NONE,
        partition,
        header,
        payload: Bytes::new(),
    }
}

fn request(partitions: &[(&str, i32)]) -> ProduceRequest {
    let partitions = partitions.iter().map(|(topic, index)| partition(topic, *index)).collect();
    ProduceRequest { timeout: Duration::from_secs(1), partitions }
}

#[test]
fn payloads_are_not_copied() {
    let mut request = request(&[("a", 0)]);
    let payload = Bytes::from(vec![1; 1_000]);
    request.partitions[0].payload = payload.clone();
    let mut frame = RequestFrame::new(Vec::new());
    request.encode(9, &mut frame).unwrap();
    assert_eq!(frame.payloads[0].1.as_ptr(), payload.as_ptr());
}

#[test]
fn ids_are_used_only_where_all_are_known() {
    let mut request = request(&[("a", 0), ("b", 0)]);
    request.partitions[0].topic_id = TopicId(Uuid::from_u128(1));
    assert_eq!(request.version_up_to(13), 12);
    request.partitions[1].topic_id = TopicId(Uuid::from_u128(2));
    assert_eq!(request.version_up_to(13), 13);
    assert_eq!(request.version_up_to(7), 7);
}

#[test]
fn two_batches_for_one_partition_and_none_at_all_are_refused() {
    let mut frame = RequestFrame::new(Vec::new());
    let refused = request(&[("a", 0), ("b", 1), ("a", 0)]).encode(9, &mut frame).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "invalid Produce request: two batches for a-0");
    assert!(request(&[]).encode(9, &mut frame).is_err());
}

#[test]
fn a_response_must_be_about_the_partitions_of_the_request() {
    let (_, topics) = encode(request(&[("a", 0), ("a", 1), ("b", 0)]), 9);
    let address: Arc<str> = "a:9092".into();
    let response = |partitions: &[(&str, i32)]| {
        use m::produce_response as r;
        let responses = partitions.iter().map(|(topic, index)| {
            r::TopicProduceResponse::default()
                .with_name(StrBytes::from_string((*topic).to_owned()).into())
                .with_partition_responses(vec![r::PartitionProduceResponse::default().with_index(*index)])
        });
        topics.response(m::ProduceResponse::default().with_responses(responses.collect()), &address)
    };
    let named: Vec<_> = response(&[("b", 0), ("a", 1), ("a", 0)])
        .unwrap()
        .partitions
        .iter()
        .map(|result| result.topic_partition.to_string())
        .collect();
    assert_eq!(named, ["a-0", "a-1", "b-0"]);
    assert!(response(&[("b", 0), ("a", 1)]).is_err(), "one is missing");
    assert!(response(&[("b", 0), ("a", 1), ("a", 1)]).is_err(), "one is told twice");
    assert!(response(&[("b", 0), ("a", 1), ("a", 0), ("c", 0)]).is_err(), "one was not asked for");
}
