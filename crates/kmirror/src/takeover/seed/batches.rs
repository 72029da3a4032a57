//! Batches of placeholders: records without key, value and headers, which compress to less than a byte each.

use std::collections::BTreeMap;

use kmirror_codec::{Batch, BatchBuilder, BatchError, Compression, NewRecord, Workspace};

use crate::ground::work;

/// Batches by their number of records. Each is built once and stamped anew for every append.
#[derive(Debug, Default)]
pub(super) struct Batches {
    built: BTreeMap<i32, Batch>,
}

impl Batches {
    /// The batch of this many records.
    pub(super) async fn get(&mut self, records: i32) -> Result<Batch, BatchError> {
        if let Some(batch) = self.built.get(&records) {
            return Ok(batch.clone());
        }
        // Several ten milliseconds of a processor, which the tasks of other partitions must not wait for.
        let building = work::run(move || build(records));
        let batch = match building.await {
            Ok(built) => built?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        };
        self.built.insert(records, batch.clone());
        Ok(batch)
    }
}

fn build(records: i32) -> Result<Batch, BatchError> {
    let mut builder = BatchBuilder::new(0);
    for offset in 0..i64::from(records) {
        builder.push(&NewRecord { offset, timestamp: NO_TIMESTAMP, key: None, value: None, headers: &[] })?;
    }
    builder.build(Compression::Zstd, &mut Workspace::new())
}

/// What a producer without a clock would send (`RecordBatch.NO_TIMESTAMP`).
///
/// - No limit of `message.timestamp.before.max.ms` or `.after.max.ms` refuses it (`LogValidator.validateTimestamp`).
/// - A segment that begins with it is rolled by its age in the broker's time, not by what its records say
///   (`LogSegment.timeWaitedForRoll`), so neither these batches nor the old records behind them roll a segment each.
/// - It leaves no trace in the time index: in the segment where the data begins, look-ups by timestamp and retention by time
///   see the data alone (`LogSegment.largestTimestamp`).
const NO_TIMESTAMP: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::takeover::seed::state::RECORDS_MAX;

    #[test]
    fn a_full_batch_fits_into_the_default_limit_of_a_topic() {
        const MAX_MESSAGE_BYTES: usize = 1_048_588;
        let batch = build(RECORDS_MAX).unwrap();
        let header = batch.header();
        assert_eq!((header.records_count, header.last_offset_delta), (RECORDS_MAX, RECORDS_MAX - 1));
        assert_eq!((header.base_timestamp, header.max_timestamp), (-1, -1));
        assert!(batch.bytes().len() < MAX_MESSAGE_BYTES * 9 / 10, "{} bytes", batch.bytes().len());
        batch.verify_crc().unwrap();
    }

    #[tokio::test]
    async fn a_batch_is_built_once() {
        let mut batches = Batches::default();
        let one = batches.get(5).await.unwrap();
        assert_eq!(batches.get(5).await.unwrap().bytes().as_ptr(), one.bytes().as_ptr());
        assert_eq!(batches.get(6).await.unwrap().header().records_count, 6);
    }
}
