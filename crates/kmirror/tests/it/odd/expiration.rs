//! `raise_producer_expiry`: what is set on the target's brokers is theirs, and is put back.

use std::collections::BTreeMap;
use std::time::Duration;

use kmirror::{MirrorHandle, Naming};
use kmirror_embedded::{
    Acl, ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Isolation, Operation, Pattern, Profile,
    ResourceType,
};

use super::{PATIENCE, TOPIC, World, stop};

const KEY: &str = "producer.id.expiration.ms";
const RAISED: Option<&str> = Some("2147483647");
const NEIGHBOUR: &str = "payments";

/// A flow that raises it, and whose copy stands still until the target's replication goes on.
async fn held_world() -> World {
    let mut world = World::new(&[]).await;
    world.flow.raises_producer_expiry = true;
    world.write_numbered(0..3);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    hold(&world, true);
    world
}

fn hold(world: &World, holds: bool) {
    world.target.hold_replication(TOPIC, 0, holds).unwrap();
}

/// What the state topic says of it, by key.
fn recorded(world: &World) -> BTreeMap<String, String> {
    let Ok(log) = world.target.log("__kmirror_state", 0) else { return BTreeMap::new() };
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut known = BTreeMap::new();
    for record in log.records(Isolation::ReadUncommitted).unwrap() {
        let key = record.key.as_ref().map(text).unwrap_or_default();
        match record.value.as_ref().map(text) {
            _ if !key.starts_with("raised/") => {}
            Some(value) => drop(known.insert(key, value)),
            None => drop(known.remove(&key)),
        }
    }
    known
}

async fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !wanted() {
        assert!(tokio::time::Instant::now() < deadline, "not {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until it is raised, for as many flows.
async fn until_raised(world: &World, flows: usize) {
    until("raised", || {
        world.target.broker_config(KEY).as_deref() == RAISED && recorded(world).len() == flows
    })
    .await;
}

async fn until_set(world: &World, value: Option<&str>) {
    until("put back and forgotten", || {
        world.target.broker_config(KEY).as_deref() == value && recorded(world).is_empty()
    })
    .await;
}

fn kill(handle: MirrorHandle) {
    drop(handle);
}

#[tokio::test]
async fn it_is_raised_until_the_flow_has_caught_up_once() {
    for before in [None, Some("7200000")] {
        let world = held_world().await;
        world.target.alter_broker_config(KEY, before).unwrap();
        let handle = world.start();
        until_raised(&world, 1).await;
        let (_, record) = recorded(&world).pop_first().unwrap();
        let shown = before.map_or("null".to_owned(), |before| format!("{before:?}"));
        assert!(record.contains(&format!(r#""before":{shown}"#)), "{record}");
        hold(&world, false);
        world.caught_up(&handle).await;
        until_set(&world, before).await;
        // Once is enough.
        hold(&world, true);
        world.write_numbered(3..5);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.target.broker_config(KEY).as_deref(), before);
        hold(&world, false);
        world.caught_up(&handle).await;
        stop(handle).await;
        world.is_exact();
    }
}

#[tokio::test]
async fn an_orderly_end_puts_it_back() {
    let world = held_world().await;
    let handle = world.start();
    until_raised(&world, 1).await;
    stop(handle).await;
    assert_eq!((world.target.broker_config(KEY), recorded(&world).len()), (None, 0));
}

#[tokio::test]
async fn the_start_after_a_kill_puts_it_back() {
    for raises in [false, true] {
        let mut world = held_world().await;
        world.target.alter_broker_config(KEY, Some("7200000")).unwrap();
        let handle = world.start();
        until_raised(&world, 1).await;
        kill(handle);
        hold(&world, false);
        world.flow.raises_producer_expiry = raises;
        let handle = world.start();
        world.caught_up(&handle).await;
        until_set(&world, Some("7200000")).await;
        stop(handle).await;
        world.is_exact();
    }
}

/// Whoever was killed between recording and raising has raised nothing.
#[tokio::test]
async fn a_record_without_a_raised_value_is_forgotten() {
    let mut world = held_world().await;
    let handle = world.start();
    until_raised(&world, 1).await;
    kill(handle);
    world.target.alter_broker_config(KEY, None).unwrap();
    hold(&world, false);
    world.flow.raises_producer_expiry = false;
    world.once().await;
    assert_eq!((world.target.broker_config(KEY), recorded(&world).len()), (None, 0));
}

#[tokio::test]
async fn what_somebody_else_has_set_meanwhile_stays() {
    for is_killed in [false, true] {
        let world = held_world().await;
        let handle = world.start();
        until_raised(&world, 1).await;
        let handle = if is_killed {
            kill(handle);
            world.target.alter_broker_config(KEY, Some("5400000")).unwrap();
            world.start()
        } else {
            world.target.alter_broker_config(KEY, Some("5400000")).unwrap();
            handle
        };
        until_set(&world, Some("5400000")).await;
        hold(&world, false);
        world.caught_up(&handle).await;
        stop(handle).await;
        assert_eq!(
            (world.target.broker_config(KEY).as_deref(), recorded(&world).len()),
            (Some("5400000"), 0)
        );
        world.is_exact();
    }
}

#[tokio::test]
async fn a_higher_value_is_not_ours() {
    let world = held_world().await;
    world.target.alter_broker_config(KEY, RAISED).unwrap();
    hold(&world, false);
    world.once().await;
    assert_eq!((world.target.broker_config(KEY).as_deref(), recorded(&world).len()), (RAISED, 0));
}

#[tokio::test]
async fn the_last_of_several_flows_puts_it_back() {
    let mut world = held_world().await;
    let first = world.start();
    until_raised(&world, 1).await;
    let flow = world.flow.clone();
    world.flow = flow.naming(Naming::Prefixed);
    let second = world.start();
    world.caught_up(&second).await;
    // It has joined, and has withdrawn.
    until("joined", || {
        let log = world.target.log("__kmirror_state", 0).unwrap();
        let records = log.records(Isolation::ReadUncommitted).unwrap();
        let of_second = |key: &bytes::Bytes| key.starts_with(b"raised/") && key.ends_with(b"/east.{topic}");
        records.iter().any(|record| record.key.as_ref().is_some_and(of_second) && record.value.is_none())
    })
    .await;
    stop(second).await;
    until_raised(&world, 1).await;
    hold(&world, false);
    world.caught_up(&first).await;
    until_set(&world, None).await;
    stop(first).await;
}

/// Whoever may not read or change it copies all the same.
#[tokio::test]
async fn without_the_right_nothing_is_raised() {
    let mut world = World::new(&[]).await;
    world.flow.raises_producer_expiry = true;
    for denied in [Operation::DescribeConfigs, Operation::AlterConfigs] {
        world.target = EmbeddedCluster::builder().brokers(1).authorizer([]).start().await.unwrap();
        let entry = |resource_type, name: &str, operation, allows| Acl {
            resource_type,
            pattern: Pattern::Literal(name.to_owned()),
            principal: "User:*".to_owned(),
            host: "*".to_owned(),
            operation,
            allows,
        };
        for resource_type in [ResourceType::Topic, ResourceType::Group, ResourceType::Cluster] {
            let name = if resource_type == ResourceType::Cluster { "kafka-cluster" } else { "*" };
            world.target.add_acl(entry(resource_type, name, Operation::All, true));
        }
        world.target.add_acl(entry(ResourceType::Cluster, "kafka-cluster", denied, false));
        world.write_numbered(0..3);
        world.once().await;
        assert_eq!((world.target.broker_config(KEY), recorded(&world).len()), (None, 0), "{denied:?}");
        world.is_exact();
    }
}

/// A release that cannot change it while brokers run copies all the same.
#[tokio::test]
async fn older_releases_are_left_alone() {
    let mut world = World::new(&[]).await;
    world.target = EmbeddedCluster::builder().brokers(1).profile(Profile::Kafka2_8).start().await.unwrap();
    world.flow.raises_producer_expiry = true;
    world.write_numbered(0..3);
    world.once().await;
    assert_eq!((world.target.broker_config(KEY), recorded(&world).len()), (None, 0));
    world.is_exact();
}

/// What a raised memory is good for: 5 s after the last look nothing has to be looked at before old records go on.
#[tokio::test]
async fn a_raised_value_is_made_use_of() {
    let mut world = World::new(&[]).await;
    let second = Duration::from_secs(1);
    // Everything is old there.
    let target = EmbeddedCluster::builder().brokers(2).producer_expiry(second, 3_600 * second);
    world.target = target.start().await.unwrap();
    world.flow.raises_producer_expiry = true;
    world.flow = world.flow.topics([NEIGHBOUR]);
    world.target.create_topic(TOPIC, 1, &[]).unwrap();
    world.target.move_leader(TOPIC, 0, 1).unwrap();
    // The flow has not caught up as long as this one has not.
    world.source.create_topic(NEIGHBOUR, 1, &[]).unwrap();
    world.source.write(NEIGHBOUR, 0, Codec::None, &[(Some(b"key"), Some(b"value"))]).unwrap();
    world.target.create_topic(NEIGHBOUR, 1, &[]).unwrap();
    world.target.move_leader(NEIGHBOUR, 0, 2).unwrap();
    world.target.hold_replication(NEIGHBOUR, 0, true).unwrap();
    world.write_numbered(0..1);
    let handle = world.start();
    world.until_end(&handle, TOPIC, 1).await;
    tokio::time::sleep(5 * second).await;
    let blind = Fault::new(FaultKind::HangUpBefore).of(ApiKey::OffsetForLeaderEpoch).at(1).times(u32::MAX);
    world.target.inject(blind);
    world.write_numbered(1..2);
    world.until_end(&handle, TOPIC, 2).await;
    world.target.clear_faults();
    world.target.hold_replication(NEIGHBOUR, 0, false).unwrap();
    world.until_end(&handle, NEIGHBOUR, 1).await;
    until_set(&world, None).await;
    stop(handle).await;
    world.is_exact();
}
