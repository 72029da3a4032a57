//! OffsetFetch (`OffsetMetadataManager.fetchOffsets`, `fetchAllOffsets`): of one group up to version 7, of any number from 8 on
//! (KIP-709). From version 7 on a client may wait for transactions that have not ended (KIP-447).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::{Context, EmptyName, text};
use crate::security::acl::Operation;

pub(super) fn handle(request: OffsetFetchRequest, context: &mut Context<'_>) -> OffsetFetchResponse {
    let require_stable = request.require_stable;
    if context.version >= BATCHED_FROM {
        let groups = request.groups.iter().map(|group| fetch(group, require_stable, context));
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            let named = OffsetFetchRequestTopics::default().with_name(topic.name);
            named.with_partition_indexes(topic.partition_indexes)
        });
        topics.collect()
    });
    let group = OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics);
    single(fetch(&group, require_stable, context), &group, context.version)
}

/// Before version 8 there is one group in an answer, and before 2 its error is at each partition.
fn single(
    fetched: OffsetFetchResponseGroup,
    group: &OffsetFetchRequestGroup,
    version: i16,
) -> OffsetFetchResponse {
    let error = fetched.error_code;
    let topics = if error != 0 && version < 2 { refused(group, error) } else { fetched.topics };
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let same = OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code);
            if version >= 5 {
                same.with_committed_leader_epoch(partition.committed_leader_epoch)
            } else {
                same
            }
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let response = OffsetFetchResponse::default().with_topics(topics.collect());
    if version >= 2 { response.with_error_code(error) } else { response }
}

fn refused(group: &OffsetFetchRequestGroup, error: i16) -> Vec<OffsetFetchResponseTopics> {
    let topics = group.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|number| nothing(*number).with_error_code(error));
        let partitions = partitions.collect();
        OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    topics.collect()
}

fn fetch(
    group: &OffsetFetchRequestGroup,
    require_stable: bool,
    context: &Context<'_>,
) -> OffsetFetchResponseGroup {
    let name = &group.group_id;
    let response = OffsetFetchResponseGroup::default().with_group_id(name.clone());
    if let Err(error) = context.check_group(Operation::Describe, name, EmptyName::Permitted) {
        return response.with_error_code(error.code());
    }
    let topics = match &group.topics {
        Some(topics) => {
            topics.iter().map(|topic| fetch_topic(name, topic, require_stable, context)).collect()
        }
        None => committed_topics(name, context)
            .iter()
            .map(|topic| fetch_topic(name, topic, require_stable, context))
            .collect(),
    };
    response.with_topics(topics)
}

/// Every partition that a group has committed something for, of topics that the principal may see.
fn committed_topics(group: &str, context: &Context<'_>) -> Vec<OffsetFetchRequestTopics> {
    let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
    for (topic, number) in
        context.state.groups.committed(group).into_iter().flat_map(|offsets| offsets.keys())
    {
        if !context.may_topic(Operation::Describe, topic) {
            continue;
        }
        match topics.last_mut().filter(|last| last.name.as_str() == topic) {
            Some(last) => last.partition_indexes.push(*number),
            None => {
                let named = OffsetFetchRequestTopics::default().with_name(TopicName(text(topic.clone())));
                topics.push(named.with_partition_indexes(vec![*number]));
            }
        }
    }
    topics
}

fn fetch_topic(
    group: &str,
    topic: &OffsetFetchRequestTopics,
    require_stable: bool,
    context: &Context<'_>,
) -> OffsetFetchResponseTopics {
    let is_visible = context.may_topic(Operation::Describe, &topic.name);
    let partitions = topic.partition_indexes.iter().map(|number| {
        if is_visible {
            fetch_partition(group, &topic.name, *number, require_stable, context)
        } else {
            nothing(*number).with_error_code(ResponseError::TopicAuthorizationFailed.code())
        }
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions)
}

fn fetch_partition(
    group: &str,
    topic: &str,
    number: i32,
    require_stable: bool,
    context: &Context<'_>,
) -> OffsetFetchResponsePartitions {
    let groups = &context.state.groups;
    let partition = (topic.to_owned(), number);
    if require_stable && groups.committed(group).is_some() && groups.is_unstable(group, &partition) {
        return nothing(number).with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    match groups.committed(group).and_then(|offsets| offsets.get(&partition)) {
        Some(committed) => OffsetFetchResponsePartitions::default()
            .with_partition_index(number)
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(committed.metadata.clone()))),
        None => nothing(number),
    }
}

/// Nothing was committed.
fn nothing(number: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(number)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(text("")))
}

const BATCHED_FROM: i16 = 8;
