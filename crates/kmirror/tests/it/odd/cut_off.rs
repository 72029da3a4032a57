//! Brokers that are cut off from their controller and go on answering from what they have heard.

use std::time::Duration;

use kmirror::OnDeleted;
use kmirror_embedded::Codec;

use super::{TOPIC, World, stop};

/// A topic that the source's broker 1 never hears of is found, and stays: what one broker does not know is not deleted.
#[tokio::test]
async fn a_topic_that_one_broker_does_not_know_is_not_deleted_on_the_target() {
    let mut world = World::with_brokers(2, &[]).await;
    world.flow = world.flow.topics([TOPIC, "late", "probe.*"]);
    world.flow.metadata_refresh_interval = Duration::from_millis(20);
    world.flow.policies.on_deleted = OnDeleted::Delete { after: Duration::ZERO, even_all: true };
    let create = |name: &str| {
        world.source.create_topic(name, 1, &[]).unwrap();
        world.source.write(name, 0, Codec::None, &[(None, Some(b"value"))]).unwrap();
    };
    world.source.cut_off(1, true).unwrap();
    create("late");
    let handle = world.start();
    world.until_end(&handle, "late", 1).await;
    // Each of these is found by a look at the broker that knows, and there are looks at the other one in between.
    for number in 0..8 {
        let name = format!("probe-{number}");
        create(&name);
        world.until_end(&handle, &name, 1).await;
        assert!(world.target.log("late", 0).is_ok(), "deleted, for one broker does not know it");
    }
    world.source.cut_off(1, false).unwrap();
    world.source.delete_topic("late");
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while world.target.log("late", 0).is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "all brokers say that it is gone, and it stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle).await;
}
