//! MirrorMaker 2's `.properties` file (`MirrorMakerConfig`, `MirrorSourceConfig`, `MirrorCheckpointConfig`): clusters by their aliases,
//! flows by `A->B.`, and keys without a prefix as the default of all flows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::client_keys::{self, ClientKey, client_key};
use super::patterns;
use super::properties::Properties;
use super::providers::{Providers, Translated};
use super::{ImportError, Imported, Note, NoteKind, list};
use crate::config::{placeholder, problem};

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

/// The aliases of a source and a target.
#[derive(Clone, Debug)]
struct Pair {
    source: String,
    target: String,
}

impl Pair {
    /// A key of this flow alone.
    fn key(&self, key: &str) -> String {
        format!("{}->{}.{key}", self.source, self.target)
    }
}

/// Every ordered pair.
fn pairs(aliases: &[String]) -> Vec<Pair> {
    let pairs = aliases.iter().flat_map(|source| aliases.iter().map(move |target| (source, target)));
    pairs
        .filter(|(source, target)| source != target)
        .map(|(source, target)| Pair { source: source.clone(), target: target.clone() })
        .collect()
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
        let properties = self.security(alias, flows)?;
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
            if client_keys::is_secret(name) && !value.has_placeholder {
                let text = format!("{name} is in the clear; a file and ${{file:/path}} would hide it");
                self.note(NoteKind::Warning, &format!("{alias}.*"), text);
            }
            properties.insert(name.clone(), json!(value.text));
        }
        self.note(NoteKind::Unsupported, &format!("{alias}.*"), "TLS and SASL are not supported yet");
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
                self.note(NoteKind::Mapped, &key, "as in the file that is printed");
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

/// What becomes of a key that was not translated. `name`: without the alias or the flow that it is for.
fn without_meaning(name: &str, value: &str) -> (NoteKind, String) {
    let reason = IGNORED.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern || name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.')),
    });
    if let Some((_, reason)) = reason {
        return (NoteKind::Ignored, (*reason).to_owned());
    }
    let of_client = CLIENT_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
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
            let known: Vec<&str> = FLOW_KEYS.iter().copied().chain(client_keys::names()).collect();
            let suggestion = problem::suggestion(of_client, &known);
            (NoteKind::Warning, format!("not known, and nothing is done about it{suggestion}"))
        }
    }
}

/// Where the source's consumer of a flow finds a key (`MirrorSourceConfig.sourceConsumerConfig`), the first of which counts.
fn consumer_layer(pair: &Pair, name: &str) -> Vec<String> {
    layer(pair, &pair.source, ["source.consumer.", "consumer.", "consumer.", "source.cluster."], name)
}

/// The same of the producer that writes to the target: the worker's, with what a flow overrides.
fn producer_layer(pair: &Pair, name: &str) -> Vec<String> {
    layer(
        pair,
        &pair.target,
        ["producer.override.", "producer.", "target.producer.", "target.cluster."],
        name,
    )
}

fn layer(pair: &Pair, alias: &str, [first, of_cluster, later, last]: [&str; 4], name: &str) -> Vec<String> {
    let of_pair = |prefix: &str| pair.key(&format!("{prefix}{name}"));
    let mut keys = vec![of_pair(first), format!("{alias}.{of_cluster}{name}")];
    // A key of a connection is copied to each kind of client. Others are not, but nothing else can be meant by them.
    keys.extend([format!("{alias}.{name}"), name.to_owned()]);
    keys.extend([of_pair(later), of_pair(last)]);
    keys
}

/// Where the clients of a cluster find a key, by flow.
fn client_layers(alias: &str, flows: &[Pair], name: &str) -> Vec<Vec<String>> {
    let layers = flows.iter().filter_map(|pair| match (pair.source == alias, pair.target == alias) {
        (true, _) => Some(consumer_layer(pair, name)),
        (_, true) => Some(producer_layer(pair, name)),
        _ => None,
    });
    let layers: Vec<_> = layers.collect();
    match layers.is_empty() {
        true => vec![vec![format!("{alias}.{name}"), name.to_owned()]],
        false => layers,
    }
}

fn java_class(class: &Found, instead: &str) -> ImportError {
    let message = format!(
        "`{}` names the Java class {}, which kmirror cannot run; {instead}",
        class.key, class.written
    );
    ImportError::at(&class.key, message)
}

/// The key without the alias or the flow that it is for.
fn without_prefix<'a>(key: &'a str, aliases: &[String]) -> &'a str {
    let flows = pairs(aliases).into_iter().map(|pair| pair.key(""));
    let prefixes = flows.chain(aliases.iter().map(|alias| format!("{alias}.")));
    // An alias may begin with another one and a dot.
    let longest = prefixes.filter(|prefix| key.starts_with(prefix.as_str())).map(|prefix| prefix.len()).max();
    key.get(longest.unwrap_or(0)..).unwrap_or(key)
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
/// Those of `security.protocol`.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
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
/// Keys of flows that are translated.
const FLOW_KEYS: &[&str] = &[
    "enabled",
    "topics",
    "topics.exclude",
    "groups",
    "groups.exclude",
    "replication.policy.class",
    "replication.policy.separator",
    "replication.policy.internal.topic.separator.enabled",
    "replication.factor",
    "config.properties.exclude",
    "use.defaults.from",
    "sync.topic.configs.enabled",
    "sync.topic.configs.interval.seconds",
    "sync.topic.acls.enabled",
    "sync.topic.acls.interval.seconds",
    "sync.group.offsets.enabled",
    "sync.group.offsets.interval.seconds",
    "emit.heartbeats.enabled",
    "emit.checkpoints.enabled",
    "emit.offset-syncs.enabled",
    "offset-syncs.topic.location",
    "refresh.topics.enabled",
    "refresh.groups.enabled",
    "topic.filter.class",
    "group.filter.class",
];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> Result<Imported, ImportError> {
        import(&Properties::parse(text.as_bytes()).expect("well formed"))
    }

    const TWO: &str = "clusters = a, b\na.bootstrap.servers = x:1, y:2\nb.bootstrap.servers=z:3\n";

    #[test]
    fn flows_have_what_is_theirs_or_the_default_of_all() {
        let file = format!(
            "{TWO}a->b.enabled = TRUE\nb->a.enabled=false\ntopics = common\na->b.topics = orders.*, payments\n\
             topics.exclude = .*\\\\.tmp\nreplication.factor = -1\nsync.group.offsets.enabled = true\na->b.sync.group.offsets.interval.seconds = 9\nsync.topic.acls.interval.seconds = 30\n\
             replication.policy.separator = _\ntasks.max = 10\nb.offset.storage.replication.factor = 1\nnonsense = 1\n"
        );
        let imported = imported(&file).expect("a flow");
        assert_eq!(
            imported.config,
            json!({
                "clusters": {
                    "a": { "bootstrap_servers": ["x:1", "y:2"] },
                    "b": { "bootstrap_servers": ["z:3"] },
                },
                "flows": [{
                    "source": "a",
                    "target": "b",
                    "topics": { "include": ["orders.*", "payments"], "exclude": [".*\\.tmp"] },
                    "naming": { "template": "{source}_{topic}" },
                    "takeover": "mm2",
                    "replication_factor": "broker",
                    "acls": "safe",
                    "acls_interval": "30s",
                    "groups": { "include": [".*"], "exclude": ["console-consumer-.*", "connect-.*", "__.*"] },
                    "groups_interval": "9s",
                    "mm2_topics": {
                        "heartbeats": true, "checkpoints": true, "offset_syncs": "source", "separator": "_",
                    },
                }],
            })
        );
        let kind_of = |key: &str| imported.notes.iter().find(|note| note.key == key).map(|note| note.kind);
        for (key, kind) in [
            ("a->b.topics", NoteKind::Mapped),
            ("topics", NoteKind::Mapped),
            ("tasks.max", NoteKind::Ignored),
            ("b.offset.storage.replication.factor", NoteKind::Ignored),
            ("nonsense", NoteKind::Warning),
            ("a.consumer.isolation.level", NoteKind::Warning),
            ("b->a", NoteKind::Ignored),
        ] {
            assert_eq!(kind_of(key), Some(kind), "{key}");
        }
    }

    #[test]
    fn every_pair_may_be_enabled_at_once() {
        let file = "clusters = a, b, c\nbootstrap.servers = x:1\nenabled = true\nc->a.enabled = false\n\
                    a->b.replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n\
                    a->b.sync.topic.acls.enabled = false\n";
        let imported = imported(file).expect("flows");
        let flows = imported.config["flows"].as_array().expect("a list");
        assert_eq!(flows.len(), 5);
        assert_eq!((&flows[0]["naming"], &flows[1]["naming"]), (&json!("identity"), &json!("prefixed")));
        assert_eq!(flows[0]["replication_factor"], 2, "MirrorMaker's default");
        assert_eq!((&flows[0]["acls"], &flows[1]["acls"]), (&json!("none"), &json!("safe")));
    }

    /// The three forms, and what stands behind all of them: the first that is there counts.
    #[test]
    fn keys_of_a_flow_win_over_those_of_a_cluster_and_both_over_those_of_all() {
        let told = |lines: &str| {
            let file = format!("clusters = a, b\nbootstrap.servers = top:1\na->b.enabled = true\n{lines}");
            let config = imported(&file).expect("a flow").config;
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (a, b, flow) = (&config["clusters"]["a"], &config["clusters"]["b"], &config["flows"][0]);
            (text(&a["client_id"]), text(&b["client_id"]), text(&flow["isolation"]))
        };
        let expected = |a: &str, b: &str, isolation: &str| (a.to_owned(), b.to_owned(), isolation.to_owned());
        for (lines, a, b, isolation) in [
            ("client.id = top", "top", "top", "-"),
            ("client.id = top\na.client.id = A", "A", "top", "-"),
            ("a.client.id = A\na.consumer.client.id = AC\na.producer.client.id = AP", "AC", "-", "-"),
            ("b.client.id = B\nb.producer.client.id = BP\nb.consumer.client.id = BC", "-", "BP", "-"),
            ("a.consumer.client.id = AC\na->b.source.consumer.client.id = F", "F", "-", "-"),
            ("b.producer.client.id = BP\na->b.producer.override.client.id = F", "-", "F", "-"),
            ("a.consumer.client.id = AC\na->b.consumer.client.id = F", "AC", "-", "-"),
            ("a.consumer.isolation.level = read_uncommitted", "-", "-", "read_uncommitted"),
            (
                "a.consumer.isolation.level = read_uncommitted\na->b.source.consumer.isolation.level = READ_COMMITTED",
                "-",
                "-",
                "read_committed",
            ),
            ("b.consumer.isolation.level = read_uncommitted", "-", "-", "-"),
            ("consumer.isolation.level = read_uncommitted", "-", "-", "-"),
        ] {
            assert_eq!(told(lines), expected(a, b, isolation), "{lines}");
        }
    }

    #[test]
    fn keys_of_connections_at_the_top_are_for_clusters_that_have_none() {
        let file = "clusters = a, b\nbootstrap.servers = top:1\na->b.enabled = true\nsecurity.protocol = ssl\n\
                    ssl.truststore.location = /top\nb.security.protocol = Plaintext\nb.ssl.truststore.location = /b\n\
                    b.bootstrap.servers = b:1\n";
        let imported = imported(file).expect("a flow");
        assert_eq!(
            imported.config["clusters"],
            json!({
                "a": {
                    "bootstrap_servers": ["top:1"],
                    "properties": { "security.protocol": "SSL", "ssl.truststore.location": "/top" },
                },
                "b": { "bootstrap_servers": ["b:1"] },
            })
        );
        assert!(imported.notes.iter().any(|note| {
            note.key == "b.ssl.truststore.location" && note.text.contains("`security.protocol`")
        }));
    }

    #[test]
    fn what_a_provider_holds_is_not_printed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config/secrets");
        let of = "org.apache.kafka.common.config.provider";
        let file = format!(
            "{TWO}config.providers = f, mounted\nconfig.providers.f.class = {of}.FileConfigProvider\n\
             config.providers.mounted.class = {of}.DirectoryConfigProvider\na->b.enabled = true\n\
             b.security.protocol = SASL_SSL\nb.sasl.mechanism = PLAIN\nb.client.id = ${{mounted:{folder}:password}}\n\
             b.sasl.jaas.config = x.PlainLoginModule required username=\"u\" password=\"${{f:{folder}/client.properties:user.password}}\";\n\
             b.ssl.key.password = clear\na->b.topics = ${{f:{folder}/client.properties:servers}}\n"
        );
        let imported = imported(&file).expect("a flow");
        let cluster = &imported.config["clusters"]["b"];
        assert_eq!(cluster["client_id"], format!("${{dir:{folder}:password}}"));
        let jaas = cluster["properties"]["sasl.jaas.config"].as_str().expect("text");
        assert!(
            jaas.contains(&format!("password=\"${{file:{folder}/client.properties:user.password}}\"")),
            "{jaas}"
        );
        // What is no text is read now.
        let topics = &imported.config["flows"][0]["topics"]["include"];
        assert_eq!(*topics, json!(["127.0.0.1:19092", "127.0.0.1:19093"]));
        let shown = format!("{imported:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("pass:word"), "{shown}");
        assert!(imported.notes.iter().any(|note| note.text.contains("ssl.key.password is in the clear")));
    }

    #[test]
    fn positions_are_where_the_worker_keeps_them() {
        let takeover = |lines: &str| {
            let file = format!("{TWO}a->b.enabled = true\n{lines}");
            imported(&file).expect("a flow").config["flows"][0]["takeover"].clone()
        };
        let named = |topic: &str| json!({ "mm2": { "offsets_topic": topic } });
        assert_eq!(takeover(""), "mm2");
        assert_eq!(takeover("b.offset.storage.topic = mm2-offsets.a.internal"), "mm2");
        assert_eq!(takeover("b.offset.storage.topic = B\na.offset.storage.topic = A"), named("B"));
        assert_eq!(takeover("b.offset.storage.topic = B\noffset.storage.topic = all"), named("all"));
    }

    #[test]
    fn flows_are_started_as_mirror_maker_starts_them() {
        let six = "clusters = a, b, c, d, e, f\nbootstrap.servers = x:1\nemit.heartbeats.enabled = false\n\
                   a->b.enabled = true\na->c.enabled = true\na->d.enabled = true\na->e.enabled = false\na->f.enabled = false\n";
        let flows = |file: &str| {
            imported(file).map(|imported| imported.config["flows"].as_array().map_or(0, Vec::len))
        };
        assert_eq!(flows(six), Ok(3));
        let all = "clusters = a, b, c\nbootstrap.servers = x:1\nenabled = true\n";
        assert_eq!(flows(all), Ok(6), "heartbeats start each pair, and each is enabled");
        assert_eq!(flows(&format!("{all}a->b.emit.heartbeats.enabled = false\n")), Ok(5));
    }

    #[test]
    fn the_report_says_what_becomes_of_each_key() {
        let file = format!(
            "{TWO}a->b.enabled = true\ntopics.blacklist = x\na->b.groups =\nb.producer.acks = 1\nb.producer.linger.ms = 5\n\
             a.consumer.interceptor.classes = x.Y\na->b.topcs = y\nb.producer.batch.sise = 1\nconsumer.isolation.level = read_committed\n\
             refresh.topics.enabled = false\nerrors.tolerance = all\na.consumer.auto.offset.reset = latest\n"
        );
        let imported = imported(&file).expect("a flow");
        let note = |key: &str| {
            let note = imported.notes.iter().find(|note| note.key == key);
            note.map(|note| (note.kind, note.text.as_str()))
                .unwrap_or((NoteKind::Unsupported, "not mentioned"))
        };
        for (key, kind, text) in [
            ("topics.blacklist", NoteKind::Warning, "read as `topics.exclude`"),
            ("a->b.groups", NoteKind::Warning, "a blank list matches nothing"),
            ("b.producer.acks", NoteKind::Warning, "overridden"),
            ("b.producer.linger.ms", NoteKind::Ignored, "as they are"),
            ("a.consumer.interceptor.classes", NoteKind::Ignored, "interceptors are Java"),
            ("a->b.topcs", NoteKind::Warning, "did you mean `topics`?"),
            ("b.producer.batch.sise", NoteKind::Warning, "did you mean `batch.size`?"),
            ("consumer.isolation.level", NoteKind::Warning, "write `A.consumer.isolation.level`"),
            ("refresh.topics.enabled", NoteKind::Warning, "seen all the same"),
            ("errors.tolerance", NoteKind::Ignored, "never left out"),
            ("a.consumer.auto.offset.reset", NoteKind::Mapped, "start: latest"),
        ] {
            let (has, says) = note(key);
            assert!(has == kind && says.contains(text), "{key}: {has:?} {says}");
        }
        assert_eq!(imported.config["flows"][0]["topics"]["exclude"], json!(["x"]));
        assert_eq!(imported.config["flows"][0]["groups"]["include"], json!([]));
        assert_eq!(imported.config["flows"][0]["start"], "latest");
    }

    #[test]
    fn what_cannot_be_done_is_refused_or_told() {
        let refused =
            |lines: &str| imported(&format!("{TWO}a->b.enabled=true\n{lines}")).expect_err(lines).to_string();
        assert!(refused("topic.filter.class = com.example.Filter").contains("com.example.Filter"));
        assert!(refused("replication.policy.class = com.example.Policy").contains("naming"));
        assert!(refused("a->b.sync.topic.configs.enabled = maybe").contains("neither `true` nor `false`"));
        assert!(refused("replication.factor = many").contains("no number of replicas"));
        let whole = |file: &str| imported(file).expect_err(file).to_string();
        assert!(whole(TWO).contains("no flow is enabled"));
        assert!(whole("a.bootstrap.servers = x:1").contains("`clusters` is missing"));
        let no_servers = "clusters = a, b\na.bootstrap.servers=x:1\na->b.enabled=true";
        assert!(whole(no_servers).contains("`b.bootstrap.servers` is missing"));
        let secured = imported(&format!(
            "{TWO}a->b.enabled=true\nb.security.protocol = SASL_SSL\nb.sasl.mechanism=PLAIN"
        ))
        .expect("a flow");
        assert_eq!(secured.config["clusters"]["b"]["properties"]["sasl.mechanism"], "PLAIN");
        assert!(secured.notes.iter().any(|note| note.kind == NoteKind::Unsupported));
        let cut = imported(&format!("{TWO}a->b.enabled=true\ntopics = a{{1,3}}")).expect("a flow");
        assert!(cut.notes.iter().any(|note| note.key == "topics" && note.text.contains("comma")));
    }
}
