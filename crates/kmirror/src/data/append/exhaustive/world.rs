//! Two owners, one leader, and what can happen next.

use std::hash::{Hash, Hasher};

use super::broker::{Broker, Entry, Tenure, records};
use super::checks::Violation;
use super::explore::Fingerprint;
use super::owner::{
    Answer, Appending, Cleaned, Found, InFlight, Owner, Phase, Request, compare, compare_cleaned, due,
    long_ago,
};
use super::{Omit, Rules};
use crate::data::append::cause::TakeOverCause;
use crate::data::append::repeat::Appended;
use crate::data::append::state::{AppendStart, AppendState, Outcome, Refusal};
use crate::ground::sequence::Sequence;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) owners: [Owner; 2],
    /// Requests of connections that are gone: executed at any time, in any order, or never.
    pub(super) late: Vec<Request>,
    pub(super) take_overs: Tenure,
    losses: u8,
    fail_overs: u8,
    refusals: u8,
    pub(super) unclean_elections: u8,
    expiries: u8,
    cleanings: u8,
}

/// What happens next. What an owner does by itself follows at once: it takes in the answers that it can get, and sends what it may.
/// Nobody can tell that from doing it later, since a request is executed at any time after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    /// An owner begins a take-over: it reads what is recorded.
    ReadLineage {
        owner: usize,
    },
    /// Only where a cleaner is at work: it reads where the log ends.
    ReadEnd {
        owner: usize,
    },
    /// The target's cleaner removes what it may.
    Clean,
    /// It reads the visible log, and chooses a token.
    ReadTail {
        owner: usize,
        token: i32,
    },
    /// Only where [`Omit::OneRead`]: it reads the sequence.
    ReadSequence {
        owner: usize,
        token: i32,
    },
    /// The leader executes the next request of an owner.
    Execute {
        owner: usize,
    },
    /// It refuses it for a passing reason, and executes it all the same or not.
    Refuse {
        owner: usize,
        executed: bool,
    },
    /// One more offset is replicated.
    Replicate,
    /// An owner crashes, or its connection does.
    Lose {
        owner: usize,
    },
    /// A request is executed whose owner has gone.
    ExecuteLate {
        index: usize,
    },
    /// Another replica leads; what it does not have is gone.
    FailOver,
    /// All replicas in sync are gone, and with them every connection to the leader. Another one leads, or the same after a loss of
    /// power: what lies behind `end` is gone, though it was acknowledged.
    ElectUncleanly {
        end: i64,
    },
    /// The leader forgets the flow's producers: their newest records are old. Where an owner has not written a request by then, what it
    /// has seen of the log is too old to write it.
    ForgetProducers,
}

/// Owners are alike, and requests that are late have no order.
impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let value = |part: &dyn Fn(&mut Fingerprint)| {
            let mut fingerprint = Fingerprint::default();
            part(&mut fingerprint);
            fingerprint.value()
        };
        let mut owners = self.owners.each_ref().map(|owner| value(&|hasher| owner.hash(hasher)));
        let mut late: Vec<_> = self.late.iter().map(|late| value(&|hasher| late.hash(hasher))).collect();
        owners.sort_unstable();
        late.sort_unstable();
        (owners, late, &self.broker).hash(hasher);
        (self.take_overs, self.losses, self.fail_overs, self.refusals).hash(hasher);
        (self.unclean_elections, self.expiries, self.cleanings).hash(hasher);
    }
}

impl World {
    pub(super) fn new() -> World {
        World {
            broker: Broker::new(),
            owners: [Owner::new(), Owner::new()],
            late: Vec::new(),
            take_overs: 0,
            losses: 0,
            fail_overs: 0,
            refusals: 0,
            unclean_elections: 0,
            expiries: 0,
            cleanings: 0,
        }
    }

    /// Everything that can happen next.
    pub(super) fn steps(&self, rules: &Rules) -> Vec<Step> {
        let mut steps = Vec::new();
        for owner in 0..self.owners.len() {
            self.steps_of(owner, rules, &mut steps);
        }
        for index in 0..self.late.len() {
            if !self.late[..index].contains(&self.late[index]) {
                steps.push(Step::ExecuteLate { index });
            }
        }
        if self.broker.high_watermark < self.broker.end() {
            steps.push(Step::Replicate);
            if self.fail_overs < rules.bounds.fail_overs {
                steps.push(Step::FailOver);
            }
        }
        if self.unclean_elections < rules.bounds.unclean_elections {
            steps.extend((0..self.broker.high_watermark).map(|end| Step::ElectUncleanly { end }));
        }
        if self.cleanings < rules.bounds.cleanings {
            steps.push(Step::Clean);
        }
        let is_quiet = !self.late.iter().any(Request::appends)
            && self.broker.high_watermark == self.broker.end()
            && self.broker.remembers_anything();
        if is_quiet && self.expiries < rules.bounds.expiries {
            steps.push(Step::ForgetProducers);
        }
        steps
    }

    fn steps_of(&self, index: usize, rules: &Rules, steps: &mut Vec<Step>) {
        let owner = &self.owners[index];
        match &owner.phase {
            Phase::Parked => return,
            Phase::Away => {
                if owner.take_overs < rules.bounds.take_overs {
                    steps.push(Step::ReadLineage { owner: index });
                }
                return;
            }
            Phase::Reading { .. } if rules.bounds.cleanings > 0 => {
                if self.broker.high_watermark == self.broker.end() || rules.omit == Some(Omit::RestBeforeTail)
                {
                    steps.push(Step::ReadEnd { owner: index });
                }
                return;
            }
            Phase::Reading { .. } | Phase::EndRead { .. } => {
                let tokens = self.tokens(rules).into_iter();
                return steps.extend(tokens.map(|token| Step::ReadTail { owner: index, token }));
            }
            Phase::HalfRead { .. } => {
                let tokens = self.tokens(rules).into_iter();
                return steps.extend(tokens.map(|token| Step::ReadSequence { owner: index, token }));
            }
            Phase::Recording { .. } | Phase::Appending(_) => {}
        }
        let Some(next) = owner.next_request() else { return };
        steps.push(Step::Execute { owner: index });
        if self.losses < rules.bounds.losses {
            steps.push(Step::Lose { owner: index });
        }
        let can_be_refused = matches!(
            owner.requests[next],
            InFlight { request: Request::Data { .. } | Request::Markers { .. }, answer: None }
        );
        if can_be_refused && self.refusals < rules.bounds.refusals {
            steps.extend([false, true].map(|executed| Step::Refuse { owner: index, executed }));
        }
    }

    /// The tokens that a take-over may choose now.
    fn tokens(&self, rules: &Rules) -> Vec<i32> {
        match rules.omit {
            Some(Omit::TokenAboveTheLog) => vec![1],
            Some(Omit::TokenAboveAll) => {
                let mut used: Vec<_> = self.owners.iter().filter_map(Owner::token).collect();
                used.extend(self.late.iter().filter_map(Request::token));
                let seen = self.broker.token();
                let lowest = (seen + 1..).find(|token| !used.contains(token));
                let above = used.iter().copied().max().map(|highest| highest.max(seen) + 1);
                lowest.into_iter().chain(above.filter(|above| lowest != Some(*above))).collect()
            }
            _ => vec![i32::from(self.take_overs) + 1],
        }
    }

    /// Takes a step, and says what it violates.
    pub(super) fn take(&mut self, step: Step, rules: &Rules) -> Result<(), Violation> {
        match step {
            Step::Begin => {}
            Step::ReadLineage { owner } => {
                let (lineage, version) = (self.broker.lineage.clone(), self.broker.version);
                self.owners[owner].take_overs += 1;
                self.owners[owner].phase = Phase::Reading { lineage, version };
            }
            Step::ReadEnd { owner } => self.read_end(owner),
            Step::Clean => {
                self.cleanings += 1;
                self.broker.clean();
            }
            Step::ReadTail { owner, token } => self.read_tail(owner, token, rules),
            Step::ReadSequence { owner, token } => self.read_sequence(owner, token, rules),
            Step::Execute { owner } => self.execute(owner, rules)?,
            Step::Refuse { owner, executed } => {
                self.refusals += 1;
                self.refuse(owner, executed, rules)?;
            }
            Step::Replicate => self.broker.high_watermark += 1,
            Step::Lose { owner } => {
                self.losses += 1;
                self.forget(owner);
            }
            Step::ExecuteLate { index } => {
                let request = self.late.swap_remove(index);
                self.on_leader(&request, rules)?;
            }
            Step::FailOver => {
                self.fail_overs += 1;
                self.fail_over();
            }
            Step::ElectUncleanly { end } => {
                self.unclean_elections += 1;
                self.broker.fail_over(end);
                if rules.omit != Some(Omit::EndWithConnection) {
                    (0..self.owners.len()).for_each(|owner| self.forget(owner));
                    self.late.clear();
                }
            }
            Step::ForgetProducers => {
                self.expiries += 1;
                self.broker.forget_producers();
                if rules.omit != Some(Omit::Freshness) {
                    self.drop_stale();
                }
            }
        }
        (0..self.owners.len()).try_for_each(|owner| self.go_on(owner, rules))
    }

    fn read_end(&mut self, index: usize) {
        let Phase::Reading { lineage, version } = &self.owners[index].phase else { return };
        let ends = [self.broker.high_watermark, self.broker.end()];
        self.owners[index].phase = Phase::EndRead { lineage: lineage.clone(), version: *version, ends };
    }

    /// The tail is of the log that ended where it was seen to end, if it still does.
    fn read_cleaned_tail(&mut self, index: usize, token: i32, rules: &Rules) {
        let Phase::EndRead { lineage, version, ends: [end, log_end] } = &self.owners[index].phase else {
            return;
        };
        let is_unmoved = [self.broker.high_watermark, self.broker.end()] == [*end, *log_end];
        let Some(visible) = self.broker.visible().get(..*end as usize) else { return self.forget(index) };
        let cleaned = Cleaned {
            is_at_work: true,
            offsets: self.broker.cleaned,
            counts_bare_offsets: rules.omit == Some(Omit::SeenMarkers),
        };
        let found = compare_cleaned(&rules.source, true, lineage, visible, cleaned);
        let (lineage, version) = (lineage.clone(), *version);
        match found {
            _ if !is_unmoved && rules.omit != Some(Omit::EndAgain) => self.forget(index),
            None => self.owners[index].phase = Phase::Parked,
            Some(found) => {
                self.owners[index].phase = Phase::Reading { lineage, version };
                self.taken_over(index, found, token, rules);
            }
        }
    }

    fn read_tail(&mut self, index: usize, token: i32, rules: &Rules) {
        if rules.bounds.cleanings > 0 {
            return self.read_cleaned_tail(index, token, rules);
        }
        let Phase::Reading { lineage, version } = &self.owners[index].phase else { return };
        let visible = self.broker.visible();
        let found = if rules.omit == Some(Omit::Comparison) {
            let found = compare(&rules.source, rules.omit != Some(Omit::MakeUp), lineage, visible);
            let position = self.broker.high_watermark - lineage.last().delta();
            found.map(|found| Found { position, lineage: lineage.clone(), ..found })
        } else {
            compare(&rules.source, rules.omit != Some(Omit::MakeUp), lineage, visible)
        };
        match found {
            None => self.owners[index].phase = Phase::Parked,
            Some(found) if rules.omit == Some(Omit::OneRead) => {
                let (lineage, version) = (lineage.clone(), *version);
                self.owners[index].phase = Phase::HalfRead { lineage, version, found };
            }
            Some(found) => self.taken_over(index, found, token, rules),
        }
    }

    fn read_sequence(&mut self, index: usize, token: i32, rules: &Rules) {
        let Phase::HalfRead { found, .. } = &self.owners[index].phase else { return };
        let last = records(&self.broker.log).next_back();
        let next_sequence = last.map(|(_, _, last)| Sequence::after(last, 1).value());
        let found = Found { next_sequence, ..found.clone() };
        self.taken_over(index, found, token, rules);
    }

    /// A run that is not recorded is recorded before anything is appended.
    fn taken_over(&mut self, index: usize, found: Found, token: i32, rules: &Rules) {
        self.take_overs += 1;
        let tenure = self.take_overs;
        let (Phase::Reading { lineage, version } | Phase::HalfRead { lineage, version, .. }) =
            &self.owners[index].phase
        else {
            return;
        };
        let is_recorded = *lineage == found.lineage;
        if !is_recorded {
            let (lineage, version) = (found.lineage.clone(), *version);
            self.owners[index].send(Request::Record { lineage, version });
        }
        if is_recorded || rules.omit == Some(Omit::RecordFirst) {
            self.install(index, found, token, tenure, rules);
        } else {
            self.owners[index].phase = Phase::Recording { found, token, tenure };
        }
    }

    fn install(&mut self, index: usize, found: Found, token: i32, tenure: Tenure, rules: &Rules) {
        let delta = found.lineage.last().delta();
        let mut next_sequence = found.next_sequence;
        match rules.omit {
            Some(Omit::SameFirstSequence) if next_sequence.is_none() => {
                let first = rules.source.record_from(found.position);
                next_sequence = first.map(|first| first as i32 + i32::from(tenure % 2));
            }
            Some(Omit::FirstSequenceOfSource) if next_sequence.is_none() => {
                let first = rules.source.record_from(found.position);
                next_sequence = first.map(|first| (first + delta) as i32);
            }
            Some(Omit::FirstSequenceWhenSent) if next_sequence.is_none() => {
                next_sequence = Some(found.position as i32);
            }
            _ => {}
        }
        let start = AppendStart {
            position: found.position,
            delta,
            surplus: if rules.omit == Some(Omit::MakeUp) { 0 } else { found.lineage.surplus() },
            next_sequence: next_sequence.map(|next| Sequence::after(next, 0)),
            token,
            seen_at: rules.now.moment,
        };
        let mut state = AppendState::new(DATA_PRODUCER_ID, start);
        if rules.omit == Some(Omit::WindowOfOne) {
            state.widen_window();
        }
        for item in rules.source.items_from(found.position) {
            state.push(item).expect("contiguous");
        }
        let lineage = found.lineage;
        self.owners[index].phase = Phase::Appending(Box::new(Appending {
            state,
            lineage,
            tenure,
            sent_markers: 0,
            looked: None,
            leaves: false,
        }));
    }

    /// What was sent is executed later, or never.
    fn forget(&mut self, index: usize) {
        let owner = &mut self.owners[index];
        owner.phase = Phase::Away;
        let sent = std::mem::take(&mut owner.requests);
        let unexecuted = sent.into_iter().filter(|sent| sent.answer.is_none() && !sent.request.only_reads());
        self.late.extend(unexecuted.map(|sent| sent.request));
    }

    /// What was not written yet is not written any more, and whoever has not begun to append has seen too long ago where the log ends.
    fn drop_stale(&mut self) {
        for index in 0..self.owners.len() {
            let owner = &self.owners[index];
            let is_beginning = matches!(owner.phase, Phase::Recording { .. } | Phase::HalfRead { .. });
            let appends = |sent: &InFlight| sent.answer.is_none() && sent.request.appends();
            if is_beginning || owner.requests.iter().any(appends) {
                self.forget(index);
            }
        }
        self.late.retain(|request| !request.appends());
    }

    /// Who waits for an answer to something that is gone does not get it.
    fn fail_over(&mut self) {
        self.broker.fail_over(self.broker.high_watermark);
        let end = self.broker.end();
        for index in 0..self.owners.len() {
            let waits = self.owners[index].requests.iter().any(|sent| match &sent.answer {
                Some(Answer::Appended { visible_at, .. } | Answer::Written { visible_at }) => {
                    *visible_at > end
                }
                _ => false,
            });
            if waits {
                self.forget(index);
            }
        }
    }

    fn execute(&mut self, index: usize, rules: &Rules) -> Result<(), Violation> {
        let Some(next) = self.owners[index].next_request() else { return Ok(()) };
        let request = self.owners[index].requests[next].request.clone();
        let answer = self.on_leader(&request, rules)?;
        if let Answer::End { log_end } = answer
            && let Phase::Appending(appending) = &mut self.owners[index].phase
        {
            appending.looked = Some(log_end);
        }
        self.owners[index].requests[next].answer = Some(answer);
        Ok(())
    }

    fn refuse(&mut self, index: usize, executed: bool, rules: &Rules) -> Result<(), Violation> {
        let Some(next) = self.owners[index].next_request() else { return Ok(()) };
        if executed {
            let request = self.owners[index].requests[next].request.clone();
            self.on_leader(&request, rules)?;
        }
        let is_marker = matches!(self.owners[index].requests[next].request, Request::Markers { .. });
        if !(is_marker && rules.omit == Some(Omit::NoSecondMarkers)) {
            self.owners[index].requests[next].answer = Some(Answer::Again);
        }
        Ok(())
    }

    /// Executes a request, and looks at what became of the log.
    fn on_leader(&mut self, request: &Request, rules: &Rules) -> Result<Answer, Violation> {
        match request {
            Request::ReadEnd => Ok(Answer::End { log_end: self.broker.end() }),
            Request::CheckEnd => Ok(Answer::Checked { log_end: self.broker.end() }),
            Request::Record { version, .. }
                if *version != self.broker.version && rules.omit != Some(Omit::CompareAndRecord) =>
            {
                Ok(Answer::NotRecorded)
            }
            Request::Record { lineage, .. } => {
                self.broker.version += 1;
                self.broker.lineage = lineage.clone();
                Ok(Answer::Recorded)
            }
            Request::Data { source, sequence, expected } => {
                let (end, last) = (self.broker.end(), self.broker.last_record());
                let Some(base_offset) = self.broker.append(*source, *sequence) else {
                    return Ok(Answer::OutOfOrder);
                };
                if self.broker.end() > end {
                    self.check_appended(*source, *expected, last, rules)?;
                }
                let is_repeat = self.broker.end() == end;
                Ok(Answer::Appended { base_offset, visible_at: base_offset + 1, is_repeat })
            }
            Request::Markers { token, .. } if *token < self.broker.token() => Ok(Answer::Fenced),
            Request::Markers { count, token, tenure, in_place } => {
                let (excess, is_first) = (self.broker.excess(&rules.source), *token > self.broker.token());
                let is_late = self
                    .broker
                    .log
                    .iter()
                    .any(|entry| matches!(entry, Entry::Marker { owner, .. } if owner > tenure));
                let entries = (0..*count).map(|_| Entry::Marker { token: *token, owner: *tenure });
                self.broker.log.extend(entries);
                let in_the_window = *count == 1 && is_first && *in_place && !is_late;
                if self.broker.excess(&rules.source) > excess && !in_the_window {
                    return Err(Violation::ShiftOutsideTheWindow { target: self.broker.end() - 1 });
                }
                Ok(Answer::Written { visible_at: self.broker.end() })
            }
        }
    }

    /// Takes in the answers that an owner can get, and sends what it may.
    fn go_on(&mut self, index: usize, rules: &Rules) -> Result<(), Violation> {
        loop {
            self.send(index, rules);
            let Some(answer) = self.next_answer(index, rules) else { return Ok(()) };
            self.deliver(index, answer, rules)?;
        }
    }

    /// The answer to the oldest request, if it can be given.
    fn next_answer(&mut self, index: usize, rules: &Rules) -> Option<(Request, Answer)> {
        let high_watermark = self.broker.high_watermark;
        let front = self.owners[index].requests.front_mut()?;
        match front.answer.as_ref()? {
            Answer::Appended { visible_at, .. } | Answer::Written { visible_at }
                if *visible_at > high_watermark =>
            {
                return None;
            }
            Answer::End { log_end } if rules.omit != Some(Omit::Rest) => {
                if *log_end < high_watermark {
                    front.answer = None; // not at rest: it asks again
                    return None;
                }
                if *log_end > high_watermark {
                    return None;
                }
            }
            _ => {}
        }
        let answered = self.owners[index].requests.pop_front()?;
        Some((answered.request, answered.answer?))
    }

    fn deliver(
        &mut self,
        index: usize,
        (request, answer): (Request, Answer),
        rules: &Rules,
    ) -> Result<(), Violation> {
        let now = long_ago(rules);
        let outcome = match (&mut self.owners[index].phase, request, answer) {
            (Phase::Recording { found, token, tenure }, _, Answer::Recorded) => {
                let (found, token, tenure) = (found.clone(), *token, *tenure);
                self.install(index, found, token, tenure, rules);
                Outcome::Going
            }
            (_, Request::Record { .. }, Answer::NotRecorded) => {
                self.forget(index);
                Outcome::Going
            }
            (Phase::Appending(appending), Request::Data { source, expected, .. }, answer) => {
                let produced = match answer {
                    Answer::Appended { base_offset, is_repeat, .. } => {
                        let believes = rules.omit == Some(Omit::AcknowledgedOffsets);
                        let base_offset = if believes { expected } else { base_offset };
                        Ok(Appended { base_offset, log_append_time: is_repeat.then_some(source) })
                    }
                    Answer::Again => Err(Refusal::Again(String::new())),
                    _ => Err(Refusal::TakeOver(TakeOverCause::OutOfOrder)),
                };
                match produced {
                    // It was taken for acknowledged when it was sent.
                    produced if source < appending.state.acknowledged() => {
                        if produced.ok().is_none_or(|appended| appended.base_offset != expected) {
                            self.forget(index);
                        }
                        Outcome::Going
                    }
                    produced => {
                        let outcome = appending.state.on_produced(now, now.moment, produced);
                        if appending.state.must_read() {
                            // Replicated records do not change: nothing is lost if they are read at once.
                            let _ = appending.state.next_control(due(rules));
                            appending.state.on_read_back(&self.broker.read(expected))
                        } else {
                            outcome
                        }
                    }
                }
            }
            (Phase::Appending(appending), Request::Markers { token, .. }, answer) => {
                appending.state.on_markers(match answer {
                    Answer::Written { .. } => Ok(()),
                    Answer::Again => Err(Refusal::Again(String::new())),
                    _ => Err(Refusal::TakeOver(TakeOverCause::Fenced { token })),
                })
            }
            (Phase::Appending(appending), Request::ReadEnd, Answer::End { log_end }) => {
                appending.state.on_log_end(now, log_end, log_end)
            }
            (Phase::Appending(appending), Request::CheckEnd, Answer::Checked { log_end }) => {
                appending.state.on_end_checked(now, log_end)
            }
            _ => Outcome::Going,
        };
        self.conclude(index, outcome, rules)
    }

    fn conclude(&mut self, index: usize, outcome: Outcome, rules: &Rules) -> Result<(), Violation> {
        match outcome {
            Outcome::Going => Ok(()),
            Outcome::Acknowledged { .. } => self.check_acknowledged(index, rules),
            Outcome::TakeOver(_) => {
                self.forget(index);
                Ok(())
            }
            Outcome::Park(parked) => Err(Violation::Parked(parked.message)),
        }
    }

    /// Sends what may be sent.
    fn send(&mut self, index: usize, rules: &Rules) {
        while self.send_once(index, rules) {}
    }

    /// Whether there may be more.
    fn send_once(&mut self, index: usize, rules: &Rules) -> bool {
        let log_end = self.broker.end();
        let owner = &mut self.owners[index];
        let Phase::Appending(appending) = &mut owner.phase else { return false };
        let requests = &mut owner.requests;
        let before = appending.state.acknowledged();
        while requests.len() < rules.bounds.in_flight {
            let Some(request) = appending.next_data(rules) else { break };
            requests.push_back(InFlight { request, answer: None });
        }
        while let Some(control) = appending.state.next_control(due(rules)) {
            if let Some(request) = appending.control(control, log_end, rules) {
                requests.push_back(InFlight { request, answer: None });
            }
        }
        let (leaves, goes_on) = (appending.leaves, appending.state.acknowledged() > before);
        if leaves {
            self.forget(index);
        }
        goes_on && !leaves
    }
}

const DATA_PRODUCER_ID: i64 = 7;
