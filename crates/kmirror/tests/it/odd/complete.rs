//! What is complete: a mirror that says so has copied all that its flows select.

use kmirror::Error;

use super::*;

/// The controller may be too slow, or its quota of changes be used up: the topic is not refused, and is created at a later look.
#[tokio::test]
async fn a_topic_that_is_not_created_yet_is_waited_for() {
    for once in [true, false] {
        let world = World::new(&[]).await;
        world.write_numbered(0..3);
        let slow = FaultKind::Error(ResponseError::RequestTimedOut);
        world.target.inject(Fault::new(slow).of(ApiKey::CreateTopics).after(1).times(2));
        let handle = world.mirror(once).spawn();
        match once {
            true => drop(tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends").unwrap()),
            false => {
                world.until_looked(&handle).await;
                handle.caught_up(PATIENCE).await.unwrap();
            }
        }
        assert_eq!(
            world.target.log(TOPIC, 0).map_or(0, |log| log.end),
            3,
            "once: {once}: {:?}",
            handle.status()
        );
        let _ = handle.shutdown(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn a_mirror_that_was_stopped_has_not_caught_up() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    shows_nothing(&world.source);
    let handle = world.start();
    world.until_looked(&handle).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(world.target.log(TOPIC, 0).map_or(0, |log| log.end), 0);
    let caught_up = handle.caught_up(PATIENCE).await;
    assert!(matches!(caught_up, Err(Error::Stopped)), "{caught_up:?}: {:?}", handle.status());
}

#[tokio::test]
async fn what_is_selected_anew_is_not_copied_at_once() {
    let mut world = World::new(&[]).await;
    world.source.create_topic("later", 1, &[]).unwrap();
    world.source.write("later", 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    world.write_numbered(0..3);
    let handle = world.start();
    handle.caught_up(PATIENCE).await.unwrap();
    world.flow = world.flow.topics([TOPIC, "later"]);
    handle.reload(world.mirror(false)).await.unwrap();
    handle.caught_up(PATIENCE).await.unwrap();
    assert_eq!(world.target.log("later", 0).map_or(0, |log| log.end), 1, "{:?}", handle.status());
    // Other groups alone are no reason to wait for topics.
    world.flow.groups.include = vec!["readers".to_owned()];
    handle.reload(world.mirror(false)).await.unwrap();
    handle.caught_up(PATIENCE).await.unwrap();
    stop(handle).await;
}

impl World {
    async fn until_looked(&self, handle: &MirrorHandle) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !handle.status()[0].has_looked {
            assert!(tokio::time::Instant::now() < deadline, "it does not look");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
