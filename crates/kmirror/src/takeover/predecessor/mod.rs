//! What copied a flow's topics before kmirror did, and where it stood in each partition. What it has written since it last said so is
//! for the logs to tell ([`place`]).

mod connect;
pub(crate) mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use kmirror_client::{Client, ClientError, KafkaError, OffsetSpec, TopicPartition, Topics};
use tracing::{debug, info, warn};

use self::connect::SourceOffsets;
use crate::ground::config::{Flow, Isolation, Predecessor};
use crate::ground::error::Error;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::logs::ends;
use crate::logs::range::{RangeReader, decoded};

/// Where the predecessor stood, by partitions of the source.
#[derive(Clone, Debug, Default)]
pub(crate) enum Positions {
    /// There is none.
    #[default]
    Nothing,
    /// MirrorMaker 2: the last source offset that it knew to be copied.
    MirrorMaker2(BTreeMap<TopicPartition, i64>),
    /// A consumer group: the next source offset to be copied.
    Group(BTreeMap<TopicPartition, i64>),
}

/// Where the predecessor stood in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stood {
    /// Everything up to this source offset is on the target; more may be. `None`: it has not said anything of this partition.
    AtLeastAt(Option<i64>),
    /// Everything before this source offset is on the target, and nothing else.
    Before(i64),
}

impl Positions {
    /// Reads where the flow's predecessor stood.
    ///
    /// # Errors
    /// Where that cannot be read: then nothing may be copied, for it would be copied twice.
    pub(crate) async fn read(flow: &Flow, source: &Client, target: &Client) -> Result<Positions, Error> {
        match &flow.predecessor {
            Predecessor::Nothing => Ok(Positions::Nothing),
            Predecessor::MirrorMaker2 { offsets_topic, source_alias } => {
                let alias = source_alias.as_ref().unwrap_or(&flow.source);
                let topic = offsets_topic.clone().unwrap_or_else(|| format!("mm2-offsets.{alias}.internal"));
                let offsets =
                    patiently(target, &topic, alias).await.map_err(|reason| reason.on(flow, &topic))?;
                let (flow, partitions) = (flow.name(), offsets.len());
                match partitions {
                    // Killed before it said anything, or it is another topic: then the logs have to tell.
                    0 => warn!(flow, topic, alias, "MirrorMaker 2 has left no positions here"),
                    _ => info!(flow, topic, alias, partitions, "MirrorMaker 2's positions"),
                }
                Ok(Positions::MirrorMaker2(offsets))
            }
            Predecessor::Group(group) => {
                let committed = source.all_committed_offsets(group, TIMEOUT).await;
                let committed = committed.map_err(|error| Unread::Call(error).on(flow, group))?;
                if committed.is_empty() {
                    warn!(flow = flow.name(), group, "the group has committed nothing on the source");
                }
                let next = committed.into_iter().filter(|(_, committed)| committed.offset >= 0);
                Ok(Positions::Group(
                    next.map(|(partition, committed)| (partition, committed.offset)).collect(),
                ))
            }
        }
    }

    /// Where it stood in this partition of the source.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Option<Stood> {
        match self {
            Positions::Nothing => None,
            Positions::MirrorMaker2(offsets) => Some(Stood::AtLeastAt(offsets.get(partition).copied())),
            Positions::Group(next) => next.get(partition).map(|next| Stood::Before(*next)),
        }
    }
}

/// A leader that has just moved does not answer at once.
async fn patiently(
    target: &Client,
    topic: &str,
    alias: &str,
) -> Result<BTreeMap<TopicPartition, i64>, Unread> {
    for _ in 0..RETRIES_MAX {
        match connect_offsets(target, topic, alias).await {
            Err(Unread::Log(TakeOverFailure::Again(cause))) => debug!(topic, cause, "positions not read"),
            read => return read,
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    connect_offsets(target, topic, alias).await
}

/// Reads the topic in which Kafka Connect keeps the positions of its sources. Nothing where there is no such topic.
async fn connect_offsets(
    target: &Client,
    topic: &str,
    alias: &str,
) -> Result<BTreeMap<TopicPartition, i64>, Unread> {
    let metadata = target.refresh_metadata(Topics::Named(vec![topic.into()])).await?;
    let Some(found) = metadata.topic(topic) else { return Ok(BTreeMap::new()) };
    match found.error {
        None => {}
        Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION) => return Ok(BTreeMap::new()),
        Some(error) if error.is_authorization() => {
            let message = format!("{error}; kmirror needs READ and DESCRIBE on the topic");
            return Err(TakeOverFailure::Park(Parked::new(ParkReason::Unauthorized, message)).into());
        }
        Some(error) => return Err(TakeOverFailure::Again(error.to_string()).into()),
    }
    let partitions = found.partitions.iter().map(|found| TopicPartition::new(topic, found.partition));
    let partitions: Vec<_> = partitions.collect();
    // With `exactly.once.source.support` positions are written in the transactions of the data.
    let committed = Isolation::ReadCommitted;
    let starts = ends::offsets(target, &partitions, OffsetSpec::Earliest, committed.for_client()).await?;
    let ends = ends::offsets(target, &partitions, OffsetSpec::Latest, committed.for_client()).await?;
    let mut offsets = SourceOffsets::of(alias);
    for partition in &partitions {
        let of = |offsets: &BTreeMap<_, i64>| offsets.get(partition).copied();
        let (Some(start), Some(end)) = (of(&starts), of(&ends)) else {
            return Err(TakeOverFailure::Again(format!("no offset for {partition}")).into());
        };
        let mut reader = RangeReader::new(target, partition, committed, start);
        while reader.position() < end {
            let fetched = reader.next_before(end).await?;
            for record in decoded(fetched.pieces, [start, end]).map_err(TakeOverFailure::Park)? {
                offsets.take_in(record.key.as_deref(), record.value.as_deref());
            }
        }
    }
    Ok(offsets.into_positions())
}

/// Why positions could not be read.
enum Unread {
    Call(ClientError),
    Log(TakeOverFailure),
}

impl Unread {
    fn on(self, flow: &Flow, what: &str) -> Error {
        let (reason, unauthorized) = match self {
            Unread::Call(error) => (error.to_string(), error.is_authorization()),
            Unread::Log(TakeOverFailure::Park(parked)) => {
                (parked.message, parked.reason == ParkReason::Unauthorized)
            }
            Unread::Log(TakeOverFailure::Again(cause)) => (cause, false),
            Unread::Log(TakeOverFailure::Moved { .. }) => ("it moved while it was read".to_owned(), false),
        };
        Error::Predecessor { flow: flow.name(), what: what.to_owned(), reason, unauthorized }
    }
}

impl From<ClientError> for Unread {
    fn from(error: ClientError) -> Unread {
        Unread::Call(error)
    }
}

impl From<TakeOverFailure> for Unread {
    fn from(failure: TakeOverFailure) -> Unread {
        Unread::Log(failure)
    }
}

const RETRIES_MAX: u32 = 50;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(10);
