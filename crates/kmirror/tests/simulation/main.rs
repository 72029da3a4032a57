//! The whole engine between two clusters, on one thread, in a time that passes only while nobody has anything to do, without sockets. A
//! seed decides everything, so that a failure is a number that replays for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod control;
mod kept;
mod logs;
mod mirrors;
mod mutation;
mod neighbours;
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

/// `KMIRROR_TRACE_RUNS` of each of ten seeds, 2 if not set.
#[test]
fn the_same_seed_is_the_same_world() {
    let runs = std::env::var("KMIRROR_TRACE_RUNS").map_or(2, |runs| runs.parse::<u32>().expect("a number"));
    assert!(runs > 1, "one run is equal to itself");
    let kinds = Kinds::from_environment();
    let traces = || {
        run::side_by_side(0..10, |seed| {
            run::once(&Schedule::of(seed, &kinds), false).map(|ended| ended.trace)
        })
    };
    let first = traces();
    (1..runs).for_each(|run| assert_eq!(first, traces(), "run {run} is another one than run 0"));
    let distinct: std::collections::BTreeSet<_> = first.iter().map(|trace| format!("{trace:?}")).collect();
    assert_eq!(distinct.len(), first.len(), "another seed is another world");
}
