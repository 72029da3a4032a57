//! What partitions cost that have nothing to say, and what they cost when each says a little.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kmirror_testkit::{ClusterPair, real_kafka, unique_topic};
use serde::Serialize;

use crate::clusters;
use crate::contender::{Contender, Copy};
use crate::process::Process;
use crate::results::{Results, table};
use crate::stage::{Goal, StageArguments, Target, copy, end_and_verify};
use crate::traffic::{Asker, Clock, Pace, Stream, Writer, partitions_of};

#[derive(clap::Args, Serialize)]
pub(crate) struct PartitionsArguments {
    /// How many partitions; may be given several times.
    #[arg(long = "partitions", value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000])]
    counts: Vec<u32>,
    /// MirrorMaker 2 is measured up to this many.
    #[arg(long, default_value_t = 1_000)]
    mm2_partitions_max: u32,
    /// For how long nothing is written.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// For how long records are written.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Megabytes (10^6 bytes) of values in each second, over all partitions.
    #[arg(long, default_value_t = 10)]
    megabytes_per_second: u64,
    #[command(flatten)]
    stage: StageArguments,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/partitions")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Row {
    contender: String,
    partitions: u32,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Measured(Measured),
    Failed(String),
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Measured {
    /// From the start of the process until a record of every partition was on the target.
    start_up_seconds: f64,
    /// Of one core, while nothing is written.
    idle_cpu_percent: f64,
    /// The largest until the end of that.
    idle_memory_bytes: u64,
    /// For each 10^9 bytes of values, until all had arrived.
    cpu_seconds_per_gigabyte: f64,
    memory_bytes_max: u64,
}

pub(crate) fn run(arguments: &PartitionsArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("partitions").ok_or("Java and Maven are needed, for the clusters")?;
    let most = arguments.counts.iter().copied().max().unwrap_or(0);
    Limits::here()?.hold(most)?;
    let addresses = arguments.stage.clusters.as_deref();
    // An index file is mapped at its full size from the first record on: 10 MiB, twice for each partition, if not set.
    let pair = clusters::pair_with(addresses, |builder| {
        builder.java_option("-Xmx2g").property("log.index.size.max.bytes", "65536")
    })?;
    let mut results = Results::new(clusters::release(addresses), arguments)?;
    for count in &arguments.counts {
        for contender in arguments.stage.contenders() {
            if contender != Contender::Kmirror && *count > arguments.mm2_partitions_max {
                continue;
            }
            let outcome = match measure(arguments, &pair, &contender, *count) {
                Ok(measured) => Outcome::Measured(measured),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            let row = Row { contender: contender.name().to_owned(), partitions: *count, outcome };
            eprintln!("  {}", row.cells().join(", "));
            results.rows.push(row);
        }
    }
    results.write(&arguments.out, &text(arguments, &results.rows))
}

fn measure(
    arguments: &PartitionsArguments,
    pair: &ClusterPair,
    contender: &Contender,
    count: u32,
) -> Result<Measured, Box<dyn Error>> {
    let base = unique_topic("many");
    let topics = topics(&base, count);
    let asker = Asker::connect(pair.source.bootstrap_servers())?;
    for (topic, partitions) in &topics {
        asker.create_topic(topic, *partitions, &[])?;
    }
    let pattern = format!("{base}-.*");
    let copy = copy(pair, &pattern);
    let measured = follow(arguments, contender, &copy, &topics)
        .map_err(|error| format!("{error}; see {}.log", copy.alias))?;
    for (topic, _) in &topics {
        pair.source.delete_topic(topic)?;
        pair.target.delete_topic(&copy.target_topic(topic))?;
    }
    Ok(measured)
}

fn follow(
    arguments: &PartitionsArguments,
    contender: &Contender,
    copy: &Copy<'_>,
    topics: &[(String, u32)],
) -> Result<Measured, Box<dyn Error>> {
    let partitions: Vec<_> =
        topics.iter().flat_map(|(topic, partitions)| partitions_of(topic, *partitions)).collect();
    let stream = Stream { partitions: partitions.into(), value_bytes: VALUE_BYTES, run: BATCH_RECORDS };
    let count = stream.partitions.len() as u64;
    let write = |stream: &Stream, rate, numbers| {
        let servers = copy.pair.source.bootstrap_servers();
        Writer::start(servers, Clock::start(), stream.clone(), Pace::Rate(rate), numbers).wait()
    };
    let target = Target::of(copy, topics)?;
    write(&Stream { run: 1, ..stream.clone() }, FIRST_RECORDS_RATE, 0..count)?;

    let mut process = Process::start(contender.command(copy, &arguments.stage.program)?)?;
    let start_up_seconds = target.wait_for(count, &mut process)?.as_secs_f64();
    // What is done once after the start is not what idling costs.
    thread::sleep(SETTLE);
    let idle_cpu = process.cpu()?;
    thread::sleep(Duration::from_secs(arguments.idle_seconds));
    let idle_cpu = process.cpu()? - idle_cpu;
    let idle_memory_bytes = process.memory_peak()?;

    let rate = arguments.megabytes_per_second * 1_000_000 / VALUE_BYTES as u64;
    let cpu = process.cpu()?;
    let written = write(&stream, rate, 0..rate * arguments.seconds)?;
    target.wait_for(count + written, &mut process)?;
    let cpu = process.cpu()? - cpu;
    let memory_bytes_max = process.memory_peak()?;
    end_and_verify(process, copy, &arguments.stage.program)?;
    Ok(Measured {
        start_up_seconds,
        idle_cpu_percent: idle_cpu.as_secs_f64() / arguments.idle_seconds.max(1) as f64 * 100.0,
        idle_memory_bytes,
        cpu_seconds_per_gigabyte: cpu.as_secs_f64() / (written * VALUE_BYTES as u64) as f64 * 1e9,
        memory_bytes_max,
    })
}

/// Names and partitions of the topics that make up so many.
fn topics(base: &str, count: u32) -> Vec<(String, u32)> {
    let starts = (0..count).step_by(TOPIC_PARTITIONS_MAX as usize);
    starts.map(|start| (format!("{base}-{start}"), TOPIC_PARTITIONS_MAX.min(count - start))).collect()
}

/// What Linux lets one process have.
#[derive(Clone, Copy, Debug)]
struct Limits {
    files: u64,
    maps: u64,
}

impl Limits {
    fn here() -> Result<Limits, Box<dyn Error>> {
        let limits = fs::read_to_string("/proc/self/limits")?;
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        // Soft and hard; Java takes the hard one.
        let files = files.and_then(|files| files.split_ascii_whitespace().nth(1));
        let files = files.ok_or("/proc/self/limits is odd")?.parse().unwrap_or(u64::MAX);
        let maps = fs::read_to_string("/proc/sys/vm/max_map_count")?.trim().parse()?;
        Ok(Limits { files, maps })
    }

    /// A broker keeps the log of each partition open and maps its two indexes.
    fn hold(self, partitions: u32) -> Result<(), String> {
        let partitions = u64::from(partitions);
        for (name, needed, limit) in [
            ("open files (`ulimit -Hn`)", partitions + BROKER_FILES, self.files),
            ("memory maps (`sysctl vm.max_map_count`)", 2 * partitions + BROKER_MAPS, self.maps),
        ] {
            if needed > limit {
                return Err(format!(
                    "a broker of {partitions} partitions needs {needed} {name}, and {limit} are allowed"
                ));
            }
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mebibytes = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
        let mut cells = vec![self.contender.clone(), self.partitions.to_string()];
        match &self.outcome {
            Outcome::Measured(measured) => cells.extend([
                format!("{:.2}", measured.start_up_seconds),
                format!("{:.2}", measured.idle_cpu_percent),
                mebibytes(measured.idle_memory_bytes),
                format!("{:.2}", measured.cpu_seconds_per_gigabyte),
                mebibytes(measured.memory_bytes_max),
            ]),
            Outcome::Failed(error) => cells.push(format!("failed: {}", error.replace(['\n', '|'], " "))),
        }
        cells
    }
}

fn text(arguments: &PartitionsArguments, rows: &[Row]) -> String {
    let mut text = format!(
        "*Start-up*: from the start of the process until a record of every partition was on the target. *Idle*: {} s without records. \
         *At rate*: {} MB/s over all partitions for {} s, in batches of {BATCH_RECORDS} records of {VALUE_BYTES} bytes. Memory is the \
         largest resident set so far. Topics of at most {TOPIC_PARTITIONS_MAX} partitions; every copy was verified by its content.\n\n{}\n",
        arguments.idle_seconds,
        arguments.megabytes_per_second,
        arguments.seconds,
        table(&COLUMNS, rows.iter().map(Row::cells))
    );
    for row in rows.iter().filter(|row| row.contender == Contender::Kmirror.name()) {
        let Outcome::Measured(measured) = row.outcome else { continue };
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let goals = match row.partitions {
            100 => vec![(MEMORY_100, mebibytes(measured.memory_bytes_max))],
            10_000 => {
                let memory = mebibytes(measured.idle_memory_bytes);
                vec![(IDLE_10_000, measured.idle_cpu_percent), (MEMORY_10_000, memory)]
            }
            _ => vec![],
        };
        for (goal, figure) in goals {
            let _ = writeln!(text, "- {}", goal.beside(figure));
        }
    }
    text
}

const COLUMNS: [&str; 7] = [
    "mirror",
    "partitions",
    "start-up, s",
    "idle, % of a core",
    "idle, MiB",
    "at rate, CPU s/GB",
    "at rate, MiB",
];
const MEMORY_100: Goal = Goal { of: "peak memory at 100 partitions", most: 64.0, unit: "MiB" };
const IDLE_10_000: Goal = Goal { of: "10,000 partitions idle", most: 1.0, unit: "% of a core" };
const MEMORY_10_000: Goal = Goal { of: "memory of 10,000 idle partitions", most: 192.0, unit: "MiB" };
const TOPIC_PARTITIONS_MAX: u32 = 1_000;
const VALUE_BYTES: usize = 1_000;
/// As a producer fills them that waits a little.
const BATCH_RECORDS: u64 = 10;
/// Records in each second, one to each partition before the mirror is started.
const FIRST_RECORDS_RATE: u64 = 5_000;
const SETTLE: Duration = Duration::from_secs(5);
/// Jars, sockets, and the metadata log.
const BROKER_FILES: u64 = 1_000;
const BROKER_MAPS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_topics() {
        let counts =
            |count| topics("t", count).into_iter().map(|(_, partitions)| partitions).collect::<Vec<_>>();
        assert_eq!(counts(10), [10]);
        assert_eq!(counts(2_500), [1_000, 1_000, 500]);
        assert_eq!(topics("t", 1_001)[1].0, "t-1000");
    }

    #[test]
    fn a_limit_that_is_too_low_is_named() {
        let limits = Limits { files: 12_000, maps: 65_530 };
        assert_eq!(limits.hold(10_000), Ok(()));
        assert!(limits.hold(12_000).unwrap_err().contains("needs 13000 open files"));
        let limits = Limits { maps: 20_000, ..limits };
        assert!(limits.hold(10_000).unwrap_err().contains("needs 25000 memory maps"));
        assert!(Limits::here().is_ok());
    }

    #[test]
    fn what_failed_is_in_the_table() {
        let row = Row {
            contender: "kmirror".to_owned(),
            partitions: 10,
            outcome: Outcome::Failed("a|b".to_owned()),
        };
        assert_eq!(row.cells().join(";"), "kmirror;10;failed: a b");
    }
}
