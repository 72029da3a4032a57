//! What a flow does beside copying: groups, configurations, access control lists, MirrorMaker's records, log starts.

pub(crate) mod acls;
pub(crate) mod commit_group;
pub(crate) mod configs;
pub(crate) mod expiration;
pub(crate) mod groups;
pub(crate) mod mm2;
mod patience;
pub(crate) mod retention;
pub(crate) mod rounds;
pub(crate) mod whole;
