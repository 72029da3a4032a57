//! What travels from a fetcher to an appender: the log of one source partition, cut into pieces that leave nothing out.

use bytes::Bytes;
use kmirror_codec::{Batch, GapReason};

/// One piece of a partition's log. The pieces of a partition are contiguous: each begins where the one before it ends, so
/// whatever was not there is as explicit as what was.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Records to append: a dense batch whose base offset is its place in the target's log.
    Batch {
        /// The batch, header as on the source (or as rewritten), payload possibly a slice of a fetch response.
        batch: Batch,
        /// What the batch was rewritten from, where it was: holding it keeps its bytes charged to the budget.
        held: Option<Bytes>,
        /// How many tiny batches it was merged from, 0 where it was not.
        merged: usize,
    },
    /// Offsets that hold no record: `[first, end)`.
    Gap {
        /// The first offset without a record.
        first: i64,
        /// The offset after the last one without a record.
        end: i64,
        /// Why there is none.
        reason: GapReason,
    },
}

impl Item {
    /// The first offset of the item.
    pub(crate) fn first(&self) -> i64 {
        match self {
            Item::Batch { batch, .. } => batch.header().base_offset,
            Item::Gap { first, .. } => *first,
        }
    }

    /// The offset after the item's last one.
    pub(crate) fn end(&self) -> i64 {
        match self {
            Item::Batch { batch, .. } => batch.header().next_offset(),
            Item::Gap { end, .. } => *end,
        }
    }

    /// What the item weighs in a queue, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Item::Batch { batch, .. } => batch.bytes().len(),
            Item::Gap { .. } => 0,
        }
    }
}
