//! Topics that store nothing, to see a client alone: what costs a broker most is left out.

use crate::cluster::{EmbeddedCluster, EmbeddedError};
use crate::log::PartitionLog;
use crate::log::canned::{Canned, CannedBatches, Taken};

impl EmbeddedCluster {
    /// Creates a topic of which each partition holds so many batches: these, repeated. What a whole copy of it has taken.
    ///
    /// # Errors
    /// [`EmbeddedError::Refused`], as CreateTopics would.
    pub fn create_canned_topic(
        &self,
        name: &str,
        partitions: usize,
        batches: &CannedBatches,
        count: u64,
    ) -> Result<Taken, EmbeddedError> {
        let whole = batches.first(count);
        let end = i64::try_from(whole.records).unwrap_or(i64::MAX);
        let log = PartitionLog::canned(Canned::Repeats(batches.clone()), end);
        self.shared.lock().canned.insert(name.to_owned(), log);
        self.create_topic(name, partitions, &[])?;
        let mut sum = Taken::default();
        (0..partitions).for_each(|_| sum.add(&whole));
        Ok(sum)
    }

    /// A topic of this name, once somebody creates it, takes only what is in these batches, repeated, from offset 0 on, and stores
    /// nothing of it. Headers, checksums, sequences and contents are judged; limits of timestamps and keys of compacted topics are not.
    pub fn expect_canned_topic(&self, name: &str, batches: &CannedBatches) {
        let log = PartitionLog::canned(Canned::Compares(batches.clone(), Taken::default()), 0);
        self.shared.lock().canned.insert(name.to_owned(), log);
    }

    /// What such a topic has taken so far; nothing where there is none.
    pub fn taken(&self, topic: &str) -> Taken {
        let mut sum = Taken::default();
        let state = self.shared.lock();
        for partition in state.topics.get(topic).map_or(&[][..], |topic| &topic.partitions) {
            if let Some(Canned::Compares(_, taken)) = &partition.log.canned {
                sum.add(taken);
            }
        }
        sum
    }
}
