//! What a transaction coordinator does by itself: it writes the markers of transactions that have ended
//! (`TransactionMarkerChannelManager`), and aborts those that take too long. Markers go to the leader of their partition wherever
//! it is, also to one that stands still.

use crate::coordinator::transactions::DueMarker;
use crate::log::Origin;
use crate::state::State;

/// What became of a marker.
enum Marked {
    /// It is in the log, or nobody will ever want it.
    Done,
    /// It is in the log up to here, and not replicated yet.
    Written(i64),
    /// The partition has no leader now.
    Later,
}

impl State {
    /// Lets happen what is due by the clock, or by replicas that have caught up. Cheap where no transaction is open.
    pub(crate) fn pass_time(&mut self) {
        let now_ms = self.now_ms();
        self.expire_producers(now_ms);
        if self.transactions.is_at_rest() {
            return;
        }
        self.transactions.abort_timed_out(&mut self.producer_ids, now_ms);
        self.write_markers();
    }

    /// Writes the markers that are due.
    pub(crate) fn write_markers(&mut self) {
        let now_ms = self.now_ms();
        for marker in self.transactions.due_markers() {
            match self.write_marker(&marker, now_ms) {
                Marked::Done => self.transactions.marked(&marker, now_ms),
                Marked::Written(to) => self.transactions.written(&marker, to),
                Marked::Later => {}
            }
        }
    }

    fn write_marker(&mut self, marker: &DueMarker, now_ms: i64) -> Marked {
        let (topic, number) = &marker.partition;
        if topic == OFFSETS_TOPIC {
            self.groups.end_transaction(marker.producer, marker.commit);
            return Marked::Done;
        }
        let coordinator_epoch = self.placement.epoch(&marker.transactional_id);
        let partitions = self.topics.get_mut(topic).map(|topic| &mut topic.partitions);
        let index = usize::try_from(*number).ok();
        let Some(partition) = partitions.zip(index).and_then(|(partitions, index)| partitions.get_mut(index))
        else {
            return Marked::Done;
        };
        // What another leader does not have is written again.
        let written = marker.written_to.filter(|to| *to <= partition.log.end());
        let written_to = match written {
            Some(to) => to,
            None if partition.leader.is_none() => return Marked::Later,
            None => {
                let origin = Origin { version: 0, leader_epoch: partition.leader_epoch, now_ms };
                let appended = partition.log.append_marker(
                    marker.producer.id,
                    marker.producer.epoch,
                    marker.commit,
                    coordinator_epoch,
                    origin,
                );
                // Somebody else has written later ones in this producer's name.
                let Ok(appended) = appended else { return Marked::Done };
                partition.replicate();
                appended.next_offset
            }
        };
        if partition.log.high_watermark() >= written_to { Marked::Done } else { Marked::Written(written_to) }
    }
}

/// `Topic.GROUP_METADATA_TOPIC_NAME`. There is no such topic here, but transactions name its partitions.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
