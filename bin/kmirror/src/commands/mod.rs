//! One file for each command.

pub(crate) mod accept_cluster;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod groups;
pub(crate) mod import;
pub(crate) mod lag;
pub(crate) mod lineage;
pub(crate) mod manual;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod topics;
pub(crate) mod translate;
pub(crate) mod verify;
