//! What the demo shows while it runs: a table that stays in its place on a terminal, else a line every second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar};
use kmirror::FlowStatus;

use crate::progress::Screen;
use crate::streams::errln;

/// The live view.
pub(crate) struct View {
    screen: Screen,
    lines: Vec<ProgressBar>,
    begun: Instant,
    figures: Figures,
    last_line: Option<Instant>,
}

/// What is shown, without a clock or a terminal.
#[derive(Default)]
struct Figures {
    /// Of mirrors that were killed.
    before: Totals,
    now: Totals,
    topics: BTreeMap<String, Topic>,
    parked: usize,
    /// How long after the start the first record was there.
    first_record: Option<Duration>,
    rates_since: Duration,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    records: u64,
    bytes: u64,
    filled: u64,
}

#[derive(Clone, Copy, Default)]
struct Topic {
    partitions: usize,
    source_end: i64,
    target_end: i64,
    lag: u64,
    target_end_then: i64,
    offsets_per_second: u64,
}

impl View {
    pub(crate) fn new(screen: &Screen, begun: Instant) -> View {
        let figures = Figures::default();
        View { screen: screen.clone(), lines: Vec::new(), begun, figures, last_line: None }
    }

    /// Takes in what a mirror says of its only flow, and shows it.
    pub(crate) fn show(&mut self, statuses: &[FlowStatus]) {
        let Some(status) = statuses.first() else { return };
        let elapsed = self.begun.elapsed();
        let had_first = self.figures.first_record.is_some();
        self.figures.take_in(status, elapsed);
        if let Some(first) = self.figures.first_record.filter(|_| !had_first) {
            self.screen.above(|| {
                errln!("the first record was on the target {:.2} s after the start", first.as_secs_f64());
            });
        }
        if self.screen.is_terminal() {
            self.draw(elapsed);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            errln!("{}", self.figures.summary(elapsed));
        }
    }

    pub(crate) fn has_first_record(&self) -> bool {
        self.figures.first_record.is_some()
    }

    /// Takes the table away and says how it ended.
    pub(crate) fn finish(&mut self, statuses: &[FlowStatus]) {
        if let Some(status) = statuses.first() {
            self.figures.take_in(status, self.begun.elapsed());
        }
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
        errln!("{}", self.figures.summary(self.begun.elapsed()));
    }

    fn draw(&mut self, elapsed: Duration) {
        let mut texts = self.figures.table();
        texts.push(self.figures.summary(elapsed));
        while self.lines.len() < texts.len() {
            self.lines.push(self.screen.bar("{msg}"));
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
    }
}

impl Figures {
    fn take_in(&mut self, status: &FlowStatus, elapsed: Duration) {
        let now = Totals { records: status.records, bytes: status.bytes, filled: status.marker_offsets };
        if now.records < self.now.records {
            self.before = self.totals();
        }
        self.now = now;
        self.parked = status.parked().count();
        if status.records > 0 {
            self.first_record.get_or_insert(elapsed);
        }
        self.topics.values_mut().for_each(|topic| {
            *topic = Topic {
                target_end_then: topic.target_end_then,
                offsets_per_second: topic.offsets_per_second,
                ..Topic::default()
            }
        });
        for partition in &status.partitions {
            let topic = self.topics.entry(partition.source_topic.clone()).or_default();
            topic.partitions += 1;
            topic.source_end += partition.source_end.max(0);
            topic.target_end += partition.position.max(0);
            topic.lag += partition.lag().unwrap_or_default();
        }
        let seconds = (elapsed - self.rates_since).as_secs_f64();
        if seconds >= RATE_SECONDS {
            self.rates_since = elapsed;
            for topic in self.topics.values_mut() {
                let copied = topic.target_end.saturating_sub(topic.target_end_then).max(0);
                topic.offsets_per_second = (copied as f64 / seconds) as u64;
                topic.target_end_then = topic.target_end;
            }
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            records: self.before.records + self.now.records,
            bytes: self.before.bytes + self.now.bytes,
            filled: self.before.filled + self.now.filled,
        }
    }

    fn table(&self) -> Vec<String> {
        let row = |cells: [&str; 6]| {
            let [topic, partitions, source, target, lag, rate] = cells;
            format!("{topic:<14}{partitions:>10}{source:>14}{target:>14}{lag:>9}{rate:>12}")
        };
        let head = row(["topic", "partitions", "source end", "target end", "lag", "offsets/s"]);
        let rows = self.topics.iter().map(|(name, topic)| {
            row([
                name,
                &topic.partitions.to_string(),
                &HumanCount(topic.source_end.unsigned_abs()).to_string(),
                &HumanCount(topic.target_end.unsigned_abs()).to_string(),
                &HumanCount(topic.lag).to_string(),
                &HumanCount(topic.offsets_per_second).to_string(),
            ])
        });
        std::iter::once(head).chain(rows).collect()
    }

    fn summary(&self, elapsed: Duration) -> String {
        let Totals { records, bytes, filled } = self.totals();
        let lag: u64 = self.topics.values().map(|topic| topic.lag).sum();
        format!(
            "{:>5.1} s: {} records copied, {}, {} offsets filled with markers, lag {}, {} parked",
            elapsed.as_secs_f64(),
            HumanCount(records),
            HumanBytes(bytes),
            HumanCount(filled),
            HumanCount(lag),
            self.parked
        )
    }
}

const LINE_INTERVAL: Duration = Duration::from_secs(1);
const RATE_SECONDS: f64 = 1.0;
