//! What an answer without records proves. Pure.
//!
//! Alone it proves nothing: a broker that reads from tiered storage, and cannot in time, answers without records and without an error,
//! and expects to be asked for the same offset again (KIP-1018). Offsets without any batch are a cleaner's work alone, and topics that
//! are compacted are never tiered (KIP-405). So only in those several answers that waited, all by one leader of an unchanged log, are
//! a proof.

use kmirror_client::{FetchedPartition, Isolation};

/// The answers without records to requests for one offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emptiness {
    seen: Option<Seen>,
    answers: u32,
}

/// The log that an answer without records was given of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    position: i64,
    leader_epoch: Option<i32>,
    log_start: i64,
    high_watermark: i64,
    readable_end: i64,
}

impl Emptiness {
    /// Takes in an answer without records to a request for `position` that waited for some. The end of the hole that begins there, if
    /// there is one: no batch is before it.
    pub(crate) fn take_in(
        &mut self,
        position: i64,
        fetched: &FetchedPartition,
        isolation: Isolation,
    ) -> Option<i64> {
        let seen = Seen {
            position,
            leader_epoch: fetched.leader_epoch,
            log_start: fetched.log_start_offset,
            high_watermark: fetched.high_watermark,
            readable_end: fetched.readable_end(isolation),
        };
        self.answers = if self.seen == Some(seen) { self.answers.saturating_add(1) } else { 1 };
        self.seen = Some(seen);
        (self.answers >= ANSWERS_MIN).then_some(seen.readable_end)
    }
}

/// So many answers in a row are a proof.
pub(crate) const ANSWERS_MIN: u32 = 3;

#[cfg(test)]
mod tests {
    use kmirror_client::TopicPartition;

    use super::*;

    /// An answer of the leader in epoch 4, by (log start, last stable offset, high watermark).
    fn answer((log_start, last_stable_offset, high_watermark): (i64, i64, i64)) -> FetchedPartition {
        FetchedPartition {
            topic_partition: TopicPartition::new("orders", 0),
            error: None,
            high_watermark,
            last_stable_offset,
            log_start_offset: log_start,
            aborted: Vec::new(),
            diverging_epoch: None,
            leader_hint: None,
            leader_epoch: Some(4),
            preferred_read_replica: None,
            records: bytes::Bytes::new(),
        }
    }

    #[test]
    fn several_answers_of_an_unchanged_log_are_a_proof() {
        let mut emptiness = Emptiness::default();
        let mut ask = || emptiness.take_in(5, &answer((0, 9, 12)), Isolation::ReadCommitted);
        assert_eq!([ask(), ask(), ask(), ask()], [None, None, Some(9), Some(9)]);
        let mut emptiness = Emptiness::default();
        let mut ask = || emptiness.take_in(5, &answer((0, 9, 12)), Isolation::ReadUncommitted);
        assert_eq!([ask(), ask(), ask()], [None, None, Some(12)], "as far as it was asked for");
    }

    #[test]
    fn whatever_changes_in_between_begins_anew() {
        let before = (5, answer((0, 9, 12)));
        let table = [
            ("another offset", (6, answer((0, 9, 12)))),
            ("another leader epoch", (5, FetchedPartition { leader_epoch: Some(5), ..answer((0, 9, 12)) })),
            ("another log start", (5, answer((1, 9, 12)))),
            ("another last stable offset", (5, answer((0, 10, 12)))),
            ("another high watermark", (5, answer((0, 9, 13)))),
        ];
        for (what, after) in table {
            let mut emptiness = Emptiness::default();
            let asked = [&before, &before, &after, &after, &after];
            let proven = asked.map(|(position, answer)| {
                emptiness.take_in(*position, answer, Isolation::ReadCommitted).is_some()
            });
            assert_eq!(proven, [false, false, false, false, true], "{what}");
        }
    }
}
