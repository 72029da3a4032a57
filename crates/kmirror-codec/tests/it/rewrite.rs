use std::collections::BTreeMap;
use std::time::Instant;

use kmirror_codec::{
    Attributes, Batch, BatchBuilder, BatchError, Compression, HoleFill, Limits, Plan, PlanContext,
    RewriteRequest, Rewritten, TimestampType, Timestamps, Workspace, plan, rewrite,
};

use crate::support::{OwnedRecord, Random, batch, dense, read};

const REQUEST: RewriteRequest = RewriteRequest {
    start: 0,
    batch_bytes_max: 1 << 20,
    timestamps: Timestamps::Keep,
    holes: HoleFill::Repeats,
    limits: Limits {
        decompressed_bytes_max: 64 << 20,
        zstd_window_log_max: 27,
        written_records_bytes_max: 16 << 20,
        rewritten_bytes_max: 64 << 20,
    },
};

/// All pieces, with [`Rewritten::Rest`] followed up.
fn rewrite_all(
    batch: &Batch,
    request: &RewriteRequest,
    workspace: &mut Workspace,
) -> Result<Vec<Rewritten>, BatchError> {
    let mut pieces = rewrite(batch, request, workspace)?;
    while let Some(Rewritten::Rest { start }) = pieces.last() {
        let start = *start;
        pieces.pop();
        assert!(!pieces.is_empty(), "no progress");
        pieces.extend(rewrite(batch, &RewriteRequest { start, ..*request }, workspace)?);
    }
    Ok(pieces)
}

/// What must be true of the pieces, whatever the batch: checked against the records themselves.
fn check(source: &Batch, request: &RewriteRequest, pieces: &[Rewritten]) {
    let survivors: BTreeMap<i64, OwnedRecord> =
        read(source).unwrap().into_iter().map(|record| (record.offset, record)).collect();
    let append_time = source.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
    let written = append_time && request.timestamps == Timestamps::FromAppendTime;
    let codec = source.header().attributes.compression().unwrap();
    let mut next = request.start;
    for piece in pieces {
        match piece {
            Rewritten::Rest { .. } => panic!("followed up before"),
            Rewritten::Gap { first, end } => {
                assert_eq!(*first, next);
                assert!(end > first && survivors.contains_key(end), "a gap ends at a survivor");
                assert_eq!(survivors.range(first..end).count(), 0, "a record lies in a gap");
                next = *end;
            }
            Rewritten::Batch(batch) => {
                batch.verify_crc().unwrap();
                let header = batch.header();
                assert_eq!(header.base_offset, next);
                assert!(header.is_dense());
                assert!(batch.bytes().len() <= request.batch_bytes_max);
                let mut repeats = false;
                let mut latest = i64::MIN;
                for record in read(batch).unwrap() {
                    let (offset, survivor) = survivors.range(record.offset..).next().unwrap();
                    repeats |= *offset != record.offset;
                    let timestamp = if written { source.header().max_timestamp } else { survivor.timestamp };
                    let expected = OwnedRecord { offset: record.offset, timestamp, ..survivor.clone() };
                    assert_eq!(record, expected);
                    latest = latest.max(timestamp);
                    next = record.offset + 1;
                }
                assert_eq!(next, header.next_offset());
                if batch.bytes() == source.bytes() {
                    continue;
                }
                check_header(source, batch, written, latest);
                let expected = match codec {
                    Compression::Lz4 | Compression::Zstd => codec,
                    _ if repeats => Compression::Zstd,
                    codec => codec,
                };
                let squeezed = header.records_count == 1 && codec != Compression::None;
                let found = header.attributes.compression().unwrap();
                assert!(
                    found == expected || squeezed && found == Compression::Zstd,
                    "{found} for {expected}"
                );
                assert!(!repeats || request.holes == HoleFill::Repeats);
            }
        }
    }
    let end = survivors.last_key_value().map_or(request.start, |(last, _)| last + 1).max(request.start);
    assert_eq!(next, end, "the pieces end behind the last survivor");
}

fn check_header(source: &Batch, batch: &Batch, written: bool, latest: i64) {
    let header = batch.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
    assert!(!header.attributes.is_transactional() && !header.attributes.has_delete_horizon());
    let expected =
        if written { TimestampType::CreateTime } else { source.header().attributes.timestamp_type() };
    assert_eq!(header.attributes.timestamp_type(), expected);
    match expected {
        TimestampType::CreateTime => assert_eq!(header.max_timestamp, latest.max(-1)),
        TimestampType::LogAppendTime => assert_eq!(header.max_timestamp, source.header().max_timestamp),
    }
}

/// A batch with holes, of any codec and timestamp type, with flags that must not come out again.
fn random_batch(random: &mut Random) -> Batch {
    let base_offset = 1000 + random.below(10) as i64;
    let mut builder = BatchBuilder::new(base_offset);
    builder.attributes(Attributes::default().with_transactional(random.chance(2)));
    if random.chance(4) {
        builder.append_time(Some(1_700_000_123_456));
    }
    if random.chance(4) {
        builder.attributes(Attributes::default().with_delete_horizon(true)).base_timestamp(1_600_000_000_000);
    }
    let holes = !random.chance(4);
    let value_bytes_max = random.pick(&[5, 50, 500, 10_000]);
    let mut offset = base_offset;
    for _ in 0..random.below(30) {
        offset += if holes { random.pick(&[0, 0, 0, 1, 2, 10, 300]) } else { 0 };
        OwnedRecord::random(random, offset, value_bytes_max).push_to(&mut builder).unwrap();
        offset += 1;
    }
    if holes && random.chance(2) {
        builder.last_offset(offset + 5);
    }
    builder.build(random.pick(&Compression::ALL), &mut Workspace::new()).unwrap()
}

#[test]
fn random_batches_come_out_as_the_model_says() {
    let mut workspace = Workspace::new();
    let (mut untouched, mut too_large, mut gaps, mut split) = (0, 0, 0, 0);
    for seed in 0..500 {
        let mut random = Random(seed);
        let source = random_batch(&mut random);
        let end = source.header().next_offset();
        let request = RewriteRequest {
            start: end - random.below((end - 900) as u64) as i64,
            batch_bytes_max: random.pick(&[300, 2_000, 50_000, 1 << 20]),
            timestamps: random.pick(&[Timestamps::Keep, Timestamps::FromAppendTime]),
            holes: random.pick(&[HoleFill::Repeats, HoleFill::Repeats, HoleFill::Markers]),
            limits: Limits {
                written_records_bytes_max: random.pick(&[100, 5_000, 16 << 20]),
                rewritten_bytes_max: random.pick(&[1_000, 10_000, 64 << 20]),
                ..Limits::default()
            },
        };
        match rewrite_all(&source, &request, &mut workspace) {
            Ok(pieces) => {
                check(&source, &request, &pieces);
                untouched += usize::from(pieces.contains(&Rewritten::Batch(source.clone())));
                gaps += pieces.iter().filter(|piece| matches!(piece, Rewritten::Gap { .. })).count();
                split += usize::from(pieces.len() > 3);
            }
            Err(BatchError::RecordTooLarge { bytes, limit, .. }) => {
                assert!(bytes > limit && limit == request.batch_bytes_max, "seed {seed}");
                too_large += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(
        untouched > 20 && too_large > 20 && gaps > 20 && split > 20,
        "{untouched} {too_large} {gaps} {split}"
    );
}

#[test]
fn what_is_rewritten_passes_the_plan() {
    let mut workspace = Workspace::new();
    for seed in 0..200 {
        let mut random = Random(seed);
        let source = random_batch(&mut random);
        let request = RewriteRequest { start: 1000, timestamps: Timestamps::FromAppendTime, ..REQUEST };
        for piece in rewrite_all(&source, &request, &mut workspace).unwrap() {
            let Rewritten::Batch(batch) = piece else { continue };
            let context = PlanContext {
                position: batch.header().base_offset,
                batch_bytes_max: request.batch_bytes_max,
                timestamps: request.timestamps,
                holes: request.holes,
            };
            assert_eq!(plan(batch.header(), &context), Ok(Plan::PassThrough), "seed {seed}");
        }
    }
}

#[test]
fn a_hole_before_an_intact_batch_leaves_it_untouched() {
    for codec in Compression::ALL {
        let source = dense(100, 10, codec);
        let pieces =
            rewrite(&source, &RewriteRequest { start: 90, ..REQUEST }, &mut Workspace::new()).unwrap();
        let [Rewritten::Batch(fill), Rewritten::Batch(original)] = &pieces[..] else { panic!("{pieces:?}") };
        assert_eq!(original.bytes(), source.bytes());
        assert_eq!((fill.header().base_offset, fill.header().records_count), (90, 10));
        let first = read(&source).unwrap().remove(0);
        assert!(
            read(fill).unwrap().iter().all(|record| record.key == first.key && record.value == first.value)
        );
    }
}

#[test]
fn markers_fill_every_hole_where_they_are_asked_for() {
    let records = [3, 4, 9].map(|offset| OwnedRecord::plain(offset, "key", "value"));
    let source = batch(0, &records, Compression::Lz4);
    let request = RewriteRequest { holes: HoleFill::Markers, ..REQUEST };
    let pieces = rewrite(&source, &request, &mut Workspace::new()).unwrap();
    let [first, Rewritten::Batch(two), second, Rewritten::Batch(one)] = &pieces[..] else {
        panic!("{pieces:?}")
    };
    assert_eq!(*first, Rewritten::Gap { first: 0, end: 3 });
    assert_eq!(*second, Rewritten::Gap { first: 5, end: 9 });
    assert_eq!((two.header().records_count, one.header().base_offset), (2, 9));
}

#[test]
fn a_hole_before_a_large_record_takes_markers() {
    let large = "x".repeat(900_000);
    let source = batch(0, &[OwnedRecord::plain(5, "key", &large)], Compression::None);
    let pieces = rewrite(&source, &REQUEST, &mut Workspace::new()).unwrap();
    assert!(matches!(pieces[..], [Rewritten::Gap { first: 0, end: 5 }, Rewritten::Batch(_)]), "{pieces:?}");
}

#[test]
fn records_before_the_start_are_dropped() {
    let source = dense(0, 10, Compression::Gzip);
    let pieces = rewrite(&source, &RewriteRequest { start: 7, ..REQUEST }, &mut Workspace::new()).unwrap();
    let [Rewritten::Batch(rest)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(read(rest).unwrap(), read(&source).unwrap()[7..]);
    assert_eq!(rewrite(&source, &RewriteRequest { start: 10, ..REQUEST }, &mut Workspace::new()), Ok(vec![]));
}

#[test]
fn a_batch_over_the_limit_is_split_into_few() {
    for codec in Compression::ALL {
        let mut random = Random(9);
        let records: Vec<_> = (0..2000)
            .map(|offset| OwnedRecord {
                value: Some(random.bytes(500)),
                ..OwnedRecord::plain(offset, "key", "")
            })
            .collect();
        let source = batch(0, &records, codec);
        let limit = source.bytes().len() / 4;
        let request = RewriteRequest { batch_bytes_max: limit, ..REQUEST };
        let pieces = rewrite(&source, &request, &mut Workspace::new()).unwrap();
        check(&source, &request, &pieces);
        assert!((4..=6).contains(&pieces.len()), "{codec}: {}", pieces.len());
    }
}

#[test]
fn a_record_that_cannot_fit_is_named() {
    let records = [OwnedRecord::plain(0, "key", "small"), OwnedRecord::plain(1, "key", &"x".repeat(2000))];
    let source = batch(0, &records, Compression::None);
    let request = RewriteRequest { batch_bytes_max: 1000, ..REQUEST };
    let error = rewrite(&source, &request, &mut Workspace::new()).unwrap_err();
    let BatchError::RecordTooLarge { offset: 1, bytes, limit: 1000 } = error else { panic!("{error}") };
    assert!((2061..2100).contains(&bytes));
}

#[test]
fn damaged_bytes_are_not_signed_anew() {
    let mut bytes = dense(0, 10, Compression::None).bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let source = Batch::parse(bytes.into()).unwrap();
    let error = rewrite(&source, &RewriteRequest { start: 3, ..REQUEST }, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, BatchError::ChecksumMismatch { .. }));
}

#[test]
fn a_hole_of_millions_is_cheap_and_bounded() {
    let end = 2_000_000;
    let source = batch(end, &[OwnedRecord::plain(end, "key", "a small value")], Compression::None);
    let limits =
        Limits { written_records_bytes_max: 4 << 20, rewritten_bytes_max: 8 << 20, ..Limits::default() };
    let mut workspace = Workspace::new();
    let (mut next, mut calls, began) = (0, 0, Instant::now());
    while next <= end {
        let pieces =
            rewrite(&source, &RewriteRequest { start: next, limits, ..REQUEST }, &mut workspace).unwrap();
        assert!(pieces.len() <= 4, "{}", pieces.len());
        for piece in &pieces {
            match piece {
                Rewritten::Batch(batch) => {
                    assert_eq!(batch.header().base_offset, next);
                    next = batch.header().next_offset();
                }
                Rewritten::Rest { start } => assert_eq!(*start, next),
                gap @ Rewritten::Gap { .. } => panic!("{gap:?}"),
            }
        }
        calls += 1;
    }
    assert_eq!(next, end + 1);
    println!("{end} repeats in {calls} calls and {:?}", began.elapsed());
}
