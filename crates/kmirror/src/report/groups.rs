//! What each group would read again, or miss, if it moved to the target now.

use std::collections::BTreeMap;
use std::time::Duration;

use kmirror_client::{Client, ListedGroup, TopicPartition};

use crate::follow::groups::follower::is_of_consumers;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::selection::Selected;
use crate::report::lag;
use crate::report::lineages;

/// A consumer group on both sides of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReport {
    /// The name of the flow.
    pub flow: String,
    /// Its id.
    pub group: String,
    /// Its state on the source (`GroupState`); `None` where the release does not say.
    pub source_state: Option<String>,
    /// Its state on the target; `None` where there is no such group, or the release does not say.
    pub target_state: Option<String>,
    /// Where it stands, by partition.
    pub partitions: Vec<GroupPartition>,
}

/// A group in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPartition {
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that it reads next on the source.
    pub source_offset: i64,
    /// The same place on the target; `None` where nothing was copied.
    pub wanted_offset: Option<i64>,
    /// The offset that it would read next on the target; `None` where it has committed nothing there.
    pub target_offset: Option<i64>,
    /// How old the first record is that it would read again or miss, in milliseconds; `None` where there is none, or the source does not
    /// hold it any more.
    pub age_ms: Option<i64>,
}

impl GroupPartition {
    /// Offsets that it would read a second time if it moved now; `None` where it stands nowhere on the target, or what it wants is not known: it
    /// would begin where `auto.offset.reset` says.
    pub fn again(&self) -> Option<u64> {
        self.distance().map(|distance| u64::try_from(distance).unwrap_or(0))
    }

    /// Offsets that it would not read at all if it moved now; `None` as above.
    pub fn missed(&self) -> Option<u64> {
        self.distance().map(|distance| u64::try_from(-distance).unwrap_or(0))
    }

    fn distance(&self) -> Option<i64> {
        Some(self.wanted_offset? - self.target_offset?)
    }
}

/// Every selected group of a flow, as both clusters know it now.
pub(crate) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
    source: &Client,
    target: &Client,
) -> Result<Vec<GroupReport>, Error> {
    let lineages = lineages::of_flow(flow, &selected.topics, source, target).await?;
    let lineages: BTreeMap<_, _> =
        lineages.iter().map(|found| ((found.source_topic.as_str(), found.partition), found)).collect();
    let on_target = by_id(target).await?;
    let mut reports = Vec::new();
    for (id, listed) in by_id(source).await? {
        if !selected.groups.matches(&id) || flow.commit_group.as_ref() == Some(&id) {
            continue;
        }
        let failed = |client: &Client, error| Error::cluster(client.alias(), error);
        let committed =
            source.all_committed_offsets(&id, TIMEOUT).await.map_err(|error| failed(source, error))?;
        let there =
            target.all_committed_offsets(&id, TIMEOUT).await.map_err(|error| failed(target, error))?;
        let there: BTreeMap<_, _> = there.into_iter().collect();
        let partitions =
            committed.into_iter().filter(|(partition, _)| selected.topics.matches(&partition.topic));
        let mut found = Vec::new();
        for (partition, committed) in partitions {
            let target_topic = flow.naming.target_topic(&flow.source, &partition.topic);
            let place = TopicPartition::new(target_topic.as_str(), partition.partition);
            let lineage = lineages.get(&(&*partition.topic, partition.partition));
            let lineage = lineage.and_then(|found| found.known(flow.offsets));
            let lineage = lineage.filter(|lineage| lineage.knows(committed.offset));
            let target_offset = there.get(&place).map(|there| there.offset);
            let mut group = GroupPartition {
                source_topic: partition.topic.to_string(),
                target_topic,
                partition: partition.partition,
                source_offset: committed.offset,
                wanted_offset: lineage.as_ref().map(|lineage| lineage.target_of(committed.offset)),
                target_offset,
                age_ms: None,
            };
            if let (Some(lineage), Some(there), 1..) =
                (lineage, target_offset, group.distance().map_or(0, i64::unsigned_abs))
            {
                let first = committed.offset.min(lineage.source_of(there));
                group.age_ms = lag::age_ms(flow, source, &partition, first).await;
            }
            found.push(group);
        }
        if !found.is_empty() {
            reports.push(GroupReport {
                flow: flow.name(),
                target_state: on_target.get(&id).and_then(|listed| listed.state.clone()),
                source_state: listed.state,
                group: id,
                partitions: found,
            });
        }
    }
    Ok(reports)
}

async fn by_id(client: &Client) -> Result<BTreeMap<String, ListedGroup>, Error> {
    let listed = client.list_groups().await.map_err(|error| Error::cluster(client.alias(), error))?;
    Ok(listed.into_iter().filter(is_of_consumers).map(|group| (group.id.clone(), group)).collect())
}

const TIMEOUT: Duration = Duration::from_secs(10);
