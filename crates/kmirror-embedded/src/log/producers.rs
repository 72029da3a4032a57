//! What a partition remembers of its producers (`ProducerStateManager`, `ProducerAppendInfo`).

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;

use super::batch::Header;

/// The producers of one partition, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    entries: BTreeMap<i64, Producer>,
    /// Those whose coordinator was asked, and who have appended nothing since.
    verifying: BTreeMap<i64, Verifying>,
}

/// What is known of a producer before the first append of its transaction (`VerificationStateEntry`).
#[derive(Clone, Copy, Debug)]
struct Verifying {
    epoch: i16,
    /// A later batch must not overtake the one with this first sequence.
    lowest_sequence: i32,
    /// Whether every transaction has an epoch of its own (KIP-890), which begins with sequence 0.
    raises_epoch: bool,
}

/// One producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// The coordinator epoch of the last marker; -1 before the first.
    pub(crate) coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub(crate) transaction_start: Option<i64>,
    pub(crate) last_timestamp: i64,
    /// The last ones: repeats of these are recognised.
    batches: VecDeque<KnownBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownBatch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

/// What a batch is to its producer's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequenced {
    /// The next one, or the first that is known.
    Next,
    /// A repeat of one that is at this offset, and whose newest record has this timestamp.
    Repeat { base_offset: i64, timestamp: i64 },
}

impl Producers {
    /// Whether a transaction of this producer is open.
    pub(crate) fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        let entry = self.entries.get(&producer_id);
        entry.is_some_and(|producer| producer.epoch == epoch && producer.transaction_start.is_some())
    }

    /// The coordinator is going to be asked about a batch (`ProducerStateManager.maybeCreateVerificationStateEntry`).
    pub(crate) fn begin_verification(&mut self, header: &Header, raises_epoch: bool) {
        let (epoch, lowest_sequence) = (header.producer_epoch, header.base_sequence);
        let fresh = Verifying { epoch, lowest_sequence, raises_epoch };
        let known = self.verifying.entry(header.producer_id).or_insert(fresh);
        if epoch > known.epoch || epoch == known.epoch && lowest_sequence < known.lowest_sequence {
            (known.epoch, known.lowest_sequence) = (epoch, lowest_sequence);
        }
    }

    /// Judges a batch of a client by epoch and sequence, before it is appended.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for an earlier epoch, OUT_OF_ORDER_SEQUENCE_NUMBER for anything that is not the next batch or a
    /// repeat of one of the last five, INVALID_TXN_STATE for one outside of the transaction that is open.
    pub(crate) fn judge(&self, header: &Header) -> Result<Sequenced, ResponseError> {
        let Some(producer) = self.entries.get(&header.producer_id) else {
            return self.judge_verified(header, true).map(|()| Sequenced::Next);
        };
        if header.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let is_same_epoch = header.producer_epoch == producer.epoch;
        let same = |known: &&KnownBatch| {
            (known.first_sequence, known.last_sequence) == (header.base_sequence, header.last_sequence())
        };
        if let Some(known) = producer.batches.iter().find(same).filter(|_| is_same_epoch) {
            return Ok(Sequenced::Repeat { base_offset: known.base_offset, timestamp: known.timestamp });
        }
        self.judge_verified(header, producer.batches.is_empty())?;
        let expected = match producer.batches.back() {
            // A new epoch, or one of which nothing but markers is known.
            _ if !is_same_epoch => 0,
            None => 0,
            Some(last) => last.last_sequence.wrapping_add(1) & i32::MAX,
        };
        if header.base_sequence != expected {
            Err(ResponseError::OutOfOrderSequenceNumber)
        } else if producer.transaction_start.is_some() && !header.is_transactional() {
            Err(ResponseError::InvalidTxnState)
        } else {
            Ok(Sequenced::Next)
        }
    }

    fn judge_verified(&self, header: &Header, is_first: bool) -> Result<(), ResponseError> {
        let Some(verifying) = self.verifying.get(&header.producer_id) else { return Ok(()) };
        let must_begin = verifying.raises_epoch && is_first;
        if must_begin && header.base_sequence != 0 || header.base_sequence > verifying.lowest_sequence {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        Ok(())
    }

    /// Judges a marker by its epochs.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH and TRANSACTION_COORDINATOR_FENCED for epochs that are behind.
    pub(crate) fn judge_marker(&self, header: &Header, coordinator_epoch: i32) -> Result<(), ResponseError> {
        match self.entries.get(&header.producer_id) {
            Some(producer) if header.producer_epoch < producer.epoch => {
                Err(ResponseError::InvalidProducerEpoch)
            }
            Some(producer) if coordinator_epoch < producer.coordinator_epoch => {
                Err(ResponseError::TransactionCoordinatorFenced)
            }
            _ => Ok(()),
        }
    }

    /// Takes in a data batch at its offset.
    pub(crate) fn append(&mut self, header: &Header) {
        let producer = self.entry(header);
        producer.last_timestamp = header.max_timestamp;
        producer.batches.push_back(KnownBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
            timestamp: header.max_timestamp,
        });
        if producer.batches.len() > BATCHES_KEPT {
            producer.batches.pop_front();
        }
        if header.is_transactional() {
            producer.transaction_start.get_or_insert(header.base_offset);
            self.verifying.remove(&header.producer_id);
        }
    }

    /// Takes in a marker at its offset. Where the transaction began that it ends, if there was one.
    pub(crate) fn append_marker(&mut self, header: &Header, coordinator_epoch: i32) -> Option<i64> {
        self.verifying.remove(&header.producer_id);
        let producer = self.entry(header);
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp = header.max_timestamp;
        producer.transaction_start.take()
    }

    /// The first offset of any open transaction.
    pub(crate) fn first_unstable(&self) -> Option<i64> {
        self.entries.values().filter_map(|producer| producer.transaction_start).min()
    }

    /// All producers with their last sequence, -1 where none is known.
    pub(crate) fn describe(&self) -> impl Iterator<Item = (i64, &Producer, i32)> {
        let last = |producer: &Producer| producer.batches.back().map_or(-1, |known| known.last_sequence);
        self.entries.iter().map(move |(id, producer)| (*id, producer, last(producer)))
    }

    pub(crate) fn get(&self, producer_id: i64) -> Option<&Producer> {
        self.entries.get(&producer_id)
    }

    /// Forgets the producers without an open transaction.
    pub(crate) fn expire(&mut self) {
        self.expire_until(i64::MAX);
    }

    /// Forgets those without an open transaction whose last batch is of this time or earlier. It is the time of that batch's newest
    /// record that counts, not when it was appended (`ProducerStateManager.isProducerExpired`).
    pub(crate) fn expire_until(&mut self, timestamp: i64) {
        self.entries.retain(|_, producer| {
            producer.transaction_start.is_some() || producer.last_timestamp > timestamp
        });
    }

    fn entry(&mut self, header: &Header) -> &mut Producer {
        let fresh = || Producer {
            epoch: header.producer_epoch,
            coordinator_epoch: -1,
            transaction_start: None,
            last_timestamp: -1,
            batches: VecDeque::new(),
        };
        let producer = self.entries.entry(header.producer_id).or_insert_with(fresh);
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer
    }
}

/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
const BATCHES_KEPT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_batch_is_taken_and_one_of_the_last_five_answered() {
        let mut producers = Producers::default();
        let append = |producers: &mut Producers, first, count, base_offset| {
            let header = data(first, count, base_offset);
            let judged = producers.judge(&header);
            if judged == Ok(Sequenced::Next) {
                producers.append(&header);
            }
            judged
        };
        assert_eq!(append(&mut producers, 700, 10, 0), Ok(Sequenced::Next), "any first sequence");
        for index in 0..6 {
            let base_offset = i64::from(10 + index * 2);
            assert_eq!(append(&mut producers, 710 + index * 2, 2, base_offset), Ok(Sequenced::Next));
        }
        assert_eq!(
            append(&mut producers, 712, 2, 99),
            Ok(Sequenced::Repeat { base_offset: 12, timestamp: 0 }),
            "the fifth last"
        );
        let refused = Err(ResponseError::OutOfOrderSequenceNumber);
        assert_eq!(append(&mut producers, 710, 2, 99), refused, "the sixth last");
        assert_eq!(append(&mut producers, 720, 1, 99), refused, "the same first sequence, another count");
        assert_eq!(append(&mut producers, 723, 1, 99), refused, "one is left out");
    }

    #[test]
    fn sequences_wrap_and_epochs_begin_at_zero() {
        let mut producers = Producers::default();
        producers.append(&data(i32::MAX - 1, 2, 0));
        assert_eq!(producers.judge(&data(0, 5, 2)), Ok(Sequenced::Next));
        let newer = |first| Header { producer_epoch: 4, ..data(first, 1, 2) };
        assert_eq!(producers.judge(&newer(1)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&newer(0)), Ok(Sequenced::Next));
        producers.append(&newer(0));
        assert_eq!(producers.judge(&data(1, 1, 3)), Err(ResponseError::InvalidProducerEpoch));
    }

    #[test]
    fn markers_are_fenced_by_epochs_and_move_no_sequence() {
        let mut producers = Producers::default();
        producers.append(&data(5, 1, 0));
        let marker = data(-1, 1, 1);
        assert_eq!(producers.judge_marker(&marker, 7), Ok(()));
        assert_eq!(producers.append_marker(&marker, 7), None, "no transaction was open");
        assert_eq!(producers.judge_marker(&marker, 7), Ok(()), "an equal one is taken");
        assert_eq!(producers.judge_marker(&marker, 6), Err(ResponseError::TransactionCoordinatorFenced));
        assert_eq!(producers.judge(&data(6, 1, 2)), Ok(Sequenced::Next));
        producers.expire();
        assert_eq!(producers.judge_marker(&marker, 0), Ok(()), "forgotten");
    }

    fn data(base_sequence: i32, count: i32, base_offset: i64) -> Header {
        Header {
            base_offset,
            length: 0,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 9,
            producer_epoch: 3,
            base_sequence,
            records_count: count,
        }
    }
}
