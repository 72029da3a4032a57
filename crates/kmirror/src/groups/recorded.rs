//! Where groups were left on both sides, in the state topic: a place on the target that somebody has set back meanwhile is told by it
//! after a restart too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kmirror_client::{Client, ClientError, TopicPartition, clock};
use serde::{Deserialize, Serialize};

use super::judge::Settled;
use crate::config::Flow;
use crate::state::topic::{StateError, StateTopic};
use crate::topics::compacted::RecordTopic;

/// By group and partition of the source.
pub(crate) type SettledGroups = HashMap<String, HashMap<TopicPartition, Settled>>;

/// What the state topic holds of the groups of one flow.
pub(crate) struct Recorded {
    target: Client,
    topic_name: String,
    scope: Scope,
    writer: RecordTopic,
    /// `None` before it was read.
    known: Option<SettledGroups>,
    /// What was to be recorded at the last look, which is when, and how many there were.
    seen: SettledGroups,
    looked_at: Option<Instant>,
    looks: u32,
}

/// Flows that take groups to the same places: of one source, under the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    source_cluster_id: String,
    naming: String,
}

impl Recorded {
    pub(crate) fn new(flow: &Flow, source: &Client, target: &Client) -> Recorded {
        let topic_name = flow.state_topic.clone();
        Recorded {
            target: target.clone(),
            scope: Scope {
                source_cluster_id: source.cluster_id().unwrap_or_default(),
                naming: flow.naming.target_topic(&flow.source, "{topic}"),
            },
            writer: RecordTopic::new(target, topic_name.clone(), flow.state_replication_factor),
            topic_name,
            known: None,
            seen: SettledGroups::new(),
            looked_at: None,
            looks: 0,
        }
    }

    /// Reads what earlier processes have recorded, if that was not done yet. Creates nothing.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub(crate) async fn read_once(&mut self) -> Result<(), StateError> {
        if self.known.is_some() {
            return Ok(());
        }
        let opened = StateTopic::open(&self.target, &self.topic_name, None).await;
        let topic = opened.map_err(|error| StateError::Unreachable(error.to_string()))?;
        let mut known = SettledGroups::new();
        if let Some(mut topic) = topic {
            for (key, value) in topic.read_keys().await?.changes {
                let Some((group, partition)) = self.scope.place_of(&key) else { continue };
                let settled = value.as_deref().and_then(settled_of);
                // What is not understood is not known: the group is found where it stands.
                let group: &mut HashMap<_, _> = known.entry(group).or_default();
                match settled {
                    Some(settled) => group.insert(partition, settled),
                    None => group.remove(&partition),
                };
            }
        }
        self.known = Some(known);
        Ok(())
    }

    /// What was recorded of a group, which stands at `target` there. Where it stands nowhere any more there is no place to keep: the
    /// topic may be another one.
    pub(crate) fn of(&self, group: &str, partition: &TopicPartition, target: Option<i64>) -> Option<Settled> {
        target?;
        self.known.as_ref()?.get(group)?.get(partition).copied()
    }

    /// Records what is settled now: at once what is new, and at the end (`is_last`) everything. A group that moves all the time is recorded
    /// less often than one that has come to rest, for the topic is read at each start.
    ///
    /// # Errors
    /// Those of any call.
    pub(crate) async fn write(&mut self, settled: &SettledGroups, is_last: bool) -> Result<(), ClientError> {
        let now = clock::now();
        let looks = self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_INTERVAL);
        let takes = match looks {
            _ if is_last => Takes::Everything,
            true if self.looks.is_multiple_of(LOOKS_PER_RECORD) => Takes::Everything,
            true => Takes::WhatRests,
            false => Takes::WhatIsNew,
        };
        let Some(known) = &mut self.known else { return Ok(()) };
        let due = due(settled, &self.seen, known, takes);
        let record = |(group, partition, settled): &(String, TopicPartition, Settled)| {
            (self.scope.key_of(group, partition), Some(value_of(*settled)))
        };
        if !due.is_empty() {
            self.writer.append(&due.iter().map(record).collect::<Vec<_>>()).await?;
        }
        for (group, partition, settled) in due {
            known.entry(group).or_default().insert(partition, settled);
        }
        if looks {
            (self.seen, self.looked_at, self.looks) =
                (settled.clone(), Some(now), self.looks.wrapping_add(1));
        }
        Ok(())
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
    known: &SettledGroups,
    takes: Takes,
) -> Vec<(String, TopicPartition, Settled)> {
    let find = |groups: &SettledGroups, group: &str, partition: &TopicPartition| {
        groups.get(group).and_then(|partitions| partitions.get(partition)).copied()
    };
    let places = settled.iter().flat_map(|(group, partitions)| {
        partitions.iter().map(move |(partition, settled)| (group, partition, *settled))
    });
    let is_due = |(group, partition, settled): &(&String, &TopicPartition, Settled)| {
        let recorded = find(known, group, partition);
        let takes_it = match takes {
            Takes::WhatIsNew => recorded.is_none(),
            Takes::WhatRests => recorded.is_none() || find(seen, group, partition) == Some(*settled),
            Takes::Everything => true,
        };
        takes_it && recorded != Some(*settled)
    };
    let mut due: Vec<_> = places
        .filter(is_due)
        .map(|(group, partition, settled)| (group.clone(), partition.clone(), settled))
        .collect();
    due.sort_by(|one, other| {
        (&one.0, &one.1.topic, one.1.partition).cmp(&(&other.0, &other.1.topic, other.1.partition))
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

fn value_of(settled: Settled) -> Vec<u8> {
    let Settled { source, target, kept } = settled;
    serde_json::to_vec(&Value { version: VERSION, source, target, kept }).unwrap_or_default()
}

fn settled_of(value: &[u8]) -> Option<Settled> {
    let Value { version, source, target, kept } = serde_json::from_slice(value).ok()?;
    (version == VERSION).then_some(Settled { source, target, kept })
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
        assert_eq!(crate::state::record::partition_of(&key), None, "no record of a partition");
        for kept in [None, Some(7)] {
            let settled = Settled { source: 5, target: 7, kept };
            assert_eq!(settled_of(&value_of(settled)), Some(settled));
        }
        // Fixed for ever: earlier releases' records must be read.
        assert_eq!(value_of(Settled::at(5, 7)), br#"{"version":1,"source":5,"target":7}"#);
        for other in [&br#"{"version":2,"source":5,"target":7}"#[..], b"{}", b""] {
            assert_eq!(settled_of(other), None);
        }
    }

    #[test]
    fn what_rests_is_recorded_and_what_moves_now_and_then() {
        let (known, seen) = (settled(&[(0, 10), (1, 20), (2, 30)]), settled(&[(0, 10), (1, 25), (2, 33)]));
        let now = settled(&[(0, 10), (1, 25), (2, 35), (3, 40)]);
        let numbers = |takes| {
            let due = due(&now, &seen, &known, takes).into_iter();
            due.map(|(_, partition, _)| partition.partition).collect::<Vec<_>>()
        };
        assert_eq!(numbers(Takes::WhatIsNew), [3]);
        assert_eq!(numbers(Takes::WhatRests), [1, 3]);
        assert_eq!(numbers(Takes::Everything), [1, 2, 3]);
    }
}
