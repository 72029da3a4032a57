//! The local address of a running mirror, and what `status` reads there.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kmirror_testkit::{KafkaEndpoint, Workload, free_port, real_kafka, unique_topic};
use serde_json::Value;

use crate::kmirror::{Kmirror, await_that};
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(a_running_mirror_says_how_every_partition_is, a_reload_may_be_asked_for_on_this_machine);

fn a_running_mirror_says_how_every_partition_is(stage: &Stage) {
    let (source, target) = stage.pair();
    let [copied, foreign] = ["copied", "foreign"].map(unique_topic);
    source.produce(&[&copied, &foreign].map(|topic| Workload::new(topic).partitions(2).records(140)));
    target.produce(&[Workload::new(&foreign).partitions(2).records(30).keys(3)]);
    let address = free_address();
    let more = format!("http: {{ listen: \"{address}\" }}\n");
    let kmirror = Kmirror::mirroring(&source, &target, &[&copied, &foreign], &more);
    kmirror.run(&["status"]).with_code(0).saying("no mirror answers at").saying("asking both clusters");
    let mut mirror = kmirror.start();
    await_that("it is ready", || get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let csv = |arguments: &[&str], says: &str| {
        let ended = kmirror.run(&[&["status", "--format", "csv"], arguments].concat()).with_code(0);
        ended.saying(says).stdout()
    };
    let is_done = || csv(&[], "from the mirror that answers at").matches(",Copying,,").count() == 2;
    await_that("one topic is copied", || is_done() && target.ends(&copied) == source.ends(&copied));
    // By the process, by the clusters, and by what these say themselves.
    let by_process = csv(&["--topic", &copied], "from the mirror");
    let by_clusters = csv(&["--topic", &copied, "--direct"], "");
    for (partition, end) in (0..).zip(source.ends(&copied).unwrap()) {
        let start = format!("east-to-west,{copied},{copied},{partition},");
        let line =
            |text: &str| text.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned();
        assert_eq!(line(&by_process), format!("{start}Copying,,{end},{end},0,,"));
        assert_eq!(line(&by_clusters), format!("{start},,{end},{end},0,,"));
    }
    let parked = csv(&["--topic", &foreign], "from the mirror");
    assert_eq!(parked.matches(",Parked,TargetDiverged,").count(), 2, "{parked}");
    // The address and the command say the same, in names that stay.
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let answer = get(&address, "/api/v1/status");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: application/json"), "{head}");
    assert_eq!(json(body), json(&kmirror.run(&["status", "--format", "json"]).with_code(0).stdout()));
    assert_eq!(json(body)["flows"][0]["parked"], 2);
    assert_eq!(json(body)["partitions"][0]["source_topic"], copied.as_str());
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/").starts_with("HTTP/1.1 404"));
    assert!(ask(&address, "POST", "/api/v1/status", "").starts_with("HTTP/1.1 405"));
    kmirror
        .run(&["status", "--max-age", "1h"])
        .with_code(0)
        .saying("a process does not know how old records are");
    assert_eq!(mirror.end("TERM"), Some(143));
}

fn a_reload_may_be_asked_for_on_this_machine(stage: &Stage) {
    let (source, target) = stage.pair();
    let [first, second] = ["first", "second"].map(unique_topic);
    source.produce(&[&first, &second].map(|topic| Workload::new(topic).records(50)));
    let address = free_address();
    let text = |include: &str, listen: &str| {
        format!(
            "clusters:\n  east: {{ bootstrap_servers: \"{}\" }}\n  west: {{ bootstrap_servers: \"{}\" }}\nflows:\n  \
             - {{ source: east, target: west, topics: {{ include: [{include}] }} }}\nhttp: {{ listen: \"{listen}\" }}\n",
            source.bootstrap_servers(),
            target.bootstrap_servers()
        )
    };
    let kmirror = Kmirror::with_config(&text(&first, &address));
    let mut mirror = kmirror.start();
    mirror.says(&["copying", &first]);
    let reload = |headers: &str| ask(&address, "POST", "/-/reload", headers);
    let both = format!("{first}, {second}");
    kmirror.rewrite(&text(&both, &address));
    assert!(reload("Origin: http://example.com\r\n").starts_with("HTTP/1.1 403"));
    assert!(get(&address, "/-/reload").starts_with("HTTP/1.1 405"));
    let reloaded = reload("");
    assert!(reloaded.starts_with("HTTP/1.1 200") && reloaded.contains("\"filtered\""), "{reloaded}");
    await_that("the other topic is copied", || target.end(&second, 0) == Some(50));
    kmirror.rewrite("nonsense");
    assert!(reload("").starts_with("HTTP/1.1 422"));
    let status = get(&address, "/api/v1/status");
    assert!(status.contains("\"reloads\": 1") && status.contains("\"reloads_refused\": 1"), "{status}");
    // A second one cannot have the address, and one that listens everywhere is not told to reload by everybody.
    kmirror.rewrite(&text(&both, &address));
    kmirror.run(&["run", "--once"]).with_code(1).saying("http.listen: cannot listen on");
    assert_eq!(mirror.end("TERM"), Some(143));
    kmirror.rewrite(&text(&both, &address.replace("127.0.0.1", "0.0.0.0")));
    let mut mirror = kmirror.start();
    mirror.says(&["there is no password"]);
    assert!(reload("").starts_with("HTTP/1.1 403"));
    kmirror.run(&["status"]).with_code(0).saying("from the mirror that answers at");
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// Says nothing of a cluster: between embedded ones alone.
#[test]
fn whatever_is_sent_to_the_address_the_mirror_goes_on() {
    let (source, target) = Stage::embedded().pair();
    let topic = unique_topic("hostile");
    source.produce(&[Workload::new(&topic).records(10)]);
    let address = free_address();
    let more = format!("http: {{ listen: \"{address}\" }}\n");
    let mut mirror = Kmirror::mirroring(&source, &target, &[&topic], &more).start();
    mirror.says(&["copying", &topic]);
    let line = |line: &str| format!("{line}\r\n\r\n").into_bytes();
    let garbage = [
        Vec::new(),
        vec![0; 100_000],
        (0..=255).cycle().take(50_000).collect(),
        line("GET /livez HTTP/9.9"),
        line("GET /livez"),
        line("GET http://[::1 HTTP/1.1"),
        line("\u{0}\u{0} /livez HTTP/1.1\r\nHost: \u{7f}"),
        line(&format!("GET /{} HTTP/1.1\r\nHost: a", "x".repeat(1 << 20))),
        line(&format!("GET /livez HTTP/1.1\r\nHost: a{}", "\r\nX: y".repeat(100_000))),
        line("POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: -1"),
        line("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615"),
        line("POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
        line("GET /livez HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    for bytes in &garbage {
        let mut stream = TcpStream::connect(&address).unwrap();
        // It may hang up before it has all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    // More than it serves at a time, each of which begins and says no more.
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    idle.iter().for_each(|mut stream| stream.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap());
    let begun = Instant::now();
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() > Duration::from_secs(2), "nobody had to wait: connections are not counted");
    source.produce(&[Workload::new(&topic).records(10)]);
    await_that("it copies", || target.end(&topic, 0) == Some(20));
    assert!(!mirror.log().contains("panicked"), "{}", mirror.log());
    assert_eq!(mirror.end("TERM"), Some(143));
}

/// For real Kafka alone, since it is Java's tools that count.
#[test]
fn figures_are_those_of_the_tools() {
    let Some(kafka) = real_kafka("figures_are_those_of_the_tools") else { return };
    let pair = kafka.pair().unwrap();
    let (source, target) = (&pair.source, &pair.target);
    let (topic, group) = (unique_topic("counted"), unique_topic("positions"));
    let load = |first| Workload::new(&topic).partitions(2).first(first);
    source.produce(&[load(0).records(100).transactions(7).abort_every(4)]).unwrap();
    let address = free_address();
    let more = format!("    commit_group: {group}\nhttp: {{ listen: \"{address}\" }}\n");
    let kmirror = Kmirror::between(source.bootstrap_servers(), target.bootstrap_servers(), &[&topic], &more);
    let mut mirror = kmirror.start();
    let positions = |arguments: &[&str]| rows(&kmirror.run(arguments).with_code(0).stdout());
    let status = ["status", "--format", "json"];
    await_that("both partitions are copied", || {
        let rows = positions(&status);
        rows.len() == 2 && rows.iter().all(|row| row.0 == row.1 && row.0 > 0)
    });
    let by_process = positions(&status);
    assert_eq!(by_process.iter().map(|row| row.0).collect::<Vec<_>>(), ends(source, &topic));
    assert_eq!(by_process.iter().map(|row| row.1).collect::<Vec<_>>(), ends(target, &topic));
    await_that("positions are committed", || described(source, &group, &topic) == by_process);
    // More that is not copied.
    assert_eq!(mirror.end("TERM"), Some(143));
    source.produce(&[load(100).records(30)]).unwrap();
    for command in [&status[..], &["lag", "--format", "json"]] {
        let behind = positions(command);
        assert_eq!(
            behind,
            described(source, &group, &topic),
            "source end, position and lag as the tool has them"
        );
        assert_eq!(behind.iter().map(|row| row.0).collect::<Vec<_>>(), ends(source, &topic));
        assert_eq!(behind.iter().map(|row| row.1).collect::<Vec<_>>(), ends(target, &topic));
        assert_eq!(behind.iter().map(|row| row.2).sum::<i64>(), 30);
    }
}

/// Of each partition the source's end, the position and the lag.
type Figures = Vec<(i64, i64, i64)>;

fn rows(json: &str) -> Figures {
    let whole: Value = serde_json::from_str(json).unwrap();
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap_or(-1);
    let rows = whole["partitions"].as_array().unwrap().iter();
    rows.map(|row| (number(row, "source_end"), number(row, "position"), number(row, "lag"))).collect()
}

/// What `kafka-get-offsets` says.
fn ends(kafka: &KafkaEndpoint, topic: &str) -> Vec<i64> {
    let printed = kafka.tool(&["get-offsets", "--topic", topic]).unwrap().success().unwrap().stdout;
    printed
        .lines()
        .filter_map(|line| line.strip_prefix(topic)?.rsplit(':').next()?.trim().parse().ok())
        .collect()
}

/// What `kafka-consumer-groups --describe` says.
fn described(kafka: &KafkaEndpoint, group: &str, topic: &str) -> Figures {
    let printed = kafka.tool(&["consumer-groups", "--describe", "--group", group]).unwrap();
    let mut rows: Vec<_> = printed
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.first() == Some(&group) && words.get(1) == Some(&topic))
        .map(|words| {
            let number = |index: usize| words[index].parse::<i64>().unwrap_or(-1);
            (number(2), (number(4), number(3), number(5)))
        })
        .collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, figures)| figures).collect()
}

fn get(address: &str, path: &str) -> String {
    ask(address, "GET", path, "")
}

/// The whole answer, or nothing where nobody listens.
fn ask(address: &str, method: &str, path: &str, headers: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    let mut answer = Vec::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    asked.map_or_else(|_| String::new(), |_| String::from_utf8(answer).unwrap())
}

pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port().unwrap())
}
