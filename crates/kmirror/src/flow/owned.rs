//! Which topics of the target are the flow's own. Nothing is written to another one, and no settings, partitions, entries or deletions
//! reach it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{TopicId, TopicPartition};

use crate::ground::park::Parked;
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
                let recorded = TopicRecord {
                    source: source_of,
                    origins: Vec::new(),
                    target_topic_id: recorded_id,
                    deletion: None,
                };
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
///
/// Of one that is recorded as the flow's somebody may have written to a partition since. So nothing of it is changed either until all were taken
/// over, but each is appended to as soon as it was, where nothing of the topic has to be changed before: one that cannot be taken over must not
/// keep the others. Where one holds what is not the source's, it is changed no more in this run.
#[derive(Debug)]
pub(crate) struct UnownedTopic {
    pub(crate) source: Arc<str>,
    /// How many partitions the source topic has.
    pub(crate) partitions: i32,
    pub(crate) may_need_heads: bool,
    /// Whether it is recorded as the flow's.
    pub(crate) is_recorded: bool,
    /// Whether it would not keep what is copied to it, as it is.
    needs_settings: bool,
    /// Of those that were taken over: which ask for a change of the topic before they are appended to, a head that is to be filled.
    wanting: BTreeSet<PartitionKey>,
    /// Of those that were taken over: which are appended to already.
    going: BTreeSet<PartitionKey>,
    /// Why one of them is parked that holds what is not the source's.
    dispute: Option<Parked>,
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
            is_recorded: false,
            needs_settings: false,
            wanting: BTreeSet::new(),
            going: BTreeSet::new(),
            dispute: None,
            asking: BTreeSet::new(),
            taken: BTreeMap::new(),
            parked: BTreeSet::new(),
            missing: BTreeSet::new(),
            is_settling: false,
        }
    }

    /// One that is recorded as the flow's.
    pub(crate) fn recorded(self, needs_settings: bool) -> UnownedTopic {
        UnownedTopic { is_recorded: true, needs_settings, ..self }
    }

    /// A partition that the target topic has, perhaps since a moment ago, or which was parked.
    pub(crate) fn asks(&mut self, key: PartitionKey) {
        self.forget(key);
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

    /// Whether a partition that was taken over is appended to before the topic is settled. `wants`: it asks for a change of the topic first.
    pub(crate) fn goes_on(&mut self, key: PartitionKey, wants: bool) -> bool {
        if wants {
            self.wanting.insert(key);
        } else {
            self.wanting.remove(&key);
        }
        let goes_on = self.is_recorded && !self.needs_settings && !self.may_need_heads && !wants;
        if goes_on {
            self.going.insert(key);
        } else {
            self.going.remove(&key);
        }
        goes_on
    }

    /// The topic cannot be settled for a while, and its heads need not wait for it where none of them is open: which partitions go on then.
    pub(crate) fn let_go(&mut self) -> Vec<PartitionKey> {
        if !self.is_recorded || self.needs_settings || !self.wanting.is_empty() {
            return Vec::new();
        }
        self.may_need_heads = false;
        let going: Vec<_> = self.taken.keys().filter(|key| !self.going.contains(key)).copied().collect();
        self.going.extend(&going);
        going
    }

    /// A partition is parked for what may pass, which tells nothing of whose the topic is; nor does it of one that was taken over and appended to.
    pub(crate) fn parked(&mut self, key: PartitionKey) {
        if self.asking.contains(&key) || self.taken.contains_key(&key) && !self.going.contains(&key) {
            self.forget(key);
            self.parked.insert(key);
        }
    }

    /// A partition of a recorded topic holds what is not the source's. Whether it is the first.
    pub(crate) fn disputed(&mut self, key: PartitionKey, parked: &Parked) -> bool {
        self.forget(key);
        let is_first = self.dispute.is_none();
        self.dispute.get_or_insert_with(|| parked.clone());
        is_first
    }

    /// Those that wait for what is not done to a topic of which one partition is disputed.
    pub(crate) fn hopeless(&self) -> Vec<PartitionKey> {
        let waiting = self.taken.keys().filter(|key| !self.going.contains(key));
        waiting.chain(&self.missing).copied().collect()
    }

    /// Why one of its partitions is parked that holds what is not the source's.
    pub(crate) fn dispute(&self) -> Option<&Parked> {
        self.dispute.as_ref()
    }

    fn forget(&mut self, key: PartitionKey) {
        self.parked.remove(&key);
        self.taken.remove(&key);
        self.asking.remove(&key);
        self.wanting.remove(&key);
        self.going.remove(&key);
    }

    /// Whether it is the flow's, with nothing left to look at and nothing to be done for it.
    pub(crate) fn is_confirmed(&self) -> bool {
        let nothing_left = self.asking.is_empty() && self.parked.is_empty() && self.missing.is_empty();
        self.is_recorded && !self.needs_settings && self.dispute.is_none() && nothing_left
    }

    /// Whether heads are to be filled, or may have to be.
    pub(crate) fn is_held(&self) -> bool {
        self.may_need_heads && (!self.is_recorded || !self.wanting.is_empty())
    }

    /// Begins to settle it, where everything was asked and nobody is at it.
    pub(crate) fn begin_to_settle(&mut self) -> bool {
        let begins = self.asking.is_empty() && !self.is_settling && self.dispute.is_none();
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
        self.asking.iter().copied().chain(self.hopeless()).collect()
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
        let record =
            TopicRecord { source: source(), origins: Vec::new(), target_topic_id: id('Z'), deletion: None };
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

    fn recorded(may_need_heads: bool, needs_settings: bool) -> UnownedTopic {
        let mut topic = UnownedTopic::new("orders".into(), 3, may_need_heads).recorded(needs_settings);
        topic.asks(A);
        topic.asks(B);
        topic
    }

    #[test]
    fn a_recorded_topic_is_appended_to_where_nothing_of_it_is_to_be_changed_first() {
        let mut topic = recorded(false, false);
        assert!(topic.taken_over(A, 0) && topic.goes_on(A, false) && !topic.is_confirmed());
        assert!(topic.taken_over(B, 0) && !topic.goes_on(B, true), "it wants a head");
        assert!(topic.is_confirmed());
        assert_eq!(topic.waiting(), [B]);
        for mut topic in [recorded(true, false), recorded(false, true)] {
            assert!(topic.taken_over(A, 0) && !topic.goes_on(A, false));
        }
    }

    #[test]
    fn a_recorded_topic_goes_on_beside_a_parked_partition_unless_it_waits_for_a_change() {
        for (mut topic, going) in [(recorded(true, false), vec![A]), (recorded(false, true), vec![])] {
            topic.taken_over(A, 0);
            topic.goes_on(A, false);
            topic.parked(B);
            assert!(!topic.is_confirmed() && topic.begin_to_settle());
            assert_eq!(topic.let_go(), going);
            assert_eq!(topic.waiting().is_empty(), !going.is_empty());
        }
    }

    /// What keeps a partition that was taken over and is appended to says nothing of the topic.
    #[test]
    fn a_recorded_topic_is_the_flows_though_a_partition_was_parked_since_it_was_looked_at() {
        let mut topic = recorded(false, false);
        topic.taken_over(A, 0);
        topic.goes_on(A, false);
        topic.parked(A);
        topic.taken_over(B, 0);
        topic.goes_on(B, false);
        assert!(topic.is_confirmed());
    }

    #[test]
    fn nothing_of_a_recorded_topic_is_changed_where_one_partition_is_disputed() {
        let parked = Parked::new(crate::ground::park::ParkReason::TargetDiverged, "theirs");
        let mut topic = recorded(false, false);
        topic.misses(C);
        assert!(topic.disputed(A, &parked) && !topic.disputed(B, &parked), "the first is told");
        assert_eq!((topic.hopeless(), topic.dispute()), (vec![C], Some(&parked)));
        assert!(!topic.is_confirmed() && !topic.begin_to_settle());
    }
}
