//! Appending to the target: one [`appender`] per broker, one [`state`] per partition.

pub(crate) mod appender;
pub(crate) mod cause;
pub(crate) mod event;
pub(crate) mod filler;
pub(crate) mod freshness;
pub(crate) mod now;
mod ready;
pub(crate) mod refusal;
pub(crate) mod repeat;
pub(crate) mod request_size;
pub(crate) mod state;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod model;
