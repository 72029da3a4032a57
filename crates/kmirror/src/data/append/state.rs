//! What an appender knows of one target partition, and what it does next. Pure: no async; time is an argument.
//!
//! The broker refuses every data batch that is not exactly the next one of its producer, so a data append is a
//! compare-and-append. A marker is not: it is fenced by the owner's token. docs/internals/append.md has
//! the reasoning, rule by rule.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kmirror_client::{Deadline, Moment};
use kmirror_codec::{BATCH_HEADER_BYTES, Batch, Merge, Stamp, stamp};

use super::cause::TakeOverCause;
use super::freshness::Freshness;
use super::now::Now;
use super::repeat::{self, Appended, Trust};
use crate::data::tiny::{MERGED_BYTES_MAX, TINY_BYTES_MAX};
use crate::ground::budget::Budget;
use crate::ground::item::{Held, Item};
use crate::ground::park::{ParkReason, Parked};
use crate::ground::sequence::Sequence;

/// What a take-over found: where appending goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendStart {
    /// The source offset of what is written next, at the target's log end.
    pub(crate) position: i64,
    /// How far the target's offsets are ahead of the source's from here on: the delta of the lineage's last run.
    pub(crate) delta: i64,
    /// How many offsets of that are too many: holes that came out longer than the source's. At the next hole of at least as
    /// many offsets that is made up for.
    pub(crate) surplus: i64,
    /// The sequence of the next data batch; `None` where the flow has not appended data yet.
    pub(crate) next_sequence: Option<Sequence>,
    /// The coordinator epoch of our markers: higher than any that the log has seen for the flow's marker id.
    pub(crate) token: i32,
    /// When the request was sent whose answer said where the log ends.
    pub(crate) seen_at: Moment,
}

/// The appends of one target partition: queued, in flight, and the hole being filled.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct AppendState {
    producer_id: i64,
    /// Not acknowledged yet, in offset order. The first `sent` of them are in flight.
    queue: VecDeque<Queued>,
    sent: usize,
    /// Answers taken in since an append failed; the front of the queue stays until all in flight are answered.
    answered: usize,
    /// Where the next item must begin, as a source offset like that of every item.
    next_item: i64,
    /// The target's log end as the broker has confirmed it, as a source offset.
    acknowledged: i64,
    /// What makes a source offset one of the target.
    delta: i64,
    surplus: i64,
    /// Where this owner took over, as a source offset.
    began_at: i64,
    next_sequence: Option<Sequence>,
    /// How many batches may be in flight.
    window: usize,
    /// How many may be once one was acknowledged.
    window_max: usize,
    /// The largest batch that is made of several that wait; none is where it is 0.
    merged_bytes_max: usize,
    /// Pays for what is merged here, for it holds nothing of what it was made from.
    budget: Budget,
    token: i32,
    /// Whether a marker with our token is in the log: it fences every earlier owner.
    fenced: bool,
    fill: Fill,
    trust: Trust,
    freshness: Freshness,
    /// Whether the log's end was asked for because it was seen too long ago: only while nothing is in flight and no hole is filled.
    is_checking: bool,
    /// When the log's end was asked for last.
    asked_at: Moment,
    /// How often in a row the log was seen not at rest.
    restless: u32,
    failure: Option<Failure>,
    attempt: u32,
    retry_at: Option<Instant>,
}

/// How far the hole at the front of the queue is filled.
///
/// ```text
///           a hole at the front, nothing in flight          end at the hole
///   Idle ───────────────────────────────────────────▶ Look ────────────────▶ Fence ──sent──▶ Fencing ──answer──▶ Measure
///    ▲ │                                                                                                        │   ▲
///    │ └ with our token in the log ──▶ Write ◀───────────────────────────────────────────── end within hole ────┤   │
///    │                                 │  ▲                                                                     │   │
///    │                                sent└─── answer, more to send, no need to measure                         │   │
///    │                                 ▼  │                                                                     │   │
///    │◀─ answer, no need to measure ─ Writing ────────────────────────────────────── answer ────────────────────┼───┘
///    └─────────────────────────────────────────────────────────────────────────────────── end where the hole ends
///      a hole in which a surplus is made up for: MakeUp ──▶ Leaving
/// ```
///
/// Until a marker with our token is in the log, an earlier owner's late request may add markers; so the first marker goes
/// alone, and the log end after it says how many are missing. A marker lands wherever the log ends, and an earlier owner that
/// is still alive may have gone on since the take-over, while our batches were answered as its repeats; so the log end is
/// looked at before the first marker as well, and it lands in the wrong place only if the log moves within that round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Idle,
    /// The log end must be read: the first marker is for the hole only if the log ends there.
    Look {
        asked: bool,
        not_before: Option<Instant>,
    },
    Fence,
    Fencing,
    /// The log end must be read; `asked`: the question is on its way.
    Measure {
        asked: bool,
        not_before: Option<Instant>,
    },
    /// Markers up to `end` are missing.
    Write {
        end: i64,
        measured: bool,
    },
    Writing {
        end: i64,
        measured: bool,
        count: u32,
    },
    /// The hole is long enough to make up for the surplus. Where the records behind it are must be recorded before they are
    /// appended, and only a take-over does that.
    MakeUp,
    Leaving,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Queued {
    Batch {
        batch: Batch,
        _held: Option<Held>,
        /// What left the fetcher for it: more than its own bytes where it was merged.
        weight_bytes: usize,
        is_merged: bool,
        /// Whether its bytes are its own.
        is_apart: bool,
        sequence: Option<Sequence>,
    },
    Gap {
        first: i64,
        end: i64,
        /// Whether another owner may see another hole there.
        may_differ: bool,
    },
}

/// One batch, ready for a Produce request.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: [u8; BATCH_HEADER_BYTES],
    pub(crate) payload: Bytes,
    /// How many batches of the source were merged just now to make it.
    pub(crate) merged: usize,
    /// Until when it may be written.
    pub(crate) deadline: Deadline,
}

/// What must be done before the next batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Append `count` control markers with this token as their coordinator epoch, before the deadline or never.
    WriteMarkers { count: u32, token: i32, deadline: Deadline },
    /// Read high watermark and log end offset.
    ReadEnd,
    /// Read the log end offset alone: it was seen too long ago.
    CheckEnd,
    /// Read these offsets of the target: what lies there may be another batch than the one that was answered.
    ReadBack { first: i64, end: i64 },
    /// Take the partition over: the hole that comes next makes up for one that came out too long. This state is finished.
    MakeUp,
}

/// Why an append was refused, by what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A passing condition of the partition: the same append again, a little later.
    Again(String),
    /// Position, sequence, token or leader are not what we believe: read the tail again.
    TakeOver(TakeOverCause),
    /// The batch's checksum is not that of its records: damaged on the source or on the way, or so the target says. The broker's words.
    Damaged(String),
    /// An operator is needed.
    Park(Parked),
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to report.
    Going,
    /// The log grew as expected up to the acknowledged position.
    Acknowledged { records: u64, bytes: u64 },
    /// This state is finished; what is in the log must be read before anything else is appended.
    TakeOver(TakeOverCause),
    /// This state is finished until an operator steps in.
    Park(Parked),
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Failure {
    /// For this passing reason.
    Again(String),
    TakeOver(TakeOverCause),
    Park(Parked),
}

impl AppendState {
    pub(crate) fn new(producer_id: i64, start: AppendStart) -> AppendState {
        AppendState {
            producer_id,
            queue: VecDeque::new(),
            sent: 0,
            answered: 0,
            next_item: start.position,
            acknowledged: start.position,
            delta: start.delta,
            surplus: start.surplus,
            began_at: start.position,
            next_sequence: start.next_sequence,
            window: 1,
            window_max: IN_FLIGHT_MAX,
            merged_bytes_max: 0,
            budget: Budget::new(0),
            token: start.token,
            fenced: false,
            fill: Fill::Idle,
            trust: Trust::Doubted,
            freshness: Freshness::new(start.seen_at),
            is_checking: false,
            asked_at: start.seen_at,
            restless: 0,
            failure: None,
            attempt: 0,
            retry_at: None,
        }
    }

    /// Lets tiny batches that wait be merged, where the target takes batches of up to `batch_bytes_max`.
    pub(crate) fn merging(mut self, batch_bytes_max: usize, budget: Budget) -> AppendState {
        self.merged_bytes_max = batch_bytes_max.min(MERGED_BYTES_MAX);
        self.budget = budget;
        self
    }

    /// Lets the target's brokers remember a producer for so long after its newest record.
    pub(crate) fn remembered_for(mut self, producer_expiration: Duration) -> AppendState {
        self.freshness = self.freshness.remembering(producer_expiration);
        self
    }

    /// The target's brokers remember producers for longer until the lease is over; `None`: no more. What was appended before they did, or
    /// after a lease was over, they may have forgotten meanwhile: then it does not help before the next take-over.
    pub(crate) fn on_raised(&mut self, now: Now, lease: Option<Deadline>) {
        let is_untouched = self.sent == 0 && !self.freshness.has_appended();
        self.freshness.on_raised(now.moment, lease, is_untouched);
    }

    /// Keeps one batch in flight, where the source has a cleaner: two owners may have read a different number of records at the same
    /// offsets, the one before it was cleaned. Then an append of the other one may be taken for a repeat of the first batch in flight, and the
    /// second one would be the next by its sequence and stand behind records that follow it on the source. Alone, a batch is refused or
    /// noticed by its offset.
    pub(crate) fn one_at_a_time(mut self) -> AppendState {
        self.window_max = 1;
        self
    }

    /// Queues an item. Items are contiguous; anything else is a defect of ours, and must not reach the log.
    pub(crate) fn push(&mut self, item: Item) -> Result<(), Parked> {
        if item.first() != self.next_item || item.end() <= item.first() {
            let (first, end, next) = (item.first(), item.end(), self.next_item);
            return Err(Parked::defect(format_args!(
                "an item of offsets [{first}, {end}) was queued where {next} comes next"
            )));
        }
        self.next_item = item.end();
        match item {
            Item::Batch { batch, held, merged } => {
                let weight_bytes = batch.bytes().len();
                self.queue.push_back(Queued::Batch {
                    batch,
                    _held: held,
                    weight_bytes,
                    is_merged: merged > 0,
                    is_apart: false,
                    sequence: None,
                });
            }
            Item::Gap { first, end, reason } => self.push_gap(first, end, repeat::may_differ(reason)),
        }
        Ok(())
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether something is queued, and nothing was acknowledged for so long that what it was read with should not be kept for it.
    pub(crate) fn is_stuck(&self, now: Moment) -> bool {
        !self.queue.is_empty() && !self.freshness.was_seen_within(STUCK_AFTER, now)
    }

    /// Gives back what small batches that wait were read with. A few bytes of a partition that stands still would keep whole answers of the
    /// source, in which its neighbours' records were, and so the memory of all.
    pub(crate) fn let_go_of_answers(&mut self) {
        for queued in self.queue.range_mut(self.sent..) {
            let Queued::Batch { batch, _held: held, is_apart, .. } = queued else { continue };
            if *is_apart || batch.bytes().len() > APART_BYTES_MAX {
                continue;
            }
            if let Ok(copy) = Batch::parse(self.budget.charge(batch.bytes().to_vec())) {
                (*batch, *held) = (copy, None);
            }
            *is_apart = true;
        }
    }

    /// The next batch to send, if one may be sent now: at most one goes into a request (`ProduceRequest.validateRecords`).
    pub(crate) fn next_batch(&mut self, now: Now) -> Option<Outgoing> {
        if self.fill != Fill::Idle
            || self.failure.is_some()
            || self.sent >= self.window(now.moment)
            || !self.is_due(now.instant)
            || !matches!(self.queue.get(self.sent), Some(Queued::Batch { .. }))
            || !self.freshness.holds(now.moment)
        {
            return None;
        }
        let merged = self.merge_waiting();
        let next_sequence = self.next_sequence;
        let Some(Queued::Batch { batch, sequence, .. }) = self.queue.get_mut(self.sent) else { return None };
        let header = batch.header();
        let base_sequence = *sequence.get_or_insert_with(|| {
            next_sequence.unwrap_or_else(|| Sequence::of_first_append(header.base_offset))
        });
        let identity =
            Stamp { producer_id: self.producer_id, producer_epoch: 0, base_sequence: base_sequence.value() };
        let deadline = self.freshness.deadline(now.moment);
        let outgoing =
            Outgoing { header: stamp(batch, &identity), payload: batch.payload(), merged, deadline };
        self.next_sequence = Some(base_sequence.plus(header.records_count));
        self.sent += 1;
        Some(outgoing)
    }

    /// Makes one batch of the tiny ones that are next, where several wait: on its way a batch costs as much as some
    /// kilobytes. Says how many it took. What was sent once stays as it is, for the broker knows a repeat by its extent.
    fn merge_waiting(&mut self) -> usize {
        let mut merge = Merge::new(self.merged_bytes_max);
        let (mut count, mut merged_weight_bytes) = (0, 0);
        for queued in self.queue.range(self.sent..) {
            let Queued::Batch { batch, weight_bytes, sequence: None, .. } = queued else { break };
            let is_alone = count == 0 && !self.is_tiny(self.sent + 1);
            if is_alone || *weight_bytes > TINY_BYTES_MAX || !merge.push(batch) {
                break;
            }
            count += 1;
            merged_weight_bytes += weight_bytes;
        }
        if count < 2 {
            return 0;
        }
        let Some(batch) = merge.finish_in(|bytes| self.budget.charge(bytes)) else { return 0 };
        self.queue.drain(self.sent + 1..self.sent + count);
        if let Some(queued) = self.queue.get_mut(self.sent) {
            let weight_bytes = merged_weight_bytes;
            *queued = Queued::Batch {
                batch,
                _held: None,
                weight_bytes,
                is_merged: true,
                is_apart: true,
                sequence: None,
            };
        }
        count
    }

    fn is_tiny(&self, index: usize) -> bool {
        let Some(Queued::Batch { weight_bytes, .. }) = self.queue.get(index) else { return false };
        *weight_bytes <= TINY_BYTES_MAX
    }

    /// What the front of the queue needs now. Each demand is made once; its answer comes by `on_markers`, `on_log_end`, `on_end_checked` or
    /// `on_read_back`.
    pub(crate) fn next_control(&mut self, now: Now) -> Option<Control> {
        if let Some(control) = self.read_back() {
            return Some(control);
        }
        if self.must_check(now) {
            self.is_checking = true;
            self.asked_at = now.moment;
            return Some(Control::CheckEnd);
        }
        self.begin_fill(now.moment);
        self.look_again_where_stale(now.moment);
        let deadline = self.freshness.deadline(now.moment);
        match self.fill {
            Fill::Look { asked: false, not_before } if not_before.is_none_or(|at| at <= now.instant) => {
                self.fill = Fill::Look { asked: true, not_before };
                self.ask_for_end(now)
            }
            Fill::Fence => {
                self.fill = Fill::Fencing;
                Some(Control::WriteMarkers { count: 1, token: self.token, deadline })
            }
            Fill::Write { end, measured } => {
                let count = (end - self.acknowledged).clamp(1, i64::from(MARKERS_PER_REQUEST_MAX)) as u32;
                self.fill = Fill::Writing { end, measured, count };
                Some(Control::WriteMarkers { count, token: self.token, deadline })
            }
            Fill::Measure { asked: false, not_before } if not_before.is_none_or(|at| at <= now.instant) => {
                self.fill = Fill::Measure { asked: true, not_before };
                self.ask_for_end(now)
            }
            Fill::MakeUp => {
                self.fill = Fill::Leaving;
                Some(Control::MakeUp)
            }
            Fill::Idle
            | Fill::Look { .. }
            | Fill::Fencing
            | Fill::Measure { .. }
            | Fill::Writing { .. }
            | Fill::Leaving => None,
        }
    }

    fn ask_for_end(&mut self, now: Now) -> Option<Control> {
        self.asked_at = now.moment;
        Some(Control::ReadEnd)
    }

    /// The answer to the oldest batch in flight, which was sent at `sent_at`: where it lies, or why it was refused.
    pub(crate) fn on_produced(
        &mut self,
        now: Now,
        sent_at: Moment,
        produced: Result<Appended, Refusal>,
    ) -> Outcome {
        if self.failure.is_some() {
            // What came after a failed append fails too, or was appended after one that only looked failed; either way
            // the same batches are sent again and the broker answers a repeat with its first offset.
            self.answered += 1;
            return self.settle(now);
        }
        let failure = match produced {
            Ok(appended) => match self.displacement(appended.base_offset) {
                None if self.is_doubtful(&appended) => {
                    self.trust = Trust::ToRead(sent_at);
                    return Outcome::Going;
                }
                None => return self.acknowledge(sent_at),
                Some(cause) => Failure::TakeOver(cause),
            },
            Err(Refusal::Again(text)) => Failure::Again(text),
            Err(Refusal::TakeOver(cause)) => Failure::TakeOver(cause),
            Err(Refusal::Damaged(text)) => self.damaged(&text),
            Err(Refusal::Park(parked)) => self.refused(parked),
        };
        self.failure = Some(failure);
        self.answered = 1;
        self.settle(now)
    }

    /// The oldest batch in flight was damaged. One whose checksum is right here was damaged on the way to the target, and may arrive whole
    /// the next time; but a target that says so again and again means something else.
    fn damaged(&mut self, text: &str) -> Failure {
        let is_whole = match self.queue.front() {
            Some(Queued::Batch { batch, .. }) => batch.verify_crc().is_ok(),
            _ => true,
        };
        if is_whole && self.attempt < DAMAGED_ATTEMPTS_MAX {
            return Failure::Again(text.to_owned());
        }
        self.refused(match is_whole {
            true => Parked::new(
                ParkReason::Rejected,
                format!("the target answers {text}, again and again, though the checksum is right"),
            ),
            false => Parked::new(
                ParkReason::CorruptBatch,
                format!(
                    "the target answers {text}: the batch was damaged on the source or on the way from there"
                ),
            ),
        })
    }

    /// The oldest batch in flight was refused for good. Says which offsets it holds. One that was merged is sent in its parts
    /// instead, for what comes before the part that is refused is good.
    fn refused(&self, parked: Parked) -> Failure {
        let Some(Queued::Batch { batch, is_merged, .. }) = self.queue.front() else {
            return Failure::Park(parked);
        };
        if *is_merged && parked.reason != ParkReason::TooLarge {
            return Failure::TakeOver(TakeOverCause::MergedRefused);
        }
        let header = batch.header();
        let range = format!("source offsets [{}, {}): ", header.base_offset, header.next_offset());
        Failure::Park(Parked::new(parked.reason, range + &parked.message))
    }

    /// Whether the oldest batch in flight was appended at another offset than the expected one.
    fn displacement(&self, base_offset: i64) -> Option<TakeOverCause> {
        let Some(Queued::Batch { batch, .. }) = self.queue.front() else { return None };
        let expected = batch.header().base_offset + self.delta;
        (base_offset != expected).then_some(TakeOverCause::Displaced { expected, found: base_offset })
    }

    /// Whether an answer at the expected offset may be that of another owner's batch.
    fn is_doubtful(&self, appended: &Appended) -> bool {
        let Some(Queued::Batch { batch, .. }) = self.queue.front() else { return false };
        self.trust == Trust::Doubted && repeat::may_be_repeat(batch, appended)
    }

    fn read_back(&mut self) -> Option<Control> {
        let (Trust::ToRead(sent_at), Some(Queued::Batch { batch, .. })) = (self.trust, self.queue.front())
        else {
            return None;
        };
        let (first, end) =
            (batch.header().base_offset + self.delta, batch.header().next_offset() + self.delta);
        self.trust = Trust::Reading(sent_at);
        Some(Control::ReadBack { first, end })
    }

    /// The answer to `Control::ReadBack`.
    pub(crate) fn on_read_back(&mut self, log: &[Batch]) -> Outcome {
        let (Trust::Reading(sent_at), Some(Queued::Batch { batch, .. })) = (self.trust, self.queue.front())
        else {
            return Outcome::Going;
        };
        if !repeat::is_in(log, batch, self.delta) {
            let offset = batch.header().base_offset + self.delta;
            return Outcome::TakeOver(TakeOverCause::Mistaken { offset });
        }
        self.acknowledge(sent_at)
    }

    /// The answer to `Control::WriteMarkers`. A refused or unanswered marker may have been appended, so it is never
    /// repeated: the tail is read instead.
    pub(crate) fn on_markers(&mut self, written: Result<(), Refusal>) -> Outcome {
        match written {
            Ok(()) => {}
            Err(Refusal::Again(cause) | Refusal::Damaged(cause)) => {
                return Outcome::TakeOver(TakeOverCause::AnswerLost(cause));
            }
            Err(Refusal::TakeOver(cause)) => return Outcome::TakeOver(cause),
            Err(Refusal::Park(parked)) => return Outcome::Park(parked),
        }
        match self.fill {
            Fill::Fencing => {
                self.fenced = true;
                self.fill = Fill::Measure { asked: false, not_before: None };
            }
            Fill::Writing { measured: true, .. } => {
                self.fill = Fill::Measure { asked: false, not_before: None };
            }
            Fill::Writing { end, measured: false, count } => {
                self.acknowledged += i64::from(count);
                if self.acknowledged >= end {
                    return self.finish_fill();
                }
                self.fill = Fill::Write { end, measured: false };
            }
            Fill::Idle
            | Fill::Look { .. }
            | Fill::Fence
            | Fill::Measure { .. }
            | Fill::Write { .. }
            | Fill::MakeUp
            | Fill::Leaving => {}
        }
        Outcome::Going
    }

    /// The answer to `Control::ReadEnd`.
    pub(crate) fn on_log_end(&mut self, now: Now, high_watermark: i64, log_end: i64) -> Outcome {
        let is_looking = matches!(self.fill, Fill::Look { .. });
        if high_watermark != log_end {
            self.restless += 1;
            if self.restless > RESTLESS_MAX {
                return Outcome::TakeOver(TakeOverCause::LeaderUnknown(
                    "the target's replicas do not catch up".to_owned(),
                ));
            }
            let interval = (REST_INTERVAL_MIN * 2u32.pow(self.restless.min(8) - 1)).min(REST_INTERVAL_MAX);
            let (asked, not_before) = (false, Some(now.instant + interval));
            self.fill = if is_looking {
                Fill::Look { asked, not_before }
            } else {
                Fill::Measure { asked, not_before }
            };
            return Outcome::Going;
        }
        self.restless = 0;
        let log_end = log_end - self.delta;
        if is_looking {
            if log_end != self.acknowledged {
                return Outcome::TakeOver(TakeOverCause::Overtaken);
            }
            self.freshness.seen(self.asked_at, now.moment);
            self.fill = Fill::Fence;
            return Outcome::Going;
        }
        let Some(&Queued::Gap { first, end, .. }) = self.queue.front() else { return Outcome::Going };
        if log_end <= first || log_end > end {
            let (expected, found) = (end + self.delta, log_end + self.delta);
            return Outcome::TakeOver(TakeOverCause::Displaced { expected, found });
        }
        self.freshness.seen(self.asked_at, now.moment);
        self.acknowledged = log_end;
        if log_end == end {
            return self.finish_fill();
        }
        self.fill = Fill::Write { end, measured: true };
        Outcome::Going
    }

    /// Whether the log's end must be looked at before the next batch is sent, since it was seen too long ago. While something is in
    /// flight its answer will tell.
    fn must_check(&mut self, now: Now) -> bool {
        self.fill == Fill::Idle
            && self.failure.is_none()
            && self.sent == 0
            && !self.is_checking
            && matches!(self.queue.front(), Some(Queued::Batch { .. }))
            && !self.freshness.holds(now.moment)
            && self.is_due(now.instant)
    }

    /// How many batches may be in flight. One where the broker may forget us in between: if it refuses the first for a passing reason
    /// it would take the second for a first one, in the first one's place. And one that may have to be read back goes alone.
    fn window(&self, now: Moment) -> usize {
        let is_wide = self.trust == Trust::Trusted && self.freshness.is_remembered(now);
        if is_wide { self.window } else { 1 }
    }

    /// The answer to `Control::CheckEnd`: the log ends where our last append ended, or somebody else has gone on. What is appended and
    /// not replicated yet counts as well.
    pub(crate) fn on_end_checked(&mut self, now: Now, log_end: i64) -> Outcome {
        self.is_checking = false;
        if log_end - self.delta != self.acknowledged {
            return Outcome::TakeOver(TakeOverCause::Overtaken);
        }
        self.freshness.seen(self.asked_at, now.moment);
        Outcome::Going
    }

    /// When the state wants to be looked at again though nothing happened.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        match self.fill {
            Fill::Look { asked: false, not_before } | Fill::Measure { asked: false, not_before } => {
                not_before
            }
            _ => self.retry_at,
        }
    }

    /// The target's log end as far as it is confirmed, as a source offset.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// Neighbouring gaps are one hole: it is filled in one go whatever its causes.
    fn push_gap(&mut self, first: i64, end: i64, may_differ: bool) {
        let filling_the_last = self.queue.len() == 1 && self.fill != Fill::Idle;
        if let Some(Queued::Gap { end: last_end, may_differ: last_may_differ, .. }) = self.queue.back_mut()
            && !filling_the_last
        {
            *last_end = end;
            *last_may_differ |= may_differ;
        } else {
            self.queue.push_back(Queued::Gap { first, end, may_differ });
        }
    }

    fn begin_fill(&mut self, now: Moment) {
        if self.fill != Fill::Idle || self.sent > 0 || self.failure.is_some() || self.is_checking {
            return;
        }
        if let Some(Queued::Gap { first, end, .. }) = self.queue.front() {
            // The take-over has looked at a hole at its own position already.
            let makes_up = self.surplus > 0 && *first > self.began_at && end - first >= self.surplus;
            self.fill = if makes_up {
                Fill::MakeUp
            } else if self.fenced && self.freshness.holds(now) {
                Fill::Write { end: *end, measured: false }
            } else {
                Fill::Look { asked: false, not_before: None }
            };
        }
    }

    /// A marker is written only behind an end that was seen recently, like data: a broker that has forgotten our token takes any.
    fn look_again_where_stale(&mut self, now: Moment) {
        if self.freshness.holds(now) {
            return;
        }
        let (asked, not_before) = (false, None);
        let has_begun =
            matches!(self.queue.front(), Some(Queued::Gap { first, .. }) if *first < self.acknowledged);
        match self.fill {
            Fill::Write { .. } if has_begun => self.fill = Fill::Measure { asked, not_before },
            Fill::Fence | Fill::Write { .. } => self.fill = Fill::Look { asked, not_before },
            _ => {}
        }
    }

    fn finish_fill(&mut self) -> Outcome {
        if let Some(Queued::Gap { may_differ: true, .. }) = self.queue.pop_front() {
            self.trust = Trust::Doubted;
        }
        self.fill = Fill::Idle;
        Outcome::Acknowledged { records: 0, bytes: 0 }
    }

    fn acknowledge(&mut self, sent_at: Moment) -> Outcome {
        let Some(Queued::Batch { batch, weight_bytes, .. }) = self.queue.pop_front() else {
            return Outcome::Going;
        };
        let header = *batch.header();
        self.sent = self.sent.saturating_sub(1);
        self.acknowledged = header.next_offset();
        self.freshness.appended(sent_at, header.max_timestamp);
        self.window = self.window_max;
        self.trust = Trust::Trusted;
        self.attempt = 0;
        Outcome::Acknowledged { records: header.records_count as u64, bytes: weight_bytes as u64 }
    }

    /// After a failure: once nothing is in flight any more, does what the failure asks for.
    fn settle(&mut self, now: Now) -> Outcome {
        if self.answered < self.sent {
            return Outcome::Going;
        }
        match self.failure.take() {
            None => Outcome::Going,
            Some(Failure::TakeOver(cause)) => Outcome::TakeOver(cause),
            Some(Failure::Park(parked)) => Outcome::Park(parked),
            Some(Failure::Again(text)) => {
                self.sent = 0;
                self.answered = 0;
                self.attempt += 1;
                if self.attempt > ATTEMPTS_MAX {
                    return Outcome::TakeOver(TakeOverCause::Refused(text));
                }
                // It may have been appended all the same (NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT).
                self.freshness.doubt(now.moment);
                self.retry_at = Some(now.instant + backoff(self.attempt));
                Outcome::Going
            }
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        if self.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        self.retry_at = None;
        true
    }
}

fn backoff(attempt: u32) -> Duration {
    (BACKOFF_MIN * 2u32.saturating_pow(attempt.saturating_sub(1))).min(BACKOFF_MAX)
}

/// A broker remembers the last five batches of a producer (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`): only a repeat of
/// one of these is recognised. Before the first success it is one: a partition without state for the producer takes any
/// first sequence, so a later batch could get in before a failed earlier one.
const IN_FLIGHT_MAX: usize = 5;
/// About half a second of a broker's time; a longer hole is filled by several requests.
const MARKERS_PER_REQUEST_MAX: u32 = 10_000;
const REST_INTERVAL_MIN: Duration = Duration::from_millis(5);
const REST_INTERVAL_MAX: Duration = Duration::from_millis(500);
/// About half a minute; then the leader may be another one.
const RESTLESS_MAX: u32 = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: u32 = 8;
/// Twenty times as long as a slow append takes.
const STUCK_AFTER: Duration = Duration::from_millis(500);
/// What is larger is most of the answer that it came with.
const APART_BYTES_MAX: usize = 32 << 10;
/// How often a batch is sent again that is whole here and damaged there.
const DAMAGED_ATTEMPTS_MAX: u32 = 3;

#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod tests;
