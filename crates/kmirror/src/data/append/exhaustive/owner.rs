//! An owner: what it is doing, what it has sent, and what it concludes from the target's log when it takes over. Appending is the
//! engine's own [`AppendState`].

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use kmirror_codec::BatchHeader;

use super::broker::{Entry, Source, Tenure, records};
use super::{Omit, Rules};
use crate::data::append::now::Now;
use crate::data::append::repeat::Appended;
use crate::data::append::state::{AppendState, Control};
use crate::ground::lineage::Lineage;
use crate::ground::rules::CompareRules;
use crate::ground::sequence::Sequence;
use crate::logs::owned_record::OwnedRecord;
use crate::takeover::compare::{Alignment, Misaligned, Tails, align, make_up};

#[derive(Clone, Debug, Hash)]
pub(super) struct Owner {
    pub(super) phase: Phase,
    /// On one connection: executed and answered in order.
    pub(super) requests: VecDeque<InFlight>,
    pub(super) take_overs: u8,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Phase {
    /// It has crashed or knows nothing for certain: it takes over next.
    Away,
    /// It has read what is recorded; the target's tail comes next.
    Reading {
        lineage: Lineage,
        version: u8,
    },
    /// Only where a cleaner is at work: it has read high watermark and log end.
    EndRead {
        lineage: Lineage,
        version: u8,
        ends: [i64; 2],
    },
    /// Only where [`Omit::OneRead`]: it has read a position, and reads the sequence next.
    HalfRead {
        lineage: Lineage,
        version: u8,
        found: Found,
    },
    /// It has found a run that is not recorded yet.
    Recording {
        found: Found,
        token: i32,
        tenure: Tenure,
    },
    Appending(Box<Appending>),
    /// What is in the log is not the source's.
    Parked,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Appending {
    pub(super) state: AppendState,
    pub(super) lineage: Lineage,
    pub(super) tenure: Tenure,
    /// Markers that were sent last; 0 where none was sent yet.
    pub(super) sent_markers: u32,
    /// The log end at the last look at it.
    pub(super) looked: Option<i64>,
    /// A take-over comes next, by its own wish.
    pub(super) leaves: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InFlight {
    pub(super) request: Request,
    pub(super) answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    /// One record. `expected`: the target offset that its owner believes comes next.
    Data {
        source: i64,
        sequence: i32,
        expected: i64,
    },
    /// `in_place`: whether its owner has seen the log end exactly where the markers belong.
    Markers {
        count: u32,
        token: i32,
        tenure: Tenure,
        in_place: bool,
    },
    ReadEnd,
    CheckEnd,
    /// `version`: what it is to replace.
    Record {
        lineage: Lineage,
        version: u8,
    },
}

/// What the leader says. What was appended is answered when the high watermark has reached `visible_at`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Appended {
        base_offset: i64,
        visible_at: i64,
        is_repeat: bool,
    },
    Written {
        visible_at: i64,
    },
    OutOfOrder,
    Fenced,
    /// Refused for a passing reason, executed or not.
    Again,
    /// The log end; the high watermark is read after it, and they must be equal.
    End {
        log_end: i64,
    },
    /// The log end, whatever the high watermark.
    Checked {
        log_end: i64,
    },
    Recorded,
    /// Somebody else has recorded something meanwhile.
    NotRecorded,
}

/// What a take-over found: where appending goes on, and the runs as they are in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::data::append) struct Found {
    pub(in crate::data::append) position: i64,
    pub(in crate::data::append) lineage: Lineage,
    pub(in crate::data::append) next_sequence: Option<i32>,
}

impl Owner {
    pub(super) fn send(&mut self, request: Request) {
        self.requests.push_back(InFlight { request, answer: None });
    }

    pub(super) fn token(&self) -> Option<i32> {
        match &self.phase {
            Phase::Recording { token, .. } => Some(*token),
            Phase::Appending(appending) => Some(appending.state.token()),
            _ => None,
        }
    }

    pub(super) fn new() -> Owner {
        Owner { phase: Phase::Away, requests: VecDeque::new(), take_overs: 0 }
    }

    /// The oldest request that the leader has not got round to.
    pub(super) fn next_request(&self) -> Option<usize> {
        self.requests.iter().position(|sent| match sent.answer {
            None => true,
            // The log end is asked for again until the high watermark has reached it.
            Some(Answer::End { .. }) => true,
            _ => false,
        })
    }
}

impl Request {
    pub(super) fn only_reads(&self) -> bool {
        matches!(self, Request::ReadEnd | Request::CheckEnd)
    }

    /// Whether it would stand in the target's log.
    pub(super) fn appends(&self) -> bool {
        matches!(self, Request::Data { .. } | Request::Markers { .. })
    }

    pub(super) fn token(&self) -> Option<i32> {
        if let Request::Markers { token, .. } = self { Some(*token) } else { None }
    }
}

impl Appending {
    /// Whether nothing else is in flight, and a hole comes next.
    pub(super) fn is_alone(&self, source: i64, rules: &Rules) -> bool {
        self.state.acknowledged() == source && !rules.source.has(source + 1)
    }

    pub(super) fn next_data(&mut self, rules: &Rules) -> Option<Request> {
        let outgoing = self.state.next_batch(due(rules))?;
        let header = BatchHeader::parse(&outgoing.header).expect("a header");
        let source = header.base_timestamp;
        let expected = source + self.lineage.last().delta();
        if rules.omit == Some(Omit::WaitForAppends) && self.is_alone(source, rules) {
            let appended = Appended { base_offset: expected, log_append_time: None };
            self.state.on_produced(long_ago(rules), rules.now.moment, Ok(appended));
        }
        Some(Request::Data { source, sequence: header.base_sequence, expected })
    }

    /// What a demand of the state becomes: a request, or nothing where a rule is left out.
    pub(super) fn control(&mut self, control: Control, log_end: i64, rules: &Rules) -> Option<Request> {
        let position = self.state.acknowledged();
        let expected = position + self.lineage.last().delta();
        let now = long_ago(rules);
        let skips_end = match rules.omit {
            Some(Omit::LookBeforeFirstMarker) => self.sent_markers == 0,
            Some(Omit::MeasureAfterMarkers) => self.sent_markers > 0,
            _ => false,
        };
        match control {
            Control::ReadEnd if skips_end => {
                let log_end = expected + i64::from(self.sent_markers);
                let _ = self.state.on_log_end(now, log_end, log_end);
                None
            }
            Control::ReadEnd => Some(Request::ReadEnd),
            Control::MakeUp => {
                self.leaves = true;
                None
            }
            Control::CheckEnd => Some(Request::CheckEnd),
            Control::ReadBack { .. } => unreachable!("it is answered where the repeat was"),
            Control::WriteMarkers { count, token, .. } => {
                let is_first = self.sent_markers == 0;
                let hole = (rules.source.hole_end(position) - position) as u32;
                let count = if is_first && rules.omit == Some(Omit::FirstMarkerAlone) { hole } else { count };
                self.sent_markers = count;
                let in_place = self.looked.unwrap_or(log_end) == expected;
                Some(Request::Markers { count, token, tenure: self.tenure, in_place })
            }
        }
    }
}

/// Compares the tail of the visible log with the source, as `takeover/mod.rs` does: backwards in growing steps until a record fits,
/// and then forwards. `None`: it is not the source's.
///
/// A hole at the end that is long enough makes up for one that came out too long.
pub(in crate::data::append) fn compare(
    source: &Source,
    makes_up: bool,
    recorded: &Lineage,
    visible: &[Entry],
) -> Option<Found> {
    compare_cleaned(source, makes_up, recorded, visible, Cleaned::default())
}

/// What the target's cleaner has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cleaned {
    /// Whether it may have removed anything.
    pub(super) is_at_work: bool,
    /// The offsets, a bit each.
    pub(super) offsets: u64,
    /// Only where [`Omit::SeenMarkers`]: whatever is behind the last record is taken for a marker.
    pub(super) counts_bare_offsets: bool,
}

impl Cleaned {
    /// Whether the record at this offset was removed. Longer logs than an exhaustive model has are not cleaned.
    fn has(&self, offset: i64) -> bool {
        u32::try_from(offset).is_ok_and(|offset| self.offsets.checked_shr(offset).unwrap_or(0) & 1 == 1)
    }
}

/// The same where the target's cleaner has removed records.
pub(super) fn compare_cleaned(
    source: &Source,
    makes_up: bool,
    recorded: &Lineage,
    visible: &[Entry],
    cleaned: Cleaned,
) -> Option<Found> {
    let is_bare = |offset: i64| cleaned.has(offset);
    let is_left = |(offset, ..): &(i64, i64, i32)| !is_bare(*offset);
    let (end, floor) = (visible.len() as i64, recorded.first().target);
    let mut lineage = recorded.clone();
    lineage.truncate(end);
    let mut step = 1;
    let displaced = loop {
        let first = (end - step).max(floor);
        let tail: Vec<_> = records(visible).filter(|(target, ..)| *target >= first).filter(is_left).collect();
        let data_end = tail.last().map_or(first, |(target, ..)| target + 1);
        let markers_from = match cleaned.counts_bare_offsets {
            true => data_end,
            false => (data_end..end).rev().find(|offset| is_bare(*offset)).map_or(data_end, |bare| bare + 1),
        };
        let aligned =
            align_tail(source, &lineage, &tail, [first, data_end, markers_from, end], cleaned.is_at_work);
        match aligned {
            Ok(Alignment { is_proven: true, displaced, .. }) => break displaced,
            Ok(Alignment { displaced, .. }) if first == floor && tail.is_empty() => break displaced,
            Err(Misaligned::Diverged(_)) => return None,
            Ok(_) | Err(Misaligned::Unanchored(_)) if first == floor => return None,
            Ok(_) | Err(Misaligned::Unanchored(_)) => step *= 4,
        }
    };
    for run in displaced {
        lineage.displace(run).ok()?;
    }
    let position = lineage.source_of(end);
    if makes_up && let Some(run) = make_up(&lineage, position, source.hole_end(position)) {
        lineage.begin(run).ok()?;
    }
    let next_sequence = records(visible).rfind(is_left).map(|(_, _, last)| Sequence::after(last, 1).value());
    Some(Found { position: lineage.source_of(end), lineage, next_sequence })
}

/// The engine's comparison.
fn align_tail(
    source: &Source,
    lineage: &Lineage,
    tail: &[(i64, i64, i32)],
    [first, data_end, markers_from, end]: [i64; 4],
    target_is_compacted: bool,
) -> Result<Alignment, Misaligned> {
    let target: Vec<_> = tail.iter().map(|(target, source, _)| record(*target, *source)).collect();
    let is_whole = first == lineage.first().target;
    let first = if is_whole { first } else { target.first().map_or(first, |record| record.offset) };
    let (from, to) = (lineage.source_of(first), lineage.source_of(end).min(source.end()));
    let original: Vec<_> =
        (from..to).filter(|offset| source.has(*offset)).map(|offset| record(offset, offset)).collect();
    let tails = Tails {
        source: &original,
        target: &target,
        batches: &[],
        is_whole,
        data_end,
        markers_from,
        target_end: end,
        readable_end: source.end(),
        source_start: 0,
    };
    align(
        lineage,
        &tails,
        &CompareRules { keeps_timestamps: true, target_is_compacted, ..CompareRules::default() },
    )
}

/// The source's record `source` at an offset of either side.
fn record(offset: i64, source: i64) -> OwnedRecord {
    let value = Some(source.to_be_bytes().to_vec());
    OwnedRecord { offset, timestamp: 0, key: None, value, headers: Vec::new() }
}

/// Everything is due at any time: what is asked for later than what is answered by far.
pub(super) fn due(rules: &Rules) -> Now {
    Now { instant: rules.now.instant + Duration::from_secs(3_600), ..rules.now }
}

pub(super) fn long_ago(rules: &Rules) -> Now {
    rules.now
}
