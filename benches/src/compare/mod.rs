//! Contenders side by side: on the same clusters and the same topics, in turns (A B B A), each copy verified by its content.

pub(crate) mod cell;
mod plot;
pub(crate) mod race;
pub(crate) mod report;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use kmirror_testkit::{ClusterPair, real_kafka, unique_topic};

pub(crate) use self::cell::{Cell, Preloaded};
use self::race::race;
use self::report::{Measurement, Row};
use crate::contender::{Contender, Copy};
use crate::relay::calibrate;
use crate::results::Results;
use crate::{clusters, franz_go};

#[derive(clap::Args, serde::Serialize)]
pub(crate) struct CompareArguments {
    /// What is copied.
    #[arg(long = "cell", value_enum, default_values_t = Cell::ALL)]
    cells: Vec<Cell>,
    /// Gigabytes (10^9 bytes) on the wire in each topic.
    #[arg(long, default_value_t = 1.0)]
    gigabytes: f64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// How often each contender copies each topic.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// The program that is measured, and that verifies every copy.
    #[arg(long, default_value = "target/release/kmirror")]
    #[serde(skip)]
    program: String,
    /// Another contender: `NAME=COMMAND` with {source}, {target}, {topic} and {target_topic}; it is ended once all is there.
    #[arg(long = "contender", value_name = "NAME=COMMAND", value_parser = Contender::given)]
    #[serde(skip)]
    more: Vec<Contender>,
    /// Leaves MirrorMaker 2 out.
    #[arg(long)]
    without_mm2: bool,
    /// Leaves the loop of franz-go out, for which `go` is needed.
    #[arg(long)]
    without_franz_go: bool,
    /// Two clusters that run already, instead of two that are started: bootstrap servers of the source and of the target.
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    #[serde(skip)]
    clusters: Option<Vec<String>>,
    /// Where the rows (JSON), the table (Markdown) and the plot (SVG) go, as NAME.json, NAME.md and NAME.svg.
    #[arg(long, default_value = "benches/results/compare")]
    #[serde(skip)]
    out: PathBuf,
}

/// Runs everything, and writes the report.
pub(crate) fn run(arguments: &CompareArguments) -> Result<(), Box<dyn Error>> {
    let _turn =
        real_kafka("compare").ok_or("Java and Maven are needed, for the workload and the clusters")?;
    let contenders = contenders(arguments);
    let pair = clusters::pair(arguments.clusters.as_deref())?;
    let mut results = Results::new(clusters::release(arguments.clusters.as_deref()), arguments)?;
    for cell in &arguments.cells {
        let preloaded = cell.preload(&pair, arguments.partitions, arguments.gigabytes)?;
        eprintln!(
            "{}: {} records, {:.3} GB on the wire, {:.3} GB decoded, batches of {} bytes",
            cell.name(),
            preloaded.records,
            preloaded.bytes as f64 / 1e9,
            preloaded.bytes_decoded as f64 / 1e9,
            preloaded.batch_bytes_mean
        );
        results.rows.extend(compare(arguments, &contenders, &pair, *cell, &preloaded)?);
        pair.source.delete_topic(&preloaded.topic)?;
    }
    results.write(&arguments.out, &report::markdown(&results.rows))?;
    fs::write(arguments.out.with_extension("svg"), plot::bars(&report::summaries(&results.rows)))?;
    Ok(())
}

/// All copies of one topic. Each round turns the order round, so that what changes with time meets all alike.
fn compare(
    arguments: &CompareArguments,
    contenders: &[Contender],
    pair: &ClusterPair,
    cell: Cell,
    preloaded: &Preloaded,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut contenders = contenders.to_vec();
    let mut rows = Vec::new();
    let copy = || Copy {
        pair,
        topics: &preloaded.topic,
        codec: cell.codec(),
        alias: unique_topic("copy"),
        kmirror_keys: String::new(),
    };
    // Not counted: whoever comes first would pay for brokers that are not warm.
    race(&Contender::Kmirror, &copy(), preloaded, &arguments.program)?;
    for round in 0..arguments.rounds {
        for contender in &contenders {
            let before = relay(preloaded.bytes)?;
            let cost = race(contender, &copy(), preloaded, &arguments.program)?;
            let relay_cpu_seconds = f64::midpoint(before, relay(preloaded.bytes)?);
            let measurement = Measurement { cost, relay_cpu_seconds };
            eprintln!("  {:<22} {}", contender.name(), measurement.line(preloaded));
            let (cell, contender) = (cell.name().to_owned(), contender.name().to_owned());
            rows.push(Row { cell, contender, round, preloaded: preloaded.clone(), measurement });
        }
        contenders.reverse();
    }
    Ok(rows)
}

/// CPU seconds of the relay for as many bytes. Few bytes cost less than the clock of Linux tells, so more are sent then.
fn relay(bytes: u64) -> Result<f64, Box<dyn Error>> {
    let sent = bytes.max(RELAY_BYTES_MIN);
    Ok(calibrate(sent)?.cpu.as_secs_f64() * bytes as f64 / sent as f64)
}

fn contenders(arguments: &CompareArguments) -> Vec<Contender> {
    let mut contenders = vec![Contender::Kmirror];
    if !arguments.without_mm2 {
        contenders.extend([Contender::Mm2Tuned, Contender::Mm2Default]);
    }
    if !arguments.without_franz_go {
        contenders.extend(franz_go::build().map(Contender::FranzGo));
    }
    contenders.extend(arguments.more.iter().cloned());
    contenders
}

const RELAY_BYTES_MIN: u64 = 1_000_000_000;
