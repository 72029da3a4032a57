//! One transactional id: who produces under it, and how far its transaction is (`TransactionMetadata`, and what
//! `TransactionCoordinator` makes of it).

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use crate::state::PartitionName;

/// As whom somebody produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    /// -1 for an id that nobody has initialized yet.
    pub(crate) epoch: i16,
}

/// `transaction.version`: whether every end of a transaction raises the producer's epoch (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionVersion {
    One,
    Two,
}

/// How far a transaction is, by Kafka's names (`TransactionState`). No id is ever seen in the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    Dead,
    PrepareEpochFence,
}

/// Where producer ids come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerIds(i64);

/// A transactional id.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    producer: Producer,
    /// The producer id before the last change, whatever that was.
    previous_id: i64,
    /// The producer id that follows this transaction, where its epochs are exhausted.
    next_id: Option<i64>,
    /// The epoch before the last one, if the same producer had it; else -1.
    last_epoch: i16,
    timeout_ms: i32,
    state: TransactionState,
    partitions: BTreeSet<PartitionName>,
    /// When the present or last transaction began; -1 before the first.
    started_ms: i64,
    updated_ms: i64,
}

/// What InitProducerId asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Init {
    pub(crate) timeout_ms: i32,
    /// Who the client believes to be, if anybody (KIP-360).
    pub(crate) expected: Option<Producer>,
}

impl TransactionState {
    /// Its name in requests and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
            TransactionState::Dead => "Dead",
            TransactionState::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<TransactionState> {
        ALL_STATES.into_iter().find(|state| state.name() == name)
    }
}

impl ProducerIds {
    /// One that nobody else has.
    pub(crate) fn allocate(&mut self) -> i64 {
        self.0 += 1;
        self.0 - 1
    }
}

impl Producer {
    /// Whether no client may get a later epoch (`TransactionMetadata.isEpochExhausted`): the last one is for fencing.
    fn is_exhausted(self) -> bool {
        self.epoch >= i16::MAX - 1
    }
}

impl Transaction {
    /// An id that nobody has initialized yet.
    pub(crate) fn new(producer_id: i64, now_ms: i64) -> Transaction {
        Transaction {
            producer: Producer { id: producer_id, epoch: -1 },
            previous_id: -1,
            next_id: None,
            last_epoch: -1,
            timeout_ms: 0,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    pub(crate) fn state(&self) -> TransactionState {
        self.state
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// Those of the transaction that is ongoing, or whose marker is missing.
    pub(crate) fn partitions(&self) -> &BTreeSet<PartitionName> {
        &self.partitions
    }

    /// Whether time or replicas may change it without anybody asking.
    pub(crate) fn is_open(&self) -> bool {
        self.state == TransactionState::Ongoing || self.is_ending()
    }

    /// Gives the id to a producer, and fences who had it (`prepareInitProducerIdTransit`).
    ///
    /// # Errors
    /// CONCURRENT_TRANSACTIONS while a transaction ends; one that is ongoing is aborted first. PRODUCER_FENCED for somebody who is
    /// not who he believes to be. UNKNOWN_SERVER_ERROR for one who repeats what raised the epoch to the last one.
    pub(crate) fn initialize(
        &mut self,
        init: Init,
        version: TransactionVersion,
        ids: &mut ProducerIds,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        if self.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if !init.expected.is_none_or(|expected| self.is_known(expected)) {
            return Err(ResponseError::ProducerFenced);
        }
        if self.state == TransactionState::Ongoing {
            self.abort(version, ids, now_ms);
            return Err(ResponseError::ConcurrentTransactions);
        }
        let (producer, last_epoch) = self.next_producer(init.expected, ids)?;
        self.previous_id = self.producer.id;
        (self.producer, self.last_epoch) = (producer, last_epoch);
        (self.timeout_ms, self.updated_ms) = (init.timeout_ms, now_ms);
        // Before 4.0 `completeTransitionTo` left it as it was.
        if version == TransactionVersion::Two {
            self.started_ms = -1;
        }
        self.state = TransactionState::Empty;
        self.partitions.clear();
        Ok(producer)
    }

    fn is_known(&self, expected: Producer) -> bool {
        self.producer.epoch == -1
            || expected.id == self.producer.id
            || expected.id == self.previous_id && expected.is_exhausted()
    }

    /// The producer after an initialization, and the epoch that a repeat may name.
    fn next_producer(
        &self,
        expected: Option<Producer>,
        ids: &mut ProducerIds,
    ) -> Result<(Producer, i16), ResponseError> {
        let Producer { id, epoch } = self.producer;
        if self.producer.is_exhausted() {
            return match expected {
                None => Ok((Producer { id: ids.allocate(), epoch: 0 }, -1)),
                Some(expected) if expected.epoch == epoch => {
                    Ok((Producer { id: ids.allocate(), epoch: 0 }, epoch))
                }
                Some(_) => Err(ResponseError::UnknownServerError),
            };
        }
        let raised = Producer { id, epoch: epoch + 1 };
        match expected {
            None => Ok((raised, -1)),
            Some(expected) if epoch == -1 || expected.epoch == epoch => Ok((raised, epoch)),
            // The answer was lost.
            Some(expected) if expected.epoch == self.last_epoch => Ok((self.producer, self.last_epoch)),
            Some(_) => Err(ResponseError::ProducerFenced),
        }
    }

    /// Adds partitions, which begins a transaction where none is ongoing (`handleAddPartitionsToTransaction`).
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING and PRODUCER_FENCED for another producer, CONCURRENT_TRANSACTIONS while the last transaction
    /// ends. Which comes first depends on the version: with the second, who asks may be who comes next.
    pub(crate) fn add(
        &mut self,
        producer: Producer,
        partitions: &[PartitionName],
        version: TransactionVersion,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if version == TransactionVersion::Two && self.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        self.check_producer(producer)?;
        if self.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if self.state != TransactionState::Ongoing {
            self.started_ms = now_ms;
        }
        self.state = TransactionState::Ongoing;
        self.partitions.extend(partitions.iter().cloned());
        (self.previous_id, self.updated_ms) = (self.producer.id, now_ms);
        Ok(())
    }

    /// Checks that a partition belongs to the transaction (`handleVerifyPartitionsInTransaction`).
    ///
    /// # Errors
    /// As [`Transaction::add`], and TRANSACTION_ABORTABLE.
    pub(crate) fn verify(&self, producer: Producer, partition: &PartitionName) -> Result<(), ResponseError> {
        self.check_producer(producer)?;
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ if self.partitions.contains(partition) => Ok(()),
            _ => Err(ResponseError::TransactionAbortable),
        }
    }

    fn check_producer(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer.id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if producer.epoch != self.producer.epoch {
            Err(ResponseError::ProducerFenced)
        } else {
            Ok(())
        }
    }

    /// Ends the transaction for a client (`endTransaction`, `endTransactionWithTV1`): its markers are due. As whom the client goes on.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING and PRODUCER_FENCED for another producer, CONCURRENT_TRANSACTIONS while it ends,
    /// INVALID_TXN_STATE where there is nothing to be ended, or was ended the other way.
    pub(crate) fn end(
        &mut self,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
        ids: &mut ProducerIds,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        use TransactionVersion::{One, Two};
        let is_repeat = version == Two && self.is_repeat(producer);
        self.check_end(producer, version, is_repeat)?;
        match (self.state, version) {
            (PrepareCommit | PrepareAbort, _) => Err(ResponseError::ConcurrentTransactions),
            (Ongoing, _) => Ok(self.prepare(commit, version, ids, now_ms)),
            (CompleteCommit, _) if commit && (version == One || is_repeat) => Ok(self.producer),
            (CompleteAbort, _) if !commit && (version == One || is_repeat) => Ok(self.producer),
            // The client's first request of a transaction may have failed where the coordinator does not know of it.
            (Empty | CompleteCommit | CompleteAbort, Two) if !commit && !is_repeat => {
                self.started_ms = now_ms;
                Ok(self.prepare(commit, version, ids, now_ms))
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Whether somebody names the producer that ended the last transaction, whose epoch was raised by that.
    fn is_repeat(&self, producer: Producer) -> bool {
        let is_raised = i32::from(self.producer.epoch) == i32::from(producer.epoch) + 1;
        is_raised || self.is_repeat_over(producer)
    }

    /// The same, where the epochs of its id were exhausted.
    fn is_repeat_over(&self, producer: Producer) -> bool {
        self.previous_id == producer.id && producer.epoch == i16::MAX - 1 && self.producer.epoch == 0
    }

    fn check_end(
        &self,
        producer: Producer,
        version: TransactionVersion,
        is_repeat: bool,
    ) -> Result<(), ResponseError> {
        let is_over = version == TransactionVersion::Two && self.is_repeat_over(producer);
        if producer.id != self.producer.id && !is_over {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        let is_current = producer.epoch == self.producer.epoch;
        let is_valid = match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort
                if version == TransactionVersion::Two =>
            {
                is_repeat
            }
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => is_current || is_repeat,
            _ => is_current,
        };
        if is_valid { Ok(()) } else { Err(ResponseError::ProducerFenced) }
    }

    /// Aborts an ongoing transaction, and fences its producer (`prepareFenceProducerEpoch`).
    pub(crate) fn abort(&mut self, version: TransactionVersion, ids: &mut ProducerIds, now_ms: i64) {
        if version == TransactionVersion::One {
            self.producer.epoch = self.producer.epoch.saturating_add(1);
            self.last_epoch = -1;
        }
        self.prepare(false, version, ids, now_ms);
    }

    /// The markers are due; as whom the client goes on (`prepareAbortOrCommit`, `prepareComplete`).
    fn prepare(
        &mut self,
        commit: bool,
        version: TransactionVersion,
        ids: &mut ProducerIds,
        now_ms: i64,
    ) -> Producer {
        if version == TransactionVersion::Two {
            self.next_id = self.producer.is_exhausted().then(|| ids.allocate());
            self.last_epoch = self.producer.epoch;
            self.producer.epoch = self.producer.epoch.saturating_add(1);
        }
        (self.previous_id, self.updated_ms) = (self.producer.id, now_ms);
        self.state = if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        let next = self.next_id.map_or(self.producer, |id| Producer { id, epoch: 0 });
        self.complete(now_ms);
        next
    }

    fn is_ending(&self) -> bool {
        matches!(self.state, TransactionState::PrepareCommit | TransactionState::PrepareAbort)
    }

    /// Whether markers are due, and which: as whom, and whether they commit.
    pub(crate) fn marker(&self) -> Option<(Producer, bool)> {
        self.is_ending().then_some((self.producer, self.state == TransactionState::PrepareCommit))
    }

    /// A partition has its marker.
    pub(crate) fn marked(&mut self, partition: &PartitionName, now_ms: i64) {
        self.partitions.remove(partition);
        self.complete(now_ms);
    }

    /// The transaction is over when no marker is missing any more.
    fn complete(&mut self, now_ms: i64) {
        self.state = match self.state {
            TransactionState::PrepareCommit if self.partitions.is_empty() => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort if self.partitions.is_empty() => TransactionState::CompleteAbort,
            _ => return,
        };
        (self.previous_id, self.updated_ms) = (self.producer.id, now_ms);
        if let Some(id) = self.next_id.take() {
            self.producer = Producer { id, epoch: 0 };
        }
    }

    /// Whether it has been ongoing for longer than its producer allowed (`TransactionStateManager.timedOutTransactions`).
    pub(crate) fn is_timed_out(&self, now_ms: i64) -> bool {
        let deadline_ms = self.started_ms.saturating_add(i64::from(self.timeout_ms));
        self.state == TransactionState::Ongoing && deadline_ms < now_ms
    }

    /// Whether nobody has used the id for `transactional.id.expiration.ms`.
    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        !self.is_open() && now_ms.saturating_sub(self.updated_ms) >= EXPIRATION_MS
    }
}

const ALL_STATES: [TransactionState; 8] = [
    TransactionState::Empty,
    TransactionState::Ongoing,
    TransactionState::PrepareCommit,
    TransactionState::PrepareAbort,
    TransactionState::CompleteCommit,
    TransactionState::CompleteAbort,
    TransactionState::Dead,
    TransactionState::PrepareEpochFence,
];
/// `transactional.id.expiration.ms`: a week.
const EXPIRATION_MS: i64 = 604_800_000;
