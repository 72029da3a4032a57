//! Comparing one partition, record by record. Pure: it is fed batches of both sides and says which side it wants more of.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use kmirror_codec::{Batch, TimestampType, Workspace};

use super::batch::{DecodedBatch, RecordView};
use super::report::{DifferenceKind, PartitionReport};

/// How the two topics may differ.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CompareRules {
    /// Whether a cleaner may have removed records on either side.
    pub(crate) is_compacted: bool,
    /// Whether the target keeps the timestamps that it is sent.
    pub(crate) keeps_timestamps: bool,
}

/// The comparison of one partition.
#[derive(Debug)]
pub(crate) struct Comparison {
    rules: CompareRules,
    first: i64,
    end: i64,
    source: Side,
    target: Side,
    /// The offset after the last one that was compared.
    reached: i64,
    unproven: Unproven,
    unproven_max: usize,
    pub(crate) report: PartitionReport,
}

/// Records that only one side has and that a later record with the same key must justify, by hash of the key: the offset, or
/// its complement where the target has the record. Offsets are not negative.
type Unproven = HashMap<(u64, u64), i64>;

/// What was read of one side and not compared yet.
#[derive(Debug, Default)]
struct Side {
    batches: VecDeque<Batch>,
    decoded: Option<DecodedBatch>,
    is_finished: bool,
}

/// What the comparison needs to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Source,
    Target,
    /// Too many records wait for a later one with their key: look for their keys alone.
    Proofs,
    Nothing,
}

impl Comparison {
    /// Compares offsets `[first, end)`.
    pub(crate) fn new(rules: CompareRules, first: i64, end: i64, mut report: PartitionReport) -> Comparison {
        (report.first, report.end) = (first, end.max(first));
        Comparison {
            rules,
            first,
            end,
            source: Side::default(),
            target: Side::default(),
            reached: first,
            unproven: Unproven::new(),
            unproven_max: UNPROVEN_MAX,
            report,
        }
    }

    /// Takes in what was read of the source. Nothing at all means that it has come to its end.
    pub(crate) fn feed_source(&mut self, batches: Vec<Batch>) {
        self.source.feed(batches);
    }

    /// Takes in what was read of the target. Nothing at all means that it has come to its end.
    pub(crate) fn feed_target(&mut self, batches: Vec<Batch>) {
        self.target.feed(batches);
    }

    /// Compares as far as what was fed reaches. For a worker: it decodes.
    pub(crate) fn advance(&mut self, workspace: &mut Workspace) -> Wants {
        loop {
            if self.unproven.len() >= self.unproven_max {
                return Wants::Proofs;
            }
            if self.skip_equal_batches() {
                continue;
            }
            let source = self.source.load(workspace, self.first, self.end, &mut self.report);
            let target = self.target.load(workspace, self.first, self.end, &mut self.report);
            match (source, target) {
                (Loaded::Hungry, _) => return Wants::Source,
                (_, Loaded::Hungry) => return Wants::Target,
                (Loaded::Finished, Loaded::Finished) => return Wants::Nothing,
                (Loaded::Ready, Loaded::Ready | Loaded::Finished) | (Loaded::Finished, Loaded::Ready) => {
                    if !self.compare_next() {
                        return Wants::Nothing;
                    }
                }
            }
        }
    }

    /// The offset after the last one that was compared: proofs are to be looked for from here on.
    pub(crate) fn reached(&self) -> i64 {
        self.reached
    }

    /// Whether records still wait for a later one with their key.
    pub(crate) fn has_unproven(&self) -> bool {
        !self.unproven.is_empty()
    }

    /// Looks for proofs in a batch that is not compared.
    pub(crate) fn prove(&mut self, batch: &Batch, workspace: &mut Workspace) {
        let Ok(mut decoded) = DecodedBatch::decode(batch, workspace) else { return };
        while let Some(record) = decoded.peek() {
            self.report.records_cleaned += u64::from(prove(&mut self.unproven, &record));
            decoded.advance();
        }
    }

    /// What has not been proven by now is a difference. `give_up`: a sample cannot prove it, and does not call it one.
    pub(crate) fn settle(&mut self, give_up: bool) {
        let mut unproven: Vec<_> = self.unproven.drain().map(|(_, offset)| offset).collect();
        if give_up {
            self.report.records_cleaned += unproven.len() as u64;
            return;
        }
        unproven.sort_unstable_by_key(|entry| offset_of(*entry));
        for offset in unproven {
            let kind = if offset >= 0 { DifferenceKind::Missing } else { DifferenceKind::Extra };
            let offset = offset_of(offset);
            self.report.differ(
                offset,
                kind,
                "no later record has its key, and it is no tombstone".to_owned(),
            );
        }
    }

    /// Batches that passed through are equal byte for byte behind their headers: their records need no decoding.
    fn skip_equal_batches(&mut self) -> bool {
        if self.source.is_within_batch() || self.target.is_within_batch() {
            return false;
        }
        let (Some(source), Some(target)) = (self.source.batches.front(), self.target.batches.front()) else {
            return false;
        };
        let (ours, theirs) = (source.header(), target.header());
        let same = ours.base_offset == theirs.base_offset
            && ours.base_offset >= self.first
            && ours.next_offset() <= self.end
            && ours.last_offset_delta == theirs.last_offset_delta
            && ours.records_count == theirs.records_count
            && ours.base_timestamp == theirs.base_timestamp
            && ours.attributes.timestamp_type() == TimestampType::CreateTime
            && theirs.attributes.timestamp_type() == TimestampType::CreateTime
            && ours.attributes.compression().ok() == theirs.attributes.compression().ok()
            // While keys are looked for, every record must be seen.
            && self.unproven.is_empty()
            && source.payload() == target.payload()
            && source.verify_crc().is_ok()
            && target.verify_crc().is_ok();
        if same {
            self.report.records_equal += u64::try_from(ours.records_count).unwrap_or(0);
            self.reached = ours.next_offset();
            self.source.batches.pop_front();
            self.target.batches.pop_front();
        }
        same
    }

    /// Compares the next record of both sides, or accounts for one that only one side has. `false`: the end is reached.
    fn compare_next(&mut self) -> bool {
        let source = self.source.decoded.as_ref().and_then(DecodedBatch::peek);
        let target = self.target.decoded.as_ref().and_then(DecodedBatch::peek);
        let next = match (&source, &target) {
            (Some(source), Some(target)) => source.offset.min(target.offset),
            (Some(one), None) | (None, Some(one)) => one.offset,
            (None, None) => return true,
        };
        if next >= self.end {
            return false;
        }
        let source = source.filter(|record| record.offset == next);
        let target = target.filter(|record| record.offset == next);
        if self.rules.is_compacted && !self.unproven.is_empty() {
            for record in source.iter().chain(target.iter()).take(1) {
                self.report.records_cleaned += u64::from(prove(&mut self.unproven, record));
            }
        }
        match (&source, &target) {
            (Some(source), Some(target)) => compare(source, target, self.rules, &mut self.report),
            (Some(record), None) => {
                only_on(record, true, self.rules, &mut self.unproven, &mut self.report);
            }
            (None, Some(record)) => {
                only_on(record, false, self.rules, &mut self.unproven, &mut self.report);
            }
            (None, None) => {}
        }
        self.reached = next + 1;
        let (on_source, on_target) = (source.is_some(), target.is_some());
        if on_source {
            self.source.advance();
        }
        if on_target {
            self.target.advance();
        }
        true
    }
}

enum Loaded {
    Ready,
    Hungry,
    Finished,
}

impl Side {
    fn feed(&mut self, batches: Vec<Batch>) {
        self.is_finished = batches.is_empty();
        self.batches.extend(batches);
    }

    /// Whether a batch is decoded and has records left.
    fn is_within_batch(&mut self) -> bool {
        if self.decoded.as_ref().is_some_and(|decoded| decoded.peek().is_none()) {
            self.decoded = None;
        }
        self.decoded.is_some()
    }

    /// Decodes the next batch that has a record at or after `first`; what begins at `end` is none of the comparison's.
    fn load(
        &mut self,
        workspace: &mut Workspace,
        first: i64,
        end: i64,
        report: &mut PartitionReport,
    ) -> Loaded {
        loop {
            if let Some(decoded) = &mut self.decoded {
                match decoded.peek() {
                    Some(record) if record.offset >= first => return Loaded::Ready,
                    Some(_) => {
                        decoded.advance();
                        continue;
                    }
                    None => self.decoded = None,
                }
            }
            let Some(batch) = self.batches.pop_front() else {
                return if self.is_finished { Loaded::Finished } else { Loaded::Hungry };
            };
            if batch.header().base_offset >= end {
                self.is_finished = true;
                self.batches.clear();
                return Loaded::Finished;
            }
            match DecodedBatch::decode(&batch, workspace) {
                Ok(decoded) => self.decoded = Some(decoded),
                Err(error) => {
                    report.differ(batch.header().base_offset, DifferenceKind::Unreadable, error.to_string());
                }
            }
        }
    }

    fn advance(&mut self) {
        if let Some(decoded) = &mut self.decoded {
            decoded.advance();
        }
    }
}

fn compare(
    source: &RecordView<'_>,
    target: &RecordView<'_>,
    rules: CompareRules,
    report: &mut PartitionReport,
) {
    let before = report.differences_count;
    let mut differ = |kind, detail| report.differ(source.offset, kind, detail);
    if source.key != target.key {
        differ(DifferenceKind::Key, both(source.key, target.key));
    }
    if source.value != target.value {
        differ(DifferenceKind::Value, both(source.value, target.value));
    }
    if source.headers != target.headers {
        differ(DifferenceKind::Headers, both(Some(source.headers), Some(target.headers)));
    }
    if rules.keeps_timestamps {
        if source.timestamp != target.timestamp {
            let detail = format!("source {}, target {}", source.timestamp, target.timestamp);
            differ(DifferenceKind::Timestamp, detail);
        } else if (source.timestamp_type, target.timestamp_type)
            == (TimestampType::CreateTime, TimestampType::LogAppendTime)
        {
            let detail = "source create time, target append time".to_owned();
            differ(DifferenceKind::TimestampType, detail);
        }
    }
    if report.differences_count == before {
        report.records_equal += 1;
        // No client can write an append time: the target shows it as a create time of the same value.
        report.append_times_kept += u64::from(
            (source.timestamp_type, target.timestamp_type)
                == (TimestampType::LogAppendTime, TimestampType::CreateTime),
        );
    }
}

/// Accounts for a record that one side has alone.
fn only_on(
    record: &RecordView<'_>,
    source: bool,
    rules: CompareRules,
    unproven: &mut Unproven,
    report: &mut PartitionReport,
) {
    let key = record.key.filter(|_| rules.is_compacted);
    match key {
        Some(_) if record.value.is_none() => report.records_cleaned += 1,
        Some(key) => {
            unproven.insert(hash(key), if source { record.offset } else { !record.offset });
        }
        None => {
            let kind = if source { DifferenceKind::Missing } else { DifferenceKind::Extra };
            let detail = format!("key {}, value {}", shown(record.key), shown(record.value));
            report.differ(record.offset, kind, detail);
        }
    }
}

/// Whether this record shows that an earlier one with its key was rightly removed, or is a repeat. A record proves nothing of
/// itself: a batch that is read for proofs may begin before it.
fn prove(unproven: &mut Unproven, record: &RecordView<'_>) -> bool {
    let Some(hash) = record.key.map(hash) else { return false };
    let is_earlier = unproven.get(&hash).is_some_and(|entry| offset_of(*entry) < record.offset);
    is_earlier && unproven.remove(&hash).is_some()
}

/// The offset of an entry of [`Unproven`].
fn offset_of(entry: i64) -> i64 {
    entry.max(!entry)
}

/// 128 bits: a collision would hide a difference, and keys may be many.
fn hash(key: &[u8]) -> (u64, u64) {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

fn both(source: Option<&[u8]>, target: Option<&[u8]>) -> String {
    format!("source {}, target {}", shown(source), shown(target))
}

/// A value as far as it fits on a line.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let text: String =
        bytes.iter().take(SHOWN_BYTES_MAX).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
    let more = if bytes.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("\"{text}{more}\" ({} bytes)", bytes.len())
}

const SHOWN_BYTES_MAX: usize = 40;
/// About 50 MB of hashes and offsets.
const UNPROVEN_MAX: usize = 500_000;

#[cfg(test)]
mod tests;
