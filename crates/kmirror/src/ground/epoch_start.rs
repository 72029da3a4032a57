//! Where a leader epoch of the source began.

use serde::{Deserialize, Serialize};

/// Where a leader epoch of the source began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochStart {
    pub(crate) epoch: i32,
    pub(crate) start_offset: i64,
}
