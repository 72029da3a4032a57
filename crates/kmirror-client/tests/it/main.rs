//! The client against what it talks to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// What is outside runs by the machine's clock.
#![allow(clippy::disallowed_methods)]

mod loading;
mod names;
mod other_cluster;
mod real_kafka;
mod secured;
mod unreachable;
mod whom_to_ask;
