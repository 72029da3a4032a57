//! The records of MirrorMaker 2 that its readers look for on the target: heartbeats, and checkpoints of groups. With them Java's
//! `RemoteClusterUtils` and `MirrorClient` answer about a target that kmirror fills. kmirror itself reads none of them.
//!
//! Offset syncs are not written: only MirrorMaker's own connectors read them, and `translateOffsets` goes by checkpoints alone.

mod checkpoints;
mod heartbeats;
mod records;

use kmirror_client::Client;

pub(crate) use self::checkpoints::{Checkpoint, Checkpoints};
pub(crate) use self::heartbeats::{Heartbeats, is_heartbeats};
use crate::config::Flow;
use crate::topics::compacted::RecordTopic;

/// A topic of the target that holds such records.
fn record_topic(flow: &Flow, target: &Client, name: String) -> RecordTopic {
    // There is no topic of the source whose factor it could have.
    RecordTopic::new(target, name, flow.replication_factor.of(-1))
}
