use std::env;
use std::fs::{self, File};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use crate::jars::{kafka_home, missing_program};
use crate::{KafkaCluster, KafkaEndpoint, KafkaJars, KafkaRelease, TestkitError};

/// Two clusters, one to mirror from and one to mirror to.
#[derive(Debug)]
pub struct ClusterPair {
    /// Where records come from.
    pub source: KafkaEndpoint,
    /// Where they go to.
    pub target: KafkaEndpoint,
    /// The clusters behind them, unless they were given by address.
    clusters: Option<(KafkaCluster, KafkaCluster)>,
}

impl ClusterPair {
    /// Starts two clusters of one node.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start(source: KafkaRelease, target: KafkaRelease) -> Result<ClusterPair, TestkitError> {
        let (source, target) = thread::scope(|scope| {
            let source = scope.spawn(|| KafkaCluster::builder(source).start());
            let target = KafkaCluster::builder(target).start();
            (source.join(), target)
        });
        let source =
            source.unwrap_or(Err(TestkitError::Node { node_id: 1, problem: "its start panicked" }))?;
        Ok(ClusterPair::of(source, target?))
    }

    /// The pair of two clusters that were started one by one.
    pub fn of(source: KafkaCluster, target: KafkaCluster) -> ClusterPair {
        let (source_endpoint, target_endpoint) =
            (KafkaEndpoint::clone(&source), KafkaEndpoint::clone(&target));
        ClusterPair { source: source_endpoint, target: target_endpoint, clusters: Some((source, target)) }
    }

    /// Two clusters that run already, here or elsewhere.
    pub fn at(source: KafkaEndpoint, target: KafkaEndpoint) -> ClusterPair {
        ClusterPair { source, target, clusters: None }
    }

    /// The addresses in `KMIRROR_TEST_SOURCE` and `KMIRROR_TEST_TARGET`, if both are set.
    fn from_environment() -> Result<Option<ClusterPair>, TestkitError> {
        let (Ok(source), Ok(target)) = (env::var("KMIRROR_TEST_SOURCE"), env::var("KMIRROR_TEST_TARGET"))
        else {
            return Ok(None);
        };
        let jars = KafkaJars::resolve(KafkaRelease::KAFKA_4_3)?;
        let (source, target) = (KafkaEndpoint::new(jars.clone(), source), KafkaEndpoint::new(jars, target));
        Ok(Some(ClusterPair::at(source, target)))
    }

    /// The clusters themselves, source and target, to kill and restart; nothing for a pair given by address.
    pub fn clusters(&self) -> Option<(&KafkaCluster, &KafkaCluster)> {
        self.clusters.as_ref().map(|(source, target)| (source, target))
    }
}

/// The permission to use real Kafka, for one test at a time.
///
/// Each Java process wants a core for its first seconds. Two cores with ten of them would make every patience in the tests
/// too short, so tests with real Kafka take turns: within this process and between processes that share `target/`.
#[derive(Debug)]
pub struct RealKafka {
    _turn: MutexGuard<'static, ()>,
}

impl RealKafka {
    /// The pair that all tests of this process share: release 4.3.1 on both sides, or what `KMIRROR_TEST_SOURCE` and
    /// `KMIRROR_TEST_TARGET` name. Use topics with names from [`unique_topic`] and leave the nodes alone.
    ///
    /// # Errors
    /// It does not start.
    pub fn pair(&self) -> Result<&'static ClusterPair, TestkitError> {
        static PAIR: OnceLock<ClusterPair> = OnceLock::new();
        // One test has its turn at a time, so nobody else is here between the two calls.
        if let Some(pair) = PAIR.get() {
            return Ok(pair);
        }
        let pair = match ClusterPair::from_environment()? {
            Some(pair) => pair,
            None => ClusterPair::start(KafkaRelease::KAFKA_4_3, KafkaRelease::KAFKA_4_3)?,
        };
        Ok(PAIR.get_or_init(|| pair))
    }
}

/// Waits for a turn with real Kafka; nothing, with a line on stderr, where Java or Maven is missing.
///
/// # Panics
/// They are missing and `KMIRROR_REQUIRE_KAFKA` is 1, or the file that orders the turns cannot be locked.
#[expect(clippy::panic, reason = "it is called by tests, to fail them")]
pub fn real_kafka(test: &str) -> Option<RealKafka> {
    if let Some(program) = missing_program() {
        let required = env::var("KMIRROR_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(!required, "{test}: no Kafka, because `{program}` does not run, but KMIRROR_REQUIRE_KAFKA=1");
        eprintln!("{test}: skipped: no Kafka (`{program}` does not run)");
        return None;
    }
    static TURN: Mutex<()> = Mutex::new(());
    static PROCESS_TURN: OnceLock<File> = OnceLock::new();
    // A test that failed during its turn leaves nothing half done that the next one would see.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    PROCESS_TURN.get_or_init(|| match lock_for_this_process() {
        Ok(file) => file,
        Err(error) => panic!("{test}: {error}"),
    });
    Some(RealKafka { _turn: turn })
}

/// A topic name that nobody else uses, in this process or, on a cluster given by address, before it.
pub fn unique_topic(name: &str) -> String {
    static TOPICS: AtomicU32 = AtomicU32::new(0);
    let count = TOPICS.fetch_add(1, Ordering::Relaxed);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() % 1_000_000_000;
    format!("{name}-{now}-{count}")
}

/// The lock is held until the process ends: its shared clusters run as long.
fn lock_for_this_process() -> Result<File, TestkitError> {
    let home = kafka_home();
    fs::create_dir_all(&home).map_err(TestkitError::file(&home))?;
    let path = home.join("turn.lock");
    let file = File::create(&path).map_err(TestkitError::file(&path))?;
    file.lock().map_err(TestkitError::file(&path))?;
    Ok(file)
}
