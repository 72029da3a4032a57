//! What a flow lets others see, and which topics of the target are its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use kmirror_client::{ClusterMetadata, TopicId, TopicPartition};

use super::park::ParkReason;
use super::status::{
    DueDeletion, FlowCounters, FlowStatus, MissingReason, MissingTopic, PartitionGauge, PartitionStatus,
};

/// What a flow lets others see.
#[derive(Debug)]
pub(crate) struct FlowShared {
    name: String,
    pub(crate) counters: Arc<FlowCounters>,
    /// Whether both clusters were looked at.
    pub(crate) has_looked: AtomicBool,
    /// How often it was given something else to select.
    selection: AtomicU64,
    /// Which of these both clusters were looked at for.
    looked_selection: AtomicU64,
    /// Grows when the supervisor discovers partitions; read when somebody looks.
    partitions: RwLock<Vec<Published>>,
    /// The target topics that are recorded as the flow's.
    owned: RwLock<BTreeMap<Arc<str>, OwnedTopic>>,
    missing: RwLock<Vec<MissingTopic>>,
    deletions: RwLock<Vec<DueDeletion>>,
}

/// Which topics these are, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnedTopic {
    pub(crate) source_topic_id: TopicId,
    pub(crate) target_topic_id: TopicId,
}

/// A partition as its supervisor has made it known.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) source_topic: Arc<str>,
    pub(crate) target_topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) goal: Option<i64>,
    pub(crate) source_is_compacted: bool,
    pub(crate) gauge: Arc<PartitionGauge>,
}

impl FlowShared {
    pub(crate) fn new(name: String) -> Arc<FlowShared> {
        Arc::new(FlowShared {
            name,
            counters: Arc::default(),
            has_looked: AtomicBool::new(false),
            selection: AtomicU64::new(0),
            looked_selection: AtomicU64::new(0),
            partitions: RwLock::default(),
            owned: RwLock::default(),
            missing: RwLock::default(),
            deletions: RwLock::default(),
        })
    }

    /// Which selection is the latest.
    pub(crate) fn selection(&self) -> u64 {
        self.selection.load(Ordering::Relaxed)
    }

    /// Something else is selected from now on: which selection that is. Until both clusters were looked at for it nothing is settled.
    pub(crate) fn select_anew(&self) -> u64 {
        self.selection.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Both clusters were looked at for this selection, and what was found is published.
    pub(crate) fn looked(&self, selection: u64) {
        self.has_looked.store(true, Ordering::Relaxed);
        self.looked_selection.store(selection, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, partition: Published) {
        self.partitions.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(partition);
    }

    /// A source topic has left the flow.
    pub(crate) fn unpublish(&self, source_topic: &str) {
        self.retain(|published| published != source_topic);
    }

    /// All source topics but these have left the flow.
    pub(crate) fn retain(&self, stays: impl Fn(&str) -> bool) {
        let mut partitions = self.partitions.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        partitions.retain(|partition| stays(&partition.source_topic));
    }

    /// A target topic is recorded as the flow's.
    pub(crate) fn own(&self, target_topic: &Arc<str>, topic: OwnedTopic) {
        let mut owned = self.owned.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        owned.insert(Arc::clone(target_topic), topic);
    }

    /// One of its partitions is a copy of another source topic from now on, by the flow's policy.
    pub(crate) fn own_anew(&self, target_topic: &str, source_topic_id: TopicId) {
        let mut owned = self.owned.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(topic) = owned.get_mut(target_topic) {
            topic.source_topic_id = source_topic_id;
        }
    }

    /// It is no more.
    pub(crate) fn disown(&self, target_topic: &str) {
        self.owned.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(target_topic);
    }

    /// Which topics a copy and its source are, where it is the flow's and no partition of it is parked for what it is; whatever became of the
    /// source.
    pub(crate) fn owned_topic(&self, target_topic: &str, target: &ClusterMetadata) -> Option<OwnedTopic> {
        let owned = self.owned.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let owned = owned.get(target_topic).copied()?;
        let is_same = target.topic(target_topic).is_some_and(|topic| topic.id == owned.target_topic_id);
        let is_disputed = self
            .published()
            .iter()
            .any(|partition| &*partition.target_topic == target_topic && partition.is_disputed());
        (is_same && !is_disputed).then_some(owned)
    }

    /// The topics of which nothing is copied.
    pub(crate) fn publish_missing(&self, missing: Vec<MissingTopic>) {
        *self.missing.write().unwrap_or_else(std::sync::PoisonError::into_inner) = missing;
    }

    pub(crate) fn publish_deletions(&self, deletions: Vec<DueDeletion>) {
        *self.deletions.write().unwrap_or_else(std::sync::PoisonError::into_inner) = deletions;
    }

    /// The partitions of topics of the target that are the flow's own: recorded as its copies, the same topics still on both sides, and none of
    /// their partitions parked for what it is. Nothing else is changed, granted on, moved or deleted by anybody. Who has read something of a
    /// source topic by its name asks with metadata that is newer.
    pub(crate) fn owned(&self, source: &ClusterMetadata, target: &ClusterMetadata) -> Vec<Published> {
        let partitions = self.published();
        let disputed: BTreeSet<_> = partitions
            .iter()
            .filter(|partition| partition.is_disputed())
            .map(|partition| Arc::clone(&partition.target_topic))
            .collect();
        let owned = self.owned.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let id = |metadata: &ClusterMetadata, topic: &str| {
            metadata.topic(topic).filter(|topic| topic.error.is_none()).map(|topic| topic.id)
        };
        let is_owned = |partition: &Published| {
            owned.get(&partition.target_topic).is_some_and(|ids| {
                id(source, &partition.source_topic) == Some(ids.source_topic_id)
                    && id(target, &partition.target_topic) == Some(ids.target_topic_id)
                    && !disputed.contains(&partition.target_topic)
            })
        };
        partitions.into_iter().filter(is_owned).collect()
    }

    /// The partitions that were made known so far: for those who show them. Who changes anything asks for [`FlowShared::owned`].
    pub(crate) fn published(&self) -> Vec<Published> {
        self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Everything that can be seen of the flow now.
    pub(crate) fn status(&self) -> FlowStatus {
        let partitions = self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        FlowStatus {
            name: self.name.clone(),
            has_looked: self.has_looked.load(Ordering::Relaxed),
            records: self.counters.records.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            merged_batches: self.counters.merged_batches.load(Ordering::Relaxed),
            marker_offsets: self.counters.marker_offsets.load(Ordering::Relaxed),
            gap_offsets: self.counters.gap_offsets(),
            forgotten_offsets: self.counters.forgotten_offsets.load(Ordering::Relaxed),
            partitions: partitions.iter().map(Published::status).collect(),
            missing: self.missing.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
            deletions: self.deletions.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        }
    }

    /// Whether the supervisor has found any topic that is to be copied.
    pub(crate) fn has_topics(&self) -> bool {
        let has_partitions =
            !self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
        has_partitions || !self.missing.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    /// Whether every partition has reached its goal (or the source's end, where it has none) or is parked, and no topic is missing that goes
    /// on by itself.
    pub(crate) fn is_settled(&self) -> bool {
        let is_looked_for = self.looked_selection.load(Ordering::Relaxed) == self.selection();
        if !self.has_looked.load(Ordering::Relaxed) || !is_looked_for {
            return false;
        }
        let is_waiting = |topic: &MissingTopic| matches!(topic.reason, MissingReason::Waiting(_));
        if self.missing.read().unwrap_or_else(std::sync::PoisonError::into_inner).iter().any(is_waiting) {
            return false;
        }
        let partitions = self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        partitions.iter().all(|partition| partition.gauge.is_parked() || partition.is_caught_up())
    }
}

impl Published {
    /// Whether it is parked since one of both topics is not what it was.
    fn is_disputed(&self) -> bool {
        self.gauge.is_parked_for(ParkReason::is_of_identity)
    }

    pub(crate) fn on_source(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.source_topic), self.partition)
    }

    pub(crate) fn on_target(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.target_topic), self.partition)
    }

    fn status(&self) -> PartitionStatus {
        PartitionStatus {
            source_topic: self.source_topic.to_string(),
            target_topic: self.target_topic.to_string(),
            partition: self.partition,
            state: self.gauge.state(),
            position: self.gauge.position(),
            source_end: self.gauge.source_end.load(Ordering::Relaxed),
            is_source_seen: !self.gauge.is_source_hidden(),
            lineage: self.gauge.lineage(),
            goal: self.goal,
        }
    }

    /// Whether it has reached its goal, or the source's end where it has none.
    pub(crate) fn is_caught_up(&self) -> bool {
        let is_seen = self.goal.is_some() || !self.gauge.is_source_hidden();
        let end = self.goal.unwrap_or_else(|| self.gauge.source_end.load(Ordering::Relaxed));
        is_seen && end >= 0 && self.gauge.position() >= end && !self.gauge.has_open_head()
    }
}
