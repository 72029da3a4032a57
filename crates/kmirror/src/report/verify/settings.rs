//! The configurations of a topic by which a verification judges.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{Client, ConfigEntry};
use tracing::warn;

use crate::ground::error::Error;

/// What may happen to the records of a topic by its own configuration, as far as it is known. Where it is not, nothing may: what
/// cannot be explained is a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// Whether a cleaner may remove records.
    pub(crate) is_compacted: bool,
    /// For how long records are kept. `None`: for ever.
    pub(crate) retention_ms: Option<i64>,
    /// How many bytes are kept at least. `None`: all.
    pub(crate) retention_bytes: Option<i64>,
}

impl TopicSettings {
    fn of(entries: &[ConfigEntry]) -> TopicSettings {
        let value = |name: &str| {
            entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref())
        };
        let cleans_by = |wanted| {
            value("cleanup.policy").is_some_and(|policy| policy.split(',').any(|part| part.trim() == wanted))
        };
        // -1 is for ever. Without `delete` among the policies neither applies (`UnifiedLog.deleteOldSegments`).
        let limit = |name| {
            let limit = value(name).and_then(|limit| limit.parse().ok()).filter(|limit: &i64| *limit >= 0);
            limit.filter(|_| cleans_by("delete"))
        };
        TopicSettings {
            is_compacted: cleans_by("compact"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
        }
    }

    /// What of these settings deletes more than those of the source, in Kafka's words.
    pub(crate) fn stricter_than(&self, source: &TopicSettings) -> String {
        let shown = |limit: Option<i64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
        let limits = [
            ("retention.ms", self.retention_ms, source.retention_ms),
            ("retention.bytes", self.retention_bytes, source.retention_bytes),
        ];
        let stricter = limits
            .into_iter()
            .filter(|(_, ours, theirs)| ours.is_some_and(|ours| theirs.is_none_or(|theirs| ours < theirs)));
        let named: Vec<_> = stricter
            .map(|(name, ours, theirs)| format!("{name} is {}, on the source {}", shown(ours), shown(theirs)))
            .collect();
        named.join("; ")
    }
}

/// The settings of these topics.
///
/// # Errors
/// Where the cluster does not answer. A topic whose configuration may not be read has none.
pub(crate) async fn read(
    client: &Client,
    names: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, TopicSettings>, Error> {
    let described = client.describe_topic_configs(names).await;
    let described = described.map_err(|error| Error::cluster(client.alias(), error))?;
    let settings = described.into_iter().map(|(name, entries)| {
        let entries = entries.unwrap_or_else(|error| {
            warn!(cluster = client.alias(), topic = %name, %error,
                "cannot read the topic's configuration; whatever it may have removed counts as missing");
            Vec::new()
        });
        (name, TopicSettings::of(&entries))
    });
    Ok(settings.collect())
}

#[cfg(test)]
mod tests {
    use kmirror_client::ConfigSource;

    use super::*;

    #[test]
    fn retention_counts_where_the_policy_deletes() {
        let table = [
            ("delete", "1000", "-1", (false, Some(1000), None)),
            ("compact", "1000", "50", (true, None, None)),
            ("compact, delete", "-1", "50", (true, None, Some(50))),
            ("", "1000", "50", (false, None, None)),
        ];
        for (policy, ms, bytes, expected) in table {
            let settings = settings(policy, ms, bytes);
            let found = (settings.is_compacted, settings.retention_ms, settings.retention_bytes);
            assert_eq!(found, expected, "{policy:?}");
        }
        assert_eq!(TopicSettings::of(&[]), TopicSettings::default());
    }

    #[test]
    fn what_deletes_more_than_the_source_is_named() {
        let stricter = |target: (&str, &str), source: (&str, &str)| {
            let target = settings("delete", target.0, target.1);
            target.stricter_than(&settings("delete", source.0, source.1))
        };
        assert_eq!(stricter(("1000", "-1"), ("2000", "-1")), "retention.ms is 1000, on the source 2000");
        assert_eq!(
            stricter(("1000", "7"), ("-1", "-1")),
            "retention.ms is 1000, on the source -1; retention.bytes is 7, on the source -1"
        );
        assert_eq!(stricter(("2000", "-1"), ("2000", "8")), "");
    }

    fn settings(policy: &str, ms: &str, bytes: &str) -> TopicSettings {
        let entry = |(name, value): (&str, &str)| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source: ConfigSource::Default,
            is_sensitive: false,
            read_only: false,
        };
        let entries = [("cleanup.policy", policy), ("retention.ms", ms), ("retention.bytes", bytes)];
        TopicSettings::of(&entries.map(entry))
    }
}
