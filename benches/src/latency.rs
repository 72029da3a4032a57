//! How much later a record is on the target than on the source.
//!
//! Records are written at times that are fixed before, whatever becomes of earlier ones, and count from these times. They are read
//! on both sides at once; what a mirror adds is the difference of the two arrivals of the same record.

use std::error::Error;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kmirror_testkit::{ClusterPair, real_kafka, unique_topic};
use serde::Serialize;

use crate::clusters;
use crate::contender::{Contender, Copy};
use crate::percentiles::Percentiles;
use crate::process::Process;
use crate::results::{Results, table};
use crate::stage::{Goal, StageArguments, copy, end_and_verify};
use crate::traffic::{Arrivals, Asker, Clock, Pace, Stream, Writer, added};

#[derive(clap::Args, Serialize)]
pub(crate) struct LatencyArguments {
    /// Records in each second; may be given several times.
    #[arg(long = "rate", default_values_t = [1_000])]
    rates: Vec<u64>,
    /// Also at half of the rate at which a contender is saturated, which is measured before.
    #[arg(long)]
    half_of_saturation: bool,
    /// For how long arrivals count.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// For how long records are written before.
    #[arg(long, default_value_t = 20)]
    warm_up_seconds: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1_000)]
    value_bytes: usize,
    /// How often everything is measured; each round turns the order of the contenders round.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    #[command(flatten)]
    stage: StageArguments,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/latency")]
    out: PathBuf,
}

/// What was seen of one contender at one rate.
#[derive(Debug, Serialize)]
struct Row {
    contender: String,
    round: u32,
    /// Records in each second, at which it is saturated; where it was measured.
    saturation: Option<u64>,
    rate: u64,
    records: u64,
    /// Records that did not follow the one before in their partition.
    out_of_order: u64,
    /// From the scheduled time until a reader of the source has it.
    source: Percentiles,
    /// The same on the target.
    target: Percentiles,
    /// Of each record, the difference of the two.
    added: Percentiles,
}

pub(crate) fn run(arguments: &LatencyArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("latency").ok_or("Java and Maven are needed, for the clusters")?;
    let pair = clusters::pair(arguments.stage.clusters.as_deref())?;
    let mut results = Results::new(clusters::release(arguments.stage.clusters.as_deref()), arguments)?;
    // The brokers' code is compiled while they run, and whoever comes first would pay for it.
    let warm_up = Load { rate: *arguments.rates.first().unwrap_or(&1_000), seconds: 0, saturation: None };
    measure(arguments, &pair, &Contender::Kmirror, 0, &warm_up)?;
    let load = |rate, saturation| Load { rate, seconds: arguments.seconds, saturation };
    let mut contenders = arguments.stage.contenders();
    for round in 0..arguments.rounds {
        for contender in &contenders {
            for rate in &arguments.rates {
                results.rows.push(shown(measure(arguments, &pair, contender, round, &load(*rate, None))?));
            }
            if arguments.half_of_saturation {
                let saturation = saturation(arguments, &pair, contender)?;
                let rate = (saturation / 2).max(1);
                results.rows.push(shown(measure(
                    arguments,
                    &pair,
                    contender,
                    round,
                    &load(rate, Some(saturation)),
                )?));
            }
        }
        contenders.reverse();
    }
    results.write(&arguments.out, &text(arguments, &results.rows))
}

/// What is written.
struct Load {
    /// Records in each second.
    rate: u64,
    /// For how long arrivals count.
    seconds: u64,
    /// The rate at which the contender is saturated, where it was measured.
    saturation: Option<u64>,
}

/// A mirror that copies a new topic, with a reader on each side and one record in each partition.
struct Run<'a> {
    contender: &'a Contender,
    copy: Copy<'a>,
    process: Process,
    clock: Clock,
    stream: Stream,
    source: Arrivals,
    target: Arrivals,
}

impl<'a> Run<'a> {
    fn start(
        arguments: &LatencyArguments,
        pair: &'a ClusterPair,
        contender: &'a Contender,
        topic: &'a str,
    ) -> Result<Run<'a>, Box<dyn Error>> {
        Asker::connect(pair.source.bootstrap_servers())?.create_topic(topic, arguments.partitions, &[])?;
        let copy = copy(pair, topic);
        let (clock, stream) =
            (Clock::start(), Stream::new(topic, arguments.partitions, arguments.value_bytes));
        let process = Process::start(contender.command(&copy, &arguments.stage.program)?)?;
        let source = Arrivals::read(pair.source.bootstrap_servers(), clock, &stream, str::to_owned);
        let target_topic = |topic: &str| copy.target_topic(topic);
        let target = Arrivals::read(pair.target.bootstrap_servers(), clock, &stream, target_topic);
        Ok(Run { contender, copy, process, clock, stream, source, target })
    }

    fn write(&self, pace: Pace, numbers: Range<u64>) -> Writer {
        let servers = self.copy.pair.source.bootstrap_servers();
        Writer::start(servers, self.clock, self.stream.clone(), pace, numbers)
    }

    fn failed(&self, error: Box<dyn Error>) -> String {
        format!("{}: {error}; see {}.log", self.contender.name(), self.copy.alias)
    }

    fn wait(&self, records: u64) -> Result<(), Box<dyn Error>> {
        Ok(self.target.reader.wait_for(records, PATIENCE).map_err(|error| self.failed(error))?)
    }
}

/// Records in each second that go through writer, brokers and mirror while so many are on the way.
fn saturation(
    arguments: &LatencyArguments,
    pair: &ClusterPair,
    contender: &Contender,
) -> Result<u64, Box<dyn Error>> {
    let topic = unique_topic("saturation");
    let run = Run::start(arguments, pair, contender, &topic)?;
    let arrived = run.target.reader.arrived_shared();
    let records_max = ON_THE_WAY_BYTES / arguments.value_bytes.max(1) as u64;
    let writer = run.write(Pace::OnTheWay { records_max, arrived }, 0..u64::MAX);
    run.wait(2 * records_max)?;
    thread::sleep(SATURATION_WARM_UP);
    let (began, before) = (run.clock.now(), run.target.reader.arrived());
    thread::sleep(SATURATION_TIME);
    let (ended, after) = (run.clock.now(), run.target.reader.arrived());
    let written = writer.stop()?;
    run.wait(written)?;
    let Run { process, source, target, .. } = run;
    source.end()?;
    target.end()?;
    process.end()?;
    pair.source.delete_topic(&topic)?;
    let saturation = (after - before) as f64 / (ended - began) as f64 * 1e9;
    eprintln!("  {:<22} saturated at {saturation:.0} records/s", contender.name());
    Ok(saturation as u64)
}

fn measure(
    arguments: &LatencyArguments,
    pair: &ClusterPair,
    contender: &Contender,
    round: u32,
    load: &Load,
) -> Result<Row, Box<dyn Error>> {
    let Load { rate, seconds, saturation } = *load;
    let topic = unique_topic("latency");
    let run = Run::start(arguments, pair, contender, &topic)?;
    // The mirror is there once it has copied a record of each partition; what is written before would be a backlog.
    let first = u64::from(arguments.partitions);
    let counted = first + rate * arguments.warm_up_seconds;
    let end = counted + rate * seconds;
    run.write(Pace::Rate(rate), 0..first).wait()?;
    run.wait(first)?;
    run.write(Pace::Rate(rate), first..end).wait()?;
    run.wait(end)?;
    run.source.reader.wait_for(end, PATIENCE)?;
    let Run { copy, process, source, target, .. } = run;
    let (source, target) = (source.end()?, target.end()?);
    end_and_verify(process, &copy, &arguments.stage.program)
        .map_err(|error| format!("{}: {error}", contender.name()))?;
    pair.target.delete_topic(&copy.target_topic(&topic))?;
    pair.source.delete_topic(&topic)?;
    let row = Row {
        contender: contender.name().to_owned(),
        round,
        saturation,
        rate,
        records: end - counted,
        out_of_order: target.out_of_order,
        source: Percentiles::of(source.latencies(counted))?,
        target: Percentiles::of(target.latencies(counted))?,
        added: Percentiles::of(added(&source, &target, counted))?,
    };
    Ok(row)
}

fn shown(row: Row) -> Row {
    eprintln!("  {:<22} {} records/s: added {}", row.contender, row.rate, row.added.text());
    row
}

fn text(arguments: &LatencyArguments, rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let rate = match row.saturation {
            Some(saturation) => format!("{} (half of {saturation})", row.rate),
            None => row.rate.to_string(),
        };
        let mut line = vec![row.contender.clone(), rate];
        line.extend(row.added.cells());
        line.extend(
            [row.source.p50, row.source.p99, row.target.p50, row.target.p99].map(|ms| format!("{ms:.2}")),
        );
        line.push(row.out_of_order.to_string());
        line
    });
    let columns = [
        "mirror",
        "records/s",
        "added p50",
        "p99",
        "p99.9",
        "max",
        "source p50",
        "p99",
        "target p50",
        "p99",
        "out of order",
    ];
    let mut text = format!(
        "Milliseconds, {} s after {} s of warm-up, records of {} bytes in {} partitions, acknowledged by one node. *Added* is, of each \
         record, its arrival at a reader of the target minus its arrival at a reader of the source. *Source* and *target* count from \
         the time for which the record was scheduled. Every copy was verified by its content.\n\n{}\n",
        arguments.seconds,
        arguments.warm_up_seconds,
        arguments.value_bytes,
        arguments.partitions,
        table(&columns, lines)
    );
    for row in rows.iter().filter(|row| row.contender == Contender::Kmirror.name()) {
        let _ = writeln!(text, "- at {} records/s: {}", row.rate, GOAL.beside(row.added.p99));
    }
    text
}

const GOAL: Goal = Goal { of: "added latency p99", most: 5.0, unit: "ms" };
const PATIENCE: Duration = Duration::from_secs(120);
/// Some hundreds of batches: far less than a mirror may hold.
const ON_THE_WAY_BYTES: u64 = 20_000_000;
const SATURATION_WARM_UP: Duration = Duration::from_secs(5);
const SATURATION_TIME: Duration = Duration::from_secs(5);
