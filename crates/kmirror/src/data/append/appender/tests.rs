//! What an appender does where requests and partitions come and go. What a log needs, [`AppendState`] knows.

use kmirror_client::{BrokerId, ClientConfig, Connecting, Connector, Duplex, Topics, simulated};
use kmirror_codec::GapReason;
use kmirror_embedded::{ApiKey, EmbeddedCluster, Fault, FaultKind};

use super::*;
use crate::data::append::state::AppendStart;
use crate::ground::identity::ProducerIds;
use crate::test_support::{TestBatch, TestRecord};

/// The broker may forget the flow's producer before an idle one has anything to append.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_ends_idle_partitions_as_well() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    line.add(1, 1, 0).await;
    line.push(0, 1, batch(0, 1)).await;
    line.until_end(0, 1).await;
    line.cluster.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
    line.push(0, 1, batch(1, 2)).await;
    let mut ended = [line.ended().await, line.ended().await];
    ended.sort_by_key(|(key, ..)| *key);
    assert_eq!(ended.clone().map(|(key, ..)| key), [0, 1]);
    for (_, _, end) in ended {
        assert!(matches!(end, AppendEnd::TakeOver(TakeOverCause::AnswerLost(_))), "{end:?}");
    }
}

/// What is on its way when a connection is lost must not arrive after the next take-over has read where the log ends.
#[tokio::test(start_paused = true)]
async fn markers_on_their_way_are_waited_for_where_the_connection_is_lost() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    line.add(1, 1, 0).await;
    line.push(1, 1, gap(0, 1)).await;
    line.until_end(1, 1).await;
    let second = Duration::from_secs(1);
    line.cluster.inject(Fault::new(FaultKind::Delay(second)).of(ApiKey::WriteTxnMarkers));
    line.push(1, 1, gap(1, 2)).await;
    tokio::time::sleep(second / 2).await;
    assert_eq!(line.log_end(1), 1, "on its way");
    line.cluster.inject(Fault::new(FaultKind::HangUpBefore).of(ApiKey::Produce));
    line.push(0, 1, batch(0, 1)).await;
    line.ended().await;
    assert_eq!(line.log_end(1), 2, "it has arrived");
}

/// Another owner appends while an answer is on its way for longer than it is worth, and the broker forgets both: it would take the next batch
/// wherever the log ends.
#[tokio::test(start_paused = true)]
async fn an_answer_shows_the_log_as_it_was_when_it_was_asked_for() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    let second = Duration::from_secs(1);
    line.cluster.inject(Fault::new(FaultKind::Delay(second)).of(ApiKey::Produce));
    line.push(0, 1, batch(0, 1)).await;
    tokio::time::sleep(second / 2).await;
    line.cluster.pause_broker(1).unwrap();
    line.until_end(0, 1).await;
    let theirs = TestBatch::dense(0, 1).producer(ProducerIds::of_flow("east").data, 1).build();
    line.cluster.append(TOPIC, 0, theirs.bytes()).unwrap();
    line.cluster.expire_producers(TOPIC, 0).unwrap();
    tokio::time::sleep(3 * second).await;
    line.cluster.resume_broker(1).unwrap();
    line.push(0, 1, batch(1, 2)).await;
    let (_, _, end) = line.ended().await;
    assert!(matches!(end, AppendEnd::TakeOver(TakeOverCause::Overtaken)), "{end:?}");
    assert_eq!(line.log_end(0), 2, "nothing was appended");
}

#[tokio::test(start_paused = true)]
async fn what_arrives_for_an_earlier_generation_is_ignored() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    let second = Duration::from_secs(1);
    line.cluster.inject(Fault::new(FaultKind::Delay(second)).of(ApiKey::Produce));
    line.push(0, 1, batch(0, 1)).await;
    tokio::time::sleep(second / 2).await;
    // It is taken over where it has come to, as if the answer had been lost.
    line.send(AppenderEvent::Remove(PartitionKey(0))).await;
    line.add(0, 2, 1).await;
    line.push(0, 1, batch(1, 2)).await;
    line.push(0, 2, batch(1, 3)).await;
    line.until_end(0, 3).await;
    tokio::time::sleep(second).await;
    assert_eq!(line.gauge.position.load(Ordering::Relaxed), 3);
    assert!(line.events.try_recv().is_err(), "nothing ended it");
}

/// The broker would wait for the replicas of each of its batches that are on their way, and the neighbours with it.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_late_is_waited_for_once() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    line.add(1, 1, 0).await;
    line.push(0, 1, young(0)).await;
    line.until_end(0, 1).await;
    line.cluster.hold_replication(TOPIC, 0, true).unwrap();
    for first in 1..5 {
        line.push(0, 1, young(first)).await;
        line.until_asked().await;
    }
    line.push(1, 1, batch(0, 1)).await;
    let begun = clock::now();
    let mut ended = [line.ended().await, line.ended().await];
    let lasted = clock::now() - begun;
    assert!(lasted < PRODUCE_TIMEOUT + Duration::from_secs(1), "{lasted:?}");
    ended.sort_by_key(|(key, ..)| *key);
    let [(0, _, late), (1, _, neighbour)] = ended else { panic!("{ended:?}") };
    assert!(matches!(late, AppendEnd::TakeOver(TakeOverCause::HoldsUpOthers(_))), "{late:?}");
    assert!(matches!(neighbour, AppendEnd::TakeOver(TakeOverCause::AnswerLost(_))), "{neighbour:?}");
    // What goes on there needs another connection: the old one waits.
    line.add(1, 2, line.log_end(1)).await;
    line.push(1, 2, batch(line.log_end(1), 2)).await;
    line.until_end(1, 2).await;
    let lasted = clock::now() - begun;
    assert!(lasted < PRODUCE_TIMEOUT + Duration::from_secs(2), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_of_one_that_is_late_goes_on_where_nothing_else_is_on_its_way() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    line.add(1, 1, 0).await;
    line.cluster.hold_replication(TOPIC, 0, true).unwrap();
    line.push(0, 1, batch(0, 1)).await;
    let (key, _, end) = line.ended().await;
    assert_eq!(key, 0);
    assert!(matches!(end, AppendEnd::TakeOver(TakeOverCause::HoldsUpOthers(_))), "{end:?}");
    line.push(1, 1, batch(0, 1)).await;
    line.until_end(1, 1).await;
    assert!(line.events.try_recv().is_err(), "it was not taken over");
}

/// Which of its partitions the broker waited for, nobody says.
#[tokio::test(start_paused = true)]
async fn all_partitions_of_a_request_without_an_answer_are_suspected() {
    let mut line = Line::new().await;
    line.add(0, 1, 0).await;
    line.add(1, 1, 0).await;
    line.push(1, 1, batch(0, 1)).await;
    line.until_end(1, 1).await;
    line.cluster.inject(Fault::new(FaultKind::Silence).of(ApiKey::Produce));
    line.push(0, 1, batch(0, 1)).await;
    let mut ended = [line.ended().await, line.ended().await];
    ended.sort_by_key(|(key, ..)| *key);
    let [(0, _, suspected), (1, _, idle)] = ended else { panic!("{ended:?}") };
    assert!(matches!(suspected, AppendEnd::TakeOver(TakeOverCause::HoldsUpOthers(_))), "{suspected:?}");
    assert!(matches!(idle, AppendEnd::TakeOver(TakeOverCause::AnswerLost(_))), "{idle:?}");
}

/// A broker that hangs up on a request of several partitions takes smaller ones.
#[tokio::test(start_paused = true)]
async fn requests_shrink_until_the_broker_takes_them() {
    let mut line = Line::with(PipeKind::Common, 8, 300 << 10).await;
    for round in 1.. {
        assert!(round < 8, "they do not get through");
        let mut missing: Vec<u32> = (0..8).filter(|number| line.log_end(*number as i32) == 0).collect();
        if missing.is_empty() {
            break;
        }
        for number in &missing {
            line.add(*number, round, 0).await;
            line.push(*number, round, large(100 << 10)).await;
        }
        while !missing.is_empty() {
            line.until_asked().await;
            while let Ok(AppendEvent::Ended { key, .. }) = line.events.try_recv() {
                missing.retain(|number| *number != key.0);
            }
            missing.retain(|number| line.log_end(*number as i32) == 0);
        }
    }
}

/// What a broker does not take whatever it comes with takes the connection from nobody else.
#[tokio::test(start_paused = true)]
async fn a_batch_that_the_broker_does_not_take_goes_apart() {
    let mut line = Line::with(PipeKind::Common, 2, 300 << 10).await;
    for round in 1.. {
        assert!(round < 8, "it does not go apart");
        line.add(0, round, 0).await;
        line.push(0, round, large(400 << 10)).await;
        let (key, _, AppendEnd::TakeOver(cause)) = line.ended().await else { panic!("parked") };
        assert_eq!(key, 0);
        match cause {
            TakeOverCause::AnswerLost(_) => {}
            TakeOverCause::HoldsUpOthers(_) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_apart_comes_back_with_its_first_acknowledgement() {
    for item in [batch(0, 1), gap(0, 1)] {
        let mut line = Line::of(PipeKind::Apart).await;
        line.add(0, 1, 0).await;
        line.push(0, 1, item).await;
        let (_, _, end) = line.ended().await;
        assert!(matches!(end, AppendEnd::TakeOver(TakeOverCause::Recovered)), "{end:?}");
        assert_eq!((line.log_end(0), line.gauge.position.load(Ordering::Relaxed)), (1, 1));
    }
}

/// An appender between a test and a cluster, without sockets.
struct Line {
    cluster: Arc<EmbeddedCluster>,
    client: Client,
    inbox: mpsc::Sender<AppenderEvent>,
    events: mpsc::UnboundedReceiver<AppendEvent>,
    gauge: Arc<PartitionGauge>,
    _world: simulated::Entered,
}

impl Line {
    async fn new() -> Line {
        Line::of(PipeKind::Common).await
    }

    async fn of(kind: PipeKind) -> Line {
        Line::with(kind, 2, 100 << 20).await
    }

    async fn with(kind: PipeKind, partitions: usize, request_bytes_max: usize) -> Line {
        let world = simulated::enter(1);
        let builder = EmbeddedCluster::builder().without_sockets("west").simulated(1);
        let cluster = Arc::new(builder.request_bytes_max(request_bytes_max).start().await.unwrap());
        cluster.create_topic(TOPIC, partitions, &[]).unwrap();
        let mut config = ClientConfig::new("west", [cluster.bootstrap_servers()]);
        config.connector = Some(Arc::new(Direct(Arc::clone(&cluster))));
        let client = Client::connect(config).await.unwrap();
        client.refresh_metadata(Topics::Named(vec![TOPIC.into()])).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "as a flow's")]
        let (sender, events) = mpsc::unbounded_channel();
        let (inbox, received) = mpsc::channel(8);
        let context = AppenderContext {
            client: client.clone(),
            pipe: Pipe { broker: BrokerId(1), lane: 0, kind },
            marker_producer_id: ProducerIds::of_flow("east").markers,
            counters: Arc::default(),
            events: Outbox::to(&sender),
            request_size: Arc::default(),
        };
        tokio::spawn(run(context, received));
        Line { cluster, client, inbox, events, gauge: PartitionGauge::new(), _world: world }
    }

    async fn send(&self, event: AppenderEvent) {
        self.inbox.send(event).await.unwrap();
    }

    /// A partition of this number that was taken over at `position`.
    async fn add(&self, number: u32, generation: Generation, position: i64) {
        let start = AppendStart {
            position,
            delta: 0,
            surplus: 0,
            next_sequence: None,
            token: 1,
            seen_at: Moment::now(),
        };
        self.send(AppenderEvent::Add(Box::new(AppendPartition {
            key: PartitionKey(number),
            generation,
            target: TopicPartition::new(TOPIC, number as i32),
            topic_id: self.client.metadata().topic(TOPIC).unwrap().id,
            state: AppendState::new(ProducerIds::of_flow("east").data, start),
            gauge: Arc::clone(&self.gauge),
            queue: Arc::default(),
        })))
        .await;
    }

    async fn push(&self, number: u32, generation: Generation, item: Item) {
        self.send(AppenderEvent::Items { key: PartitionKey(number), generation, items: vec![item] }).await;
    }

    /// Lets the appender send what it has, in a request of its own.
    async fn until_asked(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    fn log_end(&self, partition: i32) -> i64 {
        self.cluster.log(TOPIC, partition).unwrap().end
    }

    async fn until_end(&self, partition: i32, end: i64) {
        let reached = async {
            while self.log_end(partition) < end {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("it ends at {}, not {end}", self.log_end(partition)));
    }

    /// The next partition that the appender is finished with.
    async fn ended(&mut self) -> (u32, Generation, AppendEnd) {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        let AppendEvent::Ended { key, generation, end } = event.expect("one more ends").expect("it runs");
        (key.0, generation, end)
    }
}

/// Reaches the cluster without sockets.
#[derive(Debug)]
struct Direct(Arc<EmbeddedCluster>);

impl Connector for Direct {
    fn connect<'a>(&'a self, _address: &'a str) -> Connecting<'a> {
        Box::pin(async { Ok(Box::new(self.0.connect(1)) as Box<dyn Duplex>) })
    }
}

fn batch(first: i64, end: i64) -> Item {
    Item::Batch { batch: TestBatch::dense(first, end).build(), held: None, merged: 0 }
}

/// One record of so many bytes.
fn large(bytes: usize) -> Item {
    let batch = TestBatch::of([TestRecord::new(0, "key", &"x".repeat(bytes))]).build();
    Item::Batch { batch, held: None, merged: 0 }
}

/// One record of now. Of what is older one batch goes at a time.
fn young(offset: i64) -> Item {
    let batch = TestBatch::of([TestRecord::plain(offset).at(Moment::now().wall_ms())]).build();
    Item::Batch { batch, held: None, merged: 0 }
}

fn gap(first: i64, end: i64) -> Item {
    Item::Gap { first, end, reason: GapReason::Control }
}

const TOPIC: &str = "orders";
/// In a time that passes only where nobody has anything to do.
const PATIENCE: Duration = Duration::from_secs(60);
