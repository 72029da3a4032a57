//! A client that does single steps of transactions, and says in a word what it was answered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, FetchRequest, FindCoordinatorRequest, GroupId, InitProducerIdRequest,
    ListTransactionsRequest, OffsetFetchRequest, ProduceRequest, ProducerId, TopicName, TransactionalId,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::draft::Draft;
use crate::wire::Wire;

/// Who a request claims to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// The producer of the last answer.
    Last,
    /// The one before.
    Before,
    /// The last one, so many epochs ahead.
    EpochAhead(i16),
    /// Somebody else's producer id.
    Stranger,
}

/// What is done under a fresh transactional id, to a fresh topic of one partition. Numbers are versions of the request, unless they are
/// said to be something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// InitProducerId.
    Init(i16, Option<Who>),
    /// InitProducerId whose first answer counts, though others wait.
    InitOnce(Option<Who>),
    /// InitProducerId with this timeout, in milliseconds.
    InitFor(i32),
    Add(i16, Who),
    /// AddPartitionsToTxn for the partition and for one that is not there.
    AddNowhere,
    AddOffsets(i16, Who),
    /// A batch of three records with this first sequence.
    Produce(i16, Who, i32),
    /// The same outside of any transaction.
    ProducePlain(Who, i32),
    /// The same of a transaction, in a request without a transactional id.
    ProduceWithoutId(i32),
    /// TxnOffsetCommit of this offset.
    CommitOffset(i16, Who, i64),
    /// What the group has committed; whether it must be stable.
    Offset(bool),
    /// Whether to commit.
    End(i16, Who, bool),
    /// Last stable offset and aborted transactions of a fetch that wants committed records.
    Committed,
    /// DescribeTransactions.
    Transaction,
    /// DescribeProducers.
    Producers,
    /// ListTransactions: whether the id is among those in this state that have lasted so many milliseconds.
    List(&'static str, i64),
    /// The transaction takes too long.
    Expire,
}

/// One connection, one transactional id, one topic and one group, all of one name.
pub(crate) struct TransactionClient {
    wire: Wire,
    name: String,
    /// Every producer that an answer has named, in turn.
    producers: Vec<(i64, i16)>,
}

impl TransactionClient {
    pub(crate) fn connect(address: &str, name: &str) -> TransactionClient {
        let mut wire = Wire::connect(address);
        // A broker makes its internal topics when somebody asks for a coordinator.
        for key_type in [0, 1] {
            patiently(&[14, 15], || {
                let key = StrBytes::from_string(name.to_owned());
                let request = FindCoordinatorRequest::default().with_key(key).with_key_type(key_type);
                let code = wire.call(3, &request).error_code;
                (code, code)
            });
        }
        TransactionClient { wire, name: name.to_owned(), producers: Vec::new() }
    }

    /// A client for a broker that may refuse to say who coordinates what.
    pub(crate) fn connect_to(address: &str, name: &str) -> TransactionClient {
        TransactionClient { wire: Wire::connect(address), name: name.to_owned(), producers: Vec::new() }
    }

    /// Does a step once.
    pub(crate) fn first_answer(&mut self, step: &Step) -> String {
        self.once(step).1
    }

    /// Commits by EndTxn 5, and hears nothing of it. Connects again.
    pub(crate) fn end_unheard(&mut self, address: &str) {
        let request = self.end_request(Who::Last, true);
        assert!(self.wire.try_call(5, &request).is_none(), "the broker answered");
        self.wire = Wire::connect(address);
    }

    /// Goes on as who the other one is.
    pub(crate) fn become_the_producer_of(&mut self, other: &TransactionClient) {
        self.producers.clone_from(&other.producers);
    }

    /// Does a step. What is only too early is done again.
    pub(crate) fn answer(&mut self, step: &Step) -> String {
        let awaits: &[i16] = match step {
            Step::InitOnce(_) => &[14, 15, 16],
            // NOT_ENOUGH_REPLICAS is what old producers are told instead of CONCURRENT_TRANSACTIONS.
            _ => &[14, 15, 16, 19, 51],
        };
        let answer = patiently(awaits, || self.once(step));
        self.settled();
        answer
    }

    /// Waits until the markers of the last transaction are written.
    pub(crate) fn settled(&mut self) {
        patiently(&[-1], || {
            let is_ending = self.described().1.starts_with("Prepare");
            (if is_ending { -1 } else { 0 }, ())
        });
    }

    fn once(&mut self, step: &Step) -> (i16, String) {
        match *step {
            Step::Init(version, expected) => self.init(version, 60_000, expected),
            Step::InitOnce(expected) => self.init(4, 60_000, expected),
            Step::InitFor(timeout_ms) => self.init(4, timeout_ms, None),
            Step::Add(version, who) => self.add(version, who, &[0]),
            Step::AddNowhere => self.add(3, Who::Last, &[0, 1]),
            Step::AddOffsets(version, who) => self.add_offsets(version, who),
            Step::Produce(version, who, sequence) => self.produce(version, who, sequence, true, true),
            Step::ProducePlain(who, sequence) => self.produce(9, who, sequence, false, false),
            Step::ProduceWithoutId(sequence) => self.produce(9, Who::Last, sequence, true, false),
            Step::CommitOffset(version, who, offset) => self.commit_offset(version, who, offset),
            Step::Offset(is_stable) => self.offset(is_stable),
            Step::End(version, who, commit) => self.end(version, who, commit),
            Step::Committed => self.committed(),
            Step::Transaction => self.described(),
            Step::Producers => self.partition_producers(),
            Step::List(state, duration_ms) => self.list(state, duration_ms),
            Step::Expire => unreachable!("done by whom the clock obeys"),
        }
    }

    fn init(&mut self, version: i16, timeout_ms: i32, expected: Option<Who>) -> (i16, String) {
        let (id, epoch) = expected.map_or((-1, -1), |who| self.producer(who));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch);
        let response = self.wire.call(version, &request);
        if response.error_code == 0 {
            self.producers.push((response.producer_id.0, response.producer_epoch));
        }
        (response.error_code, format!("{}: epoch {}", response.error_code, response.producer_epoch))
    }

    fn add(&mut self, version: i16, who: Who, partitions: &[i32]) -> (i16, String) {
        let (id, epoch) = self.producer(who);
        let topic =
            AddPartitionsToTxnTopic::default().with_name(self.topic()).with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id())
            .with_v3_and_below_producer_id(ProducerId(id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = self.wire.call(version, &request);
        let mut results: Vec<_> = response.results_by_topic_v3_and_below[0]
            .results_by_partition
            .iter()
            .map(|result| (result.partition_index, result.partition_error_code))
            .collect();
        results.sort_unstable();
        let codes: Vec<_> = results.iter().map(|(_, code)| code.to_string()).collect();
        (results[0].1, codes.join(" "))
    }

    fn add_offsets(&mut self, version: i16, who: Who) -> (i16, String) {
        let (id, epoch) = self.producer(who);
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_group_id(self.group());
        let code = self.wire.call(version, &request).error_code;
        (code, code.to_string())
    }

    fn produce(
        &mut self,
        version: i16,
        who: Who,
        sequence: i32,
        is_transactional: bool,
        has_id: bool,
    ) -> (i16, String) {
        let (id, epoch) = self.producer(who);
        let attributes = if is_transactional { 0x10 } else { 0 };
        // Far from the markers' times the log would begin another segment, and a fetch end before it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = now.as_millis() as i64;
        let batch = Draft { attributes, timestamp, ..Draft::sequenced(id, epoch, sequence) };
        let data = PartitionProduceData::default().with_records(Some(batch.bytes()));
        let topic = TopicProduceData::default().with_name(self.topic()).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(has_id.then(|| self.id()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let response = self.wire.call(version, &request);
        let answer = &response.responses[0].partition_responses[0];
        (answer.error_code, format!("{}: {}", answer.error_code, answer.base_offset))
    }

    fn commit_offset(&mut self, version: i16, who: Who, offset: i64) -> (i16, String) {
        let (id, epoch) = self.producer(who);
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(self.topic()).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id())
            .with_group_id(self.group())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_topics(vec![topic]);
        let code = self.wire.call(version, &request).topics[0].partitions[0].error_code;
        (code, code.to_string())
    }

    fn offset(&mut self, is_stable: bool) -> (i16, String) {
        let topic =
            OffsetFetchRequestTopics::default().with_name(self.topic()).with_partition_indexes(vec![0]);
        let group =
            OffsetFetchRequestGroup::default().with_group_id(self.group()).with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(is_stable);
        let response = self.wire.call(8, &request);
        let group = &response.groups[0];
        let answer = group.topics.first().map(|topic| &topic.partitions[0]);
        let (code, offset) = answer.map_or((0, -1), |answer| (answer.error_code, answer.committed_offset));
        let code = if group.error_code == 0 { code } else { group.error_code };
        (group.error_code, format!("{code}: {offset}"))
    }

    fn end_request(&self, who: Who, commit: bool) -> EndTxnRequest {
        let (id, epoch) = self.producer(who);
        EndTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(commit)
    }

    fn end(&mut self, version: i16, who: Who, commit: bool) -> (i16, String) {
        let request = self.end_request(who, commit);
        let response = self.wire.call(version, &request);
        let code = response.error_code;
        if version < 5 {
            return (code, code.to_string());
        }
        let named = (response.producer_id.0, response.producer_epoch);
        if code == 0 && self.producers.last() != Some(&named) {
            self.producers.push(named);
        }
        (code, format!("{code}: epoch {}", response.producer_epoch))
    }

    fn committed(&mut self) -> (i16, String) {
        let partition = FetchPartition::default()
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(self.topic()).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_isolation_level(1)
            .with_topics(vec![topic]);
        let response = self.wire.call(12, &request);
        let answer = &response.responses[0].partitions[0];
        let bytes = answer.records.as_ref().map_or(0, |records| records.len());
        let aborted: Vec<_> = answer
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| format!(", aborted from {}", aborted.first_offset))
            .collect();
        let (stable, high) = (answer.last_stable_offset, answer.high_watermark);
        let answer_text = format!("stable {stable} of {high}, {bytes} bytes{}", aborted.concat());
        (answer.error_code, answer_text)
    }

    fn described(&mut self) -> (i16, String) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.id()]);
        let response = self.wire.call(0, &request);
        let state = &response.transaction_states[0];
        if state.error_code != 0 {
            return (state.error_code, state.error_code.to_string());
        }
        let mut topics: Vec<_> = state.topics.iter().map(|topic| topic.topic.to_string()).collect();
        topics.sort_unstable();
        let topics: Vec<_> = topics.into_iter().map(|topic| topic.replace(&self.name, "topic")).collect();
        let has_begun = if state.transaction_start_time_ms >= 0 { ", begun" } else { "" };
        let answer = format!(
            "{} epoch {} for {} ms{has_begun} {}",
            state.transaction_state,
            state.producer_epoch,
            state.transaction_timeout_ms,
            topics.join(" and ")
        );
        (0, answer.trim_end().to_owned())
    }

    fn partition_producers(&mut self) -> (i16, String) {
        let topic = TopicRequest::default().with_name(self.topic()).with_partition_indexes(vec![0]);
        let response = self.wire.call(0, &DescribeProducersRequest::default().with_topics(vec![topic]));
        let answer = &response.topics[0].partitions[0];
        let producers: Vec<_> = answer
            .active_producers
            .iter()
            .map(|producer| {
                let marked = if producer.coordinator_epoch >= 0 { "marked" } else { "no marker" };
                let (epoch, sequence) = (producer.producer_epoch, producer.last_sequence);
                format!(
                    "epoch {epoch} sequence {sequence} {marked} open {}",
                    producer.current_txn_start_offset
                )
            })
            .collect();
        (answer.error_code, producers.join(" and "))
    }

    fn list(&mut self, state: &'static str, duration_ms: i64) -> (i16, String) {
        let request = ListTransactionsRequest::default()
            .with_state_filters(vec![StrBytes::from_static_str(state)])
            .with_duration_filter(duration_ms);
        let response = self.wire.call(1, &request);
        let is_there = response.transaction_states.iter().any(|one| *one.transactional_id == *self.id());
        let unknown = response.unknown_state_filters.iter().map(|name| format!(", {name} unknown"));
        let unknown: String = unknown.collect();
        (response.error_code, format!("{}{unknown}", if is_there { "listed" } else { "not listed" }))
    }

    fn producer(&self, who: Who) -> (i64, i16) {
        let from_last = |count: usize| {
            self.producers.len().checked_sub(count).map_or((-1, -1), |index| self.producers[index])
        };
        let (id, epoch) = from_last(1);
        match who {
            Who::Last => (id, epoch),
            Who::Before => from_last(2),
            Who::EpochAhead(epochs) => (id, epoch + epochs),
            Who::Stranger => (4_000_000, 0),
        }
    }

    fn id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.name.clone()))
    }

    fn topic(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.name.clone()))
    }

    fn group(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.name.clone()))
    }
}

/// Asks until the answer is not one of these, or for half a minute.
fn patiently<T>(awaited: &[i16], mut ask: impl FnMut() -> (i16, T)) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (code, answer) = ask();
        if !awaited.contains(&code) || Instant::now() > deadline {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
