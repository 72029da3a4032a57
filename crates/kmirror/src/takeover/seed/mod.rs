//! Filling the head of a target log, so that it begins at the offset where the source begins.
//!
//! A broker gives out offsets one after the other, so a log that is to begin at offset S needs S offsets before that. They are
//! filled with placeholders, a million to a batch, and then cut off with DeleteRecords: a log that holds nothing and whose next
//! record gets offset S. Killed anywhere, it goes on where the log ends.
//!
//! A topic that is compacted takes no placeholders, since they have no key (`LogValidator.validateKey`). It is created with
//! `cleanup.policy=delete`, and gets its own policy by [`set_cleanup_policy`] once its heads are cut off.

mod batches;
#[cfg(test)]
mod forgotten;
mod state;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kmirror_client::{
    Client, ClientError, ConfigChange, Connection, Deadline, KafkaError, Lane, Moment, PendingProduce,
    ProducePartition, ProduceRequest, Retry, TopicId, TopicPartition,
};
use kmirror_codec::{BatchError, Stamp, stamp};

use self::batches::Batches;
use self::state::{Outcome, Placeholders, Refused, SeedState};
use crate::data::append::cause::TakeOverCause;
use crate::data::append::freshness::FORGOTTEN_AGE_MAX;
use crate::data::append::refusal;
use crate::data::append::state::Refusal;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};

/// A head to fill and cut off.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) client: Client,
    pub(crate) target: TopicPartition,
    pub(crate) topic_id: TopicId,
    /// The flow's id for placeholders ([`ProducerIds::fillers`](crate::ground::identity::ProducerIds)).
    pub(crate) producer_id: i64,
    /// Where the target's log ends. It must hold nothing but placeholders.
    pub(crate) from: i64,
    /// Where the log is to begin.
    pub(crate) to: i64,
}

impl Seed {
    /// Fills, then cuts off. `progress` is the log end as far as it is acknowledged.
    ///
    /// May be dropped at any time, and run by two owners at once.
    ///
    /// # Errors
    /// [`TakeOverFailure::Again`] where the leader moved, an answer was lost or another owner fills the same head in other
    /// batches: read where the log ends and begin anew from there.
    pub(crate) async fn run(self, progress: &AtomicI64) -> Result<(), TakeOverFailure> {
        if self.from < self.to {
            self.fill(progress).await?;
        }
        cut(&self.client, &self.target, self.to).await
    }

    async fn fill(&self, progress: &AtomicI64) -> Result<(), TakeOverFailure> {
        let connection = self.connection().await?;
        let mut state = SeedState::new(self.from, self.to);
        let mut batches = Batches::default();
        let mut seen_at = None;
        while let Some(placeholders) = state.next_batch() {
            let deadline = self.deadline(seen_at, placeholders.first).await?;
            let sent_at = Moment::now();
            let answer = self.send(&connection, &mut batches, placeholders, deadline).await?;
            let outcome = state.on_answer(self.answer(answer).await);
            seen_at = (state.acknowledged() == placeholders.end()).then_some(sent_at);
            progress.store(state.acknowledged(), Ordering::Relaxed);
            match outcome {
                Outcome::Going => {}
                Outcome::Pause(pause) => tokio::time::sleep(pause).await,
                Outcome::Filled => return Ok(()),
                Outcome::Unknown(cause) => {
                    return Err(TakeOverFailure::Again(format!("filling the target's head: {cause}")));
                }
                Outcome::Park(parked) => return Err(TakeOverFailure::Park(parked)),
            }
        }
        Err(TakeOverFailure::Again("filling the target's head: it ended before its end".to_owned()))
    }

    /// Until when placeholders may be written at `offset`, where the log was seen to end. They are dated before all time, so a broker
    /// forgets who wrote them at its next check and takes them from anybody, wherever the log ends by then.
    async fn deadline(&self, seen_at: Option<Moment>, offset: i64) -> Result<Deadline, TakeOverFailure> {
        let known = seen_at.map(|seen_at| Deadline::new(seen_at, FORGOTTEN_AGE_MAX));
        if let Some(deadline) = known.filter(|deadline| !deadline.is_over(Moment::now())) {
            return Ok(deadline);
        }
        let asked_at = Moment::now();
        let ends = self.client.log_end_offsets(std::slice::from_ref(&self.target)).await;
        match ends.into_iter().next() {
            Some((_, Ok(log_end))) if log_end == offset => Ok(Deadline::new(asked_at, FORGOTTEN_AGE_MAX)),
            Some((_, Ok(log_end))) => Err(TakeOverFailure::Again(format!(
                "filling the target's head: the log ends at {log_end}, and {offset} comes next"
            ))),
            Some((_, Err(error))) => Err(again(error)),
            None => Err(TakeOverFailure::Again("filling the target's head: no answer".to_owned())),
        }
    }

    /// One of a few connections to the leader: heads that share one wait for each other, and a broker has but so many
    /// processors to unpack placeholders with.
    async fn connection(&self) -> Result<Connection, TakeOverFailure> {
        let Some(leader) = self.client.metadata().leader(&self.target) else {
            return Err(TakeOverFailure::Again("the target partition has no leader".to_owned()));
        };
        let mut hasher = DefaultHasher::new();
        self.target.hash(&mut hasher);
        let lane = Lane::Seed((hasher.finish() % LANES) as u16);
        self.client.connection(leader, lane).await.map_err(again)
    }

    async fn send(
        &self,
        connection: &Connection,
        batches: &mut Batches,
        placeholders: Placeholders,
        deadline: Deadline,
    ) -> Result<PendingProduce, TakeOverFailure> {
        let batch = batches.get(placeholders.records).await.map_err(unbuilt)?;
        let base_sequence = placeholders.base_sequence().value();
        let identity = Stamp { producer_id: self.producer_id, producer_epoch: 0, base_sequence };
        let partition = ProducePartition {
            topic: Arc::clone(&self.target.topic),
            topic_id: self.topic_id,
            partition: self.target.partition,
            header: stamp(&batch, &identity),
            payload: batch.payload(),
        };
        let request = ProduceRequest { timeout: PRODUCE_TIMEOUT, partitions: vec![partition] };
        connection.submit_produce_before(request, deadline).await.map_err(again)
    }

    async fn answer(&self, pending: PendingProduce) -> Result<i64, Refused> {
        let response = pending.await.map_err(|error| Refused::Unknown(error.to_string()))?;
        let Some(produced) = response.partitions.into_iter().next() else {
            return Err(Refused::Unknown("the answer leaves the partition out".to_owned()));
        };
        if let Some(hint) = &produced.leader_hint {
            self.client.leader_hint(&self.target, hint);
        }
        match produced.error {
            None => Ok(produced.base_offset),
            Some(error) => Err(refused(error, produced.message.as_deref())),
        }
    }
}

/// Moves the log start of a partition to `to`, behind the placeholders. The high watermark may still have to reach it where another run
/// filled them; until then the broker refuses (`UnifiedLog.maybeIncrementLogStartOffset`).
pub(crate) async fn cut(client: &Client, target: &TopicPartition, to: i64) -> Result<(), TakeOverFailure> {
    let mut attempt = 0;
    loop {
        let deleted = client.delete_records(&[(target.clone(), to)]).await;
        let Some((_, deleted)) = deleted.into_iter().next() else { return Ok(()) };
        let Err(error) = deleted else { return Ok(()) };
        if error.is_authorization() {
            return Err(TakeOverFailure::Park(Parked::new(
                ParkReason::Unauthorized,
                format!(
                    "kmirror may not cut off the placeholders before offset {to}: {error}; it needs DELETE on topic {}",
                    target.topic
                ),
            )));
        }
        attempt += 1;
        let may_pass =
            error.kafka_error() == Some(KafkaError::OFFSET_OUT_OF_RANGE) || error.retry() == Retry::Backoff;
        if !may_pass || attempt == CUT_ATTEMPTS_MAX {
            return Err(again(error));
        }
        tokio::time::sleep(CUT_PAUSE).await;
    }
}

/// Gives a topic the cleanup policy that it was created without. Does no harm where it has it.
pub(crate) async fn set_cleanup_policy(
    client: &Client,
    topic: &Arc<str>,
    policy: &str,
) -> Result<(), TakeOverFailure> {
    let change = ConfigChange { name: "cleanup.policy".to_owned(), value: Some(policy.to_owned()) };
    let altered = client.alter_topic_configs(&[(Arc::clone(topic), vec![change])], false).await;
    let altered = altered.and_then(|results| results.into_iter().try_for_each(|(_, result)| result));
    altered.map_err(|error| match error.retry() {
        // Another cluster was not asked: it has refused nothing.
        Retry::Never if !error.is_other_cluster() => {
            let reason = ParkReason::of_refusal(&error);
            TakeOverFailure::Park(Parked::new(
                reason,
                format!(
                    "cleanup.policy={policy} could not be set after the head of topic {topic} was filled: {error}; kmirror needs \
                     ALTER_CONFIGS on the topic, or set it yourself"
                ),
            ))
        }
        _ => again(error),
    })
}

fn refused(error: KafkaError, message: Option<&str>) -> Refused {
    match (error, refusal::of_data(error, message)) {
        (KafkaError::MESSAGE_TOO_LARGE | KafkaError::RECORD_LIST_TOO_LARGE, Refusal::Park(parked)) => {
            Refused::TooLarge(parked.message)
        }
        (_, Refusal::Again(cause) | Refusal::Damaged(cause)) => Refused::Again(cause),
        (_, Refusal::TakeOver(TakeOverCause::HoldsUpOthers(cause))) => Refused::Again(cause),
        (_, Refusal::TakeOver(_)) => Refused::Unknown(error.to_string()),
        (_, Refusal::Park(parked)) => Refused::Park(Parked::new(
            parked.reason,
            format!("the head of the target's log cannot be filled: {}", parked.message),
        )),
    }
}

fn again(error: ClientError) -> TakeOverFailure {
    TakeOverFailure::Again(format!("filling the target's head: {error}"))
}

fn unbuilt(error: BatchError) -> TakeOverFailure {
    TakeOverFailure::Park(Parked::defect(format_args!("placeholders could not be built: {error}")))
}

/// How long the broker may wait for its replicas.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections to one broker, over all heads.
const LANES: u64 = 4;
const CUT_PAUSE: Duration = Duration::from_millis(100);
const CUT_ATTEMPTS_MAX: u32 = 50;
