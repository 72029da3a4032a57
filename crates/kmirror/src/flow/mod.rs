//! A flow: one direction of copying. Its supervisor is one loop over one enum of events, and the only one that starts,
//! moves and stops the tasks of the flow.

pub(crate) mod beside;
pub(crate) mod discovery;
mod heads;
mod pipe;
pub(crate) mod read_from;
mod standby;
mod supervisor;
mod table;
pub(crate) mod whole;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use kmirror_client::{Client, TopicPartition};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::pipe::Pipe;
pub(crate) use self::supervisor::run;
use crate::config::Flow;
use crate::loops::Route;
use crate::selection::Selected;
use crate::status::{FlowCounters, FlowStatus, PartitionGauge, PartitionStatus};

/// What a flow's supervisor works with.
#[derive(Clone)]
pub(crate) struct FlowContext {
    pub(crate) flow: Flow,
    /// What may change while the flow runs.
    pub(crate) terms: watch::Receiver<Terms>,
    pub(crate) source: Client,
    pub(crate) target: Client,
    /// Whether the flow ends at the offsets where the source ended when it started.
    pub(crate) once: bool,
    pub(crate) shared: Arc<FlowShared>,
    pub(crate) stop: CancellationToken,
}

/// What a flow copies, and what the others of the mirror copy. A reload may change it while the flow runs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) selected: Selected,
    /// All flows of the mirror, and which of them this is.
    pub(crate) routes: Arc<[Route]>,
    pub(crate) route: usize,
}

/// What a flow lets others see.
#[derive(Debug)]
pub(crate) struct FlowShared {
    name: String,
    pub(crate) counters: Arc<FlowCounters>,
    /// Whether both clusters were looked at.
    pub(crate) has_looked: AtomicBool,
    /// Grows when the supervisor discovers partitions; read when somebody looks.
    partitions: RwLock<Vec<Published>>,
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
            partitions: RwLock::default(),
        })
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

    /// The partitions that were made known so far.
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
        }
    }

    /// Whether the supervisor has found anything to copy yet.
    pub(crate) fn has_partitions(&self) -> bool {
        !self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    /// Whether every partition has reached its goal (or the source's end, where it has none) or is parked.
    pub(crate) fn is_settled(&self) -> bool {
        let partitions = self.partitions.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        partitions.iter().all(|partition| partition.gauge.is_parked() || partition.is_caught_up())
    }
}

impl Published {
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
            lineage: self.gauge.lineage(),
            goal: self.goal,
        }
    }

    /// Whether it has reached its goal, or the source's end where it has none.
    pub(crate) fn is_caught_up(&self) -> bool {
        let end = self.goal.unwrap_or_else(|| self.gauge.source_end.load(Ordering::Relaxed));
        end >= 0 && self.gauge.position() >= end && !self.gauge.has_open_head()
    }
}
