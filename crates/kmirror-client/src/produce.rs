//! Appending: the one request that is encoded by hand, because kafka-protocol's encoder would copy every payload.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages as m;

use crate::connection::RequestFrame;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, TopicId, TopicPartition};
use crate::metadata::{Broker, LeaderHint};

/// The bytes of a record batch (magic 2) before its records.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Appends to many partitions of one broker, acknowledged by all in-sync replicas, outside any transaction.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// How long the leader waits for its replicas.
    pub timeout: Duration,
    /// What to append: each partition at most once.
    pub partitions: Vec<ProducePartition>,
}

/// One batch for one partition. Brokers accept exactly one per partition and request (`ProduceRequest.validateRecords`).
#[derive(Clone, Debug)]
pub struct ProducePartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id, [`TopicId::NONE`] where not known. Version 13 is used only where all are known.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The batch's header, from base offset to record count.
    pub header: [u8; BATCH_HEADER_BYTES],
    /// The batch's records, compressed or not. Written from where they are.
    pub payload: Bytes,
}

/// The results of a [`ProduceRequest`]: one per partition, ordered by partition.
#[derive(Clone, Debug)]
pub struct ProduceResponse {
    /// One for each partition of the request.
    pub partitions: Vec<ProducedPartition>,
}

/// The result of one append.
#[derive(Clone, Debug)]
pub struct ProducedPartition {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Why nothing was appended, if so; see [`KafkaError::NOT_ENOUGH_REPLICAS_AFTER_APPEND`] and
    /// [`KafkaError::REQUEST_TIMED_OUT`] for the two that do not say that.
    pub error: Option<KafkaError>,
    /// The offset of the batch's first record, also where the batch is a repeat that was appended before; -1 where not
    /// known.
    pub base_offset: i64,
    /// The broker's time of the append in ms where the topic uses it, else `None`.
    pub log_append_time: Option<i64>,
    /// The lowest offset that is readable; -1 where not known.
    pub log_start_offset: i64,
    /// The broker's words on the error. They differ between releases.
    pub message: Option<Arc<str>>,
    /// The records that caused the batch to be refused.
    pub record_errors: Vec<RecordError>,
    /// Where the leader is, sent with some errors (KIP-951).
    pub leader_hint: Option<LeaderHint>,
}

/// A record that caused its batch to be refused (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's index in the batch, from 0.
    pub index: i32,
    /// The broker's words.
    pub message: Option<Arc<str>>,
}

const API: &str = "Produce";

/// From this version on topics are named by id.
const TOPIC_IDS_SINCE: i16 = 13;

/// From this version on lengths are compact and structs end with tagged fields.
const FLEXIBLE_SINCE: i16 = 9;

impl ProduceRequest {
    /// The version to use where both sides speak `version_max`.
    pub(crate) fn version_up_to(&self, version_max: i16) -> i16 {
        let all_ids_known = self.partitions.iter().all(|partition| !partition.topic_id.is_none());
        if all_ids_known { version_max } else { version_max.min(TOPIC_IDS_SINCE - 1) }
    }

    /// Appends the request in `version` to `frame`, which holds the header of it.
    pub(crate) fn encode(self, version: i16, frame: &mut RequestFrame) -> Result<ProduceTopics, ClientError> {
        let timeout_ms = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        let partitions = self.sorted_partitions()?;
        let topic_count = partitions.chunk_by(same_topic).count();
        let mut encoder = Encoder { version, frame };
        encoder.reserve(&partitions);
        encoder.null_string();
        encoder.bytes(&(-1i16).to_be_bytes());
        encoder.bytes(&timeout_ms.to_be_bytes());
        encoder.count(topic_count)?;
        for topic in partitions.chunk_by(same_topic) {
            encoder.topic(topic)?;
        }
        encoder.no_tagged_fields();
        Ok(ProduceTopics::new(&partitions))
    }

    /// Encodes the request as a connection does, without one: for measurements. How long it is.
    #[doc(hidden)]
    pub fn encoded_bytes(self, version: i16) -> Result<i32, ClientError> {
        let mut frame = RequestFrame::new(vec![0; 4]);
        self.encode(version, &mut frame)?;
        frame.length().ok_or_else(|| ClientError::invalid_request(API, "the request is larger than 2 GiB"))
    }

    fn sorted_partitions(self) -> Result<Vec<ProducePartition>, ClientError> {
        let mut partitions = self.partitions;
        partitions.sort_by(|one, other| key(one).cmp(&key(other)));
        let repeated = partitions.windows(2).find_map(|pair| match pair {
            [one, other] if key(one) == key(other) => Some(one),
            _ => None,
        });
        match repeated {
            _ if partitions.is_empty() => Err(ClientError::invalid_request(API, "no partition")),
            Some(partition) => {
                let problem = format!("two batches for {}-{}", partition.topic, partition.partition);
                Err(ClientError::invalid_request(API, problem))
            }
            None => Ok(partitions),
        }
    }
}

fn key(partition: &ProducePartition) -> (&str, TopicId, i32) {
    (&partition.topic, partition.topic_id, partition.partition)
}

fn same_topic(one: &ProducePartition, other: &ProducePartition) -> bool {
    one.topic == other.topic && one.topic_id == other.topic_id
}

struct Encoder<'a> {
    version: i16,
    frame: &'a mut RequestFrame,
}

impl Encoder<'_> {
    fn reserve(&mut self, partitions: &[ProducePartition]) {
        /// Index, length, tagged fields, and a share of the topic's own.
        const PARTITION_FRAMING_BYTES: usize = 32;
        let topics = partitions.chunk_by(same_topic);
        let names: usize = topics.filter_map(|topic| topic.first()).map(|first| first.topic.len() + 8).sum();
        let framing = partitions.len() * (BATCH_HEADER_BYTES + PARTITION_FRAMING_BYTES) + names + 32;
        self.frame.framing.reserve(framing);
        self.frame.payloads.reserve(partitions.len());
    }

    fn topic(&mut self, partitions: &[ProducePartition]) -> Result<(), ClientError> {
        let Some(first) = partitions.first() else { return Ok(()) };
        if self.version >= TOPIC_IDS_SINCE {
            self.bytes(first.topic_id.0.as_bytes());
        } else {
            self.string(&first.topic)?;
        }
        self.count(partitions.len())?;
        for partition in partitions {
            self.partition(partition)?;
        }
        self.no_tagged_fields();
        Ok(())
    }

    fn partition(&mut self, partition: &ProducePartition) -> Result<(), ClientError> {
        self.bytes(&partition.partition.to_be_bytes());
        self.count(BATCH_HEADER_BYTES + partition.payload.len())?;
        self.bytes(&partition.header);
        self.frame.payloads.push((self.frame.framing.len(), partition.payload.clone()));
        self.no_tagged_fields();
        Ok(())
    }

    fn null_string(&mut self) {
        if self.version >= FLEXIBLE_SINCE { self.bytes(&[0]) } else { self.bytes(&(-1i16).to_be_bytes()) }
    }

    fn string(&mut self, text: &str) -> Result<(), ClientError> {
        let length = i16::try_from(text.len())
            .map_err(|_| ClientError::invalid_request(API, "a topic name of more than 32 KiB"))?;
        if self.version >= FLEXIBLE_SINCE {
            self.count(text.len())?;
        } else {
            self.bytes(&length.to_be_bytes());
        }
        self.bytes(text.as_bytes());
        Ok(())
    }

    /// The length of an array or of bytes.
    fn count(&mut self, count: usize) -> Result<(), ClientError> {
        let count = i32::try_from(count)
            .map_err(|_| ClientError::invalid_request(API, "a batch of more than 2 GiB"))?;
        if self.version >= FLEXIBLE_SINCE {
            self.unsigned_varint(count.unsigned_abs() + 1);
        } else {
            self.bytes(&count.to_be_bytes());
        }
        Ok(())
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes(&[(value & 0x7f) as u8 | 0x80]);
            value >>= 7;
        }
        self.bytes(&[value as u8]);
    }

    fn no_tagged_fields(&mut self) {
        if self.version >= FLEXIBLE_SINCE {
            self.bytes(&[0]);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.frame.framing.extend_from_slice(bytes);
    }
}

/// What a response is compared with.
pub(crate) struct ProduceTopics {
    /// Ascending.
    partitions: Vec<TopicPartition>,
    by_id: HashMap<TopicId, Arc<str>>,
    by_name: HashSet<Arc<str>>,
}

impl ProduceTopics {
    fn new(partitions: &[ProducePartition]) -> Self {
        let mut topics = Self {
            partitions: Vec::with_capacity(partitions.len()),
            by_id: HashMap::new(),
            by_name: HashSet::new(),
        };
        for topic in partitions.chunk_by(same_topic) {
            let Some(first) = topic.first() else { continue };
            topics.by_id.insert(first.topic_id, first.topic.clone());
            topics.by_name.insert(first.topic.clone());
            let named =
                topic.iter().map(|partition| TopicPartition::new(first.topic.clone(), partition.partition));
            topics.partitions.extend(named);
        }
        topics
    }

    /// The results in `body`, which must name exactly the partitions of the request.
    pub(crate) fn response(
        &self,
        body: m::ProduceResponse,
        address: &Arc<str>,
    ) -> Result<ProduceResponse, ClientError> {
        let mut partitions = Vec::with_capacity(self.partitions.len());
        for topic in body.responses {
            let id = TopicId(topic.topic_id);
            let name = if id.is_none() { self.by_name.get(&**topic.name) } else { self.by_id.get(&id) };
            let Some(name) = name else {
                let problem = format!("topic {:?} ({id}) was not in the request", topic.name.as_str());
                return Err(ClientError::invalid_response(address, API, problem));
            };
            let results = topic.partition_responses.into_iter();
            partitions.extend(
                results.map(|result| ProducedPartition::new(name.clone(), result, &body.node_endpoints)),
            );
        }
        partitions.sort_by(|one, other| one.topic_partition.cmp(&other.topic_partition));
        let answered = partitions.iter().map(|result| &result.topic_partition);
        if !answered.eq(&self.partitions) {
            let problem = "its partitions are not those of the request";
            return Err(ClientError::invalid_response(address, API, problem));
        }
        Ok(ProduceResponse { partitions })
    }
}

impl ProducedPartition {
    fn new(
        topic: Arc<str>,
        result: m::produce_response::PartitionProduceResponse,
        endpoints: &[m::produce_response::NodeEndpoint],
    ) -> Self {
        let current = result.current_leader;
        let leader_hint = BrokerId::from_wire(current.leader_id.0).map(|leader| LeaderHint {
            leader,
            leader_epoch: current.leader_epoch,
            endpoint: endpoints.iter().find(|endpoint| endpoint.node_id == current.leader_id).map(
                |endpoint| {
                    let rack = endpoint.rack.as_ref().map(|rack| rack.as_str());
                    Broker::new(leader, &endpoint.host, endpoint.port, rack)
                },
            ),
        });
        let record_errors = result.record_errors.into_iter().map(|error| RecordError {
            index: error.batch_index,
            message: error.batch_index_error_message.map(|message| message.as_str().into()),
        });
        Self {
            topic_partition: TopicPartition { topic, partition: result.index },
            error: KafkaError::from_code(result.error_code),
            base_offset: result.base_offset,
            log_append_time: (result.log_append_time_ms >= 0).then_some(result.log_append_time_ms),
            log_start_offset: result.log_start_offset,
            message: result.error_message.map(|message| message.as_str().into()),
            record_errors: record_errors.collect(),
            leader_hint,
        }
    }
}

#[cfg(test)]
mod tests;
