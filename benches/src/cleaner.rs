//! The log cleaner of our own source, called for one topic.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kmirror_testkit::ClusterPair;

/// Lets the cleaner through a whole topic, and waits until it has nothing more to do: until no partition changes, and of each this
/// is true of the bytes that it has and had. Returns the bytes that are left.
pub(crate) fn compact(
    pair: &ClusterPair,
    topic: &str,
    partitions: u32,
    is_clean: impl Fn(u64, u64) -> bool,
) -> Result<u64, Box<dyn Error>> {
    let (source, _) = pair.clusters().ok_or("a cleaner is seen at work on clusters of our own only")?;
    let log_dir = source.node(1)?.log_dir();
    let folders: Vec<PathBuf> =
        (0..partitions).map(|number| log_dir.join(format!("{topic}-{number}"))).collect();
    let bytes = || folders.iter().map(log_bytes).collect::<Result<Vec<u64>, _>>();
    let written = bytes()?;
    let policy = "cleanup.policy=compact,min.cleanable.dirty.ratio=0.01";
    let alter = ["configs", "--alter", "--topic", topic, "--add-config", policy];
    pair.source.tool(&alter)?.success()?;
    let deadline = Instant::now() + PATIENCE;
    let mut before = written.clone();
    let left = loop {
        thread::sleep(Duration::from_secs(3));
        let now = bytes()?;
        if now == before && now.iter().zip(&written).all(|(now, written)| is_clean(*now, *written)) {
            break now.iter().sum();
        }
        if Instant::now() > deadline {
            return Err(format!("the cleaner left {now:?} bytes of {written:?} in {topic}").into());
        }
        before = now;
    };
    // The target is to clean as any topic does, not all the time.
    let usual = ["configs", "--alter", "--topic", topic, "--delete-config", "min.cleanable.dirty.ratio"];
    pair.source.tool(&usual)?.success()?;
    Ok(left)
}

fn log_bytes(folder: &PathBuf) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            // The cleaner removes files between the listing and this.
            bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

const PATIENCE: Duration = Duration::from_secs(600);
