//! When tiny batches are merged, and that nothing else changes by it. What a merged batch is, the codec's tests say.

use kmirror_codec::{BatchHeader, Compression, GapReason};

use super::*;
use crate::test_support::TestBatch;

#[test]
fn tiny_batches_that_wait_leave_as_one() {
    let mut waiting = Waiting::at(100);
    waiting.push([TestBatch::dense(100, 101)]);
    assert_eq!(waiting.send(), [(100, 1)], "nothing waits behind it");
    let weight_bytes = waiting.push([TestBatch::dense(101, 102), TestBatch::dense(102, 104)]);
    assert_eq!(waiting.send(), [], "one in flight before the first success");
    waiting.push([TestBatch::dense(104, 105)]);
    waiting.acknowledge(100);
    waiting.gap(105, 106);
    assert_eq!(waiting.send(), [(101, 4)], "up to the hole");
    let weight_bytes = weight_bytes + TestBatch::dense(104, 105).build().bytes().len();
    let acknowledged = waiting.state.on_produced(waiting.now, waiting.now.moment, Ok(Appended::at(101)));
    assert_eq!(acknowledged, Outcome::Acknowledged { records: 4, bytes: weight_bytes as u64 });
    assert_eq!(waiting.state.acknowledged(), 105);
}

#[test]
fn what_is_merged_here_is_paid_for() {
    let budget = Budget::new(100_000);
    let mut waiting = Waiting::at(0);
    waiting.state = waiting.state.merging(1 << 20, budget.clone());
    waiting.push([TestBatch::dense(0, 1)]);
    waiting.send();
    waiting.acknowledge(0);
    waiting.push([TestBatch::dense(1, 2), TestBatch::dense(2, 3)]);
    assert_eq!(budget.available_bytes(), 100_000);
    assert_eq!(waiting.send(), [(1, 2)]);
    assert!(budget.available_bytes() < 100_000, "until it is acknowledged");
    waiting.acknowledge(1);
    assert_eq!(budget.available_bytes(), 100_000);
}

#[test]
fn what_is_not_tiny_goes_as_it_is() {
    let large = || TestBatch::dense(2, 1_000);
    let packed = |first| TestBatch::dense(first, first + 1).codec(Compression::Lz4);
    let mut waiting = Waiting::at(0);
    waiting.push([TestBatch::dense(0, 1)]);
    waiting.send();
    waiting.acknowledge(0);
    assert!(large().build().bytes().len() > TINY_BYTES_MAX);
    waiting.push([
        TestBatch::dense(1, 2),
        large(),
        packed(1_000),
        packed(1_001),
        TestBatch::dense(1_002, 1_003),
    ]);
    assert_eq!(waiting.send(), [(1, 1), (2, 998), (1_000, 1), (1_001, 1), (1_002, 1)]);
}

#[test]
fn a_merged_batch_is_no_larger_than_the_target_takes() {
    let mut waiting = Waiting::at(0);
    let each = TestBatch::dense(0, 1).build().bytes().len();
    waiting.state = waiting.state.merging(2 * each, Budget::new(0));
    waiting.push([TestBatch::dense(0, 1)]);
    waiting.send();
    waiting.acknowledge(0);
    waiting.push((1..6).map(|first| TestBatch::dense(first, first + 1)));
    let sent = waiting.state.next_batch(waiting.now).expect("due");
    assert!(sent.merged > 1 && sent.header.len() + sent.payload.len() <= 2 * each);
    let mut apart = Waiting::at(0);
    apart.state = apart.state.merging(0, Budget::new(0));
    apart.push([TestBatch::dense(0, 1), TestBatch::dense(1, 2)]);
    assert_eq!(apart.send(), [(0, 1)]);
}

/// A broker knows a repeat by its first and its last sequence (`ProducerStateEntry.findDuplicateBatch`).
#[test]
fn what_was_sent_is_sent_again_as_it_was() {
    let mut waiting = Waiting::at(0);
    waiting.push([TestBatch::dense(0, 1)]);
    waiting.send();
    waiting.acknowledge(0);
    waiting.push([TestBatch::dense(1, 2), TestBatch::dense(2, 3)]);
    assert_eq!(waiting.send(), [(1, 2)]);
    waiting.push([TestBatch::dense(3, 4)]);
    assert_eq!(waiting.send(), [(3, 1)]);
    waiting.push([TestBatch::dense(4, 5)]);
    for _ in 0..2 {
        let again = Err(Refusal::Again("not enough replicas".to_owned()));
        waiting.state.on_produced(waiting.now, waiting.now.moment, again);
    }
    waiting.now += BACKOFF_MAX;
    assert_eq!(waiting.send(), [(1, 2), (3, 1), (4, 1)]);
}

#[test]
fn a_merged_batch_that_is_refused_is_sent_in_its_parts() {
    let refusal = |reason| Err(Refusal::Park(Parked::new(reason, "a record has no key".to_owned())));
    let refused = |merges: bool, reason| {
        let mut waiting = Waiting::at(0);
        if !merges {
            waiting.state = waiting.state.merging(0, Budget::new(0));
        }
        waiting.push([TestBatch::dense(0, 1)]);
        waiting.send();
        waiting.acknowledge(0);
        waiting.push([TestBatch::dense(1, 2), TestBatch::dense(2, 3)]);
        let sent = waiting.send().len();
        let outcomes: Vec<_> = (0..sent)
            .map(|_| waiting.state.on_produced(waiting.now, waiting.now.moment, refusal(reason)))
            .collect();
        outcomes.into_iter().next_back()
    };
    let taken_over = refused(true, ParkReason::Rejected);
    assert_eq!(taken_over, Some(Outcome::TakeOver(TakeOverCause::MergedRefused)));
    for (merges, reason, range) in
        [(false, ParkReason::Rejected, "[1, 2)"), (true, ParkReason::TooLarge, "[1, 3)")]
    {
        let Some(Outcome::Park(parked)) = refused(merges, reason) else { panic!("{reason:?}") };
        assert!(parked.message.contains(range), "{parked}");
    }
}

struct Waiting {
    state: AppendState,
    now: Now,
}

impl Waiting {
    fn at(position: i64) -> Waiting {
        let start = AppendStart {
            position,
            delta: 0,
            surplus: 0,
            next_sequence: None,
            token: 4,
            seen_at: Now::of_test().moment,
        };
        Waiting {
            state: AppendState::new(7, start).merging(1 << 20, Budget::new(1 << 20)),
            now: Now::of_test(),
        }
    }

    /// Their bytes.
    fn push(&mut self, batches: impl IntoIterator<Item = TestBatch>) -> usize {
        let push = |batch: TestBatch| {
            let batch = batch.build();
            let bytes = batch.bytes().len();
            self.state.push(Item::Batch { batch, held: None, merged: 0 }).expect("the next");
            bytes
        };
        batches.into_iter().map(push).sum()
    }

    fn gap(&mut self, first: i64, end: i64) {
        self.state.push(Item::Gap { first, end, reason: GapReason::Control }).expect("the next");
    }

    /// Sends what may be sent: base sequences, which are source offsets here, and records.
    fn send(&mut self) -> Vec<(i32, i32)> {
        let shape = |outgoing: Outgoing| {
            let header = BatchHeader::parse(&outgoing.header).expect("a header");
            (header.base_sequence, header.records_count)
        };
        std::iter::from_fn(|| self.state.next_batch(self.now)).map(shape).collect()
    }

    fn acknowledge(&mut self, base_offset: i64) {
        let outcome = self.state.on_produced(self.now, self.now.moment, Ok(Appended::at(base_offset)));
        assert!(matches!(outcome, Outcome::Acknowledged { .. }), "{outcome:?}");
    }
}
