//! A source that loses too much at once, where the target's log starts follow its own.

use super::*;

impl World {
    /// Records of one batch.
    fn write_many(&self, count: usize) {
        let records = vec![(Some(&b"key"[..]), Some(&b"value"[..])); count];
        self.source.write(TOPIC, 0, Codec::None, &records).unwrap();
    }

    fn start_on_target(&self) -> i64 {
        self.target.log(TOPIC, 0).unwrap().start
    }
}

async fn some_rounds() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[tokio::test]
async fn what_the_source_lost_at_once_is_kept_until_somebody_deletes_it() {
    let mut world = World::new(&[]).await;
    world.flow.retention = kmirror::Retention::Follow;
    world.write_many(20_000);
    let handle = world.start();
    world.caught_up(&handle).await;
    some_rounds().await;
    world.source.delete_below(TOPIC, 0, 15_000).unwrap();
    some_rounds().await;
    assert_eq!(world.start_on_target(), 0);
    // By now it would be less than half, for this process and for the next one.
    world.write_many(20_000);
    world.caught_up(&handle).await;
    some_rounds().await;
    assert_eq!(world.start_on_target(), 0);
    stop(handle).await;
    let handle = world.start();
    world.caught_up(&handle).await;
    some_rounds().await;
    assert_eq!(world.start_on_target(), 0);
    // Somebody has decided; it follows on.
    world.target.delete_below(TOPIC, 0, 15_000).unwrap();
    some_rounds().await;
    world.source.delete_below(TOPIC, 0, 18_000).unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.start_on_target() != 18_000 {
        assert!(tokio::time::Instant::now() < deadline, "{}", world.start_on_target());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(handle).await;
}
