//! The state topic itself: created, read, written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmirror_client::{
    Client, ClientError, Deadline, Isolation, KafkaError, Moment, OffsetSpec, TopicId, TopicPartition, Topics,
};
use kmirror_codec::{
    Batch, BatchBuilder, Compression, Entry, Limits, NewRecord, Records, Stamp, Workspace, decompress, split,
    stamp,
};

use super::record::{self, PartitionRecord};
use super::{flow_record, guard_record, topic_record, whole};
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::identity::STATE_PRODUCER_ID;
use crate::ground::sequence::Sequence;
use crate::logs::ends;
use crate::logs::records;
use crate::logs::show::{Look, ShowError, Shown};
use crate::state_topic::claim;

/// The state topic of a cluster. It has one partition: its records are few.
#[derive(Clone, Debug)]
pub(crate) struct StateTopic {
    client: Client,
    partition: TopicPartition,
    /// The topic that was read: one that was created again has another id. None before that, and where the cluster knows no ids.
    topic_id: TopicId,
    /// The next offset to be read.
    position: i64,
    /// The sequence after the last batch that any instance has written, if there is one below `position`.
    next_sequence: Option<Sequence>,
    /// When the request was sent that said where the topic ends.
    read_at: Option<Moment>,
    /// Whether a record of kmirror's was read, and one of somebody else's.
    holds_ours: bool,
    holds_others: bool,
}

/// What a read of the topic has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading<C> {
    /// Whether only these changes count: the topic was created again, or lost what was not read yet, and what is known is forgotten.
    pub(crate) is_anew: bool,
    /// Oldest first.
    pub(crate) changes: Vec<C>,
}

impl<C> Default for Reading<C> {
    fn default() -> Reading<C> {
        Reading { is_anew: false, changes: Vec::new() }
    }
}

/// A latest value: `None` where it was deleted.
pub(crate) type Change = (Subject, Option<Bytes>);

/// What a value is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// What it is a copy of: a [`PartitionRecord`].
    Record(TopicPartition),
    /// When it was whole: a [`Whole`](super::whole::Whole).
    Whole(TopicPartition),
    /// For which flow the target's brokers remember producers for longer, by its scope: a
    /// [`Claim`](crate::state_topic::claim::Claim).
    Claim(String),
    /// Whose copy a target topic is: a [`TopicRecord`](super::topic_record::TopicRecord).
    Topic(Arc<str>),
    /// Between which clusters a flow copies: a [`FlowRecord`](super::flow_record::FlowRecord).
    Flow(String),
    /// Whether its log start follows the source's: a [`GuardRecord`](super::guard_record::GuardRecord).
    Guard(TopicPartition),
}

impl Subject {
    fn of(key: &[u8]) -> Option<Subject> {
        let record = record::partition_of(key).map(Subject::Record);
        let whole = || whole::partition_of(key).map(Subject::Whole);
        let topic = || topic_record::topic_of(key).map(Subject::Topic);
        let flow = || flow_record::flow_of(key).map(Subject::Flow);
        let claim = || claim::scope_of_key(key).map(Subject::Claim);
        let guard = || guard_record::partition_of(key).map(Subject::Guard);
        record.or_else(whole).or_else(topic).or_else(flow).or_else(guard).or_else(claim)
    }
}

/// Any key's: not only partitions have records.
pub(crate) type KeyChange = (Bytes, Option<Bytes>);

impl StateTopic {
    /// The topic with this name, created if it is not there and `replication_factor` is given.
    ///
    /// # Errors
    /// Those of any call.
    pub(crate) async fn open(
        client: &Client,
        name: &str,
        replication_factor: Option<i16>,
    ) -> Result<Option<StateTopic>, ClientError> {
        let partition = records::ensure(client, name, replication_factor).await?;
        Ok(partition.map(|partition| StateTopic {
            client: client.clone(),
            partition,
            topic_id: TopicId::NONE,
            position: 0,
            next_sequence: None,
            read_at: None,
            holds_ours: false,
            holds_others: false,
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.partition.topic
    }

    /// Why the topic, which was read, must not be written to, if that is so: it holds somebody else's records alone, or would lose what is recorded.
    pub(crate) async fn unfit(&self) -> Option<String> {
        if self.holds_others && !self.holds_ours {
            return Some("it holds records that kmirror did not write: somebody else uses it".to_owned());
        }
        // Who may not read it will not be kept from copying for that.
        let described =
            self.client.describe_topic_configs(std::slice::from_ref(&self.partition.topic)).await.ok()?;
        let entries = described.into_iter().next()?.1.ok()?;
        let policy = entries.into_iter().find(|entry| entry.name == "cleanup.policy")?.value?;
        let is_compacted = policy.split(',').all(|policy| policy.trim() == "compact");
        (!is_compacted).then(|| format!("cleanup.policy={policy} is set on it, so that what is recorded there would expire: set compact"))
    }

    /// What was written since the last time of what a store knows, oldest first.
    pub(crate) async fn read(&mut self) -> Result<Reading<Change>, StateError> {
        let Reading { is_anew, changes } = self.read_keys().await?;
        let of_partition = |(key, value): KeyChange| Some((Subject::of(&key)?, value));
        Ok(Reading { is_anew, changes: changes.into_iter().filter_map(of_partition).collect() })
    }

    /// What was written since the last time, oldest first. A batch that cannot be read is an error: nothing may be left out.
    pub(crate) async fn read_keys(&mut self) -> Result<Reading<KeyChange>, StateError> {
        let asked_at = Moment::now();
        let topic_id = self.refreshed_id().await?;
        let end = self.offset(OffsetSpec::Latest).await?;
        let mut read = Read { position: self.position, next_sequence: self.next_sequence, ..Read::default() };
        // Where the cluster is too old for topic ids (before 2.8) only the end tells that it was created again.
        if end < self.position || self.topic_id.is_other_than(topic_id) {
            read = Read::anew_from(0);
        }
        while read.position < end {
            self.read_some(&mut read, end).await?;
        }
        if topic_id.is_other_than(self.known_id()) {
            return Err(StateError::Unreachable(format!(
                "{} was created again while it was read",
                self.name()
            )));
        }
        for (key, _) in &read.changes {
            let is_ours = super::is_ours(key);
            self.holds_ours |= is_ours;
            self.holds_others |= !is_ours;
        }
        // Only now: what was read before an error is read again.
        (self.position, self.next_sequence) = (read.position, read.next_sequence);
        (self.topic_id, self.read_at) = (topic_id, Some(asked_at));
        Ok(Reading { is_anew: read.is_anew, changes: read.changes })
    }

    /// Reads on, by one answer of the leader.
    async fn read_some(&self, read: &mut Read, end: i64) -> Result<(), StateError> {
        let before = read.position;
        let look = Look {
            client: &self.client,
            partition: &self.partition,
            isolation: Isolation::ReadUncommitted,
            bytes_max: FETCH_BYTES_MAX,
            budget: None,
        };
        let fetched = match look.at(before).await {
            Ok(Shown::Answer(fetched)) => fetched,
            Ok(Shown::Bare(bare_end)) => {
                read.position = bare_end;
                return Ok(());
            }
            Err(ShowError::Client(error)) if error.kafka_error() == Some(KafkaError::OFFSET_OUT_OF_RANGE) => {
                return self.begin_at_log_start(read, &error).await;
            }
            Err(error) => return Err(self.unshown(&error)),
        };
        let readable_end = fetched.readable_end(Isolation::ReadUncommitted);
        for entry in split(fetched.records, before) {
            let damaged = |error: kmirror_codec::BatchError| self.damaged(before, &error);
            let Entry::Batch(batch) = entry.map_err(damaged)? else { continue };
            read.take_in(&batch).map_err(damaged)?;
        }
        if read.position == before {
            return Err(StateError::Unreachable(format!(
                "{}: the leader shows offsets up to {readable_end}, and {end} was shown before",
                self.name()
            )));
        }
        Ok(())
    }

    /// Somebody deleted what was to be read next (DeleteRecords, or a retention that was set by mistake). What was recorded there may
    /// have replaced what is known: only what the topic holds still counts, as for whoever reads it for the first time.
    async fn begin_at_log_start(
        &self,
        read: &mut Read,
        out_of_range: &ClientError,
    ) -> Result<(), StateError> {
        let log_start = self.offset(OffsetSpec::Earliest).await?;
        if log_start <= read.position {
            return Err(self.unreachable(out_of_range));
        }
        *read = Read::anew_from(log_start);
        Ok(())
    }

    async fn offset(&self, spec: OffsetSpec) -> Result<i64, StateError> {
        ends::offset(&self.client, &self.partition, spec, Isolation::ReadUncommitted)
            .await
            .map_err(|error| self.unreachable(&error))
    }

    /// The id of the topic that has the name now.
    async fn refreshed_id(&self) -> Result<TopicId, StateError> {
        let topics = Topics::Named(vec![Arc::clone(&self.partition.topic)]);
        self.client.refresh_metadata(topics).await.map_err(|error| self.unreachable(&error))?;
        Ok(self.known_id())
    }

    /// The same as requests carry it, be it that another task has learned of it.
    fn known_id(&self) -> TopicId {
        self.client.metadata().topic(self.name()).map_or(TopicId::NONE, |topic| topic.id)
    }

    /// Whether the topic was read so recently that it may be written to. A broker that has forgotten the producer of all instances, as
    /// it does where none has written for a day, takes any sequence: it would not tell that another one has written since.
    pub(crate) fn is_fresh(&self) -> bool {
        self.write_deadline().is_some_and(|deadline| !deadline.is_over(Moment::now()))
    }

    fn write_deadline(&self) -> Option<Deadline> {
        self.read_at.map(|read_at| Deadline::new(read_at, READ_AGE_MAX))
    }

    /// Appends one batch of records behind what was read, unless another instance has written since: like data, it carries the next
    /// sequence of a producer id that all instances share. Whether it stands in the topic is for the changes to say, which are read
    /// then: a broker takes another instance's batch with the same sequences for a repeat, whatever is in it.
    pub(crate) async fn write(
        &mut self,
        records: &[(&TopicPartition, &PartitionRecord)],
    ) -> Result<Reading<Change>, WriteError> {
        let batch = self.built(records)?;
        let appended = self.append(&batch).await?;
        let reading = self.read().await?;
        match appended {
            Err(error) => Err(WriteError::Refused(error, reading)),
            Ok(()) => Ok(reading),
        }
    }

    /// The same with any keys, and what was read then of any key.
    pub(crate) async fn write_keys(
        &mut self,
        records: &[records::KeyValue],
    ) -> Result<(Reading<KeyChange>, Result<(), ClientError>), StateError> {
        let appended = match records::built(records) {
            Ok(batch) => self.append(&batch).await?,
            Err(error) => Err(self.not_built(&error)),
        };
        Ok((self.read_keys().await?, appended))
    }

    /// Appends a batch, unless it is seen, or the broker says, that another instance has written since.
    async fn append(&self, batch: &Batch) -> Result<Result<(), ClientError>, StateError> {
        let Some(next) = self.next_sequence().await? else { return Ok(Ok(())) };
        let identity =
            Stamp { producer_id: STATE_PRODUCER_ID, producer_epoch: 0, base_sequence: next.value() };
        let header = stamp(batch, &identity);
        // What was never read rests on nothing that could be too old.
        let deadline = self.write_deadline();
        let appended =
            self.client.produce_once(&self.partition, header, batch.payload(), WRITE_TIMEOUT, deadline).await;
        Ok(match appended {
            Err(error) if error.kafka_error() != Some(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER) => Err(error),
            _ => Ok(()),
        })
    }

    /// The sequence of the next batch behind what was read. `None`: more is to be read first, for the topic is another one, or has
    /// become longer.
    async fn next_sequence(&self) -> Result<Option<Sequence>, StateError> {
        if self.topic_id.is_other_than(self.refreshed_id().await?) {
            return Ok(None);
        }
        if self.next_sequence.is_some() || self.position == 0 {
            return Ok(Some(self.next_sequence.unwrap_or_else(|| Sequence::of_first_append(self.position))));
        }
        // The log shows no batch of ours any more. A broker remembers the producer all the same: DeleteRecords leaves its state as it is
        // (KAFKA-7190). Those before 2.8 cannot tell.
        let described = self.client.describe_producers(std::slice::from_ref(&self.partition)).await;
        let producers = described.into_iter().filter_map(|(_, producers)| producers.ok()).flatten();
        let last = producers
            .filter(|producer| producer.producer_id == STATE_PRODUCER_ID)
            .find_map(|producer| producer.last_sequence);
        // What another instance has written in between moved the sequence as well.
        let is_unmoved = self.offset(OffsetSpec::Latest).await? == self.position;
        let next =
            last.map_or_else(|| Sequence::of_first_append(self.position), |last| Sequence::after(last, 1));
        Ok(is_unmoved.then_some(next))
    }

    fn built(&self, records: &[(&TopicPartition, &PartitionRecord)]) -> Result<Batch, WriteError> {
        let timestamp = records::now_ms();
        let not_built = |error| WriteError::Refused(self.not_built(&error), Reading::default());
        let mut builder = BatchBuilder::new(0);
        for (offset, (partition, record)) in records.iter().enumerate() {
            let (key, value) = (record::key_of(partition), record.to_json());
            let record = NewRecord {
                offset: offset as i64,
                timestamp,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            };
            builder.push(&record).map_err(not_built)?;
        }
        builder.build(Compression::None, &mut Workspace::new()).map_err(not_built)
    }

    /// Asks who leads the topic's partition now.
    pub(crate) async fn look_for_leader(&self) {
        let topics = Topics::Named(vec![Arc::clone(&self.partition.topic)]);
        let _ = self.client.refresh_metadata(topics).await;
    }

    fn not_built(&self, error: &kmirror_codec::BatchError) -> ClientError {
        ClientError::InvalidResponse {
            address: self.client.alias().into(),
            api: "Produce",
            problem: format!("a record of the state topic cannot be built: {error}").into(),
        }
    }

    fn unreachable(&self, error: &ClientError) -> StateError {
        if error.is_authorization() {
            StateError::Unauthorized(format!(
                "the state topic {} cannot be read: {error}; kmirror needs READ, WRITE and DESCRIBE on it",
                self.name()
            ))
        } else {
            StateError::Unreachable(format!("the state topic {} cannot be read: {error}", self.name()))
        }
    }

    fn unshown(&self, error: &ShowError) -> StateError {
        match error {
            ShowError::Client(error) => self.unreachable(error),
            ShowError::Hidden { .. } => StateError::Unreachable(error.to_string()),
        }
    }

    fn damaged(&self, offset: i64, error: &kmirror_codec::BatchError) -> StateError {
        StateError::Unreachable(format!(
            "the state topic {} cannot be read at or after offset {offset}: {error}",
            self.name()
        ))
    }
}

/// How far a read has come.
#[derive(Default)]
struct Read {
    is_anew: bool,
    position: i64,
    next_sequence: Option<Sequence>,
    changes: Vec<KeyChange>,
}

impl Read {
    /// From here on, and nothing of before counts.
    fn anew_from(position: i64) -> Read {
        Read { is_anew: true, position, ..Read::default() }
    }

    fn take_in(&mut self, batch: &Batch) -> Result<(), kmirror_codec::BatchError> {
        let header = *batch.header();
        self.position = header.next_offset();
        if header.attributes.is_control() {
            return Ok(());
        }
        self.changes.extend(changes_of(batch)?);
        if header.producer_id == STATE_PRODUCER_ID {
            // The cleaner lowers a batch's count but keeps its sequences, which span the offsets.
            let count = header.last_offset_delta.saturating_add(1);
            self.next_sequence = Some(Sequence::after(header.base_sequence, count));
        }
        Ok(())
    }
}

/// Why a batch does not stand in the topic.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The broker refused it or did not answer; what was read after that.
    Refused(ClientError, Reading<Change>),
    /// The topic could not be read after it, so it may stand there or not.
    Unread(StateError),
}

impl From<StateError> for WriteError {
    fn from(error: StateError) -> WriteError {
        WriteError::Unread(error)
    }
}

/// Why the state could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// It is not what it was when it was read.
    #[error("another instance has recorded something of this partition meanwhile")]
    Changed,
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Unreachable(String),
}

impl StateError {
    /// What it means for a flow that knows nothing yet.
    pub(crate) fn of_flow(&self, flow: &Flow) -> Error {
        Error::StateTopic {
            alias: flow.target.clone(),
            topic: flow.state_topic.clone(),
            reason: self.to_string(),
            unauthorized: matches!(self, StateError::Unauthorized(_)),
        }
    }
}

fn changes_of(batch: &Batch) -> Result<Vec<KeyChange>, kmirror_codec::BatchError> {
    batch.verify_crc()?;
    let mut workspace = Workspace::new();
    let mut changes = Vec::new();
    for record in Records::new(batch.header(), decompress(batch, &Limits::default(), &mut workspace)?) {
        let record = record?;
        if let Some(key) = record.key {
            changes.push((Bytes::copy_from_slice(key), record.value.map(Bytes::copy_from_slice)));
        }
    }
    Ok(changes)
}

const FETCH_BYTES_MAX: i32 = 1 << 20;
/// A record has a few hundred bytes: far below the default `max.message.bytes`.
pub(crate) const RECORDS_PER_BATCH_MAX: usize = 500;
/// How long ago the topic may have been read when it is written to.
const READ_AGE_MAX: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
