//! Reading the source: one [`fetcher`] per broker, one [`state`] per partition.

pub(crate) mod event;
pub(crate) mod failing;
pub(crate) mod fetcher;
pub(crate) mod planner;
pub(crate) mod reader;
pub(crate) mod rewrite_pool;
pub(crate) mod share;
