//! How fast a mirror catches up with a backlog, and what becomes of a partition beside that has little to say: a canary.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use kmirror_testkit::{ClusterPair, KafkaEndpoint, real_kafka, unique_topic};
use serde::Serialize;

use crate::clusters;
use crate::compare::{Cell, Preloaded};
use crate::contender::{Contender, Copy};
use crate::percentiles::Percentiles;
use crate::process::Process;
use crate::results::{Results, table};
use crate::stage::{Goal, StageArguments, Target, copy, end_and_verify};
use crate::traffic::{Arrivals, Asker, Clock, Pace, Stream, Writer, added};

#[derive(clap::Args, Serialize)]
pub(crate) struct CatchUpArguments {
    /// Gigabytes (10^9 bytes) on the wire that are on the source before the start.
    #[arg(long, default_value_t = 2.0)]
    gigabytes: f64,
    /// Partitions that hold them.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// How often each contender catches up.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    #[command(flatten)]
    stage: StageArguments,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/catch-up")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Row {
    contender: String,
    round: u32,
    preloaded: Preloaded,
    /// From the first record on the target until nothing is missing.
    seconds: f64,
    /// From the start of the process to the first record of the canary on the target.
    canary_first_seconds: f64,
    /// Of the canary's records of that time.
    canary_records: usize,
    /// How much later the canary's records were on the target.
    canary: Percentiles,
    out_of_order: u64,
}

pub(crate) fn run(arguments: &CatchUpArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("catch-up").ok_or("Java and Maven are needed, for the clusters")?;
    let addresses = arguments.stage.clusters.as_deref();
    let pair = clusters::pair(addresses)?;
    let mut results = Results::new(clusters::release(addresses), arguments)?;
    let preloaded = Cell::Raw.preload(&pair, arguments.partitions, arguments.gigabytes)?;
    let mut contenders = arguments.stage.contenders();
    for round in 0..arguments.rounds {
        for contender in &contenders {
            let canary = unique_topic("canary");
            let topics = format!("{}|{canary}", preloaded.topic);
            let copy = copy(&pair, &topics);
            let row = measure(arguments, contender, &copy, &preloaded, &canary, round)
                .map_err(|error| format!("{}: {error}; see {}.log", contender.name(), copy.alias))?;
            eprintln!("  {}", row.cells().join(", "));
            results.rows.push(row);
            pair.source.delete_topic(&canary)?;
        }
        contenders.reverse();
    }
    results.write(&arguments.out, &text(arguments, &results.rows))
}

fn measure(
    arguments: &CatchUpArguments,
    contender: &Contender,
    copy: &Copy<'_>,
    preloaded: &Preloaded,
    canary: &str,
    round: u32,
) -> Result<Row, Box<dyn Error>> {
    let ClusterPair { source, target, .. } = copy.pair;
    Asker::connect(source.bootstrap_servers())?.create_topic(canary, 1, &[])?;
    let (clock, stream) = (Clock::start(), Stream::new(canary, 1, VALUE_BYTES));
    let read = |endpoint: &KafkaEndpoint, name: &dyn Fn(&str) -> String| {
        Arrivals::read(endpoint.bootstrap_servers(), clock, &stream, name)
    };
    let source_arrivals = read(source, &str::to_owned);
    let target_arrivals = read(target, &|topic| copy.target_topic(topic));
    let there = Target::of(copy, &[(&preloaded.topic, preloaded.partitions)])?;
    let writer =
        Writer::start(source.bootstrap_servers(), clock, stream.clone(), Pace::Rate(RATE), 0..u64::MAX);
    let started = clock.now();
    let mut process = Process::start(contender.command(copy, &arguments.stage.program)?)?;
    there.wait_for(1, &mut process)?;
    let began = clock.now();
    there.wait_for(preloaded.records, &mut process)?;
    let ended = clock.now();
    // Canaries that were on the way then are still to be seen.
    let written = writer.stop()?;
    for arrivals in [&source_arrivals, &target_arrivals] {
        arrivals.reader.wait_for(written, PATIENCE)?;
    }
    let (source_seen, target_seen) = (source_arrivals.end()?, target_arrivals.end()?);
    end_and_verify(process, copy, &arguments.stage.program)?;
    for topic in [canary, &preloaded.topic] {
        target.delete_topic(&copy.target_topic(topic))?;
    }
    let first = target_seen.first_since(0).ok_or("no canary arrived")?;
    // Those that were written before the mirror stood at the canary's end would count its start.
    let (from, until) = (target_seen.number_at(began.max(first)), target_seen.number_at(ended));
    let counted = until.saturating_sub(from);
    if counted == 0 {
        return Err("no canary was written while it caught up: more gigabytes are needed".into());
    }
    let latencies = added(&source_seen, &target_seen, from).take(counted as usize);
    Ok(Row {
        contender: contender.name().to_owned(),
        round,
        preloaded: preloaded.clone(),
        seconds: (ended - began) as f64 / 1e9,
        canary_first_seconds: first.saturating_sub(started) as f64 / 1e9,
        canary_records: counted as usize,
        canary: Percentiles::of(latencies)?,
        out_of_order: target_seen.out_of_order,
    })
}

impl Row {
    fn gigabytes_per_second(&self) -> f64 {
        self.preloaded.bytes as f64 / 1e9 / self.seconds.max(1e-3)
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.contender.clone(),
            self.round.to_string(),
            format!("{:.2}", self.seconds),
            format!("{:.3}", self.gigabytes_per_second()),
            format!("{:.2}", self.canary_first_seconds),
            self.canary_records.to_string(),
        ];
        cells.extend(self.canary.cells());
        cells.push(self.out_of_order.to_string());
        cells
    }
}

fn text(arguments: &CatchUpArguments, rows: &[Row]) -> String {
    let mut text = format!(
        "{} GB of records of 1 KB that do not compress, in batches of 256 KiB and {} partitions, are on the source when the mirror starts. \
         *Caught up*: from the first record on the target until nothing is missing. *Canary*: {RATE} records/s in a topic of its own; \
         milliseconds by which its records of that time were later on the target than on the source. Every copy was verified by its \
         content.\n\n{}\n",
        arguments.gigabytes,
        arguments.partitions,
        table(&COLUMNS, rows.iter().map(Row::cells))
    );
    for row in rows.iter().filter(|row| row.contender == Contender::Kmirror.name()) {
        let _ = writeln!(text, "- {}", GOAL.beside(row.canary.p99));
    }
    text
}

const COLUMNS: [&str; 11] = [
    "mirror",
    "round",
    "caught up, s",
    "GB/s",
    "first canary, s",
    "canaries",
    "p50",
    "p99",
    "p99.9",
    "max",
    "out of order",
];
/// Beside a backlog as well: nothing else is said of it.
const GOAL: Goal = Goal { of: "added latency p99 of the canary", most: 100.0, unit: "ms" };
const VALUE_BYTES: usize = 200;
/// Records in each second.
const RATE: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(60);
