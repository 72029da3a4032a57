//! Runs worlds: one after the other on each core.

// Outside of worlds the machine's time passes.
#![allow(clippy::disallowed_methods)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::oracle::{Violation, violation};
use crate::schedule::{Kinds, Schedule};
use crate::shrink::shrunk;
use crate::world::{self, Ended};

/// The seeds that the environment names, 500 if it names none.
pub(crate) fn seeds(kinds: &Kinds) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("KMIRROR_SEED") {
        let schedule = Schedule::of(seed, kinds);
        eprintln!("{schedule}");
        let ended = side_by_side(0..1, |_| once(&schedule, true)).remove(0);
        println!("{ended:?}");
        ended.unwrap_or_else(|violation| fail(&schedule, &violation, true));
        return;
    }
    let first = number("KMIRROR_SEED_FIRST").unwrap_or(0);
    let seeds = first..first + number("KMIRROR_SEEDS").unwrap_or(500);
    let began = Instant::now();
    let count = seeds.end - seeds.start;
    let ended = side_by_side(seeds, |seed| {
        let schedule = Schedule::of(seed, kinds);
        let ended = once(&schedule, false);
        if let Err(violation) = &ended {
            eprintln!("seed {seed}: {}: {}", violation.rule, violation.what);
        }
        ended.map_err(|violation| (schedule, violation))
    });
    let displaced = ended.iter().flatten().filter(|ended| ended.is_displaced).count();
    let parked: usize = ended.iter().flatten().map(|ended| ended.parked).sum();
    let lasted: Duration = ended.iter().flatten().map(|ended| ended.lasted).sum();
    let core_seconds = began.elapsed().as_secs_f64() * parallelism() as f64;
    if number("KMIRROR_TRACES").is_some() {
        for (seed, ended) in (first..).zip(&ended) {
            println!("seed {seed}: {:?}", ended.as_ref().map(|ended| format!("{:016x}", ended.trace)).ok());
        }
    }
    // Equal before and after a change that is none in what happens. The multiplier is that of FNV-1a.
    let traces =
        ended.iter().flatten().fold(0_u64, |hash, ended| (hash ^ ended.trace).wrapping_mul(0x100_0000_01B3));
    println!(
        "{count} seeds, {displaced} with a hole that became too long, {parked} partitions parked rightly, {:.0} s of their time, traces {traces:016x}, {:.1} seeds per core-second",
        lasted.as_secs_f64(),
        count as f64 / core_seconds
    );
    let failed: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    if let Some((schedule, violation)) = failed.first() {
        let seeds: Vec<_> = failed.iter().map(|(schedule, _)| schedule.seed).collect();
        eprintln!("{} of {count} seeds fail: {seeds:?}", failed.len());
        fail(schedule, violation, false);
    }
}

/// Cuts a schedule down to what it takes, and says it; all that happens in it as well, where that is wanted.
fn fail(schedule: &Schedule, violation: &Violation, is_listed: bool) -> ! {
    let run = |schedule: &Schedule| once_within(schedule, false, SHRINK_STUCK_AFTER).map(drop);
    let mut shrunk = side_by_side(0..1, |_| shrunk(schedule, violation, run));
    let (short, violation) = shrunk.remove(0);
    if is_listed {
        eprintln!("{short}");
        side_by_side(0..1, |_| once(&short, true).ok());
    }
    panic!(
        "{}: {}\nthe same again: KMIRROR_SEED={}; as few steps as it takes:\n{short}",
        violation.rule, violation.what, schedule.seed
    );
}

/// Lets a schedule happen, in a runtime of its own.
pub(crate) fn once(schedule: &Schedule, is_listed: bool) -> Result<Ended, Violation> {
    once_within(schedule, is_listed, STUCK_AFTER)
}

/// The same. `stuck_after`: how much of the machine's time may pass while the world's stands still.
fn once_within(schedule: &Schedule, is_listed: bool, stuck_after: Duration) -> Result<Ended, Violation> {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (looks, stuck) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (_end, ended) = mpsc::channel::<()>();
        let (looked, alarm) = (Arc::clone(&looks), Arc::clone(&stuck));
        thread::spawn(move || watch(&looked, &alarm, &ended, stuck_after));
        runtime.expect("a runtime").block_on(async {
            tokio::select! {
                biased;
                () = stuck.notified() => Err(violation("time stands still", format!("for {stuck_after:?}"))),
                ended = world::run(schedule, is_listed, looks) => ended,
            }
        })
    }));
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("something");
        Err(violation("panic", text.to_owned()))
    })
}

/// Time does not pass in a world while anybody is busy: only another thread can tell that somebody is so for ever. `looks` is counted
/// up as long as time passes.
fn watch(looks: &AtomicU64, alarm: &Notify, ended: &mpsc::Receiver<()>, stuck_after: Duration) {
    let mut seen = looks.load(Ordering::Relaxed);
    while ended.recv_timeout(stuck_after) == Err(RecvTimeoutError::Timeout) {
        let before = std::mem::replace(&mut seen, looks.load(Ordering::Relaxed));
        if seen == before {
            alarm.notify_one();
        }
    }
}

/// Does something for each seed, on as many threads as there are cores; the results in the order of the seeds.
pub(crate) fn side_by_side<T: Send>(seeds: Range<u64>, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..parallelism() {
            let (next, done, work) = (&next, &done, &work);
            let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let result = work(seed);
                    done.lock().unwrap().push((seed, result));
                }
            });
            thread.expect("a thread");
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, result)| result).collect()
}

fn parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A world looks around every few milliseconds of its time, which take less of the machine's.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// What is stuck for ever is so soon.
const SHRINK_STUCK_AFTER: Duration = Duration::from_secs(2);
/// Without optimisation futures are large.
const STACK_BYTES: usize = 16 << 20;
