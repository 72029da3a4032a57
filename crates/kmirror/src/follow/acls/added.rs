//! What was added to the target's lists for a source, which is all that may be removed: records of the state topic, one of each entry,
//! so that it is known after a restart too.

use std::collections::BTreeMap;

use kmirror_client::{AclEntry, Client, ClientError};

use super::record::{self, Record, Records};
use crate::ground::config::Flow;
use crate::logs::records::RecordTopic;
use crate::state_topic::topic::{StateError, StateTopic};

/// The entries that flows of one source have added.
pub(super) struct Added {
    target: Client,
    topic_name: String,
    source_cluster_id: String,
    topic: Option<StateTopic>,
    writer: RecordTopic,
    /// By entry and key: one of before has another key.
    records: BTreeMap<AclEntry, BTreeMap<Vec<u8>, Record>>,
}

impl Added {
    pub(super) fn new(flow: &Flow, source: &Client, target: &Client) -> Added {
        let topic_name = flow.state_topic.clone();
        Added {
            target: target.clone(),
            source_cluster_id: source.cluster_id().unwrap_or_default(),
            topic: None,
            writer: RecordTopic::new(target, topic_name.clone(), flow.state_replication_factor),
            topic_name,
            records: BTreeMap::new(),
        }
    }

    /// Whether the source is still the cluster whose entries these are.
    pub(super) fn are_of(&self, source: &Client) -> bool {
        source.cluster_id().unwrap_or_default() == self.source_cluster_id
    }

    /// Reads what was recorded since the last time, by this process or another one. Creates nothing.
    pub(super) async fn read(&mut self) -> Result<Records, StateError> {
        if self.topic.is_none() {
            let opened = StateTopic::open(&self.target, &self.topic_name, None).await;
            self.topic = opened.map_err(|error| StateError::Unreachable(error.to_string()))?;
        }
        if let Some(topic) = &mut self.topic {
            let reading = topic.read_keys().await?;
            if reading.is_anew {
                self.records.clear();
            }
            for (key, value) in reading.changes {
                self.take_in(&key, value.as_deref());
            }
        }
        Ok(self.records.iter().filter_map(|(entry, records)| self.latest(entry, records)).collect())
    }

    fn take_in(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(entry) = record::entry_of(key, &self.source_cluster_id) else { return };
        let records = self.records.entry(entry).or_default();
        match value.and_then(|value| Record::read(key, value, &self.source_cluster_id)) {
            Some((_, record)) => records.insert(key.to_vec(), record),
            // What is not understood is not known.
            None => records.remove(key),
        };
    }

    fn latest(&self, entry: &AclEntry, records: &BTreeMap<Vec<u8>, Record>) -> Option<(AclEntry, Record)> {
        let own = records.get(&record::key_of(entry, &self.source_cluster_id));
        let record = own.or_else(|| records.values().next())?;
        Some((entry.clone(), record.clone()))
    }

    /// Records what became of entries; `None`: they are no business of kmirror's any more.
    pub(super) async fn write(
        &mut self,
        changes: impl IntoIterator<Item = (AclEntry, Option<Record>)>,
    ) -> Result<(), ClientError> {
        let mut written = Vec::new();
        for (entry, record) in changes {
            let key = record::key_of(&entry, &self.source_cluster_id);
            let others = self.records.get(&entry).into_iter().flat_map(BTreeMap::keys);
            written.extend(others.filter(|other| **other != key).map(|other| (other.clone(), None)));
            written.push((key, record.map(|record| record.to_json())));
        }
        if written.is_empty() { Ok(()) } else { self.writer.append(&written).await }
    }
}

#[cfg(test)]
mod tests {
    use kmirror_client::ClientConfig;
    use kmirror_embedded::EmbeddedCluster;

    use super::*;
    use crate::follow::acls::record::State;

    fn entry(host: &str) -> AclEntry {
        AclEntry {
            resource_type: kmirror_client::AclResourceType::Topic,
            pattern_type: kmirror_client::AclPatternType::Literal,
            resource_name: "orders".to_owned(),
            principal: "User:ann".to_owned(),
            host: host.to_owned(),
            operation: kmirror_client::AclOperation::Read,
            permission: kmirror_client::AclPermission::Allow,
        }
    }

    fn record(host: &str) -> (AclEntry, Record) {
        (entry(host), Record::new(entry(host), State::Added))
    }

    async fn client(cluster: &EmbeddedCluster) -> Client {
        let config = ClientConfig::new("west", [cluster.bootstrap_servers()]);
        Client::connect(config).await.expect("connects")
    }

    fn put((entry, record): (AclEntry, Record)) -> [(AclEntry, Option<Record>); 1] {
        [(entry, Some(record))]
    }

    /// Nothing is removed from the target's lists for what a topic said that is gone.
    #[tokio::test]
    async fn what_a_deleted_topic_said_is_forgotten() {
        let cluster = EmbeddedCluster::builder().start().await.expect("starts");
        let client = client(&cluster).await;
        let flow = Flow::new("east", "west");
        let mut added = Added::new(&flow, &client, &client);
        added.write(put(record("a"))).await.expect("recorded");
        assert_eq!(added.read().await, Ok(Records::from([record("a")])));
        cluster.delete_topic(&flow.state_topic);
        // A batch each, so that the new topic is longer.
        let mut others = Added::new(&flow, &client, &client);
        for host in ["b", "c", "d"] {
            others.write(put(record(host))).await.expect("recorded");
        }
        assert_eq!(added.read().await, Ok(Records::from(["b", "c", "d"].map(record))));
    }

    #[tokio::test]
    async fn what_was_recorded_before_is_replaced_with_its_key() {
        let cluster = EmbeddedCluster::builder().start().await.expect("starts");
        let client = client(&cluster).await;
        let flow = Flow::new("east", "west");
        let mut added = Added::new(&flow, &client, &client);
        let key = String::from_utf8(record::key_of(&entry("a"), &added.source_cluster_id)).expect("is text");
        let before = key.replacen(',', r#","naming":"{topic}","#, 1).into_bytes();
        added.writer.append(&[(before.clone(), Some(br#"{"version":1}"#.to_vec()))]).await.expect("written");
        assert_eq!(added.read().await, Ok(Records::from([record("a")])));
        let (entry, missing) = (entry("a"), Record { state: State::Missing, ..record("a").1 });
        added.write([(entry.clone(), Some(missing.clone()))]).await.expect("recorded");
        assert_eq!(added.read().await, Ok(Records::from([(entry.clone(), missing)])));
        assert!(!added.records[&entry].contains_key(&before));
        added.write([(entry, None)]).await.expect("recorded");
        assert_eq!(added.read().await, Ok(Records::new()));
    }
}
