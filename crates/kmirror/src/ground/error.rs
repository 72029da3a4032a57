//! What can go wrong with a mirror as a whole. What goes wrong with one partition parks that partition instead.

use std::fmt;

use kmirror_client::ClientError;
use tokio::task::JoinError;

use super::park::{ParkReason, Parked};
use super::status::MissingTopic;

/// A configuration that cannot work, found before anything connects.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A flow names a cluster that is not defined.
    #[error("flow {flow}: there is no cluster {alias:?}; defined are: {defined}")]
    UnknownCluster {
        /// The name of the flow.
        flow: String,
        /// The alias it names.
        alias: String,
        /// The aliases that exist.
        defined: String,
    },
    /// A flow's source and target are one cluster.
    #[error("flow {flow}: source and target are the same cluster")]
    SameCluster {
        /// The name of the flow.
        flow: String,
    },
    /// A cluster has no address.
    #[error("cluster {alias:?}: bootstrap_servers is empty")]
    NoServers {
        /// The cluster.
        alias: String,
    },
    /// There is nothing to do.
    #[error("no flow is configured")]
    NoFlow,
    /// Two flows have one name.
    #[error(
        "flows[{second}].name: flows[{first}] is called {name:?} as well; each flow needs a name of its own"
    )]
    SameName {
        /// The name.
        name: String,
        /// The place of the first flow.
        first: usize,
        /// The place of the second one.
        second: usize,
    },
    /// Two flows write one topic of the target.
    #[error(
        "flows[{second}].topics: {topic:?} of {target:?} is written by flows[{first}] already; topics can only be merged with \
         `offsets: mapped`"
    )]
    SameTargetTopic {
        /// The alias of the target.
        target: String,
        /// The topic there.
        topic: String,
        /// The place of the first flow.
        first: usize,
        /// The place of the second one.
        second: usize,
    },
    /// A value that cannot work.
    #[error("{path}: {problem}")]
    Invalid {
        /// Where it is: `flows[0].buffer`, `clusters.east.request_timeout`, as kmirror.yaml calls it.
        path: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A regular expression does not compile.
    #[error("topic pattern {pattern:?} is not a valid regular expression: {reason}")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// What the compiler says.
        reason: String,
    },
}

/// Why a mirror could not do its work.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A cluster could not be reached, or refused.
    #[error(transparent)]
    Cluster(ClusterError),
    /// A topic would come back to where it was.
    #[error(
        "flow {flow}: topic {topic:?} would be copied for ever: it passes {circle}. Exclude it from one of the flows, or choose \
         `naming: prefixed`; two aliases of one cluster need no mirror"
    )]
    WouldLoop {
        /// The name of the flow.
        flow: String,
        /// The topic.
        topic: String,
        /// The flows that it passes, in order.
        circle: String,
    },
    /// A topic that the flow names does not exist on the source.
    #[error("flow {flow}: the source has no topic {topic:?}")]
    NoSuchTopic {
        /// The name of the flow.
        flow: String,
        /// The topic.
        topic: String,
    },
    /// Nothing on the source matches the flow's selection.
    #[error("flow {flow}: no topic of the source matches its selection")]
    NothingSelected {
        /// The name of the flow.
        flow: String,
    },
    /// A topic that was asked for is copied by no flow.
    #[error("no flow copies a topic {topic:?}: its source has none, or the flow's selection leaves it out")]
    NotSelected {
        /// The topic, as it is called on the source.
        topic: String,
    },
    /// No partition of the source has the offset from which on records were asked for.
    #[error("there is nothing to compare from offset {from} on: the source's logs end at {end} or before")]
    BehindTheEnd {
        /// The offset.
        from: i64,
        /// Where the longest log of the source ends.
        end: i64,
    },
    /// A topic is selected and cannot be copied.
    #[error("flow {flow}: topic {topic:?}: {parked}")]
    TopicRefused {
        /// The flow's name.
        flow: String,
        /// The topic on the source.
        topic: String,
        /// Why.
        parked: Parked,
    },
    /// Where what copied the topics before has stood could not be read.
    #[error("flow {flow}: cannot read in {what:?} where the copy stood that is taken over: {reason}")]
    Predecessor {
        /// The name of the flow.
        flow: String,
        /// The topic or the group that tells it.
        what: String,
        /// What happened.
        reason: String,
        /// Whether it is for want of a permission.
        unauthorized: bool,
    },
    /// The topic that holds what the target's log cannot tell could not be created, read or written.
    #[error("cluster {alias:?}: state topic {topic}: {reason}")]
    StateTopic {
        /// The target cluster.
        alias: String,
        /// The state topic.
        topic: String,
        /// What happened.
        reason: String,
        /// Whether it is for want of a permission.
        unauthorized: bool,
    },
    /// An alias stands for another cluster than the one that the flow has copied from or to.
    #[error(
        "flow {flow}: {alias} is the cluster {found}, and it was {recorded} when the flow copied last: nothing is read or written. Check \
         bootstrap_servers; if another cluster is meant, `kmirror accept-cluster` takes it for {alias} from now on"
    )]
    OtherCluster {
        /// The name of the flow.
        flow: String,
        /// The cluster's alias.
        alias: String,
        /// The id that is recorded.
        recorded: String,
        /// The id of the one that answers.
        found: String,
    },
    /// The topic of this name must not be written to.
    #[error(
        "cluster {alias:?}: {topic} cannot be the state topic: {reason}; or name another one (state_topic)"
    )]
    StateTopicTaken {
        /// The target cluster.
        alias: String,
        /// The topic.
        topic: String,
        /// Why not.
        reason: String,
    },
    /// A partition could not be read.
    #[error("cluster {alias:?}: {partition} cannot be read at offset {offset}: {reason}")]
    Read {
        /// The cluster.
        alias: String,
        /// The partition.
        partition: String,
        /// The offset that was asked for.
        offset: i64,
        /// What happened.
        reason: String,
    },
    /// A running mirror could not be changed.
    #[error("{0}")]
    CannotReload(String),
    /// Something was awaited longer than allowed.
    #[error("{0}")]
    TimedOut(String),
    /// The mirror was stopped before all that is selected was copied.
    #[error("the mirror was stopped before everything was copied")]
    Stopped,
    /// Nothing moves any more, and not all of what is selected was copied.
    #[error("{0}")]
    Incomplete(Incomplete),
    /// kmirror is not what it should be: a task of its own panicked, or something was seen that cannot be.
    #[error("internal error: {0}; please report this with the log around it")]
    Defect(String),
}

/// What a cluster did not do.
#[derive(Clone, Debug)]
pub struct ClusterError {
    alias: String,
    cause: ClientError,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterErrorKind {
    /// No broker could be reached, a connection broke, or an answer did not come in time.
    Unreachable,
    /// A permission is missing.
    Unauthorized,
    /// The cluster does not take kmirror for who it says it is, or does not prove that it is the cluster.
    Unauthenticated,
    /// Another cluster answers under the addresses than the one that was meant.
    OtherCluster,
    /// Anything else: what a broker refused, or what was not understood.
    Refused,
}

impl ClusterError {
    /// The alias of the cluster.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ClusterErrorKind {
        match &self.cause {
            ClientError::Unreachable { .. }
            | ClientError::Network { .. }
            | ClientError::Tls { .. }
            | ClientError::Closed { .. }
            | ClientError::Timeout { .. } => ClusterErrorKind::Unreachable,
            cause if cause.is_authorization() => ClusterErrorKind::Unauthorized,
            cause if cause.is_authentication() => ClusterErrorKind::Unauthenticated,
            cause if cause.is_other_cluster() => ClusterErrorKind::OtherCluster,
            _ => ClusterErrorKind::Refused,
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(formatter)
    }
}

impl std::error::Error for ClusterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text is that of the cause; it stands in a chain once.
        self.cause.source()
    }
}

/// What was not copied when nothing moved any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete {
    /// The partitions that are parked, and why.
    pub parked: Vec<ParkedPartition>,
    /// The topics of which nothing is copied, and why.
    pub missing: Vec<MissingTopic>,
}

/// A partition that is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedPartition {
    /// The flow's name.
    pub flow: String,
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Why.
    pub parked: Parked,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parked = self.parked.iter().map(|partition| {
            format!("{} {}-{}: {}", partition.flow, partition.topic, partition.partition, partition.parked)
        });
        let missing = self.missing.iter().map(|topic| topic.to_string());
        let all: Vec<_> = parked.chain(missing).collect();
        write!(formatter, "not everything is copied: {}", all.join("; "))
    }
}

impl Error {
    /// A task that did not come to its end.
    pub(crate) fn of_task(what: &str, error: JoinError) -> Error {
        let Ok(panic) = error.try_into_panic() else {
            return Error::Defect(format!("{what} was ended from outside"));
        };
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Error::Defect(format!("{what} panicked: {text}"))
    }

    /// An error of one cluster.
    pub(crate) fn cluster(alias: &str, source: ClientError) -> Error {
        Error::Cluster(ClusterError { alias: alias.to_owned(), cause: source })
    }

    /// Whether no broker of a cluster could be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Cluster(error) if error.kind() == ClusterErrorKind::Unreachable)
    }

    /// Whether all that answer are of another cluster than the one that the configuration names.
    pub fn is_other_cluster(&self) -> bool {
        matches!(self, Error::Cluster(error) if error.kind() == ClusterErrorKind::OtherCluster)
    }

    /// Whether a cluster does not take kmirror for who it says it is.
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self, Error::Cluster(error) if error.kind() == ClusterErrorKind::Unauthenticated)
    }

    /// Whether a permission is missing.
    pub fn is_unauthorized(&self) -> bool {
        match self {
            Error::Cluster(error) => error.cause.is_authorization(),
            Error::TopicRefused { parked, .. } => parked.reason == ParkReason::Unauthorized,
            Error::StateTopic { unauthorized, .. } | Error::Predecessor { unauthorized, .. } => *unauthorized,
            _ => false,
        }
    }
}
