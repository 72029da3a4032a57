//! Whether a flow's names stand for the clusters between which it has copied. While it runs its clients look (`ClientError::OtherCluster`); at a
//! start the state topic says which they were.

use kmirror_client::{Client, Topics};
use tracing::info;

use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::selection::TopicMatcher;
use crate::logs::records::RecordTopic;
use crate::state_topic::flow_record::{self, FlowRecord};
use crate::state_topic::store::Known;
use crate::topics::{self, TopicPair};

/// A cluster that a flow is to take for the one that its alias names, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedCluster {
    /// The name of the flow.
    pub flow: String,
    /// The id of the source that was recorded, if one was, and the one that is now.
    pub source: (Option<String>, String),
    /// The same of the target.
    pub target: (Option<String>, String),
}

/// Compares the ids with what is recorded, and records them where nothing speaks against it.
///
/// # Errors
/// [`Error::OtherCluster`].
pub(crate) async fn check(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: &Client,
    target: &Client,
    known: &Known,
) -> Result<(), Error> {
    let Some(found) = ids(source, target) else { return Ok(()) };
    if known.flows.get(&flow.clusters()) == Some(&found) {
        return Ok(());
    }
    match problem(flow, matcher, source, target, known).await? {
        Some(problem) => Err(problem),
        None => record(flow, target, &found).await,
    }
}

/// What would keep a flow from starting. Files of several sites may call their sources the same: another source is what this flow's has become
/// only where the target holds, under the names that the flow would use, copies of topics of the one that was recorded.
pub(crate) async fn problem(
    flow: &Flow,
    matcher: &TopicMatcher,
    source: &Client,
    target: &Client,
    known: &Known,
) -> Result<Option<Error>, Error> {
    let (Some(found), Some(recorded)) = (ids(source, target), known.flows.get(&flow.clusters())) else {
        return Ok(None);
    };
    let other = |alias: &String, recorded: &String, found: &String| {
        Some(Error::OtherCluster {
            flow: flow.name(),
            alias: alias.clone(),
            recorded: recorded.clone(),
            found: found.clone(),
        })
    };
    if recorded.target_cluster_id != found.target_cluster_id {
        return Ok(other(&flow.target, &recorded.target_cluster_id, &found.target_cluster_id));
    }
    if recorded.source_cluster_id == found.source_cluster_id {
        return Ok(None);
    }
    let refresh = async |client: &Client| {
        client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
    };
    let (on_source, on_target) = (refresh(source).await?, refresh(target).await?);
    let pairs = topics::pair(flow, matcher, &on_source, &on_target).copied;
    let was_copied_from = |pair: &TopicPair| {
        let record = known.topics.get(&pair.target)?;
        let is_there = on_target.topic(&pair.target).is_some_and(|topic| topic.id == record.target_topic_id);
        let is_other =
            record.source.cluster_id != found.source_cluster_id && *record.source.topic == *pair.source;
        (is_there && is_other).then_some(&record.source.cluster_id)
    };
    let before = pairs.iter().find_map(was_copied_from);
    Ok(before.and_then(|before| other(&flow.source, before, &found.source_cluster_id)))
}

/// Records the ids as they are.
pub(crate) async fn accept(
    flow: &Flow,
    source: &Client,
    target: &Client,
    known: &Known,
) -> Result<Option<AcceptedCluster>, Error> {
    let Some(found) = ids(source, target) else { return Ok(None) };
    let recorded = known.flows.get(&flow.clusters()).cloned();
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

/// `None` where a cluster has no id: nothing can be said of it.
fn ids(source: &Client, target: &Client) -> Option<FlowRecord> {
    let id = |client: &Client| client.cluster_id().filter(|id| !id.is_empty());
    Some(FlowRecord {
        source_cluster_id: id(source)?.to_string(),
        target_cluster_id: id(target)?.to_string(),
    })
}

async fn record(flow: &Flow, target: &Client, record: &FlowRecord) -> Result<(), Error> {
    let mut topic = RecordTopic::new(target, flow.state_topic.clone(), flow.state_replication_factor);
    let record = (flow_record::key_of(&flow.clusters()).into_bytes(), Some(record.to_json()));
    topic.append(&[record]).await.map_err(|error| Error::cluster(&flow.target, error))
}
