//! Reading the source: one [`fetcher`] per broker, one [`state`] per partition.

pub(crate) mod aborted;
mod empty;
pub(crate) mod failing;
pub(crate) mod fetcher;
pub(crate) mod show;
pub(crate) mod state;
