//! Reading the source: one [`fetcher`] per broker, one [`state`] per partition.

pub(crate) mod failing;
pub(crate) mod fetcher;
pub(crate) mod planner;
pub(crate) mod rewrite_pool;
