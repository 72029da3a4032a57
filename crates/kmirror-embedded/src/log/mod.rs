//! The log of one partition, as its leader keeps it.

pub(crate) mod batch;
pub(crate) mod canned;
pub(crate) mod cleaner;
pub(crate) mod compression;
pub(crate) mod epochs;
mod partition_log;
pub(crate) mod producers;
pub(crate) mod validator;

pub(crate) use partition_log::{AppendedAt, Origin, PartitionLog, Refused};
