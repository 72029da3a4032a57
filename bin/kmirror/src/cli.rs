//! What the user typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Mirrors one Kafka cluster to another: same bytes, same offsets, provably.
#[derive(Debug, Parser)]
#[command(name = "kmirror", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to log: error, warn, info, debug, trace, or per module (`kmirror=debug,kmirror_client=trace`)
    #[arg(long, global = true, env = "KMIRROR_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mirror until stopped
    Run(RunArguments),
    /// Read both sides and compare every record
    Verify(VerifyArguments),
    /// Two clusters in this process, a workload, a mirror and the proof: nothing needs to be installed
    Demo(DemoArguments),
    /// Look at both ends of each flow: reachable, distinct, and how holes would be filled
    Check(CheckArguments),
    /// Show what `run` would do with topics, configurations, partitions, access control lists and groups; changes nothing
    Plan(PlanArguments),
    /// Show where source offsets are on the target, partition by partition
    Lineage(LineageArguments),
    /// Print the configuration of MirrorMaker 2 as kmirror.yaml, and say what becomes of each key
    Import(ImportArguments),
    /// Say how each partition is: asked of the running mirror where the file says at which address it answers, else of both clusters
    Status(StatusArguments),
    /// Say how far each partition of the target is behind, asked of both clusters
    Lag(LagArguments),
    /// Say what may be written in kmirror.yaml, or check what is
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes commands in a shell
    Completions(ShellArguments),
    /// Print the manual page
    Man,
    /// Say where each consumer group stands on both sides, and what it would read again or miss if it moved now
    Groups(GroupsArguments),
    /// Say where one offset is on the other side
    Translate(TranslateArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its default, what it means, and the key of MirrorMaker 2 that means the same
    Reference,
    /// Read a file as `run` would, and connect to nothing
    Check(ConfigArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration file
    #[arg(short, long, env = "KMIRROR_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// Copy up to the end offsets found at the start, then end
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Only this source topic (may be given several times)
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Only offsets from here on
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) from: Option<i64>,
    /// Only a part of each partition, spread evenly: 0.01 is one per cent
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub(crate) sample: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How long records are written before the two clusters are compared
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// Records per second
    #[arg(long, value_name = "RECORDS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..=2_000_000))]
    pub(crate) rate: u32,
    /// Stop brokers, move leaders and kill the mirror meanwhile
    #[arg(long)]
    pub(crate) faults: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Exit with code 3 when there is anything to be done: then `run` would change something, or wait, or park
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LineageArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Only this source topic (may be given several times)
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TranslateArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// The source topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: String,
    /// The partition
    #[arg(long, value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: i32,
    /// The offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) offset: i64,
    /// The offset is the target's, and the source's is wanted
    #[arg(long)]
    pub(crate) reverse: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LagArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub(crate) format: TableFormat,
    /// Only this source topic (may be given several times)
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Exit with code 3 where a partition is further behind, in offsets
    #[arg(long, value_name = "OFFSETS")]
    pub(crate) max_lag: Option<u64>,
    /// Exit with code 3 where the first record that is not on the target is older
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) max_age: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) partitions: LagArguments,
    /// Ask both clusters, also where a mirror runs
    #[arg(long)]
    pub(crate) direct: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// MirrorMaker 2's .properties file, or a Strimzi resource of kind KafkaMirrorMaker2
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GroupsArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub(crate) format: TableFormat,
    /// Only this group (may be given several times)
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
}

/// Of what is a list of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    Text,
    Json,
    Yaml,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if fraction > 0.0 && fraction <= 1.0 {
        Ok(fraction)
    } else {
        Err("must be above 0 and at most 1".to_owned())
    }
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 runtime error or parked partitions, 2 usage, 3 above a limit, 4 differences found, \
69 cluster unreachable, 77 not authorized, 78 configuration, 130/143 stopped by SIGINT/SIGTERM";
