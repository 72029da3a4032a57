//! What a cleaner does to a log (`LogCleaner`, `Cleaner`, `MemoryRecords.filterTo`): records whose key comes again later are removed,
//! and those of aborted transactions; deletions, and the markers of transactions of which nothing is left, go later (KIP-534).
//! Batches keep the offsets that they cover.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::batch::{self, HEADER_BYTES, Header, Record};
use super::compression;

/// One run of the cleaner.
pub(crate) struct Cleaning<'a> {
    /// The offset of the last record of each key.
    latest: HashMap<Bytes, i64>,
    /// Whether the data batch is of a transaction that was aborted.
    is_aborted: &'a dyn Fn(&Header) -> bool,
    now_ms: i64,
    delete_retention_ms: i64,
    /// Producers whose data was seen since their last marker.
    with_data: HashSet<i64>,
}

impl<'a> Cleaning<'a> {
    /// Looks for the last record of each key in `batches`, those that are to be cleaned.
    pub(crate) fn begin(
        batches: &[Bytes],
        is_aborted: &'a dyn Fn(&Header) -> bool,
        now_ms: i64,
        delete_retention_ms: i64,
    ) -> Cleaning<'a> {
        let mut latest = HashMap::new();
        for bytes in batches {
            let Some((header, records)) = decoded(bytes) else { continue };
            if header.is_control() || is_aborted(&header) {
                continue;
            }
            for record in records {
                let offset = offset_of(&header, &record);
                record.key.map(|key| latest.insert(key, offset));
            }
        }
        Cleaning { latest, is_aborted, now_ms, delete_retention_ms, with_data: HashSet::new() }
    }

    /// The next batch without what is superfluous in it. `None`: nothing of it needs to be kept.
    /// `keeps_empty`: its header is all that is known of its producer's sequence.
    pub(crate) fn cleaned(&mut self, bytes: &Bytes, keeps_empty: bool) -> Option<Bytes> {
        let Some((header, records)) = decoded(bytes) else { return Some(bytes.clone()) };
        let has_expired = header.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms);
        let (kept, marks_empty_transaction): (Vec<_>, bool) = if header.is_control() {
            let is_empty = !self.with_data.remove(&header.producer_id);
            (if is_empty && has_expired { Vec::new() } else { records.clone() }, is_empty)
        } else {
            if header.is_transactional() {
                self.with_data.insert(header.producer_id);
            }
            (
                records.iter().filter(|record| self.keeps(&header, record, has_expired)).cloned().collect(),
                false,
            )
        };
        if kept.is_empty() {
            return keeps_empty.then(|| emptied(header));
        }
        let awaits_deletion = marks_empty_transaction
            || !header.is_control() && kept.iter().any(|record| record.value.is_none());
        let horizon = (awaits_deletion && header.delete_horizon_ms().is_none())
            .then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        if kept.len() == records.len() && horizon.is_none() {
            return Some(bytes.clone());
        }
        rewritten(header, kept, horizon)
    }

    fn keeps(&self, header: &Header, record: &Record, has_expired: bool) -> bool {
        let is_latest =
            |key: &Bytes| self.latest.get(key).is_none_or(|latest| *latest <= offset_of(header, record));
        !(self.is_aborted)(header)
            && record.key.as_ref().is_some_and(is_latest)
            && (record.value.is_some() || !has_expired)
    }
}

fn offset_of(header: &Header, record: &Record) -> i64 {
    header.base_offset + i64::from(record.offset_delta)
}

/// Nothing but a header (`DefaultRecordBatch.writeEmptyHeader`).
fn emptied(mut header: Header) -> Bytes {
    header.clear_codec();
    header.records_count = 0;
    header.base_timestamp = -1;
    header.with_payload(&[])
}

fn rewritten(mut header: Header, mut kept: Vec<Record>, horizon: Option<i64>) -> Option<Bytes> {
    if let Some(horizon) = horizon {
        for record in &mut kept {
            record.timestamp_delta += header.base_timestamp - horizon;
        }
        header.set_delete_horizon_ms(horizon);
    }
    header.records_count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let last = kept.iter().map(|record| header.base_timestamp + record.timestamp_delta).max();
    if !header.has_append_time() {
        header.max_timestamp = last.unwrap_or(header.max_timestamp);
    }
    let payload = compression::compress(header.codec(), &batch::encode(&kept))?;
    Some(header.with_payload(&payload))
}

fn decoded(bytes: &Bytes) -> Option<(Header, Vec<Record>)> {
    let header = Header::parse(bytes)?;
    if header.records_count == 0 {
        return Some((header, Vec::new()));
    }
    let payload = compression::decompress(header.codec(), &bytes.slice(HEADER_BYTES..))?;
    Some((header, batch::records(payload, header.records_count)?))
}
