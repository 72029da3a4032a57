//! Looks at both ends of a flow for what may be done there, and what would be in its way. Changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{
    AclOperation, AllowedOperations, Client, ClientError, ConfigEntry, KafkaError, NewTopic, OffsetSpec,
    ProducerIdentity, TopicPartition,
};

use kmirror_codec::{Entry, split};

use super::finding::{Finding, FindingKind, Severity};
use super::limits::{self, TopicFacts, Values};
use super::rights::{self, Missing, Resource};
use crate::config::{Acls, Flow};
use crate::error::Error;
use crate::flow::Terms;
use crate::groups::is_of_consumers;
use crate::identity;
use crate::plan::{PlanStep, partitions};
use crate::state::store::Recorded;
use crate::topics::{self, TopicPair, compacted, configs};

/// Both ends of a flow, and what was found so far.
pub(super) struct Look<'a> {
    pub(super) flow: &'a Flow,
    pub(super) terms: &'a Terms,
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    /// To whom rights are to be given.
    pub(super) principal: &'a str,
    /// What the state topic holds.
    pub(super) recorded: &'a HashMap<TopicPartition, Recorded>,
    pub(super) on_source: Missing,
    pub(super) on_target: Missing,
    pub(super) findings: Vec<Finding>,
}

impl Look<'_> {
    /// Everything that is not as it should be.
    pub(super) async fn all(mut self, fills_by_transactions: bool) -> Result<Vec<Finding>, Error> {
        self.brokers().await;
        let pairs = match topics::pair(
            self.flow,
            &self.terms.selected.topics,
            &self.source.metadata(),
            &self.target.metadata(),
        ) {
            Ok(pairs) => pairs,
            Err(error) => {
                let source = self.source.alias();
                self.found(
                    Severity::Error,
                    FindingKind::Configuration,
                    source,
                    "topics",
                    error.to_string(),
                    "exclude one of them",
                );
                Vec::new()
            }
        };
        let of_source = |error| Error::cluster(&self.flow.source, error);
        let of_target = |error| Error::cluster(&self.flow.target, error);
        self.source_topics(&pairs).await.map_err(of_source)?;
        self.target_topics(&pairs).await.map_err(of_target)?;
        self.own_topics().await.map_err(of_target)?;
        self.clusters(fills_by_transactions).await.map_err(of_target)?;
        self.groups().await.map_err(of_target)?;
        self.limits(&pairs).await.map_err(of_target)?;
        if !self.on_source.is_needed() && !self.on_target.is_needed() {
            self.logs().await?;
        }
        for (missing, client) in [(&self.on_source, self.source), (&self.on_target, self.target)] {
            let servers = client.config().bootstrap_servers.join(",");
            self.findings.extend(missing.findings(client.alias(), &servers, self.principal));
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(self.findings)
    }

    fn found(
        &mut self,
        severity: Severity,
        kind: FindingKind,
        cluster: &str,
        subject: impl Into<String>,
        problem: impl Into<String>,
        advice: &str,
    ) {
        self.findings.push(Finding {
            severity,
            kind,
            cluster: cluster.to_owned(),
            subject: subject.into(),
            problem: problem.into(),
            advice: advice.to_owned(),
            command: None,
        });
    }

    /// Every broker of both clusters is reached by its advertised address, and speaks what kmirror needs.
    async fn brokers(&mut self) {
        for client in [self.source, self.target] {
            for (id, broker) in client.metadata().brokers.clone() {
                let subject = format!("broker {id} at {}", broker.address());
                match client.lacking_at(id).await {
                    Ok(lacking) => lacking.iter().for_each(|error| {
                        self.found(
                            Severity::Error,
                            FindingKind::Configuration,
                            client.alias(),
                            subject.clone(),
                            error.to_string(),
                            "upgrade it: kmirror takes Kafka 2.1 and later",
                        );
                    }),
                    Err(error) => self.found(
                        Severity::Error,
                        FindingKind::Reachability,
                        client.alias(),
                        subject,
                        error.to_string(),
                        "check advertised.listeners of the broker, and the way to it from here",
                    ),
                }
            }
        }
    }

    async fn source_topics(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
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

    async fn target_topics(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
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

    async fn own_topics(&mut self) -> Result<(), ClientError> {
        let topic = compacted::description(&self.flow.state_topic, self.flow.state_replication_factor);
        self.target_topic(rights::ON_OWN_TOPIC, topic, true, "it holds what the target's logs cannot tell")
            .await
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
            let altered = target.alter_topic_configs(&[(Arc::clone(&name), Vec::new())], true).await?;
            let altered = altered.into_iter().next();
            may_not
                .push(altered.and_then(|(_, altered)| altered.err()).is_some_and(|error| is_refused(&error)));
        }
        may_not.push(!target.may_read_topic(&name).await?);
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
        let Ok((header, payload)) = compacted::probe_batch() else { return Ok(true) };
        self.target.may_write_topic(topic, header, payload, TIMEOUT).await
    }

    async fn clusters(&mut self, fills_by_transactions: bool) -> Result<(), ClientError> {
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

    async fn groups(&mut self) -> Result<(), ClientError> {
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
            let may_return = self.terms.returning.iter().any(|groups| groups.matches(&group));
            if may_return && !self.source.may_read_group(&group, TIMEOUT).await? {
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

    async fn limits(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
        let names: Vec<_> = pairs.iter().map(|pair| Arc::clone(&pair.source)).collect();
        let there = pairs.iter().filter(|pair| pair.target_partitions.is_some());
        let there: Vec<_> = there.map(|pair| Arc::clone(&pair.target)).collect();
        let of_source = described(self.source, &names).await?;
        let of_target = described(self.target, &there).await?;
        let metadata = self.target.metadata();
        let defaults = match metadata.brokers.keys().next() {
            // Without permission nothing is known of the defaults, and nothing is said of them.
            Some(broker) => self.target.describe_broker_config(*broker).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let defaults = Values::new(&defaults);
        for pair in pairs {
            let Some(source) = of_source.get(&pair.source) else { continue };
            let target = of_target.get(&pair.target).map(|entries| Values::new(entries));
            let copied = configs::desired(source, &self.flow.topic_configs);
            // Of a topic that is not there: what it will be created with, or the brokers' default.
            let value = |name: &str, default: &str| match &target {
                Some(target) => target.number(name),
                None => {
                    copied.get(name).and_then(|value| value.parse().ok()).or_else(|| defaults.number(default))
                }
            };
            let replicas =
                metadata.topic(&pair.target).map(|topic| i64::from(topics::replication_factor(topic)));
            let created = i64::from(self.flow.replication_factor.of(pair.replication_factor));
            let created =
                if created > 0 { Some(created) } else { defaults.number("default.replication.factor") };
            self.findings.extend(limits::judge(&TopicFacts {
                target: self.target.alias(),
                target_topic: &pair.target,
                source_batch_bytes_max: Values::new(source).number("max.message.bytes"),
                target_batch_bytes_max: value("max.message.bytes", "message.max.bytes"),
                replicas: if target.is_some() { replicas } else { created },
                min_insync_replicas: value("min.insync.replicas", "min.insync.replicas"),
                partitions: (pair.partitions, pair.target_partitions),
                creates_topics: self.flow.creates_topics,
            }));
            let before = value("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms");
            if let Some(before) = before.filter(|before| *before < i64::MAX) {
                self.timestamps(pair, before).await;
            }
        }
        Ok(())
    }

    /// Whether a source topic holds records that are older than the target takes.
    async fn timestamps(&mut self, pair: &TopicPair, before_max_ms: i64) {
        let oldest = compacted::now_ms().saturating_sub(before_max_ms).max(0);
        let partitions =
            (0..pair.partitions).map(|number| TopicPartition::new(Arc::clone(&pair.source), number));
        let partitions: Vec<_> = partitions.collect();
        let offsets = async |spec: OffsetSpec| {
            let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
            let listed = self.source.list_offsets(&asked, self.flow.isolation.for_client()).await;
            listed.into_iter().map(|(_, listed)| listed.ok()?.offset).collect::<Vec<_>>()
        };
        let (starts, ends) = (offsets(OffsetSpec::Earliest).await, offsets(OffsetSpec::Latest).await);
        let young = offsets(OffsetSpec::Timestamp(oldest)).await;
        let has_older =
            starts.iter().zip(&ends).zip(&young).any(|((start, end), young)| match (start, end) {
                (Some(start), Some(end)) => young.unwrap_or(*end) > *start,
                _ => false,
            });
        if has_older {
            let alias = self.target.alias();
            self.found(Severity::Error, FindingKind::Configuration, alias, format!("topic {}", pair.target), format!("it takes no record that is older than {before_max_ms} ms, and the source has some: they are Rejected"), "raise message.timestamp.before.max.ms of the target topic, or log.message.timestamp.before.max.ms of the target's brokers");
        }
    }

    /// What the logs hold: partitions that would park, and heads that would be filled.
    async fn logs(&mut self) -> Result<(), Error> {
        let plans = partitions::of_flow(self.flow, &self.terms.selected.topics, self.source, self.target)
            .await?
            .plans;
        let (mut headless, mut resumed): (Vec<Arc<str>>, Vec<TopicPartition>) = (Vec::new(), Vec::new());
        for plan in plans {
            match plan.step {
                PlanStep::Park(parked) => {
                    let (alias, subject) =
                        (self.target.alias(), format!("partition {}-{}", plan.target_topic, plan.partition));
                    self.found(
                        Severity::Error,
                        FindingKind::Logs,
                        alias,
                        subject,
                        format!("it would park: {parked}"),
                        "see what the message says, or the policies of the flow",
                    );
                }
                PlanStep::Resume { .. } => {
                    resumed.push(TopicPartition::new(plan.target_topic, plan.partition))
                }
                PlanStep::FillHead { .. } if !plan.creates_topic => headless.push(plan.target_topic.into()),
                _ => {}
            }
        }
        resumed.retain(|partition| !self.recorded.contains_key(partition));
        for partition in resumed.iter().take(PARTITIONS_MAX) {
            if is_foreign(self.target, partition).await.unwrap_or(false) {
                let (alias, subject) = (self.target.alias(), format!("partition {partition}"));
                let problem = "its last records were not written by kmirror, and nothing is recorded of it: it would park as TargetDiverged unless they are the source's";
                self.found(Severity::Warning, FindingKind::Logs, alias, subject, problem, "name the copy otherwise (naming), delete the target topic, or see offsets: shifted and takeover");
            }
        }
        headless.dedup();
        let allowed = self.target.allowed_on_topics(&headless).await;
        for (topic, allowed) in allowed.map_err(|error| Error::cluster(&self.flow.target, error))? {
            let missing = missing(allowed.ok().flatten(), &[AclOperation::Delete]);
            self.on_target.add(
                Severity::Error,
                Resource::Topic,
                &topic,
                missing,
                "its log has to begin where the source's does",
            );
        }
        Ok(())
    }
}

/// The last batch of a log is enough to tell. Markers tell nothing.
async fn is_foreign(target: &Client, partition: &TopicPartition) -> Option<bool> {
    let isolation = kmirror_client::Isolation::ReadUncommitted;
    let asked = [(partition.clone(), OffsetSpec::Latest)];
    let (_, end) = target.list_offsets(&asked, isolation).await.into_iter().next()?;
    let last = end.ok()?.offset?.checked_sub(1).filter(|last| *last >= 0)?;
    let fetched = target.fetch_once(partition, last, 1, isolation).await.ok()?;
    let Entry::Batch(batch) = split(fetched.records, last).next()?.ok()? else { return None };
    let header = batch.header();
    Some(!header.attributes.is_control() && !identity::is_kmirror(header.producer_id))
}

/// What of this may not be done, as far as the cluster says.
fn missing(allowed: Option<AllowedOperations>, needed: &[AclOperation]) -> Vec<AclOperation> {
    let is_missing = |operation: &AclOperation| allowed.is_some_and(|allowed| !allowed.allow(*operation));
    needed.iter().copied().filter(is_missing).collect()
}

async fn described(
    client: &Client,
    topics: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, Vec<ConfigEntry>>, ClientError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let described = client.describe_topic_configs(topics).await?.into_iter();
    Ok(described.filter_map(|(topic, entries)| Some((topic, entries.ok()?))).collect())
}

const COPIED: &str = "it is copied";
/// No transaction has it.
const PROBED_ID: &str = "kmirror-check";
/// As many are asked for.
const GROUPS_MAX: usize = 200;
const PARTITIONS_MAX: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(10);
