//! Moves the log start of target partitions along with the source's (`retention: follow`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, Isolation, ListedOffset, OffsetSpec, TopicPartition, Topics};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::flow::beside::Rounds;
use crate::flow::{FlowShared, Published};
use crate::lineage::Lineage;
use crate::status::PartitionState;

/// Looks at both log starts of each partition of a flow now and then.
pub(crate) struct LogStartFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    interval: Duration,
    /// Partitions whose source lost too much at once, which was told.
    guarded: HashSet<TopicPartition>,
    /// Partitions where deleting failed, which was told.
    failing: HashSet<TopicPartition>,
}

/// The ends of one partition, as offsets of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// Where the source's log begins.
    source_start: i64,
    /// Where the target's log begins.
    target_start: i64,
    /// Everything below is copied.
    position: i64,
}

/// What is to be done with the log start of a target partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It is where it belongs, or further.
    Stay,
    /// Everything below this offset is to be deleted.
    MoveTo(i64),
    /// The source lost so much at once that it may be an accident.
    Guard {
        /// What would be deleted: everything below this offset.
        below: i64,
    },
}

/// A partition that is being copied.
#[derive(Debug)]
struct Copied {
    source: TopicPartition,
    target: TopicPartition,
    position: i64,
    lineage: Lineage,
}

impl LogStartFollower {
    pub(crate) fn new(
        source: Client,
        target: Client,
        shared: Arc<FlowShared>,
        interval: Duration,
    ) -> LogStartFollower {
        LogStartFollower {
            source,
            target,
            shared,
            interval,
            guarded: HashSet::new(),
            failing: HashSet::new(),
        }
    }

    /// Follows until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.interval, stop);
        while rounds.next().await {
            self.follow().await;
        }
    }

    async fn follow(&mut self) {
        let copied = self.copied();
        let sources = copied.iter().map(|copied| copied.source.clone());
        let source_starts = log_starts(&self.source, sources.collect()).await;
        let targets = copied.iter().map(|copied| copied.target.clone());
        let target_starts = log_starts(&self.target, targets.collect()).await;
        let mut moves = Vec::new();
        for copied in copied {
            let starts = (source_starts.get(&copied.source), target_starts.get(&copied.target));
            let (Some(source_start), Some(target_start)) = starts else { continue };
            let bounds = copied.bounds(*source_start, *target_start);
            match decide(bounds) {
                Decision::Stay => {
                    self.guarded.remove(&copied.target);
                }
                Decision::MoveTo(offset) => {
                    self.guarded.remove(&copied.target);
                    moves.push((copied.target, offset));
                }
                Decision::Guard { below } => self.guard(copied.target, bounds, below),
            }
        }
        if moves.is_empty() {
            return;
        }
        // Where a source topic was created again meanwhile it is not the copied one's log that begins there.
        for client in [&self.source, &self.target] {
            if client.refresh_metadata(Topics::All).await.is_err() {
                return;
            }
        }
        let still: HashSet<_> = self.copied().into_iter().map(|copied| copied.target).collect();
        moves.retain(|(target, _)| still.contains(target));
        self.delete(&moves).await;
    }

    fn copied(&self) -> Vec<Copied> {
        let owned = self.shared.owned(&self.source.metadata(), &self.target.metadata());
        owned.iter().filter_map(Copied::of).collect()
    }

    fn guard(&mut self, partition: TopicPartition, bounds: Bounds, below: i64) {
        if self.guarded.insert(partition.clone()) {
            warn!(
                %partition,
                source_start = bounds.source_start,
                target_start = bounds.target_start,
                "the source lost more than half of what the target holds at once: the target keeps it. If that is meant, delete the \
                 records below {below} on the target yourself"
            );
        }
    }

    async fn delete(&mut self, moves: &[(TopicPartition, i64)]) {
        for (partition, deleted) in self.target.delete_records(moves).await {
            match deleted {
                Ok(log_start) => {
                    debug!(%partition, log_start, "log start moved along with the source's");
                    self.failing.remove(&partition);
                }
                Err(error) if self.failing.insert(partition.clone()) => {
                    warn!(%partition, %error, "the log start cannot be moved along with the source's; kmirror needs DELETE on the topic");
                }
                Err(_) => {}
            }
        }
    }
}

impl Copied {
    /// What is being copied now: only then position and lineage are known for certain.
    fn of(partition: &Published) -> Option<Copied> {
        if partition.gauge.state() != PartitionState::Copying {
            return None;
        }
        Some(Copied {
            source: TopicPartition::new(Arc::clone(&partition.source_topic), partition.partition),
            target: TopicPartition::new(Arc::clone(&partition.target_topic), partition.partition),
            position: partition.gauge.position(),
            lineage: partition.gauge.lineage()?,
        })
    }

    fn bounds(&self, source_start: i64, target_start: i64) -> Bounds {
        Bounds {
            source_start: self.lineage.target_of(source_start),
            target_start,
            position: self.lineage.target_of(self.position),
        }
    }
}

/// Never beyond what is copied, and never more than half of what the target holds at once, unless that is little: a source that
/// lost most of its log by accident is what a copy is kept for.
fn decide(bounds: Bounds) -> Decision {
    let below = bounds.source_start.min(bounds.position);
    let deleted = below - bounds.target_start;
    let held = bounds.position - bounds.target_start;
    if deleted <= 0 {
        Decision::Stay
    } else if deleted > UNGUARDED_OFFSETS_MAX && deleted > held / 2 {
        Decision::Guard { below }
    } else {
        Decision::MoveTo(below)
    }
}

async fn log_starts(client: &Client, partitions: Vec<TopicPartition>) -> HashMap<TopicPartition, i64> {
    let wanted: Vec<_> = partitions.into_iter().map(|partition| (partition, OffsetSpec::Earliest)).collect();
    let listed = client.list_offsets(&wanted, Isolation::ReadUncommitted).await;
    let known = listed.into_iter().filter_map(|(partition, listed)| match listed {
        Ok(ListedOffset { offset: Some(offset), .. }) => Some((partition, offset)),
        _ => None,
    });
    known.collect()
}

/// Offsets that are always deleted at once: topics as small as that may expire as a whole.
const UNGUARDED_OFFSETS_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_start_follows_but_not_too_far_at_once() {
        use Decision::{Guard, MoveTo, Stay};
        let table = [
            ("equal", (5, 5, 100), Stay),
            ("the target has deleted more by itself", (5, 50, 100), Stay),
            ("nothing is copied yet", (0, 0, 0), Stay),
            ("a little", (7, 5, 100), MoveTo(7)),
            ("all of a small log", (100, 5, 100), MoveTo(100)),
            ("beyond what is copied", (500, 5, 100), MoveTo(100)),
            ("as much as is always deleted", (10_000, 0, 10_001), MoveTo(10_000)),
            ("half", (50_000, 0, 100_000), MoveTo(50_000)),
            ("more than half", (50_001, 0, 100_000), Guard { below: 50_001 }),
            ("everything of a large log", (900_000, 0, 100_000), Guard { below: 100_000 }),
            ("half of what is left", (75_000, 50_000, 100_000), MoveTo(75_000)),
            ("more than half of what is left", (75_002, 50_000, 100_000), Guard { below: 75_002 }),
        ];
        for (what, (source_start, target_start, position), expected) in table {
            assert_eq!(decide(Bounds { source_start, target_start, position }), expected, "{what}");
        }
    }

    #[test]
    fn offsets_are_those_of_the_target() {
        let copied = Copied {
            source: TopicPartition::new("orders", 0),
            target: TopicPartition::new("orders", 0),
            position: 90,
            lineage: Lineage::beginning_at(50, 1_050),
        };
        let bounds = copied.bounds(70, 1_000);
        assert_eq!(bounds, Bounds { source_start: 1_070, target_start: 1_000, position: 1_090 });
        // Before the beginning of the copy there is nothing of the source's: what stands there stays.
        assert_eq!(copied.bounds(20, 1_000).source_start, 1_050);
    }
}
