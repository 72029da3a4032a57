//! Samples of the responses of coordinators.

use super::*;

pub(super) fn commits(sample: &Sample, version: i16) -> m::OffsetCommitResponse {
    use m::offset_commit_response as r;
    let partition = r::OffsetCommitResponsePartition::default()
        .with_partition_index(sample.int())
        .with_error_code(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 8));
    let topic = r::OffsetCommitResponseTopic::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    m::OffsetCommitResponse::default().with_throttle_time_ms(sample.int()).with_topics(sample.many(topic))
}

pub(super) fn offsets(sample: &Sample, version: i16) -> m::OffsetFetchResponse {
    use m::offset_fetch_response as r;
    let response = m::OffsetFetchResponse::default().with_throttle_time_ms(sample.int());
    if version <= 7 {
        let partition = r::OffsetFetchResponsePartition::default()
            .with_partition_index(sample.int())
            .with_committed_offset(sample.number)
            .with_committed_leader_epoch(sample.int())
            .with_metadata(sample.nullable())
            .with_error_code(sample.short())
            .with_unknown_tagged_fields(sample.tags(version >= 6));
        let topic = r::OffsetFetchResponseTopic::default()
            .with_name(text(&sample.name).into())
            .with_partitions(sample.many(partition));
        return response.with_topics(sample.many(topic)).with_error_code(sample.short());
    }
    let partition = r::OffsetFetchResponsePartitions::default()
        .with_partition_index(sample.int())
        .with_committed_offset(sample.number)
        .with_committed_leader_epoch(sample.int())
        .with_metadata(sample.nullable())
        .with_error_code(sample.short());
    let topic = r::OffsetFetchResponseTopics::default()
        .with_name(text(&sample.name).into())
        .with_partitions(sample.many(partition));
    let group = r::OffsetFetchResponseGroup::default()
        .with_group_id(text(&sample.name).into())
        .with_topics(sample.many(topic))
        .with_error_code(sample.short());
    response.with_groups(sample.many(group)).with_unknown_tagged_fields(sample.tags(true))
}

pub(super) fn groups(sample: &Sample, version: i16) -> m::ListGroupsResponse {
    use m::list_groups_response as r;
    let mut group = r::ListedGroup::default()
        .with_group_id(text(&sample.name).into())
        .with_protocol_type(text(&sample.name))
        .with_unknown_tagged_fields(sample.tags(version >= 3));
    if version >= 4 {
        group = group.with_group_state(text(&sample.name));
    }
    if version >= 5 {
        group = group.with_group_type(text(&sample.name));
    }
    m::ListGroupsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_groups(sample.many(group))
}

pub(super) fn coordinators(sample: &Sample, version: i16) -> m::FindCoordinatorResponse {
    use m::find_coordinator_response as r;
    let response = m::FindCoordinatorResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_unknown_tagged_fields(sample.tags(version >= 3));
    if version <= 3 {
        return response
            .with_error_code(sample.short())
            .with_error_message(sample.nullable())
            .with_node_id(sample.int().into())
            .with_host(text(&sample.name))
            .with_port(sample.int());
    }
    let coordinator = r::Coordinator::default()
        .with_key(text(&sample.name))
        .with_node_id(sample.int().into())
        .with_host(text(&sample.name))
        .with_port(sample.int())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable());
    response.with_coordinators(sample.many(coordinator))
}

pub(super) fn added(sample: &Sample, version: i16) -> m::AddPartitionsToTxnResponse {
    use m::add_partitions_to_txn_response as r;
    let partition = r::AddPartitionsToTxnPartitionResult::default()
        .with_partition_index(sample.int())
        .with_partition_error_code(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 3));
    let topic = r::AddPartitionsToTxnTopicResult::default()
        .with_name(text(&sample.name).into())
        .with_results_by_partition(sample.many(partition));
    m::AddPartitionsToTxnResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_results_by_topic_v3_and_below(sample.many(topic))
}

pub(super) fn ended(sample: &Sample, version: i16) -> m::EndTxnResponse {
    m::EndTxnResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 3))
}
