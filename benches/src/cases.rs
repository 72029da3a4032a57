//! The steps of a copy that cost something for each batch or byte, one by one: benches measure their time, the guard counts their
//! instructions.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kmirror_client::{ProducePartition, ProduceRequest, TopicId};
use kmirror_codec::{
    Batch, BatchError, Compression, Entry, HoleFill, Limits, Merge, Plan, PlanContext, RewriteRequest,
    Rewritten, Stamp, Timestamps, Workspace, decompress, plan, rewrite, split, stamp,
};
use kmirror_testkit::Workload;

use crate::batches::batches;

/// Something that is done again and again.
pub struct Case {
    /// What is done, and to what: `stamp/256 KiB`.
    pub name: String,
    /// How many bytes of batches it is done to.
    pub bytes: u64,
    work: Box<dyn FnMut() -> Result<usize, Box<dyn Error>>>,
}

impl Case {
    fn new(
        name: impl Into<String>,
        bytes: usize,
        work: impl FnMut() -> Result<usize, Box<dyn Error>> + 'static,
    ) -> Case {
        Case { name: name.into(), bytes: bytes as u64, work: Box::new(work) }
    }

    /// Does it once. What comes out is a number that depends on all of it.
    ///
    /// # Errors
    /// None, as long as what is measured works.
    pub fn run(&mut self) -> Result<usize, Box<dyn Error>> {
        (self.work)()
    }
}

/// All of them, always in the same order.
///
/// # Errors
/// None, as long as the batches can be made.
pub fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let raw = |batch_bytes: u32, values: u32| {
        let workload = Workload::new("t").keys(100_000).value_bytes(values, values).batch_bytes(batch_bytes);
        batches(&workload.content(), 512 << 10)
    };
    let mut cases = Vec::new();
    for (name, batches) in [
        ("256 KiB", raw(256 << 10, 1_000)?),
        ("16 KiB", raw(16 << 10, 1_000)?),
        ("1 record", raw(1, 100)?.into_iter().take(512).collect()),
    ] {
        cases.extend(untouched(name, &batches));
    }
    cases.push(merged(raw(1, 100)?.into_iter().take(512).collect()));
    for compression in Compression::ALL {
        cases.extend(decoded(compression)?);
    }
    Ok(cases)
}

/// What is done to batches whose payload is not read, but for its checksum.
fn untouched(name: &str, batches: &[Batch]) -> Vec<Case> {
    let records = joined(batches);
    let bytes = records.len();
    let (crc, stamped, encoded) = (batches.to_vec(), batches.to_vec(), batches.to_vec());
    vec![
        Case::new(format!("split/{name}"), bytes, {
            let records = records.clone();
            move || Ok(passed(&records)?.len())
        }),
        Case::new(format!("crc/{name}"), bytes, move || {
            crc.iter().try_for_each(Batch::verify_crc)?;
            Ok(crc.len())
        }),
        Case::new(format!("stamp/{name}"), bytes, move || {
            let crcs =
                stamped.iter().map(|batch| usize::from(stamp(batch, &STAMP).last().copied() == Some(0)));
            Ok(crcs.sum())
        }),
        Case::new(format!("produce/{name}"), bytes, move || produced(&encoded)),
        Case::new(format!("pass through/{name}"), bytes, move || produced(&passed(&records)?)),
    ]
}

/// What is done to tiny batches that wait.
fn merged(batches: Vec<Batch>) -> Case {
    let bytes = batches.iter().map(|batch| batch.bytes().len()).sum();
    Case::new("merge/1 record", bytes, move || {
        let mut merge = Merge::new(256 << 10);
        if !batches.iter().all(|batch| merge.push(batch)) {
            return Err("a batch was not merged".into());
        }
        Ok(merge.finish().ok_or("nothing was merged")?.header().records_count.unsigned_abs() as usize)
    })
}

/// What is done to a batch whose records must be read.
fn decoded(compression: Compression) -> Result<Vec<Case>, Box<dyn Error>> {
    let workload = Workload::new("t").keys(100_000).json().value_bytes(200, 400);
    let workload = workload.batch_bytes(64 << 10).codec(compression.name());
    let batch = batches(&workload.content(), 1)?.into_iter().next().ok_or("there is no batch")?;
    let (name, bytes) = (compression.name(), batch.bytes().len());
    let (mut reading, mut writing) = (Workspace::new(), Workspace::new());
    let compressed = batch.clone();
    let request = RewriteRequest {
        // Without its first record it cannot stay as it is.
        start: batch.header().base_offset + 1,
        batch_bytes_max: 1 << 20,
        timestamps: Timestamps::Keep,
        holes: HoleFill::Repeats,
        limits: Limits::default(),
    };
    Ok(vec![
        Case::new(format!("decompress/{name}"), bytes, move || {
            Ok(decompress(&compressed, &Limits::default(), &mut reading)?.len())
        }),
        Case::new(format!("rewrite/{name}"), bytes, move || {
            let pieces = rewrite(&batch, &request, &mut writing)?;
            let length = |piece: &Rewritten| match piece {
                Rewritten::Batch(batch) => batch.bytes().len(),
                _ => 0,
            };
            Ok(pieces.iter().map(length).sum())
        }),
    ])
}

/// The batches as a broker sends them.
fn joined(batches: &[Batch]) -> Bytes {
    let mut records = BytesMut::new();
    batches.iter().for_each(|batch| records.extend_from_slice(batch.bytes()));
    records.freeze()
}

/// The batches of an answer, none of which needs to be touched.
fn passed(records: &Bytes) -> Result<Vec<Batch>, BatchError> {
    let mut context = PlanContext {
        position: 0,
        batch_bytes_max: 1 << 20,
        timestamps: Timestamps::Keep,
        holes: HoleFill::Markers,
    };
    let mut passed = Vec::new();
    for entry in split(records.clone(), 0) {
        let Entry::Batch(batch) = entry? else { continue };
        if plan(batch.header(), &context)? == Plan::PassThrough {
            context.position = batch.header().next_offset();
            passed.push(batch);
        }
    }
    Ok(passed)
}

/// Each batch under a new header for a partition of its own, as a request; its bytes.
fn produced(batches: &[Batch]) -> Result<usize, Box<dyn Error>> {
    let topic: Arc<str> = Arc::from("topic");
    let partitions = (0..).zip(batches).map(|(partition, batch)| ProducePartition {
        topic: Arc::clone(&topic),
        topic_id: TopicId::NONE,
        partition,
        header: stamp(batch, &STAMP),
        payload: batch.payload(),
    });
    let request = ProduceRequest { timeout: Duration::from_secs(30), partitions: partitions.collect() };
    Ok(usize::try_from(request.encoded_bytes(PRODUCE_VERSION)?)?)
}

const STAMP: Stamp = Stamp { producer_id: 4_000, producer_epoch: 0, base_sequence: 17 };
/// The last that names topics.
const PRODUCE_VERSION: i16 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_works_on_what_it_says() {
        let mut cases = cases().unwrap();
        for case in &mut cases {
            let (once, again) = (case.run().unwrap(), case.run().unwrap());
            assert_eq!(once, again, "{}", case.name);
            let bytes = usize::try_from(case.bytes).unwrap();
            match case.name.split_once('/').unwrap() {
                ("produce" | "pass through", _) => assert!(once > bytes, "{}: {once} of {bytes}", case.name),
                ("rewrite", _) => assert!((bytes / 2..bytes * 2).contains(&once), "{}: {once}", case.name),
                ("decompress", codec) => assert!(once + 61 >= bytes, "{codec}: {once} of {bytes}"),
                _ => assert!(once <= 512, "{}: {once}", case.name),
            }
        }
        let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len());
    }
}
