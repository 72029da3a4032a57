//! What a cluster asks the machine for, which is the time and ids that nobody else has: of a real machine, or of one that a seed
//! and tokio's clock replay.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The real machine by default.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    simulated: Option<Simulated>,
}

#[derive(Debug)]
struct Simulated {
    seed: u64,
    began: Instant,
    /// How often bits were drawn, by what for.
    drawn: BTreeMap<String, u64>,
}

impl Machine {
    /// One whose time begins now and goes on by tokio's clock, which a test may pause.
    pub(crate) fn simulated(seed: u64) -> Machine {
        Machine { simulated: Some(Simulated { seed, began: Instant::now(), drawn: BTreeMap::new() }) }
    }

    /// Since 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub(crate) fn time(&self) -> Duration {
        match &self.simulated {
            Some(simulated) => SIMULATED_START + simulated.began.elapsed(),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Bits that differ in every call. Simulated ones follow from the seed, what they are for, and how often they were asked for.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws: the standard library's seed of hash maps"
    )]
    pub(crate) fn bits(&mut self, what_for: &str) -> u64 {
        match &mut self.simulated {
            Some(simulated) => simulated.bits(what_for),
            None => RandomState::new().hash_one(()),
        }
    }
}

impl Simulated {
    fn bits(&mut self, what_for: &str) -> u64 {
        let count = self.drawn.entry(what_for.to_owned()).or_default();
        *count += 1;
        // FNV-1a, and the finalizer of SplitMix64.
        let bytes = self.seed.to_be_bytes().into_iter().chain(count.to_be_bytes()).chain(what_for.bytes());
        let hash = bytes.fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^ (hash >> 31)
    }
}

/// In January 2027.
const SIMULATED_START: Duration = Duration::from_secs(1_800_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_machine_repeats_itself() {
        let draw = || {
            let mut machine = Machine::simulated(3);
            [machine.bits("one"), machine.bits("other"), machine.bits("one")]
        };
        let drawn = draw();
        assert_eq!(draw(), drawn);
        assert!(drawn[0] != drawn[1] && drawn[0] != drawn[2]);
        assert_ne!(Machine::simulated(4).bits("one"), drawn[0]);
        let machine = Machine::simulated(3);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(machine.time(), SIMULATED_START + Duration::from_millis(1_500));
    }
}
