//! A schedule is data: what goes wrong and when. A seed makes one, a failing one is cut down, and one that is worth it is kept.

use std::fmt;
use std::time::Duration;

use kmirror_embedded::{ApiKey, FaultKind, ResponseError};

use crate::logs::{COMPACTED, PARTITIONS, TRANSACTIONAL};
use crate::random::Random;

/// Everything that is not the engine's to decide.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) mirrors: usize,
    /// How old records are when they are written.
    pub(crate) record_age: Duration,
    pub(crate) request_timeout: Duration,
    /// Whether the target has a topic of somebody else with the name of one of the source's.
    pub(crate) has_theirs: bool,
    /// Whether groups, settings and access control lists follow, and change on the source.
    pub(crate) has_control: bool,
    pub(crate) steps: Vec<Step>,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    Source,
    Target,
}

/// What happens. A partition is its place in [`PARTITIONS`], a mirror its place among those that run, counted round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A batch is written to the source, or one of a transaction, and a transaction may end; all of it follows from the seed.
    Write { partition: usize, seed: u64 },
    /// A broker leads a partition with everything that was appended.
    MoveLeader { side: Side, partition: usize, broker: i32 },
    /// Followers stand still for so long.
    HoldReplication { side: Side, partition: usize, ms: u64 },
    /// The same, and then a follower leads: what was not replicated is lost, and nobody was told that it was there.
    LoseTail { side: Side, partition: usize, broker: i32, ms: u64 },
    /// An unclean election: the last so many batches are lost, whoever was told of them.
    LoseBatches { side: Side, partition: usize, broker: i32, batches: usize },
    /// A broker is down for so long.
    StopBroker { side: Side, broker: i32, ms: u64 },
    /// A broker stands still for so long.
    PauseBroker { side: Side, broker: i32, ms: u64 },
    /// The cleaner goes over the compacted topic, but for so many offsets at its end.
    Clean { side: Side, left: i64 },
    /// Requests go wrong.
    Inject { side: Side, fault: FaultKind, api: ApiKey, skip: u32, times: u32 },
    /// A mirror is killed, and so much later another one starts.
    Kill { mirror: usize, again_ms: Option<u64> },
    /// One more mirror starts.
    Add,
    /// Nothing of what a mirror says leaves it for so long, and it hears nothing.
    Freeze { mirror: usize, ms: u64 },
    /// A mirror's connections to a cluster are cut. What is on its way is lost, or arrives so much later.
    Cut { mirror: usize, side: Side, late_ms: Option<u64> },
    /// The target's brokers forget the producers of a partition.
    ExpireProducers { partition: usize },
    /// Leaders send readers to another broker for so long (KIP-392).
    SendReaders { side: Side, broker: i32, ms: u64 },
    /// A broker is cut off from its controller for so long: what it says of topics and leaders is old.
    CutOff { side: Side, broker: i32, ms: u64 },
    /// All replicas of a partition are replaced: they know of producers what the log shows.
    ReplaceReplicas { side: Side, partition: usize },
    /// A group commits on the source, a setting of a topic changes there, or an access control entry; which follows from the seed.
    Control { seed: u64 },
}

/// Kinds of steps that the engine does not bear yet, and why. They are left out unless `KMIRROR_WITH` names them.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[(
    "ExpireProducers",
    "brokers forget only at a check, and what is on its way then is named as doubled, not kept from being so",
)];

/// Which of the kinds that are left out are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds(Vec<String>);

impl Kinds {
    /// As `KMIRROR_WITH` says: names with commas, or `all`.
    pub(crate) fn from_environment() -> Kinds {
        let named = std::env::var("KMIRROR_WITH").unwrap_or_default();
        let kinds = Kinds(named.split(',').map(str::to_owned).filter(|name| !name.is_empty()).collect());
        for name in kinds.0.iter().filter(|name| *name != "all") {
            assert!(
                LEFT_OUT.iter().any(|(known, _)| known == name),
                "KMIRROR_WITH={name}: one of {LEFT_OUT:?}"
            );
        }
        kinds
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        let is_left_out = LEFT_OUT.iter().any(|(left_out, _)| *left_out == kind);
        !is_left_out || self.0.iter().any(|named| named == kind || named == "all")
    }
}

impl Schedule {
    pub(crate) fn of(seed: u64, kinds: &Kinds) -> Schedule {
        let mut random = Random::of(seed, "schedule");
        let mut schedule = Schedule {
            seed,
            mirrors: 1 + random.below(2) as usize,
            record_age: Duration::from_secs(if random.one_in(4) { 2 * 86_400 } else { 0 }),
            request_timeout: Duration::from_millis(random.pick(&[1_000, 1_000, 1_000, 5_000, 30_000])),
            has_theirs: Random::of(seed, "theirs").one_in(4),
            has_control: Random::of(seed, "control").one_in(3),
            steps: Vec::new(),
        };
        let focus = random.pick(&[Focus::Everything, Focus::Everything, Focus::Cleaners, Focus::Owners]);
        let mut at_ms = 0;
        for _ in 0..FAULTS {
            for _ in 0..random.below(8) {
                let (partition, seed) = (focus.partition(&mut random), random.bits());
                schedule.steps.push(Step { at_ms, what: What::Write { partition, seed } });
                at_ms += random.pick(&[0, 0, 0, 1, 2, 5]);
            }
            let what = focus.something(&mut random);
            if kinds.has(what.kind()) {
                schedule.steps.push(Step { at_ms, what });
            }
            at_ms += random.below(40);
        }
        schedule.add_more(at_ms.max(1));
        schedule
    }

    /// What is added has random streams of its own, so that all else of a seed is what it was before.
    fn add_more(&mut self, end_ms: u64) {
        let mut random = Random::of(self.seed, "client faults");
        for _ in 0..random.below(3) {
            let at_ms = random.below(end_ms);
            self.steps.push(Step { at_ms, what: client_fault(&mut random) });
        }
        let mut random = Random::of(self.seed, "control steps");
        for _ in 0..if self.has_control { CONTROL_STEPS } else { 0 } {
            let at_ms = random.below(end_ms);
            self.steps.push(Step { at_ms, what: What::Control { seed: random.bits() } });
        }
    }
}

impl What {
    /// By which [`LEFT_OUT`] calls it.
    fn kind(&self) -> &'static str {
        match self {
            What::ExpireProducers { .. } => "ExpireProducers",
            _ => "",
        }
    }

    /// How long it lasts, for what ends by itself.
    pub(crate) fn lasts_ms(&self) -> Option<u64> {
        match self {
            What::HoldReplication { ms, .. }
            | What::LoseTail { ms, .. }
            | What::StopBroker { ms, .. }
            | What::PauseBroker { ms, .. }
            | What::SendReaders { ms, .. }
            | What::CutOff { ms, .. }
            | What::Freeze { ms, .. } => Some(*ms),
            What::Kill { again_ms, .. } => *again_ms,
            _ => None,
        }
    }
}

/// What a schedule has more of than others: some things happen only where much of the same comes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Everything,
    /// One compacted log, and cleaners that go over it again and again.
    Cleaners,
    /// One partition, which one owner after another believes to be its own.
    Owners,
}

impl Focus {
    fn partition(self, random: &mut Random) -> usize {
        match self {
            Focus::Cleaners if !random.one_in(4) => COMPACTED,
            Focus::Owners if !random.one_in(4) => TRANSACTIONAL,
            _ => random.below(PARTITIONS.len() as u64) as usize,
        }
    }

    fn something(self, random: &mut Random) -> What {
        let side = if random.one_in(3) { Side::Source } else { Side::Target };
        match self {
            Focus::Cleaners if random.one_in(2) => What::Clean { side, left: random.below(3) as i64 },
            Focus::Owners if random.one_in(2) => an_owner_is_lost(random),
            _ => something(random, side),
        }
    }
}

/// A mirror loses what it owns, or believes that it still owns it.
fn an_owner_is_lost(random: &mut Random) -> What {
    let mirror = random.below(3) as usize;
    match random.below(5) {
        0 => What::Kill { mirror, again_ms: Some(random.below(5)) },
        1 => What::Add,
        2 => What::Freeze { mirror, ms: random.pick(&[5, 20, 100, 300]) },
        3 => What::Cut { mirror, side: Side::Target, late_ms: Some(random.pick(&[0, 1, 2, 3, 5, 20, 100])) },
        _ => {
            let api =
                random.pick(&[ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::WriteTxnMarkers, ApiKey::Produce]);
            let fault = FaultKind::Delay(Duration::from_millis(random.below(200)));
            What::Inject {
                side: Side::Target,
                fault,
                api,
                skip: random.below(3) as u32,
                times: 1 + random.below(5) as u32,
            }
        }
    }
}

/// Something goes wrong.
fn something(random: &mut Random, side: Side) -> What {
    let broker = 1 + random.below(u64::from(BROKERS)) as i32;
    let partition = random.below(PARTITIONS.len() as u64) as usize;
    let mirror = random.below(3) as usize;
    match random.below(26) {
        0 => What::MoveLeader { side, partition, broker },
        1 => What::StopBroker { side, broker, ms: random.below(30) },
        2 => What::PauseBroker { side, broker, ms: random.below(60) },
        3 | 4 => {
            let again_ms = (!random.one_in(3)).then(|| random.below(10));
            What::Kill { mirror, again_ms }
        }
        5 => What::Add,
        6 => What::HoldReplication { side, partition, ms: random.below(30) },
        7 => What::LoseTail { side, partition, broker, ms: random.below(30) },
        8 => {
            What::LoseBatches { side: Side::Target, partition, broker, batches: 1 + random.below(3) as usize }
        }
        9 => What::Clean { side: Side::Source, left: random.below(6) as i64 },
        10 => What::Clean { side: Side::Target, left: random.below(6) as i64 },
        11 | 12 => What::Freeze { mirror, ms: random.pick(&[5, 20, 100, 100, 700, 3_000, 12_000]) },
        13 | 14 => {
            let late_ms = (!random.one_in(3)).then(|| random.pick(&[0, 3, 20, 100, 500, 2_000]));
            What::Cut { mirror, side, late_ms }
        }
        15 => What::ExpireProducers { partition },
        16 => What::Inject {
            side: Side::Source,
            fault: FaultKind::SlowTiering,
            api: ApiKey::Fetch,
            skip: random.below(4) as u32,
            times: random.pick(&[1, 2, 5, 100]),
        },
        _ => fault(random, side),
    }
}

/// Something that a client has to bear of a cluster in which nothing has failed.
fn client_fault(random: &mut Random) -> What {
    let side = random.pick(&[Side::Source, Side::Target]);
    let broker = 1 + random.below(u64::from(BROKERS)) as i32;
    let ms = random.pick(&[5, 30, 100, 700, 3_000]);
    match random.below(4) {
        0 => What::SendReaders { side, broker, ms },
        1 => What::CutOff { side, broker, ms },
        2 => What::ReplaceReplicas { side, partition: random.below(PARTITIONS.len() as u64) as usize },
        _ => What::Inject {
            side,
            fault: FaultKind::Throttle(Duration::from_millis(ms)),
            api: random.pick(&[ApiKey::Fetch, ApiKey::Produce]),
            skip: random.below(10) as u32,
            times: 1 + random.below(4) as u32,
        },
    }
}

fn fault(random: &mut Random, side: Side) -> What {
    let fault = match random.below(9) {
        0 => FaultKind::HangUpBefore,
        1 | 2 => FaultKind::HangUpAfter,
        3 => FaultKind::TruncateAnswer,
        4 => FaultKind::Garbage,
        5 => FaultKind::Delay(Duration::from_millis(random.below(60))),
        6 => FaultKind::Silence,
        _ => FaultKind::Error(random.pick(&ERRORS)),
    };
    // Half of them where most requests are.
    let apis = if random.one_in(2) { &COMMON_APIS[..] } else { &RARE_APIS };
    let api = random.pick(apis);
    What::Inject { side, fault, api, skip: random.below(4) as u32, times: 1 + random.below(3) as u32 }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, mirrors, record_age, request_timeout, has_theirs, has_control, steps } = self;
        writeln!(
            formatter,
            "seed {seed}: {mirrors} mirrors, records {record_age:?} old, requests time out after {request_timeout:?}, theirs: {has_theirs}, control: {has_control}"
        )?;
        steps.iter().try_for_each(|Step { at_ms, what }| writeln!(formatter, "  {at_ms:>5} ms  {what:?}"))
    }
}

pub(crate) const BROKERS: u8 = 2;
const FAULTS: usize = 14;
const CONTROL_STEPS: usize = 8;
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
