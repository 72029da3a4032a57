//! Members that do what a seed says, on a real and on the embedded cluster, which must tell them the same. KMIRROR_SEED replays the
//! seed of a failure, KMIRROR_SCHEDULES runs more than usual.

use kmirror_embedded::EmbeddedCluster;
use kmirror_testkit::{real_kafka, unique_topic};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn seeded_schedules_of_groups_are_answered_alike() {
    let Some(kafka) = real_kafka("seeded_schedules_of_groups_are_answered_alike") else { return };
    let embedded = EmbeddedCluster::builder().start().await.unwrap();
    let real = &kafka.pair().unwrap().target;
    let number = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let seeds = match number("KMIRROR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KMIRROR_SCHEDULES").unwrap_or(12),
    };
    tokio::task::block_in_place(|| {
        for seed in seeds {
            let topic = unique_topic("schedule");
            real.create_topic(&topic, 2, &[]).unwrap();
            embedded.create_topic(&topic, 2, &[]).unwrap();
            let real_address = real.bootstrap_servers().split(',').next().unwrap();
            let told = |address: &str| Schedule::new(address, &topic, seed).play();
            let (ours, theirs) = (told(&embedded.bootstrap_servers()), told(real_address));
            let same = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
            assert!(
                ours == theirs,
                "seed {seed}: after {:#?} real {:?}, embedded {:?}",
                &ours[same.saturating_sub(12)..same],
                theirs.get(same),
                ours.get(same)
            );
        }
    });
}

struct Schedule<'a> {
    scene: Scene<'a>,
    seed: u64,
    /// Who is in the group, in order of their names, and has been told so.
    members: Vec<&'static str>,
    /// Whether some of them are to join again.
    is_rebalancing: bool,
}

impl Schedule<'_> {
    fn new(address: &str, topic: &str, seed: u64) -> Schedule<'static> {
        let mut scene = Scene::new(address, topic, topic, &|_| ());
        scene.tells_leader = false;
        scene.actor("static").instance = Some("one");
        Schedule {
            scene,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            members: Vec::new(),
            is_rebalancing: false,
        }
    }

    fn play(mut self) -> Vec<String> {
        for _ in 0..40 {
            self.act();
        }
        self.scene.answers
    }

    fn act(&mut self) {
        let name = NAMES[self.below(NAMES.len())];
        let is_member = self.members.contains(&name);
        match self.below(16) {
            0..=2 if !is_member => self.enter(name),
            0 => self.change(name),
            1 => self.leave(name),
            2 if name == "static" => self.come_back(),
            3 if self.is_rebalancing => self.rebalance(),
            4 if self.below(3) == 0 => self.leave(name),
            5 | 6 => self.scene.heartbeat(name),
            7 => self.scene.sync(name, &[]),
            8 | 9 => self.scene.commits(name),
            10 => {
                let generation = self.scene.actor(name).generation;
                self.scene.actor(name).generation = generation - 1;
                self.scene.heartbeat(name);
                self.scene.commits(name);
                self.scene.sync(name, &[]);
                self.scene.actor(name).generation = generation;
            }
            11 => self.scene.commits("outsider"),
            12 => {
                self.scene.fetch(9, true);
                self.scene.list(&[], &[]);
            }
            13 => self.scene.describe(6),
            14 => self.scene.delete(),
            15 => {
                let topic = self.scene.topic.clone();
                self.scene.delete_offset(&topic);
            }
            _ => {}
        }
    }

    /// A new member joins, and everybody with it.
    fn enter(&mut self, name: &'static str) {
        self.scene.actor(name).id = String::new();
        if name != "static" {
            self.scene.join(name);
        }
        // Alone the others might be complete.
        self.members.insert(0, name);
        self.rebalance();
        self.members.sort_unstable();
    }

    /// A member has news; nobody else knows yet.
    fn change(&mut self, name: &'static str) {
        let count = self.scene.actor(name).topics.len();
        self.scene.actor(name).topics.push(format!("another-{count}"));
        self.rebalance();
    }

    fn leave(&mut self, name: &'static str) {
        self.scene.leave(name);
        self.members.retain(|member| *member != name);
        self.is_rebalancing = !self.members.is_empty();
    }

    /// A static member has lost its id.
    fn come_back(&mut self) {
        if !self.is_rebalancing {
            self.scene.actor("static").id = String::new();
            self.scene.join("static");
        }
    }

    fn rebalance(&mut self) {
        let members = self.members.clone();
        // The first one to come has news in any case: an answer to what is known would not wait for the others.
        for name in &members {
            let count = self.scene.actor(name).topics.len();
            self.scene.actor(name).topics.push(format!("another-{count}"));
        }
        for (index, name) in members.iter().enumerate() {
            self.scene.begin_join(name);
            if index + 1 < members.len() {
                self.scene.until("PreparingRebalance");
            }
        }
        members.iter().for_each(|name| self.scene.end_join(name));
        let (told, leader) = (self.scene.answers.len(), self.scene.leader);
        self.scene.sync(leader, &members);
        self.scene.answers.truncate(told);
        members.iter().for_each(|name| self.scene.sync(name, &[]));
        self.is_rebalancing = false;
    }

    fn below(&mut self, bound: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % bound
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "static"];
