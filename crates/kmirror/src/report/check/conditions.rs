//! Asks both clusters for what would be in the way of a copy: limits, and what the logs hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{AclOperation, Client, ClientError, ConfigEntry, Isolation, OffsetSpec, TopicPartition};
use kmirror_codec::{Entry, split};

use super::finding::{Finding, FindingKind, Severity};
use super::limits::{self, TopicFacts, Values};
use super::look::Look;
use super::permissions::missing;
use super::rights::Resource;
use crate::data::append::freshness::producer_expiration;
use crate::data::append::freshness::{RAISED, RAISED_MS};
use crate::ground::error::Error;
use crate::ground::identity;
use crate::logs::records;
use crate::report::plan::{PlanStep, partitions};
use crate::topics::{self, TopicPair, configs, preserved};

impl Look<'_> {
    pub(super) async fn limits(&mut self, pairs: &[TopicPair]) -> Result<(), ClientError> {
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
        self.producer_expiration(pairs, &defaults).await;
        let topic_defaults = preserved::defaults_of(&defaults);
        let defaults = Values::new(&defaults);
        for pair in pairs {
            let Some(source) = of_source.get(&pair.source) else { continue };
            let target = of_target.get(&pair.target).map(|entries| Values::new(entries));
            let of_target = of_target.get(&pair.target).map(Vec::as_slice);
            let copied = configs::desired(source, of_target, &self.flow.topic_configs);
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
            self.destroyers(pair, source, of_target.unwrap_or(&topic_defaults));
            let before = value("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms");
            if let Some(before) = before.filter(|before| *before < i64::MAX) {
                self.timestamps(pair, before).await;
            }
        }
        Ok(())
    }

    /// What of a target topic's configuration would destroy the copy, and is not kmirror's to change.
    fn destroyers(&mut self, pair: &TopicPair, of_source: &[ConfigEntry], of_target: &[ConfigEntry]) {
        let rules = &self.flow.topic_configs;
        let is_changed = rules.follow && self.flow.creates_topics;
        let is_created = pair.target_partitions.is_none() && self.flow.creates_topics;
        for found in preserved::destroyers(of_source, of_target) {
            let (severity, advice) = match found.is_excluded(rules) {
                true => (Severity::Warning, preserved::ADVICE_WHERE_EXCLUDED),
                false if is_changed || is_created => continue,
                false => {
                    (Severity::Error, "set it on the target topic; until then its partitions are Rejected")
                }
            };
            let alias = self.target.alias();
            let subject = format!("topic {}", pair.target);
            self.found(severity, FindingKind::Configuration, alias, subject, found.to_string(), advice);
        }
    }

    /// Whether a source topic holds records that are older than the target takes.
    async fn timestamps(&mut self, pair: &TopicPair, before_max_ms: i64) {
        if self.has_older(pair, before_max_ms).await {
            let alias = self.target.alias();
            self.found(Severity::Error, FindingKind::Configuration, alias, format!("topic {}", pair.target), format!("it takes no record that is older than {before_max_ms} ms, and the source has some: they are Rejected"), "raise message.timestamp.before.max.ms of the target topic, or log.message.timestamp.before.max.ms of the target's brokers");
        }
    }

    /// Whether the source holds records that the target's brokers may forget the producer of while they are copied.
    async fn producer_expiration(&mut self, pairs: &[TopicPair], broker: &[ConfigEntry]) {
        let Some(expiration) = producer_expiration(broker) else { return };
        let quarter_ms = i64::try_from(expiration.as_millis() / 4).unwrap_or(i64::MAX);
        let mut old = None;
        for pair in pairs {
            if old.is_none() && self.has_older(pair, quarter_ms).await {
                old = Some(pair);
            }
        }
        let is_dynamic =
            broker.iter().any(|entry| entry.name == "producer.id.expiration.ms" && !entry.read_only);
        let is_raised = expiration >= RAISED || (is_dynamic && self.flow.raises_producer_expiry);
        let Some(pair) = old.filter(|_| !is_raised) else {
            return;
        };
        let key = match broker.iter().any(|entry| entry.name == "producer.id.expiration.ms") {
            true => "producer.id.expiration.ms",
            false => "transactional.id.expiration.ms",
        };
        let servers = self.target.config().bootstrap_servers.join(",");
        self.findings.push(Finding {
            severity: Severity::Warning,
            kind: FindingKind::Configuration,
            cluster: self.target.alias().to_owned(),
            subject: format!("{key} of the brokers"),
            problem: format!(
                "it is {} ms, and topic {} of the source has records older than a quarter of that: brokers forget who wrote such a record, \
                 so it is copied a batch at a time, and the log's end is looked at more often",
                expiration.as_millis(),
                pair.source
            ),
            advice: "raise it for the time of the backfill, at most to 2147483647 (24 days), or let kmirror do so (raise_producer_expiry)"
                .to_owned(),
            command: Some(format!(
                "kafka-configs --bootstrap-server {servers} --alter --entity-type brokers --entity-default --add-config \
                 {key}={RAISED_MS}"
            )),
        });
    }

    /// Whether a source topic holds records that are older.
    async fn has_older(&self, pair: &TopicPair, age_ms: i64) -> bool {
        let oldest = records::now_ms().saturating_sub(age_ms).max(0);
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
        starts.iter().zip(&ends).zip(&young).any(|((start, end), young)| match (start, end) {
            (Some(start), Some(end)) => young.unwrap_or(*end) > *start,
            _ => false,
        })
    }

    /// What the logs hold: partitions that would park, and heads that would be filled.
    pub(super) async fn logs(&mut self) -> Result<(), Error> {
        let plans = partitions::of_flow(self.flow, self.terms, self.source, self.target).await?.plans;
        let known = plans.iter().filter(|plan| !matches!(plan.step, PlanStep::Continue { .. }));
        let positions = known.filter_map(|plan| {
            Some((TopicPartition::new(plan.source_topic.as_str(), plan.partition), plan.position()?))
        });
        let beyond = self.commit_group_beyond(&positions.collect()).await;
        beyond.map_err(|error| Error::cluster(&self.flow.source, error))?;
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
    let isolation = Isolation::ReadUncommitted;
    let asked = [(partition.clone(), OffsetSpec::Latest)];
    let (_, end) = target.list_offsets(&asked, isolation).await.into_iter().next()?;
    let last = end.ok()?.offset?.checked_sub(1).filter(|last| *last >= 0)?;
    let fetched = target.fetch_once(partition, last, 1, isolation).await.ok()?;
    let Entry::Batch(batch) = split(fetched.records, last).next()?.ok()? else { return None };
    let header = batch.header();
    Some(!header.attributes.is_control() && !identity::is_kmirror(header.producer_id))
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

/// As many are looked at.
const PARTITIONS_MAX: usize = 200;
