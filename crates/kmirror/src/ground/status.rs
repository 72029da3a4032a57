//! What can be seen of a running mirror. Tasks publish states and numbers here; the supervisor and the followers read some of them back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kmirror_codec::GapReason;

use crate::ground::item::Item;
use crate::ground::lineage::Lineage;
use crate::ground::park::{ParkReason, Parked};

/// The state of a partition.
///
/// ```text
///  Starting ──▶ Copying ◀──▶ Waiting(cause)
///   ▲ ▲  │         │              │
///   │ │  └─────────┴──────────────┴──▶ Parked(reason)
///   │ └── take-over after a lost answer, a leader move, another writer
///   └──▶ Seeding, once, where the source's log does not begin at 0
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionState {
    /// The target's tail is being read and compared with the source.
    Starting,
    /// The head of the target's log is filled and cut off, so that it begins where the source's does.
    Seeding,
    /// Records flow, or would if there were any.
    Copying,
    /// A passing condition holds it up: it goes on by itself.
    Waiting(String),
    /// It stands still until an operator steps in.
    Parked(Parked),
}

impl fmt::Display for PartitionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionState::Starting => formatter.write_str("Starting"),
            PartitionState::Seeding => formatter.write_str("Seeding"),
            PartitionState::Copying => formatter.write_str("Copying"),
            PartitionState::Waiting(cause) => write!(formatter, "Waiting({cause})"),
            PartitionState::Parked(parked) => write!(formatter, "Parked({})", parked.reason),
        }
    }
}

/// One partition as seen at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition, the same on both sides.
    pub partition: i32,
    /// Its state.
    pub state: PartitionState,
    /// The next offset to be written: everything below is on the target. Below zero while not known.
    pub position: i64,
    /// The source's end as last seen: the last stable offset or the high watermark. Below zero while not known.
    pub source_end: i64,
    /// Whether the source shows its end now. Else it may be anywhere behind what was seen last: it cannot be read, or shows no records though
    /// it has some.
    pub is_source_seen: bool,
    /// Where the source's records are on the target, once it was taken over.
    pub lineage: Option<Lineage>,
    /// Where a mirror that runs once stops.
    pub goal: Option<i64>,
}

/// One flow as seen at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlowStatus {
    /// The flow's name.
    pub name: String,
    /// Whether it has looked at both clusters, so that its partitions are known.
    pub has_looked: bool,
    /// Records appended since the start, repeats in cleaned holes included.
    pub records: u64,
    /// Bytes of batches appended since the start, headers included; of those that were merged as they came.
    pub bytes: u64,
    /// Tiny batches of the source that were merged into larger ones since the start.
    pub merged_batches: u64,
    /// Offsets filled with control markers since the start.
    pub marker_offsets: u64,
    /// Offsets that hold no record, by why: they became markers. Holes filled with repeats are not among them.
    pub gap_offsets: GapOffsets,
    /// Source offsets in which deletions may have been that the source had forgotten before they could be copied.
    pub forgotten_offsets: u64,
    /// Every partition, by topic and number.
    pub partitions: Vec<PartitionStatus>,
    /// Topics that the flow is to copy and of which nothing is copied yet.
    pub missing: Vec<MissingTopic>,
    /// Target topics that are to be deleted, since their sources were.
    pub deletions: Vec<DueDeletion>,
}

/// A topic that a flow is to copy and of which nothing is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingTopic {
    /// The flow's name.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// Why nothing is copied.
    pub reason: MissingReason,
}

/// Why nothing of a topic is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingReason {
    /// The source has no topic of this name, which the flow names literally.
    NoSuchTopic,
    /// Somebody else has to create it on the target: the flow may not (`create_topics: false`).
    Awaited,
    /// A passing condition holds it up: it goes on by itself.
    Waiting(String),
    /// It cannot be copied, for this reason; it is tried again.
    Refused(Parked),
}

impl fmt::Display for MissingTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingTopic { flow, source_topic, reason } = self;
        match reason {
            MissingReason::NoSuchTopic => {
                write!(formatter, "{flow}: the source has no topic {source_topic:?}")
            }
            MissingReason::Awaited => {
                write!(formatter, "{flow}: somebody has to create the copy of {source_topic:?} on the target")
            }
            MissingReason::Waiting(cause) => {
                write!(formatter, "{flow}: {source_topic:?} is not copied yet: {cause}")
            }
            MissingReason::Refused(parked) => {
                write!(formatter, "{flow}: {source_topic:?} is not copied: {parked}")
            }
        }
    }
}

/// A topic of the target that is to be deleted (`on_deleted: { delete_after: … }`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueDeletion {
    /// The source topic, which is gone.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// Not before, in milliseconds since the epoch.
    pub due_ms: i64,
    /// Whether it is kept back, for more than half of the flow's topics are gone.
    pub is_held: bool,
}

impl FlowStatus {
    /// Offsets that are still to be copied, in the partitions of which that is known.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().filter_map(PartitionStatus::lag).sum()
    }

    /// The partitions of which it is not known.
    pub fn partitions_of_unknown_lag(&self) -> usize {
        self.partitions.iter().filter(|partition| partition.lag().is_none()).count()
    }

    /// Whether it has come to its work: its partitions are known, and each was taken over once or is parked.
    pub fn is_ready(&self) -> bool {
        let is_settled = |partition: &PartitionStatus| {
            partition.position >= 0 || matches!(partition.state, PartitionState::Parked(_))
        };
        self.has_looked && self.partitions.iter().all(is_settled)
    }

    /// The partitions that are parked.
    pub fn parked(&self) -> impl Iterator<Item = (&PartitionStatus, &Parked)> {
        self.partitions.iter().filter_map(|partition| match &partition.state {
            PartitionState::Parked(parked) => Some((partition, parked)),
            _ => None,
        })
    }
}

impl PartitionStatus {
    /// Offsets between the position and the goal, or the source's end where there is no goal; `None` where one of them is not known: the
    /// partition was not looked at yet, or the source cannot be read.
    pub fn lag(&self) -> Option<u64> {
        let end = match self.goal {
            Some(goal) => goal,
            None if self.is_source_seen && self.source_end >= 0 => self.source_end,
            None => return None,
        };
        (self.position >= 0).then(|| u64::try_from(end.saturating_sub(self.position)).unwrap_or(0))
    }
}

/// Offsets without a record, by why there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GapOffsets {
    /// The source has a control batch there.
    pub control: u64,
    /// The source has a record of an aborted transaction there, which `read_committed` leaves out.
    pub aborted: u64,
    /// The source's cleaner removed what was there.
    pub cleaned: u64,
    /// Retention removed what was there before it was copied, and the policy says to go on.
    pub expired: u64,
}

/// The numbers of a flow, counted by its appenders.
#[derive(Debug, Default)]
pub(crate) struct FlowCounters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) marker_offsets: AtomicU64,
    pub(crate) merged_batches: AtomicU64,
    pub(crate) forgotten_offsets: AtomicU64,
    control_offsets: AtomicU64,
    aborted_offsets: AtomicU64,
    cleaned_offsets: AtomicU64,
    expired_offsets: AtomicU64,
}

impl FlowCounters {
    /// Counts an item that was queued: a gap by its reason, a batch that was merged.
    pub(crate) fn count(&self, item: &Item) {
        let Item::Gap { first, end, reason } = item else {
            return self.count_merged(item);
        };
        let counter = match reason {
            GapReason::Control => &self.control_offsets,
            GapReason::Aborted => &self.aborted_offsets,
            GapReason::Cleaned => &self.cleaned_offsets,
            GapReason::Expired => &self.expired_offsets,
        };
        counter.fetch_add((end - first).unsigned_abs(), Ordering::Relaxed);
    }

    fn count_merged(&self, item: &Item) {
        if let Item::Batch { merged: merged @ 1.., .. } = item {
            self.merged_batches.fetch_add(*merged as u64, Ordering::Relaxed);
        }
    }

    /// All gaps counted so far.
    pub(crate) fn gap_offsets(&self) -> GapOffsets {
        GapOffsets {
            control: self.control_offsets.load(Ordering::Relaxed),
            aborted: self.aborted_offsets.load(Ordering::Relaxed),
            cleaned: self.cleaned_offsets.load(Ordering::Relaxed),
            expired: self.expired_offsets.load(Ordering::Relaxed),
        }
    }
}

/// The numbers and the state of a partition, written by the tasks that own it.
#[derive(Debug)]
pub(crate) struct PartitionGauge {
    pub(crate) position: AtomicI64,
    pub(crate) source_end: AtomicI64,
    lineage: Mutex<Option<Lineage>>,
    state: Mutex<PartitionState>,
    /// Whether the head of the target's log, or of another partition of a compacted topic, is still to be filled and cut off: until then
    /// readers find placeholders, whatever the log's end.
    has_open_head: AtomicBool,
    /// When its copy began, if that was in the life of this process; below zero else.
    begun_at_ms: AtomicI64,
    /// Whether the source does not show where it ends.
    is_source_hidden: AtomicBool,
}

impl PartitionGauge {
    pub(crate) fn set_open_head(&self, is_open: bool) {
        self.has_open_head.store(is_open, Ordering::Relaxed);
    }

    pub(crate) fn set_begun_at(&self, now_ms: i64) {
        self.begun_at_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn begun_at_ms(&self) -> Option<i64> {
        Some(self.begun_at_ms.load(Ordering::Relaxed)).filter(|at| *at >= 0)
    }

    pub(crate) fn set_source_hidden(&self, is_hidden: bool) {
        self.is_source_hidden.store(is_hidden, Ordering::Relaxed);
    }

    pub(crate) fn is_source_hidden(&self) -> bool {
        self.is_source_hidden.load(Ordering::Relaxed)
    }

    pub(crate) fn has_open_head(&self) -> bool {
        self.has_open_head.load(Ordering::Relaxed)
    }

    pub(crate) fn new() -> Arc<PartitionGauge> {
        Arc::new(PartitionGauge {
            position: AtomicI64::new(-1),
            source_end: AtomicI64::new(-1),
            lineage: Mutex::new(None),
            state: Mutex::new(PartitionState::Starting),
            has_open_head: AtomicBool::new(false),
            begun_at_ms: AtomicI64::new(-1),
            is_source_hidden: AtomicBool::new(false),
        })
    }

    pub(crate) fn set_state(&self, state: PartitionState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn state(&self) -> PartitionState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_lineage(&self, lineage: Lineage) {
        *self.lineage.lock().unwrap_or_else(PoisonError::into_inner) = Some(lineage);
    }

    pub(crate) fn lineage(&self) -> Option<Lineage> {
        self.lineage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn source_end(&self) -> i64 {
        self.source_end.load(Ordering::Relaxed)
    }

    pub(crate) fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Whether it is parked, for such a reason.
    pub(crate) fn is_parked_for(&self, is_such: impl Fn(ParkReason) -> bool) -> bool {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            PartitionState::Parked(parked) => is_such(parked.reason),
            _ => false,
        }
    }

    pub(crate) fn is_parked(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), PartitionState::Parked(_))
    }
}
