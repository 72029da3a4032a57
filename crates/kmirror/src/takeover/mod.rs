//! Taking a partition over: at every start, and whenever what is in the target's log is not known for certain. The visible
//! tail of the target gives position, sequence and token in one read; its last records are compared with the source before
//! anything is appended. Nothing is resumed on faith.

pub(crate) mod compare;
pub(crate) mod forgotten;
mod head;
mod history;
pub(crate) mod judge;
#[cfg(test)]
mod moved;
pub(crate) mod predecessor;
mod read_tail;
pub(crate) mod reasons;
mod search;
pub(crate) mod seed;
pub(crate) mod tail;
mod token;

use std::time::Duration;

use kmirror_client::{Client, Moment, OffsetSpec, TopicId, TopicPartition, Topics, chance};
use tracing::info;

use self::compare::make_up;
use self::forgotten::Forgotten;
use self::judge::{Head, Resume, Situation, SourceBounds, Verdict};
use self::reasons::{state_failure, target_recreated};
use self::token::{token_after, token_clock};
use crate::data::append::state::AppendStart;
use crate::ground::config::{Isolation, Offsets, Start};
use crate::ground::failure::TakeOverFailure;
use crate::ground::identity::ProducerIds;
use crate::ground::lineage::Lineage;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::policies::Policies;
use crate::ground::rules::CompareRules;
use crate::ground::sequence::Sequence;
use crate::logs::ends;
use crate::logs::ends::LogEnds;
use crate::logs::range::{decoded, failure, source_range};
use crate::state_topic::record::{LostRange, PartitionRecord, SourceIdentity};
use crate::state_topic::store::{Recorded, StateStore};
use crate::takeover::predecessor::Stood;

/// What is to be taken over.
#[derive(Clone, Debug)]
pub(crate) struct TakeOver {
    pub(crate) source_client: Client,
    pub(crate) target_client: Client,
    pub(crate) source: TopicPartition,
    pub(crate) target: TopicPartition,
    pub(crate) source_identity: SourceIdentity,
    pub(crate) target_topic_id: TopicId,
    pub(crate) state: StateStore,
    /// Whether another instance may have written to the state topic since it was read.
    pub(crate) reads_state: bool,
    pub(crate) ids: ProducerIds,
    pub(crate) isolation: Isolation,
    pub(crate) offsets: Offsets,
    pub(crate) start: Start,
    /// Where the flow's predecessor stood, if it has one.
    pub(crate) predecessor: Option<Stood>,
    pub(crate) policies: Policies,
    pub(crate) head_fill_offsets_max: i64,
    /// Where the target ended when it was seen last, by its own offsets; 0 before that.
    pub(crate) target_end_seen: i64,
    /// A token that the log is known to have refused; ours must be higher.
    pub(crate) token_refused: i32,
    pub(crate) rules: CompareRules,
    /// The target topic's cleanup policy, where it is compacted.
    pub(crate) compaction_policy: Option<&'static str>,
    /// Whether the topic is known to be the flow's, so that placeholders that are back may be cut off.
    pub(crate) may_cut: bool,
}

/// Where a partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// For the appender.
    pub(crate) append: AppendStart,
    /// What the state topic holds of the partition now.
    pub(crate) record: PartitionRecord,
    /// The head that must be filled first; after that the partition is taken over again.
    pub(crate) head: Option<Head>,
    /// Whether placeholders are back that are cut off once the topic is known to be the flow's.
    pub(crate) has_placeholders: bool,
    /// Whether nothing of the source is on the target yet.
    pub(crate) begins: bool,
    /// Source offsets that expired, to be filled with markers first.
    pub(crate) expired: Option<LostRange>,
    /// Source offsets in which deletions may have been that nobody will read any more.
    pub(crate) forgotten: Option<Forgotten>,
    /// The leader epoch of the last source batch before the position, if the source still holds it.
    pub(crate) last_fetched_epoch: Option<i32>,
    /// Where the source ends now, under the flow's isolation.
    pub(crate) source_end: i64,
    /// Where the target ended when it was looked at, by its own offsets.
    pub(crate) target_end: i64,
}

/// Both logs' bounds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    source: SourceBounds,
    target_start: i64,
    target: LogEnds,
    /// When the request was sent that told it.
    target_seen_at: Moment,
}

impl TakenOver {
    /// Whether more of the topic is changed than that records are appended to this partition.
    pub(crate) fn changes_topic(&self) -> bool {
        self.head.is_some() || self.has_placeholders || self.record.cleanup_policy_after_seeding.is_some()
    }
}

impl TakeOver {
    /// Reads, compares, records what is new, and says where to go on.
    pub(crate) async fn run(self) -> Result<TakenOver, TakeOverFailure> {
        let mut recorded = self.state.get(&self.target, self.reads_state).await.map_err(state_failure)?;
        loop {
            match self.judge(&recorded).await {
                Ok((taken, target)) => {
                    if self.is_settled(&recorded, &taken.record, target).await? {
                        return Ok(taken);
                    }
                    recorded = self.state.get(&self.target, false).await.map_err(state_failure)?;
                }
                Err(parked @ TakeOverFailure::Park(_)) => {
                    // The logs were read after the record. Another owner may have recorded in between what explains them, as an owner does
                    // before it appends anything behind what is displaced.
                    let newest = self.state.get(&self.target, true).await.map_err(state_failure)?;
                    if newest == recorded {
                        return Err(parked);
                    }
                    recorded = newest;
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// What is found, and where the target ended.
    async fn judge(&self, recorded: &Recorded) -> Result<(TakenOver, LogEnds), TakeOverFailure> {
        let (target, target_seen_at) = self.rest().await?;
        if target.high_watermark < self.target_end_seen {
            self.check_target_id().await?;
        }
        let target_start = self.target_offset(OffsetSpec::Earliest).await?;
        let source = self.source_bounds().await?;
        let mut bounds = Bounds { source, target_start, target, target_seen_at };
        let situation = Situation {
            recorded: recorded.clone(),
            predecessor: self.predecessor,
            source: self.source_identity.clone(),
            bounds: source,
            beginning: self.beginning(&source).await?,
            target_topic_id: self.target_topic_id,
            target_start,
            target_end: target.high_watermark,
            offsets: self.offsets,
            policies: self.policies,
            head_fill_offsets_max: self.head_fill_offsets_max,
        };
        let taken = match situation.judge().map_err(TakeOverFailure::Park)? {
            Verdict::Begin(record) => self.begin(record, &bounds, None).await?,
            Verdict::FillHead(mut record, head) => {
                self.check_fillers(&bounds).await?;
                // Recorded before it is taken away for the time of filling.
                if let Some(policy) = self.compaction_policy {
                    record.cleanup_policy_after_seeding = Some(policy.to_owned());
                }
                self.begin(record, &bounds, Some(head)).await?
            }
            Verdict::BeginBehind(record) => self.begin_behind(record, &bounds).await?,
            Verdict::Continue(record, stood) => self.continue_after(record, stood, &bounds).await?,
            Verdict::Resume(resume) => {
                let (target_start, has_placeholders) = self.cut_again(&resume.record, &bounds).await?;
                bounds.target_start = target_start;
                TakenOver { has_placeholders, ..self.resume(resume, &bounds).await? }
            }
        };
        Ok((taken, target))
    }

    /// Records what was found, before anything is appended by it. `false`: it is found of a log that is another one by now, and so it must be
    /// found anew. Whoever has gone on meanwhile did not read it, and would leave it as it is; and where the target has lost what a run was
    /// recorded for, that run is wrong.
    async fn is_settled(
        &self,
        recorded: &Recorded,
        record: &PartitionRecord,
        target: LogEnds,
    ) -> Result<bool, TakeOverFailure> {
        if matches!(recorded, Recorded::Record(before) if **before == *record) {
            return Ok(true);
        }
        self.state.put(&self.target, recorded.clone(), record.clone()).await.map_err(state_failure)?;
        let has_one_run = record.lineage.runs().count() == 1;
        Ok(has_one_run || self.ends().await? == target)
    }

    /// The target's log has become shorter: it lost records, or it is another topic's.
    async fn check_target_id(&self) -> Result<(), TakeOverFailure> {
        let topic = &self.target.topic;
        let asked = self.target_client.refresh_metadata(Topics::Named(vec![topic.clone()])).await;
        let metadata = asked.map_err(|error| failure("describe the target", &error))?;
        match metadata.topic(topic).filter(|topic| topic.error.is_none()) {
            Some(found) if found.id != self.target_topic_id => {
                Err(TakeOverFailure::Park(target_recreated(topic, self.target_end_seen)))
            }
            _ => Ok(()),
        }
    }

    /// Nothing of ours is on the target.
    async fn begin(
        &self,
        record: PartitionRecord,
        bounds: &Bounds,
        head: Option<Head>,
    ) -> Result<TakenOver, TakeOverFailure> {
        let (next_sequence, token) = self.producers(&Found::default(), bounds).await?;
        let run = record.lineage.last();
        let append = AppendStart {
            position: run.source,
            delta: run.delta(),
            surplus: record.lineage.surplus(),
            next_sequence,
            token,
            seen_at: bounds.target_seen_at,
        };
        let source_end = bounds.source.readable_end;
        Ok(TakenOver {
            append,
            record,
            head,
            has_placeholders: false,
            begins: true,
            expired: None,
            forgotten: None,
            last_fetched_epoch: None,
            source_end,
            target_end: bounds.target.high_watermark,
        })
    }

    /// The target holds something, and nothing is recorded of it. If any of it were ours, the state would be lost.
    async fn begin_behind(
        &self,
        record: PartitionRecord,
        bounds: &Bounds,
    ) -> Result<TakenOver, TakeOverFailure> {
        let end = bounds.target.high_watermark;
        let tail = self.tail((end - 1).max(bounds.target_start), end).await?.0;
        let (next_sequence, _) = self.producers(&Found::default(), bounds).await?;
        if !tail.data.is_empty() || next_sequence.is_some() {
            return Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target has records of this flow up to offset {end}, and the state topic does not say which source \
                     offsets they are: it was lost. Delete the target topic to have it copied anew"
                ),
            )));
        }
        let position = record.lineage.source_of(end);
        let mut taken = self.begin(record, bounds, None).await?;
        taken.append.seen_at = self.check_unmoved(bounds, position).await?;
        Ok(taken)
    }

    /// The log end and the tail are two reads, between which another owner may have gone on and a cleaner removed what it wrote: where
    /// the log ends elsewhere by now, they may not be of the same log.
    /// Says when the log was seen to end there still.
    async fn check_unmoved(&self, bounds: &Bounds, position: i64) -> Result<Moment, TakeOverFailure> {
        let asked_at = Moment::now();
        if self.ends().await? == bounds.target {
            return Ok(asked_at);
        }
        Err(TakeOverFailure::Moved { position, source_end: bounds.source.readable_end })
    }

    async fn resume(&self, resume: Resume, bounds: &Bounds) -> Result<TakenOver, TakeOverFailure> {
        let Resume { mut record, is_recorded, is_comparable, expired, .. } = resume;
        let end = bounds.target.high_watermark;
        let floor = bounds.target_start.max(if is_comparable { record.lineage.first().target } else { 0 });
        let found = if end <= floor {
            Found::default()
        } else if is_comparable {
            match self.find(&mut record, is_recorded, bounds, floor).await? {
                Some(found) => found,
                // Somebody else's records alone, and the policy says to go on behind them.
                None => {
                    let from = self.beginning(&bounds.source).await?;
                    record.lineage = Lineage::beginning_at(from, end);
                    return self.begin_behind(record, bounds).await;
                }
            }
        } else {
            let (tail, _) = self.tail(end - 1, end).await?;
            Found { next_sequence: tail.next_sequence(), token: tail.token, ..Found::default() }
        };
        let (next_sequence, token) = self.producers(&found, bounds).await?;
        let position = record.lineage.source_of(end);
        let is_empty = bounds.target_start == end;
        if is_empty && !is_recorded && next_sequence.is_none() && bounds.source.log_start != position {
            return Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target's log is empty but begins at offset {end}, and nothing says that kmirror wrote it. \
                     Delete the target topic to have it copied again from its first record"
                ),
            )));
        }
        let mut last_fetched_epoch = found.last_epoch;
        if expired.is_none() {
            let epoch = self.make_up(&mut record, position, bounds).await?;
            if record.lineage.source_of(end) != position {
                last_fetched_epoch = epoch;
            }
        }
        let mut append = AppendStart {
            position: record.lineage.source_of(end),
            delta: record.lineage.last().delta(),
            surplus: record.lineage.surplus(),
            next_sequence,
            token,
            seen_at: bounds.target_seen_at,
        };
        let source_end = bounds.source.readable_end;
        let forgotten = self.forgotten(append.position, bounds).await?;
        append.seen_at = self.check_unmoved(bounds, position).await?;
        Ok(TakenOver {
            append,
            record,
            head: None,
            has_placeholders: false,
            begins: false,
            expired,
            forgotten,
            last_fetched_epoch,
            source_end,
            target_end: end,
        })
    }

    /// Where holes came out longer than the source's, and the source has a hole of as many offsets at `position`, the copy goes
    /// on behind that: the records there are at the right distance again. `Some`: the leader epoch of the source's last batch
    /// before.
    async fn make_up(
        &self,
        record: &mut PartitionRecord,
        position: i64,
        bounds: &Bounds,
    ) -> Result<Option<i32>, TakeOverFailure> {
        let end = position + record.lineage.surplus();
        if end <= position || position < bounds.source.log_start || end > bounds.source.readable_end {
            return Ok(None);
        }
        let range = source_range(&self.source_client, &self.source, self.isolation, position, end).await?;
        let last_epoch = range.last_epoch;
        let records = decoded(range.pieces, [position, end]).map_err(TakeOverFailure::Park)?;
        let hole_end = records.first().map_or(end, |record| record.offset);
        let Some(run) = make_up(&record.lineage, position, hole_end) else { return Ok(None) };
        info!(partition = %self.target, source_offset = run.source, target_offset = run.target,
            "a hole makes up for one that came out too long: copying goes on at the distance it began with");
        record.lineage.begin(run).map_err(|error| {
            TakeOverFailure::Park(Parked::new(ParkReason::TargetDiverged, error.to_string()))
        })?;
        Ok(last_epoch)
    }

    /// Waits until everything appended to the target is visible, before anything else is read.
    pub(crate) async fn wait_for_rest(&self) -> Result<(), TakeOverFailure> {
        self.rest_within(REST_MAX).await.map(drop)
    }

    async fn rest(&self) -> Result<(LogEnds, Moment), TakeOverFailure> {
        self.rest_within(REST_IN_TURN_MAX).await
    }

    /// Waits until everything appended to the target is visible. Bounded: a log that somebody keeps writing to never rests,
    /// and that will show in its tail.
    async fn rest_within(&self, patience: Duration) -> Result<(LogEnds, Moment), TakeOverFailure> {
        let (mut waited, mut interval) = (Duration::ZERO, REST_INTERVAL_MIN);
        loop {
            let asked_at = Moment::now();
            let ends = self.ends().await?;
            if ends.high_watermark == ends.log_end {
                return Ok((ends, asked_at));
            }
            if waited >= patience {
                return Err(TakeOverFailure::Again(format!(
                    "the target's replicas do not catch up: high watermark {}, log end {}",
                    ends.high_watermark, ends.log_end
                )));
            }
            tokio::time::sleep(interval).await;
            waited += interval;
            interval = (2 * interval).min(REST_INTERVAL_MAX);
        }
    }

    async fn ends(&self) -> Result<LogEnds, TakeOverFailure> {
        let mut read = ends::read(&self.target_client, std::slice::from_ref(&self.target)).await;
        let ends = read.remove(&self.target).unwrap_or_else(|| Err("no answer".to_owned()));
        ends.map_err(|cause| TakeOverFailure::Again(format!("reading the target's log end: {cause}")))
    }

    async fn target_offset(&self, spec: OffsetSpec) -> Result<i64, TakeOverFailure> {
        let isolation = kmirror_client::Isolation::ReadUncommitted;
        ends::offset(&self.target_client, &self.target, spec, isolation)
            .await
            .map_err(|error| failure("describe the target", &error))
    }

    async fn source_bounds(&self) -> Result<SourceBounds, TakeOverFailure> {
        let uncommitted = kmirror_client::Isolation::ReadUncommitted;
        Ok(SourceBounds {
            log_start: self.source_offset(OffsetSpec::Earliest, uncommitted).await?,
            readable_end: self.source_offset(OffsetSpec::Latest, self.isolation.for_client()).await?,
            high_watermark: self.source_offset(OffsetSpec::Latest, uncommitted).await?,
        })
    }

    async fn source_offset(
        &self,
        spec: OffsetSpec,
        isolation: kmirror_client::Isolation,
    ) -> Result<i64, TakeOverFailure> {
        ends::offset(&self.source_client, &self.source, spec, isolation)
            .await
            .map_err(|error| failure("describe the source", &error))
    }

    /// Where a partition begins that was never copied.
    async fn beginning(&self, source: &SourceBounds) -> Result<i64, TakeOverFailure> {
        let beginning = match self.start {
            Start::Earliest => source.log_start,
            Start::Latest => source.readable_end,
            Start::Timestamp(timestamp) => {
                let spec = [(self.source.clone(), OffsetSpec::Timestamp(timestamp))];
                let listed = self.source_client.list_offsets(&spec, self.isolation.for_client()).await;
                match listed.into_iter().next() {
                    Some((_, Ok(listed))) => listed.offset.unwrap_or(source.readable_end),
                    Some((_, Err(error))) => return Err(failure("describe the source", &error)),
                    None => source.readable_end,
                }
            }
        };
        Ok(beginning.max(source.log_start))
    }

    /// The producer state of the target's leader: the marker token, and the data's sequence where the log shows none.
    async fn producers(
        &self,
        found: &Found,
        bounds: &Bounds,
    ) -> Result<(Option<Sequence>, i32), TakeOverFailure> {
        let described = self.target_client.describe_producers(std::slice::from_ref(&self.target)).await;
        let mut next_sequence = found.next_sequence;
        let mut token = found.token.unwrap_or(0);
        if let Some((_, Ok(producers))) = described.into_iter().next() {
            for producer in producers {
                if producer.producer_id == self.ids.markers {
                    token = token.max(producer.coordinator_epoch.unwrap_or(0));
                }
                if producer.producer_id == self.ids.data && next_sequence.is_none() {
                    next_sequence = producer.last_sequence.map(|last| Sequence::after(last, 1));
                }
            }
        }
        if next_sequence != found.next_sequence && self.rest().await?.0 != bounds.target {
            return Err(TakeOverFailure::Again("the target's log moved while its end was read".to_owned()));
        }
        let owner = format_args!("{} {}", self.target_client.config().client_id, self.target);
        let random = chance::bits("marker token", owner);
        Ok((next_sequence, token_after(token, self.token_refused, token_clock(Moment::now()), random)))
    }
}

/// What the tail told.
#[derive(Debug, Default)]
struct Found {
    next_sequence: Option<Sequence>,
    token: Option<i32>,
    last_epoch: Option<i32>,
    /// Whether a record stands on both sides and is equal.
    is_proven: bool,
}

const REST_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// A partition whose replicas hang is looked at for long.
const REST_INTERVAL_MAX: Duration = Duration::from_millis(160);
const REST_MAX: Duration = Duration::from_secs(20);
/// Others wait for their turns meanwhile.
const REST_IN_TURN_MAX: Duration = Duration::from_secs(1);
