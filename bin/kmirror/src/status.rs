//! How the partitions of a mirror are, in words and numbers whose names stay what they are: the running process answers with it, and
//! `kmirror status` prints it.

use kmirror::{
    DueDeletion, FlowStatus, MissingReason, MissingTopic, PartitionLag, PartitionState, PartitionStatus,
};
use serde::{Deserialize, Serialize};

/// Everything that is shown.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    /// What only a running process can tell.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<ProcessStatus>,
    pub(crate) partitions: Vec<PartitionRow>,
}

/// What a process has done since it was started.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ProcessStatus {
    pub(crate) reloads: u64,
    pub(crate) reloads_refused: u64,
    pub(crate) flows: Vec<FlowRow>,
}

/// A flow since it was started.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FlowRow {
    flow: String,
    is_ready: bool,
    records: u64,
    bytes: u64,
    merged_batches: u64,
    marker_offsets: u64,
    #[serde(default)]
    forgotten_offsets: u64,
    partitions: usize,
    parked: usize,
    /// Of the partitions of which it is known.
    lag: u64,
    #[serde(default)]
    partitions_of_unknown_lag: usize,
    #[serde(default)]
    deletions: Vec<DeletionRow>,
}

/// A topic of the target that is to be deleted, since its source was.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DeletionRow {
    source_topic: String,
    target_topic: String,
    due_ms: i64,
    is_held: bool,
}

/// A partition, or a topic of which nothing is copied.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PartitionRow {
    pub(crate) flow: String,
    pub(crate) source_topic: String,
    pub(crate) target_topic: Option<String>,
    /// None where it is the topic as a whole.
    pub(crate) partition: Option<i32>,
    /// Starting, Seeding, Copying, Waiting, Parked or Missing; the clusters alone only tell Parked.
    pub(crate) state: Option<String>,
    /// Why it waits or is parked.
    pub(crate) reason: Option<String>,
    pub(crate) source_end: Option<i64>,
    pub(crate) position: Option<i64>,
    /// None where it is not known.
    pub(crate) lag: Option<u64>,
    /// Of the first record that is not on the target; a process does not know it.
    pub(crate) age_seconds: Option<f64>,
    /// What was seen when it was parked, and what can be done.
    pub(crate) message: Option<String>,
}

impl Status {
    /// What both clusters say.
    pub(crate) fn of_clusters(lags: &[PartitionLag]) -> Status {
        Status { process: None, partitions: lags.iter().map(of_clusters).collect() }
    }

    /// What the process says.
    pub(crate) fn of_process(flows: &[FlowStatus], reloads: u64, reloads_refused: u64) -> Status {
        let process = ProcessStatus { reloads, reloads_refused, flows: flows.iter().map(flow_row).collect() };
        let partitions =
            flows.iter().flat_map(|flow| flow.partitions.iter().map(|partition| of_process(flow, partition)));
        let missing = flows.iter().flat_map(|flow| flow.missing.iter().map(of_missing));
        Status { process: Some(process), partitions: partitions.chain(missing).collect() }
    }
}

fn flow_row(flow: &FlowStatus) -> FlowRow {
    FlowRow {
        flow: flow.name.clone(),
        is_ready: flow.is_ready(),
        records: flow.records,
        bytes: flow.bytes,
        merged_batches: flow.merged_batches,
        marker_offsets: flow.marker_offsets,
        forgotten_offsets: flow.forgotten_offsets,
        partitions: flow.partitions.len(),
        parked: flow.parked().count(),
        lag: flow.lag(),
        partitions_of_unknown_lag: flow.partitions_of_unknown_lag(),
        deletions: flow.deletions.iter().map(deletion_row).collect(),
    }
}

fn deletion_row(deletion: &DueDeletion) -> DeletionRow {
    DeletionRow {
        source_topic: deletion.source_topic.clone(),
        target_topic: deletion.target_topic.clone(),
        due_ms: deletion.due_ms,
        is_held: deletion.is_held,
    }
}

fn of_process(flow: &FlowStatus, partition: &PartitionStatus) -> PartitionRow {
    let (state, reason, message) = match &partition.state {
        PartitionState::Starting => ("Starting", None, None),
        PartitionState::Seeding => ("Seeding", None, None),
        PartitionState::Copying => ("Copying", None, None),
        PartitionState::Waiting(cause) => ("Waiting", Some(cause.clone()), None),
        PartitionState::Parked(parked) => {
            (PARKED, Some(parked.reason.to_string()), Some(parked.message.clone()))
        }
        // A state that this program does not know yet.
        _ => ("Unknown", None, None),
    };
    let known = |offset: i64| (offset >= 0).then_some(offset);
    PartitionRow {
        flow: flow.name.clone(),
        source_topic: partition.source_topic.clone(),
        target_topic: Some(partition.target_topic.clone()),
        partition: Some(partition.partition),
        state: Some(state.to_owned()),
        reason,
        source_end: known(partition.source_end),
        position: known(partition.position),
        lag: partition.lag(),
        age_seconds: None,
        message,
    }
}

fn of_missing(missing: &MissingTopic) -> PartitionRow {
    let (reason, message) = match &missing.reason {
        MissingReason::NoSuchTopic => ("NoSuchTopic".to_owned(), None),
        MissingReason::Awaited => ("Awaited".to_owned(), None),
        MissingReason::Waiting(cause) => ("Waiting".to_owned(), Some(cause.clone())),
        MissingReason::Refused(parked) => (parked.reason.to_string(), Some(parked.message.clone())),
        // A reason that this program does not know yet.
        _ => ("Unknown".to_owned(), None),
    };
    PartitionRow {
        flow: missing.flow.clone(),
        source_topic: missing.source_topic.clone(),
        target_topic: None,
        partition: None,
        state: Some("Missing".to_owned()),
        reason: Some(reason),
        source_end: None,
        position: None,
        lag: None,
        age_seconds: None,
        message: message.or_else(|| Some(missing.to_string())),
    }
}

fn of_clusters(lag: &PartitionLag) -> PartitionRow {
    let parked = lag.parked.as_ref();
    PartitionRow {
        flow: lag.flow.clone(),
        source_topic: lag.source_topic.clone(),
        target_topic: Some(lag.target_topic.clone()),
        partition: Some(lag.partition),
        state: parked.map(|_| PARKED.to_owned()),
        reason: parked.map(|parked| parked.reason.to_string()),
        source_end: Some(lag.source_end),
        position: lag.position,
        lag: Some(lag.offsets()),
        age_seconds: lag.age_ms.map(seconds),
        message: parked.map(|parked| parked.message.clone()),
    }
}

pub(crate) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}

const PARKED: &str = "Parked";
