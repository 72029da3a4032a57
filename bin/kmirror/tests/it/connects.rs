//! Taking over from MirrorMaker 2's connectors in a cluster of Kafka Connect, as Strimzi runs them, with Strimzi's resource.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use kmirror_testkit::{ClusterPair, Isolation, RunningTool, Workload, free_port, real_kafka, unique_topic};
use serde_json::{Value, json};

use crate::kmirror::{Kmirror, await_that};
use crate::takes_over::assert_copied_once;

/// A cluster of Connect, of one worker.
struct Connect {
    /// What its topics begin with.
    name: String,
    address: String,
    worker: RunningTool,
}

impl Connect {
    fn start(pair: &ClusterPair) -> Connect {
        let name = unique_topic("mirrormaker2-cluster");
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        // Strimzi sets all three; with others records would not be the source's.
        let converter = "org.apache.kafka.connect.converters.ByteArrayConverter";
        let mut file = format!(
            "bootstrap.servers = {}\ngroup.id = {name}\nlisteners = http://{address}\noffset.flush.interval.ms = 1000\n\
             key.converter = {converter}\nvalue.converter = {converter}\nheader.converter = {converter}\n",
            pair.target.bootstrap_servers()
        );
        for (kind, topic) in [("config", "configs"), ("offset", "offsets"), ("status", "status")] {
            file +=
                &format!("{kind}.storage.topic = {name}-{topic}\n{kind}.storage.replication.factor = 1\n");
        }
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.properties"));
        std::fs::write(&path, file).unwrap();
        let class = "org.apache.kafka.connect.cli.ConnectDistributed";
        let worker = pair.target.start_tool(&[class, path.to_str().unwrap()], "").unwrap();
        let connect = Connect { name, address, worker };
        await_that("Connect answers", || {
            connect.ask("GET", "/connectors", &Value::Null).starts_with("HTTP/1.1 200")
        });
        connect
    }

    /// The connector that Strimzi would create.
    fn mirror(&self, pair: &ClusterPair, topics: &str) {
        let config = json!({
            "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            "source.cluster.alias": "east",
            "target.cluster.alias": "west",
            "source.cluster.bootstrap.servers": pair.source.bootstrap_servers(),
            "target.cluster.bootstrap.servers": pair.target.bootstrap_servers(),
            "topics": topics,
            "tasks.max": "2",
            "replication.factor": "1",
            "offset-syncs.topic.replication.factor": "1",
            "sync.topic.acls.enabled": "false",
            "refresh.topics.interval.seconds": "1",
        });
        let path = "/connectors/east-%3Ewest.MirrorSourceConnector/config";
        await_that("Connect takes the connector", || {
            self.ask("PUT", path, &config).starts_with("HTTP/1.1 201")
        });
    }

    /// Its answer; nothing while it does not listen.
    fn ask(&self, method: &str, path: &str, body: &Value) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        let (body, mut answer) = (body.to_string(), String::new());
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: connect\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        asked.map(|_| answer).unwrap_or_default()
    }
}

/// It has said where it stands a second ago, and has copied more since.
#[test]
fn what_connectors_of_strimzi_have_filled_goes_on_where_they_were_killed() {
    let Some(kafka) = real_kafka("what_connectors_of_strimzi_have_filled_goes_on_where_they_were_killed")
    else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("strimzi");
    let remote = format!("east.{topic}");
    let endless = Workload::new(&topic).partitions(3).records(u32::MAX.into()).records_per_second(1_000);
    let load = pair.source.start_load(&[endless.headers()]).unwrap();
    let connect = Connect::start(pair);
    connect.mirror(pair, &topic);
    let copied =
        || pair.target.records(&remote, Isolation::ReadUncommitted).map_or(0, |records| records.len());
    await_that("it copies", || copied() > 4_000);
    let positions = format!("{}-offsets", connect.name);
    let has_left =
        || pair.target.records(&positions, Isolation::ReadUncommitted).is_ok_and(|left| !left.is_empty());
    await_that("it has said where it stands", has_left);
    let resource = format!(
        "apiVersion: kafka.strimzi.io/v1\nkind: KafkaMirrorMaker2\nspec:\n  target:\n    alias: west\n    bootstrapServers: {}\n    \
         groupId: {name}\n    configStorageTopic: {name}-configs\n    offsetStorageTopic: {name}-offsets\n    statusStorageTopic: {name}-status\n  \
         mirrors:\n    - source: {{ alias: east, bootstrapServers: \"{}\" }}\n      topicsPattern: {topic}\n      sourceConnector:\n        \
         config: {{ replication.factor: 1, sync.topic.acls.enabled: \"false\" }}\n",
        pair.target.bootstrap_servers(),
        pair.source.bootstrap_servers(),
        name = connect.name,
    );
    drop(connect.worker);
    let kmirror = Kmirror::with_file("yaml", &resource);
    let mut mirror = kmirror.start();
    mirror.says(&["MirrorMaker 2's positions", &positions]);
    mirror.says(&["going on behind what was copied before", &remote]);
    load.stop().unwrap();
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.copy();
    kmirror.prove();
    assert_copied_once(pair, &topic, &remote);
}
