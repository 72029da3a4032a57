//! Whether a partition belongs to the transaction in whose name something is to be appended to it (KIP-890,
//! `AddPartitionsToTxnManager`, `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`). Its leader asks the coordinator before
//! the first append of a transaction, or adds it where the client's version leaves that to brokers.

use kafka_protocol::ResponseError;

use crate::coordinator::transactions::Producer;
use crate::state::{PartitionName, State};

/// What the version of a request lets a broker do about a partition that was not added (`TransactionSupportedOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unadded {
    /// The client knows INVALID_TXN_STATE.
    Invalid,
    /// The client knows TRANSACTION_ABORTABLE.
    Abortable,
    /// The broker adds it.
    Added,
}

impl Unadded {
    /// By the first versions of the request that know TRANSACTION_ABORTABLE, and that leave it to the broker.
    pub(crate) fn of(version: i16, abortable_from: i16, added_from: i16) -> Unadded {
        if version >= added_from {
            Unadded::Added
        } else if version >= abortable_from {
            Unadded::Abortable
        } else {
            Unadded::Invalid
        }
    }
}

impl State {
    /// Checks that a partition belongs to a transaction, or adds it. Releases that do not ask believe everything.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE, and those of the coordinator as producers know them.
    pub(crate) fn verify_transaction(
        &mut self,
        transactional_id: &str,
        producer: Producer,
        partition: PartitionName,
        unadded: Unadded,
    ) -> Result<(), ResponseError> {
        if !self.profile.verifies_transactions() {
            return Ok(());
        }
        if self.placement.coordinator(transactional_id).is_none() {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let now_ms = self.now_ms();
        let verified = if unadded == Unadded::Added {
            self.transactions.add(transactional_id, producer, &[partition], now_ms)
        } else {
            self.transactions.verify(transactional_id, producer, &partition)
        };
        verified.map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            ResponseError::TransactionAbortable if unadded == Unadded::Invalid => {
                ResponseError::InvalidTxnState
            }
            error => error,
        })
    }
}
