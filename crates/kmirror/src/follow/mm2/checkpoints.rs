//! Checkpoints (`MirrorCheckpointTask`): where each group stands on both sides.

use std::collections::BTreeMap;

use kmirror_client::{Client, TopicPartition};
use tracing::{debug, warn};

use super::{record_topic, records};
use crate::ground::config::Flow;
use crate::logs::records::RecordTopic;

/// Writes what has changed.
pub(crate) struct Checkpoints {
    topic: RecordTopic,
    /// Upstream and downstream offset as they were written last, by group and partition of the target.
    written: BTreeMap<(String, TopicPartition), (i64, i64)>,
    is_failing: bool,
}

/// A group in a partition of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) target: TopicPartition,
    /// The source offset that the group reads next, as far as it has arrived.
    pub(crate) upstream: i64,
    /// The same place on the target.
    pub(crate) downstream: i64,
    pub(crate) metadata: String,
}

/// The name of the topic that a flow writes its checkpoints to.
pub(crate) fn topic(flow: &Flow) -> String {
    flow.mm2_topics.checkpoints_of(&flow.source)
}

impl Checkpoints {
    pub(crate) fn new(flow: &Flow, target: &Client) -> Checkpoints {
        Checkpoints {
            topic: record_topic(flow, target, topic(flow)),
            written: BTreeMap::new(),
            is_failing: false,
        }
    }

    /// Writes those of a group that are not what was written last.
    pub(crate) async fn write(&mut self, group: &str, checkpoints: Vec<Checkpoint>) {
        let key = |checkpoint: &Checkpoint| (group.to_owned(), checkpoint.target.clone());
        let offsets = |checkpoint: &Checkpoint| (checkpoint.upstream, checkpoint.downstream);
        let new = checkpoints.iter().filter(|found| self.written.get(&key(found)) != Some(&offsets(found)));
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return;
        }
        let encoded: Vec<_> = new
            .iter()
            .map(|found| {
                let TopicPartition { topic, partition } = &found.target;
                records::checkpoint(
                    group,
                    topic,
                    *partition,
                    found.upstream,
                    found.downstream,
                    &found.metadata,
                )
            })
            .collect();
        match self.topic.append(&encoded).await {
            Ok(()) => {
                self.is_failing = false;
                let written: Vec<_> = new.into_iter().map(|found| (key(found), offsets(found))).collect();
                self.written.extend(written);
            }
            Err(error) if self.is_failing => debug!(group, %error, "no checkpoints"),
            Err(error) => {
                self.is_failing = true;
                let topic = self.topic.name();
                warn!(group, topic, %error, "checkpoints are not written; kmirror needs CREATE, WRITE and DESCRIBE on the topic");
            }
        }
    }
}
