//! Where the source's logs begin and end when a topic is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{Client, ClientError, Isolation, OffsetSpec, TopicPartition};

use crate::ground::park::{ParkReason, Parked};
use crate::topics::TopicPair;

/// What is known of the logs of some topics. One that does not tell holds up no other.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// The topics of which some partition does not begin at 0.
    pub(crate) headless: BTreeSet<Arc<str>>,
    /// Where the partitions end.
    pub(crate) ends: BTreeMap<Arc<str>, BTreeMap<i32, i64>>,
    /// The topics of which that is not known, and why.
    pub(crate) unknown: BTreeMap<Arc<str>, Parked>,
}

impl Bounds {
    /// Reads where logs begin.
    pub(crate) async fn read_starts(&mut self, source: &Client, pairs: impl Iterator<Item = &TopicPair>) {
        for (partition, offset) in
            self.read(source, pairs, OffsetSpec::Earliest, Isolation::ReadUncommitted).await
        {
            if offset > 0 {
                self.headless.insert(partition.topic);
            }
        }
    }

    /// Reads where logs end.
    pub(crate) async fn read_ends(
        &mut self,
        source: &Client,
        pairs: impl Iterator<Item = &TopicPair>,
        isolation: Isolation,
    ) {
        for (partition, end) in self.read(source, pairs, OffsetSpec::Latest, isolation).await {
            self.ends.entry(partition.topic).or_default().insert(partition.partition, end);
        }
    }

    async fn read(
        &mut self,
        source: &Client,
        pairs: impl Iterator<Item = &TopicPair>,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Vec<(TopicPartition, i64)> {
        let partitions = pairs.flat_map(|pair| {
            (0..pair.partitions)
                .map(move |number| (TopicPartition::new(Arc::clone(&pair.source), number), spec))
        });
        let partitions: Vec<_> = partitions.collect();
        let mut offsets = Vec::new();
        for (partition, listed) in source.list_offsets(&partitions, isolation).await {
            match listed {
                Ok(listed) => offsets.extend(listed.offset.map(|offset| (partition, offset))),
                Err(error) => {
                    let parked = unknown(&partition, &error);
                    self.unknown.entry(partition.topic).or_insert(parked);
                }
            }
        }
        offsets
    }
}

fn unknown(partition: &TopicPartition, error: &ClientError) -> Parked {
    Parked::new(
        ParkReason::of_refusal(error),
        format!("the source does not say where {partition} begins or ends: {error}"),
    )
}
