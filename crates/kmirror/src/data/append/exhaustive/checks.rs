//! What must hold: the properties of the protocol, and how a state and its schedule are shown.

use std::collections::VecDeque;
use std::fmt;

use super::Rules;
use super::broker::{Entry, records};
use super::owner::{Owner, Phase};
use super::world::{Step, World};
use crate::ground::lineage::Run;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// The record is not the one that follows.
    LostOrDoubled { source: i64, target: i64 },
    /// An owner that nobody disturbs finishes without having copied everything.
    NotCopied,
    /// An owner was told that something is copied, and it is not in the log for good.
    NotThere { source: i64 },
    /// A marker was appended that the source has no offset for, and not in the one window in which that can happen.
    ShiftOutsideTheWindow { target: i64 },
    /// A record came nearer to its source offset, or below it, and nothing says so.
    HoleTooShort { source: i64, target: i64 },
    /// An owner went on though the record is not where the lineage says.
    ShiftNotNoticed { source: i64, target: i64 },
    /// An owner that nobody disturbs parks, or does not come to an end.
    Stuck,
    /// There was a hole long enough to make up for it.
    ShiftNotHealed { surplus: i64 },
    /// The engine's own checks.
    Parked(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl World {
    /// A record was appended: is it the next one, and is it where its owner and the lineage put it?
    pub(super) fn check_appended(
        &self,
        source: i64,
        expected: i64,
        before: Option<Run>,
        rules: &Rules,
    ) -> Result<(), Violation> {
        let target = self.broker.end() - 1;
        let next = rules.source.record_from(before.map_or(0, |before| before.source + 1));
        if next != Some(source) {
            return Err(Violation::LostOrDoubled { source, target });
        }
        let delta_before = before.map_or(0, |before| before.delta());
        let is_recorded = self.broker.lineage.target_of(source) == target;
        if target < source || target - source < delta_before && !is_recorded {
            return Err(Violation::HoleTooShort { source, target });
        }
        if target == expected && !is_recorded {
            return Err(Violation::ShiftNotNoticed { source, target });
        }
        Ok(())
    }

    /// An owner was told that it has copied everything before a source offset: it is there for good, and where it is recorded.
    pub(super) fn check_acknowledged(&self, index: usize, rules: &Rules) -> Result<(), Violation> {
        let Phase::Appending(appending) = &self.owners[index].phase else { return Ok(()) };
        let acknowledged = appending.state.acknowledged();
        let expected = (0..acknowledged).rfind(|offset| rules.source.has(*offset));
        let there = records(self.broker.visible()).rfind(|(_, source, _)| *source < acknowledged);
        let Some(source) = expected else { return Ok(()) };
        let Some((target, last, _)) = there else { return Err(Violation::NotThere { source }) };
        if last != source {
            return Err(Violation::NotThere { source });
        }
        if self.broker.lineage.target_of(source) != target {
            return Err(Violation::ShiftNotNoticed { source, target });
        }
        Ok(())
    }

    /// Nothing is disturbed any more: one owner takes over and finishes.
    pub(super) fn finish(mut self, rules: &Rules) -> Result<(), Violation> {
        self.owners = [Owner::new(), Owner::new()];
        self.late.clear();
        let first = self.finish_calmly(rules)?;
        let lineage = &self.broker.lineage;
        let copied = records(&self.broker.log).count();
        if copied != (0..rules.source.end()).filter(|offset| rules.source.has(*offset)).count() {
            return Err(Violation::NotCopied);
        }
        for (target, source, _) in records(&self.broker.log) {
            if lineage.target_of(source) != target {
                return Err(Violation::ShiftNotNoticed { source, target });
            }
        }
        let (position, surplus) = first;
        let could_heal = surplus > 0 && rules.source.longest_hole_from(position) >= surplus;
        if could_heal && lineage.surplus() > 0 {
            return Err(Violation::ShiftNotHealed { surplus: lineage.surplus() });
        }
        Ok(())
    }

    /// Where the first take-over found the log, and how far ahead.
    fn finish_calmly(&mut self, rules: &Rules) -> Result<(i64, i64), Violation> {
        let mut first = None;
        for _ in 0..STEPS_MAX {
            while self.broker.high_watermark < self.broker.end() {
                self.take(Step::Replicate, rules)?;
            }
            let token = self.broker.token().max(i32::from(self.take_overs)) + 1;
            let step = match &self.owners[0].phase {
                Phase::Away => Step::ReadLineage { owner: 0 },
                Phase::Reading { .. } if rules.bounds.cleanings > 0 => Step::ReadEnd { owner: 0 },
                Phase::Reading { .. } | Phase::EndRead { .. } => Step::ReadTail { owner: 0, token },
                Phase::HalfRead { .. } => Step::ReadSequence { owner: 0, token },
                Phase::Parked => return Err(Violation::Stuck),
                Phase::Recording { .. } | Phase::Appending(_) => match self.owners[0].next_request() {
                    Some(_) => Step::Execute { owner: 0 },
                    None => break,
                },
            };
            self.take(step, rules)?;
            if let Phase::Appending(appending) = &self.owners[0].phase {
                first.get_or_insert((appending.state.acknowledged(), appending.lineage.surplus()));
            }
        }
        first.ok_or(Violation::Stuck)
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (offset, entry) in self.broker.log.iter().enumerate() {
            if offset as i64 == self.broker.high_watermark {
                write!(formatter, "| ")?;
            }
            match entry {
                Entry::Record { .. } if self.broker.cleaned >> offset & 1 == 1 => write!(formatter, "- ")?,
                Entry::Record { source, .. } => write!(formatter, "{source} ")?,
                Entry::Marker { token, .. } => write!(formatter, ".{token} ")?,
            }
        }
        write!(formatter, " lineage {}", self.broker.lineage)?;
        for owner in &self.owners {
            let phase = match &owner.phase {
                Phase::Away => "away".to_owned(),
                Phase::Reading { .. } => "reading".to_owned(),
                Phase::EndRead { .. } => "end read".to_owned(),
                Phase::HalfRead { .. } => "half read".to_owned(),
                Phase::Recording { .. } => "recording".to_owned(),
                Phase::Parked => "parked".to_owned(),
                Phase::Appending(appending) => format!("at {}", appending.state.acknowledged()),
            };
            write!(formatter, "; {phase} {:?}", VecDeque::from_iter(&owner.requests))?;
        }
        write!(formatter, "; late {:?}", self.late)
    }
}

/// More than any calm owner needs.
const STEPS_MAX: usize = 200;
