//! Reading the source: one [`fetcher`] per broker, one [`state`] per partition.

pub(crate) mod aborted;
pub(crate) mod fetcher;
pub(crate) mod state;
