//! What clients have changed beside records: so that a test can ask whether anything was touched that should not have been.

use kafka_protocol::messages::ApiKey;

/// A request of a client that changes a topic, an entry of an access control list or the offsets of a group, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// By which request.
    pub api: ApiKey,
    /// The name of the topic or the group that it concerns.
    pub resource: String,
}

/// The changes of a cluster, in the order of the requests; the oldest are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(std::collections::VecDeque<Change>);

impl Changes {
    pub(crate) fn note(&mut self, api: ApiKey, resource: &str) {
        if self.0.len() == CHANGES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Change { api, resource: resource.to_owned() });
    }

    pub(crate) fn all(&self) -> Vec<Change> {
        self.0.iter().cloned().collect()
    }
}

const CHANGES_MAX: usize = 10_000;
