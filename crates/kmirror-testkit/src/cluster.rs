use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::authorizer;
use crate::jars::kafka_home;
use crate::metadata::{self, brokers_alive};
use crate::process::{await_stopped, last_lines, wait_for};
use crate::watchdog::Watchdog;
use crate::{
    Certificates, KafkaEndpoint, KafkaJars, KafkaRelease, SecuredAddresses, TestkitError, ToolOutput,
};

/// A real Kafka cluster on loopback: one or more nodes in KRaft mode, each broker and controller.
///
/// Dropping it kills its nodes and removes their data; so does the end of this process, however it comes.
/// What a test does with any cluster, started here or not, are the methods of [`KafkaEndpoint`].
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<KafkaNode>,
    endpoint: KafkaEndpoint,
    folder: PathBuf,
    /// Dropped last: removes the folder.
    watchdog: Watchdog,
}

/// What a cluster shall be like.
#[derive(Clone, Debug)]
pub struct KafkaClusterBuilder {
    release: KafkaRelease,
    nodes: usize,
    properties: Vec<(String, String)>,
    java_options: Vec<String>,
    has_authorizer: bool,
    far_port: Option<u16>,
    certificates: Option<Certificates>,
}

/// One node of a cluster. Its data outlives its process, until the cluster is dropped.
#[derive(Debug)]
pub struct KafkaNode {
    node_id: usize,
    address: SocketAddr,
    far_address: Option<SocketAddr>,
    secured_addresses: Option<SecuredAddresses>,
    folder: PathBuf,
    java_options: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl KafkaCluster {
    /// A cluster of one node, if nothing else is said.
    pub fn builder(release: KafkaRelease) -> KafkaClusterBuilder {
        KafkaClusterBuilder {
            release,
            nodes: 1,
            properties: Vec::new(),
            java_options: Vec::new(),
            has_authorizer: false,
            far_port: None,
            certificates: None,
        }
    }

    /// Permits something to clients of a cluster with an authorizer, by options of `kafka-acls` such as `--operation`, `Write`,
    /// `--topic`, `*`. Returns once the ACL is there; brokers may take a moment more to learn of it.
    ///
    /// # Errors
    /// The cluster has no authorizer, or the tool fails.
    pub fn allow(&self, permission: &[&str]) -> Result<(), TestkitError> {
        let node = self.node(1)?;
        authorizer::allow(self.endpoint.jars(), &node.folder, permission)
    }

    /// What Java's console consumer prints that logs in as `alice`, `bob` or `eve` to a cluster with an authorizer, and reads the first
    /// records of partition 0 of a topic, outside of any group. That it is refused is in the output.
    ///
    /// # Errors
    /// The cluster has no authorizer, or Java cannot be started.
    pub fn consume_as(&self, user: &str, topic: &str, count: usize) -> Result<ToolOutput, TestkitError> {
        let node = self.node(1)?;
        authorizer::consume_as(self.endpoint.jars(), &node.folder, user, topic, count)
    }

    /// A node by its `node.id`, which counts from 1.
    ///
    /// # Errors
    /// There is no such node.
    pub fn node(&self, node_id: usize) -> Result<&KafkaNode, TestkitError> {
        let node = self.nodes.iter().find(|node| node.node_id == node_id);
        node.ok_or(TestkitError::Node { node_id, problem: "the cluster has no such node" })
    }

    /// How many bytes of a topic a node has sent to consumers, as it counts them itself. What its followers fetch is not in it.
    ///
    /// # Errors
    /// The node does not run, or its process does not let others look into it.
    pub fn bytes_out(&self, node_id: usize, topic: &str) -> Result<u64, TestkitError> {
        let process_id = self.node(node_id)?.process().as_ref().map(Child::id);
        let problem = "it does not run";
        let process_id = process_id.ok_or(TestkitError::Node { node_id, problem })?.to_string();
        let tool = self.endpoint.start_java("BytesOut", "BytesOut", &[&process_id, topic], String::new())?;
        let line = tool.wait(START_PATIENCE)?.success()?.stdout.trim().to_owned();
        line.parse().map_err(|_| TestkitError::Output { program: "BytesOut", line })
    }

    /// Starts a node that was stopped or killed, on the same data and port, and waits until it answers.
    ///
    /// # Errors
    /// It still runs, ends by itself, or does not answer within a minute.
    pub fn restart(&self, node_id: usize) -> Result<(), TestkitError> {
        let node = self.node(node_id)?;
        node.start(self.endpoint.jars(), &self.watchdog)?;
        let running = self.nodes.iter().filter(|node| node.process().is_some()).count();
        node.wait_until_it_sees(running)
    }
}

impl Deref for KafkaCluster {
    type Target = KafkaEndpoint;

    fn deref(&self) -> &KafkaEndpoint {
        &self.endpoint
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.end();
        }
        // The watchdog does it too; this way the data is gone when the drop returns.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl KafkaClusterBuilder {
    /// The number of nodes, 1 if not set. Replication factors follow it, and with it more than half of the replicas must
    /// be in sync (2 of 3).
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> KafkaClusterBuilder {
        self.nodes = nodes;
        self
    }

    /// A property of every broker, over the testkit's own.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> KafkaClusterBuilder {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An option of each node's Java process, over the testkit's own, which are for short lives: `-Xmx512m`,
    /// `-XX:+UseSerialGC`, `-XX:TieredStopAtLevel=1`.
    #[must_use]
    pub fn java_option(mut self, option: &str) -> KafkaClusterBuilder {
        self.java_options.push(option.to_owned());
        self
    }

    /// Makes clients, who come as `User:ANONYMOUS`, need permissions: [`KafkaCluster::allow`]. Without this all is allowed.
    #[must_use]
    pub fn authorizer(mut self) -> KafkaClusterBuilder {
        self.has_authorizer = true;
        self
    }

    /// Gives a cluster of one node a second listener ([`KafkaNode::far_address`]) whose clients are told to come to this port of
    /// 127.0.0.1: there is a proxy that leads them to it, so that all their connections go through it.
    #[must_use]
    pub fn far_listener(mut self, advertised_port: u16) -> KafkaClusterBuilder {
        self.far_port = Some(advertised_port);
        self
    }

    /// Gives each node listeners with TLS and SASL ([`KafkaNode::secured_addresses`]), and an authorizer with which nobody may do anything but
    /// who comes as [`USER`](crate::USER) or without a name.
    #[must_use]
    pub fn secured(mut self, certificates: &Certificates) -> KafkaClusterBuilder {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Starts all nodes and waits until each of them knows all of them to be alive.
    ///
    /// # Errors
    /// The jars cannot be had, a node ends by itself, or they do not answer within a minute.
    pub fn start(self) -> Result<KafkaCluster, TestkitError> {
        let jars = KafkaJars::resolve(self.release)?;
        let folder = unique_folder()?;
        let watchdog = Watchdog::start(&folder)?;
        let nodes = self.lay_out(&folder)?;
        let addresses: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
        let endpoint = KafkaEndpoint::new(jars, addresses.join(","));
        let cluster = KafkaCluster { nodes, endpoint, folder, watchdog };
        cluster.format()?;
        for node in &cluster.nodes {
            node.start(cluster.endpoint.jars(), &cluster.watchdog)?;
        }
        for node in &cluster.nodes {
            node.wait_until_it_sees(cluster.nodes.len())?;
        }
        Ok(cluster)
    }

    /// Gives every node its folder, ports and properties.
    fn lay_out(&self, folder: &Path) -> Result<Vec<KafkaNode>, TestkitError> {
        let ports = (0..2 * self.nodes).map(|_| free_port()).collect::<Result<Vec<u16>, _>>()?;
        let (brokers, controllers) = ports.split_at(self.nodes);
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let mut nodes = Vec::new();
        for ((broker, controller), node_id) in brokers.iter().zip(controllers).zip(1..) {
            let folder = folder.join(format!("node-{node_id}"));
            fs::create_dir_all(&folder).map_err(TestkitError::file(&folder))?;
            let mut properties = self.server_properties();
            let (mut listener, mut advertised, mut far_address) = (String::new(), String::new(), None);
            if let Some(far_port) = self.far_port {
                let port = free_port()?;
                listener = format!(",FAR://127.0.0.1:{port}");
                advertised = format!(",FAR://127.0.0.1:{far_port}");
                far_address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            }
            let _ = write!(
                properties,
                "node.id={node_id}\n\
                 broker.rack=rack-{node_id}\n\
                 controller.quorum.voters={}\n\
                 listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}{listener}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{broker}{advertised}\n\
                 log.dirs={}\n",
                voters.join(","),
                folder.join(LOG_DIR).display(),
            );
            if self.has_authorizer {
                let internal = free_port()?;
                authorizer::write_admin_config(&folder, internal)?;
                properties.push_str(&authorizer::properties(*broker, *controller, internal));
            }
            let mut secured_addresses = None;
            if let Some(certificates) = &self.certificates {
                certificates.write(&folder)?;
                let addresses = SecuredAddresses::new()?;
                properties.push_str(&addresses.properties(*broker, *controller, &folder));
                secured_addresses = Some(addresses);
            }
            for (name, value) in &self.properties {
                let _ = writeln!(properties, "{name}={value}");
            }
            let path = folder.join(SERVER_PROPERTIES);
            fs::write(&path, properties).map_err(TestkitError::file(&path))?;
            nodes.push(KafkaNode {
                node_id,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, *broker)),
                far_address,
                secured_addresses,
                folder,
                java_options: self.java_options.clone(),
                process: Mutex::new(None),
            });
        }
        Ok(nodes)
    }

    /// Small internal topics and no waiting, since a test's cluster lives for seconds; and no retention, which 30 seconds
    /// after the start would delete records with timestamps of long ago.
    fn server_properties(&self) -> String {
        let replicas = self.nodes;
        let in_sync = self.nodes / 2 + 1;
        format!(
            "process.roles=broker,controller\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={replicas}\n\
             offsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             transaction.state.log.num.partitions=5\n\
             group.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\n\
             log.retention.ms=-1\n\
             log.cleaner.backoff.ms=200\n\
             log.cleaner.dedupe.buffer.size=8388608\n\
             log.segment.delete.delay.ms=1000\n"
        )
    }
}

impl KafkaCluster {
    /// Writes the cluster's id and the release's feature levels into the data of every node.
    fn format(&self) -> Result<(), TestkitError> {
        let cluster_id = new_cluster_id();
        let mut tools = Vec::new();
        for node in &self.nodes {
            let properties = node.folder.join(SERVER_PROPERTIES).display().to_string();
            let arguments = ["format", "-c", &properties, "-t", &cluster_id];
            tools.push(self.endpoint.start_java(
                "storage",
                "kafka.tools.StorageTool",
                &arguments,
                String::new(),
            )?);
        }
        for tool in tools {
            tool.wait(START_PATIENCE)?.success()?;
        }
        Ok(())
    }
}

impl KafkaNode {
    /// The node's `node.id`, from 1.
    pub fn node_id(&self) -> usize {
        self.node_id
    }

    /// The address of its client listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its second listener, if it has one: where a proxy leads to.
    pub fn far_address(&self) -> Option<SocketAddr> {
        self.far_address
    }

    /// Where it listens with TLS and SASL, if it does.
    pub fn secured_addresses(&self) -> Option<SecuredAddresses> {
        self.secured_addresses
    }

    /// The folder with the node's partitions, for `dump-log` and for damage done on purpose.
    pub fn log_dir(&self) -> PathBuf {
        self.folder.join(LOG_DIR)
    }

    /// Who leads a partition, as this node says by now; nothing when it does not answer, or knows of no leader.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<usize> {
        metadata::leader(self.address, topic, partition)
    }

    /// How many bytes of a partition this node has: what its leader has sent it, or who writes to it.
    pub fn log_bytes(&self, topic: &str, partition: i32) -> u64 {
        let folder = self.log_dir().join(format!("{topic}-{partition}"));
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let segments =
            files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        segments.filter_map(|segment| Some(segment.metadata().ok()?.len())).sum()
    }

    /// What the node has printed so far: its warnings and errors.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join(LOG_FILE)).unwrap_or_default()
    }

    /// Ends the node at once, as `kill -9` does. Its data stays.
    pub fn kill(&self) {
        self.end();
    }

    /// Ends the node in an orderly way: it moves its leaderships and closes its logs.
    ///
    /// # Errors
    /// It does not run, or has not ended after 30 seconds; it is killed then.
    pub fn stop(&self) -> Result<(), TestkitError> {
        self.signal("TERM")?;
        let ended = wait_for("the node stopped", Duration::from_secs(30), || {
            let mut process = self.process();
            let status = process.as_mut().map(Child::try_wait).transpose();
            Ok(status.map_err(TestkitError::program("java"))?.flatten())
        });
        self.end();
        ended.map(drop)
    }

    /// Freezes the node: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<(), TestkitError> {
        self.signal("STOP")?;
        if let Some(child) = self.process().as_ref() {
            await_stopped(child.id());
        }
        Ok(())
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<(), TestkitError> {
        self.signal("CONT")
    }

    fn start(&self, jars: &KafkaJars, watchdog: &Watchdog) -> Result<(), TestkitError> {
        let mut process = self.process();
        if process.is_some() {
            return Err(TestkitError::Node { node_id: self.node_id, problem: "it is running already" });
        }
        let log_path = self.folder.join(LOG_FILE);
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(TestkitError::file(&log_path))?;
        let mut java = jars.java();
        java.args(&self.java_options);
        java.arg("kafka.Kafka").arg(self.folder.join(SERVER_PROPERTIES));
        java.stdin(Stdio::null()).stderr(log.try_clone().map_err(TestkitError::file(log_path))?).stdout(log);
        watchdog.guard(&mut java);
        *process = Some(java.spawn().map_err(TestkitError::program("java"))?);
        Ok(())
    }

    fn wait_until_it_sees(&self, brokers: usize) -> Result<(), TestkitError> {
        wait_for(&format!("node {} knew {brokers} brokers", self.node_id), START_PATIENCE, || {
            if let Some(status) = self.ended_by_itself()? {
                let log = last_lines(&self.log(), 20);
                return Err(TestkitError::NodeEnded { node_id: self.node_id, status, log });
            }
            Ok(brokers_alive(self.address).filter(|alive| *alive >= brokers).map(drop))
        })
    }

    fn ended_by_itself(&self) -> Result<Option<String>, TestkitError> {
        let mut process = self.process();
        let status =
            process.as_mut().map(Child::try_wait).transpose().map_err(TestkitError::program("java"))?;
        Ok(status.flatten().map(|status| status.to_string()))
    }

    fn signal(&self, signal: &str) -> Result<(), TestkitError> {
        let process = self.process();
        let Some(child) = process.as_ref() else {
            return Err(TestkitError::Node { node_id: self.node_id, problem: "it does not run" });
        };
        // The child is not waited for yet, so its id cannot belong to anybody else.
        let kill = Command::new("kill").arg("-s").arg(signal).arg(child.id().to_string()).status();
        match kill.map_err(TestkitError::program("kill"))?.success() {
            true => Ok(()),
            false => Err(TestkitError::Node { node_id: self.node_id, problem: "it has ended by itself" }),
        }
    }

    fn end(&self) {
        if let Some(mut child) = self.process().take() {
            // Fails only for a process that has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder for one cluster that no other test and no other process uses.
fn unique_folder() -> Result<PathBuf, TestkitError> {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let count = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let folder = kafka_home().join(format!("clusters/{}-{count}", std::process::id()));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(TestkitError::file(&folder))?;
    }
    fs::create_dir_all(&folder).map_err(TestkitError::file(&folder))?;
    Ok(folder)
}

/// A port of this machine that nobody listens on. It is below the range from which the system takes ports for outgoing
/// connections and for whoever binds port 0, so it stays free until it is used, and a node that is restarted finds it
/// free again.
///
/// # Errors
///
/// [`TestkitError::NoFreePort`] where all 10,000 are taken.
pub fn free_port() -> Result<u16, TestkitError> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..PORTS.len() {
        let next = start.wrapping_add(u32::from(TAKEN.fetch_add(1, Ordering::Relaxed)));
        let port = PORTS.start + u16::try_from(next % u32::from(PORTS.end - PORTS.start)).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(TestkitError::NoFreePort)
}

/// 22 characters of base64, as Kafka wants a cluster id. Different for every cluster of this machine.
fn new_cluster_id() -> String {
    static IDS: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() % 1_000_000_000_000;
    let count = IDS.fetch_add(1, Ordering::Relaxed) % 1000;
    // Sixteen bytes take 22 characters of which the last holds but two bits, which are 0 in an A.
    format!("k{:06}{count:03}{now:011}", std::process::id() % 1_000_000)
        .chars()
        .take(21)
        .chain(['A'])
        .collect()
}

const START_PATIENCE: Duration = Duration::from_secs(60);
const PORTS: std::ops::Range<u16> = 20_000..30_000;
const LOG_DIR: &str = "data";
const LOG_FILE: &str = "log";
const SERVER_PROPERTIES: &str = "server.properties";
