//! Moves the log start of target partitions along with the source's (`retention: follow`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, Isolation, ListedOffset, OffsetSpec, TopicId, TopicPartition, Topics};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::follow::rounds::Rounds;
use crate::ground::context::FlowContext;
use crate::ground::lineage::Lineage;
use crate::ground::shared::{FlowShared, Published};
use crate::ground::status::PartitionState;
use crate::logs::records::RecordTopic;
use crate::state_topic::guard_record::{self, GuardRecord, GuardRecords};
use crate::state_topic::store::StateStore;
use crate::topics::topic_id;

/// Looks at both log starts of each partition of a flow now and then.
pub(crate) struct LogStartFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    interval: Duration,
    state: StateStore,
    writer: RecordTopic,
    /// Partitions whose source lost too much, as it is recorded; unknown before that was read.
    guards: Option<GuardRecords>,
    /// Where each partition began and ended when both starts agreed last.
    agreed: BTreeMap<TopicPartition, Agreed>,
    /// Partitions where deleting failed, which was told.
    failing: BTreeSet<TopicPartition>,
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

/// What the target held when the source's log began where its own did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    target_start: i64,
    position: i64,
}

/// What is to be done with the log start of a target partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It is where it belongs, or further.
    Stay,
    /// Everything below this offset is to be deleted.
    MoveTo(i64),
    /// The source lost so much that it may be an accident, or it did before and nobody has decided yet.
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
    pub(crate) fn new(context: &FlowContext, state: &StateStore) -> LogStartFollower {
        let flow = &context.flow;
        let (topic, factor) = (flow.state_topic.clone(), flow.state_replication_factor);
        LogStartFollower {
            source: context.source.clone(),
            target: context.target.clone(),
            shared: Arc::clone(&context.shared),
            interval: flow.metadata_refresh_interval,
            state: state.clone(),
            writer: RecordTopic::new(&context.target, topic, factor),
            guards: None,
            agreed: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }

    /// Follows until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.interval, stop);
        while rounds.next().await {
            // Nothing is deleted by whoever does not know what is guarded.
            if self.guards.is_none() {
                self.guards = self.state.known().await.ok().map(|known| known.guards);
            }
            if self.guards.is_some() {
                self.follow().await;
            }
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
            let target = copied.target;
            let guarded = self.guarded(&target);
            match decide(bounds, self.agreed.get(&target).copied(), guarded) {
                Decision::Stay => {
                    let Bounds { target_start, position, .. } = bounds;
                    self.agreed.insert(target.clone(), Agreed { target_start, position });
                    self.release(target).await;
                }
                Decision::MoveTo(offset) => {
                    self.release(target.clone()).await;
                    moves.push((target, offset));
                }
                Decision::Guard { below } => self.guard(target, bounds, below).await,
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
        let still: BTreeSet<_> = self.copied().into_iter().map(|copied| copied.target).collect();
        moves.retain(|(target, _)| still.contains(target));
        self.delete(&moves).await;
    }

    fn copied(&self) -> Vec<Copied> {
        let owned = self.shared.owned(&self.source.metadata(), &self.target.metadata());
        owned.iter().filter_map(Copied::of).collect()
    }

    fn id_of(&self, partition: &TopicPartition) -> TopicId {
        topic_id(&self.target.metadata(), &partition.topic)
    }

    /// The offset below which nothing is deleted.
    fn guarded(&self, partition: &TopicPartition) -> Option<i64> {
        let record = self.guards.as_ref()?.get(partition)?;
        (!record.target_topic_id.is_other_than(self.id_of(partition))).then_some(record.below)
    }

    async fn guard(&mut self, partition: TopicPartition, bounds: Bounds, below: i64) {
        let record = GuardRecord { target_topic_id: self.id_of(&partition), below };
        let Some(guards) = &mut self.guards else { return };
        if guards.get(&partition) == Some(&record) {
            return;
        }
        // Remembered at once, and recorded: what the source loses later must not hide what it lost before.
        let is_new = guards.insert(partition.clone(), record).is_none();
        if is_new {
            warn!(
                %partition,
                source_start = bounds.source_start,
                target_start = bounds.target_start,
                "the source lost more than half of what the target holds: the target keeps it, and its log start does not follow any more. If \
                 that is meant, delete the records below {below} on the target yourself (kafka-delete-records)"
            );
        }
        self.record(&partition, Some(record)).await;
    }

    /// Nothing is guarded any more: somebody has deleted it, or the source has it again.
    async fn release(&mut self, partition: TopicPartition) {
        if self.guards.as_mut().is_some_and(|guards| guards.remove(&partition).is_some()) {
            info!(%partition, "the target's log start follows the source's again");
            self.record(&partition, None).await;
        }
    }

    async fn record(&mut self, partition: &TopicPartition, record: Option<GuardRecord>) {
        let record = (guard_record::key_of(partition).into_bytes(), record.map(GuardRecord::to_json));
        if let Err(error) = self.writer.append(&[record]).await {
            warn!(%partition, %error, "whether the log start follows could not be recorded: a restart may see it otherwise");
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

/// Never beyond what is copied, and never more than half of what the target held when both starts agreed last, unless that is little: a source
/// that lost most of its log by accident is what a copy is kept for. What was guarded once stays guarded whatever the target gets since.
fn decide(bounds: Bounds, agreed: Option<Agreed>, guarded: Option<i64>) -> Decision {
    let Bounds { source_start, target_start, position } = bounds;
    let below = source_start.min(position);
    if below <= target_start {
        return Decision::Stay;
    }
    if let Some(guarded) = guarded.filter(|guarded| target_start < *guarded) {
        return Decision::Guard { below: guarded.max(below) };
    }
    let agreed = agreed.unwrap_or(Agreed { target_start, position });
    let (deleted, held) = (below - agreed.target_start, agreed.position - agreed.target_start);
    if deleted > UNGUARDED_OFFSETS_MAX && deleted > held / 2 {
        Decision::Guard { below }
    } else {
        Decision::MoveTo(below)
    }
}

async fn log_starts(client: &Client, partitions: Vec<TopicPartition>) -> BTreeMap<TopicPartition, i64> {
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
            let bounds = Bounds { source_start, target_start, position };
            assert_eq!(decide(bounds, None, None), expected, "{what}");
        }
    }

    /// What is guarded stays, however much the target gets since: else it would be half one day.
    #[test]
    fn what_was_guarded_once_is_guarded_until_somebody_decides() {
        use Decision::{Guard, MoveTo, Stay};
        let at = |source_start, target_start, position| Bounds { source_start, target_start, position };
        let guarded = Some(20_000);
        assert_eq!(decide(at(20_000, 0, 35_000), None, None), Guard { below: 20_000 });
        assert_eq!(decide(at(20_000, 0, 100_000), None, None), MoveTo(20_000), "without a memory");
        assert_eq!(decide(at(20_000, 0, 100_000), None, guarded), Guard { below: 20_000 });
        assert_eq!(decide(at(25_000, 0, 100_000), None, guarded), Guard { below: 25_000 }, "it grows");
        assert_eq!(
            decide(at(25_000, 20_000, 100_000), None, guarded),
            MoveTo(25_000),
            "somebody has deleted it"
        );
        assert_eq!(decide(at(0, 0, 100_000), None, guarded), Stay, "the source has it again");
    }

    #[test]
    fn steps_without_an_agreement_in_between_are_one() {
        use Decision::{Guard, MoveTo};
        let agreed = Some(Agreed { target_start: 0, position: 100_000 });
        let at = |source_start, target_start| Bounds { source_start, target_start, position: 100_000 };
        assert_eq!(decide(at(40_000, 0), agreed, None), MoveTo(40_000));
        assert_eq!(decide(at(64_000, 40_000), agreed, None), Guard { below: 64_000 });
        let later = Some(Agreed { target_start: 40_000, position: 100_000 });
        assert_eq!(decide(at(64_000, 40_000), later, None), MoveTo(64_000));
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
