//! Settling whose a topic of the target is that was there before: it is recorded, and gets what the source's has.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, Isolation, OffsetSpec, TopicPartition, Topics};

use crate::flow::event::Settled;
use crate::flow::origins::Origins;
use crate::flow::recording;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::logs::ends;
use crate::logs::range::failure;
use crate::state_topic::store::StateStore;
use crate::state_topic::topic_record::TopicRecord;
use crate::topics::preserve::Unkept;
use crate::topics::{self, TopicPair};

/// What makes a topic the flow's.
pub(super) struct Settling {
    pub(super) flow: Flow,
    pub(super) source: Client,
    pub(super) target: Client,
    pub(super) source_topic: Arc<str>,
    pub(super) topic: Arc<str>,
    /// How many the source has.
    pub(super) partitions: i32,
    /// Whether the topic is recorded as the flow's: then other owners append to it, and so does this one.
    pub(super) is_recorded: bool,
    /// Partitions that were not taken over, and why: what they hold is not known.
    pub(super) unknown: Vec<(TopicPartition, ParkReason)>,
    /// Those that were, and where they ended on the target then.
    pub(super) taken: Vec<(TopicPartition, i64)>,
    pub(super) state: StateStore,
    pub(super) record: TopicRecord,
}

impl Settling {
    pub(super) async fn run(self) -> Result<Settled, TakeOverFailure> {
        let again = |error: Error| TakeOverFailure::Again(error.to_string());
        self.check_unknown().await?;
        let has = self.target_partitions();
        if !self.is_recorded {
            self.check_taken().await?;
            if has > self.partitions {
                self.check_surplus(has).await?;
            }
        }
        // Of one that is, a record may say more: that it is to be deleted.
        if !self.has_record().await? {
            let origins = Origins::read(&self.source, &self.flow.state_topic).await;
            let origins = origins.of(&self.source_topic, self.record.source.topic_id);
            let records = vec![(Arc::clone(&self.topic), TopicRecord { origins, ..self.record.clone() })];
            recording::record(&self.flow, &self.target, records).await.map_err(again)?;
        }
        let pair = [(Arc::clone(&self.source_topic), Arc::clone(&self.topic))];
        let unkept =
            topics::preserve::preserve(&self.flow, &self.source, &self.target, &pair).await.map_err(again)?;
        let parked = match unkept.into_values().next() {
            Some(Unkept::Failed(parked)) => return Err(TakeOverFailure::Again(parked.message)),
            unkept => unkept.map(Unkept::parked),
        };
        if has < self.partitions && self.flow.creates_topics {
            self.grow(has).await?;
        }
        let rules = topics::rules(&self.flow, &self.target, std::slice::from_ref(&self.topic))
            .await
            .map_err(again)?;
        let rules = rules
            .get(&self.topic)
            .copied()
            .ok_or_else(|| TakeOverFailure::Again("the target topic is not described".to_owned()))?;
        Ok(Settled { rules, partitions: self.target_partitions(), parked })
    }

    /// A partition that is parked and empty holds nothing of anybody's.
    async fn check_unknown(&self) -> Result<(), TakeOverFailure> {
        let partitions: Vec<_> = self.unknown.iter().map(|(partition, _)| partition.clone()).collect();
        let Some(found) = self.first_that_is_not_empty(&partitions).await? else { return Ok(()) };
        let reason =
            self.unknown.iter().find_map(|(partition, reason)| (*partition == found).then_some(*reason));
        let reason = reason.unwrap_or(ParkReason::TargetDiverged);
        let number = found.partition;
        let message = match self.is_recorded {
            true => format!(
                "nothing of the target's topic is changed while its partition {number} is parked ({reason}) and was not looked at since the \
                 flow has begun, and this partition waits for a change"
            ),
            false => format!(
                "whether the target's topic is this flow's is not known while its partition {number} is parked ({reason}): nothing is copied \
                 into it and nothing of it is changed"
            ),
        };
        Err(TakeOverFailure::Park(Parked::new(reason, message)))
    }

    /// While others were waited for, somebody may have written to those that were looked at: only another instance may that, which has
    /// recorded the topic before.
    async fn check_taken(&self) -> Result<(), TakeOverFailure> {
        let partitions: Vec<_> = self.taken.iter().map(|(partition, _)| partition.clone()).collect();
        let ends =
            ends::offsets(&self.target, &partitions, OffsetSpec::Latest, Isolation::ReadUncommitted).await;
        let ends = ends.map_err(|error| failure("describe the target", &error))?;
        if self.taken.iter().all(|(partition, end)| ends.get(partition) == Some(end)) {
            return Ok(());
        }
        match self.has_record().await? {
            true => Ok(()),
            false => Err(TakeOverFailure::Moved { position: -1, source_end: -1 }),
        }
    }

    async fn has_record(&self) -> Result<bool, TakeOverFailure> {
        let known = self.state.known().await.map_err(|error| TakeOverFailure::Again(error.to_string()))?;
        let TopicRecord { source, target_topic_id, .. } = &self.record;
        Ok(known.topics.get(&self.topic).is_some_and(|recorded| recorded.is_of(source, *target_topic_id)))
    }

    /// Partitions that the source does not have hold nothing of it.
    async fn check_surplus(&self, has: i32) -> Result<(), TakeOverFailure> {
        let surplus = self.partitions..has;
        let surplus: Vec<_> =
            surplus.map(|number| TopicPartition::new(Arc::clone(&self.topic), number)).collect();
        match self.first_that_is_not_empty(&surplus).await? {
            None => Ok(()),
            Some(partition) => Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target's topic has partitions that the source's has not, and number {} holds records: it is somebody else's, and \
                     nothing is copied into it",
                    partition.partition
                ),
            ))),
        }
    }

    async fn first_that_is_not_empty(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Option<TopicPartition>, TakeOverFailure> {
        let uncommitted = Isolation::ReadUncommitted;
        let read = async |spec| ends::offsets(&self.target, partitions, spec, uncommitted).await;
        let (starts, ends) = (read(OffsetSpec::Earliest).await, read(OffsetSpec::Latest).await);
        let (starts, ends) = starts
            .and_then(|starts| Ok((starts, ends?)))
            .map_err(|error| failure("describe the target", &error))?;
        Ok(partitions.iter().find(|partition| starts.get(partition) != ends.get(partition)).cloned())
    }

    async fn grow(&self, has: i32) -> Result<(), TakeOverFailure> {
        let pair = TopicPair {
            source: Arc::clone(&self.source_topic),
            target: Arc::clone(&self.topic),
            partitions: self.partitions,
            target_partitions: Some(has),
            replication_factor: 0,
        };
        let grown = topics::grow(&self.flow, &self.target, [&pair])
            .await
            .map_err(|error| TakeOverFailure::Again(error.to_string()))?;
        for _ in 0..GROWN_POLLS_MAX {
            let named = Topics::Named(vec![Arc::clone(&self.topic)]);
            let refreshed = self.target.refresh_metadata(named).await;
            refreshed.map_err(|error| failure("describe the target", &error))?;
            let metadata = self.target.metadata();
            let has_leaders = metadata
                .topic(&self.topic)
                .is_some_and(|topic| topic.partitions.iter().all(|partition| partition.leader.is_some()));
            if !grown || self.target_partitions() >= self.partitions && has_leaders {
                break;
            }
            tokio::time::sleep(GROWN_POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn target_partitions(&self) -> i32 {
        self.target.metadata().topic(&self.topic).map_or(0, topics::partition_count)
    }
}

const GROWN_POLLS_MAX: u32 = 200;
const GROWN_POLL_INTERVAL: Duration = Duration::from_millis(50);
