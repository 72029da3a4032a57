//! Where partitions begin and end: ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use kafka_protocol::messages as m;
use kafka_protocol::messages::delete_records_request as delete_wire;
use kafka_protocol::messages::list_offsets_request as list_wire;
use kafka_protocol::messages::offset_for_leader_epoch_request as epoch_wire;

use crate::client::{Client, Lane};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::fetch::EpochEndOffset;
use crate::ids::{Isolation, TopicPartition, to_wire};
use crate::route::{Answers, PartitionResults, Routed, by_topic};
use crate::wire::Api;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OffsetSpec {
    /// The log start offset.
    Earliest,
    /// The high watermark, or under [`ReadCommitted`](Isolation::ReadCommitted) the last stable offset.
    Latest,
    /// The first record with this timestamp in ms, or a later one.
    Timestamp(i64),
}

/// An offset that was asked for by [`OffsetSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None` where no record is that late.
    pub offset: Option<i64>,
    /// The record's timestamp in ms, for [`OffsetSpec::Timestamp`].
    pub timestamp: Option<i64>,
    /// The leader epoch of the record, where the broker knows it.
    pub leader_epoch: Option<i32>,
}

impl Client {
    /// Looks offsets up. Each partition at most once.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
    ) -> PartitionResults<ListedOffset> {
        let timeout_ms = self.request_timeout_ms();
        let send = move |connection, items| list_offsets(connection, items, isolation, timeout_ms);
        self.route(m::ListOffsetsRequest::NAME, partitions.to_vec(), send).await
    }

    /// The leader's true log end offset, which may lie above the high watermark: appended, and not yet replicated.
    ///
    /// Asks where the leader epoch of our metadata ends. A leader with a newer epoch refuses
    /// ([`FENCED_LEADER_EPOCH`](crate::KafkaError::FENCED_LEADER_EPOCH)) and is asked once more with that one; where metadata may be
    /// behind (before 2.4), with the next ones until it agrees.
    pub async fn log_end_offsets(&self, partitions: &[TopicPartition]) -> PartitionResults<i64> {
        let mut ends = self.current_epoch_ends(partitions.to_vec(), 0).await;
        for later in 1..=EPOCHS_BEHIND_MAX {
            let metadata = self.metadata();
            let may_be_behind = |partition: &TopicPartition| {
                metadata.partition(partition).is_some_and(|known| known.leader_epoch.is_none())
            };
            let is_behind = |(partition, end): &&mut (TopicPartition, Result<i64, ClientError>)| {
                may_be_behind(partition) && end.as_ref().is_err_and(is_fenced)
            };
            let behind: Vec<_> = ends.iter_mut().filter(is_behind).collect();
            let asked: Vec<_> = behind.iter().map(|(partition, _)| partition.clone()).collect();
            if asked.is_empty() {
                break;
            }
            let answers = self.current_epoch_ends(asked, later).await;
            behind.into_iter().zip(answers).for_each(|(end, answer)| *end = answer);
        }
        ends
    }

    /// Where the epoch that is so much later than the metadata's ends, which the leader must be in.
    async fn current_epoch_ends(&self, partitions: Vec<TopicPartition>, later: i32) -> PartitionResults<i64> {
        let items = partitions.into_iter().map(|partition| (partition, Epoch::Current { later })).collect();
        let ends = self.route(m::OffsetForLeaderEpochRequest::NAME, items, epoch_end_offsets).await;
        let ends = ends.into_iter().map(|(partition, end)| {
            let end = end.and_then(|end| end.ok_or_else(|| undefined(&partition)));
            (partition, end.map(|end| end.end_offset))
        });
        ends.collect()
    }

    /// Where `leader_epoch` of each partition ends in the leader's log: the largest epoch that is not above it, and the
    /// offset after that epoch's last record. `None` where the leader has no such epoch.
    pub async fn epoch_end_offsets(
        &self,
        partitions: &[(TopicPartition, i32)],
    ) -> PartitionResults<Option<EpochEndOffset>> {
        let items = partitions.iter().map(|(partition, epoch)| (partition.clone(), Epoch::Known(*epoch)));
        self.route(m::OffsetForLeaderEpochRequest::NAME, items.collect(), epoch_end_offsets).await
    }

    /// Deletes all records below an offset, -1 for the high watermark, and returns the log start offset after that.
    pub async fn delete_records(&self, partitions: &[(TopicPartition, i64)]) -> PartitionResults<i64> {
        let timeout_ms = self.request_timeout_ms();
        let send = move |connection, items| delete_records(connection, items, timeout_ms);
        self.route_over(Lane::Deletions, m::DeleteRecordsRequest::NAME, partitions.to_vec(), send).await
    }

    /// How long a broker may take over a request that says so itself: less than what we wait for the answer.
    pub(crate) fn request_timeout_ms(&self) -> i32 {
        i32::try_from((self.config().request_timeout * 3 / 4).as_millis()).unwrap_or(i32::MAX)
    }
}

impl OffsetSpec {
    fn to_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

async fn list_offsets(
    connection: Connection,
    items: Vec<Routed<OffsetSpec>>,
    isolation: Isolation,
    timeout_ms: i32,
) -> Result<Answers<ListedOffset>, ClientError> {
    let version = connection.version::<m::ListOffsetsRequest>()?;
    let topics = by_topic(&items).into_iter().map(|(topic, items)| {
        let partitions = items.into_iter().map(|item| {
            let partition = list_wire::ListOffsetsPartition::default()
                .with_partition_index(item.partition.partition)
                .with_timestamp(item.input.to_wire());
            match item.leader_epoch {
                Some(epoch) if version >= 4 => partition.with_current_leader_epoch(epoch),
                _ => partition,
            }
        });
        list_wire::ListOffsetsTopic::default()
            .with_name(to_wire(topic).into())
            .with_partitions(partitions.collect())
    });
    let request = m::ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation.to_wire())
        .with_topics(topics.collect())
        .with_timeout_ms(if version >= 10 { timeout_ms } else { 0 });
    let response = connection.call(request).await?;
    let mut answers = Answers::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
            let checked =
                ClientError::check(answer.error_code, m::ListOffsetsRequest::NAME, &partition, None);
            let listed = checked.map(|()| ListedOffset {
                offset: (answer.offset >= 0).then_some(answer.offset),
                timestamp: (answer.timestamp >= 0).then_some(answer.timestamp),
                leader_epoch: (answer.leader_epoch >= 0).then_some(answer.leader_epoch),
            });
            answers.insert(partition, listed);
        }
    }
    Ok(answers)
}

/// Which leader epoch's end is asked for.
#[derive(Clone, Copy, Debug)]
enum Epoch {
    /// This one's.
    Known(i32),
    /// That of the epoch that is so much later than the one in the metadata, in which the leader must be.
    Current { later: i32 },
}

async fn epoch_end_offsets(
    connection: Connection,
    items: Vec<Routed<Epoch>>,
) -> Result<Answers<Option<EpochEndOffset>>, ClientError> {
    let api = m::OffsetForLeaderEpochRequest::NAME;
    let version = connection.version::<m::OffsetForLeaderEpochRequest>()?;
    let mut answers = Answers::new();
    let topics = by_topic(&items).into_iter().map(|(topic, items)| {
        let partitions = items.into_iter().filter_map(|item| {
            let (epoch, current) = match item.input {
                Epoch::Known(epoch) => (Some(epoch), item.leader_epoch),
                Epoch::Current { later } => {
                    let current = item.leader_epoch_or_later.map(|epoch| epoch.saturating_add(later));
                    (current, current)
                }
            };
            let Some(epoch) = epoch else {
                answers.insert(item.partition.clone(), Err(without_epochs(&connection)));
                return None;
            };
            let partition = epoch_wire::OffsetForLeaderPartition::default()
                .with_partition(item.partition.partition)
                .with_leader_epoch(epoch);
            Some(match current {
                Some(current) => partition.with_current_leader_epoch(current),
                None => partition,
            })
        });
        epoch_wire::OffsetForLeaderTopic::default()
            .with_topic(to_wire(topic).into())
            .with_partitions(partitions.collect())
    });
    let request = m::OffsetForLeaderEpochRequest::default().with_topics(topics.collect());
    // -1 stands for a consumer. Version 2 cannot say so: the broker takes us for a debugger and wants ClusterAction.
    let request = if version >= 3 { request.with_replica_id((-1).into()) } else { request };
    let response = connection.call(request).await?;
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.topic.as_str(), answer.partition);
            let checked = ClientError::check(answer.error_code, api, &partition, None);
            let end = EpochEndOffset { epoch: answer.leader_epoch, end_offset: answer.end_offset };
            answers.insert(partition, checked.map(|()| (end.end_offset >= 0).then_some(end)));
        }
    }
    Ok(answers)
}

async fn delete_records(
    connection: Connection,
    items: Vec<Routed<i64>>,
    timeout_ms: i32,
) -> Result<Answers<i64>, ClientError> {
    let topics = by_topic(&items).into_iter().map(|(topic, items)| {
        let partitions = items.into_iter().map(|item| {
            delete_wire::DeleteRecordsPartition::default()
                .with_partition_index(item.partition.partition)
                .with_offset(item.input)
        });
        delete_wire::DeleteRecordsTopic::default()
            .with_name(to_wire(topic).into())
            .with_partitions(partitions.collect())
    });
    let request =
        m::DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(timeout_ms);
    let response = connection.call(request).await?;
    let mut answers = Answers::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
            let checked =
                ClientError::check(answer.error_code, m::DeleteRecordsRequest::NAME, &partition, None);
            answers.insert(partition, checked.map(|()| answer.low_watermark));
        }
    }
    Ok(answers)
}

fn without_epochs(connection: &Connection) -> ClientError {
    ClientError::Unsupported {
        api: m::OffsetForLeaderEpochRequest::NAME,
        broker: connection.shared_address().clone(),
        detail: "its metadata has no leader epochs".into(),
    }
}

fn undefined(partition: &TopicPartition) -> ClientError {
    ClientError::Broker {
        error: crate::KafkaError::UNKNOWN_LEADER_EPOCH,
        api: m::OffsetForLeaderEpochRequest::NAME,
        context: partition.to_string().into(),
        message: Some("the leader does not know where its epoch ends".into()),
    }
}

fn is_fenced(error: &ClientError) -> bool {
    error.kafka_error() == Some(crate::KafkaError::FENCED_LEADER_EPOCH)
}

/// How far metadata may be behind the leader's epoch: it moves by one in an election or a step of a reassignment.
const EPOCHS_BEHIND_MAX: i32 = 16;
