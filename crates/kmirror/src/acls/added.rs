//! What a flow has added to the target's lists, which is all that it may remove: records of the state topic, one of each entry, so
//! that it is known after a restart too.

use std::collections::BTreeSet;

use kmirror_client::{AclEntry, Client, ClientError};
use serde::{Deserialize, Serialize};

use crate::config::Flow;
use crate::state::topic::{StateError, StateTopic};
use crate::topics::compacted::RecordTopic;

/// The entries that one flow has added.
pub(super) struct Added {
    target: Client,
    topic_name: String,
    scope: Scope,
    topic: Option<StateTopic>,
    writer: RecordTopic,
    entries: BTreeSet<AclEntry>,
}

/// Flows that add the same entries for the same reason: of one source, under the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    source_cluster_id: String,
    naming: String,
}

impl Added {
    pub(super) fn new(flow: &Flow, source: &Client, target: &Client) -> Added {
        let topic_name = flow.state_topic.clone();
        Added {
            target: target.clone(),
            scope: Scope {
                source_cluster_id: source.cluster_id().unwrap_or_default(),
                naming: flow.naming.target_topic(&flow.source, "{topic}"),
            },
            topic: None,
            writer: RecordTopic::new(target, topic_name.clone(), flow.state_replication_factor),
            topic_name,
            entries: BTreeSet::new(),
        }
    }

    /// Whether the source is still the cluster whose entries these are.
    pub(super) fn are_of(&self, source: &Client) -> bool {
        source.cluster_id().unwrap_or_default() == self.scope.source_cluster_id
    }

    /// Reads what was recorded since the last time, by this process or another one. Creates nothing.
    pub(super) async fn read(&mut self) -> Result<&BTreeSet<AclEntry>, StateError> {
        if self.topic.is_none() {
            let opened = StateTopic::open(&self.target, &self.topic_name, None).await;
            self.topic = opened.map_err(|error| StateError::Unreachable(error.to_string()))?;
        }
        let Some(topic) = &mut self.topic else { return Ok(&self.entries) };
        let reading = topic.read_keys().await?;
        if reading.is_anew {
            self.entries.clear();
        }
        for (key, value) in reading.changes {
            let Some(entry) = self.scope.entry_of(&key) else { continue };
            match value {
                Some(_) => self.entries.insert(entry),
                None => self.entries.remove(&entry),
            };
        }
        Ok(&self.entries)
    }

    /// Records entries that are about to be added.
    pub(super) async fn put<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a AclEntry>,
    ) -> Result<(), ClientError> {
        self.write(entries, Some(VALUE.to_vec())).await
    }

    /// Forgets entries that are gone.
    pub(super) async fn forget<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a AclEntry>,
    ) -> Result<(), ClientError> {
        self.write(entries, None).await
    }

    async fn write<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a AclEntry>,
        value: Option<Vec<u8>>,
    ) -> Result<(), ClientError> {
        let records: Vec<_> = entries.map(|entry| (self.scope.key_of(entry), value.clone())).collect();
        if records.is_empty() { Ok(()) } else { self.writer.append(&records).await }
    }
}

/// A key, in Kafka's words.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    source_cluster_id: String,
    naming: String,
    permission: String,
    operation: String,
    principal: String,
    host: String,
    resource_type: String,
    pattern_type: String,
    resource_name: String,
}

impl Scope {
    fn key_of(&self, entry: &AclEntry) -> Vec<u8> {
        let key = Key {
            source_cluster_id: self.source_cluster_id.clone(),
            naming: self.naming.clone(),
            permission: entry.permission.to_string(),
            operation: entry.operation.to_string(),
            principal: entry.principal.clone(),
            host: entry.host.clone(),
            resource_type: entry.resource_type.to_string(),
            pattern_type: entry.pattern_type.to_string(),
            resource_name: entry.resource_name.clone(),
        };
        let mut bytes = KEY_PREFIX.to_vec();
        bytes.extend(serde_json::to_vec(&key).unwrap_or_default());
        bytes
    }

    /// The entry of a key, if it is one of this scope and can be understood.
    fn entry_of(&self, key: &[u8]) -> Option<AclEntry> {
        let key: Key = serde_json::from_slice(key.strip_prefix(KEY_PREFIX)?).ok()?;
        let is_of_this = key.source_cluster_id == self.source_cluster_id && key.naming == self.naming;
        Some(AclEntry {
            resource_type: key.resource_type.parse().ok()?,
            pattern_type: key.pattern_type.parse().ok()?,
            resource_name: key.resource_name,
            principal: key.principal,
            host: key.host,
            operation: key.operation.parse().ok()?,
            permission: key.permission.parse().ok()?,
        })
        .filter(|_| is_of_this)
    }
}

const KEY_PREFIX: &[u8] = b"acl/";
/// A record's value says only how to read its key.
const VALUE: &[u8] = br#"{"version":1}"#;

#[cfg(test)]
mod tests {
    use kmirror_client::ClientConfig;
    use kmirror_embedded::EmbeddedCluster;

    use super::*;

    #[test]
    fn a_key_is_an_entry_of_its_scope_alone() {
        let scope = Scope { source_cluster_id: "abc".to_owned(), naming: "east.{topic}".to_owned() };
        let entry = AclEntry {
            resource_type: kmirror_client::AclResourceType::TransactionalId,
            pattern_type: kmirror_client::AclPatternType::Prefixed,
            resource_name: "a/b \"c\"".to_owned(),
            principal: "User:CN=ä,O=b".to_owned(),
            host: "*".to_owned(),
            operation: kmirror_client::AclOperation::Write,
            permission: kmirror_client::AclPermission::Allow,
        };
        let key = scope.key_of(&entry);
        assert_eq!(scope.entry_of(&key), Some(entry.clone()));
        assert_eq!(scope.key_of(&entry), key, "the same entry has the same key");
        let other = Scope { naming: "{topic}".to_owned(), ..scope.clone() };
        assert_eq!(other.entry_of(&key), None);
        for damaged in [&b""[..], b"acl/", b"acl/{}", b"partition/orders/0", b"acl/\xff"] {
            assert_eq!(scope.entry_of(damaged), None);
        }
        assert_eq!(crate::state::record::partition_of(&key), None, "no record of a partition");
    }

    /// Nothing is removed from the target's lists for what a topic said that is gone.
    #[tokio::test]
    async fn what_a_deleted_topic_said_is_forgotten() {
        let cluster = EmbeddedCluster::builder().start().await.expect("starts");
        let config = ClientConfig::new("west", [cluster.bootstrap_servers()]);
        let client = Client::connect(config).await.expect("connects");
        let flow = Flow::new("east", "west");
        let entry = |host: &str| AclEntry {
            resource_type: kmirror_client::AclResourceType::Topic,
            pattern_type: kmirror_client::AclPatternType::Literal,
            resource_name: "orders".to_owned(),
            principal: "User:ann".to_owned(),
            host: host.to_owned(),
            operation: kmirror_client::AclOperation::Read,
            permission: kmirror_client::AclPermission::Allow,
        };
        let mut added = Added::new(&flow, &client, &client);
        added.put([entry("a")].iter()).await.expect("recorded");
        assert_eq!(added.read().await, Ok(&BTreeSet::from([entry("a")])));
        cluster.delete_topic(&flow.state_topic);
        // A batch each, so that the new topic is longer.
        let mut others = Added::new(&flow, &client, &client);
        for host in ["b", "c", "d"] {
            others.put([entry(host)].iter()).await.expect("recorded");
        }
        assert_eq!(added.read().await, Ok(&BTreeSet::from(["b", "c", "d"].map(entry))));
    }
}
