//! Appending to a log, reading from it, and cutting it at either end.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;

use super::batch::{self, HEADER_BYTES, Header};
use super::canned::Canned;
use super::cleaner::Cleaning;
use super::epochs::Epochs;
use super::producers::{Producers, Sequenced};
use super::validator::{self, Rules, Valid};

/// The log of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionLog {
    batches: Vec<Stored>,
    start: i64,
    end: i64,
    /// What all in-sync replicas have; behind it nothing is visible.
    high_watermark: i64,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    aborted: Vec<Aborted>,
    bytes: usize,
    /// What DeleteRecords has removed last, and nothing since.
    deleted: Option<Box<Deleted>>,
    /// What it does instead of storing.
    pub(crate) canned: Option<Canned>,
}

#[derive(Clone, Debug)]
struct Stored {
    base_offset: i64,
    next_offset: i64,
    max_timestamp: i64,
    bytes: Bytes,
}

/// The beginning of a log before records were deleted.
#[derive(Clone, Debug)]
struct Deleted {
    start: i64,
    batches: Vec<Stored>,
    aborted: Vec<Aborted>,
    epochs: Epochs,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Of the marker that ends it.
    pub(crate) last_offset: i64,
}

/// Why a batch was refused, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
    /// Records at fault, by index, with what is wrong with each.
    pub(crate) records: Vec<(i32, String)>,
}

/// Where a batch was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendedAt {
    pub(crate) base_offset: i64,
    /// The offset that must be replicated before it is acknowledged.
    pub(crate) next_offset: i64,
    /// The leader's clock, on a topic with append times; else -1.
    pub(crate) append_time: i64,
}

/// Whose append it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) version: i16,
    pub(crate) leader_epoch: i32,
    pub(crate) now_ms: i64,
}

/// What a read gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogRead {
    /// Batches as they lie in the log; the last one may be cut.
    pub(crate) records: Bytes,
    pub(crate) aborted: Vec<Aborted>,
}

impl Refused {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Refused {
        Refused { error, message: message.into(), records: Vec::new() }
    }
}

impl PartitionLog {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.producers.first_unstable().map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// All batches, as they lie in the log.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Bytes> {
        self.batches.iter().map(|stored| &stored.bytes)
    }

    /// Appends what a client sends.
    pub(crate) fn append(
        &mut self,
        records: &Bytes,
        rules: &Rules,
        origin: Origin,
    ) -> Result<AppendedAt, Refused> {
        let Valid { mut header, payload } = match &self.canned {
            None => validator::validate(records, origin.version, rules, origin.now_ms)?,
            Some(_) => validator::validate_unread(records, origin.version, rules)?,
        };
        let append_time = if rules.takes_append_time { origin.now_ms } else { -1 };
        if header.producer_id >= 0 {
            let judged = self.producers.judge(&header);
            match judged.map_err(|error| self.out_of_order(error, &header))? {
                Sequenced::Next => {}
                Sequenced::Repeat { base_offset, timestamp } => {
                    let next_offset = base_offset + i64::from(header.records_count);
                    // `UnifiedLog.append` sets the time of the batch that it has, whoever's it is.
                    return Ok(AppendedAt { base_offset, next_offset, append_time: timestamp });
                }
            }
        }
        (header.base_offset, header.leader_epoch) = (self.end, origin.leader_epoch);
        if self.canned.as_mut().is_some_and(|canned| !canned.take(&header, &payload)) {
            return Err(Refused::new(
                ResponseError::CorruptMessage,
                format!("It is not what is expected at offset {}", self.end),
            ));
        }
        if header.producer_id >= 0 {
            self.producers.append(&header);
        }
        if self.canned.is_some() {
            return Ok(AppendedAt { append_time, ..self.advance(&header) });
        }
        // What the client sent is kept byte for byte where only the leader's fields differ.
        let sent = Header::parse(records);
        let is_untouched = sent.is_some_and(|sent| {
            (sent.attributes, sent.max_timestamp) == (header.attributes, header.max_timestamp)
                && records.get(HEADER_BYTES..) == Some(payload.as_ref())
        });
        let bytes = if is_untouched {
            batch::placed(records, header.base_offset, header.leader_epoch)
        } else {
            header.with_payload(&payload)
        };
        Ok(AppendedAt { append_time, ..self.push(header, bytes) })
    }

    /// Appends a control marker for a transaction coordinator (`MemoryRecords.withEndTransactionMarker`).
    pub(crate) fn append_marker(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
        origin: Origin,
    ) -> Result<AppendedAt, ResponseError> {
        let header = Header {
            base_offset: self.end,
            length: 0,
            leader_epoch: origin.leader_epoch,
            magic: 2,
            crc: 0,
            attributes: TRANSACTIONAL_CONTROL,
            last_offset_delta: 0,
            base_timestamp: origin.now_ms,
            max_timestamp: origin.now_ms,
            producer_id,
            producer_epoch,
            base_sequence: -1,
            records_count: 1,
        };
        self.producers.judge_marker(&header, coordinator_epoch)?;
        let mut value = vec![0, 0];
        value.extend_from_slice(&coordinator_epoch.to_be_bytes());
        let record = batch::Record {
            offset_delta: 0,
            timestamp_delta: 0,
            key: Some(Bytes::copy_from_slice(&[0, 0, 0, u8::from(commit)])),
            value: Some(value.into()),
            headers: Bytes::from_static(&[0]),
        };
        let begun = self.producers.append_marker(&header, coordinator_epoch);
        if let (Some(first_offset), false) = (begun, commit) {
            self.aborted.push(Aborted { producer_id, first_offset, last_offset: header.base_offset });
        }
        Ok(self.push(header, header.with_payload(&batch::encode(&[record]))))
    }

    fn push(&mut self, header: Header, bytes: Bytes) -> AppendedAt {
        let at = self.advance(&header);
        self.bytes += bytes.len();
        let AppendedAt { base_offset, next_offset, .. } = at;
        self.batches.push(Stored { base_offset, next_offset, max_timestamp: header.max_timestamp, bytes });
        at
    }

    /// Moves the end behind a batch.
    fn advance(&mut self, header: &Header) -> AppendedAt {
        self.epochs.assign(header.leader_epoch, header.base_offset);
        self.end = header.last_offset() + 1;
        AppendedAt { base_offset: header.base_offset, next_offset: self.end, append_time: -1 }
    }

    fn out_of_order(&self, error: ResponseError, header: &Header) -> Refused {
        let known = self.producers.get(header.producer_id).map(|producer| producer.epoch);
        Refused::new(
            error,
            format!(
                "Out of order sequence number for producer {} at offset {}: {} (incoming seq. number), epoch {} (incoming), {known:?} \
                 (current)",
                header.producer_id, self.end, header.base_sequence, header.producer_epoch
            ),
        )
    }

    /// The replicas have caught up to here.
    pub(crate) fn replicate(&mut self, high_watermark: i64) {
        self.high_watermark = self.high_watermark.max(high_watermark.min(self.end));
    }

    /// It is not known whether the replicas have what is behind.
    pub(crate) fn forget_high_watermark(&mut self, high_watermark: i64) {
        self.high_watermark = self.high_watermark.min(high_watermark);
    }

    /// Reads batches from the one that holds `offset` on, below `end`. At least one whole batch where `whole_first`, however large.
    pub(crate) fn read(&self, offset: i64, end: i64, bytes_max: usize, whole_first: bool) -> LogRead {
        if let Some(Canned::Repeats(batches)) = &self.canned {
            let records = batches.read(offset, end, bytes_max, whole_first);
            return LogRead { records, aborted: Vec::new() };
        }
        let from = self.batches.partition_point(|stored| stored.next_offset <= offset);
        let mut records = BytesMut::new();
        let mut upper = offset;
        for stored in self.batches.iter().skip(from).take_while(|stored| stored.next_offset <= end) {
            let room = bytes_max.saturating_sub(records.len());
            let fits = stored.bytes.len() <= room || records.is_empty() && whole_first;
            if !fits {
                // A broker reads so many bytes of its file, and clients must expect a cut batch at the end.
                records.extend_from_slice(stored.bytes.get(..room).unwrap_or_default());
                break;
            }
            records.extend_from_slice(&stored.bytes);
            upper = stored.next_offset;
        }
        let is_within = |aborted: &&Aborted| aborted.last_offset >= offset && aborted.first_offset < upper;
        LogRead {
            records: records.freeze(),
            aborted: self.aborted.iter().filter(is_within).copied().collect(),
        }
    }

    /// The first offset whose record, or any of its batch, has this timestamp or a later one.
    pub(crate) fn offset_at(&self, timestamp: i64, end: i64) -> Option<(i64, i64)> {
        let stored = self.batches.iter().find(|stored| {
            stored.max_timestamp >= timestamp && stored.next_offset <= end && stored.next_offset > self.start
        })?;
        let header = Header::parse(&stored.bytes)?;
        if header.has_append_time() {
            return Some((stored.base_offset.max(self.start), header.max_timestamp));
        }
        let payload = super::compression::decompress(header.codec(), &stored.bytes.slice(HEADER_BYTES..))?;
        let records = batch::records(payload, header.records_count)?;
        records.iter().find_map(|record| {
            let at = header.base_timestamp + record.timestamp_delta;
            let offset = stored.base_offset + i64::from(record.offset_delta);
            (at >= timestamp && offset >= self.start).then_some((offset, at))
        })
    }

    /// A log without records that begins here.
    pub(crate) fn beginning_at(offset: i64) -> PartitionLog {
        PartitionLog { start: offset, end: offset, high_watermark: offset, ..PartitionLog::default() }
    }

    /// A log that stores nothing and ends here.
    pub(crate) fn canned(canned: Canned, end: i64) -> PartitionLog {
        PartitionLog { canned: Some(canned), end, high_watermark: end, ..PartitionLog::default() }
    }

    /// Changes a byte of the last batch, as a failing disk does. Nothing happens to an empty log.
    pub(crate) fn damage_last(&mut self) {
        let Some(stored) = self.batches.last_mut() else { return };
        let mut bytes = BytesMut::from(stored.bytes.as_ref());
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 0xff;
        }
        stored.bytes = bytes.freeze();
    }

    /// DeleteRecords: everything below `offset` is gone, and comes back where the broker is killed soon: the log start is written to
    /// disk once a minute (`ReplicaManager.checkpointLogStartOffsets`), and segments are deleted later still.
    pub(crate) fn delete_records(&mut self, offset: i64) {
        let is_gone = |stored: &&Stored| stored.next_offset <= offset;
        let batches: Vec<_> = self.batches.iter().take_while(is_gone).cloned().collect();
        let deleted = Deleted {
            start: self.start,
            batches,
            aborted: self.aborted.clone(),
            epochs: self.epochs.clone(),
        };
        if offset > self.start {
            self.delete_below(offset);
            self.deleted = Some(Box::new(deleted));
        }
    }

    /// The log begins where it did before records were deleted, if it was that what happened last to its beginning.
    pub(crate) fn undo_delete_records(&mut self) {
        let Some(deleted) = self.deleted.take() else { return };
        self.start = deleted.start;
        self.batches.splice(0..0, deleted.batches);
        self.bytes = self.batches.iter().map(|stored| stored.bytes.len()).sum();
        let later: Vec<_> =
            self.aborted.iter().filter(|aborted| !deleted.aborted.contains(aborted)).copied().collect();
        self.aborted = deleted.aborted.into_iter().chain(later).collect();
        self.epochs.restore_start(deleted.epochs);
    }

    /// Everything below `offset` is gone (`UnifiedLog.maybeIncrementLogStartOffset`).
    pub(crate) fn delete_below(&mut self, offset: i64) {
        self.deleted = None;
        self.start = self.start.max(offset);
        let start = self.start;
        self.batches.retain(|stored| stored.next_offset > start);
        self.bytes = self.batches.iter().map(|stored| stored.bytes.len()).sum();
        self.aborted.retain(|aborted| aborted.last_offset >= start);
        self.epochs.truncate_start(start);
    }

    /// Everything from `offset` on is gone: the new leader does not have it. What is known of producers is what the rest shows.
    pub(crate) fn truncate(&mut self, offset: i64) {
        self.batches.retain(|stored| stored.next_offset <= offset);
        self.end = self.batches.last().map_or(self.start, |stored| stored.next_offset).max(self.start);
        self.high_watermark = self.high_watermark.min(self.end);
        self.bytes = self.batches.iter().map(|stored| stored.bytes.len()).sum();
        let end = self.end;
        self.aborted.retain(|aborted| aborted.last_offset < end);
        self.epochs.truncate(end);
        self.rebuild_producers();
    }

    /// The broker has started again. Of a log that holds nothing it does not know any producer: a snapshot at the log start is not kept
    /// (`ProducerStateManager.truncateAndReload`).
    pub(crate) fn reload(&mut self) {
        if self.batches.is_empty() {
            self.producers = Producers::default();
        }
    }

    /// Learns the producers from the log, as a new replica does.
    pub(crate) fn rebuild_producers(&mut self) {
        self.producers = Producers::default();
        for stored in &self.batches {
            let Some(header) = Header::parse(&stored.bytes).filter(|header| header.producer_id >= 0) else {
                continue;
            };
            if header.is_control() {
                let value = marker_value(&stored.bytes, &header);
                self.producers.append_marker(&header, value.unwrap_or(-1));
            } else {
                self.producers.append(&header);
            }
        }
    }

    /// Oldest batches go until the log has at most so many bytes (`retention.bytes`). The last batch stays.
    pub(crate) fn retain_bytes(&mut self, bytes_max: usize) {
        let mut bytes = self.bytes;
        let mut start = self.start;
        for stored in &self.batches {
            if bytes <= bytes_max || stored.next_offset >= self.high_watermark {
                break;
            }
            bytes -= stored.bytes.len();
            start = stored.next_offset;
        }
        if start > self.start {
            self.delete_below(start);
        }
    }

    /// Removes superfluous records below `end`, and what was deleted so long ago.
    pub(crate) fn clean(&mut self, end: i64, now_ms: i64, delete_retention_ms: i64) {
        let end = end.min(self.last_stable_offset());
        let count = self.batches.partition_point(|stored| stored.next_offset <= end);
        let dirty: Vec<_> = self.batches().take(count).cloned().collect();
        let aborted = self.aborted.clone();
        let is_aborted = |header: &Header| {
            let range = |aborted: &Aborted| aborted.first_offset..aborted.last_offset;
            header.is_transactional()
                && aborted.iter().any(|aborted| {
                    aborted.producer_id == header.producer_id && range(aborted).contains(&header.base_offset)
                })
        };
        let last = self.last_batches_of_producers();
        let mut cleaning = Cleaning::begin(&dirty, &is_aborted, now_ms, delete_retention_ms);
        let (clean, rest) = self.batches.split_at(count);
        let clean = clean.iter().filter_map(|stored| {
            let bytes = cleaning.cleaned(&stored.bytes, last.contains(&stored.base_offset))?;
            Some(Stored { bytes, ..stored.clone() })
        });
        self.batches = clean.chain(rest.iter().cloned()).collect();
        self.bytes = self.batches.iter().map(|stored| stored.bytes.len()).sum();
    }

    /// The base offset of the last data batch of each producer that is known, or of its last marker where there is no data: these
    /// are kept for its sequence and epoch (`Cleaner.cleanSegments`).
    fn last_batches_of_producers(&self) -> HashSet<i64> {
        let mut last = HashMap::new();
        for stored in &self.batches {
            let Some(header) = Header::parse(&stored.bytes) else { continue };
            let is_known = self.producers.get(header.producer_id).is_some();
            let has_data = last.get(&header.producer_id).is_some_and(|(_, is_control)| !is_control);
            if is_known && !(header.is_control() && has_data) {
                last.insert(header.producer_id, (stored.base_offset, header.is_control()));
            }
        }
        last.into_values().map(|(offset, _)| offset).collect()
    }

    /// Deletes what is older (`UnifiedLog.deleteRetentionMsBreachedSegments`), batch by batch: there are no segments here.
    pub(crate) fn retain_since(&mut self, timestamp: i64) {
        let high_watermark = self.high_watermark;
        let is_old =
            |stored: &&Stored| stored.max_timestamp < timestamp && stored.next_offset <= high_watermark;
        if let Some(last) = self.batches.iter().take_while(is_old).last() {
            self.delete_below(last.next_offset);
        }
    }
}

/// The coordinator epoch of a marker.
fn marker_value(bytes: &Bytes, header: &Header) -> Option<i32> {
    let records = batch::records(bytes.slice(HEADER_BYTES..), header.records_count)?;
    let value = records.into_iter().next()?.value?;
    value.get(2..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

const TRANSACTIONAL_CONTROL: i16 = 0x30;

#[cfg(test)]
mod tests;
