//! A world: two clusters, a network and mirrors, in which a schedule happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kmirror::{ParkReason, Parked, PartitionReport};
use kmirror_client::simulated;
use kmirror_embedded::{EmbeddedCluster, Fault};
use tokio::time::{Instant, sleep, sleep_until};

use crate::control;
use crate::logs::{COMPACTED, Logs, PARTITIONS, THEIRS};
use crate::mirrors::Mirrors;
use crate::mutation;
use crate::net::Net;
use crate::oracle::{Oracle, Violation, violation};
use crate::random::Random;
use crate::schedule::{BROKERS, Schedule, Side, Step, What};
use crate::trace::Trace;

/// How a schedule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Stands for everything that happened.
    pub(crate) trace: u64,
    pub(crate) lasted: Duration,
    /// Whether a hole became too long, by the one imperfection that docs/internals/append.md describes.
    pub(crate) is_displaced: bool,
    /// How many partitions were parked, and rightly.
    pub(crate) parked: usize,
}

/// Whether a partition's log on the target was cut by an unclean election. If that takes markers away while data is in flight behind
/// them, that data is appended too early, where nothing can put it right: the partition parks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lost {
    #[default]
    Nothing,
    Acknowledged,
    IsParked,
}

struct World<'a> {
    schedule: &'a Schedule,
    began: Instant,
    source: Arc<EmbeddedCluster>,
    target: Arc<EmbeddedCluster>,
    net: Arc<Net>,
    logs: Logs,
    mirrors: Mirrors,
    oracle: Oracle,
    trace: Arc<Trace>,
    random: Random,
    /// Which mirrors were frozen, by the step that did it.
    frozen: Vec<(usize, u32)>,
    requests_counted: Instant,
    /// Whether nothing happens any more.
    is_over: bool,
    /// Partitions of which the target has lost what was acknowledged, and whether they are parked for it.
    lost: [Lost; PARTITIONS.len()],
    /// How often it was looked at.
    looks: Arc<AtomicU64>,
}

/// Lets a schedule happen. It must be called in a runtime of one thread whose time is paused. `looks` is counted up as time passes.
pub(crate) async fn run(
    schedule: &Schedule,
    is_listed: bool,
    looks: Arc<AtomicU64>,
) -> Result<Ended, Violation> {
    let seed = schedule.seed;
    let _entered = simulated::enter(seed);
    let cluster = async |name: &str| {
        let seed = Random::of(seed, name).bits();
        let mut builder = EmbeddedCluster::builder().brokers(BROKERS).without_sockets(name).simulated(seed);
        if schedule.has_control {
            builder = builder.authorizer(["User:ANONYMOUS"]);
        }
        Arc::new(builder.start().await.unwrap())
    };
    let (source, target) = (cluster("east").await, cluster("west").await);
    let trace = Arc::new(Trace::begin(is_listed));
    let net = Net::new(Random::of(seed, "network").bits(), Arc::clone(&trace));
    let mut mirrors = Mirrors::new(&net, &source, &target, schedule);
    let logs = Logs::create(&source, schedule.record_age);
    if schedule.has_theirs {
        Logs::create_theirs(&source, &target);
    }
    (0..schedule.mirrors).for_each(|_| mirrors.add());
    let world = World {
        schedule,
        began: Instant::now(),
        source,
        target,
        net,
        logs,
        mirrors,
        oracle: Oracle::default(),
        trace,
        random: Random::of(seed, "world"),
        frozen: Vec::new(),
        requests_counted: Instant::now(),
        is_over: false,
        lost: Default::default(),
        looks,
    };
    world.run().await
}

impl Lost {
    fn acknowledged(self) -> Lost {
        if self == Lost::Nothing { Lost::Acknowledged } else { self }
    }
}

impl World<'_> {
    async fn run(mut self) -> Result<Ended, Violation> {
        let steps = &self.schedule.steps;
        // A step, and whether it ends: by time, and what ends comes before what begins.
        let mut due: BinaryHeap<Reverse<(u64, usize, bool)>> =
            (0..).zip(steps).map(|(index, step)| Reverse((step.at_ms, index, false))).collect();
        while let Some(Reverse((at_ms, index, ends))) = due.pop() {
            let Some(Step { what, .. }) = steps.get(index) else { continue };
            self.wait_until(self.began + Duration::from_millis(at_ms)).await?;
            self.trace.note(format_args!("{} {what:?}", if ends { "end of" } else { "step" }), &[]);
            if ends {
                self.end_step(index, what);
            } else {
                self.begin_step(index, what);
                due.extend(what.lasts_ms().map(|ms| Reverse((at_ms + ms, index, true))));
            }
            self.mirrors.replace_ended().await;
            self.check()?;
        }
        self.end().await
    }

    fn begin_step(&mut self, index: usize, what: &What) {
        match *what {
            What::Write { partition, seed } => {
                self.logs.write(&self.source, partition, &mut Random::new(seed));
            }
            What::MoveLeader { side, partition, broker } => self.move_leader(side, partition, broker),
            What::HoldReplication { side, partition, .. } | What::LoseTail { side, partition, .. } => {
                self.hold_replication(side, partition, true);
            }
            What::LoseBatches { side, partition, broker, batches } => {
                let (topic, number) = PARTITIONS[partition];
                let Ok(log) = self.cluster(side).log(topic, number) else { return };
                let first = log.batches.iter().rev().nth(batches - 1).or(log.batches.first());
                let first = first.map_or(log.end, |batch| i64::from_be_bytes(batch[..8].try_into().unwrap()));
                self.lose_from(side, partition, broker, first);
                if side == Side::Target {
                    self.lost[partition] = self.lost[partition].acknowledged();
                }
            }
            What::StopBroker { side, broker, .. } => self.cluster(side).stop_broker(broker).unwrap(),
            What::PauseBroker { side, broker, .. } => self.cluster(side).pause_broker(broker).unwrap(),
            What::Clean { side, left } => {
                let (topic, number) = PARTITIONS[COMPACTED];
                if let Ok(log) = self.cluster(side).log(topic, number) {
                    self.cluster(side).clean(topic, number, log.end - left).unwrap();
                }
            }
            What::Inject { side, ref fault, api, skip, times } => {
                self.cluster(side).inject(Fault::new(fault.clone()).of(api).after(skip).times(times));
            }
            What::Kill { mirror, .. } => self.mirrors.kill(mirror),
            What::Add => self.mirrors.add(),
            What::Freeze { mirror, .. } => {
                if let Some(number) = self.mirrors.number(mirror) {
                    self.frozen.push((index, number));
                    self.net.freeze(number, true);
                }
            }
            What::Cut { mirror, side, late_ms } => {
                if let Some(number) = self.mirrors.number(mirror) {
                    self.net.cut(number, side, late_ms.map(Duration::from_millis));
                }
            }
            What::ExpireProducers { partition } => {
                let (topic, number) = PARTITIONS[partition];
                // There may be no such topic yet, here and elsewhere.
                drop(self.target.expire_producers(topic, number));
            }
            What::SendReaders { side, broker, .. } => self.cluster(side).send_readers_to(Some(broker)),
            What::CutOff { side, broker, .. } => self.cluster(side).cut_off(broker, true).unwrap(),
            What::ReplaceReplicas { side, partition } => {
                let (topic, number) = PARTITIONS[partition];
                drop(self.cluster(side).replace_replicas(topic, number));
            }
            What::Control { seed } => control::change(&self.source, &mut Random::new(seed)),
        }
    }

    fn end_step(&mut self, index: usize, what: &What) {
        match *what {
            What::HoldReplication { side, partition, .. } => self.hold_replication(side, partition, false),
            What::LoseTail { side, partition, broker, .. } => {
                let (topic, number) = PARTITIONS[partition];
                let Ok(log) = self.cluster(side).log(topic, number) else { return };
                self.lose_from(side, partition, broker, log.high_watermark);
                self.hold_replication(side, partition, false);
            }
            What::StopBroker { side, broker, .. } => self.cluster(side).start_broker(broker).unwrap(),
            What::PauseBroker { side, broker, .. } => self.cluster(side).resume_broker(broker).unwrap(),
            What::Kill { .. } => self.mirrors.add(),
            What::SendReaders { side, .. } => self.cluster(side).send_readers_to(None),
            What::CutOff { side, broker, .. } => self.cluster(side).cut_off(broker, false).unwrap(),
            What::Freeze { .. } => {
                let thawed = self.frozen.iter().position(|(of, _)| *of == index);
                let Some((_, number)) = thawed.map(|place| self.frozen.swap_remove(place)) else { return };
                if !self.frozen.iter().any(|(_, other)| *other == number) {
                    self.net.freeze(number, false);
                }
            }
            _ => {}
        }
    }

    fn move_leader(&self, side: Side, partition: usize, broker: i32) {
        let (topic, number) = PARTITIONS[partition];
        drop(self.cluster(side).move_leader(topic, number, broker));
    }

    fn hold_replication(&self, side: Side, partition: usize, holds: bool) {
        let (topic, number) = PARTITIONS[partition];
        drop(self.cluster(side).hold_replication(topic, number, holds));
    }

    /// A broker leads that does not have what is from an offset on.
    fn lose_from(&mut self, side: Side, partition: usize, broker: i32, offset: i64) {
        let (topic, number) = PARTITIONS[partition];
        if self.cluster(side).truncate(topic, number, offset).is_err() {
            return;
        }
        if side == Side::Source {
            let end = self.source.log(topic, number).unwrap().end;
            self.logs.forget_tail(&self.source, partition, end);
        }
        // A leader does not lose what it has: another one leads.
        let leader = self.cluster(side).leader(topic, number).unwrap();
        let other = if leader == Some(broker) { 1 + broker % i32::from(BROKERS) } else { broker };
        self.move_leader(side, partition, other);
    }

    /// Time passes, and everything is looked at again and again.
    async fn wait_until(&mut self, at: Instant) -> Result<(), Violation> {
        while Instant::now() < at {
            sleep_until(at.min(Instant::now() + LOOK_INTERVAL)).await;
            self.check()?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Violation> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        for (partition, violation) in self.oracle.check(&self.logs, &self.source, &self.target, &self.trace) {
            self.judge(partition, violation)?;
        }
        self.oracle.check_changes(&self.target)?;
        let parked = self.mirrors.parked().into_iter();
        let is_rightly = |parked: &Parked| parked.reason == ParkReason::TargetDiverged;
        for (partition, parked) in
            parked.filter(|(partition, parked)| partition.source_topic != THEIRS || !is_rightly(parked))
        {
            let name = (partition.source_topic.as_str(), partition.partition);
            let lost = PARTITIONS.iter().position(|of| *of == name).map(|index| &mut self.lost[index]);
            match lost {
                Some(lost) if *lost != Lost::Nothing && parked.reason == ParkReason::TargetDiverged => {
                    *lost = Lost::IsParked;
                }
                _ => {
                    let partition = PARTITIONS.iter().position(|of| *of == name).unwrap_or_default();
                    self.judge(partition, violation("parked", format!("{name:?}: {parked}")))?;
                }
            }
        }
        let passed = self.requests_counted.elapsed();
        if passed >= COUNT_INTERVAL {
            self.requests_counted = Instant::now();
            for (mirror, requests) in self.net.take_requests() {
                let per_second = requests as f64 / passed.as_secs_f64();
                if per_second > REQUESTS_PER_SECOND_MAX {
                    let what = format!("mirror {mirror} sends {per_second} requests per second");
                    return Err(violation("a mirror spins", what));
                }
            }
        }
        Ok(())
    }

    /// Whether something that should never be so may be so this once.
    fn judge(&mut self, partition: usize, violation: Violation) -> Result<(), Violation> {
        match self.lost[partition] {
            Lost::IsParked => Ok(()),
            // What was in flight when the log was cut may be appended anywhere. It is to be noticed, which the end shows.
            Lost::Acknowledged if !self.is_over && violation.rule != "parked" => Ok(()),
            _ => Err(violation),
        }
    }

    /// Nothing goes wrong any more: everything must be copied, and every way to look at it must say so.
    async fn end(mut self) -> Result<Ended, Violation> {
        for cluster in [&self.source, &self.target] {
            cluster.clear_faults();
        }
        self.net.calm_down();
        self.logs.end_transactions(&self.source, &mut self.random);
        if self.mirrors.is_none_running() {
            self.mirrors.add();
        }
        self.catch_up().await?;
        self.mirrors.shutdown().await;
        // What mirrors have sent that are gone may still arrive.
        sleep(LATEST).await;
        self.is_over = true;
        self.oracle.forget();
        self.check()?;
        let mirror = self.mirrors.mirror(0);
        let lineages = mirror
            .connect()
            .await
            .unwrap()
            .lineages()
            .await
            .map_err(|error| violation("lineages", error.to_string()))?;
        let report = mirror.connect().await.unwrap().verify(&Default::default(), Default::default()).await;
        let report = report.map_err(|error| violation("verify", error.to_string()))?;
        let is_parked = |index: usize| self.lost[index] == Lost::IsParked;
        let parked: Vec<_> = (0..PARTITIONS.len()).filter(|index| is_parked(*index)).collect();
        let is_whole = |partition: &&PartitionReport| {
            let name = (partition.source_topic.as_str(), partition.partition);
            !parked.iter().any(|index| PARTITIONS[*index] == name)
        };
        let mut whole = report.partitions.iter().filter(is_whole);
        if let Some(partition) = whole.find(|partition| partition.differences_count > 0) {
            let what =
                format!("{}-{}: {:?}", partition.source_topic, partition.partition, partition.differences);
            return Err(violation("verify finds differences", what));
        }
        if report.partitions.len() != PARTITIONS.len() {
            return Err(violation("verify leaves something out", format!("{report:?}")));
        }
        if parked.is_empty() {
            let clusters = (&*self.source, &*self.target);
            mutation::check(&self.logs, clusters, &mirror, &mut self.random, &self.trace).await?;
        }
        let is_exact = |lineage: &kmirror::PartitionLineage| {
            lineage.lineage.as_ref().is_none_or(|lineage| lineage.is_exact())
        };
        let is_displaced = !lineages.iter().all(is_exact);
        let (trace, lasted, parked) = (self.trace.hash(), self.began.elapsed(), parked.len());
        Ok(Ended { trace, lasted, is_displaced, parked })
    }

    /// Waits until for each partition one of the mirrors has copied everything.
    async fn catch_up(&mut self) -> Result<(), Violation> {
        let ends = Logs::ends(&self.source);
        let patience = Instant::now() + PATIENCE;
        loop {
            self.mirrors.replace_ended().await;
            let partitions = self.mirrors.partitions();
            let is_copied = |index: usize| {
                let (topic, number) = PARTITIONS[index];
                partitions.iter().any(|partition| {
                    partition.source_topic == topic
                        && partition.partition == number
                        && partition.position >= ends[index]
                })
            };
            if (0..PARTITIONS.len()).all(|index| is_copied(index) || self.lost[index] == Lost::IsParked) {
                return Ok(());
            }
            if Instant::now() > patience {
                return Err(violation("not caught up", format!("with {ends:?}: {partitions:#?}")));
            }
            self.wait_until(Instant::now() + LOOK_INTERVAL).await?;
        }
    }

    fn cluster(&self, side: Side) -> &EmbeddedCluster {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// Nothing is longer on its way.
const LATEST: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const COUNT_INTERVAL: Duration = Duration::from_millis(250);
const REQUESTS_PER_SECOND_MAX: f64 = 2_000.0;
/// For what should take a second: a frozen mirror's requests may time out first, one after the other.
const PATIENCE: Duration = Duration::from_secs(300);
