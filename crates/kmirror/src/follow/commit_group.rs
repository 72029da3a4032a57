//! Commits a flow's positions to a consumer group of the source, where lag tools look. The flow itself never reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, CommittedOffset, KafkaError, TopicPartition};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::follow::rounds::Rounds;
use crate::ground::shared::FlowShared;

/// The positions of one flow, as they were last committed.
pub(crate) struct CommitGroup {
    group: String,
    source: Client,
    shared: Arc<FlowShared>,
    committed: Committed,
    /// Whether the last attempt failed: a failure that lasts is told once.
    is_failing: bool,
}

/// What was committed, by partition of the source: the offset that is read next.
#[derive(Debug, Default)]
struct Committed(BTreeMap<TopicPartition, i64>);

impl CommitGroup {
    pub(crate) fn new(group: String, source: Client, shared: Arc<FlowShared>) -> CommitGroup {
        CommitGroup { group, source, shared, committed: Committed::default(), is_failing: false }
    }

    /// Commits now and then what has changed, and once more when it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(INTERVAL, stop);
        while rounds.next().await {
            self.commit().await;
        }
    }

    async fn commit(&mut self) {
        let positions = self.shared.published().into_iter().map(|partition| {
            let source = TopicPartition::new(partition.source_topic, partition.partition);
            (source, partition.gauge.position())
        });
        let changed = self.committed.changed(positions);
        if changed.is_empty() {
            return;
        }
        let offsets: Vec<_> = changed
            .iter()
            .map(|(partition, offset)| {
                // The epoch of the record before it is not kept; without it a reader is not warned of a truncation.
                (partition.clone(), CommittedOffset::new(*offset))
            })
            .collect();
        let results = self.source.commit_offsets(&self.group, &offsets, TIMEOUT).await;
        let failure = match results {
            Err(error) => Some(error),
            Ok(results) => {
                let mut failure = None;
                for ((partition, result), (_, offset)) in results.into_iter().zip(changed) {
                    match result {
                        Ok(()) => self.committed.record(partition, offset),
                        Err(error) => failure = Some(error),
                    }
                }
                failure
            }
        };
        match &failure {
            Some(error) if !self.is_failing => {
                let advice = match error.kafka_error() {
                    Some(KafkaError::UNKNOWN_MEMBER_ID) => {
                        "the group has members of its own; choose a name that nobody uses"
                    }
                    _ if error.is_authorization() => {
                        "kmirror needs READ on the group and on the source topics"
                    }
                    _ => "it is tried again",
                };
                warn!(group = self.group, %error, advice, "positions were not committed");
            }
            Some(error) => debug!(group = self.group, %error, "positions were not committed"),
            None => {}
        }
        self.is_failing = failure.is_some();
    }
}

impl Committed {
    /// The positions that are known and not what was committed.
    fn changed(&self, positions: impl Iterator<Item = (TopicPartition, i64)>) -> Vec<(TopicPartition, i64)> {
        positions
            .filter(|(partition, offset)| *offset >= 0 && self.0.get(partition) != Some(offset))
            .collect()
    }

    fn record(&mut self, partition: TopicPartition, offset: i64) {
        self.0.insert(partition, offset);
    }
}

/// Java's default (`auto.commit.interval.ms`).
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_and_new_is_committed() {
        let partition = |index| TopicPartition::new("orders", index);
        let mut committed = Committed::default();
        let positions = [(partition(0), 0), (partition(1), -1), (partition(2), 7)];
        let changed = committed.changed(positions.into_iter());
        assert_eq!(changed, [(partition(0), 0), (partition(2), 7)]);
        changed.into_iter().for_each(|(partition, offset)| committed.record(partition, offset));
        let positions = [(partition(0), 0), (partition(1), 1), (partition(2), 9)];
        assert_eq!(committed.changed(positions.into_iter()), [(partition(1), 1), (partition(2), 9)]);
        // A topic that was created again begins anew.
        assert_eq!(committed.changed([(partition(2), 0)].into_iter()), [(partition(2), 0)]);
    }
}
