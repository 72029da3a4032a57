//! Which clusters a flow has copied between: the record of the state topic by which a start notices that a name stands for another one. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The ids of a flow's clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlowRecord {
    pub(crate) source_cluster_id: String,
    pub(crate) target_cluster_id: String,
}

/// By the aliases of both clusters, as `Flow::clusters` writes them.
pub(crate) type FlowRecords = BTreeMap<String, FlowRecord>;

#[derive(Serialize, Deserialize)]
struct Json {
    version: u32,
    source_cluster_id: String,
    target_cluster_id: String,
}

impl FlowRecord {
    /// As the value of the state topic.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let FlowRecord { source_cluster_id, target_cluster_id } = self.clone();
        let json = Json { version: VERSION, source_cluster_id, target_cluster_id };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic, if it can be understood.
    pub(crate) fn from_json(value: &[u8]) -> Option<FlowRecord> {
        let Json { version, source_cluster_id, target_cluster_id } = serde_json::from_slice(value).ok()?;
        (version == VERSION).then_some(FlowRecord { source_cluster_id, target_cluster_id })
    }
}

/// The key for a flow.
pub(crate) fn key_of(flow: &str) -> String {
    format!("{KEY_PREFIX}{flow}")
}

/// The flow of a key, if it is one of these.
pub(crate) fn flow_of(key: &[u8]) -> Option<String> {
    std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX).map(str::to_owned)
}

const KEY_PREFIX: &str = "flow/";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let record =
            FlowRecord { source_cluster_id: "east id".to_owned(), target_cluster_id: "west id".to_owned() };
        assert_eq!(FlowRecord::from_json(&record.to_json()), Some(record.clone()));
        // Fixed for ever: earlier releases' records must be read.
        assert_eq!(
            String::from_utf8(record.to_json()).expect("text"),
            r#"{"version":1,"source_cluster_id":"east id","target_cluster_id":"west id"}"#
        );
        assert_eq!(FlowRecord::from_json(b"{}"), None);
        assert_eq!(flow_of(key_of("east->west").as_bytes()).as_deref(), Some("east->west"));
        assert_eq!(flow_of(b"topic/a"), None);
    }
}
