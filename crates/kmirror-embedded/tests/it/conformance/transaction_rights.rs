//! Who may do what with transactional ids, right by right.

use kmirror_embedded::{Acl, EmbeddedCluster, Operation, Pattern, ResourceType};
use kmirror_testkit::{KafkaCluster, KafkaRelease, real_kafka};

use crate::transaction_client::Step::{
    self, Add, AddOffsets, CommitOffset, End, Init, InitOnce, List, Produce, Transaction,
};
use crate::transaction_client::TransactionClient;
use crate::transaction_client::Who::Last;

/// Topic, group and transactional id.
const NAME: &str = "orders";

/// What everybody is permitted in turn.
const RIGHTS: [(ResourceType, Operation, [&str; 4]); 5] = [
    (
        ResourceType::TransactionalId,
        Operation::Describe,
        ["--operation", "Describe", "--transactional-id", NAME],
    ),
    (ResourceType::TransactionalId, Operation::Write, ["--operation", "Write", "--transactional-id", NAME]),
    (ResourceType::Topic, Operation::Write, ["--operation", "Write", "--topic", NAME]),
    (ResourceType::Group, Operation::Read, ["--operation", "Read", "--group", NAME]),
    (ResourceType::Topic, Operation::Read, ["--operation", "Read", "--topic", NAME]),
];

const STEPS: [Step; 10] = [
    Init(4, None),
    Add(3, Last),
    Produce(11, Last, 0),
    AddOffsets(3, Last),
    CommitOffset(3, Last, 1),
    CommitOffset(5, Last, 1),
    Transaction,
    List("Ongoing", -1),
    End(4, Last, true),
    InitOnce(None),
];

#[tokio::test(flavor = "multi_thread")]
async fn real_and_embedded_rights_answer_alike() {
    let embedded = EmbeddedCluster::builder().authorizer([]).start().await.unwrap();
    embedded.create_topic(NAME, 1, &[]).unwrap();
    let address = embedded.bootstrap_servers();
    let permit = |(resource_type, operation, _)| {
        let pattern = Pattern::Literal(NAME.to_owned());
        let (principal, host) = ("User:ANONYMOUS".to_owned(), "*".to_owned());
        embedded.add_acl(Acl { resource_type, pattern, principal, host, operation, allows: true });
    };
    // Without it nobody could see that the real topic is there.
    permit((ResourceType::Topic, Operation::Describe, [""; 4]));
    let answers = tokio::task::block_in_place(|| play(&address, permit));
    assert!(
        answers[0].iter().all(|answer| answer.starts_with("53") || answer == "not listed"),
        "{answers:?}"
    );
    let Some(_turn) = real_kafka("real_and_embedded_rights_answer_alike") else { return };
    let real = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer().start().unwrap();
    real.allow(&["--operation", "Create", "--operation", "Describe", "--topic", NAME]).unwrap();
    real.create_topic(NAME, 1, &[]).unwrap();
    let expected = play(real.bootstrap_servers(), |(_, _, permission)| real.allow(&permission).unwrap());
    assert_eq!(answers, expected, "embedded, then real");
}

/// The answers without any right, and after each.
fn play(address: &str, permit: impl Fn((ResourceType, Operation, [&'static str; 4]))) -> Vec<Vec<String>> {
    let address = address.split(',').next().unwrap();
    let steps = |client: &mut TransactionClient| STEPS.map(|step| client.answer(&step)).to_vec();
    let mut answers = vec![steps(&mut TransactionClient::connect_to(address, NAME))];
    for right in RIGHTS {
        permit(right);
        answers.push(steps(&mut TransactionClient::connect(address, NAME)));
    }
    answers
}
