//! What a fetcher knows of one source partition, and what it makes of the broker's answers. Pure: no async, no clock.

use kmirror_client::{FetchedPartition, KafkaError, Retry};
use kmirror_codec::{Batch, Entry, GapReason, LegacyBatch, split};

use super::aborted::AbortedIndex;
use crate::config::Isolation;
use crate::park::{ParkReason, Parked};

/// The position in one source partition.
#[derive(Clone, Debug)]
pub(crate) struct FetchState {
    /// The next offset to ask for.
    pub(crate) position: i64,
    /// The epoch of the leader that is asked; an older or newer leader refuses (KIP-320).
    pub(crate) leader_epoch: Option<i32>,
    /// The epoch of the last batch read, by which the leader notices that our history is not its own (KIP-595, Fetch 12+).
    pub(crate) last_fetched_epoch: Option<i32>,
    isolation: Isolation,
}

/// One piece of the source's log, in offset order. Between two pieces there may be offsets that the cleaner removed.
#[derive(Clone, Debug)]
pub(crate) enum Sourced {
    /// A batch with records to copy. It may begin before the wanted offset and may have holes inside.
    Batch(Batch),
    /// A message of format 0 or 1.
    Legacy(LegacyBatch),
    /// Offsets that hold something which is not copied: `[first, end)`.
    Gap {
        /// The first offset.
        first: i64,
        /// The offset after the last.
        end: i64,
        /// A control batch, or aborted data.
        reason: GapReason,
    },
}

/// One answer of the broker, understood.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// What was read, in offset order.
    pub(crate) pieces: Vec<Sourced>,
    /// The first offset that may not be read yet: the last stable offset, or the high watermark for `read_uncommitted`.
    pub(crate) readable_end: i64,
    /// Whether the position has reached it.
    pub(crate) at_end: bool,
}

/// Why the fetcher cannot go on with a partition by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchFault {
    /// Another broker leads it, or this one is not ready: look at the metadata, then go on at the same position.
    LeaderUnknown(String),
    /// The broker does not hold the position. Which end was passed is for the log's bounds to say.
    OutOfRange,
    /// The topic has another id than before.
    Recreated,
    /// The broker answered with a passing error: wait a moment, then ask again.
    Passing(String),
    /// It needs an operator.
    Park(Parked),
}

impl std::fmt::Display for FetchFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FetchFault::LeaderUnknown(cause) | FetchFault::Passing(cause) => formatter.write_str(cause),
            FetchFault::OutOfRange => formatter.write_str("the log does not hold this offset"),
            FetchFault::Recreated => formatter.write_str("the topic was created again"),
            FetchFault::Park(parked) => parked.fmt(formatter),
        }
    }
}

impl FetchState {
    pub(crate) fn new(
        position: i64,
        leader_epoch: Option<i32>,
        last_fetched_epoch: Option<i32>,
        isolation: Isolation,
    ) -> FetchState {
        FetchState { position, leader_epoch, last_fetched_epoch, isolation }
    }

    /// Takes in the answer for this partition and moves the position past everything in it.
    pub(crate) fn on_fetched(&mut self, fetched: FetchedPartition) -> Result<Fetched, FetchFault> {
        if let Some(error) = fetched.error {
            return Err(self.fault_of(error));
        }
        if let Some(diverging) = &fetched.diverging_epoch {
            // The leader's history after this epoch is not the one that we read (`Partition.readRecords`, KIP-595).
            return Err(FetchFault::Park(Parked::new(
                ParkReason::SourceTruncated,
                format!(
                    "the source's log differs from what was read: its epoch {} ends at offset {}, and offsets up to {} were read \
                     (an unclean leader election lost or replaced records)",
                    diverging.epoch, diverging.end_offset, self.position
                ),
            )));
        }
        let readable_end = match self.isolation {
            Isolation::ReadCommitted => fetched.last_stable_offset,
            Isolation::ReadUncommitted => fetched.high_watermark,
        };
        let pieces = self.read(fetched).map_err(FetchFault::Park)?;
        Ok(Fetched { pieces, readable_end, at_end: self.position >= readable_end })
    }

    /// Accounts for offsets up to `end` that hold no batch at all.
    pub(crate) fn skip_bare_hole(&mut self, end: i64) {
        self.position = self.position.max(end);
    }

    fn read(&mut self, fetched: FetchedPartition) -> Result<Vec<Sourced>, Parked> {
        let mut aborted = AbortedIndex::new(match self.isolation {
            Isolation::ReadCommitted => fetched.aborted,
            Isolation::ReadUncommitted => Vec::new(),
        });
        let mut pieces = Vec::new();
        for entry in split(fetched.records, self.position) {
            let entry = entry.map_err(|error| self.corrupt(&error))?;
            match entry {
                Entry::Batch(batch) => {
                    let header = *batch.header();
                    let is_aborted = aborted.is_aborted(&batch).map_err(|error| self.corrupt(&error))?;
                    self.position = header.next_offset();
                    self.last_fetched_epoch = Some(header.partition_leader_epoch).filter(|epoch| *epoch >= 0);
                    pieces.push(match gap_reason(&batch, is_aborted) {
                        Some(reason) => {
                            Sourced::Gap { first: header.base_offset, end: header.next_offset(), reason }
                        }
                        None => Sourced::Batch(batch),
                    });
                }
                Entry::Legacy(batch) => {
                    self.position = batch.last_offset().saturating_add(1);
                    pieces.push(Sourced::Legacy(batch));
                }
            }
        }
        Ok(pieces)
    }

    fn fault_of(&self, error: KafkaError) -> FetchFault {
        match error {
            KafkaError::OFFSET_OUT_OF_RANGE => FetchFault::OutOfRange,
            KafkaError::INCONSISTENT_TOPIC_ID | KafkaError::UNKNOWN_TOPIC_ID => FetchFault::Recreated,
            error if error.is_authorization() => FetchFault::Park(Parked::new(
                ParkReason::Unauthorized,
                format!("the source refuses to read: {error}; kmirror needs READ on the topic"),
            )),
            error => match error.retry() {
                Retry::RefreshMetadata => FetchFault::LeaderUnknown(error.to_string()),
                Retry::Backoff | Retry::Reconnect => FetchFault::Passing(error.to_string()),
                Retry::Never => FetchFault::Park(Parked::new(
                    ParkReason::CorruptBatch,
                    format!("the source answers {error}"),
                )),
            },
        }
    }

    fn corrupt(&self, error: &kmirror_codec::BatchError) -> Parked {
        Parked::new(
            ParkReason::CorruptBatch,
            format!(
                "the source sent a batch at or after offset {} that cannot be read: {error}",
                self.position
            ),
        )
    }
}

/// Why a batch is not copied, if it is not. An empty batch (kept by the cleaner for its producer's sake, KIP-98) is no gap
/// of its own: its offsets belong to the hole before the next surviving record.
fn gap_reason(batch: &Batch, is_aborted: bool) -> Option<GapReason> {
    if batch.header().attributes.is_control() {
        Some(GapReason::Control)
    } else if is_aborted {
        Some(GapReason::Aborted)
    } else {
        None
    }
}
