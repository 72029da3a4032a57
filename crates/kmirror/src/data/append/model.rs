//! [`AppendState`] against a model of a target partition: random schedules of batches, holes, refusals, lost answers, late
//! execution and two owners who do not know of each other, of longer logs than the exhaustive model's. The model's log must come
//! out as the source's: at its offsets, or where a hole came out too long at those that the lineage says, and it must come back.
//!
//! A failure prints its seed; `World::new(seed, …)` replays it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kmirror_client::Moment;
use kmirror_codec::{
    Batch, BatchBuilder, Compression, GapReason, Limits, NewRecord, Records, Workspace, decompress,
};

use super::cause::TakeOverCause;
use super::exhaustive::broker::{Entry, Source, records};
use super::exhaustive::owner::{Found, compare};
use super::now::Now;
use super::repeat::Appended;
use super::state::{AppendStart, AppendState, Control, Outcome, Outgoing, Refusal};
use crate::ground::budget::Budget;
use crate::ground::item::Item;
use crate::ground::lineage::Lineage;
use crate::ground::sequence::Sequence;
use crate::test_support::Random;

#[test]
fn two_owners_never_lose_double_or_reorder() {
    let mut summary = Summary::default();
    (0..3_000).for_each(|seed| summary.add(&World::new(seed, 2, Late::Sometimes).run()));
    assert!(summary.exact > 700, "the others prove too little: {summary:?}");
    assert!(summary.shifted > 300, "nothing to notice: {summary:?}");
    assert!(summary.made_up > 100, "nothing is made up for: {summary:?}");
}

#[test]
fn two_owners_are_exact_where_there_are_no_holes() {
    for seed in 0..2_000 {
        let mut world = World::new(seed, 2, Late::Sometimes);
        world.source = Source::of(&"#".repeat(world.source.end() as usize));
        assert!(world.run().is_exact(), "seed {seed}: data appends alone cannot shift");
    }
}

#[test]
fn one_owner_is_exact_whatever_is_lost() {
    for seed in 0..2_000 {
        let world = World::new(seed, 1, Late::Never).run();
        assert!(
            world.is_exact(),
            "seed {seed}: one owner whose lost requests are not executed late never shifts"
        );
    }
}

#[test]
fn a_leader_that_forgets_producers_doubles_nothing() {
    let mut forgotten = 0;
    for seed in 0..2_000 {
        let world = World::new(seed, 2 + seed as usize % 2, Late::Sometimes).with_old_records();
        forgotten += World { calamity: Calamity::ForgetProducers, ..world }.run().calamities;
    }
    assert!(forgotten > 1_000, "{forgotten}");
}

/// What the seconds are for after which nothing is written.
#[test]
fn a_leader_that_forgets_producers_unnoticed_doubles_records() {
    let is_wrong = |seed| {
        let world = World::new(seed, 2, Late::Never).with_old_records();
        std::panic::catch_unwind(|| World { calamity: Calamity::ForgetUnnoticed, ..world }.run()).is_err()
    };
    assert!((0..200).any(is_wrong));
}

/// What a window of one is for where records are old: the leader forgets between a batch that it refuses for a passing reason and the
/// one behind it, which it takes in the first one's place.
#[test]
fn several_old_batches_in_flight_lose_records_to_a_leader_that_forgets() {
    let is_wrong = |seed| {
        let world = World::new(seed, 1, Late::Never);
        std::panic::catch_unwind(|| World { calamity: Calamity::ForgetProducers, ..world }.run()).is_err()
    };
    assert!((0..2_000).any(is_wrong), "records that look new have a window of five");
    for seed in 0..2_000 {
        let world = World::new(seed, 1, Late::Never).with_old_records();
        World { calamity: Calamity::ForgetProducers, ..world }.run();
    }
}

#[test]
fn acknowledged_records_that_an_unclean_election_lost_are_copied_again() {
    let mut elections = 0;
    for seed in 0..1_000 {
        let mut world = World::new(seed, 2, Late::Sometimes);
        world.calamity = Calamity::ElectUncleanly;
        elections += world.run().calamities;
    }
    assert!(elections > 500, "{elections}");
}

#[test]
fn sequences_wrap_wherever_the_batches_lie() {
    for seed in 0..1_000 {
        let mut world = World::new(seed, 2, Late::Sometimes);
        world.origin = i64::from(i32::MAX) + 1 - (seed % 30) as i64;
        let world = world.run();
        let wraps = |[first, next]: [i32; 2]| next < first;
        let sequences: Vec<_> = records(&world.log.entries).map(|(_, _, sequence)| sequence).collect();
        let wrapped = sequences.windows(2).any(|pair| wraps([pair[0], pair[1]]));
        let crosses = sequences.first().is_some_and(|first| *first > 0) && sequences.len() > 60;
        assert!(wrapped || !crosses, "seed {seed}: {sequences:?}");
    }
}

/// What became of the schedules.
#[derive(Debug, Default)]
struct Summary {
    exact: u32,
    shifted: u32,
    made_up: u32,
}

impl Summary {
    fn add(&mut self, world: &World) {
        let is_shifted = world.lineage.runs().count() > 1;
        self.exact += u32::from(world.is_exact());
        self.shifted += u32::from(is_shifted);
        self.made_up += u32::from(is_shifted && world.lineage.surplus() == 0);
    }
}

/// The rules of a partition leader (Kafka `ProducerAppendInfo`).
#[derive(Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// What is replicated. The rest is lost when the leader moves, and nobody is answered before it is replicated.
    high_watermark: i64,
    /// First sequence, last sequence and base offset of each batch.
    batches: Vec<(i32, i32, i64)>,
    /// What was appended before this offset is too old for its producer to be remembered.
    remembered_from: i64,
    /// The same of markers, whose time is the broker's.
    markers_remembered_from: i64,
}

#[derive(Clone, Debug)]
enum Request {
    Data { base_sequence: i32, records: Vec<i64> },
    Markers { count: u32, token: i32 },
    ReadEnd,
    CheckEnd,
    ReadBack { first: i64, end: i64 },
}

impl Request {
    fn appends(&self) -> bool {
        matches!(self, Request::Data { .. } | Request::Markers { .. })
    }
}

/// A request, and when it was sent.
type Sent = (Moment, Request);

#[derive(Clone, Debug)]
enum Answer {
    /// The base offset, and whether it is that of an earlier one.
    Data(Result<(i64, bool), Refusal>),
    Markers(Result<(), Refusal>),
    /// High watermark and log end offset.
    End(i64, i64),
    Checked(i64),
    ReadBack(Vec<Batch>),
}

impl Log {
    fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    /// This offset, or the end of the batch that it lies in: replicas have whole batches.
    fn whole_batches(&self, offset: i64) -> i64 {
        let ends = self.batches.iter().map(|(first, last, base_offset)| {
            (*base_offset, *base_offset + i64::from(Sequence::after(*last, 1 - first).value()))
        });
        let mut around = ends.filter(|(begin, end)| (*begin + 1..*end).contains(&offset));
        around.next().map_or(offset, |(_, end)| end)
    }

    /// The highest token that the leader remembers.
    fn token(&self) -> i32 {
        let remembered = self.entries.iter().skip(self.markers_remembered_from as usize);
        let tokens = remembered.map(|entry| if let Entry::Marker { token, .. } = entry { *token } else { 0 });
        tokens.max().unwrap_or(0)
    }

    /// The answer, and the high watermark from which on it is given.
    fn execute(&mut self, request: &Request) -> (Answer, i64) {
        match request {
            Request::Data { base_sequence, records } => match self.append(*base_sequence, records) {
                Ok(appended) => (Answer::Data(Ok(appended)), appended.0 + records.len() as i64),
                Err(refusal) => (Answer::Data(Err(refusal)), 0),
            },
            Request::Markers { token, .. } if *token < self.token() => {
                (Answer::Markers(Err(Refusal::TakeOver(TakeOverCause::Fenced { token: *token }))), 0)
            }
            Request::Markers { count, token } => {
                self.entries.extend((0..*count).map(|_| Entry::Marker { token: *token, owner: 0 }));
                (Answer::Markers(Ok(())), self.end())
            }
            Request::ReadEnd => (Answer::End(self.high_watermark, self.end()), 0),
            Request::CheckEnd => (Answer::Checked(self.end()), 0),
            Request::ReadBack { .. } => unreachable!("the world knows where its offsets begin"),
        }
    }

    fn append(&mut self, base_sequence: i32, records: &[i64]) -> Result<(i64, bool), Refusal> {
        let last_sequence = Sequence::after(base_sequence, records.len() as i32 - 1).value();
        let is_remembered = |(_, _, base_offset): &&(i32, i32, i64)| *base_offset >= self.remembered_from;
        let known: Vec<_> = self.batches.iter().filter(is_remembered).copied().collect();
        let remembered = &known[known.len().saturating_sub(5)..];
        let repeat =
            remembered.iter().find(|(first, last, _)| (*first, *last) == (base_sequence, last_sequence));
        if let Some((_, _, base_offset)) = repeat {
            return Ok((*base_offset, true));
        }
        let is_next =
            known.last().is_none_or(|(_, last, _)| Sequence::after(*last, 1).value() == base_sequence);
        if !is_next {
            return Err(Refusal::TakeOver(TakeOverCause::OutOfOrder));
        }
        let base_offset = self.end();
        let sequences = (0..).map(|index| Sequence::after(base_sequence, index).value());
        let records = records.iter().zip(sequences);
        self.entries.extend(records.map(|(source, sequence)| Entry::Record { source: *source, sequence }));
        self.batches.push((base_sequence, last_sequence, base_offset));
        Ok((base_offset, false))
    }

    /// Another replica becomes the leader, which has the log up to `end`: the rest is gone.
    fn fail_over(&mut self, end: i64) {
        self.entries.truncate(end as usize);
        self.batches.retain(|(_, _, base_offset)| *base_offset < end);
        self.high_watermark = self.high_watermark.min(end);
        self.remembered_from = self.remembered_from.min(end);
        self.markers_remembered_from = self.markers_remembered_from.min(end);
    }

    /// Whether the log is the source's as far as this offset: records at home, markers where the source has none.
    fn is_exact(&self, source: &Source, end: i64) -> bool {
        self.entries.iter().take(end as usize).enumerate().all(|(offset, entry)| match entry {
            Entry::Record { source, .. } => *source == offset as i64,
            Entry::Marker { .. } => (offset as i64) < source.end() && !source.has(offset as i64),
        })
    }

    /// Whether each record below this source offset is where the lineage says.
    fn agrees(&self, lineage: &Lineage, end: i64) -> bool {
        records(&self.entries)
            .take_while(|(_, source, _)| *source < end)
            .all(|(target, source, _)| lineage.target_of(source) == target)
    }
}

/// When requests of a broken connection are executed.
#[derive(Clone, Copy, PartialEq)]
enum Late {
    Never,
    Sometimes,
}

/// What happens now and then while nothing is in flight.
#[derive(Clone, Copy, PartialEq)]
enum Calamity {
    None,
    /// The leader forgets who appended, by the age of what was appended (`producer.id.expiration.ms`), with connections and all.
    ForgetProducers,
    /// The same, but no owner knows that so much time has passed.
    ForgetUnnoticed,
    /// A replica that was not in sync leads: acknowledged records are gone, and all connections.
    ElectUncleanly,
}

/// Offsets count from 0 on both sides; what an owner is told is `origin` further on the source, and another `START` on the
/// target.
struct World {
    seed: u64,
    random: Random,
    late: Late,
    calamity: Calamity,
    calamities: u32,
    source: Source,
    origin: i64,
    log: Log,
    /// The record of the partition in the state topic, and how often it was written.
    lineage: Lineage,
    version: u32,
    owners: Vec<Owner>,
    /// Requests of broken connections that the broker has not got round to.
    orphans: Vec<Request>,
    now: Now,
    /// How many take-overs chose each token: two that read the same tail rarely choose the same.
    owners_of_token: HashMap<i32, usize>,
}

#[derive(Debug, Default)]
struct Owner {
    state: Option<AppendState>,
    /// What a take-over has found but not yet recorded, and what that is to replace.
    recording: Option<(Found, u32)>,
    /// The next source offset to be queued.
    next: i64,
    /// One connection: executed and answered in order.
    requests: VecDeque<Sent>,
    answers: VecDeque<(Moment, Answer, i64)>,
}

impl World {
    fn new(seed: u64, owners: usize, late: Late) -> World {
        let mut random = Random::new(seed);
        let mut source = String::new();
        let length = 20 + random.below(60) as usize;
        while source.len() < length {
            let what = if random.below(3) > 0 { "#" } else { "." };
            source.push_str(&what.repeat(1 + random.below(6) as usize));
        }
        World {
            seed,
            random,
            late,
            calamity: Calamity::None,
            calamities: 0,
            source: Source::of(&source),
            origin: 0,
            log: Log::default(),
            lineage: Lineage::beginning_at(0, 0),
            version: 0,
            owners: (0..owners).map(|_| Owner::default()).collect(),
            orphans: Vec::new(),
            now: Now::of_test(),
            owners_of_token: HashMap::new(),
        }
    }

    /// With records that are a month old.
    fn with_old_records(mut self) -> World {
        self.now += Duration::from_secs(30 * 86_400);
        self
    }

    /// Runs to the end: everything is copied, at rest, and where the lineage says.
    fn run(mut self) -> World {
        // Some schedules are rough and some are calm, and after a while all are, so that each comes to an end.
        let calm = 1 + self.random.below(20);
        for step in 0..8_000 {
            let faulty = step < 1_000 && self.random.one_in(calm);
            self.step(faulty);
            self.check_order();
            if self.is_done() {
                return self;
            }
        }
        panic!(
            "seed {}: stuck, or shifted unnoticed: {} of {}: {:?}, {:?}",
            self.seed, self.lineage, self.source, self.owners, self.log
        );
    }

    fn is_done(&self) -> bool {
        let (end, records_count) = (self.source.end(), records(&self.log.entries).count());
        self.log.high_watermark == self.log.end()
            && self.log.end() == self.lineage.target_of(end)
            && records_count == (0..end).filter(|offset| self.source.has(*offset)).count()
            && self.log.agrees(&self.lineage, end)
    }

    fn is_exact(&self) -> bool {
        self.log.end() == self.source.end() && self.log.is_exact(&self.source, self.source.end())
    }

    /// Whatever happens, the records in the log are the source's, each once and in order.
    fn check_order(&self) {
        let copied: Vec<i64> = records(&self.log.entries).map(|(_, source, _)| source).collect();
        let expected = (0..self.source.end()).filter(|offset| self.source.has(*offset));
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
            59..=61 => self.execute_orphan(),
            62 => self.befall(),
            _ => self.fail_over(self.log.high_watermark),
        }
    }

    fn push(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(state) = &mut owner.state else { return self.take_over(index) };
        let has_records = self.source.has(owner.next);
        let rest = (owner.next..self.source.end()).take_while(|next| self.source.has(*next) == has_records);
        let rest = rest.count() as u64;
        if rest == 0 {
            return;
        }
        let (first, end) = (owner.next, owner.next + 1 + self.random.below(rest) as i64);
        owner.next = end;
        let (first, end) = (first + self.origin, end + self.origin);
        let item = if has_records {
            Item::Batch { batch: batch(first, end), held: None, merged: 0 }
        } else {
            // Behind one that others may see otherwise a batch is doubted.
            let reason = if self.seed.is_multiple_of(2) { GapReason::Control } else { GapReason::Cleaned };
            Item::Gap { first, end, reason }
        };
        state.push(item).expect("contiguous");
    }

    /// Reads what is recorded and the log at rest; what is new is recorded before anything is appended.
    fn take_over(&mut self, index: usize) {
        if let Some((found, version)) = self.owners[index].recording.take() {
            if version == self.version {
                self.version += 1;
                self.lineage = found.lineage.clone();
                self.install(index, &found);
            }
            return;
        }
        if self.log.high_watermark != self.log.end() {
            return; // it waits until the log is at rest
        }
        let found = compare(&self.source, true, &self.lineage, &self.log.entries);
        let found = found.unwrap_or_else(|| panic!("seed {}: diverged: {:?}", self.seed, self.log.entries));
        if found.lineage == self.lineage {
            self.install(index, &found);
        } else {
            self.owners[index].recording = Some((found, self.version));
        }
    }

    fn install(&mut self, index: usize, found: &Found) {
        let start = AppendStart {
            position: found.position + self.origin,
            delta: found.lineage.last().delta() + START,
            surplus: found.lineage.surplus(),
            next_sequence: found.next_sequence.map(|next| Sequence::after(next, 0)),
            token: self.log.token() + 1 + self.random.below(256) as i32,
            seen_at: self.now.moment,
        };
        *self.owners_of_token.entry(start.token).or_default() += 1;
        // Owners that merge meet such that do not, or less: a repeat by one is none of the other's.
        let merged_bytes_max = [0, 200, 1 << 20][self.random.below(3) as usize];
        let owner = &mut self.owners[index];
        owner.next = found.position;
        owner.state = Some(AppendState::new(7, start).merging(merged_bytes_max, Budget::new(1 << 20)));
    }

    fn send(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let Some(state) = &mut owner.state else { return };
        let sent_at = self.now.moment;
        if let Some(outgoing) = state.next_batch(self.now) {
            owner.requests.push_back((sent_at, data_request(outgoing, self.origin)));
        }
        match state.next_control(self.now) {
            Some(Control::WriteMarkers { count, token, .. }) => {
                owner.requests.push_back((sent_at, Request::Markers { count, token }));
            }
            Some(Control::ReadEnd) => owner.requests.push_back((sent_at, Request::ReadEnd)),
            Some(Control::CheckEnd) => owner.requests.push_back((sent_at, Request::CheckEnd)),
            Some(Control::ReadBack { first, end }) => {
                owner.requests.push_back((sent_at, Request::ReadBack { first, end }));
            }
            Some(Control::MakeUp) => self.forget(index, true),
            None => {}
        }
    }

    fn execute(&mut self, index: usize, faulty: bool) {
        let refuses = faulty && self.random.below(8) == 0;
        let after_append = self.random.below(2) == 0;
        let owner = &mut self.owners[index];
        let Some((sent_at, request)) = owner.requests.pop_front() else { return };
        let again = || Refusal::Again("not enough replicas".to_owned());
        let refused = match request {
            Request::Data { .. } if refuses => Some(Answer::Data(Err(again()))),
            Request::Markers { .. } if refuses => Some(Answer::Markers(Err(again()))),
            _ => None,
        };
        let (answer, visible_at) = match refused {
            Some(refused) => {
                if after_append {
                    self.on_leader(&request);
                }
                (refused, 0)
            }
            None => self.on_leader(&request),
        };
        self.owners[index].answers.push_back((sent_at, answer, visible_at));
        // The worst moment to forget.
        if refuses && self.random.one_in(2) && self.calamity == Calamity::ForgetProducers {
            self.befall();
        }
    }

    /// Executes a request, and checks that no marker is sent on faith.
    fn on_leader(&mut self, request: &Request) -> (Answer, i64) {
        if let Request::Markers { count, token } = request
            && *token >= self.log.token()
        {
            let end = self.log.end();
            let is_exact = self.log.is_exact(&self.source, end);
            if self.calamities > 0 {
                // Fences are forgotten, or set again alone.
            } else if *token > self.log.token() {
                assert_eq!(*count, 1, "seed {}: the first marker of an owner goes alone", self.seed);
            } else if is_exact && self.owners_of_token.get(token) == Some(&1) {
                // It fences all others, and the log end was read since: only the fence itself may be one too many.
                let hole = (end..end + i64::from(*count))
                    .all(|offset| offset < self.source.end() && !self.source.has(offset));
                assert!(hole, "seed {}: {count} markers at {end} are too many", self.seed);
            }
        }
        if let Request::ReadBack { first, end } = request {
            return (Answer::ReadBack(self.read([*first, *end])), 0);
        }
        self.log.execute(request)
    }

    /// What a fetch shows of these target offsets.
    fn read(&self, [first, end]: [i64; 2]) -> Vec<Batch> {
        let target = self.origin + START;
        let visible = &self.log.entries[..self.log.high_watermark as usize];
        let batch = |offset: i64| match visible.get((offset - target) as usize)? {
            Entry::Record { source, .. } => Some(batch_of(offset, std::iter::once(source + self.origin))),
            Entry::Marker { .. } => None,
        };
        (first..end).filter_map(batch).collect()
    }

    fn deliver(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        let high_watermark = self.log.high_watermark;
        let is_visible = |(_, _, visible_at): &mut (Moment, Answer, i64)| *visible_at <= high_watermark;
        let Some((sent_at, answer, _)) = owner.answers.pop_front_if(is_visible) else {
            return;
        };
        let Some(state) = &mut owner.state else { return };
        let target = self.origin + START;
        let outcome = match answer {
            Answer::Data(produced) => {
                let appended = |(base_offset, is_repeat): (i64, bool)| Appended {
                    base_offset: base_offset + target,
                    log_append_time: is_repeat.then_some(0),
                };
                state.on_produced(self.now, sent_at, produced.map(appended))
            }
            Answer::Markers(written) => state.on_markers(written),
            Answer::End(high_watermark, end) => {
                state.on_log_end(self.now, high_watermark + target, end + target)
            }
            Answer::Checked(end) => state.on_end_checked(self.now, end + target),
            Answer::ReadBack(log) => state.on_read_back(&log),
        };
        let acknowledged = state.acknowledged() - self.origin;
        match outcome {
            Outcome::Acknowledged { records: 1.., .. } => {
                let copied = (0..acknowledged).filter(|offset| self.source.has(*offset)).count();
                let visible = &self.log.entries[..high_watermark as usize];
                assert!(records(visible).count() >= copied, "seed {}: acknowledged too much", self.seed);
                let agrees = self.log.agrees(&self.lineage, acknowledged);
                assert!(agrees, "seed {}: not as recorded below {acknowledged}: {}", self.seed, self.lineage);
            }
            Outcome::Going | Outcome::Acknowledged { .. } => {}
            Outcome::TakeOver(_) => self.forget(index, true),
            Outcome::Park(parked) => panic!("seed {}: {parked}", self.seed),
        }
    }

    fn replicate(&mut self) {
        let missing = self.log.end() - self.log.high_watermark;
        let some = self.log.high_watermark + self.random.below(missing as u64 + 1) as i64;
        let is_all = self.random.below(2) == 0;
        self.log.high_watermark = if is_all { self.log.end() } else { self.log.whole_batches(some) };
    }

    fn befall(&mut self) {
        match self.calamity {
            Calamity::None => return,
            Calamity::ForgetProducers => {
                if self.orphans.iter().any(Request::appends) {
                    return;
                }
                // Markers are forgotten when nothing was appended for a day.
                let days = self.random.below(2);
                self.drop_stale(days > 0);
                // Longer than anything that was seen is believed.
                self.now += Duration::from_secs(600 + days * 86_400);
                self.forget_producers();
                if days > 0 {
                    self.log.markers_remembered_from = self.log.end();
                }
            }
            Calamity::ForgetUnnoticed => self.forget_producers(),
            Calamity::ElectUncleanly => {
                let end = self.random.below(self.log.high_watermark as u64 + 1) as i64;
                self.fail_over(self.log.whole_batches(end));
            }
        }
        self.calamities += 1;
    }

    fn forget_producers(&mut self) {
        self.log.high_watermark = self.log.end();
        self.log.remembered_from = self.log.end();
    }

    /// What an owner has not written yet it does not write any more; where it is one that would be accepted now, it may.
    fn drop_stale(&mut self, all: bool) {
        let is_last = |owner: &Owner| {
            let end = |state: &AppendState| self.lineage.target_of(state.acknowledged() - self.origin);
            owner.state.as_ref().is_some_and(|state| end(state) == self.log.end())
        };
        let appends = |owner: &Owner| owner.requests.iter().any(|(_, request)| request.appends());
        let stale: Vec<_> = (0..self.owners.len())
            .filter(|index| self.owners[*index].recording.is_some() || appends(&self.owners[*index]))
            .filter(|index| all || !is_last(&self.owners[*index]))
            .collect();
        for index in stale {
            self.owners[index] = Owner::default();
        }
    }

    /// The leader moves: requests to the old one come to nothing.
    fn fail_over(&mut self, end: i64) {
        self.log.fail_over(end);
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
        for (position, (_, request)) in owner.requests.into_iter().enumerate() {
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
    batch_of(first, first..end)
}

/// A batch at `first` of the records with these source offsets.
fn batch_of(first: i64, sources: impl Iterator<Item = i64>) -> Batch {
    let mut builder = BatchBuilder::new(first);
    for (offset, source) in (first..).zip(sources) {
        let value = source.to_be_bytes();
        let record = NewRecord { offset, timestamp: 1_000, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).expect("fits");
    }
    builder.build(Compression::None, &mut Workspace::default()).expect("builds")
}

fn data_request(outgoing: Outgoing, origin: i64) -> Request {
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
            let value = record.expect("valid").value.expect("set");
            i64::from_be_bytes(value.try_into().expect("8 bytes")) - origin
        })
        .collect();
    Request::Data { base_sequence: header.base_sequence, records }
}

/// How far the target's offsets are ahead of the source's where nothing was shifted.
const START: i64 = 1_000;
