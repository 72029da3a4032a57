//! What the user typed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
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
    /// Mirror by the flags of MirrorMaker 1
    Mm1(Box<Mm1Arguments>),
    /// Read both sides and compare every record
    Verify(VerifyArguments),
    /// Two clusters in this process, a workload, a mirror and the proof: nothing needs to be installed
    Demo(DemoArguments),
    /// Look at both ends of each flow: reachable, distinct, permissions as kafka-acls commands, and limits; changes nothing
    Check(CheckArguments),
    /// Show what `run` would do with topics, configurations, partitions, access control lists and groups; changes nothing
    Plan(PlanArguments),
    /// Show where source offsets are on the target, partition by partition
    Lineage(LineageArguments),
    /// Take the clusters that answer now for those that the file names: after a flow has refused to start since an id is another one
    AcceptCluster(ConfigArguments),
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
    /// Say of each topic whether it is copied, by which rule, and what is on the target
    Topics(TopicsArguments),
    /// Say where each consumer group stands on both sides, and what it would read again or miss if it moved now
    Groups(GroupsArguments),
    /// Say where one offset is on the other side
    Translate(TranslateArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its default, what it means, and the key of MirrorMaker 2 that means the same
    Reference,
    /// Print the JSON Schema of kmirror.yaml, for editors
    Schema,
    /// Print what is in effect with a file: every key, with its default where nothing is written, and secrets masked
    Dump(ConfigArguments),
    /// Read a file as `run` would, and connect to nothing
    Check(ConfigArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration: kmirror.yaml, MirrorMaker 2's .properties, or a resource of kind KafkaMirrorMaker2
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
    /// Only flows to these clusters
    #[arg(long, value_name = "ALIAS", num_args = 1..)]
    pub(crate) clusters: Vec<String>,
}

/// As `kafka-mirror-maker.sh` has them.
#[derive(Debug, Args)]
pub(crate) struct Mm1Arguments {
    /// The source's consumer, a .properties file
    #[arg(long = "consumer.config", value_name = "FILE")]
    pub(crate) consumer_config: PathBuf,
    /// The target's producer, a .properties file
    #[arg(long = "producer.config", value_name = "FILE")]
    pub(crate) producer_config: PathBuf,
    /// The topics: a regular expression, in which a comma means `|`
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) include: Option<String>,
    /// The former name of --include
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) whitelist: Option<String>,
    /// Topics that are left out (obsolete)
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) blacklist: Option<String>,
    /// Without effect
    #[arg(long = "num.streams", value_name = "N")]
    pub(crate) num_streams: Option<u32>,
    /// Without effect
    #[arg(long = "offset.commit.interval.ms", value_name = "N")]
    pub(crate) offset_commit_interval_ms: Option<u64>,
    /// Records are never dropped: without effect
    #[arg(long = "abort.on.send.failure", value_name = "BOOLEAN")]
    pub(crate) abort_on_send_failure: Option<bool>,
    /// Refused: a Java class
    #[arg(long = "consumer.rebalance.listener", value_name = "CLASS")]
    pub(crate) consumer_rebalance_listener: Option<String>,
    /// Without effect
    #[arg(long = "rebalance.listener.args", value_name = "TEXT")]
    pub(crate) rebalance_listener_args: Option<String>,
    /// Refused: a Java class
    #[arg(long = "message.handler", value_name = "CLASS")]
    pub(crate) message_handler: Option<String>,
    /// Without effect
    #[arg(long = "message.handler.args", value_name = "TEXT")]
    pub(crate) message_handler_args: Option<String>,
    /// Without effect (obsolete)
    #[arg(long = "new.consumer")]
    pub(crate) new_consumer: bool,
    /// Without effect (obsolete)
    #[arg(long = "num.producers", value_name = "N")]
    pub(crate) num_producers: Option<u32>,
    /// Without effect (obsolete)
    #[arg(long = "queue.size", value_name = "N")]
    pub(crate) queue_size: Option<u32>,
    /// Copy up to the end offsets found at the start, then end (not of MirrorMaker)
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the kmirror.yaml that would be run, and what becomes of each flag and key (not of MirrorMaker)
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// As `connect-mirror-maker.sh` has them.
#[derive(Debug, Parser)]
#[command(about = "Mirrors by MirrorMaker 2's configuration file", version)]
struct AsMm2 {
    /// MirrorMaker 2's .properties file
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// Only flows to these clusters
    #[arg(long, value_name = "ALIAS", num_args = 1..)]
    clusters: Vec<String>,
}

#[derive(Debug, Parser)]
#[command(about = "Mirrors by the flags of MirrorMaker 1", version)]
struct AsMm1 {
    #[command(flatten)]
    arguments: Mm1Arguments,
}

impl Cli {
    /// What was typed. The name by which the program was called may be that of one of MirrorMaker's scripts, with their arguments.
    pub(crate) fn invoked(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let name = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
        let log = std::env::var("KMIRROR_LOG").ok();
        match name.to_string_lossy().trim_end_matches(".sh") {
            "connect-mirror-maker" => {
                let AsMm2 { config, clusters } = AsMm2::try_parse_from(arguments)?;
                let config = ConfigArguments { config };
                Ok(Cli { log, command: Command::Run(RunArguments { config, once: false, clusters }) })
            }
            "kafka-mirror-maker" => {
                Ok(Cli { log, command: Command::Mm1(Box::new(AsMm1::try_parse_from(arguments)?.arguments)) })
            }
            _ => Cli::try_parse_from(arguments),
        }
    }

    /// The flags of MirrorMaker 1 alone.
    #[cfg(test)]
    pub(crate) fn mm1_arguments<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Mm1Arguments, clap::Error> {
        AsMm1::try_parse_from(arguments).map(|parsed| parsed.arguments)
    }
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
    /// Exit with code 4 where something that the source holds is not copied yet
    #[arg(long)]
    pub(crate) complete: bool,
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
    /// To whom the printed commands give rights that are missing; a client without credentials is User:ANONYMOUS
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:ANONYMOUS")]
    pub(crate) principal: String,
    /// Exit with code 1 where there are warnings only
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// Look at the configuration alone, as `config check` does
    #[arg(long)]
    pub(crate) no_connect: bool,
    /// How long clusters are awaited that cannot be reached yet
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) wait: Duration,
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
pub(crate) struct TopicsArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub(crate) format: TableFormat,
    /// Only this source topic (may be given several times)
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Only topics that are copied
    #[arg(long)]
    pub(crate) selected: bool,
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

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 runtime error or parked partitions, 2 usage, 3 above a limit, 4 differences found or not complete, \
69 cluster unreachable, 77 not authorized, 78 configuration, 130/143 stopped by SIGINT/SIGTERM";
