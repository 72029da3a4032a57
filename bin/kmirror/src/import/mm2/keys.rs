//! What becomes of the keys of MirrorMaker 2's file: those that are translated, and those that are not.

use super::layers::{Pair, pairs};
use crate::files::client_keys::{self, ClientKey, client_key};
use crate::files::problem;
use crate::import::NoteKind;

/// What a key that was translated has become. `name`: without the alias or the flow that it is for.
pub(super) fn meaning(name: &str) -> &'static str {
    let of_client = of_client(name);
    let found = FLOW_KEYS.iter().chain(CLUSTER_KEYS).find(|(key, _)| *key == name || *key == of_client);
    match found {
        Some((_, meaning)) => meaning,
        None if client_keys::is_security(of_client) => "clusters.*.properties",
        None => "as in the file that is printed",
    }
}

/// What becomes of a key that was not translated. `name`: without the alias or the flow that it is for.
pub(super) fn without_meaning(name: &str, value: &str) -> (NoteKind, String) {
    let reason = IGNORED.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern || name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.')),
    });
    if let Some((_, reason)) = reason {
        return (NoteKind::Ignored, (*reason).to_owned());
    }
    let of_client = of_client(name);
    match client_key(of_client) {
        Some(ClientKey::NoEffect(reason)) if of_client == "acks" && !matches!(value, "all" | "-1") => {
            (NoteKind::Warning, format!("overridden: {reason}"))
        }
        Some(ClientKey::NoEffect(reason)) => (NoteKind::Ignored, reason.to_owned()),
        Some(ClientKey::Security) => {
            (NoteKind::Ignored, "no cluster's `security.protocol` asks for it".to_owned())
        }
        Some(ClientKey::Used) => {
            let text = format!("MirrorMaker 2 does not read it here; write `A.consumer.{of_client}`");
            (NoteKind::Warning, text)
        }
        None => {
            let known: Vec<&str> =
                FLOW_KEYS.iter().map(|(key, _)| *key).chain(client_keys::names()).collect();
            let suggestion = problem::suggestion(of_client, &known);
            (NoteKind::Warning, format!("not known, and nothing is done about it{suggestion}"))
        }
    }
}

/// The key without what tells for which client it is.
fn of_client(name: &str) -> &str {
    CLIENT_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// The key without the alias or the flow that it is for.
pub(super) fn without_prefix<'a>(key: &'a str, aliases: &[String]) -> &'a str {
    let flows = pairs(aliases).into_iter().map(|pair: Pair| pair.key(""));
    let prefixes = flows.chain(aliases.iter().map(|alias| format!("{alias}.")));
    // An alias may begin with another one and a dot.
    let longest = prefixes.filter(|prefix| key.starts_with(prefix.as_str())).map(|prefix| prefix.len()).max();
    key.get(longest.unwrap_or(0)..).unwrap_or(key)
}

/// What tells for which client a key is.
const CLIENT_PREFIXES: &[&str] = &[
    "source.consumer.",
    "target.producer.",
    "source.cluster.",
    "target.cluster.",
    "source.admin.",
    "target.admin.",
    "consumer.override.",
    "producer.override.",
    "consumer.",
    "producer.",
    "admin.",
];
/// Keys of flows that are translated, and to what.
const FLOW_KEYS: &[(&str, &str)] = &[
    ("enabled", "flows"),
    ("topics", "topics.include"),
    ("topics.exclude", "topics.exclude"),
    ("groups", "groups.include"),
    ("groups.exclude", "groups.exclude"),
    ("replication.policy.class", "naming"),
    ("replication.policy.separator", "naming, mm2_topics.separator"),
    ("replication.policy.internal.topic.separator.enabled", "mm2_topics.internal_separator"),
    ("replication.factor", "replication_factor"),
    ("config.properties.exclude", "topic_configs.exclude"),
    ("use.defaults.from", "topic_configs.defaults_from"),
    ("sync.topic.configs.enabled", "topic_configs.follow"),
    ("sync.topic.configs.interval.seconds", "topic_configs.interval"),
    ("sync.topic.acls.enabled", "acls"),
    ("sync.topic.acls.interval.seconds", "acls_interval"),
    ("sync.group.offsets.enabled", "groups"),
    ("sync.group.offsets.interval.seconds", "groups_interval"),
    ("emit.heartbeats.enabled", "mm2_topics.heartbeats"),
    ("emit.checkpoints.enabled", "mm2_topics.checkpoints"),
    ("emit.offset-syncs.enabled", "mm2_topics.offset_syncs"),
    ("offset-syncs.topic.location", "mm2_topics.offset_syncs"),
    ("refresh.topics.enabled", "topics and partitions are always looked for"),
    ("refresh.groups.enabled", "groups are always looked for"),
    ("topic.filter.class", "topics"),
    ("group.filter.class", "groups"),
    ("offset.storage.topic", "takeover"),
    ("config.property.filter.class", "topic_configs.exclude"),
    ("forwarding.admin.class", "create_topics"),
    ("transforms", "no transformation is named"),
];
/// The same of clusters.
const CLUSTER_KEYS: &[(&str, &str)] = &[
    ("clusters", "clusters"),
    ("bootstrap.servers", "clusters.*.bootstrap_servers"),
    ("client.id", "clusters.*.client_id"),
    ("client.rack", "clusters.*.rack"),
    ("request.timeout.ms", "clusters.*.request_timeout"),
    ("send.buffer.bytes", "clusters.*.send_buffer_bytes"),
    ("receive.buffer.bytes", "clusters.*.receive_buffer_bytes"),
];
/// Keys without a meaning here, by their beginning where it ends in `*`, and why.
const IGNORED: &[(&str, &str)] = &[
    ("tasks.max", "one process uses as many connections as it needs"),
    ("exactly.once.source.support", "always on"),
    ("offset.lag.max", "offsets are translated exactly"),
    ("offset-syncs.*", "the topic is created as others are"),
    ("refresh.topics.*", "topics and partitions are seen within three seconds"),
    ("refresh.groups.*", "groups are seen whenever they are looked at"),
    ("emit.*", "written whenever something changes"),
    ("checkpoints.topic.*", "the topic is created as others are"),
    ("heartbeats.*", "the topic is created as others are"),
    ("consumer.poll.timeout.ms", "fetches wait at the broker"),
    ("admin.timeout.ms", "calls have their own timeouts"),
    ("offset.storage.*", "progress lives in the target's log"),
    ("config.storage.*", "the file is the configuration"),
    ("status.storage.*", "there are no workers"),
    ("offset.flush.*", "progress lives in the target's log"),
    ("key.converter*", "batches are not converted"),
    ("value.converter*", "batches are not converted"),
    ("header.converter*", "batches are not converted"),
    ("plugin.*", "there are no plug-ins"),
    ("transforms", "no transformation is named"),
    ("config.providers", "its placeholders become kmirror's"),
    ("name", "there are no connectors"),
    ("connector.*", "there are no connectors"),
    ("group.id", "there are no workers"),
    ("task*", "there are no tasks"),
    ("worker*", "there are no workers"),
    ("rebalance.*", "there are no workers"),
    ("scheduled.rebalance.*", "there are no workers"),
    ("errors.*", "a record is never left out"),
    ("rest.*", "instances meet in the target's log"),
    ("dedicated.mode.enable.internal.rest", "instances meet in the target's log"),
    ("listeners", "instances meet in the target's log"),
    ("metric*", "metrics have names of their own"),
];
