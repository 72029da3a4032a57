//! The two canned clusters, in a process of their own.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use kmirror_embedded::{CannedBatches, EmbeddedCluster, Taken};

use crate::compare::cell::Cell;
use crate::process::Process;

/// What is to be copied.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Canned {
    #[arg(value_enum)]
    pub(crate) cell: Cell,
    pub(crate) gigabytes: f64,
    pub(crate) partitions: usize,
}

/// What that process says, a line each.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Both clusters can be connected to.
    Ready { source: String, target: String, whole: Counts },
    /// So much was acknowledged when the first acknowledgement was seen.
    First(Counts),
    /// All is there.
    Last(Counts),
    /// It is not a copy.
    Wrong(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    /// Batches that are not those of the source byte for byte: their records were compared.
    pub(crate) rewritten: u64,
}

/// The process, as whoever started it sees it. It ends with this.
pub(crate) struct Brokers {
    pub(crate) process: Process,
    said: BufReader<ChildStdout>,
    _stdin: ChildStdin,
}

impl Brokers {
    pub(crate) fn start(canned: &Canned) -> Result<Brokers, Box<dyn Error>> {
        let cell = canned.cell.to_possible_value().ok_or("it has no name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("canned").arg(cell.get_name());
        command.args([canned.gigabytes.to_string(), canned.partitions.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let (stdin, stdout) = process.pipes().ok_or("its pipes are gone")?;
        Ok(Brokers { process, said: BufReader::new(stdout), _stdin: stdin })
    }

    /// Waits for the next line.
    pub(crate) fn hear(&mut self) -> Result<Said, Box<dyn Error>> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        match serde_json::from_str(&line).map_err(|_| "the canned clusters ended")? {
            Said::Wrong(problem) => Err(problem.into()),
            said => Ok(said),
        }
    }
}

/// The process itself.
pub(crate) fn run(canned: &Canned) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let prepared = canned.cell.load(TOPIC, 1).batches(ROUND_BYTES)?;
    let prepared = CannedBatches::new(prepared.into_iter().map(|batch| batch.bytes().clone()));
    let prepared = prepared.ok_or("the batches cannot be canned")?;
    let (source, target) = runtime.block_on(async {
        let cluster = || EmbeddedCluster::builder().start();
        Ok::<_, kmirror_embedded::EmbeddedError>((cluster().await?, cluster().await?))
    })?;
    let count = canned.gigabytes * 1e9 / canned.partitions as f64 / prepared.batch_bytes_mean() as f64;
    let whole = source.create_canned_topic(TOPIC, canned.partitions, &prepared, count.ceil() as u64)?;
    target.expect_canned_topic(TARGET_TOPIC, &prepared);
    say(&Said::Ready {
        source: source.bootstrap_servers(),
        target: target.bootstrap_servers(),
        whole: Counts::of(&whole),
    })?;
    say(&watch(&target, &whole)?)?;
    // Whoever started this goes on with its numbers, and ends it.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Follows the copy to its end.
fn watch(target: &EmbeddedCluster, whole: &Taken) -> Result<Said, Box<dyn Error>> {
    let mut last = (Taken::default(), Instant::now());
    loop {
        thread::sleep(INTERVAL);
        let taken = target.taken(TARGET_TOPIC);
        if taken.batches > 0 && last.0.batches == 0 {
            say(&Said::First(Counts::of(&taken)))?;
        }
        if taken != last.0 {
            last = (taken.clone(), Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            return Ok(Said::Wrong(format!(
                "nothing more arrived within {PATIENCE:?}: {taken:?} of {whole:?}"
            )));
        }
        if taken.wrong > 0 || taken.records > whole.records {
            return Ok(Said::Wrong(format!("the copy is not the source: {taken:?} of {whole:?}")));
        }
        if taken.records == whole.records {
            // What passed through as it was is as long as it was.
            let is_whole = taken.rewritten > 0 || taken == *whole;
            let odd = || Said::Wrong(format!("the copy has other sizes: {taken:?} of {whole:?}"));
            return Ok(if is_whole { Said::Last(Counts::of(&taken)) } else { odd() });
        }
    }
}

impl Counts {
    fn of(taken: &Taken) -> Counts {
        let Taken { records, bytes, batches, rewritten, .. } = *taken;
        Counts { records, bytes, batches, rewritten }
    }
}

fn say(said: &Said) -> Result<(), Box<dyn Error>> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout();
    stdout.write_all(&line)?;
    Ok(stdout.flush()?)
}

/// What the source is called.
pub(crate) const ALIAS: &str = "source";
pub(crate) const TOPIC: &str = "canned";
const TARGET_TOPIC: &str = "source.canned";
/// More than a processor keeps nearest to itself, as no broker's page cache is there either.
const ROUND_BYTES: usize = 32 << 20;
const INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);
