//! Cases of transactions: who may produce, what is seen when, and what is refused to whom.

use std::time::{Duration, Instant};

use kmirror_embedded::{EmbeddedCluster, Profile};
use kmirror_testkit::{KafkaCluster, KafkaEndpoint, KafkaRelease, real_kafka, unique_topic};

use super::check_table;
use crate::transaction_client::Step::{
    self, Add, AddNowhere, AddOffsets, CommitOffset, Committed, End, Expire, Init, InitFor, InitOnce, List,
    Offset, Produce, Producers, Transaction,
};
use crate::transaction_client::TransactionClient;
use crate::transaction_client::Who::{Before, EpochAhead, Last, Stranger};

struct Case {
    name: &'static str,
    steps: Vec<Step>,
}

#[tokio::test(flavor = "multi_thread")]
async fn real_and_embedded_transactions_answer_alike() {
    let (cases_of_2, cases_of_1) = (cases(), cases().into_iter().map(Case::of_version_1).collect::<Vec<_>>());
    let new = embedded_answers(Profile::Kafka4_3, &cases_of_2).await;
    let old = embedded_answers(Profile::Kafka3_9, &cases_of_1).await;
    check_table("transactions", &table(&cases_of_2, &new));
    let Some(kafka) = real_kafka("real_and_embedded_transactions_answer_alike") else { return };
    let real = real_answers(&kafka.pair().unwrap().target, &cases_of_2);
    assert_eq!(different(&cases_of_2, &real, &new), Vec::<String>::new());
    // The first version of the protocol, by its own coordinator.
    let kafka = KafkaCluster::builder(KafkaRelease::KAFKA_3_9).start().unwrap();
    let real = real_answers(&kafka, &cases_of_1);
    assert_eq!(different(&cases_of_1, &real, &old), Vec::<String>::new());
}

async fn embedded_answers(profile: Profile, cases: &[Case]) -> Vec<Vec<String>> {
    let embedded = EmbeddedCluster::builder().profile(profile).start().await.unwrap();
    let address = embedded.bootstrap_servers();
    let play = |(index, case)| {
        let name = format!("case-{index}");
        embedded.create_topic(&name, 1, &[]).unwrap();
        answers(&address, &name, case, &|| embedded.advance(Duration::from_secs(60)))
    };
    tokio::task::block_in_place(|| cases.iter().enumerate().map(play).collect())
}

fn real_answers(real: &KafkaEndpoint, cases: &[Case]) -> Vec<Vec<String>> {
    let address = real.bootstrap_servers().split(',').next().unwrap();
    let play = |case: &Case| {
        let topic = unique_topic("transactions");
        real.create_topic(&topic, 1, &[]).unwrap();
        answers(address, &topic, case, &|| ())
    };
    std::thread::scope(|scope| {
        let played: Vec<_> = cases.iter().map(|case| scope.spawn(|| play(case))).collect();
        played.into_iter().map(|played| played.join().unwrap()).collect()
    })
}

fn different(cases: &[Case], real: &[Vec<String>], embedded: &[Vec<String>]) -> Vec<String> {
    let cases = cases.iter().zip(real).zip(embedded);
    let different = cases.filter(|((_, real), embedded)| real != embedded);
    different
        .map(|((case, real), embedded)| format!("{}: real {real:?}, embedded {embedded:?}", case.name))
        .collect()
}

fn answers(address: &str, name: &str, case: &Case, expire: &dyn Fn()) -> Vec<String> {
    let mut client = TransactionClient::connect(address, name);
    let answers = case.steps.iter().map(|step| match step {
        Expire => {
            expire();
            let deadline = Instant::now() + Duration::from_secs(60);
            while client.answer(&Transaction).starts_with("Ongoing") {
                assert!(Instant::now() < deadline, "{name} does not time out");
                std::thread::sleep(Duration::from_millis(100));
            }
            client.settled();
            "…".to_owned()
        }
        step => client.answer(step),
    });
    answers.collect()
}

fn table(cases: &[Case], answers: &[Vec<String>]) -> String {
    let mut table = String::from("| case | answers of real and embedded brokers |\n|---|---|\n");
    for (case, answers) in cases.iter().zip(answers) {
        let answers: Vec<_> = answers.iter().map(|answer| format!("`{answer}`")).collect();
        table.push_str(&format!("| {} | {} |\n", case.name, answers.join("; ")));
    }
    table
}

impl Case {
    /// Without the requests that releases before 4.0 do not know.
    fn of_version_1(mut self) -> Case {
        let is_newer =
            |step: &Step| matches!(step, End(5.., _, _) | Produce(12.., _, _) | CommitOffset(5.., _, _));
        self.steps.retain(|step| !is_newer(step));
        self
    }
}

fn cases() -> Vec<Case> {
    let mut cases = cases_of_ids();
    cases.extend(cases_of_ends());
    cases.extend(cases_of_records());
    cases.extend(cases_of_offsets());
    cases
}

fn case(name: &'static str, steps: impl Into<Vec<Step>>) -> Case {
    Case { name, steps: steps.into() }
}

fn cases_of_ids() -> Vec<Case> {
    let init = Init(4, None);
    vec![
        case("a transactional id is initialized again and again", [init, init, Init(1, None), Transaction]),
        case(
            "an initialization by who one is",
            [init, Init(4, Some(Last)), Init(4, Some(Before)), Init(4, Some(Last))],
        ),
        case(
            "an initialization by who one was",
            [
                init,
                init,
                Init(4, Some(Before)),
                Init(3, Some(Before)),
                Init(4, Some(Stranger)),
                Init(4, Some(EpochAhead(1))),
            ],
        ),
        case(
            "a timeout of nothing",
            [InitFor(0), InitFor(-1), InitFor(900_001), InitFor(900_000), Transaction],
        ),
        case(
            "who comes second aborts what is ongoing",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                Committed,
                InitOnce(None),
                Committed,
                init,
                Transaction,
                Producers,
            ],
        ),
        case(
            "who was fenced is refused everything",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                init,
                Add(3, Before),
                Add(1, Before),
                AddOffsets(3, Before),
                AddOffsets(1, Before),
                End(4, Before, true),
                End(1, Before, true),
                End(5, Before, true),
                Produce(11, Before, 3),
                Produce(12, Before, 3),
                CommitOffset(3, Before, 7),
            ],
        ),
        case(
            "a stranger is refused everything",
            [
                init,
                Add(3, Stranger),
                AddOffsets(3, Stranger),
                End(4, Stranger, true),
                End(5, Stranger, false),
                Produce(11, Stranger, 0),
                Produce(12, Stranger, 0),
                CommitOffset(3, Stranger, 7),
            ],
        ),
        case(
            "somebody from the future",
            [
                init,
                Add(3, EpochAhead(1)),
                End(4, EpochAhead(1), true),
                End(5, EpochAhead(1), true),
                Produce(12, EpochAhead(1), 0),
            ],
        ),
        case(
            "an id that nobody has initialized",
            [
                Add(3, Stranger),
                AddOffsets(3, Stranger),
                End(4, Stranger, true),
                Produce(11, Stranger, 0),
                Produce(12, Stranger, 0),
                Transaction,
                List("Empty", -1),
            ],
        ),
        case(
            "who aborts by initializing himself",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                InitOnce(Some(Last)),
                Transaction,
                Init(4, Some(Last)),
                Init(4, Some(EpochAhead(-2))),
                Transaction,
            ],
        ),
        case(
            "lists",
            [
                init,
                List("Empty", -1),
                List("Ongoing", -1),
                Add(3, Last),
                List("Ongoing", -1),
                List("Ongoing", 3_600_000),
                List("Nonsense", -1),
                List("Dead", -1),
                End(4, Last, true),
                List("CompleteCommit", -1),
            ],
        ),
        case(
            "a transaction takes too long",
            [
                InitFor(1_500),
                Add(3, Last),
                Produce(11, Last, 0),
                Committed,
                Expire,
                Committed,
                Transaction,
                Add(3, Last),
                End(4, Last, true),
                Produce(11, Last, 3),
                init,
            ],
        ),
    ]
}

fn cases_of_ends() -> Vec<Case> {
    let init = Init(4, None);
    let begun = [init, Add(3, Last), Produce(11, Last, 0)];
    let and = |steps: &[Step]| [&begun[..], steps].concat();
    let implicit = [init, Produce(12, Last, 0)];
    let and_2 = |steps: &[Step]| [&implicit[..], steps].concat();
    vec![
        case(
            "a transaction is committed",
            and(&[Transaction, Producers, Committed, End(4, Last, true), Transaction, Producers, Committed]),
        ),
        case("a transaction is aborted", and(&[End(4, Last, false), Transaction, Producers, Committed])),
        case("an end twice", and(&[End(4, Last, true), End(4, Last, true), End(4, Last, false)])),
        case("an abort twice", and(&[End(4, Last, false), End(4, Last, false), End(4, Last, true)])),
        case("an end without a transaction", [init, End(4, Last, true), End(4, Last, false), Transaction]),
        case(
            "an empty transaction",
            [
                init,
                Add(3, Last),
                End(4, Last, true),
                Committed,
                Add(3, Last),
                End(4, Last, false),
                Committed,
                Producers,
            ],
        ),
        case(
            "one transaction after the other",
            and(&[
                End(4, Last, true),
                Add(3, Last),
                Produce(11, Last, 3),
                End(4, Last, false),
                Add(3, Last),
                Produce(11, Last, 6),
                Committed,
                End(4, Last, true),
                Committed,
                Producers,
            ]),
        ),
        case(
            "every end raises the epoch (KIP-890)",
            and_2(&[
                Transaction,
                Producers,
                End(5, Last, true),
                Transaction,
                Producers,
                Produce(12, Last, 0),
                End(5, Last, false),
                Transaction,
                Committed,
            ]),
        ),
        case(
            "an end twice, and the epoch rises once",
            and_2(&[
                End(5, Last, true),
                End(5, Before, true),
                End(5, Before, false),
                End(5, Last, true),
                Transaction,
            ]),
        ),
        case(
            "an abort twice, and the epoch rises twice",
            and_2(&[
                End(5, Last, false),
                End(5, Last, false),
                End(5, Before, false),
                End(5, Before, true),
                Transaction,
            ]),
        ),
        case(
            "an end that raises the epoch, without a transaction",
            [init, End(5, Last, true), End(5, Last, false), Transaction, Committed],
        ),
        case(
            "an abort after a commit",
            and_2(&[End(5, Last, true), End(5, Last, false), Transaction, Committed]),
        ),
        case(
            "old and new ends in turn",
            and_2(&[
                End(4, Last, true),
                Produce(12, Last, 3),
                End(5, Last, true),
                Add(3, Last),
                Produce(11, Last, 0),
                End(4, Last, false),
                End(5, Last, false),
                Transaction,
            ]),
        ),
    ]
}

fn cases_of_records() -> Vec<Case> {
    let init = Init(4, None);
    vec![
        case(
            "a partition that was not added",
            [init, Produce(9, Last, 0), Produce(11, Last, 0), Transaction, Committed],
        ),
        case("a partition that the broker adds", [init, Produce(12, Last, 0), Transaction, Committed]),
        case("a partition that is not there", [init, AddNowhere, Transaction]),
        case(
            "a partition that is added twice",
            [init, Add(3, Last), Add(3, Last), Add(0, Last), Transaction],
        ),
        case(
            "records without a transactional id",
            [init, Add(3, Last), Step::ProduceWithoutId(0), Committed],
        ),
        case(
            "records outside of the open transaction",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                Step::ProducePlain(Last, 3),
                Produce(11, Last, 3),
                End(4, Last, true),
                Step::ProducePlain(Last, 6),
                Committed,
            ],
        ),
        case(
            "sequences of the first batch",
            [
                init,
                Produce(12, Last, 5),
                Produce(11, Last, 5),
                Produce(11, Last, 8),
                End(5, Last, true),
                Produce(12, Last, 11),
                Produce(12, Last, 0),
            ],
        ),
        case(
            "a batch that is sent again",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                Produce(11, Last, 0),
                End(4, Last, true),
                Produce(11, Last, 0),
                Produce(12, Last, 0),
                Committed,
            ],
        ),
        case(
            "what comes too late",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                End(4, Last, true),
                Produce(11, Last, 3),
                Produce(9, Last, 3),
                Committed,
            ],
        ),
    ]
}

fn cases_of_offsets() -> Vec<Case> {
    let init = Init(4, None);
    vec![
        case(
            "offsets count with the transaction",
            [
                init,
                AddOffsets(3, Last),
                CommitOffset(3, Last, 7),
                Offset(false),
                Offset(true),
                Transaction,
                End(4, Last, true),
                Offset(true),
            ],
        ),
        case(
            "offsets are forgotten with the transaction",
            [
                init,
                AddOffsets(3, Last),
                CommitOffset(3, Last, 7),
                End(4, Last, false),
                Offset(true),
                CommitOffset(3, Last, 8),
                Offset(false),
            ],
        ),
        case(
            "offsets of a group that was not added",
            [init, CommitOffset(3, Last, 7), CommitOffset(4, Last, 7), Offset(true)],
        ),
        case(
            "offsets of a group that the broker adds",
            [
                init,
                CommitOffset(5, Last, 7),
                Transaction,
                Offset(false),
                End(5, Last, true),
                Offset(true),
                CommitOffset(5, Before, 9),
            ],
        ),
        case(
            "offsets and records",
            [
                init,
                Add(3, Last),
                Produce(11, Last, 0),
                AddOffsets(3, Last),
                CommitOffset(3, Last, 3),
                Transaction,
                init,
                Offset(true),
                Committed,
                CommitOffset(3, Before, 9),
            ],
        ),
    ]
}
