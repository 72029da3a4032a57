//! [`AppendState`] against a model of a target partition: random schedules of batches, holes, refusals, lost answers, late
//! execution and two owners who do not know of each other. The model's log must come out as the source's.
//!
//! A failure prints its seed; `schedule(seed)` replays it.

use std::collections::{HashMap, VecDeque};
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
    assert!(exact > 700, "only {exact} of 3000 schedules came out exact: the others prove too little");
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

/// The rules of a partition leader (Kafka `ProducerAppendInfo`).
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// What is replicated. The rest is lost when the leader moves, and nobody is answered before it is replicated.
    high_watermark: i64,
    /// First sequence, last sequence and base offset of each batch.
    batches: Vec<(i32, i32, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A record, by its source offset.
    Record(i64),
    /// A control marker, by its token.
    Marker(i32),
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
    /// High watermark and log end offset.
    End(i64, i64),
}

impl Log {
    fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    fn token(&self) -> i32 {
        let tokens =
            self.entries.iter().map(|entry| if let Entry::Marker(token) = entry { *token } else { 0 });
        tokens.max().unwrap_or(0)
    }

    /// The answer, and the high watermark from which on it is given.
    fn execute(&mut self, request: &Request) -> (Answer, i64) {
        match request {
            Request::Data { base_sequence, records } => match self.append(*base_sequence, records) {
                Ok(base_offset) => (Answer::Data(Ok(base_offset)), base_offset + records.len() as i64),
                Err(refusal) => (Answer::Data(Err(refusal)), 0),
            },
            Request::Markers { token, .. } if *token < self.token() => {
                (Answer::Markers(Err(Refusal::TakeOver(TakeOverCause::Fenced { token: *token }))), 0)
            }
            Request::Markers { count, token } => {
                self.entries.extend((0..*count).map(|_| Entry::Marker(*token)));
                (Answer::Markers(Ok(())), self.end())
            }
            Request::ReadEnd => (Answer::End(self.high_watermark, self.end()), 0),
        }
    }

    fn append(&mut self, base_sequence: i32, records: &[i64]) -> Result<i64, Refusal> {
        let last_sequence = Sequence::after(base_sequence, records.len() as i32 - 1).value();
        let remembered = &self.batches[self.batches.len().saturating_sub(5)..];
        let repeat =
            remembered.iter().find(|(first, last, _)| (*first, *last) == (base_sequence, last_sequence));
        if let Some((_, _, base_offset)) = repeat {
            return Ok(*base_offset);
        }
        let is_next =
            self.batches.last().is_none_or(|(_, last, _)| Sequence::after(*last, 1).value() == base_sequence);
        if !is_next {
            return Err(Refusal::TakeOver(TakeOverCause::OutOfOrder));
        }
        let base_offset = self.end();
        self.entries.extend(records.iter().copied().map(Entry::Record));
        self.batches.push((base_sequence, last_sequence, base_offset));
        Ok(base_offset)
    }

    /// Another replica becomes the leader: what it does not have is gone.
    fn fail_over(&mut self) {
        self.entries.truncate(self.high_watermark as usize);
        self.batches.retain(|(_, _, base_offset)| *base_offset < self.high_watermark);
    }

    /// Whether the log is the source's as far as this offset: records at home, markers where the source has none.
    fn is_exact(&self, source: &[bool], end: i64) -> bool {
        self.entries.iter().take(end as usize).enumerate().all(|(offset, entry)| match entry {
            Entry::Record(source_offset) => *source_offset == offset as i64,
            Entry::Marker(_) => source.get(offset) == Some(&false),
        })
    }

    /// What a take-over reads of a log at rest. `None`: the comparison with the source fails.
    fn take_over(&self, source: &[bool], token_step: i32) -> Option<AppendStart> {
        self.is_exact(source, self.end()).then(|| AppendStart {
            position: self.end(),
            delta: 0,
            surplus: 0,
            next_sequence: self.batches.last().map(|(_, last, _)| Sequence::after(*last, 1)),
            token: self.token() + 1 + token_step,
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
    /// How many take-overs chose each token: two that read the same tail rarely choose the same.
    owners_of_token: HashMap<i32, usize>,
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
    answers: VecDeque<(Answer, i64)>,
}

impl World {
    fn new(seed: u64, owners: usize, late: Late) -> World {
        let mut random = Random::new(seed);
        let mut source = Vec::new();
        let length = 20 + random.below(60) as usize;
        while source.len() < length {
            let has_records = random.below(3) > 0;
            source.extend((0..=random.below(5)).map(|_| has_records));
        }
        let owners = (0..owners).map(|_| Owner::default()).collect();
        let log = Log::default();
        let now = Instant::now();
        World {
            seed,
            random,
            late,
            source,
            log,
            owners,
            orphans: Vec::new(),
            now,
            owners_of_token: HashMap::new(),
            diverged: false,
        }
    }

    fn run(&mut self) {
        let end = self.source.len() as i64;
        // Some schedules are rough and some are calm, and after a while all are, so that each comes to an end.
        let calm = 1 + self.random.below(20);
        for step in 0..6_000 {
            let faulty = step < 1_000 && self.random.one_in(calm);
            self.step(faulty);
            self.check_order();
            let is_done = self.log.high_watermark == end && self.log.end() == end;
            if self.diverged || is_done && self.log.is_exact(&self.source, end) {
                return;
            }
        }
        // A hole at the end of the log that is too long is for the next take-over to notice.
        let noticed =
            self.log.end() > self.source.len() as i64 && self.log.take_over(&self.source, 0).is_none();
        assert!(noticed, "seed {}: stuck or shifted unnoticed: {:?}", self.seed, self.log.entries);
    }

    /// Whatever happens, the records in the log are the source's, each once and in order.
    fn check_order(&self) {
        let record = |entry: &Entry| if let Entry::Record(offset) = entry { Some(*offset) } else { None };
        let copied: Vec<i64> = self.log.entries.iter().filter_map(record).collect();
        let expected = (0..self.source.len() as i64).filter(|offset| self.source[*offset as usize]);
        let expected: Vec<i64> = expected.take(copied.len()).collect();
        assert_eq!(copied, expected, "seed {}: lost, doubled or out of order", self.seed);
    }

    fn step(&mut self, faulty: bool) {
        self.now += Duration::from_millis(self.random.below(40));
        let index = self.random.below(self.owners.len() as u64) as usize;
        match self.random.below(if faulty { 64 } else { 56 }) {
            0..=11 => self.push(index),
            12..=25 => self.send(index),
            26..=35 => self.execute(index, faulty),
            36..=49 => self.deliver(index),
            50..=55 => self.replicate(),
            56..=58 => self.lose_connection(index),
            59..=62 => self.execute_orphan(),
            _ => self.fail_over(),
        }
    }

    fn push(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(state) = &mut owner.state else {
            if self.log.high_watermark != self.log.end() {
                return; // it waits until the log is at rest
            }
            let token_step = self.random.below(256) as i32;
            match self.log.take_over(&self.source, token_step) {
                Some(start) => {
                    *self.owners_of_token.entry(start.token).or_default() += 1;
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
            Some(Control::MakeUp) => panic!("there is nothing to make up for"),
            None => {}
        }
    }

    fn execute(&mut self, index: usize, faulty: bool) {
        let refuses = faulty && self.random.below(8) == 0;
        let after_append = self.random.below(2) == 0;
        let owner = &mut self.owners[index];
        let Some(request) = owner.requests.pop_front() else { return };
        let again = || Refusal::Again("not enough replicas".to_owned());
        let refused = match request {
            Request::Data { .. } if refuses => Some(Answer::Data(Err(again()))),
            Request::Markers { .. } if refuses => Some(Answer::Markers(Err(again()))),
            _ => None,
        };
        let answer = match refused {
            Some(refused) => {
                if after_append {
                    self.on_leader(&request);
                }
                (refused, 0)
            }
            None => self.on_leader(&request),
        };
        self.owners[index].answers.push_back(answer);
    }

    /// Executes a request, and checks that no marker is sent on faith.
    fn on_leader(&mut self, request: &Request) -> (Answer, i64) {
        if let Request::Markers { count, token } = request
            && *token >= self.log.token()
        {
            let end = self.log.end();
            let is_exact = self.log.is_exact(&self.source, end);
            if *token > self.log.token() {
                assert_eq!(*count, 1, "seed {}: the first marker of an owner goes alone", self.seed);
            } else if is_exact && self.owners_of_token.get(token) == Some(&1) {
                // It fences all others, and the log end was read since: only the fence itself may be one too many.
                let hole = (end..end + i64::from(*count))
                    .all(|offset| self.source.get(offset as usize) == Some(&false));
                assert!(hole, "seed {}: {count} markers at {end} are too many", self.seed);
            }
        }
        self.log.execute(request)
    }

    fn deliver(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let high_watermark = self.log.high_watermark;
        let Some((answer, _)) = owner.answers.pop_front_if(|(_, visible_at)| *visible_at <= high_watermark)
        else {
            return;
        };
        let Some(state) = &mut owner.state else { return };
        let outcome = match answer {
            Answer::Data(produced) => state.on_produced(self.now, produced),
            Answer::Markers(written) => state.on_markers(written),
            Answer::End(high_watermark, end) => state.on_log_end(self.now, high_watermark, end),
        };
        let acknowledged = state.acknowledged();
        assert!(acknowledged <= high_watermark, "seed {}: acknowledged too much", self.seed);
        match outcome {
            Outcome::Acknowledged { records: 1.., .. } => {
                let is_exact = self.log.is_exact(&self.source, acknowledged);
                assert!(is_exact, "seed {}: not exact below the acknowledged {acknowledged}", self.seed);
            }
            Outcome::Going | Outcome::Acknowledged { .. } => {}
            Outcome::TakeOver(_) => self.forget(index, true),
            Outcome::Park(_) => self.diverged = true,
        }
    }

    fn replicate(&mut self) {
        let missing = self.log.end() - self.log.high_watermark;
        self.log.high_watermark += self.random.below(missing as u64 + 1) as i64;
        if self.random.below(2) == 0 {
            self.log.high_watermark = self.log.end();
        }
    }

    /// The leader moves: requests to the old one come to nothing.
    fn fail_over(&mut self) {
        self.log.fail_over();
        self.orphans.clear();
        self.owners.iter_mut().for_each(|owner| *owner = Owner::default());
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
                self.on_leader(&request);
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
        self.on_leader(&orphan);
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
