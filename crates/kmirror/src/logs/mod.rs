//! Reads and writes one log of a cluster, for everybody who needs it: its ends, a range of its records, a topic of small records.

mod aborted;
mod empty;
pub(crate) mod ends;
pub(crate) mod fetch_state;
pub(crate) mod owned_record;
pub(crate) mod range;
pub(crate) mod records;
pub(crate) mod show;
