//! Consumer groups: where they stand on the source is committed on the target, so that a consumer that moves reads on at the next
//! record.

pub(crate) mod follower;
mod judge;
mod recorded;

pub(crate) use follower::{Copied, GroupFollower, is_of_consumers};
pub(crate) use judge::{Arrived, Decision, GroupRules, Standing, judge};
pub(crate) use recorded::Recorded;
