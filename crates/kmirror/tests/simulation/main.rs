//! The whole engine between two clusters, on one thread, in a time that passes only while nobody has anything to do, without sockets. A
//! seed decides everything, so that a failure is a number that replays for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod kept;
mod logs;
mod mirrors;
mod mutation;
mod net;
mod oracle;
mod random;
mod run;
mod schedule;
mod shrink;
mod trace;
mod world;

use schedule::{Kinds, Schedule};

/// A failure names its seed and the few steps that it takes. CONTRIBUTING.md has the variables that say which seeds.
#[test]
fn whatever_goes_wrong_nothing_is_lost_doubled_or_reordered() {
    run::seeds(&Kinds::from_environment());
}

#[test]
fn the_same_seed_is_the_same_world() {
    let kinds = Kinds::from_environment();
    let traces = || {
        run::side_by_side(0..10, |seed| {
            run::once(&Schedule::of(seed, &kinds), false).map(|ended| ended.trace)
        })
    };
    let first = traces();
    assert_eq!(first, traces());
    let distinct: std::collections::BTreeSet<_> = first.iter().map(|trace| format!("{trace:?}")).collect();
    assert_eq!(distinct.len(), first.len(), "another seed is another world");
}
