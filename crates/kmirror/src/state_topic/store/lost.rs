//! A state topic that is not what it was: created again, cut off, forgotten by its broker.

use std::sync::Arc;

use kmirror_client::{ClientConfig, Connecting, Connector, Duplex, TopicId, simulated};
use kmirror_embedded::{Codec, EmbeddedCluster};

use super::*;
use crate::ground::lineage::Lineage;
use crate::state_topic::record::PartitionRecord;
use crate::state_topic::whole::Whole;

const TOPIC: &str = "__state";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_topic_that_was_created_again_is_read_from_its_beginning() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    // As long as before, and longer: its end does not tell.
    for written_since in 1..=3 {
        cluster.delete_topic(TOPIC);
        let east = store(&cluster).await;
        east.put(&partition(0), Recorded::Nothing, record(0)).await.unwrap();
        cluster.delete_topic(TOPIC);
        let west = store(&cluster).await;
        for number in 1..=written_since {
            west.put(&partition(number), Recorded::Nothing, record(number)).await.unwrap();
        }
        for number in 1..=written_since {
            assert_eq!(east.get(&partition(number), true).await, Ok(recorded(number)), "of {written_since}");
        }
        assert_eq!(east.get(&partition(0), true).await, Ok(Recorded::Nothing), "of {written_since}");
    }
}

#[tokio::test]
async fn when_a_copy_was_whole_is_forgotten_with_its_topic() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let east = store(&cluster).await;
    let whole = Whole { target_topic_id: TopicId::NONE, position: 5, at_ms: 7 };
    let (key, value) = (crate::state_topic::whole::key_of(&partition(0)), whole.to_json());
    cluster.write(TOPIC, 0, Codec::None, &[(Some(key.as_bytes()), Some(&value))]).unwrap();
    assert_eq!(
        (east.whole(&partition(0)).await, east.whole(&partition(1)).await),
        (Ok(Some(whole)), Ok(None))
    );
    cluster.delete_topic(TOPIC);
    let _west = store(&cluster).await;
    assert_eq!(east.whole(&partition(0)).await, Ok(None));
}

/// What is written replaces what the topic says, not what was read of an earlier one.
#[tokio::test]
async fn a_record_does_not_replace_what_an_earlier_topic_said() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let east = store(&cluster).await;
    east.put(&partition(0), Recorded::Nothing, record(0)).await.unwrap();
    cluster.delete_topic(TOPIC);
    let west = store(&cluster).await;
    west.put(&partition(0), Recorded::Nothing, record(7)).await.unwrap();
    assert_eq!(east.put(&partition(0), recorded(0), record(1)).await, Err(StateError::Changed));
    assert_eq!(store(&cluster).await.get(&partition(0), false).await, Ok(recorded(7)));
    assert_eq!(east.get(&partition(0), false).await, Ok(recorded(7)));
    east.put(&partition(0), recorded(7), record(1)).await.unwrap();
    assert_eq!(west.get(&partition(0), true).await, Ok(recorded(1)));
}

#[tokio::test]
async fn a_topic_whose_head_was_deleted_says_what_is_left() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let (east, late) = (store(&cluster).await, store(&cluster).await);
    for number in 0..4 {
        east.put(&partition(number), Recorded::Nothing, record(number)).await.unwrap();
    }
    cluster.delete_below(TOPIC, 0, 2).unwrap();
    let left = [(0, Recorded::Nothing), (1, Recorded::Nothing), (2, recorded(2)), (3, recorded(3))];
    let first = store(&cluster).await;
    for (number, said) in left {
        assert_eq!(late.get(&partition(number), true).await, Ok(said.clone()), "partition {number}");
        assert_eq!(first.get(&partition(number), true).await, Ok(said), "partition {number}");
    }
    late.put(&partition(0), Recorded::Nothing, record(0)).await.unwrap();
    assert_eq!(first.get(&partition(0), true).await, Ok(recorded(0)));
}

/// Nothing shows the sequence of what was written last, and the broker remembers it.
#[tokio::test]
async fn a_topic_of_which_everything_was_deleted_is_written_on() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let east = store(&cluster).await;
    east.put(&partition(0), Recorded::Nothing, record(0)).await.unwrap();
    // What a flow records of access control lists has no sequences.
    cluster.write(TOPIC, 0, Codec::None, &[(Some(&b"acl/"[..]), None)]).unwrap();
    east.put(&partition(1), Recorded::Nothing, record(1)).await.unwrap();
    cluster.delete_below(TOPIC, 0, cluster.log(TOPIC, 0).unwrap().end).unwrap();
    let west = store(&cluster).await;
    assert_eq!(west.get(&partition(0), true).await, Ok(Recorded::Nothing));
    west.put(&partition(0), Recorded::Nothing, record(5)).await.unwrap();
    assert_eq!(store(&cluster).await.get(&partition(0), false).await, Ok(recorded(5)));
}

/// The broker has forgotten the producer that all instances share, and would take any sequence.
#[tokio::test(start_paused = true)]
async fn a_record_of_which_the_broker_has_forgotten_the_producer_is_not_overwritten() {
    let _world = simulated::enter(1);
    let minute = Duration::from_secs(60);
    let builder = EmbeddedCluster::builder().without_sockets("west").simulated(1);
    let cluster = Arc::new(builder.producer_expiry(minute, Duration::from_secs(1)).start().await.unwrap());
    let (ours, theirs) = (over(&cluster).await, over(&cluster).await);
    assert_eq!(ours.get(&partition(0), true).await, Ok(Recorded::Nothing));
    theirs.put(&partition(0), Recorded::Nothing, record(3)).await.unwrap();
    tokio::time::sleep(DAY).await;
    assert_eq!(ours.put(&partition(0), Recorded::Nothing, record(4)).await, Err(StateError::Changed));
    assert_eq!(over(&cluster).await.get(&partition(0), true).await, Ok(recorded(3)));
    assert_eq!(cluster.log(TOPIC, 0).unwrap().end, 1, "nothing was written");
    // Whoever reads it first may write.
    ours.put(&partition(0), recorded(3), record(4)).await.unwrap();
    assert_eq!(theirs.get(&partition(0), true).await, Ok(recorded(4)));
}

/// Reaches a cluster without sockets.
#[derive(Debug)]
struct Line(Arc<EmbeddedCluster>);

impl Connector for Line {
    fn connect<'a>(&'a self, _address: &'a str) -> Connecting<'a> {
        Box::pin(async { Ok(Box::new(self.0.connect(1)) as Box<dyn Duplex>) })
    }
}

async fn over(cluster: &Arc<EmbeddedCluster>) -> StateStore {
    let mut config = ClientConfig::new("west", [cluster.bootstrap_servers()]);
    config.connector = Some(Arc::new(Line(Arc::clone(cluster))));
    opened(config).await
}

async fn store(cluster: &EmbeddedCluster) -> StateStore {
    opened(ClientConfig::new("west", [cluster.bootstrap_servers()])).await
}

async fn opened(config: ClientConfig) -> StateStore {
    StateStore::open(&Client::connect(config).await.unwrap(), "west", TOPIC, 1).await.unwrap()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

fn recorded(number: i32) -> Recorded {
    Recorded::Record(Box::new(record(number)))
}

/// A record like no other one's.
fn record(number: i32) -> PartitionRecord {
    tests::record(Lineage::beginning_at(0, number.into()))
}
