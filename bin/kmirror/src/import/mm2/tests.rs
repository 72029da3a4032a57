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
    let returns = imported.notes.iter().filter(|note| note.text.contains("`groups.return`"));
    assert_eq!(returns.map(|note| note.kind).collect::<Vec<_>>(), [NoteKind::Mapped], "it is said");
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

#[test]
fn sizes_of_sockets_buffers_are_those_of_the_clients_of_a_cluster() {
    let lines = "clusters = a, b\nbootstrap.servers = top:1\na->b.enabled = true\n\
        a.consumer.receive.buffer.bytes = 65536\na.producer.send.buffer.bytes = -1\nb.producer.send.buffer.bytes = ${env:PATH}\n\
        config.providers = env\nconfig.providers.env.class = org.apache.kafka.common.config.provider.EnvVarConfigProvider\n";
    let clusters = imported(lines).expect("a flow").config["clusters"].clone();
    assert_eq!(
        (&clusters["a"]["receive_buffer_bytes"], &clusters["a"]["send_buffer_bytes"]),
        (&json!(65536), &Value::Null)
    );
    assert_eq!(clusters["b"]["properties"]["send.buffer.bytes"], "${env:PATH}");
    let wrong = lines.replace("65536", "much");
    let error = imported(&wrong).expect_err("no size");
    assert!(error.to_string().contains("receive.buffer.bytes"), "{error}");
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
    let flows =
        |file: &str| imported(file).map(|imported| imported.config["flows"].as_array().map_or(0, Vec::len));
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
        note.map(|note| (note.kind, note.text.as_str())).unwrap_or((NoteKind::Warning, "not mentioned"))
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
        ("b.bootstrap.servers", NoteKind::Mapped, "clusters.*.bootstrap_servers"),
        ("a->b.enabled", NoteKind::Mapped, "flows"),
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
    let secured =
        imported(&format!("{TWO}a->b.enabled=true\nb.security.protocol = SASL_SSL\nb.sasl.mechanism=PLAIN"))
            .expect("a flow");
    assert_eq!(secured.config["clusters"]["b"]["properties"]["sasl.mechanism"], "PLAIN");
    let cut = imported(&format!("{TWO}a->b.enabled=true\ntopics = a{{1,3}}")).expect("a flow");
    assert!(cut.notes.iter().any(|note| note.key == "topics" && note.text.contains("comma")));
}
