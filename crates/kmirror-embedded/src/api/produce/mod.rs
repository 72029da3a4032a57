//! Produce (`KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords`): one batch for each partition, acknowledged when all
//! in-sync replicas have it.

mod transaction;

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, TopicName};
use tokio::time::Instant;
use uuid::Uuid;

use self::transaction::{refusal_of_all, verify};
use super::text;
use crate::cluster::Shared;
use crate::log::{AppendedAt, Origin, Refused};
use crate::network::Connection;
use crate::security::acl::{Operation, ResourceType};
use crate::state::{PartitionName, State};

/// `None`: the producer wants no answer.
pub(super) async fn handle(
    request: ProduceRequest,
    shared: &Shared,
    connection: &Connection,
    version: i16,
    injected: Option<ResponseError>,
) -> Option<ProduceResponse> {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + timeout;
    let acks = request.acks;
    let mut appends = append_all(request, &mut shared.lock(), connection, version, injected);
    shared.changed();
    if acks == 0 {
        return None;
    }
    if acks == -1 {
        replicated(&mut appends, shared, deadline).await;
    }
    let response = response(appends, &shared.lock(), version);
    Some(response.with_throttle_time_ms(connection.throttle_time_ms()))
}

/// One partition's append, and what came of it.
struct Append {
    topic: String,
    topic_id: Uuid,
    partition: i32,
    result: Result<AppendedAt, Refused>,
}

fn append_all(
    request: ProduceRequest,
    state: &mut State,
    connection: &Connection,
    version: i16,
    injected: Option<ResponseError>,
) -> Vec<Append> {
    let acks = request.acks;
    let refusal = refusal_of_all(&request, state, connection, injected);
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    let mut appends = Vec::new();
    for topic in &request.topic_data {
        let id = if version >= 13 { topic.topic_id } else { Uuid::nil() };
        let name = state.topic_name(&topic.name, id);
        for data in &topic.partition_data {
            let result = match (&refusal, &name) {
                (Some(refused), _) => Err(refused.clone()),
                (None, None) => Err(Refused::new(ResponseError::UnknownTopicId, "There is no such topic")),
                (None, Some(_)) if !matches!(acks, -1..=1) => {
                    Err(Refused::new(ResponseError::InvalidRequiredAcks, "acks must be -1, 0 or 1"))
                }
                (None, Some(name)) if !may_write(state, connection, name) => {
                    Err(Refused::new(ResponseError::TopicAuthorizationFailed, "Topic authorization failed."))
                }
                (None, Some(name)) => {
                    let records = data.records.clone().unwrap_or_default();
                    let to = (name.clone(), data.index);
                    append(state, connection.broker, version, transactional_id, to, &records)
                }
            };
            let topic = name.clone().unwrap_or_default();
            appends.push(Append { topic, topic_id: id, partition: data.index, result });
        }
    }
    appends
}

fn may_write(state: &State, connection: &Connection, topic: &str) -> bool {
    state.authorizer.allows(&connection.principal, Operation::Write, ResourceType::Topic, topic)
}

fn append(
    state: &mut State,
    broker: i32,
    version: i16,
    transactional_id: Option<&str>,
    to: PartitionName,
    records: &Bytes,
) -> Result<AppendedAt, Refused> {
    verify(state, broker, version, transactional_id, &to, records)?;
    let now_ms = state.now_ms();
    let bytes_max = state.limits.partition_bytes_max;
    let (partition, rules) = state.led_by(broker, &to.0, to.1).map_err(|error| Refused::new(error, ""))?;
    let origin = Origin { version, leader_epoch: partition.leader_epoch, now_ms };
    let appended = partition.log.append(records, &rules, origin)?;
    partition.replicate();
    if let Some(bytes_max) = bytes_max {
        partition.log.retain_bytes(bytes_max);
    }
    Ok(appended)
}

/// Waits until everything is replicated; what is not in time was appended all the same (`DelayedProduce`).
async fn replicated(appends: &mut [Append], shared: &Shared, deadline: Instant) {
    let mut changes = shared.changes();
    loop {
        if appends.iter().all(|append| is_replicated(append, &shared.lock())) {
            return;
        }
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            break;
        }
    }
    let state = shared.lock();
    for append in appends.iter_mut().filter(|append| !is_replicated(append, &state)) {
        append.result =
            Err(Refused::new(ResponseError::RequestTimedOut, "The replicas did not answer in time"));
    }
}

fn is_replicated(append: &Append, state: &State) -> bool {
    let Ok(appended) = &append.result else { return true };
    let partitions = state.topics.get(&append.topic).map(|topic| &topic.partitions);
    let index = usize::try_from(append.partition).ok();
    let partition = partitions.zip(index).and_then(|(partitions, index)| partitions.get(index));
    partition.is_none_or(|partition| partition.log.high_watermark() >= appended.next_offset)
}

fn response(appends: Vec<Append>, state: &State, version: i16) -> ProduceResponse {
    let mut topics: Vec<TopicProduceResponse> = Vec::new();
    let mut moved = false;
    for append in appends {
        let is_same = |topic: &&mut TopicProduceResponse| {
            if version >= 13 { topic.topic_id == append.topic_id } else { *topic.name.0 == *append.topic }
        };
        let partition = partition_response(&append, state, version);
        moved |= partition.error_code == ResponseError::NotLeaderOrFollower.code();
        match topics.iter_mut().find(is_same) {
            Some(topic) => topic.partition_responses.push(partition),
            None => {
                let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
                topics.push(if version >= 13 {
                    topic.with_topic_id(append.topic_id)
                } else {
                    topic.with_name(TopicName(text(append.topic)))
                });
            }
        }
    }
    let response = ProduceResponse::default().with_responses(topics);
    if moved && version >= 10 { response.with_node_endpoints(endpoints(state)) } else { response }
}

fn partition_response(append: &Append, state: &State, version: i16) -> PartitionProduceResponse {
    let partition = PartitionProduceResponse::default().with_index(append.partition);
    match &append.result {
        Ok(appended) => {
            partition.with_base_offset(appended.base_offset).with_log_append_time_ms(appended.append_time)
        }
        Err(refused) => {
            let mut partition = partition
                .with_error_code(refused.error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1);
            if version >= 8 {
                let records = refused.records.iter().map(|(index, message)| {
                    BatchIndexAndErrorMessage::default()
                        .with_batch_index(*index)
                        .with_batch_index_error_message(Some(text(message.clone())))
                });
                partition = partition
                    .with_record_errors(records.collect())
                    .with_error_message(Some(text(refused.message.clone())));
            }
            let leader = state.topics.get(&append.topic).and_then(|topic| {
                let partition = topic.partitions.get(usize::try_from(append.partition).ok()?)?;
                Some((partition.leader?, partition.leader_epoch))
            });
            match leader {
                Some((leader, epoch))
                    if version >= 10 && refused.error == ResponseError::NotLeaderOrFollower =>
                {
                    let hint =
                        LeaderIdAndEpoch::default().with_leader_id(BrokerId(leader)).with_leader_epoch(epoch);
                    partition.with_current_leader(hint)
                }
                _ => partition,
            }
        }
    }
}

fn endpoints(state: &State) -> Vec<NodeEndpoint> {
    let up = state.brokers.iter().filter(|(_, broker)| broker.is_up);
    up.map(|(id, broker)| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(*id))
            .with_host(text(broker.host.clone()))
            .with_port(i32::from(broker.port))
    })
    .collect()
}
