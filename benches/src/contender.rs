//! Who copies.

use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kmirror_testkit::ClusterPair;

use crate::franz_go;

/// One of those that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Kmirror,
    /// MirrorMaker 2 as it comes.
    Mm2Default,
    /// MirrorMaker 2 with large fetches and batches, four tasks, and the codec of the source.
    Mm2Tuned,
    /// A loop of poll and produce, compiled to this place.
    FranzGo(PathBuf),
    /// MirrorMaker 2 with fetches that wait for nothing and batches that wait for 5 ms.
    Mm2Latency,
    /// Any program: `NAME=COMMAND` with `{source}`, `{target}`, `{topic}` and `{target_topic}`.
    Given(String, String),
}

/// One copy of some topics, under a name of its own.
#[derive(Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) pair: &'a ClusterPair,
    /// A topic, or a regular expression that matches the whole names of several.
    pub(crate) topics: &'a str,
    /// In which a record-level mirror compresses.
    pub(crate) codec: &'a str,
    /// What the source is called in this copy: the target's topics begin with it.
    pub(crate) alias: String,
    /// More lines of the flow in kmirror's file.
    pub(crate) kmirror_keys: String,
}

impl Copy<'_> {
    /// What a topic is called on the target.
    pub(crate) fn target_topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.alias)
    }

    /// The file of kmirror, which also verifies what others have copied.
    pub(crate) fn kmirror_file(&self) -> Result<PathBuf, Box<dyn Error>> {
        let (source, target) = (self.pair.source.bootstrap_servers(), self.pair.target.bootstrap_servers());
        let text = kmirror_configuration(&self.alias, source, target, self.topics) + &self.kmirror_keys;
        self.write("yaml", &text)
    }

    /// Compares both sides by their content.
    pub(crate) fn verify(&self, program: &str) -> Result<(), Box<dyn Error>> {
        let verify = Command::new(program).arg("verify").arg("-c").arg(self.kmirror_file()?).output()?;
        match verify.status.success() {
            true => Ok(()),
            false => {
                Err(format!("the copy is not the source: {}", String::from_utf8_lossy(&verify.stderr)).into())
            }
        }
    }

    fn mm2_file(&self, more: &str) -> Result<PathBuf, Box<dyn Error>> {
        let alias = &self.alias;
        let text = format!(
            "clusters = {alias}, target\n{alias}.bootstrap.servers = {}\ntarget.bootstrap.servers = {}\n\
             {alias}->target.enabled = true\n{alias}->target.topics = {}\ntarget->{alias}.enabled = false\n\
             target->{alias}.emit.heartbeats.enabled = false\n{alias}.consumer.isolation.level = read_committed\n{ONE_NODE}{}",
            self.pair.source.bootstrap_servers(),
            self.pair.target.bootstrap_servers(),
            self.topics,
            more.replace("ALIAS", alias).replace("CODEC", self.codec),
        );
        self.write("properties", &text)
    }

    fn write(&self, extension: &str, text: &str) -> Result<PathBuf, Box<dyn Error>> {
        let path = folder()?.join(format!("{}.{extension}", self.alias));
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// A flow that copies nothing but topics, from a source of this alias.
pub(crate) fn kmirror_configuration(alias: &str, source: &str, target: &str, topics: &str) -> String {
    let servers = |name: &str, servers: &str| format!("  {name}: {{ bootstrap_servers: \"{servers}\" }}\n");
    format!(
        "clusters:\n{}{}flows:\n  - source: {alias}\n    target: target\n    topics: {{ include: [\"{topics}\"] }}\n    naming: prefixed\n    \
         groups: {{ include: [] }}\n    acls: none\n    state_topic: __state_{alias}\n",
        servers(alias, source),
        servers("target", target),
    )
}

impl Contender {
    pub(crate) fn name(&self) -> &str {
        match self {
            Contender::Kmirror => "kmirror",
            Contender::Mm2Default => "MirrorMaker 2",
            Contender::Mm2Tuned => "MirrorMaker 2, tuned",
            Contender::FranzGo(_) => "franz-go loop",
            Contender::Mm2Latency => "MirrorMaker 2, tuned for latency",
            Contender::Given(name, _) => name,
        }
    }

    /// Whether a record is copied to the offset that it has, also behind a hole.
    pub(crate) fn keeps_offsets(&self) -> bool {
        *self == Contender::Kmirror
    }

    /// A program of the command line.
    pub(crate) fn given(text: &str) -> Result<Contender, String> {
        let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
        Ok(Contender::Given(name.to_owned(), command.to_owned()))
    }

    /// A process that copies and goes on, with a log of its own.
    pub(crate) fn command(&self, copy: &Copy<'_>, program: &str) -> Result<Command, Box<dyn Error>> {
        let mut command = match self {
            Contender::Kmirror => {
                let mut command = Command::new(program);
                command.arg("run").arg("-c").arg(copy.kmirror_file()?);
                command
            }
            Contender::Mm2Default => java(copy, &copy.mm2_file("")?, &["-Xms256M", "-Xmx2G"]),
            Contender::Mm2Tuned => java(copy, &copy.mm2_file(TUNED)?, &TUNED_JAVA),
            Contender::FranzGo(program) => franz_go::command(program, copy),
            Contender::Mm2Latency => java(copy, &copy.mm2_file(LATENCY)?, &TUNED_JAVA),
            Contender::Given(_, text) => given(copy, text)?,
        };
        let log = File::create(folder()?.join(format!("{}.log", copy.alias)))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

fn java(copy: &Copy<'_>, file: &std::path::Path, options: &[&str]) -> Command {
    let mut java = Command::new("java");
    java.args(options).args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
    java.arg(copy.pair.target.jars().class_path())
        .arg("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(file);
    java
}

fn given(copy: &Copy<'_>, text: &str) -> Result<Command, Box<dyn Error>> {
    let filled = text
        .replace("{source}", copy.pair.source.bootstrap_servers())
        .replace("{target}", copy.pair.target.bootstrap_servers())
        .replace("{topic}", copy.topics)
        .replace("{target_topic}", &copy.target_topic(copy.topics));
    let mut words = filled.split_ascii_whitespace();
    let mut command = Command::new(words.next().ok_or("the command is empty")?);
    command.args(words);
    Ok(command)
}

/// Where files and logs of a comparison are.
pub(crate) fn folder() -> Result<PathBuf, Box<dyn Error>> {
    let folder = PathBuf::from("target/kmirror-bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

const ONE_NODE: &str = "replication.factor = 1\noffset-syncs.topic.replication.factor = 1\n\
    checkpoints.topic.replication.factor = 1\nheartbeats.topic.replication.factor = 1\noffset.storage.replication.factor = 1\n\
    status.storage.replication.factor = 1\nconfig.storage.replication.factor = 1\n";
/// What its users are advised to set (the throughput profile).
const TUNED: &str = "tasks.max = 4\noffset.lag.max = 10000\nALIAS.consumer.fetch.min.bytes = 1048576\n\
    ALIAS.consumer.fetch.max.bytes = 104857600\nALIAS.consumer.max.partition.fetch.bytes = 10485760\n\
    ALIAS.consumer.max.poll.records = 10000\nALIAS.consumer.receive.buffer.bytes = -1\ntarget.producer.batch.size = 1048576\n\
    target.producer.linger.ms = 100\ntarget.producer.buffer.memory = 134217728\ntarget.producer.send.buffer.bytes = -1\n\
    target.producer.max.request.size = 10485760\ntarget.producer.enable.idempotence = true\n\
    target.producer.max.in.flight.requests.per.connection = 5\ntarget.producer.compression.type = CODEC\n";
/// The same for records that come one by one; topics are looked for every 5 seconds, where the default is 600.
const LATENCY: &str = "tasks.max = 4\noffset.lag.max = 10000\nrefresh.topics.interval.seconds = 5\n\
    ALIAS.consumer.fetch.min.bytes = 1\nALIAS.consumer.max.partition.fetch.bytes = 10485760\n\
    ALIAS.consumer.max.poll.records = 10000\nALIAS.consumer.receive.buffer.bytes = -1\ntarget.producer.batch.size = 1048576\n\
    target.producer.linger.ms = 5\ntarget.producer.buffer.memory = 134217728\ntarget.producer.send.buffer.bytes = -1\n\
    target.producer.max.request.size = 10485760\ntarget.producer.enable.idempotence = true\n\
    target.producer.max.in.flight.requests.per.connection = 5\ntarget.producer.compression.type = CODEC\n";
const TUNED_JAVA: [&str; 3] = ["-Xms2G", "-Xmx4G", "-XX:+UseParallelGC"];
