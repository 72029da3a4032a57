//! The mirror alone (`T_null`): between clusters that answer at once, out of what was prepared, and store nothing.

pub(crate) mod brokers;

use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use kmirror_testkit::unique_topic;

use self::brokers::{ALIAS, Brokers, Canned, Counts, Said, TOPIC};
use crate::compare::cell::Cell;
use crate::contender::{folder, kmirror_configuration};
use crate::process::Process;
use crate::relay::calibrate;
use crate::results::{Results, table};
use crate::statistics::Spread;

#[derive(clap::Args, serde::Serialize)]
pub(crate) struct NullArguments {
    /// What is copied.
    #[arg(long = "cell", value_enum, default_values_t = [Cell::Raw, Cell::Zstd, Cell::Lz4, Cell::Single])]
    cells: Vec<Cell>,
    /// Gigabytes (10^9 bytes) on the wire in each copy; a fifth of it where each batch holds one record.
    #[arg(long, default_value_t = 4.0)]
    gigabytes: f64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8)]
    partitions: usize,
    /// How often each topic is copied.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/kmirror")]
    #[serde(skip)]
    program: String,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/null")]
    #[serde(skip)]
    out: PathBuf,
}

/// One copy, from the first acknowledgement to the last.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Row {
    cell: String,
    round: u32,
    partitions: usize,
    /// All of it.
    copied: Counts,
    /// What was acknowledged after the first acknowledgement was seen, which all that follows is about.
    bytes: u64,
    records: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    /// Of the whole process.
    memory_bytes_max: u64,
    /// Both clusters, which share the machine.
    brokers_cpu_seconds: f64,
    /// The relay's, before and after, for a gigabyte.
    relay_cpu_seconds: f64,
    relay_wall_seconds: f64,
}

/// Copies everything as often as is wanted, and writes the rows.
pub(crate) fn run(arguments: &NullArguments) -> Result<(), Box<dyn Error>> {
    let mut results = Results::new(None, arguments)?;
    for round in 0..arguments.rounds {
        for cell in &arguments.cells {
            if matches!(cell, Cell::Upserts | Cell::Transactions) {
                return Err(format!("{}: canned logs have no holes", cell.name()).into());
            }
            let canned = Canned {
                cell: *cell,
                gigabytes: arguments.gigabytes / cell.divisor(),
                partitions: arguments.partitions.max(1),
            };
            let row = measure(&canned, round, &arguments.program)?;
            eprintln!("{:<22} {}", row.cell, row.line());
            results.rows.push(row);
        }
    }
    results.write(&arguments.out, &markdown(&results.rows))
}

fn measure(canned: &Canned, round: u32, program: &str) -> Result<Row, Box<dyn Error>> {
    // Few bytes cost less than the clock of Linux tells.
    let relayed = (canned.gigabytes * 1e9).max(1e9);
    let before = calibrate(relayed as u64)?;
    let mut row = copy(canned, round, program)?;
    let after = calibrate(relayed as u64)?;
    let per_gigabyte = 1e9 / relayed / 2.0;
    row.relay_cpu_seconds = (before.cpu + after.cpu).as_secs_f64() * per_gigabyte;
    row.relay_wall_seconds = (before.wall + after.wall).as_secs_f64() * per_gigabyte;
    Ok(row)
}

fn copy(canned: &Canned, round: u32, program: &str) -> Result<Row, Box<dyn Error>> {
    let mut brokers = Brokers::start(canned)?;
    let Said::Ready { source, target, whole } = brokers.hear()? else { return Err(OUT_OF_TURN.into()) };
    let name = unique_topic("null");
    let configuration = folder()?.join(format!("{name}.yaml"));
    fs::write(&configuration, kmirror_configuration(ALIAS, &source, &target, TOPIC))?;
    let log = folder()?.join(format!("{name}.log"));
    let mut command = Command::new(program);
    command.arg("run").arg("-c").arg(&configuration).stdin(Stdio::null());
    command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
    let mut mirror = Process::start(command)?;

    let Said::First(first) = brokers.hear()? else { return Err(OUT_OF_TURN.into()) };
    let begun = (Instant::now(), mirror.cpu()?, brokers.process.cpu()?);
    let Said::Last(last) = brokers.hear()? else { return Err(OUT_OF_TURN.into()) };
    let row = Row {
        cell: canned.cell.name().to_owned(),
        round,
        partitions: canned.partitions,
        copied: last,
        bytes: last.bytes - first.bytes,
        records: last.records - first.records,
        wall_seconds: begun.0.elapsed().as_secs_f64(),
        cpu_seconds: (mirror.cpu()? - begun.1).as_secs_f64(),
        brokers_cpu_seconds: (brokers.process.cpu()? - begun.2).as_secs_f64(),
        memory_bytes_max: mirror.memory_peak()?,
        relay_cpu_seconds: 0.0,
        relay_wall_seconds: 0.0,
    };
    mirror.end()?;
    if row.copied.records != whole.records {
        return Err(
            format!("{} of {} records arrived; see {}", last.records, whole.records, log.display()).into()
        );
    }
    fs::remove_file(log)?;
    fs::remove_file(configuration)?;
    Ok(row)
}

impl Row {
    fn gigabytes(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    fn cpu_seconds_per_gigabyte(&self) -> f64 {
        self.cpu_seconds / self.gigabytes()
    }

    fn relays(&self) -> f64 {
        self.cpu_seconds_per_gigabyte() / self.relay_cpu_seconds
    }

    fn gigabytes_per_second(&self) -> f64 {
        self.gigabytes() / self.wall_seconds
    }

    fn mebibytes(&self) -> f64 {
        self.memory_bytes_max as f64 / f64::from(1 << 20)
    }

    fn line(&self) -> String {
        format!(
            "{:.3} CPU s/GB ({:.2} times the relay), {:.2} GB/s (the relay {:.2}), {:.0} MiB; the clusters {:.3} CPU s/GB; {} batches, {} \
             of them rewritten",
            self.cpu_seconds_per_gigabyte(),
            self.relays(),
            self.gigabytes_per_second(),
            1.0 / self.relay_wall_seconds,
            self.mebibytes(),
            self.brokers_cpu_seconds / self.gigabytes(),
            self.copied.batches,
            self.copied.rewritten,
        )
    }
}

fn markdown(rows: &[Row]) -> String {
    let mut cells: Vec<&str> = Vec::new();
    for row in rows {
        if !cells.contains(&row.cell.as_str()) {
            cells.push(&row.cell);
        }
    }
    let columns = [
        "topic",
        "CPU s per GB",
        "× relay",
        "GB/s",
        "GB/s ÷ relay's",
        "thousand records/s",
        "MiB",
        "CPU s per GB of both clusters",
    ];
    let lines = cells.into_iter().map(|cell| {
        let of = |value: &dyn Fn(&Row) -> f64, digits| {
            Spread::of(rows.iter().filter(|row| row.cell == cell).map(value)).text(digits)
        };
        vec![
            cell.to_owned(),
            of(&Row::cpu_seconds_per_gigabyte, 2),
            of(&Row::relays, 2),
            of(&Row::gigabytes_per_second, 2),
            of(&|row| row.gigabytes_per_second() * row.relay_wall_seconds, 2),
            of(&|row| row.records as f64 / row.wall_seconds / 1e3, 0),
            of(&Row::mebibytes, 0),
            of(&|row| row.brokers_cpu_seconds / row.gigabytes(), 2),
        ]
    });
    format!(
        "Medians (least–most) between the first acknowledgement and the last. Clusters, mirror and relay share the machine. Every \
         batch was compared with the source's.\n\n{}",
        table(&columns, lines)
    )
}

const OUT_OF_TURN: &str = "the canned clusters spoke out of turn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_about_what_was_measured() {
        let counts = Counts { records: 30, bytes: 2_500_000_000, batches: 3, rewritten: 0 };
        let row = Row {
            cell: "c".to_owned(),
            round: 0,
            partitions: 8,
            copied: counts,
            bytes: 2_000_000_000,
            records: 4_000,
            wall_seconds: 4.0,
            cpu_seconds: 3.0,
            memory_bytes_max: 50 << 20,
            brokers_cpu_seconds: 1.0,
            relay_cpu_seconds: 0.5,
            relay_wall_seconds: 1.0,
        };
        let text = markdown(&[row.clone(), Row { cpu_seconds: 5.0, round: 1, ..row }]);
        let expected = "| c | 2.00 (1.50–2.50) | 4.00 (3.00–5.00) | 0.50 (0.50–0.50) | 0.50 (0.50–0.50) | 1 (1–1) | 50 (50–50) | 0.50 (0.50–0.50) |";
        assert!(text.contains(expected), "{text}");
    }
}
