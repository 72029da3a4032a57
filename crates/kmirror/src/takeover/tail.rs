//! What the visible tail of a target partition says about who wrote it and how far. Pure: it is fed batches.

use kmirror_codec::{Batch, BatchError, parse_marker};

use crate::append::sequence::Sequence;
use crate::identity::{ProducerIds, is_kmirror};

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
        } else if !header.attributes.is_control() && producer_id == ids.fillers {
            // A head that is being filled: it holds nothing else.
        } else if header.attributes.is_control() && !is_kmirror(producer_id) {
            // Transactions fill holes where the target takes no markers, under ids that the cluster allocates. Whoever's it is, a
            // control batch is an offset without a record, and the comparison tells whether the source has one there as well.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestBatch, TestRecord};

    const IDS: ProducerIds = ProducerIds { data: 100, markers: 101, fillers: 102 };

    #[test]
    fn the_flows_own_data_and_markers_are_taken_in() {
        let data = [TestBatch::dense(0, 3).producer(100, 0), TestBatch::dense(5, 7).producer(100, 3)];
        let tail = tail(&[
            data[0].clone(),
            TestBatch::marker(3, 101, true, 4),
            TestBatch::marker(4, 101, false, 9),
            data[1].clone(),
            TestBatch::marker(7, 101, true, 6),
        ]);
        assert_eq!(tail.data, data.map(|batch| batch.build()));
        assert_eq!(tail.token, Some(9), "the highest, not the last");
        assert_eq!(tail.foreign, None);
        assert_eq!(tail.next_sequence().map(Sequence::value), Some(5));
    }

    #[test]
    fn everything_else_is_foreign() {
        let table = [
            ("another producer", TestBatch::dense(2, 4).producer(7, 0), 7),
            ("no producer", TestBatch::dense(2, 4), -1),
            ("a marker under another flow's id", TestBatch::marker(2, 0x4B4D << 48, true, 1), 0x4B4D << 48),
            ("data under the markers' id", TestBatch::dense(2, 4).producer(101, 0), 101),
        ];
        for (what, batch, producer_id) in table {
            let tail = tail(&[TestBatch::dense(0, 2).producer(100, 0), batch, TestBatch::dense(4, 5)]);
            assert_eq!(tail.foreign, Some(Foreign { offset: 2, producer_id }), "{what}: the first one");
            assert_eq!((tail.data.len(), tail.token), (1, None), "{what}");
        }
    }

    #[test]
    fn the_marker_of_an_allocated_id_is_an_offset_without_a_record() {
        let tail = tail(&[TestBatch::dense(0, 2).producer(100, 0), TestBatch::marker(2, 7, false, 3)]);
        assert_eq!((tail.foreign, tail.token, tail.data.len()), (None, None, 1));
    }

    #[test]
    fn the_next_sequence_follows_the_offsets_of_the_last_batch() {
        let table = [
            (TestBatch::dense(0, 3).producer(100, 0), 3),
            (TestBatch::dense(10, 12).producer(100, i32::MAX), 1),
            (TestBatch::dense(10, 12).producer(100, i32::MAX - 1), 0),
            // What the target's cleaner left of five records: the last of them, none of them.
            (TestBatch::of([TestRecord::plain(3)]).covering(0, 5).producer(100, 40), 45),
            (TestBatch::empty(0, 5).producer(100, 40), 45),
        ];
        for (last, expected) in table {
            let tail = tail(&[last]);
            assert_eq!(tail.next_sequence().map(Sequence::value), Some(expected), "{:?}", tail.data);
        }
        assert_eq!(tail(&[TestBatch::marker(0, 101, true, 1)]).next_sequence(), None, "markers have none");
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_an_error() {
        let whole = TestBatch::marker(0, 101, true, 1).build();
        let mut bytes = whole.bytes().to_vec();
        bytes.pop();
        bytes[11] -= 1; // the batch length
        let cut = Batch::parse(bytes::Bytes::from(bytes)).expect("the header is whole");
        assert!(Tail::default().add(cut, &IDS).is_err());
    }

    fn tail(batches: &[TestBatch]) -> Tail {
        let mut tail = Tail::default();
        batches.iter().for_each(|batch| tail.add(batch.build(), &IDS).expect("readable"));
        tail
    }
}
