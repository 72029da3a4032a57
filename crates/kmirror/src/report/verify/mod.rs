//! Proving that the target is the source: both sides are read and every record is compared, in bounded memory.

mod batch;
mod compare;
mod head;
mod lone;
mod partition;
mod read;
mod report;
mod settings;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kmirror_client::{Client, TopicPartition, Topics};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::partition::{PartitionVerify, Place};
pub use self::report::{Difference, DifferenceKind, PartitionReport, Verdict, VerifyOptions, VerifyReport};
use self::settings::TopicSettings;
use crate::ground::config::{Flow, Offsets, Predecessor};
use crate::ground::error::Error;
use crate::ground::identity::ProducerIds;
use crate::ground::lineage::Lineage;
use crate::ground::selection::TopicMatcher;
use crate::report::lineages::Lineages;
use crate::topics::{self, TopicPair};

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

/// Compares all partitions of one flow. None where it copies none of the topics that are wanted.
///
/// # Errors
/// Where one of the clusters cannot be read, or a topic that the flow names does not exist.
pub(crate) async fn verify_flow(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: Client,
    target: Client,
    options: &VerifyOptions,
    progress: Arc<VerifyProgress>,
) -> Result<Vec<PartitionReport>, Error> {
    let pairs = pairs(flow, matcher, &source, &target, options).await?;
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let flow_verify = FlowVerify::begin(flow, &pairs, source, target, options, progress).await?;
    let turns = Arc::new(Semaphore::new(PARTITIONS_AT_ONCE));
    let mut running = JoinSet::new();
    let partitions = pairs.iter().flat_map(|pair| (0..pair.partitions).map(move |number| (pair, number)));
    for (pair, number) in partitions {
        let (partition, report) = flow_verify.partition(pair, number);
        let turns = Arc::clone(&turns);
        let place = (pair.source.clone(), number);
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            partition.run(report).await.map(|report| (place, report))
        });
    }
    let mut reports: BTreeMap<(Arc<str>, i32), PartitionReport> = BTreeMap::new();
    while let Some(done) = running.join_next().await {
        let (place, report) = done.unwrap_or_else(|error| Err(Error::of_task("a comparison", error)))?;
        reports.insert(place, report);
    }
    Ok(reports.into_values().collect())
}

/// What the comparisons of a flow share.
struct FlowVerify<'a> {
    flow: &'a Flow,
    source: Client,
    target: Client,
    source_settings: BTreeMap<Arc<str>, TopicSettings>,
    target_settings: BTreeMap<Arc<str>, TopicSettings>,
    lineages: Lineages,
    fillers: Option<i64>,
    options: &'a VerifyOptions,
    progress: Arc<VerifyProgress>,
}

impl<'a> FlowVerify<'a> {
    async fn begin(
        flow: &'a Flow,
        pairs: &[TopicPair],
        source: Client,
        target: Client,
        options: &'a VerifyOptions,
        progress: Arc<VerifyProgress>,
    ) -> Result<FlowVerify<'a>, Error> {
        let on_source: Vec<_> = pairs.iter().map(|pair| pair.source.clone()).collect();
        let on_target = pairs.iter().filter(|pair| pair.target_partitions.is_some());
        let on_target: Vec<_> = on_target.map(|pair| pair.target.clone()).collect();
        let source_settings = settings::read(&source, &on_source).await?;
        let target_settings = settings::read(&target, &on_target).await?;
        let lineages = Lineages::read(flow, &source, &target).await?;
        let cluster_id = source.metadata().cluster_id.clone();
        let fillers = cluster_id.map(|id| ProducerIds::of_flow(&id).fillers);
        Ok(FlowVerify {
            flow,
            source,
            target,
            source_settings,
            target_settings,
            lineages,
            fillers,
            options,
            progress,
        })
    }

    /// The comparison of one partition, and the report that it fills.
    fn partition(&self, pair: &TopicPair, number: i32) -> (PartitionVerify, PartitionReport) {
        let settings =
            |of: &BTreeMap<Arc<str>, TopicSettings>, name| of.get(name).cloned().unwrap_or_default();
        let place = self.place(pair, number);
        let report = PartitionReport {
            flow: self.flow.name(),
            source_topic: pair.source.to_string(),
            target_topic: pair.target.to_string(),
            partition: number,
            is_on_target: !matches!(place, Place::Nowhere),
            ..PartitionReport::default()
        };
        let partition = PartitionVerify {
            source: self.source.clone(),
            target: self.target.clone(),
            source_partition: TopicPartition::new(pair.source.clone(), number),
            target_partition: TopicPartition::new(pair.target.clone(), number),
            place,
            isolation: self.flow.isolation,
            source_settings: settings(&self.source_settings, &pair.source),
            target_settings: settings(&self.target_settings, &pair.target),
            fillers: self.fillers,
            options: self.options.clone(),
            progress: Arc::clone(&self.progress),
        };
        (partition, report)
    }

    fn place(&self, pair: &TopicPair, number: i32) -> Place {
        if pair.target_partitions.is_none_or(|partitions| number >= partitions) {
            return Place::Nowhere;
        }
        match self.lineages.recorded(pair, number) {
            Err(error) => Place::Unreadable(error.to_string()),
            Ok(Some(lineage)) => Place::At(lineage),
            // Without a record the offsets of an exact copy are equal, unless it goes on behind somebody else's.
            Ok(None)
                if self.flow.offsets == Offsets::Exact && self.flow.predecessor == Predecessor::Nothing =>
            {
                Place::At(Lineage::beginning_at(0, 0))
            }
            Ok(None) => Place::Unknown,
        }
    }
}

/// The topics to be compared. What the flow names must exist.
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
    let is_wanted =
        |topic: &str| options.topics.is_empty() || options.topics.iter().any(|name| name == topic);
    let (source, target) = (refresh(source).await?, refresh(target).await?);
    let mut pairs = topics::pair(flow, matcher, &source, &target).all(flow)?;
    for topic in matcher.literal_names().filter(|topic| is_wanted(topic)) {
        if source.topic(topic).is_none() {
            return Err(Error::NoSuchTopic { flow: flow.name(), topic: topic.to_owned() });
        }
    }
    if pairs.is_empty() && options.topics.is_empty() {
        return Err(Error::NothingSelected { flow: flow.name() });
    }
    pairs.retain(|pair| is_wanted(&pair.source));
    Ok(pairs)
}

/// What was asked for must have been looked at.
///
/// # Errors
/// Where no flow copies a topic that is wanted, or nothing lies behind the offset from which on records are wanted.
pub(crate) fn check_wanted(options: &VerifyOptions, report: &VerifyReport) -> Result<(), Error> {
    for topic in &options.topics {
        if !report.partitions.iter().any(|partition| partition.source_topic == *topic) {
            return Err(Error::NotSelected { topic: topic.clone() });
        }
    }
    let is_beyond = |from: i64| report.partitions.iter().all(|partition| partition.source_end <= from);
    match options.from {
        Some(from) if from > 0 && is_beyond(from) => {
            let end = report.partitions.iter().map(|partition| partition.source_end).max();
            Err(Error::BehindTheEnd { from, end: end.unwrap_or(0) })
        }
        _ => Ok(()),
    }
}

const PARTITIONS_AT_ONCE: usize = 4;
