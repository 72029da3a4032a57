//! What lies before the beginning of a copy whose head was filled: placeholders, and nothing else.

use tracing::{info, warn};

use super::reasons::foreign_writer;
use super::{Bounds, TakeOver};
use crate::ground::failure::TakeOverFailure;
use crate::logs::range;
use crate::state_topic::record::PartitionRecord;
use crate::takeover::seed;

impl TakeOver {
    /// What lies in a head that is being filled must be ours.
    pub(super) async fn check_fillers(&self, bounds: &Bounds) -> Result<(), TakeOverFailure> {
        let (start, end) = (bounds.target_start, bounds.target.high_watermark);
        if start == end {
            return Ok(());
        }
        let (tail, _) = self.tail(end - 1, end).await?;
        match tail.foreign {
            Some(foreign) => Err(TakeOverFailure::Park(foreign_writer(foreign.offset, foreign.producer_id))),
            None => Ok(()),
        }
    }

    /// Cuts the placeholders off once more where they are back: a broker that is killed forgets what DeleteRecords did in the last
    /// minute (`ReplicaManager.checkpointLogStartOffsets`). Where the target's log begins then, and whether they are still there since the
    /// topic is not known to be the flow's yet.
    pub(super) async fn cut_again(
        &self,
        record: &PartitionRecord,
        bounds: &Bounds,
    ) -> Result<(i64, bool), TakeOverFailure> {
        let start = bounds.target_start;
        let Some(beginning) = record.seeded_to().filter(|beginning| start < *beginning) else {
            return Ok((start, false));
        };
        if bounds.target.high_watermark < beginning
            || !self.are_placeholders(start).await?
            || !self.are_placeholders(beginning - 1).await?
        {
            return Ok((start, false));
        }
        if self.compaction_policy == Some("compact") {
            // DeleteRecords is refused there (`ReplicaManager.deleteRecordsOnLocalLog`), and another policy, be it for a moment, would let
            // retention have what is to be kept. The cleaner removes records without a key (`Cleaner.shouldRetainRecord`).
            warn!(partition = %self.target, start, beginning,
                "placeholders are back that were cut off; on a compacted topic they stay until its cleaner runs");
            return Ok((start, false));
        }
        if !self.may_cut {
            return Ok((start, true));
        }
        info!(partition = %self.target, start, beginning, "placeholders are back that were cut off: they are cut off again");
        seed::cut(&self.target_client, &self.target, beginning).await?;
        Ok((beginning, false))
    }

    /// Whether the batch at this offset of the target is one of placeholders.
    async fn are_placeholders(&self, offset: i64) -> Result<bool, TakeOverFailure> {
        let mut are_placeholders = false;
        range::batches(&self.target_client, &self.target, offset, offset + 1, |batch| {
            are_placeholders = batch.header().producer_id == self.ids.fillers;
            Ok(())
        })
        .await?;
        Ok(are_placeholders)
    }
}
