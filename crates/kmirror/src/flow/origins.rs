//! Which clusters a topic of the source has passed before it came there, as the source's state topic says: whatever a topic is called in the
//! files of other sites, it is not copied to where it was before.

use std::sync::Arc;

use kmirror_client::{Client, TopicId};

use crate::state_topic::store::{self, Known};

/// What the source's state topic says.
pub(crate) struct Origins(Known);

impl Origins {
    /// Without the right to read it, or without an answer, nothing is known, and names alone tell.
    pub(crate) async fn read(source: &Client, state_topic: &str) -> Origins {
        Origins(store::read(source, state_topic).await.unwrap_or_default())
    }

    /// The ids of the clusters that a topic has passed, the nearest first.
    pub(crate) fn of(&self, topic: &Arc<str>, topic_id: TopicId) -> Vec<String> {
        let record = self.0.topics.get(topic);
        // One that is being created has no id that could be recorded.
        let record = record.filter(|record| record.is_intended() || record.target_topic_id == topic_id);
        let nearest = record.map(|record| record.source.cluster_id.clone());
        nearest.into_iter().chain(record.into_iter().flat_map(|record| record.origins.clone())).collect()
    }
}
