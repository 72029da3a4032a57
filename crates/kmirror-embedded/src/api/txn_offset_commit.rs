//! TxnOffsetCommit (`KafkaApis.handleTxnOffsetCommitRequest`, `OffsetMetadataManager.commitTransactionalOffset`): offsets that count
//! when the producer's transaction is committed. From version 3 on the member is checked (KIP-447). The partition that keeps the
//! group's offsets must be one of the transaction, and from version 5 on becomes one by that (KIP-890).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::offset_commit::{Wanted, commit};
use super::{Context, EmptyName, code};
use crate::coordinator::Placement;
use crate::coordinator::groups::CommitAs;
use crate::coordinator::transactions::Producer;
use crate::markers::OFFSETS_TOPIC;
use crate::state::State;
use crate::verification::Unadded;

pub(super) fn handle(request: TxnOffsetCommitRequest, context: &mut Context<'_>) -> TxnOffsetCommitResponse {
    let who = CommitAs {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(|id| id.to_string()),
        generation: request.generation_id,
        producer_id: Some(request.producer_id.0),
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
    let mut committed = if context.may_produce_as(&request.transactional_id) {
        let (group, version) = (&request.group_id, context.version);
        commit(group, &who, &wanted, EmptyName::Refused, context, |state| verify(&request, version, state))
    } else {
        wanted.iter().map(|_| Err(ResponseError::TransactionalIdAuthorizationFailed)).collect()
    }
    .into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut committed).map(|(partition, committed)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&committed))
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// Checks that the partition of the group's offsets belongs to the transaction, and that nobody has fenced the producer there.
fn verify(request: &TxnOffsetCommitRequest, version: i16, state: &mut State) -> Result<(), ResponseError> {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let partition = (OFFSETS_TOPIC.to_owned(), Placement::partition_of(&request.group_id));
    let unadded = Unadded::of(version, ABORTABLE_FROM, ADDED_FROM);
    state.verify_transaction(&request.transactional_id, producer, partition, unadded)?;
    state.groups.check_producer(producer)
}

/// `AddPartitionsToTxnManager.txnOffsetCommitRequestVersionToTransactionSupportedOperation`.
const ABORTABLE_FROM: i16 = 4;
const ADDED_FROM: i16 = 5;
