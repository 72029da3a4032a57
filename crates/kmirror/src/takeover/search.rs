//! Going on behind what a predecessor has copied. It said where it stood, and has often written more since: so the target's last
//! records are looked for on the source, from there on.

use kmirror_client::OffsetSpec;
use tracing::info;

use crate::ground::config::Isolation;
use crate::ground::failure::TakeOverFailure;
use crate::ground::lineage::Lineage;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::work;
use crate::logs::ends;
use crate::logs::owned_record::OwnedRecord;
use crate::logs::range::{RangeReader, decoded, failure, source_range};
use crate::state_topic::record::PartitionRecord;
use crate::takeover::judge::{SourceBounds, expired};
use crate::takeover::predecessor::Stood;
use crate::takeover::predecessor::place::{Place, Search};
use crate::takeover::{Bounds, TakeOver, TakenOver};

impl TakeOver {
    /// Begins behind the predecessor's last record. `record` begins where it said that it stood.
    pub(in crate::takeover) async fn continue_after(
        &self,
        mut record: PartitionRecord,
        stood: Stood,
        bounds: &Bounds,
    ) -> Result<TakenOver, TakeOverFailure> {
        let end = bounds.target.high_watermark;
        self.check_at_rest(end).await?;
        let next = match stood {
            Stood::Before(next) => next,
            Stood::AtLeastAt(last) => self.next_behind(last, &record, bounds).await?,
        };
        info!(partition = %self.target, said = record.lineage.first().source, source_offset = next, target_offset = end,
            "going on behind what was copied before");
        record.lineage = Lineage::beginning_at(next, end).continuing();
        let policy = self.policies.on_expired;
        let expired =
            expired(&mut record, next, bounds.source.log_start, policy).map_err(TakeOverFailure::Park)?;
        let taken = self.begin_behind(record, bounds).await?;
        let forgotten = self.forgotten(next, bounds).await?;
        Ok(TakenOver { expired, begins: false, forgotten, ..taken })
    }

    /// A transaction of the predecessor that was not ended may still be aborted, and then what it wrote is not there.
    async fn check_at_rest(&self, end: i64) -> Result<(), TakeOverFailure> {
        let isolation = kmirror_client::Isolation::ReadCommitted;
        let stable = ends::offset(&self.target_client, &self.target, OffsetSpec::Latest, isolation).await;
        let stable = stable.map_err(|error| failure("describe the target", &error))?;
        if stable < end {
            return Err(TakeOverFailure::Again(format!(
                "a transaction that began at target offset {stable} has not ended: it is waited for"
            )));
        }
        Ok(())
    }

    /// The source offset after the predecessor's last record. `last`: the one that it said was copied.
    async fn next_behind(
        &self,
        last: Option<i64>,
        record: &PartitionRecord,
        bounds: &Bounds,
    ) -> Result<i64, TakeOverFailure> {
        let said = record.lineage.first().source;
        let window = self.window(bounds).await?;
        if window.is_empty() {
            return match last {
                // Its records have expired on the target, and cannot be doubled there.
                Some(_) => Ok(said),
                None => Err(unexplained(bounds, "nothing says how far the copy has come")),
            };
        }
        let from = last.unwrap_or(bounds.source.log_start);
        let mut place = self.search(&window, last, self.isolation, &bounds.source).await?;
        if !matches!(place, Place::At(_)) && self.isolation == Isolation::ReadCommitted {
            // Unless it was told otherwise MirrorMaker copies what was aborted as well.
            let other = self.search(&window, last, Isolation::ReadUncommitted, &bounds.source).await?;
            place = if matches!(other, Place::At(_)) { other } else { place };
        }
        let is_compacted = self.rules.is_cleaned();
        match place {
            Place::At(offset) => Ok(offset + 1),
            Place::Ambiguous(offset) => Err(unexplained(
                bounds,
                &format!(
                    "the target's last {} records stand on the source at offset {offset} and at others",
                    window.len()
                ),
            )),
            Place::Incomplete(offset) => Err(unexplained(
                bounds,
                &format!(
                    "the target's last record is the source's at offset {offset}, and some before that may not be there"
                ),
            )),
            // Had it copied anything behind that, it would have been found; and the record itself may be gone.
            Place::Nowhere if last.is_some() && (is_compacted || bounds.source.log_start > from) => Ok(said),
            Place::Nowhere => Err(unexplained(
                bounds,
                &format!("the target's last record is not among the source's from offset {from} on"),
            )),
        }
    }

    /// The target's last records, as a reader of committed ones sees them.
    async fn window(&self, bounds: &Bounds) -> Result<Vec<OwnedRecord>, TakeOverFailure> {
        let (start, end) = (bounds.target_start, bounds.target.high_watermark);
        let mut step = WINDOW_STEP;
        loop {
            let first = (end - step).max(start);
            let committed = Isolation::ReadCommitted;
            let range = source_range(&self.target_client, &self.target, committed, first, end).await?;
            let mut window = decoded(range.pieces, [first, end]).map_err(TakeOverFailure::Park)?;
            let bytes: usize = window.iter().map(OwnedRecord::size).sum();
            if first == start || bytes > WINDOW_BYTES_MAX || window.len() >= WINDOW_RECORDS_MAX {
                window.drain(..window.len().saturating_sub(WINDOW_RECORDS_MAX));
                return Ok(window);
            }
            step = step.saturating_mul(4);
        }
    }

    /// Looks for the window among the source's records up to its end.
    async fn search(
        &self,
        window: &[OwnedRecord],
        said: Option<i64>,
        isolation: Isolation,
        bounds: &SourceBounds,
    ) -> Result<Place, TakeOverFailure> {
        let end = if isolation == self.isolation { bounds.readable_end } else { bounds.high_watermark };
        let from = said.unwrap_or(bounds.log_start);
        let begin = self.begin_of_search(window.len(), from.min(end), isolation, bounds.log_start).await?;
        let mut search = Search::new(window.to_vec(), said, self.rules);
        let mut reader = RangeReader::new(&self.source_client, &self.source, isolation, begin);
        while reader.position() < end && !search.is_over() {
            let pieces = reader.next_before(end).await?.pieces;
            search = work::run(move || {
                for record in decoded(pieces, [begin, end])? {
                    search.take_in(record);
                }
                Ok(search)
            })
            .await
            .map_err(|error| TakeOverFailure::Again(format!("comparing was interrupted: {error}")))?
            .map_err(TakeOverFailure::Park)?;
        }
        Ok(search.place())
    }

    /// An offset of the source from which on there are as many records before `from` as the window has, if there are as many.
    async fn begin_of_search(
        &self,
        records: usize,
        from: i64,
        isolation: Isolation,
        log_start: i64,
    ) -> Result<i64, TakeOverFailure> {
        let mut step = WINDOW_STEP.max(i64::try_from(records).unwrap_or(WINDOW_STEP));
        loop {
            let first = from.saturating_sub(step).max(log_start);
            if first == log_start || first >= from {
                return Ok(first);
            }
            let range = source_range(&self.source_client, &self.source, isolation, first, from).await?;
            if decoded(range.pieces, [first, from]).map_err(TakeOverFailure::Park)?.len() >= records {
                return Ok(first);
            }
            step = step.saturating_mul(4);
        }
    }
}

/// The logs do not show how far the predecessor has come.
fn unexplained(bounds: &Bounds, problem: &str) -> TakeOverFailure {
    TakeOverFailure::Park(Parked::new(
        ParkReason::TargetDiverged,
        format!(
            "where the copy stood that is taken over, at target offset {}, cannot be told: {problem}. Somebody else wrote to it, its \
             records were changed on the way, or it is not the source's. Delete the target topic to have it copied anew",
            bounds.target.high_watermark
        ),
    ))
}

/// How many offsets are read for the window at first: records may be large, and many partitions are looked at at once.
const WINDOW_STEP: i64 = 8;
/// With as many records in a row a place is told from another, unless all of them are the same.
const WINDOW_RECORDS_MAX: usize = 256;
const WINDOW_BYTES_MAX: usize = 4 << 20;
