//! Leaders of the source that send readers to a replica (KIP-392), with an answer that shows no records. For real Kafka alone, since its
//! brokers choose the replica and count what each of them sends.

use kmirror_testkit::{
    ClusterPair, Isolation, KafkaCluster, KafkaRelease, Workload, compare_records, real_kafka, unique_topic,
};

use crate::kmirror::Kmirror;

#[test]
fn a_replica_in_the_same_rack_is_read_from() {
    let Some(_turn) = real_kafka("a_replica_in_the_same_rack_is_read_from") else { return };
    let pair = pair_with("org.apache.kafka.common.replica.RackAwareReplicaSelector");
    copies_from_the_follower(&pair, ", rack: rack-2");
    // Without a rack the leader is read from: what the nodes count tells one from the other.
    let topic = written(&pair, "leader", "delete");
    mirroring(&pair, &[&topic], "").copy();
    let [leader, follower] = bytes_out(&pair, &topic);
    assert!(leader > 0 && follower == 0, "the leader sent {leader} bytes, the follower {follower}");
}

#[test]
fn a_replica_that_is_chosen_by_the_name_of_the_client_is_read_from() {
    let Some(_turn) = real_kafka("a_replica_that_is_chosen_by_the_name_of_the_client_is_read_from") else {
        return;
    };
    copies_from_the_follower(&pair_with("FollowerSelector"), "");
}

/// A source of two nodes that ask this class, and a target.
fn pair_with(selector: &str) -> ClusterPair {
    let builder = || KafkaCluster::builder(KafkaRelease::KAFKA_4_3);
    let source = builder().nodes(2).property("replica.selector.class", selector).start().unwrap();
    ClusterPair::of(source, builder().start().unwrap())
}

/// Copies all of two topics twice, of which node 1 leads every partition and node 2 follows. The second time something is there already,
/// and partitions are taken over. `place` is added to what is said of the source.
fn copies_from_the_follower(pair: &ClusterPair, place: &str) {
    let topics = ["delete", "compact"].map(|policy| written(pair, policy, policy));
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let kmirror = mirroring(pair, &names, place);
    kmirror.copy();
    for topic in &topics {
        let [leader, follower] = bytes_out(pair, topic);
        println!("{topic}: the leader sent {leader} bytes, the follower {follower}");
        // A follower that is late once is left for a while.
        assert!(follower > BYTES_MIN && leader < follower / 10, "leader {leader}, follower {follower}");
    }
    kmirror.prove();
    let more = topics.each_ref().map(|topic| records(topic).first(RECORDS));
    pair.source.produce(&more).unwrap();
    kmirror.copy();
    kmirror.prove();
    for topic in &names {
        let [source, target] =
            [&pair.source, &pair.target].map(|cluster| cluster.records(topic, Isolation::ReadCommitted));
        let (source, target) = (source.unwrap(), target.unwrap());
        assert_eq!(source.len() as u64, 2 * RECORDS);
        compare_records(&source, &target).unwrap();
    }
}

fn mirroring(pair: &ClusterPair, topics: &[&str], place: &str) -> Kmirror {
    let (source, target) = (pair.source.bootstrap_servers(), pair.target.bootstrap_servers());
    let include = topics.join(", ");
    Kmirror::with_config(&format!(
        "clusters:\n  east: {{ bootstrap_servers: {source:?}{place} }}\n  west: {{ bootstrap_servers: {target:?} }}\n\
         flows: [{{ source: east, target: west, topics: {{ include: [{include}] }} }}]\n"
    ))
}

/// A topic with records that no cleaner takes away while it is copied.
fn written(pair: &ClusterPair, name: &str, policy: &str) -> String {
    let topic = unique_topic(name);
    let create = ["topics", "--create", "--topic", &topic, "--replica-assignment", "1:2,1:2,1:2,1:2"];
    let settings = [format!("cleanup.policy={policy}"), "min.compaction.lag.ms=3600000".to_owned()];
    let settings = settings.each_ref().map(|setting| ["--config", setting]).concat();
    pair.source.tool(&[&create[..], &settings].concat()).unwrap().success().unwrap();
    pair.source.produce(&[records(&topic)]).unwrap();
    topic
}

fn records(topic: &str) -> Workload {
    Workload::new(topic).partitions(4).records(RECORDS).value_bytes(200, 300).keys(100)
}

/// What the leader of all partitions of a topic has sent to consumers, and what their follower has.
fn bytes_out(pair: &ClusterPair, topic: &str) -> [u64; 2] {
    let (source, _) = pair.clusters().expect("clusters of this test");
    [1, 2].map(|node| source.bytes_out(node, topic).unwrap())
}

const RECORDS: u64 = 2_000;
/// Less than what the values of a topic take.
const BYTES_MIN: u64 = RECORDS * 200;
