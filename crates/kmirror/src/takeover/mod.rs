//! Taking a partition over: at every start, and whenever what is in the target's log is not known for certain. The visible
//! tail of the target gives position, sequence and token in one read; its last records are compared with the source before
//! anything is appended. Nothing is resumed on faith.

pub(crate) mod compare;
pub(crate) mod ends;
pub(crate) mod judge;
mod read;
pub(crate) mod tail;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use kmirror_client::{Client, OffsetSpec, TopicId, TopicPartition};
use kmirror_codec::{Batch, Limits, Workspace};
use tracing::{info, warn};

pub(crate) use self::compare::CompareRules;
use self::compare::{Alignment, Misaligned, OwnedRecord, Tails, align, make_up, records_of};
use self::ends::LogEnds;
use self::judge::{Head, Resume, Situation, SourceBounds, Verdict};
use self::read::{SourceRange, failure, source_range};
use self::tail::Tail;
use crate::append::sequence::Sequence;
use crate::append::state::AppendStart;
use crate::config::{Isolation, Offsets, OnDiverged, Policies, Start};
use crate::event::TakeOverFailure;
use crate::fetch::state::Sourced;
use crate::identity::ProducerIds;
use crate::lineage::{Lineage, Run};
use crate::park::{ParkReason, Parked};
use crate::state::record::{LostRange, PartitionRecord, SourceIdentity};
use crate::state::store::{Recorded, StateStore};
use crate::state::topic::StateError;

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
    pub(crate) policies: Policies,
    pub(crate) head_fill_offsets_max: i64,
    /// A token that the log is known to have refused; ours must be higher.
    pub(crate) token_refused: i32,
    pub(crate) rules: CompareRules,
    /// The target topic's cleanup policy, where it is compacted.
    pub(crate) compaction_policy: Option<&'static str>,
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
    /// Source offsets that expired, to be filled with markers first.
    pub(crate) expired: Option<LostRange>,
    /// The leader epoch of the last source batch before the position, if the source still holds it.
    pub(crate) last_fetched_epoch: Option<i32>,
    /// Where the source ends now, under the flow's isolation.
    pub(crate) source_end: i64,
}

/// Both logs' bounds.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    source: SourceBounds,
    target_start: i64,
    target: LogEnds,
}

impl TakeOver {
    /// Reads, compares, records what is new, and says where to go on.
    pub(crate) async fn run(self) -> Result<TakenOver, TakeOverFailure> {
        let recorded = self.state.get(&self.target, self.reads_state).await.map_err(state_failure)?;
        let target = self.rest().await?;
        let target_start = self.target_offset(OffsetSpec::Earliest).await?;
        let source = self.source_bounds().await?;
        let bounds = Bounds { source, target_start, target };
        let situation = Situation {
            recorded: recorded.clone(),
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
            Verdict::Resume(resume) => self.resume(resume, &bounds).await?,
        };
        self.remember(&recorded, &taken.record).await?;
        Ok(taken)
    }

    /// Nothing of ours is on the target.
    async fn begin(
        &self,
        record: PartitionRecord,
        bounds: &Bounds,
        head: Option<Head>,
    ) -> Result<TakenOver, TakeOverFailure> {
        let (next_sequence, token) = self.producers(&Found::default(), bounds.target).await?;
        let run = record.lineage.last();
        let append = AppendStart {
            position: run.source,
            delta: run.delta(),
            surplus: record.lineage.surplus(),
            next_sequence,
            token,
        };
        let source_end = bounds.source.readable_end;
        Ok(TakenOver { append, record, head, expired: None, last_fetched_epoch: None, source_end })
    }

    /// The target holds something, and nothing is recorded of it. If any of it were ours, the state would be lost.
    async fn begin_behind(
        &self,
        record: PartitionRecord,
        bounds: &Bounds,
    ) -> Result<TakenOver, TakeOverFailure> {
        let end = bounds.target.high_watermark;
        let tail = self.tail((end - 1).max(bounds.target_start), end).await?.0;
        let (next_sequence, _) = self.producers(&Found::default(), bounds.target).await?;
        if !tail.data.is_empty() || next_sequence.is_some() {
            return Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target has records of this flow up to offset {end}, and the state topic does not say which source \
                     offsets they are: it was lost. Delete the target topic to have it copied anew"
                ),
            )));
        }
        self.begin(record, bounds, None).await
    }

    /// What lies in a head that is being filled must be ours.
    async fn check_fillers(&self, bounds: &Bounds) -> Result<(), TakeOverFailure> {
        let (start, end) = (bounds.target_start, bounds.target.high_watermark);
        if start == end {
            return Ok(());
        }
        let (tail, _) = self.tail(end - 1, end).await?;
        match tail.foreign {
            Some(foreign) => Err(TakeOverFailure::Park(foreign_writer(foreign.offset, foreign.producer_id))),
            None => Ok(()),
        }
    }

    async fn resume(&self, resume: Resume, bounds: &Bounds) -> Result<TakenOver, TakeOverFailure> {
        let Resume { mut record, is_recorded, is_comparable, expired, .. } = resume;
        let end = bounds.target.high_watermark;
        let floor = bounds.target_start.max(if is_comparable { record.lineage.first().target } else { 0 });
        let found = if end <= floor {
            Found::default()
        } else if is_comparable {
            match self.read_tail(&mut record, is_recorded, bounds, floor).await? {
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
            Found { next_sequence: tail.next_sequence(), token: tail.token, last_epoch: None }
        };
        let (next_sequence, token) = self.producers(&found, bounds.target).await?;
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
            last_fetched_epoch = self.make_up(&mut record, position, bounds).await?.or(last_fetched_epoch);
        }
        let append = AppendStart {
            position: record.lineage.source_of(end),
            delta: record.lineage.last().delta(),
            surplus: record.lineage.surplus(),
            next_sequence,
            token,
        };
        let source_end = bounds.source.readable_end;
        Ok(TakenOver { append, record, head: None, expired, last_fetched_epoch, source_end })
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
        let (last_epoch, read_to) = (range.last_epoch, range.position);
        let records = decoded(range, [position, end]).map_err(TakeOverFailure::Park)?;
        // What was not read may be anything: a broker that throttles answers with nothing.
        let hole_end = records.first().map_or(read_to, |record| record.offset);
        let Some(run) = make_up(&record.lineage, position, hole_end) else { return Ok(None) };
        info!(partition = %self.target, source_offset = run.source, target_offset = run.target,
            "a hole makes up for one that came out too long: copying goes on at the distance it began with");
        record.lineage.begin(run).map_err(|error| {
            TakeOverFailure::Park(Parked::new(ParkReason::TargetDiverged, error.to_string()))
        })?;
        Ok(last_epoch)
    }

    /// Records what was found, before anything is appended by it.
    async fn remember(&self, recorded: &Recorded, record: &PartitionRecord) -> Result<(), TakeOverFailure> {
        if matches!(recorded, Recorded::Record(before) if **before == *record) {
            return Ok(());
        }
        self.state.put(&self.target, recorded.clone(), record.clone()).await.map_err(state_failure)
    }

    /// Waits until everything appended to the target is visible. Bounded: a log that somebody keeps writing to never rests,
    /// and that will show in its tail.
    async fn rest(&self) -> Result<LogEnds, TakeOverFailure> {
        let mut waited = Duration::ZERO;
        loop {
            let mut read = ends::read(&self.target_client, std::slice::from_ref(&self.target)).await;
            let ends = read
                .remove(&self.target)
                .unwrap_or_else(|| Err("no answer".to_owned()))
                .map_err(|cause| TakeOverFailure::Again(format!("reading the target's log end: {cause}")))?;
            if ends.high_watermark == ends.log_end {
                return Ok(ends);
            }
            if waited >= REST_MAX {
                return Err(TakeOverFailure::Again(format!(
                    "the target's replicas do not catch up: high watermark {}, log end {}",
                    ends.high_watermark, ends.log_end
                )));
            }
            tokio::time::sleep(REST_INTERVAL).await;
            waited += REST_INTERVAL;
        }
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

    /// The target's log in `[first, end)`, and how many bytes that is.
    async fn tail(&self, first: i64, end: i64) -> Result<(Tail, usize), TakeOverFailure> {
        let mut tail = Tail::default();
        let mut bytes = 0;
        read::batches(&self.target_client, &self.target, first, end, |batch| {
            bytes += batch.bytes().len();
            tail.add(batch, &self.ids)
                .map_err(|error| Parked::new(ParkReason::CorruptBatch, error.to_string()))
        })
        .await?;
        Ok((tail, bytes))
    }

    /// Reads the target backwards in growing steps until there is a record that the source holds as well, and compares. What
    /// was displaced becomes a run of the lineage. `None`: there are somebody else's records only.
    async fn read_tail(
        &self,
        record: &mut PartitionRecord,
        is_recorded: bool,
        bounds: &Bounds,
        floor: i64,
    ) -> Result<Option<Found>, TakeOverFailure> {
        let end = bounds.target.high_watermark;
        let mut step = 1;
        loop {
            let first = (end - step).max(floor);
            let (tail, bytes) = self.tail(first, end).await?;
            let is_last_step = first == floor || bytes > TAIL_BYTES_MAX;
            if let Some(foreign) = tail.foreign {
                if self.policies.on_diverged == OnDiverged::Stop {
                    return Err(TakeOverFailure::Park(foreign_writer(foreign.offset, foreign.producer_id)));
                }
                if first == floor && tail.data.is_empty() && !is_recorded {
                    return Ok(None);
                }
            }
            match self.align_tail(record, &tail, bounds, first, first == floor).await? {
                Aligned::Proven(displaced, last_epoch) => {
                    for run in displaced {
                        warn!(partition = %self.target, source_offset = run.source, target_offset = run.target,
                            "the target has offsets that the source has not: copying goes on at another distance");
                        record.lineage.begin(run).map_err(|error| {
                            TakeOverFailure::Park(Parked::new(ParkReason::TargetDiverged, error.to_string()))
                        })?;
                    }
                    return Ok(Some(Found {
                        next_sequence: tail.next_sequence(),
                        token: tail.token,
                        last_epoch,
                    }));
                }
                Aligned::Open if !is_last_step => {}
                Aligned::Open if tail.data.is_empty() && first == floor => {
                    // Markers only: they were compared, and the sequence is the producer state's to tell.
                    return Ok(Some(Found { next_sequence: None, token: tail.token, last_epoch: None }));
                }
                Aligned::Open => {
                    self.vouch(record, is_recorded, end).await?;
                    return Ok(Some(Found {
                        next_sequence: tail.next_sequence(),
                        token: tail.token,
                        last_epoch: None,
                    }));
                }
                Aligned::Unanchored(problem) if is_last_step => {
                    return Err(self.diverged(record, bounds, &problem).await);
                }
                Aligned::Unanchored(_) => {}
            }
            step = step.saturating_mul(4);
        }
    }

    /// Compares a part of the tail with the source.
    async fn align_tail(
        &self,
        record: &PartitionRecord,
        tail: &Tail,
        bounds: &Bounds,
        first: i64,
        is_whole: bool,
    ) -> Result<Aligned, TakeOverFailure> {
        let lineage = record.lineage.clone();
        let end = bounds.target.high_watermark;
        let data_end = tail.data.last().map_or(first, |batch| batch.header().next_offset());
        let copied = lineage.source_of(data_end);
        let from = tail.data.first().map_or(first, |batch| batch.header().base_offset);
        let from = if first == lineage.first().target { first } else { from };
        let from = lineage.source_of(from).max(bounds.source.log_start);
        let to = lineage.source_of(end).min(bounds.source.readable_end);
        let range = source_range(&self.source_client, &self.source, self.isolation, from, to).await?;
        let last_epoch = range.last_epoch;
        let (rules, data, source) = (self.rules, tail.data.clone(), bounds.source);
        let aligned = tokio::task::spawn_blocking(move || {
            align_ranges(range, &data, &lineage, [from, to], [first, data_end, end], &source, &rules)
        })
        .await
        .map_err(|error| TakeOverFailure::Again(format!("comparing was interrupted: {error}")))?
        .map_err(TakeOverFailure::Park)?;
        let is_beyond = |copied: i64| copied > bounds.source.high_watermark && !tail.data.is_empty();
        match aligned {
            // Unless offsets that are not the source's, further back, explain it.
            Ok(Alignment { is_proven: false, .. }) if is_beyond(copied) => {
                Ok(Aligned::Unanchored("the source ends before what was copied".to_owned()))
            }
            Ok(Alignment { displaced, .. }) if is_beyond(copied_by(&displaced, copied, data_end)) => {
                Err(self.diverged(record, bounds, "the source ends before what was copied").await)
            }
            Ok(Alignment { is_proven: false, displaced }) if displaced.is_empty() => Ok(Aligned::Open),
            // Too many markers, and nothing before them shows where their hole begins.
            Ok(Alignment { is_proven: false, .. }) if !tail.data.is_empty() || !is_whole => Ok(Aligned::Open),
            Ok(Alignment { displaced, .. }) => Ok(Aligned::Proven(displaced, last_epoch)),
            Err(Misaligned::Unanchored(problem)) => Ok(Aligned::Unanchored(problem)),
            Err(Misaligned::Diverged(problem)) => Err(self.diverged(record, bounds, &problem).await),
        }
    }

    /// Both sides differ: whether the source is not what it was, its leader epochs tell.
    async fn diverged(&self, record: &PartitionRecord, bounds: &Bounds, problem: &str) -> TakeOverFailure {
        let end = bounds.target.high_watermark;
        let copied = record.lineage.source_of(end);
        let source_end = bounds.source.high_watermark;
        let parked = match self.truncated_at(record, copied).await {
            Err(again) => return again,
            Ok(Some((epoch, offset))) => Parked::new(
                ParkReason::SourceTruncated,
                format!(
                    "offsets [{offset}, {copied}) were copied, and the source lost them: its leader epoch {epoch} ends at offset \
                     {offset} now (an unclean leader election). It holds other records there"
                ),
            ),
            Ok(None) if copied > source_end => Parked::new(
                ParkReason::SourceTruncated,
                format!(
                    "offsets [{source_end}, {copied}) were copied, and the source ends at {source_end} now: it lost records (an \
                     unclean leader election, or a cluster restored from a backup)"
                ),
            ),
            Ok(None) => Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "{problem}. Either topic was written to by somebody else, restored or created again; source offsets up to \
                     {copied} and target offsets up to {end} are concerned"
                ),
            ),
        };
        TakeOverFailure::Park(parked)
    }

    /// The source holds none of the last records any more. Its topic id and its leader epochs say whether it is the one that
    /// was copied.
    async fn vouch(
        &self,
        record: &PartitionRecord,
        is_recorded: bool,
        end: i64,
    ) -> Result<(), TakeOverFailure> {
        let copied = record.lineage.source_of(end);
        let has_ids = !record.source.topic_id.is_none() && !record.leader_epochs.is_empty();
        let truncated = self.truncated_at(record, copied).await?;
        if is_recorded && has_ids && truncated.is_none() {
            return Ok(());
        }
        Err(TakeOverFailure::Park(Parked::new(
            ParkReason::TargetDiverged,
            format!(
                "the source holds none of the records below offset {copied} that the target ends with any more, and neither \
                 topic id nor leader epochs show that they were its own"
            ),
        )))
    }

    /// The first leader epoch that ends before what was copied under it, and where.
    async fn truncated_at(
        &self,
        record: &PartitionRecord,
        copied: i64,
    ) -> Result<Option<(i32, i64)>, TakeOverFailure> {
        let ends = record.leader_epochs.iter().skip(1).map(|next| next.start_offset).chain([copied]);
        for (start, end) in record.leader_epochs.iter().zip(ends) {
            // What was read and not copied does not count.
            let end = end.min(copied);
            if start.start_offset >= end {
                break;
            }
            let asked = [(self.source.clone(), start.epoch)];
            let answers = self.source_client.epoch_end_offsets(&asked).await;
            match answers.into_iter().next() {
                Some((_, Ok(Some(answer)))) if answer.end_offset < end => {
                    return Ok(Some((answer.epoch, answer.end_offset.max(start.start_offset))));
                }
                Some((_, Ok(_))) | None => {}
                Some((_, Err(error))) => return Err(failure("ask the source for its leader epochs", &error)),
            }
        }
        Ok(None)
    }

    /// The producer state of the target's leader: the marker token, and the data's sequence where the log shows none.
    async fn producers(
        &self,
        found: &Found,
        ends: LogEnds,
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
        if next_sequence != found.next_sequence && self.rest().await? != ends {
            return Err(TakeOverFailure::Again("the target's log moved while its end was read".to_owned()));
        }
        Ok((next_sequence, token_after(token, self.token_refused, random_bits())))
    }
}

/// What the tail told.
#[derive(Debug, Default)]
struct Found {
    next_sequence: Option<Sequence>,
    token: Option<i32>,
    last_epoch: Option<i32>,
}

/// A token higher than any that the log has shown, and than one that was refused. Brokers before 2.8 cannot tell the highest
/// (and some deny it): then a token that is too low is refused, and doubled. Two owners that read the same tail should not
/// choose the same, because brokers accept an equal one: so it is higher by some random number.
fn token_after(seen: i32, refused: i32, random: u64) -> i32 {
    let highest = if seen > refused { seen } else { refused.saturating_mul(2) };
    highest.saturating_add(1).saturating_add((random % TOKEN_STEP_MAX) as i32)
}

/// The standard library's seed of hash maps: different in every call, and no dependency.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().hash_one(())
}

/// What one part of the tail gave.
#[derive(Debug)]
enum Aligned {
    /// A record was found equal; here are the runs of what is displaced, and the leader epoch of the source's last batch.
    Proven(Vec<Run>, Option<i32>),
    /// The source holds nothing to compare with.
    Open,
    /// It does not fit, but something further back may explain it.
    Unanchored(String),
}

/// Decodes both sides and aligns them. `range`: of the source; `tail`: where the part of the target begins, its last batch ends,
/// and the log ends.
fn align_ranges(
    range: SourceRange,
    data: &[Batch],
    lineage: &Lineage,
    [from, to]: [i64; 2],
    [first, data_end, target_end]: [i64; 3],
    bounds: &SourceBounds,
    rules: &CompareRules,
) -> Result<Result<Alignment, Misaligned>, Parked> {
    let source = decoded(range, [from, to])?;
    let corrupt = |error| corrupt(from, &error);
    let mut workspace = Workspace::default();
    let mut target = Vec::new();
    let begin = first;
    let first = data.first().map_or(first, |batch| batch.header().base_offset);
    for batch in data {
        target.extend(records_of(batch, first, target_end, &mut workspace).map_err(corrupt)?);
    }
    let tails = Tails {
        source: &source,
        target: &target,
        is_whole: Run { source: from, target: begin } == lineage.first(),
        data_end,
        target_end,
        readable_end: bounds.readable_end,
        source_start: bounds.log_start,
    };
    Ok(align(lineage, &tails, rules))
}

/// The source offset after the last record on the target, which ends at `data_end`, as the displaced runs say.
fn copied_by(displaced: &[Run], copied: i64, data_end: i64) -> i64 {
    let run = displaced.iter().rfind(|run| run.target < data_end);
    run.map_or(copied, |run| data_end - run.delta())
}

/// The source's records in `[from, to)`.
fn decoded(range: SourceRange, [from, to]: [i64; 2]) -> Result<Vec<OwnedRecord>, Parked> {
    let corrupt = |error| corrupt(from, &error);
    let mut workspace = Workspace::default();
    let mut records = Vec::new();
    for piece in range.pieces {
        let batch = match piece {
            Sourced::Batch(batch) => batch,
            Sourced::Legacy(legacy) => legacy.convert(&Limits::default(), &mut workspace).map_err(corrupt)?,
            Sourced::Gap { .. } => continue,
        };
        records.extend(records_of(&batch, from, to, &mut workspace).map_err(corrupt)?);
    }
    Ok(records)
}

fn corrupt(from: i64, error: &kmirror_codec::BatchError) -> Parked {
    Parked::new(ParkReason::CorruptBatch, format!("a batch near offset {from} cannot be read: {error}"))
}

fn foreign_writer(offset: i64, producer_id: i64) -> Parked {
    Parked::new(
        ParkReason::TargetDiverged,
        format!(
            "the target has records that this flow did not write: the batch at offset {offset} is of producer id {producer_id}. \
             What was on the way may have been written behind it; nothing more is. `on_diverged: shift` goes on behind foreign \
             records, at other offsets"
        ),
    )
}

fn state_failure(error: StateError) -> TakeOverFailure {
    match error {
        StateError::Unauthorized(message) => {
            TakeOverFailure::Park(Parked::new(ParkReason::Unauthorized, message))
        }
        StateError::Unreachable(message) => TakeOverFailure::Again(message),
        StateError::Changed => TakeOverFailure::Again(error.to_string()),
    }
}

/// Small enough for ten million take-overs of a partition within 31 bits.
const TOKEN_STEP_MAX: u64 = 256;
const REST_INTERVAL: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(20);
/// How much of a tail is read in search of a record that both sides hold.
const TAIL_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use kmirror_codec::{Entry, GapReason, split};

    use super::*;
    use crate::test_support::{TestBatch, TestRecord, damaged, legacy_message};

    #[test]
    fn the_tail_is_compared_with_what_the_source_holds_there() {
        let whole = || vec![Sourced::Batch(TestBatch::dense(0, 4).build())];
        let target = [TestBatch::dense(0, 4).producer(1, 0).build()];
        let proven = Ok(Ok(Alignment { is_proven: true, displaced: Vec::new() }));
        assert_eq!(ranges(whole(), &target, false), proven);
        // A marker where the source has one, and where it has a record.
        let parts = [TestBatch::dense(0, 2).build(), TestBatch::dense(3, 4).build()];
        let gap = Sourced::Gap { first: 2, end: 3, reason: GapReason::Control };
        let with_gap = vec![Sourced::Batch(parts[0].clone()), gap, Sourced::Batch(parts[1].clone())];
        assert_eq!(ranges(with_gap, &parts, false), proven);
        assert!(matches!(ranges(whole(), &parts, false), Ok(Err(Misaligned::Diverged(_)))), "one is missing");
        assert_eq!(ranges(whole(), &parts, true), proven, "its cleaner removed it");
        assert_eq!(ranges(Vec::new(), &target, true), Ok(Ok(Alignment::default())));
    }

    #[test]
    fn a_token_is_higher_than_any_before() {
        for (seen, refused, expected) in [
            (0, 0, 1),
            (4, 0, 5),
            (4, 3, 5),
            (4, 4, 9),
            (0, 9, 19),
            (i32::MAX, 0, i32::MAX),
            (0, i32::MAX, i32::MAX),
        ] {
            assert_eq!(
                token_after(seen, refused, TOKEN_STEP_MAX),
                expected,
                "seen {seen}, refused {refused}"
            );
            let stepped = token_after(seen, refused, TOKEN_STEP_MAX - 1);
            assert_eq!(stepped, expected.saturating_add(TOKEN_STEP_MAX as i32 - 1));
        }
    }

    #[test]
    fn old_messages_are_compared_and_damaged_batches_park() {
        let Some(Ok(Entry::Legacy(legacy))) = split(legacy_message(2, 7, b"old"), 2).next() else {
            panic!("a message of format 1");
        };
        let same = TestBatch::of([TestRecord::new(2, "", "old").without_key().at(7)]).build();
        assert!(matches!(ranges(vec![Sourced::Legacy(legacy.clone())], &[same], false), Ok(Ok(_))));
        let other = TestBatch::of([TestRecord::new(2, "", "new").without_key().at(7)]).build();
        let aligned = ranges(vec![Sourced::Legacy(legacy)], std::slice::from_ref(&other), false);
        assert!(matches!(aligned, Ok(Err(_))), "{aligned:?}");
        let parked = ranges(vec![Sourced::Batch(damaged(&other))], &[], false).expect_err("damaged");
        assert_eq!(parked.reason, ParkReason::CorruptBatch);
    }

    fn ranges(
        pieces: Vec<Sourced>,
        target: &[Batch],
        is_compacted: bool,
    ) -> Result<Result<Alignment, Misaligned>, Parked> {
        let rules = CompareRules {
            source_is_compacted: is_compacted,
            target_is_compacted: is_compacted,
            keeps_timestamps: true,
        };
        let bounds = SourceBounds { log_start: 0, readable_end: 4, high_watermark: 4 };
        let range = SourceRange { pieces, last_epoch: None, position: 4 };
        align_ranges(range, target, &Lineage::beginning_at(0, 0), [0, 4], [0, 4, 4], &bounds, &rules)
    }
}
