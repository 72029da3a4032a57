//! What is shown while something runs: bars on a terminal, else a line now and then.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kmirror::FlowStatus;

use crate::streams::errln;

/// The terminal, shared by bars and log lines.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bars: MultiProgress,
    is_terminal: bool,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Screen { bars: MultiProgress::with_draw_target(target), is_terminal }
    }

    /// Writes something that must not be mixed up with the bars.
    pub(crate) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// A bar for something of a known length.
    pub(crate) fn bar(&self, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars.add(ProgressBar::new(0).with_style(style))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

/// Shows the flows of a running mirror.
pub(crate) struct FlowsProgress {
    screen: Screen,
    flows: BTreeMap<String, FlowProgress>,
    /// When the flows were started that are shown first.
    begun: Instant,
}

struct FlowProgress {
    bar: ProgressBar,
    /// Where each partition stood when it was first seen, by topic and number.
    starts: HashMap<(String, i32), i64>,
    bytes_then: u64,
    records_then: u64,
    then: Instant,
}

impl FlowsProgress {
    pub(crate) fn new(screen: &Screen) -> FlowsProgress {
        FlowsProgress { screen: screen.clone(), flows: BTreeMap::new(), begun: Instant::now() }
    }

    /// How often to show something. To look at every partition is work, so nobody should without a need.
    pub(crate) fn interval(&self) -> Duration {
        if self.screen.is_terminal { BARS_INTERVAL } else { LINE_INTERVAL }
    }

    /// Draws the bars, or prints a line for each flow.
    pub(crate) fn show(&mut self, statuses: &[FlowStatus]) {
        // What a reload has stopped has no bar any more.
        self.flows.retain(|name, flow| {
            let is_there = statuses.iter().any(|status| status.name == *name);
            if !is_there {
                flow.bar.finish_and_clear();
            }
            is_there
        });
        for status in statuses {
            let (screen, begun) = (&self.screen, self.begun);
            let flow =
                self.flows.entry(status.name.clone()).or_insert_with(|| FlowProgress::new(screen, begun));
            if screen.is_terminal {
                flow.draw(status);
            } else {
                errln!("{}", flow.line(status));
            }
        }
    }

    /// Takes the bars away and prints where each flow stands.
    pub(crate) fn finish(&mut self, statuses: &[FlowStatus], since: Instant) {
        for flow in self.flows.values() {
            flow.bar.finish_and_clear();
        }
        for status in statuses {
            let parked = status.parked().count();
            let parked = if parked > 0 { format!(", {parked} parked") } else { String::new() };
            let merged = match status.merged_batches {
                0 => String::new(),
                count => format!(" ({} tiny batches merged)", HumanCount(count)),
            };
            let forgotten = match status.forgotten_offsets {
                0 => String::new(),
                count => format!(", {} offsets in which deletions may be forgotten", HumanCount(count)),
            };
            let missing = missing(status);
            errln!(
                "{}: {} records, {}{merged}, {} offsets filled with markers{forgotten}, {} partitions{parked}{missing}, lag {}, {:.1} s",
                status.name,
                HumanCount(status.records),
                HumanBytes(status.bytes),
                HumanCount(status.marker_offsets),
                status.partitions.len(),
                lag(status),
                since.elapsed().as_secs_f64(),
            );
        }
    }
}

/// The lag, and of how many partitions it is not known.
fn lag(status: &FlowStatus) -> String {
    match status.partitions_of_unknown_lag() {
        0 => HumanCount(status.lag()).to_string(),
        unknown => format!("{} and unknown of {unknown} partitions", HumanCount(status.lag())),
    }
}

/// The topics of which nothing is copied.
fn missing(status: &FlowStatus) -> String {
    match status.missing.len() {
        0 => String::new(),
        1 => ", 1 topic missing".to_owned(),
        count => format!(", {count} topics missing"),
    }
}

impl FlowProgress {
    fn new(screen: &Screen, begun: Instant) -> FlowProgress {
        let bar = screen.bar("{prefix} {wide_bar} {percent:>3}% {msg} {eta} left");
        FlowProgress { bar, starts: HashMap::new(), bytes_then: 0, records_then: 0, then: begun }
    }

    fn draw(&mut self, status: &FlowStatus) {
        let (done, total) = self.offsets(status);
        self.bar.set_prefix(status.name.clone());
        self.bar.set_length(total);
        self.bar.set_position(done);
        let elapsed = self.then.elapsed();
        if elapsed >= RATE_INTERVAL {
            let message = self.figures(status);
            self.bar.set_message(message);
        }
    }

    fn line(&mut self, status: &FlowStatus) -> String {
        let (parked, missing) = (status.parked().count(), missing(status));
        format!(
            "{}: {}, lag {}, {} partitions, {parked} parked{missing}",
            status.name,
            self.figures(status),
            lag(status),
            status.partitions.len()
        )
    }

    /// Totals, and the rates since they were asked for last.
    fn figures(&mut self, status: &FlowStatus) -> String {
        let seconds = self.then.elapsed().as_secs_f64().max(0.001);
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds) as u64;
        let figures = format!(
            "{}, {} records, {}/s, {} records/s",
            HumanBytes(status.bytes),
            HumanCount(status.records),
            HumanBytes(rate(status.bytes, self.bytes_then)),
            HumanCount(rate(status.records, self.records_then)),
        );
        (self.bytes_then, self.records_then, self.then) = (status.bytes, status.records, Instant::now());
        figures
    }

    fn offsets(&mut self, status: &FlowStatus) -> (u64, u64) {
        let (mut done, mut total) = (0, 0);
        for partition in status.partitions.iter().filter(|partition| partition.position >= 0) {
            let place = (partition.source_topic.clone(), partition.partition);
            let start = *self.starts.entry(place).or_insert(partition.position);
            let copied = partition.position.saturating_sub(start).max(0).unsigned_abs();
            done += copied;
            total += copied + partition.lag().unwrap_or_default();
        }
        (done, total)
    }
}

const BARS_INTERVAL: Duration = Duration::from_millis(200);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const RATE_INTERVAL: Duration = Duration::from_millis(500);
