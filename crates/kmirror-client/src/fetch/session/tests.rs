//! Sessions as data: what is asked, what is answered, what is asked then.

use kafka_protocol::messages::fetch_response as answer;
use uuid::Uuid;

use super::*;

const V_IDS: i16 = 17;
const V_NAMES: i16 = 12;

fn session() -> FetchSession {
    FetchSession::new(FetchSettings {
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
        bytes_max: 1 << 20,
        isolation: Isolation::ReadCommitted,
    })
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn id(topic: &str) -> TopicId {
    TopicId(Uuid::from_u128(topic.bytes().map(u128::from).sum()))
}

fn at(topic: &str, offset: i64) -> FetchPosition {
    FetchPosition {
        offset,
        leader_epoch: Some(3),
        last_fetched_epoch: Some(2),
        topic_id: id(topic),
        partition_bytes_max: 1_000,
    }
}

fn without_id(offset: i64) -> FetchPosition {
    FetchPosition { topic_id: TopicId::NONE, ..at("", offset) }
}

/// A request in short: `id/epoch topic-partition@offset … -topic-partition …`.
fn shown(request: &FetchRequest) -> String {
    let name = |name: &m::TopicName, topic_id: Uuid| match topic_id.is_nil() {
        true => name.as_str().to_owned(),
        false => {
            ["a", "b", "c"].into_iter().find(|name| id(name).0 == topic_id).unwrap_or("?").to_uppercase()
        }
    };
    let mut shown = format!("{}/{}", request.body.session_id, request.body.session_epoch);
    for topic in &request.body.topics {
        for partition in &topic.partitions {
            let name = name(&topic.topic, topic.topic_id);
            shown += &format!(" {name}-{}@{}", partition.partition, partition.fetch_offset);
        }
    }
    for topic in &request.body.forgotten_topics_data {
        for partition in &topic.partitions {
            shown += &format!(" -{}-{partition}", name(&topic.topic, topic.topic_id));
        }
    }
    shown
}

/// An answer with one record for each of `partitions`, named as the version does.
fn answered(version: i16, session_id: i32, partitions: &[(&str, i32)]) -> FetchResponse {
    let responses = partitions.iter().map(|(topic, partition)| {
        let data = answer::PartitionData::default()
            .with_partition_index(*partition)
            .with_records(Some(bytes::Bytes::from_static(b"records")));
        let response = answer::FetchableTopicResponse::default().with_partitions(vec![data]);
        match version {
            ..=12 => response.with_topic(to_wire(topic).into()),
            _ => response.with_topic_id(id(topic).0),
        }
    });
    let body = m::FetchResponse::default().with_session_id(session_id).with_responses(responses.collect());
    FetchResponse { body }
}

fn failed(code: i16) -> FetchResponse {
    FetchResponse { body: m::FetchResponse::default().with_error_code(code) }
}

fn names(fetched: &[FetchedPartition]) -> Vec<String> {
    fetched.iter().map(|fetched| fetched.topic_partition.to_string()).collect()
}

/// A session 7 that knows a-0 and b-0 from offset 10 on.
fn established(version: i16) -> FetchSession {
    let mut session = session();
    session.set(tp("a", 0), at("a", 10));
    session.set(tp("b", 0), at("b", 10));
    session.next_request(version);
    session.handle(answered(version, 7, &[("a", 0), ("b", 0)])).unwrap();
    session
}

#[test]
fn a_session_begins_with_everything_and_goes_on_with_what_changed() {
    for (version, first, second) in
        [(V_NAMES, "0/0 a-0@10 b-0@10", "7/1 a-0@11"), (V_IDS, "0/0 A-0@10 B-0@10", "7/1 A-0@11")]
    {
        let mut session = session();
        session.set(tp("b", 0), at("b", 10));
        session.set(tp("a", 0), at("a", 10));
        let request = session.next_request(version);
        assert_eq!(shown(&request), first);
        assert_eq!(request.version, version);
        let fetched = session.handle(answered(version, 7, &[("a", 0), ("b", 0)])).unwrap();
        assert_eq!(names(&fetched), ["a-0", "b-0"]);

        session.set(tp("a", 0), at("a", 11));
        assert_eq!(shown(&session.next_request(version)), second);
        assert_eq!(names(&session.handle(answered(version, 7, &[("a", 0)])).unwrap()), ["a-0"]);
        assert_eq!(shown(&session.next_request(version)), "7/2", "nothing changed");
        session.handle(answered(version, 7, &[])).unwrap();
        assert_eq!(shown(&session.next_request(version)), "7/3");
    }
}

#[test]
fn epochs_go_with_the_versions_that_have_them() {
    let mut session = session();
    session.set(tp("a", 0), at("a", 10));
    let request = session.next_request(V_NAMES);
    let partition = &request.body.topics[0].partitions[0];
    assert_eq!((partition.current_leader_epoch, partition.last_fetched_epoch), (3, 2));
    session.reset();
    for (version, leader_epoch) in [(11, 3), (9, 3), (8, -1), (7, -1)] {
        let request = session.next_request(version);
        let partition = &request.body.topics[0].partitions[0];
        assert_eq!((partition.current_leader_epoch, partition.last_fetched_epoch), (leader_epoch, -1));
        let mut bytes = bytes::BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&request.body, &mut bytes, version).unwrap();
        session.reset();
    }
}

#[test]
fn paused_and_removed_partitions_are_forgotten_once() {
    let mut session = established(V_IDS);
    session.pause(&tp("a", 0));
    session.remove(&tp("b", 0));
    assert!(session.is_idle());
    assert_eq!(shown(&session.next_request(V_IDS)), "7/1 -A-0 -B-0");
    session.handle(answered(V_IDS, 7, &[])).unwrap();
    assert_eq!(shown(&session.next_request(V_IDS)), "7/2");
    session.handle(answered(V_IDS, 7, &[])).unwrap();
    session.resume(&tp("a", 0));
    assert_eq!(shown(&session.next_request(V_IDS)), "7/3 A-0@10");
}

/// The broker adds first and forgets then: what is in both lists would be gone.
#[test]
fn what_is_back_before_the_next_request_is_not_forgotten() {
    let mut session = established(V_IDS);
    session.pause(&tp("a", 0));
    session.resume(&tp("a", 0));
    session.remove(&tp("b", 0));
    session.set(tp("b", 0), at("b", 20));
    assert_eq!(shown(&session.next_request(V_IDS)), "7/1 B-0@20");
}

#[test]
fn a_topic_that_was_created_again_replaces_the_old_one() {
    let mut session = established(V_IDS);
    session.set(tp("a", 0), FetchPosition { topic_id: id("c"), ..at("a", 0) });
    assert_eq!(shown(&session.next_request(V_IDS)), "7/1 C-0@0 -A-0");
    let mut session = established(V_NAMES);
    session.set(tp("a", 0), FetchPosition { topic_id: id("c"), ..at("a", 0) });
    assert_eq!(shown(&session.next_request(V_NAMES)), "7/1 a-0@0");
}

#[test]
fn records_from_an_older_position_are_dropped() {
    let mut session = established(V_IDS);
    session.next_request(V_IDS);
    session.set(tp("a", 0), at("a", 50));
    session.remove(&tp("b", 0));
    assert_eq!(session.handle(answered(V_IDS, 7, &[("a", 0), ("b", 0)])).unwrap().len(), 0);
    assert_eq!(shown(&session.next_request(V_IDS)), "7/2 A-0@50 -B-0");
}

#[test]
fn a_pause_does_not_throw_away_what_is_on_its_way() {
    let mut session = established(V_IDS);
    session.next_request(V_IDS);
    session.pause(&tp("a", 0));
    assert_eq!(names(&session.handle(answered(V_IDS, 7, &[("a", 0)])).unwrap()), ["a-0"]);
}

#[test]
fn a_lost_session_begins_again() {
    // (error, the request after it): an unknown session is not closed, the others are.
    for (code, request) in [(70, "0/0 A-0@10 B-0@10"), (71, "7/0 A-0@10 B-0@10"), (106, "7/0 A-0@10 B-0@10")]
    {
        let mut session = established(V_IDS);
        session.next_request(V_IDS);
        let error = session.handle(failed(code)).unwrap_err();
        assert_eq!(error, SessionError::Restarted(KafkaError::from_code(code).unwrap()));
        assert_eq!(shown(&session.next_request(V_IDS)), request);
    }
    let mut session = established(V_IDS);
    session.next_request(V_IDS);
    assert_eq!(
        session.handle(failed(31)).unwrap_err(),
        SessionError::Refused(KafkaError::CLUSTER_AUTHORIZATION_FAILED)
    );
}

#[test]
fn a_lost_connection_or_an_answer_that_never_came_begins_again() {
    let mut session = established(V_IDS);
    session.reset();
    assert_eq!(shown(&session.next_request(V_IDS)), "0/0 A-0@10 B-0@10");
    assert_eq!(shown(&session.next_request(V_IDS)), "0/0 A-0@10 B-0@10", "without handle");
}

#[test]
fn names_and_ids_do_not_mix() {
    let mut session = established(V_IDS);
    session.set(tp("c", 0), without_id(5));
    let request = session.next_request(V_IDS);
    assert_eq!((shown(&request).as_str(), request.version), ("7/0 a-0@10 b-0@10 c-0@5", 12));
    session.handle(answered(V_NAMES, 8, &[("a", 0), ("b", 0), ("c", 0)])).unwrap();
    session.set(tp("c", 0), at("c", 5));
    let request = session.next_request(V_IDS);
    assert_eq!((shown(&request).as_str(), request.version), ("8/0 A-0@10 B-0@10 C-0@5", V_IDS));
}

#[test]
fn a_throttled_broker_may_answer_nothing() {
    let mut session = session();
    session.set(tp("a", 0), at("a", 10));
    session.next_request(V_IDS);
    let mut response = answered(V_IDS, 0, &[]);
    response.body.throttle_time_ms = 100;
    assert_eq!(session.handle(response).unwrap().len(), 0);
    assert_eq!(shown(&session.next_request(V_IDS)), "0/0 A-0@10");
    let incomplete = session.handle(answered(V_IDS, 7, &[]));
    assert_eq!(incomplete.unwrap_err(), SessionError::Invalid("0 of 1 partitions".to_owned()));
}

#[test]
fn an_answer_of_another_session_is_refused() {
    let mut session = established(V_IDS);
    session.next_request(V_IDS);
    assert!(matches!(session.handle(answered(V_IDS, 9, &[])), Err(SessionError::Invalid(_))));
    assert_eq!(shown(&session.next_request(V_IDS)), "7/0 A-0@10 B-0@10");
    assert!(matches!(session.handle(answered(V_IDS, 7, &[])), Err(SessionError::Invalid(_))));
    assert!(matches!(session.handle(answered(V_IDS, 7, &[])), Err(SessionError::Invalid(_))), "no request");
}

/// Without a session the broker fills partitions in the order of the request: the one that was served goes last.
#[test]
fn without_a_session_every_partition_has_its_turn() {
    let mut session = session();
    for topic in ["a", "b", "c"] {
        session.set(tp(topic, 0), at(topic, 10));
    }
    let mut served = |topic: &str| {
        let request = shown(&session.next_request(V_IDS));
        let mut response = answered(V_IDS, 0, &[("a", 0), ("b", 0), ("c", 0)]);
        for response in &mut response.body.responses {
            if response.topic_id != id(topic).0 {
                response.partitions[0].records = None;
            }
        }
        session.handle(response).unwrap();
        request
    };
    assert_eq!(served("a"), "0/0 A-0@10 B-0@10 C-0@10");
    assert_eq!(served("b"), "0/0 B-0@10 C-0@10 A-0@10");
    assert_eq!(served("c"), "0/0 C-0@10 A-0@10 B-0@10");
    assert_eq!(served("a"), "0/0 A-0@10 B-0@10 C-0@10");
}

#[test]
fn a_partition_brings_all_that_the_broker_said() {
    let mut session = session();
    session.set(tp("a", 0), at("a", 10));
    session.next_request(V_IDS);
    let mut response = answered(V_IDS, 7, &[("a", 0)]);
    let data = &mut response.body.responses[0].partitions[0];
    data.error_code = 6;
    data.high_watermark = 5;
    data.last_stable_offset = 4;
    data.log_start_offset = 1;
    data.preferred_read_replica = 2.into();
    data.diverging_epoch = answer::EpochEndOffset::default().with_epoch(1).with_end_offset(3);
    data.current_leader = answer::LeaderIdAndEpoch::default().with_leader_id(4.into()).with_leader_epoch(9);
    let aborted = [(1, 30), (2, 20)].map(|(producer_id, first_offset): (i64, i64)| {
        answer::AbortedTransaction::default()
            .with_producer_id(producer_id.into())
            .with_first_offset(first_offset)
    });
    data.aborted_transactions = Some(aborted.to_vec());
    let endpoint =
        answer::NodeEndpoint::default().with_node_id(4.into()).with_host(to_wire("four")).with_port(9);
    response.body.node_endpoints = vec![endpoint];

    let fetched = session.handle(response).unwrap().remove(0);
    assert_eq!(fetched.error, Some(KafkaError::NOT_LEADER_OR_FOLLOWER));
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (5, 4, 1));
    assert_eq!(fetched.preferred_read_replica.unwrap().0, 2);
    assert_eq!(fetched.diverging_epoch.unwrap().end_offset, 3);
    let firsts: Vec<_> = fetched.aborted.iter().map(|aborted| aborted.first_offset).collect();
    assert_eq!(firsts, [20, 30], "ascending");
    let hint = fetched.leader_hint.unwrap();
    assert_eq!(
        (hint.leader.0, hint.leader_epoch, hint.endpoint.unwrap().address()),
        (4, 9, "four:9".to_owned())
    );
}
