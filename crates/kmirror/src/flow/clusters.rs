//! Whether a flow's names stand for the clusters between which it has copied. While it runs its clients look (`ClientError::OtherCluster`); at a
//! start the state topic says which they were.

use kmirror_client::Client;
use tracing::info;

use crate::config::Flow;
use crate::error::Error;
use crate::state::flow_record::{self, FlowRecord};
use crate::state::store::Known;
use crate::topics::compacted::RecordTopic;

/// A cluster that a flow is to take for the one that its alias names, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedCluster {
    /// `source->target`.
    pub flow: String,
    /// The id of the source that was recorded, if one was, and the one that is now.
    pub source: (Option<String>, String),
    /// The same of the target.
    pub target: (Option<String>, String),
}

/// Compares the ids with what is recorded, and records them where nothing is.
///
/// # Errors
/// [`Error::OtherCluster`].
pub(crate) async fn check(flow: &Flow, source: &Client, target: &Client, known: &Known) -> Result<(), Error> {
    let Some(found) = ids(source, target) else { return Ok(()) };
    let Some(recorded) = known.flows.get(&flow.name()) else {
        return record(flow, target, &found).await;
    };
    differing(flow, recorded, &found).map_or(Ok(()), Err)
}

/// Records the ids as they are.
pub(crate) async fn accept(
    flow: &Flow,
    source: &Client,
    target: &Client,
    known: &Known,
) -> Result<Option<AcceptedCluster>, Error> {
    let Some(found) = ids(source, target) else { return Ok(None) };
    let recorded = known.flows.get(&flow.name()).cloned();
    record(flow, target, &found).await?;
    let (source_before, target_before) = match recorded {
        Some(recorded) => (Some(recorded.source_cluster_id), Some(recorded.target_cluster_id)),
        None => (None, None),
    };
    info!(
        flow = flow.name(),
        source = found.source_cluster_id,
        target = found.target_cluster_id,
        "clusters accepted"
    );
    Ok(Some(AcceptedCluster {
        flow: flow.name(),
        source: (source_before, found.source_cluster_id),
        target: (target_before, found.target_cluster_id),
    }))
}

/// What would keep a flow from starting.
pub(crate) fn problem(flow: &Flow, source: &Client, target: &Client, known: &Known) -> Option<Error> {
    differing(flow, known.flows.get(&flow.name())?, &ids(source, target)?)
}

/// `None` where a cluster has no id: nothing can be said of it.
fn ids(source: &Client, target: &Client) -> Option<FlowRecord> {
    let id = |client: &Client| client.cluster_id().filter(|id| !id.is_empty());
    Some(FlowRecord {
        source_cluster_id: id(source)?.to_string(),
        target_cluster_id: id(target)?.to_string(),
    })
}

fn differing(flow: &Flow, recorded: &FlowRecord, found: &FlowRecord) -> Option<Error> {
    let both = [
        (&flow.source, &recorded.source_cluster_id, &found.source_cluster_id),
        (&flow.target, &recorded.target_cluster_id, &found.target_cluster_id),
    ];
    let (alias, recorded, found) = both.into_iter().find(|(_, recorded, found)| recorded != found)?;
    Some(Error::OtherCluster {
        flow: flow.name(),
        alias: alias.clone(),
        recorded: recorded.clone(),
        found: found.clone(),
    })
}

async fn record(flow: &Flow, target: &Client, record: &FlowRecord) -> Result<(), Error> {
    let mut topic = RecordTopic::new(target, flow.state_topic.clone(), flow.state_replication_factor);
    let record = (flow_record::key_of(&flow.name()).into_bytes(), Some(record.to_json()));
    topic.append(&[record]).await.map_err(|error| Error::cluster(&flow.target, error))
}
