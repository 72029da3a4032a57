//! What a mirror can be made of. Each problem names its place as kmirror.yaml calls it, for that is where most flows come from. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::{ClusterConfig, Flow, Naming, ReplicationFactor, Start};
use super::error::ConfigError;
use super::selection::Selected;

/// Checks a cluster.
///
/// # Errors
/// An address that is none, a time of nothing.
pub(crate) fn cluster(alias: &str, config: &ClusterConfig) -> Result<(), ConfigError> {
    let at = |key: &str| format!("clusters.{alias}.{key}");
    if config.bootstrap_servers.is_empty() {
        return Err(ConfigError::NoServers { alias: alias.to_owned() });
    }
    for server in &config.bootstrap_servers {
        if !is_address(server) {
            let problem = format!("{server:?} is no address; write it as in broker.example.com:9092");
            return Err(ConfigError::Invalid { path: at("bootstrap_servers"), problem });
        }
    }
    lasts(&at("connect_timeout"), config.connect_timeout)?;
    lasts(&at("request_timeout"), config.request_timeout)?;
    let buffers = [
        ("send_buffer_bytes", config.send_buffer_bytes),
        ("receive_buffer_bytes", config.receive_buffer_bytes),
    ];
    for (key, bytes) in buffers {
        if let Some(bytes) = bytes {
            within(&at(key), bytes as u64, 1, i32::MAX as u64)?;
        }
    }
    Ok(())
}

/// Checks a flow. `index`: its place in the mirror.
///
/// # Errors
/// A value that cannot work.
pub(crate) fn flow(index: usize, flow: &Flow) -> Result<(), ConfigError> {
    let at = |key: &str| format!("flows[{index}].{key}");
    let invalid = |key: &str, problem: String| Err(ConfigError::Invalid { path: at(key), problem });
    if let Naming::Template(template) = &flow.naming
        && !template.contains("{topic}")
    {
        return invalid("naming", format!("the template {template:?} does not contain {{topic}}"));
    }
    if matches!(flow.start, Start::Timestamp(timestamp) if timestamp < 0) {
        return invalid("start", "a timestamp counts milliseconds since the epoch, from 0 on".to_owned());
    }
    if flow.state_topic.is_empty() {
        return invalid("state_topic", "it must have a name".to_owned());
    }
    if flow.commit_group.as_ref().is_some_and(String::is_empty) {
        return invalid("commit_group", "a group must have a name".to_owned());
    }
    if matches!(flow.replication_factor, ReplicationFactor::Number(factor) if factor < 1) {
        return invalid(
            "replication_factor",
            "a topic has one replica at least; `broker` is the brokers' default".to_owned(),
        );
    }
    if flow.state_replication_factor < 1 && flow.state_replication_factor != -1 {
        return invalid(
            "state_replication_factor",
            "a topic has one replica at least; -1 is the brokers' default".to_owned(),
        );
    }
    if flow.head_fill_offsets_max < 0 {
        return invalid("head_fill_max", "it must be 0 or more".to_owned());
    }
    // A fetch answers with this much at most; the frame around it is what Kafka's lengths can say.
    let bytes_max = i32::MAX as u64;
    within(&at("buffer"), flow.buffer_bytes_max as u64, 1, u64::MAX)?;
    within(&at("fetch_bytes_max"), flow.fetch_bytes_max as u64, 1, bytes_max)?;
    within(&at("partition_fetch_bytes_max"), flow.partition_fetch_bytes_max as u64, 1, bytes_max)?;
    lasts(&at("metadata_refresh_interval"), flow.metadata_refresh_interval)?;
    lasts(&at("parked_retry_interval"), flow.parked_retry_interval)?;
    lasts(&at("groups_interval"), flow.groups_interval)?;
    lasts(&at("acls_interval"), flow.acls_interval)?;
    lasts(&at("topic_configs.interval"), flow.topic_configs.interval)
}

/// No two flows may write one topic. Names are compared here; what expressions select is seen when topics are found.
///
/// # Errors
/// Two flows that do.
pub(crate) fn share_nothing(flows: &[(Flow, Selected)]) -> Result<(), ConfigError> {
    let mut written: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (second, (flow, selected)) in flows.iter().enumerate() {
        let names = selected.topics.literal_names().filter(|name| selected.topics.matches(name));
        for name in names {
            let topic = flow.naming.target_topic(&flow.source, name);
            let first = *written.entry((&flow.target, topic.clone())).or_insert(second);
            if first != second {
                return Err(ConfigError::SameTargetTopic {
                    target: flow.target.clone(),
                    topic,
                    first,
                    second,
                });
            }
        }
    }
    Ok(())
}

/// `host:port`, the host perhaps in brackets.
fn is_address(server: &str) -> bool {
    server.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && !host.contains(char::is_whitespace)
    })
}

fn lasts(path: &str, duration: Duration) -> Result<(), ConfigError> {
    if duration.is_zero() {
        let problem = "a duration must be longer than nothing".to_owned();
        return Err(ConfigError::Invalid { path: path.to_owned(), problem });
    }
    Ok(())
}

fn within(path: &str, number: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    let problem = format!("{number} is not between {min} and {max}");
    Err(ConfigError::Invalid { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        type Change = fn(&mut Flow);
        let table: [(&str, Change); 15] = [
            ("naming", |flow| flow.naming = Naming::Template("all".to_owned())),
            ("start", |flow| flow.start = Start::Timestamp(-1)),
            ("state_topic", |flow| flow.state_topic.clear()),
            ("commit_group", |flow| flow.commit_group = Some(String::new())),
            ("replication_factor", |flow| flow.replication_factor = ReplicationFactor::Number(0)),
            ("state_replication_factor", |flow| flow.state_replication_factor = 0),
            ("head_fill_max", |flow| flow.head_fill_offsets_max = -1),
            ("buffer", |flow| flow.buffer_bytes_max = 0),
            ("fetch_bytes_max", |flow| flow.fetch_bytes_max = usize::MAX),
            ("partition_fetch_bytes_max", |flow| flow.partition_fetch_bytes_max = 0),
            ("metadata_refresh_interval", |flow| flow.metadata_refresh_interval = Duration::ZERO),
            ("parked_retry_interval", |flow| flow.parked_retry_interval = Duration::ZERO),
            ("groups_interval", |flow| flow.groups_interval = Duration::ZERO),
            ("acls_interval", |flow| flow.acls_interval = Duration::ZERO),
            ("topic_configs.interval", |flow| flow.topic_configs.interval = Duration::ZERO),
        ];
        for (key, change) in table {
            let mut wrong = Flow::new("east", "west").topics(["orders"]);
            assert_eq!(flow(1, &wrong), Ok(()));
            change(&mut wrong);
            let error = flow(1, &wrong).expect_err(key).to_string();
            assert!(error.starts_with(&format!("flows[1].{key}: ")), "{error}");
        }
    }

    #[test]
    fn what_is_no_cluster_is_refused_with_its_place() {
        let right = ClusterConfig::new(["a.example:9092,[::1]:9092", "10.0.0.1:9092"]);
        assert_eq!(right.bootstrap_servers.len(), 3);
        assert_eq!(cluster("east", &right), Ok(()));
        for server in ["", "host", "host:", ":9092", "host:0", "host:70000", "ho st:1", "https://host"] {
            let error = cluster(
                "east",
                &ClusterConfig { bootstrap_servers: vec![server.to_owned()], ..right.clone() },
            );
            let error = error.expect_err(server).to_string();
            assert!(error.starts_with("clusters.east.bootstrap_servers: "), "{error}");
        }
        let error = cluster("east", &ClusterConfig { request_timeout: Duration::ZERO, ..right.clone() });
        assert!(error.expect_err("nothing").to_string().starts_with("clusters.east.request_timeout: "));
        let error = cluster("east", &ClusterConfig { send_buffer_bytes: Some(0), ..right });
        assert!(error.expect_err("nothing").to_string().starts_with("clusters.east.send_buffer_bytes: "));
    }

    #[test]
    fn two_flows_do_not_write_one_topic() {
        let of = |flow: Flow| {
            let (topics, groups) = (flow.topics.compile(), flow.groups.compile());
            (flow, Selected { topics: topics.expect("valid"), groups: groups.expect("valid") })
        };
        let east = || Flow::new("east", "west").topics(["orders", "b.*"]);
        let north = || Flow::new("north", "west").topics(["orders"]);
        let error = share_nothing(&[of(east()), of(north())]).expect_err("both write orders").to_string();
        assert!(
            error.starts_with("flows[1].topics: \"orders\" of \"west\" is written by flows[0]"),
            "{error}"
        );
        assert_eq!(share_nothing(&[of(east()), of(north().naming(Naming::Prefixed))]), Ok(()));
        assert_eq!(share_nothing(&[of(east()), of(north().exclude_topics(["ord.*"]))]), Ok(()));
        assert_eq!(share_nothing(&[of(east()), of(Flow::new("north", "south").topics(["orders"]))]), Ok(()));
    }
}
