//! What clients have changed beside records: so that a test can ask whether anything was touched that should not have been.

use std::collections::VecDeque;

use kafka_protocol::messages::ApiKey;

/// A request of a client that changes a topic, an entry of an access control list or the offsets of a group, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// By which request.
    pub api: ApiKey,
    /// The name of the topic or the group that it concerns.
    pub resource: String,
    /// Of which topic offsets are committed.
    pub offsets_of: Option<String>,
}

/// The changes of a cluster, in the order of the requests; the oldest are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    kept: VecDeque<Change>,
    forgotten: usize,
}

impl Changes {
    pub(crate) fn note(&mut self, api: ApiKey, resource: &str) {
        self.keep(Change { api, resource: resource.to_owned(), offsets_of: None });
    }

    /// Offsets of a topic are committed for a group.
    pub(crate) fn note_commit(&mut self, group: &str, topic: &str) {
        let (resource, offsets_of) = (group.to_owned(), Some(topic.to_owned()));
        self.keep(Change { api: ApiKey::OffsetCommit, resource, offsets_of });
    }

    fn keep(&mut self, change: Change) {
        if self.kept.len() == CHANGES_MAX {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back(change);
    }

    /// Those behind the first `seen` ones, as far as they are not forgotten.
    pub(crate) fn since(&self, seen: usize) -> Vec<Change> {
        self.kept.iter().skip(seen.saturating_sub(self.forgotten)).cloned().collect()
    }
}

const CHANGES_MAX: usize = 10_000;
