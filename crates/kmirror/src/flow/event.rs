//! What the tasks of a flow tell its supervisor, and how they name partitions to each other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use kmirror_client::Deadline;

use crate::data::append::state::TakeOverCause;
use crate::data::read::fetcher::Returned;
use crate::flow::deletions::Fate;
use crate::flow::discovery::Looked;
use crate::ground::error::Error;
use crate::ground::park::Parked;
use crate::ground::selection::TopicMatcher;
use crate::logs::fetch_state::FetchFault;
use crate::state_topic::record::{EpochStart, PartitionRecord};
use crate::state_topic::topic_record::TopicRecord;
use crate::takeover::TakenOver;
use crate::topics::TopicRules;

/// A partition of a flow: its place in the supervisor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey(pub(crate) u32);

/// What is known by partition. Its order is no matter of chance, for what is done for all partitions is done in it.
pub(crate) type KeyMap<T> = HashMap<PartitionKey, T, BuildHasherDefault<KeyHasher>>;

/// Spreads small numbers that nobody else chooses: a multiplication is enough.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // Knuth's multiplicative hashing, by the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

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
    /// A topic that was there before the flow knew of it is the flow's now, and what came of it; or why that is not known yet.
    Settled { topic: Arc<str>, settled: Result<Box<Settled>, TakeOverFailure> },
    /// The copy of a topic that is gone is to be deleted, as it is recorded; or why not.
    DeletionIntended { source: String, target: Arc<str>, intended: Result<Box<TopicRecord>, Fate> },
    /// It is recorded that a topic is not to be deleted any more, or it could not be.
    DeletionWithdrawn { target: Arc<str>, withdrawn: Result<(), Fate> },
    /// What became of an intended deletion.
    DeletionEnded { target: Arc<str>, record: Box<TopicRecord>, fate: Fate },
    /// The heads of a topic are filled, and it is compacted again: its rules are these.
    PolicyRestored { topic: Arc<str>, restored: Result<TopicRules, TakeOverFailure> },
    /// The source's log goes on under other leader epochs. What was read of them is not handed on before they are recorded.
    EpochsBegan { key: PartitionKey, generation: Generation, epochs: Vec<EpochStart> },
    /// They are recorded: what the state topic holds then. Or they are not, and this is why.
    EpochsRecorded {
        key: PartitionKey,
        generation: Generation,
        recorded: Result<Box<PartitionRecord>, NotRecorded>,
    },
    /// The source shows no records though it has some, for this cause; or it shows them again.
    Hidden { key: PartitionKey, generation: Generation, cause: Option<String> },
    /// An appender is finished with a partition.
    AppendEnded { key: PartitionKey, generation: Generation, end: AppendEnd },
    /// The source's metadata is fresh again: a partition without a fetcher may find its leader.
    LeaderSought { key: PartitionKey, generation: Generation, truncated: Option<Parked> },
    /// The source's metadata is fresh again: a topic whose log is not what it was may be another one.
    SourceRechecked { key: PartitionKey, generation: Generation },
    /// A parked partition is to be tried again, under these rules of its topic if they could be read.
    Reconsidered {
        key: PartitionKey,
        generation: Generation,
        rules: Option<TopicRules>,
        parked: Option<Parked>,
    },
    /// A batch was too large for the target, whose limit may not be what it was: here are the rules of its topic, if they could
    /// be read.
    LimitRead { key: PartitionKey, generation: Generation, rules: Option<TopicRules>, parked: Parked },
    /// A look at both clusters for the topics that were selected then is over: here is what is new.
    Looked { selected: TopicMatcher, looked: Result<Looked, Error> },
    /// The target's brokers remember producers for longer on the flow's behalf, which may be relied on until then; or no more.
    Raised(Option<Deadline>),
    /// A connection to a source broker broke: its partitions may have another leader by now.
    SourceBrokerLost,
    /// The clock says that it is time to look at the metadata.
    Refresh,
}

/// A topic that is the flow's from now on.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) rules: TopicRules,
    /// How many partitions it has by now.
    pub(crate) partitions: i32,
    /// Why nothing may be copied to it.
    pub(crate) parked: Option<Parked>,
}

/// Why an appender is finished with a partition.
#[derive(Clone, Debug)]
pub(crate) enum AppendEnd {
    TakeOver(TakeOverCause),
    Park(Parked),
}

/// Leader epochs that could not be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NotRecorded {
    pub(crate) epochs: Vec<EpochStart>,
    pub(crate) cause: String,
}

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
