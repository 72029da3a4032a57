//! Whether a batch that the broker answers as appended is in the log.
//!
//! A broker knows a repeat by its sequences alone, and answers it with the offset of what it has (`ProducerStateEntry.findDuplicateBatch`).
//! Where two owners believe that the log ends at different offsets, since one has filled a hole that was none when the other one read the
//! source, a late batch of the other may lie exactly where ours belongs, under our sequences: then ours is lost, and the answer is the expected
//! one. So such an answer is believed only after the log was read there.
//!
//! Right behind data that is known to be ours none of this can be: whoever appends there has appended that data or has read it.

use std::sync::Arc;

use kmirror_client::{Client, Moment, TopicPartition};
use kmirror_codec::{Batch, BatchError, GapReason, TimestampType, Workspace};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ground::failure::TakeOverFailure;
use crate::ground::partition::{Generation, PartitionKey};
use crate::logs::owned_record::{difference, records_of};
use crate::logs::range;

/// Where the broker says that a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The broker's own time where the topic keeps that one; else the newest timestamp of the batch that it has already, where it takes this
    /// one for its repeat (`UnifiedLog.append`).
    pub(crate) log_append_time: Option<i64>,
}

#[cfg(test)]
impl Appended {
    /// What a broker answers to a batch that it has just appended.
    pub(crate) fn at(base_offset: i64) -> Appended {
        Appended { base_offset, log_append_time: None }
    }
}

/// What is known of the batch at the front.
///
/// ```text
///    ┌─ acknowledged, and no repeat ──▶ Trusted ── a hole was filled that others may see otherwise ─┐
///    │                                     ▲                                                        │
/// Doubted ◀────────────────────────────────┼────────────────────────────────────────────────────────┘
///    │                                     └──────── read: it is ours ────────┐
///    └─ may be a repeat ──▶ ToRead ──asked──▶ Reading ────────────────────────┴─ another's ──▶ a take-over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing of ours is known to be right before it.
    Doubted,
    /// Data of ours is right before it, or a hole that each owner sees alike.
    Trusted,
    /// It was answered, and must be read. When it was sent.
    ToRead(Moment),
    /// It is being read.
    Reading(Moment),
}

/// Whether two owners may see a hole differently: what a cleaner or retention removes was there before. Where transactions ended and which were
/// aborted does not change.
pub(crate) fn may_differ(reason: GapReason) -> bool {
    match reason {
        GapReason::Cleaned | GapReason::Expired => true,
        GapReason::Control | GapReason::Aborted => false,
    }
}

/// Whether the answer may be that of another batch, of which this one would be taken for the repeat. Where a batch has no timestamp the
/// answer does not tell.
pub(crate) fn may_be_repeat(batch: &Batch, appended: &Appended) -> bool {
    appended.log_append_time.is_some() || batch.header().max_timestamp < 0
}

/// Whether the target has the records of `ours`, `delta` offsets further, and nothing else between its first and its last one.
pub(crate) fn is_in(log: &[Batch], ours: &Batch, delta: i64) -> bool {
    is_equal(log, ours, delta).unwrap_or(false)
}

fn is_equal(log: &[Batch], ours: &Batch, delta: i64) -> Result<bool, BatchError> {
    let mut workspace = Workspace::default();
    let header = ours.header();
    let (first, end) = (header.base_offset, header.next_offset());
    let ours = records_of(ours, first, end, &mut workspace)?;
    let mut compared = 0;
    for batch in log {
        let keeps_timestamps = batch.header().attributes.timestamp_type() == TimestampType::CreateTime;
        for record in records_of(batch, first + delta, end + delta, &mut workspace)? {
            let is_ours = ours.get(compared).is_some_and(|ours| {
                ours.offset + delta == record.offset && difference(ours, &record, keeps_timestamps).is_none()
            });
            if !is_ours {
                return Ok(false);
            }
            compared += 1;
        }
    }
    Ok(compared == ours.len())
}

/// What was read where a batch should be: why not, where it was not.
#[derive(Debug)]
pub(crate) struct ReadBack {
    pub(crate) key: PartitionKey,
    pub(crate) generation: Generation,
    pub(crate) log: Result<Vec<Batch>, String>,
}

/// Reads back in tasks of its own, a few at a time: each holds as much as a batch.
#[derive(Debug)]
pub(crate) struct Reader {
    tasks: JoinSet<ReadBack>,
    turns: Arc<Semaphore>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { tasks: JoinSet::new(), turns: Arc::new(Semaphore::new(READS_MAX)) }
    }
}

impl Reader {
    /// Reads `[first, end)` of the target.
    pub(crate) fn read(
        &mut self,
        (key, generation): (PartitionKey, Generation),
        client: Client,
        target: TopicPartition,
        [first, end]: [i64; 2],
    ) {
        let turns = Arc::clone(&self.turns);
        self.tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let mut log = Vec::new();
            let read = range::batches(&client, &target, first, end, |batch| {
                log.push(batch);
                Ok(())
            });
            let log = match read.await {
                Ok(()) => Ok(log),
                Err(TakeOverFailure::Park(parked)) => Err(parked.message),
                Err(TakeOverFailure::Again(cause)) => Err(cause),
                Err(TakeOverFailure::Moved { .. }) => Err("the target's log moved".to_owned()),
            };
            ReadBack { key, generation, log }
        });
    }

    /// The next answer; `None` where nothing is on the way.
    pub(crate) async fn next(&mut self) -> Option<ReadBack> {
        loop {
            match self.tasks.join_next().await? {
                Ok(read) => return Some(read),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
    }
}

const READS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestBatch;

    #[test]
    fn what_is_read_back_is_ours_or_not() {
        let ours = TestBatch::dense(100, 103).build();
        let same = TestBatch::dense(100, 103).build();
        assert!(is_in(&[same], &ours, 0));
        let parts = [TestBatch::dense(100, 101).build(), TestBatch::dense(101, 103).build()];
        assert!(is_in(&parts, &ours, 0), "however they are batched");
        let other = TestBatch::dense(97, 100).build();
        for log in [vec![], vec![other], vec![TestBatch::dense(100, 102).build()]] {
            assert!(!is_in(&log, &ours, 0), "{log:?}");
        }
    }
}
