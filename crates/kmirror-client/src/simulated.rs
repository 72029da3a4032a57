//! A world in which nothing is left to the machine: whoever enters it on a thread decides by a seed and by tokio's clock what
//! [`clock`](crate::clock) and [`chance`](crate::chance) say there, and work that would go to another thread is done here.
//!
//! For tests that replay: a runtime of one thread whose time is paused. Outside of one nothing of this costs more than a look at a
//! thread-local value.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use tokio::time::Instant;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

struct World {
    seed: u64,
    began: Instant,
    /// How often each stream of chance was drawn from.
    drawn: BTreeMap<u64, u64>,
}

/// The thread is in a simulated world until this is dropped.
#[derive(Debug)]
#[must_use = "the world ends with it"]
pub struct Entered {
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

/// Enters a world on this thread, in place of one that it may be in. Its time begins now.
pub fn enter(seed: u64) -> Entered {
    let world = World { seed, began: Instant::now(), drawn: BTreeMap::new() };
    WORLD.with_borrow_mut(|entered| *entered = Some(world));
    Entered { _here: PhantomData }
}

/// Whether this thread is in a simulated world.
pub fn is_entered() -> bool {
    WORLD.with_borrow(Option::is_some)
}

/// How old the world of this thread is.
pub(crate) fn age() -> Option<Duration> {
    WORLD.with_borrow(|world| world.as_ref().map(|world| world.began.elapsed()))
}

/// The next bits of a stream, in the world of this thread.
pub(crate) fn bits(stream: impl FnOnce() -> u64) -> Option<u64> {
    WORLD.with_borrow_mut(|world| {
        let world = world.as_mut()?;
        let stream = stream();
        let count = world.drawn.entry(stream).or_default();
        *count += 1;
        Some(mixed(mixed(world.seed ^ stream).wrapping_add(count.wrapping_mul(GOLDEN))))
    })
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Drop for Entered {
    fn drop(&mut self) {
        WORLD.with_borrow_mut(|world| *world = None);
    }
}

/// The golden ratio, as SplitMix64 counts by.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
