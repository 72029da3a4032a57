//! Topics and partitions that appear, change, or are looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, TopicPartition, clock};
use tracing::{debug, error, info, warn};

use super::Supervisor;
use super::unowned::not_grown;
use crate::data::read::fetcher::FetcherEvent;
use crate::flow::event::FlowEvent;
use crate::flow::found::{FoundTopic, Looked, Ownership, Returning};
use crate::flow::heads::HeldTopic;
use crate::flow::missing::{Missing, Told};
use crate::flow::read_from::ReadFrom;
use crate::flow::standby::{Refusals, Standby};
use crate::flow::table::Entry;
use crate::ground::config::{Flow, Start};
use crate::ground::error::Error;
use crate::ground::park::Parked;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::rules::TopicRules;
use crate::ground::selection::TopicMatcher;
use crate::ground::shared::{OwnedTopic, Published};
use crate::ground::status::MissingReason;
use crate::ground::status::{PartitionGauge, PartitionState};
use crate::takeover::reasons::target_recreated;
use crate::topics;
use crate::topics::preserve::Unkept;

impl Supervisor {
    /// Starts the partitions that were found. `start`: where those begin that were never copied.
    pub(super) fn start(&mut self, found: Vec<FoundTopic>, start: Start) {
        for topic in found {
            if topic.first_partition == 0 {
                // One of the same name may have left the flow.
                self.context.shared.unpublish(&topic.pair.source);
            }
            let numbers = topic.first_partition..topic.pair.partitions;
            let keys: Vec<_> = numbers.map(|number| (number, self.enter(&topic, number, start))).collect();
            match &topic.ownership {
                Ownership::Owned => {
                    let (source_topic_id, target_topic_id) = (topic.source_topic_id, topic.target_topic_id);
                    self.context
                        .shared
                        .own(&topic.pair.target, OwnedTopic { source_topic_id, target_topic_id });
                }
                Ownership::Recorded { .. } | Ownership::Unknown => {
                    self.ask_whose(&topic, &keys);
                    continue;
                }
                Ownership::Disputed(parked) => {
                    let parked = not_grown(parked);
                    keys.iter().for_each(|(_, key)| self.park(*key, parked.clone()));
                    continue;
                }
            }
            if topic.may_need_heads {
                let held = HeldTopic::new(keys.iter().map(|(_, key)| *key));
                self.held.insert(Arc::clone(&topic.pair.target), held);
            }
            for (number, key) in keys {
                let missing = topics::missing_partition(&topic.pair, number);
                match topic.parked.clone().or(missing) {
                    None => self.take_over(key),
                    Some(parked) => self.park(key, parked),
                }
            }
        }
    }

    pub(super) fn enter(&mut self, topic: &FoundTopic, number: i32, start: Start) -> PartitionKey {
        let gauge = PartitionGauge::new();
        self.context.shared.publish(Published {
            source_topic: Arc::clone(&topic.pair.source),
            target_topic: Arc::clone(&topic.pair.target),
            partition: number,
            goal: topic.goals.get(&number).copied(),
            source_is_compacted: topic.source_rules.is_compacted,
            gauge: Arc::clone(&gauge),
        });
        self.table.insert(Entry {
            source: TopicPartition::new(Arc::clone(&topic.pair.source), number),
            target: TopicPartition::new(Arc::clone(&topic.pair.target), number),
            source_topic_id: topic.source_topic_id,
            target_topic_id: topic.target_topic_id,
            rules: topic.rules,
            compare_rules: topic.source_rules.compared_with(&topic.rules),
            start,
            record: None,
            reads_state: false,
            parked_at: None,
            gauge,
            generation: 0,
            has_left: false,
            read_from: ReadFrom::Leader,
            fetched_from: None,
            appender: None,
            appended_under: None,
            returned: None,
            standby: Standby::default(),
            token_refused: 0,
            refused: None,
            is_apart: false,
            merges: true,
            refusals: Refusals::default(),
            attempts: 0,
            attempted_at: -1,
            forgotten_end: 0,
        })
    }

    /// Looks at both clusters again, in a task of its own: a cluster that does not answer must not hold up the flow.
    pub(super) fn look(&mut self) {
        if self.looking_since.is_some() {
            return;
        }
        self.looking_since = Some(clock::now());
        let (discovery, known) = (self.discovery.clone(), self.known_topics());
        let selected = discovery.terms.selected.topics.clone();
        let resting = self.missing.resting(clock::now());
        self.errand(
            async move { FlowEvent::Looked { selected, looked: discovery.again(known, resting).await } },
        );
    }

    /// The same, unless the last look took so long that it is too soon.
    pub(super) fn look_when_due(&mut self) {
        if clock::now() >= self.look_not_before {
            self.look();
        }
    }

    /// Spaces looks out where they cost something. One that has found something has created topics as well, which takes long but
    /// is done.
    fn space_out(&mut self, looked: &Result<Looked, Error>) {
        let took = self.looking_since.take().map_or(Duration::ZERO, |since| clock::now() - since);
        let before = std::mem::replace(&mut self.look_took, took);
        let is_idle = looked.as_ref().is_ok_and(|looked| looked.found.is_empty());
        let interval = self.context.flow.metadata_refresh_interval;
        let pause = if is_idle { pause_after(took, before, interval) } else { Duration::ZERO };
        self.look_not_before = clock::now() + pause;
    }

    /// New topics and partitions, moved leaders, topics created again.
    pub(super) async fn on_looked(&mut self, selected: TopicMatcher, looked: Result<Looked, Error>) {
        self.space_out(&looked);
        if selected != self.discovery.terms.selected.topics {
            return self.look(); // other topics are selected meanwhile
        }
        match looked {
            Ok(Looked { found, missed, missing, looping, returning }) => {
                self.tell_looping(looping);
                self.tell_returning(returning);
                self.on_missing(missing);
                if std::mem::take(&mut self.is_blind) {
                    info!(flow = self.context.flow.name(), "both clusters answer again");
                }
                // What appears while the flow runs is copied from its first record; what is selected anew begins as at a start.
                let (appeared, selected_anew) =
                    found.into_iter().partition(|topic| self.looked_for.matches(&topic.pair.source));
                self.start(appeared, Start::Earliest);
                self.start(selected_anew, self.context.flow.start);
                self.looked_for = selected;
                self.context.shared.looked(self.discovery.terms.selection);
                self.on_missed(missed).await;
            }
            // Said once, not every few seconds for as long as a cluster is away.
            Err(error) if self.is_blind => {
                debug!(flow = self.context.flow.name(), %error, "still not answered")
            }
            Err(error) => {
                self.is_blind = true;
                warn!(flow = self.context.flow.name(), %error, "could not look at the clusters; trying again");
            }
        }
        self.recheck_topic_ids().await;
        self.settle_unowned();
        self.reconsider_parked();
        self.follow_target_leaders().await;
        let metadata = self.context.source.metadata();
        self.tell_taken_again();
        let mut waiting = Vec::new();
        let mut moved = Vec::new();
        for (key, entry) in self.table.iter() {
            let Some(leader) = metadata.leader(&entry.source) else { continue };
            let now = clock::now();
            let broker = entry.read_from.broker(leader, now, |broker| metadata.brokers.contains_key(&broker));
            match entry.fetched_from {
                Some(pipe) if pipe.broker != broker || entry.read_from.is_over(now) => {
                    moved.push((key, pipe))
                }
                None if entry.returned.is_some() && !entry.gauge.is_parked() => waiting.push(key),
                _ => {}
            }
        }
        for key in waiting {
            self.start_fetching(key).await;
        }
        for (key, pipe) in moved {
            if let Some(fetcher) = self.fetchers.get(&pipe) {
                let _ = fetcher.send(FetcherEvent::GiveBack(key)).await;
            }
        }
        self.remove_unused();
    }

    /// Takes partitions over whose target leader has moved: what is on its way to the old one is waited for by nobody.
    async fn follow_target_leaders(&mut self) {
        let metadata = self.context.target.metadata();
        let moved = self.table.iter().filter(|(_, entry)| entry.has_other_target_leader(&metadata));
        let moved: Vec<_> = moved.map(|(key, entry)| (key, entry.target.clone())).collect();
        for (key, partition) in moved {
            info!(%partition, "the target partition has another leader");
            self.release(key).await;
            self.take_over(key);
        }
    }

    /// The target takes records again of which it has refused the first.
    fn tell_taken_again(&mut self) {
        for (_, entry) in self.table.iter_mut() {
            if entry.refused.is_some() && entry.state_of_copying() == PartitionState::Copying {
                info!(partition = %entry.target, "the target takes records again");
                entry.gauge.set_state(PartitionState::Copying);
            }
        }
    }

    /// Says once which topics are left out since they would be copied for ever.
    fn tell_looping(&mut self, looping: BTreeMap<Arc<str>, String>) {
        for (topic, circle) in &looping {
            if !self.looping.contains(topic) {
                let flow = self.context.flow.name();
                error!(flow, %topic, circle, "left out: it would be copied for ever, for it passes these flows in a circle");
            }
        }
        self.looping = looping.into_keys().collect();
    }

    /// Says once which topics are left out since they came from the target.
    pub(super) fn tell_returning(&mut self, returning: Returning) {
        let known = &self.discovery.returning;
        for topic in returning.keys().filter(|topic| !known.contains_key(*topic)) {
            let flow = self.context.flow.name();
            warn!(flow, %topic, "left out: it has passed this flow's target, as the source's state topic says, and would be copied in a circle for ever");
        }
        self.discovery.returning = returning;
    }

    /// Topics of which nothing is copied: each is told once, and shown.
    pub(super) fn on_missing(&mut self, missing: Missing) {
        let name = self.context.flow.name();
        let pause = self.context.flow.parked_retry_interval;
        for told in self.missing.looked(clock::now(), missing, pause) {
            match told {
                Told::Missing(topic, MissingReason::Refused(parked)) => {
                    error!(flow = name, %topic, %parked, "the topic is not copied; it is tried again");
                }
                Told::Missing(topic, MissingReason::NoSuchTopic) => {
                    warn!(flow = name, %topic, "the source has no topic of this name, or does not show it; it is copied when it is there");
                }
                Told::Missing(topic, MissingReason::Awaited) => {
                    warn!(flow = name, %topic, "the flow waits for somebody to create the copy of this topic on the target: it may not do so itself");
                }
                Told::Missing(topic, MissingReason::Waiting(cause)) => {
                    warn!(flow = name, %topic, cause, "the topic is not copied yet; it is tried again");
                }
                Told::Found(topic) => debug!(flow = name, %topic, "the topic is missing no more"),
            }
        }
        self.context.shared.publish_missing(self.missing.shown(&name));
    }

    /// Finds topics that were deleted and created again on either side (KIP-516). What becomes of another source topic is the
    /// policy's to say; another target topic parks, for nobody should delete what is being written to.
    pub(super) async fn recheck_topic_ids(&mut self) {
        let source = self.context.source.metadata();
        let target = self.context.target.metadata();
        let (mut others, mut recreated) = (Vec::new(), Vec::new());
        for (key, entry) in self.table.iter() {
            let source_topic = source.topic(&entry.source.topic).filter(|topic| topic.error.is_none());
            let target_topic = target.topic(&entry.target.topic).filter(|topic| topic.error.is_none());
            // What parked a partition of the source may have been seen of another topic already than the one that was known.
            let is_judged = entry.gauge.is_parked_for(|reason| !reason.is_of_source());
            match (source_topic, target_topic) {
                (Some(topic), _) if topic.id != entry.source_topic_id && !is_judged => {
                    others.push((key, topic.id));
                }
                (_, Some(topic)) if topic.id != entry.target_topic_id && !entry.gauge.is_parked() => {
                    recreated.push((key, target_recreated(&entry.target.topic, entry.target_end_seen())));
                }
                _ => {}
            }
        }
        for (key, topic_id) in others {
            self.release(key).await;
            if let Some(entry) = self.table.get(key) {
                entry.source_topic_id = topic_id;
            }
            self.take_over(key);
        }
        for (key, parked) in recreated {
            self.release(key).await;
            self.park(key, parked);
        }
    }

    /// Looks again at partitions that are parked for something that an operator may have changed meanwhile: a limit, a
    /// permission, a partition that was missing.
    pub(super) fn reconsider_parked(&mut self) {
        let now = clock::now();
        let interval = self.context.flow.parked_retry_interval;
        let metadata = self.context.target.metadata();
        let owned = self.context.shared.owned(&self.context.source.metadata(), &metadata);
        let owned: BTreeSet<_> = owned.into_iter().map(|partition| partition.target_topic).collect();
        let due: Vec<_> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.gauge.is_parked() && metadata.partition(&entry.target).is_some())
            .filter(|(_, entry)| entry.parked_at.is_some_and(|at| now.duration_since(at) >= interval))
            .map(|(key, entry)| {
                let pair = (Arc::clone(&entry.source.topic), Arc::clone(&entry.target.topic));
                let is_owned = owned.contains(&entry.target.topic);
                (key, entry.generation, pair, is_owned, parked_as(entry))
            })
            .collect();
        for (key, generation, pair, is_owned, parked) in due {
            if let Some(entry) = self.table.get(key) {
                entry.parked_at = Some(now);
            }
            let flow = self.context.flow.clone();
            let (source, target) = (self.context.source.clone(), self.context.target.clone());
            self.errand(async move {
                let reconsidered = reconsidered(&flow, &source, &target, pair, is_owned).await;
                // Where nobody says what the topic has, or takes what it needs, it stays as it is.
                let (rules, parked) = reconsidered.unwrap_or((None, parked));
                FlowEvent::Reconsidered { key, generation, rules, parked }
            });
        }
    }

    pub(super) fn on_reconsidered(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        rules: Option<TopicRules>,
        parked: Option<Parked>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        if let Some(rules) = rules {
            entry.apply_rules(rules);
        }
        if let Some(parked) = parked {
            // Said once, as long as it is the same.
            let is_same = entry.gauge.state() == PartitionState::Parked(parked.clone());
            if !is_same {
                self.park(key, parked);
            }
            return;
        }
        info!(partition = %entry.target, "a parked partition is tried again");
        let topic = Arc::clone(&entry.target.topic);
        self.on_unowned_asked_again(&topic, key);
        self.take_over(key);
    }
}

fn parked_as(entry: &Entry) -> Option<Parked> {
    match entry.gauge.state() {
        PartitionState::Parked(parked) => Some(parked),
        _ => None,
    }
}

/// What a target topic asks of its batches now, and whether something keeps it from being copied to.
async fn reconsidered(
    flow: &Flow,
    source: &Client,
    target: &Client,
    (source_topic, topic): (Arc<str>, Arc<str>),
    is_owned: bool,
) -> Option<(Option<TopicRules>, Option<Parked>)> {
    let pair = [(source_topic, Arc::clone(&topic))];
    let unkept = match is_owned {
        true => topics::preserve::preserve(flow, source, target, &pair).await.ok()?.remove(&topic),
        false => None,
    };
    let parked = match unkept {
        Some(Unkept::Failed(_)) => return None,
        unkept => unkept.map(Unkept::parked),
    };
    let rules = topics::rules(flow, target, std::slice::from_ref(&topic)).await;
    Some((rules.ok().and_then(|rules| rules.get(&topic).copied()), parked))
}

/// How long to wait after a look that took so long, as did the one `before`. A broker that stands still makes one look slow, and is asked last
/// from then on: what its partitions need to know then is soon to be known.
fn pause_after(took: Duration, before: Duration, interval: Duration) -> Duration {
    (took.min(before) * LOOKS_APART).min(interval * LOOKS_APART_MAX)
}

/// A look that takes 10 ms is followed by another after half a second at the earliest.
const LOOKS_APART: u32 = 50;
/// In intervals of the configuration.
const LOOKS_APART_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spaced_out_where_all_of_them_take_long() {
        let (second, quick) = (Duration::from_secs(1), Duration::from_millis(2));
        assert_eq!(pause_after(2 * second, quick, second), 50 * quick, "a broker kept silent");
        assert_eq!(pause_after(quick, 2 * second, second), 50 * quick);
        assert_eq!(pause_after(second / 10, second / 10, second), 5 * second);
        assert_eq!(pause_after(2 * second, 3 * second, second), 10 * second);
    }
}
