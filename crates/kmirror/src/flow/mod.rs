//! A flow: one direction of copying. Its supervisor is one loop over one enum of events, and the only one that starts,
//! moves and stops the tasks of the flow.

pub(crate) mod beside;
mod bounds;
pub(crate) mod clusters;
pub(crate) mod deletions;
pub(crate) mod discovery;
pub(crate) mod event;
pub(crate) mod fetchers;
pub(crate) mod found;
mod heads;
mod missing;
pub(crate) mod origins;
pub(crate) mod owned;
pub(crate) mod read_from;
mod recording;
mod standby;
mod supervisor;
mod table;

pub(crate) use self::supervisor::run;
