//! The library as other programs use it.

use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, PartitionState};
use kmirror_testkit::{ClusterPair, Isolation, Workload, compare_records, real_kafka, unique_topic};

fn mirror(pair: &ClusterPair, topics: &[&str]) -> Mirror {
    Mirror::builder()
        .cluster("east", ClusterConfig::new([pair.source.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([pair.target.bootstrap_servers()]))
        .flow(Flow::new("east", "west").topics(topics.iter().copied()))
        .build()
        .unwrap()
}

async fn caught_up(handle: &MirrorHandle) {
    handle.caught_up(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_mirror_runs_in_the_callers_runtime_and_ends_with_its_handle() {
    let Some(kafka) = real_kafka("a_mirror_runs_in_the_callers_runtime_and_ends_with_its_handle") else {
        return;
    };
    let pair = kafka.pair().unwrap();
    let topics = [unique_topic("embedded"), unique_topic("embedded")];
    let loads: Vec<_> =
        topics.iter().map(|topic| Workload::new(topic).partitions(2).records(1_000).headers()).collect();
    pair.source.produce(&loads).unwrap();
    // Two mirrors in one process do not get into each other's way.
    let handles: Vec<_> = topics.iter().map(|topic| mirror(pair, &[topic]).spawn()).collect();
    for handle in &handles {
        caught_up(handle).await;
    }
    for handle in handles {
        let report = handle.shutdown(Duration::from_secs(10)).await.unwrap();
        let flow = &report.flows[0];
        assert_eq!((flow.records, flow.lag(), flow.partitions.len()), (1_000, 0, 2));
        assert!(flow.partitions.iter().all(|partition| partition.state == PartitionState::Copying));
    }
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    let source = pair.source.records_of(&names, Isolation::ReadCommitted).unwrap();
    let target = pair.target.records_of(&names, Isolation::ReadCommitted).unwrap();
    compare_records(&source, &target).unwrap();
    // Every task ends with the handle; a hang here is one that does not.
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn new_topics_and_partitions_are_found_while_it_runs() {
    let Some(kafka) = real_kafka("new_topics_and_partitions_are_found_while_it_runs") else { return };
    let pair = kafka.pair().unwrap();
    let prefix = unique_topic("found");
    let (first, second) = (format!("{prefix}-a"), format!("{prefix}-b"));
    pair.source.produce(&[Workload::new(&first).records(100)]).unwrap();
    let handle = mirror(pair, &[&format!("{prefix}.*")]).spawn();
    caught_up(&handle).await;
    pair.source.produce(&[Workload::new(&second).partitions(3).records(300)]).unwrap();
    while handle.status()[0].partitions.len() < 4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    caught_up(&handle).await;
    assert_eq!(handle.status()[0].records, 400);
    drop(handle);
}
