//! The reading of one partition, which moves between the brokers that lead it.

use super::failing::Failing;
use super::planner::Planner;
use crate::logs::fetch_state::FetchState;

/// What is left of a partition when a fetcher gives it back: enough to go on with it elsewhere.
#[derive(Debug)]
pub(crate) struct PartitionReader {
    pub(crate) state: FetchState,
    pub(crate) planner: Planner,
    pub(crate) failing: Failing,
}
