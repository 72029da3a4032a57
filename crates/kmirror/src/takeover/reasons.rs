//! Why a take-over does not end with a partition that is copied on.

use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::state_topic::topic::StateError;

/// The target topic was deleted and created again while it was written to.
pub(crate) fn target_recreated(topic: &str, target_end: i64) -> Parked {
    Parked::new(
        ParkReason::TargetRecreated,
        format!(
            "the target topic {topic} was deleted and created again while offsets up to {target_end} were on it; restart kmirror to \
             have it copied anew"
        ),
    )
}

pub(super) fn foreign_writer(offset: i64, producer_id: i64) -> Parked {
    Parked::new(
        ParkReason::TargetDiverged,
        format!(
            "the target has records that this flow did not write: the batch at offset {offset} is of producer id {producer_id}. \
             What was on the way may have been written behind it; nothing more is. `on_diverged: shift` goes on behind foreign \
             records, at other offsets"
        ),
    )
}

pub(super) fn state_failure(error: StateError) -> TakeOverFailure {
    match error {
        StateError::Unauthorized(message) => {
            TakeOverFailure::Park(Parked::new(ParkReason::Unauthorized, message))
        }
        StateError::Unreachable(message) => TakeOverFailure::Again(message),
        StateError::Changed => TakeOverFailure::Again(error.to_string()),
    }
}
