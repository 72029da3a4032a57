//! The program as its users run it, on real Kafka, judged by Java clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bad_input;
mod brokers;
mod consumers;
mod copies;
mod demo;
mod follows;
mod heads;
mod kmirror;
mod looks;
mod refusals;
mod scene;
mod schedule;
mod start_up;
mod topics;
