//! What an appender tells its owner: how appending to a partition ends.

use super::cause::TakeOverCause;
use crate::ground::park::Parked;
use crate::ground::partition::{Generation, PartitionKey};

/// Why an appender is finished with a partition.
#[derive(Clone, Debug)]
pub(crate) enum AppendEnd {
    TakeOver(TakeOverCause),
    Park(Parked),
}

/// What an appender tells its owner.
#[derive(Debug)]
pub(crate) enum AppendEvent {
    /// It is finished with a partition.
    Ended { key: PartitionKey, generation: Generation, end: AppendEnd },
}
