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
//! let mut handle = mirror.spawn();
//! handle.caught_up(Duration::from_secs(30)).await?;
//! let report = handle.shutdown(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod acls;
mod append;
mod budget;
mod check;
mod commit_group;
mod config;
mod error;
mod event;
mod expiration;
mod fetch;
mod flow;
mod groups;
mod identity;
mod item;
mod lag;
mod lineage;
mod loops;
mod mirror;
mod mm2;
mod park;
mod plan;
mod planner;
mod predecessor;
mod queue;
mod reload;
mod retention;
mod rewrite_pool;
mod runner;
mod seed;
mod selection;
mod state;
mod status;
mod takeover;
#[cfg(test)]
mod test_support;
mod tiny;
mod topics;
mod verify;
mod work;

pub use check::{ClusterCheck, Finding, FindingKind, FlowCheck, HolesBy, Severity};
pub use config::{
    Acls, ClusterConfig, DefaultsFrom, Flow, Isolation, Mm2Topics, Naming, OffsetSyncs, Offsets, OnDeleted,
    OnDiverged, OnExpired, OnForgottenDeletions, OnGroupReset, OnRecreated, Policies, Predecessor,
    ReplicationFactor, Retention, Start, TopicConfigs,
};
pub use error::{ConfigError, Error};
pub use flow::clusters::AcceptedCluster;
pub use groups::{GroupPartition, GroupReport};
pub use kmirror_client::{Connecting, Connector, Duplex};
pub use lag::PartitionLag;
pub use lineage::{Lineage, LineageError, Run};
pub use mirror::{Mirror, MirrorBuilder, MirrorHandle, Report};
pub use park::{ParkReason, Parked};
pub use plan::{
    AclAction, AclPlan, ConfigPlan, GroupPlan, PartitionPlan, Plan, PlanStep, TopicPlan, TopicStep,
};
pub use reload::{FlowChange, Reloaded};
pub use selection::{GroupSelection, TopicSelection};
pub use state::lineages::PartitionLineage;
pub use status::{DueDeletion, FlowStatus, GapOffsets, PartitionState, PartitionStatus};
pub use topics::configs::ConfigStep;
pub use topics::report::{OnTarget, TopicReport};
pub use topics::rule::TopicRule;
pub use verify::{
    Difference, DifferenceKind, PartitionReport, Verdict, VerifyOptions, VerifyProgress, VerifyReport,
};
