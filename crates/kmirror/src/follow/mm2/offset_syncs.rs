//! Offset syncs (`OffsetSyncWriter`): which offset of the source is which one of the target. MirrorMaker's own checkpoint connector
//! reads them, should somebody go back to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, TopicPartition};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{record_topic, records};
use crate::follow::rounds::Rounds;
use crate::ground::config::Flow;
use crate::ground::lineage::{Lineage, Run};
use crate::ground::mm2_names::OffsetSyncs as Location;
use crate::ground::shared::{FlowShared, Published};
use crate::logs::records::RecordTopic;

/// Writes what has changed now and then.
pub(crate) struct OffsetSyncs {
    topic: RecordTopic,
    shared: Arc<FlowShared>,
    /// By partition of the source, the pair that was written last.
    written: BTreeMap<TopicPartition, Run>,
    is_failing: bool,
}

/// The topic that a flow writes offset syncs to, and its cluster; `None` where they are not wanted.
pub(crate) fn topic<'a>(flow: &Flow, source: &'a Client, target: &'a Client) -> Option<(&'a Client, String)> {
    let (client, other) = match flow.mm2_topics.offset_syncs {
        Location::Nowhere => return None,
        Location::Source => (source, &flow.target),
        Location::Target => (target, &flow.source),
    };
    Some((client, flow.mm2_topics.offset_syncs_with(other)))
}

impl OffsetSyncs {
    /// `None`: they are not wanted.
    pub(crate) fn new(
        flow: &Flow,
        source: &Client,
        target: &Client,
        shared: Arc<FlowShared>,
    ) -> Option<OffsetSyncs> {
        let (client, name) = topic(flow, source, target)?;
        let topic = record_topic(flow, client, name);
        Some(OffsetSyncs { topic, shared, written: BTreeMap::new(), is_failing: false })
    }

    /// Writes until it is stopped, and once more then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(INTERVAL, stop);
        while rounds.next().await {
            self.write().await;
        }
    }

    async fn write(&mut self) {
        let mut new = Vec::new();
        for partition in self.shared.published() {
            let Some(lineage) = partition.gauge.lineage() else { continue };
            let source = source_of(&partition);
            let before = self.written.get(&source).copied();
            let syncs = syncs(&lineage, partition.gauge.position(), before);
            new.extend(syncs.into_iter().map(|sync| (source.clone(), sync)));
        }
        if new.is_empty() {
            return;
        }
        let encoded: Vec<_> =
            new.iter().map(|(partition, sync)| records::offset_sync(partition, *sync)).collect();
        match self.topic.append(&encoded).await {
            Ok(()) => {
                self.is_failing = false;
                self.written.extend(new);
            }
            Err(error) if self.is_failing => debug!(%error, "no offset syncs"),
            Err(error) => {
                self.is_failing = true;
                let topic = self.topic.name();
                warn!(topic, %error, "offset syncs are not written; kmirror needs CREATE, WRITE and DESCRIBE on the topic");
            }
        }
    }
}

fn source_of(partition: &Published) -> TopicPartition {
    TopicPartition::new(Arc::clone(&partition.source_topic), partition.partition)
}

/// What is new since `before` was written: where runs begin, and the last offset that has arrived. Everything before `position` has.
fn syncs(lineage: &Lineage, position: i64, before: Option<Run>) -> Vec<Run> {
    let last = position - 1;
    let mut syncs: Vec<Run> = lineage.runs().filter(|run| run.source <= last).collect();
    if syncs.last().is_some_and(|run| run.source < last) {
        syncs.push(Run { source: last, target: lineage.target_of(last) });
    }
    syncs.retain(|sync| before.is_none_or(|before| sync.source > before.source));
    syncs
}

const INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_the_last_offset_are_told_once() {
        let run = |source, target| Run { source, target };
        let lineage = Lineage::from_runs([run(10, 110), run(50, 155)]).expect("in order");
        for (position, before, expected) in [
            (10, None, vec![]),
            (11, None, vec![run(10, 110)]),
            (31, None, vec![run(10, 110), run(30, 130)]),
            (31, Some(run(30, 130)), vec![]),
            (41, Some(run(30, 130)), vec![run(40, 140)]),
            (61, Some(run(40, 140)), vec![run(50, 155), run(60, 165)]),
            (-1, None, vec![]),
        ] {
            assert_eq!(syncs(&lineage, position, before), expected, "{position} {before:?}");
        }
    }
}
