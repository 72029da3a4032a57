//! All transactional ids of a cluster (`TransactionStateManager`).

mod transaction;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

pub(crate) use self::transaction::{
    Init, Producer, ProducerIds, Transaction, TransactionState, TransactionVersion,
};
use crate::state::PartitionName;

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// `transaction.version` of the cluster.
    version: TransactionVersion,
    ids: BTreeMap<String, Transaction>,
    /// Those with a transaction that is ongoing or ends.
    open: BTreeSet<String>,
    /// Markers that are not replicated yet: where each ends.
    unreplicated: BTreeMap<(String, PartitionName), i64>,
}

/// A marker that a partition is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueMarker {
    pub(crate) transactional_id: String,
    pub(crate) partition: PartitionName,
    pub(crate) producer: Producer,
    pub(crate) commit: bool,
    /// Where the marker ends that was written and is not replicated yet.
    pub(crate) written_to: Option<i64>,
}

impl Transactions {
    pub(crate) fn new(version: TransactionVersion) -> Transactions {
        Transactions { version, ids: BTreeMap::new(), open: BTreeSet::new(), unreplicated: BTreeMap::new() }
    }

    /// A transactional id that somebody has initialized.
    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.ids.get(id)
    }

    /// All transactional ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.ids.iter()
    }

    /// Gives an id to a producer.
    ///
    /// # Errors
    /// INVALID_REQUEST without an id, INVALID_TRANSACTION_TIMEOUT beyond `transaction.max.timeout.ms`, and as
    /// [`Transaction::initialize`].
    pub(crate) fn initialize(
        &mut self,
        id: &str,
        init: Init,
        ids: &mut ProducerIds,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&init.timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let create = || Transaction::new(ids.allocate(), now_ms);
        self.ids.entry(id.to_owned()).or_insert_with(create);
        let version = self.version;
        self.change(id, |transaction| transaction.initialize(init, version, ids, now_ms))
    }

    /// Adds partitions to a transaction.
    ///
    /// # Errors
    /// INVALID_REQUEST without an id, INVALID_PRODUCER_ID_MAPPING for one that nobody has initialized, and as
    /// [`Transaction::add`].
    pub(crate) fn add(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &[PartitionName],
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let version = self.version;
        self.change(id, |transaction| transaction.add(producer, partitions, version, now_ms))
    }

    /// Checks that a partition belongs to a transaction.
    ///
    /// # Errors
    /// As [`Transactions::add`], and [`Transaction::verify`].
    pub(crate) fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &PartitionName,
    ) -> Result<(), ResponseError> {
        let transaction = self.ids.get(id).ok_or_else(|| unknown(id))?;
        transaction.verify(producer, partition)
    }

    /// Ends a transaction; as whom its producer goes on.
    ///
    /// # Errors
    /// As [`Transactions::add`], and [`Transaction::end`].
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
        ids: &mut ProducerIds,
        now_ms: i64,
    ) -> Result<Producer, ResponseError> {
        self.change(id, |transaction| transaction.end(producer, commit, version, ids, now_ms))
    }

    /// Whether there is nothing that time or replicas could change.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.open.is_empty()
    }

    /// Aborts what has been ongoing for too long.
    pub(crate) fn abort_timed_out(&mut self, ids: &mut ProducerIds, now_ms: i64) {
        let is_timed_out =
            |id: &&String| self.ids.get(*id).is_some_and(|transaction| transaction.is_timed_out(now_ms));
        let timed_out: Vec<_> = self.open.iter().filter(is_timed_out).cloned().collect();
        let version = self.version;
        for id in timed_out {
            let _ = self.change(&id, |transaction| {
                transaction.abort(version, ids, now_ms);
                Ok(())
            });
        }
    }

    /// Forgets ids that nobody has used for long.
    pub(crate) fn forget_expired(&mut self, now_ms: i64) {
        self.ids.retain(|_, transaction| !transaction.is_expired(now_ms));
    }

    /// The markers that partitions are to get.
    pub(crate) fn due_markers(&self) -> Vec<DueMarker> {
        let ending = self.open.iter().filter_map(|id| {
            let transaction = self.ids.get(id)?;
            Some((id, transaction, transaction.marker()?))
        });
        let due = ending.flat_map(|(id, transaction, (producer, commit))| {
            transaction.partitions().iter().map(move |partition| DueMarker {
                transactional_id: id.clone(),
                partition: partition.clone(),
                producer,
                commit,
                written_to: self.unreplicated.get(&(id.clone(), partition.clone())).copied(),
            })
        });
        due.collect()
    }

    /// A marker was written, and ends here; the transaction waits until it is replicated.
    pub(crate) fn written(&mut self, marker: &DueMarker, to: i64) {
        self.unreplicated.insert((marker.transactional_id.clone(), marker.partition.clone()), to);
    }

    /// A partition has its marker, or will never get it.
    pub(crate) fn marked(&mut self, marker: &DueMarker, now_ms: i64) {
        self.unreplicated.remove(&(marker.transactional_id.clone(), marker.partition.clone()));
        let _ = self.change(&marker.transactional_id, |transaction| {
            transaction.marked(&marker.partition, now_ms);
            Ok(())
        });
    }

    fn change<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Transaction) -> Result<T, ResponseError>,
    ) -> Result<T, ResponseError> {
        let transaction = self.ids.get_mut(id).ok_or_else(|| unknown(id))?;
        let changed = change(transaction);
        if transaction.is_open() {
            self.open.insert(id.to_owned());
        } else {
            self.open.remove(id);
        }
        changed
    }
}

fn unknown(id: &str) -> ResponseError {
    if id.is_empty() { ResponseError::InvalidRequest } else { ResponseError::InvalidProducerIdMapping }
}

/// `transaction.max.timeout.ms`.
const TIMEOUT_MS_MAX: i32 = 900_000;

#[cfg(test)]
mod tests;
