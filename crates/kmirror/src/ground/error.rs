//! What can go wrong with a mirror as a whole. What goes wrong with one partition parks that partition instead.

use kmirror_client::ClientError;

/// A configuration that cannot work, found before anything connects.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A flow names a cluster that is not defined.
    #[error("flow {flow}: there is no cluster {alias:?}; defined are: {defined}")]
    UnknownCluster {
        /// The flow, as `source->target`.
        flow: String,
        /// The alias it names.
        alias: String,
        /// The aliases that exist.
        defined: String,
    },
    /// A flow's source and target are one cluster.
    #[error("flow {flow}: source and target are the same cluster")]
    SameCluster {
        /// The flow, as `source->target`.
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
    #[error("{source}")]
    Cluster {
        /// The cluster.
        alias: String,
        /// What happened.
        source: ClientError,
    },
    /// A topic would come back to where it was.
    #[error(
        "flow {flow}: topic {topic:?} would be copied for ever: it passes {circle}. Exclude it from one of the flows, or choose \
         `naming: prefixed`; two aliases of one cluster need no mirror"
    )]
    WouldLoop {
        /// The flow, as `source->target`.
        flow: String,
        /// The topic.
        topic: String,
        /// The flows that it passes, in order.
        circle: String,
    },
    /// A topic that the flow names does not exist on the source.
    #[error("flow {flow}: the source has no topic {topic:?}")]
    NoSuchTopic {
        /// The flow, as `source->target`.
        flow: String,
        /// The topic.
        topic: String,
    },
    /// Nothing on the source matches the flow's selection.
    #[error("flow {flow}: no topic of the source matches its selection")]
    NothingSelected {
        /// The flow, as `source->target`.
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
    /// Two source topics would be copied into one, which the `exact` mode cannot do.
    #[error(
        "flow {flow}: {first:?} and {second:?} both map to {target:?}; topics can only be merged with `offsets: mapped`"
    )]
    TopicsCollide {
        /// The flow, as `source->target`.
        flow: String,
        /// One source topic.
        first: String,
        /// The other.
        second: String,
        /// Their common name on the target.
        target: String,
    },
    /// A target topic could not be created.
    #[error("flow {flow}: topic {topic:?} cannot be created on the target: {reason}")]
    CreateTopic {
        /// The flow, as `source->target`.
        flow: String,
        /// The target topic.
        topic: String,
        /// What the broker says.
        reason: String,
        /// Whether it is for want of a permission.
        unauthorized: bool,
    },
    /// Where what copied the topics before has stood could not be read.
    #[error("flow {flow}: cannot read in {what:?} where the copy stood that is taken over: {reason}")]
    Predecessor {
        /// The flow, as `source->target`.
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
        /// The flow, as `source->target`.
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
}

impl Error {
    /// An error of one cluster.
    pub(crate) fn cluster(alias: &str, source: ClientError) -> Error {
        Error::Cluster { alias: alias.to_owned(), source }
    }

    /// Whether no broker of a cluster could be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Error::Cluster {
                source: ClientError::Unreachable { .. }
                    | ClientError::Network { .. }
                    | ClientError::Closed { .. }
                    | ClientError::Timeout { .. },
                ..
            }
        )
    }

    /// Whether a permission is missing.
    pub fn is_unauthorized(&self) -> bool {
        match self {
            Error::Cluster { source, .. } => source.is_authorization(),
            Error::CreateTopic { unauthorized, .. }
            | Error::StateTopic { unauthorized, .. }
            | Error::Predecessor { unauthorized, .. } => *unauthorized,
            _ => false,
        }
    }
}
