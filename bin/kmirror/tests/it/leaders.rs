//! Leaders of the target that stop and keep their connections. For real Kafka alone: how soon another one is elected, and what it says
//! then, is its own affair.

use std::thread;
use std::time::{Duration, Instant};

use kmirror_testkit::{
    ClusterPair, Isolation, KafkaCluster, KafkaRelease, Workload, compare_records, real_kafka, unique_topic,
};

use crate::kmirror::{Kmirror, await_that};

/// A node that stands still (SIGSTOP, a link that is half open) says nothing, and the mirror has asked it already. How long it takes is
/// told and not judged here: `kmirror-bench trials` keeps it.
#[test]
fn a_leader_that_stops_is_left_when_another_one_is_elected() {
    let Some(_turn) = real_kafka("a_leader_that_stops_is_left_when_another_one_is_elected") else { return };
    let builder = || KafkaCluster::builder(KafkaRelease::KAFKA_4_3);
    let pair = ClusterPair::of(builder().start().unwrap(), builder().nodes(3).start().unwrap());
    let (_, target) = pair.clusters().expect("clusters of this test");
    let topic = unique_topic("stops");
    let record = |first| Workload::new(&topic).first(first).records(1);
    pair.source.produce(&[record(0)]).unwrap();
    let kmirror =
        Kmirror::between(pair.source.bootstrap_servers(), pair.target.bootstrap_servers(), &[&topic], "");
    let mirror = kmirror.start();
    for round in 1..=rounds() {
        await_that("all replicas have everything", || {
            let bytes = [1, 2, 3].map(|node| target.node(node).unwrap().log_bytes(&topic, 0));
            bytes.iter().all(|of_node| *of_node > 0 && *of_node == bytes[0]) && in_sync(target, &topic) == 3
        });
        let stopped = target.node(1).unwrap().leader(&topic, 0).expect("a leader");
        target.node(stopped).unwrap().pause().unwrap();
        let before = target.node(stopped).unwrap().log_bytes(&topic, 0);
        let (paused_at, is_other) = (Instant::now(), |leader: &usize| *leader != stopped);
        pair.source.produce(&[record(round)]).unwrap();
        let others = [1, 2, 3].into_iter().filter(is_other).map(|node| target.node(node).unwrap());
        let others: Vec<_> = others.collect();
        let elected = until(|| others.iter().find_map(|node| node.leader(&topic, 0).filter(is_other)));
        let elected_at = Instant::now();
        let leader = target.node(elected).unwrap();
        until(|| (leader.log_bytes(&topic, 0) > before).then_some(()));
        println!("round {round}: {stopped} stops, {elected} is elected after {:?}", elected_at - paused_at);
        let seconds = elected_at.elapsed().as_secs_f64();
        println!(
            "figure: the next record after another leader of its partition is elected: {seconds:.3} s, at most 2 s"
        );
        target.node(stopped).unwrap().resume().unwrap();
    }
    await_that("all records are there", || {
        pair.target
            .records(&topic, Isolation::ReadCommitted)
            .is_ok_and(|records| records.len() as u64 == 1 + rounds())
    });
    drop(mirror);
    kmirror.prove();
    let read = [&pair.source, &pair.target].map(|cluster| cluster.records(&topic, Isolation::ReadCommitted));
    let [source, target] = read.map(Result::unwrap);
    compare_records(&source, &target).unwrap();
}

fn in_sync(cluster: &KafkaCluster, topic: &str) -> usize {
    let replicas = cluster.replicas(topic).ok();
    replicas.and_then(|found| Some(found.first()?.in_sync.len())).unwrap_or_default()
}

/// Looks all the time: what is measured begins and ends with it.
fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < patience, "nothing for {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often a leader stops: `KMIRROR_STOPS`, once if not set.
fn rounds() -> u64 {
    std::env::var("KMIRROR_STOPS").map_or(1, |stops| stops.parse().expect("a number"))
}

const PATIENCE: Duration = Duration::from_secs(180);
