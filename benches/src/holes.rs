//! How fast logs with holes are copied: each hole costs the target at least one append of its own kind.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmirror_testkit::{ClusterPair, Workload, real_kafka, unique_topic};

use crate::measured::{Measured, measure};
use crate::results::{Results, table};
use crate::{cleaner, clusters};

#[derive(clap::Args, serde::Serialize)]
pub(crate) struct HolesArguments {
    /// Partitions of the transactional topic.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Transactions in each of them, of ten records each; none leaves the workload out.
    #[arg(long, default_value_t = 5_000)]
    transactions: u32,
    /// Offsets of the compacted log; none leaves the workload out.
    #[arg(long, default_value_t = 20_000_000)]
    offsets: u64,
    /// One record of so many survives, with a value of 200 bytes.
    #[arg(long, default_value_t = 20)]
    survivor_every: u32,
    /// How often each topic is copied, each time under another name: the first copies also warm the brokers up, whose code
    /// is compiled while they run.
    #[arg(long, default_value_t = 3)]
    copies: u32,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/kmirror")]
    #[serde(skip)]
    program: String,
    /// Whether the result is verified.
    #[arg(long)]
    verify: bool,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/holes")]
    #[serde(skip)]
    out: PathBuf,
}

/// One copy.
#[derive(Debug, serde::Serialize)]
struct Row {
    topic: &'static str,
    copy: u32,
    /// What is counted: transactions of each partition, or surviving records.
    units: u64,
    unit: &'static str,
    offsets: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
}

/// Preloads each workload, then copies it with `kmirror run --once`.
pub(crate) fn run(arguments: &HolesArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("holes").ok_or("Java and Maven are needed, for the workload and the clusters")?;
    let pair = clusters::pair(None)?;
    let mut results = Results::new(Some(clusters::RELEASE), arguments)?;
    if arguments.transactions > 0 {
        results.rows.extend(transactions(arguments, &pair)?);
    }
    if arguments.offsets > 0 {
        results.rows.extend(compacted(arguments, &pair)?);
    }
    results.write(&arguments.out, &text(&results.rows))
}

fn text(rows: &[Row]) -> String {
    let columns =
        ["topic", "copy", "seconds", "CPU seconds", "counted", "of them per second", "offsets per second"];
    let lines = rows.iter().map(|row| {
        vec![
            row.topic.to_owned(),
            row.copy.to_string(),
            format!("{:.1}", row.wall_seconds),
            format!("{:.1}", row.cpu_seconds),
            format!("{} {}", row.units, row.unit),
            format!("{:.0}", row.units as f64 / row.wall_seconds),
            format!("{:.0}", row.offsets as f64 / row.wall_seconds),
        ]
    });
    format!(
        "From the start to the end of `kmirror run --once`; each hole costs the target at least one append of its own kind. The first copies \
         also warm the brokers up.\n\n{}",
        table(&columns, lines)
    )
}

fn transactions(arguments: &HolesArguments, pair: &ClusterPair) -> Result<Vec<Row>, Box<dyn Error>> {
    let topic = unique_topic("transactions");
    let records = u64::from(arguments.transactions) * u64::from(arguments.partitions) * TRANSACTION_RECORDS;
    let load =
        Workload::new(&topic).partitions(arguments.partitions).partition_run(TRANSACTION_RECORDS as u32);
    let load = load.transactions(TRANSACTION_RECORDS as u32).linger_ms(0).records(records);
    pair.source.produce(&[load])?;
    let each = u64::from(arguments.transactions);
    let row = Row {
        topic: "transactions of ten records",
        copy: 0,
        units: each,
        unit: "transactions in each partition",
        // Each ends with a marker.
        offsets: each * u64::from(arguments.partitions) * (TRANSACTION_RECORDS + 1),
        wall_seconds: 0.0,
        cpu_seconds: 0.0,
    };
    copies(arguments, pair, &topic, &row)
}

fn compacted(arguments: &HolesArguments, pair: &ClusterPair) -> Result<Vec<Row>, Box<dyn Error>> {
    let topic = unique_topic("compacted");
    let write = Workload::new(&topic).keys(1_000).value_bytes(200, 200).timestamps(FIRST_TIMESTAMP, 1);
    let write = write.batch_bytes(65_536).linger_ms(20);
    // Segments roll by the records' own timestamps; the newest one, which is never cleaned, holds the last record only.
    let create = Workload::new(&topic).topic_property("segment.ms", &(arguments.offsets / 10).to_string());
    let many = write.clone().records(arguments.offsets - 1).lone_key_every(arguments.survivor_every);
    let last = write.first(arguments.offsets * 2).records(1);
    let produced = pair.source.produce(&[create, many, last])?;
    let survivors = arguments.offsets / u64::from(arguments.survivor_every);
    println!(
        "compacted:     {} records written; the cleaner begins",
        produced.iter().map(|one| one.records).sum::<u64>()
    );
    cleaner::compact(pair, &topic, 1, |now, _| now < survivors * SURVIVOR_BYTES_MAX)?;
    let row = Row {
        topic: "compacted",
        copy: 0,
        units: survivors,
        unit: "survivors, about",
        offsets: arguments.offsets,
        wall_seconds: 0.0,
        cpu_seconds: 0.0,
    };
    copies(arguments, pair, &topic, &row)
}

/// Copies a topic again and again, each time to another one.
fn copies(
    arguments: &HolesArguments,
    pair: &ClusterPair,
    topic: &str,
    row: &Row,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for copy in 1..=arguments.copies {
        let measured = run_once(arguments, pair, topic, copy)?;
        let (wall_seconds, cpu_seconds) = (measured.wall.as_secs_f64(), measured.cpu.as_secs_f64());
        eprintln!("  {}, copy {copy}: {wall_seconds:.1} s, {cpu_seconds:.1} CPU seconds", row.topic);
        rows.push(Row { copy, wall_seconds, cpu_seconds, ..*row });
    }
    Ok(rows)
}

/// What it cost from the start to the end of the program.
fn run_once(
    arguments: &HolesArguments,
    pair: &ClusterPair,
    topic: &str,
    number: u32,
) -> Result<Measured, Box<dyn Error>> {
    let folder = Path::new("target/kmirror-bench");
    fs::create_dir_all(folder)?;
    let path = folder.join("holes.yaml");
    let configuration = format!(
        "clusters:\n  source: {{ bootstrap_servers: \"{}\" }}\n  target: {{ bootstrap_servers: \"{}\" }}\nflows:\n  - source: source\n    target: target\n    topics: {{ include: [\"{topic}\"] }}\n    naming: {{ template: \"{{topic}}-{number}\" }}\n",
        pair.source.bootstrap_servers(),
        pair.target.bootstrap_servers(),
    );
    fs::write(&path, configuration)?;
    let measured = measure(Command::new(&arguments.program).arg("run").arg("-c").arg(&path).arg("--once"))?;
    if !measured.status.success() {
        return Err(format!("{} failed: {}", arguments.program, measured.status).into());
    }
    if arguments.verify {
        let verified = Command::new(&arguments.program).arg("verify").arg("-c").arg(&path).status()?;
        if !verified.success() {
            return Err(format!("verify: {verified}").into());
        }
    }
    Ok(measured)
}

const TRANSACTION_RECORDS: u64 = 10;
const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
/// More than a survivor takes with its share of a batch, far less than what it stood among.
const SURVIVOR_BYTES_MAX: u64 = 280;
