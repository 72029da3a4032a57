//! What the tasks of a flow tell its supervisor, and how they name partitions to each other.

use std::sync::Arc;

use crate::append::state::TakeOverCause;
use crate::error::Error;
use crate::fetch::fetcher::Returned;
use crate::fetch::state::FetchFault;
use crate::flow::discovery::Looked;
use crate::park::Parked;
use crate::selection::TopicMatcher;
use crate::state::record::EpochStart;
use crate::takeover::TakenOver;
use crate::topics::TopicRules;

/// A partition of a flow: its place in the supervisor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey(pub(crate) u32);

/// Counts the take-overs of a partition. What was meant for an earlier one is ignored wherever it arrives.
pub(crate) type Generation = u64;

/// The supervisor's inbox.
#[derive(Debug)]
pub(crate) enum FlowEvent {
    /// A take-over has read the target's tail.
    TakenOver { key: PartitionKey, generation: Generation, taken: Result<Box<TakenOver>, TakeOverFailure> },
    /// A fetcher gives a partition back.
    FetchEnded {
        key: PartitionKey,
        generation: Generation,
        fault: FetchFault,
        returned: Option<Box<Returned>>,
    },
    /// The head of a partition is filled and cut off, or not.
    HeadFilled { key: PartitionKey, generation: Generation, filled: Result<(), TakeOverFailure> },
    /// The heads of a topic are filled, and it is compacted again: its rules are these.
    PolicyRestored { topic: Arc<str>, restored: Result<TopicRules, TakeOverFailure> },
    /// The source's log goes on under other leader epochs.
    EpochsBegan { key: PartitionKey, generation: Generation, epochs: Vec<EpochStart> },
    /// An appender is finished with a partition.
    AppendEnded { key: PartitionKey, generation: Generation, end: AppendEnd },
    /// The source's metadata is fresh again: a partition without a fetcher may find its leader.
    LeaderSought { key: PartitionKey, generation: Generation, truncated: Option<Parked> },
    /// The source's metadata is fresh again: a topic whose log is not what it was may be another one.
    SourceRechecked { key: PartitionKey, generation: Generation },
    /// A parked partition is to be tried again, under these rules of its topic if they could be read.
    Reconsidered { key: PartitionKey, generation: Generation, rules: Option<TopicRules> },
    /// A batch was too large for the target, whose limit may not be what it was: here are the rules of its topic, if they could
    /// be read.
    LimitRead { key: PartitionKey, generation: Generation, rules: Option<TopicRules>, parked: Parked },
    /// A look at both clusters for the topics that were selected then is over: here is what is new.
    Looked { selected: TopicMatcher, looked: Result<Looked, Error> },
    /// A connection to a source broker broke: its partitions may have another leader by now.
    SourceBrokerLost,
    /// The clock says that it is time to look at the metadata.
    Refresh,
}

/// Why an appender is finished with a partition.
#[derive(Clone, Debug)]
pub(crate) enum AppendEnd {
    TakeOver(TakeOverCause),
    Park(Parked),
}

/// Why a take-over did not come to an end.
#[derive(Clone, Debug)]
pub(crate) enum TakeOverFailure {
    /// A passing condition: again, a little later, with fresh metadata.
    Again(String),
    Park(Parked),
}
