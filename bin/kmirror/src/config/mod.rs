//! The configuration file: what the user wrote ([`raw`]) becomes clusters and flows of the engine. A file that is wrong is
//! refused as a whole, with the place and the nearest thing that would be right.

mod client;
mod dump;
mod raw;
mod schema;
mod security;
mod text;

use std::fmt;
use std::net::SocketAddr;

use kmirror::{
    Acls, DefaultsFrom, Flow, Isolation, Mirror, Mm2Topics, Naming, OffsetSyncs, Offsets, OnDeleted,
    OnDiverged, OnExpired, OnForgottenDeletions, OnGroupReset, OnRecreated, Policies, Predecessor,
    ReplicationFactor, Retention, Start,
};

use self::raw::{RawConfig, RawFlow};
use crate::exit::Failure;
use crate::files::place::Step;
use crate::files::placeholder::{self, Replaced};
use crate::files::problem;

/// Every key with its default, and what it means.
pub(crate) const REFERENCE: &str = include_str!("reference.yaml");

/// The JSON Schema of kmirror.yaml.
pub(crate) fn json_schema() -> serde_json::Value {
    schema::schema(REFERENCE)
}

/// A configuration that was read. Its `Debug` does not show the text, for it may hold secrets.
pub(crate) struct Config {
    raw: RawConfig,
    /// What the file is called in messages, and what is in it.
    name: String,
    text: String,
    /// The strings in it that held placeholders.
    replaced: Vec<Replaced>,
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("raw", &self.raw)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The configuration that is in effect, with the default of every key that is not written.
    pub(crate) fn effective(&self) -> Result<String, Failure> {
        let parsed = |text: &str| {
            serde_yaml::from_str(text).map_err(|error| problem::describe(&self.name, text, &error))
        };
        let effective = dump::effective(parsed(&self.text)?, &parsed(REFERENCE)?);
        serde_yaml::to_string(&effective)
            .map_err(|error| Failure::runtime(format!("the configuration cannot be written: {error}")))
    }

    /// Leaves out the flows to other clusters than these (`connect-mirror-maker.sh --clusters`).
    pub(crate) fn keep_targets(&mut self, clusters: &[String]) -> Result<(), Failure> {
        let known: Vec<&String> = self.raw.clusters.keys().collect();
        if let Some(alias) = clusters.iter().find(|alias| !self.raw.clusters.contains_key(*alias)) {
            let suggestion = problem::suggestion(alias, &known);
            let message = format!("--clusters: {} has no cluster {alias:?}{suggestion}", self.name);
            return Err(Failure::configuration(message));
        }
        self.raw.flows.retain(|flow| clusters.contains(&flow.target.0));
        match self.raw.flows.is_empty() {
            true => {
                let clusters = clusters.join(", ");
                let message = format!("--clusters: no flow of {} writes to {clusters}", self.name);
                Err(Failure::configuration(message))
            }
            false => Ok(()),
        }
    }

    /// Reads the text of a kmirror.yaml. `name`: what it is called in messages.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Config, Failure> {
        let mut replaced = Vec::new();
        let raw = if text.contains('$') {
            read_replaced(name, text, &mut replaced)?
        } else {
            serde_yaml::from_str(text).map_err(|error| problem::describe(name, text, &error))?
        };
        Ok(Config { raw, name: name.to_owned(), text: text.to_owned(), replaced })
    }

    /// Where the running mirror answers HTTP, if it is to.
    pub(crate) fn http(&self) -> Result<Option<SocketAddr>, Failure> {
        let Some(text) = &self.raw.http.listen else { return Ok(None) };
        let address = text.0.parse().map_err(|_| {
            let listen = &text.0;
            Failure::configuration(format!(
                "http.listen: {listen:?} is no address with a port, such as 127.0.0.1:8080"
            ))
        })?;
        Ok(Some(address))
    }

    /// The mirror that the file describes. Nothing is connected yet.
    pub(crate) fn mirror(self, once: bool) -> Result<Mirror, Failure> {
        self.build(once).map_err(|failure| problem::locate(&self.name, &self.text, &self.replaced, failure))
    }

    fn build(&self, once: bool) -> Result<Mirror, Failure> {
        self.know_clusters()?;
        self.http()?;
        let mut builder = Mirror::builder().once(once);
        for (alias, cluster) in &self.raw.clusters {
            builder = builder.cluster(alias, client::cluster_config(alias, cluster)?);
        }
        for (index, flow) in self.raw.flows.iter().enumerate() {
            builder = builder.flow(engine_flow(index, flow)?);
        }
        builder.build().map_err(|error| Failure::configuration(error.to_string()))
    }

    /// Whether each flow names clusters that there are.
    fn know_clusters(&self) -> Result<(), Failure> {
        let known: Vec<String> = self.raw.clusters.keys().cloned().collect();
        for (index, flow) in self.raw.flows.iter().enumerate() {
            for (key, alias) in [("source", &flow.source.0), ("target", &flow.target.0)] {
                if !self.raw.clusters.contains_key(alias) {
                    let path = [Step::Key("flows"), Step::Item(index), Step::Key(key)];
                    let message = format!("flows[{index}].{key}: there is no cluster {alias:?}");
                    let names = (alias.as_str(), known.as_slice());
                    return Err(problem::describe_name(&self.name, &self.text, &path, &message, names));
                }
            }
        }
        Ok(())
    }
}

/// Reads a text in which placeholders are to be replaced.
fn read_replaced(name: &str, text: &str, replaced: &mut Vec<Replaced>) -> Result<RawConfig, Failure> {
    let mut document: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|error| problem::describe(name, text, &error))?;
    placeholder::replace_all(&mut document, replaced)
        .map_err(|error| problem::describe_placeholder(name, text, &error))?;
    serde_yaml::from_value(document).map_err(|error| {
        let before = serde_yaml::from_str::<RawConfig>(text).err();
        problem::describe_replaced(name, text, &error, replaced, before.as_ref())
    })
}

fn engine_flow(index: usize, raw: &RawFlow) -> Result<Flow, Failure> {
    let at = |key: &str| format!("flows[{index}].{key}");
    let offsets = match raw.offsets {
        raw::Offsets::Exact => Offsets::Exact,
        raw::Offsets::Shifted => Offsets::Shifted,
        raw::Offsets::Mapped => return Err(not_supported(&at("offsets"), "only `exact` and `shifted`")),
    };
    let raw::OnTruncatedWord::Stop = raw.on_truncated;
    let naming = match &raw.naming {
        raw::NamingSection::Word(raw::NamingWord::Identity) => Naming::Identity,
        raw::NamingSection::Word(raw::NamingWord::Prefixed) => Naming::Prefixed,
        raw::NamingSection::Template { template } => Naming::Template(template.0.clone()),
    };
    let texts = |texts: &[text::Text]| texts.iter().map(|text| text.0.clone()).collect::<Vec<_>>();
    let mut flow = Flow::new(raw.source.0.clone(), raw.target.0.clone())
        .topics(texts(&raw.topics.include))
        .exclude_topics(texts(&raw.topics.exclude))
        .naming(naming)
        .isolation(match raw.isolation {
            raw::IsolationWord::ReadCommitted => Isolation::ReadCommitted,
            raw::IsolationWord::ReadUncommitted => Isolation::ReadUncommitted,
        });
    flow.name = raw.name.as_ref().map(|name| name.0.clone());
    flow.offsets = offsets;
    flow.start = match raw.start {
        raw::Start::Word(raw::StartWord::Earliest) => Start::Earliest,
        raw::Start::Word(raw::StartWord::Latest) => Start::Latest,
        raw::Start::Timestamp { timestamp } => Start::Timestamp(timestamp.0),
    };
    flow.predecessor = predecessor(&raw.takeover);
    flow.policies = policies(raw);
    if let Some(offsets) = raw.head_fill_max {
        flow.head_fill_offsets_max = offsets.0;
    }
    flow.raises_producer_expiry = raw.raise_producer_expiry;
    flow.retention = match raw.retention {
        raw::RetentionWord::Own => Retention::Own,
        raw::RetentionWord::Follow => Retention::Follow,
    };
    flow.commit_group = raw.commit_group.as_ref().map(|group| group.0.clone());
    topics_control(&mut flow, raw);
    flow.mm2_topics = mm2_topics(&raw.mm2_topics);
    if let Some(include) = &raw.groups.include {
        flow.groups.include = texts(include);
    }
    if let Some(exclude) = &raw.groups.exclude {
        flow.groups.exclude = texts(exclude);
    }
    if let Some(returning) = &raw.groups.returning {
        flow.groups.returning = texts(returning);
    }
    if let Some(interval) = raw.groups_interval {
        flow.groups_interval = interval.0;
    }
    access_control(&mut flow, raw);
    limits(&mut flow, raw);
    Ok(flow)
}

/// Which access control lists follow.
fn access_control(flow: &mut Flow, raw: &RawFlow) {
    flow.acls = match raw.acls {
        raw::AclsWord::None => Acls::None,
        raw::AclsWord::Safe => Acls::Safe,
        raw::AclsWord::Full => Acls::Full,
    };
    if let Some(interval) = raw.acls_interval {
        flow.acls_interval = interval.0;
    }
}

/// What the flow remembers, and what it may take.
fn limits(flow: &mut Flow, raw: &RawFlow) {
    if let Some(topic) = &raw.state_topic {
        flow.state_topic.clone_from(&topic.0);
    }
    if let Some(replication_factor) = raw.state_replication_factor {
        flow.state_replication_factor = replication_factor;
    }
    if let Some(interval) = raw.parked_retry_interval {
        flow.parked_retry_interval = interval.0;
    }
    if let Some(buffer) = raw.buffer {
        flow.buffer_bytes_max = buffer.0;
    }
    flow.connections = raw.connections;
    if let Some(interval) = raw.metadata_refresh_interval {
        flow.metadata_refresh_interval = interval.0;
    }
}

/// How topics are created, and what follows later.
fn topics_control(flow: &mut Flow, raw: &RawFlow) {
    if let Some(creates) = raw.create_topics {
        flow.creates_topics = creates;
    }
    if let Some(factor) = raw.replication_factor {
        flow.replication_factor = match factor {
            raw::ReplicationFactorSection::Word(raw::ReplicationFactorWord::Source) => {
                ReplicationFactor::Source
            }
            raw::ReplicationFactorSection::Word(raw::ReplicationFactorWord::Broker) => {
                ReplicationFactor::Broker
            }
            raw::ReplicationFactorSection::Number(factor) => ReplicationFactor::Number(factor),
        };
    }
    let (configs, section) = (&mut flow.topic_configs, &raw.topic_configs);
    if let Some(follow) = section.follow {
        configs.follow = follow;
    }
    if let Some(exclude) = &section.exclude {
        configs.exclude = exclude.iter().map(|key| key.0.clone()).collect();
    }
    if let Some(word) = section.defaults_from {
        configs.defaults_from = match word {
            raw::DefaultsFromWord::Target => DefaultsFrom::Target,
            raw::DefaultsFromWord::Source => DefaultsFrom::Source,
        };
    }
    if let Some(interval) = section.interval {
        configs.interval = interval.0;
    }
}

fn mm2_topics(raw: &raw::Mm2TopicsSection) -> Mm2Topics {
    let mut topics = Mm2Topics::default();
    topics.heartbeats = raw.heartbeats;
    topics.checkpoints = raw.checkpoints;
    topics.offset_syncs = match raw.offset_syncs {
        raw::OffsetSyncsWord::None => OffsetSyncs::Nowhere,
        raw::OffsetSyncsWord::Source => OffsetSyncs::Source,
        raw::OffsetSyncsWord::Target => OffsetSyncs::Target,
    };
    if let Some(separator) = &raw.separator {
        topics.separator.clone_from(&separator.0);
    }
    topics.internal_separator = raw.internal_separator.as_ref().map(|separator| separator.0.clone());
    topics
}

fn predecessor(raw: &raw::TakeoverSection) -> Predecessor {
    let text = |text: &Option<text::Text>| text.as_ref().map(|text| text.0.clone());
    match raw {
        raw::TakeoverSection::Word(raw::TakeoverWord::None) => Predecessor::Nothing,
        raw::TakeoverSection::Word(raw::TakeoverWord::Mm2) => {
            Predecessor::MirrorMaker2 { offsets_topic: None, source_alias: None }
        }
        raw::TakeoverSection::Mm2 { mm2 } => Predecessor::MirrorMaker2 {
            offsets_topic: text(&mm2.offsets_topic),
            source_alias: text(&mm2.source_alias),
        },
        raw::TakeoverSection::Group { group } => Predecessor::Group(group.0.clone()),
    }
}

fn policies(raw: &RawFlow) -> Policies {
    let mut policies = Policies::default();
    policies.on_expired = match raw.on_expired {
        raw::OnExpiredWord::Stop => OnExpired::Stop,
        raw::OnExpiredWord::Skip => OnExpired::Skip,
    };
    policies.on_forgotten_deletions = match raw.on_forgotten_deletions {
        raw::OnForgottenDeletionsWord::Warn => OnForgottenDeletions::Warn,
        raw::OnForgottenDeletionsWord::Recopy => OnForgottenDeletions::Recopy,
    };
    policies.on_recreated = match raw.on_recreated {
        raw::OnRecreatedWord::Stop => OnRecreated::Stop,
        raw::OnRecreatedWord::Restart => OnRecreated::Restart,
    };
    policies.on_diverged = match raw.on_diverged {
        raw::OnDivergedWord::Stop => OnDiverged::Stop,
        raw::OnDivergedWord::Shift => OnDiverged::Shift,
    };
    policies.on_deleted = match raw.on_deleted {
        raw::OnDeletedSection::Word(raw::OnDeletedWord::Ignore) => OnDeleted::Ignore,
        raw::OnDeletedSection::Word(raw::OnDeletedWord::Park) => OnDeleted::Park,
        raw::OnDeletedSection::Delete(raw::DeleteSection { delete_after, even_all }) => {
            OnDeleted::Delete { after: delete_after.0, even_all }
        }
    };
    policies.on_group_reset = match raw.on_group_reset {
        raw::OnGroupResetWord::Follow => OnGroupReset::Follow,
        raw::OnGroupResetWord::Keep => OnGroupReset::Keep,
    };
    policies
}

/// A key that is known but not done yet is refused: ignoring it would do something else than what was asked for.
fn not_supported(key: &str, supported: &str) -> Failure {
    Failure::configuration(format!("{key} is not supported by this version: {supported}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::Cli;
    use crate::exit::Code;

    /// Every file in testdata/config/valid builds a mirror; every one in invalid is refused, and its first line says what
    /// the message must contain.
    #[test]
    fn example_files_are_accepted_or_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config");
        for path in files(&folder.join("valid")) {
            Config::load(&path)
                .and_then(|config| config.mirror(true))
                .map(drop)
                .unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
        }
        let mut wrong = Vec::new();
        for path in files(&folder.join("invalid")) {
            let text = std::fs::read_to_string(&path).expect("readable");
            let expected =
                text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a first line");
            match load(&path, &text).and_then(|config| config.mirror(true)) {
                Ok(_) => wrong.push(format!("{}: not refused", path.display())),
                Err(failure) => {
                    assert_eq!(failure.code, Code::Configuration, "{}", path.display());
                    if !failure.to_string().contains(expected) {
                        wrong.push(format!("{expected:?} is not in: {failure}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// A file, or the flags of MirrorMaker 1, in the second line of one.
    fn load(path: &Path, text: &str) -> Result<Config, Failure> {
        if path.extension().is_none_or(|extension| extension != "mm1") {
            return Config::load(path);
        }
        let folder = path.with_file_name("../mm1").display().to_string();
        let flags = text.lines().nth(1).expect("flags").replace("FOLDER", &folder);
        let arguments = Cli::mm1_arguments([""].into_iter().chain(flags.split(' '))).expect("known flags");
        crate::source::ConfigSource::Mm1(Box::new(arguments)).load()
    }

    /// Line, source, caret, and what would be right.
    #[test]
    fn messages_show_the_place() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config/invalid");
        for (file, expected) in [
            (
                "misspelt-cluster.yaml",
                ["6 |   - {source: east, target: wset", "`-- not known", "known here: east, west"],
            ),
            (
                "unknown-key.yaml",
                [
                    "6 |   - { source: east, target: west, topcs",
                    "`-- not known",
                    "known here: name, source, target",
                ],
            ),
            ("bad-naming.yaml", ["9 |     naming: prefix", "`-- here", "naming: expected `identity`"]),
            ("bad-pattern.yaml", ["6 |   - { source: east", "`-- here", "unclosed group"]),
            ("bad-size.yaml", ["6 |   - { source: east", "`-- here", "is no size"]),
            (
                "unknown-placeholder.yaml",
                ["3 |   east: { bootstrap_servers: \"${vault:x}\"", "`-- this one", "known are"],
            ),
            ("mm2-bad-factor.properties", ["6 | replication.factor = many", "`-- here", "no number"]),
        ] {
            let failure = Config::load(&folder.join(file))
                .and_then(|config| config.mirror(true))
                .expect_err(file)
                .rendered();
            for part in expected {
                assert!(failure.contains(part), "{part:?} is not in\n{failure}");
            }
        }
    }

    /// Files with a few bytes changed are accepted or refused; nothing else happens.
    #[test]
    fn damaged_files_do_no_harm() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config");
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("31 bits") % below.max(1)
        };
        let signs = *b"{}[]:,-#&*!|>'\"%@`$\\=\n\t .~a0\xc4\xff";
        let mut refused = 0;
        for path in files(&folder.join("valid")).into_iter().chain(files(&folder.join("invalid"))) {
            let (name, bytes) = (path.display().to_string(), std::fs::read(&path).expect("readable"));
            for _ in 0..20 {
                let mut damaged = bytes.clone();
                for _ in 0..=random(4) {
                    let (at, sign) = (random(damaged.len()), signs[random(signs.len())]);
                    match random(4) {
                        0 => drop(damaged.drain(at..(at + random(8)).min(damaged.len()))),
                        1 => damaged.insert(at, sign),
                        2 => damaged.truncate(damaged.len().max(at + 1) - random(2)),
                        _ => damaged.iter_mut().skip(at).take(1).for_each(|byte| *byte = sign),
                    }
                }
                if let Err(failure) = Config::read(&name, &damaged).and_then(|config| config.mirror(true)) {
                    assert_eq!(failure.code, Code::Configuration);
                    assert!(!failure.rendered().is_empty());
                    refused += 1;
                }
            }
        }
        assert!(refused > 500, "{refused}");
    }

    /// What the reference says is the default is what is done where nothing is written, and no key is left out.
    #[test]
    fn the_reference_shows_every_key_with_its_default() {
        let shown = |text: &str| {
            let mirror =
                Config::parse("reference", text).and_then(|config| config.mirror(false)).expect("valid");
            format!("{mirror:?}")
        };
        let minimal = "clusters:\n  east: { bootstrap_servers: \"127.0.0.1:19092\" }\n  \
                       west: { bootstrap_servers: \"127.0.0.1:29092\" }\nflows:\n  \
                       - { source: east, target: west, topics: { include: [\".*\"] } }\n";
        assert_eq!(shown(REFERENCE), shown(minimal));
        for section in [
            "",
            "flows:\n  - ",
            "flows:\n  - source: a\n    groups: ",
            "clusters:\n  east: ",
            "clusters:\n  east:\n    tls: ",
            "clusters:\n  east:\n    sasl: ",
        ] {
            let text = format!("{section}{{ no_such_key: 1 }}");
            let failure = Config::parse("unknown", &text).expect_err("unknown").help_text();
            for key in failure.trim_start_matches("known here: ").split(", ") {
                assert!(REFERENCE.contains(&format!("{key}:")), "{key:?} is not in the reference");
            }
        }
    }

    /// Every secret is one word, and something else is wrong on its line, before it and behind it.
    #[test]
    fn no_message_shows_a_secret() {
        let secrets = "sasl: { mechanism: PLAIN, username: me, password: CANARY }\n    tls:\n      key_pem: |\n        CANARY\n    \
                       properties:\n      ssl.key.password: CANARY\n      sasl.jaas.config: M required password=\"CANARY\";\n";
        let flow = "flows:\n  - { source: east, target: west, topics: { include: [orders] } }\n";
        for (before, behind, said) in [
            ("", "    no_such_key: 1\n", "unknown key `no_such_key`"),
            ("    request_timeout: soon\n", "", "is no duration"),
            ("    client_id: ${NO_SUCH_VARIABLE}\n", "", "is not set"),
            ("", "", "there is no cluster"),
        ] {
            let text = format!(
                "clusters:\n  east:\n    bootstrap_servers: x:1\n{before}    {}{behind}{flow}",
                secrets.replace("CANARY", "hunter2-canary")
            );
            let failure = Config::parse("canary", &text).and_then(|config| {
                assert!(!format!("{config:?}").contains("hunter2-canary"), "{config:?}");
                assert!(!config.effective().expect("YAML").contains("hunter2-canary"));
                config.mirror(true)
            });
            let failure = failure.expect_err("wrong");
            let shown = format!("{}\n{failure:?}", failure.rendered());
            assert!(shown.contains(said) && !shown.contains("hunter2-canary"), "{said}: {shown}");
            assert!(failure.has_place(), "{shown}");
        }
    }

    #[test]
    fn a_missing_file_is_a_configuration_error() {
        let failure = Config::load(Path::new("no/such/file.yaml")).expect_err("not there");
        assert_eq!(failure.code, Code::Configuration);
        assert!(failure.to_string().contains("no/such/file.yaml"), "{failure}");
    }

    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let files: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("readable").path())
            .collect();
        assert!(!files.is_empty(), "{}", folder.display());
        files
    }

    /// docs/configuration.md is what `kmirror config reference` prints, as a page.
    #[test]
    fn the_page_of_the_documentation_is_the_reference() {
        let page = format!(
            "# Configuration\n\nEvery key of kmirror.yaml with its default, as `kmirror config reference` prints it; `kmirror config schema` has the JSON\n\
             Schema for editors. A file needs no more than clusters and flows:\n\n```yaml\n{}```\n\n## Every key\n\n```yaml\n{REFERENCE}```\n",
            include_str!("../../../../testdata/config/valid/smallest.yaml")
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        if std::env::var_os("KMIRROR_WRITE_PAGES").is_some() {
            std::fs::write(&path, &page).expect("a page that can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "docs/configuration.md is another one: KMIRROR_WRITE_PAGES=1 cargo test -p kmirror-cli --bins the_page_of"
        );
    }
}
