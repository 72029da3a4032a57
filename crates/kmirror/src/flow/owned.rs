//! Which topics of the target are the flow's own. Nothing is written to another one, and no settings, partitions, entries or deletions
//! reach it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{TopicId, TopicPartition};

use crate::ground::partition::PartitionKey;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::store::{Known, Recorded};
use crate::state_topic::topic_record::TopicRecord;

/// Whether a topic that the target has is recorded as the copy of a source topic: as a whole, or each of its partitions, as releases do that
/// record no topics.
pub(crate) fn is_recorded(
    known: &Known,
    target: &Arc<str>,
    target_partitions: i32,
    source: &SourceIdentity,
    target_topic_id: TopicId,
) -> bool {
    let is_whole = known.topics.get(target).is_some_and(|record| record.is_of(source, target_topic_id));
    let is_partition_recorded =
        |number| match known.partitions.get(&TopicPartition::new(Arc::clone(target), number)) {
            Some(Recorded::Record(record)) => {
                let (source_of, recorded_id) = (record.source.clone(), record.target_topic_id);
                let recorded =
                    TopicRecord { source: source_of, target_topic_id: recorded_id, deletion: None };
                recorded.is_of(source, target_topic_id)
            }
            _ => false,
        };
    is_whole || target_partitions > 0 && (0..target_partitions).all(is_partition_recorded)
}

/// A topic that the target had before the flow knew of it. Until each of its partitions was taken over it may be somebody else's: nothing is
/// appended to it and nothing of it is changed.
///
/// ```text
///  Asking ── each partition was taken over, or is parked for what may pass ──▶ Settling ── it is the flow's ──▶ gone: taken over anew
///     │                                                                         │    ▲
///     │                                                          not known yet  ▼    │ the next look
///     │                                                                        Asked
///     └── one holds what is not the source's ──▶ gone: all are parked
/// ```
#[derive(Debug)]
pub(crate) struct UnownedTopic {
    pub(crate) source: Arc<str>,
    /// How many partitions the source topic has.
    pub(crate) partitions: i32,
    pub(crate) may_need_heads: bool,
    asking: BTreeSet<PartitionKey>,
    /// With where they ended on the target then.
    taken: BTreeMap<PartitionKey, i64>,
    parked: BTreeSet<PartitionKey>,
    /// That the target topic does not have: it gets them once it is the flow's.
    missing: BTreeSet<PartitionKey>,
    is_settling: bool,
}

impl UnownedTopic {
    pub(crate) fn new(source: Arc<str>, partitions: i32, may_need_heads: bool) -> UnownedTopic {
        UnownedTopic {
            source,
            partitions,
            may_need_heads,
            asking: BTreeSet::new(),
            taken: BTreeMap::new(),
            parked: BTreeSet::new(),
            missing: BTreeSet::new(),
            is_settling: false,
        }
    }

    /// A partition that the target topic has, perhaps since a moment ago, or which was parked.
    pub(crate) fn asks(&mut self, key: PartitionKey) {
        self.parked.remove(&key);
        self.taken.remove(&key);
        self.asking.insert(key);
    }

    /// One that it does not have.
    pub(crate) fn misses(&mut self, key: PartitionKey) {
        self.missing.insert(key);
    }

    /// A partition was taken over, once more perhaps. `false`: it is none of these.
    pub(crate) fn taken_over(&mut self, key: PartitionKey, target_end: i64) -> bool {
        if !self.asking.remove(&key) && !self.parked.remove(&key) && !self.taken.contains_key(&key) {
            return false;
        }
        self.taken.insert(key, target_end);
        true
    }

    /// A partition is parked for what may pass, which tells nothing of whose the topic is.
    pub(crate) fn parked(&mut self, key: PartitionKey) {
        if self.asking.remove(&key) || self.taken.remove(&key).is_some() {
            self.parked.insert(key);
        }
    }

    /// Begins to settle it, where everything was asked and nobody is at it.
    pub(crate) fn begin_to_settle(&mut self) -> bool {
        let begins = self.asking.is_empty() && !self.is_settling;
        self.is_settling |= begins;
        begins
    }

    /// It could not be settled: the next look tries again.
    pub(crate) fn is_unsettled(&mut self) {
        self.is_settling = false;
    }

    /// The partitions that were taken over, and where they ended.
    pub(crate) fn taken_ones(&self) -> impl Iterator<Item = (PartitionKey, i64)> {
        self.taken.iter().map(|(key, target_end)| (*key, *target_end))
    }

    /// The partitions that are parked.
    pub(crate) fn parked_ones(&self) -> impl Iterator<Item = PartitionKey> {
        self.parked.iter().copied()
    }

    /// Those that the target topic gets once it is the flow's.
    pub(crate) fn missing(&self) -> impl Iterator<Item = PartitionKey> {
        self.missing.iter().copied()
    }

    /// All that wait for what the topic is: those that are taken over anew then, or parked.
    pub(crate) fn waiting(&self) -> Vec<PartitionKey> {
        self.asking.iter().chain(self.taken.keys()).chain(&self.missing).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::lineage::Lineage;
    use crate::state_topic::record::PartitionRecord;

    const A: PartitionKey = PartitionKey(1);
    const B: PartitionKey = PartitionKey(2);
    const C: PartitionKey = PartitionKey(3);

    fn id(letter: char) -> TopicId {
        std::iter::repeat_n(letter, 21).chain(['g']).collect::<String>().parse().expect("an id")
    }

    fn source() -> SourceIdentity {
        SourceIdentity { cluster_id: "east".to_owned(), topic: "orders".to_owned(), topic_id: id('Y') }
    }

    fn partition_record() -> Recorded {
        Recorded::Record(Box::new(PartitionRecord {
            source: source(),
            target_topic_id: id('Z'),
            lineage: Lineage::beginning_at(0, 0),
            leader_epochs: Vec::new(),
            lost: Vec::new(),
            earlier: Vec::new(),
            cleanup_policy_after_seeding: None,
        }))
    }

    #[test]
    fn a_topic_is_the_flows_where_it_or_each_of_its_partitions_is_recorded() {
        let name: Arc<str> = "orders".into();
        let is = |known: &Known, partitions, target| is_recorded(known, &name, partitions, &source(), target);
        let mut known = Known::default();
        assert!(!is(&known, 1, id('Z')));
        known.partitions.insert(TopicPartition::new("orders", 0), partition_record());
        assert!(is(&known, 1, id('Z')));
        assert!(!is(&known, 2, id('Z')), "one of two");
        assert!(!is(&known, 0, id('Z')), "nothing of it was seen");
        assert!(!is(&known, 1, id('X')), "made anew");
        assert!(!is(&known, 1, TopicId::NONE), "a name alone says nothing");
        let record = TopicRecord { source: source(), target_topic_id: id('Z'), deletion: None };
        known.topics.insert(Arc::clone(&name), record);
        assert!(is(&known, 2, id('Z')) && !is(&known, 2, id('X')));
    }

    #[test]
    fn a_topic_is_settled_once_all_of_its_partitions_were_asked() {
        let mut topic = UnownedTopic::new("orders".into(), 3, false);
        topic.asks(A);
        topic.asks(B);
        topic.misses(C);
        assert!(topic.taken_over(A, 0) && !topic.begin_to_settle());
        topic.parked(B);
        assert!(topic.begin_to_settle() && !topic.begin_to_settle(), "once at a time");
        topic.is_unsettled();
        assert!(topic.begin_to_settle());
        assert!(!topic.taken_over(C, 0), "there is nothing to take over yet");
        assert_eq!(topic.waiting(), [A, C]);
        assert!(topic.taken_over(B, 0));
        assert_eq!((topic.waiting(), topic.parked_ones().count()), (vec![A, B, C], 0));
    }
}
