//! The route of a batch: read from the source, queued, appended to the target.

pub(crate) mod append;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod tiny;
