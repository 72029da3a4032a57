//! What fills holes where the target takes no control markers from kmirror: empty transactions. A transaction that ends without
//! records leaves one marker in each of its partitions, and needs no permission on the cluster
//! (`TransactionCoordinator.handleAddPartitionsToTransaction` keeps partitions whether or not anything is appended to them).
//!
//! Each partition has transactional ids of its own. Whoever takes them over fences the previous owner, and whatever that one
//! had begun is in the log when they are his (InitProducerId), so they do what the token of a marker does. That comes before
//! the log end is looked at for the first hole.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{
    BrokerId, Client, ClientError, Deadline, Moment, ProducerIdentity, TopicPartition, TxnMarker,
};
use tokio::task::JoinSet;

use super::cause::TakeOverCause;
use super::refusal::{self, ID_PREFIX};
use super::state::Refusal;
use crate::ground::partition::{Generation, KeyMap, PartitionKey};

/// How the holes of a target's logs are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FillBy {
    /// Control markers (WriteTxnMarkers).
    Markers,
    /// Empty transactions, one for each offset.
    Transactions,
}

/// Asks whether the target takes control markers, by one for a partition that cannot exist.
///
/// The permission is looked at first (`KafkaApis.handleWriteTxnMarkersRequest`), so a broker that misses the partition would
/// have taken the marker.
///
/// # Errors
/// Those of any call.
pub(crate) async fn probe(
    client: &Client,
    broker: BrokerId,
    producer_id: i64,
) -> Result<FillBy, ClientError> {
    let marker = TxnMarker {
        producer_id,
        producer_epoch: 0,
        commit: false,
        coordinator_epoch: 0,
        partitions: vec![TopicPartition::new(NOWHERE, 0)],
    };
    // Nothing comes of it: it may be sent whenever that is.
    let deadline = Deadline::new(Moment::now(), Duration::MAX);
    let refused = match client.write_txn_markers(broker, 0, &[marker], deadline).await {
        Ok(answers) => answers.into_iter().flatten().find_map(|(_, written)| written.err()),
        Err(error) => Some(error),
    };
    match refused {
        Some(ClientError::Unsupported { .. }) => Ok(FillBy::Transactions),
        Some(error) if error.is_authorization() => Ok(FillBy::Transactions),
        Some(error) if error.kafka_error().is_none() => Err(error),
        // Whatever else a broker says of it, it says it of a marker that it would take.
        Some(_) | None => Ok(FillBy::Markers),
    }
}

/// The answer to one demand of a hole.
#[derive(Debug)]
pub(crate) enum Filled {
    /// High watermark and log end.
    Ends { key: PartitionKey, generation: Generation, ends: Result<(i64, i64), Refusal> },
    /// Offsets were filled.
    Written { key: PartitionKey, generation: Generation, count: u32, written: Result<(), Refusal> },
}

/// Fills the holes of many partitions by transactions, each in a task of its own: they take their time.
#[derive(Debug, Default)]
pub(crate) struct TransactionFiller {
    tasks: JoinSet<(Filled, Option<Arc<TransactionalIds>>)>,
    /// The ids of each partition that were taken over in a generation.
    owned: KeyMap<(Generation, Arc<TransactionalIds>)>,
}

impl TransactionFiller {
    /// Reads the log end of a partition. The ids are taken over before, where they are not this generation's yet: what an
    /// earlier owner had begun is then below the log end.
    pub(crate) fn look(
        &mut self,
        (key, generation): (PartitionKey, Generation),
        client: Client,
        flow_id: i64,
        target: TopicPartition,
    ) {
        let known = self.owned(key, generation);
        self.tasks.spawn(async move {
            let ids = match known {
                Some(ids) => Ok(ids),
                None => {
                    TransactionalIds::take_over(client.clone(), flow_id, target.clone()).await.map(Arc::new)
                }
            };
            let (ends, ids) = match ids {
                Ok(ids) => (read_ends(&client, &target).await, Some(ids)),
                Err(error) => (Err(refusal::of_transactions(&error)), None),
            };
            (Filled::Ends { key, generation, ends }, ids)
        });
    }

    /// Fills `count` offsets at the end of a partition's log.
    pub(crate) fn fill(&mut self, key: PartitionKey, generation: Generation, count: u32) {
        let ids = self.owned(key, generation);
        self.tasks.spawn(async move {
            let written = match ids {
                Some(ids) => ids.fill(count).await,
                None => Err(lost("the transactional ids are not ours yet")),
            };
            (Filled::Written { key, generation, count, written }, None)
        });
    }

    /// The next answer; `None` where nothing is on the way.
    pub(crate) async fn next(&mut self) -> Option<Filled> {
        loop {
            match self.tasks.join_next().await? {
                Ok((filled, ids)) => {
                    if let (Filled::Ends { key, generation, .. }, Some(ids)) = (&filled, ids)
                        && self.owned.get(key).is_none_or(|(owned, _)| owned <= generation)
                    {
                        self.owned.insert(*key, (*generation, ids));
                    }
                    return Some(filled);
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
    }

    /// The partition is not appended to any more.
    pub(crate) fn forget(&mut self, key: PartitionKey) {
        self.owned.remove(&key);
    }

    fn owned(&self, key: PartitionKey, generation: Generation) -> Option<Arc<TransactionalIds>> {
        self.owned.get(&key).filter(|(owned, _)| *owned == generation).map(|(_, ids)| Arc::clone(ids))
    }
}

/// The transactional ids of one partition, taken over.
#[derive(Debug)]
struct TransactionalIds {
    client: Client,
    target: TopicPartition,
    ids: Vec<(Arc<str>, ProducerIdentity)>,
}

impl TransactionalIds {
    async fn take_over(client: Client, flow_id: i64, target: TopicPartition) -> Result<Self, ClientError> {
        let mut taking = JoinSet::new();
        for number in 0..IDS_PER_PARTITION {
            let id: Arc<str> = format!("{ID_PREFIX}{flow_id:x}-{target}-{number}").into();
            let client = client.clone();
            taking.spawn(async move {
                let producer = client.init_transactions(&id, TRANSACTION_TIMEOUT, CALL_TIMEOUT).await?;
                Ok((id, producer))
            });
        }
        let taken = taking.join_all().await.into_iter().collect::<Result<Vec<_>, ClientError>>();
        taken.map(|ids| TransactionalIds { client, target, ids })
    }

    /// Runs `count` transactions, divided among the ids, and waits until all their markers are in the log: a transaction's end
    /// is answered before they are.
    async fn fill(&self, count: u32) -> Result<(), Refusal> {
        let (_, before) = read_ends(&self.client, &self.target).await?;
        let mut running = JoinSet::new();
        for (number, (id, producer)) in (0u32..).zip(&self.ids) {
            let share = (count + IDS_PER_PARTITION - 1 - number) / IDS_PER_PARTITION;
            let (client, id, producer) = (self.client.clone(), Arc::clone(id), *producer);
            let partition = self.target.clone();
            running.spawn(async move {
                for _ in 0..share {
                    run_empty(&client, &id, producer, &partition).await?;
                }
                Ok(())
            });
        }
        let ran: Result<Vec<()>, ClientError> = running.join_all().await.into_iter().collect();
        ran.map_err(|error| refusal::of_transactions(&error))?;
        self.wait_for_end(before + i64::from(count)).await
    }

    async fn wait_for_end(&self, expected: i64) -> Result<(), Refusal> {
        let mut waited = Duration::ZERO;
        loop {
            let (_, log_end) = read_ends(&self.client, &self.target).await?;
            if log_end >= expected {
                return Ok(());
            }
            if waited >= MARKER_PATIENCE {
                return Err(lost("the markers of the transactions do not come"));
            }
            tokio::time::sleep(MARKER_INTERVAL).await;
            waited += MARKER_INTERVAL;
        }
    }
}

/// One transaction without records: one marker.
async fn run_empty(
    client: &Client,
    id: &str,
    producer: ProducerIdentity,
    partition: &TopicPartition,
) -> Result<(), ClientError> {
    let partition = std::slice::from_ref(partition);
    let added = client.add_partitions_to_txn(id, producer, partition, CALL_TIMEOUT).await?;
    added.into_iter().try_for_each(|(_, result)| result)?;
    client.end_txn(id, producer, false, CALL_TIMEOUT).await
}

async fn read_ends(client: &Client, target: &TopicPartition) -> Result<(i64, i64), Refusal> {
    let mut ends = crate::logs::ends::read(client, std::slice::from_ref(target)).await;
    let ends = ends.remove(target).unwrap_or_else(|| Err("no answer".to_owned()));
    let ends = ends.map_err(|cause| Refusal::TakeOver(TakeOverCause::LeaderUnknown(cause)))?;
    Ok((ends.high_watermark, ends.log_end))
}

fn lost(cause: &str) -> Refusal {
    Refusal::TakeOver(TakeOverCause::AnswerLost(cause.to_owned()))
}

/// A topic cannot have this name (`Topic.LEGAL_CHARS`).
const NOWHERE: &str = "kmirror asks";
/// A transaction takes several milliseconds and one id has one at a time.
const IDS_PER_PARTITION: u32 = 4;
/// A transaction is ended at once; one that is not is finished by the next owner, or by the coordinator after this time.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const MARKER_PATIENCE: Duration = Duration::from_secs(20);
const MARKER_INTERVAL: Duration = Duration::from_millis(3);

#[cfg(test)]
mod tests {
    use kmirror_client::{ClientConfig, Topics};
    use kmirror_embedded::EmbeddedCluster;

    use super::*;

    /// What an earlier owner has begun ends when its ids are taken over, and takes an offset: an end that was read before would be too low,
    /// and the hole too long.
    #[tokio::test]
    async fn what_an_earlier_owner_had_begun_is_below_the_log_end_that_is_read() {
        let cluster = EmbeddedCluster::builder().start().await.expect("starts");
        cluster.create_topic("orders", 1, &[]).expect("created");
        let config = ClientConfig::new("west", [cluster.bootstrap_servers()]);
        let client = Client::connect(config).await.expect("connects");
        client.refresh_metadata(Topics::Named(vec!["orders".into()])).await.expect("read");
        let target = TopicPartition::new("orders", 0);
        let earlier =
            TransactionalIds::take_over(client.clone(), 7, target.clone()).await.expect("taken over");
        let (id, producer) = earlier.ids.first().expect("has ids");
        let partitions = std::slice::from_ref(&target);
        client.add_partitions_to_txn(id, *producer, partitions, CALL_TIMEOUT).await.expect("begun");
        let mut filler = TransactionFiller::default();
        filler.look((PartitionKey(0), 1), client, 7, target);
        let Some(Filled::Ends { ends, .. }) = filler.next().await else { panic!("asked for the ends") };
        assert_eq!(ends, Ok((1, 1)), "the marker of the aborted transaction");
    }
}
