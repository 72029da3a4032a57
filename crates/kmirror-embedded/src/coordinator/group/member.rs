//! A member of a group (`ClassicGroupMember`).

use std::collections::BTreeSet;

use bytes::Bytes;

/// A request that waits for its answer.
pub(crate) type Ticket = u64;

/// How partitions could be assigned: a name, and what the member says to it. Opaque, but for the topics of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(super) rebalance_timeout_ms: i64,
    pub(super) session_timeout_ms: i64,
    pub(super) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    pub(super) awaiting_join: Option<Ticket>,
    pub(super) awaiting_sync: Option<Ticket>,
    /// It has not been told of its first generation.
    pub(super) is_new: bool,
    /// When it is given up, unless it is heard of.
    pub(super) expires_at_ms: Option<i64>,
}

impl Member {
    /// Waiting for an answer counts as a heartbeat, but for members that do not know yet that they are.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == protocol)
    }

    /// What it says to a protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|known| known.name == protocol)
            .map_or_else(Bytes::new, |known| known.metadata.clone())
    }

    /// The first of its protocols that is a candidate.
    pub(super) fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str()).find(|name| candidates.contains(name))
    }
}
