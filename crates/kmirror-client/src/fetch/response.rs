//! What a broker answers to a fetch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages as m;

use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, Isolation, TopicId, TopicPartition};
use crate::metadata::{Broker, LeaderHint};

/// The response to a fetch, for [`FetchSession::handle`](crate::FetchSession::handle).
#[derive(Debug)]
pub struct FetchResponse {
    pub(crate) body: m::FetchResponse,
}

/// One partition of a fetch response.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Why there are no records, if so. The other fields are meaningful as far as the error lets the broker fill them.
    pub error: Option<KafkaError>,
    /// The offset after the last replicated record; -1 where not known.
    pub high_watermark: i64,
    /// The offset before which no transaction is open; -1 where not known.
    pub last_stable_offset: i64,
    /// The lowest offset that is readable; -1 where not known.
    pub log_start_offset: i64,
    /// The aborted transactions within the records, ascending by first offset. Empty under
    /// [`ReadUncommitted`](crate::Isolation::ReadUncommitted).
    pub aborted: Vec<AbortedTransaction>,
    /// Set where the log that we read last is not the leader's: it ends here, in the leader's view (KIP-595).
    pub diverging_epoch: Option<EpochEndOffset>,
    /// Where the leader is, sent with some errors (KIP-951).
    pub leader_hint: Option<LeaderHint>,
    /// The leader epoch that a single fetch named and its broker compared with its own (KIP-320), where the metadata tells it.
    pub leader_epoch: Option<i32>,
    /// The replica to read from instead (KIP-392).
    pub preferred_read_replica: Option<BrokerId>,
    /// Record batches as they are in the log: the first may begin before the offset that was asked for, the last may be
    /// cut off. A slice of the response's buffer.
    pub records: Bytes,
}

/// A transaction that was aborted: transactional batches of this producer from `first_offset` up to its abort marker are
/// not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// The offset of the transaction's first record.
    pub first_offset: i64,
}

/// Where a leader epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The largest epoch at or below the one that was asked for.
    pub epoch: i32,
    /// The offset after the epoch's last record.
    pub end_offset: i64,
}

impl FetchResponse {
    /// How long the broker throttles the connection after this response. The connection honours it by itself.
    pub fn throttle_time(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.body.throttle_time_ms).unwrap_or(0))
    }

    /// Whether a quota left no room for any partition (`FetchContext.getThrottledResponse`, KIP-219).
    pub(super) fn is_throttled(&self) -> bool {
        self.body.throttle_time_ms > 0
            && self.body.error_code == 0
            && self.body.responses.iter().all(|topic| topic.partitions.is_empty())
    }

    /// All partitions, named by `topic`, which finds the topic of a name or, from version 13 on, of an id. Those that it
    /// does not know are left out.
    pub(super) fn partitions(
        self,
        topic: impl Fn(&str, TopicId) -> Option<Arc<str>>,
    ) -> impl Iterator<Item = FetchedPartition> {
        let endpoints = self.body.node_endpoints;
        let named = self.body.responses.into_iter().filter_map(move |response| {
            let name = topic(&response.topic, TopicId(response.topic_id))?;
            Some((name, response.partitions))
        });
        named.flat_map(move |(topic, partitions)| {
            let fetched = |data| FetchedPartition::new(topic.clone(), data, &endpoints);
            partitions.into_iter().map(fetched).collect::<Vec<_>>()
        })
    }
}

impl FetchedPartition {
    /// The first offset that a reader of this isolation may not read yet. An answer without records tells that there are none up to
    /// here, and nothing of what comes behind: a new leader's high watermark may be behind the old one's.
    pub fn readable_end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadCommitted => self.last_stable_offset,
            Isolation::ReadUncommitted => self.high_watermark,
        }
    }

    fn new(
        topic: Arc<str>,
        data: m::fetch_response::PartitionData,
        endpoints: &[m::fetch_response::NodeEndpoint],
    ) -> Self {
        let aborted = data.aborted_transactions.unwrap_or_default().into_iter();
        let mut aborted: Vec<_> = aborted
            .map(|aborted| AbortedTransaction {
                producer_id: aborted.producer_id.0,
                first_offset: aborted.first_offset,
            })
            .collect();
        // Kafka sends them in order, Redpanda does not.
        aborted.sort_by_key(|aborted| aborted.first_offset);
        let diverging = data.diverging_epoch;
        let current = data.current_leader;
        let leader_hint = BrokerId::from_wire(current.leader_id.0).map(|leader| LeaderHint {
            leader,
            leader_epoch: current.leader_epoch,
            endpoint: endpoints.iter().find(|endpoint| endpoint.node_id == current.leader_id).map(
                |endpoint| {
                    Broker::new(
                        leader,
                        &endpoint.host,
                        endpoint.port,
                        endpoint.rack.as_ref().map(|rack| rack.as_str()),
                    )
                },
            ),
        });
        Self {
            topic_partition: TopicPartition { topic, partition: data.partition_index },
            error: KafkaError::from_code(data.error_code),
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
            aborted,
            diverging_epoch: (diverging.epoch >= 0)
                .then_some(EpochEndOffset { epoch: diverging.epoch, end_offset: diverging.end_offset }),
            leader_hint,
            leader_epoch: None,
            preferred_read_replica: BrokerId::from_wire(data.preferred_read_replica.0),
            records: data.records.unwrap_or_default(),
        }
    }
}
