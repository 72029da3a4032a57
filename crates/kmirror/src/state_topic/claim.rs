//! The records of the state topic that say for which flows `producer.id.expiration.ms` is raised, and what it was before. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a flow has recorded before it raised the value, or joined those that had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What was set on the whole cluster; `None` where nothing was, and then nothing is set again.
    pub(crate) before: Option<String>,
    /// How long brokers remembered a producer by that.
    pub(crate) remembered_before: Duration,
    /// Whether the flow still wants it raised.
    pub(crate) is_wanted: bool,
}

/// By what tells flows apart: see [`scope_of`].
pub(crate) type Claims = BTreeMap<String, Claim>;

#[derive(Serialize, Deserialize)]
struct Json {
    version: u32,
    before: Option<String>,
    remembered_before_ms: u64,
    is_wanted: bool,
}

impl Claim {
    /// As the value of the state topic.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = Json {
            version: VERSION,
            before: self.before.clone(),
            remembered_before_ms: u64::try_from(self.remembered_before.as_millis()).unwrap_or(u64::MAX),
            is_wanted: self.is_wanted,
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a value of the state topic, if it can be understood.
    pub(crate) fn from_json(value: &[u8]) -> Option<Claim> {
        let Json { version, before, remembered_before_ms, is_wanted } = serde_json::from_slice(value).ok()?;
        let remembered_before = Duration::from_millis(remembered_before_ms);
        (version == VERSION).then_some(Claim { before, remembered_before, is_wanted })
    }
}

/// What tells flows to one target apart, after a restart too: the source, and the names that topics get. Flows of which both are the same
/// share a record, as the instances of one flow do.
pub(crate) fn scope_of(source_cluster_id: &str, naming: &str) -> String {
    format!("{source_cluster_id}/{naming}")
}

/// The key of a flow's record.
pub(crate) fn key_of(scope: &str) -> String {
    format!("{KEY_PREFIX}{scope}")
}

/// The flow of a key, if it is one.
pub(crate) fn scope_of_key(key: &[u8]) -> Option<String> {
    std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX).map(str::to_owned)
}

const KEY_PREFIX: &str = "raised/producer.id.expiration.ms/";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        let claim = Claim {
            before: Some("3600000".to_owned()),
            remembered_before: Duration::from_secs(3_600),
            is_wanted: true,
        };
        let json = claim.to_json();
        assert_eq!(Claim::from_json(&json).as_ref(), Some(&claim));
        // Fixed for ever: a later release must be able to put back what an earlier one has raised.
        assert_eq!(
            String::from_utf8(json).expect("text"),
            r#"{"version":1,"before":"3600000","remembered_before_ms":3600000,"is_wanted":true}"#
        );
        let nothing = Claim { before: None, ..claim };
        assert_eq!(Claim::from_json(&nothing.to_json()), Some(nothing));
        for other in
            [&b""[..], b"{}", br#"{"version":2,"before":null,"remembered_before_ms":1,"is_wanted":true}"#]
        {
            assert_eq!(Claim::from_json(other), None);
        }
    }

    #[test]
    fn keys_name_flows() {
        let scope = scope_of("abc", "east.{topic}");
        assert_eq!(key_of(&scope), "raised/producer.id.expiration.ms/abc/east.{topic}");
        assert_eq!(scope_of_key(key_of(&scope).as_bytes()), Some(scope.clone()));
        assert_eq!(crate::state_topic::record::partition_of(key_of(&scope).as_bytes()), None);
        assert_eq!(scope_of_key(b"partition/orders/0"), None);
    }
}
