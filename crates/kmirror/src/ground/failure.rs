//! Why something that reads a log before a partition is appended to does not come to an end.

use super::park::Parked;

/// Why a take-over did not come to an end.
#[derive(Clone, Debug)]
pub(crate) enum TakeOverFailure {
    /// A passing condition: again, a little later, with fresh metadata.
    Again(String),
    /// The target's log moved while its tail was read: somebody else appends. What stands there up to `position` is the source's.
    Moved {
        position: i64,
        source_end: i64,
    },
    Park(Parked),
}
