//! Coordinators: which broker answers for a group or a transactional id, and what it knows of it.

pub(crate) mod group;
pub(crate) mod groups;
mod placement;
pub(crate) mod transactions;

pub(crate) use placement::Placement;
