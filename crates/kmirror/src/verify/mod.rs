//! Proving that the target is the source: both sides are read and every record is compared, in bounded memory.

mod batch;
mod compare;
mod read;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kmirror_client::{Client, OffsetSpec, TopicPartition, Topics};
use kmirror_codec::Workspace;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::compare::{CompareRules, Comparison, Wants};
use self::read::SideReader;
pub use self::report::{Difference, DifferenceKind, PartitionReport, VerifyOptions, VerifyReport};
use crate::config::{Flow, Isolation};
use crate::error::Error;
use crate::lineage::Lineage;
use crate::selection::TopicMatcher;
use crate::state::lineages::Lineages;
use crate::takeover::ends;
use crate::topics::{self, TopicPair};
use crate::work;

/// How far a verification has come. Shared with whoever shows it.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    offsets_total: AtomicU64,
    offsets_done: AtomicU64,
}

impl VerifyProgress {
    /// Offsets to compare, as far as they are known yet.
    pub fn offsets_total(&self) -> u64 {
        self.offsets_total.load(Ordering::Relaxed)
    }

    /// Offsets compared.
    pub fn offsets_done(&self) -> u64 {
        self.offsets_done.load(Ordering::Relaxed)
    }
}

/// Compares all partitions of one flow.
pub(crate) async fn verify_flow(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: Client,
    target: Client,
    options: &VerifyOptions,
    progress: Arc<VerifyProgress>,
) -> Result<Vec<PartitionReport>, Error> {
    let pairs = pairs(flow, matcher, &source, &target, options).await?;
    let names = |name: fn(&TopicPair) -> &Arc<str>| pairs.iter().map(name).cloned().collect::<Vec<_>>();
    let source_rules = topics::rules(flow, &source, &names(|pair| &pair.source)).await?;
    let existing: Vec<_> = pairs
        .iter()
        .filter(|pair| pair.target_partitions.is_some())
        .map(|pair| pair.target.clone())
        .collect();
    let target_rules = topics::rules(flow, &target, &existing).await?;

    let lineages = Lineages::read(flow, &source, &target).await?;
    let turns = Arc::new(Semaphore::new(PARTITIONS_AT_ONCE));
    let mut running = JoinSet::new();
    let mut reports: BTreeMap<(Arc<str>, i32), PartitionReport> = BTreeMap::new();
    for pair in &pairs {
        let compacted = |rules: &BTreeMap<Arc<str>, topics::TopicRules>, name| {
            rules.get(name).is_some_and(|rules| rules.is_compacted)
        };
        let rules = CompareRules {
            is_compacted: compacted(&source_rules, &pair.source) || compacted(&target_rules, &pair.target),
            keeps_timestamps: target_rules.get(&pair.target).is_none_or(|rules| rules.keeps_timestamps),
        };
        for number in 0..pair.partitions {
            let mut report = PartitionReport {
                flow: flow.name(),
                source_topic: pair.source.to_string(),
                target_topic: pair.target.to_string(),
                partition: number,
                ..PartitionReport::default()
            };
            if pair.target_partitions.is_none_or(|partitions| number >= partitions) {
                let what = if pair.target_partitions.is_some() { "partition" } else { "topic" };
                report.differ(
                    -1,
                    DifferenceKind::NotOnTarget,
                    format!("the {what} does not exist on the target"),
                );
                reports.insert((pair.source.clone(), number), report);
                continue;
            }
            let partition = PartitionVerify {
                source: source.clone(),
                target: target.clone(),
                source_partition: TopicPartition::new(pair.source.clone(), number),
                lineage: lineages.of(pair, number),
                target_partition: TopicPartition::new(pair.target.clone(), number),
                isolation: flow.isolation,
                rules,
                options: options.clone(),
                progress: Arc::clone(&progress),
            };
            let turns = Arc::clone(&turns);
            let place = (pair.source.clone(), number);
            running.spawn(async move {
                let _turn = turns.acquire_owned().await;
                partition.run(report).await.map(|report| (place, report))
            });
        }
    }
    while let Some(done) = running.join_next().await {
        let (place, report) =
            done.unwrap_or_else(|error| Err(Error::TimedOut(format!("a comparison ended: {error}"))))?;
        reports.insert(place, report);
    }
    Ok(reports.into_values().collect())
}

async fn pairs(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: &Client,
    target: &Client,
    options: &VerifyOptions,
) -> Result<Vec<TopicPair>, Error> {
    let refresh = async |client: &Client| {
        client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
    };
    let (source, target) = (refresh(source).await?, refresh(target).await?);
    let mut pairs = topics::pair(flow, matcher, &source, &target)?;
    let wanted = matcher.literal_names().map(str::to_owned).chain(options.topics.iter().cloned());
    for topic in wanted {
        if source.topic(&topic).is_none() {
            return Err(Error::NoSuchTopic { flow: flow.name(), topic });
        }
    }
    if !options.topics.is_empty() {
        pairs.retain(|pair| options.topics.iter().any(|topic| **topic == *pair.source));
    }
    if pairs.is_empty() {
        return Err(Error::NothingSelected { flow: flow.name() });
    }
    Ok(pairs)
}

/// The comparison of one partition.
struct PartitionVerify {
    source: Client,
    target: Client,
    source_partition: TopicPartition,
    target_partition: TopicPartition,
    /// Where the source's records are on the target.
    lineage: Lineage,
    isolation: Isolation,
    rules: CompareRules,
    options: VerifyOptions,
    progress: Arc<VerifyProgress>,
}

impl PartitionVerify {
    async fn run(self, mut report: PartitionReport) -> Result<PartitionReport, Error> {
        // The target's end is read first: what is copied meanwhile is beyond it, and the source's end is not behind it.
        let target_end = self.lineage.source_of(self.offset(Which::Target, OffsetSpec::Latest).await?);
        let source_end = self.offset(Which::Source, OffsetSpec::Latest).await?;
        let source_start = self.offset(Which::Source, OffsetSpec::Earliest).await?;
        let target_start = self.lineage.source_of(self.offset(Which::Target, OffsetSpec::Earliest).await?);
        let first = source_start.max(target_start).max(self.lineage.first().source);
        let first = first.max(self.options.from.unwrap_or(0));
        report.runs = self.lineage.runs().collect();
        report.behind = u64::try_from(source_end - target_end).unwrap_or(0);
        let windows = windows(first, target_end, self.options.sample);
        let total = windows.iter().map(|(first, end)| (end - first).unsigned_abs()).sum();
        self.progress.offsets_total.fetch_add(total, Ordering::Relaxed);
        for (first, end) in &windows {
            report = self.compare(*first, *end, source_end, report).await?;
        }
        (report.first, report.end) = (first, target_end.max(first));
        Ok(report)
    }

    async fn compare(
        &self,
        first: i64,
        end: i64,
        source_end: i64,
        report: PartitionReport,
    ) -> Result<PartitionReport, Error> {
        let mut source = self.reader(Which::Source, first, end.min(source_end));
        let mut target = self.reader(Which::Target, first, end);
        let mut comparison = Comparison::new(self.rules, first, end, report);
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
                Wants::Proofs => {
                    let reached = comparison.reached();
                    comparison = self.prove(comparison, reached, source_end, end).await?;
                }
                Wants::Nothing => break,
            }
            let reached = source.position().min(target.position()).clamp(shown, end);
            self.progress.offsets_done.fetch_add((reached - shown).unsigned_abs(), Ordering::Relaxed);
            shown = reached;
        }
        self.progress.offsets_done.fetch_add((end - shown).unsigned_abs(), Ordering::Relaxed);
        comparison.report.records_foreign += target.foreign_records();
        if self.options.sample.is_some() {
            comparison.settle(true);
        } else {
            comparison = self.prove(comparison, end, source_end, end).await?;
        }
        Ok(comparison.report)
    }

    /// Looks for later records with the keys of those that only one side has, and settles what is left.
    async fn prove(
        &self,
        mut comparison: Comparison,
        from: i64,
        source_end: i64,
        target_end: i64,
    ) -> Result<Comparison, Error> {
        for (which, end) in [(Which::Source, source_end), (Which::Target, target_end)] {
            let mut reader = self.reader(which, from, end);
            while comparison.has_unproven() {
                let batches = reader.next().await?;
                if batches.is_empty() {
                    break;
                }
                let (proven, ()) = on_worker(comparison, move |comparison, workspace| {
                    batches.iter().for_each(|batch| comparison.prove(batch, workspace));
                })
                .await?;
                comparison = proven;
            }
        }
        comparison.settle(false);
        Ok(comparison)
    }

    fn reader(&self, which: Which, first: i64, end: i64) -> SideReader {
        match which {
            Which::Source => SideReader::new(
                self.source.clone(),
                self.source_partition.clone(),
                self.isolation,
                first,
                end,
            ),
            // Everything that any consumer could see counts on the target.
            Which::Target => SideReader::new(
                self.target.clone(),
                self.target_partition.clone(),
                Isolation::ReadUncommitted,
                first,
                end,
            )
            .moved_by(self.lineage.clone()),
        }
    }

    async fn offset(&self, which: Which, spec: OffsetSpec) -> Result<i64, Error> {
        let uncommitted = kmirror_client::Isolation::ReadUncommitted;
        let (client, partition, isolation) = match which {
            Which::Source => (&self.source, &self.source_partition, self.isolation.for_client()),
            Which::Target => (&self.target, &self.target_partition, uncommitted),
        };
        let isolation = if matches!(spec, OffsetSpec::Earliest) { uncommitted } else { isolation };
        ends::offset(client, partition, spec, isolation)
            .await
            .map_err(|error| Error::cluster(client.alias(), error))
    }
}

#[derive(Clone, Copy)]
enum Which {
    Source,
    Target,
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
    .map_err(|error| Error::TimedOut(format!("a comparison ended: {error}")))
}

/// The ranges to compare: all, or windows spread evenly that together are `sample` of it.
fn windows(first: i64, end: i64, sample: Option<f64>) -> Vec<(i64, i64)> {
    if end <= first {
        return Vec::new();
    }
    let Some(sample) = sample.filter(|sample| (0.0..1.0).contains(sample)) else { return vec![(first, end)] };
    let length = end - first;
    let count = SAMPLE_WINDOWS.min(length);
    (0..count)
        .map(|index| {
            let from = first + length / count * index;
            let span = if index == count - 1 { end - from } else { length / count };
            (from, from + ((span as f64 * sample).ceil() as i64).clamp(1, span))
        })
        .collect()
}

const PARTITIONS_AT_ONCE: usize = 4;
const SAMPLE_WINDOWS: i64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_or_an_even_sample() {
        assert_eq!(windows(5, 5, None), []);
        assert_eq!(windows(5, 100, None), [(5, 100)]);
        let sampled = windows(0, 1_000_000, Some(0.1));
        assert_eq!(sampled.len(), 20);
        assert_eq!(sampled.iter().map(|(first, end)| end - first).sum::<i64>(), 100_000);
        assert!(sampled.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert_eq!(windows(0, 3, Some(0.5)), [(0, 1), (1, 2), (2, 3)]);
    }
}
