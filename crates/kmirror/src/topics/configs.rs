//! Which configurations a target topic should have, and what is to be changed for it. Pure.

use std::collections::BTreeMap;

use kmirror_client::{ConfigEntry, ConfigSource};

use super::config_step::ConfigStep;
use super::preserved::{self, value_of};
use crate::ground::config::{DefaultsFrom, TopicConfigs};

/// What the target topic should have set: what is set on the source topic itself, its defaults too where they are wanted, and what its
/// brokers would not keep the copy without. Without what only makes sense on the source's own brokers. `target`: what applies there
/// now, or will where nothing is set; `None` where that is not known.
pub(crate) fn desired(
    source: &[ConfigEntry],
    target: Option<&[ConfigEntry]>,
    rules: &TopicConfigs,
) -> BTreeMap<String, String> {
    let mut desired = copied(source, rules);
    for (key, wanted) in preserved::wanted(source, rules) {
        let effective = target.map(|target| value_of(target, &key));
        match effective {
            _ if desired.contains_key(&key) => {}
            // A release that does not know the key has no such limit. Where nothing is known, only what all know is set.
            Some(None) => {}
            None if key.ends_with(".max.ms") => {}
            Some(Some(effective)) if preserved::is_kept(&key, &wanted, effective) => {
                // What is set there stays as it is.
                let is_set =
                    |entry: &&ConfigEntry| entry.name == key && entry.source == ConfigSource::DynamicTopic;
                if target.is_some_and(|target| target.iter().any(|entry| is_set(&entry))) {
                    desired.insert(key, effective.to_owned());
                }
            }
            Some(Some(_)) | None => {
                desired.insert(key, wanted);
            }
        }
    }
    desired
}

fn copied(source: &[ConfigEntry], rules: &TopicConfigs) -> BTreeMap<String, String> {
    let is_wanted = |entry: &&ConfigEntry| {
        !is_excluded(&entry.name, rules)
            && (entry.source == ConfigSource::DynamicTopic || rules.defaults_from == DefaultsFrom::Source)
    };
    let wanted = source.iter().filter(is_wanted);
    wanted.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

/// What is to be changed on the target topic so that it has what it should. What is set there and not on the source returns to its
/// default; what is excluded stays as it is.
pub(crate) fn steps(source: &[ConfigEntry], target: &[ConfigEntry], rules: &TopicConfigs) -> Vec<ConfigStep> {
    let desired = desired(source, Some(target), rules);
    let set: BTreeMap<&str, Option<&str>> = target
        .iter()
        .filter(|entry| entry.source == ConfigSource::DynamicTopic)
        .map(|entry| (entry.name.as_str(), entry.value.as_deref()))
        .collect();
    let changed = desired.iter().filter(|(key, value)| {
        let has = set.get(key.as_str()).copied().flatten();
        // A default that is the same on both sides need not be set.
        let is_same_default = rules.defaults_from == DefaultsFrom::Source
            && !set.contains_key(key.as_str())
            && value_of(target, key) == Some(value.as_str());
        has != Some(value.as_str()) && !is_same_default
    });
    let changed = changed.map(|(key, value)| ConfigStep {
        key: key.clone(),
        from: set.get(key.as_str()).copied().flatten().map(str::to_owned),
        to: Some(value.clone()),
    });
    let superfluous = set.iter().filter(|(key, _)| !desired.contains_key(**key) && !is_excluded(key, rules));
    let superfluous = superfluous.map(|(key, value)| ConfigStep {
        key: (*key).to_owned(),
        from: value.map(str::to_owned),
        to: None,
    });
    changed.chain(superfluous).collect()
}

fn is_excluded(key: &str, rules: &TopicConfigs) -> bool {
    NEVER_COPIED.contains(&key) || rules.exclude.iter().any(|excluded| excluded == key)
}

/// With append times the target would replace every timestamp by its own clock; and with limits of timestamps it would refuse
/// history that the source took in time (`LogValidator.validateTimestamp`).
const NEVER_COPIED: [&str; 4] = [
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_topic_gets_what_its_source_has_set() {
        let source = [
            set("retention.ms", "1000"),
            set("cleanup.policy", "compact"),
            set("min.insync.replicas", "2"),
            set("message.timestamp.type", "LogAppendTime"),
            default("segment.bytes", "77"),
        ];
        let target = [
            set("retention.ms", "500"),
            set("segment.ms", "9"),
            set("min.insync.replicas", "3"),
            default("cleanup.policy", "delete"),
            default("segment.bytes", "88"),
        ];
        let rules = TopicConfigs::default();
        let shown: Vec<_> = steps(&source, &target, &rules).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "cleanup.policy from the default to compact",
                "retention.ms from 500 to 1000",
                "segment.ms from 9 to the default"
            ]
        );
        let applied =
            [set("retention.ms", "1000"), set("cleanup.policy", "compact"), set("min.insync.replicas", "3")];
        assert_eq!(steps(&source, &applied, &rules), [], "a second look finds nothing");
    }

    #[test]
    fn defaults_of_the_source_are_set_where_they_differ() {
        let rules = TopicConfigs { defaults_from: DefaultsFrom::Source, ..TopicConfigs::default() };
        let source = [default("segment.bytes", "77"), default("retention.ms", "5")];
        let target = [default("segment.bytes", "88"), default("retention.ms", "5")];
        let steps = steps(&source, &target, &rules);
        assert_eq!(
            steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["segment.bytes from the default to 77"]
        );
    }

    fn set(name: &str, value: &str) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source: ConfigSource::DynamicTopic,
            is_sensitive: false,
            read_only: false,
        }
    }

    fn default(name: &str, value: &str) -> ConfigEntry {
        ConfigEntry { source: ConfigSource::Default, ..set(name, value) }
    }
}
