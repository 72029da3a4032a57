//! Topics whose heads are filled before anything is copied into them. Pure.
//!
//! Placeholders have no key, and a compacted topic takes no record without one. So such a topic stops being compacted while the
//! heads of its partitions are filled; and while it does not compact, none of its partitions is copied, for retention would
//! apply to what should be kept for ever.

use std::collections::BTreeSet;

use crate::ground::partition::PartitionKey;

/// The partitions of one compacted topic, of which some may need a head.
///
/// ```text
///  Asking ──all taken over──▶ Filling ──all filled──▶ Restoring ──policy set──▶ gone
///     └──────── no head to fill, no policy to restore ──────────────────────────▲
/// ```
#[derive(Debug)]
pub(crate) struct HeldTopic {
    /// Partitions of which it is not known yet whether they need a head.
    unknown: BTreeSet<PartitionKey>,
    filling: BTreeSet<PartitionKey>,
    held: BTreeSet<PartitionKey>,
    /// The policy that the topic gets back.
    policy: Option<String>,
}

/// What is to be done with the topic now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeadsDone {
    /// Something is still to come.
    NotYet,
    /// Set this cleanup policy, then let all partitions go on.
    Restore(String),
    /// Let them go on.
    Release,
}

impl HeldTopic {
    pub(crate) fn new(partitions: impl IntoIterator<Item = PartitionKey>) -> HeldTopic {
        HeldTopic {
            unknown: partitions.into_iter().collect(),
            filling: BTreeSet::new(),
            held: BTreeSet::new(),
            policy: None,
        }
    }

    /// A partition was taken over. `policy`: what the state topic says the topic gets back.
    pub(crate) fn taken_over(
        &mut self,
        key: PartitionKey,
        needs_head: bool,
        policy: Option<&str>,
    ) -> HeadsDone {
        self.unknown.remove(&key);
        if let Some(policy) = policy {
            self.policy = Some(policy.to_owned());
        }
        if needs_head {
            self.filling.insert(key);
        } else {
            self.filling.remove(&key);
            self.held.insert(key);
        }
        self.done()
    }

    /// A partition is parked: the others do not wait for it.
    pub(crate) fn parked(&mut self, key: PartitionKey) -> HeadsDone {
        self.unknown.remove(&key);
        self.filling.remove(&key);
        self.held.remove(&key);
        self.done()
    }

    /// The partitions that wait.
    pub(crate) fn held(&self) -> impl Iterator<Item = PartitionKey> {
        self.held.iter().copied()
    }

    fn done(&self) -> HeadsDone {
        match &self.policy {
            _ if !self.unknown.is_empty() || !self.filling.is_empty() => HeadsDone::NotYet,
            Some(policy) => HeadsDone::Restore(policy.clone()),
            None => HeadsDone::Release,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PartitionKey = PartitionKey(1);
    const B: PartitionKey = PartitionKey(2);
    const C: PartitionKey = PartitionKey(3);

    #[test]
    fn without_heads_all_go_on_once_all_are_known() {
        let mut topic = HeldTopic::new([A, B]);
        assert_eq!(topic.taken_over(A, false, None), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(B, false, None), HeadsDone::Release);
        assert_eq!(topic.held().collect::<BTreeSet<_>>(), BTreeSet::from([A, B]));
    }

    #[test]
    fn the_policy_comes_back_when_the_last_head_is_filled() {
        let mut topic = HeldTopic::new([A, B, C]);
        assert_eq!(topic.taken_over(A, true, Some("compact")), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(B, false, None), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(C, true, Some("compact")), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(A, false, Some("compact")), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(C, false, Some("compact")), HeadsDone::Restore("compact".to_owned()));
        assert_eq!(topic.held().count(), 3);
    }

    #[test]
    fn nobody_waits_for_a_parked_partition() {
        let mut topic = HeldTopic::new([A, B, C]);
        topic.taken_over(A, true, Some("compact"));
        topic.parked(B);
        assert_eq!(topic.parked(A), HeadsDone::NotYet);
        assert_eq!(topic.taken_over(C, false, None), HeadsDone::Restore("compact".to_owned()));
        assert_eq!(topic.held().collect::<Vec<_>>(), [C]);
    }
}
