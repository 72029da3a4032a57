//! Which broker coordinates what. Kafka keeps groups in the partitions of `__consumer_offsets`, and transactional ids in those of
//! `__transaction_state`; the leader of a key's partition is its coordinator (`GroupCoordinatorService.partitionFor`). There are no
//! such topics here, but the same partitions, with leaders that change as those of topics do.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use crate::state::Broker;

/// The leader of each partition of keys.
#[derive(Debug)]
pub(crate) struct Placement {
    leaders: Vec<Option<i32>>,
    /// How often the leader of each changed: the coordinator epoch.
    epochs: Vec<i32>,
}

impl Placement {
    pub(crate) fn new(brokers: &BTreeMap<i32, Broker>) -> Placement {
        let leaders = brokers.keys().copied().map(Some).cycle().take(PARTITIONS).collect();
        Placement { leaders, epochs: vec![0; PARTITIONS] }
    }

    /// The broker that coordinates a group or a transactional id, if there is one.
    pub(crate) fn coordinator(&self, key: &str) -> Option<i32> {
        self.leaders.get(partition(key)).copied().flatten()
    }

    /// The epoch of the broker that coordinates a key: what it writes fences its predecessors.
    pub(crate) fn epoch(&self, key: &str) -> i32 {
        self.epochs.get(partition(key)).copied().unwrap_or_default()
    }

    /// The number of the partition that a key is in.
    pub(crate) fn partition_of(key: &str) -> i32 {
        i32::try_from(partition(key)).unwrap_or_default()
    }

    /// Checks that this broker coordinates a key.
    ///
    /// # Errors
    /// NOT_COORDINATOR.
    pub(crate) fn check(&self, broker: i32, key: &str) -> Result<(), ResponseError> {
        if self.coordinator(key) == Some(broker) { Ok(()) } else { Err(ResponseError::NotCoordinator) }
    }

    /// Another broker coordinates a key, and all keys for which the answer is yes.
    pub(crate) fn move_to(&mut self, key: &str, broker: i32) -> impl Fn(&str) -> bool + use<> {
        let moved = partition(key);
        let has_moved =
            self.leaders.get_mut(moved).is_some_and(|leader| leader.replace(broker) != Some(broker));
        self.raise_epoch(moved, has_moved);
        move |key| has_moved && partition(key) == moved
    }

    /// Brokers were stopped or started: what has no living leader gets one, and the rest stays where it is. Keys for which the
    /// answer is yes are coordinated by another broker now.
    pub(crate) fn elect(&mut self, brokers: &BTreeMap<i32, Broker>) -> impl Fn(&str) -> bool + use<> {
        let up: Vec<_> = brokers.iter().filter(|(_, broker)| broker.is_up).map(|(id, _)| *id).collect();
        let mut has_moved = vec![false; PARTITIONS];
        for ((number, leader), has_moved) in (0..).zip(&mut self.leaders).zip(&mut has_moved) {
            if leader.is_some_and(|leader| up.contains(&leader)) {
                continue;
            }
            let successor = up.get(number % up.len().max(1)).copied();
            *has_moved = successor != *leader;
            *leader = successor;
        }
        for (moved, has_moved) in has_moved.iter().enumerate() {
            self.raise_epoch(moved, *has_moved);
        }
        move |key| has_moved.get(partition(key)).copied().unwrap_or_default()
    }

    fn raise_epoch(&mut self, partition: usize, has_moved: bool) {
        if let Some(epoch) = self.epochs.get_mut(partition).filter(|_| has_moved) {
            *epoch += 1;
        }
    }
}

/// The partition of a key: Java's hash of its text.
fn partition(key: &str) -> usize {
    let hash =
        key.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    // `Utils.abs`.
    usize::try_from(hash & 0x7fff_ffff).unwrap_or_default() % PARTITIONS
}

/// `offsets.topic.num.partitions` and `transaction.state.log.num.partitions`.
const PARTITIONS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(up: &[bool]) -> BTreeMap<i32, Broker> {
        let broker = |is_up: &bool| Broker { host: String::new(), port: 0, is_up: *is_up };
        (1..).zip(up.iter().map(broker)).collect()
    }

    /// As `"orders".hashCode()` in Java: -1008770331, whose absolute value ends in 31.
    #[test]
    fn keys_hash_as_in_java() {
        assert_eq!(partition("a"), 97 % 50);
        assert_eq!(partition("orders"), (0x7fff_ffff & -1_008_770_331_i32) as usize % 50);
    }

    #[test]
    fn only_what_a_broker_led_moves_when_it_stops() {
        let mut placement = Placement::new(&brokers(&[true; 3]));
        let before = placement.leaders.clone();
        let has_moved = placement.elect(&brokers(&[true, false, true]));
        for (before, after) in before.iter().zip(&placement.leaders) {
            assert!(*before == Some(2) || before == after);
            assert_ne!(*after, Some(2));
        }
        // "a" is in partition 47, led by the third broker; "b" in 48, by the first; "c" in 49, by the second.
        assert!(!has_moved("a") && !has_moved("b") && has_moved("c"));
        assert_eq!((placement.epoch("a"), placement.epoch("c")), (0, 1));
        assert!(!placement.elect(&brokers(&[true; 3]))("c"), "what has a leader stays");
        let _ = placement.elect(&brokers(&[false; 3]));
        assert_eq!(placement.coordinator("a"), None);
        assert_eq!(placement.check(1, "a"), Err(ResponseError::NotCoordinator));
    }
}
