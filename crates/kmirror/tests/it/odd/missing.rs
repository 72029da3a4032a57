//! Topics that cannot be copied: each is named with its cause, is tried again, and holds up no other.

use kmirror::{Change, Error, MissingReason, ParkReason};

use super::*;

impl World {
    /// `orders`, `a_b` and `other` on the source; the target has `a.b`, beside which no broker creates `a_b`.
    async fn with_a_refused_topic() -> World {
        let mut world = World::new(&[]).await;
        world.flow = world.flow.topics(["a_b", "other", "late"]);
        for topic in ["a_b", "other"] {
            world.source.create_topic(topic, 1, &[]).unwrap();
            world.source.write(topic, 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
        }
        world.write_numbered(0..3);
        world.target.create_topic("a.b", 1, &[]).unwrap();
        world
    }

    async fn until_missing(&self, handle: &MirrorHandle, topics: &[&str]) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let missing = handle.status().remove(0).missing;
            if missing.iter().map(|missing| missing.source_topic.as_str()).eq(topics.iter().copied()) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{missing:?}, not {topics:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_topic_that_cannot_be_created_holds_up_no_other() {
    let mut world = World::with_a_refused_topic().await;
    world.flow.parked_retry_interval = Duration::from_millis(300);
    for run in ["at first", "after a restart"] {
        let handle = world.start();
        world.until_end(&handle, TOPIC, 3).await;
        world.until_end(&handle, "other", 1).await;
        world.until_missing(&handle, &["a_b", "late"]).await;
        let missing = handle.status().remove(0).missing;
        let MissingReason::Refused(parked) = &missing[0].reason else { panic!("{run}: {missing:?}") };
        assert_eq!(parked.reason, ParkReason::Rejected, "{run}");
        assert!(parked.message.contains("collides with existing topic: a.b"), "{run}: {parked}");
        assert_eq!(missing[1].reason, MissingReason::NoSuchTopic, "{run}");
        stop(handle).await;
    }
    // One that comes later is copied beside it, and it is copied itself when it can be.
    let handle = world.start();
    world.source.create_topic("late", 1, &[]).unwrap();
    world.source.write("late", 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    world.until_end(&handle, "late", 1).await;
    world.until_missing(&handle, &["a_b"]).await;
    world.target.delete_topic("a.b");
    world.until_end(&handle, "a_b", 1).await;
    world.until_missing(&handle, &[]).await;
    handle.caught_up(PATIENCE).await.unwrap();
    stop(handle).await;
}

#[tokio::test]
async fn nothing_is_complete_while_a_topic_is_missing_or_parked() {
    let mut world = World::with_a_refused_topic().await;
    world.flow.topics.include.retain(|topic| topic != "late");
    let handle = world.start();
    let Err(Error::Incomplete(incomplete)) = handle.caught_up(PATIENCE).await else {
        panic!("a_b is not copied")
    };
    assert_eq!((incomplete.parked.len(), incomplete.missing[0].source_topic.as_str()), (0, "a_b"));
    stop(handle).await;
    let report = world.mirror(true).spawn().wait().await.unwrap();
    assert!(!report.is_complete());
    assert_eq!(report.incomplete(), incomplete);
    let plan = world.mirror(false).connect().await.unwrap().plan().await.unwrap();
    let planned = plan.topics.iter().find(|topic| topic.target_topic == "a_b").expect("it is planned");
    assert_eq!(planned.step.to_string(), "not copied: Rejected");
    assert!(planned.reason.contains("collides with existing topic: a.b"), "{}", planned.reason);
    // A partition that is parked is as incomplete.
    world.flow = Flow::new("east", "west").topics([TOPIC]);
    world.target.write(TOPIC, 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
    let handle = world.start();
    let Err(Error::Incomplete(incomplete)) = handle.caught_up(PATIENCE).await else { panic!("it is parked") };
    assert_eq!(incomplete.parked[0].parked.reason, ParkReason::TargetDiverged);
    stop(handle).await;
}

#[tokio::test]
async fn a_name_that_the_source_does_not_have_is_told() {
    let mut world = World::new(&[]).await;
    world.flow = Flow::new("east", "west").topics(["order"]);
    let handle = world.start();
    let Err(Error::NoSuchTopic { topic, .. }) = handle.caught_up(PATIENCE).await else {
        panic!("there is none")
    };
    assert_eq!(topic, "order");
    stop(handle).await;
    // Nor is an expression that matches nothing passed over: shells write patterns otherwise.
    world.flow = Flow::new("east", "west").topics(["ord*"]);
    let checked = world.mirror(false).connect().await.unwrap().check("User:kmirror").await.unwrap().remove(0);
    let finding = checked.findings.iter().find(|finding| finding.subject == "expression ord*").expect("told");
    assert_eq!((&*finding.problem, &*finding.advice), ("it matches no topic", "was `ord.*` meant?"));
}

/// Two flows in one topic would write between each other's records: the first one in the file does, and the other one says so.
#[tokio::test]
async fn of_two_flows_with_one_topic_on_the_target_the_first_one_copies() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    let north = EmbeddedCluster::builder().start().await.unwrap();
    for topic in [TOPIC, "of north"] {
        let topic = topic.replace(' ', "-");
        north.create_topic(&topic, 1, &[]).unwrap();
        north.write(&topic, 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    }
    let cluster = |cluster: &EmbeddedCluster| ClusterConfig::new([cluster.bootstrap_servers()]);
    let flow = |source: &str| {
        let mut flow = Flow::new(source, "west").topics([".*"]);
        flow.metadata_refresh_interval = Duration::from_millis(100);
        flow
    };
    let mirror = || {
        let builder =
            Mirror::builder().cluster("east", cluster(&world.source)).cluster("north", cluster(&north));
        let builder = builder.cluster("west", cluster(&world.target)).flow(flow("east")).flow(flow("north"));
        builder.build().unwrap()
    };
    for run in 0..2 {
        let handle = mirror().spawn();
        let Err(Error::Incomplete(incomplete)) = handle.caught_up(PATIENCE).await else {
            panic!("run {run}")
        };
        let missing: Vec<_> = incomplete.missing.iter().map(|missing| &*missing.source_topic).collect();
        assert_eq!((incomplete.parked.len(), missing), (0, vec![TOPIC]), "run {run}");
        assert!(incomplete.to_string().contains("copies its topic \"orders\" to \"orders\""), "{incomplete}");
        stop(handle).await;
    }
    world.is_exact();
    assert_eq!(world.target.log("of-north", 0).unwrap().end, 1, "its other topics are copied");
    let plan = mirror().connect().await.unwrap().plan().await.unwrap();
    let refused: Vec<_> =
        plan.topics.iter().map(|topic| (&*topic.target_topic, topic.step.to_string())).collect();
    assert_eq!(refused, [(TOPIC, "not copied: Rejected".to_owned())]);
}

#[tokio::test]
async fn what_changes_is_told_in_order() {
    let world = World::with_a_refused_topic().await;
    let handle = world.start();
    let mut changes = handle.changes();
    let mut told = Vec::new();
    // Each waits for its own.
    let wanted = |change: &Change| match change {
        Change::Partition { source_topic, state: PartitionState::Copying, .. } => {
            Some(format!("copies {source_topic}"))
        }
        Change::Partition { source_topic, state: PartitionState::Parked(parked), .. } => {
            Some(format!("parks {source_topic}: {}", parked.reason))
        }
        Change::Missing(topic) => Some(format!("misses {}", topic.source_topic)),
        Change::Found { source_topic, .. } => Some(format!("finds {source_topic}")),
        _ => None,
    };
    let mut until = async |last: &str| {
        while told.last().is_none_or(|told: &String| told != last) {
            let change = tokio::time::timeout(PATIENCE, changes.next()).await.expect(last).expect("it runs");
            told.extend(wanted(&change));
        }
        std::mem::take(&mut told)
    };
    let mut first = until("misses late").await;
    while !["copies orders", "copies other"].iter().all(|told| first.iter().any(|first| first == told)) {
        first.extend(until("copies other").await);
    }
    assert!(first.contains(&"misses a_b".to_owned()), "{first:?}");
    world.source.create_topic("late", 1, &[]).unwrap();
    let mut later = until("finds late").await;
    later.retain(|told| !told.contains("orders") && !told.contains("other"));
    assert!(later.iter().all(|told| told.ends_with("late")), "{later:?}");
    world.target.write(TOPIC, 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
    world.write("one more", None);
    until("parks orders: TargetDiverged").await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    while changes.next().await.is_some() {}
}
