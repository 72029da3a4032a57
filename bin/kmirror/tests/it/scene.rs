//! Something happens to one topic of a flow, and its neighbour goes on.

use std::rc::Rc;

use kmirror_testkit::{Isolation, PrintedRecord, Workload, compare_records, unique_topic};

use crate::kmirror::{Ended, Kmirror, Running, await_that};
use crate::stage::{AnyCluster, Stage};

/// A flow of two topics with one partition and a state topic of its own.
pub(crate) struct Scene {
    pub(crate) source: AnyCluster,
    pub(crate) target: AnyCluster,
    /// The one to which something happens.
    pub(crate) topic: String,
    /// The one to which nothing happens.
    neighbour: String,
    state_topic: String,
    settings: String,
}

impl Scene {
    /// With two topics that do not exist yet. `settings`: of the flow, one a line.
    pub(crate) fn new(stage: &Stage, name: &str, settings: &str) -> Scene {
        let (source, target) = stage.pair();
        Scene::between(&source, &target, name, settings)
    }

    /// The same between any two clusters.
    pub(crate) fn between(source: &AnyCluster, target: &AnyCluster, name: &str, settings: &str) -> Scene {
        let mut scene = Scene {
            source: Rc::clone(source),
            target: Rc::clone(target),
            topic: unique_topic(name),
            neighbour: unique_topic("neighbour"),
            state_topic: unique_topic("__state"),
            settings: String::new(),
        };
        scene.set(settings);
        scene
    }

    /// The same with 100 records in each topic, all of them copied.
    pub(crate) fn copied(stage: &Stage, name: &str, settings: &str) -> Scene {
        let scene = Scene::new(stage, name, settings);
        scene.write(100);
        scene.kmirror().copy();
        scene
    }

    /// The program with this scene's flow.
    pub(crate) fn kmirror(&self) -> Kmirror {
        Kmirror::mirroring(&self.source, &self.target, &[&self.topic, &self.neighbour], &self.settings())
    }

    /// The topic in which it is recorded what the logs do not tell.
    pub(crate) fn state_topic(&self) -> &str {
        &self.state_topic
    }

    /// What its flow is told, each line indented by four.
    pub(crate) fn settings(&self) -> String {
        format!("    state_topic: {}\n{}", self.state_topic, self.settings)
    }

    /// Gives the flow other settings.
    pub(crate) fn set(&mut self, settings: &str) {
        self.settings = settings.lines().map(|line| format!("    {line}\n")).collect();
    }

    /// Gives it one more.
    pub(crate) fn add(&mut self, setting: &str) {
        self.settings.push_str(&format!("    {setting}\n"));
    }

    /// Forgets what is recorded: the next run finds an empty state topic.
    pub(crate) fn lose_state(&mut self) {
        self.state_topic = unique_topic("__state");
    }

    /// Overwrites what is recorded of the topic with something that is no record.
    pub(crate) fn damage_state(&self) {
        self.target.write_text(&self.state_topic, &format!("partition/{}/0", self.topic), "{}");
    }

    /// Writes records to the end of the source topic, and some to its neighbour.
    pub(crate) fn write(&self, records: u64) {
        self.write_with(|workload| workload.records(records));
    }

    /// The same, with a workload that is made of an empty one.
    pub(crate) fn write_with(&self, records: impl FnOnce(Workload) -> Workload) {
        // In as few batches as it goes: where a message names the offsets of one, they are known.
        let workload = Workload::new(&self.topic).linger_ms(1_000);
        self.source.produce(&[records(workload)]);
        self.write_to_neighbour(20);
    }

    /// The name of the topic to which nothing happens.
    pub(crate) fn neighbour(&self) -> &str {
        &self.neighbour
    }

    /// Writes records to the neighbour alone.
    pub(crate) fn write_to_neighbour(&self, records: u64) {
        self.source.produce(&[Workload::new(&self.neighbour).records(records)]);
    }

    /// The records of the topic on the target.
    pub(crate) fn on_target(&self) -> Vec<PrintedRecord> {
        self.target.records(&self.topic, Isolation::ReadUncommitted)
    }

    /// The committed records of the topic on the source.
    pub(crate) fn on_source(&self) -> Vec<PrintedRecord> {
        self.source.records(&self.topic, Isolation::ReadCommitted)
    }

    /// Where the topic ends on the target.
    pub(crate) fn target_end(&self) -> i64 {
        self.target.end(&self.topic, 0).unwrap()
    }

    /// A run ends with the topic parked for this reason and with these words, nothing was written to it, and its neighbour was
    /// copied.
    pub(crate) fn parks(&self, reason: &str, words: &[&str]) {
        let before = self.on_target();
        self.parks_after_writing(reason, words);
        assert_eq!(self.on_target(), before, "nothing is written to a partition that parks");
    }

    /// The same, where the run may write before it parks.
    pub(crate) fn parks_after_writing(&self, reason: &str, words: &[&str]) {
        let ended = self.kmirror().run(&["run", "--once"]).with_code(1);
        self.says_parked(ended, reason, words);
        self.neighbour_is_copied();
    }

    /// The same where nothing is recorded of any topic any more, and their offsets differ: nothing can be said to be equal.
    pub(crate) fn parks_without_state(&self, reason: &str, words: &[&str]) {
        let before = self.on_target();
        let ended = self.kmirror().run(&["run", "--once"]).with_code(1);
        self.says_parked(ended, reason, words);
        assert_eq!(self.on_target(), before, "nothing is written to a partition that parks");
        let proof = self.kmirror().run(&["verify"]).with_code(4).stdout();
        assert!(proof.contains("nothing is recorded of where the source's records are"), "{proof}");
        assert!(!proof.contains(": equal"), "{proof}");
    }

    fn says_parked(&self, mut ended: Ended, reason: &str, words: &[&str]) {
        ended = ended.saying(&format!("{}-0 is parked: {reason}: ", self.topic));
        for words in words {
            ended = ended.saying(words);
        }
    }

    /// A mirror that is running parks the topic for this reason and with these words, and goes on with its neighbour.
    pub(crate) fn parks_running(&self, mirror: &mut Running, reason: &str, words: &[&str]) {
        let reason = format!("parked={reason}");
        let partition = format!("partition={}-0", self.topic);
        let line = mirror.says(&["ERROR", &partition, &reason]);
        for words in words {
            assert!(line.contains(words), "no {words:?} in {line}");
        }
        self.write_to_neighbour(10);
        await_that("the neighbour goes on", || self.ends_are_equal(&self.neighbour));
        self.neighbour_is_copied();
    }

    /// Waits until a mirror that is running has copied the topic and its neighbour to the end.
    pub(crate) fn await_copied(&self) {
        await_that("both topics are copied", || {
            self.ends_are_equal(&self.topic) && self.ends_are_equal(&self.neighbour)
        });
    }

    /// A run and a proof end well, and a consumer that is not ours sees the same on both sides.
    pub(crate) fn copies(&self) {
        self.kmirror().copy();
        self.kmirror().prove();
        compare_records(&self.on_source(), &self.on_target()).unwrap();
    }

    fn ends_are_equal(&self, topic: &str) -> bool {
        let end = self.source.end(topic, 0);
        end.is_some() && end == self.target.end(topic, 0)
    }

    fn neighbour_is_copied(&self) {
        self.kmirror().run(&["verify", "--topic", &self.neighbour]).with_code(0);
        let ends = (self.source.end(&self.neighbour, 0), self.target.end(&self.neighbour, 0));
        assert!(
            ends.0.is_some() && ends.0 == ends.1,
            "the neighbour of a parked partition goes on: {ends:?}"
        );
    }
}
