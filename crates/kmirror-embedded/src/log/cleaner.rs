//! What a cleaner does to a log (`LogCleaner`): records whose key comes again later are removed; batches keep their header, and with
//! it the offsets that they cover.

use std::collections::HashMap;

use bytes::Bytes;

use super::batch::{self, HEADER_BYTES, Header};
use super::compression;

/// The offset of the last record of each key below `end`.
pub(crate) fn latest_of_keys(batches: &[Bytes], end: i64) -> HashMap<Bytes, i64> {
    let mut latest = HashMap::new();
    for bytes in batches {
        let Some((header, records)) = decoded(bytes) else { continue };
        if header.is_control() || header.base_offset >= end {
            continue;
        }
        for record in records {
            if let Some(key) = record.key {
                latest.insert(key, header.base_offset + i64::from(record.offset_delta));
            }
        }
    }
    latest
}

/// A batch without the records that a later one of their key makes superfluous. `None`: nothing of it needs to be kept.
/// `keeps_empty`: its header is all that is known of its producer's sequence.
pub(crate) fn cleaned(bytes: &Bytes, latest: &HashMap<Bytes, i64>, keeps_empty: bool) -> Option<Bytes> {
    let Some((mut header, records)) = decoded(bytes) else { return Some(bytes.clone()) };
    if header.is_control() {
        return Some(bytes.clone());
    }
    let count = records.len();
    let kept: Vec<_> = records
        .into_iter()
        .filter(|record| {
            let offset = header.base_offset + i64::from(record.offset_delta);
            record.key.as_ref().is_some_and(|key| latest.get(key).is_none_or(|latest| *latest <= offset))
        })
        .collect();
    if kept.len() == count {
        return Some(bytes.clone());
    }
    if kept.is_empty() && !keeps_empty {
        return None;
    }
    header.records_count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let payload = if kept.is_empty() {
        Vec::new()
    } else {
        compression::compress(header.codec(), &batch::encode(&kept))?
    };
    Some(header.with_payload(&payload))
}

fn decoded(bytes: &Bytes) -> Option<(Header, Vec<batch::Record>)> {
    let header = Header::parse(bytes)?;
    if header.records_count == 0 {
        return Some((header, Vec::new()));
    }
    let payload = compression::decompress(header.codec(), &bytes.slice(HEADER_BYTES..))?;
    Some((header, batch::records(payload, header.records_count)?))
}
