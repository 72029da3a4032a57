//! What the target's log cannot tell: from which topic of which cluster a partition was copied, at which distance, and under
//! which leader epochs. One compacted topic on the target holds a record of it for each partition.

pub(crate) mod lineages;
pub(crate) mod record;
pub(crate) mod store;
pub(crate) mod topic;
pub(crate) mod whole;
