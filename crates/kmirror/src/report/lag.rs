//! How far the target is behind the source, by what both clusters say: it needs no process that runs, and learns nothing from one.

use kmirror_client::{Client, TopicPartition};
use kmirror_codec::{Entry, split};

use crate::ground::config::Flow;
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::ground::park::Parked;
use crate::logs::records::now_ms;
use crate::report::plan::{PlanStep, partitions};

/// How far a partition of the target is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// The topic on the target.
    pub target_topic: String,
    /// The partition, the same on both sides.
    pub partition: i32,
    /// Where the source ends under the flow's isolation.
    pub source_end: i64,
    /// The source offset that is copied next; `None` where the target cannot be gone on with.
    pub position: Option<i64>,
    /// Why it would park if it were started now.
    pub parked: Option<Parked>,
    /// How old the first record is that is not on the target, in milliseconds: by the timestamp of the batch that it is in. `None` where
    /// there is none, or it cannot be read.
    pub age_ms: Option<i64>,
}

impl PartitionLag {
    /// Source offsets that are not on the target: all of them where the position is not known.
    pub fn offsets(&self) -> u64 {
        u64::try_from(self.source_end.saturating_sub(self.position.unwrap_or(0))).unwrap_or(0)
    }
}

/// Every partition of a flow.
pub(crate) async fn of_flow(
    flow: &Flow,
    terms: &Terms,
    source: &Client,
    target: &Client,
) -> Result<Vec<PartitionLag>, Error> {
    let mut lags = Vec::new();
    for plan in partitions::of_flow(flow, terms, source, target).await?.plans {
        let position = plan.position();
        let parked = match plan.step {
            PlanStep::Park(parked) => Some(parked),
            _ => None,
        };
        let next = position.filter(|position| *position < plan.source_end);
        let age_ms = match next {
            Some(position) => {
                let partition = TopicPartition::new(plan.source_topic.as_str(), plan.partition);
                age_ms(flow, source, &partition, position).await
            }
            None => None,
        };
        lags.push(PartitionLag {
            flow: plan.flow,
            source_topic: plan.source_topic,
            target_topic: plan.target_topic,
            partition: plan.partition,
            source_end: plan.source_end,
            position,
            parked,
            age_ms,
        });
    }
    Ok(lags)
}

/// How old the record at this source offset is, or the first one behind it.
pub(crate) async fn age_ms(
    flow: &Flow,
    source: &Client,
    partition: &TopicPartition,
    position: i64,
) -> Option<i64> {
    // One batch is enough, and always comes.
    let fetched = source.fetch_once(partition, position, 1, flow.isolation.for_client()).await.ok()?;
    let entry = split(fetched.records, position).next()?.ok()?;
    let Entry::Batch(batch) = entry else { return None };
    Some(now_ms().saturating_sub(batch.header().base_timestamp).max(0))
}
