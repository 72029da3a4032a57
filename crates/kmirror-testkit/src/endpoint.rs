use std::time::Duration;

use crate::records::{PartitionDigest, parse_records};
use crate::shell::Shell;
use crate::workload::parse_produced;
use crate::{
    Isolation, KafkaJars, Load, PrintedRecord, Produced, RunningTool, TestkitError, ToolOutput, Workload,
};

/// A cluster as its clients see it: an address, and the Java tools and clients of one release.
#[derive(Clone, Debug)]
pub struct KafkaEndpoint {
    jars: KafkaJars,
    bootstrap_servers: String,
    shell: Shell,
}

impl KafkaEndpoint {
    /// A cluster that runs already, here or elsewhere.
    pub fn new(jars: KafkaJars, bootstrap_servers: impl Into<String>) -> KafkaEndpoint {
        KafkaEndpoint { jars, bootstrap_servers: bootstrap_servers.into(), shell: Shell::default() }
    }

    /// `host:port` of every node, separated by commas.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The jars whose tools and clients are used.
    pub fn jars(&self) -> &KafkaJars {
        &self.jars
    }

    /// Runs one of Kafka's tools against this cluster and waits for its end. The first argument is the tool's name as in
    /// `kafka-NAME.sh` (`topics`, `configs`, `acls`, `consumer-groups`, `console-producer`, `console-consumer`,
    /// `dump-log`, `get-offsets`, `delete-records`, `producer-perf`, …) or a class; `--bootstrap-server` is added where
    /// the tool has one. A failure of the tool is in the output, see [`ToolOutput::success`].
    ///
    /// # Errors
    /// Java cannot be started, or the tool has not ended after two minutes.
    pub fn tool(&self, arguments: &[&str]) -> Result<ToolOutput, TestkitError> {
        self.tool_with_input(arguments, "")
    }

    /// The same with something on the tool's standard input.
    ///
    /// # Errors
    /// As [`KafkaEndpoint::tool`].
    pub fn tool_with_input(&self, arguments: &[&str], input: &str) -> Result<ToolOutput, TestkitError> {
        self.start_tool(arguments, input)?.wait(TOOL_PATIENCE)
    }

    /// The same in the background.
    ///
    /// # Errors
    /// Java cannot be started.
    pub fn start_tool(&self, arguments: &[&str], input: &str) -> Result<RunningTool, TestkitError> {
        let (name, given) = arguments.split_first().unwrap_or((&"", &[]));
        let (class, address_option) = tool_class(name);
        let mut arguments = Vec::new();
        if let Some(option) = address_option {
            arguments.extend([option, self.bootstrap_servers()]);
        }
        arguments.extend(given);
        self.start_java(name, class, &arguments, input.to_owned())
    }

    /// Creates a topic, with configuration such as `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// The cluster refuses or does not answer.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        configuration: &[(&str, &str)],
    ) -> Result<(), TestkitError> {
        let mut workload = Workload::new(topic).partitions(partitions);
        for (name, value) in configuration {
            workload = workload.topic_property(name, value);
        }
        self.produce(&[workload]).map(drop)
    }

    /// Writes one workload after the other with the Java producer, creating topics that do not exist.
    ///
    /// # Errors
    /// The producer fails, or is not done after ten minutes.
    pub fn produce(&self, workloads: &[Workload]) -> Result<Vec<Produced>, TestkitError> {
        let mut produced = Vec::new();
        for workload in workloads {
            produced.extend(self.shell(&["workload", workload.script_line().trim()], PRODUCE_PATIENCE)?);
        }
        parse_produced(&produced.join("\n"))
    }

    /// The same in the background; once it has ended well, everything was acknowledged.
    ///
    /// # Errors
    /// Java cannot be started.
    pub fn start_produce(&self, workloads: &[Workload]) -> Result<RunningTool, TestkitError> {
        let script: String = workloads.iter().map(|workload| workload.script_line()).collect();
        self.start_java("Workload", "Workload", &[self.bootstrap_servers()], script)
    }

    /// Writes all workloads at the same time, in the background, until they are done or stopped.
    ///
    /// # Errors
    /// Java cannot be started.
    pub fn start_load(&self, workloads: &[Workload]) -> Result<Load, TestkitError> {
        let script: String = workloads.iter().map(|workload| workload.script_line()).collect();
        let mut java = self.jars.java();
        java.args(["Workload", self.bootstrap_servers(), "together"]);
        let (tool, input) = RunningTool::start_open("Workload", java)?;
        let input = input.ok_or(TestkitError::Output { program: "Workload", line: "no input".to_owned() })?;
        Load::new(tool, input, &script)
    }

    /// Every record of a topic as the Java consumer sees it, by partition and offset, up to the end offset of now.
    ///
    /// # Errors
    /// The topic does not exist, or the consumer stands still for 30 seconds.
    pub fn records(&self, topic: &str, isolation: Isolation) -> Result<Vec<PrintedRecord>, TestkitError> {
        self.records_of(&[topic], isolation)
    }

    /// The same for several topics, in the given order.
    ///
    /// # Errors
    /// As [`KafkaEndpoint::records`].
    pub fn records_of(
        &self,
        topics: &[&str],
        isolation: Isolation,
    ) -> Result<Vec<PrintedRecord>, TestkitError> {
        let mut command = vec!["dump", isolation.level()];
        command.extend(topics);
        parse_records(&self.shell(&command, PRODUCE_PATIENCE)?.join("\n"))
    }

    /// What the Java consumer sees of a topic's committed records, one digest for each partition: it tells whether two topics hold
    /// the same records in the same order, whatever their offsets are, of which there may be millions.
    ///
    /// # Errors
    /// As [`KafkaEndpoint::records`].
    pub fn digests(&self, topic: &str) -> Result<Vec<PartitionDigest>, TestkitError> {
        let lines = self.shell(&["digest", topic], PRODUCE_PATIENCE)?;
        let parse = |line: String| {
            PartitionDigest::parse(&line).ok_or(TestkitError::Output { program: "DumpRecords", line })
        };
        lines.into_iter().map(parse).collect()
    }

    /// What Kafka's console consumer prints for the first `count` records of a topic, one line each, sorted: partition,
    /// offset, timestamp, headers, key and value. Bytes that are no text come out as the tool prints them, and a line
    /// feed in a value makes two lines. It gives up after 20 seconds without a record.
    ///
    /// # Errors
    /// The tool fails.
    pub fn console_consumer(&self, topic: &str, count: usize) -> Result<Vec<String>, TestkitError> {
        let count = count.to_string();
        let arguments = ["console-consumer", "--topic", topic, "--from-beginning", "--max-messages", &count];
        let mut arguments = Vec::from(arguments);
        arguments.extend(["--timeout-ms", "20000", self.consumer_option(), "isolation.level=read_committed"]);
        for part in PRINTED {
            arguments.extend(["--property", part]);
        }
        let output = self.tool(&arguments)?.success()?;
        // Kafka 4.2 says on stdout that `--property` has a new name, which 3.9 does not know.
        let printed =
            output.stdout.lines().filter(|line| !line.starts_with("Option --property is deprecated"));
        let mut lines: Vec<String> = printed.map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// Has a command carried out by the cluster's own Java process.
    pub(crate) fn shell(&self, command: &[&str], patience: Duration) -> Result<Vec<String>, TestkitError> {
        self.shell.run(&self.jars, &self.bootstrap_servers, command, patience)
    }

    /// Starts a class of the jars, or one of the testkit's own.
    pub(crate) fn start_java(
        &self,
        name: &str,
        class: &str,
        arguments: &[&str],
        input: String,
    ) -> Result<RunningTool, TestkitError> {
        let mut java = self.jars.java();
        java.arg(class).args(arguments);
        RunningTool::start(name, java, input)
    }

    /// Kafka 4.2 renamed it (KIP-1147) and warns about the old name.
    pub(crate) fn consumer_option(&self) -> &'static str {
        if self.jars.release().version().starts_with('3') {
            "--consumer-property"
        } else {
            "--command-property"
        }
    }
}

/// The class behind the name of a tool, and the option by which it takes the cluster's address.
fn tool_class(name: &str) -> (&str, Option<&'static str>) {
    let bootstrap = Some("--bootstrap-server");
    match name {
        "topics" => ("org.apache.kafka.tools.TopicCommand", bootstrap),
        "configs" => ("kafka.admin.ConfigCommand", bootstrap),
        "acls" => ("org.apache.kafka.tools.AclCommand", bootstrap),
        "consumer-groups" => ("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", bootstrap),
        "console-producer" => ("org.apache.kafka.tools.ConsoleProducer", bootstrap),
        "console-consumer" => ("org.apache.kafka.tools.consumer.ConsoleConsumer", bootstrap),
        "get-offsets" => ("org.apache.kafka.tools.GetOffsetShell", bootstrap),
        "delete-records" => ("org.apache.kafka.tools.DeleteRecordsCommand", bootstrap),
        "transactions" => ("org.apache.kafka.tools.TransactionsCommand", bootstrap),
        "features" => ("org.apache.kafka.tools.FeatureCommand", bootstrap),
        "verifiable-producer" => ("org.apache.kafka.tools.VerifiableProducer", bootstrap),
        "verifiable-consumer" => ("org.apache.kafka.tools.VerifiableConsumer", bootstrap),
        "transactional-copier" => {
            ("org.apache.kafka.tools.TransactionalMessageCopier", Some("--broker-list"))
        }
        "consumer-perf" => ("org.apache.kafka.tools.ConsumerPerformance", bootstrap),
        "producer-perf" => ("org.apache.kafka.tools.ProducerPerformance", None),
        "dump-log" => ("org.apache.kafka.tools.DumpLogSegments", None),
        "storage" => ("kafka.tools.StorageTool", None),
        "mirror-maker" => ("org.apache.kafka.connect.mirror.MirrorMaker", None),
        class => (class, None),
    }
}

const TOOL_PATIENCE: Duration = Duration::from_secs(120);
const PRODUCE_PATIENCE: Duration = Duration::from_secs(600);
const PRINTED: [&str; 6] = [
    "print.partition=true",
    "print.offset=true",
    "print.timestamp=true",
    "print.headers=true",
    "print.key=true",
    "print.value=true",
];
