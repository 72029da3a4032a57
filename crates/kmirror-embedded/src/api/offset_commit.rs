//! OffsetCommit (`KafkaApis.handleOffsetCommitRequest`, `OffsetMetadataManager.commitOffset`): by members of the present generation,
//! or by anybody where nobody is a member.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Context, EmptyName, code};
use crate::coordinator::groups::{CommitAs, Committed};
use crate::security::acl::{Operation, ResourceType};
use crate::state::State;

pub(super) fn handle(request: OffsetCommitRequest, context: &mut Context<'_>) -> OffsetCommitResponse {
    for topic in &request.topics {
        context.state.changes.note_commit(&request.group_id, &topic.name);
    }
    let who = CommitAs {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        generation: request.generation_id_or_member_epoch,
        producer_id: None,
    };
    let wanted: Vec<_> = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)))
        .map(|(topic, partition)| Wanted {
            topic: &topic.name,
            number: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref(),
        })
        .collect();
    let group = &request.group_id;
    let mut committed = commit(group, &who, &wanted, EmptyName::Permitted, context, |_| Ok(())).into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut committed).map(|(partition, committed)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&committed))
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// What is to be committed for a partition.
pub(super) struct Wanted<'a> {
    pub(super) topic: &'a str,
    pub(super) number: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a StrBytes>,
}

/// Commits offsets of a group; what becomes of each. Who may not commit is not told before the partitions are known. `verify` is asked
/// by the group's coordinator, before it looks at its members.
pub(super) fn commit(
    group: &str,
    who: &CommitAs,
    wanted: &[Wanted<'_>],
    empty_name: EmptyName,
    context: &mut Context<'_>,
    verify: impl FnOnce(&mut State) -> Result<(), ResponseError>,
) -> Vec<Result<(), ResponseError>> {
    if !context.may(Operation::Read, ResourceType::Group, group) {
        return wanted.iter().map(|_| Err(ResponseError::GroupAuthorizationFailed)).collect();
    }
    let mut results: Vec<_> =
        wanted.iter().map(|wanted| context.check_partition(wanted.topic, wanted.number)).collect();
    if !results.iter().any(Result::is_ok) {
        return results;
    }
    let now_ms = context.state.now_ms();
    let permitted = context
        .check_group(Operation::Read, group, empty_name)
        .and_then(|()| verify(context.state))
        .and_then(|()| context.state.groups.check_commit(group, who, now_ms))
        .map_err(|error| as_known_to(error, who, context));
    for (wanted, result) in wanted.iter().zip(&mut results).filter(|(_, result)| result.is_ok()) {
        *result = permitted.and_then(|()| commit_one(group, who, wanted, context));
    }
    results
}

/// Clients of OffsetCommit before version 9, and all of TxnOffsetCommit, do not know that a group may not be there; brokers before
/// 4.0 never say so.
fn as_known_to(error: ResponseError, who: &CommitAs, context: &Context<'_>) -> ResponseError {
    let has_news = context.state.profile.has_new_group_coordinator() && context.version >= 9;
    let is_known = who.producer_id.is_none() && has_news;
    if error == ResponseError::GroupIdNotFound && !is_known {
        ResponseError::IllegalGeneration
    } else {
        error
    }
}

fn commit_one(
    group: &str,
    who: &CommitAs,
    wanted: &Wanted<'_>,
    context: &mut Context<'_>,
) -> Result<(), ResponseError> {
    let metadata = wanted.metadata.map_or("", |metadata| metadata.as_str());
    if metadata.encode_utf16().count() > METADATA_LENGTH_MAX {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed =
        Committed { offset: wanted.offset, leader_epoch: wanted.leader_epoch, metadata: metadata.to_owned() };
    let partition = (wanted.topic.to_owned(), wanted.number);
    context.state.groups.commit(group, who, partition, committed);
    Ok(())
}

/// `offset.metadata.max.bytes`, which counts UTF-16 units.
const METADATA_LENGTH_MAX: usize = 4_096;
