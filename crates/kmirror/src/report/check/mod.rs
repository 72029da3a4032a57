//! What a flow finds at both ends before it starts: reachable, distinct, how holes would be filled, what it may do, and what would be in
//! its way. Changes nothing.

mod commit_group;
mod conditions;
mod finding;
mod limits;
mod look;
mod permissions;
mod rights;

pub(crate) use self::commit_group::shared as shared_commit_groups;
pub use self::finding::{Finding, FindingKind, Severity};

use std::collections::BTreeMap;

use kmirror_client::{Client, Topics};

use crate::data::append::filler::{self, FillBy};
use crate::ground::config::Flow;
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::ground::identity::ProducerIds;
use crate::state_topic::store;

use self::look::Look;
use self::rights::Missing;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowCheck {
    /// The name of the flow.
    pub flow: String,
    /// The source.
    pub source: ClusterCheck,
    /// The target.
    pub target: ClusterCheck,
    /// Whether both ends are the same cluster, by its id: then there is nothing to copy, and a name on the target would be read
    /// again.
    pub is_same_cluster: bool,
    /// How offsets without records are filled.
    pub holes: HolesBy,
    /// Partitions of which the state topic holds a record.
    pub partitions_recorded: usize,
    /// What is not as it should be, errors first.
    pub findings: Vec<Finding>,
}

/// One end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterCheck {
    /// Its alias.
    pub alias: String,
    /// Its id, where the cluster has one.
    pub cluster_id: String,
    /// How many brokers it has.
    pub brokers: usize,
}

/// How offsets without records are filled on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HolesBy {
    /// By control markers (WriteTxnMarkers): thousands of offsets a second and more.
    Markers,
    /// By empty transactions, for want of ALTER on the cluster (CLUSTER_ACTION before Kafka 3.8): some milliseconds for each offset.
    Transactions,
}

/// Looks at both ends of a flow.
pub(crate) async fn of_flow(
    flow: &Flow,
    terms: &Terms,
    source: &Client,
    target: &Client,
    principal: &str,
) -> Result<FlowCheck, Error> {
    let (source_end, target_end) = (cluster(source).await?, cluster(target).await?);
    let producer_id = ProducerIds::of_flow(&source_end.cluster_id).markers;
    let broker = target.metadata().brokers.keys().next().copied();
    let failed = |error| Error::cluster(&flow.target, error);
    let holes = match broker {
        Some(broker) => match filler::probe(target, broker, producer_id).await.map_err(failed)? {
            FillBy::Markers => HolesBy::Markers,
            FillBy::Transactions => HolesBy::Transactions,
        },
        None => HolesBy::Markers,
    };
    let recorded = match store::read(target, &flow.state_topic).await {
        // Which rights are missing is among the findings.
        Err(error) if error.is_unauthorized() => BTreeMap::new(),
        recorded => recorded?.partitions,
    };
    let is_same_cluster = !source_end.cluster_id.is_empty() && source_end.cluster_id == target_end.cluster_id;
    let look = Look {
        flow,
        terms,
        source,
        target,
        principal,
        recorded: &recorded,
        on_source: Missing::default(),
        on_target: Missing::default(),
        findings: Vec::new(),
    };
    let findings =
        if is_same_cluster { Vec::new() } else { look.all(holes == HolesBy::Transactions).await? };
    Ok(FlowCheck {
        flow: flow.name(),
        source: source_end,
        target: target_end,
        is_same_cluster,
        holes,
        partitions_recorded: recorded.len(),
        findings,
    })
}

async fn cluster(client: &Client) -> Result<ClusterCheck, Error> {
    let metadata = client.refresh_metadata(Topics::All).await;
    let metadata = metadata.map_err(|error| Error::cluster(client.alias(), error))?;
    Ok(ClusterCheck {
        alias: client.alias().to_owned(),
        cluster_id: client.cluster_id().unwrap_or_default().to_string(),
        brokers: metadata.brokers.len(),
    })
}
