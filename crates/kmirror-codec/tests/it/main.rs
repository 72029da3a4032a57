//! The codec from outside: golden batches of real clients, properties, a reference model, and hostile bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod golden;
mod hostile;
mod legacy;
mod marker;
mod merge;
mod records;
mod rewrite;
mod split;
mod stamp;
mod support;
