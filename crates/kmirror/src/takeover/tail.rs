//! What the visible tail of a target partition says about who wrote it and how far. Pure: it is fed batches.

use kmirror_codec::{Batch, BatchError, BatchHeader, parse_marker};

use crate::ground::identity::{ProducerIds, is_kmirror};
use crate::ground::sequence::Sequence;

/// The tail, from some offset to the log end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The flow's data batches, in offset order.
    pub(crate) data: Vec<Batch>,
    /// The highest coordinator epoch of the flow's markers.
    pub(crate) token: Option<i32>,
    /// The first batch that is not the flow's, if there is one.
    pub(crate) foreign: Option<Foreign>,
    /// Where the first data batch of the flow lies whose sequence is behind that of the one before it.
    late: Option<i64>,
    /// What was read last: batches without a record of the source, one after the other.
    others: Others,
}

/// Offsets `[first, end)` at which markers or somebody else's batches were seen.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    first: i64,
    end: i64,
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
        let is_control = header.attributes.is_control();
        self.others.take_in(header, !is_control && [ids.data, ids.fillers].contains(&producer_id));
        if header.attributes.is_control() && producer_id == ids.markers {
            if let Some(marker) = parse_marker(&batch)? {
                self.token = self.token.max(Some(marker.coordinator_epoch));
            }
        } else if !header.attributes.is_control() && producer_id == ids.data {
            let begins = Sequence::after(header.base_sequence, 0);
            if self.next_sequence().is_some_and(|next| begins.is_behind(next)) {
                self.late.get_or_insert(header.base_offset);
            }
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

    /// From where on the log holds nothing but markers up to `end`, or what somebody else wrote. They are seen, not concluded: an offset
    /// without a batch may be that of a record which the target's cleaner has removed.
    pub(crate) fn markers_from(&self, end: i64) -> i64 {
        if self.others.end == end { self.others.first } else { end }
    }

    /// Where records begin that were appended a second time: by an owner that sent them long ago, to a broker that had forgotten the flow's
    /// producer meanwhile and so did not refuse a sequence that lies behind.
    pub(crate) fn late(&self) -> Option<i64> {
        self.late
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

impl Others {
    /// The flow's data, or an offset without a batch, ends the row.
    fn take_in(&mut self, header: &BatchHeader, is_data: bool) {
        let (first, end) = (header.base_offset, header.next_offset());
        if is_data {
            *self = Others { first: end, end };
        } else if first == self.end {
            self.end = end;
        } else {
            *self = Others { first, end };
        }
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
    fn only_markers_that_were_seen_in_a_row_are_markers() {
        let foreign = TestBatch::dense;
        let (data, marker) = (
            |first, end| TestBatch::dense(first, end).producer(100, 0),
            |offset| TestBatch::marker(offset, 101, true, 1),
        );
        let table = [
            ("data alone", vec![data(0, 3)], 3, 3),
            ("behind data", vec![data(0, 3), marker(3), marker(4)], 5, 3),
            ("a bare offset between them", vec![data(0, 3), marker(4), marker(5)], 6, 4),
            ("a bare offset behind them", vec![data(0, 3), marker(3)], 5, 5),
            (
                "what somebody else wrote",
                vec![data(0, 3), TestBatch::dense(3, 6).producer(7, 0), marker(6)],
                7,
                3,
            ),
            ("a row that data ends", vec![marker(0), data(1, 2), marker(2)], 3, 2),
            (
                "what a cleaner left of a batch",
                vec![TestBatch::empty(0, 3).producer(100, 0), marker(3)],
                4,
                3,
            ),
            // An offset that somebody else has taken is none of the source's either.
            ("records of somebody else", vec![data(0, 3), marker(3), foreign(4, 6), marker(6)], 7, 3),
            ("placeholders", vec![TestBatch::dense(0, 3).producer(102, 0)], 3, 3),
            ("nothing", vec![], 7, 7),
        ];
        for (what, batches, end, expected) in table {
            assert_eq!(tail(&batches).markers_from(end), expected, "{what}");
        }
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
    fn a_sequence_that_goes_back_is_that_of_a_late_request() {
        let data = |first, end, sequence| TestBatch::dense(first, end).producer(100, sequence);
        let table: [(&[TestBatch], Option<i64>); 5] = [
            (&[data(0, 3, 0), data(3, 5, 3)], None),
            (&[data(0, 3, 0), TestBatch::marker(3, 101, true, 4), data(4, 5, 1)], Some(4)),
            (&[data(0, 3, i32::MAX - 1), data(3, 5, 1)], None),
            (&[data(0, 3, 0), data(3, 5, i32::MAX)], Some(3)),
            // What was forgotten and cleaned away begins anew, further on.
            (&[data(0, 3, 0), data(9, 10, 9)], None),
        ];
        for (batches, late) in table {
            assert_eq!(tail(batches).late(), late, "{batches:?}");
        }
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
