//! What a check has found that is not as it should be.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// It works, with less than could be.
    Warning,
    /// Something that was asked for does not work.
    Error,
}

/// What has to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// A cluster, or a broker of it: it cannot be reached.
    Reachability,
    /// What kmirror may do.
    Permission,
    /// kmirror's configuration, or that of a cluster or a topic.
    Configuration,
    /// What the logs hold.
    Logs,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What has to be changed.
    pub kind: FindingKind,
    /// The alias of the cluster.
    pub cluster: String,
    /// Of what: topics, groups, the cluster.
    pub subject: String,
    /// What is wrong with it, and what follows from that.
    pub problem: String,
    /// What to do.
    pub advice: String,
    /// The command that does it, where there is one.
    pub command: Option<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FindingKind::Reachability => "reachability",
            FindingKind::Permission => "permission",
            FindingKind::Configuration => "configuration",
            FindingKind::Logs => "logs",
        })
    }
}
