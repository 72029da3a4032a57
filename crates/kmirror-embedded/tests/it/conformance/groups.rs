//! Cases of groups: joined, left, committed for, looked at and deleted.

use std::time::Duration;

use kmirror_embedded::{EmbeddedCluster, Profile};
use kmirror_testkit::{KafkaCluster, KafkaEndpoint, KafkaRelease, real_kafka, unique_topic};

use super::check_table;
use crate::scene::Scene;

struct Case {
    name: &'static str,
    play: fn(&mut Scene<'_>),
}

#[tokio::test(flavor = "multi_thread")]
async fn real_and_embedded_groups_answer_alike() {
    let new = embedded_answers(Profile::Kafka4_3).await;
    let old = embedded_answers(Profile::Kafka3_9).await;
    check_table("groups", &table(&new));
    let Some(kafka) = real_kafka("real_and_embedded_groups_answer_alike") else { return };
    let real = &kafka.pair().unwrap().target;
    assert_eq!(different(&real_answers(real), &new), Vec::<String>::new());
    // Before 4.0 there was another coordinator, in Scala.
    let real = KafkaCluster::builder(KafkaRelease::KAFKA_3_9).start().unwrap();
    assert_eq!(different(&real_answers(&real), &old), Vec::<String>::new());
}

async fn embedded_answers(profile: Profile) -> Vec<Vec<String>> {
    let embedded = EmbeddedCluster::builder().profile(profile).start().await.unwrap();
    let pass = |time: Duration| embedded.advance(time);
    let play = |(index, case): (usize, &Case)| {
        let (topic, group) = (format!("case-{index}"), format!("group-{index}"));
        embedded.create_topic(&topic, 2, &[]).unwrap();
        let mut scene = Scene::new(&embedded.bootstrap_servers(), &topic, &group, &pass);
        (case.play)(&mut scene);
        scene.answers
    };
    tokio::task::block_in_place(|| CASES.iter().enumerate().map(play).collect())
}

/// Some cases wait for sessions to end; they may do so together.
fn real_answers(real: &KafkaEndpoint) -> Vec<Vec<String>> {
    let address = real.bootstrap_servers().split(',').next().unwrap();
    let play = |case: &Case| {
        let topic = unique_topic("case");
        real.create_topic(&topic, 2, &[]).unwrap();
        let mut scene = Scene::new(address, &topic, &topic, &|time| std::thread::sleep(time));
        (case.play)(&mut scene);
        scene.answers
    };
    std::thread::scope(|scope| {
        let played: Vec<_> = CASES.iter().map(|case| scope.spawn(|| play(case))).collect();
        played.into_iter().map(|played| played.join().unwrap()).collect()
    })
}

fn different(real: &[Vec<String>], embedded: &[Vec<String>]) -> Vec<String> {
    let cases = CASES.iter().zip(real).zip(embedded);
    let different = cases.filter(|((_, real), embedded)| real != embedded);
    different
        .map(|((case, real), embedded)| format!("{}: real {real:?}, embedded {embedded:?}", case.name))
        .collect()
}

fn table(answers: &[Vec<String>]) -> String {
    let mut table = String::from("| case | answers of real and embedded brokers |\n|---|---|\n");
    for (case, answers) in CASES.iter().zip(answers) {
        // As code: brackets would be links.
        let answers: Vec<_> = answers.iter().map(|answer| format!("`{answer}`")).collect();
        table.push_str(&format!("| {} | {} |\n", case.name, answers.join("; ")));
    }
    table
}

const CASES: &[Case] = &[
    Case {
        name: "a member comes again with the id that it was given",
        play: |scene| {
            scene.join("a");
            scene.until("Empty");
            scene.describe(5);
            scene.join("a");
        },
    },
    Case {
        name: "before JoinGroup 4 it need not",
        play: |scene| {
            scene.actor("a").join_version = 3;
            scene.join("a");
        },
    },
    Case {
        name: "an id that nobody gave out",
        play: |scene| {
            scene.actor("b").id = "nobody".to_owned();
            scene.join("b");
            scene.describe(5);
            scene.enter("a");
            scene.join("b");
        },
    },
    Case {
        name: "session timeouts out of bounds",
        play: |scene| {
            for session_timeout_ms in [5_999, 1_800_001] {
                scene.actor("a").session_timeout_ms = session_timeout_ms;
                scene.join("a");
            }
        },
    },
    Case {
        name: "a group without a name",
        play: |scene| {
            scene.group = String::new();
            scene.join("a");
            scene.sync("a", &[]);
            scene.heartbeat("a");
            scene.leave("a");
            scene.commits("a");
            scene.delete_offset("a");
        },
    },
    Case {
        name: "protocols that are none",
        play: |scene| {
            scene.actor("a").protocols = vec![];
            scene.join("a");
            scene.actor("a").protocols = vec!["range"];
            scene.actor("a").protocol_type = "";
            scene.join("a");
            scene.until("Empty");
            scene.list(&[], &[]);
        },
    },
    Case {
        name: "protocols that the others do not know",
        play: |scene| {
            scene.stable(&["a"]);
            scene.actor("b").protocols = vec!["sticky"];
            scene.join("b");
            scene.actor("b").protocols = vec!["sticky", "range"];
            scene.actor("b").protocol_type = "connect";
            scene.join("b");
            scene.actor("b").protocol_type = "consumer";
            scene.join("b");
        },
    },
    Case {
        name: "the protocol that most prefer",
        play: |scene| {
            scene.actor("a").protocols = vec!["range", "sticky"];
            scene.enter("a");
            for name in ["b", "c"] {
                scene.actor(name).protocols = vec!["sticky", "range"];
                scene.join(name);
                scene.begin_join(name);
            }
            scene.until("PreparingRebalance");
            scene.begin_join("a");
            ["a", "b", "c"].iter().for_each(|name| scene.end_join(name));
        },
    },
    Case {
        name: "two members and what they are assigned",
        play: |scene| {
            scene.stable(&["a"]);
            scene.join("b");
            scene.begin_join("b");
            scene.until("PreparingRebalance");
            scene.heartbeat("a");
            scene.join("a");
            scene.end_join("b");
            scene.heartbeat("a");
            scene.begin_sync("b", &[]);
            scene.sync("a", &["b", "a"]);
            scene.end_sync("b");
            scene.describe(5);
            scene.heartbeat("b");
            scene.sync("b", &[]);
        },
    },
    Case {
        name: "a leader that forgets somebody",
        play: |scene| {
            scene.enter("a");
            scene.sync("a", &[]);
            scene.heartbeat("a");
        },
    },
    Case {
        name: "syncs that do not fit",
        play: |scene| {
            scene.sync("a", &[]);
            scene.enter("a");
            scene.actor("a").generation += 1;
            scene.sync("a", &["a"]);
            scene.actor("a").generation -= 1;
            scene.begin_sync_as("a", &["a"], 5, Some("consumer"), Some("sticky"));
            scene.end_sync("a");
            scene.begin_sync_as("a", &["a"], 5, Some("connect"), Some("range"));
            scene.end_sync("a");
            scene.begin_sync_as("a", &["a"], 5, None, None);
            scene.end_sync("a");
            scene.actor("b").id = "nobody".to_owned();
            scene.sync("b", &[]);
            scene.sync("a", &["a"]);
        },
    },
    Case {
        name: "a sync while others join",
        play: |scene| {
            scene.stable(&["a", "b"]);
            scene.begin_join("a");
            scene.until("PreparingRebalance");
            scene.sync("b", &[]);
            scene.join("b");
            scene.end_join("a");
        },
    },
    Case {
        name: "a rebalance takes answers back that were waited for",
        play: |scene| {
            scene.stable(&["a", "b"]);
            scene.begin_join("a");
            scene.until("PreparingRebalance");
            scene.join("b");
            scene.end_join("a");
            scene.begin_sync("b", &[]);
            scene.actor("a").topics.push("another".to_owned());
            scene.begin_join("a");
            scene.end_sync("b");
            scene.describe(5);
            scene.join("b");
            scene.end_join("a");
        },
    },
    Case {
        name: "heartbeats that do not fit",
        play: |scene| {
            scene.heartbeat("a");
            scene.stable(&["a"]);
            scene.actor("a").generation += 1;
            scene.heartbeat("a");
            scene.actor("a").generation -= 1;
            scene.actor("b").id = "nobody".to_owned();
            scene.heartbeat("b");
            scene.actor("b").instance = Some("one");
            scene.heartbeat("b");
        },
    },
    Case {
        name: "only news make a rebalance",
        play: |scene| {
            scene.stable(&["a", "b"]);
            scene.join("b");
            scene.actor("b").topics.push("another".to_owned());
            scene.begin_join("b");
            scene.until("PreparingRebalance");
            scene.join("a");
            scene.end_join("b");
            scene.join("a");
            scene.join("b");
        },
    },
    Case {
        name: "the leader wants to assign again",
        play: |scene| {
            scene.stable(&["a"]);
            scene.join("a");
            scene.sync("a", &["a"]);
        },
    },
    Case {
        name: "leaving",
        play: |scene| {
            scene.actor("b").id = "nobody".to_owned();
            scene.leave("b");
            scene.leave_alone("b");
            scene.actor("b").id = String::new();
            scene.stable(&["a", "b"]);
            scene.leave("a");
            scene.heartbeat("b");
            scene.leave("a");
            scene.join("b");
            scene.sync("b", &["b"]);
            scene.leave_alone("b");
            scene.describe(5);
            scene.heartbeat("b");
            scene.join("b");
        },
    },
    Case {
        name: "an id that was given out and not used holds a rebalance up, until it leaves",
        play: |scene| {
            scene.stable(&["a"]);
            scene.join("b");
            scene.begin_join("a");
            scene.until("PreparingRebalance");
            scene.leave("b");
            scene.end_join("a");
        },
    },
    Case {
        name: "static members come back without a rebalance",
        play: |scene| {
            scene.actor("a").instance = Some("one");
            scene.actor("b").instance = Some("two");
            scene.stable(&["a", "b"]);
            for name in ["b", "a"] {
                scene.actor(name).id = String::new();
                scene.join(name);
                scene.sync(name, &[]);
            }
            scene.describe(5);
        },
    },
    Case {
        name: "before JoinGroup 9 a static leader does not know itself",
        play: |scene| {
            scene.actor("a").instance = Some("one");
            scene.actor("a").join_version = 8;
            scene.stable(&["a"]);
            let before = scene.actor("a").id.clone();
            scene.actor("a").id = String::new();
            scene.join("a");
            scene.sync("a", &[]);
            scene.actor("a").id = before;
            scene.heartbeat("a");
            scene.sync("a", &[]);
            scene.commits("a");
            scene.join("a");
            scene.leave("a");
        },
    },
    Case {
        name: "a static member comes back while the leader assigns",
        play: |scene| {
            scene.actor("a").instance = Some("one");
            scene.join("a");
            scene.actor("a").id = String::new();
            scene.join("a");
            scene.sync("a", &["a"]);
        },
    },
    Case {
        name: "a static member with other protocols",
        play: |scene| {
            scene.actor("a").instance = Some("one");
            scene.actor("a").protocols = vec!["range", "sticky"];
            scene.stable(&["a"]);
            scene.actor("a").id = String::new();
            scene.actor("a").protocols = vec!["sticky", "range"];
            scene.join("a");
        },
    },
    Case {
        name: "a static member is removed by its instance id",
        play: |scene| {
            scene.actor("a").instance = Some("one");
            scene.stable(&["a"]);
            scene.actor("admin").instance = Some("two");
            scene.leave("admin");
            scene.actor("admin").instance = Some("one");
            scene.leave("admin");
            scene.describe(5);
        },
    },
    Case {
        name: "commits of members",
        play: |scene| {
            scene.enter("a");
            scene.commits("a");
            scene.sync("a", &["a"]);
            scene.commits("a");
            scene.actor("a").generation += 1;
            scene.commits("a");
            scene.actor("a").generation = -1;
            scene.commits("a");
            scene.actor("b").id = "nobody".to_owned();
            scene.actor("b").generation = 1;
            scene.commits("b");
            scene.fetch(9, false);
        },
    },
    Case {
        name: "a commit while others join",
        play: |scene| {
            scene.stable(&["a", "b"]);
            scene.begin_join("a");
            scene.until("PreparingRebalance");
            scene.commits("b");
            scene.join("b");
            scene.commits("b");
        },
    },
    Case {
        name: "commits from outside",
        play: |scene| {
            scene.commits("b");
            scene.describe(5);
            scene.list(&[], &[]);
            scene.stable(&["a"]);
            scene.commits("b");
            scene.leave("a");
            scene.commits("b");
            scene.fetch(9, true);
        },
    },
    Case {
        name: "a generation of a group that is not there",
        play: |scene| {
            let topic = scene.topic.clone();
            scene.actor("a").generation = 1;
            scene.actor("a").id = "nobody".to_owned();
            scene.commit("a", 8, &topic, 0, "");
            scene.commit("a", 9, &topic, 0, "");
            scene.list(&[], &[]);
        },
    },
    Case {
        name: "commits to what is not there",
        play: |scene| {
            let topic = scene.topic.clone();
            scene.commit("a", 9, "not-there", 0, "");
            scene.commit("a", 9, &topic, 2, "");
            scene.commit("a", 9, &topic, -1, "");
            scene.list(&[], &[]);
        },
    },
    Case {
        name: "long notes",
        play: |scene| {
            let topic = scene.topic.clone();
            scene.commit("a", 9, &topic, 0, &"n".repeat(4_096));
            scene.commit("a", 9, &topic, 1, &"n".repeat(4_097));
            scene.commit("a", 9, &topic, 1, &"ä".repeat(4_096));
            scene.commit("a", 9, &topic, 0, "");
            scene.commit("a", 9, &topic, 1, "");
            scene.fetch(9, false);
        },
    },
    Case {
        name: "what was committed, in every version",
        play: |scene| {
            scene.fetch(9, false);
            scene.fetch(9, true);
            scene.fetch(7, false);
            let topic = scene.topic.clone();
            scene.commit("a", 2, &topic, 1, "a note");
            scene.commit("a", 9, &topic, 1, "another");
            for version in [1, 2, 5, 7, 8, 9] {
                scene.fetch(version, false);
            }
            for version in [2, 7, 8] {
                scene.fetch(version, true);
            }
        },
    },
    Case {
        name: "deleting groups",
        play: |scene| {
            scene.delete();
            scene.stable(&["a"]);
            scene.commits("a");
            scene.delete();
            scene.leave("a");
            scene.delete();
            scene.fetch(9, true);
            scene.delete();
        },
    },
    Case {
        name: "deleting offsets",
        play: |scene| {
            let topic = scene.topic.clone();
            scene.delete_offset(&topic);
            scene.commits("a");
            scene.delete_offset(&topic);
            scene.fetch(9, true);
            scene.commits("a");
            scene.stable(&["a"]);
            scene.delete_offset(&topic);
            scene.delete_offset("not-there");
            scene.actor("a").topics = vec!["another".to_owned()];
            scene.join("a");
            scene.delete_offset(&topic);
            scene.fetch(9, true);
        },
    },
    Case {
        name: "deleting offsets of what are not consumers",
        play: |scene| {
            let topic = scene.topic.clone();
            scene.actor("a").protocol_type = "connect";
            scene.enter("a");
            scene.delete_offset(&topic);
            scene.leave("a");
            scene.delete_offset(&topic);
        },
    },
    Case {
        name: "groups as they are described",
        play: |scene| {
            scene.describe(5);
            scene.describe(6);
            scene.join("a");
            scene.until("Empty");
            scene.describe(6);
            scene.join("a");
            scene.describe(6);
            scene.sync("a", &["a"]);
            scene.describe(6);
            scene.describe(2);
            scene.leave("a");
            scene.describe(6);
        },
    },
    Case {
        name: "what may be done with groups",
        play: |scene| {
            scene.operations();
            scene.stable(&["a"]);
            scene.operations();
        },
    },
    Case {
        name: "groups as they are listed",
        play: |scene| {
            scene.list(&[], &[]);
            scene.stable(&["a"]);
            scene.list(&[], &[]);
            scene.list(&["stable"], &[]);
            scene.list(&["Empty"], &[]);
            scene.list(&["Empty", "Stable"], &["CLASSIC"]);
            scene.list(&[], &["consumer"]);
            scene.list(&["nonsense"], &[]);
            scene.list(&[], &["nonsense"]);
        },
    },
    Case {
        name: "a session ends",
        play: |scene| {
            scene.actor("a").session_timeout_ms = 6_000;
            scene.stable(&["a"]);
            scene.pass(Duration::from_millis(4_000));
            scene.heartbeat("a");
            scene.pass(Duration::from_millis(4_000));
            scene.commits("a");
            scene.pass(Duration::from_millis(4_000));
            scene.heartbeat("a");
            scene.pass(Duration::from_millis(8_000));
            scene.heartbeat("a");
            scene.describe(5);
        },
    },
    Case {
        name: "an id that was given out expires",
        play: |scene| {
            scene.actor("a").session_timeout_ms = 6_000;
            scene.join("a");
            scene.pass(Duration::from_millis(8_000));
            scene.join("a");
        },
    },
    Case {
        name: "a member that does not join again in time",
        play: |scene| {
            scene.actor("a").rebalance_timeout_ms = 1_000;
            scene.actor("b").rebalance_timeout_ms = 1_000;
            scene.stable(&["a"]);
            scene.join("b");
            scene.begin_join("b");
            scene.end_join("b");
            scene.heartbeat("a");
        },
    },
    Case {
        name: "a leader that does not assign in time",
        play: |scene| {
            scene.actor("a").rebalance_timeout_ms = 1_000;
            scene.enter("a");
            scene.pass(Duration::from_millis(3_000));
            scene.heartbeat("a");
            scene.describe(5);
        },
    },
];
