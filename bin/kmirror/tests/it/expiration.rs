//! `raise_producer_expiry` where brokers are real: embedded ones are told to do what these do, in kmirror's own tests.

use std::rc::Rc;

use kmirror_testkit::{Isolation, Workload, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::stage::{AnyCluster, Stage};

const KEY: &str = "producer.id.expiration.ms";
const RAISED: &str = "2147483647";

/// A topic of which nothing is copied as long as its target topic wants more replicas than there are.
struct Backfill {
    source: AnyCluster,
    target: AnyCluster,
    topic: String,
    state_topic: String,
}

impl Backfill {
    fn new(source: &AnyCluster, target: &AnyCluster) -> Backfill {
        let (topic, state_topic) = (unique_topic("old"), unique_topic("__state"));
        source.produce(&[Workload::new(&topic).records(50)]);
        target.create_topic(&topic, 1, &[("min.insync.replicas", "2")]);
        Backfill { source: Rc::clone(source), target: Rc::clone(target), topic, state_topic }
    }

    fn kmirror(&self, raises: bool) -> Kmirror {
        let more = format!("    raise_producer_expiry: {raises}\n    state_topic: {}\n", self.state_topic);
        Kmirror::mirroring(&self.source, &self.target, &[&self.topic], &more)
    }

    fn release(&self) {
        self.target.alter_topic(&self.topic, &[("min.insync.replicas", "1")]);
    }

    fn is_copied(&self) -> bool {
        self.target.end(&self.topic, 0) == Some(50)
    }

    /// What the state topic was told of it last, as readers print it; `null`: that it is forgotten.
    fn recorded(&self) -> Option<String> {
        let mut records = self.target.records(&self.state_topic, Isolation::ReadUncommitted).into_iter();
        records.rfind(|record| record.key.starts_with("\"raised")).map(|record| record.value)
    }

    fn await_raised(&self) {
        await_that("it is raised", || self.target.broker_config(KEY).as_deref() == Some(RAISED));
    }
}

#[test]
fn what_was_raised_is_put_back_by_the_start_after_a_kill() {
    let Some(stage) = Stage::kafka("what_was_raised_is_put_back_by_the_start_after_a_kill") else { return };
    let ((source, _), target) = (stage.pair(), stage.cluster());
    let backfill = Backfill::new(&source, &target);
    let mut killed = backfill.kmirror(true).start();
    backfill.await_raised();
    let recorded = backfill.recorded().unwrap();
    assert!(recorded.contains("before") && recorded.contains("null"), "{recorded}");
    killed.kill();
    assert_eq!(target.broker_config(KEY).as_deref(), Some(RAISED), "nobody has put it back");
    backfill.release();
    let mut next = backfill.kmirror(false).start();
    await_that("it is put back", || target.broker_config(KEY).is_none());
    await_that("it is copied", || backfill.is_copied());
    assert_eq!(next.end("TERM"), Some(143));
    assert_eq!(backfill.recorded().as_deref(), Some("null"), "forgotten");
}

#[test]
fn what_was_raised_is_put_back_once_all_is_copied_or_stays_as_somebody_else_has_set_it() {
    let test = "what_was_raised_is_put_back_once_all_is_copied_or_stays_as_somebody_else_has_set_it";
    let Some(stage) = Stage::kafka(test) else { return };
    let ((source, _), target) = (stage.pair(), stage.cluster());
    target.alter_brokers(KEY, "7200000");
    let backfill = Backfill::new(&source, &target);
    let mut running = backfill.kmirror(true).start();
    backfill.await_raised();
    backfill.release();
    await_that("it is put back", || target.broker_config(KEY).as_deref() == Some("7200000"));
    assert!(backfill.is_copied());
    assert_eq!(running.end("TERM"), Some(143));
    assert_eq!(backfill.recorded().as_deref(), Some("null"), "forgotten");

    let backfill = Backfill::new(&source, &target);
    let mut running = backfill.kmirror(true).start();
    backfill.await_raised();
    target.alter_brokers(KEY, "5400000");
    running.says(&["somebody else has changed producer.id.expiration.ms"]);
    backfill.release();
    await_that("it is copied", || backfill.is_copied());
    assert_eq!(running.end("TERM"), Some(143));
    assert_eq!(target.broker_config(KEY).as_deref(), Some("5400000"));
    assert_eq!(backfill.recorded().as_deref(), Some("null"), "forgotten");
}
