//! A start with another cluster behind an alias than the one that the flow has copied from: it does nothing, until somebody accepts it.

use super::*;

#[tokio::test]
async fn a_start_with_another_source_does_nothing_until_it_is_accepted() {
    let mut world = World::new(&[("retention.ms", "-1")]).await;
    world.write_numbered(0..20);
    world.once().await;
    let (changes, end) = (world.target.changes(), world.target.log("__kmirror_state", 0).unwrap().end);
    let other = World::new(&[("retention.ms", "1000")]).await.source;
    other.add_partitions(TOPIC, 3).unwrap();
    let known = std::mem::replace(&mut world.source, other);
    world.write_numbered(0..5);

    let error = world.mirror(true).spawn().wait().await.unwrap_err();
    let ids = [known.cluster_id(), world.source.cluster_id()];
    assert!(matches!(error, kmirror::Error::OtherCluster { .. }), "{error}");
    let text = error.to_string();
    assert!(ids.iter().all(|id| text.contains(id.as_str())) && text.contains("accept-cluster"), "{text}");
    let planned = world.mirror(false).connect().await.unwrap().plan().await.unwrap_err();
    assert_eq!(planned.to_string(), text);
    assert_eq!(world.target.changes(), changes);
    assert_eq!(world.target.log("__kmirror_state", 0).unwrap().end, end, "nor is anything recorded");
    assert_eq!(World::records(&world.target).len(), 20);

    let accepted = world.mirror(false).connect().await.unwrap().accept_clusters().await.unwrap();
    assert_eq!(accepted[0].source, (Some(ids[0].clone()), ids[1].clone()));
    // What was copied of the other one stays what it is.
    let parked = world.parks().await;
    assert_eq!(parked.reason, kmirror::ParkReason::SourceRecreated);
    assert_eq!(World::records(&world.target).len(), 20);
    // Back to the one whose copies they are it needs no word.
    world.source = known;
    world.write_numbered(20..25);
    world.once().await;
    world.is_exact();
}

#[tokio::test]
async fn a_cluster_whose_id_is_configured_is_no_other_one() {
    let world = World::new(&[]).await;
    world.write_numbered(0..5);
    let mirror = |target_id: String| {
        let mut target = ClusterConfig::new([world.target.bootstrap_servers()]);
        target.cluster_id = Some(target_id);
        let source = ClusterConfig::new([world.source.bootstrap_servers()]);
        let builder = Mirror::builder().cluster("east", source).cluster("west", target);
        builder.flow(world.flow.clone()).once(true).build().unwrap()
    };
    let error = mirror("another".to_owned()).spawn().wait().await.unwrap_err().to_string();
    assert!(error.contains("another") && error.contains(&world.target.cluster_id()), "{error}");
    assert_eq!(world.target.changes(), []);
    mirror(world.target.cluster_id()).spawn().wait().await.unwrap();
    world.is_exact();
}

fn flow_of(topic: &str) -> Flow {
    Flow::new("east", "west").topics([topic])
}

/// Two sites have a file each, and both call their cluster the source: neither is the other's.
#[tokio::test]
async fn files_may_call_their_sources_the_same() {
    let mut world = World::new(&[]).await;
    world.write_numbered(0..5);
    world.once().await;
    let here = std::mem::replace(&mut world.source, EmbeddedCluster::builder().start().await.unwrap());
    world.source.create_topic("sales", 1, &[]).unwrap();
    world.flow = flow_of("sales");
    world.once().await;
    let there = std::mem::replace(&mut world.source, here);
    world.flow = flow_of(TOPIC);
    world.write_numbered(5..9);
    world.once().await;
    world.is_exact();
    // The name of the first one comes to stand for the second one, which has a topic of that name by now.
    there.create_topic(TOPIC, 1, &[]).unwrap();
    world.source = there;
    let error = world.mirror(true).spawn().wait().await.unwrap_err();
    assert!(matches!(error, kmirror::Error::OtherCluster { .. }), "{error}");
}
