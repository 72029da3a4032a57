//! The records of MirrorMaker 2 that its readers look for: heartbeats, and checkpoints of groups. With them Java's `RemoteClusterUtils`
//! and `MirrorClient` answer about a target that kmirror fills. Offset syncs are for MirrorMaker's own connectors, should they go on
//! one day. kmirror itself reads none of them.

pub(crate) mod checkpoints;
pub(crate) mod heartbeats;
pub(crate) mod offset_syncs;
mod records;

use kmirror_client::Client;

pub(crate) use self::checkpoints::{Checkpoint, Checkpoints};
pub(crate) use self::heartbeats::Heartbeats;
pub(crate) use self::offset_syncs::OffsetSyncs;
use crate::ground::config::Flow;
use crate::logs::records::RecordTopic;

/// A topic that holds such records.
fn record_topic(flow: &Flow, client: &Client, name: String) -> RecordTopic {
    RecordTopic::new(client, name, replication_factor(flow))
}

/// The replication factor of such topics: there is none of the source whose factor they could have.
pub(crate) fn replication_factor(flow: &Flow) -> i16 {
    flow.replication_factor.of(-1)
}
