//! What is recorded of an entry that a flow has added to the target's lists. Pure.

use std::collections::BTreeMap;

use kmirror_client::AclEntry;
use serde::{Deserialize, Serialize};

/// What is recorded of an entry of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The entry of the source that it follows from.
    pub(crate) of: AclEntry,
    pub(crate) state: State,
}

/// By the entry of the target.
pub(crate) type Records = BTreeMap<AclEntry, Record>;

/// What became of an entry, and of the one that it follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The target is asked for it now. Whoever finds this later, and the entry on the target, does not know whose it is.
    Asked,
    /// kmirror has added it.
    Added,
    /// So it has, and the source's is gone, which may be an accident.
    Missing,
    /// So it has, and the source's was gone until then.
    Returned { at_ms: i64 },
    /// kmirror has removed it again, for the source's was gone.
    Removed { at_ms: i64 },
}

impl State {
    /// Whether the entry, where it is there, is kmirror's.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, State::Added | State::Missing | State::Returned { .. })
    }
}

impl Record {
    pub(crate) fn new(of: AclEntry, state: State) -> Record {
        Record { of, state }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let (state, at_ms) = match self.state {
            State::Asked => ("asked", None),
            State::Added => ("added", None),
            State::Missing => ("missing", None),
            State::Returned { at_ms } => ("returned", Some(at_ms)),
            State::Removed { at_ms } => ("removed", Some(at_ms)),
        };
        let of = Some(Words::of(&self.of));
        let value = Value { version: VERSION, state: Some(state.to_owned()), at_ms, of };
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// What a key and a value say, if it is of this source and can be understood: of which entry of the target.
    pub(super) fn read(key: &[u8], value: &[u8], source_cluster_id: &str) -> Option<(AclEntry, Record)> {
        let key = Key::read(key).filter(|key| key.source_cluster_id == source_cluster_id)?;
        let value: Value = serde_json::from_slice(value).ok()?;
        let entry = key.entry.to_entry()?;
        let record = match value.version {
            // Those of before hold no entry of the source, and their key says by which names it followed.
            1 => Record::new(followed_from(&entry, key.naming.as_deref()?)?, State::Added),
            VERSION => Record::new(value.of?.to_entry()?, state(&value.state?, value.at_ms)?),
            _ => return None,
        };
        Some((entry, record))
    }
}

/// The key of an entry's record.
pub(super) fn key_of(entry: &AclEntry, source_cluster_id: &str) -> Vec<u8> {
    let source_cluster_id = source_cluster_id.to_owned();
    let key = Key { source_cluster_id, naming: None, entry: Words::of(entry) };
    let mut bytes = KEY_PREFIX.to_vec();
    bytes.extend(serde_json::to_vec(&key).unwrap_or_default());
    bytes
}

/// The entry that a record of any version is about.
pub(super) fn entry_of(key: &[u8], source_cluster_id: &str) -> Option<AclEntry> {
    Key::read(key).filter(|key| key.source_cluster_id == source_cluster_id)?.entry.to_entry()
}

/// A key, in Kafka's words. Flows of one source share it, whatever they call the source and its topics: what was added under other
/// names is judged as well.
#[derive(Serialize, Deserialize)]
struct Key {
    source_cluster_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    naming: Option<String>,
    #[serde(flatten)]
    entry: Words,
}

impl Key {
    fn read(key: &[u8]) -> Option<Key> {
        serde_json::from_slice(key.strip_prefix(KEY_PREFIX)?).ok()
    }
}

#[derive(Serialize, Deserialize)]
struct Value {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<Words>,
}

/// An entry in Kafka's words.
#[derive(Serialize, Deserialize)]
struct Words {
    permission: String,
    operation: String,
    principal: String,
    host: String,
    resource_type: String,
    pattern_type: String,
    resource_name: String,
}

impl Words {
    fn of(entry: &AclEntry) -> Words {
        Words {
            permission: entry.permission.to_string(),
            operation: entry.operation.to_string(),
            principal: entry.principal.clone(),
            host: entry.host.clone(),
            resource_type: entry.resource_type.to_string(),
            pattern_type: entry.pattern_type.to_string(),
            resource_name: entry.resource_name.clone(),
        }
    }

    fn to_entry(&self) -> Option<AclEntry> {
        Some(AclEntry {
            resource_type: self.resource_type.parse().ok()?,
            pattern_type: self.pattern_type.parse().ok()?,
            resource_name: self.resource_name.clone(),
            principal: self.principal.clone(),
            host: self.host.clone(),
            operation: self.operation.parse().ok()?,
            permission: self.permission.parse().ok()?,
        })
    }
}

fn state(word: &str, at_ms: Option<i64>) -> Option<State> {
    Some(match (word, at_ms) {
        ("asked", _) => State::Asked,
        ("added", _) => State::Added,
        ("missing", _) => State::Missing,
        ("returned", Some(at_ms)) => State::Returned { at_ms },
        ("removed", Some(at_ms)) => State::Removed { at_ms },
        _ => return None,
    })
}

/// The entry of the source, by the pattern of names: `east.{topic}`.
fn followed_from(entry: &AclEntry, naming: &str) -> Option<AclEntry> {
    if entry.resource_type != kmirror_client::AclResourceType::Topic {
        return Some(entry.clone());
    }
    let (before, behind) = naming.split_once(TOPIC)?;
    let name = entry.resource_name.strip_prefix(before)?.strip_suffix(behind)?;
    Some(AclEntry { resource_name: name.to_owned(), ..entry.clone() })
}

const KEY_PREFIX: &[u8] = b"acl/";
const VERSION: u32 = 2;
/// Stands for a topic's name in a pattern of names.
const TOPIC: &str = "{topic}";

#[cfg(test)]
mod tests {
    use kmirror_client::{AclOperation, AclPatternType, AclPermission, AclResourceType};

    use super::*;

    fn entry(resource_type: AclResourceType, name: &str) -> AclEntry {
        AclEntry {
            resource_type,
            pattern_type: AclPatternType::Prefixed,
            resource_name: name.to_owned(),
            principal: "User:CN=ä,O=b".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Write,
            permission: AclPermission::Allow,
        }
    }

    #[test]
    fn a_record_is_of_an_entry_and_a_source() {
        let (entry, of) = (
            entry(AclResourceType::TransactionalId, "a/b \"c\""),
            entry(AclResourceType::TransactionalId, "of"),
        );
        let key = key_of(&entry, "abc");
        assert_eq!(key_of(&entry, "abc"), key, "the same entry has the same key");
        assert_eq!(entry_of(&key, "abc"), Some(entry.clone()));
        for state in [
            State::Asked,
            State::Added,
            State::Missing,
            State::Returned { at_ms: 7 },
            State::Removed { at_ms: 8 },
        ] {
            let record = Record::new(of.clone(), state);
            let value = record.to_json();
            assert_eq!(Record::read(&key, &value, "abc"), Some((entry.clone(), record)));
            assert_eq!(Record::read(&key, &value, "other"), None);
        }
        let value = Record::new(of, State::Added).to_json();
        for damaged in [&b""[..], b"acl/", b"acl/{}", b"partition/orders/0", b"acl/\xff"] {
            assert_eq!((Record::read(damaged, &value, "abc"), entry_of(damaged, "abc")), (None, None));
        }
        for damaged in [&b""[..], b"{}", b"{\"version\":2}", b"{\"version\":3}", b"\xff"] {
            assert_eq!(Record::read(&key, damaged, "abc"), None);
        }
        assert_eq!(crate::state_topic::record::partition_of(&key), None, "no record of a partition");
    }

    #[test]
    fn a_record_of_before_says_what_it_followed_from() {
        let read = |naming: &str, entry: &AclEntry| {
            let words = serde_json::to_string(&Words::of(entry)).unwrap();
            let key = format!(r#"acl/{{"source_cluster_id":"abc","naming":"{naming}",{}"#, &words[1..]);
            let (found, record) = Record::read(key.as_bytes(), br#"{"version":1}"#, "abc")?;
            assert_eq!((&found, record.state), (entry, State::Added));
            Some(record.of.resource_name)
        };
        let topic = entry(AclResourceType::Topic, "east.orders");
        assert_eq!(read("east.{topic}", &topic).as_deref(), Some("orders"));
        assert_eq!(read("{topic}", &topic).as_deref(), Some("east.orders"));
        assert_eq!(read("{topic}.orders", &topic).as_deref(), Some("east"));
        assert_eq!(read("west.{topic}", &topic), None);
        assert_eq!(
            read("east.{topic}", &entry(AclResourceType::Group, "billing")).as_deref(),
            Some("billing")
        );
    }
}
