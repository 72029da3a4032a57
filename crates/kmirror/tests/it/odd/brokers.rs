//! Brokers that were killed, and leaders that know less than the one before.

use kmirror_embedded::{ApiKey, Fault, FaultKind};

use super::{TOPIC, World, stop};

/// What DeleteRecords did within the last minute is undone where a broker is killed: the placeholders of a filled head are there again.
#[tokio::test]
async fn placeholders_that_come_back_are_cut_off_again() {
    let world = World::new(&[]).await;
    world.write_numbered(0..30);
    world.source.delete_below(TOPIC, 0, 20).unwrap();
    let start = |world: &World| world.target.log(TOPIC, 0).unwrap().start;
    let handle = world.start();
    world.caught_up(&handle).await;
    assert_eq!(start(&world), 20);
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    assert_eq!(start(&world), 0);
    // A broker that is killed closes its connections.
    world.target.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
    world.write_numbered(30..32);
    world.caught_up(&handle).await;
    stop(handle).await;
    assert_eq!(start(&world), 20);
    world.is_exact();
    // The same while nobody copies.
    world.target.undo_delete_records(TOPIC, 0).unwrap();
    assert_eq!(start(&world), 0);
    world.once().await;
    assert_eq!(start(&world), 20);
    world.is_exact();
}

/// Records below the beginning that nobody filled in are somebody's.
#[tokio::test]
async fn records_before_the_beginning_that_are_no_placeholders_stay() {
    let mut world = World::new(&[]).await;
    world.write_numbered(0..30);
    world.source.delete_below(TOPIC, 0, 5).unwrap();
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    let records = [(Some(&b"theirs"[..]), Some(&b"value"[..])); 5];
    world.target.write(TOPIC, 0, kmirror_embedded::Codec::None, &records).unwrap();
    world.flow.offsets = kmirror::Offsets::Shifted;
    world.once().await;
    world.write_numbered(30..32);
    world.once().await;
    let (log, records) = (world.target.log(TOPIC, 0).unwrap(), World::records(&world.target));
    assert_eq!(
        (log.start, log.end, records.len()),
        (0, 32, 32),
        "the copy begins at 5, where it would exactly"
    );
    let lineage = world.mirror(false).lineages().await.unwrap().remove(0).lineage.unwrap();
    assert_eq!(lineage.first().delta(), 0, "{lineage}");
}
