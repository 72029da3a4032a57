//! Leader epochs that go back. Brokers learn of an election one after the other, so a lower epoch than the one that is known is old news,
//! and is not believed. But a quorum that was restored from a backup, or has lost its tail, counts anew, and so does a topic without
//! an id that was deleted and created again. Then all brokers name the lower epoch, for ever. Pure but for the time that it is given.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{BrokerId, TopicPartition};
use crate::metadata::ClusterMetadata;

/// What was named that is older than what is known.
#[derive(Debug, Default)]
pub(crate) struct Regressions(HashMap<TopicPartition, Regression>);

#[derive(Debug)]
struct Regression {
    since: Instant,
    named_by: BTreeSet<BrokerId>,
}

impl Regressions {
    /// Takes in what `broker` has answered. The partitions whose epoch went back for good: for a while no broker has named the known
    /// one, and two have named older ones, or the only one there is.
    pub(crate) fn take_in(
        &mut self,
        known: &ClusterMetadata,
        fresh: &ClusterMetadata,
        broker: BrokerId,
        now: Instant,
    ) -> Vec<TopicPartition> {
        let voices_min = fresh.brokers.len().clamp(1, VOICES);
        let mut accepted = Vec::new();
        for (partition, is_older) in known.compared_epochs(fresh) {
            if !is_older {
                if !self.0.is_empty() {
                    self.0.remove(&partition);
                }
                continue;
            }
            let seen = self.0.entry(partition.clone());
            let seen = seen.or_insert_with(|| Regression { since: now, named_by: BTreeSet::new() });
            seen.named_by.insert(broker);
            if seen.named_by.len() >= voices_min && now - seen.since >= OLD_NEWS_MAX {
                self.0.remove(&partition);
                accepted.push(partition);
            }
        }
        accepted
    }
}

const VOICES: usize = 2;
/// Old news does not last for so long where brokers hear of elections.
const OLD_NEWS_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;
    use crate::metadata::{Broker, PartitionMetadata, TopicMetadata};

    fn naming(epoch: i32) -> ClusterMetadata {
        let partition = PartitionMetadata {
            partition: 0,
            leader: Some(BrokerId(1)),
            leader_epoch: Some(epoch),
            leader_epoch_or_later: Some(epoch),
            replicas: vec![],
            in_sync: vec![],
            error: None,
        };
        let topic =
            TopicMetadata { id: TopicId::NONE, error: None, is_internal: false, partitions: vec![partition] };
        let broker = |id| (BrokerId(id), Broker::new(BrokerId(id), "host", 9092, None));
        ClusterMetadata {
            topics: [("a".into(), topic)].into(),
            brokers: [broker(1), broker(2)].into(),
            ..ClusterMetadata::default()
        }
    }

    #[test]
    fn an_older_epoch_is_believed_when_two_brokers_name_it_for_long() {
        let (known, now) = (naming(5), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let judged = |answers: &[(u64, i32, i32)]| {
            let mut seen = Regressions::default();
            let judged = answers.iter().map(|(seconds, broker, epoch)| {
                let accepted = seen.take_in(&known, &naming(*epoch), BrokerId(*broker), at(*seconds));
                !accepted.is_empty()
            });
            judged.collect::<Vec<_>>()
        };
        assert_eq!(judged(&[(0, 1, 3), (9, 2, 3), (10, 1, 3)]), [false, false, true]);
        assert_eq!(judged(&[(0, 1, 3), (20, 1, 3), (21, 2, 3)]), [false, false, true], "one may be cut off");
        assert_eq!(
            judged(&[(0, 1, 3), (9, 2, 5), (10, 1, 3), (19, 2, 5), (40, 1, 3)]),
            [false; 5],
            "one knows it"
        );
        assert_eq!(judged(&[(0, 1, 5), (20, 2, 5), (40, 1, 6)]), [false; 3], "nothing goes back");
    }
}
