//! What is known of a head that is being filled, and what is sent next. Pure: no async, no clock.

use std::time::Duration;

use crate::ground::park::{ParkReason, Parked};
use crate::ground::sequence::Sequence;

/// Placeholders to append in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholders {
    /// The target offset of the first.
    pub(crate) first: i64,
    /// How many.
    pub(crate) records: i32,
}

/// Why a batch of placeholders was refused, by what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is larger than `max.message.bytes` of the topic.
    TooLarge(String),
    /// A passing condition of the partition: the same batch again, a little later.
    Again(String),
    /// Where the log ends, who leads it or whether the batch arrived is not known: look again.
    Unknown(String),
    /// An operator is needed.
    Park(Parked),
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing special: send what may be sent, then wait for the next answer.
    Going,
    /// Nothing is in flight. Go on after this time.
    Pause(Duration),
    /// Every offset is filled and acknowledged.
    Filled,
    /// This state is finished: where the log ends must be read before anything else is sent.
    Unknown(String),
    /// This state is finished until an operator steps in.
    Park(Parked),
}

/// The placeholders of one partition: to be sent, in flight, acknowledged.
///
/// A batch's sequence is the offset that it is meant for. So it is accepted only there, whoever sends it: another owner
/// that fills the same head, or a request that arrives late, changes nothing.
#[derive(Debug)]
pub(crate) struct SeedState {
    /// The log ends here, as the broker has confirmed.
    acknowledged: i64,
    /// The first offset that is not to be filled.
    to: i64,
    records_max: i32,
    /// One at a time: a broker that forgets the producer in between, after it has refused the first for a passing reason, would take
    /// the second in its place.
    in_flight: Option<Placeholders>,
    attempt: u32,
}

impl SeedState {
    /// Fills `[from, to)` of a log that ends at `from`.
    pub(crate) fn new(from: i64, to: i64) -> SeedState {
        SeedState { acknowledged: from, to, records_max: RECORDS_MAX, in_flight: None, attempt: 0 }
    }

    /// The next batch, if one may be sent now.
    pub(crate) fn next_batch(&mut self) -> Option<Placeholders> {
        if self.in_flight.is_some() || self.acknowledged >= self.to {
            return None;
        }
        let missing = self.to - self.acknowledged;
        let records = i32::try_from(missing).map_or(self.records_max, |left| left.min(self.records_max));
        let batch = Placeholders { first: self.acknowledged, records };
        self.in_flight = Some(batch);
        Some(batch)
    }

    /// The answer to the batch in flight: its base offset, or why it was refused.
    pub(crate) fn on_answer(&mut self, answer: Result<i64, Refused>) -> Outcome {
        let Some(batch) = self.in_flight.take() else { return Outcome::Going };
        match answer {
            Ok(base_offset) if base_offset == batch.first => self.acknowledge(batch),
            Ok(base_offset) => Outcome::Park(diverged(batch.first, base_offset)),
            Err(Refused::Unknown(cause)) => Outcome::Unknown(cause),
            Err(Refused::Park(parked)) => Outcome::Park(parked),
            Err(Refused::TooLarge(cause)) if batch.records == 1 => {
                Outcome::Park(Parked::new(ParkReason::TooLarge, cause))
            }
            Err(Refused::TooLarge(_)) => {
                self.records_max = batch.records / 2;
                Outcome::Going
            }
            Err(Refused::Again(cause)) => {
                self.attempt += 1;
                if self.attempt > ATTEMPTS_MAX {
                    return Outcome::Unknown(cause);
                }
                Outcome::Pause((BACKOFF_MIN * 2u32.pow(self.attempt - 1)).min(BACKOFF_MAX))
            }
        }
    }

    /// Everything below this offset is filled.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    fn acknowledge(&mut self, batch: Placeholders) -> Outcome {
        self.acknowledged = batch.end();
        self.attempt = 0;
        if self.acknowledged >= self.to { Outcome::Filled } else { Outcome::Going }
    }
}

impl Placeholders {
    /// The first offset after them.
    pub(crate) fn end(self) -> i64 {
        self.first + i64::from(self.records)
    }

    /// The sequence of the first.
    pub(crate) fn base_sequence(self) -> Sequence {
        Sequence::of_first_append(self.first)
    }
}

fn diverged(expected: i64, found: i64) -> Parked {
    Parked::new(
        ParkReason::TargetDiverged,
        format!(
            "while the head of the target's log was filled somebody else wrote to it: placeholders for offset {expected} came to \
             stand at {found}. Delete the target topic to have it copied again"
        ),
    )
}

/// As many as make a batch of about 0.8 MB, below the default `max.message.bytes` of 1 MiB.
pub(super) const RECORDS_MAX: i32 = 1_000_000;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, records: i32) -> Placeholders {
        Placeholders { first, records }
    }

    /// A state that has had its first success.
    fn begun(to: i64) -> SeedState {
        let mut state = SeedState::new(0, to);
        assert_eq!(state.next_batch(), Some(batch(0, RECORDS_MAX)));
        assert_eq!(state.next_batch(), None, "one at a time");
        assert_eq!(state.on_answer(Ok(0)), Outcome::Going);
        state
    }

    #[test]
    fn batches_are_contiguous_and_the_last_one_is_shorter() {
        let mut state = begun(2_500_000);
        assert_eq!(state.next_batch(), Some(batch(1_000_000, 1_000_000)));
        assert_eq!(state.on_answer(Ok(1_000_000)), Outcome::Going);
        assert_eq!(state.next_batch(), Some(batch(2_000_000, 500_000)));
        assert_eq!(state.acknowledged(), 2_000_000);
        assert_eq!(state.on_answer(Ok(2_000_000)), Outcome::Filled);
        assert_eq!((state.acknowledged(), state.next_batch()), (2_500_000, None));
    }

    #[test]
    fn a_resumed_head_goes_on_where_the_log_ends() {
        let mut state = SeedState::new(1_234, 1_240);
        assert_eq!(state.next_batch(), Some(batch(1_234, 6)));
        assert_eq!(state.on_answer(Ok(1_234)), Outcome::Filled);
    }

    #[test]
    fn a_sequence_is_the_offset_even_beyond_two_thousand_million() {
        assert_eq!(batch(1_234, 1).base_sequence().value(), 1_234);
        let wrapped = batch((1 << 31) + 7, 1);
        assert_eq!(wrapped.base_sequence().value(), 7);
        let across = batch((1 << 31) - 1, 3);
        assert_eq!(across.base_sequence().plus(across.records), batch(across.end(), 1).base_sequence());
    }

    #[test]
    fn a_refused_batch_is_sent_again() {
        let mut state = begun(10_000_000);
        let sent = state.next_batch();
        let again = || Err(Refused::Again("NOT_ENOUGH_REPLICAS (19)".to_owned()));
        assert_eq!(state.on_answer(again()), Outcome::Pause(BACKOFF_MIN));
        assert_eq!(state.next_batch(), sent);
        assert_eq!(state.on_answer(again()), Outcome::Pause(BACKOFF_MIN * 2), "longer each time");
    }

    #[test]
    fn patience_ends() {
        let mut state = SeedState::new(0, 5);
        for _ in 0..ATTEMPTS_MAX {
            assert!(state.next_batch().is_some());
            assert!(matches!(state.on_answer(Err(Refused::Again("19".to_owned()))), Outcome::Pause(_)));
        }
        assert!(state.next_batch().is_some());
        assert_eq!(state.on_answer(Err(Refused::Again("19".to_owned()))), Outcome::Unknown("19".to_owned()));
    }

    #[test]
    fn batches_are_halved_until_the_target_takes_them() {
        let mut state = SeedState::new(0, 3_000_000);
        let mut records = Vec::new();
        loop {
            let sent = state.next_batch().unwrap();
            records.push(sent.records);
            match sent.records > 200_000 {
                true => assert_eq!(state.on_answer(Err(Refused::TooLarge("10".to_owned()))), Outcome::Going),
                false => break assert_eq!(state.on_answer(Ok(0)), Outcome::Going),
            }
        }
        assert_eq!(records, [1_000_000, 500_000, 250_000, 125_000]);
        assert_eq!(state.next_batch(), Some(batch(125_000, 125_000)));
    }

    #[test]
    fn a_target_that_takes_not_even_one_placeholder_parks() {
        let mut state = SeedState::new(0, 1);
        state.next_batch();
        let parked = Parked::new(ParkReason::TooLarge, "10");
        assert_eq!(state.on_answer(Err(Refused::TooLarge("10".to_owned()))), Outcome::Park(parked));
    }

    #[test]
    fn a_batch_that_stands_elsewhere_parks() {
        let mut state = begun(3_000_000);
        state.next_batch();
        let Outcome::Park(parked) = state.on_answer(Ok(1_000_001)) else { panic!("went on") };
        assert_eq!(parked.reason, ParkReason::TargetDiverged);
        assert!(parked.message.contains("for offset 1000000 came to stand at 1000001"), "{parked}");
    }

    #[test]
    fn a_lost_answer_ends_it() {
        let mut state = begun(3_000_000);
        state.next_batch();
        let lost = state.on_answer(Err(Refused::Unknown("closed".to_owned())));
        assert_eq!(lost, Outcome::Unknown("closed".to_owned()));
        assert_eq!(state.acknowledged(), 1_000_000);
    }
}
