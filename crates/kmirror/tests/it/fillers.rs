//! What fills holes, by what the target permits.

use std::time::Duration;

use kmirror::{Flow, MirrorHandle, ParkReason, PartitionState};
use kmirror_testkit::{
    ClusterPair, Isolation, KafkaCluster, KafkaRelease, Workload, compare_records, real_kafka, unique_topic,
};

#[tokio::test(flavor = "multi_thread")]
async fn holes_are_filled_by_what_the_target_permits_on_4_3_1() {
    permits("holes_are_filled_by_what_the_target_permits_on_4_3_1", KafkaRelease::KAFKA_4_3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_are_filled_by_what_the_target_permits_on_3_9_1() {
    permits("holes_are_filled_by_what_the_target_permits_on_3_9_1", KafkaRelease::KAFKA_3_9).await;
}

/// Nothing that fills a hole; then empty transactions, taken over by a second mirror; then control markers.
async fn permits(test: &str, release: KafkaRelease) {
    let Some(_turn) = real_kafka(test) else { return };
    let source = KafkaCluster::builder(release).start().unwrap();
    let target = KafkaCluster::builder(release).authorizer().start().unwrap();
    for (operations, resource) in [
        (&["All"][..], ["--topic", "*"]),
        (&["Describe", "Create", "DescribeConfigs"], ["--cluster", "kafka-cluster"]),
    ] {
        let mut permission = resource.to_vec();
        operations.iter().for_each(|operation| permission.extend(["--operation", operation]));
        target.allow(&permission).unwrap();
    }
    let topic = unique_topic("permitted");
    let workload = Workload::new(&topic).partitions(2).partition_run(10).transactions(10);
    let pair = ClusterPair::of(source, target);
    let (_, target) = pair.clusters().unwrap();
    pair.source.produce(&[workload.clone().records(200)]).unwrap();

    let handle = start(&pair, &topic);
    let mut looked = 0;
    let parked = loop {
        looked += 1;
        assert!(looked < 600, "not parked: {:?}", handle.status());
        let status = handle.status();
        let states = status[0].partitions.iter().map(|partition| &partition.state);
        if let Some(PartitionState::Parked(parked)) =
            states.into_iter().find(|state| matches!(state, PartitionState::Parked(_)))
        {
            break parked.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(parked.reason, ParkReason::Unauthorized, "{parked}");
    for permission in ["--operation Alter --cluster", "--operation Write --transactional-id kmirror-"] {
        assert!(parked.message.contains(permission), "{parked}");
    }

    let transactional =
        ["--operation", "Write", "--transactional-id", "kmirror-", "--resource-pattern-type", "prefixed"];
    target.allow(&transactional).unwrap();
    copied(&handle).await;
    drop(handle);
    equal(&pair, &topic);
    // Another owner, after more of it.
    pair.source.produce(&[workload.clone().first(200).records(200).abort_every(3)]).unwrap();
    let handle = start(&pair, &topic);
    copied(&handle).await;
    drop(handle);
    equal(&pair, &topic);

    target.allow(&["--operation", "Alter", "--cluster", "kafka-cluster"]).unwrap();
    pair.source.produce(&[workload.first(400).records(100)]).unwrap();
    let handle = start(&pair, &topic);
    copied(&handle).await;
    equal(&pair, &topic);
}

/// Until nothing is parked or missing. (A partition that is parked counts as settled for `caught_up`.)
async fn copied(handle: &MirrorHandle) {
    for _ in 0..600 {
        let status = handle.status();
        let is_known = status[0].partitions.iter().all(|partition| partition.position >= 0);
        if !status[0].partitions.is_empty()
            && is_known
            && status[0].lag() == 0
            && status[0].parked().count() == 0
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not copied: {:?}", handle.status());
}

fn equal(pair: &ClusterPair, topic: &str) {
    let source = pair.source.records(topic, Isolation::ReadCommitted).unwrap();
    let target = pair.target.records(topic, Isolation::ReadCommitted).unwrap();
    assert!(!source.is_empty());
    compare_records(&source, &target).unwrap();
}

fn start(pair: &ClusterPair, topic: &str) -> MirrorHandle {
    let mut flow = Flow::new("east", "west").topics([topic]);
    flow.parked_retry_interval = Duration::from_millis(500);
    crate::beside::start(pair, flow)
}
