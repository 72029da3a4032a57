//! Strimzi's resource `KafkaMirrorMaker2`, of `v1beta2` (`clusters`, `connectCluster`) and `v1` (`target`, `mirrors[].source`): it is turned
//! into the `.properties` that mean the same, and translated as those are. What is said of a key is said of its place in the resource.

use std::collections::BTreeMap;
use std::fmt;

use serde_yaml::Value;

use super::mm2;
use super::{ImportError, Imported, Note, NoteKind};
use crate::files::problem;

/// Translates a resource.
pub(super) fn import(resource: &Value) -> Result<Imported, ImportError> {
    let root = Node { value: resource, place: String::new() };
    let spec = root.required("spec")?;
    let mut file = File { namespace: "default".to_owned(), ..File::default() };
    if let Some(namespace) = root.get("metadata").and_then(|metadata| metadata.get("namespace")) {
        file.namespace = namespace.text()?;
    }
    for (name, class) in PROVIDERS {
        file.values.insert(format!("config.providers.{name}.class"), class.to_owned());
    }
    // What has no heartbeat connector writes none.
    file.values.insert("emit.heartbeats.enabled".to_owned(), "false".to_owned());
    spec.each(|key, node| file.of_spec(key, &node))?;
    let target = file.clusters(&spec)?;
    let mirrors = spec.required("mirrors")?;
    for mirror in mirrors.items()? {
        file.mirror(&mirror, &target)?;
    }
    let aliases: Vec<&str> = file.aliases.iter().map(String::as_str).collect();
    file.values.insert("clusters".to_owned(), aliases.join(", "));
    file.providers();
    if !file.has_flow {
        return Err(ImportError::at(&mirrors.place, "no mirror has a source connector that is running"));
    }
    let File { values, places, notes, .. } = file;
    let place_of = |key: &str| places.get(key).cloned();
    let imported = mm2::import_values(&values).map_err(|error| {
        let place = error.key.as_deref().and_then(place_of);
        let message = match (&error.key, &place) {
            (Some(key), Some(place)) => error.message.replace(&format!("`{key}"), &format!("`{place}")),
            _ => error.message.clone(),
        };
        ImportError { key: place.or(error.key), message }
    })?;
    let of_file = imported.notes.into_iter().filter_map(|note| match place_of(&note.key) {
        Some(place) => Some(Note { key: place, ..note }),
        // What was put there for the translation alone.
        None if values.contains_key(&note.key) => None,
        None => Some(note),
    });
    let mut notes: Vec<Note> = notes.into_iter().chain(of_file).collect();
    notes.sort_by_key(|note| note.kind);
    Ok(Imported { config: imported.config, notes })
}

/// The `.properties` that mean the same.
#[derive(Default)]
struct File {
    namespace: String,
    values: BTreeMap<String, String>,
    /// Where in the resource a key comes from.
    places: BTreeMap<String, String>,
    aliases: Vec<String>,
    has_flow: bool,
    notes: Vec<Note>,
}

impl File {
    fn note(&mut self, kind: NoteKind, place: &str, text: impl Into<String>) {
        self.notes.push(Note { kind, key: place.to_owned(), text: text.into() });
    }

    fn set(&mut self, key: String, value: String, place: &str) {
        self.places.insert(key.clone(), place.to_owned());
        self.values.insert(key, value);
    }

    fn of_spec(&mut self, key: &str, node: &Node<'_>) -> Result<(), ImportError> {
        match key {
            "clusters" | "connectCluster" | "target" | "mirrors" => {}
            "rack" => self.note(
                NoteKind::Ignored,
                &node.place,
                "what rack a pod is in is known there alone: say it by `clusters.*.rack`",
            ),
            _ if OF_PODS.contains(&key) => self.note(
                NoteKind::Ignored,
                &node.place,
                "is about the pods of Connect, which there are none of",
            ),
            _ => {
                let known: Vec<&str> =
                    OF_PODS.into_iter().chain(["clusters", "connectCluster", "target", "mirrors"]).collect();
                let suggestion = problem::suggestion(key, &known);
                self.note(
                    NoteKind::Warning,
                    &node.place,
                    format!("not known, and nothing is done about it{suggestion}"),
                );
            }
        }
        Ok(())
    }

    /// Reads the clusters, and gives the alias of the target.
    fn clusters(&mut self, spec: &Node<'_>) -> Result<String, ImportError> {
        if let Some(target) = spec.get("target") {
            self.cluster(&target)?;
            let alias = target.required("alias")?.text()?;
            for mirror in spec.required("mirrors")?.items()? {
                self.cluster(&mirror.required("source")?)?;
            }
            self.offsets_topic(&alias, target.get("offsetStorageTopic"))?;
            return Ok(alias);
        }
        let connect = spec.required("connectCluster")?;
        let clusters = spec.required("clusters")?;
        for cluster in clusters.items()? {
            self.cluster(&cluster)?;
        }
        let alias = self.known_alias(&connect)?;
        self.offsets_topic(&alias, None)?;
        Ok(alias)
    }

    fn known_alias(&self, node: &Node<'_>) -> Result<String, ImportError> {
        let alias = node.text()?;
        match self.aliases.contains(&alias) {
            true => Ok(alias),
            false => {
                let suggestion = problem::suggestion(&alias, &self.aliases);
                Err(node.wrong(&format!("there is no cluster {alias:?}{suggestion}")))
            }
        }
    }

    fn cluster(&mut self, node: &Node<'_>) -> Result<(), ImportError> {
        let alias = node.required("alias")?.text()?;
        let servers = node.required("bootstrapServers")?;
        self.set(format!("{alias}.bootstrap.servers"), servers.text()?, &servers.place);
        if let Some(config) = node.get("config") {
            config.each(|key, value| {
                self.set(format!("{alias}.{key}"), value.text()?, &value.place);
                Ok(())
            })?;
        }
        self.security(&alias, node)?;
        if !self.aliases.contains(&alias) {
            self.aliases.push(alias);
        }
        Ok(())
    }

    /// TLS and authentication as keys of Kafka's clients. Secrets become files that have to be mounted.
    fn security(&mut self, alias: &str, node: &Node<'_>) -> Result<(), ImportError> {
        let (tls, authentication) = (node.get("tls"), node.get("authentication"));
        if let Some(certificates) = tls.as_ref().and_then(|tls| tls.get("trustedCertificates")) {
            let mut chain = Vec::new();
            for certificate in certificates.items()? {
                let file = certificate.get("certificate").or_else(|| certificate.get("pattern"));
                let file = file.map_or(Ok("ca.crt".to_owned()), |file| file.text())?;
                chain.push(self.secret(&certificate.required("secretName")?.text()?, &file));
            }
            self.set(format!("{alias}.ssl.truststore.certificates"), chain.join("\n"), &certificates.place);
            self.set(format!("{alias}.ssl.truststore.type"), "PEM".to_owned(), &certificates.place);
        }
        let mut is_sasl = false;
        if let Some(authentication) = &authentication {
            is_sasl = self.authentication(alias, authentication)?;
        }
        let protocol = match (tls.is_some(), is_sasl) {
            (false, false) => return Ok(()),
            (true, false) => "SSL",
            (false, true) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        };
        let place = tls.or(authentication).map(|node| node.place).unwrap_or_default();
        self.set(format!("{alias}.security.protocol"), protocol.to_owned(), &place);
        Ok(())
    }

    /// Whether it is SASL.
    fn authentication(&mut self, alias: &str, node: &Node<'_>) -> Result<bool, ImportError> {
        let kind = node.required("type")?;
        let (mechanism, module) = match kind.text()?.as_str() {
            "tls" => {
                let pair = node.required("certificateAndKey")?;
                let secret = pair.required("secretName")?.text()?;
                for (key, field) in
                    [("ssl.keystore.certificate.chain", "certificate"), ("ssl.keystore.key", "key")]
                {
                    let value = self.secret(&secret, &pair.required(field)?.text()?);
                    self.set(format!("{alias}.{key}"), value, &pair.place);
                }
                self.set(format!("{alias}.ssl.keystore.type"), "PEM".to_owned(), &pair.place);
                return Ok(false);
            }
            "custom" => {
                if let Some(config) = node.get("config") {
                    config.each(|key, value| {
                        self.set(format!("{alias}.{key}"), value.text()?, &value.place);
                        Ok(())
                    })?;
                }
                return Ok(node.get("sasl").map(|sasl| sasl.text()).transpose()?.as_deref() == Some("true"));
            }
            "plain" => ("PLAIN", "plain.PlainLoginModule"),
            "scram-sha-256" => ("SCRAM-SHA-256", "scram.ScramLoginModule"),
            "scram-sha-512" => ("SCRAM-SHA-512", "scram.ScramLoginModule"),
            other => {
                let known = ["tls", "plain", "scram-sha-256", "scram-sha-512", "custom"];
                let suggestion = problem::suggestion(other, &known);
                return Err(kind.wrong(&format!("the authentication {other:?} is not supported{suggestion}")));
            }
        };
        let password = node.required("passwordSecret")?;
        let secret =
            self.secret(&password.required("secretName")?.text()?, &password.required("password")?.text()?);
        let user = node.required("username")?.text()?;
        let jaas = format!(
            "org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{secret}\";"
        );
        self.set(format!("{alias}.sasl.mechanism"), mechanism.to_owned(), &node.place);
        self.set(format!("{alias}.sasl.jaas.config"), jaas, &node.place);
        Ok(true)
    }

    fn secret(&self, name: &str, key: &str) -> String {
        format!("${{strimzisecrets:{}/{name}:{key}}}", self.namespace)
    }

    /// Where the workers of Connect keep positions.
    fn offsets_topic(&mut self, target: &str, named: Option<Node<'_>>) -> Result<(), ImportError> {
        let key = format!("{target}.offset.storage.topic");
        if let Some(node) = named {
            self.set(key, node.text()?, &node.place);
        } else {
            self.values.entry(key).or_insert_with(|| "mirrormaker2-cluster-offsets".to_owned());
        }
        Ok(())
    }

    fn mirror(&mut self, node: &Node<'_>, target: &str) -> Result<(), ImportError> {
        node.only(&MIRROR_KEYS)?;
        let source = match node.get("source") {
            Some(source) => source.required("alias")?,
            None => node.required("sourceCluster")?,
        };
        let alias = self.known_alias(&source)?;
        let target = match node.get("targetCluster") {
            Some(named) => self.known_alias(&named)?,
            None => target.to_owned(),
        };
        let pair = format!("{alias}->{target}");
        let Some(connector) = node.get("sourceConnector") else {
            self.note(
                NoteKind::Warning,
                &node.place,
                "left out: without a source connector it copies nothing",
            );
            return Ok(());
        };
        if !self.is_running(&connector)? {
            return Ok(());
        }
        self.has_flow = true;
        self.values.insert(format!("{pair}.enabled"), "true".to_owned());
        self.connector(&pair, &connector, false)?;
        let is_told = match node.get("checkpointConnector") {
            Some(connector) if self.is_running(&connector)? => {
                self.connector(&pair, &connector, true)?;
                true
            }
            Some(connector) => {
                self.set(format!("{pair}.sync.group.offsets.enabled"), "false".to_owned(), &connector.place);
                false
            }
            None => false,
        };
        if !is_told {
            self.values.insert(format!("{pair}.emit.checkpoints.enabled"), "false".to_owned());
        }
        match node.get("heartbeatConnector") {
            Some(connector) if self.is_running(&connector)? => {
                self.values.insert(format!("{pair}.emit.heartbeats.enabled"), "true".to_owned());
                self.connector(&pair, &connector, false)?;
            }
            _ => {}
        }
        for (field, key) in PATTERNS {
            if let Some(pattern) = node.get(field) {
                self.set(format!("{pair}.{key}"), pattern.text()?, &pattern.place);
            }
        }
        Ok(())
    }

    /// Whether a connector runs; one that does not is told.
    fn is_running(&mut self, node: &Node<'_>) -> Result<bool, ImportError> {
        node.only(&CONNECTOR_KEYS)?;
        let state = match (node.get("state"), node.get("pause")) {
            (Some(state), _) => match state.text()?.as_str() {
                "running" => return Ok(true),
                "paused" => "paused",
                "stopped" => "stopped",
                other => {
                    let suggestion = problem::suggestion(other, &["running", "paused", "stopped"]);
                    return Err(state.wrong(&format!("the state {other:?} is not known{suggestion}")));
                }
            },
            (None, Some(pause)) if pause.text()? == "true" => "paused",
            _ => return Ok(true),
        };
        self.note(NoteKind::Warning, &node.place, format!("is {state}, and what it does is left out"));
        Ok(false)
    }

    /// The options of a connector. `wins`: over what another connector of the same mirror was told.
    fn connector(&mut self, pair: &str, node: &Node<'_>, wins: bool) -> Result<(), ImportError> {
        node.each(|key, value| {
            match key {
                "tasksMax" => self.note(
                    NoteKind::Ignored,
                    &value.place,
                    "one process uses as many connections as it needs",
                ),
                "autoRestart" => {
                    self.note(NoteKind::Ignored, &value.place, "each partition is tried again by itself")
                }
                "listOffsets" | "alterOffsets" | "version" => {
                    self.note(NoteKind::Ignored, &value.place, "there are no connectors")
                }
                _ => {}
            }
            Ok(())
        })?;
        let Some(config) = node.get("config") else { return Ok(()) };
        config.each(|key, value| {
            let name = format!("{pair}.{key}");
            let text = value.text()?;
            match self.values.get(&name).filter(|_| self.places.contains_key(&name)) {
                Some(other) if *other != text => {
                    let other = self.places.get(&name).cloned().unwrap_or_default();
                    let of_checkpoints =
                        ["groups", "group.", "sync.group.", "checkpoints.", "emit.checkpoints."];
                    let replaces = wins && of_checkpoints.iter().any(|prefix| key.starts_with(prefix));
                    let counts = if replaces { &value.place } else { &other };
                    self.note(
                        NoteKind::Warning,
                        &value.place,
                        format!("differs from {other}; {counts} counts"),
                    );
                    if replaces {
                        self.set(name, text, &value.place);
                    }
                }
                Some(_) => self.note(NoteKind::Mapped, &value.place, "as with the other connector"),
                None => self.set(name, text, &value.place),
            }
            Ok(())
        })
    }

    /// The providers that Strimzi's workers have, and those that the target's configuration names.
    fn providers(&mut self) {
        let mut names: Vec<String> = PROVIDERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        for alias in self.aliases.clone() {
            let prefix = format!("{alias}.config.providers");
            let own: Vec<(String, String)> = self
                .values
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
                .collect();
            for (rest, value) in own {
                if rest.is_empty() {
                    names.extend(super::list(&value));
                } else {
                    self.values.insert(format!("config.providers{rest}"), value);
                }
            }
        }
        self.values.insert("config.providers".to_owned(), names.join(", "));
    }
}

/// A value of the resource, and where it is.
struct Node<'a> {
    value: &'a Value,
    place: String,
}

impl<'a> Node<'a> {
    fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Node { value, place: self.below(key) })
    }

    fn below(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn required(&self, key: &str) -> Result<Node<'a>, ImportError> {
        self.get(key).ok_or_else(|| self.wrong(&format!("`{key}` is missing")))
    }

    fn wrong(&self, problem: &str) -> ImportError {
        let message = match self.place.is_empty() {
            true => problem.to_owned(),
            false => format!("{}: {problem}", self.place),
        };
        ImportError { key: Some(self.place.clone()), message }
    }

    fn text(&self) -> Result<String, ImportError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Number(value) => Ok(value.to_string()),
            _ => Err(self.wrong("expected a string")),
        }
    }

    fn items(&self) -> Result<Vec<Node<'a>>, ImportError> {
        let items = self.value.as_sequence().ok_or_else(|| self.wrong("expected a list"))?;
        let node = |(index, value)| Node { value, place: format!("{}[{index}]", self.place) };
        Ok(items.iter().enumerate().map(node).collect())
    }

    fn each(
        &self,
        mut take: impl FnMut(&str, Node<'a>) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let entries = self.value.as_mapping().ok_or_else(|| self.wrong("expected keys and values"))?;
        for (key, value) in entries {
            let key = key.as_str().ok_or_else(|| self.wrong("expected strings as keys"))?;
            if !value.is_null() {
                take(key, Node { value, place: self.below(key) })?;
            }
        }
        Ok(())
    }

    /// Refuses other keys: what is misspelt here would copy something else.
    fn only(&self, known: &[&str]) -> Result<(), ImportError> {
        self.each(|key, node| match known.contains(&key) {
            true => Ok(()),
            false => {
                let suggestion = problem::suggestion(key, known);
                Err(ImportError {
                    key: Some(node.place),
                    message: format!("{}: unknown key `{key}`{suggestion}", self.place),
                })
            }
        })
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.place)
    }
}

/// The providers of Strimzi's workers.
const PROVIDERS: [(&str, &str); 4] = [
    ("strimzienv", "org.apache.kafka.common.config.provider.EnvVarConfigProvider"),
    ("strimzifile", "org.apache.kafka.common.config.provider.FileConfigProvider"),
    ("strimzidir", "org.apache.kafka.common.config.provider.DirectoryConfigProvider"),
    ("strimzisecrets", "io.strimzi.kafka.KubernetesSecretConfigProvider"),
];
const OF_PODS: [&str; 15] = [
    "version",
    "replicas",
    "image",
    "resources",
    "jvmOptions",
    "jmxOptions",
    "logging",
    "clientRackInitImage",
    "metricsConfig",
    "tracing",
    "template",
    "externalConfiguration",
    "livenessProbe",
    "readinessProbe",
    "rack",
];
const MIRROR_KEYS: [&str; 12] = [
    "source",
    "sourceCluster",
    "targetCluster",
    "sourceConnector",
    "checkpointConnector",
    "heartbeatConnector",
    "topicsPattern",
    "topicsExcludePattern",
    "topicsBlacklistPattern",
    "groupsPattern",
    "groupsExcludePattern",
    "groupsBlacklistPattern",
];
const CONNECTOR_KEYS: [&str; 8] =
    ["tasksMax", "config", "state", "pause", "autoRestart", "listOffsets", "alterOffsets", "version"];
/// What a mirror says itself wins over its connectors.
const PATTERNS: [(&str, &str); 6] = [
    ("topicsPattern", "topics"),
    ("topicsExcludePattern", "topics.exclude"),
    ("topicsBlacklistPattern", "topics.blacklist"),
    ("groupsPattern", "groups"),
    ("groupsExcludePattern", "groups.exclude"),
    ("groupsBlacklistPattern", "groups.blacklist"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn imported(text: &str) -> Result<Imported, ImportError> {
        import(&serde_yaml::from_str(text).expect("YAML"))
    }

    const BETA: &str = r#"
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaMirrorMaker2
metadata: { name: my-mirror, namespace: kafka }
spec:
  version: 4.0.0
  replicas: 3
  connectCluster: west
  clusters:
    - alias: east
      bootstrapServers: east:9092
    - alias: west
      bootstrapServers: west-1:9092, west-2:9092
      config: { config.storage.replication.factor: -1, producer.client.id: mirror }
  mirrors:
    - sourceCluster: east
      targetCluster: west
      topicsPattern: 'orders\..*,(?!secret)clicks'
      topicsExcludePattern: ".*tmp"
      groupsPattern: ".*"
      sourceConnector:
        tasksMax: 4
        autoRestart: { enabled: true }
        config:
          replication.factor: -1
          offset-syncs.topic.replication.factor: -1
          sync.topic.acls.enabled: "false"
          replication.policy.class: io.strimzi.kafka.connect.mirror.IdentityReplicationPolicy
      heartbeatConnector:
        config: { heartbeats.topic.replication.factor: -1 }
      checkpointConnector:
        config:
          sync.group.offsets.enabled: true
          sync.group.offsets.interval.seconds: "7"
          replication.policy.class: io.strimzi.kafka.connect.mirror.IdentityReplicationPolicy
"#;

    #[test]
    fn a_resource_of_v1beta2_means_what_its_connectors_are_told() {
        let imported = imported(BETA).expect("a flow");
        assert_eq!(
            imported.config["clusters"],
            json!({
                "east": { "bootstrap_servers": ["east:9092"] },
                "west": { "bootstrap_servers": ["west-1:9092", "west-2:9092"], "client_id": "mirror" },
            })
        );
        let flow = &imported.config["flows"][0];
        for (key, expected) in [
            ("source", json!("east")),
            ("topics", json!({ "include": ["orders\\..*", "(?!secret)clicks"], "exclude": [".*tmp"] })),
            ("naming", json!("identity")),
            ("replication_factor", json!("broker")),
            ("groups_interval", json!("7s")),
            ("takeover", json!({ "mm2": { "offsets_topic": "mirrormaker2-cluster-offsets" } })),
        ] {
            assert_eq!(flow[key], expected, "{key}");
        }
        assert_eq!(
            (&flow["mm2_topics"]["heartbeats"], &flow["mm2_topics"]["checkpoints"]),
            (&json!(true), &json!(true))
        );
        let kind_of =
            |place: &str| imported.notes.iter().find(|note| note.key == place).map(|note| note.kind);
        for (place, kind) in [
            ("spec.replicas", NoteKind::Ignored),
            ("spec.mirrors[0].topicsPattern", NoteKind::Mapped),
            ("spec.mirrors[0].sourceConnector.tasksMax", NoteKind::Ignored),
            ("spec.mirrors[0].sourceConnector.config.replication.factor", NoteKind::Mapped),
            ("spec.clusters[1].config.config.storage.replication.factor", NoteKind::Ignored),
        ] {
            assert_eq!(kind_of(place), Some(kind), "{place}");
        }
        assert!(kind_of("clusters").is_none() && kind_of("west->east").is_none(), "{:?}", imported.notes);
    }

    #[test]
    fn a_resource_of_v1_has_its_target_once_and_no_heartbeats() {
        let text = r#"
apiVersion: kafka.strimzi.io/v1
kind: KafkaMirrorMaker2
spec:
  target: { alias: west, bootstrapServers: "west:9092", groupId: g, configStorageTopic: c, statusStorageTopic: s, offsetStorageTopic: o }
  mirrors:
    - source: { alias: east, bootstrapServers: "east:9092" }
      sourceConnector: {}
    - source: { alias: north, bootstrapServers: "north:9092" }
      sourceConnector: { state: stopped }
    - source: { alias: south, bootstrapServers: "south:9092" }
      sourceConnector: { config: { topics: a } }
      checkpointConnector: { state: paused }
"#;
        let imported = imported(text).expect("flows");
        let flows = imported.config["flows"].as_array().expect("a list");
        let sources: Vec<_> = flows.iter().map(|flow| flow["source"].as_str().unwrap_or_default()).collect();
        assert_eq!(sources, ["east", "south"]);
        assert_eq!(flows[0]["topics"]["include"], json!([".*"]));
        assert_eq!(flows[0]["takeover"], json!({ "mm2": { "offsets_topic": "o" } }));
        assert_eq!(flows[0]["mm2_topics"]["checkpoints"], false);
        assert_eq!(flows[0]["mm2_topics"]["heartbeats"], false);
        assert_eq!(flows[1]["groups"], json!({ "include": [] }));
        let left_out = imported.notes.iter().find(|note| note.key == "spec.mirrors[1].sourceConnector");
        assert!(left_out.is_some_and(|note| note.text.contains("is stopped")), "{:?}", imported.notes);
    }

    #[test]
    fn secrets_become_files_that_have_to_be_mounted() {
        let text = BETA.replace(
            "      bootstrapServers: east:9092\n",
            "      bootstrapServers: east:9093\n      tls: { trustedCertificates: [{ secretName: east-ca, certificate: ca.crt }] }\n      \
             authentication: { type: scram-sha-512, username: me, passwordSecret: { secretName: me, password: pw } }\n",
        );
        let imported = imported(&text).expect("a flow");
        let properties = &imported.config["clusters"]["east"]["properties"];
        assert_eq!(properties["security.protocol"], "SASL_SSL");
        assert_eq!(properties["sasl.mechanism"], "SCRAM-SHA-512");
        assert_eq!(properties["ssl.truststore.certificates"], "${dir:/run/secrets/east-ca:ca.crt}");
        let jaas = properties["sasl.jaas.config"].as_str().expect("text");
        assert!(jaas.contains("username=\"me\" password=\"${dir:/run/secrets/me:pw}\""), "{jaas}");
        for mount in
            ["mount the Secret east-ca at /run/secrets/east-ca", "mount the Secret me at /run/secrets/me"]
        {
            assert!(imported.notes.iter().any(|note| note.text == mount), "{mount}: {:?}", imported.notes);
        }
    }
}
