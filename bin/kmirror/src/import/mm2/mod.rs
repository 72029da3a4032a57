//! MirrorMaker 2's `.properties` file (`MirrorMakerConfig`, `MirrorSourceConfig`, `MirrorCheckpointConfig`): clusters by their aliases,
//! flows by `A->B.`, and keys without a prefix as the default of all flows.

mod keys;
mod layers;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use self::keys::{without_meaning, without_prefix};
use self::layers::{Pair, client_layers, consumer_layer, pairs};
use super::patterns;
use super::providers::{Providers, Translated};
use super::{ImportError, Imported, Note, NoteKind, list};
use crate::files::client_keys::{self, socket_buffer};
use crate::files::placeholder;
use crate::files::properties::Properties;
use crate::mask;

/// Translates a file.
pub(super) fn import(properties: &Properties) -> Result<Imported, ImportError> {
    let mut imported = import_values(&properties.values)?;
    for key in &properties.dropped_backslashes {
        let text = "Java drops a backslash here; an expression needs it doubled (`\\\\.`)";
        imported.notes.push(Note { kind: NoteKind::Warning, key: key.clone(), text: text.to_owned() });
    }
    imported.notes.sort_by_key(|note| note.kind);
    Ok(imported)
}

/// Translates what a file holds.
pub(super) fn import_values(values: &BTreeMap<String, String>) -> Result<Imported, ImportError> {
    let providers = Providers::of(values)?;
    let mut import = Import { file: values, providers, used: BTreeSet::new(), notes: Vec::new() };
    let aliases = import.aliases()?;
    let mut flows = Vec::new();
    let mut enabled = Vec::new();
    for pair in pairs(&aliases) {
        if import.is_enabled(&pair)? {
            flows.push(import.flow(&pair)?);
            enabled.push(pair);
        }
    }
    if flows.is_empty() {
        let text = "no flow is enabled; MirrorMaker 2 copies nothing either: set `A->B.enabled = true`";
        return Err(ImportError::at("clusters", text));
    }
    let mut clusters = Map::new();
    for alias in &aliases {
        clusters.insert(alias.clone(), import.cluster(alias, &enabled)?);
    }
    import.rest(&aliases);
    Ok(Imported { config: json!({ "clusters": clusters, "flows": flows }), notes: import.notes })
}

struct Import<'a> {
    file: &'a BTreeMap<String, String>,
    providers: Providers,
    /// Keys that were understood.
    used: BTreeSet<String>,
    notes: Vec<Note>,
}

/// A value that was found, by the key under which it was.
struct Found {
    key: String,
    /// As it is written, for messages.
    written: String,
    value: String,
}

impl Found {
    fn is_not(&self, problem: &str) -> ImportError {
        ImportError::at(&self.key, format!("`{} = {}`: {problem}", self.key, self.written))
    }
}

impl Import<'_> {
    fn note(&mut self, kind: NoteKind, key: &str, text: impl Into<String>) {
        let note = Note { kind, key: key.to_owned(), text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The value of a key, trimmed as Kafka trims (`ConfigDef.parseType`), with kmirror's placeholders.
    fn translated(&mut self, key: &str) -> Option<Translated> {
        let value = self.file.get(key)?;
        self.used.insert(key.to_owned());
        let translated = self.providers.translated(value.trim());
        for mount in &translated.mounts {
            self.note(NoteKind::Warning, key, mount);
        }
        Some(translated)
    }

    /// The value of a key that has to be known now: what is no text cannot be a placeholder in what is printed.
    fn found(&mut self, key: &str) -> Result<Option<Found>, ImportError> {
        let Some(translated) = self.translated(key) else { return Ok(None) };
        let value = placeholder::resolve(&translated.text)
            .map_err(|error| ImportError::at(key, format!("`{key}`: {error}")))?;
        if translated.has_placeholder {
            let text = "its provider was asked now, and what it said is in the file that is printed";
            self.note(NoteKind::Warning, key, text);
        }
        let written = self.file.get(key).map_or("", |value| value.trim()).to_owned();
        Ok(Some(Found { key: key.to_owned(), written, value: value.trim().to_owned() }))
    }

    fn aliases(&mut self) -> Result<Vec<String>, ImportError> {
        let aliases = self.found("clusters")?.map(|found| list(&found.value)).unwrap_or_default();
        match aliases.is_empty() {
            true => Err(ImportError::new("`clusters` is missing: a list of aliases, `clusters = A, B`")),
            false => Ok(aliases),
        }
    }

    /// A cluster: its servers, and what else its clients are told.
    fn cluster(&mut self, alias: &str, flows: &[Pair]) -> Result<Value, ImportError> {
        let Some(servers) = self.of_client(alias, flows, "bootstrap.servers") else {
            let message = format!("`{alias}.bootstrap.servers` is missing");
            return Err(ImportError::at("clusters", message));
        };
        let servers = match servers.has_placeholder {
            true => json!(servers.text),
            false => json!(list(&servers.text)),
        };
        let mut cluster = Map::from_iter([("bootstrap_servers".to_owned(), servers)]);
        if let Some(client_id) = self.of_client(alias, flows, "client.id") {
            cluster.insert("client_id".to_owned(), json!(client_id.text));
        }
        if let Some(rack) = self.of_client(alias, flows, "client.rack") {
            cluster.insert("rack".to_owned(), json!(rack.text));
        }
        if let Some(timeout) = self.of_client(alias, flows, "request.timeout.ms") {
            // A unit behind a placeholder is one behind its value.
            let is_number =
                timeout.has_placeholder || timeout.text.parse::<u32>().is_ok_and(|value| value > 0);
            if !is_number {
                let message = format!("`request.timeout.ms = {}`: no number of milliseconds", timeout.text);
                return Err(ImportError::at(&format!("{alias}.request.timeout.ms"), message));
            }
            cluster.insert("request_timeout".to_owned(), json!(format!("{}ms", timeout.text)));
        }
        let mut properties = self.security(alias, flows)?;
        for (name, key) in SOCKET_BUFFERS {
            let Some(size) = self.of_client(alias, flows, name) else { continue };
            if size.has_placeholder {
                // What is behind it may be -1, which only Kafka's key says.
                properties.insert(name.to_owned(), json!(size.text));
                continue;
            }
            let size = socket_buffer(&size.text).map_err(|problem| {
                ImportError::at(&format!("{alias}.{name}"), format!("`{name}`: {problem}"))
            })?;
            cluster.extend(size.map(|size| (key.to_owned(), json!(size))));
        }
        if !properties.is_empty() {
            cluster.insert("properties".to_owned(), Value::from(properties));
        }
        Ok(Value::from(cluster))
    }

    /// The keys of TLS and SASL, which count where `security.protocol` asks for them.
    fn security(&mut self, alias: &str, flows: &[Pair]) -> Result<Map<String, Value>, ImportError> {
        let mut properties = Map::new();
        let Some(protocol) = self.of_client(alias, flows, "security.protocol") else { return Ok(properties) };
        let is_known = |known: &&&str| protocol.text.eq_ignore_ascii_case(known);
        match PROTOCOLS.iter().find(is_known) {
            Some(&"PLAINTEXT") => return Ok(properties),
            Some(protocol) => drop(properties.insert("security.protocol".to_owned(), json!(protocol))),
            None => {
                let message =
                    format!("the `security.protocol` of {alias} is none of {}", PROTOCOLS.join(", "));
                return Err(ImportError::at(&format!("{alias}.security.protocol"), message));
            }
        }
        let prefixes: Vec<String> = client_layers(alias, flows, "").into_iter().flatten().collect();
        let name_in = |key: &String| {
            let names = prefixes.iter().filter_map(|prefix| key.strip_prefix(prefix.as_str()));
            names.filter(|name| client_keys::is_security(name)).map(str::to_owned).next()
        };
        let names: BTreeSet<String> = self.file.keys().filter_map(name_in).collect();
        for name in names.iter().filter(|name| *name != "security.protocol") {
            let Some(value) = self.of_client(alias, flows, name) else { continue };
            if mask::is_secret(name) && !value.has_placeholder {
                let text = format!("{name} is in the clear; a file and ${{file:/path}} would hide it");
                self.note(NoteKind::Warning, &format!("{alias}.*"), text);
            }
            properties.insert(name.clone(), json!(value.text));
        }
        Ok(properties)
    }

    /// What the clients of a cluster are told, by the precedence of MirrorMaker: kmirror has one client for all of them.
    fn of_client(&mut self, alias: &str, flows: &[Pair], name: &str) -> Option<Translated> {
        let mut told: Vec<(String, Translated)> = Vec::new();
        for keys in client_layers(alias, flows, name) {
            // Each is understood, though only the first counts.
            let values: Vec<_> =
                keys.into_iter().filter_map(|key| self.translated(&key).map(|value| (key, value))).collect();
            if let Some(first) = values.into_iter().next()
                && told.iter().all(|(_, value)| *value != first.1)
            {
                told.push(first);
            }
        }
        if let [(key, _), (other, _), ..] = told.as_slice() {
            let text =
                format!("differs from {other}; kmirror has one client for a cluster, which is told this");
            self.note(NoteKind::Warning, &key.clone(), text);
        }
        told.into_iter().next().map(|(_, value)| value)
    }

    /// Whether a flow is started and copies (`MirrorMakerConfig.clusterPairs`).
    fn is_enabled(&mut self, pair: &Pair) -> Result<bool, ImportError> {
        let is_enabled = self.boolean(pair, "enabled")?.unwrap_or(false);
        let has_heartbeats = self.boolean(pair, "emit.heartbeats.enabled")?.unwrap_or(true);
        let is_started = self.file.contains_key(&pair.key("enabled")) || has_heartbeats;
        if !is_enabled && has_heartbeats {
            let text =
                "not enabled; MirrorMaker 2 starts it for heartbeats alone, which kmirror needs no flow for";
            self.note(NoteKind::Ignored, &format!("{}->{}", pair.source, pair.target), text);
        }
        Ok(is_enabled && is_started)
    }

    /// A flow that is enabled.
    fn flow(&mut self, pair: &Pair) -> Result<Value, ImportError> {
        self.refuse_classes(pair)?;
        let mut flow = Map::new();
        for (key, alias) in [("source", &pair.source), ("target", &pair.target)] {
            flow.insert(key.to_owned(), json!(placeholder::literal(alias)));
        }
        let include = self.patterns(pair, "topics", "topics.whitelist", ".*")?;
        let exclude = self.patterns(pair, "topics.exclude", "topics.blacklist", TOPICS_EXCLUDED)?;
        flow.insert("topics".to_owned(), json!({ "include": include, "exclude": exclude }));
        flow.insert("naming".to_owned(), self.naming(pair)?);
        flow.insert("takeover".to_owned(), self.takeover(pair)?);
        self.consumer(pair, &mut flow)?;
        self.topics_control(pair, &mut flow)?;
        self.groups(pair, &mut flow)?;
        self.compatibility(pair, &mut flow)?;
        Ok(Value::from(flow))
    }

    fn naming(&mut self, pair: &Pair) -> Result<Value, ImportError> {
        let separator = self.of_flow(pair, "replication.policy.separator")?.map(|found| found.value);
        let Some(class) = self.of_flow(pair, "replication.policy.class")? else {
            return Ok(prefixed(separator.as_deref()));
        };
        match class.value.rsplit('.').next() {
            Some("DefaultReplicationPolicy") => Ok(prefixed(separator.as_deref())),
            Some("IdentityReplicationPolicy") => Ok(json!("identity")),
            _ => Err(java_class(&class, "write `naming: { template: … }` in kmirror.yaml")),
        }
    }

    /// What the source's consumer is told that concerns the flow. kmirror's default copies what was committed.
    fn consumer(&mut self, pair: &Pair, flow: &mut Map<String, Value>) -> Result<(), ImportError> {
        match self.of_consumer(pair, "isolation.level")? {
            Some(found) => {
                let level = found.value.to_lowercase();
                if !matches!(level.as_str(), "read_committed" | "read_uncommitted") {
                    return Err(found.is_not("neither `read_committed` nor `read_uncommitted`"));
                }
                self.note(NoteKind::Mapped, &found.key, format!("isolation: {level}"));
                flow.insert("isolation".to_owned(), json!(level));
            }
            None => {
                let text = "MirrorMaker copies aborted records too unless it is set; kmirror copies what was committed";
                self.note(NoteKind::Warning, &format!("{}.consumer.isolation.level", pair.source), text);
            }
        }
        let Some(found) = self.of_consumer(pair, "auto.offset.reset")? else { return Ok(()) };
        match found.value.as_str() {
            "earliest" => {}
            "latest" => {
                self.note(NoteKind::Mapped, &found.key, "start: latest; what appears later is copied whole");
                flow.insert("start".to_owned(), json!("latest"));
            }
            _ => self.note(NoteKind::Warning, &found.key, "kmirror begins at the earliest record"),
        }
        Ok(())
    }

    fn topics_control(&mut self, pair: &Pair, flow: &mut Map<String, Value>) -> Result<(), ImportError> {
        let factor = match self.of_flow(pair, "replication.factor")? {
            None => json!(2),
            Some(found) => match found.value.parse::<i16>() {
                Ok(-1) => json!("broker"),
                Ok(factor) if factor > 0 => json!(factor),
                _ => return Err(found.is_not("no number of replicas")),
            },
        };
        flow.insert("replication_factor".to_owned(), factor);
        let mut configs = Map::new();
        if let Some(follow) = self.boolean(pair, "sync.topic.configs.enabled")? {
            configs.insert("follow".to_owned(), json!(follow));
        }
        if let Some(interval) = self.seconds(pair, "sync.topic.configs.interval.seconds")? {
            configs.insert("interval".to_owned(), json!(interval));
        }
        let excluded = self.first_of(pair, "config.properties.exclude", "config.properties.blacklist")?;
        if let Some(found) = excluded {
            let keys: Vec<String> =
                list(&found.value).iter().map(|pattern| pattern.replace("\\.", ".")).collect();
            if keys.iter().any(|key| key.contains(['*', '[', '(', '|', '+', '?', '\\'])) {
                self.note(NoteKind::Warning, &found.key, "an expression; kmirror compares keys as they are");
            }
            let keys: Vec<String> = keys.iter().map(|key| placeholder::literal(key)).collect();
            configs.insert("exclude".to_owned(), json!(keys));
        }
        if let Some(found) = self.of_flow(pair, "use.defaults.from")? {
            let value = found.value.to_lowercase();
            if !matches!(value.as_str(), "source" | "target") {
                return Err(found.is_not("neither `source` nor `target`"));
            }
            configs.insert("defaults_from".to_owned(), json!(value));
        }
        if !configs.is_empty() {
            flow.insert("topic_configs".to_owned(), Value::from(configs));
        }
        for key in ["refresh.topics.enabled", "refresh.groups.enabled"] {
            if self.boolean(pair, key)? == Some(false) {
                self.note(NoteKind::Warning, key, "what appears later is seen all the same");
            }
        }
        let acls =
            if self.boolean(pair, "sync.topic.acls.enabled")?.unwrap_or(true) { "safe" } else { "none" };
        flow.insert("acls".to_owned(), json!(acls));
        if let Some(interval) = self.seconds(pair, "sync.topic.acls.interval.seconds")? {
            flow.insert("acls_interval".to_owned(), json!(interval));
        }
        Ok(())
    }

    fn groups(&mut self, pair: &Pair, flow: &mut Map<String, Value>) -> Result<(), ImportError> {
        match self.boolean(pair, "sync.group.offsets.enabled")? {
            Some(false) => drop(flow.insert("groups".to_owned(), json!({ "include": [] }))),
            enabled => {
                if enabled.is_none() {
                    let text = "it is off by default in MirrorMaker 2; kmirror lets groups follow";
                    self.note(NoteKind::Warning, "sync.group.offsets.enabled", text);
                }
                let text = "groups follow to the target, and none is committed on the source, as with MirrorMaker: `groups.return` names those that return";
                self.note(NoteKind::Mapped, "sync.group.offsets.enabled", text);
                let include = self.patterns(pair, "groups", "groups.whitelist", ".*")?;
                let exclude = self.patterns(pair, "groups.exclude", "groups.blacklist", GROUPS_EXCLUDED)?;
                flow.insert("groups".to_owned(), json!({ "include": include, "exclude": exclude }));
            }
        }
        if let Some(interval) = self.seconds(pair, "sync.group.offsets.interval.seconds")? {
            flow.insert("groups_interval".to_owned(), json!(interval));
        }
        Ok(())
    }

    /// What MirrorMaker's own readers look for.
    fn compatibility(&mut self, pair: &Pair, flow: &mut Map<String, Value>) -> Result<(), ImportError> {
        let mut topics = Map::new();
        for (key, name) in
            [("emit.heartbeats.enabled", "heartbeats"), ("emit.checkpoints.enabled", "checkpoints")]
        {
            topics.insert(name.to_owned(), json!(self.boolean(pair, key)?.unwrap_or(true)));
        }
        let syncs = self.offset_syncs(pair)?;
        topics.insert("offset_syncs".to_owned(), json!(syncs));
        if let Some(separator) = self.of_flow(pair, "replication.policy.separator")? {
            topics.insert("separator".to_owned(), json!(placeholder::literal(&separator.value)));
        }
        if self.boolean(pair, "replication.policy.internal.topic.separator.enabled")? == Some(false) {
            topics.insert("internal_separator".to_owned(), json!("."));
        }
        flow.insert("mm2_topics".to_owned(), Value::from(topics));
        Ok(())
    }

    /// What it has filled goes on behind its last record, from positions that its worker of the target has kept.
    fn takeover(&mut self, pair: &Pair) -> Result<Value, ImportError> {
        // The one key where what is meant for all wins (`MirrorMakerConfig.workerConfig`).
        let of_all = self.found("offset.storage.topic")?;
        let of_target = self.found(&format!("{}.offset.storage.topic", pair.target))?;
        let default = format!("mm2-offsets.{}.internal", pair.source);
        Ok(match of_all.or(of_target).filter(|found| found.value != default) {
            None => json!("mm2"),
            Some(found) => json!({ "mm2": { "offsets_topic": placeholder::literal(&found.value) } }),
        })
    }

    /// On which cluster offset syncs are written.
    fn offset_syncs(&mut self, pair: &Pair) -> Result<&'static str, ImportError> {
        let location = self.of_flow(pair, "offset-syncs.topic.location")?;
        if self.boolean(pair, "emit.offset-syncs.enabled")? == Some(false) {
            return Ok("none");
        }
        match location {
            None => Ok("source"),
            Some(found) if found.value.eq_ignore_ascii_case("source") => Ok("source"),
            Some(found) if found.value.eq_ignore_ascii_case("target") => Ok("target"),
            Some(found) => Err(found.is_not("neither `source` nor `target`")),
        }
    }

    /// Classes that are not Kafka's own do something that nobody but Java knows.
    fn refuse_classes(&mut self, pair: &Pair) -> Result<(), ImportError> {
        for (key, own, instead) in CLASSES {
            let Some(class) = self.of_flow(pair, key)? else { continue };
            if class.value.rsplit('.').next() != Some(own) {
                return Err(java_class(&class, instead));
            }
        }
        let Some(transforms) = self.of_flow(pair, "transforms")? else { return Ok(()) };
        match list(&transforms.value).is_empty() {
            true => Ok(()),
            false => Err(transforms.is_not(
                "transformations are Java, which kmirror cannot run; `naming: { template: … }` in kmirror.yaml renames topics",
            )),
        }
    }

    /// A key of a flow: its own value, or the default of all flows.
    fn of_flow(&mut self, pair: &Pair, key: &str) -> Result<Option<Found>, ImportError> {
        // Both are understood, though one does not count.
        let own = self.found(&pair.key(key))?;
        let common = self.found(key)?;
        Ok(own.or(common))
    }

    /// A key of the source's consumer that has to be known now.
    fn of_consumer(&mut self, pair: &Pair, name: &str) -> Result<Option<Found>, ImportError> {
        for key in consumer_layer(pair, name) {
            if let Some(found) = self.found(&key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A key, or the name that it had before 2.8.
    fn first_of(&mut self, pair: &Pair, key: &str, former: &str) -> Result<Option<Found>, ImportError> {
        let named = self.of_flow(pair, key)?;
        let formerly = self.of_flow(pair, former)?;
        if let Some(formerly) = &formerly {
            let text = match named {
                Some(_) => format!("without effect: `{key}` is set"),
                None => format!("read as `{key}`; MirrorMaker 2 does not know this name since 4.0"),
            };
            self.note(NoteKind::Warning, &formerly.key, text);
        }
        Ok(named.or(formerly))
    }

    /// The items of a list of names or expressions.
    fn patterns(
        &mut self,
        pair: &Pair,
        key: &str,
        former: &str,
        default: &str,
    ) -> Result<Vec<String>, ImportError> {
        let Some(found) = self.first_of(pair, key, former)? else { return Ok(list(default)) };
        let patterns = patterns::read(&found.value);
        for warning in patterns.warnings {
            self.note(NoteKind::Warning, &found.key, warning);
        }
        if patterns.items.is_empty() {
            self.note(NoteKind::Warning, &found.key, "a blank list matches nothing");
        }
        Ok(patterns.items.iter().map(|item| placeholder::literal(item)).collect())
    }

    fn boolean(&mut self, pair: &Pair, key: &str) -> Result<Option<bool>, ImportError> {
        match self.of_flow(pair, key)? {
            None => Ok(None),
            Some(found) if found.value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(found) if found.value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(found) => Err(found.is_not("neither `true` nor `false`")),
        }
    }

    fn seconds(&mut self, pair: &Pair, key: &str) -> Result<Option<String>, ImportError> {
        let Some(found) = self.of_flow(pair, key)? else { return Ok(None) };
        match found.value.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Some(format!("{seconds}s"))),
            _ => Err(found.is_not("no number of seconds")),
        }
    }

    /// Says of every other key what becomes of it, and of those that were translated that they were.
    fn rest(&mut self, aliases: &[String]) {
        for key in self.used.clone() {
            if !self.notes.iter().any(|note| note.key == key) {
                self.note(NoteKind::Mapped, &key, keys::meaning(without_prefix(&key, aliases)));
            }
        }
        let file = self.file;
        for (key, value) in file.iter().filter(|(key, _)| !key.is_empty()) {
            if !self.used.contains(key) {
                let (kind, text) = without_meaning(without_prefix(key, aliases), value.trim());
                self.note(kind, key, text);
            }
        }
    }
}

fn java_class(class: &Found, instead: &str) -> ImportError {
    let message = format!(
        "`{}` names the Java class {}, which kmirror cannot run; {instead}",
        class.key, class.written
    );
    ImportError::at(&class.key, message)
}

fn prefixed(separator: Option<&str>) -> Value {
    match separator {
        None | Some(".") => json!("prefixed"),
        Some(separator) => {
            json!({ "template": format!("{{source}}{}{{topic}}", placeholder::literal(separator)) })
        }
    }
}

/// `DefaultTopicFilter`, since 4.0.
const TOPICS_EXCLUDED: &str = "mm2.*\\.internal, .*\\.replica, __.*";
/// `DefaultGroupFilter`.
const GROUPS_EXCLUDED: &str = "console-consumer-.*, connect-.*, __.*";
/// Kafka's keys, and ours.
const SOCKET_BUFFERS: [(&str, &str); 2] =
    [("send.buffer.bytes", "send_buffer_bytes"), ("receive.buffer.bytes", "receive_buffer_bytes")];
/// Those of `security.protocol`.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
/// The classes that a file may name, the one that kmirror does the work of, and what to do instead of another.
const CLASSES: [(&str, &str, &str); 4] = [
    ("topic.filter.class", "DefaultTopicFilter", "write `topics` in kmirror.yaml"),
    ("group.filter.class", "DefaultGroupFilter", "write `groups` in kmirror.yaml"),
    (
        "config.property.filter.class",
        "DefaultConfigPropertyFilter",
        "write `topic_configs.exclude` in kmirror.yaml",
    ),
    (
        "forwarding.admin.class",
        "ForwardingAdmin",
        "set `create_topics: false` and let that class's service create topics",
    ),
];
#[cfg(test)]
mod tests;
