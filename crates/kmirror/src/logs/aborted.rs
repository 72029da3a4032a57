//! Which transactional batches of a fetch response were aborted (Kafka `CompletedFetch`).

use std::collections::HashSet;

use kmirror_client::AbortedTransaction;
use kmirror_codec::{Batch, BatchError, parse_marker};

/// The aborted transactions that overlap one fetch response, consumed in the order of its batches.
#[derive(Debug, Default)]
pub(crate) struct AbortedIndex {
    /// Transactions not met yet, by descending first offset, so that the next one is the last.
    ahead: Vec<AbortedTransaction>,
    /// Producers whose current transaction is an aborted one.
    open: HashSet<i64>,
}

impl AbortedIndex {
    /// An index of what the broker listed. Not every broker sorts the list, so it is sorted here.
    pub(crate) fn new(mut aborted: Vec<AbortedTransaction>) -> AbortedIndex {
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        AbortedIndex { ahead: aborted, open: HashSet::new() }
    }

    /// Whether the batch belongs to an aborted transaction. Batches must come in offset order, control batches included:
    /// an abort marker ends its producer's aborted transaction.
    pub(crate) fn is_aborted(&mut self, batch: &Batch) -> Result<bool, BatchError> {
        let header = batch.header();
        while self.ahead.last().is_some_and(|next| next.first_offset <= header.last_offset()) {
            self.open.extend(self.ahead.pop().map(|transaction| transaction.producer_id));
        }
        if self.open.is_empty() {
            return Ok(false);
        }
        if header.attributes.is_control() {
            if parse_marker(batch)?.is_some_and(|marker| !marker.commit) {
                self.open.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(header.attributes.is_transactional() && self.open.contains(&header.producer_id))
    }
}
