//! The kmirror engine: copies topics from one Kafka cluster to another so that every record keeps its offset.
//!
//! It knows no file, no environment variable and no HTTP, installs nothing global, and runs in the caller's tokio runtime.
//! Batches pass through it as they are: only those that cannot be appended as they stand are decoded. ARCHITECTURE.md in the
//! repository walks the route of a batch.
//!
//! ```no_run
//! use std::time::Duration;
//! use kmirror::{ClusterConfig, Flow, Mirror};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mirror = Mirror::builder()
//!     .cluster("east", ClusterConfig::new(["127.0.0.1:19092"]))
//!     .cluster("west", ClusterConfig::new(["127.0.0.1:29092"]))
//!     .flow(Flow::new("east", "west").topics(["orders", r"payments\..*"]))
//!     .build()?;
//! let handle = mirror.spawn();
//! handle.caught_up(Duration::from_secs(30)).await?;
//! let report = handle.shutdown(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod changes;
mod connected;
mod data;
mod flow;
mod follow;
mod ground;
mod logs;
mod mirror;
mod reload;
mod report;
mod runner;
mod state_topic;
mod takeover;
#[cfg(test)]
mod test_support;
mod topics;

pub use changes::{Change, Changes};
pub use connected::Connected;
pub use flow::clusters::AcceptedCluster;
pub use ground::config::{
    Acls, ClusterConfig, DefaultsFrom, Flow, Isolation, Naming, Offsets, Predecessor, ReplicationFactor,
    Retention, Start, TopicConfigs,
};
pub use ground::error::{ClusterError, ClusterErrorKind, ConfigError, Error, Incomplete, ParkedPartition};
pub use ground::lineage::{Lineage, LineageError, Run};
pub use ground::mm2_names::{Mm2Topics, OffsetSyncs};
pub use ground::park::{ParkReason, Parked};
pub use ground::policies::{
    OnDeleted, OnDiverged, OnExpired, OnForgottenDeletions, OnGroupReset, OnRecreated, Policies,
};
pub use ground::selection::{GroupSelection, TopicSelection};
pub use ground::status::{
    DueDeletion, FlowStatus, GapOffsets, MissingReason, MissingTopic, PartitionState, PartitionStatus,
};
pub use kmirror_client::{
    Connecting, Connector, Duplex, Material, SaslConfig, ScramHash, Secret, TlsConfig, TlsFailure,
};
pub use mirror::{Mirror, MirrorBuilder, MirrorHandle, Report};
pub use reload::{FlowChange, Reloaded};
pub use report::check::{ClusterCheck, Finding, FindingKind, FlowCheck, HolesBy, Severity};
pub use report::groups::{GroupPartition, GroupReport};
pub use report::lag::PartitionLag;
pub use report::lineages::PartitionLineage;
pub use report::plan::{
    AclAction, AclPlan, ConfigPlan, GroupPlan, PartitionPlan, Plan, PlanStep, TopicPlan, TopicStep,
};
pub use report::topics::{OnTarget, TopicReport};
pub use report::verify::{
    Difference, DifferenceKind, PartitionReport, Verdict, VerifyOptions, VerifyProgress, VerifyReport,
};
pub use topics::config_step::ConfigStep;
pub use topics::rule::TopicRule;
