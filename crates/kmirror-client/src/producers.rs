//! Producer ids and transactions, from the outside: InitProducerId, DescribeProducers, WriteTxnMarkers.

use std::collections::HashMap;
use std::time::Duration;

use kafka_protocol::messages as m;
use kafka_protocol::messages::describe_producers_request as producers_wire;
use kafka_protocol::messages::write_txn_markers_request as markers_wire;
use kafka_protocol::messages::write_txn_markers_response as markers_response;

use crate::client::{Client, Lane};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::ClientError;
use crate::ids::{BrokerId, TopicPartition, to_wire};
use crate::route::{Answers, PartitionResults, Routed, by_topic};
use crate::wire::Api;

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerIdentity {
    /// The id.
    pub producer_id: i64,
    /// The epoch.
    pub producer_epoch: i16,
}

/// What a partition's leader remembers of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Its last epoch.
    pub producer_epoch: i32,
    /// The sequence of its last record; `None` where it has only written markers.
    pub last_sequence: Option<i32>,
    /// The timestamp of its last batch in ms; `None` where not known.
    pub last_timestamp: Option<i64>,
    /// The coordinator epoch of its last marker; `None` where there was none.
    pub coordinator_epoch: Option<i32>,
    /// The first offset of its open transaction.
    pub current_txn_start_offset: Option<i64>,
}

/// A control marker to append at the end of each of some partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnMarker {
    /// The producer whose transaction it ends.
    pub producer_id: i64,
    /// The producer's epoch; a lower one than the partition has seen is refused (47).
    pub producer_epoch: i16,
    /// Commit or abort.
    pub commit: bool,
    /// The coordinator's epoch; a lower one than the partition has seen from this producer is refused (52).
    pub coordinator_epoch: i32,
    /// Where to append it: all led by the same broker.
    pub partitions: Vec<TopicPartition>,
}

impl Client {
    /// Has the cluster allocate a producer id for idempotent appends. A broker that has not fetched a block of ids yet
    /// answers [`COORDINATOR_LOAD_IN_PROGRESS`](crate::KafkaError::COORDINATOR_LOAD_IN_PROGRESS) the first time.
    ///
    /// # Errors
    /// Those of any call, and those of the broker.
    pub async fn init_producer_id(&self) -> Result<ProducerIdentity, ClientError> {
        // kafka-protocol's default is an empty transactional id, which is not the same as none.
        let request = m::InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        let response = self.call_any(request).await?;
        ClientError::check(response.error_code, m::InitProducerIdRequest::NAME, self.alias(), None)?;
        Ok(ProducerIdentity { producer_id: response.producer_id.0, producer_epoch: response.producer_epoch })
    }

    /// The producers that the leaders of `partitions` remember, at their true log ends. Needs brokers of 2.8 or later;
    /// others give [`ClientError::Unsupported`].
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> PartitionResults<Vec<ProducerState>> {
        let items = partitions.iter().map(|partition| (partition.clone(), ())).collect();
        self.route(m::DescribeProducersRequest::NAME, items, describe_producers).await
    }

    /// Appends `markers` at `broker`, the leader of all their partitions, in order. The same partition may be in many
    /// markers. Returns, for each marker, one result per partition, in order.
    ///
    /// Never repeated by itself: a marker whose answer is lost may have been appended, and a repeat appends again. Written before
    /// the deadline or never ([`ClientError::Stale`]).
    ///
    /// Kafka answers once for each producer id and partition, whatever the number of markers
    /// (`KafkaApis.handleWriteTxnMarkersRequest` keeps its errors by producer id): where markers of one producer met
    /// different fates in a partition, one of these fates is told for all.
    ///
    /// It answers when the last partition is replicated, or after its own `request.timeout.ms`: callers of one `lane` wait for each other.
    ///
    /// # Errors
    /// Those of any call: then it is not known what was appended.
    pub async fn write_txn_markers(
        &self,
        broker: BrokerId,
        lane: u16,
        markers: &[TxnMarker],
        deadline: Deadline,
    ) -> Result<Vec<PartitionResults<()>>, ClientError> {
        let connection = self.connection(broker, Lane::Markers(lane)).await?;
        let request = m::WriteTxnMarkersRequest::default()
            .with_markers(markers.iter().map(TxnMarker::to_wire).collect());
        let response = connection.call_before(request, deadline, REPLICATION_PATIENCE).await?;
        Ok(marker_results(&connection, markers, &response.markers))
    }
}

impl TxnMarker {
    fn to_wire(&self) -> markers_wire::WritableTxnMarker {
        let mut topics: Vec<markers_wire::WritableTxnMarkerTopic> = Vec::new();
        for partition in &self.partitions {
            match topics.iter_mut().find(|topic| topic.name.as_str() == &*partition.topic) {
                Some(topic) => topic.partition_indexes.push(partition.partition),
                None => topics.push(
                    markers_wire::WritableTxnMarkerTopic::default()
                        .with_name(to_wire(&partition.topic).into())
                        .with_partition_indexes(vec![partition.partition]),
                ),
            }
        }
        markers_wire::WritableTxnMarker::default()
            .with_producer_id(self.producer_id.into())
            .with_producer_epoch(self.producer_epoch)
            .with_transaction_result(self.commit)
            .with_coordinator_epoch(self.coordinator_epoch)
            .with_topics(topics)
    }
}

/// By position where there is one answer per marker, else by producer id; of several answers for one partition an error
/// is the one that counts.
fn marker_results(
    connection: &Connection,
    markers: &[TxnMarker],
    answers: &[markers_response::WritableTxnMarkerResult],
) -> Vec<PartitionResults<()>> {
    let positional = markers.len() == answers.len()
        && markers.iter().zip(answers).all(|(marker, answer)| marker.producer_id == answer.producer_id.0);
    let codes: HashMap<Key<'_>, i16> = {
        let mut codes = HashMap::new();
        for (position, answer) in answers.iter().enumerate() {
            let position = if positional { position } else { 0 };
            for topic in &answer.topics {
                for partition in &topic.partitions {
                    let key =
                        (position, answer.producer_id.0, topic.name.as_str(), partition.partition_index);
                    let code = codes.entry(key).or_insert(0);
                    if partition.error_code != 0 {
                        *code = partition.error_code;
                    }
                }
            }
        }
        codes
    };
    let api = m::WriteTxnMarkersRequest::NAME;
    let result = |position: usize, marker: &TxnMarker, partition: &TopicPartition| {
        let position = if positional { position } else { 0 };
        match codes.get(&(position, marker.producer_id, &*partition.topic, partition.partition)) {
            Some(code) => ClientError::check(*code, api, partition, None),
            None => {
                let problem = format!("nothing about producer {} in {partition}", marker.producer_id);
                Err(ClientError::invalid_response(connection.shared_address(), api, problem))
            }
        }
    };
    let results = markers.iter().enumerate().map(|(position, marker)| {
        let partitions = marker.partitions.iter();
        partitions.map(|partition| (partition.clone(), result(position, marker, partition))).collect()
    });
    results.collect()
}

/// Position, producer id, topic and partition.
type Key<'a> = (usize, i64, &'a str, i32);

async fn describe_producers(
    connection: Connection,
    items: Vec<Routed<()>>,
) -> Result<Answers<Vec<ProducerState>>, ClientError> {
    let topics = by_topic(&items).into_iter().map(|(topic, items)| {
        producers_wire::TopicRequest::default()
            .with_name(to_wire(topic).into())
            .with_partition_indexes(items.into_iter().map(|item| item.partition.partition).collect())
    });
    let request = m::DescribeProducersRequest::default().with_topics(topics.collect());
    let response = connection.call(request).await?;
    let mut answers = Answers::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
            let message = answer.error_message.as_ref().map(|message| message.as_str());
            let api = m::DescribeProducersRequest::NAME;
            let checked = ClientError::check(answer.error_code, api, &partition, message);
            let producers = answer.active_producers.into_iter().map(ProducerState::from);
            answers.insert(partition, checked.map(|()| producers.collect()));
        }
    }
    Ok(answers)
}

impl From<m::describe_producers_response::ProducerState> for ProducerState {
    fn from(state: m::describe_producers_response::ProducerState) -> Self {
        Self {
            producer_id: state.producer_id.0,
            producer_epoch: state.producer_epoch,
            last_sequence: (state.last_sequence >= 0).then_some(state.last_sequence),
            last_timestamp: (state.last_timestamp >= 0).then_some(state.last_timestamp),
            coordinator_epoch: (state.coordinator_epoch >= 0).then_some(state.coordinator_epoch),
            current_txn_start_offset: (state.current_txn_start_offset >= 0)
                .then_some(state.current_txn_start_offset),
        }
    }
}

/// How much longer than over other requests a broker may take: as long as it waits for replicas by itself, and then it names those that hang.
const REPLICATION_PATIENCE: Duration = Duration::from_secs(5);
