//! How soon records flow: after the start of a mirror, after it was killed, and to a topic that is new.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kmirror_testkit::{ClusterPair, real_kafka, unique_topic};
use serde::Serialize;

use crate::clusters;
use crate::contender::{Contender, Copy};
use crate::process::Process;
use crate::results::{Results, table};
use crate::stage::{Goal, StageArguments, copy, end_and_verify};
use crate::statistics::Spread;
use crate::traffic::{Arrivals, Asker, Clock, Pace, Stream, Writer};

#[derive(clap::Args, Serialize)]
pub(crate) struct StartArguments {
    /// How often each contender is started, killed and given a new topic.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Records that are on the source before the start.
    #[arg(long, default_value_t = 10_000)]
    records: u64,
    #[command(flatten)]
    stage: StageArguments,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/start")]
    out: PathBuf,
}

/// One start, kill and new topic. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Row {
    contender: String,
    round: u32,
    /// From the start of the process to the first record.
    first_record: f64,
    /// From `kill -9` to the first record that was written after the process was started again.
    resumed: f64,
    /// From the request to create a topic to its first record, which is written as soon as it is there.
    new_topic: f64,
    /// Records that did not follow the one before in their partition: lost, doubled or out of order.
    out_of_order: u64,
}

pub(crate) fn run(arguments: &StartArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("start").ok_or("Java and Maven are needed, for the clusters")?;
    let addresses = arguments.stage.clusters.as_deref();
    let pair = clusters::pair(addresses)?;
    let mut results = Results::new(clusters::release(addresses), arguments)?;
    // The brokers' code is compiled while they run, and whoever comes first would pay for it.
    measure(arguments, &pair, &Contender::Kmirror, 0)?;
    for round in 0..arguments.rounds {
        for contender in arguments.stage.contenders() {
            let row = measure(arguments, &pair, &contender, round)?;
            eprintln!(
                "  {:<22} first record {:.0} ms, resumed {:.0} ms, new topic {:.0} ms; {} out of order",
                row.contender, row.first_record, row.resumed, row.new_topic, row.out_of_order
            );
            results.rows.push(row);
        }
    }
    results.write(&arguments.out, &text(arguments, &results.rows))
}

fn measure(
    arguments: &StartArguments,
    pair: &ClusterPair,
    contender: &Contender,
    round: u32,
) -> Result<Row, Box<dyn Error>> {
    let topic = unique_topic("start");
    let topics = format!("{topic}.*");
    let copy = copy(pair, &topics);
    let row = start_kill_and_grow(arguments, contender, &copy, &topic, round);
    Ok(row.map_err(|error| format!("{}: {error}; see {}.log", contender.name(), copy.alias))?)
}

fn start_kill_and_grow(
    arguments: &StartArguments,
    contender: &Contender,
    copy: &Copy<'_>,
    topic: &str,
    round: u32,
) -> Result<Row, Box<dyn Error>> {
    let ClusterPair { source, target, .. } = copy.pair;
    let asker = Asker::connect(source.bootstrap_servers())?;
    asker.create_topic(topic, arguments.partitions, &[])?;
    let (clock, stream) = (Clock::start(), Stream::new(topic, arguments.partitions, VALUE_BYTES));
    let write = |stream: &Stream, rate, numbers| {
        Writer::start(source.bootstrap_servers(), clock, stream.clone(), Pace::Rate(rate), numbers)
    };
    let read = |stream: &Stream| {
        Arrivals::read(target.bootstrap_servers(), clock, stream, |topic| copy.target_topic(topic))
    };
    let start = || Process::start(contender.command(copy, &arguments.stage.program)?);
    write(&stream, arguments.records, 0..arguments.records).wait()?;

    let arrivals = read(&stream);
    let started = clock.now();
    let process = start()?;
    arrivals.reader.wait_for(arguments.records, PATIENCE)?;

    let writer = write(&stream, RATE, arguments.records..u64::MAX);
    arrivals.reader.wait_for(arguments.records + RATE, PATIENCE)?;
    let killed = clock.now();
    // Dropping it kills it as `kill -9` does.
    drop(process);
    let restarted = clock.now();
    let process = start()?;
    wait_until(|| arrivals.has_since(restarted))?;
    let written = arguments.records + writer.stop()?;
    arrivals.reader.wait_for(written, PATIENCE)?;

    thread::sleep(phase(round, arguments.rounds));
    let new = Stream::new(&format!("{topic}-new"), arguments.partitions, VALUE_BYTES);
    let new_arrivals = read(&new);
    let created = clock.now();
    asker.create_topic(&format!("{topic}-new"), arguments.partitions, &[])?;
    write(&new, RATE, 0..1).wait()?;
    new_arrivals.reader.wait_for(1, PATIENCE)?;

    let (seen, new_seen) = (arrivals.end()?, new_arrivals.end()?);
    let out_of_order = seen.out_of_order + new_seen.out_of_order;
    match *contender == Contender::Kmirror || out_of_order == 0 {
        true => end_and_verify(process, copy, &arguments.stage.program)?,
        // That it doubles records after a kill is known by their order already.
        false => process.end()?,
    }
    let since = |arrived: Option<u64>, from: u64| Some(arrived?.saturating_sub(from) as f64 / 1e6);
    Ok(Row {
        contender: contender.name().to_owned(),
        round,
        first_record: since(seen.first_since(0), started).ok_or("no first record")?,
        resumed: since(seen.first_since(restarted), killed).ok_or("no record after the kill")?,
        new_topic: since(new_seen.first_since(0), created).ok_or("no record of the new topic")?,
        out_of_order,
    })
}

fn wait_until(is_so: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > PATIENCE {
            return Err(format!("nothing was copied within {PATIENCE:?} after the kill").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// New topics meet a mirror that looks for them at intervals; over all rounds they come evenly spread over the longest of them.
fn phase(round: u32, rounds: u32) -> Duration {
    LOOKS_INTERVAL_MAX * round / rounds.max(1)
}

fn text(arguments: &StartArguments, rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.contender.as_str()) {
            names.push(&row.contender);
        }
    }
    let spread =
        |name: &str, of: fn(&Row) -> f64| Spread::of(rows.iter().filter(|row| row.contender == name).map(of));
    let figures: [fn(&Row) -> f64; 3] = [|row| row.first_record, |row| row.resumed, |row| row.new_topic];
    let lines = names.iter().map(|name| {
        let mut line = vec![(*name).to_owned()];
        line.extend(figures.map(|of| spread(name, of).text(0)));
        let out_of_order: u64 =
            rows.iter().filter(|row| row.contender == *name).map(|row| row.out_of_order).sum();
        line.push(out_of_order.to_string());
        line
    });
    let mut text = format!(
        "Milliseconds, medians (least–most) of {} rounds. *First record*: from the start of the process, with {} records on the source. \
         *Resumed*: from `kill -9` to the first record that was written after the process was started again, which is at once; records \
         are written at {RATE}/s meanwhile. *New topic*: from the request to create it to its first record; MirrorMaker 2 is told to look \
         every 5 s, where its default is 600 s. *Out of order*: records lost, doubled or out of order in all rounds. kmirror's copies were \
         verified by content, and those of others where all was in order.\n\n{}\n",
        arguments.rounds,
        arguments.records,
        table(&["mirror", "first record", "resumed", "new topic", "out of order"], lines)
    );
    for (goal, of) in GOALS.iter().zip(figures) {
        let _ = writeln!(text, "- {}", goal.beside(spread(Contender::Kmirror.name(), of).median));
    }
    text
}

const GOALS: [Goal; 3] = [
    Goal { of: "first record after the start, median", most: 300.0, unit: "ms" },
    Goal { of: "resumed after kill -9, median", most: 500.0, unit: "ms" },
    Goal { of: "first record of a new topic, median", most: 1_000.0, unit: "ms" },
];
const VALUE_BYTES: usize = 200;
/// Records in each second.
const RATE: u64 = 1_000;
/// Connect gives a worker that is gone minutes to come back.
const PATIENCE: Duration = Duration::from_secs(420);
/// MirrorMaker 2's here; kmirror's is shorter.
const LOOKS_INTERVAL_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_topics_are_spread_over_the_interval() {
        assert_eq!([0, 1, 4].map(|round| phase(round, 5).as_millis()), [0, 1_000, 4_000]);
    }

    #[test]
    fn the_text_holds_medians_of_each_contender() {
        let arguments = StartArguments {
            rounds: 2,
            partitions: 1,
            records: 1,
            stage: StageArguments { program: String::new(), without_mm2: true, clusters: None },
            out: PathBuf::new(),
        };
        let row = |contender: &str, ms: f64| Row {
            contender: contender.to_owned(),
            round: 0,
            first_record: ms,
            resumed: 2.0 * ms,
            new_topic: 3.0 * ms,
            out_of_order: 1,
        };
        let text = text(&arguments, &[row("kmirror", 100.0), row("other", 7.0), row("kmirror", 300.0)]);
        assert!(text.contains("| kmirror | 200 (100–300) | 400 (200–600) | 600 (300–900) | 2 |"), "{text}");
        assert!(text.contains("| other | 7 (7–7) |"), "{text}");
        assert!(text.contains("resumed after kill -9, median: 400.00 ms"), "{text}");
    }
}
