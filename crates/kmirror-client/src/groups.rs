//! Consumer groups from outside: ListGroups, and the offsets of groups without members, OffsetCommit and OffsetFetch.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::messages as m;
use kafka_protocol::messages::offset_commit_request as commit_wire;
use kafka_protocol::messages::offset_fetch_request as fetch_wire;
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;

use crate::client::{Client, Lane};
use crate::clock;
use crate::coordinator::CoordinatorKind;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, TopicPartition, to_wire};
use crate::metadata::Topics;
use crate::route::PartitionResults;
use crate::wire::Api;

/// Where a group stands in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset that the group reads next.
    pub offset: i64,
    /// The leader epoch of the record before that, which means something on its own cluster only; `None` where not known.
    pub leader_epoch: Option<i32>,
    /// What the group wrote beside it. Kafka Streams keeps the time of its partition there.
    pub metadata: String,
}

impl CommittedOffset {
    /// An offset without anything beside it.
    pub fn new(offset: i64) -> CommittedOffset {
        CommittedOffset { offset, ..CommittedOffset::default() }
    }
}

/// A group, as the cluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// `consumer` for consumers; empty where it has only committed offsets; what else uses groups has names of its own.
    pub protocol_type: String,
    /// `Empty`, `Stable` and others (`GroupState`); `None` before 2.6.
    pub state: Option<String>,
    /// `classic`, `consumer`, `share`, `streams` (`GroupType`); `None` before 3.8.
    pub group_type: Option<String>,
}

impl Client {
    /// Commits offsets for a group that has no members. Each partition at most once. Waits for up to `timeout` while the
    /// coordinator is not ready. Returns one result per partition, in order:
    /// [`UNKNOWN_MEMBER_ID`](crate::KafkaError::UNKNOWN_MEMBER_ID) where the group has members after all, which alone may
    /// commit then.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, CommittedOffset)],
        timeout: Duration,
    ) -> Result<PartitionResults<()>, ClientError> {
        let api = m::OffsetCommitRequest::NAME;
        let key = (CoordinatorKind::Group, group);
        let refused = |response: &m::OffsetCommitResponse| {
            let first = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            first.map_or(0, |partition| partition.error_code)
        };
        let (connection, response) =
            self.call_coordinator(key, timeout, |_| offset_commit(group, offsets), refused).await?;
        let answers: HashMap<(&str, i32), i16> = response
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), partition)))
            .map(|(topic, partition)| ((topic, partition.partition_index), partition.error_code))
            .collect();
        let results = offsets.iter().map(|(partition, _)| {
            let result = match answers.get(&(&*partition.topic, partition.partition)) {
                Some(code) => ClientError::check(*code, api, partition, None),
                None => {
                    let problem = format!("nothing about {partition}");
                    Err(ClientError::invalid_response(connection.shared_address(), api, problem))
                }
            };
            (partition.clone(), result)
        });
        Ok(results.collect())
    }

    /// All groups of the cluster that may be seen, in the order of their ids.
    ///
    /// # Errors
    /// Those of any call to any of the brokers, and those of the brokers: a list that leaves groups out is none.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>, ClientError> {
        if self.metadata().brokers.is_empty() {
            self.refresh_metadata(Topics::Named(Vec::new())).await?;
        }
        let mut asked = JoinSet::new();
        for broker in self.metadata().brokers.keys().copied() {
            let client = self.clone();
            asked.spawn(async move { client.list_groups_at(broker).await });
        }
        let mut groups = Vec::new();
        while let Some(answered) = asked.join_next().await {
            groups.extend(
                answered.unwrap_or_else(|_| Err(ClientError::invalid_request(LIST, "the task ended")))?,
            );
        }
        groups.sort_by(|one: &ListedGroup, other| one.id.cmp(&other.id));
        // A group that moved meanwhile is listed by both.
        groups.dedup_by(|one, other| one.id == other.id);
        Ok(groups)
    }

    async fn list_groups_at(&self, broker: BrokerId) -> Result<Vec<ListedGroup>, ClientError> {
        let connection = self.connection(broker, Lane::Control).await?;
        let version = connection.version::<m::ListGroupsRequest>()?;
        let deadline = clock::now() + LOADING_PATIENCE;
        let response = loop {
            let response = connection.call_version(m::ListGroupsRequest::default(), version).await?;
            match ClientError::check(response.error_code, LIST, connection.address(), None) {
                Ok(()) => break response,
                // It has just become a coordinator, and a list that leaves groups out is none (Java: `ListGroupsHandler`).
                Err(error)
                    if matches!(
                        error.kafka_error(),
                        Some(
                            KafkaError::COORDINATOR_LOAD_IN_PROGRESS | KafkaError::COORDINATOR_NOT_AVAILABLE
                        )
                    ) && clock::now() < deadline =>
                {
                    tokio::time::sleep(LOADING_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        let some = |text: &StrBytes| (!text.is_empty()).then(|| text.to_string());
        let groups = response.groups.iter().map(|group| ListedGroup {
            id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            state: some(&group.group_state),
            group_type: some(&group.group_type),
        });
        Ok(groups.collect())
    }

    /// Where a group stands in every partition in which it has committed. Waits for up to `timeout` while the coordinator is not
    /// ready. Offsets of a transaction that is not over yet are not among them.
    ///
    /// # Errors
    /// Those of any call, and those of the group.
    pub async fn all_committed_offsets(
        &self,
        group: &str,
        timeout: Duration,
    ) -> Result<Vec<(TopicPartition, CommittedOffset)>, ClientError> {
        let key = (CoordinatorKind::Group, group);
        let build = |version| offset_fetch(group, None, version);
        let (_, response) = self.call_coordinator(key, timeout, build, group_error).await?;
        ClientError::check(group_error(&response), m::OffsetFetchRequest::NAME, group, None)?;
        let mut committed = Vec::new();
        for (partition, answer) in fetched(response) {
            committed.extend(answer?.map(|answer| (partition, answer)));
        }
        committed.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(committed)
    }

    /// Where a group stands in `partitions`, `None` where it has not committed. Waits for up to `timeout` while the
    /// coordinator is not ready or offsets of a transaction are pending. Returns one result per partition, in order.
    ///
    /// # Errors
    /// Those of any call, and those of the group.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<PartitionResults<Option<CommittedOffset>>, ClientError> {
        let api = m::OffsetFetchRequest::NAME;
        let key = (CoordinatorKind::Group, group);
        let build = |version| offset_fetch(group, Some(partitions), version);
        let (connection, response) = self.call_coordinator(key, timeout, build, group_error).await?;
        ClientError::check(group_error(&response), api, group, None)?;
        let mut answers = fetched(response);
        let results = partitions.iter().map(|partition| {
            let result = answers.remove(partition).unwrap_or_else(|| {
                let problem = format!("nothing about {partition}");
                Err(ClientError::invalid_response(connection.shared_address(), api, problem))
            });
            (partition.clone(), result)
        });
        Ok(results.collect())
    }
}

const LIST: &str = m::ListGroupsRequest::NAME;
/// How long a broker may read its part of `__consumer_offsets`.
const LOADING_PATIENCE: Duration = Duration::from_secs(10);
const LOADING_PAUSE: Duration = Duration::from_millis(100);
/// From this version on many groups are asked for at once (KIP-709).
const BATCHED_SINCE: i16 = 8;

fn offset_commit(group: &str, offsets: &[(TopicPartition, CommittedOffset)]) -> m::OffsetCommitRequest {
    let mut topics: BTreeMap<&str, Vec<commit_wire::OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, committed) in offsets {
        topics.entry(&partition.topic).or_default().push(
            commit_wire::OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch.unwrap_or(-1))
                .with_committed_metadata(Some(to_wire(&committed.metadata))),
        );
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        commit_wire::OffsetCommitRequestTopic::default()
            .with_name(to_wire(topic).into())
            .with_partitions(partitions)
    });
    // Generation -1 and an empty member id stand for a commit from outside the group.
    m::OffsetCommitRequest::default()
        .with_group_id(to_wire(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect())
}

/// `None`: all partitions.
fn offset_fetch(group: &str, partitions: Option<&[TopicPartition]>, version: i16) -> m::OffsetFetchRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions.unwrap_or_default() {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let request = m::OffsetFetchRequest::default();
    if version < BATCHED_SINCE {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            fetch_wire::OffsetFetchRequestTopic::default()
                .with_name(to_wire(topic).into())
                .with_partition_indexes(partitions)
        });
        return request
            .with_group_id(to_wire(group).into())
            .with_topics(partitions.is_some().then(|| topics.collect()));
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        fetch_wire::OffsetFetchRequestTopics::default()
            .with_name(to_wire(topic).into())
            .with_partition_indexes(partitions)
    });
    let group = fetch_wire::OffsetFetchRequestGroup::default()
        .with_group_id(to_wire(group).into())
        .with_topics(partitions.is_some().then(|| topics.collect()));
    request.with_groups(vec![group])
}

fn group_error(response: &m::OffsetFetchResponse) -> i16 {
    response.groups.first().map_or(response.error_code, |group| group.error_code)
}

fn fetched(
    response: m::OffsetFetchResponse,
) -> BTreeMap<TopicPartition, Result<Option<CommittedOffset>, ClientError>> {
    let single = response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            let committed =
                (partition.committed_offset, partition.committed_leader_epoch, partition.metadata);
            (TopicPartition::new(name.as_str(), partition.partition_index), committed, partition.error_code)
        })
    });
    let batched = response.groups.into_iter().flat_map(|group| group.topics).flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            let committed =
                (partition.committed_offset, partition.committed_leader_epoch, partition.metadata);
            (TopicPartition::new(name.as_str(), partition.partition_index), committed, partition.error_code)
        })
    });
    let answers = single.chain(batched).map(|(partition, (offset, epoch, metadata), code)| {
        let checked = ClientError::check(code, m::OffsetFetchRequest::NAME, &partition, None);
        let committed = (offset >= 0).then(|| CommittedOffset {
            offset,
            leader_epoch: (epoch >= 0).then_some(epoch),
            metadata: metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
        });
        (partition, checked.map(|()| committed))
    });
    answers.collect()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn every_version_can_be_written() {
        let partition = TopicPartition::new("orders", 3);
        let committed = CommittedOffset { leader_epoch: Some(2), ..CommittedOffset::new(7) };
        fn written<A: Api>(build: impl Fn(i16) -> A) {
            let (min, max) = A::VERSIONS;
            for version in min..=max {
                let mut bytes = Vec::new();
                build(version).encode(&mut bytes, version).unwrap();
                assert!(bytes.windows(6).any(|window| window == b"orders"), "{} v{version}", A::NAME);
            }
        }
        written(|_| offset_commit("group", &[(partition.clone(), committed.clone())]));
        written(|version| offset_fetch("group", Some(std::slice::from_ref(&partition)), version));
    }
}
