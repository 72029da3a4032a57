use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use kmirror_testkit::{ClusterPair, KafkaEndpoint, Produced, Workload, real_kafka, unique_topic};

use crate::clusters;
use crate::measured::{Measured, measure};
use crate::relay::calibrate;

#[derive(clap::Args)]
pub(crate) struct CpuArguments {
    /// Gigabytes (10^9 bytes) of compressed batches to mirror.
    #[arg(long, default_value_t = 1.1)]
    gigabytes: f64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Codec of the batches: none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "lz4")]
    codec: String,
    /// Limit of a batch on the wire, in bytes. The producer fills it as far as it can foresee the compression.
    #[arg(long, default_value_t = 112_000)]
    batch_bytes: u32,
    /// Two clusters that run already, instead of two that are started: bootstrap servers of the source and of the target.
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    clusters: Option<Vec<String>>,
    /// What is measured; {config} stands for the configuration file.
    #[arg(long, default_value = "target/release/kmirror run -c {config} --once")]
    command: String,
    /// What must succeed afterwards; nothing is run if it is empty.
    #[arg(long, default_value = "target/release/kmirror verify -c {config}")]
    verify: String,
    /// Fails with exit code 3 above this many CPU seconds per gigabyte.
    #[arg(long)]
    cpu_seconds_max: Option<f64>,
    /// Fails with exit code 3 above this much memory, in MiB.
    #[arg(long)]
    memory_mebibytes_max: Option<f64>,
    /// Leaves the clusters up until this process is interrupted.
    #[arg(long)]
    keep: bool,
}

/// Preloads, measures the relay, the command and the relay again, verifies, prints.
pub(crate) fn run(arguments: &CpuArguments) -> Result<ExitCode, Box<dyn Error>> {
    let _turn = real_kafka("cpu").ok_or("Java and Maven are needed, for the workload and the clusters")?;
    let clusters = clusters::pair(arguments.clusters.as_deref())?;
    let topic = unique_topic("bench");
    let preloaded = preload(arguments, &clusters.source, &topic)?;
    println!(
        "preloaded  {:.3} GB on the wire: {} records, {}, {} partitions, batches of {:.1} KB",
        gigabytes(preloaded.bytes),
        preloaded.records,
        arguments.codec,
        arguments.partitions,
        preloaded.batch_bytes_mean as f64 / 1e3,
    );
    let configuration = write_configuration(&clusters, &topic)?;
    let relay_before = calibrate(preloaded.bytes)?;
    let mirror = measure(&mut command(&arguments.command, &configuration)?)?;
    let relay_after = calibrate(preloaded.bytes)?;
    if !mirror.status.success() {
        return Err(format!("`{}` failed: {}", arguments.command, mirror.status).into());
    }
    let relay = (relay_before.cpu + relay_after.cpu) / 2;
    print_row("relay", &relay_before, preloaded.bytes);
    print_row("kmirror", &mirror, preloaded.bytes);
    print_row("relay", &relay_after, preloaded.bytes);
    println!("ratio      {:.2} times the CPU of the relay", mirror.cpu.as_secs_f64() / relay.as_secs_f64());
    if !arguments.verify.is_empty() {
        verify(&arguments.verify, &configuration)?;
    }
    if arguments.keep {
        println!(
            "source {}, target {}",
            clusters.source.bootstrap_servers(),
            clusters.target.bootstrap_servers()
        );
        println!("configuration {}; interrupt this process to end the clusters", configuration.display());
        loop {
            std::thread::park();
        }
    }
    Ok(judge(arguments, &mirror, preloaded.bytes))
}

/// Writes batches of about `batch_bytes` as they go over the wire.
///
/// The Java producer closes a batch when its estimate of the compressed size reaches `batch.size`. The estimate starts at
/// no compression at all and comes down by half a percent with every batch of the topic, so after some two hundred
/// batches they are as large as wanted; a long linger lets every one of them fill.
fn preload(
    arguments: &CpuArguments,
    source: &KafkaEndpoint,
    topic: &str,
) -> Result<Produced, Box<dyn Error>> {
    let records = |topic: &str| {
        Workload::new(topic)
            .partitions(arguments.partitions)
            .codec(&arguments.codec)
            .json()
            .value_bytes(700, 900)
            .keys(100_000)
            .batch_bytes(arguments.batch_bytes)
            .linger_ms(2000)
            .producer_property("buffer.memory", "67108864")
    };
    let sample = source.produce(&[records(&format!("{topic}-sample")).records(SAMPLE_RECORDS)])?;
    let sample = sample.first().filter(|sample| sample.bytes > 0).ok_or("the sample was not written")?;
    let wanted = arguments.gigabytes * 1e9 / sample.bytes as f64 * SAMPLE_RECORDS as f64;
    let produced = source.produce(&[records(topic).records(wanted.ceil() as u64)])?;
    Ok(produced.into_iter().next().ok_or("nothing was written")?)
}

fn write_configuration(clusters: &ClusterPair, topic: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new("target/kmirror-bench");
    fs::create_dir_all(folder)?;
    let path = folder.join("kmirror.yaml");
    let servers =
        |endpoint: &KafkaEndpoint| format!("{{ bootstrap_servers: \"{}\" }}", endpoint.bootstrap_servers());
    let configuration = format!(
        "clusters:\n  source: {}\n  target: {}\nflows:\n  - source: source\n    target: target\n    topics: {{ include: [\"{topic}\"] }}\n",
        servers(&clusters.source),
        servers(&clusters.target),
    );
    fs::write(&path, configuration)?;
    Ok(path)
}

fn command(template: &str, configuration: &Path) -> Result<Command, Box<dyn Error>> {
    let filled = template.replace("{config}", &configuration.display().to_string());
    let mut words = filled.split_ascii_whitespace();
    let mut command = Command::new(words.next().ok_or("the command is empty")?);
    command.args(words);
    Ok(command)
}

fn verify(template: &str, configuration: &Path) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let status = command(template, configuration)?.status()?;
    if !status.success() {
        return Err(format!("`{template}` failed: {status}").into());
    }
    println!("verified   in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn print_row(name: &str, measured: &Measured, bytes: u64) {
    println!(
        "{name:<10} {:.2} CPU seconds, {:.3} per GB; {:.2} s, {:.0} MB/s; {:.1} MiB of memory",
        measured.cpu.as_secs_f64(),
        per_gigabyte(measured.cpu, bytes),
        measured.wall.as_secs_f64(),
        bytes as f64 / 1e6 / measured.wall.as_secs_f64(),
        mebibytes(measured.memory_bytes_max),
    );
}

fn judge(arguments: &CpuArguments, mirror: &Measured, bytes: u64) -> ExitCode {
    let above = |value: f64, limit: Option<f64>| limit.is_some_and(|limit| value > limit);
    let cpu = above(per_gigabyte(mirror.cpu, bytes), arguments.cpu_seconds_max);
    let memory = above(mebibytes(mirror.memory_bytes_max), arguments.memory_mebibytes_max);
    if cpu || memory {
        eprintln!("above the limit of {}", if cpu { "CPU seconds per gigabyte" } else { "memory" });
        return ExitCode::from(THRESHOLD_EXCEEDED);
    }
    ExitCode::SUCCESS
}

fn per_gigabyte(cpu: Duration, bytes: u64) -> f64 {
    cpu.as_secs_f64() / gigabytes(bytes)
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

const SAMPLE_RECORDS: u64 = 50_000;
const THRESHOLD_EXCEEDED: u8 = 3;
