//! Coordinators: which broker answers for a group or a transactional id, and what it knows of it.

// The group APIs and the transaction coordinator come to use these.
#[allow(dead_code)]
pub(crate) mod groups;
#[allow(dead_code)]
mod placement;

pub(crate) use placement::Placement;
