//! The partitions that may have something to send.

use std::collections::{HashSet, VecDeque};

use crate::ground::partition::PartitionKey;

/// A queue in which each partition stands at most once: a request takes one batch of a partition, and one that was taken
/// over while it stood here must not stand here twice.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    order: VecDeque<PartitionKey>,
    members: HashSet<PartitionKey>,
}

impl ReadyQueue {
    /// Adds a partition at the end, unless it stands in the queue.
    pub(crate) fn push(&mut self, key: PartitionKey) {
        if self.members.insert(key) {
            self.order.push_back(key);
        }
    }

    /// Takes the first partition out.
    pub(crate) fn pop(&mut self) -> Option<PartitionKey> {
        let key = self.order.pop_front()?;
        self.members.remove(&key);
        Some(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PartitionKey> {
        self.order.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_stands_in_the_queue_once() {
        let mut ready = ReadyQueue::default();
        for key in [1, 2, 1, 2] {
            ready.push(PartitionKey(key));
        }
        assert_eq!(ready.iter().collect::<Vec<_>>(), [PartitionKey(1), PartitionKey(2)]);
        assert_eq!(ready.pop(), Some(PartitionKey(1)));
        ready.push(PartitionKey(1));
        ready.push(PartitionKey(2));
        assert_eq!(ready.len(), 2);
        assert_eq!(
            (ready.pop(), ready.pop(), ready.pop()),
            (Some(PartitionKey(2)), Some(PartitionKey(1)), None)
        );
        assert!(ready.is_empty());
    }
}
