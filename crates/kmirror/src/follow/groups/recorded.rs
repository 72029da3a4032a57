//! Where groups were left on both sides, in the state topic: the judge's memory. After a restart it tells a place on the target that somebody
//! has set back or deleted meanwhile, what kmirror itself has put on the source, and on which side a group has begun to move. Instances
//! share it: each reads what the others have written before it judges, and writes only behind what it has read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kmirror_client::{Client, TopicId, TopicPartition, clock};
use serde::{Deserialize, Serialize};

use super::judge::{Settled, Side};
use crate::ground::config::Flow;
use crate::logs::records::KeyValue;
use crate::state_topic::topic::{KeyChange, RECORDS_PER_BATCH_MAX, Reading, StateError, StateTopic};

/// By group and partition of the source.
pub(crate) type SettledGroups = BTreeMap<String, BTreeMap<TopicPartition, Settled>>;
/// A group in a partition of the source.
pub(crate) type Place = (String, TopicPartition);

/// What the state topic holds of the groups of one flow.
pub(crate) struct Recorded {
    target: Client,
    topic_name: String,
    replication_factor: i16,
    /// `None` before it was opened, or where it is not there.
    topic: Option<StateTopic>,
    memory: Memory,
    /// What was to be recorded at the last look, which is when, and how many there were.
    seen: SettledGroups,
    looked_at: Option<Instant>,
    looks: u32,
}

/// What was read of the topic. Pure.
struct Memory {
    scope: Scope,
    known: BTreeMap<Place, Known>,
    /// What others have recorded, and nobody has asked for yet.
    news: Vec<(Place, Settled)>,
}

/// A record: what was settled, and in which topic of the target; none where the cluster knows no ids, or the record is an older release's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    settled: Settled,
    target_topic_id: TopicId,
}

/// Flows that take groups to the same places: of one source, under the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    source_cluster_id: String,
    naming: String,
}

impl Recorded {
    pub(crate) fn new(flow: &Flow, source: &Client, target: &Client) -> Recorded {
        Recorded {
            target: target.clone(),
            memory: Memory::of(Scope {
                source_cluster_id: source.cluster_id().unwrap_or_default(),
                naming: flow.naming.target_topic(&flow.source, "{topic}"),
            }),
            topic_name: flow.state_topic.clone(),
            replication_factor: flow.state_replication_factor,
            topic: None,
            seen: SettledGroups::new(),
            looked_at: None,
            looks: 0,
        }
    }

    /// Reads what was recorded since the last time, and says what somebody else has recorded. Creates nothing.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub(crate) async fn refresh(&mut self) -> Result<Vec<(Place, Settled)>, StateError> {
        if !self.is_open(None).await? {
            return Ok(Vec::new());
        }
        let Some(topic) = &mut self.topic else { return Ok(Vec::new()) };
        let reading = topic.read_keys().await?;
        self.memory.take_in(reading, &[]);
        Ok(std::mem::take(&mut self.memory.news))
    }

    async fn is_open(&mut self, replication_factor: Option<i16>) -> Result<bool, StateError> {
        if self.topic.is_none() {
            let opened = StateTopic::open(&self.target, &self.topic_name, replication_factor).await;
            self.topic = opened.map_err(|error| StateError::Unreachable(error.to_string()))?;
        }
        Ok(self.topic.is_some())
    }

    /// What was recorded of a group, which stands at `target` there. Not of another topic of that name; where it is not known which one
    /// that was, and the group stands nowhere, it may have been another.
    pub(crate) fn of(
        &self,
        group: &str,
        partition: &TopicPartition,
        on_target: &TopicPartition,
        target: Option<i64>,
    ) -> Option<Settled> {
        let known = self.memory.known.get(&(group.to_owned(), partition.clone()))?;
        let id = self.id_of(on_target);
        let is_known = !id.is_none() && !known.target_topic_id.is_none();
        let is_same = if is_known { id == known.target_topic_id } else { target.is_some() };
        is_same.then_some(known.settled)
    }

    fn id_of(&self, on_target: &TopicPartition) -> TopicId {
        self.target.metadata().topic(&on_target.topic).map_or(TopicId::NONE, |topic| topic.id)
    }

    /// Records what is settled now: at once what is new, and what `is_eager` (groups that may return, for which it matters who has moved
    /// since), and at the end (`is_last`) everything. Any other group that moves all the time is recorded less often than one that has come
    /// to rest, for the topic is read at each start.
    ///
    /// # Errors
    /// Those of any call.
    pub(crate) async fn write(
        &mut self,
        settled: &SettledGroups,
        on_target: impl Fn(&TopicPartition) -> Option<TopicPartition>,
        is_eager: impl Fn(&str) -> bool,
        is_last: bool,
    ) -> Result<(), StateError> {
        let now = clock::now();
        let looks = self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_INTERVAL);
        let takes = match looks {
            _ if is_last => Takes::Everything,
            true if self.looks.is_multiple_of(LOOKS_PER_RECORD) => Takes::Everything,
            true => Takes::WhatRests,
            false => Takes::WhatIsNew,
        };
        let due = due(settled, &self.seen, &self.memory.known, takes, is_eager);
        let due = due.into_iter().filter_map(|(place, settled)| {
            let target_topic_id = self.id_of(&on_target(&place.1)?);
            Some((place, Known { settled, target_topic_id }))
        });
        self.put(&due.collect::<Vec<_>>()).await?;
        if looks {
            (self.seen, self.looked_at, self.looks) =
                (settled.clone(), Some(now), self.looks.wrapping_add(1));
        }
        Ok(())
    }

    /// Records what is about to be done on the source, before it is: whoever finds it there knows then who has done it. False: somebody
    /// else has recorded something meanwhile.
    pub(crate) async fn announce(
        &mut self,
        group: &str,
        announced: &[(TopicPartition, TopicPartition, Settled)],
    ) -> Result<bool, StateError> {
        let records = announced.iter().map(|(partition, on_target, settled)| {
            let target_topic_id = self.id_of(on_target);
            ((group.to_owned(), partition.clone()), Known { settled: *settled, target_topic_id })
        });
        let records: Vec<_> = records.collect();
        self.put(&records).await
    }

    /// Whether all of it stands in the topic now, as the last word: nothing is written over what was not read.
    async fn put(&mut self, records: &[(Place, Known)]) -> Result<bool, StateError> {
        if records.is_empty() || !self.is_open(Some(self.replication_factor)).await? {
            return Ok(records.is_empty());
        }
        for records in records.chunks(RECORDS_PER_BATCH_MAX) {
            let batch: Vec<KeyValue> = records
                .iter()
                .map(|((group, partition), known)| {
                    (self.memory.scope.key_of(group, partition), Some(value_of(*known)))
                })
                .collect();
            let Some(topic) = &mut self.topic else { return Ok(false) };
            if !topic.is_fresh() {
                let reading = topic.read_keys().await?;
                self.memory.take_in(reading, &[]);
            }
            let Some(topic) = &mut self.topic else { return Ok(false) };
            let (reading, appended) = topic.write_keys(&batch).await?;
            self.memory.take_in(reading, records);
            appended.map_err(|error| StateError::Unreachable(error.to_string()))?;
        }
        Ok(records.iter().all(|(place, known)| self.memory.known.get(place) == Some(known)))
    }
}

impl Memory {
    fn of(scope: Scope) -> Memory {
        Memory { scope, known: BTreeMap::new(), news: Vec::new() }
    }

    /// `own`: what this process has just written.
    fn take_in(&mut self, reading: Reading<KeyChange>, own: &[(Place, Known)]) {
        if reading.is_anew {
            self.known.clear();
        }
        for (key, value) in reading.changes {
            let Some(place) = self.scope.place_of(&key) else { continue };
            // What is not understood is not known: the group is found where it stands.
            let now = value.and_then(|value: Bytes| known_of(&value));
            let before = match now {
                Some(now) => self.known.insert(place.clone(), now),
                None => self.known.remove(&place),
            };
            let is_news = |now: &Known| before != Some(*now) && !own.contains(&(place.clone(), *now));
            self.news.extend(now.filter(is_news).map(|now| (place, now.settled)));
        }
    }
}

/// Of what is not recorded as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// What is not recorded at all.
    WhatIsNew,
    /// What has not changed since the last look, either.
    WhatRests,
    Everything,
}

/// What is to be recorded.
fn due(
    settled: &SettledGroups,
    seen: &SettledGroups,
    known: &BTreeMap<Place, Known>,
    takes: Takes,
    is_eager: impl Fn(&str) -> bool,
) -> Vec<(Place, Settled)> {
    let places = settled.iter().flat_map(|(group, partitions)| {
        partitions.iter().map(move |(partition, settled)| ((group.clone(), partition.clone()), *settled))
    });
    let is_due = |(place, settled): &(Place, Settled)| {
        let recorded = known.get(place).map(|known| known.settled);
        let rests = || seen.get(&place.0).and_then(|seen| seen.get(&place.1)) == Some(settled);
        let takes_it = match takes {
            _ if recorded.is_none() || is_eager(&place.0) => true,
            Takes::WhatIsNew => false,
            Takes::WhatRests => rests(),
            Takes::Everything => true,
        };
        takes_it && recorded != Some(*settled)
    };
    let mut due: Vec<_> = places.filter(is_due).collect();
    due.sort_by(|((one, at), _), ((other, there), _)| {
        (one, &at.topic, at.partition).cmp(&(other, &there.topic, there.partition))
    });
    due
}

/// A key, in Kafka's words.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    source_cluster_id: String,
    naming: String,
    group: String,
    topic: String,
    partition: i32,
}

/// A value: offsets of both sides.
#[derive(Serialize, Deserialize)]
struct Value {
    version: u32,
    source: i64,
    target: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<i64>,
    /// Where it is not `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed: Option<i64>,
    #[serde(default, skip_serializing_if = "follows")]
    side: Side,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned: Option<i64>,
    /// As Kafka's tools print it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_topic_id: Option<String>,
}

fn follows(side: &Side) -> bool {
    *side == Side::Follows
}

impl Scope {
    fn key_of(&self, group: &str, partition: &TopicPartition) -> Vec<u8> {
        let key = Key {
            source_cluster_id: self.source_cluster_id.clone(),
            naming: self.naming.clone(),
            group: group.to_owned(),
            topic: partition.topic.to_string(),
            partition: partition.partition,
        };
        let mut bytes = KEY_PREFIX.to_vec();
        bytes.extend(serde_json::to_vec(&key).unwrap_or_default());
        bytes
    }

    /// The group and the partition of a key, if it is one of this scope and can be understood.
    fn place_of(&self, key: &[u8]) -> Option<(String, TopicPartition)> {
        let key: Key = serde_json::from_slice(key.strip_prefix(KEY_PREFIX)?).ok()?;
        let is_of_this = key.source_cluster_id == self.source_cluster_id && key.naming == self.naming;
        is_of_this.then(|| (key.group, TopicPartition::new(key.topic.as_str(), key.partition)))
    }
}

fn value_of(known: Known) -> Vec<u8> {
    let Known { settled, target_topic_id } = known;
    let Settled { source, target, kept, committed, side, returned } = settled;
    let committed = Some(committed).filter(|committed| *committed != source);
    let target_topic_id = (!target_topic_id.is_none()).then(|| target_topic_id.to_string());
    let value = Value { version: VERSION, source, target, kept, committed, side, returned, target_topic_id };
    serde_json::to_vec(&value).unwrap_or_default()
}

fn known_of(value: &[u8]) -> Option<Known> {
    let Value { version, source, target, kept, committed, side, returned, target_topic_id } =
        serde_json::from_slice(value).ok()?;
    let settled = Settled { source, target, kept, committed: committed.unwrap_or(source), side, returned };
    let target_topic_id = target_topic_id.map_or(Ok(TopicId::NONE), |id| id.parse()).ok()?;
    (version == VERSION).then_some(Known { settled, target_topic_id })
}

const KEY_PREFIX: &[u8] = b"group/";
const VERSION: u32 = 1;
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// After so many looks what moves all the time is recorded as well: every ten minutes.
const LOOKS_PER_RECORD: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("orders", number)
    }

    fn settled(places: &[(i32, i64)]) -> SettledGroups {
        let places = places.iter().map(|(number, place)| (partition(*number), Settled::at(*place, *place)));
        SettledGroups::from([("readers".to_owned(), places.collect())])
    }

    #[test]
    fn a_record_is_read_as_it_was_written_in_its_scope_alone() {
        let scope = Scope { source_cluster_id: "abc".to_owned(), naming: "east.{topic}".to_owned() };
        let key = scope.key_of("a/\"b\"", &partition(3));
        assert_eq!(scope.place_of(&key), Some(("a/\"b\"".to_owned(), partition(3))));
        let other = Scope { source_cluster_id: "abd".to_owned(), ..scope.clone() };
        assert_eq!(other.place_of(&key), None);
        assert_eq!(crate::state_topic::record::partition_of(&key), None, "no record of a partition");
        let settled = Settled::at(5, 7);
        let anonymous = |settled| Known { settled, target_topic_id: TopicId::NONE };
        let named = Known { settled, target_topic_id: "ZmZmZmZmZmZmZmZmZmZmZg".parse().expect("an id") };
        let all = Settled { kept: Some(7), committed: 6, side: Side::Both, returned: Some(8), ..settled };
        for known in [anonymous(settled), anonymous(all), named] {
            assert_eq!(known_of(&value_of(known)), Some(known));
        }
        // Fixed for ever: earlier releases' records must be read, and they read these.
        assert_eq!(value_of(anonymous(settled)), br#"{"version":1,"source":5,"target":7}"#);
        assert_eq!(
            String::from_utf8(value_of(anonymous(all))).unwrap(),
            r#"{"version":1,"source":5,"target":7,"kept":7,"committed":6,"side":"both","returned":8}"#
        );
        for other in [&br#"{"version":2,"source":5,"target":7}"#[..], b"{}", b""] {
            assert_eq!(known_of(other), None);
        }
    }

    /// What others have written is news, what this process has written is not, and neither is a repeat.
    #[test]
    fn what_others_have_recorded_is_news() {
        let scope = Scope { source_cluster_id: "abc".to_owned(), naming: "{topic}".to_owned() };
        let mut memory = Memory::of(scope.clone());
        let place = ("readers".to_owned(), partition(0));
        let mut news_of = |settled: Settled, is_own: bool, is_anew: bool| {
            let known = Known { settled, target_topic_id: TopicId::NONE };
            let change = (scope.key_of(&place.0, &place.1).into(), Some(value_of(known).into()));
            let own = if is_own { vec![(place.clone(), known)] } else { Vec::new() };
            memory.take_in(Reading { is_anew, changes: vec![change] }, &own);
            let news: Vec<_> = std::mem::take(&mut memory.news).into_iter().map(|(_, now)| now).collect();
            (news, memory.known[&place].settled)
        };
        let (one, other) = (Settled::at(5, 7), Settled { returned: Some(8), ..Settled::at(5, 8) });
        assert_eq!(news_of(one, true, false), (vec![], one));
        assert_eq!(news_of(other, false, false), (vec![other], other));
        assert_eq!(news_of(other, false, false), (vec![], other), "it was known");
        assert_eq!(news_of(other, false, true), (vec![other], other), "the topic is another one");
    }

    #[test]
    fn what_rests_is_recorded_and_what_moves_now_and_then() {
        let (recorded, seen) = (settled(&[(0, 10), (1, 20), (2, 30)]), settled(&[(0, 10), (1, 25), (2, 33)]));
        let known: BTreeMap<_, _> = recorded["readers"]
            .iter()
            .map(|(partition, settled)| {
                let known = Known { settled: *settled, target_topic_id: TopicId::NONE };
                (("readers".to_owned(), partition.clone()), known)
            })
            .collect();
        let now = settled(&[(0, 10), (1, 25), (2, 35), (3, 40)]);
        let numbers = |takes, eager: &str| {
            let due = due(&now, &seen, &known, takes, |group| group == eager).into_iter();
            due.map(|((_, partition), _)| partition.partition).collect::<Vec<_>>()
        };
        assert_eq!(numbers(Takes::WhatIsNew, ""), [3]);
        assert_eq!(numbers(Takes::WhatRests, ""), [1, 3]);
        assert_eq!(numbers(Takes::Everything, ""), [1, 2, 3]);
        assert_eq!(numbers(Takes::WhatIsNew, "readers"), [1, 2, 3], "it may return");
    }
}
