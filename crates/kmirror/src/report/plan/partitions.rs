//! What a flow would do with each partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kmirror_client::{Client, ClusterMetadata, Isolation, OffsetSpec, TopicPartition, Topics};

use crate::flow::{clusters, owned};
use crate::follow::groups::{Arrived, Copied};
use crate::ground::config::{Flow, Start};
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::ground::park::Parked;
use crate::ground::policies::OnDeleted;
use crate::logs::ends;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::store::{self, Known, Recorded};
use crate::state_topic::topic_record::TopicRecord;
use crate::takeover::judge::{Situation, SourceBounds, Verdict};
use crate::takeover::predecessor::Positions;
use crate::topics::{self, TopicPair, topic_id};
use crate::topics::{RefusedTopic, TopicPairs, taken};

/// What would be done with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionPlan {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition, the same on both sides.
    pub partition: i32,
    /// Whether the target topic would be created.
    pub creates_topic: bool,
    /// What would be done.
    pub step: PlanStep,
    /// Where the source ends under the flow's isolation.
    pub source_end: i64,
}

/// What would be done first. Before a copy goes on its last records are compared with the source, which a plan does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanStep {
    /// Copy from this source offset on, to this target offset: nothing was copied yet.
    Begin {
        /// The source offset.
        source: i64,
        /// The target offset.
        target: i64,
    },
    /// Fill the target's head, offsets `[from, to)`, and cut it off; then copy from source offset `to` on.
    FillHead {
        /// Where the target ends now.
        from: i64,
        /// Where the source's log begins.
        to: i64,
    },
    /// Go on behind what the flow's predecessor has copied: at this source offset, or behind it where the logs show more.
    Continue {
        /// The source offset after the last one that it said was copied.
        source: i64,
        /// The target's end.
        target: i64,
    },
    /// Go on at this source offset.
    Resume {
        /// The source offset.
        source: i64,
        /// Source offsets `[first, end)` that expired and would be filled with markers first, by policy.
        expired: Option<(i64, i64)>,
    },
    /// Wait until somebody creates the target topic, then copy from this source offset on.
    Await {
        /// The source offset.
        source: i64,
    },
    /// Park.
    Park(Parked),
}

impl fmt::Display for PlanStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanStep::Begin { source, target } if source == target => {
                write!(formatter, "copy from offset {source}")
            }
            PlanStep::Begin { source, target } => {
                write!(formatter, "copy from source offset {source} to target offset {target}")
            }
            PlanStep::FillHead { from, to } => {
                write!(formatter, "fill the head [{from}, {to}), then copy from offset {to}")
            }
            PlanStep::Continue { source, target } => write!(
                formatter,
                "go on behind what was copied before, from source offset {source} or what the logs show, to target offset {target}"
            ),
            PlanStep::Resume { source, expired: None } => write!(formatter, "go on at offset {source}"),
            PlanStep::Resume { source, expired: Some((first, end)) } => {
                write!(formatter, "fill expired offsets [{first}, {end}), go on at offset {source}")
            }
            PlanStep::Await { source } => {
                write!(formatter, "wait for somebody to create the topic, then copy from offset {source}")
            }
            PlanStep::Park(parked) => write!(formatter, "park: {parked}"),
        }
    }
}

impl PartitionPlan {
    /// The source offset that is copied next; `None` where the target cannot be gone on with.
    pub fn position(&self) -> Option<i64> {
        match self.step {
            PlanStep::Begin { source, .. }
            | PlanStep::Continue { source, .. }
            | PlanStep::Resume { source, .. }
            | PlanStep::Await { source } => Some(source),
            PlanStep::FillHead { to, .. } => Some(to),
            PlanStep::Park(_) => None,
        }
    }

    /// Source offsets that are to be copied, or are not.
    pub fn offsets(&self) -> u64 {
        u64::try_from(self.source_end.saturating_sub(self.position().unwrap_or(0))).unwrap_or(0)
    }

    /// Whether there is nothing to be done: it only goes on, and nothing is new.
    pub fn is_nothing(&self) -> bool {
        matches!(self.step, PlanStep::Begin { .. } | PlanStep::Resume { expired: None, .. })
            && self.offsets() == 0
            && !self.creates_topic
    }
}

/// What a flow would do with its partitions, and what its other plans are made of.
pub(crate) struct Partitions {
    pub(crate) pairs: Vec<TopicPair>,
    /// Topics that are selected and cannot be copied.
    pub(crate) refused: Vec<RefusedTopic>,
    pub(crate) plans: Vec<PartitionPlan>,
    /// By partition of the source: where everything that is there now will be on the target, once it is copied. Where that is known
    /// already: not behind what a predecessor has copied.
    pub(crate) copied: BTreeMap<TopicPartition, Copied>,
    /// Target topics of which nothing would be changed, and why: they are not known to be this flow's.
    pub(crate) untouched: BTreeMap<Arc<str>, String>,
    /// Target topics that are to be deleted, as it is recorded.
    pub(crate) deletions: BTreeMap<Arc<str>, TopicRecord>,
}

/// The partitions of a topic that cannot be copied.
fn parked<'a>(
    flow: &'a Flow,
    refused: &'a RefusedTopic,
    source_ends: &'a Ends,
) -> impl Iterator<Item = PartitionPlan> + 'a {
    let RefusedTopic { pair, parked } = refused;
    (0..pair.partitions).map(move |partition| {
        let bounds = source_ends.bounds(&TopicPartition::new(Arc::clone(&pair.source), partition));
        PartitionPlan {
            flow: flow.name(),
            source_topic: pair.source.to_string(),
            target_topic: pair.target.to_string(),
            partition,
            creates_topic: false,
            step: PlanStep::Park(parked.clone()),
            source_end: bounds.map_or(0, |bounds| bounds.readable_end),
        }
    })
}

/// What is read of both clusters before anything is judged.
struct View<'a> {
    flow: &'a Flow,
    source_cluster_id: String,
    on_source: Arc<ClusterMetadata>,
    on_target: Arc<ClusterMetadata>,
    source_ends: Ends,
    target_ends: Ends,
    known: Known,
    predecessor: Positions,
}

/// Plans the partitions of a flow.
pub(crate) async fn of_flow(
    flow: &Flow,
    terms: &Terms,
    source: &Client,
    target: &Client,
) -> Result<Partitions, Error> {
    let refresh = async |client: &Client| {
        client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
    };
    let (on_source, on_target) = (refresh(source).await?, refresh(target).await?);
    let matcher = &terms.selected.topics;
    let mut pairs = topics::pair(flow, matcher, &on_source, &on_target);
    taken::refuse_taken(terms, &mut pairs, |_| true);
    let TopicPairs { copied: pairs, refused } = pairs;
    let known = store::read(target, &flow.state_topic).await?;
    if let Some(problem) = clusters::problem(flow, matcher, source, target, &known).await? {
        return Err(problem);
    }
    let all: Vec<_> = pairs.iter().chain(refused.iter().map(|refused| &refused.pair)).cloned().collect();
    let view = View {
        flow,
        source_cluster_id: source.cluster_id().unwrap_or_default().to_string(),
        source_ends: Ends::of_source(flow, source, &all).await?,
        target_ends: Ends::of_target(target, &pairs).await?,
        predecessor: Positions::read(flow, source, target).await?,
        on_source,
        on_target,
        known,
    };
    let mut found = view.partitions(pairs, refused);
    let View { known, on_source, source_cluster_id, .. } = view;
    let is_due = |record: &TopicRecord| {
        let is_ours = record.source.cluster_id == source_cluster_id && matcher.matches(&record.source.topic);
        matches!(flow.policies.on_deleted, OnDeleted::Delete { .. })
            && is_ours
            && record.deletion.as_ref().is_some_and(|deletion| deletion.carried_out_ms.is_none())
            && on_source.topic(&record.source.topic).is_none()
    };
    found.deletions = known.topics.into_iter().filter(|(_, record)| is_due(record)).collect();
    Ok(found)
}

impl View<'_> {
    fn partitions(&self, pairs: Vec<TopicPair>, refused: Vec<RefusedTopic>) -> Partitions {
        let (mut plans, mut copied, mut untouched) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for pair in pairs.iter().filter(|pair| self.may_be_anybodys(pair)) {
            let why = "the target has it, and nothing says that it is this flow's: nothing of it is changed before what it holds was compared";
            untouched.insert(Arc::clone(&pair.target), why.to_owned());
        }
        let numbers = pairs.iter().flat_map(|pair| (0..pair.partitions).map(move |number| (pair, number)));
        for (pair, number) in numbers {
            let Some((plan, arrived)) = self.plan(pair, number) else { continue };
            if let Some(arrived) = arrived {
                let at_source = TopicPartition::new(pair.source.clone(), number);
                let target = TopicPartition::new(pair.target.clone(), number);
                copied.insert(at_source, Copied { target, arrived, is_copying: true });
            }
            if let PlanStep::Park(parked) = &plan.step
                && parked.reason.is_of_identity()
            {
                let why =
                    format!("partition {number} parks ({}): nothing of the topic is changed", parked.reason);
                untouched.insert(Arc::clone(&pair.target), why);
            }
            plans.push(plan);
        }
        plans.extend(refused.iter().flat_map(|refused| parked(self.flow, refused, &self.source_ends)));
        copied.retain(|_, copied: &mut Copied| !untouched.contains_key(&copied.target.topic));
        Partitions { pairs, refused, plans, copied, untouched, deletions: BTreeMap::new() }
    }

    fn source_of(&self, pair: &TopicPair) -> SourceIdentity {
        SourceIdentity {
            cluster_id: self.source_cluster_id.clone(),
            topic: pair.source.to_string(),
            topic_id: topic_id(&self.on_source, &pair.source),
        }
    }

    /// Whether the target has the topic, with records, and nothing says that it is the flow's. An empty one holds nothing of anybody's: it
    /// is taken over.
    fn may_be_anybodys(&self, pair: &TopicPair) -> bool {
        let (has, target_topic_id) =
            (pair.target_partitions.unwrap_or(0), topic_id(&self.on_target, &pair.target));
        let is_empty = |number| {
            let (start, end) = self.target_ends.range(&TopicPartition::new(pair.target.clone(), number));
            start == end
        };
        !(0..has).all(is_empty)
            && !owned::is_recorded(&self.known, &pair.target, has, &self.source_of(pair), target_topic_id)
    }

    /// What would be done with a partition, and where its records will be when all that is there is copied. Nothing where the source does not
    /// say where it ends.
    fn plan(&self, pair: &TopicPair, number: i32) -> Option<(PartitionPlan, Option<Arrived>)> {
        let flow = self.flow;
        let bounds = self.source_ends.bounds(&TopicPartition::new(pair.source.clone(), number))?;
        // Where they are added, they are added first, and are empty.
        let missing = topics::missing_partition(pair, number).filter(|_| !flow.creates_topics);
        let verdict = missing.map_or_else(|| self.situation(pair, number, bounds).judge(), Err);
        let is_awaited = !flow.creates_topics && pair.target_partitions.is_none();
        let lineage = verdict.as_ref().ok().and_then(Verdict::lineage).filter(|_| !is_awaited);
        let arrived = lineage.map(|lineage| Arrived {
            lineage: lineage.clone(),
            position: bounds.readable_end,
            source_end: bounds.readable_end,
        });
        let mut plan = PartitionPlan {
            flow: flow.name(),
            source_topic: pair.source.to_string(),
            target_topic: pair.target.to_string(),
            partition: number,
            creates_topic: flow.creates_topics && pair.target_partitions.is_none(),
            step: verdict.map_or_else(PlanStep::Park, PlanStep::of),
            source_end: bounds.readable_end,
        };
        if let (Some(source), true) = (plan.position(), is_awaited) {
            plan.step = PlanStep::Await { source };
        }
        Some((plan, arrived))
    }

    fn situation(&self, pair: &TopicPair, number: i32, bounds: SourceBounds) -> Situation {
        let at_source = TopicPartition::new(pair.source.clone(), number);
        let at_target = TopicPartition::new(pair.target.clone(), number);
        let (target_start, target_end) = self.target_ends.range(&at_target);
        Situation {
            recorded: self.known.partitions.get(&at_target).cloned().unwrap_or(Recorded::Nothing),
            source: self.source_of(pair),
            beginning: self.source_ends.beginning(&at_source, self.flow.start, &bounds),
            bounds,
            target_topic_id: topic_id(&self.on_target, &pair.target),
            target_start,
            target_end,
            predecessor: self.predecessor.of(&at_source),
            offsets: self.flow.offsets,
            policies: self.flow.policies,
            head_fill_offsets_max: self.flow.head_fill_offsets_max,
        }
    }
}

impl PlanStep {
    fn of(verdict: Verdict) -> PlanStep {
        match verdict {
            Verdict::Begin(record) | Verdict::BeginBehind(record) => {
                let first = record.lineage.first();
                PlanStep::Begin { source: first.source, target: first.target }
            }
            Verdict::Continue(record, _) => {
                let first = record.lineage.first();
                PlanStep::Continue { source: first.source, target: first.target }
            }
            Verdict::FillHead(_, head) => PlanStep::FillHead { from: head.from, to: head.to },
            Verdict::Resume(resume) => PlanStep::Resume {
                source: resume.expired.map_or(resume.position, |expired| expired.end),
                expired: resume.expired.map(|expired| (expired.first, expired.end)),
            },
        }
    }
}

/// Where the logs of one cluster begin and end.
#[derive(Debug, Default)]
struct Ends {
    start: BTreeMap<TopicPartition, i64>,
    readable_end: BTreeMap<TopicPartition, i64>,
    high_watermark: BTreeMap<TopicPartition, i64>,
    at_timestamp: BTreeMap<TopicPartition, i64>,
}

impl Ends {
    async fn of_source(flow: &Flow, client: &Client, pairs: &[TopicPair]) -> Result<Ends, Error> {
        let partitions = partitions(pairs, |pair| (pair.source.as_ref(), pair.partitions));
        let isolation = flow.isolation.for_client();
        let at_timestamp = match flow.start {
            Start::Timestamp(timestamp) => {
                list(client, &partitions, OffsetSpec::Timestamp(timestamp), isolation).await?
            }
            Start::Earliest | Start::Latest => BTreeMap::new(),
        };
        Ok(Ends {
            start: list(client, &partitions, OffsetSpec::Earliest, Isolation::ReadUncommitted).await?,
            readable_end: list(client, &partitions, OffsetSpec::Latest, isolation).await?,
            high_watermark: list(client, &partitions, OffsetSpec::Latest, Isolation::ReadUncommitted).await?,
            at_timestamp,
        })
    }

    async fn of_target(client: &Client, pairs: &[TopicPair]) -> Result<Ends, Error> {
        let partitions =
            partitions(pairs, |pair| (pair.target.as_ref(), pair.target_partitions.unwrap_or(0)));
        let uncommitted = Isolation::ReadUncommitted;
        Ok(Ends {
            start: list(client, &partitions, OffsetSpec::Earliest, uncommitted).await?,
            high_watermark: list(client, &partitions, OffsetSpec::Latest, uncommitted).await?,
            ..Ends::default()
        })
    }

    fn bounds(&self, partition: &TopicPartition) -> Option<SourceBounds> {
        Some(SourceBounds {
            log_start: *self.start.get(partition)?,
            readable_end: *self.readable_end.get(partition)?,
            high_watermark: *self.high_watermark.get(partition)?,
        })
    }

    fn beginning(&self, partition: &TopicPartition, start: Start, bounds: &SourceBounds) -> i64 {
        let beginning = match start {
            Start::Earliest => bounds.log_start,
            Start::Latest => bounds.readable_end,
            Start::Timestamp(_) => self.at_timestamp.get(partition).copied().unwrap_or(bounds.readable_end),
        };
        beginning.max(bounds.log_start)
    }

    /// A partition that does not exist yet is empty.
    fn range(&self, partition: &TopicPartition) -> (i64, i64) {
        let of = |offsets: &BTreeMap<TopicPartition, i64>| offsets.get(partition).copied().unwrap_or(0);
        (of(&self.start), of(&self.high_watermark))
    }
}

fn partitions<'a>(
    pairs: &'a [TopicPair],
    of: impl Fn(&'a TopicPair) -> (&'a str, i32),
) -> Vec<TopicPartition> {
    let of_pair = |pair| {
        let (topic, count) = of(pair);
        (0..count).map(move |number| TopicPartition::new(topic, number))
    };
    pairs.iter().flat_map(of_pair).collect()
}

async fn list(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let listed = ends::offsets(client, partitions, spec, isolation).await;
    listed.map_err(|error| Error::cluster(client.alias(), error))
}
