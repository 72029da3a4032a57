//! What a fetcher knows of one source partition, and what it makes of the broker's answers. Pure: no async, no clock.

use kmirror_client::{BrokerId, EpochEndOffset, FetchedPartition, KafkaError, Retry};
use kmirror_codec::{Batch, BatchError, Entry, GapReason, LegacyBatch, split};

use super::aborted::AbortedIndex;
use crate::ground::config::Isolation;
use crate::ground::epoch_start::EpochStart;
use crate::ground::park::{ParkReason, Parked};

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

impl Sourced {
    /// Whether it begins before `offset` and ends there or behind it.
    pub(crate) fn reaches(&self, offset: i64) -> bool {
        let (first, end) = match self {
            Sourced::Batch(batch) => (batch.header().base_offset, batch.header().next_offset()),
            Sourced::Gap { first, end, .. } => (*first, *end),
            Sourced::Legacy(_) => return false,
        };
        (first..end).contains(&(offset - 1))
    }

    /// Its first offset, which an old message does not tell without being converted.
    fn first(&self) -> Option<i64> {
        match self {
            Sourced::Batch(batch) => Some(batch.header().base_offset),
            Sourced::Legacy(_) => None,
            Sourced::Gap { first, .. } => Some(*first),
        }
    }
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
    /// Leader epochs that begin in what was read.
    pub(crate) epochs: Vec<EpochStart>,
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
    /// The leader names a replica to read from (KIP-392): go on there. It shows no records, which says nothing of the log.
    ReadFrom(BrokerId),
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
            FetchFault::ReadFrom(broker) => {
                write!(formatter, "the leader names broker {broker} to read from")
            }
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
            return Err(FetchFault::Park(source_truncated(diverging, self.position)));
        }
        if let Some(replica) = fetched.preferred_read_replica {
            return Err(FetchFault::ReadFrom(replica));
        }
        let readable_end = fetched.readable_end(self.isolation.for_client());
        let (pieces, epochs) = self.read(fetched).map_err(FetchFault::Park)?;
        Ok(Fetched { pieces, readable_end, at_end: self.position >= readable_end, epochs })
    }

    /// Accounts for offsets up to `end` that hold no batch at all. Their epoch is not known: the one read last may end before them.
    pub(crate) fn skip_bare_hole(&mut self, end: i64) {
        if end > self.position {
            self.position = end;
            self.last_fetched_epoch = None;
        }
    }

    fn read(&mut self, fetched: FetchedPartition) -> Result<(Vec<Sourced>, Vec<EpochStart>), Parked> {
        let mut aborted = AbortedIndex::new(match self.isolation {
            Isolation::ReadCommitted => fetched.aborted,
            Isolation::ReadUncommitted => Vec::new(),
        });
        let (mut pieces, mut epochs) = (Vec::new(), Vec::new());
        for entry in split(fetched.records, self.position) {
            let (position, epoch) = (self.position, self.last_fetched_epoch);
            match entry.and_then(|entry| self.take_in(entry, &mut aborted)) {
                Ok(piece) => {
                    if let Some(epoch) = self.last_fetched_epoch.filter(|now| Some(*now) != epoch) {
                        let start_offset = piece.first().unwrap_or(position).max(position);
                        epochs.push(EpochStart { epoch, start_offset });
                    }
                    pieces.push(piece);
                }
                // What lies before it is good: the next fetch begins at the damaged batch.
                Err(_) if !pieces.is_empty() => break,
                Err(error) => return Err(self.corrupt(&error)),
            }
        }
        Ok((pieces, epochs))
    }

    fn take_in(&mut self, entry: Entry, aborted: &mut AbortedIndex) -> Result<Sourced, BatchError> {
        let batch = match entry {
            Entry::Batch(batch) => batch,
            Entry::Legacy(batch) => {
                self.position = batch.last_offset().saturating_add(1);
                return Ok(Sourced::Legacy(batch));
            }
        };
        let header = *batch.header();
        let is_aborted = aborted.is_aborted(&batch)?;
        self.position = header.next_offset();
        self.last_fetched_epoch = Some(header.partition_leader_epoch).filter(|epoch| *epoch >= 0);
        Ok(match gap_reason(&batch, is_aborted) {
            Some(reason) => Sourced::Gap { first: header.base_offset, end: header.next_offset(), reason },
            None => Sourced::Batch(batch),
        })
    }

    fn fault_of(&self, error: KafkaError) -> FetchFault {
        match error {
            KafkaError::OFFSET_OUT_OF_RANGE => FetchFault::OutOfRange,
            KafkaError::INCONSISTENT_TOPIC_ID | KafkaError::UNKNOWN_TOPIC_ID => FetchFault::Recreated,
            // The leader has not heard of its own epoch yet; or the epoch is of a quorum that is no more, and the metadata will say so.
            KafkaError::UNKNOWN_LEADER_EPOCH => FetchFault::LeaderUnknown(error.to_string()),
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

    fn corrupt(&self, error: &BatchError) -> Parked {
        Parked::new(
            ParkReason::CorruptBatch,
            format!(
                "the source sent a batch at or after offset {} that cannot be read: {error}",
                self.position
            ),
        )
    }
}

/// The source's history is not the one that was read up to `position`.
pub(crate) fn source_truncated(diverging: &EpochEndOffset, position: i64) -> Parked {
    Parked::new(
        ParkReason::SourceTruncated,
        format!(
            "offsets [{}, {position}) were read, and the source lost them: its leader epoch {} ends at offset {} now (an unclean \
             leader election). It may hold other records there",
            diverging.end_offset, diverging.epoch, diverging.end_offset
        ),
    )
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

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kmirror_client::{AbortedTransaction, TopicPartition};

    use super::*;
    use crate::test_support::{TestBatch, TestRecord, damaged, joined, legacy_message};

    #[test]
    fn the_position_moves_past_everything_in_the_answer() {
        // (batches, position before, position after)
        let table = [
            (vec![TestBatch::dense(0, 5), TestBatch::dense(5, 7)], 0, 7),
            // The first batch may begin before the position, and what ends before it does not count.
            (vec![TestBatch::dense(0, 3), TestBatch::dense(3, 9)], 5, 9),
            // Holes between batches, and offsets that a batch covers without a record.
            (vec![TestBatch::dense(2, 4), TestBatch::dense(10, 12).covering(8, 20)], 0, 20),
            (vec![TestBatch::empty(4, 9)], 0, 9),
            (vec![TestBatch::marker(7, 1, true, 0)], 7, 8),
            // Wholly behind: nothing moves.
            (vec![TestBatch::dense(0, 3)], 3, 3),
            (vec![], 3, 3),
        ];
        for (batches, before, after) in table {
            let mut state = state(before, Isolation::ReadCommitted);
            state.on_fetched(answer(&batches, 100)).expect("readable");
            assert_eq!(state.position, after, "{batches:?}");
        }
    }

    #[test]
    fn what_is_no_record_to_copy_is_a_gap() {
        let batches = [
            TestBatch::dense(0, 2),
            TestBatch::marker(2, 9, true, 0),
            TestBatch::empty(3, 5),
            TestBatch::dense(5, 8).transaction_of(4),
            TestBatch::marker(8, 4, true, 0),
            TestBatch::marker(9, 4, false, 0),
        ];
        let fetched = state(1, Isolation::ReadCommitted).on_fetched(answer(&batches, 10)).expect("readable");
        assert_eq!(
            shapes(&fetched.pieces),
            ["0..2", "2..3 Control", "3..5", "5..8", "8..9 Control", "9..10 Control"]
        );
    }

    #[test]
    fn aborted_data_is_a_gap_only_for_readers_of_committed_records() {
        let batches = interleaved();
        // Not sorted, as some brokers answer. Producer 1 aborts twice and commits in between.
        let aborted = [(2, 4), (1, 20), (1, 2)];
        let committed = fetch(&batches, &aborted, Isolation::ReadCommitted);
        assert_eq!(
            committed,
            [
                "0..2",
                "2..4 Aborted",
                "4..6 Aborted",
                "6..8",
                "8..10 Aborted",
                "10..11 Control",
                "11..13",
                "13..14 Control",
                "14..16 Aborted",
                "16..17 Control",
                "17..18 Control",
                "18..20",
                "20..22 Aborted",
                "22..23 Control",
                "23..25",
            ]
        );
        let uncommitted = fetch(&batches, &aborted, Isolation::ReadUncommitted);
        let expected: Vec<_> = committed.iter().map(|shape| shape.trim_end_matches(" Aborted")).collect();
        assert_eq!(uncommitted, expected, "whatever the broker lists");
    }

    #[test]
    fn a_transaction_may_have_begun_before_the_answer() {
        let batches = [
            TestBatch::dense(50, 52).transaction_of(1),
            TestBatch::dense(52, 53).transaction_of(2),
            TestBatch::marker(53, 1, false, 0),
            TestBatch::dense(54, 55).transaction_of(1),
        ];
        let shapes = fetch(&batches, &[(1, 7)], Isolation::ReadCommitted);
        assert_eq!(shapes, ["50..52 Aborted", "52..53", "53..54 Control", "54..55"]);
    }

    #[test]
    fn a_transaction_of_one_record_may_be_aborted() {
        let batches = [TestBatch::dense(4, 5).transaction_of(1), TestBatch::marker(5, 1, false, 0)];
        assert_eq!(fetch(&batches, &[(1, 4)], Isolation::ReadCommitted), ["4..5 Aborted", "5..6 Control"]);
    }

    #[test]
    fn a_cut_off_tail_is_left_for_the_next_fetch() {
        let whole = joined(&[TestBatch::dense(0, 4).build(), TestBatch::dense(4, 8).build()]);
        let first = TestBatch::dense(0, 4).build().bytes().len();
        for end in 0..=whole.len() {
            let mut state = state(0, Isolation::ReadCommitted);
            let fetched = state.on_fetched(records(whole.slice(..end), 8)).expect("a tail is no damage");
            let expected = if end == whole.len() { 8 } else { 4 * i64::from(end >= first) };
            assert_eq!(state.position, expected, "cut at {end}");
            assert_eq!(fetched.at_end, expected == 8);
        }
    }

    #[test]
    fn messages_of_old_formats_are_pieces_too() {
        let mut bytes = BytesMut::from(&legacy_message(3, 1, b"three")[..]);
        bytes.extend_from_slice(&legacy_message(5, 1, b"five"));
        bytes.extend_from_slice(TestBatch::dense(6, 8).epoch(4).build().bytes());
        let mut state = state(4, Isolation::ReadCommitted);
        let fetched = state.on_fetched(records(bytes.freeze(), 8)).expect("readable");
        assert_eq!(shapes(&fetched.pieces), ["legacy 5", "6..8"]);
        assert_eq!((state.position, state.last_fetched_epoch), (8, Some(4)));
        state.on_fetched(records(legacy_message(9, 1, b"nine"), 10)).expect("readable");
        assert_eq!(state.position, 10);
    }

    #[test]
    fn the_epoch_of_the_last_batch_is_kept() {
        let mut state = state(0, Isolation::ReadCommitted);
        let batches = [TestBatch::dense(0, 1).epoch(3), TestBatch::dense(1, 2).epoch(5)];
        state.on_fetched(answer(&batches, 2)).expect("readable");
        assert_eq!(state.last_fetched_epoch, Some(5));
        state.on_fetched(answer(&[], 2)).expect("readable");
        assert_eq!(state.last_fetched_epoch, Some(5), "an empty answer says nothing of epochs");
        state.on_fetched(answer(&[TestBatch::dense(2, 3).epoch(-1)], 3)).expect("readable");
        assert_eq!(state.last_fetched_epoch, None, "a log from before epochs");
    }

    #[test]
    fn the_readable_end_depends_on_the_isolation() {
        for (isolation, readable_end, at_end) in
            [(Isolation::ReadCommitted, 5, true), (Isolation::ReadUncommitted, 9, false)]
        {
            let mut fetched = answer(&[TestBatch::dense(0, 5)], 5);
            fetched.high_watermark = 9;
            let fetched = state(0, isolation).on_fetched(fetched).expect("readable");
            assert_eq!((fetched.readable_end, fetched.at_end), (readable_end, at_end));
        }
    }

    #[test]
    fn a_bare_hole_moves_the_position_forward_only() {
        let mut state = FetchState::new(10, None, Some(4), Isolation::ReadCommitted);
        state.skip_bare_hole(7);
        assert_eq!((state.position, state.last_fetched_epoch), (10, Some(4)));
        state.skip_bare_hole(30);
        assert_eq!((state.position, state.last_fetched_epoch), (30, None), "epoch 4 may end before 30");
    }

    #[test]
    fn each_error_has_its_consequence() {
        let table = [
            (KafkaError::OFFSET_OUT_OF_RANGE, "OutOfRange"),
            (KafkaError::UNKNOWN_TOPIC_ID, "Recreated"),
            (KafkaError::INCONSISTENT_TOPIC_ID, "Recreated"),
            (KafkaError::TOPIC_AUTHORIZATION_FAILED, "Unauthorized"),
            (KafkaError::NOT_LEADER_OR_FOLLOWER, "LeaderUnknown"),
            (KafkaError::FENCED_LEADER_EPOCH, "LeaderUnknown"),
            (KafkaError::UNKNOWN_TOPIC_OR_PARTITION, "LeaderUnknown"),
            (KafkaError::KAFKA_STORAGE_ERROR, "LeaderUnknown"),
            (KafkaError::UNKNOWN_LEADER_EPOCH, "LeaderUnknown"),
            (KafkaError::OFFSET_NOT_AVAILABLE, "Passing"),
            (KafkaError::REBOOTSTRAP_REQUIRED, "Passing"),
            (KafkaError::UNKNOWN_SERVER_ERROR, "Passing"),
            (KafkaError::from_code(999).expect("an error"), "Passing"),
            (KafkaError::UNSUPPORTED_COMPRESSION_TYPE, "CorruptBatch"),
        ];
        for (error, expected) in table {
            let mut state = state(3, Isolation::ReadCommitted);
            let mut fetched = answer(&[TestBatch::dense(3, 5)], 5);
            fetched.error = Some(error);
            let fault = state.on_fetched(fetched).expect_err("an error");
            let name = match &fault {
                FetchFault::OutOfRange => "OutOfRange",
                FetchFault::Recreated => "Recreated",
                FetchFault::LeaderUnknown(_) => "LeaderUnknown",
                FetchFault::Passing(_) => "Passing",
                FetchFault::ReadFrom(_) => "ReadFrom",
                FetchFault::Park(parked) => &parked.reason.to_string(),
            };
            assert_eq!(name, expected, "{error}");
            assert_eq!(state.position, 3, "nothing was read");
        }
    }

    #[test]
    fn a_leader_that_names_a_replica_says_nothing_of_its_log() {
        let redirected = FetchedPartition { preferred_read_replica: Some(BrokerId(2)), ..answer(&[], 50) };
        let mut state = state(3, Isolation::ReadCommitted);
        assert_eq!(state.on_fetched(redirected).unwrap_err(), FetchFault::ReadFrom(BrokerId(2)));
        assert_eq!(state.position, 3);
    }

    #[test]
    fn a_log_that_is_not_the_one_that_was_read_parks() {
        let mut state = state(8, Isolation::ReadCommitted);
        let mut fetched = answer(&[TestBatch::dense(8, 9)], 9);
        fetched.diverging_epoch = Some(EpochEndOffset { epoch: 2, end_offset: 5 });
        let fault = state.on_fetched(fetched).expect_err("diverged");
        assert!(
            matches!(&fault, FetchFault::Park(parked) if parked.reason == ParkReason::SourceTruncated),
            "{fault:?}"
        );
        assert!(
            fault.to_string().contains("[5, 8)") && fault.to_string().contains("epoch 2 ends at offset 5"),
            "{fault}"
        );
        assert_eq!(state.position, 8);
    }

    #[test]
    fn what_lies_before_a_damaged_batch_is_read_and_the_next_fetch_parks() {
        let mut bytes = TestBatch::dense(5, 6).build().bytes().to_vec();
        bytes[16] = 9; // magic
        let mut log = BytesMut::from(&TestBatch::dense(0, 5).build().bytes()[..]);
        log.extend_from_slice(&bytes);
        let mut state = state(0, Isolation::ReadCommitted);
        let fetched = state.on_fetched(records(log.freeze(), 6)).expect("what is good");
        assert_eq!((shapes(&fetched.pieces), fetched.at_end), (vec!["0..5".to_owned()], false));
        assert_eq!(state.position, 5);
        let fault = state.on_fetched(records(Bytes::from(bytes), 6)).expect_err("damaged");
        assert!(
            matches!(&fault, FetchFault::Park(parked) if parked.reason == ParkReason::CorruptBatch),
            "{fault:?}"
        );
        assert!(fault.to_string().contains("at or after offset 5"), "{fault}");
    }

    #[test]
    fn no_damage_panics_or_moves_the_position_back() {
        let log = joined(&interleaved().map(|batch| batch.build()));
        for index in 0..log.len() {
            for bit in [0x01, 0x80] {
                let mut bytes = log.to_vec();
                bytes[index] ^= bit;
                let mut state = state(1, Isolation::ReadCommitted);
                let mut fetched = records(Bytes::from(bytes), 25);
                fetched.aborted = vec![AbortedTransaction { producer_id: 1, first_offset: 2 }];
                match state.on_fetched(fetched) {
                    Ok(_) => assert!(state.position >= 1),
                    Err(FetchFault::Park(parked)) => assert_eq!(parked.reason, ParkReason::CorruptBatch),
                    Err(other) => panic!("byte {index}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_marker_that_cannot_be_read_parks_where_it_matters() {
        let marker = TestBatch::of([TestRecord::new(4, "k", "")]).transaction_of(1).build();
        let mut bytes = marker.bytes().to_vec();
        bytes[22] |= 0x20; // control, but its key is none of a marker
        let marker = Batch::parse(Bytes::from(bytes)).expect("a batch");
        let fetched = |aborted| {
            let mut fetched = records(joined(std::slice::from_ref(&marker)), 5);
            fetched.aborted = aborted;
            fetched
        };
        let mut state = state(4, Isolation::ReadCommitted);
        let aborted = vec![AbortedTransaction { producer_id: 1, first_offset: 2 }];
        let fault = state.on_fetched(fetched(aborted)).expect_err("cannot tell what is aborted");
        assert!(matches!(fault, FetchFault::Park(_)), "{fault:?}");
        // Where nothing is aborted it does not matter what the control record says.
        assert_eq!(state.on_fetched(fetched(Vec::new())).map(|fetched| fetched.pieces.len()), Ok(1));
    }

    #[test]
    fn checksums_are_not_the_fetchers_to_verify() {
        let mut state = state(0, Isolation::ReadCommitted);
        let damaged = damaged(&TestBatch::dense(0, 3).build());
        assert!(state.on_fetched(records(joined(&[damaged]), 3)).is_ok(), "the target checks them");
    }

    /// Two producers' transactions and plain data, interleaved: 1 aborts, 2 aborts, 1 commits, 1 aborts.
    fn interleaved() -> [TestBatch; 15] {
        [
            TestBatch::dense(0, 2),
            TestBatch::dense(2, 4).transaction_of(1),
            TestBatch::dense(4, 6).transaction_of(2),
            TestBatch::dense(6, 8).producer(1, 0), // not transactional, whoever wrote it
            TestBatch::dense(8, 10).transaction_of(1),
            TestBatch::marker(10, 1, false, 0),
            TestBatch::dense(11, 13).transaction_of(1),
            TestBatch::marker(13, 1, true, 0),
            TestBatch::dense(14, 16).transaction_of(2),
            TestBatch::marker(16, 3, false, 0),
            TestBatch::marker(17, 2, false, 0),
            TestBatch::dense(18, 20).transaction_of(2),
            TestBatch::dense(20, 22).transaction_of(1),
            TestBatch::marker(22, 1, false, 0),
            TestBatch::dense(23, 25),
        ]
    }

    fn state(position: i64, isolation: Isolation) -> FetchState {
        FetchState::new(position, Some(0), None, isolation)
    }

    fn answer(batches: &[TestBatch], end: i64) -> FetchedPartition {
        records(joined(&batches.iter().map(TestBatch::build).collect::<Vec<_>>()), end)
    }

    fn records(records: Bytes, end: i64) -> FetchedPartition {
        FetchedPartition {
            topic_partition: TopicPartition::new("orders", 0),
            error: None,
            high_watermark: end,
            last_stable_offset: end,
            log_start_offset: 0,
            aborted: Vec::new(),
            diverging_epoch: None,
            leader_hint: None,
            leader_epoch: None,
            preferred_read_replica: None,
            records,
        }
    }

    fn fetch(batches: &[TestBatch], aborted: &[(i64, i64)], isolation: Isolation) -> Vec<String> {
        let mut fetched = answer(batches, 100);
        fetched.aborted = aborted
            .iter()
            .map(|(producer_id, first_offset)| AbortedTransaction {
                producer_id: *producer_id,
                first_offset: *first_offset,
            })
            .collect();
        shapes(&state(0, isolation).on_fetched(fetched).expect("readable").pieces)
    }

    fn shapes(pieces: &[Sourced]) -> Vec<String> {
        let shape = |piece: &Sourced| match piece {
            Sourced::Batch(batch) => {
                format!("{}..{}", batch.header().base_offset, batch.header().next_offset())
            }
            Sourced::Legacy(legacy) => format!("legacy {}", legacy.last_offset()),
            Sourced::Gap { first, end, reason } => format!("{first}..{end} {reason:?}"),
        };
        pieces.iter().map(shape).collect()
    }
}
