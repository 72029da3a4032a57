//! Offsets of consumer groups without members: OffsetCommit, OffsetFetch.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::messages as m;
use kafka_protocol::messages::offset_commit_request as commit_wire;
use kafka_protocol::messages::offset_fetch_request as fetch_wire;

use crate::client::Client;
use crate::coordinator::CoordinatorKind;
use crate::error::ClientError;
use crate::ids::{TopicPartition, to_wire};
use crate::route::PartitionResults;
use crate::wire::Api;

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset that the group reads next.
    pub offset: i64,
    /// The leader epoch of the record before that; `None` where not known.
    pub leader_epoch: Option<i32>,
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
        let build = |version| offset_fetch(group, partitions, version);
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
                .with_committed_metadata(Some(to_wire(""))),
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

fn offset_fetch(group: &str, partitions: &[TopicPartition], version: i16) -> m::OffsetFetchRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let request = m::OffsetFetchRequest::default();
    if version < BATCHED_SINCE {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            fetch_wire::OffsetFetchRequestTopic::default()
                .with_name(to_wire(topic).into())
                .with_partition_indexes(partitions)
        });
        return request.with_group_id(to_wire(group).into()).with_topics(Some(topics.collect()));
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        fetch_wire::OffsetFetchRequestTopics::default()
            .with_name(to_wire(topic).into())
            .with_partition_indexes(partitions)
    });
    let group = fetch_wire::OffsetFetchRequestGroup::default()
        .with_group_id(to_wire(group).into())
        .with_topics(Some(topics.collect()));
    request.with_groups(vec![group])
}

fn group_error(response: &m::OffsetFetchResponse) -> i16 {
    response.groups.first().map_or(response.error_code, |group| group.error_code)
}

fn fetched(
    response: m::OffsetFetchResponse,
) -> HashMap<TopicPartition, Result<Option<CommittedOffset>, ClientError>> {
    let single = response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            let committed = (partition.committed_offset, partition.committed_leader_epoch);
            (TopicPartition::new(name.as_str(), partition.partition_index), committed, partition.error_code)
        })
    });
    let batched = response.groups.into_iter().flat_map(|group| group.topics).flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            let committed = (partition.committed_offset, partition.committed_leader_epoch);
            (TopicPartition::new(name.as_str(), partition.partition_index), committed, partition.error_code)
        })
    });
    let answers = single.chain(batched).map(|(partition, (offset, epoch), code)| {
        let checked = ClientError::check(code, m::OffsetFetchRequest::NAME, &partition, None);
        let committed =
            (offset >= 0).then_some(CommittedOffset { offset, leader_epoch: (epoch >= 0).then_some(epoch) });
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
        let committed = CommittedOffset { offset: 7, leader_epoch: Some(2) };
        fn written<A: Api>(build: impl Fn(i16) -> A) {
            let (min, max) = A::VERSIONS;
            for version in min..=max {
                let mut bytes = Vec::new();
                build(version).encode(&mut bytes, version).unwrap();
                assert!(bytes.windows(6).any(|window| window == b"orders"), "{} v{version}", A::NAME);
            }
        }
        written(|_| offset_commit("group", &[(partition.clone(), committed.clone())]));
        written(|version| offset_fetch("group", std::slice::from_ref(&partition), version));
    }
}
