//! Whatever goes wrong, in whatever order: seeded random schedules of faults, with the engine between two clusters in this process. Over
//! sockets and in the machine's time, so no seed replays; `tests/simulation` is the same without them, for many more.

mod logs;
mod mirrors;

use std::time::Duration;

use kmirror_embedded::{ApiKey, EmbeddedCluster, Fault, FaultKind, ResponseError};
use tokio::task::JoinSet;
use tokio::time::sleep;

use logs::Logs;
use mirrors::Mirrors;

/// A failure names its seed; KMIRROR_SEED replays it, KMIRROR_SCHEDULES runs more than usual.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_nothing_is_lost_doubled_or_reordered() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("KMIRROR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KMIRROR_SCHEDULES").unwrap_or(30),
    };
    let (mut running, mut ended) = (JoinSet::new(), Vec::new());
    for seed in seeds {
        while running.len() >= SIDE_BY_SIDE {
            ended.extend(running.join_next().await.map(Result::unwrap));
        }
        running.spawn(Schedule::run(seed));
    }
    ended.extend(running.join_all().await);
    let displaced = ended.iter().filter(|is_displaced| **is_displaced).count();
    println!("{} schedules, {displaced} with a hole that became too long", ended.len());
}

/// Two clusters, what is written to one of them, and what copies it to the other.
struct Schedule {
    source: EmbeddedCluster,
    target: EmbeddedCluster,
    logs: Logs,
    mirrors: Mirrors,
    random: Random,
}

impl Schedule {
    /// Whether offsets were displaced, by the one imperfection that docs/internals/append.md describes.
    async fn run(seed: u64) -> bool {
        let _named = Named(seed);
        let mut random = Random::new(seed);
        let cluster = async || EmbeddedCluster::builder().brokers(BROKERS).start().await.unwrap();
        let (source, target) = (cluster().await, cluster().await);
        let logs = Logs::create(&source);
        let mirrors = Mirrors::start(&source, &target, 1 + random.below(2) as usize);
        let mut schedule = Schedule { source, target, logs, mirrors, random };
        for _ in 0..STEPS {
            for _ in 0..schedule.random.below(8) {
                schedule.logs.write(&schedule.source, &mut schedule.random);
            }
            schedule.step().await;
            schedule.mirrors.replace_ended().await;
            schedule.pause(40).await;
        }
        schedule.end().await
    }

    /// Something goes wrong.
    async fn step(&mut self) {
        let is_source = self.random.below(3) == 0;
        let broker = 1 + self.random.below(u64::from(BROKERS)) as i32;
        match self.random.below(16) {
            0 => self.move_leader(is_source, broker),
            1 => {
                self.cluster(is_source).stop_broker(broker).unwrap();
                self.pause(30).await;
                self.cluster(is_source).start_broker(broker).unwrap();
            }
            2 => {
                self.cluster(is_source).pause_broker(broker).unwrap();
                self.pause(60).await;
                self.cluster(is_source).resume_broker(broker).unwrap();
            }
            3 => self.mirrors.kill(&mut self.random).await,
            4 => self.mirrors.add(),
            5 => {
                let (topic, partition) = self.logs.any_partition(&mut self.random);
                // On the target there may be no such topic yet.
                drop(self.cluster(is_source).hold_replication(topic, partition, true));
                self.pause(30).await;
                drop(self.cluster(is_source).hold_replication(topic, partition, false));
            }
            6 => self.logs.clean(self.cluster(is_source)),
            _ => self.inject(is_source),
        }
    }

    fn move_leader(&mut self, is_source: bool, broker: i32) {
        let (topic, partition) = self.logs.any_partition(&mut self.random);
        drop(self.cluster(is_source).move_leader(topic, partition, broker));
    }

    fn inject(&mut self, is_source: bool) {
        let random = &mut self.random;
        let kind = match random.below(12) {
            0 => FaultKind::HangUpBefore,
            1 | 2 => FaultKind::HangUpAfter,
            3 => FaultKind::TruncateAnswer,
            4 => FaultKind::Garbage,
            5 => FaultKind::Delay(Duration::from_millis(random.below(60))),
            6 => FaultKind::Silence,
            7 | 8 => FaultKind::SlowTiering,
            9 => FaultKind::Throttle(Duration::from_millis(random.below(60))),
            _ => FaultKind::Error(ERRORS[random.below(ERRORS.len() as u64) as usize]),
        };
        // Half of them where most requests are.
        let apis = match kind {
            FaultKind::SlowTiering => &[ApiKey::Fetch][..],
            _ if random.below(2) == 0 => &COMMON_APIS,
            _ => &RARE_APIS,
        };
        let api = apis[random.below(apis.len() as u64) as usize];
        let (skip, times) = (random.below(4) as u32, 1 + random.below(3) as u32);
        self.cluster(is_source).inject(Fault::new(kind).of(api).after(skip).times(times));
    }

    /// Nothing goes wrong any more: everything must be copied.
    async fn end(mut self) -> bool {
        self.source.clear_faults();
        self.target.clear_faults();
        self.logs.end_transactions(&self.source, &mut self.random);
        let caught_up = self.mirrors.caught_up(&self.source, &self.logs).await;
        let mirror = self.mirrors.shutdown().await;
        let lineages = mirror.connect().await.unwrap().lineages().await.unwrap();
        if let Err(problem) = caught_up {
            let layouts = self.logs.layouts(&self.source, &self.target);
            panic!("{problem}\n{layouts}\n{lineages:#?}");
        }
        let displaced = self.logs.compare(&self.source, &self.target, &lineages);
        let report =
            mirror.connect().await.unwrap().verify(&Default::default(), Default::default()).await.unwrap();
        let different = report.partitions.iter().filter(|partition| !partition.differences.is_empty());
        let different: Vec<_> = different.map(|partition| &partition.differences).collect();
        assert!(report.is_equal(), "{different:?}");
        displaced
    }

    fn cluster(&self, is_source: bool) -> &EmbeddedCluster {
        if is_source { &self.source } else { &self.target }
    }

    async fn pause(&mut self, millis_max: u64) {
        sleep(Duration::from_millis(self.random.below(millis_max))).await;
    }
}

/// Names the seed of a schedule that fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the same schedule again: KMIRROR_SEED={}", self.0);
        }
    }
}

/// A generator that a seed replays (SplitMix64).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const BROKERS: u8 = 2;
const STEPS: usize = 14;
const SIDE_BY_SIDE: usize = 24;
const COMMON_APIS: [ApiKey; 4] =
    [ApiKey::Produce, ApiKey::Fetch, ApiKey::WriteTxnMarkers, ApiKey::ListOffsets];
/// The others that a flow sends.
const RARE_APIS: [ApiKey; 9] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeProducers,
    ApiKey::DescribeConfigs,
    ApiKey::CreateTopics,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::DeleteRecords,
    ApiKey::DescribeCluster,
];
/// Those that pass.
const ERRORS: [ResponseError; 5] = [
    ResponseError::NotLeaderOrFollower,
    ResponseError::LeaderNotAvailable,
    ResponseError::KafkaStorageError,
    ResponseError::RequestTimedOut,
    ResponseError::FencedLeaderEpoch,
];
