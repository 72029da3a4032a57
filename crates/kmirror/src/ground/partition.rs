//! How the tasks of a flow name partitions to each other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A partition of a flow: its place in the supervisor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey(pub(crate) u32);

/// What is known by partition. Its order is no matter of chance, for what is done for all partitions is done in it.
pub(crate) type KeyMap<T> = HashMap<PartitionKey, T, BuildHasherDefault<KeyHasher>>;

/// Spreads small numbers that nobody else chooses: a multiplication is enough.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // Knuth's multiplicative hashing, by the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts the take-overs of a partition. What was meant for an earlier one is ignored wherever it arrives.
pub(crate) type Generation = u64;
