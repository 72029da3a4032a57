//! The embedded cluster from outside, beside a real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// What is outside runs by the machine's clock.
#![allow(clippy::disallowed_methods)]

mod conformance;
mod draft;
mod groups;
mod java;
mod java_groups;
mod java_transactions;
mod librdkafka;
mod scene;
mod security;
mod time;
mod transaction_client;
mod transactions;
mod versions;
mod wire;
