//! Coordinators and groups, from outside.

use std::time::Duration;

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiVersionsRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kmirror_embedded::{
    Acl, ApiKey, EmbeddedCluster, Fault, FaultKind, Operation, Pattern, Profile, ResourceType, ResponseError,
};

use crate::scene::{Scene, coordinator};
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_living_broker_coordinates_each_key() {
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().brokers(3).profile(profile).start().await.unwrap();
        let mut wire = Wire::connect(cluster.bootstrap_servers().split(',').next().unwrap());
        let version = if profile == Profile::Kafka2_1 { 2 } else { 3 };
        let one = |key: &'static str| {
            FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(key)).with_key_type(1)
        };
        // Java's hash puts "c" into partition 49 of 50, which the second of three brokers leads at first.
        assert_eq!(wire.call(version, &one("c")).node_id.0, 2);
        cluster.stop_broker(2).unwrap();
        let moved = wire.call(version, &one("c"));
        assert_ne!(moved.node_id.0, 2);
        assert!(cluster.bootstrap_servers().contains(&format!("{}:{}", &*moved.host, moved.port)));
        cluster.start_broker(2).unwrap();
        assert_eq!(wire.call(version, &one("c")).node_id, moved.node_id);
        if matches!(profile, Profile::Kafka3_9 | Profile::Kafka4_3) {
            let keys = ["a", "b", "c"].map(StrBytes::from_static_str).to_vec();
            let found = wire.call(6, &FindCoordinatorRequest::default().with_coordinator_keys(keys.clone()));
            let found: Vec<_> =
                found.coordinators.iter().map(|one| (one.error_code, one.node_id.0)).collect();
            assert_eq!(found, [(0, 3), (0, 1), (0, moved.node_id.0)]);
            let shared = FindCoordinatorRequest::default().with_coordinator_keys(keys).with_key_type(2);
            assert!(wire.call(6, &shared).coordinators.iter().all(|one| one.error_code == 42));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_outlive_their_coordinators() {
    let cluster = EmbeddedCluster::builder().brokers(3).start().await.unwrap();
    cluster.create_topic("orders", 2, &[]).unwrap();
    let brokers: Vec<_> = cluster.bootstrap_servers().split(',').map(str::to_owned).collect();
    let mut scene = Scene::new(&brokers[0], "orders", "c", &|_| ());
    scene.stable(&["a", "b"]);
    scene.commits("a");
    assert_eq!(scene.coordinator(), brokers[1]);
    scene.connect_to(&brokers[0]);
    scene.heartbeat("a");
    scene.commits("a");
    scene.fetch(9, true);
    cluster.stop_broker(2).unwrap();
    let successor = coordinator(&brokers[0], "c");
    scene.connect_to(&successor);
    scene.heartbeat("a");
    scene.fetch(9, true);
    assert_eq!(
        scene.answers,
        [
            "commit a: 0",
            "heartbeat a: 16",
            "commit a: 16",
            "fetch 9: 16 []",
            "heartbeat a: 0",
            "fetch 9: 0 [0: 0 42 Some(\"a note\")]"
        ]
    );

    scene.answers.clear();
    scene.begin_join("a");
    scene.until("PreparingRebalance");
    cluster.move_coordinator("c", 2).unwrap();
    scene.end_join("a");
    assert_eq!(scene.answers, ["join a: 16"]);
    let view = cluster.group("c").unwrap();
    assert_eq!((view.state, view.generation, view.members.len()), ("Stable", 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_go_with_their_topic() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    for topic in ["orders", "payments"] {
        cluster.create_topic(topic, 1, &[]).unwrap();
        cluster.commit_offsets("readers", topic, 0, 7).unwrap();
    }
    cluster.delete_topic("orders");
    assert_eq!(
        cluster.committed_offsets("readers").into_iter().collect::<Vec<_>>(),
        [(("payments".to_owned(), 0), 7)]
    );
    assert!(cluster.commit_offsets("readers", "orders", 0, 7).is_err());
    let mut scene = Scene::new(&cluster.bootstrap_servers(), "payments", "readers", &|_| ());
    scene.stable(&["a"]);
    assert!(cluster.commit_offsets("readers", "payments", 0, 7).is_err(), "somebody is in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rebalance_waits_by_the_clusters_clock() {
    let delay = Duration::from_secs(15);
    let cluster = EmbeddedCluster::builder().group_initial_rebalance_delay(delay).start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    let pass = |time| cluster.advance(time);
    let mut scene = Scene::new(&cluster.bootstrap_servers(), "orders", "readers", &pass);
    for name in ["a", "b"] {
        scene.actor(name).join_version = 3;
        scene.begin_join(name);
        scene.until("PreparingRebalance");
    }
    while cluster.group("readers").unwrap().members.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    scene.pass(delay);
    assert_eq!(cluster.group("readers").unwrap().state, "PreparingRebalance", "b came");
    // No longer than the rebalance timeout.
    scene.pass(Duration::from_secs(5));
    let told = |name| format!("join {name}: generation 1 of range, ");
    scene.end_join("a");
    scene.end_join("b");
    assert!(scene.answers[0].starts_with(&told("a")) && scene.answers[1].starts_with(&told("b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_concern_groups_too() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic("orders", 2, &[]).unwrap();
    let mut scene = Scene::new(&cluster.bootstrap_servers(), "orders", "readers", &|_| ());
    let error = FaultKind::Error(ResponseError::CoordinatorLoadInProgress);
    for api in [ApiKey::OffsetCommit, ApiKey::OffsetFetch, ApiKey::Heartbeat, ApiKey::JoinGroup] {
        cluster.inject(Fault::new(error.clone()).of(api));
    }
    scene.commits("a");
    scene.fetch(9, true);
    scene.heartbeat("a");
    scene.join("a");
    scene.fetch(9, true);
    assert_eq!(
        scene.answers,
        ["commit a: 14", "fetch 9: 14 []", "heartbeat a: 14", "join a: 14", "fetch 9: 0 []"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so() {
    let cluster = EmbeddedCluster::builder().authorizer([]).start().await.unwrap();
    cluster.create_topic("orders", 2, &[]).unwrap();
    let allow = |resource_type, name: &str, operation| {
        cluster.add_acl(Acl {
            resource_type,
            pattern: Pattern::Literal(name.to_owned()),
            principal: "User:ANONYMOUS".to_owned(),
            host: "*".to_owned(),
            operation,
            allows: true,
        });
    };
    let mut wire = Wire::connect(&cluster.bootstrap_servers());
    let found = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("readers"));
    assert_eq!(wire.call(3, &found).error_code, 30);
    allow(ResourceType::Group, "readers", Operation::Describe);
    assert_eq!(wire.call(3, &found).error_code, 0);
    let mut scene = Scene::new(&cluster.bootstrap_servers(), "orders", "readers", &|_| ());
    let look = |scene: &mut Scene<'_>| {
        scene.join("a");
        scene.commits("outsider");
        scene.fetch(9, false);
        scene.delete();
    };
    look(&mut scene);
    allow(ResourceType::Group, "readers", Operation::Read);
    allow(ResourceType::Group, "readers", Operation::Delete);
    look(&mut scene);
    allow(ResourceType::Topic, "orders", Operation::Read);
    look(&mut scene);
    assert_eq!(
        scene.answers,
        [
            "join a: 30",
            "commit outsider: 30",
            "fetch 9: 0 [0: 29 -1 Some(\"\"), 1: 29 -1 Some(\"\")]",
            "delete: 30",
            "join a: 79",
            "commit outsider: 29",
            "fetch 9: 0 [0: 29 -1 Some(\"\"), 1: 29 -1 Some(\"\")]",
            "delete: 0",
            "join a: 25",
            "commit outsider: 0",
            "fetch 9: 0 [0: 0 42 Some(\"a note\"), 1: 0 -1 Some(\"\")]",
            "delete: 0",
        ]
    );
}

/// Each version of each API is understood, and answered in its own layout.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_that_is_offered_is_served() {
    for profile in [Profile::Kafka2_1, Profile::Kafka2_8, Profile::Kafka3_9, Profile::Kafka4_3] {
        let cluster = EmbeddedCluster::builder().profile(profile).start().await.unwrap();
        let mut wire = Wire::connect(&cluster.bootstrap_servers());
        let offered = wire.call(0, &ApiVersionsRequest::default()).api_keys;
        let group = || GroupId(StrBytes::from_static_str("readers"));
        macro_rules! serve {
            ($request:expr) => {
                let request = $request;
                serve_all(&mut wire, &offered, &request);
            };
        }
        serve!(FindCoordinatorRequest::default());
        serve!(JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(6_000));
        serve!(SyncGroupRequest::default().with_group_id(group()));
        serve!(HeartbeatRequest::default().with_group_id(group()));
        serve!(LeaveGroupRequest::default().with_group_id(group()));
        serve!(OffsetCommitRequest::default().with_group_id(group()));
        serve!(TxnOffsetCommitRequest::default().with_group_id(group()));
        serve!(OffsetDeleteRequest::default().with_group_id(group()));
        serve!(ListGroupsRequest::default());
        serve!(DescribeGroupsRequest::default().with_groups(vec![group()]));
        serve!(DeleteGroupsRequest::default().with_groups_names(vec![group()]));
        serve!(OffsetFetchRequest::default());
    }
}

fn serve_all<Q: Request>(wire: &mut Wire, offered: &[ApiVersion], request: &Q) {
    let Some(versions) = offered.iter().find(|offered| offered.api_key == Q::KEY) else {
        return assert_eq!(Q::KEY, ApiKey::OffsetDelete as i16, "since 2.4");
    };
    for version in versions.min_version..=versions.max_version {
        assert!(wire.try_call(version, request).is_some(), "version {version} of {}", Q::KEY);
    }
}
