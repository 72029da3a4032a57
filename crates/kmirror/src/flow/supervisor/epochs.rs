//! The source's leader epochs: by them it is told later whether a source that lost its end, or all that was copied, is the one that was
//! copied. One that is not recorded vouches for nothing, so each is recorded before anything of it is appended.

use std::time::Duration;

use kmirror_client::TopicPartition;
use tracing::warn;

use super::Supervisor;
use crate::data::read::fetcher::FetcherEvent;
use crate::flow::event::{FlowEvent, NotRecorded};
use crate::ground::epoch_start::EpochStart;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::status::PartitionState;
use crate::state_topic::record::{PartitionRecord, RecordError};
use crate::state_topic::store::{Recorded, StateStore};
use crate::state_topic::topic::StateError;

impl Supervisor {
    pub(super) fn on_epochs_began(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        epochs: Vec<EpochStart>,
    ) {
        self.record_epochs(key, generation, epochs, Duration::ZERO);
    }

    fn record_epochs(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        epochs: Vec<EpochStart>,
        pause: Duration,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        let Some(record) = entry.record.clone() else { return };
        let (state, target) = (self.state.clone(), entry.target.clone());
        self.errand(async move {
            tokio::time::sleep(pause).await;
            let recorded = recorded(&state, &target, record, &epochs).await;
            let recorded = recorded.map(Box::new).map_err(|cause| NotRecorded { epochs, cause });
            FlowEvent::EpochsRecorded { key, generation, recorded }
        });
    }

    pub(super) async fn on_epochs_recorded(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        recorded: Result<Box<PartitionRecord>, NotRecorded>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        if entry.gauge.is_parked() {
            return;
        }
        match recorded {
            Ok(record) => {
                entry.record = Some(*record);
                let state = entry.state_of_copying();
                entry.gauge.set_state(state);
                if let Some(fetcher) = entry.fetched_from.and_then(|pipe| self.fetchers.get(&pipe)) {
                    let _ = fetcher.send(FetcherEvent::Recorded { key, generation }).await;
                }
            }
            Err(NotRecorded { epochs, cause }) => {
                warn!(partition = %entry.target, cause, "the source's leader epochs could not be recorded: what was read waits");
                let cause = format!("the source's leader epochs could not be recorded: {cause}");
                entry.gauge.set_state(PartitionState::Waiting(cause));
                self.record_epochs(key, generation, epochs, RETRY_PAUSE);
            }
        }
    }
}

/// Adds leader epochs to what is recorded of a partition. `known`: what that was when it was read last; where another instance has
/// recorded something since, that stays, and they are added to it.
async fn recorded(
    state: &StateStore,
    target: &TopicPartition,
    known: PartitionRecord,
    epochs: &[EpochStart],
) -> Result<PartitionRecord, String> {
    let (mut before, mut record) = (Recorded::Record(Box::new(known.clone())), known);
    for _ in 0..CHANGES_MAX {
        epochs.iter().for_each(|epoch| record.add_epoch(*epoch));
        match state.put(target, before, record.clone()).await {
            Ok(()) => return Ok(record),
            Err(StateError::Changed) => {
                before = state.get(target, true).await.map_err(|error| error.to_string())?;
                match &before {
                    Recorded::Record(newest) => record = (**newest).clone(),
                    // It knows more.
                    Recorded::Unreadable(error @ RecordError::Newer(_)) => return Err(error.to_string()),
                    // The topic was lost, or damaged: what is known is recorded again.
                    Recorded::Unreadable(RecordError::Damaged(_)) | Recorded::Nothing => {}
                }
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(StateError::Changed.to_string())
}

/// How often another instance may come first before it is told.
const CHANGES_MAX: u32 = 10;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use kmirror_client::{Client, ClientConfig, TopicId};
    use kmirror_embedded::{Codec, EmbeddedCluster};

    use super::*;
    use crate::ground::lineage::Lineage;
    use crate::state_topic::record::{LostRange, SourceIdentity};

    #[tokio::test]
    async fn epochs_are_added_to_what_another_instance_has_recorded() {
        let cluster = EmbeddedCluster::builder().start().await.expect("starts");
        let open = async || {
            let client = Client::connect(ClientConfig::new("west", [cluster.bootstrap_servers()])).await;
            StateStore::open(&client.expect("connects"), "west", "__state", 1).await.expect("opens")
        };
        let (ours, theirs) = (open().await, open().await);
        let target = TopicPartition::new("orders", 0);
        let mut record = PartitionRecord {
            source: SourceIdentity {
                cluster_id: "east".to_owned(),
                topic: "orders".to_owned(),
                topic_id: TopicId::NONE,
            },
            target_topic_id: TopicId::NONE,
            lineage: Lineage::beginning_at(0, 0),
            leader_epochs: Vec::new(),
            lost: Vec::new(),
            earlier: Vec::new(),
            cleanup_policy_after_seeding: None,
        };
        ours.put(&target, Recorded::Nothing, record.clone()).await.expect("recorded");
        let known = record.clone();
        let before = theirs.get(&target, true).await.expect("read");
        record.add_lost(LostRange { first: 3, end: 5 });
        theirs.put(&target, before, record.clone()).await.expect("recorded");
        // Each is kept, whatever was known when it began.
        for (epoch, start_offset) in [(4, 0), (7, 9)] {
            let epoch = EpochStart { epoch, start_offset };
            record.add_epoch(epoch);
            let recorded = recorded(&ours, &target, known.clone(), &[epoch]).await;
            assert_eq!(recorded.as_ref(), Ok(&record));
            let there = theirs.get(&target, true).await.expect("read");
            assert_eq!(there, Recorded::Record(Box::new(record.clone())));
        }
        let newer: (&[u8], &[u8]) = (b"partition/orders/0", br#"{"version":99}"#);
        cluster.write("__state", 0, Codec::None, &[(Some(newer.0), Some(newer.1))]).expect("written");
        assert!(matches!(ours.get(&target, true).await, Ok(Recorded::Unreadable(_))));
        let epoch = EpochStart { epoch: 9, start_offset: 12 };
        let refused = super::recorded(&ours, &target, record, &[epoch]).await;
        assert!(refused.is_err_and(|cause| cause.contains("newer release")));
        assert!(matches!(theirs.get(&target, true).await, Ok(Recorded::Unreadable(_))), "it stays");
    }
}
