//! Fetch (`ReplicaManager.fetchMessages`, `FetchManager`, KIP-74, KIP-227, KIP-595): batches, with sessions, waiting for enough of
//! them, and at least one whole batch in an answer.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use tokio::time::Instant;
use uuid::Uuid;

use super::text;
use crate::cluster::Shared;
use crate::network::{Connection, Hidden};
use crate::security::acl::{Operation, ResourceType};
use crate::session::{Told, Wanted};
use crate::state::{self, PartitionName, State};

pub(super) async fn handle(
    request: FetchRequest,
    shared: &Shared,
    connection: &Connection,
    version: i16,
    injected: Option<ResponseError>,
) -> FetchResponse {
    let broker = connection.broker;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let mut changes = shared.changes();
    let plan = match plan(&request, &mut shared.lock(), broker, version) {
        Ok(plan) => plan,
        Err(error) => return FetchResponse::default().with_error_code(error.code()),
    };
    if !connection.throttle.is_zero() {
        return throttled(&plan, connection, &mut shared.lock());
    }
    loop {
        let reads = read_all(&plan, (&request, version), &mut shared.lock(), connection, injected);
        let bytes: usize = reads.iter().map(Read::bytes).sum();
        let is_enough = bytes >= usize::try_from(request.min_bytes).unwrap_or(0)
            || reads.iter().any(|read| read.is_news(&plan))
            || plan.wanted.is_empty();
        let is_late = Instant::now() >= deadline;
        if is_enough || is_late {
            return answer(plan, reads, &mut shared.lock(), broker, version);
        }
        let _ = tokio::time::timeout_at(deadline, changes.changed()).await;
    }
}

/// Nothing but the throttle time (`FetchContext.getThrottledResponse`).
fn throttled(plan: &Plan, connection: &Connection, state: &mut State) -> FetchResponse {
    let response = FetchResponse::default().with_throttle_time_ms(connection.throttle_time_ms());
    match plan.session {
        Some(id) if plan.is_incremental => response.with_session_id(id),
        Some(id) => {
            state.sessions.close(connection.broker, id);
            response
        }
        None => response,
    }
}

/// What is to be read, in order, and for which session.
struct Plan {
    wanted: Vec<(PartitionName, Wanted)>,
    told: Vec<Option<Told>>,
    session: Option<i32>,
    /// Whether partitions without news are left out.
    is_incremental: bool,
}

/// Works out what a request means within its session.
fn plan(request: &FetchRequest, state: &mut State, broker: i32, version: i16) -> Result<Plan, ResponseError> {
    let asked = asked(request, state, version);
    let (id, epoch) =
        if version >= 7 { (request.session_id, request.session_epoch) } else { (0, FINAL_EPOCH) };
    match (id, epoch) {
        (_, FINAL_EPOCH) => {
            state.sessions.close(broker, id);
            let told = vec![None; asked.len()];
            Ok(Plan { wanted: asked, told, session: None, is_incremental: false })
        }
        (_, INITIAL_EPOCH) => {
            state.sessions.close(broker, id);
            let id = state.sessions.open(broker);
            let session = state.sessions.get(broker, id).ok_or(ResponseError::UnknownServerError)?;
            session.epoch = 1;
            asked.iter().for_each(|(name, wanted)| session.want(name.clone(), *wanted));
            let told = vec![None; asked.len()];
            Ok(Plan { wanted: asked, told, session: Some(id), is_incremental: false })
        }
        (id, epoch) => {
            let names = state::names_by_id(&state.topics);
            let session = state.sessions.get(broker, id).ok_or(ResponseError::FetchSessionIdNotFound)?;
            if session.epoch != epoch {
                return Err(ResponseError::InvalidFetchSessionEpoch);
            }
            session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
            for forgotten in &request.forgotten_topics_data {
                let topic = match names.get(&forgotten.topic_id) {
                    Some(name) if version >= 13 => name.clone(),
                    _ => forgotten.topic.to_string(),
                };
                forgotten.partitions.iter().for_each(|number| session.forget(&(topic.clone(), *number)));
            }
            asked.into_iter().for_each(|(name, wanted)| session.want(name, wanted));
            let wanted: Vec<_> = session
                .order
                .iter()
                .filter_map(|name| Some((name.clone(), *session.wanted.get(name)?)))
                .collect();
            let told = wanted.iter().map(|(name, _)| session.told.get(name).copied()).collect();
            Ok(Plan { wanted, told, session: Some(id), is_incremental: true })
        }
    }
}

/// The partitions that a request names. A topic whose id is not known keeps it as its name, to be refused by it.
fn asked(request: &FetchRequest, state: &State, version: i16) -> Vec<(PartitionName, Wanted)> {
    let mut asked = Vec::new();
    for topic in &request.topics {
        let id = if version >= 13 { topic.topic_id } else { Uuid::nil() };
        let name = state.topic_name(&topic.topic, id).unwrap_or_else(|| id.to_string());
        for partition in &topic.partitions {
            let wanted = Wanted {
                topic_id: id,
                offset: partition.fetch_offset,
                leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                bytes_max: partition.partition_max_bytes,
            };
            asked.push(((name.clone(), partition.partition), wanted));
        }
    }
    asked
}

/// What reading a partition gave.
struct Read {
    index: usize,
    name: PartitionName,
    topic_id: Uuid,
    data: PartitionData,
    told: Option<Told>,
}

impl Read {
    fn bytes(&self) -> usize {
        self.data.records.as_ref().map_or(0, |records| records.len())
    }

    /// Whether it says something that must not wait: an error, a divergence, or the first word in a session.
    fn is_news(&self, plan: &Plan) -> bool {
        self.data.error_code != 0
            || self.data.diverging_epoch.epoch >= 0
            || self.data.preferred_read_replica.0 >= 0
            || plan.session.is_some()
                && plan.told.get(self.index).is_some_and(Option::is_none)
                && !plan.is_incremental
    }
}

fn read_all(
    plan: &Plan,
    (request, version): (&FetchRequest, i16),
    state: &mut State,
    connection: &Connection,
    injected: Option<ResponseError>,
) -> Vec<Read> {
    let mut room = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut is_first = true;
    let mut reads = Vec::with_capacity(plan.wanted.len());
    for (index, (name, wanted)) in plan.wanted.iter().enumerate() {
        let is_committed = request.isolation_level == 1;
        let mut read = match injected {
            Some(error) => Err(error),
            None if !may_read(state, connection, &name.0) => Err(ResponseError::TopicAuthorizationFailed),
            None => {
                let reader =
                    Reader { broker: connection.broker, is_committed, knows_replicas: version >= 11 };
                read(state, reader, name, wanted, room, is_first)
            }
        }
        .unwrap_or_else(|error| refused(state, name, error));
        read.data.partition_index = name.1;
        if is_hidden(state, connection, &name.0) {
            read.data.records = Some(bytes::Bytes::new());
        }
        let bytes = read.data.records.as_ref().map_or(0, |records| records.len());
        is_first &= bytes == 0;
        room = room.saturating_sub(bytes);
        reads.push(Read {
            index,
            name: name.clone(),
            topic_id: wanted.topic_id,
            data: read.data,
            told: read.told,
        });
    }
    reads
}

fn is_hidden(state: &State, connection: &Connection, topic: &str) -> bool {
    let is_compacted = || {
        let policy = state.topics.get(topic).and_then(|topic| topic.configs.get("cleanup.policy"));
        policy.is_some_and(|policy| policy.contains("compact"))
    };
    match connection.hidden {
        Hidden::Nothing => false,
        Hidden::Tiered => !is_compacted(),
        Hidden::Everything => true,
    }
}

fn may_read(state: &State, connection: &Connection, topic: &str) -> bool {
    state.authorizer.allows(&connection.principal, Operation::Read, ResourceType::Topic, topic)
}

struct PartitionRead {
    data: PartitionData,
    told: Option<Told>,
}

fn refused(state: &State, name: &PartitionName, error: ResponseError) -> PartitionRead {
    let mut data = PartitionData::default()
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(bytes::Bytes::new()));
    let partition =
        state.topics.get(&name.0).and_then(|topic| topic.partitions.get(usize::try_from(name.1).ok()?));
    if let Some((leader, partition)) = partition.and_then(|partition| Some((partition.leader?, partition)))
        && matches!(error, ResponseError::NotLeaderOrFollower | ResponseError::FencedLeaderEpoch)
    {
        data.current_leader = LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(partition.leader_epoch);
    }
    PartitionRead { data, told: None }
}

/// Who asks which broker.
struct Reader {
    broker: i32,
    is_committed: bool,
    /// From version 11 on a reader can be sent to a replica, and read from one (KIP-392).
    knows_replicas: bool,
}

fn read(
    state: &mut State,
    reader: Reader,
    name: &PartitionName,
    wanted: &Wanted,
    room: usize,
    is_first: bool,
) -> Result<PartitionRead, ResponseError> {
    if !wanted.topic_id.is_nil() && state.topics.get(&name.0).is_none_or(|topic| topic.id != wanted.topic_id)
    {
        return Err(ResponseError::UnknownTopicId);
    }
    let replica = state.readers_replica.filter(|_| reader.knows_replicas);
    let (partition, _) = match replica == Some(reader.broker) {
        true => state.partition(&name.0, name.1)?,
        false => state.led_by(reader.broker, &name.0, name.1)?,
    };
    partition.check_epoch(wanted.leader_epoch)?;
    let log = &partition.log;
    let told = Told { high_watermark: log.high_watermark(), log_start: log.start() };
    let data = PartitionData::default()
        .with_high_watermark(log.high_watermark())
        .with_last_stable_offset(log.last_stable_offset())
        .with_log_start_offset(log.start())
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(bytes::Bytes::new()));
    if wanted.last_fetched_epoch >= 0 {
        let (current, end) = (partition.leader_epoch, log.end());
        let known = log.epochs.end_offset_for(wanted.last_fetched_epoch, current, end);
        let (epoch, end_offset) = known.ok_or(ResponseError::OffsetOutOfRange)?;
        if epoch < wanted.last_fetched_epoch || end_offset < wanted.offset {
            let diverging = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
            return Ok(PartitionRead { data: data.with_diverging_epoch(diverging), told: Some(told) });
        }
    }
    if wanted.offset < log.start() || wanted.offset > log.end() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if let Some(replica) = replica.filter(|replica| *replica != reader.broker) {
        // The log is not read then, and what is known of it is true (`ReplicaManager.readFromLog`).
        let data = data.with_preferred_read_replica(BrokerId(replica));
        return Ok(PartitionRead { data, told: Some(told) });
    }
    let end = if reader.is_committed { log.last_stable_offset() } else { log.high_watermark() };
    let bytes_max = usize::try_from(wanted.bytes_max).unwrap_or(0).min(room);
    let found = log.read(wanted.offset, end, bytes_max, is_first);
    let aborted = reader.is_committed.then(|| {
        let aborted = found.aborted.iter().map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        });
        aborted.collect()
    });
    let data = data.with_records(Some(found.records)).with_aborted_transactions(aborted);
    Ok(PartitionRead { data, told: Some(told) })
}

fn answer(plan: Plan, reads: Vec<Read>, state: &mut State, broker: i32, version: i16) -> FetchResponse {
    let mut response = FetchResponse::default();
    let mut had_records = Vec::new();
    for read in reads {
        let before = plan.told.get(read.index).copied().flatten();
        let has_records = read.bytes() > 0;
        let is_news = has_records
            || read.data.error_code != 0
            || read.data.preferred_read_replica.0 >= 0
            || read.data.diverging_epoch.epoch >= 0
            || before.is_none()
            || before != read.told;
        if let Some(session) = plan.session.and_then(|id| state.sessions.get(broker, id)) {
            match read.told {
                Some(told) => session.told.insert(read.name.clone(), told),
                None => session.told.remove(&read.name),
            };
        }
        if has_records {
            had_records.push(read.name.clone());
        }
        if !plan.is_incremental || is_news {
            push(&mut response, read, version);
        }
    }
    if let Some(id) = plan.session {
        response.session_id = id;
        if let Some(session) = state.sessions.get(broker, id) {
            session.rotate(&had_records);
        }
    }
    response
}

fn push(response: &mut FetchResponse, read: Read, version: i16) {
    let is_same = |topic: &&mut FetchableTopicResponse| {
        if version >= 13 { topic.topic_id == read.topic_id } else { *topic.topic.0 == *read.name.0 }
    };
    match response.responses.iter_mut().find(is_same) {
        Some(topic) => topic.partitions.push(read.data),
        None => {
            let topic = FetchableTopicResponse::default().with_partitions(vec![read.data]);
            response.responses.push(if version >= 13 {
                topic.with_topic_id(read.topic_id)
            } else {
                topic.with_topic(TopicName(text(read.name.0)))
            });
        }
    }
}

/// `FetchMetadata.INITIAL_EPOCH`: begins a session.
const INITIAL_EPOCH: i32 = 0;
/// `FetchMetadata.FINAL_EPOCH`: ends one, or wants none.
const FINAL_EPOCH: i32 = -1;
