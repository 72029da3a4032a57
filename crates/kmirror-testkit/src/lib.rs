//! For kmirror's own tests and benches: real Kafka from its jars, Java tools and clients, workloads.
//!
//! It does not use kmirror's code in any way, so that it can judge it: whatever it sees, it sees through Kafka's own Java
//! tools and clients. It speaks no protocol itself, apart from one Metadata request that tells when a cluster is up.
//!
//! Everything is blocking code on `std::process`; call it from `#[test]` functions, or by `spawn_blocking`.
//!
//! ```no_run
//! use kmirror_testkit::{Isolation, Workload, compare_records, real_kafka, unique_topic};
//!
//! # fn main() -> Result<(), kmirror_testkit::TestkitError> {
//! let Some(kafka) = real_kafka("orders_arrive") else { return Ok(()) };
//! let pair = kafka.pair()?;
//! let topic = unique_topic("orders");
//! pair.source.produce(&[Workload::new(&topic).partitions(3).codec("lz4").records(1000).headers()])?;
//! // … mirror …
//! let source = pair.source.records(&topic, Isolation::ReadCommitted)?;
//! let target = pair.target.records(&topic, Isolation::ReadCommitted)?;
//! compare_records(&source, &target)?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod authorizer;
mod certificates;
mod cluster;
mod compaction;
mod content;
mod endpoint;
mod error;
mod jars;
mod librdkafka;
mod load;
mod metadata;
mod pair;
mod process;
mod records;
mod secured;
mod shell;
mod watchdog;
mod workload;

pub use admin::{GroupProtocol, LogOffset, PartitionReplicas};
pub use certificates::Certificates;
pub use cluster::{KafkaCluster, KafkaClusterBuilder, KafkaNode, free_port};
pub use compaction::CompactedTopic;
pub use content::{WorkloadContent, WorkloadRecord};
pub use endpoint::KafkaEndpoint;
pub use error::TestkitError;
pub use jars::{KafkaJars, KafkaRelease};
pub use librdkafka::{Librdkafka, librdkafka};
pub use load::Load;
pub use pair::{ClusterPair, RealKafka, real_kafka, unique_topic};
pub use process::{RunningTool, ToolOutput, await_stopped};
pub use records::{Isolation, PartitionDigest, PrintedRecord, compare_records, printed_bytes};
pub use secured::{PASSWORD, SecuredAddresses, USER};
pub use workload::{Produced, Workload};
