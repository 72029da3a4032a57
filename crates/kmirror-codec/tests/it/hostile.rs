//! Nothing that a broken disk or a hostile broker sends may cost more than an error.

use bytes::Bytes;
use kmirror_codec::{
    Batch, Entry, HoleFill, Limits, Merge, PlanContext, Records, RewriteRequest, Stamp, Timestamps,
    Workspace, decompress, parse_marker, plan, rewrite, split, stamp,
};

use crate::golden;
use crate::legacy::plain_message;
use crate::support::Random;

const LIMITS: Limits = Limits {
    decompressed_bytes_max: 1 << 20,
    zstd_window_log_max: 23,
    written_records_bytes_max: 1 << 18,
    rewritten_bytes_max: 1 << 18,
};

/// Does with the bytes whatever can be done with them.
fn exercise(bytes: Bytes, workspace: &mut Workspace) {
    let mut entries = split(bytes, 0);
    for entry in &mut entries {
        match entry {
            Ok(Entry::Batch(batch)) => exercise_batch(&batch, workspace),
            Ok(Entry::Legacy(legacy)) => {
                if let Ok(batch) = legacy.convert(&LIMITS, workspace) {
                    exercise_batch(&batch, workspace);
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
    let _ = entries.truncated();
}

fn exercise_batch(batch: &Batch, workspace: &mut Workspace) {
    let context = PlanContext {
        position: 3,
        batch_bytes_max: 10_000,
        timestamps: Timestamps::FromAppendTime,
        holes: HoleFill::Repeats,
    };
    let _ = plan(batch.header(), &context);
    let _ = parse_marker(batch);
    let _ = stamp(batch, &Stamp { producer_id: 1, producer_epoch: 1, base_sequence: 1 });
    if let Ok(payload) = decompress(batch, &LIMITS, workspace) {
        assert!(payload.len() <= LIMITS.decompressed_bytes_max);
        for record in Records::new(batch.header(), payload).flatten() {
            let _ = record.headers().count();
        }
    }
    // The checksum keeps damage out, so it is made to fit: the code behind it must stand by itself.
    let mut bytes = batch.bytes().to_vec();
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = Batch::parse(Bytes::from(bytes)).unwrap();
    for start in
        [batch.header().base_offset, batch.header().last_offset(), batch.header().base_offset.max(5) - 5]
    {
        let request = RewriteRequest {
            start,
            batch_bytes_max: 10_000,
            timestamps: context.timestamps,
            holes: context.holes,
            limits: LIMITS,
        };
        if let Ok(pieces) = rewrite(&batch, &request, workspace) {
            assert!(pieces.len() < 100_000);
        }
    }
    let mut merge = Merge::new(10_000);
    if merge.push(&batch) {
        merge.finish().unwrap().verify_crc().unwrap();
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<_> = golden::files("bin").iter().map(|path| std::fs::read(path).unwrap()).collect();
    corpus.push([plain_message(0, 0, b"zero"), plain_message(1, 1, b"one")].concat());
    corpus
}

#[test]
fn flipped_bytes_never_panic() {
    let mut workspace = Workspace::new();
    for (index, bytes) in corpus().iter().enumerate() {
        for round in 0..100 {
            let mut random = Random(index as u64 * 1000 + round);
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(4) {
                let position = match random.below(2) {
                    0 => random.below(bytes.len().min(80) as u64),
                    _ => random.below(bytes.len() as u64),
                };
                bytes[position as usize] = random.pick(&[0, 1, 0x7f, 0x80, 0xff, random.0 as u8]);
            }
            exercise(Bytes::from(bytes), &mut workspace);
        }
    }
}

#[test]
fn cut_bytes_never_panic() {
    let mut workspace = Workspace::new();
    for bytes in corpus() {
        let bytes = Bytes::from(bytes);
        let step = (bytes.len() / 60).max(1);
        for cut in (0..bytes.len()).step_by(step) {
            exercise(bytes.slice(..cut), &mut workspace);
        }
    }
}

/// A batch whose payload ends early, although its header has been made to agree.
#[test]
fn a_payload_cut_within_its_batch_never_panics() {
    let mut workspace = Workspace::new();
    for bytes in corpus() {
        let Some(Ok(Entry::Batch(batch))) = split(Bytes::from(bytes), 0).next() else { continue };
        let step = (batch.payload().len() / 40).max(1);
        for cut in (0..batch.payload().len()).step_by(step) {
            let mut bytes = batch.bytes()[..61 + cut].to_vec();
            bytes[8..12].copy_from_slice(&(49 + cut as i32).to_be_bytes());
            exercise(Bytes::from(bytes), &mut workspace);
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut workspace = Workspace::new();
    for seed in 0..3000 {
        let mut random = Random(seed);
        let length = random.below(300) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        if let Some(magic) = bytes.get_mut(16) {
            *magic = (seed % 3) as u8;
            bytes[8..12].copy_from_slice(&(length.saturating_sub(12) as i32).to_be_bytes());
            bytes[0] = 0;
        }
        exercise(Bytes::from(bytes), &mut workspace);
    }
}
