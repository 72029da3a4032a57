//! What changes in a running mirror, for programs that react to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::ground::error::Error;
use crate::ground::status::{FlowStatus, MissingReason, MissingTopic, PartitionState};
use crate::runner::Shown;

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A partition is in another state, or new.
    Partition {
        /// The name of the flow.
        flow: String,
        /// The topic on the source.
        source_topic: String,
        /// The partition.
        partition: i32,
        /// What it does now.
        state: PartitionState,
    },
    /// A partition has left its flow: its topic is not selected any more, or gone.
    PartitionLeft {
        /// The name of the flow.
        flow: String,
        /// The topic on the source.
        source_topic: String,
        /// The partition.
        partition: i32,
    },
    /// Nothing is copied of a topic, or for another reason than before.
    Missing(MissingTopic),
    /// A topic is missing no more.
    Found {
        /// The name of the flow.
        flow: String,
        /// The topic on the source.
        source_topic: String,
    },
}

/// The changes of a running mirror, in order for each partition and topic. Where one changes back and forth faster than it is looked at, only
/// what it comes to is told. The first ones tell how everything is.
#[derive(Debug)]
pub struct Changes {
    shown: Arc<Shown>,
    ended: watch::Receiver<Option<Result<(), Error>>>,
    seen: Seen,
    next: VecDeque<Change>,
}

/// How everything was when it was looked at last.
#[derive(Debug, Default)]
struct Seen {
    partitions: BTreeMap<(String, String, i32), PartitionState>,
    missing: BTreeMap<(String, String), MissingReason>,
}

impl Changes {
    pub(crate) fn new(shown: Arc<Shown>, ended: watch::Receiver<Option<Result<(), Error>>>) -> Changes {
        Changes { shown, ended, seen: Seen::default(), next: VecDeque::new() }
    }

    /// Waits for the next change; `None` when the mirror has ended and all of them were told. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            // What ended is asked first, so that its last changes are not missed.
            let has_ended = self.ended.borrow().is_some();
            if self.next.is_empty() {
                let flows: Vec<_> = self.shown.flows().iter().map(|flow| flow.status()).collect();
                self.next.extend(self.seen.look(&flows));
            }
            match self.next.pop_front() {
                Some(change) => return Some(change),
                None if has_ended => return None,
                None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }
}

impl Seen {
    /// What is other than before.
    fn look(&mut self, flows: &[FlowStatus]) -> Vec<Change> {
        let mut now = Seen::default();
        for flow in flows {
            for partition in &flow.partitions {
                let place = (flow.name.clone(), partition.source_topic.clone(), partition.partition);
                now.partitions.insert(place, partition.state.clone());
            }
            for topic in &flow.missing {
                now.missing.insert((flow.name.clone(), topic.source_topic.clone()), topic.reason.clone());
            }
        }
        let mut changes = Vec::new();
        for ((flow, source_topic, partition), state) in &now.partitions {
            let place = (flow.clone(), source_topic.clone(), *partition);
            if self.partitions.get(&place) != Some(state) {
                let (flow, source_topic, partition) = place;
                changes.push(Change::Partition { flow, source_topic, partition, state: state.clone() });
            }
        }
        let left = self.partitions.keys().filter(|place| !now.partitions.contains_key(*place)).cloned();
        changes.extend(left.map(|(flow, source_topic, partition)| Change::PartitionLeft {
            flow,
            source_topic,
            partition,
        }));
        for ((flow, source_topic), reason) in &now.missing {
            let place = (flow.clone(), source_topic.clone());
            if self.missing.get(&place) != Some(reason) {
                let (flow, source_topic) = place;
                changes.push(Change::Missing(MissingTopic { flow, source_topic, reason: reason.clone() }));
            }
        }
        let found = self.missing.keys().filter(|place| !now.missing.contains_key(*place)).cloned();
        changes.extend(found.map(|(flow, source_topic)| Change::Found { flow, source_topic }));
        *self = now;
        changes
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
