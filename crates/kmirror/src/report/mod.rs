//! Looks at both clusters and reports, without a running mirror and without changing anything.

pub(crate) mod check;
pub(crate) mod groups;
pub(crate) mod lag;
pub(crate) mod lineages;
pub(crate) mod plan;
pub(crate) mod topics;
pub(crate) mod verify;
