//! What a flow does beside copying.

use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, Retention};
use kmirror_testkit::{ClusterPair, LogOffset, Workload, real_kafka, unique_topic};

pub(crate) fn start(pair: &ClusterPair, flow: Flow) -> MirrorHandle {
    Mirror::builder()
        .cluster("east", ClusterConfig::new([pair.source.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([pair.target.bootstrap_servers()]))
        .flow(flow)
        .build()
        .unwrap()
        .spawn()
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_committed_to_a_group_of_the_source() {
    let Some(kafka) = real_kafka("positions_are_committed_to_a_group_of_the_source") else { return };
    let pair = kafka.pair().unwrap();
    let topic = unique_topic("committed");
    pair.source.produce(&[Workload::new(&topic).partitions(2).records(300)]).unwrap();
    let mut flow = Flow::new("east", "west").topics([topic.as_str()]);
    flow.commit_group = Some(format!("{topic}-positions"));
    let handle = start(pair, flow);
    handle.caught_up(Duration::from_secs(60)).await.unwrap();
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    let group = format!("{topic}-positions");
    let described = pair.source.tool(&["consumer-groups", "--describe", "--group", &group]).unwrap().stdout;
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
    let mut rows: Vec<Vec<&str>> = described
        .lines()
        .map(|line| line.split_ascii_whitespace().skip(1).take(5).collect())
        .filter(|row: &Vec<&str>| row.first() == Some(&topic.as_str()))
        .collect();
    rows.sort();
    assert_eq!(rows, [[topic.as_str(), "0", "150", "150", "0"], [topic.as_str(), "1", "150", "150", "0"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_start_of_the_target_follows_that_of_the_source() {
    let Some(kafka) = real_kafka("the_log_start_of_the_target_follows_that_of_the_source") else { return };
    let pair = kafka.pair().unwrap();
    let topics = [unique_topic("followed"), unique_topic("own")];
    let loads =
        topics.each_ref().map(|topic| Workload::new(topic).partitions(2).records(60_000).value_bytes(5, 5));
    pair.source.produce(&loads).unwrap();
    let flows = [Retention::Follow, Retention::Own].map(|retention| {
        let index = usize::from(retention == Retention::Own);
        let mut flow = Flow::new("east", "west").topics([topics[index].as_str()]);
        flow.retention = retention;
        flow.metadata_refresh_interval = Duration::from_millis(200);
        flow
    });
    let mut handles = Vec::new();
    for flow in flows {
        let handle = start(pair, flow);
        handle.caught_up(Duration::from_secs(60)).await.unwrap();
        handles.push(handle);
    }
    let start = |topic: &str, partition| pair.target.offset(topic, partition, LogOffset::Earliest).unwrap();
    for topic in &topics {
        // Of partition 0 a third; of partition 1 so much that it may be an accident.
        pair.source.delete_records(topic, 0, 10_000).unwrap();
        pair.source.delete_records(topic, 1, 29_000).unwrap();
    }
    while start(&topics[0], 0) < 10_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The next step of partition 0 is a later look than the first one at partition 1.
    pair.source.delete_records(&topics[0], 0, 12_000).unwrap();
    while start(&topics[0], 0) < 12_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(start(&topics[0], 0), 12_000);
    assert_eq!(start(&topics[0], 1), 0, "guarded");
    assert_eq!([start(&topics[1], 0), start(&topics[1], 1)], [0, 0], "not asked for");
    for handle in handles {
        handle.shutdown(Duration::from_secs(10)).await.unwrap();
    }
}
