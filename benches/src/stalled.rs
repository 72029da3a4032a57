//! How much memory a mirror takes while the target stands still, and whether it goes on afterwards.

use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kmirror_testkit::real_kafka;
use serde::Serialize;

use crate::clusters;
use crate::compare::Cell;
use crate::contender::Contender;
use crate::process::Process;
use crate::results::{Results, table};
use crate::stage::{Target, copy, end_and_verify};

#[derive(clap::Args, Serialize)]
pub(crate) struct StalledArguments {
    /// Gigabytes (10^9 bytes) on the wire that are on the source.
    #[arg(long, default_value_t = 2.0)]
    gigabytes: f64,
    /// Partitions that hold them.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// For how long the target's broker is stopped (SIGSTOP).
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What `buffer` of the flow says, in MiB: the memory for fetched bytes that are not acknowledged yet.
    #[arg(long, default_value_t = 48)]
    buffer_mebibytes: u64,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/kmirror")]
    program: String,
    /// Where the row (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/stalled")]
    out: PathBuf,
}

/// Memory in bytes: the largest resident set so far.
#[derive(Clone, Copy, Debug, Serialize)]
struct Row {
    buffer_bytes: u64,
    records: u64,
    /// On the target when it answered again.
    records_before: u64,
    memory_before: u64,
    memory_stalled: u64,
    memory_max: u64,
    /// CPU seconds of the mirror while the target stood still.
    cpu_seconds_stalled: f64,
    /// From the moment when the target went on until all records were there.
    finished_seconds: f64,
}

pub(crate) fn run(arguments: &StalledArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("stalled").ok_or("Java and Maven are needed, for the clusters")?;
    let pair = clusters::pair(None)?;
    let (_, target) = pair.clusters().ok_or("the clusters are not ours")?;
    let mut results = Results::new(clusters::release(None), arguments)?;
    let preloaded = Cell::Raw.preload(&pair, arguments.partitions, arguments.gigabytes)?;
    let mut copy = copy(&pair, &preloaded.topic);
    copy.kmirror_keys = format!("    buffer: {}MiB\n", arguments.buffer_mebibytes);
    let there = Target::of(&copy, &[(&preloaded.topic, preloaded.partitions)])?;
    let mut process = Process::start(Contender::Kmirror.command(&copy, &arguments.program)?)?;
    // In the middle of it, so that all of its memory is in use.
    there.wait_for(preloaded.records / 4, &mut process)?;
    let memory_before = process.memory_peak()?;
    let node = target.node(1)?;
    node.pause()?;
    let cpu = process.cpu()?;
    thread::sleep(Duration::from_secs(arguments.seconds));
    let cpu_seconds_stalled = (process.cpu()? - cpu).as_secs_f64();
    let memory_stalled = process.memory_peak()?;
    node.resume()?;
    let resumed = Instant::now();
    there.wait_for(0, &mut process)?;
    let records_before = there.records().ok_or("the target does not answer")?;
    if records_before >= preloaded.records {
        return Err("everything was copied before the target was stopped: more gigabytes are needed".into());
    }
    there.wait_for(preloaded.records, &mut process)?;
    let finished_seconds = resumed.elapsed().as_secs_f64();
    let memory_max = process.memory_peak()?;
    end_and_verify(process, &copy, &arguments.program)
        .map_err(|error| format!("{error}; see {}.log", copy.alias))?;
    results.rows.push(Row {
        buffer_bytes: arguments.buffer_mebibytes << 20,
        records: preloaded.records,
        records_before,
        memory_before,
        memory_stalled,
        memory_max,
        cpu_seconds_stalled,
        finished_seconds,
    });
    results.write(&arguments.out, &text(arguments, &results.rows))
}

fn text(arguments: &StalledArguments, rows: &[Row]) -> String {
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let lines = rows.iter().map(|row| {
        vec![
            mebibytes(row.buffer_bytes),
            mebibytes(row.memory_before),
            mebibytes(row.memory_stalled),
            mebibytes(row.memory_max),
            format!("{:.2}", row.cpu_seconds_stalled),
            format!("{:.2}", row.finished_seconds),
        ]
    });
    let columns =
        ["buffer, MiB", "before, MiB", "stalled, MiB", "in all, MiB", "CPU s stalled", "finished after, s"];
    format!(
        "kmirror copies {} GB in {} partitions, and the target's broker is stopped (SIGSTOP) for {} s in the middle of it. Memory is the \
         largest resident set until the stop, until the end of the stop, and until the end. *Finished* counts from the moment when the \
         broker goes on. The copy was verified by its content.\n\n{}",
        arguments.gigabytes,
        arguments.partitions,
        arguments.seconds,
        table(&columns, lines)
    )
}
