//! Faults at random moments that can be had again.

use std::env;
use std::time::UNIX_EPOCH;

/// Random numbers from a seed, which is printed: a test that failed prints its output, and `KMIRROR_SEED` gives the same
/// schedule again.
pub(crate) struct Schedule {
    state: u64,
}

impl Schedule {
    /// With the seed of the environment, or with a new one.
    pub(crate) fn new() -> Schedule {
        let given = env::var("KMIRROR_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| UNIX_EPOCH.elapsed().unwrap().as_millis() as u64 % 1_000_000);
        eprintln!("the same schedule again: KMIRROR_SEED={seed}");
        Schedule { state: seed }
    }

    /// How long a schedule shall be: what the environment says, or short enough for every run of the tests.
    pub(crate) fn length(variable: &str, otherwise: u32) -> u32 {
        env::var(variable).map_or(otherwise, |length| length.parse().unwrap())
    }

    /// A number from 0 up to and without `end`.
    pub(crate) fn up_to(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
