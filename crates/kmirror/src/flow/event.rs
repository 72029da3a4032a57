//! What the tasks of a flow tell its supervisor.

use std::sync::Arc;

use crate::data::append::event::AppendEvent;
use crate::data::read::event::FetchEvent;
use crate::flow::deletions::Fate;
use crate::flow::found::Looked;
use crate::follow::expiration::keeper::Raised;
use crate::ground::epoch_start::EpochStart;
use crate::ground::error::Error;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::Parked;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::rules::TopicRules;
use crate::ground::selection::TopicMatcher;
use crate::state_topic::record::PartitionRecord;
use crate::state_topic::topic_record::TopicRecord;
use crate::takeover::TakenOver;

/// The supervisor's inbox.
#[derive(Debug)]
pub(crate) enum FlowEvent {
    /// A take-over has read the target's tail.
    TakenOver { key: PartitionKey, generation: Generation, taken: Result<Box<TakenOver>, TakeOverFailure> },
    /// A fetcher has something to tell.
    Fetch(FetchEvent),
    /// An appender has something to tell.
    Append(AppendEvent),
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
    /// Leader epochs of the source are recorded: what the state topic holds then. Or they are not, and this is why.
    EpochsRecorded {
        key: PartitionKey,
        generation: Generation,
        recorded: Result<Box<PartitionRecord>, NotRecorded>,
    },
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
    Raised(Raised),
    /// The clock says that it is time to look at the metadata.
    Refresh,
}

impl From<FetchEvent> for FlowEvent {
    fn from(event: FetchEvent) -> FlowEvent {
        FlowEvent::Fetch(event)
    }
}

impl From<AppendEvent> for FlowEvent {
    fn from(event: AppendEvent) -> FlowEvent {
        FlowEvent::Append(event)
    }
}

impl From<Raised> for FlowEvent {
    fn from(raised: Raised) -> FlowEvent {
        FlowEvent::Raised(raised)
    }
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

/// Leader epochs that could not be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NotRecorded {
    pub(crate) epochs: Vec<EpochStart>,
    pub(crate) cause: String,
}
