//! Lets the target's brokers remember producers for longer while old records are copied (`raise_producer_expiry`), and puts back what was
//! set before. What is changed belongs to the whole cluster, so it is recorded in the state topic before anything is.
//!
//! Who writes on the strength of the raised value holds a lease of it, which each look renews. The value is put back only when nobody has
//! recorded that it is wanted for longer than any lease lasts.

pub(crate) mod judge;
pub(crate) mod keeper;
