//! The one owner of what is known of the state topic: a task that reads it at the start and when somebody wants it fresh, and
//! writes what changed, many records in one batch, each in place of what its writer has read.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use kmirror_client::{Client, ClientError, Retry, TopicPartition};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::flow_record::{FlowRecord, FlowRecords};
use super::guard_record::{GuardRecord, GuardRecords};
use super::record::{PartitionRecord, RecordError};
use super::topic::{Change, RECORDS_PER_BATCH_MAX, Reading, StateError, StateTopic, Subject, WriteError};
use super::topic_record::{TopicRecord, TopicRecords};
use super::whole::Whole;
use crate::ground::error::Error;
use crate::state_topic::claim::{Claim, Claims};

/// What the state topic says of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Recorded {
    /// Nothing: it was never copied, or the state was lost.
    #[default]
    Nothing,
    Record(Box<PartitionRecord>),
    /// Something that cannot be understood.
    Unreadable(RecordError),
}

/// A handle of the task. It ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct StateStore {
    /// No queue to wait for: the supervisor must not.
    requests: mpsc::UnboundedSender<Request>,
}

#[derive(Debug)]
enum Request {
    /// `fresh`: another instance may have written since.
    Get {
        partition: TopicPartition,
        fresh: bool,
        answer: oneshot::Sender<Result<Recorded, StateError>>,
    },
    /// When the partition was whole, as the topic says now.
    Whole {
        partition: TopicPartition,
        answer: oneshot::Sender<Result<Option<Whole>, StateError>>,
    },
    /// For which flows the target's brokers remember producers for longer. `fresh`: as the topic says now.
    Claims {
        fresh: bool,
        answer: oneshot::Sender<Result<Claims, StateError>>,
    },
    /// What is known of topics, as the topic says now.
    Known {
        answer: oneshot::Sender<Result<Known, StateError>>,
    },
    Put(Put),
}

/// Everything that tells whose copy a topic of the target is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) flows: FlowRecords,
    pub(crate) guards: GuardRecords,
    pub(crate) topics: TopicRecords,
    pub(crate) partitions: BTreeMap<TopicPartition, Recorded>,
}

#[derive(Debug)]
struct Put {
    partition: TopicPartition,
    /// What the record replaces.
    before: Recorded,
    record: Box<PartitionRecord>,
    answer: oneshot::Sender<Result<(), StateError>>,
}

impl StateStore {
    /// Opens the state topic of a flow's target, creates it if it is not there, and reads it.
    pub(crate) async fn open(
        target: &Client,
        alias: &str,
        name: &str,
        replication_factor: i16,
    ) -> Result<StateStore, Error> {
        let failed = |reason: String, unauthorized| Error::StateTopic {
            alias: alias.to_owned(),
            topic: name.to_owned(),
            reason,
            unauthorized,
        };
        let topic = StateTopic::open(target, name, Some(replication_factor))
            .await
            .map_err(|error| match error.kafka_error() {
                Some(_) => failed(error.to_string(), error.is_authorization()),
                None => Error::cluster(alias, error),
            })?
            .ok_or_else(|| failed("it does not exist".to_owned(), false))?;
        let mut store = Store::new(topic);
        store
            .refresh_patiently()
            .await
            .map_err(|error| failed(error.to_string(), matches!(error, StateError::Unauthorized(_))))?;
        if let Some(reason) = store.topic.unfit().await {
            let (alias, topic) = (alias.to_owned(), name.to_owned());
            return Err(Error::StateTopicTaken { alias, topic, reason });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by the partitions, each with a request or two"
        )]
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(store.run(inbox));
        Ok(StateStore { requests })
    }

    /// What is recorded of a partition. `fresh`: the topic is read again first.
    pub(crate) async fn get(&self, partition: &TopicPartition, fresh: bool) -> Result<Recorded, StateError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Get { partition: partition.clone(), fresh, answer });
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// When a partition was whole, as far as anybody has written it down by now.
    pub(crate) async fn whole(&self, partition: &TopicPartition) -> Result<Option<Whole>, StateError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Whole { partition: partition.clone(), answer });
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// For which flows the target's brokers remember producers for longer. `fresh`: as far as anybody has written it down by now.
    pub(crate) async fn claims(&self, fresh: bool) -> Result<Claims, StateError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Claims { fresh, answer });
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Whose copies the target's topics are, as far as anybody has written it down by now.
    pub(crate) async fn known(&self) -> Result<Known, StateError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Known { answer });
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Records something in place of `before`; if the topic holds something else by then, that stays. What it returns ends when all
    /// in-sync replicas have it; records of a partition are written in the order of the calls.
    pub(crate) fn put(
        &self,
        partition: &TopicPartition,
        before: Recorded,
        record: PartitionRecord,
    ) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let (partition, record) = (partition.clone(), Box::new(record));
        let _ = self.requests.send(Request::Put(Put { partition, before, record, answer }));
        async { answered.await.unwrap_or_else(|_| Err(ended())) }
    }
}

/// Reads what is recorded, and creates nothing: for those who only look.
pub(crate) async fn read(target: &Client, name: &str) -> Result<Known, Error> {
    let failed = |reason: String, unauthorized| Error::StateTopic {
        alias: target.alias().to_owned(),
        topic: name.to_owned(),
        reason,
        unauthorized,
    };
    let topic = StateTopic::open(target, name, None)
        .await
        .map_err(|error| failed(error.to_string(), error.is_authorization()))?;
    let Some(topic) = topic else { return Ok(Known::default()) };
    let mut store = Store::new(topic);
    store
        .refresh()
        .await
        .map_err(|error| failed(error.to_string(), matches!(error, StateError::Unauthorized(_))))?;
    Ok(store.known)
}

struct Store {
    topic: StateTopic,
    known: Known,
    wholes: BTreeMap<TopicPartition, Whole>,
    claims: Claims,
}

impl Store {
    fn new(topic: StateTopic) -> Store {
        Store { topic, known: Known::default(), wholes: BTreeMap::new(), claims: Claims::new() }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Request>) {
        let mut requests = Vec::new();
        while inbox.recv_many(&mut requests, REQUESTS_MAX).await > 0 {
            // Whoever asked before others wrote may as well see what they wrote.
            let (mut puts, mut reads, mut wholes, mut claims, mut knowns) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for request in requests.drain(..) {
                match request {
                    Request::Get { partition, fresh, answer } => reads.push((partition, fresh, answer)),
                    Request::Whole { partition, answer } => wholes.push((partition, answer)),
                    Request::Claims { fresh, answer } => claims.push((fresh, answer)),
                    Request::Known { answer } => knowns.push(answer),
                    Request::Put(put) => puts.push(put),
                }
            }
            while !puts.is_empty() {
                puts = self.write_some(puts).await;
            }
            let is_asked = !wholes.is_empty()
                || !knowns.is_empty()
                || claims.iter().any(|(fresh, _)| *fresh)
                || reads.iter().any(|(_, fresh, _)| *fresh);
            let is_fresh = if is_asked { self.refresh().await } else { Ok(()) };
            for (partition, answer) in wholes {
                let known = self.wholes.get(&partition).copied();
                let _ = answer.send(is_fresh.clone().map(|()| known));
            }
            for answer in knowns {
                let _ = answer.send(is_fresh.clone().map(|()| self.known.clone()));
            }
            for (fresh, answer) in claims {
                let known = self.claims.clone();
                let _ = answer.send(if fresh { is_fresh.clone().map(|()| known) } else { Ok(known) });
            }
            for (partition, fresh, answer) in reads {
                let known = self.known.partitions.get(&partition).cloned().unwrap_or_default();
                let _ = answer.send(if fresh { is_fresh.clone().map(|()| known) } else { Ok(known) });
            }
        }
    }

    /// A topic that has just been created, or whose leader has just moved, does not answer at once.
    async fn refresh_patiently(&mut self) -> Result<(), StateError> {
        for attempt in 0..OPEN_RETRIES_MAX {
            match self.refresh().await {
                // Nothing of the flow is to be seen before that.
                Err(StateError::Unreachable(cause))
                    if attempt % OPEN_RETRIES_TOLD == OPEN_RETRIES_TOLD - 1 =>
                {
                    warn!(cause, "the flow cannot start yet");
                }
                Err(StateError::Unreachable(cause)) => debug!(cause, "state not read"),
                read => return read,
            }
            tokio::time::sleep(OPEN_RETRY_INTERVAL).await;
            self.topic.look_for_leader().await;
        }
        self.refresh().await
    }

    async fn refresh(&mut self) -> Result<(), StateError> {
        let reading = self.topic.read().await?;
        if !reading.changes.is_empty() {
            debug!(topic = self.topic.name(), changes = reading.changes.len(), "state read");
        }
        self.take_in_all(reading);
        Ok(())
    }

    /// What the topic does not say any more is forgotten: a record is compared with the topic, not with memory.
    fn take_in_all(&mut self, reading: Reading<Change>) {
        if reading.is_anew {
            warn!(
                topic = self.topic.name(),
                forgotten = self.known.partitions.len(),
                found = reading.changes.len(),
                "the state topic was created again, or records were deleted from it: only what it holds now is known"
            );
            self.known = Known::default();
            self.wholes.clear();
            self.claims.clear();
        }
        reading.changes.into_iter().for_each(|change| self.take_in(change));
    }

    fn take_in(&mut self, (subject, value): Change) {
        let partition = match subject {
            Subject::Record(partition) => partition,
            Subject::Whole(partition) => return keep(&mut self.wholes, partition, value, Whole::from_json),
            Subject::Topic(topic) => {
                return keep(&mut self.known.topics, topic, value, TopicRecord::from_json);
            }
            Subject::Guard(partition) => {
                return keep(&mut self.known.guards, partition, value, GuardRecord::from_json);
            }
            Subject::Flow(flow) => return keep(&mut self.known.flows, flow, value, FlowRecord::from_json),
            Subject::Claim(scope) => return keep(&mut self.claims, scope, value, Claim::from_json),
        };
        let recorded = match value.as_deref().map(PartitionRecord::from_json) {
            None => Recorded::Nothing,
            Some(Ok(record)) => Recorded::Record(Box::new(record)),
            Some(Err(error)) => {
                warn!(topic = self.topic.name(), %partition, %error, "a record of the state topic is not understood");
                Recorded::Unreadable(error)
            }
        };
        self.known.partitions.insert(partition, recorded);
    }

    /// Writes a batch of records, at most one of each partition. The ones that are left.
    async fn write_some(&mut self, puts: Vec<Put>) -> Vec<Put> {
        let (mut some, mut left) = (Vec::<Put>::new(), Vec::new());
        let mut partitions = BTreeSet::new();
        for put in puts {
            let is_first = some.len() < RECORDS_PER_BATCH_MAX && partitions.insert(put.partition.clone());
            if is_first { some.push(put) } else { left.push(put) }
        }
        let mut attempt = 0;
        loop {
            let read = if self.topic.is_fresh() { Ok(()) } else { self.refresh().await };
            some = self.settle(some);
            if some.is_empty() {
                return left;
            }
            attempt += 1;
            let written = match read {
                Ok(()) => self.write(&some, attempt).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                some.into_iter().for_each(|put| drop(put.answer.send(Err(error.clone()))));
                return left;
            }
        }
    }

    /// Answers what stands in the topic, and what must not be written any more. The ones that are left.
    fn settle(&self, puts: Vec<Put>) -> Vec<Put> {
        let mut left = Vec::new();
        for put in puts {
            match self.known.partitions.get(&put.partition).unwrap_or(&Recorded::Nothing) {
                Recorded::Record(record) if *record == put.record => drop(put.answer.send(Ok(()))),
                recorded if *recorded == put.before => left.push(put),
                _ => drop(put.answer.send(Err(StateError::Changed))),
            }
        }
        left
    }

    /// Tries to write once. What stands in the topic then is known.
    async fn write(&mut self, puts: &[Put], attempt: u32) -> Result<(), StateError> {
        let records: Vec<_> = puts.iter().map(|put| (&put.partition, &*put.record)).collect();
        let (error, reading) = match self.topic.write(&records).await {
            Ok(reading) => (None, reading),
            Err(WriteError::Refused(error, reading)) => (Some(error), reading),
            Err(WriteError::Unread(error)) => return Err(error),
        };
        self.take_in_all(reading);
        match error {
            None if attempt < ATTEMPTS_MAX => Ok(()),
            None => Err(StateError::Changed),
            Some(error) if error.retry() == Retry::Never || attempt >= ATTEMPTS_MAX => {
                Err(self.not_written(&error))
            }
            Some(error) => {
                info!(topic = self.topic.name(), %error, "the state is written again");
                self.topic.look_for_leader().await;
                tokio::time::sleep((RETRY_MIN * 2u32.pow(attempt.min(6) - 1)).min(RETRY_MAX)).await;
                Ok(())
            }
        }
    }

    fn not_written(&self, error: &ClientError) -> StateError {
        let text = format!("the state topic {} cannot be written: {error}", self.topic.name());
        if error.is_authorization() {
            StateError::Unauthorized(format!("{text}; kmirror needs READ, WRITE and DESCRIBE on it"))
        } else {
            StateError::Unreachable(text)
        }
    }
}

/// Takes in the latest value of a key. What is not understood is not known.
fn keep<K: Ord, V>(
    known: &mut BTreeMap<K, V>,
    key: K,
    value: Option<Bytes>,
    read: impl Fn(&[u8]) -> Option<V>,
) {
    match value.as_deref().and_then(read) {
        Some(value) => known.insert(key, value),
        None => known.remove(&key),
    };
}

fn ended() -> StateError {
    StateError::Unreachable("the flow has ended".to_owned())
}

/// How many requests are answered by one read or write of the topic.
const REQUESTS_MAX: usize = 10_000;
const ATTEMPTS_MAX: u32 = 20;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
const OPEN_RETRIES_MAX: u32 = 50;
/// After so many, what keeps a flow from starting is told again.
const OPEN_RETRIES_TOLD: u32 = 10;
const OPEN_RETRY_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod lost;
#[cfg(test)]
mod tests;
