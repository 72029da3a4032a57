//! Comparing one partition: where both logs begin and end, what lies below, and every record in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use kmirror_client::{Client, OffsetSpec, TopicPartition, clock};
use kmirror_codec::{Batch, Workspace};

use super::VerifyProgress;
use super::compare::{CompareRules, Comparison, Wants};
use super::head::{Deletable, Head};
use super::lone::Side;
use super::read::{Log, SideReader};
use super::report::{DifferenceKind, PartitionReport, VerifyOptions};
use super::settings::TopicSettings;
use super::windows::{distance, windows};
use crate::ground::config::Isolation;
use crate::ground::error::Error;
use crate::ground::lineage::Lineage;
use crate::ground::work;
use crate::logs::ends;

/// The comparison of one partition.
pub(crate) struct PartitionVerify {
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) source_partition: TopicPartition,
    pub(crate) target_partition: TopicPartition,
    pub(crate) place: Place,
    pub(crate) isolation: Isolation,
    pub(crate) source_settings: TopicSettings,
    pub(crate) target_settings: TopicSettings,
    /// The flow's id for placeholders.
    pub(crate) fillers: Option<i64>,
    pub(crate) options: VerifyOptions,
    pub(crate) progress: Arc<VerifyProgress>,
}

/// What is known of where the source's records are on the target.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The partition is not there.
    Nowhere,
    /// There.
    At(Lineage),
    /// Nothing is recorded, and their offsets need not be equal.
    Unknown,
    /// What is recorded cannot be understood, for this reason.
    Unreadable(String),
}

/// Where both logs begin and end, in offsets of the source.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Where the source's log begins, or the copy.
    begin: i64,
    /// Where the target's log begins.
    target_start: i64,
    /// The same in its own offsets.
    target_log_start: i64,
    target_end: i64,
    source_end: i64,
    /// Where the source ended before the target's end was looked at: what is missing there of this was not copied yet.
    due: i64,
}

impl PartitionVerify {
    pub(crate) async fn run(self, mut report: PartitionReport) -> Result<PartitionReport, Error> {
        match self.place.clone() {
            Place::At(lineage) => self.run_with(&lineage, report).await,
            Place::Nowhere => {
                (report.behind, report.source_end) = self.source_offsets().await?;
                Ok(report)
            }
            Place::Unreadable(reason) => {
                (report.behind, report.source_end) = self.source_offsets().await?;
                let detail = format!("what is recorded of the partition cannot be understood: {reason}");
                report.differ(None, DifferenceKind::Lineage, detail);
                Ok(report)
            }
            Place::Unknown => {
                (report.behind, report.source_end) = self.source_offsets().await?;
                let start = self.offset(Side::Target, OffsetSpec::Earliest).await?;
                let end = self.offset(Side::Target, OffsetSpec::Latest).await?;
                if report.behind > 0 && end > start {
                    let detail = "nothing is recorded of where the source's records are on the target";
                    report.differ(None, DifferenceKind::Lineage, detail.to_owned());
                }
                Ok(report)
            }
        }
    }

    /// How many offsets the source has, and where it ends.
    async fn source_offsets(&self) -> Result<(u64, i64), Error> {
        let end = self.offset(Side::Source, OffsetSpec::Latest).await?;
        let start = self.offset(Side::Source, OffsetSpec::Earliest).await?;
        Ok((distance(start, end), end))
    }

    async fn run_with(
        &self,
        lineage: &Lineage,
        mut report: PartitionReport,
    ) -> Result<PartitionReport, Error> {
        let bounds = self.bounds(lineage).await?;
        report.source_end = bounds.source_end;
        report.runs = lineage.runs().collect();
        report.behind = distance(bounds.target_end.max(bounds.begin), bounds.due);
        report.offsets_older =
            distance(bounds.target_start.max(lineage.first().source), bounds.begin.min(bounds.target_end));
        self.look_for_placeholders(lineage, bounds, &mut report).await?;

        let first = bounds.begin.max(self.options.from.unwrap_or(0));
        let end = bounds.target_end;
        let head = self.head(lineage, first, bounds).await?;
        let windows = windows(first, end, self.options.sample);
        let total = windows.iter().map(|(first, end)| distance(*first, *end)).sum();
        self.progress.offsets_total.fetch_add(total, Ordering::Relaxed);
        for window in &windows {
            report = self.compare(lineage, head, bounds, *window, report).await?;
        }
        if report.records_expired + report.records_removed > 0 {
            report.comparable_from = Some(head.end);
        }
        let compared_from = report.comparable_from.unwrap_or(first).max(first);
        if compared_from < end {
            (report.first, report.end) = (Some(compared_from), Some(end));
        }
        if report.records_removed > 0 {
            report.removed_by = self.target_settings.stricter_than(&self.source_settings);
        }
        Ok(report)
    }

    async fn bounds(&self, lineage: &Lineage) -> Result<Bounds, Error> {
        let due = self.offset(Side::Source, OffsetSpec::Latest).await?;
        // The target's end is read before the source's: what is copied meanwhile is beyond it, and the source's end is not behind it.
        let target_end = lineage.source_of(self.offset(Side::Target, OffsetSpec::Latest).await?);
        let source_end = self.offset(Side::Source, OffsetSpec::Latest).await?;
        let source_start = self.offset(Side::Source, OffsetSpec::Earliest).await?;
        let target_log_start = self.offset(Side::Target, OffsetSpec::Earliest).await?;
        let target_start = lineage.source_of(target_log_start);
        let begin = source_start.max(lineage.first().source);
        Ok(Bounds { begin, target_start, target_log_start, target_end, source_end, due })
    }

    /// The head of a log that was filled is cut off; where a broker forgets that after a crash, consumers see what nobody wrote.
    async fn look_for_placeholders(
        &self,
        lineage: &Lineage,
        bounds: Bounds,
        report: &mut PartitionReport,
    ) -> Result<(), Error> {
        let start = bounds.target_log_start;
        let end = lineage.target_of(bounds.begin.min(bounds.target_end));
        let mut reader = SideReader::new(self.log(Side::Target), start, end);
        let is_placeholder = |batch: &Batch| Some(batch.header().producer_id) == self.fillers;
        let mut shown = 0;
        // They lie before everything else.
        'read: loop {
            let batches = reader.next().await?;
            for batch in &batches {
                if !is_placeholder(batch) {
                    break 'read;
                }
                shown += distance(start.max(batch.header().base_offset), batch.header().next_offset());
            }
            if batches.is_empty() {
                break;
            }
        }
        if shown > 0 {
            let detail =
                format!("{shown} placeholders of a head that was filled can be read; nobody wrote them");
            report.differ(start, DifferenceKind::Placeholder, detail);
        }
        Ok(())
    }

    /// What explains that the target's log begins later than what is to be compared.
    async fn head(&self, lineage: &Lineage, first: i64, bounds: Bounds) -> Result<Head, Error> {
        if bounds.target_start <= first {
            return Ok(Head::default());
        }
        let now_ms = now_ms();
        let (ours, theirs) = (&self.source_settings, &self.target_settings);
        let enough = [ours, theirs].iter().filter_map(|settings| settings.retention_bytes).max();
        let kept = match enough {
            Some(enough) => self.target_bytes(lineage, bounds, enough).await?,
            None => 0,
        };
        let deletable = |settings: &TopicSettings| {
            Deletable::by(settings, now_ms, settings.retention_bytes.is_some_and(|bytes| kept >= bytes))
        };
        Ok(Head { end: bounds.target_start, source: deletable(ours), target: deletable(theirs) })
    }

    /// How large the target's log is, or `enough` bytes of it: retention leaves that many (`UnifiedLog.deleteRetentionSizeBreachedSegments`).
    async fn target_bytes(&self, lineage: &Lineage, bounds: Bounds, enough: i64) -> Result<i64, Error> {
        let mut reader = self.reader(lineage, Side::Target, bounds, (bounds.target_start, bounds.target_end));
        loop {
            let is_end = reader.next().await?.is_empty();
            let bytes = i64::try_from(reader.bytes()).unwrap_or(i64::MAX);
            if is_end || bytes >= enough {
                return Ok(bytes);
            }
        }
    }

    async fn compare(
        &self,
        lineage: &Lineage,
        head: Head,
        bounds: Bounds,
        (first, end): (i64, i64),
        report: PartitionReport,
    ) -> Result<PartitionReport, Error> {
        let mut source = self.reader(lineage, Side::Source, bounds, (first, end.min(bounds.source_end)));
        let mut target = self.reader(lineage, Side::Target, bounds, (first, end));
        let mut comparison = Comparison::new(self.rules(head), (first, end), report);
        let (source_batches, target_batches) = tokio::try_join!(source.next(), target.next())?;
        comparison.feed_source(source_batches);
        comparison.feed_target(target_batches);
        let mut shown = first;
        loop {
            let (advanced, wants) =
                on_worker(comparison, |comparison, workspace| comparison.advance(workspace)).await?;
            comparison = advanced;
            match wants {
                Wants::Source => comparison.feed_source(source.next().await?),
                Wants::Target => comparison.feed_target(target.next().await?),
                Wants::Proofs => comparison = self.settle(lineage, bounds, comparison).await?,
                Wants::Nothing => break,
            }
            let reached = source.position().min(target.position()).clamp(shown, end);
            self.progress.offsets_done.fetch_add(distance(shown, reached), Ordering::Relaxed);
            shown = reached;
        }
        self.progress.offsets_done.fetch_add(distance(shown, end), Ordering::Relaxed);
        comparison.report.records_foreign += target.foreign_records();
        comparison = self.settle(lineage, bounds, comparison).await?;
        Ok(comparison.report)
    }

    fn rules(&self, head: Head) -> CompareRules {
        CompareRules {
            is_compacted: self.source_settings.is_compacted,
            target_alone_is_compacted: self.target_settings.is_compacted
                && !self.source_settings.is_compacted,
            head,
            fillers: self.fillers,
        }
    }

    /// Looks for what justifies the records that only one side has, and settles what is left.
    async fn settle(
        &self,
        lineage: &Lineage,
        bounds: Bounds,
        mut comparison: Comparison,
    ) -> Result<Comparison, Error> {
        if self.options.sample.is_some() {
            comparison.settle(true);
            return Ok(comparison);
        }
        if comparison.lone().is_empty() {
            return Ok(comparison);
        }
        // What was written since is why a cleaner may have removed something since.
        let target_end = lineage.source_of(self.offset(Side::Target, OffsetSpec::Latest).await?);
        let source_end = self.offset(Side::Source, OffsetSpec::Latest).await?;
        comparison.begin_proofs(target_end);
        let reached = comparison.reached();
        for (side, from, end) in [
            (Side::Source, reached, source_end),
            (Side::Target, reached.max(bounds.target_start), target_end),
        ] {
            let mut reader = self.reader(lineage, side, bounds, (from, end));
            while !comparison.lone().is_empty() {
                let batches = reader.next().await?;
                if batches.is_empty() {
                    break;
                }
                comparison = look_at(comparison, batches, move |comparison, batch, workspace| {
                    comparison.prove(side, from, batch, workspace);
                })
                .await?;
            }
        }
        for side in [Side::Source, Side::Target] {
            let Some(end) = comparison.lone().deletions_missing_on(side) else { continue };
            // A log that is long in being read may have lost its head meanwhile.
            let start = self.offset(side, OffsetSpec::Earliest).await?;
            let first = match side {
                Side::Source => start.max(lineage.first().source),
                Side::Target => lineage.source_of(start),
            };
            let mut reader = self.reader(lineage, side, bounds, (first, end));
            loop {
                let batches = reader.next().await?;
                if batches.is_empty() {
                    break;
                }
                comparison = look_at(comparison, batches, move |comparison, batch, workspace| {
                    comparison.look_back(side, first, batch, workspace);
                })
                .await?;
            }
        }
        comparison.settle(false);
        Ok(comparison)
    }

    fn log(&self, side: Side) -> Log {
        let (client, partition, isolation) = match side {
            Side::Source => (&self.source, &self.source_partition, self.isolation),
            // Everything that any consumer could see counts on the target.
            Side::Target => (&self.target, &self.target_partition, Isolation::ReadUncommitted),
        };
        let (client, partition) = (client.clone(), partition.clone());
        Log { client, partition, isolation, patience: self.options.patience }
    }

    /// Reads one side in `[first, end)` of the source's offsets, from where its log begins.
    fn reader(&self, lineage: &Lineage, side: Side, bounds: Bounds, (first, end): (i64, i64)) -> SideReader {
        match side {
            Side::Source => SideReader::new(self.log(side), first, end),
            Side::Target => {
                let first = first.max(bounds.target_start);
                SideReader::new(self.log(side), first, end).moved_by(lineage.clone())
            }
        }
    }

    async fn offset(&self, side: Side, spec: OffsetSpec) -> Result<i64, Error> {
        let Log { client, partition, isolation, .. } = self.log(side);
        let isolation = match spec {
            OffsetSpec::Earliest => kmirror_client::Isolation::ReadUncommitted,
            _ => isolation.for_client(),
        };
        ends::offset(&client, &partition, spec, isolation)
            .await
            .map_err(|error| Error::cluster(client.alias(), error))
    }
}

async fn look_at(
    comparison: Comparison,
    batches: Vec<Batch>,
    mut each: impl FnMut(&mut Comparison, &Batch, &mut Workspace) + Send + 'static,
) -> Result<Comparison, Error> {
    let (comparison, ()) = on_worker(comparison, move |comparison, workspace| {
        batches.iter().for_each(|batch| each(comparison, batch, workspace));
    })
    .await?;
    Ok(comparison)
}

/// Decoding takes a core's time, and the tasks that serve sockets must not wait for it.
async fn on_worker<T: Send + 'static>(
    mut comparison: Comparison,
    work: impl FnOnce(&mut Comparison, &mut Workspace) -> T + Send + 'static,
) -> Result<(Comparison, T), Error> {
    work::run(move || {
        let result = work(&mut comparison, &mut Workspace::new());
        (comparison, result)
    })
    .await
    .map_err(|error| Error::of_task("a comparison", error))
}

fn now_ms() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
