use crate::{BatchError, BatchHeader, TimestampType};

/// What [`plan`] needs to know beside the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanContext {
    /// Next source offset to be written.
    pub position: i64,
    /// Largest batch that the target topic takes, header included (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// What becomes of append times.
    pub timestamps: Timestamps,
    /// How holes are filled.
    pub holes: HoleFill,
}

/// What becomes of the timestamps of a batch whose type is LogAppendTime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timestamps {
    /// Nothing: the records go as they are stored and the target decides what its readers see.
    Keep,
    /// The append time, which is what readers of the source see, is written into each record.
    FromAppendTime,
}

/// What stands on the target at offsets where the source has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoleFill {
    /// Repeats of the next surviving record, except where markers are cheaper.
    Repeats,
    /// Control markers.
    Markers,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Nothing: it ends before the position.
    Behind,
    /// Append it with its payload untouched, under a new header ([`stamp`](crate::stamp())).
    PassThrough,
    /// Decode it and encode it again ([`rewrite`](crate::rewrite())).
    Rewrite(RewriteReason),
    /// It has no record to append: the offsets from the position up to its end are a gap.
    Gap(GapReason),
}

/// Why a batch cannot be passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RewriteReason {
    /// The cleaner removed records from it; a broker takes only batches without holes.
    Sparse,
    /// It begins before the position.
    Straddles,
    /// It is larger than the target topic takes.
    TooLarge,
    /// Its append time is to be written into each record.
    AppendTime,
    /// There is a hole before it that its first record fills.
    HoleBefore,
}

/// Why there is no record at some offsets of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// A control batch: a transaction marker.
    Control,
    /// Data of an aborted transaction. The header does not tell, so [`plan`] never says this: it is for the caller,
    /// who knows the aborted transactions of the fetch.
    Aborted,
    /// The cleaner removed the records.
    Cleaned,
    /// Retention or DeleteRecords removed them before they were read. [`plan`] never says this.
    Expired,
}

/// Decides what to do with a batch, from its header alone.
///
/// With [`HoleFill::Markers`] a hole before the batch is the caller's, and the batch is judged as if the position were
/// its base offset.
///
/// # Errors
/// [`BatchError::UnknownCompression`].
pub fn plan(header: &BatchHeader, context: &PlanContext) -> Result<Plan, BatchError> {
    header.attributes.compression()?;
    if header.last_offset() < context.position {
        return Ok(Plan::Behind);
    }
    if header.attributes.is_control() {
        return Ok(Plan::Gap(GapReason::Control));
    }
    if header.records_count == 0 {
        return Ok(Plan::Gap(GapReason::Cleaned));
    }
    Ok(rewrite_reason(header, context).map_or(Plan::PassThrough, Plan::Rewrite))
}

fn rewrite_reason(header: &BatchHeader, context: &PlanContext) -> Option<RewriteReason> {
    if !header.is_dense() {
        return Some(RewriteReason::Sparse);
    }
    if header.base_offset < context.position {
        return Some(RewriteReason::Straddles);
    }
    if header.total_bytes() > context.batch_bytes_max {
        return Some(RewriteReason::TooLarge);
    }
    if append_time_is_written(header, context.timestamps) {
        return Some(RewriteReason::AppendTime);
    }
    if header.base_offset > context.position && context.holes == HoleFill::Repeats {
        return Some(RewriteReason::HoleBefore);
    }
    None
}

/// Whether the records of this batch get its append time as their timestamp.
pub(crate) fn append_time_is_written(header: &BatchHeader, timestamps: Timestamps) -> bool {
    timestamps == Timestamps::FromAppendTime
        && header.attributes.timestamp_type() == TimestampType::LogAppendTime
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Compression};

    const CONTEXT: PlanContext = PlanContext {
        position: 100,
        batch_bytes_max: 1000,
        timestamps: Timestamps::Keep,
        holes: HoleFill::Repeats,
    };

    fn dense() -> BatchHeader {
        BatchHeader {
            base_offset: 100,
            batch_length: 988,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: Attributes::new(Compression::Zstd, TimestampType::CreateTime),
            last_offset_delta: 9,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records_count: 10,
        }
    }

    #[test]
    fn a_dense_batch_at_the_position_passes() {
        assert_eq!(plan(&dense(), &CONTEXT), Ok(Plan::PassThrough));
        let foreign = BatchHeader {
            attributes: dense().attributes.with_transactional(true).with_delete_horizon(true),
            producer_id: 5,
            ..dense()
        };
        assert_eq!(plan(&foreign, &CONTEXT), Ok(Plan::PassThrough));
    }

    #[test]
    fn each_reason_to_rewrite() {
        let reason = |header, context| match plan(&header, &context) {
            Ok(Plan::Rewrite(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(BatchHeader { records_count: 9, ..dense() }, CONTEXT), RewriteReason::Sparse);
        assert_eq!(reason(BatchHeader { base_offset: 95, ..dense() }, CONTEXT), RewriteReason::Straddles);
        assert_eq!(reason(BatchHeader { batch_length: 989, ..dense() }, CONTEXT), RewriteReason::TooLarge);
        assert_eq!(reason(BatchHeader { base_offset: 101, ..dense() }, CONTEXT), RewriteReason::HoleBefore);
        let append_time = BatchHeader {
            attributes: dense().attributes.with_timestamp_type(TimestampType::LogAppendTime),
            ..dense()
        };
        assert_eq!(plan(&append_time, &CONTEXT), Ok(Plan::PassThrough));
        let written = PlanContext { timestamps: Timestamps::FromAppendTime, ..CONTEXT };
        assert_eq!(reason(append_time, written), RewriteReason::AppendTime);
        assert_eq!(plan(&dense(), &written), Ok(Plan::PassThrough));
    }

    #[test]
    fn with_markers_the_hole_before_is_the_callers() {
        let markers = PlanContext { holes: HoleFill::Markers, ..CONTEXT };
        let later = BatchHeader { base_offset: 150, ..dense() };
        assert_eq!(plan(&later, &markers), Ok(Plan::PassThrough));
    }

    #[test]
    fn batches_without_records_are_gaps() {
        let control = BatchHeader { attributes: dense().attributes.with_control(true), ..dense() };
        assert_eq!(plan(&control, &CONTEXT), Ok(Plan::Gap(GapReason::Control)));
        assert_eq!(
            plan(&BatchHeader { records_count: 0, ..dense() }, &CONTEXT),
            Ok(Plan::Gap(GapReason::Cleaned))
        );
        assert_eq!(plan(&BatchHeader { base_offset: 90, ..dense() }, &CONTEXT), Ok(Plan::Behind));
        let unknown = BatchHeader { attributes: Attributes(7), ..dense() };
        assert_eq!(plan(&unknown, &CONTEXT), Err(BatchError::UnknownCompression { id: 7 }));
    }
}
