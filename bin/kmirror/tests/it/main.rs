//! The program as its users run it, between embedded clusters and between real ones, judged by readers that are not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod acls;
mod bad_input;
mod brokers;
mod checks;
mod cluster;
mod connects;
mod consumers;
mod control;
mod control_plane;
mod copies;
mod defaults;
mod deletions;
mod demo;
mod expiration;
mod follows;
mod freezes;
mod heads;
mod http;
mod imports;
mod kmirror;
mod lags;
mod leaders;
mod looks;
mod missing;
mod owned;
mod plans;
mod proofs;
mod proxy;
mod refusals;
mod reloads;
mod replicas;
mod scene;
mod schedule;
mod secured;
mod settings;
mod stage;
mod start_up;
mod streams;
mod takes_over;
mod throttled;
mod topics;
mod turned;
