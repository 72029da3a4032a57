//! Batches captured from real clients, compared with the view that Kafka's own reader has of them: a `.bin` with whole
//! batches and a `.txt` beside it, both in testdata/batches.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kmirror_codec::{
    Batch, Entry, HoleFill, Limits, RecordRef, Records, RewriteRequest, Rewritten, TimestampType, Timestamps,
    Workspace, decompress, parse_marker, rewrite, split,
};

use crate::support::read;

/// The golden files that end so.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/batches");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn batches(path: &Path) -> Vec<Batch> {
    let mut entries = split(Bytes::from(fs::read(path).unwrap()), 0);
    let batches = entries
        .by_ref()
        .map(|entry| match entry.unwrap() {
            Entry::Batch(batch) => batch,
            Entry::Legacy(legacy) => panic!("{legacy:?}"),
        })
        .collect();
    assert_eq!(entries.truncated(), None);
    batches
}

#[test]
fn we_read_what_kafka_reads() {
    assert_eq!(files("bin").len(), files("txt").len());
    assert!(files("bin").len() >= 16);
    for path in files("bin") {
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        let expected: Vec<_> = expected.lines().filter(|line| !line.starts_with('#')).collect();
        let found: String = batches(&path).iter().map(view).collect();
        for (number, (found, expected)) in found.lines().zip(&expected).enumerate() {
            assert_eq!(found, *expected, "{} line {number} of the view", path.display());
        }
        assert_eq!(found.lines().count(), expected.len(), "{}", path.display());
    }
}

/// The cases that the capture is there for: should a new capture lack one, this says so.
#[test]
fn the_capture_has_the_odd_cases() {
    let named = |part: &str| -> Vec<Batch> {
        files("bin")
            .iter()
            .filter(|path| path.to_str().unwrap().contains(part))
            .flat_map(|path| batches(path))
            .collect()
    };
    let markers: Vec<_> =
        named("transactional").iter().filter_map(|batch| parse_marker(batch).unwrap()).collect();
    assert_eq!(markers.iter().map(|marker| marker.commit).collect::<Vec<_>>(), [true, false, true, false]);

    let compacted = named("compacted");
    let sparse = |batch: &&Batch| batch.header().records_count > 0 && !batch.header().is_dense();
    assert!(compacted.iter().any(|batch| sparse(&batch)));
    assert!(compacted.iter().any(|batch| batch.header().records_count == 0));
    assert!(compacted.iter().any(|batch| batch.header().attributes.has_delete_horizon()));

    let append_time = named("log-append-time");
    let has_append_time =
        |batch: &Batch| batch.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
    assert!(!append_time.is_empty() && append_time.iter().all(has_append_time));
}

#[test]
fn every_batch_of_data_can_be_rewritten() {
    let mut workspace = Workspace::new();
    for path in files("bin") {
        for batch in batches(&path).iter().filter(|batch| !batch.header().attributes.is_control()) {
            let records = read(batch).unwrap();
            // One offset later than the batch begins, so that it is encoded again.
            let request = RewriteRequest {
                start: batch.header().base_offset + 1,
                batch_bytes_max: 1 << 20,
                timestamps: Timestamps::Keep,
                holes: HoleFill::Markers,
                limits: Limits::default(),
            };
            let pieces = rewrite(batch, &request, &mut workspace).unwrap();
            let written = pieces.iter().filter_map(|piece| match piece {
                Rewritten::Batch(batch) => Some(read(batch).unwrap()),
                _ => None,
            });
            let expected: Vec<_> =
                records.into_iter().filter(|record| record.offset >= request.start).collect();
            assert_eq!(written.flatten().collect::<Vec<_>>(), expected, "{}", path.display());
        }
    }
}

/// The lines that the capture writes for a batch.
fn view(batch: &Batch) -> String {
    batch.verify_crc().unwrap();
    let header = batch.header();
    let attributes = header.attributes;
    let delete_horizon =
        if attributes.has_delete_horizon() { header.base_timestamp.to_string() } else { "none".to_string() };
    let mut view = format!(
        "batch base_offset={} last_offset={} count={} bytes={} codec={} timestamp_type={:?} transactional={} control={} \
         delete_horizon={delete_horizon} max_timestamp={} producer_id={} producer_epoch={} base_sequence={} \
         leader_epoch={} crc={:08x}\n",
        header.base_offset,
        header.last_offset(),
        header.records_count,
        batch.bytes().len(),
        attributes.compression().unwrap(),
        attributes.timestamp_type(),
        attributes.is_transactional(),
        attributes.is_control(),
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.partition_leader_epoch,
        header.crc,
    );
    let mut workspace = Workspace::new();
    let payload = decompress(batch, &Limits::default(), &mut workspace).unwrap();
    for record in Records::new(header, payload) {
        append_record(&mut view, &record.unwrap());
        if let Some(marker) = parse_marker(batch).unwrap() {
            let (commit, epoch) = (marker.commit, marker.coordinator_epoch);
            writeln!(view, "  marker commit={commit} coordinator_epoch={epoch}").unwrap();
        }
    }
    view
}

fn append_record(view: &mut String, record: &RecordRef<'_>) {
    let (key, value) = (text(record.key), text(record.value));
    write!(view, "  record offset={} timestamp={} key={key} value={value}", record.offset, record.timestamp)
        .unwrap();
    for header in record.headers() {
        let (key, value) = header.unwrap();
        write!(view, " header {}={}", text(Some(key)), text(value)).unwrap();
    }
    view.push('\n');
}

fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_string(),
        Some(bytes) if bytes.len() > 100 => format!("{}:{:08x}", bytes.len(), crc32c::crc32c(bytes)),
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}
