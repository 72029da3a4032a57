//! Topics of the target that are not the flow's: nothing of them is touched.

use kmirror_embedded::Change;

use super::*;

impl World {
    /// The target has a topic of the same name with records that the source never had.
    async fn with_somebody_elses() -> World {
        let mut world = World::new(&[("retention.ms", "3600000")]).await;
        world.flow.topic_configs.interval = Duration::from_millis(100);
        world.source.add_partitions(TOPIC, 4).unwrap();
        world.write_numbered(0..20);
        world.target.create_topic(TOPIC, 1, &[("retention.ms", "-1")]).unwrap();
        world.target.write(TOPIC, 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))]).unwrap();
        world
    }

    /// What was changed of this topic on the target.
    fn changes_of(&self, topic: &str) -> Vec<Change> {
        self.target.changes().into_iter().filter(|change| change.resource == topic).collect()
    }

    async fn until_parked(&self, handle: &MirrorHandle, partitions: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while handle.status().remove(0).parked().count() < partitions {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", handle.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Enough for several rounds of whatever follows.
async fn some_rounds() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[tokio::test]
async fn a_topic_of_somebody_else_is_not_touched() {
    let world = World::with_somebody_elses().await;
    let handle = world.start();
    world.until_parked(&handle, 4).await;
    some_rounds().await;
    assert_eq!(world.changes_of(TOPIC), []);
    assert_eq!(world.target.partitions(TOPIC), 1);
    assert_eq!(world.target.topic_config(TOPIC, "retention.ms").as_deref(), Some("-1"));
    assert_eq!(World::records(&world.target).len(), 1);
    let status = handle.status().remove(0);
    let reasons: Vec<_> = status.parked().map(|(_, parked)| parked.reason).collect();
    assert_eq!(reasons, [kmirror::ParkReason::TargetDiverged; 4]);
    stop(handle).await;
    // Nor is it at the next start, nor by a plan.
    let report = world.mirror(true).spawn().wait().await.unwrap();
    assert_eq!(report.flows[0].parked().count(), 4);
    assert_eq!(world.changes_of(TOPIC), []);
    let plan = world.mirror(false).connect().await.unwrap().plan().await.unwrap();
    assert_eq!((plan.topics, plan.configs), (vec![], vec![]));
    assert!(
        plan.notes.iter().any(|note| note.contains("nothing says that it is this flow's")),
        "{:?}",
        plan.notes
    );
}

/// Empty partitions of it hold nothing of the source's, and get nothing.
#[tokio::test]
async fn the_empty_partitions_of_somebody_elses_topic_get_nothing() {
    let world = World::with_somebody_elses().await;
    world.target.add_partitions(TOPIC, 4).unwrap();
    for number in 1..4 {
        world.source.write(TOPIC, number, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    }
    let report = world.mirror(true).spawn().wait().await.unwrap();
    assert_eq!(report.flows[0].parked().count(), 4);
    assert_eq!(world.changes_of(TOPIC), []);
    assert!((1..4).all(|number| world.target.log(TOPIC, number).unwrap().end == 0));
}

/// A topic that an operator has created is taken over, and then it gets what the source's has.
#[tokio::test]
async fn an_empty_topic_becomes_the_flows_and_gets_what_the_source_has() {
    let world = World::new(&[("retention.ms", "3600000")]).await;
    world.source.add_partitions(TOPIC, 3).unwrap();
    world.write_numbered(0..20);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    world.once().await;
    assert_eq!(world.target.partitions(TOPIC), 3);
    assert_eq!(world.target.topic_config(TOPIC, "retention.ms").as_deref(), Some("3600000"));
    world.is_exact();
    world.proves_exact().await;
}

/// Its copy stays as it is, with its settings and partitions, whatever the new topic has.
#[tokio::test]
async fn the_copy_of_a_topic_that_was_created_again_is_not_touched() {
    let mut world = World::new(&[("retention.ms", "-1")]).await;
    world.flow.topic_configs.interval = Duration::from_millis(100);
    world.flow.retention = kmirror::Retention::Follow;
    world.write_numbered(0..30);
    let handle = world.start();
    world.caught_up(&handle).await;
    some_rounds().await;
    let before = world.changes_of(TOPIC);
    world.source.delete_topic(TOPIC);
    world.source.create_topic(TOPIC, 3, &[("retention.ms", "1000")]).unwrap();
    world.until_parked(&handle, 3).await;
    some_rounds().await;
    assert_eq!(world.changes_of(TOPIC), before);
    assert_eq!(world.target.partitions(TOPIC), 1);
    assert_eq!(world.target.topic_config(TOPIC, "retention.ms").as_deref(), Some("-1"));
    assert_eq!(World::records(&world.target).len(), 30);
    stop(handle).await;
    // Nor is it where the topic was created again while nobody looked.
    let report = world.mirror(true).spawn().wait().await.unwrap();
    let reasons: Vec<_> = report.flows[0].parked().map(|(_, parked)| parked.reason).collect();
    assert_eq!(reasons, [kmirror::ParkReason::SourceRecreated; 3]);
    assert_eq!(world.changes_of(TOPIC), before);
}

/// A copy is the flow's after a restart, also by the records of a release that recorded partitions alone.
#[tokio::test]
async fn a_copy_grows_with_its_source_after_a_restart() {
    let world = World::new(&[]).await;
    world.write_numbered(0..20);
    world.once().await;
    world.source.add_partitions(TOPIC, 2).unwrap();
    world.source.write(TOPIC, 1, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    world.once().await;
    assert_eq!(world.target.partitions(TOPIC), 2);
    assert_eq!(world.target.log(TOPIC, 1).unwrap().end, 1);
    let handle = world.start();
    world.caught_up(&handle).await;
    world.source.add_partitions(TOPIC, 3).unwrap();
    let is_third = |partition: &PartitionStatus| partition.partition == 2 && partition.position == 0;
    world.until_one(&handle, "grown", is_third).await;
    assert_eq!(world.target.partitions(TOPIC), 3);
    stop(handle).await;
}

/// The flow's memory is no topic to be copied, neither from the source nor into the target's.
#[tokio::test]
async fn a_topic_that_is_called_like_the_state_topic_is_not_copied() {
    let mut world = World::new(&[]).await;
    world.flow.state_topic = "memory".to_owned();
    world.flow = world.flow.clone().topics([TOPIC, "memory"]);
    world.write_numbered(0..5);
    world.source.create_topic("memory", 1, &[("cleanup.policy", "delete")]).unwrap();
    world.source.write("memory", 0, Codec::None, &[(Some(b"a"), Some(b"b"))]).unwrap();
    let handle = world.start();
    world.caught_up(&handle).await;
    some_rounds().await;
    assert_eq!(handle.status()[0].partitions.len(), 1);
    assert_eq!(world.target.topic_config("memory", "cleanup.policy").as_deref(), Some("compact"));
    stop(handle).await;
}

#[tokio::test]
async fn a_topic_that_somebody_uses_does_not_become_the_state_topic() {
    let mut world = World::new(&[]).await;
    world.write_numbered(0..5);
    world.target.create_topic("audit", 1, &[("cleanup.policy", "compact")]).unwrap();
    world.target.write("audit", 0, Codec::None, &[(Some(b"a"), Some(b"b"))]).unwrap();
    world.target.create_topic("plain", 1, &[]).unwrap();
    for (topic, why) in [("audit", "did not write"), ("plain", "would expire")] {
        world.flow.state_topic = topic.to_owned();
        let error = world.mirror(true).spawn().wait().await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(world.target.log("audit", 0).unwrap().end, 1);
    assert_eq!(world.target.log("plain", 0).unwrap().end, 0);
}

/// A mirror of a site, with a file of its own that calls the clusters as it likes.
fn site([from, to]: [&str; 2], clusters: [&EmbeddedCluster; 2]) -> MirrorHandle {
    let mut flow = Flow::new(from, to).topics([".*"]);
    flow.naming = kmirror::Naming::Prefixed;
    flow.metadata_refresh_interval = Duration::from_millis(100);
    let config = |cluster: &EmbeddedCluster| ClusterConfig::new([cluster.bootstrap_servers()]);
    let builder = Mirror::builder().cluster(from, config(clusters[0])).cluster(to, config(clusters[1]));
    builder.flow(flow).build().unwrap().spawn()
}

fn copied_by(handle: &MirrorHandle) -> Vec<String> {
    handle.status()[0].partitions.iter().map(|partition| partition.source_topic.clone()).collect()
}

/// Two sites have a file each, with names of their own for the clusters: a name does not tell where a topic came from.
#[tokio::test]
async fn what_came_from_the_target_is_not_copied_back_whatever_it_is_called() {
    let world = World::new(&[]).await;
    world.write_numbered(0..5);
    world.target.create_topic("sales", 1, &[]).unwrap();
    let there = site(["east", "west"], [&world.source, &world.target]);
    world.until_end(&there, TOPIC, 5).await;
    let back = site(["here", "dr"], [&world.target, &world.source]);
    world.until_end(&back, "sales", 0).await;
    some_rounds().await;
    assert_eq!((copied_by(&there), copied_by(&back)), (vec![TOPIC.to_owned()], vec!["sales".to_owned()]));
    stop(there).await;
    stop(back).await;
}

/// The other site looks while a topic is being created: whose copy it is was recorded before it was there.
#[tokio::test]
async fn what_is_being_created_is_known_to_come_from_the_target() {
    let world = World::new(&[]).await;
    world.write_numbered(0..5);
    world.target.create_topic("sales", 1, &[]).unwrap();
    let back = site(["here", "dr"], [&world.target, &world.source]);
    world.until_end(&back, "sales", 0).await;
    let late = Fault::new(FaultKind::Delay(Duration::from_millis(400))).of(ApiKey::Produce);
    world.target.inject(late.times(u32::MAX));
    let there = site(["east", "west"], [&world.source, &world.target]);
    world.until_end(&there, TOPIC, 5).await;
    some_rounds().await;
    assert_eq!(copied_by(&back), ["sales"]);
    stop(there).await;
    stop(back).await;
}
