//! One file for each command.

pub(crate) mod run;
pub(crate) mod verify;
