//! Asks both clusters what a flow may do there.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{AclOperation, AllowedOperations, ClientError, KafkaError, NewTopic, ProducerIdentity};

use super::finding::{FindingKind, Severity};
use super::look::Look;
use super::rights::{self, Resource};
use crate::follow::groups::is_of_consumers;
use crate::follow::mm2;
use crate::ground::config::Acls;
use crate::logs::records;
use crate::topics::TopicPair;

impl Look<'_> {
    pub(super) async fn source_topics(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
        let mut names: Vec<Arc<str>> = pairs.iter().map(|pair| Arc::clone(&pair.source)).collect();
        // What is named may be there and not be seen.
        let literal = self.terms.selected.topics.literal_names().map(Arc::from);
        let unseen: Vec<Arc<str>> = literal.filter(|name| !names.contains(name)).collect();
        names.extend(unseen);
        for (topic, allowed) in self.source.allowed_on_topics(&names).await? {
            match allowed {
                Err(error) if error.is_authorization() => {
                    self.on_source.add(
                        Severity::Error,
                        Resource::Topic,
                        &topic,
                        rights::ON_SOURCE_TOPIC.iter().copied(),
                        COPIED,
                    );
                }
                Err(error) if error.kafka_error() == Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION) => {
                    let alias = self.source.alias();
                    self.found(
                        Severity::Warning,
                        FindingKind::Configuration,
                        alias,
                        format!("topic {topic}"),
                        "it is not there, or may not be seen",
                        "create it, or take it out of the flow",
                    );
                }
                Err(_) => {}
                Ok(allowed) => {
                    let missing = missing(allowed, rights::ON_SOURCE_TOPIC);
                    self.on_source.add(Severity::Error, Resource::Topic, &topic, missing, COPIED);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn target_topics(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
        let needed = rights::on_target_topic(self.flow);
        for pair in pairs {
            let topic = NewTopic {
                name: Arc::clone(&pair.target),
                partitions: pair.partitions,
                replication_factor: self.flow.replication_factor.of(pair.replication_factor),
                configs: Vec::new(),
            };
            self.target_topic(&needed, topic, self.flow.creates_topics, COPIED).await?;
        }
        Ok(())
    }

    pub(super) async fn own_topics(&mut self) -> Result<(), ClientError> {
        let flow = self.flow;
        let topic = records::description(&flow.state_topic, flow.state_replication_factor);
        let reason = "it holds what the target's logs cannot tell";
        self.target_topic(rights::ON_STATE_TOPIC, topic, true, reason).await?;
        let mut names = Vec::new();
        if flow.mm2_topics.heartbeats {
            names.extend(mm2::heartbeats::topics(flow));
        }
        if flow.mm2_topics.checkpoints {
            names.push(mm2::checkpoints::topic(flow));
        }
        let syncs = mm2::offset_syncs::topic(flow, self.source, self.target);
        names.extend(syncs.filter(|(client, _)| client.alias() == flow.target).map(|(_, name)| name));
        for name in names {
            let topic = records::description(&name, mm2::replication_factor(flow));
            let reason = "what MirrorMaker's readers look for is written there (mm2_topics)";
            self.target_topic(rights::ON_RECORD_TOPIC, topic, true, reason).await?;
        }
        Ok(())
    }

    /// What may be done with a topic of the target, also where it is not there yet.
    async fn target_topic(
        &mut self,
        needed: &[AclOperation],
        topic: NewTopic,
        creates: bool,
        reason: &'static str,
    ) -> Result<(), ClientError> {
        let name = Arc::clone(&topic.name);
        let allowed = self.target.allowed_on_topics(std::slice::from_ref(&name)).await?;
        let missing = match allowed.into_iter().next().map(|(_, allowed)| allowed) {
            Some(Ok(allowed)) => missing(allowed, needed),
            _ => self.missing_on_absent(needed, topic, creates).await?,
        };
        self.on_target.add(Severity::Error, Resource::Topic, &name, missing, reason);
        Ok(())
    }

    /// The same for one that is not there, or may not be seen. What can be asked is; if anything is missing, everything is wanted.
    async fn missing_on_absent(
        &mut self,
        needed: &[AclOperation],
        topic: NewTopic,
        creates: bool,
    ) -> Result<Vec<AclOperation>, ClientError> {
        let (name, target) = (Arc::clone(&topic.name), self.target.clone());
        let names = std::slice::from_ref(&name);
        let is_refused = |error: &ClientError| error.is_authorization();
        let mut may_not = Vec::new();
        let described = target.describe_topic_configs(names).await?.into_iter().next();
        if needed.contains(&AclOperation::DescribeConfigs) {
            may_not.push(
                described.and_then(|(_, described)| described.err()).is_some_and(|error| is_refused(&error)),
            );
        }
        if needed.contains(&AclOperation::Alter) {
            let grown = target.create_partitions(&[(Arc::clone(&name), 1)], true).await?.into_iter().next();
            may_not.push(grown.and_then(|(_, grown)| grown.err()).is_some_and(|error| is_refused(&error)));
        }
        if needed.contains(&AclOperation::AlterConfigs) {
            let altered = match target.alter_topic_configs(&[(Arc::clone(&name), Vec::new())], true).await {
                // Before 2.3: nothing can be changed, nor asked.
                Err(ClientError::Unsupported { .. }) => None,
                altered => altered?.into_iter().next(),
            };
            may_not
                .push(altered.and_then(|(_, altered)| altered.err()).is_some_and(|error| is_refused(&error)));
        }
        if needed.contains(&AclOperation::Read) {
            may_not.push(!target.may_read_topic(&name).await?);
        }
        may_not.push(!self.may_write(&name).await?);
        let mut operations = needed.to_vec();
        if creates {
            operations.push(AclOperation::Create);
            let created = target.create_topics(&[topic], true).await?.into_iter().next();
            match created.and_then(|(_, created)| created.err()) {
                Some(error) if is_refused(&error) => may_not.push(true),
                // It is there and may not be seen.
                Some(error) if error.kafka_error() == Some(KafkaError::TOPIC_ALREADY_EXISTS) => may_not.push(true),
                Some(error) => self.found(Severity::Error, FindingKind::Configuration, target.alias(), format!("topic {name}"), format!("it cannot be created: {error}"), "look at replication_factor and state_replication_factor, and at what the target demands of topics"),
                None => {}
            }
        }
        Ok(if may_not.contains(&true) { operations } else { Vec::new() })
    }

    async fn may_write(&self, topic: &Arc<str>) -> Result<bool, ClientError> {
        // One that cannot be built says nothing about permissions.
        let Ok((header, payload)) = records::probe_batch() else { return Ok(true) };
        self.target.may_write_topic(topic, header, payload, TIMEOUT).await
    }

    pub(super) async fn clusters(&mut self, fills_by_transactions: bool) -> Result<(), ClientError> {
        if fills_by_transactions {
            self.on_target.add(
                Severity::Warning,
                Resource::Cluster,
                "",
                [AclOperation::Alter],
                "without it offsets without records are filled by empty transactions, which is slow",
            );
            let nobody = ProducerIdentity { producer_id: 0, producer_epoch: 0 };
            let ended = self.target.end_txn(PROBED_ID, nobody, false, TIMEOUT).await;
            if ended.is_err_and(|error| error.is_authorization()) {
                self.on_target.add(
                    Severity::Error,
                    Resource::TransactionalIds,
                    "kmirror-",
                    [AclOperation::Write],
                    "offsets without records are filled by empty transactions",
                );
            }
        }
        if self.flow.raises_producer_expiry {
            let changed = missing(
                self.target.allowed_on_cluster().await?,
                &[AclOperation::DescribeConfigs, AclOperation::AlterConfigs],
            );
            let reason = "producer.id.expiration.ms is not raised without it (raise_producer_expiry)";
            self.on_target.add(Severity::Warning, Resource::Cluster, "", changed, reason);
        }
        if self.flow.acls != Acls::None {
            let reason = "access control lists are not copied without it (acls)";
            let seen = missing(self.source.allowed_on_cluster().await?, &[AclOperation::Describe]);
            self.on_source.add(Severity::Warning, Resource::Cluster, "", seen, reason);
            let changed = missing(
                self.target.allowed_on_cluster().await?,
                &[AclOperation::Describe, AclOperation::Alter],
            );
            self.on_target.add(Severity::Warning, Resource::Cluster, "", changed, reason);
        }
        Ok(())
    }

    pub(super) async fn groups(&mut self) -> Result<(), ClientError> {
        if let Some(group) = &self.flow.commit_group
            && !self.source.may_read_group(group, TIMEOUT).await?
        {
            self.on_source.add(
                Severity::Error,
                Resource::Group,
                group,
                [AclOperation::Read],
                "positions are committed there (commit_group)",
            );
        }
        let groups = &self.terms.selected.groups;
        if groups.is_empty() {
            return Ok(());
        }
        let listed = self.source.list_groups().await?;
        let followed = listed.into_iter().filter(|group| {
            is_of_consumers(group)
                && groups.matches(&group.id)
                && self.flow.commit_group.as_ref() != Some(&group.id)
        });
        let followed: Vec<String> = followed.take(GROUPS_MAX).map(|group| group.id).collect();
        if followed.is_empty() {
            let seen = missing(self.source.allowed_on_cluster().await?, &[AclOperation::Describe]);
            if !seen.is_empty() {
                self.on_source.add(
                    Severity::Warning,
                    Resource::Group,
                    "*",
                    [AclOperation::Describe],
                    "no group that could follow is seen",
                );
            }
        }
        for group in followed {
            if !self.target.may_read_group(&group, TIMEOUT).await? {
                self.on_target.add(
                    Severity::Error,
                    Resource::Group,
                    &group,
                    [AclOperation::Read],
                    "it follows to the target",
                );
            }
            if groups.may_return(&group) && !self.source.may_read_group(&group, TIMEOUT).await? {
                self.on_source.add(
                    Severity::Error,
                    Resource::Group,
                    &group,
                    [AclOperation::Read],
                    "it returns to the source",
                );
            }
        }
        Ok(())
    }
}

/// What of this may not be done, as far as the cluster says.
pub(super) fn missing(allowed: Option<AllowedOperations>, needed: &[AclOperation]) -> Vec<AclOperation> {
    let is_missing = |operation: &AclOperation| allowed.is_some_and(|allowed| !allowed.allow(*operation));
    needed.iter().copied().filter(is_missing).collect()
}

const COPIED: &str = "it is copied";
/// No transaction has it.
const PROBED_ID: &str = "kmirror-check";
/// As many are asked for.
const GROUPS_MAX: usize = 200;
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
