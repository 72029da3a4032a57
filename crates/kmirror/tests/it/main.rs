//! The engine from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// What is outside runs by the machine's clock.
#![allow(clippy::disallowed_methods)]

mod acls;
mod arrows;
mod beside;
mod circles;
mod embedded;
mod fillers;
mod library;
mod odd;
mod schedules;
mod sizes;
mod sources;
mod verify_finds;
