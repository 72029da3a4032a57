//! Looking at both clusters: which topics and partitions are there, and creating what the target lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, ClusterMetadata, KafkaError, Topics};
use tracing::warn;

use super::found::{FoundTopic, KnownTopic, Looked, Ownership, Returning};
use crate::flow::bounds::Bounds;
use crate::flow::missing::Missing;
use crate::flow::origins::Origins;
use crate::flow::owned;
use crate::ground::config::{Flow, Offsets, Start};
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::ground::loops;
use crate::ground::rules::TopicRules;
use crate::ground::status::MissingReason;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::store::{Known, StateStore};
use crate::topics::create::Created;
use crate::topics::preserve::Unkept;
use crate::topics::taken;
use crate::topics::{self, TopicPair, topic_id};

/// One look at both clusters. It runs beside the supervisor, which must not wait for a cluster.
#[derive(Clone)]
pub(crate) struct Discovery {
    pub(crate) flow: Flow,
    pub(crate) terms: Terms,
    pub(crate) source: Client,
    pub(crate) target: Client,
    /// Whether everything that the flow names must be there at the first look, and where it ends is asked for.
    pub(crate) once: bool,
    pub(crate) source_cluster_id: String,
    pub(crate) state: StateStore,
    /// What is known of it already.
    pub(crate) returning: Returning,
}

impl Discovery {
    /// The look with which a flow begins: a topic that would be copied for ever is an error then, before anything is created.
    pub(crate) async fn first(self) -> Result<Looked, Error> {
        self.look(BTreeMap::new(), Missing::new(), true).await
    }

    /// A later look. `known`: source topics as they were found before; `resting`: those that are not tried now.
    pub(crate) async fn again(
        self,
        known: BTreeMap<Arc<str>, KnownTopic>,
        resting: Missing,
    ) -> Result<Looked, Error> {
        self.look(known, resting, false).await
    }

    /// Refreshes the metadata of both clusters, creates missing topics, and returns what is new.
    async fn look(
        self,
        known: BTreeMap<Arc<str>, KnownTopic>,
        resting: Missing,
        is_first: bool,
    ) -> Result<Looked, Error> {
        let source = refresh(&self.source).await?;
        let target = refresh(&self.target).await?;
        let mut pairs = topics::pair(&self.flow, &self.terms.selected.topics, &source, &target);
        taken::refuse_taken(&self.terms, &mut pairs, |pair| !known.contains_key(&pair.source));
        let mut missing = self.absent(&known, &source);
        missing.extend(pairs.refused.into_iter().map(|refused| refused.missing()));
        let mut pairs = pairs.copied;
        if self.once && is_first {
            self.check_complete(&source, &pairs)?;
        }
        if is_first {
            self.tell_left_out(&source);
        }
        let missed = self.missed(&known, &source).await?;
        pairs.retain(|pair| known.get(&pair.source).is_none_or(|known| known.has_grown(pair, &source)));
        let looping = self.take_looping(&mut pairs);
        if let Some((topic, circle)) = looping.first_key_value().filter(|_| is_first) {
            let (topic, circle) = (topic.to_string(), circle.clone());
            return Err(Error::WouldLoop { flow: self.flow.name(), topic, circle });
        }
        let returning = self.take_returning(&known, &mut pairs, &source, &target).await;
        let is_left = |topic: &Arc<str>| pairs.iter().any(|pair| pair.source == *topic);
        missing.extend(resting.into_iter().filter(|(topic, _)| is_left(topic)));
        pairs.retain(|pair| !missing.contains_key(&pair.source));
        let found = if pairs.is_empty() {
            Vec::new()
        } else {
            self.find(&known, pairs, (&source, target), &mut missing).await?
        };
        Ok(Looked { found, missed, missing, looping, returning })
    }

    /// Sees to it that the target has these topics, and learns what it takes to copy them. `missing` gets those that cannot be copied.
    async fn find(
        &self,
        known: &BTreeMap<Arc<str>, KnownTopic>,
        mut pairs: Vec<TopicPair>,
        (source, mut target): (&ClusterMetadata, Arc<ClusterMetadata>),
        missing: &mut Missing,
    ) -> Result<Vec<FoundTopic>, Error> {
        let recorded = self.recorded(known, &pairs, source, &target).await?;
        let is_owned = |pair: &&TopicPair| known.get(&pair.source).is_some_and(KnownTopic::is_owned);
        let mut owned: BTreeSet<_> =
            pairs.iter().filter(is_owned).map(|pair| Arc::clone(&pair.target)).collect();
        if self.flow.creates_topics {
            target = self.create(&mut pairs, &mut owned, (source, target), missing).await?;
        }
        let awaited = pairs.iter().filter(|pair| target.topic(&pair.target).is_none());
        let awaited: Vec<_> = awaited.map(|pair| Arc::clone(&pair.source)).collect();
        pairs.retain(|pair| !awaited.contains(&pair.source));
        let reason = match self.flow.creates_topics {
            true => MissingReason::Waiting("the target does not show it yet".to_owned()),
            false => MissingReason::Awaited,
        };
        missing.extend(awaited.into_iter().map(|topic| (topic, reason.clone())));
        let mut unkept = self.preserve(&pairs, &owned).await?;
        for pair in &pairs {
            // The next look finds it again.
            if let Some(Unkept::Failed(parked)) = unkept.get(&pair.target) {
                missing.insert(Arc::clone(&pair.source), MissingReason::Waiting(parked.message.clone()));
            }
        }
        pairs.retain(|pair| !missing.contains_key(&pair.source));
        let needing_settings = self.needing_settings(&pairs, &recorded).await?;
        let names: Vec<_> = pairs.iter().map(|pair| Arc::clone(&pair.target)).collect();
        let rules = topics::rules(&self.flow, &self.target, &names).await?;
        let source_names: Vec<_> = pairs.iter().map(|pair| Arc::clone(&pair.source)).collect();
        let source_rules = topics::rules(&self.flow, &self.source, &source_names).await?;
        let mut bounds = self.bounds(&pairs, &rules, &source_rules).await;
        let unknown = std::mem::take(&mut bounds.unknown).into_iter();
        missing.extend(unknown.map(|(topic, parked)| (topic, MissingReason::Refused(parked))));
        pairs.retain(|pair| !missing.contains_key(&pair.source));
        let found = pairs
            .into_iter()
            .filter_map(|pair| {
                let target_topic = target.topic(&pair.target)?;
                let ownership = match known.get(&pair.source) {
                    Some(known) => known.ownership.clone(),
                    None if owned.contains(&pair.target) => Ownership::Owned,
                    None if recorded.contains(&pair.target) => {
                        Ownership::Recorded { needs_settings: needing_settings.contains(&pair.target) }
                    }
                    None => Ownership::Unknown,
                };
                Some(FoundTopic {
                    ownership,
                    first_partition: known.get(&pair.source).map_or(0, |known| known.partitions),
                    source_topic_id: source.topic(&pair.source)?.id,
                    target_topic_id: target_topic.id,
                    rules: rules.get(&pair.target).copied()?,
                    source_rules: source_rules.get(&pair.source).copied()?,
                    may_need_heads: bounds.headless.contains(&pair.source),
                    goals: bounds.ends.remove(&pair.source).unwrap_or_default(),
                    parked: unkept.remove(&pair.target).map(Unkept::parked),
                    pair,
                })
            })
            .collect();
        Ok(found)
    }

    /// The topics that the flow names and the source does not have.
    fn absent(&self, known: &BTreeMap<Arc<str>, KnownTopic>, source: &ClusterMetadata) -> Missing {
        let names = self.terms.selected.topics.literal_names();
        let absent = names.filter(|name| source.topic(name).is_none() && !known.contains_key(*name));
        absent.map(|name| (Arc::from(name), MissingReason::NoSuchTopic)).collect()
    }

    /// Creates the topics that the target lacks, which are the flow's then, and adds partitions to those that are. The target's metadata then.
    async fn create(
        &self,
        pairs: &mut Vec<TopicPair>,
        owned: &mut BTreeSet<Arc<str>>,
        (source, mut target): (&ClusterMetadata, Arc<ClusterMetadata>),
        missing: &mut Missing,
    ) -> Result<Arc<ClusterMetadata>, Error> {
        self.record_intended(pairs, source).await?;
        let Created { topics: mut created, mut there, refused, put_off } =
            topics::create::create_missing(&self.flow, &self.source, &self.target, pairs).await?;
        missing.extend(refused.into_iter().map(|refused| refused.missing()));
        let waiting = |(pair, cause): (TopicPair, String)| (pair.source, MissingReason::Waiting(cause));
        missing.extend(put_off.into_iter().map(waiting));
        pairs.retain(|pair| !missing.contains_key(&pair.source));
        let grown = pairs.iter().filter(|pair| owned.contains(&pair.target));
        let has_grown = topics::grow(&self.flow, &self.target, grown).await?;
        if !created.is_empty() || has_grown {
            target = self.await_created(pairs, owned, &created).await?;
            for pair in pairs.iter_mut() {
                pair.target_partitions = target.topic(&pair.target).map(topics::partition_count);
            }
        }
        // Whoever may create a topic may not see it all the same.
        created.retain(|topic| target.topic(topic).is_some());
        there.extend(pairs.iter().filter(|pair| pair.target_partitions.is_none()).cloned());
        let hidden = topics::create::hidden(&self.flow, &self.target, there).await?;
        missing.extend(hidden.into_iter().map(|refused| refused.missing()));
        pairs.retain(|pair| !missing.contains_key(&pair.source));
        let new = pairs.iter().filter(|pair| created.contains(&pair.target));
        self.record_as(new, source, |pair| topic_id(&target, &pair.target)).await?;
        owned.extend(created);
        Ok(target)
    }

    /// The target topics that are recorded as the flow's and were not known, by their names there.
    async fn recorded(
        &self,
        known: &BTreeMap<Arc<str>, KnownTopic>,
        pairs: &[TopicPair],
        source: &ClusterMetadata,
        target: &ClusterMetadata,
    ) -> Result<BTreeSet<Arc<str>>, Error> {
        let is_new = |pair: &TopicPair| pair.target_partitions.is_some() && !known.contains_key(&pair.source);
        let recorded = match pairs.iter().any(is_new) {
            true => self.state.known().await.map_err(|error| error.of_flow(&self.flow))?,
            false => Known::default(),
        };
        let is_recorded = |pair: &&TopicPair| {
            let identity = self.identity_of(pair, source);
            let (partitions, topic_id) =
                (pair.target_partitions.unwrap_or(0), topic_id(target, &pair.target));
            is_new(pair) && owned::is_recorded(&recorded, &pair.target, partitions, &identity, topic_id)
        };
        Ok(pairs.iter().filter(is_recorded).map(|pair| Arc::clone(&pair.target)).collect())
    }

    pub(super) fn identity_of(&self, pair: &TopicPair, source: &ClusterMetadata) -> SourceIdentity {
        SourceIdentity {
            cluster_id: self.source_cluster_id.clone(),
            topic: pair.source.to_string(),
            topic_id: topic_id(source, &pair.source),
        }
    }

    /// Sees to it that the flow's own topics keep what is copied to them.
    async fn preserve(
        &self,
        pairs: &[TopicPair],
        owned: &BTreeSet<Arc<str>>,
    ) -> Result<BTreeMap<Arc<str>, Unkept>, Error> {
        let names = |pair: &TopicPair| (Arc::clone(&pair.source), Arc::clone(&pair.target));
        let names: Vec<_> = pairs.iter().filter(|pair| owned.contains(&pair.target)).map(names).collect();
        topics::preserve::preserve(&self.flow, &self.source, &self.target, &names).await
    }

    /// Those of these topics that would not keep what is copied to them, as they are.
    async fn needing_settings(
        &self,
        pairs: &[TopicPair],
        recorded: &BTreeSet<Arc<str>>,
    ) -> Result<BTreeSet<Arc<str>>, Error> {
        let names = |pair: &TopicPair| (Arc::clone(&pair.source), Arc::clone(&pair.target));
        let names: Vec<_> = pairs.iter().filter(|pair| recorded.contains(&pair.target)).map(names).collect();
        topics::preserve::needing(&self.flow, &self.source, &self.target, &names).await
    }

    /// The known topics that the source does not have any more. A list of all topics leaves out those that may not be seen; only a
    /// question for the topic itself tells which it is.
    async fn missed(
        &self,
        known: &BTreeMap<Arc<str>, KnownTopic>,
        source: &ClusterMetadata,
    ) -> Result<Vec<Arc<str>>, Error> {
        let absent: Vec<_> = known.keys().filter(|topic| source.topic(topic).is_none()).cloned().collect();
        if absent.is_empty() {
            return Ok(absent);
        }
        let named = self.source.refresh_metadata(Topics::Named(absent.clone())).await;
        let named = named.map_err(|error| Error::cluster(&self.flow.source, error))?;
        let is_gone = |topic: &Arc<str>| {
            named.topic(topic).is_none_or(|topic| topic.error == Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION))
        };
        Ok(absent.into_iter().filter(is_gone).collect())
    }

    /// Says which topics are left out though the flow names them: a name that is written down is meant.
    fn tell_left_out(&self, source: &ClusterMetadata) {
        let matcher = &self.terms.selected.topics;
        for name in matcher.literal_names() {
            let Some(topic) = source.topic(name) else { continue };
            let rule = topics::rule::of_topic(&self.flow, matcher, name, topic);
            if !rule.selects() {
                warn!(flow = self.flow.name(), topic = name, %rule, "left out though the flow names it");
            }
        }
        let topics: Vec<&str> = source.topics.keys().map(|topic| &**topic).collect();
        for (expression, meant) in matcher.unmatched(&topics) {
            let advice = meant.map(|meant| format!("; was `{meant}` meant?")).unwrap_or_default();
            warn!(
                flow = self.flow.name(),
                expression, "the expression matches no topic of the source{advice}"
            );
        }
    }

    /// Takes out the topics that would be copied for ever.
    fn take_looping(&self, pairs: &mut Vec<TopicPair>) -> BTreeMap<Arc<str>, String> {
        let circle = |pair: &TopicPair| loops::circle_of(&self.terms.routes, self.terms.route, &pair.source);
        let looping: BTreeMap<_, _> =
            pairs.iter().filter_map(|pair| Some((Arc::clone(&pair.source), circle(pair)?))).collect();
        pairs.retain(|pair| !looping.contains_key(&pair.source));
        looping
    }

    /// Takes out the new topics that have passed the target's cluster, as the source's state topic says, whatever they are called: under another
    /// name they would be copied there, found, copied back, and so on. Under the same name their copy would be the topic that they came from.
    async fn take_returning(
        &self,
        known: &BTreeMap<Arc<str>, KnownTopic>,
        pairs: &mut Vec<TopicPair>,
        source: &ClusterMetadata,
        target: &ClusterMetadata,
    ) -> Returning {
        let id = |topic: &Arc<str>| topic_id(source, topic);
        let mut returning = self.returning.clone();
        returning.retain(|topic, topic_id| *topic_id == id(topic));
        pairs.retain(|pair| !returning.contains_key(&pair.source));
        let is_new = |pair: &TopicPair| pair.source != pair.target && !known.contains_key(&pair.source);
        let Some(target_id) = target.cluster_id.as_deref().filter(|_| pairs.iter().any(is_new)) else {
            return returning;
        };
        let origins = Origins::read(&self.source, &self.flow.state_topic).await;
        for pair in pairs.iter().filter(|pair| is_new(pair)) {
            let topic_id = id(&pair.source);
            if origins.of(&pair.source, topic_id).iter().any(|passed| passed == target_id) {
                returning.insert(Arc::clone(&pair.source), topic_id);
            }
        }
        pairs.retain(|pair| !returning.contains_key(&pair.source));
        returning
    }

    fn check_complete(&self, source: &ClusterMetadata, pairs: &[TopicPair]) -> Result<(), Error> {
        if let Some(topic) =
            self.terms.selected.topics.literal_names().find(|name| source.topic(name).is_none())
        {
            return Err(Error::NoSuchTopic { flow: self.flow.name(), topic: topic.to_owned() });
        }
        if pairs.is_empty() {
            return Err(Error::NothingSelected { flow: self.flow.name() });
        }
        Ok(())
    }

    /// A topic takes a moment to be known to every broker after CreateTopics has answered. One that was there and is not the flow's stays as
    /// it is.
    async fn await_created(
        &self,
        pairs: &[TopicPair],
        owned: &BTreeSet<Arc<str>>,
        created: &BTreeSet<Arc<str>>,
    ) -> Result<Arc<ClusterMetadata>, Error> {
        let is_changed = |pair: &&TopicPair| created.contains(&pair.target) || owned.contains(&pair.target);
        for poll in 0..CREATED_POLLS_MAX {
            let metadata = refresh(&self.target).await?;
            let is_shown = |pair: &&TopicPair| metadata.topic(&pair.target).is_some();
            let mut shown =
                pairs.iter().filter(is_changed).filter(|pair| poll < SHOWN_POLLS_MAX || is_shown(pair));
            if shown.all(|pair| has_leaders(&metadata, pair)) {
                return Ok(metadata);
            }
            tokio::time::sleep(CREATED_POLL_INTERVAL).await;
        }
        refresh(&self.target).await
    }

    /// The topics of which heads may have to be filled: those that are compacted on either side and that are to begin where their source does.
    fn is_compacted(
        &self,
        pair: &TopicPair,
        rules: &BTreeMap<Arc<str>, TopicRules>,
        source_rules: &BTreeMap<Arc<str>, TopicRules>,
    ) -> bool {
        let is_compacted = |rules: &BTreeMap<Arc<str>, TopicRules>, name| {
            rules.get(name).is_some_and(|rules| rules.is_compacted)
        };
        self.flow.offsets == Offsets::Exact
            && (is_compacted(rules, &pair.target) || is_compacted(source_rules, &pair.source))
    }

    /// Where logs begin, where heads may have to be filled, and where they end, for a flow that runs once.
    async fn bounds(
        &self,
        pairs: &[TopicPair],
        rules: &BTreeMap<Arc<str>, TopicRules>,
        source_rules: &BTreeMap<Arc<str>, TopicRules>,
    ) -> Bounds {
        let mut bounds = Bounds::default();
        let compacted = pairs.iter().filter(|pair| self.is_compacted(pair, rules, source_rules));
        match self.flow.start {
            Start::Earliest => bounds.read_starts(&self.source, compacted).await,
            _ => bounds.headless = compacted.map(|pair| Arc::clone(&pair.source)).collect(),
        }
        if self.once {
            bounds.read_ends(&self.source, pairs.iter(), self.flow.isolation.for_client()).await;
        }
        bounds
    }
}

fn has_leaders(metadata: &ClusterMetadata, pair: &TopicPair) -> bool {
    metadata.topic(&pair.target).is_some_and(|topic| {
        topics::partition_count(topic) >= pair.partitions
            && topic.partitions.iter().all(|partition| partition.leader.is_some())
    })
}

async fn refresh(client: &Client) -> Result<Arc<ClusterMetadata>, Error> {
    client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
}

const CREATED_POLL_INTERVAL: Duration = Duration::from_millis(50);
const CREATED_POLLS_MAX: u32 = 200;
/// One that is not shown at all by then is not waited for: it may be one that may not be seen.
const SHOWN_POLLS_MAX: u32 = 40;
