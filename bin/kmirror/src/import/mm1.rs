//! MirrorMaker 1's command line (`kafka.tools.MirrorMaker`): two files of client keys and some flags. They are turned into the keys of
//! MirrorMaker 2 that mean the same, with what MirrorMaker 1 never did switched off, and translated as those are.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::{ImportError, Imported, Note, NoteKind, at_line, mm2};
use crate::cli::Mm1Arguments;
use crate::exit::Failure;
use crate::files::placeholder;
use crate::files::properties::{self, Properties};

/// Translates a command line.
pub(super) fn import(arguments: &Mm1Arguments) -> Result<Imported, Failure> {
    let refused = |error: ImportError| Failure::configuration(error.to_string());
    refuse_classes(arguments).map_err(refused)?;
    let (topics, exclude) = selection(arguments).map_err(refused)?;
    let consumer = ClientFile::read(&arguments.consumer_config, "source.consumer.")?;
    let producer = ClientFile::read(&arguments.producer_config, "target.producer.")?;
    let group = consumer.required("group.id")?;
    let mut values: BTreeMap<String, String> =
        NEVER_DONE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    values.insert("topics".to_owned(), topics);
    values.insert("topics.exclude".to_owned(), exclude);
    for file in [&consumer, &producer] {
        file.required("bootstrap.servers")?;
        values.extend(file.keys());
    }
    let mut imported = mm2::import_values(&values).map_err(|error| {
        let files = [&consumer, &producer];
        let failure = files.into_iter().find_map(|file| file.failure(&error));
        failure.unwrap_or_else(|| Failure::configuration(error.to_string()))
    })?;
    if let Some(flow) = imported.config.get_mut("flows").and_then(|flows| flows.get_mut(0)) {
        let takeover = json!({ "group": placeholder::literal(group) });
        flow.as_object_mut().map(|flow| flow.insert("takeover".to_owned(), takeover));
    }
    let mut notes = flags(arguments);
    notes.push(consumer.note(
        "group.id",
        NoteKind::Mapped,
        "takeover: what it has committed on the source is where the copy begins",
    ));
    if !consumer.properties.values.contains_key("auto.offset.reset") {
        let text = "MirrorMaker 1 begins at the end where its group stands nowhere; kmirror begins at the earliest record, so that nothing is left out";
        notes.push(consumer.note("auto.offset.reset", NoteKind::Warning, text));
    }
    let of_files = imported.notes.into_iter().filter_map(|note| {
        let of_file = [&consumer, &producer].into_iter().find_map(|file| file.shown(&note.key));
        match of_file {
            Some(key) => Some(Note { key, ..note }),
            None if values.contains_key(&note.key) => None,
            None => Some(note),
        }
    });
    notes.extend(of_files);
    notes.sort_by_key(|note| note.kind);
    Ok(Imported { config: imported.config, notes })
}

/// A file of a client, whose keys are those of MirrorMaker 2 with a prefix.
struct ClientFile {
    name: String,
    text: String,
    properties: Properties,
    prefix: String,
}

impl ClientFile {
    fn read(path: &Path, kind: &str) -> Result<ClientFile, Failure> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::configuration(format!("cannot read {name}: {error}")))?;
        let text = properties::text_of(&bytes);
        let properties = Properties::parse(&bytes)
            .map_err(|error| at_line(&name, &text, error.line, &error.to_string()))?;
        Ok(ClientFile { name, text, properties, prefix: format!("source->target.{kind}") })
    }

    fn required(&self, key: &str) -> Result<&str, Failure> {
        let value =
            self.properties.values.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
        value.ok_or_else(|| Failure::configuration(format!("{}: `{key}` is missing", self.name)))
    }

    /// All keys but the group, which is no key of MirrorMaker 2's consumer.
    fn keys(&self) -> impl Iterator<Item = (String, String)> {
        let keys = self.properties.values.iter().filter(|(key, _)| *key != "group.id");
        keys.map(|(key, value)| (format!("{}{key}", self.prefix), value.clone()))
    }

    fn note(&self, key: &str, kind: NoteKind, text: &str) -> Note {
        Note { kind, key: format!("{}: {key}", self.name), text: text.to_owned() }
    }

    /// A key as it is called in this file, if it is from it.
    fn shown(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.prefix).map(|key| format!("{}: {key}", self.name))
    }

    /// An error that is about a key of this file, with its place.
    fn failure(&self, error: &ImportError) -> Option<Failure> {
        let key = error.key.as_deref()?.strip_prefix(&self.prefix)?;
        let message = error.message.replace(&self.prefix, "");
        let line = self.properties.lines.get(key)?;
        Some(at_line(&self.name, &self.text, *line, &message))
    }
}

/// What is to be mirrored, and what not: one expression each, made as MirrorMaker makes it (`IncludeList`).
fn selection(arguments: &Mm1Arguments) -> Result<(String, String), ImportError> {
    let expression = |text: &String| {
        let text = text.trim().replace(',', "|").replace(' ', "");
        text.trim_matches(['"', '\'']).to_owned()
    };
    let include = arguments.include.as_ref().or(arguments.whitelist.as_ref()).map(expression);
    let exclude = arguments.blacklist.as_ref().map(expression);
    match (include, exclude) {
        (None, None) => {
            Err(ImportError::new("`--include` is missing: an expression for the topics that are mirrored"))
        }
        (include, exclude) => Ok((include.unwrap_or_else(|| ".*".to_owned()), exclude.unwrap_or_default())),
    }
}

/// Classes that are Java, which nobody else can run.
fn refuse_classes(arguments: &Mm1Arguments) -> Result<(), ImportError> {
    for (flag, class, instead) in [
        (
            "--message.handler",
            &arguments.message_handler,
            "records are not changed; `naming: { template: … }` in kmirror.yaml renames topics, and `topics` leaves some out",
        ),
        (
            "--consumer.rebalance.listener",
            &arguments.consumer_rebalance_listener,
            "partitions are not dealt out to consumers here; `kmirror status` shows what becomes of each",
        ),
    ] {
        if let Some(class) = class {
            let message =
                format!("`{flag}` names the Java class {class}, which kmirror cannot run; {instead}");
            return Err(ImportError::new(message));
        }
    }
    Ok(())
}

/// What becomes of the flags.
fn flags(arguments: &Mm1Arguments) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |is_given: bool, kind, key: &str, text: &str| {
        if is_given {
            notes.push(Note { kind, key: key.to_owned(), text: text.to_owned() });
        }
    };
    use NoteKind::{Ignored, Mapped, Warning};
    note(arguments.include.is_some(), Mapped, "--include", "topics.include");
    let both = arguments.include.is_some();
    note(
        arguments.whitelist.is_some() && both,
        Warning,
        "--whitelist",
        "without effect: `--include` is given",
    );
    note(
        arguments.whitelist.is_some() && !both,
        Warning,
        "--whitelist",
        "topics.include; `--include` is its name since 2.8",
    );
    note(
        arguments.blacklist.is_some(),
        Warning,
        "--blacklist",
        "topics.exclude; MirrorMaker has not known it since 2.0",
    );
    note(
        arguments.num_streams.is_some(),
        Ignored,
        "--num.streams",
        "one process uses as many connections as it needs",
    );
    note(
        arguments.offset_commit_interval_ms.is_some(),
        Ignored,
        "--offset.commit.interval.ms",
        "progress lives in the target's log; `commit_group` commits it on the source",
    );
    let drops = arguments.abort_on_send_failure.is_some_and(|aborts| !aborts);
    note(
        drops,
        Warning,
        "--abort.on.send.failure",
        "records are never dropped: a partition that cannot go on parks",
    );
    note(
        !drops && arguments.abort_on_send_failure.is_some(),
        Ignored,
        "--abort.on.send.failure",
        "always so",
    );
    note(arguments.new_consumer, Warning, "--new.consumer", "obsolete, and without effect");
    note(arguments.num_producers.is_some(), Warning, "--num.producers", "obsolete, and without effect");
    note(
        arguments.queue_size.is_some(),
        Warning,
        "--queue.size",
        "obsolete, and without effect; `buffer` bounds the memory",
    );
    let listener = arguments.rebalance_listener_args.is_some();
    note(listener, Ignored, "--rebalance.listener.args", "no listener is named");
    note(arguments.message_handler_args.is_some(), Ignored, "--message.handler.args", "no handler is named");
    notes
}

/// The names of the clusters, and what MirrorMaker 1 does not do.
const NEVER_DONE: [(&str, &str); 10] = [
    ("clusters", "source, target"),
    ("source->target.enabled", "true"),
    ("replication.policy.class", "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"),
    // Its topics are created by the target's brokers, as these are told.
    ("replication.factor", "-1"),
    ("sync.topic.configs.enabled", "false"),
    ("sync.topic.acls.enabled", "false"),
    ("sync.group.offsets.enabled", "false"),
    ("emit.heartbeats.enabled", "false"),
    ("emit.checkpoints.enabled", "false"),
    ("emit.offset-syncs.enabled", "false"),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cli::Cli;

    fn imported(flags: &str) -> Result<Imported, Failure> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config/mm1");
        let flags = format!(
            "kafka-mirror-maker.sh --consumer.config {folder}/consumer.properties --producer.config {folder}/producer.properties {flags}"
        );
        import(&Cli::mm1_arguments(flags.split(' ')).expect("known flags"))
    }

    #[test]
    fn flags_and_files_become_one_flow() {
        let imported =
            imported("--whitelist orders,payments\\..* --num.streams 4 --abort.on.send.failure false")
                .expect("a flow");
        assert_eq!(
            imported.config,
            json!({
                "clusters": {
                    "source": { "bootstrap_servers": ["127.0.0.1:19092"], "client_id": "mirror" },
                    "target": { "bootstrap_servers": ["127.0.0.1:29092", "127.0.0.1:29093"] },
                },
                "flows": [{
                    "source": "source",
                    "target": "target",
                    "topics": { "include": ["orders|payments\\..*"], "exclude": [] },
                    "naming": "identity",
                    "takeover": { "group": "mirror-maker" },
                    "isolation": "read_committed",
                    "replication_factor": "broker",
                    "topic_configs": { "follow": false },
                    "acls": "none",
                    "groups": { "include": [] },
                    "mm2_topics": { "heartbeats": false, "checkpoints": false, "offset_syncs": "none" },
                }],
            })
        );
        let kind_of =
            |key: &str| imported.notes.iter().find(|note| note.key.ends_with(key)).map(|note| note.kind);
        for (key, kind) in [
            ("--whitelist", NoteKind::Warning),
            ("--num.streams", NoteKind::Ignored),
            ("--abort.on.send.failure", NoteKind::Warning),
            ("consumer.properties: group.id", NoteKind::Mapped),
            ("consumer.properties: auto.offset.reset", NoteKind::Warning),
            ("consumer.properties: isolation.level", NoteKind::Mapped),
            ("consumer.properties: fetch.min.bytes", NoteKind::Ignored),
            ("producer.properties: acks", NoteKind::Warning),
            ("producer.properties: linger.mss", NoteKind::Warning),
        ] {
            assert_eq!(kind_of(key), Some(kind), "{key}: {:?}", imported.notes);
        }
        assert!(kind_of("sync.topic.acls.enabled").is_none() && kind_of("clusters").is_none());
    }

    #[test]
    fn expressions_are_made_as_mirror_maker_makes_them() {
        let topics = |flags: &str| imported(flags).expect("a flow").config["flows"][0]["topics"].clone();
        let expected = |include: &str, exclude: &[&str]| -> Value {
            json!({ "include": [include], "exclude": exclude })
        };
        assert_eq!(topics("--include \"a,b\""), expected("a|b", &[]));
        assert_eq!(topics("--blacklist a.*"), expected(".*", &["a.*"]));
        assert_eq!(topics("--include a --whitelist b"), expected("a", &[]));
    }
}
