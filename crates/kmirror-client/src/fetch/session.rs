//! Fetch sessions (KIP-227): the broker remembers what we fetch, so a request names only what changed.
//!
//! Pure: requests out, responses in. The rules are those of Kafka's `FetchSessionHandler`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages as m;
use kafka_protocol::messages::fetch_request as wire;

use super::{FetchRequest, FetchResponse, FetchedPartition};
use crate::error_codes::KafkaError;
use crate::ids::{Isolation, TopicId, TopicPartition, to_wire};

/// What we read from one broker, and what that broker's fetch session knows of it.
///
/// One request at a time: [`next_request`](Self::next_request), then either [`handle`](Self::handle) its response or,
/// where none came, [`reset`](Self::reset). Positions may change in between; records that were asked for from an older
/// position are dropped then.
#[derive(Debug)]
pub struct FetchSession {
    settings: FetchSettings,
    partitions: BTreeMap<TopicPartition, Entry>,
    /// Those that the broker's session may not know as they are: thousands of idle ones are not looked at for every request.
    changed: BTreeSet<TopicPartition>,
    /// In the broker's session, and to be taken out of it.
    forgotten: BTreeSet<(TopicPartition, TopicId)>,
    topics_by_id: HashMap<TopicId, Arc<str>>,
    topics_by_name: HashSet<Arc<str>>,
    session_id: i32,
    /// 0 asks for a new session.
    session_epoch: i32,
    /// From version 13 on requests name topics by id; a session is one or the other.
    uses_topic_ids: bool,
    in_flight: Option<InFlight>,
    /// The rack that we are in, which decides about the replica to read from (KIP-392).
    rack: Option<String>,
    /// Where a broker keeps no session, requests begin behind this partition: the broker fills them in order.
    served_last: Option<TopicPartition>,
}

/// How to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// The longest time that the broker waits for `min_bytes`.
    pub max_wait: Duration,
    /// How many bytes are worth an answer before `max_wait` is over.
    pub min_bytes: i32,
    /// How many bytes an answer may have; one batch is sent whatever its size.
    pub bytes_max: i32,
    /// Which records are visible.
    pub isolation: Isolation,
}

/// From where to fetch a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The next offset.
    pub offset: i64,
    /// The leader epoch in our metadata, which the broker compares with its own; `None` skips the comparison.
    pub leader_epoch: Option<i32>,
    /// The leader epoch of the last batch before `offset`, by which the broker (2.7 and later) notices that our log is
    /// not its own and answers with a diverging epoch.
    pub last_fetched_epoch: Option<i32>,
    /// The topic's id, [`TopicId::NONE`] where not known.
    pub topic_id: TopicId,
    /// How many bytes of this partition an answer may have.
    pub partition_bytes_max: i32,
}

/// Why a response brought nothing. In every case the next request starts a new session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The broker lost or evicted the session: nothing to worry about, go on with the next request.
    #[error("fetch session restarted: {0}")]
    Restarted(KafkaError),
    /// The broker refused the request as a whole.
    #[error("fetch refused: {0}")]
    Refused(KafkaError),
    /// The response does not fit the request.
    #[error("fetch response does not fit its request: {0}")]
    Invalid(String),
}

#[derive(Debug)]
struct Entry {
    position: FetchPosition,
    paused: bool,
    /// What the broker's session holds.
    sent: Option<FetchPosition>,
}

#[derive(Debug)]
struct InFlight {
    full: bool,
    partitions: usize,
}

impl FetchSession {
    /// A session without partitions.
    pub fn new(settings: FetchSettings) -> Self {
        Self {
            settings,
            partitions: BTreeMap::new(),
            changed: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            topics_by_id: HashMap::new(),
            topics_by_name: HashSet::new(),
            session_id: 0,
            session_epoch: 0,
            uses_topic_ids: false,
            in_flight: None,
            rack: None,
            served_last: None,
        }
    }

    /// Fetches as somebody in this rack: the leader may name a replica that is nearer.
    #[must_use]
    pub fn in_rack(self, rack: Option<String>) -> Self {
        Self { rack, ..self }
    }

    /// Other settings from the next request on.
    pub fn set_settings(&mut self, settings: FetchSettings) {
        self.settings = settings;
    }

    /// Fetches `partition` from `position` on, whether it was there, paused or neither.
    pub fn set(&mut self, partition: TopicPartition, position: FetchPosition) {
        self.topics_by_name.insert(partition.topic.clone());
        self.topics_by_id.insert(position.topic_id, partition.topic.clone());
        self.changed.insert(partition.clone());
        // The broker forgets after it adds, so what is back must not be forgotten.
        let uses_topic_ids = self.uses_topic_ids;
        self.forgotten.retain(|(forgotten, id)| {
            *forgotten != partition || (uses_topic_ids && *id != position.topic_id)
        });
        match self.partitions.get_mut(&partition) {
            Some(entry) => {
                if let Some(sent) = entry.sent
                    && uses_topic_ids
                    && sent.topic_id != position.topic_id
                {
                    self.forgotten.insert((partition, sent.topic_id));
                    entry.sent = None;
                }
                entry.position = position;
                entry.paused = false;
            }
            None => {
                self.partitions.insert(partition, Entry { position, paused: false, sent: None });
            }
        }
    }

    /// Stops fetching `partition` until it is [resumed](Self::resume) or [set](Self::set).
    pub fn pause(&mut self, partition: &TopicPartition) {
        if let Some(entry) = self.partitions.get_mut(partition) {
            entry.paused = true;
            self.changed.insert(partition.clone());
            if let Some(sent) = entry.sent {
                self.forgotten.insert((partition.clone(), sent.topic_id));
            }
        }
    }

    /// Fetches `partition` on from where it was last set.
    pub fn resume(&mut self, partition: &TopicPartition) {
        if let Some(position) = self.partitions.get(partition).map(|entry| entry.position) {
            self.set(partition.clone(), position);
        }
    }

    /// Forgets `partition`.
    pub fn remove(&mut self, partition: &TopicPartition) {
        if let Some(sent) = self.partitions.remove(partition).and_then(|entry| entry.sent) {
            self.forgotten.insert((partition.clone(), sent.topic_id));
        }
    }

    /// Where `partition` is fetched from next.
    pub fn position(&self, partition: &TopicPartition) -> Option<FetchPosition> {
        self.partitions.get(partition).map(|entry| entry.position)
    }

    /// Whether there is nothing to fetch: no partition, or all paused.
    pub fn is_idle(&self) -> bool {
        self.partitions.values().all(|entry| entry.paused)
    }

    /// Begins a new session with the next request: the connection was lost, and the session with it.
    pub fn reset(&mut self) {
        self.session_id = 0;
        self.restart();
    }

    /// The next request, in `version_max` or, where the id of some topic is not known, at most in version 12.
    pub fn next_request(&mut self, version_max: i16) -> FetchRequest {
        if self.in_flight.is_some() {
            self.reset();
        }
        let uses_topic_ids = version_max >= 13 && self.knows_topic_ids();
        if uses_topic_ids != self.uses_topic_ids {
            self.restart();
            self.uses_topic_ids = uses_topic_ids;
        }
        let version = if uses_topic_ids { version_max } else { version_max.min(12) };
        let full = self.session_epoch == 0;
        let chosen = if full { self.choose_all() } else { self.choose_changed() };
        self.in_flight = Some(InFlight { full, partitions: chosen.len() });
        FetchRequest { version, body: self.body(version, &chosen) }
    }

    /// The partitions of `response` that are still fetched from where the request said.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn handle(&mut self, response: FetchResponse) -> Result<Vec<FetchedPartition>, SessionError> {
        let Some(in_flight) = self.in_flight.take() else {
            self.restart();
            return Err(SessionError::Invalid("there was no request".to_owned()));
        };
        if let Some(error) = KafkaError::from_code(response.body.error_code) {
            return Err(self.refused(error));
        }
        if let Err(problem) = self.accept(&response, &in_flight) {
            self.restart();
            return Err(SessionError::Invalid(problem));
        }
        let names = |name: &str, id: TopicId| match id.is_none() {
            true => self.topics_by_name.get(name).cloned(),
            false => self.topics_by_id.get(&id).cloned(),
        };
        let current = |fetched: &FetchedPartition| {
            let entry = self.partitions.get(&fetched.topic_partition);
            entry.is_some_and(|entry| entry.sent == Some(entry.position))
        };
        let fetched: Vec<_> = response.partitions(names).filter(current).collect();
        if self.session_epoch == 0 {
            let served = fetched.iter().rev().find(|fetched| !fetched.records.is_empty());
            self.served_last =
                served.map(|fetched| fetched.topic_partition.clone()).or(self.served_last.take());
        }
        Ok(fetched)
    }

    /// Keeps the session id: the request for the new session closes the old one.
    fn restart(&mut self) {
        self.session_epoch = 0;
        self.in_flight = None;
        self.forgotten.clear();
        for entry in self.partitions.values_mut() {
            entry.sent = None;
        }
    }

    fn refused(&mut self, error: KafkaError) -> SessionError {
        match error {
            KafkaError::FETCH_SESSION_ID_NOT_FOUND => {
                self.reset();
                SessionError::Restarted(error)
            }
            KafkaError::INVALID_FETCH_SESSION_EPOCH | KafkaError::FETCH_SESSION_TOPIC_ID_ERROR => {
                self.restart();
                SessionError::Restarted(error)
            }
            _ => {
                self.restart();
                SessionError::Refused(error)
            }
        }
    }

    /// Moves the session on by the response.
    fn accept(&mut self, response: &FetchResponse, in_flight: &InFlight) -> Result<(), String> {
        let session_id = response.body.session_id;
        let partitions: usize = response.body.responses.iter().map(|topic| topic.partitions.len()).sum();
        if in_flight.full {
            // A throttled broker may answer any request with nothing but the throttle time (KIP-219).
            if partitions == 0 && in_flight.partitions > 0 && response.body.throttle_time_ms > 0 {
                self.reset();
                return Ok(());
            }
            if partitions < in_flight.partitions {
                return Err(format!("{partitions} of {} partitions", in_flight.partitions));
            }
        } else if session_id != 0 && session_id != self.session_id {
            return Err(format!("session {session_id} instead of {}", self.session_id));
        }
        if session_id == 0 {
            // No session, or no longer: the broker has no room for it.
            self.session_id = 0;
            self.session_epoch = 0;
        } else {
            self.session_id = session_id;
            self.session_epoch = if self.session_epoch == i32::MAX { 1 } else { self.session_epoch + 1 };
        }
        Ok(())
    }

    /// Whether the ids of all topics to fetch are known. In a session by ids those are that did not change.
    fn knows_topic_ids(&self) -> bool {
        let is_known = |entry: &Entry| entry.paused || !entry.position.topic_id.is_none();
        if self.uses_topic_ids && self.session_epoch != 0 {
            self.changed.iter().filter_map(|partition| self.partitions.get(partition)).all(is_known)
        } else {
            self.partitions.values().all(is_known)
        }
    }

    /// All partitions, beginning behind the one that was served last.
    fn choose_all(&mut self) -> Vec<TopicPartition> {
        self.forgotten.clear();
        self.changed.clear();
        self.topics_by_id.clear();
        self.topics_by_name.clear();
        let mut chosen = Vec::with_capacity(self.partitions.len());
        for (partition, entry) in &mut self.partitions {
            self.topics_by_id.insert(entry.position.topic_id, partition.topic.clone());
            self.topics_by_name.insert(partition.topic.clone());
            entry.sent = (!entry.paused).then_some(entry.position);
            if !entry.paused {
                chosen.push(partition.clone());
            }
        }
        if let Some(served_last) = &self.served_last {
            let first = chosen.partition_point(|partition| partition <= served_last);
            chosen.rotate_left(first);
        }
        chosen
    }

    /// The partitions that the broker's session does not know as they are.
    fn choose_changed(&mut self) -> Vec<TopicPartition> {
        let mut chosen = Vec::new();
        for partition in std::mem::take(&mut self.changed) {
            let Some(entry) = self.partitions.get_mut(&partition) else { continue };
            if entry.paused {
                entry.sent = None;
            } else if entry.sent != Some(entry.position) {
                entry.sent = Some(entry.position);
                chosen.push(partition);
            }
        }
        chosen
    }

    fn body(&mut self, version: i16, chosen: &[TopicPartition]) -> m::FetchRequest {
        let settings = self.settings;
        let mut topics: Vec<wire::FetchTopic> = Vec::new();
        let mut last: Option<&Arc<str>> = None;
        for partition in chosen {
            let Some(entry) = self.partitions.get(partition) else { continue };
            if last != Some(&partition.topic) {
                topics.push(topic(version, &partition.topic, entry.position.topic_id));
                last = Some(&partition.topic);
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(entry.position.to_wire(version, partition.partition));
            }
        }
        let rack = self.rack.as_deref().filter(|_| version >= VERSION_OF_REPLICAS).unwrap_or_default();
        m::FetchRequest::default()
            .with_rack_id(to_wire(rack))
            .with_max_wait_ms(i32::try_from(settings.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(settings.min_bytes)
            .with_max_bytes(settings.bytes_max)
            .with_isolation_level(settings.isolation.to_wire())
            .with_session_id(self.session_id)
            .with_session_epoch(self.session_epoch)
            .with_topics(topics)
            .with_forgotten_topics_data(self.forgotten_topics(version))
    }

    fn forgotten_topics(&mut self, version: i16) -> Vec<wire::ForgottenTopic> {
        let mut topics: BTreeMap<(Arc<str>, TopicId), Vec<i32>> = BTreeMap::new();
        for (partition, id) in std::mem::take(&mut self.forgotten) {
            topics.entry((partition.topic, id)).or_default().push(partition.partition);
        }
        let forgotten = topics.into_iter().map(|((name, id), partitions)| {
            let topic = wire::ForgottenTopic::default().with_partitions(partitions);
            match version {
                ..=12 => topic.with_topic(to_wire(&name).into()),
                _ => topic.with_topic_id(id.0),
            }
        });
        forgotten.collect()
    }
}

impl FetchPosition {
    /// This position of `partition` in a request of `version`.
    pub(crate) fn to_wire(self, version: i16, partition: i32) -> wire::FetchPartition {
        let request = wire::FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(self.offset)
            .with_partition_max_bytes(self.partition_bytes_max);
        let request = match self.leader_epoch {
            Some(epoch) if version >= 9 => request.with_current_leader_epoch(epoch),
            _ => request,
        };
        match self.last_fetched_epoch {
            Some(epoch) if version >= 12 => request.with_last_fetched_epoch(epoch),
            _ => request,
        }
    }
}

/// A topic without partitions in a request of `version`.
pub(crate) fn topic(version: i16, name: &Arc<str>, id: TopicId) -> wire::FetchTopic {
    match version {
        ..=12 => wire::FetchTopic::default().with_topic(to_wire(name).into()),
        _ => wire::FetchTopic::default().with_topic_id(id.0),
    }
}

/// Since when a broker may send readers to a replica (KIP-392).
pub(super) const VERSION_OF_REPLICAS: i16 = 11;

#[cfg(test)]
mod tests;
