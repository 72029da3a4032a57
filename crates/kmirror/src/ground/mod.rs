//! What every other wing stands on: configuration, names, offsets, reasons, what is published. Nothing here waits for a cluster.

pub(crate) mod budget;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod epoch_start;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod identity;
pub(crate) mod item;
pub(crate) mod lineage;
pub(crate) mod loops;
pub(crate) mod mm2_names;
pub(crate) mod names;
pub(crate) mod outbox;
pub(crate) mod park;
pub(crate) mod partition;
pub(crate) mod pipe;
pub(crate) mod policies;
pub(crate) mod rules;
pub(crate) mod selection;
pub(crate) mod sequence;
pub(crate) mod shared;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod work;
