//! MirrorMaker 2's `.properties` file (`MirrorMakerConfig`, `MirrorSourceConfig`, `MirrorCheckpointConfig`): clusters by their aliases,
//! flows by `A->B.`, and keys without a prefix as the default of all flows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::properties::Properties;
use super::{Imported, Note, NoteKind};

/// Why there is nothing to be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mm2Error {
    #[error("`clusters` is missing: a list of aliases, `clusters = A, B`")]
    NoClusters,
    #[error("`{0}.bootstrap.servers` is missing")]
    NoServers(String),
    #[error("no flow is enabled; MirrorMaker 2 copies nothing either: set `A->B.enabled = true`")]
    NothingEnabled,
    #[error("`{key}` names the Java class {class}, which kmirror cannot run; {instead}")]
    JavaClass { key: String, class: String, instead: &'static str },
    #[error("`{key} = {value}`: {problem}")]
    Value { key: String, value: String, problem: &'static str },
}

/// Translates a file.
pub(super) fn import(properties: &Properties) -> Result<Imported, Mm2Error> {
    let mut import = Import { file: &properties.values, used: BTreeSet::new(), notes: Vec::new() };
    for key in &properties.dropped_backslashes {
        let text = "Java drops a backslash here; an expression needs it doubled (`\\\\.`)";
        import.note(NoteKind::Warning, key, text);
    }
    let aliases = import.aliases()?;
    let mut clusters = Map::new();
    for alias in &aliases {
        clusters.insert(alias.clone(), import.cluster(alias)?);
    }
    let mut flows = Vec::new();
    for (source, target) in pairs(&aliases) {
        if let Some(flow) = import.flow(&source, &target)? {
            flows.push(flow);
        }
    }
    if flows.is_empty() {
        return Err(Mm2Error::NothingEnabled);
    }
    import.rest(&aliases);
    import.notes.sort_by_key(|note| note.kind);
    Ok(Imported { config: json!({ "clusters": clusters, "flows": flows }), notes: import.notes })
}

/// Every ordered pair.
fn pairs(aliases: &[String]) -> Vec<(String, String)> {
    let pairs = aliases.iter().flat_map(|source| aliases.iter().map(move |target| (source, target)));
    pairs
        .filter(|(source, target)| source != target)
        .map(|(source, target)| (source.clone(), target.clone()))
        .collect()
}

struct Import<'a> {
    file: &'a BTreeMap<String, String>,
    /// Keys that were understood.
    used: BTreeSet<String>,
    notes: Vec<Note>,
}

impl Import<'_> {
    fn note(&mut self, kind: NoteKind, key: &str, text: impl Into<String>) {
        let note = Note { kind, key: key.to_owned(), text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The value of a key, trimmed as Kafka trims (`ConfigDef.parseType`).
    fn value(&mut self, key: &str) -> Option<String> {
        let value = self.file.get(key)?;
        self.used.insert(key.to_owned());
        Some(value.trim().to_owned())
    }

    fn aliases(&mut self) -> Result<Vec<String>, Mm2Error> {
        let aliases = list(&self.value("clusters").ok_or(Mm2Error::NoClusters)?);
        if aliases.is_empty() { Err(Mm2Error::NoClusters) } else { Ok(aliases) }
    }

    /// A cluster: its servers, and what else its clients are told. Keys at the top are the default of every cluster's.
    fn cluster(&mut self, alias: &str) -> Result<Value, Mm2Error> {
        let own = format!("{alias}.bootstrap.servers");
        let servers = self.value(&own).or_else(|| self.value("bootstrap.servers"));
        let servers = list(&servers.ok_or_else(|| Mm2Error::NoServers(alias.to_owned()))?);
        let mut cluster = Map::from_iter([("bootstrap_servers".to_owned(), json!(servers))]);
        let mut properties = Map::new();
        for key in CLIENT_KEYS {
            let own = format!("{alias}.{key}");
            let Some(value) = self.value(&own).or_else(|| self.value(key)) else { continue };
            match key {
                "client.id" => drop(cluster.insert("client_id".to_owned(), json!(value))),
                "request.timeout.ms" => {
                    drop(cluster.insert("request_timeout".to_owned(), json!(format!("{value}ms"))))
                }
                _ if key == "security.protocol" && value.eq_ignore_ascii_case("PLAINTEXT") => {}
                _ => drop(properties.insert(key.to_owned(), json!(value))),
            }
        }
        for (key, value) in self.file {
            let Some(name) = key.strip_prefix(&format!("{alias}.")) else { continue };
            if name.starts_with("ssl.") || name.starts_with("sasl.") {
                self.used.insert(key.clone());
                properties.insert(name.to_owned(), json!(value.trim()));
            }
        }
        if !properties.is_empty() {
            self.note(NoteKind::Unsupported, &format!("{alias}.*"), "TLS and SASL are not supported yet");
            cluster.insert("properties".to_owned(), Value::from(properties));
        }
        Ok(Value::from(cluster))
    }

    /// A flow, if it is enabled.
    fn flow(&mut self, source: &str, target: &str) -> Result<Option<Value>, Mm2Error> {
        let pair = format!("{source}->{target}");
        if !self.boolean(&pair, "enabled")?.unwrap_or(false) {
            return Ok(None);
        }
        self.refuse_classes(&pair)?;
        let mut flow =
            Map::from_iter([("source".to_owned(), json!(source)), ("target".to_owned(), json!(target))]);
        let include = self.patterns(&pair, &["topics", "topics.whitelist"], ".*");
        let exclude = self.patterns(&pair, &["topics.exclude", "topics.blacklist"], TOPICS_EXCLUDED);
        flow.insert("topics".to_owned(), json!({ "include": include, "exclude": exclude }));
        flow.insert("naming".to_owned(), self.naming(&pair)?);
        if let Some(isolation) = self.isolation(&pair, source) {
            flow.insert("isolation".to_owned(), json!(isolation));
        }
        self.topics_control(&pair, &mut flow)?;
        self.groups(&pair, &mut flow)?;
        self.compatibility(&pair, &mut flow)?;
        Ok(Some(Value::from(flow)))
    }

    fn naming(&mut self, pair: &str) -> Result<Value, Mm2Error> {
        let separator = self.of_flow(pair, "replication.policy.separator").map(|(_, value)| value);
        let Some((key, class)) = self.of_flow(pair, "replication.policy.class") else {
            return Ok(prefixed(separator.as_deref()));
        };
        match class.rsplit('.').next() {
            Some("DefaultReplicationPolicy") => Ok(prefixed(separator.as_deref())),
            Some("IdentityReplicationPolicy") => Ok(json!("identity")),
            _ => Err(Mm2Error::JavaClass {
                key,
                class,
                instead: "write `naming: { template: … }` in kmirror.yaml",
            }),
        }
    }

    /// The consumer's isolation level, where it is set: kmirror's default copies what was committed.
    fn isolation(&mut self, pair: &str, source: &str) -> Option<&'static str> {
        let keys = [
            format!("{pair}.source.consumer.isolation.level"),
            format!("{pair}.consumer.isolation.level"),
            format!("{source}.consumer.isolation.level"),
            "consumer.isolation.level".to_owned(),
        ];
        let found = keys.iter().find_map(|key| Some((key, self.value(key)?)));
        let Some((key, level)) = found else {
            let text = "MirrorMaker 2 copies aborted records too unless it is set; kmirror copies what was committed";
            self.note(NoteKind::Warning, "consumer.isolation.level", text);
            return None;
        };
        let level = if level.eq_ignore_ascii_case("read_uncommitted") {
            "read_uncommitted"
        } else {
            "read_committed"
        };
        self.note(NoteKind::Mapped, key, format!("isolation: {level}"));
        Some(level)
    }

    fn topics_control(&mut self, pair: &str, flow: &mut Map<String, Value>) -> Result<(), Mm2Error> {
        let factor = match self.of_flow(pair, "replication.factor") {
            None => json!(2),
            Some((key, value)) => match value.parse::<i16>() {
                Ok(-1) => json!("broker"),
                Ok(factor) => json!(factor),
                Err(_) => return Err(Mm2Error::Value { key, value, problem: "no number" }),
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
        let excluded = self.first_of(pair, &["config.properties.exclude", "config.properties.blacklist"]);
        if let Some((key, excluded)) = excluded {
            let keys: Vec<String> =
                list(&excluded).iter().map(|pattern| pattern.replace("\\.", ".")).collect();
            if keys.iter().any(|key| key.contains(['*', '[', '(', '|', '+', '?', '\\'])) {
                self.note(NoteKind::Warning, &key, "an expression; kmirror compares keys as they are");
            }
            configs.insert("exclude".to_owned(), json!(keys));
        }
        if let Some((key, value)) = self.of_flow(pair, "use.defaults.from") {
            let value = value.to_lowercase();
            if !matches!(value.as_str(), "source" | "target") {
                return Err(Mm2Error::Value { key, value, problem: "neither `source` nor `target`" });
            }
            configs.insert("defaults_from".to_owned(), json!(value));
        }
        if !configs.is_empty() {
            flow.insert("topic_configs".to_owned(), Value::from(configs));
        }
        if self.boolean(pair, "sync.topic.acls.enabled")?.unwrap_or(true) {
            let text = "access control lists are not copied yet; set it to `false` to say that this is meant";
            self.note(NoteKind::Warning, "sync.topic.acls.enabled", text);
        }
        Ok(())
    }

    fn groups(&mut self, pair: &str, flow: &mut Map<String, Value>) -> Result<(), Mm2Error> {
        match self.boolean(pair, "sync.group.offsets.enabled")? {
            Some(false) => drop(flow.insert("groups".to_owned(), json!({ "include": [] }))),
            enabled => {
                if enabled.is_none() {
                    let text = "it is off by default in MirrorMaker 2; kmirror lets groups follow";
                    self.note(NoteKind::Warning, "sync.group.offsets.enabled", text);
                }
                let include = self.patterns(pair, &["groups", "groups.whitelist"], ".*");
                let exclude = self.patterns(pair, &["groups.exclude", "groups.blacklist"], GROUPS_EXCLUDED);
                flow.insert("groups".to_owned(), json!({ "include": include, "exclude": exclude }));
            }
        }
        if let Some(interval) = self.seconds(pair, "sync.group.offsets.interval.seconds")? {
            flow.insert("groups_interval".to_owned(), json!(interval));
        }
        Ok(())
    }

    /// What MirrorMaker's own readers look for.
    fn compatibility(&mut self, pair: &str, flow: &mut Map<String, Value>) -> Result<(), Mm2Error> {
        let mut topics = Map::new();
        for (key, name) in
            [("emit.heartbeats.enabled", "heartbeats"), ("emit.checkpoints.enabled", "checkpoints")]
        {
            topics.insert(name.to_owned(), json!(self.boolean(pair, key)?.unwrap_or(true)));
        }
        flow.insert("mm2_topics".to_owned(), Value::from(topics));
        if self.boolean(pair, "emit.offset-syncs.enabled")?.unwrap_or(true) {
            let text = "offset syncs are not written: only MirrorMaker's own connectors read them";
            self.note(NoteKind::Ignored, "emit.offset-syncs.enabled", text);
        }
        Ok(())
    }

    /// Classes that are not Kafka's own do something that nobody but Java knows.
    fn refuse_classes(&mut self, pair: &str) -> Result<(), Mm2Error> {
        for (key, own, instead) in CLASSES {
            let Some((key, class)) = self.of_flow(pair, key) else { continue };
            if class.rsplit('.').next() != Some(own) {
                return Err(Mm2Error::JavaClass { key, class, instead });
            }
        }
        Ok(())
    }

    /// A key of a flow: its own value, or the default of all flows.
    fn of_flow(&mut self, pair: &str, key: &str) -> Option<(String, String)> {
        let own = format!("{pair}.{key}");
        let found = self.value(&own).map(|value| (own, value));
        // Both are understood, though one does not count.
        let common = self.value(key).map(|value| (key.to_owned(), value));
        found.or(common)
    }

    fn first_of(&mut self, pair: &str, keys: &[&str]) -> Option<(String, String)> {
        keys.iter().filter_map(|key| self.of_flow(pair, key)).next()
    }

    /// The items of a list of names or expressions. A blank one matches nothing.
    fn patterns(&mut self, pair: &str, keys: &[&str], default: &str) -> Vec<String> {
        let Some((key, value)) = self.first_of(pair, keys) else { return list(default) };
        let patterns = list(&value);
        if patterns.iter().any(|pattern| pattern.matches('{').count() != pattern.matches('}').count()) {
            let text =
                "Kafka cuts a list at every comma, in an expression as well: `a{1,3}` becomes `a{1` and `3}`";
            self.note(NoteKind::Warning, &key, text);
        }
        patterns
    }

    fn boolean(&mut self, pair: &str, key: &str) -> Result<Option<bool>, Mm2Error> {
        match self.of_flow(pair, key) {
            None => Ok(None),
            Some((_, value)) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some((_, value)) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some((key, value)) => Err(Mm2Error::Value { key, value, problem: "neither `true` nor `false`" }),
        }
    }

    fn seconds(&mut self, pair: &str, key: &str) -> Result<Option<String>, Mm2Error> {
        let Some((key, value)) = self.of_flow(pair, key) else { return Ok(None) };
        match value.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Some(format!("{seconds}s"))),
            _ => Err(Mm2Error::Value { key, value, problem: "no number of seconds" }),
        }
    }

    /// Says of every other key what becomes of it, and of those that were translated that they were.
    fn rest(&mut self, aliases: &[String]) {
        for key in self.used.clone() {
            if !self.notes.iter().any(|note| note.key == key) {
                self.note(NoteKind::Mapped, &key, "as in the file that is printed");
            }
        }
        let others: Vec<&String> = self.file.keys().filter(|key| !self.used.contains(*key)).collect();
        for key in others {
            let name = without_prefix(key, aliases);
            let reason = IGNORED.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => {
                    name == *pattern || name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.'))
                }
            });
            match reason {
                Some((_, reason)) => self.note(NoteKind::Ignored, key, *reason),
                None => self.note(NoteKind::Warning, key, "not known; nothing is done about it"),
            }
        }
    }
}

/// The key without the alias or the flow that it is for, and without the client's kind.
fn without_prefix<'a>(key: &'a str, aliases: &[String]) -> &'a str {
    let flows = pairs(aliases).into_iter().map(|(source, target)| format!("{source}->{target}."));
    let prefixes: Vec<String> = flows.chain(aliases.iter().map(|alias| format!("{alias}."))).collect();
    prefixes.iter().find_map(|prefix| key.strip_prefix(prefix.as_str())).unwrap_or(key)
}

fn prefixed(separator: Option<&str>) -> Value {
    match separator {
        None | Some(".") => json!("prefixed"),
        Some(separator) => json!({ "template": format!("{{source}}{separator}{{topic}}") }),
    }
}

/// Kafka's lists (`ConfigDef.Type.LIST`).
fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// `DefaultTopicFilter`, since 4.0.
const TOPICS_EXCLUDED: &str = "mm2.*\\.internal, .*\\.replica, __.*";
/// `DefaultGroupFilter`.
const GROUPS_EXCLUDED: &str = "console-consumer-.*, connect-.*, __.*";
const CLIENT_KEYS: [&str; 3] = ["security.protocol", "client.id", "request.timeout.ms"];
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
const IGNORED: [(&str, &str); 24] = [
    ("tasks.max", "one process uses as many connections as it needs"),
    ("exactly.once.source.support", "always on"),
    ("offset.lag.max", "offsets are translated exactly"),
    ("offset-syncs.*", "offsets are translated exactly, without samples of them"),
    ("refresh.topics.*", "topics and partitions are seen within three seconds"),
    ("refresh.groups.*", "groups are seen whenever they are looked at"),
    ("emit.*", "written whenever something changes"),
    ("checkpoints.topic.*", "the topic is created as others are"),
    ("heartbeats.*", "the topic is created as others are"),
    ("sync.topic.acls.interval.seconds", "access control lists are not copied yet"),
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
    ("dedicated.mode.enable.internal.rest", "instances meet in the target's log"),
    ("listeners", "instances meet in the target's log"),
    ("metric*", "metrics have names of their own"),
    ("replication.policy.internal.topic.separator.enabled", "internal topics have dots in their names"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> Result<Imported, Mm2Error> {
        import(&Properties::parse(text.as_bytes()).expect("well formed"))
    }

    const TWO: &str = "clusters = a, b\na.bootstrap.servers = x:1, y:2\nb.bootstrap.servers=z:3\n";

    #[test]
    fn flows_have_what_is_theirs_or_the_default_of_all() {
        let file = format!(
            "{TWO}a->b.enabled = TRUE\nb->a.enabled=false\ntopics = common\na->b.topics = orders.*, payments\n\
             topics.exclude = .*\\\\.tmp\nreplication.factor = -1\nsync.group.offsets.enabled = true\na->b.sync.group.offsets.interval.seconds = 9\n\
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
                    "replication_factor": "broker",
                    "groups": { "include": [".*"], "exclude": ["console-consumer-.*", "connect-.*", "__.*"] },
                    "groups_interval": "9s",
                    "mm2_topics": { "heartbeats": true, "checkpoints": true },
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
            ("consumer.isolation.level", NoteKind::Warning),
        ] {
            assert_eq!(kind_of(key), Some(kind), "{key}");
        }
    }

    #[test]
    fn every_pair_may_be_enabled_at_once() {
        let file = "clusters = a, b, c\nbootstrap.servers = x:1\nenabled = true\nc->a.enabled = false\n\
                    a->b.replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n";
        let imported = imported(file).expect("flows");
        let flows = imported.config["flows"].as_array().expect("a list");
        assert_eq!(flows.len(), 5);
        assert_eq!((&flows[0]["naming"], &flows[1]["naming"]), (&json!("identity"), &json!("prefixed")));
        assert_eq!(flows[0]["replication_factor"], 2, "MirrorMaker's default");
    }

    #[test]
    fn what_cannot_be_done_is_refused_or_told() {
        let refused =
            |lines: &str| imported(&format!("{TWO}a->b.enabled=true\n{lines}")).expect_err(lines).to_string();
        assert!(refused("topic.filter.class = com.example.Filter").contains("com.example.Filter"));
        assert!(refused("replication.policy.class = com.example.Policy").contains("naming"));
        assert!(refused("a->b.sync.topic.configs.enabled = maybe").contains("neither `true` nor `false`"));
        assert!(refused("replication.factor = many").contains("no number"));
        assert_eq!(imported(TWO).expect_err("nothing enabled"), Mm2Error::NothingEnabled);
        assert_eq!(imported("a.bootstrap.servers = x:1").expect_err("no clusters"), Mm2Error::NoClusters);
        assert_eq!(
            imported("clusters = a, b\na.bootstrap.servers=x:1").expect_err("b"),
            Mm2Error::NoServers("b".to_owned())
        );
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
