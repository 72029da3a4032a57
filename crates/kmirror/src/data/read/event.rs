//! What a fetcher tells its owner.

use super::reader::PartitionReader;
use crate::ground::epoch_start::EpochStart;
use crate::ground::partition::{Generation, PartitionKey};
use crate::logs::fetch_state::FetchFault;

/// What a fetcher tells its owner.
#[derive(Debug)]
pub(crate) enum FetchEvent {
    /// It gives a partition back.
    Ended {
        key: PartitionKey,
        generation: Generation,
        fault: FetchFault,
        returned: Option<Box<PartitionReader>>,
    },
    /// The source's log goes on under other leader epochs. What was read of them is not handed on before they are recorded.
    EpochsBegan { key: PartitionKey, generation: Generation, epochs: Vec<EpochStart> },
    /// The source shows no records though it has some, for this cause; or it shows them again.
    Hidden { key: PartitionKey, generation: Generation, cause: Option<String> },
    /// The connection to a source broker broke: its partitions may have another leader by now.
    BrokerLost,
}
