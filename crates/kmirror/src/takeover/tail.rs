//! What the visible tail of a target partition says about who wrote it and how far. Pure: it is fed batches.

use kmirror_codec::{Batch, BatchError, parse_marker};

use crate::append::sequence::Sequence;
use crate::identity::ProducerIds;

/// The tail, from some offset to the log end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The flow's data batches, in offset order.
    pub(crate) data: Vec<Batch>,
    /// The highest coordinator epoch of the flow's markers.
    pub(crate) token: Option<i32>,
    /// The first batch that is not the flow's, if there is one.
    pub(crate) foreign: Option<Foreign>,
}

/// A batch that somebody else wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Its first offset.
    pub(crate) offset: i64,
    /// Who wrote it: -1 where the producer was not idempotent.
    pub(crate) producer_id: i64,
}

impl Tail {
    /// Takes in the next batch. Only markers and data under the flow's own ids are expected.
    pub(crate) fn add(&mut self, batch: Batch, ids: &ProducerIds) -> Result<(), BatchError> {
        let header = batch.header();
        let producer_id = header.producer_id;
        if header.attributes.is_control() && producer_id == ids.markers {
            if let Some(marker) = parse_marker(&batch)? {
                self.token = self.token.max(Some(marker.coordinator_epoch));
            }
        } else if !header.attributes.is_control() && producer_id == ids.data {
            self.data.push(batch);
        } else {
            self.foreign.get_or_insert(Foreign { offset: header.base_offset, producer_id });
        }
        Ok(())
    }

    /// The sequence of the next data batch. Together with the log end of the same read it says where to go on; a sequence
    /// from one read and an offset from another would double a record.
    pub(crate) fn next_sequence(&self) -> Option<Sequence> {
        self.data.last().map(|batch| {
            // The cleaner lowers a batch's count but keeps its sequences, which span the offsets.
            Sequence::after(batch.header().base_sequence, batch.header().last_offset_delta.saturating_add(1))
        })
    }
}
