//! The lineages of a flow's partitions, for those who only look: nothing is created and nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{Client, ClusterMetadata, Isolation, OffsetSpec, TopicPartition, Topics};

use crate::ground::config::{Flow, Offsets};
use crate::ground::error::Error;
use crate::ground::lineage::Lineage;
use crate::ground::selection::TopicMatcher;
use crate::state_topic::record::{PartitionRecord, RecordError};
use crate::state_topic::store::{self, Recorded};
use crate::topics::{self, TopicPair};

/// Where the records of one source partition are on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLineage {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition, the same on both sides.
    pub partition: i32,
    /// Where the target's log ends; `None` where the target does not have the partition, or does not say.
    pub target_end: Option<i64>,
    /// What is recorded. `None`: nothing of the topics that are there now, or nothing that can be read; an `exact` copy has equal
    /// offsets then, and of a `shifted` one nothing is known.
    pub lineage: Option<Lineage>,
    /// Source offsets `[first, end)` that expired before they were copied, and were filled.
    pub lost: Vec<(i64, i64)>,
    /// The source's leader epochs as far as they were copied, and the offset at which each began.
    pub leader_epochs: Vec<(i32, i64)>,
}

impl PartitionLineage {
    /// The lineage, or the one that an `exact` copy has without a record of it.
    pub fn known(&self, offsets: Offsets) -> Option<Lineage> {
        match (&self.lineage, offsets) {
            (Some(lineage), _) => Some(lineage.clone()),
            (None, Offsets::Exact) => Some(Lineage::beginning_at(0, 0)),
            (None, Offsets::Shifted) => None,
        }
    }
}

/// What the state topic holds of a flow's partitions.
pub(crate) struct Lineages {
    recorded: BTreeMap<TopicPartition, Recorded>,
    source: Arc<ClusterMetadata>,
    target: Arc<ClusterMetadata>,
}

impl Lineages {
    /// Reads the state topic. The metadata of both clusters must be fresh.
    pub(crate) async fn read(flow: &Flow, source: &Client, target: &Client) -> Result<Lineages, Error> {
        let recorded = store::read(target, &flow.state_topic).await?.partitions;
        Ok(Lineages { recorded, source: source.metadata(), target: target.metadata() })
    }

    /// What is recorded of where a partition of the topics that are there now is, if anything is.
    ///
    /// # Errors
    /// Something is recorded that cannot be understood.
    pub(crate) fn recorded(&self, pair: &TopicPair, number: i32) -> Result<Option<Lineage>, RecordError> {
        match self.recorded.get(&TopicPartition::new(pair.target.clone(), number)) {
            Some(Recorded::Unreadable(error)) => Err(error.clone()),
            _ => Ok(self.record_of(pair, number).map(|record| record.lineage.clone())),
        }
    }

    /// The record of a partition, if it is one of the topics that are there now.
    fn record_of(&self, pair: &TopicPair, number: i32) -> Option<&PartitionRecord> {
        let partition = TopicPartition::new(pair.target.clone(), number);
        let Recorded::Record(record) = self.recorded.get(&partition)? else { return None };
        let is =
            |metadata: &ClusterMetadata, name, id| metadata.topic(name).is_some_and(|topic| topic.id == id);
        let is_present = is(&self.source, &pair.source, record.source.topic_id)
            && is(&self.target, &pair.target, record.target_topic_id);
        is_present.then_some(record)
    }
}

/// Where the logs of the target end, as far as it says.
async fn target_ends(target: &Client, pairs: &[TopicPair]) -> BTreeMap<TopicPartition, i64> {
    let partitions = pairs.iter().flat_map(|pair| {
        let partition = |number| TopicPartition::new(Arc::clone(&pair.target), number);
        (0..pair.target_partitions.unwrap_or(0)).map(move |number| (partition(number), OffsetSpec::Latest))
    });
    let partitions: Vec<_> = partitions.collect();
    let listed = target.list_offsets(&partitions, Isolation::ReadUncommitted).await.into_iter();
    listed.filter_map(|(partition, listed)| Some((partition, listed.ok()?.offset?))).collect()
}

/// The lineages of all partitions of a flow.
pub(crate) async fn of_flow(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: &Client,
    target: &Client,
) -> Result<Vec<PartitionLineage>, Error> {
    let refresh = async |client: &Client| {
        client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
    };
    let (source_metadata, target_metadata) = (refresh(source).await?, refresh(target).await?);
    let pairs = topics::pair(flow, matcher, &source_metadata, &target_metadata).all(flow)?;
    let lineages = Lineages::read(flow, source, target).await?;
    let ends = target_ends(target, &pairs).await;
    let partitions = pairs.iter().flat_map(|pair| (0..pair.partitions).map(move |number| (pair, number)));
    let described = partitions.map(|(pair, number)| {
        let record = lineages.record_of(pair, number);
        PartitionLineage {
            flow: flow.name(),
            source_topic: pair.source.to_string(),
            target_topic: pair.target.to_string(),
            partition: number,
            target_end: ends.get(&TopicPartition::new(pair.target.clone(), number)).copied(),
            lineage: record.map(|record| record.lineage.clone()),
            lost: record.map_or_else(Vec::new, |record| {
                record.lost.iter().map(|lost| (lost.first, lost.end)).collect()
            }),
            leader_epochs: record.map_or_else(Vec::new, |record| {
                record.leader_epochs.iter().map(|start| (start.epoch, start.start_offset)).collect()
            }),
        }
    });
    Ok(described.collect())
}
