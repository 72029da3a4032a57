//! Where a partition stands, from what is recorded of it and where both logs begin and end. What the target's tail holds is
//! looked at after that. Pure.

use kmirror_client::TopicId;

use crate::ground::config::Offsets;
use crate::ground::lineage::{Lineage, Run};
use crate::ground::park::{ParkReason, Parked};
use crate::ground::policies::{OnExpired, OnRecreated, Policies};
use crate::state_topic::record::{LostRange, PartitionRecord, RecordError, SourceIdentity};
use crate::state_topic::store::Recorded;
use crate::takeover::predecessor::Stood;

/// Where the source's log begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceBounds {
    pub(crate) log_start: i64,
    /// What a reader sees under the flow's isolation.
    pub(crate) readable_end: i64,
    pub(crate) high_watermark: i64,
}

/// Everything that is known before a log is read.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    pub(crate) recorded: Recorded,
    pub(crate) source: SourceIdentity,
    pub(crate) bounds: SourceBounds,
    /// Where a partition begins that was never copied.
    pub(crate) beginning: i64,
    pub(crate) target_topic_id: TopicId,
    pub(crate) target_start: i64,
    pub(crate) target_end: i64,
    /// Where the predecessor stood, if there is one that says so.
    pub(crate) predecessor: Option<Stood>,
    pub(crate) offsets: Offsets,
    pub(crate) policies: Policies,
    pub(crate) head_fill_offsets_max: i64,
}

/// Offsets `[from, to)` of the target to be filled and cut off, so that its log starts at `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// What is to be done with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was copied, and the target is empty: from the lineage's beginning on.
    Begin(PartitionRecord),
    /// Nothing was copied; the head comes first.
    FillHead(PartitionRecord, Head),
    /// Nothing is recorded, and the target holds something: behind it, if it is none of ours.
    BeginBehind(PartitionRecord),
    /// Nothing is recorded, and the target holds what the predecessor copied: behind that, where the logs show it stood. The record
    /// says where that is if it is what the predecessor said.
    Continue(PartitionRecord, Stood),
    /// The tail of the target tells how far the copy has come.
    Resume(Resume),
}

impl Verdict {
    /// Where the source's records are on the target, and will be, where the logs need not be read for it.
    pub(crate) fn lineage(&self) -> Option<&Lineage> {
        match self {
            Verdict::Begin(record) | Verdict::FillHead(record, _) | Verdict::BeginBehind(record) => {
                Some(&record.lineage)
            }
            Verdict::Continue(..) => None,
            Verdict::Resume(resume) => Some(&resume.record.lineage),
        }
    }
}

/// A copy that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) record: PartitionRecord,
    /// Whether the record was read, rather than assumed.
    pub(crate) is_recorded: bool,
    /// Whether the tail is of the present source topic, which holds the same records.
    pub(crate) is_comparable: bool,
    /// The source offset after the last one on the target.
    pub(crate) position: i64,
    /// Source offsets that expired, to be filled before copying goes on.
    pub(crate) expired: Option<LostRange>,
}

impl Situation {
    /// Decides.
    pub(crate) fn judge(mut self) -> Result<Verdict, Parked> {
        match std::mem::take(&mut self.recorded) {
            Recorded::Unreadable(error @ RecordError::Newer(_)) => Err(Parked::new(
                ParkReason::Rejected,
                format!(
                    "what the state topic holds of this partition is not understood: {error}. Use that release"
                ),
            )),
            Recorded::Unreadable(error) if self.offsets == Offsets::Shifted => Err(self.state_lost(&error)),
            // The log says where an exact copy stands.
            Recorded::Nothing | Recorded::Unreadable(_) => self.judge_unrecorded(),
            // Of an earlier topic with this name.
            Recorded::Record(record) if record.target_topic_id.is_other_than(self.target_topic_id) => {
                // What a group had copied was in that one: whoever deletes it to have it copied anew wants all of it.
                let is_same_source = record.source.cluster_id == self.source.cluster_id
                    && !record.source.topic_id.is_other_than(self.source.topic_id);
                self.predecessor = self.predecessor.filter(|stood| match stood {
                    Stood::Before(_) => !is_same_source,
                    Stood::AtLeastAt(_) => true,
                });
                self.judge_unrecorded()
            }
            Recorded::Record(record) => self.judge_recorded(*record),
        }
    }

    fn judge_unrecorded(mut self) -> Result<Verdict, Parked> {
        match self.predecessor {
            Some(stood) if self.target_end > 0 => {
                let next = match stood {
                    Stood::AtLeastAt(last) => {
                        last.map_or(self.bounds.log_start, |last| last.saturating_add(1))
                    }
                    Stood::Before(next) => next,
                };
                let mut record = self.record(next, self.target_end);
                record.lineage = record.lineage.continuing();
                return Ok(Verdict::Continue(record, stood));
            }
            // It copied records of this partition to other ones.
            Some(Stood::Before(next)) => {
                let log_start = self.bounds.log_start;
                expired(&mut self.record(next, 0), next, log_start, self.policies.on_expired)?;
                self.beginning = next.max(log_start);
            }
            // A topic that it has not filled, or that was created again since.
            Some(Stood::AtLeastAt(_)) | None => {}
        }
        let is_empty = self.target_start == self.target_end;
        match self.offsets {
            Offsets::Exact if self.target_end == 0 => self.begin_exact(),
            Offsets::Exact => {
                let record = self.record(0, 0);
                self.resume(record, false, true)
            }
            Offsets::Shifted => {
                let record = self.record(self.beginning, self.target_end);
                Ok(if is_empty && self.target_end == 0 {
                    Verdict::Begin(record)
                } else {
                    Verdict::BeginBehind(record)
                })
            }
        }
    }

    fn begin_exact(&self) -> Result<Verdict, Parked> {
        let record = self.record(self.beginning, self.beginning);
        self.fill_head(record)
    }

    /// An exact copy of which the target holds nothing yet, or a part of the head.
    fn fill_head(&self, record: PartitionRecord) -> Result<Verdict, Parked> {
        let head = Head { from: self.target_end, to: record.lineage.first().target };
        if head.to == 0 || self.target_start == head.to && self.target_end == head.to {
            return Ok(Verdict::Begin(record));
        }
        let missing = head.to - head.from;
        if missing > self.head_fill_offsets_max {
            return Err(Parked::new(
                ParkReason::RecordsExpired,
                format!(
                    "the source begins at offset {}, so offsets [{}, {}) of the target would have to be filled first: about {} \
                     and {} over the wire. Raise head_fill_max to have it done, or choose `offsets: shifted`",
                    head.to,
                    head.from,
                    head.to,
                    seconds(missing / FILL_OFFSETS_PER_SECOND),
                    mebibytes(missing / FILL_OFFSETS_PER_BYTE),
                ),
            ));
        }
        Ok(Verdict::FillHead(record, head))
    }

    fn judge_recorded(self, mut record: PartitionRecord) -> Result<Verdict, Parked> {
        if record.source.cluster_id != self.source.cluster_id {
            return Err(Parked::new(
                ParkReason::SourceRecreated,
                format!(
                    "the target's records up to offset {} were copied from the cluster {}, and the source is now the cluster {}. \
                     Check bootstrap_servers; delete the target topic to have it copied anew",
                    self.target_end, record.source.cluster_id, self.source.cluster_id
                ),
            ));
        }
        if record.source.topic_id.is_other_than(self.source.topic_id)
            || record.source.topic != self.source.topic
        {
            return self.judge_recreated(record);
        }
        // A cluster that was upgraded has ids since.
        record.source.topic_id = self.source.topic_id;
        record.target_topic_id = self.target_topic_id;
        let first = record.lineage.first();
        if self.target_end > first.target {
            return self.resume(record, true, true);
        }
        // A shifted copy begins behind what is there: that is no head, though it be as long as one.
        let has_head = self.offsets == Offsets::Exact || self.target_end < first.target;
        if has_head && first.delta() == 0 && record.earlier.is_empty() && !record.lineage.is_continuing() {
            // Nothing was copied yet: what expired meanwhile belongs to the head.
            if self.bounds.log_start > first.source {
                record.lineage = Lineage::beginning_at(self.bounds.log_start, self.bounds.log_start);
            }
            return self.fill_head(record);
        }
        if self.target_end < first.target {
            return Err(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the copy begins at target offset {}, and the target ends at {}: it lost records of somebody else. Delete the \
                     target topic to have it copied anew",
                    first.target, self.target_end
                ),
            ));
        }
        if record.lineage.is_continuing() {
            // What expires meanwhile was still to be copied.
            return self.resume(record, true, true);
        }
        let source = first.source.max(self.bounds.log_start);
        record.lineage = Lineage::beginning_at(source, self.target_end);
        Ok(Verdict::Begin(record))
    }

    fn judge_recreated(self, mut record: PartitionRecord) -> Result<Verdict, Parked> {
        let copied = record.lineage.source_of(self.target_end);
        match self.policies.on_recreated {
            OnRecreated::Stop => Err(Parked::new(
                ParkReason::SourceRecreated,
                format!(
                    "the source topic was deleted and created again: offsets [{}, {copied}) of the topic with id {} were copied, \
                     and it has id {} now and holds [{}, {}). Delete the target topic to have it copied anew, or set \
                     `on_recreated: restart` to have it copied behind the old records",
                    record.lineage.first().source,
                    record.source.topic_id,
                    self.source.topic_id,
                    self.bounds.log_start,
                    self.bounds.high_watermark,
                ),
            )),
            OnRecreated::Restart => {
                let from = Run { source: self.bounds.log_start, target: self.target_end };
                record.begin_source(self.source.clone(), from);
                Ok(Verdict::Resume(Resume {
                    record,
                    is_recorded: true,
                    is_comparable: false,
                    position: from.source,
                    expired: None,
                }))
            }
        }
    }

    fn resume(
        &self,
        mut record: PartitionRecord,
        is_recorded: bool,
        is_comparable: bool,
    ) -> Result<Verdict, Parked> {
        record.lineage.truncate(self.target_end);
        let position = record.lineage.source_of(self.target_end);
        let expired = expired(&mut record, position, self.bounds.log_start, self.policies.on_expired)?;
        Ok(Verdict::Resume(Resume { record, is_recorded, is_comparable, position, expired }))
    }

    fn record(&self, source: i64, target: i64) -> PartitionRecord {
        PartitionRecord {
            source: self.source.clone(),
            target_topic_id: self.target_topic_id,
            lineage: Lineage::beginning_at(source, target),
            leader_epochs: Vec::new(),
            lost: Vec::new(),
            earlier: Vec::new(),
            cleanup_policy_after_seeding: None,
        }
    }

    fn state_lost(&self, error: &RecordError) -> Parked {
        Parked::new(
            ParkReason::TargetDiverged,
            format!(
                "what the state topic holds of this partition is not understood ({error}), and without it nothing says where \
                 source offsets are on a shifted target, which ends at {}. Delete the target topic to have it copied anew",
                self.target_end
            ),
        )
    }
}

/// The source offsets from `position` on that expired before they were copied, which the policy may allow.
pub(super) fn expired(
    record: &mut PartitionRecord,
    position: i64,
    log_start: i64,
    policy: OnExpired,
) -> Result<Option<LostRange>, Parked> {
    if log_start <= position {
        return Ok(None);
    }
    let lost = LostRange { first: position, end: log_start };
    if policy == OnExpired::Stop {
        return Err(Parked::new(
            ParkReason::RecordsExpired,
            format!(
                "offsets [{}, {}) of the source expired before they were copied. Set `on_expired: skip` to go on behind them",
                lost.first, lost.end
            ),
        ));
    }
    record.add_lost(lost);
    Ok(Some(lost))
}

fn seconds(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{} seconds", seconds.max(1)),
        120..=7_199 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3_600),
    }
}

fn mebibytes(bytes: i64) -> String {
    format!("{} MiB", (bytes >> 20).max(1))
}

/// What a broker on a small machine takes.
const FILL_OFFSETS_PER_SECOND: i64 = 3_000_000;
/// A batch of a million placeholders is 0.8 MB.
const FILL_OFFSETS_PER_BYTE: i64 = 1;

#[cfg(test)]
mod tests;
