//! An in-memory Kafka cluster inside this process: several brokers on loopback ports of their own choosing, or behind in-memory
//! streams, that judge what they are sent as strictly as real ones. For tests, demos and examples.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kmirror_embedded::{EmbeddedCluster, Profile};
//!
//! let cluster = EmbeddedCluster::builder().brokers(3).profile(Profile::Kafka3_9).start().await?;
//! cluster.create_topic("orders", 6, &[("cleanup.policy", "compact")])?;
//! println!("any Kafka client may connect to {}", cluster.bootstrap_servers());
//!
//! // … what clients write can be looked at without a client:
//! let log = cluster.log("orders", 0)?;
//! assert_eq!((log.start, log.end), (0, 0));
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Batches are judged by Kafka's rules, error code for error code (`LogValidator`, `ProducerStateManager`), with code that shares
//! nothing with any client: a defect of a client cannot certify itself. What goes wrong on purpose is said by [`Fault`]s, and by the
//! methods of [`EmbeddedCluster`] that move leaders, stop brokers, truncate logs or advance the clock.
//!
//! # Canned
//!
//! To see what a client costs alone, a topic can do without a log ([`EmbeddedCluster::create_canned_topic`],
//! [`EmbeddedCluster::expect_canned_topic`]): one repeats [`CannedBatches`] that were prepared once, another takes exactly these, checks
//! what needs no record to be read, compares the bytes, and stores nothing. All else of the cluster is as it is.
//!
//! # Judged itself
//!
//! These cases are put to this cluster and to a real one of release 4.3, which must answer alike (`tests/it/conformance/`); those of
//! groups and of transactions also to one of release 3.9, beside its profile.
//!
//! ## Logs
#![doc = include_str!("../conformance/logs.md")]
//! ## Groups
#![doc = include_str!("../conformance/groups.md")]
//! ## Transactions
#![doc = include_str!("../conformance/transactions.md")]
//!
//! Not there: groups of the newer protocols (KIP-848, share groups), prepared transactions (KIP-939), SASL without requests
//! around its tokens (before KIP-152), quotas by rate (a [`FaultKind::Throttle`] stands for one), tiered storage, replication
//! as such (followers are always up to date, unless they are held up), the internal topics of coordinators.

mod admin;
mod api;
mod builder;
mod canned;
mod changes;
mod cluster;
mod coordinator;
mod fault;
mod groups;
mod limits;
mod log;
mod machine;
mod markers;
mod network;
mod profile;
mod records;
mod security;
mod session;
mod state;
mod topic_names;
mod verification;
mod watched;
mod write;

pub use builder::ClusterBuilder;
pub use changes::Change;
pub use cluster::{EmbeddedCluster, EmbeddedError, LogView};
pub use fault::{Fault, FaultKind};
pub use groups::GroupView;
pub use kafka_protocol::ResponseError;
pub use kafka_protocol::messages::ApiKey;
pub use log::canned::{CannedBatches, Taken};
pub use profile::Profile;
pub use records::{Isolation, LogRecord};
pub use security::acl::{Acl, Operation, Pattern, ResourceType};
pub use write::{Codec, KeyValue, NewBatch, NewRecord};
