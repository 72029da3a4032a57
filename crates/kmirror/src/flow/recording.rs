//! Recording in the state topic whose copies topics of the target are, or will be.

use std::sync::Arc;

use kmirror_client::{Client, ClusterMetadata, TopicId};

use crate::flow::discovery::Discovery;
use crate::flow::origins::Origins;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::logs::records::RecordTopic;
use crate::state_topic::topic_record::{self, TopicRecord};
use crate::topics::{TopicPair, topic_id};

impl Discovery {
    /// Records topics that are about to be created under another name than on the source, as far as they are not: another site's mirror must not
    /// see one of which nothing says where it came from.
    pub(super) async fn record_intended(
        &self,
        pairs: &[TopicPair],
        source: &ClusterMetadata,
    ) -> Result<(), Error> {
        let is_missing = |pair: &&TopicPair| pair.target_partitions.is_none() && pair.source != pair.target;
        let missing: Vec<_> = pairs.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let known = self.state.known().await.map_err(|error| error.of_flow(&self.flow))?;
        let is_recorded = |pair: &&TopicPair| {
            let record = known.topics.get(&pair.target);
            record
                .is_some_and(|record| record.is_intended() && record.source == self.identity_of(pair, source))
        };
        let new = missing.into_iter().filter(|pair| !is_recorded(pair));
        self.record_as(new, source, |_| TopicId::NONE).await
    }

    /// Records whose copies topics of the target are.
    pub(super) async fn record_as<'a>(
        &self,
        pairs: impl Iterator<Item = &'a TopicPair>,
        source: &ClusterMetadata,
        target_topic_id: impl Fn(&TopicPair) -> TopicId,
    ) -> Result<(), Error> {
        let pairs: Vec<_> = pairs.collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let origins = Origins::read(&self.source, &self.flow.state_topic).await;
        let records = pairs.into_iter().map(|pair| {
            let record = TopicRecord {
                source: self.identity_of(pair, source),
                origins: origins.of(&pair.source, topic_id(source, &pair.source)),
                target_topic_id: target_topic_id(pair),
                deletion: None,
            };
            (Arc::clone(&pair.target), record)
        });
        record(&self.flow, &self.target, records.collect()).await
    }
}

/// Records whose copies topics of the target are.
///
/// # Errors
/// The state topic cannot be written.
pub(crate) async fn record(
    flow: &Flow,
    target: &Client,
    records: Vec<(Arc<str>, TopicRecord)>,
) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let mut topic = RecordTopic::new(target, flow.state_topic.clone(), flow.state_replication_factor);
    let records = records.into_iter();
    let records: Vec<_> = records
        .map(|(name, record)| (topic_record::key_of(&name).into_bytes(), Some(record.to_json())))
        .collect();
    topic.append(&records).await.map_err(|error| Error::cluster(&flow.target, error))
}
