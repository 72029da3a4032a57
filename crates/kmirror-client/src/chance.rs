//! Numbers that nobody can foresee; in a [simulated](crate::simulated) world, numbers that follow from its seed.

use std::fmt::{self, Display, Write};
use std::hash::{BuildHasher, RandomState};

use crate::simulated;

/// Sixty-four bits of chance.
///
/// In a simulated world they come from a stream of their own for each `component` and `instance`: which of several alike draws, as
/// a client id and a partition. What others draw, and in which order, changes nothing of it.
pub fn bits(component: &str, instance: impl Display) -> u64 {
    let stream = || {
        let mut name = Fnv(FNV_BASIS);
        // A hasher takes everything.
        let _ = write!(name, "{component}\0{instance}");
        name.0
    };
    simulated::bits(stream).unwrap_or_else(unforeseen)
}

/// The standard library's seed of hash maps: different in every call, and no dependency.
#[expect(clippy::disallowed_methods, reason = "the one place that draws")]
fn unforeseen() -> u64 {
    RandomState::new().hash_one(())
}

/// FNV-1a: the same everywhere and always, which the standard library promises of no hash of its own.
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        Ok(())
    }
}

const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_foresees_what_a_seed_repeats() {
        assert_ne!(bits("token", 1), bits("token", 1));
        let drawn = |seed| {
            let _world = simulated::enter(seed);
            [bits("token", 1), bits("token", 1), bits("token", 2), bits("pause", 1)]
        };
        let first = drawn(7);
        assert_eq!(drawn(7), first);
        assert_ne!(drawn(8), first);
        let distinct = first.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(distinct.len(), first.len());
        assert!(!simulated::is_entered(), "the world has ended with its guard");
    }

    #[test]
    fn a_stream_does_not_depend_on_what_others_draw() {
        let alone = {
            let _world = simulated::enter(7);
            [bits("token", "a"), bits("token", "a")]
        };
        let _world = simulated::enter(7);
        let among_others = [(); 2].map(|()| {
            bits("pause", "a");
            bits("token", "b");
            bits("token", "a")
        });
        assert_eq!(among_others, alone);
    }
}
