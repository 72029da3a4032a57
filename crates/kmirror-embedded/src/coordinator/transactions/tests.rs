use super::*;

const TIMEOUT_MS: i32 = 1_000;

/// Transactional ids of a cluster, and a clock that stands still.
struct Bench {
    transactions: Transactions,
    ids: ProducerIds,
    now_ms: i64,
}

impl Bench {
    fn new(version: TransactionVersion) -> Bench {
        Bench { transactions: Transactions::new(version), ids: ProducerIds::default(), now_ms: 5_000 }
    }

    fn initialize(&mut self, expected: Option<Producer>) -> Result<Producer, ResponseError> {
        let init = Init { timeout_ms: TIMEOUT_MS, expected };
        self.transactions.initialize("id", init, &mut self.ids, self.now_ms)
    }

    fn add(&mut self, producer: Producer) -> Result<(), ResponseError> {
        self.transactions.add("id", producer, &[partition()], self.now_ms)
    }

    fn end(
        &mut self,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<Producer, ResponseError> {
        self.transactions.end("id", producer, commit, version, &mut self.ids, self.now_ms)
    }

    /// Writes what is due; as whom.
    fn mark(&mut self) -> Vec<Producer> {
        let due = self.transactions.due_markers();
        due.iter().for_each(|marker| self.transactions.marked(marker, self.now_ms));
        due.into_iter().map(|marker| marker.producer).collect()
    }

    fn state(&self) -> TransactionState {
        self.transactions.get("id").expect("there").state()
    }
}

fn partition() -> PartitionName {
    ("topic".to_owned(), 0)
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

#[test]
fn nothing_goes_on_before_all_markers_are_written() {
    for version in [TransactionVersion::One, TransactionVersion::Two] {
        let mut bench = Bench::new(version);
        let first = bench.initialize(None).expect("initialized");
        bench.add(first).expect("added");
        let next = bench.end(first, true, version).expect("ended");
        assert_eq!(bench.state(), TransactionState::PrepareCommit);
        let early = Err(ResponseError::ConcurrentTransactions);
        assert_eq!(bench.initialize(None), early);
        assert_eq!(bench.end(first, true, version), early, "a repeat");
        assert_eq!(bench.add(next).map(|()| next), early);
        assert!(!bench.transactions.is_at_rest());
        let marked_as = bench.mark();
        assert_eq!(marked_as, [next], "of an epoch that fences what is late");
        assert_eq!(bench.state(), TransactionState::CompleteCommit);
        assert!(bench.transactions.is_at_rest());
        assert_eq!(bench.add(next), Ok(()));
    }
}

#[test]
fn a_marker_that_is_not_replicated_is_not_written_twice() {
    let mut bench = Bench::new(TransactionVersion::One);
    let first = bench.initialize(None).expect("initialized");
    bench.add(first).expect("added");
    bench.end(first, true, TransactionVersion::One).expect("ended");
    let due = bench.transactions.due_markers();
    bench.transactions.written(&due[0], 17);
    assert_eq!(bench.transactions.due_markers()[0].written_to, Some(17));
    assert_eq!(bench.state(), TransactionState::PrepareCommit);
    bench.mark();
    bench.add(first).expect("added");
    bench.end(first, true, TransactionVersion::One).expect("ended");
    assert_eq!(bench.transactions.due_markers()[0].written_to, None, "another one");
}

#[test]
fn exhausted_epochs_lead_to_another_producer_id() {
    let mut bench = Bench::new(TransactionVersion::One);
    let mut last = bench.initialize(None).expect("initialized");
    while last.epoch < i16::MAX - 1 {
        last = bench.initialize(Some(last)).expect("raised");
    }
    assert_eq!(last.id, 0);
    let behind = producer(0, last.epoch - 1);
    assert_eq!(bench.initialize(Some(behind)), Err(ResponseError::UnknownServerError));
    assert_eq!(bench.initialize(Some(last)), Ok(producer(1, 0)));
    assert_eq!(bench.initialize(Some(last)), Ok(producer(1, 0)), "the answer was lost");
    assert_eq!(bench.initialize(None), Ok(producer(1, 1)));
}

#[test]
fn the_last_epoch_is_for_fencing() {
    let mut bench = Bench::new(TransactionVersion::One);
    let mut last = bench.initialize(None).expect("initialized");
    while last.epoch < i16::MAX - 1 {
        last = bench.initialize(Some(last)).expect("raised");
    }
    bench.add(last).expect("added");
    assert_eq!(bench.initialize(None), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(bench.mark(), [producer(0, i16::MAX)]);
    assert_eq!(bench.initialize(None), Ok(producer(1, 0)));
}

#[test]
fn an_end_may_exhaust_the_epochs() {
    let two = TransactionVersion::Two;
    let mut bench = Bench::new(two);
    let mut last = bench.initialize(None).expect("initialized");
    while last.epoch < i16::MAX - 1 {
        bench.add(last).expect("added");
        last = bench.end(last, true, two).expect("ended");
        bench.mark();
    }
    bench.add(last).expect("added");
    assert_eq!(bench.end(last, true, two), Ok(producer(1, 0)));
    assert_eq!(bench.mark(), [producer(0, i16::MAX)], "still as the old one");
    assert_eq!(bench.end(last, true, two), Ok(producer(1, 0)), "the answer was lost");
    assert_eq!(bench.end(last, false, two), Err(ResponseError::InvalidTxnState));
    assert_eq!(bench.add(producer(1, 0)), Ok(()));
    assert_eq!(bench.end(last, true, two), Err(ResponseError::InvalidProducerIdMapping), "too late");
}

#[test]
fn what_takes_too_long_is_aborted_and_its_producer_fenced() {
    for version in [TransactionVersion::One, TransactionVersion::Two] {
        let mut bench = Bench::new(version);
        let first = bench.initialize(None).expect("initialized");
        bench.add(first).expect("added");
        bench.now_ms += i64::from(TIMEOUT_MS);
        bench.transactions.abort_timed_out(&mut bench.ids, bench.now_ms);
        assert_eq!(bench.state(), TransactionState::Ongoing, "not yet");
        bench.now_ms += 1;
        bench.transactions.abort_timed_out(&mut bench.ids, bench.now_ms);
        assert_eq!(bench.mark(), [producer(first.id, first.epoch + 1)]);
        assert_eq!(bench.state(), TransactionState::CompleteAbort);
        assert_eq!(bench.add(first), Err(ResponseError::ProducerFenced));
        assert_eq!(bench.end(first, true, TransactionVersion::One), Err(ResponseError::ProducerFenced));
    }
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    let mut bench = Bench::new(TransactionVersion::Two);
    let first = bench.initialize(None).expect("initialized");
    bench.add(first).expect("added");
    bench.transactions.forget_expired(i64::MAX);
    assert!(bench.transactions.get("id").is_some(), "its transaction is open");
    bench.end(first, true, TransactionVersion::Two).expect("ended");
    bench.mark();
    bench.transactions.forget_expired(i64::MAX);
    assert!(bench.transactions.get("id").is_none());
    assert_eq!(bench.add(first), Err(ResponseError::InvalidProducerIdMapping));
}
