//! Reading the target's tail, and aligning it with the source.

use kmirror_codec::{Batch, Workspace};
use tracing::warn;

use super::compare::{Alignment, Misaligned, Tails, align};
use super::judge::SourceBounds;
use super::reasons::foreign_writer;
use super::tail::Tail;
use super::{Bounds, Found, TakeOver};
use crate::ground::failure::TakeOverFailure;
use crate::ground::lineage::{Lineage, Run};
use crate::ground::park::{ParkReason, Parked};
use crate::ground::policies::OnDiverged;
use crate::ground::rules::CompareRules;
use crate::ground::work;
use crate::logs::ends::{self, LogEnds};
use crate::logs::fetch_state::Sourced;
use crate::logs::owned_record::records_of;
use crate::logs::range;
use crate::logs::range::{SourceRange, corrupt, decoded, source_after, source_range};
use crate::state_topic::record::PartitionRecord;

impl TakeOver {
    /// The target's log in `[first, end)`, and how many bytes that is.
    pub(super) async fn tail(&self, first: i64, end: i64) -> Result<(Tail, usize), TakeOverFailure> {
        let mut tail = Tail::default();
        let mut bytes = 0;
        range::batches(&self.target_client, &self.target, first, end, |batch| {
            bytes += batch.bytes().len();
            tail.add(batch, &self.ids)
                .map_err(|error| Parked::new(ParkReason::CorruptBatch, error.to_string()))
        })
        .await?;
        Ok((tail, bytes))
    }

    /// Where the copy stands, by the tail and by what is recorded. Where both contradict each other the last runs may be of a log that the
    /// target has lost since: they were recorded while it lost it, and nobody who could see that has read them. Without them the tail must prove
    /// where it stands. `None`: there are somebody else's records only.
    pub(super) async fn find(
        &self,
        record: &mut PartitionRecord,
        is_recorded: bool,
        bounds: &Bounds,
        floor: i64,
    ) -> Result<Option<Found>, TakeOverFailure> {
        let failure = match self.read_tail(record, is_recorded, bounds, floor).await {
            Err(failure @ TakeOverFailure::Park(_)) => failure,
            other => return other,
        };
        let mut earlier = record.clone();
        for _ in 0..RUNS_DOUBTED_MAX {
            let Some(run) = earlier.lineage.forget_last() else { break };
            match self.read_tail(&mut earlier, is_recorded, bounds, floor).await {
                Ok(Some(found)) if found.is_proven => {
                    warn!(partition = %self.target, source_offset = run.source, target_offset = run.target,
                        "the target has lost the offsets for which another distance was recorded: copying goes on at the one before");
                    *record = earlier;
                    return Ok(Some(found));
                }
                Ok(_) | Err(TakeOverFailure::Park(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(failure)
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
                Aligned::Proven(alignment, _) if alignment.is_ambiguous && !is_last_step => {}
                Aligned::Proven(alignment, last_epoch) => {
                    if alignment.rests_on_end {
                        self.check_source_at_rest(bounds).await?;
                    }
                    if let Some(problem) = &alignment.assumed {
                        self.check_source_epochs(record, is_recorded, bounds, problem).await?;
                    }
                    for run in alignment.displaced {
                        warn!(partition = %self.target, source_offset = run.source, target_offset = run.target,
                            "the target has offsets that the source has not: copying goes on at another distance");
                        record.lineage.displace(run).map_err(|error| {
                            TakeOverFailure::Park(Parked::new(ParkReason::TargetDiverged, error.to_string()))
                        })?;
                    }
                    return Ok(Some(Found {
                        next_sequence: tail.next_sequence(),
                        token: tail.token,
                        last_epoch,
                        is_proven: true,
                    }));
                }
                Aligned::Open if !is_last_step => {}
                Aligned::Open if tail.data.is_empty() && first == floor => {
                    // Markers only: they were compared, and the sequence is the producer state's to tell.
                    return Ok(Some(Found { token: tail.token, ..Found::default() }));
                }
                Aligned::Open => {
                    self.vouch(record, is_recorded, end).await?;
                    return Ok(Some(Found {
                        next_sequence: tail.next_sequence(),
                        token: tail.token,
                        ..Found::default()
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

    /// Whether the source ends where it was seen to end. A leader that has just begun may not know how far its replicas are, and show less
    /// than the one before it (before Kafka 2.2, KIP-207): what it has besides would be taken for offsets that the source has not.
    async fn check_source_at_rest(&self, bounds: &Bounds) -> Result<(), TakeOverFailure> {
        let mut read = ends::read(&self.source_client, std::slice::from_ref(&self.source)).await;
        let ends = read.remove(&self.source).unwrap_or_else(|| Err("no answer".to_owned()));
        let ends =
            ends.map_err(|cause| TakeOverFailure::Again(format!("reading the source's log end: {cause}")))?;
        let high_watermark = bounds.source.high_watermark;
        if ends == (LogEnds { high_watermark, log_end: high_watermark }) {
            return Ok(());
        }
        Err(TakeOverFailure::Again(format!(
            "the source's leader shows offsets up to {high_watermark} of {}: it may not know yet how far its replicas are",
            ends.log_end
        )))
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
        if let Some(late) = tail.late() {
            return Err(TakeOverFailure::Park(doubled(late)));
        }
        let lineage = record.lineage.clone();
        let end = bounds.target.high_watermark;
        let data_end = tail.data.last().map_or(first, |batch| batch.header().next_offset());
        let copied = lineage.source_of(data_end);
        let from = tail.data.first().map_or(first, |batch| batch.header().base_offset);
        let from = if first == lineage.first().target { first } else { from };
        // The records before tell whether it may stand further back as well.
        let begin = lineage.first().source.max(bounds.source.log_start);
        let from = (lineage.source_of(from) - REACH_OFFSETS).max(begin);
        let to = lineage.source_of(end).min(bounds.source.readable_end);
        let mut range = source_range(&self.source_client, &self.source, self.isolation, from, to).await?;
        let last_epoch = range.last_epoch;
        range.ahead = self.source_ahead(tail, to, bounds).await?;
        let (rules, data, source) = (self.rules, tail.data.clone(), bounds.source);
        let markers_from = tail.markers_from(end);
        let aligned = work::run(move || {
            let ends = [first, data_end, markers_from, end];
            align_ranges(range, &data, &lineage, [from, to], ends, &source, &rules)
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
            Ok(Alignment { is_proven: false, displaced, .. }) if displaced.is_empty() => Ok(Aligned::Open),
            // Too many markers, and nothing before them shows where their hole begins.
            Ok(Alignment { is_proven: false, .. }) if !tail.data.is_empty() || !is_whole => Ok(Aligned::Open),
            Ok(alignment) => Ok(Aligned::Proven(alignment, last_epoch)),
            Err(Misaligned::Unanchored(problem)) => Ok(Aligned::Unanchored(problem)),
            Err(Misaligned::Diverged(problem)) => Err(self.diverged(record, bounds, &problem).await),
        }
    }

    /// What follows on a source with a cleaner: where the target lost offsets, records may stand before their places, and would be taken for
    /// cleaned ones.
    async fn source_ahead(
        &self,
        tail: &Tail,
        to: i64,
        bounds: &Bounds,
    ) -> Result<Vec<Sourced>, TakeOverFailure> {
        if !self.rules.source_is_compacted || tail.data.is_empty() {
            return Ok(Vec::new());
        }
        source_after(&self.source_client, &self.source, self.isolation, to, bounds.source.readable_end).await
    }
}

fn doubled(late: i64) -> Parked {
    Parked::new(
        ParkReason::TargetDiverged,
        format!(
            "records were doubled by a late request: from target offset {late} on there are records that the target had already. An \
             instance of this flow sent them before it or its network stood still, and the broker took them since it had forgotten the \
             flow's producer (producer.id.expiration.ms). Delete the target topic to have it copied anew, and raise that time"
        ),
    )
}

/// What one part of the tail gave.
#[derive(Debug)]
enum Aligned {
    /// A record was found equal; here is what is displaced, and the leader epoch of the source's last batch.
    Proven(Alignment, Option<i32>),
    /// The source holds nothing to compare with.
    Open,
    /// It does not fit, but something further back may explain it.
    Unanchored(String),
}

/// Decodes both sides and aligns them. `range`: of the source; then where the part of the target begins, its last batch ends, markers
/// alone begin, and the log ends.
fn align_ranges(
    range: SourceRange,
    data: &[Batch],
    lineage: &Lineage,
    [from, to]: [i64; 2],
    [first, data_end, markers_from, target_end]: [i64; 4],
    bounds: &SourceBounds,
    rules: &CompareRules,
) -> Result<Result<Alignment, Misaligned>, Parked> {
    let mut source = decoded(range.pieces, [from, to])?;
    // A damaged batch behind what is compared is not the comparison's business.
    source.extend(decoded(range.ahead, [to, i64::MAX]).unwrap_or_default());
    let corrupt = |error| corrupt(from, &error);
    let mut workspace = Workspace::default();
    let mut target = Vec::new();
    let begin = first;
    let batches: Vec<i64> = data.iter().map(|batch| batch.header().base_offset).collect();
    let first = data.first().map_or(first, |batch| batch.header().base_offset);
    for batch in data {
        target.extend(records_of(batch, first, target_end, &mut workspace).map_err(corrupt)?);
    }
    let tails = Tails {
        source: &source,
        target: &target,
        batches: &batches,
        is_whole: Run { source: from, target: begin } == lineage.first(),
        data_end,
        markers_from,
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

/// How many of the source's offsets before the part of the tail are compared as well: where records are the same in a row, the one
/// before the first is.
const REACH_OFFSETS: i64 = 16;
/// How many runs may have been recorded for what is lost.
const RUNS_DOUBTED_MAX: usize = 4;
/// How much of a tail is read in search of a record that both sides hold.
const TAIL_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use kmirror_codec::{Entry, GapReason, split};

    use super::*;
    use crate::logs::fetch_state::Sourced;
    use crate::test_support::{TestBatch, TestRecord, damaged, legacy_message};

    #[test]
    fn the_tail_is_compared_with_what_the_source_holds_there() {
        let whole = || vec![Sourced::Batch(TestBatch::dense(0, 4).build())];
        let target = [TestBatch::dense(0, 4).producer(1, 0).build()];
        let proven = Ok(Ok(Alignment { is_proven: true, ..Alignment::default() }));
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
        let range = SourceRange { pieces, ..SourceRange::default() };
        align_ranges(range, target, &Lineage::beginning_at(0, 0), [0, 4], [0, 4, 4, 4], &bounds, &rules)
    }
}
