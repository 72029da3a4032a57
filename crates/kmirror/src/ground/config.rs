//! What a mirror is told: clusters and flows, as structs that are valid once built. Reading files is the caller's job.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Connector, SaslConfig, TlsConfig};

use super::mm2_names::Mm2Topics;
use super::policies::Policies;
use crate::ground::selection::{GroupSelection, TopicSelection};

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// Addresses `host:port` of some of the cluster's brokers.
    pub bootstrap_servers: Vec<String>,
    /// The client id that brokers see in their quotas and request logs. Default: `kmirror`.
    pub client_id: String,
    /// The rack that kmirror is in (Java: `client.rack`): where the cluster has a `replica.selector.class` its records are read from a
    /// replica in this rack. Default: none, that is from the leaders.
    pub rack: Option<String>,
    /// The cluster's id: brokers of another one are left, and nothing is read from them or written to them. Default: none, that is the cluster that
    /// answers first.
    pub cluster_id: Option<String>,
    /// How long connecting may take, over all addresses. Default: 10 s, so that an unreachable cluster is reported soon.
    pub connect_timeout: Duration,
    /// How long a request may go unanswered before its connection is given up (Java: `request.timeout.ms`). Default: 30 s.
    pub request_timeout: Duration,
    /// What each socket may hold of what is sent, in bytes (Java: `send.buffer.bytes`). Default: none, the operating system's choice,
    /// which grows as it is needed.
    pub send_buffer_bytes: Option<usize>,
    /// What each socket may hold of what is received, in bytes, and so what a broker may have on its way (Java:
    /// `receive.buffer.bytes`). Default: none, the operating system's choice, which grows as it is needed.
    pub receive_buffer_bytes: Option<usize>,
    /// How connections are encrypted. Default: not at all. Where a file is replaced, new connections use what is in it; nothing restarts.
    pub tls: Option<TlsConfig>,
    /// Who kmirror is for the cluster. Default: nobody, that is `User:ANONYMOUS`, or the name in its certificate.
    pub sasl: Option<SaslConfig>,
    /// What makes the byte streams to the brokers. Default: none, that is sockets of TCP.
    pub connector: Option<Arc<dyn Connector>>,
}

impl ClusterConfig {
    /// A cluster at these addresses, everything else at its default. One string may hold several, with commas, as Java's
    /// `bootstrap.servers` does.
    pub fn new<S: Into<String>>(bootstrap_servers: impl IntoIterator<Item = S>) -> ClusterConfig {
        let servers = bootstrap_servers.into_iter().map(Into::into);
        let servers = servers
            .flat_map(|servers| servers.split(',').map(str::trim).map(str::to_owned).collect::<Vec<_>>());
        ClusterConfig {
            bootstrap_servers: servers.filter(|server| !server.is_empty()).collect(),
            client_id: "kmirror".to_owned(),
            rack: None,
            cluster_id: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            tls: None,
            sasl: None,
            connector: None,
        }
    }

    pub(crate) fn for_client(&self, alias: &str) -> kmirror_client::ClientConfig {
        let mut config = kmirror_client::ClientConfig::new(alias, self.bootstrap_servers.clone());
        config.client_id = self.client_id.clone();
        config.rack = self.rack.clone();
        config.cluster_id = self.cluster_id.as_deref().map(Arc::from);
        config.connect_timeout = self.connect_timeout;
        config.request_timeout = self.request_timeout;
        config.send_buffer_bytes = self.send_buffer_bytes;
        config.receive_buffer_bytes = self.receive_buffer_bytes;
        config.tls = self.tls.clone();
        config.sasl = self.sasl.clone();
        config.connector = self.connector.clone();
        config
    }
}

/// Which of the source's records count as its content (Java: `isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Committed records only; offsets of aborted ones become gaps. Reading stops at the last stable offset.
    #[default]
    ReadCommitted,
    /// Every record, up to the high watermark. Aborted records become ordinary ones on the target.
    ReadUncommitted,
}

impl Isolation {
    pub(crate) fn for_client(self) -> kmirror_client::Isolation {
        match self {
            Isolation::ReadCommitted => kmirror_client::Isolation::ReadCommitted,
            Isolation::ReadUncommitted => kmirror_client::Isolation::ReadUncommitted,
        }
    }
}

/// How target offsets relate to source offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offsets {
    /// They are equal. For topics that kmirror creates, or that are empty.
    #[default]
    Exact,
    /// They differ by a constant, which is recorded when a partition is copied for the first time: for topics that hold records
    /// already, or whose expired head would take too long to fill.
    Shifted,
}

/// Where a partition begins that was never copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the source's log start offset.
    #[default]
    Earliest,
    /// At the source's end, for topics that are there when the flow starts. One that appears later is copied whole.
    Latest,
    /// At the first record with this timestamp in milliseconds since the epoch, or a later one.
    Timestamp(i64),
}

/// What copied the flow's topics before kmirror did: each partition that it has filled goes on where it stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Predecessor {
    /// Nothing did: a target topic that holds records of others is none of ours.
    #[default]
    Nothing,
    /// MirrorMaker 2, whose positions are in a topic of Kafka Connect on the target.
    MirrorMaker2 {
        /// That topic. Default: `mm2-offsets.{source}.internal`, as in its dedicated mode.
        offsets_topic: Option<String>,
        /// What it called the source. Default: as the flow does.
        source_alias: Option<String>,
    },
    /// Something that consumed the source with this group and committed there how far it had come: MirrorMaker 1.
    Group(String),
}

/// The replication factor of topics that are created on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplicationFactor {
    /// The default of the target's brokers (`default.replication.factor`).
    #[default]
    Broker,
    /// The source topic's.
    Source,
    /// This.
    Number(i16),
}

impl ReplicationFactor {
    /// What is asked of CreateTopics for a topic whose source has `source` replicas; -1 is the brokers' default (KIP-464).
    pub(crate) fn of(self, source: i16) -> i16 {
        match self {
            ReplicationFactor::Broker => -1,
            ReplicationFactor::Source => source,
            ReplicationFactor::Number(factor) => factor,
        }
    }
}

/// Which configurations of topics follow from the source to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfigs {
    /// Whether changes follow after a topic was created. Default: they do.
    pub follow: bool,
    /// Keys that are neither copied nor changed. Default: replica lists, which name the source's brokers, and what suits only its
    /// size: `min.insync.replicas` and `unclean.leader.election.enable`. Never copied are types and limits of timestamps.
    pub exclude: Vec<String>,
    /// Whose default applies where a source topic has none of its own (MirrorMaker 2: `use.defaults.from`). Default: the target's.
    pub defaults_from: DefaultsFrom,
    /// How often they are compared. Default: 30 s.
    pub interval: Duration,
}

/// Whose defaults apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultsFrom {
    /// What is not set on the source topic is not set on the target's.
    #[default]
    Target,
    /// The source's defaults are set on the target topic where its own differ.
    Source,
}

impl Default for TopicConfigs {
    fn default() -> TopicConfigs {
        let exclude = [
            "follower.replication.throttled.replicas",
            "leader.replication.throttled.replicas",
            "min.insync.replicas",
            "unclean.leader.election.enable",
        ];
        TopicConfigs {
            follow: true,
            exclude: exclude.map(str::to_owned).into(),
            defaults_from: DefaultsFrom::default(),
            interval: Duration::from_secs(30),
        }
    }
}

/// Which access control lists follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acls {
    /// None.
    None,
    /// As MirrorMaker 2 does it: entries of the topics that are copied, without the right to write, since only the mirror writes
    /// there; ALL becomes READ. What it leaves out is what prefixes and `*` deny: here each copy is denied. Nothing is removed.
    #[default]
    Safe,
    /// Exactly: entries of topics, of the groups that follow and of transactional ids, for programs that move to the target. What
    /// was added is removed when it is gone on the source.
    Full,
}

/// Who decides where the target's logs begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// The target's own retention.
    #[default]
    Own,
    /// The source: when its log start moves, the target's is moved along.
    Follow,
}

/// The name of a source topic on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// The same name.
    #[default]
    Identity,
    /// `{source}.{topic}`, as MirrorMaker 2's default policy does.
    Prefixed,
    /// A template in which `{source}` and `{topic}` are replaced.
    Template(String),
}

impl Naming {
    /// The target's name for a topic of the cluster with this alias.
    pub fn target_topic(&self, source_alias: &str, topic: &str) -> String {
        let template = match self {
            Naming::Identity => return topic.to_owned(),
            Naming::Prefixed => "{source}.{topic}",
            Naming::Template(template) => template,
        };
        template.replace("{source}", source_alias).replace("{topic}", topic)
    }

    /// Whether a topic's name says that it came from the cluster with this alias, directly or by others: it is not copied back
    /// (`ReplicationPolicy`, `MirrorSourceConnector.isCycle`). Only prefixes tell.
    pub fn came_from(&self, topic: &str, alias: &str) -> bool {
        let separator = match self {
            Naming::Prefixed => ".",
            Naming::Template(template) => {
                let between = template.strip_prefix("{source}").and_then(|rest| rest.strip_suffix("{topic}"));
                match between {
                    Some(separator) if !separator.is_empty() => separator,
                    _ => return false,
                }
            }
            Naming::Identity => return false,
        };
        let mut prefixes: Vec<&str> = topic.split(separator).collect();
        prefixes.pop();
        prefixes.contains(&alias)
    }
}

/// One direction of copying: topics of a source cluster to a target cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// What the flow is called in logs, tables, paths and labels: letters, digits, `.`, `_` and `-`, and no other flow of the mirror has it.
    /// Default: `SOURCE-to-TARGET`, with `-2` and so on behind it where there are several.
    pub name: Option<String>,
    /// The name that it has in its mirror.
    pub(crate) given_name: Option<String>,
    /// The alias of the cluster that is read.
    pub source: String,
    /// The alias of the cluster that is written to.
    pub target: String,
    /// Which topics. Default: none.
    pub topics: TopicSelection,
    /// Their names on the target. Default: the same.
    pub naming: Naming,
    /// How target offsets relate to source offsets. Default: they are equal.
    pub offsets: Offsets,
    /// Where a partition begins that was never copied. Default: at the source's log start.
    pub start: Start,
    /// What has filled the target's topics before. Default: nothing.
    pub predecessor: Predecessor,
    /// What counts as the source's content. Default: committed records.
    pub isolation: Isolation,
    /// What happens where logs are not what they were. Default: the partition parks.
    pub policies: Policies,
    /// The most offsets of an expired head that are filled per partition, so that the target's log begins where the source's
    /// does. Default: 1 000 000 000, a few minutes' work.
    pub head_fill_offsets_max: i64,
    /// Whether the target's brokers are made to remember producers for 24.8 days, as long as they can (`producer.id.expiration.ms`), while
    /// the flow copies what was there when it started. Old records are then copied as fast as young ones. It is a setting of the whole
    /// cluster; what it was before is recorded in the state topic, and put back. Default: no.
    pub raises_producer_expiry: bool,
    /// Who decides where the target's logs begin. Default: the target's own retention. Control markers carry the target's clock, so
    /// on back-filled history retention by time keeps segments with markers longer than the source does.
    pub retention: Retention,
    /// The consumer group on the source to which the flow's positions are committed, every five seconds and at the end, for tools
    /// that show lag. The flow itself does not read them. Default: none.
    pub commit_group: Option<String>,
    /// Whether topics are created on the target, and get more partitions there. Default: they are; else somebody else does, and
    /// kmirror waits for that.
    pub creates_topics: bool,
    /// The replication factor of topics that are created. Default: the target's default.
    pub replication_factor: ReplicationFactor,
    /// Which configurations of topics follow.
    pub topic_configs: TopicConfigs,
    /// Which access control lists follow. Default: those that let clients read.
    pub acls: Acls,
    /// How often access control lists are compared. Default: 60 s.
    pub acls_interval: Duration,
    /// Which consumer groups follow: where they stand on the source is committed on the target, as far as the records have arrived,
    /// for groups that nobody reads the target with. Default: all but those that MirrorMaker 2 leaves out.
    pub groups: GroupSelection,
    /// How often groups are looked at. Default: 5 s.
    pub groups_interval: Duration,
    /// Which of MirrorMaker 2's records are written. Default: none.
    pub mm2_topics: Mm2Topics,
    /// The topic on the target that holds what its logs cannot tell. Default: `__kmirror_state`.
    pub state_topic: String,
    /// The replication factor it is created with; -1 for the cluster's default, which is the default.
    pub state_replication_factor: i16,
    /// Memory for fetched bytes that are not acknowledged yet. Default: 40 MiB; each connection to a source broker needs a
    /// fetch's worth.
    pub buffer_bytes_max: usize,
    /// The most that one fetch asks for (Java: `fetch.max.bytes`). Default: 2 MiB, less where the budget is small: what is
    /// read is still in the processor's cache when it is written.
    pub fetch_bytes_max: usize,
    /// The most that one fetch asks for per partition (Java: `max.partition.fetch.bytes`), where more than two share it. Default: 1 MiB.
    pub partition_fetch_bytes_max: usize,
    /// How many connections the bytes of a broker's partitions travel on, in each direction; a partition stays on one. Default,
    /// `None`: one, and with brokers that are far one for every five milliseconds of round trip, up to sixteen. A broker's socket
    /// buffers hold 100 KiB unless it is told otherwise (`socket.receive.buffer.bytes`, `socket.send.buffer.bytes`), and no
    /// connection carries more than that in a round trip.
    pub connections: Option<NonZeroU16>,
    /// How often both clusters are asked for new topics, partitions and leaders. Default: 1 s. Where an answer takes long, because there
    /// are many partitions, at most ten times as long, so that asking costs little.
    pub metadata_refresh_interval: Duration,
    /// How often a partition is tried again that is parked for a limit or a permission. Default: 30 s.
    pub parked_retry_interval: Duration,
}

impl Flow {
    /// A flow between two clusters by their aliases, everything else at its default.
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Flow {
        Flow {
            name: None,
            given_name: None,
            source: source.into(),
            target: target.into(),
            topics: TopicSelection::default(),
            naming: Naming::default(),
            offsets: Offsets::default(),
            start: Start::default(),
            predecessor: Predecessor::default(),
            isolation: Isolation::default(),
            policies: Policies::default(),
            head_fill_offsets_max: 1_000_000_000,
            raises_producer_expiry: false,
            retention: Retention::default(),
            commit_group: None,
            creates_topics: true,
            replication_factor: ReplicationFactor::default(),
            topic_configs: TopicConfigs::default(),
            acls: Acls::default(),
            acls_interval: Duration::from_secs(60),
            groups: GroupSelection::default(),
            groups_interval: Duration::from_secs(5),
            mm2_topics: Mm2Topics::default(),
            state_topic: "__kmirror_state".to_owned(),
            state_replication_factor: -1,
            buffer_bytes_max: 40 << 20,
            fetch_bytes_max: 2 << 20,
            partition_fetch_bytes_max: 1 << 20,
            connections: None,
            metadata_refresh_interval: Duration::from_secs(1),
            parked_retry_interval: Duration::from_secs(30),
        }
    }

    /// Adds topics, each a name or a regular expression that must match the whole name. A pattern that does not compile is
    /// reported when the mirror is built.
    pub fn topics<S: Into<String>>(mut self, include: impl IntoIterator<Item = S>) -> Flow {
        self.topics.include.extend(include.into_iter().map(Into::into));
        self
    }

    /// Leaves topics out, by the same rules; exclusion wins.
    pub fn exclude_topics<S: Into<String>>(mut self, exclude: impl IntoIterator<Item = S>) -> Flow {
        self.topics.exclude.extend(exclude.into_iter().map(Into::into));
        self
    }

    /// Names the topics on the target.
    pub fn naming(mut self, naming: Naming) -> Flow {
        self.naming = naming;
        self
    }

    /// Chooses what counts as the source's content.
    pub fn isolation(mut self, isolation: Isolation) -> Flow {
        self.isolation = isolation;
        self
    }

    /// What the flow is called: [`Flow::name`](#structfield.name), or what stands for it.
    pub fn name(&self) -> String {
        let name = self.given_name.as_ref().or(self.name.as_ref());
        name.cloned().unwrap_or_else(|| self.default_name())
    }

    /// The name of a flow that has none of its own, if it is the only one between its clusters.
    pub(crate) fn default_name(&self) -> String {
        format!("{}-to-{}", self.source, self.target).replace(|letter| !is_of_names(letter), "-")
    }

    /// Which clusters it copies between, by their aliases: what is recorded of these does not change with the flow's name.
    pub(crate) fn clusters(&self) -> String {
        format!("{}->{}", self.source, self.target)
    }
}

/// Whether the name of a flow may have this letter.
pub(crate) fn is_of_names(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ".-_".contains(letter)
}
