//! One Kafka cluster over the wire: connections, metadata, fetch, produce, groups, transactions, admin.
//!
//! What this crate does *not* do: it never looks inside records (batches go through as opaque bytes, theirs is
//! `kmirror-codec`), decides nothing about offsets, and retries nothing beyond one refresh of the metadata, so that every
//! policy stays with the caller. It keeps no state outside a [`Client`] and its handles:
//! everything runs in the caller's tokio runtime and ends when they are dropped.
//!
//! Brokers from release 2.1 on are understood. No length or count that a broker sends is trusted before it is checked: a
//! hostile broker can fail a request or a connection, not the process.

mod acls;
mod admin;
mod ask;
#[doc(hidden)]
pub mod chance;
mod client;
#[doc(hidden)]
pub mod clock;
mod config;
mod connection;
mod connector;
mod coordinator;
mod deadline;
mod error;
mod error_codes;
mod fetch;
mod groups;
mod identity;
mod ids;
mod metadata;
mod offsets;
mod produce;
mod produce_once;
mod producers;
mod regress;
mod rights;
mod route;
mod sasl;
mod secret;
mod security;
#[doc(hidden)]
pub mod simulated;
mod tls;
mod transactions;
mod wire;
mod work;

pub use acls::{
    AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType, AclResults, InvalidAclWord,
};
pub use admin::{ConfigChange, ConfigEntry, ConfigSource, CreatedTopic, NewTopic, TopicResults};
pub use client::{Client, Lane};
pub use config::ClientConfig;
pub use connection::{Connection, FrameOwner, PendingFetch, PendingProduce};
pub use connector::{Connecting, Connector, Duplex};
pub use coordinator::CoordinatorKind;
pub use deadline::{Deadline, Moment};
pub use error::{Attempts, ClientError};
pub use error_codes::{KafkaError, Retry};
pub use fetch::{
    AbortedTransaction, EpochEndOffset, FetchPosition, FetchRequest, FetchResponse, FetchSession,
    FetchSettings, FetchedPartition, SessionError,
};
pub use groups::{CommittedOffset, ListedGroup};
pub use ids::{BrokerId, InvalidTopicId, Isolation, TopicId, TopicPartition};
pub use metadata::{Broker, ClusterMetadata, LeaderHint, PartitionMetadata, TopicMetadata, Topics};
pub use offsets::{ListedOffset, OffsetSpec};
pub use produce::{
    BATCH_HEADER_BYTES, ProducePartition, ProduceRequest, ProduceResponse, ProducedPartition, RecordError,
};
pub use producers::{ProducerIdentity, ProducerState, TxnMarker};
pub use rights::AllowedOperations;
pub use route::PartitionResults;
pub use sasl::{SaslConfig, ScramHash};
pub use secret::{Material, Secret};
pub use tls::{TlsConfig, TlsFailure};
