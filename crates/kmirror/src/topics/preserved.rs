//! What a target topic must have set so that its brokers keep what is copied: whatever their defaults are. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kmirror_client::{ConfigEntry, ConfigSource};

use super::config_step::ConfigStep;
use crate::ground::config::TopicConfigs;

/// The values that a copy of this source topic needs, by key, but for those that are the operator's.
pub(crate) fn wanted(source: &[ConfigEntry], rules: &TopicConfigs) -> BTreeMap<String, String> {
    let of_source = OF_SOURCE.iter().filter_map(|key| Some((*key, value_of(source, key)?)));
    let fixed = FIXED.iter().map(|(key, value)| (*key, *value));
    of_source
        .chain(fixed)
        .filter(|(key, _)| !rules.exclude.iter().any(|excluded| excluded == key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Whether a target topic with this value keeps what one with the wanted value keeps.
pub(crate) fn is_kept(key: &str, wanted: &str, effective: &str) -> bool {
    let numbers = || Some((wanted.parse::<i64>().ok()?, effective.parse::<i64>().ok()?));
    match key {
        // A larger limit refuses nothing that the smaller one takes.
        "max.message.bytes" => numbers().is_some_and(|(wanted, effective)| effective >= wanted),
        "cleanup.policy" => policies(wanted) == policies(effective),
        _ => wanted == effective,
    }
}

/// A configuration by which the target would change or remove what is copied, without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destroyer {
    pub(crate) key: &'static str,
    /// What it is on the target.
    pub(crate) has: String,
    /// What it would have to be.
    pub(crate) needs: String,
    pub(crate) consequence: &'static str,
}

/// What of the target topic's configuration would destroy the copy of this source topic. Limits are not among it: what they refuse
/// parks.
pub(crate) fn destroyers(source: &[ConfigEntry], target: &[ConfigEntry]) -> Vec<Destroyer> {
    let mut found = Vec::new();
    let mut find = |key: &'static str, needs: &str, consequence| {
        let has = value_of(target, key).unwrap_or_default().to_owned();
        found.push(Destroyer { key, has, needs: needs.to_owned(), consequence });
    };
    if value_of(target, "message.timestamp.type") == Some("LogAppendTime") {
        find("message.timestamp.type", "CreateTime", "every timestamp is replaced by the time of the copy");
    }
    let (of_source, of_target) = (value_of(source, "cleanup.policy"), value_of(target, "cleanup.policy"));
    let (Some(of_source), Some(of_target)) = (of_source, of_target) else { return found };
    let (source_policies, target_policies) = (policies(of_source), policies(of_target));
    if target_policies.contains(&"compact") && !source_policies.contains(&"compact") {
        find("cleanup.policy", of_source, "all but the last record of each key is removed");
    }
    if !target_policies.contains(&"delete") {
        return found;
    }
    if !source_policies.contains(&"delete") {
        find(
            "cleanup.policy",
            of_source,
            "records are removed for their age or size, which the source keeps",
        );
        return found;
    }
    for (key, consequence) in [
        ("retention.ms", "records are removed earlier than on the source"),
        ("retention.bytes", "records are removed at a smaller size than on the source"),
    ] {
        let (of_source, of_target) = (value_of(source, key), value_of(target, key));
        if of_target.map(bound) < of_source.map(bound) {
            find(key, of_source.unwrap_or_default(), consequence);
        }
    }
    found
}

impl Destroyer {
    /// Whether the operator has said that the key is the operator's: then what follows is only told.
    pub(crate) fn is_excluded(&self, rules: &TopicConfigs) -> bool {
        rules.exclude.iter().any(|key| key == self.key)
    }
}

impl fmt::Display for Destroyer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}={} on the target, where the copy needs {}: {}",
            self.key, self.has, self.needs, self.consequence
        )
    }
}

/// The steps of a topic's changes that keep its copy from being destroyed.
pub(crate) fn protects(step: &ConfigStep) -> bool {
    is_needed(&step.key)
}

/// Whether a target topic refuses records by this key.
pub(crate) fn is_limit(key: &str) -> bool {
    key.ends_with(".max.ms") || key == "max.message.bytes"
}

/// Whether the operator has excluded anything that a copy needs.
pub(crate) fn excludes_any(rules: &TopicConfigs) -> bool {
    rules.exclude.iter().any(|key| is_needed(key))
}

fn is_needed(key: &str) -> bool {
    OF_SOURCE.contains(&key) || FIXED.iter().any(|(fixed, _)| *fixed == key)
}

/// What a topic gets that has nothing set itself, from the configuration of a broker, under the names that topics have for it.
pub(crate) fn defaults_of(broker: &[ConfigEntry]) -> Vec<ConfigEntry> {
    let entry = |name: &str, value: String| ConfigEntry {
        name: name.to_owned(),
        value: Some(value),
        source: ConfigSource::Default,
        is_sensitive: false,
        read_only: false,
    };
    let named = BROKER_NAMES
        .iter()
        .filter_map(|(topic, of_broker)| Some(entry(topic, value_of(broker, of_broker)?.to_owned())));
    named.chain(retention_ms(broker).map(|ms| entry("retention.ms", ms))).collect()
}

/// `log.retention.ms`, or minutes, or hours: the finest that is set (`KafkaConfig.logRetentionTimeMillis`).
fn retention_ms(broker: &[ConfigEntry]) -> Option<String> {
    let in_unit = |key, unit: Duration| {
        let number: i64 = value_of(broker, key)?.parse().ok()?;
        let ms = number.saturating_mul(i64::try_from(unit.as_millis()).ok()?);
        Some(if number < 0 { -1 } else { ms }.to_string())
    };
    in_unit("log.retention.ms", Duration::from_millis(1))
        .or_else(|| in_unit("log.retention.minutes", Duration::from_secs(60)))
        .or_else(|| in_unit("log.retention.hours", Duration::from_secs(3_600)))
}

/// A bound as a number that can be compared: -1 stands for none.
fn bound(text: &str) -> i64 {
    text.parse().ok().filter(|bound| *bound >= 0).unwrap_or(i64::MAX)
}

fn policies(text: &str) -> Vec<&str> {
    let mut policies: Vec<_> = text.split(',').map(str::trim).filter(|policy| !policy.is_empty()).collect();
    policies.sort_unstable();
    policies
}

pub(super) fn value_of<'a>(entries: &'a [ConfigEntry], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.name == key)?.value.as_deref()
}

/// What helps against one whose key is excluded.
pub(crate) const ADVICE_WHERE_EXCLUDED: &str =
    "take the key out of topic_configs.exclude, or set it yourself";
/// As on the source.
const OF_SOURCE: [&str; 4] = ["cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes"];
/// Whatever it is on the source: timestamps are kept, and none is refused that the source has taken (`LogValidator`). Which of the
/// limits a release knows differs (KIP-937).
const FIXED: [(&str, &str); 4] = [
    ("message.timestamp.type", "CreateTime"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.difference.max.ms", "9223372036854775807"),
];
/// What topics and brokers call the same thing (`ServerTopicConfigSynonyms`).
const BROKER_NAMES: [(&str, &str); 7] = [
    ("cleanup.policy", "log.cleanup.policy"),
    ("retention.bytes", "log.retention.bytes"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.difference.max.ms", "log.message.timestamp.difference.max.ms"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(values: &[(&str, &str)]) -> Vec<ConfigEntry> {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::Default,
            is_sensitive: false,
            read_only: false,
        };
        values.iter().map(entry).collect()
    }

    #[test]
    fn what_would_destroy_a_copy_is_found_and_nothing_else() {
        let plain = [("cleanup.policy", "delete"), ("retention.ms", "1000"), ("retention.bytes", "-1")];
        let compacted = [("cleanup.policy", "compact"), ("retention.ms", "1000"), ("retention.bytes", "-1")];
        let table: [(&[_], &[_], &[&str]); 10] = [
            (&plain, &plain, &[]),
            (&plain, &[("cleanup.policy", "delete"), ("retention.ms", "2000")], &[]),
            (&plain, &[("cleanup.policy", "delete"), ("retention.ms", "-1")], &[]),
            (&plain, &[("cleanup.policy", "delete"), ("retention.ms", "999")], &["retention.ms"]),
            (&plain, &[("cleanup.policy", "delete"), ("retention.bytes", "5")], &["retention.bytes"]),
            (&plain, &[("cleanup.policy", "compact")], &["cleanup.policy"]),
            (
                &plain,
                &[("cleanup.policy", "compact, delete"), ("retention.ms", "1")],
                &["cleanup.policy", "retention.ms"],
            ),
            (&compacted, &[("cleanup.policy", "compact"), ("retention.ms", "1")], &[]),
            (&compacted, &[("cleanup.policy", "delete"), ("retention.ms", "1000")], &["cleanup.policy"]),
            (&plain, &[("message.timestamp.type", "LogAppendTime")], &["message.timestamp.type"]),
        ];
        for (source, target, expected) in table {
            // What is not named is as on the source.
            let mut whole: BTreeMap<_, _> = source.iter().copied().collect();
            whole.extend(target.iter().copied());
            let target: Vec<_> = whole.into_iter().collect();
            let found = destroyers(&entries(source), &entries(&target));
            let keys: Vec<_> = found.iter().map(|found| found.key).collect();
            assert_eq!(keys, expected, "{source:?} {target:?}");
        }
        let endless = [("cleanup.policy", "delete"), ("retention.ms", "-1")];
        let week = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
        assert_eq!(destroyers(&entries(&endless), &entries(&week)).len(), 1);
    }

    #[test]
    fn what_keeps_a_copy_as_well_is_left_alone_and_nothing_else() {
        let table = [
            ("max.message.bytes", "1000", "1000", true),
            ("max.message.bytes", "1000", "2000", true),
            ("max.message.bytes", "1000", "999", false),
            ("cleanup.policy", "compact,delete", "delete, compact", true),
            ("cleanup.policy", "delete", "compact", false),
            ("cleanup.policy", "delete", "compact,delete", false),
            ("message.timestamp.type", "CreateTime", "CreateTime", true),
            ("message.timestamp.type", "CreateTime", "LogAppendTime", false),
            ("retention.ms", "1000", "999", false),
            ("retention.bytes", "-1", "1000", false),
        ];
        for (key, wanted, effective, kept) in table {
            assert_eq!(is_kept(key, wanted, effective), kept, "{key}: {wanted}, {effective}");
        }
    }

    #[test]
    fn a_topic_gets_what_its_broker_says_under_other_names() {
        let broker = entries(&[
            ("log.cleanup.policy", "compact"),
            ("log.retention.hours", "168"),
            ("message.max.bytes", "5000"),
            ("log.message.timestamp.type", "LogAppendTime"),
            ("log.segment.bytes", "1"),
        ]);
        let defaults = defaults_of(&broker);
        let value = |key| value_of(&defaults, key);
        assert_eq!(value("cleanup.policy"), Some("compact"));
        assert_eq!(value("retention.ms"), Some("604800000"));
        assert_eq!(value("max.message.bytes"), Some("5000"));
        assert_eq!(value("message.timestamp.type"), Some("LogAppendTime"));
        assert_eq!(value("retention.bytes"), None, "what is not told is not known");
        let table = [
            ("log.retention.ms", "7", "7"),
            ("log.retention.minutes", "2", "120000"),
            ("log.retention.ms", "-1", "-1"),
        ];
        for (key, value, expected) in table {
            let broker = entries(&[(key, value), ("log.retention.hours", "168")]);
            assert_eq!(value_of(&defaults_of(&broker), "retention.ms"), Some(expected), "{key}");
        }
    }
}
