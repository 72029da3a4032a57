//! Every state that can be reached, breadth first: the first violation that is found has the shortest schedule.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use super::Rules;
use super::checks::Violation;
use super::world::{Step, World};

/// What was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Explored {
    pub(super) states: usize,
    /// How many of them have offsets in the target that the source does not have.
    pub(super) shifted: usize,
    /// Different logs from which a calm owner was seen to finish.
    pub(super) finished: usize,
}

/// A violation, and the steps that lead to it.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) violation: Violation,
    pub(super) steps: Vec<Step>,
}

/// Explores all interleavings within the bounds of the rules.
pub(super) fn explore(rules: &Rules) -> Result<Explored, Schedule> {
    let mut explorer = Explorer::default();
    let first = World::new();
    explorer.seen.insert(fingerprint(&first));
    explorer.parents.push((0, Step::Begin));
    let mut level = vec![(0, first)];
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for (index, world) in level {
            for step in world.steps(rules) {
                let mut next = world.clone();
                let taken = next.take(step, rules);
                if let Err(violation) = taken.and_then(|()| explorer.check_calm(&next, rules)) {
                    return Err(explorer.schedule(index, step, violation));
                }
                if explorer.seen.insert(fingerprint(&next)) {
                    explorer.explored.shifted += usize::from(next.broker.excess(&rules.source) > 0);
                    explorer.parents.push((index, step));
                    next_level.push((explorer.parents.len() as u32 - 1, next));
                }
            }
        }
        level = next_level;
    }
    explorer.explored.states = explorer.seen.len();
    Ok(explorer.explored)
}

#[derive(Default)]
struct Explorer {
    explored: Explored,
    seen: HashSet<u128>,
    /// How each state was first reached.
    parents: Vec<(u32, Step)>,
    calm: HashSet<u128>,
}

impl Explorer {
    /// Whatever has happened, an owner that is not disturbed any more finishes. That depends on the log and the lineage only.
    fn check_calm(&mut self, world: &World, rules: &Rules) -> Result<(), Violation> {
        let mut hasher = Fingerprint::default();
        (&world.broker.log, &world.broker.lineage).hash(&mut hasher);
        if self.calm.insert(hasher.value()) {
            self.explored.finished += 1;
            world.clone().finish(rules)?;
        }
        Ok(())
    }

    fn schedule(&self, parent: u32, last: Step, violation: Violation) -> Schedule {
        let mut steps = vec![last];
        let mut index = parent;
        while index > 0 {
            let (parent, step) = self.parents[index as usize];
            steps.push(step);
            index = parent;
        }
        steps.reverse();
        Schedule { violation, steps }
    }
}

impl Schedule {
    /// The steps, each with what it left.
    pub(super) fn replay(&self, rules: &Rules) -> String {
        let mut text = format!("{}\n", self.violation);
        let mut world = World::new();
        for step in &self.steps {
            let taken = world.take(*step, rules);
            let _ = writeln!(text, "  {step:?}: {world}");
            if taken.is_err() {
                break;
            }
        }
        text
    }
}

/// States are told apart by 128 bits of hash: of ten million, two are confused once in 10^24 runs.
fn fingerprint(world: &World) -> u128 {
    let mut hasher = Fingerprint::default();
    world.hash(&mut hasher);
    hasher.value()
}

/// Two multiplicative hashes with different constants.
#[derive(Default)]
pub(super) struct Fingerprint {
    low: u64,
    high: u64,
}

impl Fingerprint {
    pub(super) fn value(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    fn add(&mut self, word: u64) {
        self.low = (self.low.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.high = (self.high.rotate_left(23) ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self.high ^= self.high >> 32;
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.low ^ self.high
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add(u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_i32(&mut self, value: i32) {
        self.add(value as u64);
    }

    fn write_i64(&mut self, value: i64) {
        self.add(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.add(value as u64);
        self.add((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}
