//! [`AppendState`] against a model of a target partition: random schedules of batches, holes, refusals, lost answers, late
//! execution and two owners who do not know of each other. The model's log must come out as the source's.
//!
//! A failure prints its seed; `schedule(seed)` replays it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kmirror_codec::{
    Batch, BatchBuilder, Compression, GapReason, Limits, NewRecord, Records, Workspace, decompress,
};

use super::sequence::Sequence;
use super::state::{AppendStart, AppendState, Control, Outcome, Outgoing, Refusal, TakeOverCause};
use crate::item::Item;
use crate::test_support::Random;

#[test]
fn two_owners_never_lose_double_or_reorder() {
    let exact = (0..3_000).filter(|seed| schedule(*seed)).count();
    assert!(exact > 500, "only {exact} of 3000 schedules came out exact: the others prove too little");
}

#[test]
fn two_owners_are_exact_where_there_are_no_holes() {
    for seed in 0..2_000 {
        let mut world = World::new(seed, 2, Late::Sometimes);
        world.source.fill(true);
        world.run();
        assert!(!world.diverged, "seed {seed}: data appends alone cannot diverge");
    }
}

#[test]
fn one_owner_is_exact_whatever_is_lost() {
    for seed in 0..2_000 {
        let mut world = World::new(seed, 1, Late::Never);
        world.run();
        assert!(
            !world.diverged,
            "seed {seed}: one owner whose lost requests are not executed late never diverges"
        );
    }
}

/// One random schedule with two owners and lost requests that are executed arbitrarily late. Whether the log is exact.
fn schedule(seed: u64) -> bool {
    let mut world = World::new(seed, 2, Late::Sometimes);
    world.run();
    !world.diverged
}

/// The rules of a partition leader (append.md's table of primitives; Kafka `ProducerAppendInfo`).
#[derive(Default)]
struct Log {
    /// A record's source offset, or `None` for a marker.
    offsets: Vec<Option<i64>>,
    /// First sequence, last sequence and base offset of the last five batches.
    batches: VecDeque<(i32, i32, i64)>,
    token: i32,
}

#[derive(Clone, Debug)]
enum Request {
    Data { base_sequence: i32, records: Vec<i64> },
    Markers { count: u32, token: i32 },
    ReadEnd,
}

#[derive(Clone, Debug)]
enum Answer {
    Data(Result<i64, Refusal>),
    Markers(Result<(), Refusal>),
    End(i64),
}

impl Log {
    fn end(&self) -> i64 {
        self.offsets.len() as i64
    }

    fn execute(&mut self, request: &Request) -> Answer {
        match request {
            Request::Data { base_sequence, records } => Answer::Data(self.append(*base_sequence, records)),
            Request::Markers { token, .. } if *token < self.token => {
                Answer::Markers(Err(Refusal::TakeOver(TakeOverCause::Fenced { token: *token })))
            }
            Request::Markers { count, token } => {
                self.token = *token;
                self.offsets.extend((0..*count).map(|_| None));
                Answer::Markers(Ok(()))
            }
            Request::ReadEnd => Answer::End(self.end()),
        }
    }

    fn append(&mut self, base_sequence: i32, records: &[i64]) -> Result<i64, Refusal> {
        let last_sequence = Sequence::after(base_sequence, records.len() as i32 - 1).value();
        let repeat =
            self.batches.iter().find(|(first, last, _)| (*first, *last) == (base_sequence, last_sequence));
        if let Some((_, _, base_offset)) = repeat {
            return Ok(*base_offset);
        }
        let is_next =
            self.batches.back().is_none_or(|(_, last, _)| Sequence::after(*last, 1).value() == base_sequence);
        if !is_next {
            return Err(Refusal::TakeOver(TakeOverCause::OutOfOrder));
        }
        let base_offset = self.end();
        self.offsets.extend(records.iter().copied().map(Some));
        self.batches.push_back((base_sequence, last_sequence, base_offset));
        if self.batches.len() > 5 {
            self.batches.pop_front();
        }
        Ok(base_offset)
    }

    /// What a take-over reads. `None`: the comparison with the source fails.
    fn take_over(&self, source: &[bool]) -> Option<AppendStart> {
        let exact = self.offsets.iter().enumerate().all(|(offset, record)| match record {
            Some(source_offset) => *source_offset == offset as i64,
            None => source.get(offset) == Some(&false),
        });
        exact.then(|| AppendStart {
            position: self.end(),
            next_sequence: self.batches.back().map(|(_, last, _)| Sequence::after(*last, 1)),
            token: self.token + 1,
        })
    }
}

/// When requests of a broken connection are executed.
#[derive(Clone, Copy, PartialEq)]
enum Late {
    Never,
    Sometimes,
}

struct World {
    seed: u64,
    random: Random,
    late: Late,
    /// Whether the source has a record at each offset.
    source: Vec<bool>,
    log: Log,
    owners: Vec<Owner>,
    /// Requests of broken connections that the broker has not got round to.
    orphans: Vec<Request>,
    now: Instant,
    /// Whether an owner has noticed that the log is not the source's: the one imperfection, in a rare schedule.
    diverged: bool,
}

#[derive(Default)]
struct Owner {
    state: Option<AppendState>,
    /// The next source offset to be queued.
    next: i64,
    /// One connection: executed and answered in order.
    requests: VecDeque<Request>,
    answers: VecDeque<Answer>,
}

impl World {
    fn new(seed: u64, owners: usize, late: Late) -> World {
        let mut random = Random::new(seed);
        let mut source = Vec::new();
        while source.len() < 30 {
            let has_records = random.below(3) > 0;
            source.extend((0..=random.below(5)).map(|_| has_records));
        }
        let owners = (0..owners).map(|_| Owner::default()).collect();
        let log = Log::default();
        let now = Instant::now();
        World { seed, random, late, source, log, owners, orphans: Vec::new(), now, diverged: false }
    }

    fn run(&mut self) {
        for step in 0..2_000 {
            // After a while the network is well, so that every schedule comes to an end.
            self.step(step < 400);
            self.check_order();
            if self.diverged || self.is_exact() && self.log.end() == self.source.len() as i64 {
                return;
            }
        }
        // A hole at the end of the log that is too long is for the next take-over to notice.
        let noticed = self.log.end() > self.source.len() as i64 && self.log.take_over(&self.source).is_none();
        assert!(noticed, "seed {}: stuck or shifted unnoticed: {:?}", self.seed, self.log.offsets);
    }

    /// Whatever happens, the records in the log are the source's, each once and in order.
    fn check_order(&self) {
        let copied: Vec<i64> = self.log.offsets.iter().copied().flatten().collect();
        let expected = (0..self.source.len() as i64).filter(|offset| self.source[*offset as usize]);
        let expected: Vec<i64> = expected.take(copied.len()).collect();
        assert_eq!(copied, expected, "seed {}: lost, doubled or out of order", self.seed);
    }

    fn is_exact(&self) -> bool {
        let at_home = |(at, record): (usize, &Option<i64>)| record.is_none_or(|from| from == at as i64);
        self.log.offsets.iter().enumerate().all(at_home)
    }

    fn step(&mut self, faulty: bool) {
        self.now += Duration::from_millis(self.random.below(40));
        let index = self.random.below(self.owners.len() as u64) as usize;
        match self.random.below(if faulty { 12 } else { 10 }) {
            0..=1 => self.push(index),
            2..=4 => self.send(index),
            5..=7 => self.execute(index, faulty),
            8..=9 => self.deliver(index),
            10 => self.lose_connection(index),
            _ => self.execute_orphan(),
        }
    }

    fn push(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(state) = &mut owner.state else {
            match self.log.take_over(&self.source) {
                Some(start) => {
                    owner.next = start.position;
                    owner.state = Some(AppendState::new(7, start));
                }
                None => self.diverged = true,
            }
            return;
        };
        let Some(has_records) = self.source.get(owner.next as usize).copied() else { return };
        let run = self.source[owner.next as usize..].iter().take_while(|next| **next == has_records).count();
        let length = 1 + self.random.below(run as u64) as i64;
        let (first, end) = (owner.next, owner.next + length);
        owner.next = end;
        let item = if has_records {
            Item::Batch { batch: batch(first, end), held: None }
        } else {
            Item::Gap { first, end, reason: GapReason::Control }
        };
        state.push(item).expect("contiguous");
    }

    fn send(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(state) = &mut owner.state else { return };
        if let Some(outgoing) = state.next_batch(self.now) {
            owner.requests.push_back(data_request(outgoing));
        }
        match state.next_control(self.now) {
            Some(Control::WriteMarkers { count, token }) => {
                owner.requests.push_back(Request::Markers { count, token });
            }
            Some(Control::ReadEnd) => owner.requests.push_back(Request::ReadEnd),
            None => {}
        }
    }

    fn execute(&mut self, index: usize, faulty: bool) {
        let refuses = faulty && self.random.below(8) == 0;
        let after_append = self.random.below(2) == 0;
        let owner = &mut self.owners[index];
        let Some(request) = owner.requests.pop_front() else { return };
        let again = || Refusal::Again("not enough replicas".to_owned());
        let answer = match request {
            Request::Data { .. } if refuses => {
                if after_append {
                    self.log.execute(&request);
                }
                Answer::Data(Err(again()))
            }
            Request::Markers { .. } if refuses => {
                if after_append {
                    self.log.execute(&request);
                }
                Answer::Markers(Err(again()))
            }
            _ => self.log.execute(&request),
        };
        owner.answers.push_back(answer);
    }

    fn deliver(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(answer) = owner.answers.pop_front() else { return };
        let Some(state) = &mut owner.state else { return };
        let outcome = match answer {
            Answer::Data(produced) => state.on_produced(self.now, produced),
            Answer::Markers(written) => state.on_markers(written),
            Answer::End(end) => state.on_log_end(self.now, end, end),
        };
        match outcome {
            Outcome::Going | Outcome::Acknowledged { .. } => {}
            Outcome::TakeOver(_) => self.forget(index, true),
            Outcome::Park(_) => self.diverged = true,
        }
    }

    fn lose_connection(&mut self, index: usize) {
        self.forget(index, self.late == Late::Never);
    }

    /// The owner's state and connection are gone. What was sent is executed now, later, or never.
    fn forget(&mut self, index: usize, now_or_never: bool) {
        let owner = std::mem::take(&mut self.owners[index]);
        let executed = self.random.below(owner.requests.len() as u64 + 1) as usize;
        for (position, request) in owner.requests.into_iter().enumerate() {
            if position < executed {
                self.log.execute(&request);
            } else if !now_or_never {
                self.orphans.push(request);
            }
        }
    }

    fn execute_orphan(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let index = self.random.below(self.orphans.len() as u64) as usize;
        let orphan = self.orphans.swap_remove(index);
        self.log.execute(&orphan);
    }
}

/// A batch whose records carry their own source offsets.
fn batch(first: i64, end: i64) -> Batch {
    let mut builder = BatchBuilder::new(first);
    for offset in first..end {
        let value = offset.to_be_bytes();
        let record = NewRecord { offset, timestamp: 1_000, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).expect("fits");
    }
    builder.build(Compression::None, &mut Workspace::default()).expect("builds")
}

fn data_request(outgoing: Outgoing) -> Request {
    let mut bytes = BytesMut::from(&outgoing.header[..]);
    bytes.extend_from_slice(&outgoing.payload);
    let batch = Batch::parse(Bytes::from(bytes)).expect("a whole batch");
    batch.verify_crc().expect("the checksum was carried");
    let header = *batch.header();
    assert_eq!(
        (header.base_offset, header.producer_id),
        (0, 7),
        "LogValidator refuses any other base offset"
    );
    let mut workspace = Workspace::default();
    let payload = decompress(&batch, &Limits::default(), &mut workspace).expect("uncompressed");
    let records = Records::new(&header, payload)
        .map(|record| {
            i64::from_be_bytes(record.expect("valid").value.expect("set").try_into().expect("8 bytes"))
        })
        .collect();
    Request::Data { base_sequence: header.base_sequence, records }
}
