//! Record batches as a producer sends them, without any producer.

use kmirror_codec::{Batch, BatchBuilder, BatchError, Compression, NewRecord, Workspace};
use kmirror_testkit::{WorkloadContent, WorkloadRecord};

/// Batches with the first records of a workload, as many as are needed for so many bytes. Their offsets follow one another from 0 on;
/// where the workload says no timestamps, these do as well.
///
/// # Errors
/// Those of [`BatchBuilder`].
pub fn batches(content: &WorkloadContent, bytes: usize) -> Result<Vec<Batch>, BatchError> {
    let mut cutter = Cutter::new(content);
    // What compression saves is learned from a batch that is thrown away.
    let sample = cutter.cut(0)?;
    cutter.learn(&sample);
    let mut batches = Vec::new();
    let (mut sum, mut offset) = (0, 0);
    while sum < bytes {
        let batch = cutter.cut(offset)?;
        cutter.learn(&batch);
        (sum, offset) = (sum + batch.bytes().len(), batch.header().next_offset());
        batches.push(batch);
    }
    Ok(batches)
}

struct Cutter<'a> {
    content: &'a WorkloadContent,
    compression: Compression,
    /// Records of a batch, before compression.
    decoded_bytes_max: usize,
    workspace: Workspace,
    /// Of the records of the batch before.
    decoded_bytes: usize,
}

impl Cutter<'_> {
    fn new(content: &WorkloadContent) -> Cutter<'_> {
        let named = |compression: &Compression| compression.name() == content.codec();
        Cutter {
            content,
            compression: Compression::ALL.into_iter().find(named).unwrap_or(Compression::None),
            decoded_bytes_max: batch_bytes_max(content),
            workspace: Workspace::new(),
            decoded_bytes: 0,
        }
    }

    /// The batch that begins here: at least one record, and more while they fit.
    fn cut(&mut self, base_offset: i64) -> Result<Batch, BatchError> {
        let mut builder = BatchBuilder::new(base_offset);
        self.decoded_bytes = 0;
        for offset in base_offset.. {
            let record = self.content.record(offset.unsigned_abs());
            let decoded_bytes = self.decoded_bytes + decoded_bytes(&record);
            if offset > base_offset && decoded_bytes > self.decoded_bytes_max {
                break;
            }
            push(&mut builder, offset, &record)?;
            self.decoded_bytes = decoded_bytes;
        }
        builder.build(self.compression, &mut self.workspace)
    }

    fn learn(&mut self, batch: &Batch) {
        if self.compression != Compression::None {
            let ratio = self.decoded_bytes as f64 / batch.header().payload_bytes().max(1) as f64;
            self.decoded_bytes_max = (batch_bytes_max(self.content) as f64 * ratio * FILLED) as usize;
        }
    }
}

fn push(builder: &mut BatchBuilder, offset: i64, record: &WorkloadRecord) -> Result<(), BatchError> {
    let headers: Vec<(&[u8], Option<&[u8]>)> =
        record.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
    builder.push(&NewRecord {
        offset,
        timestamp: record.timestamp.unwrap_or(FIRST_TIMESTAMP + offset),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    })
}

/// About what a record takes.
fn decoded_bytes(record: &WorkloadRecord) -> usize {
    let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|(key, value)| 4 + key.len() + length(value)).sum();
    RECORD_BYTES + length(&record.key) + length(&record.value) + headers
}

fn batch_bytes_max(content: &WorkloadContent) -> usize {
    usize::try_from(content.batch_bytes()).unwrap_or(usize::MAX)
}

/// 2023-11-14.
const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
/// Lengths, deltas and attributes.
const RECORD_BYTES: usize = 12;
/// How full a batch is made of what is hoped for: no two compress alike.
const FILLED: f64 = 0.97;

#[cfg(test)]
mod tests {
    use super::*;
    use kmirror_testkit::Workload;

    #[test]
    fn batches_follow_one_another_and_are_about_as_large_as_wanted() {
        for codec in ["none", "zstd", "lz4", "snappy", "gzip"] {
            let workload = Workload::new("t").json().value_bytes(200, 400).batch_bytes(16 << 10).codec(codec);
            let batches = batches(&workload.content(), 100_000).unwrap();
            let mut next = 0;
            for batch in &batches {
                batch.verify_crc().unwrap();
                assert_eq!((batch.header().base_offset, batch.header().is_dense()), (next, true));
                assert_eq!(batch.header().attributes.compression().unwrap().name(), codec);
                assert!((14_000..18_000).contains(&batch.bytes().len()), "{codec}: {}", batch.bytes().len());
                next = batch.header().next_offset();
            }
            let bytes: usize = batches.iter().map(|batch| batch.bytes().len()).sum();
            assert!((100_000..118_000).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn a_batch_takes_a_record_that_is_too_large() {
        let workload = Workload::new("t").value_bytes(100, 100).batch_bytes(1);
        let batches = batches(&workload.content(), 1_000).unwrap();
        assert!(batches.iter().all(|batch| batch.header().records_count == 1), "{batches:?}");
    }
}
