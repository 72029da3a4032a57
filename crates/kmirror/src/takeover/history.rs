//! Whether the source is the one that was copied, by its leader epochs.

use super::{Bounds, TakeOver};
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::logs::range::failure;
use crate::state_topic::record::PartitionRecord;

impl TakeOver {
    /// Both sides differ: whether the source is not what it was, its leader epochs tell.
    pub(super) async fn diverged(
        &self,
        record: &PartitionRecord,
        bounds: &Bounds,
        problem: &str,
    ) -> TakeOverFailure {
        let end = bounds.target.high_watermark;
        let copied = record.lineage.source_of(end);
        let source_end = bounds.source.high_watermark;
        let parked = match self.truncated_at(record, copied).await {
            Err(again) => return again,
            Ok(Some((epoch, offset))) => Parked::new(
                ParkReason::SourceTruncated,
                format!(
                    "offsets [{offset}, {copied}) were copied, and the source lost them: its leader epoch {epoch} ends at offset \
                     {offset} now (an unclean leader election). It holds other records there"
                ),
            ),
            Ok(None) if copied > source_end => Parked::new(
                ParkReason::SourceTruncated,
                format!(
                    "offsets [{source_end}, {copied}) were copied, and the source ends at {source_end} now: it lost records (an \
                     unclean leader election, or a cluster restored from a backup)"
                ),
            ),
            Ok(None) => Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "{problem}. Either topic was written to by somebody else, restored or created again; source offsets up to \
                     {copied} and target offsets up to {end} are concerned"
                ),
            ),
        };
        TakeOverFailure::Park(parked)
    }

    /// A record is none of those that the source holds around it. Its cleaner may have removed it, unless the leader epochs show that the
    /// source lost its end and holds other records there now.
    pub(super) async fn check_source_epochs(
        &self,
        record: &PartitionRecord,
        is_recorded: bool,
        bounds: &Bounds,
        problem: &str,
    ) -> Result<(), TakeOverFailure> {
        let copied = record.lineage.source_of(bounds.target.high_watermark);
        let has_epochs = is_recorded && !record.leader_epochs.is_empty();
        if has_epochs && self.truncated_at(record, copied).await?.is_none() {
            return Ok(());
        }
        Err(self.diverged(record, bounds, problem).await)
    }

    /// The source holds none of the last records any more. Its topic id and its leader epochs say whether it is the one that
    /// was copied.
    pub(super) async fn vouch(
        &self,
        record: &PartitionRecord,
        is_recorded: bool,
        end: i64,
    ) -> Result<(), TakeOverFailure> {
        let copied = record.lineage.source_of(end);
        let has_ids = !record.source.topic_id.is_none() && !record.leader_epochs.is_empty();
        let truncated = self.truncated_at(record, copied).await?;
        if is_recorded && has_ids && truncated.is_none() {
            return Ok(());
        }
        Err(TakeOverFailure::Park(Parked::new(
            ParkReason::TargetDiverged,
            format!(
                "the source holds none of the records below offset {copied} that the target ends with any more, and neither \
                 topic id nor leader epochs show that they were its own"
            ),
        )))
    }

    /// The first leader epoch that ends before what was copied under it, and where.
    pub(super) async fn truncated_at(
        &self,
        record: &PartitionRecord,
        copied: i64,
    ) -> Result<Option<(i32, i64)>, TakeOverFailure> {
        let ends = record.leader_epochs.iter().skip(1).map(|next| next.start_offset).chain([copied]);
        for (start, end) in record.leader_epochs.iter().zip(ends) {
            // What was read and not copied does not count.
            let end = end.min(copied);
            if start.start_offset >= end {
                break;
            }
            let asked = [(self.source.clone(), start.epoch)];
            let answers = self.source_client.epoch_end_offsets(&asked).await;
            match answers.into_iter().next() {
                Some((_, Ok(Some(answer)))) if answer.end_offset < end => {
                    return Ok(Some((answer.epoch, answer.end_offset.max(start.start_offset))));
                }
                Some((_, Ok(_))) | None => {}
                Some((_, Err(error))) => return Err(failure("ask the source for its leader epochs", &error)),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::epoch_start::EpochStart;
    use crate::takeover::moved::{append, cluster, record, take_over};

    #[tokio::test]
    async fn only_what_is_recorded_of_this_very_source_vouches_for_it() {
        let source = cluster().await;
        let take_over = take_over(&source).await;
        append(&source, take_over.ids.data);
        let mut whole = record(&take_over);
        whole.source.topic_id = take_over.target_topic_id;
        whole.leader_epochs = vec![EpochStart { epoch: 0, start_offset: 0 }];
        let nameless = record(&take_over).source;
        let nameless = PartitionRecord { source: nameless, ..whole.clone() };
        let without_epochs = PartitionRecord { leader_epochs: Vec::new(), ..whole.clone() };
        for (what, record, is_recorded, copied, vouches) in [
            ("all of it", &whole, true, 1, true),
            ("it is assumed", &whole, false, 1, false),
            ("no topic id", &nameless, true, 1, false),
            ("no leader epochs", &without_epochs, true, 1, false),
            ("the epoch ends before what was copied", &whole, true, 2, false),
        ] {
            match take_over.vouch(record, is_recorded, copied).await {
                Ok(()) => assert!(vouches, "{what}"),
                Err(TakeOverFailure::Park(parked)) => assert!(!vouches, "{what}: {parked}"),
                Err(other) => panic!("{what}: {other:?}"),
            }
        }
    }
}
