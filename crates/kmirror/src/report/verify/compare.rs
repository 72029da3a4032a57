//! Comparing one partition, record by record. Pure: it is fed batches of both sides and says which side it wants more of.

use std::collections::VecDeque;

use kmirror_codec::{Batch, TimestampType, Workspace};

use super::batch::{DecodedBatch, RecordView};
use super::head::{Excuse, Head};
use super::lone::{LoneRecords, Side};
use super::report::{DifferenceKind, PartitionReport};

/// How the two logs may differ, by what the source's topic and the flow promise. Whatever the target's topic does beyond is no excuse.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CompareRules {
    /// Whether a cleaner may have removed records on either side.
    pub(crate) is_compacted: bool,
    /// Whether the target's topic is compacted though the source's is not.
    pub(crate) target_alone_is_compacted: bool,
    /// What explains that earlier records are not on the target.
    pub(crate) head: Head,
    /// The flow's id for placeholders ([`ProducerIds::fillers`](crate::ground::identity::ProducerIds)).
    pub(crate) fillers: Option<i64>,
}

/// The comparison of one partition.
#[derive(Debug)]
pub(crate) struct Comparison {
    rules: CompareRules,
    first: i64,
    end: i64,
    source: Unread,
    target: Unread,
    /// The offset after the last one that was compared.
    reached: i64,
    lone: LoneRecords,
    lone_max: usize,
    pub(crate) report: PartitionReport,
}

/// What was read of one side and not compared yet.
#[derive(Debug, Default)]
struct Unread {
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
    pub(crate) fn new(rules: CompareRules, (first, end): (i64, i64), report: PartitionReport) -> Comparison {
        Comparison {
            rules,
            first,
            end,
            source: Unread::default(),
            target: Unread::default(),
            reached: first,
            lone: LoneRecords::default(),
            lone_max: LONE_MAX,
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
            if self.lone.len() >= self.lone_max {
                return Wants::Proofs;
            }
            if self.skip_equal_batches() {
                continue;
            }
            let source = self.source.load(workspace, self.first, self.end, &mut self.report);
            let target = self.target.load(workspace, self.target_first(), self.end, &mut self.report);
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

    /// The records that only one side has and that nothing justifies yet.
    pub(crate) fn lone(&self) -> &LoneRecords {
        &self.lone
    }

    /// From now on batches are looked at that are not compared, of a target that ends at `target_end` now.
    pub(crate) fn begin_proofs(&mut self, target_end: i64) {
        self.lone.end_target_at(target_end);
    }

    /// Looks for later records of the same keys in a batch of `side` that is not compared, from an offset on.
    pub(crate) fn prove(&mut self, side: Side, from: i64, batch: &Batch, workspace: &mut Workspace) {
        let (lone, report) = (&mut self.lone, &mut self.report);
        for_each_record(from, batch, workspace, |record| {
            if lone.is_justified_by(side, record) {
                report.clean();
            }
        });
    }

    /// Looks for what deletions should have removed in a batch of `side`, whose log begins at `from`.
    pub(crate) fn look_back(&mut self, side: Side, from: i64, batch: &Batch, workspace: &mut Workspace) {
        for_each_record(from, batch, workspace, |record| self.lone.look_back(side, record));
    }

    /// What has not been justified by now is a difference. `give_up`: a sample cannot tell, and does not call it one.
    pub(crate) fn settle(&mut self, give_up: bool) {
        if give_up {
            self.lone.give_up(&mut self.report);
        } else {
            self.lone.settle(&mut self.report);
        }
    }

    /// Where the target begins: a log may begin in the midst of a batch, and a leader sends the whole of it.
    fn target_first(&self) -> i64 {
        self.first.max(self.rules.head.end)
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
            && ours.base_offset >= self.target_first()
            && ours.next_offset() <= self.end
            && ours.last_offset_delta == theirs.last_offset_delta
            && ours.records_count == theirs.records_count
            && ours.base_timestamp == theirs.base_timestamp
            && ours.attributes.timestamp_type() == TimestampType::CreateTime
            && theirs.attributes.timestamp_type() == TimestampType::CreateTime
            && ours.attributes.compression().ok() == theirs.attributes.compression().ok()
            // While keys are looked for, every record must be seen.
            && self.lone.is_empty()
            && source.payload() == target.payload()
            && source.verify_crc().is_ok()
            && target.verify_crc().is_ok();
        if same {
            let records = u64::try_from(ours.records_count).unwrap_or(0);
            self.report.records_equal += records;
            self.report.records_compared += records;
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
        if !self.lone.is_empty() {
            for (side, record) in [(Side::Source, &source), (Side::Target, &target)] {
                if record.as_ref().is_some_and(|record| self.lone.is_justified_by(side, record)) {
                    self.report.clean();
                }
            }
        }
        match (&source, &target) {
            (Some(source), Some(target)) => compare(source, target, &mut self.report),
            (Some(record), None) => {
                only_on(Side::Source, record, &self.rules, &mut self.lone, &mut self.report);
            }
            (None, Some(record)) => {
                only_on(Side::Target, record, &self.rules, &mut self.lone, &mut self.report);
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

impl Unread {
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

/// Compares what is promised: everything but the type of an append time, which no client can write. The target shows it as a create
/// time of the same value.
fn compare(source: &RecordView<'_>, target: &RecordView<'_>, report: &mut PartitionReport) {
    let before = report.differences_count;
    report.records_compared += 1;
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
    if source.timestamp != target.timestamp {
        let detail = format!("source {}, target {}", source.timestamp, target.timestamp);
        differ(DifferenceKind::Timestamp, detail);
    }
    if target.timestamp_type == TimestampType::LogAppendTime {
        let detail = "the target has its append time (message.timestamp.type=LogAppendTime)".to_owned();
        differ(DifferenceKind::TimestampType, detail);
    }
    if report.differences_count == before {
        report.records_equal += 1;
        report.append_times_kept += u64::from(source.timestamp_type == TimestampType::LogAppendTime);
    }
}

/// Accounts for a record that one side has alone.
fn only_on(
    side: Side,
    record: &RecordView<'_>,
    rules: &CompareRules,
    lone: &mut LoneRecords,
    report: &mut PartitionReport,
) {
    let excuse = match side {
        Side::Source => rules.head.excuse(record),
        Side::Target => Excuse::Nothing,
    };
    if let Some(key) = record.key.filter(|_| rules.is_compacted) {
        lone.add(side, record, key, excuse);
        return;
    }
    if excuse.is_taken(report) {
        return;
    }
    report.records_compared += 1;
    let mut detail = format!("key {}, value {}", shown(record.key), shown(record.value));
    let kind = match side {
        Side::Source => DifferenceKind::Missing,
        Side::Target if rules.fillers == Some(record.producer_id) => DifferenceKind::Placeholder,
        Side::Target => DifferenceKind::Extra,
    };
    if side == Side::Source && record.offset < rules.head.end {
        detail.push_str(&format!("; the target's log begins at {}", rules.head.end));
    } else if side == Side::Source && rules.target_alone_is_compacted {
        detail.push_str("; the target topic is compacted (cleanup.policy), the source topic is not");
    }
    report.differ(record.offset, kind, detail);
}

/// The records of a batch from an offset on: a log may begin in the midst of one. A batch that cannot be read proves nothing.
fn for_each_record(
    from: i64,
    batch: &Batch,
    workspace: &mut Workspace,
    mut each: impl FnMut(&RecordView<'_>),
) {
    let Ok(mut decoded) = DecodedBatch::decode(batch, workspace) else { return };
    while let Some(record) = decoded.peek() {
        if record.offset >= from {
            each(&record);
        }
        decoded.advance();
    }
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
/// About 50 MB.
const LONE_MAX: usize = 500_000;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
