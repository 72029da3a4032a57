//! Cases of logs: what is produced, fetched, marked and deleted.

use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    ProducerId, TopicName, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;
use kmirror_embedded::EmbeddedCluster;
use kmirror_testkit::{real_kafka, unique_topic};

use super::check_table;
use crate::draft::Draft;
use crate::wire::Wire;

/// What is done to a fresh topic of one partition.
enum Step {
    /// Produce with this version.
    Produce(i16, Bytes),
    /// Write so many markers with this coordinator epoch.
    Markers(usize, i32),
    Delete(i64),
    /// Where the log ends.
    End,
    /// Fetch from this offset, having fetched from this epoch last.
    Fetch(i64, i32),
    EpochEnd(i32),
}

struct Case {
    name: &'static str,
    configs: &'static [(&'static str, &'static str)],
    steps: Vec<Step>,
}

/// What each step was answered: an error code, and an offset or a size.
type Answers = Vec<(i16, i64)>;

#[tokio::test(flavor = "multi_thread")]
async fn real_and_embedded_logs_answer_alike() {
    let embedded = EmbeddedCluster::builder().start().await.unwrap();
    let address = embedded.bootstrap_servers();
    let mut embedded_answers = Vec::new();
    for (index, case) in cases().into_iter().enumerate() {
        let topic = format!("case-{index}");
        embedded.create_topic(&topic, 1, case.configs).unwrap();
        embedded_answers.push((case.name, answers(&address, &topic, &case)));
    }
    check_table("logs", &table(&embedded_answers));
    let Some(kafka) = real_kafka("real_and_embedded_logs_answer_alike") else { return };
    let real = &kafka.pair().unwrap().target;
    let address = real.bootstrap_servers().split(',').next().unwrap().to_owned();
    let mut different = Vec::new();
    for (case, (name, embedded)) in cases().into_iter().zip(&embedded_answers) {
        let topic = unique_topic("case");
        real.create_topic(&topic, 1, case.configs).unwrap();
        let real = answers(&address, &topic, &case);
        if real != *embedded {
            different.push(format!("{name}: real {real:?}, embedded {embedded:?}"));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

fn table(answers: &[(&str, Answers)]) -> String {
    let mut table = String::from(
        "| case | answers of real and embedded brokers: error code, and offset or bytes |\n|---|---|\n",
    );
    for (name, answers) in answers {
        let answers: Vec<_> = answers.iter().map(|(code, offset)| format!("{code}: {offset}")).collect();
        table.push_str(&format!("| {name} | {} |\n", answers.join(", ")));
    }
    table
}

fn cases() -> Vec<Case> {
    let produce = |draft: Draft| Step::Produce(9, draft.bytes());
    let case = |name, steps| Case { name, configs: &[], steps };
    let with = |name, configs, steps| Case { name, configs, steps };
    let good = || produce(Draft::new());
    let mut twice = Draft::new().bytes().to_vec();
    twice.extend_from_slice(&Draft::new().bytes());
    vec![
        case("a batch", vec![good(), good(), Step::End]),
        case("zstd", vec![produce(Draft { attributes: 4, ..Draft::new() }), Step::End]),
        case(
            "zstd before Produce 7",
            vec![Step::Produce(6, Draft { attributes: 4, ..Draft::new() }.bytes()), Step::End],
        ),
        case("a base offset of 7", vec![produce(Draft { base_offset: 7, ..Draft::new() }), Step::End]),
        case("a wrong checksum", vec![produce(Draft { breaks_crc: true, ..Draft::new() }), Step::End]),
        case("two batches", vec![Step::Produce(9, twice.into()), Step::End]),
        case("magic 1", vec![produce(Draft { magic: 1, ..Draft::new() })]),
        case(
            "more offsets than records",
            vec![produce(Draft { last_offset_delta: 5, ..Draft::new() }), Step::End],
        ),
        case("no records", vec![produce(Draft { count: 0, last_offset_delta: 0, ..Draft::new() })]),
        case(
            "less records than said",
            vec![produce(Draft { count: 4, last_offset_delta: 3, ..Draft::new() })],
        ),
        case("a control batch", vec![produce(Draft { attributes: 0x20, ..Draft::new() }), Step::End]),
        case("a producer without a sequence", vec![produce(Draft::sequenced(5, 0, -1))]),
        case(
            "gaps inside a compressed batch",
            vec![produce(Draft { attributes: 4, deltas: vec![0, 5, 9], ..Draft::new() }), Step::End],
        ),
        with(
            "a compacted topic and no key",
            &[("cleanup.policy", "compact")],
            vec![produce(Draft { keys: false, ..Draft::new() }), good()],
        ),
        case(
            "a timestamp of tomorrow",
            vec![produce(Draft { timestamp: 4_000_000_000_000, ..Draft::new() })],
        ),
        with(
            "an append time by the producer",
            &[("message.timestamp.type", "LogAppendTime")],
            vec![produce(Draft { attributes: 8, ..Draft::new() }), good()],
        ),
        with(
            "a large batch",
            &[("max.message.bytes", "1000")],
            vec![produce(Draft { value_bytes: 1_000, ..Draft::new() }), good()],
        ),
        case(
            "sequences",
            vec![
                produce(Draft::sequenced(5, 0, 700)),
                produce(Draft::sequenced(5, 0, 700)),
                produce(Draft {
                    count: 1,
                    last_offset_delta: 0,
                    deltas: vec![0],
                    ..Draft::sequenced(5, 0, 700)
                }),
                produce(Draft::sequenced(5, 0, 703)),
                produce(Draft::sequenced(5, 0, 709)),
                produce(Draft::sequenced(5, 0, 700)),
                Step::End,
            ],
        ),
        case(
            "the sixth last batch",
            (0..6)
                .map(|index| produce(Draft::sequenced(5, 0, index * 3)))
                .chain([produce(Draft::sequenced(5, 0, 0)), produce(Draft::sequenced(5, 0, 3)), Step::End])
                .collect(),
        ),
        case(
            "sequences wrap",
            vec![
                produce(Draft::sequenced(5, 0, i32::MAX - 2)),
                produce(Draft::sequenced(5, 0, 0)),
                Step::End,
            ],
        ),
        case(
            "producer epochs",
            vec![
                produce(Draft::sequenced(5, 1, 0)),
                produce(Draft::sequenced(5, 2, 3)),
                produce(Draft::sequenced(5, 2, 0)),
                produce(Draft::sequenced(5, 1, 3)),
                Step::End,
            ],
        ),
        case(
            "markers and their tokens",
            vec![
                good(),
                Step::Markers(3, 7),
                Step::Markers(1, 7),
                Step::Markers(1, 6),
                Step::Markers(2, 9),
                Step::End,
            ],
        ),
        case(
            "markers leave sequences alone",
            vec![
                produce(Draft::sequenced(5, 0, 10)),
                Step::Markers(4, 1),
                produce(Draft::sequenced(5, 0, 13)),
                produce(Draft::sequenced(5, 0, 20)),
                Step::End,
            ],
        ),
        case(
            "sequences of a producer of which there are only markers",
            vec![
                Step::Markers(1, 1),
                produce(Draft::sequenced(77, 0, 5)),
                produce(Draft::sequenced(77, 0, 0)),
                Step::Markers(1, 1),
                produce(Draft::sequenced(77, 0, 3)),
                Step::End,
            ],
        ),
        case(
            "records are deleted",
            vec![
                good(),
                good(),
                Step::Delete(4),
                Step::Delete(7),
                Step::Fetch(3, -1),
                Step::Fetch(4, -1),
                Step::Delete(-1),
                Step::End,
            ],
        ),
        with(
            "records of a compacted topic are not",
            &[("cleanup.policy", "compact")],
            vec![good(), Step::Delete(1)],
        ),
        case(
            "fetches",
            vec![
                good(),
                Step::Fetch(0, -1),
                Step::Fetch(2, -1),
                Step::Fetch(3, -1),
                Step::Fetch(4, -1),
                Step::Fetch(0, 0),
                Step::Fetch(3, 9),
            ],
        ),
        case("leader epochs", vec![good(), Step::EpochEnd(0), Step::EpochEnd(5)]),
    ]
}

fn answers(address: &str, topic: &str, case: &Case) -> Answers {
    let mut wire = Wire::connect(address);
    case.steps.iter().map(|step| answer(&mut wire, topic, step)).collect()
}

fn answer(wire: &mut Wire, topic: &str, step: &Step) -> (i16, i64) {
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    match step {
        Step::Produce(version, records) => {
            let data = PartitionProduceData::default().with_records(Some(records.clone()));
            let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
            let request =
                ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic]);
            let response = wire.call(*version, &request);
            let answer = &response.responses[0].partition_responses[0];
            (answer.error_code, answer.base_offset)
        }
        Step::Markers(count, coordinator_epoch) => {
            let topic = WritableTxnMarkerTopic::default().with_name(name).with_partition_indexes(vec![0]);
            let marker = WritableTxnMarker::default()
                .with_producer_id(ProducerId(77))
                .with_coordinator_epoch(*coordinator_epoch)
                .with_topics(vec![topic]);
            let request = WriteTxnMarkersRequest::default().with_markers(vec![marker; *count]);
            let response = wire.call(1, &request);
            (response.markers[0].topics[0].partitions[0].error_code, 0)
        }
        Step::Delete(offset) => {
            let partition = DeleteRecordsPartition::default().with_offset(*offset);
            let topic = DeleteRecordsTopic::default().with_name(name).with_partitions(vec![partition]);
            let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
            let response = wire.call(2, &request);
            let answer = &response.topics[0].partitions[0];
            (answer.error_code, answer.low_watermark)
        }
        Step::End => {
            let partition = ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(-1);
            let topic = ListOffsetsTopic::default().with_name(name).with_partitions(vec![partition]);
            let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
            let response = wire.call(7, &request);
            let answer = &response.topics[0].partitions[0];
            (answer.error_code, answer.offset)
        }
        Step::Fetch(offset, last_fetched_epoch) => {
            let partition = FetchPartition::default()
                .with_current_leader_epoch(-1)
                .with_fetch_offset(*offset)
                .with_last_fetched_epoch(*last_fetched_epoch)
                .with_partition_max_bytes(1 << 20);
            let topic = FetchTopic::default().with_topic(name).with_partitions(vec![partition]);
            let request = FetchRequest::default()
                .with_replica_id((-1).into())
                .with_max_bytes(1 << 20)
                .with_session_epoch(-1)
                .with_topics(vec![topic]);
            let response = wire.call(12, &request);
            let answer = &response.responses[0].partitions[0];
            (answer.error_code, answer.records.as_ref().map_or(0, |records| records.len() as i64))
        }
        Step::EpochEnd(epoch) => {
            let partition =
                OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(*epoch);
            let topic = OffsetForLeaderTopic::default().with_topic(name).with_partitions(vec![partition]);
            let request =
                OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
            let response = wire.call(4, &request);
            let answer = &response.topics[0].partitions[0];
            (answer.error_code, answer.end_offset)
        }
    }
}
