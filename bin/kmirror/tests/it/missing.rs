//! Topics that cannot be copied hold up no other, and each is named wherever somebody looks.

use kmirror_testkit::{Workload, unique_topic};

use crate::http::free_address;
use crate::kmirror::{Kmirror, Running, await_that};
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(one_topic_that_cannot_be_copied_holds_up_no_other);

/// What the flows are made of: two topics that are copied, one that no broker creates beside another one, one that may not be written, one
/// that may be created and not be seen, one that asks for more replicas than there are brokers, and one that comes later.
struct Topics {
    first: String,
    second: String,
    collides: String,
    closed: String,
    hidden: String,
    wide: String,
    late: String,
    state: String,
}

fn one_topic_that_cannot_be_copied_holds_up_no_other(stage: &Stage) {
    let topics = Topics::new();
    let (source, target) = (stage.cluster(), guarded(stage, &topics));
    let load = |topic: &str| Workload::new(topic).records(20);
    source.produce(
        &[&topics.first, &topics.second, &topics.collides, &topics.closed, &topics.hidden, &topics.wide]
            .map(|topic| load(topic)),
    );
    let kmirror = Kmirror::with_config(&topics.file(&source, &target));
    let plan = kmirror.run(&["plan"]).with_code(0);
    for (topic, words) in
        [(&topics.collides, "collides with existing topic"), (&topics.wide, "INVALID_REPLICATION_FACTOR")]
    {
        let told = plan.stdout();
        let line =
            told.lines().find(|line| line.contains(topic.as_str()) && line.contains("not copied: Rejected"));
        assert!(line.is_some_and(|line| line.contains(words)), "{topic}: {told}");
    }
    // One that may not be written parks for it, and is the worst of what a single run ends for.
    let once = kmirror.run(&["run", "--once"]);
    for (topic, words) in topics.not_copied() {
        let told = once.stderr().lines().any(|line| line.contains(topic) && line.contains(words));
        assert!(told, "{topic}: {words}: {}", once.stderr());
    }
    assert!([Some(1), Some(77)].contains(&once.code()), "{:?}: {}", once.code(), once.stderr());
    copied(&target, &[&topics.first, &topics.second]);
    // Again, in a mirror that goes on, and with one that comes later.
    let mut mirror = kmirror.start();
    topics.are_named(&mut mirror);
    source.produce(&[load(&topics.late), load(&topics.first)]);
    await_that("what is new is copied", || {
        target.end(&topics.late, 0) == Some(20) && target.end(&topics.first, 0) == Some(40)
    });
    let status = kmirror.run(&["status", "--format", "csv"]).with_code(0).stdout();
    for (topic, words) in [
        (&topics.collides, "Missing,Rejected"),
        (&topics.hidden, "Missing,Unauthorized"),
        (&topics.wide, "Missing,Rejected"),
    ] {
        assert!(
            status.lines().any(|line| line.contains(topic.as_str()) && line.contains(words)),
            "{topic}: {status}"
        );
    }
    assert!(
        status.lines().any(|line| line.contains(&topics.closed) && line.contains("Parked,Unauthorized")),
        "{status}"
    );
    assert_eq!(mirror.end("TERM"), Some(143));
}

impl Topics {
    fn new() -> Topics {
        let name = |name: &str| unique_topic(&format!("open-{name}")).replace('.', "-");
        Topics {
            first: name("first"),
            second: name("second"),
            collides: name("a_b"),
            closed: unique_topic("closed"),
            hidden: unique_topic("hidden"),
            wide: name("wide"),
            late: name("late"),
            state: name("state"),
        }
    }

    fn file(&self, source: &AnyCluster, target: &AnyCluster) -> String {
        let Topics { first, second, collides, closed, hidden, wide, late, state } = self;
        let (source, target) = (source.bootstrap_servers(), target.bootstrap_servers());
        let address = free_address();
        format!(
            "clusters:\n  east: {{ bootstrap_servers: \"{source}\" }}\n  west: {{ bootstrap_servers: \"{target}\" }}\n\
             http: {{ listen: \"{address}\" }}\nflows:\n  - source: east\n    target: west\n    state_topic: {state}\n    \
             topics: {{ include: [{first}, {second}, {collides}, {closed}, {hidden}, \"{late}.*\"] }}\n    acls: none\n  - name: wide\n    \
             source: east\n    target: west\n    state_topic: {state}\n    topics: {{ include: [{wide}] }}\n    \
             replication_factor: 3\n    acls: none\n"
        )
    }

    /// Each with what is said of it.
    fn not_copied(&self) -> [(&str, &'static str); 4] {
        [
            (&self.collides, "collides with existing topic"),
            (&self.closed, "Unauthorized"),
            (&self.hidden, "needs DESCRIBE"),
            (&self.wide, "Rejected"),
        ]
    }

    fn are_named(&self, mirror: &mut Running) {
        mirror.says(&["the topic is not copied", &self.collides, "collides with existing topic"]);
        mirror.says(&["the topic is not copied", &self.wide, "Rejected"]);
        mirror.says(&["the topic is not copied", &self.hidden, "needs DESCRIBE"]);
        mirror.says(&["parked", &self.closed, "needs WRITE"]);
    }
}

/// A target on which the program may do everything with topics that begin with `open-`, read those that begin with `closed-`, and create others.
fn guarded(stage: &Stage, topics: &Topics) -> AnyCluster {
    let all: (&[&str], _) = (
        &["--operation", "All", "--topic", "open-", "--resource-pattern-type", "prefixed"],
        "ALLOW ALL TOPIC PREFIXED open- User:ANONYMOUS *",
    );
    let creates: (&[&str], _) =
        (&["--operation", "Create", "--topic", "*"], "ALLOW CREATE TOPIC LITERAL * User:ANONYMOUS *");
    let describes: (&[&str], _) = (
        &["--operation", "Describe", "--topic", "closed-", "--resource-pattern-type", "prefixed"],
        "ALLOW DESCRIBE TOPIC PREFIXED closed- User:ANONYMOUS *",
    );
    let reads: (&[&str], _) = (
        &["--operation", "Read", "--topic", "closed-", "--resource-pattern-type", "prefixed"],
        "ALLOW READ TOPIC PREFIXED closed- User:ANONYMOUS *",
    );
    let target = stage.closed_cluster(&[all, creates, describes, reads]);
    target.create_topic(&topics.collides.replacen('_', ".", 1), 1, &[]);
    target
}

fn copied(target: &AnyCluster, topics: &[&String]) {
    for topic in topics {
        assert_eq!(target.end(topic, 0), Some(20), "{topic}");
    }
}
