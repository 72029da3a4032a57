//! What travels from a fetcher to an appender: the log of one source partition, cut into pieces that leave nothing out.

use std::sync::Arc;

use bytes::Bytes;
use kmirror_codec::{Batch, GapReason};

use crate::ground::budget::Permit;

/// What a rewritten batch keeps charged to the budget.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What it was made from: one answer of the source may give many batches.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is there to be held"))]
    source: Bytes,
    _made: Arc<Permit>,
}

impl Held {
    pub(crate) fn new(source: Bytes, made: Permit) -> Held {
        Held { source, _made: Arc::new(made) }
    }

    /// What the batch was made from.
    #[cfg(test)]
    pub(crate) fn source(&self) -> &Bytes {
        &self.source
    }
}

/// One piece of a partition's log. The pieces of a partition are contiguous: each begins where the one before it ends, so
/// whatever was not there is as explicit as what was.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Records to append: a dense batch whose base offset is its place in the target's log.
    Batch {
        /// The batch, header as on the source (or as rewritten), payload possibly a slice of a fetch response.
        batch: Batch,
        /// Where the batch was rewritten: what it was made from, and what itself takes of the budget.
        held: Option<Held>,
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
