//! The two logs of the model: what the source has, and the target's leader with its rules.

use std::fmt;

use kmirror_codec::{Batch, BatchBuilder, Compression, GapReason, NewRecord, Workspace};

use crate::ground::item::Item;
use crate::ground::lineage::{Lineage, Run};
use crate::ground::sequence::Sequence;

/// The source's log: a record or none at each offset.
#[derive(Clone, Debug)]
pub(in crate::data::append) struct Source {
    batches: Vec<Option<Batch>>,
}

impl Source {
    /// `#` is a record, `.` an offset without one.
    pub(in crate::data::append) fn of(picture: &str) -> Source {
        let batches =
            (0..).zip(picture.chars()).map(|(offset, what)| (what == '#').then(|| batch(offset, offset)));
        Source { batches: batches.collect() }
    }

    pub(in crate::data::append) fn end(&self) -> i64 {
        self.batches.len() as i64
    }

    pub(in crate::data::append) fn has(&self, offset: i64) -> bool {
        self.batches.get(offset as usize).is_some_and(Option::is_some)
    }

    /// The first record at or after this offset.
    pub(in crate::data::append) fn record_from(&self, offset: i64) -> Option<i64> {
        (offset..self.end()).find(|offset| self.has(*offset))
    }

    /// Where the hole that begins here ends: here, if there is none.
    pub(in crate::data::append) fn hole_end(&self, offset: i64) -> i64 {
        self.record_from(offset).unwrap_or(self.end().max(offset))
    }

    /// The length of the longest hole at or after this offset.
    pub(in crate::data::append) fn longest_hole_from(&self, offset: i64) -> i64 {
        (offset..self.end()).map(|first| self.hole_end(first) - first).max().unwrap_or(0)
    }

    /// What a fetcher emits from this offset on, a record in each batch.
    pub(super) fn items_from(&self, mut offset: i64) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(batch) = self.batches.get(offset as usize) {
            let end = if batch.is_some() { offset + 1 } else { self.hole_end(offset) };
            items.push(match batch {
                Some(batch) => Item::Batch { batch: batch.clone(), held: None, merged: 0 },
                None => Item::Gap { first: offset, end, reason: GapReason::Control },
            });
            offset = end;
        }
        items
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.batches.iter().try_for_each(|batch| formatter.write_str(if batch.is_some() { "#" } else { "." }))
    }
}

/// A batch of one record. Its timestamp is its source offset, so that its header says which one it is.
fn batch(offset: i64, timestamp: i64) -> Batch {
    let mut builder = BatchBuilder::new(offset);
    let record = NewRecord { offset, timestamp, key: None, value: None, headers: &[] };
    builder.push(&record).expect("fits");
    builder.build(Compression::None, &mut Workspace::default()).expect("builds")
}

/// One offset of the target's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::data::append) enum Entry {
    /// A record of the flow's data producer, by its source offset.
    Record {
        source: i64,
        sequence: i32,
    },
    Marker {
        token: i32,
        owner: Tenure,
    },
}

/// Which take-over an owner's appends follow from, counted over all owners. No part of the protocol: it tells the checks who
/// came later.
pub(in crate::data::append) type Tenure = u8;

/// The leader of the target partition (Kafka `ProducerAppendInfo`), replication, and what the flow has recorded of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Broker {
    pub(super) log: Vec<Entry>,
    /// What is replicated. The rest is lost when the leader moves, and nobody is answered before it is replicated.
    pub(super) high_watermark: i64,
    /// The record of the partition in the state topic.
    pub(super) lineage: Lineage,
    /// How often it was written.
    pub(super) version: u8,
    /// What was appended before this offset is too long ago for the leader to remember its producers
    /// (`producer.id.expiration.ms`).
    remembered_from: i64,
    /// Offsets whose records the cleaner has removed, a bit each: nobody reads them any more.
    pub(super) cleaned: u64,
}

impl Broker {
    pub(super) fn new() -> Broker {
        Broker {
            log: Vec::new(),
            high_watermark: 0,
            lineage: Lineage::beginning_at(0, 0),
            version: 0,
            remembered_from: 0,
            cleaned: 0,
        }
    }

    pub(super) fn end(&self) -> i64 {
        self.log.len() as i64
    }

    pub(super) fn visible(&self) -> &[Entry] {
        &self.log[..self.high_watermark as usize]
    }

    /// The highest coordinator epoch of a marker, as far as the leader remembers.
    pub(super) fn token(&self) -> i32 {
        let token = |entry: &Entry| if let Entry::Marker { token, .. } = entry { *token } else { 0 };
        self.remembered().iter().map(token).max().unwrap_or(0)
    }

    fn remembered(&self) -> &[Entry] {
        self.log.get(self.remembered_from as usize..).unwrap_or_default()
    }

    /// Nothing was appended for so long that the leader forgets the flow's producers.
    pub(super) fn forget_producers(&mut self) {
        self.remembered_from = self.end();
    }

    /// The cleaner removes every record that it may: the last batch of a producer stays for its sequence, while the producer is known.
    pub(super) fn clean(&mut self) {
        let visible = records(self.visible()).map(|(offset, ..)| offset);
        let last = records(&self.log).next_back().map(|(offset, ..)| offset);
        let may_go = |offset: &i64| Some(*offset) != last || *offset < self.remembered_from;
        self.cleaned = visible.filter(may_go).fold(self.cleaned, |cleaned, offset| cleaned | 1 << offset);
    }

    pub(super) fn remembers_anything(&self) -> bool {
        !self.remembered().is_empty()
    }

    /// What a fetch shows at this offset.
    pub(super) fn read(&self, offset: i64) -> Vec<Batch> {
        match self.log.get(offset as usize) {
            Some(Entry::Record { source, .. }) if self.cleaned & (1 << offset) == 0 => {
                vec![batch(offset, *source)]
            }
            _ => Vec::new(),
        }
    }

    /// Appends one record, if its sequence is the next one. Its offset, or that of the first copy if it is a repeat.
    pub(super) fn append(&mut self, source: i64, sequence: i32) -> Option<i64> {
        let remembered = || records(self.remembered()).rev().take(REMEMBERED_BATCHES);
        let (last, repeated) = (remembered().next(), remembered().find(|(_, _, last)| *last == sequence));
        if let Some((offset, ..)) = repeated {
            return Some(self.remembered_from + offset);
        }
        if last.is_some_and(|(_, _, last)| Sequence::after(last, 1).value() != sequence) {
            return None;
        }
        self.log.push(Entry::Record { source, sequence });
        Some(self.end() - 1)
    }

    /// Another replica becomes the leader, which has the log up to `end`: the rest is gone.
    pub(super) fn fail_over(&mut self, end: i64) {
        self.log.truncate(end as usize);
        self.cleaned &= (1 << end) - 1;
        self.high_watermark = self.high_watermark.min(end);
        self.remembered_from = self.remembered_from.min(end);
    }

    /// Markers for which the source has no offset.
    pub(super) fn excess(&self, source: &Source) -> i64 {
        let (mut excess, mut markers, mut next) = (0, 0, 0);
        let too_many = |markers: i64, next: i64| (markers - (source.hole_end(next) - next)).max(0);
        for entry in &self.log {
            match entry {
                Entry::Marker { .. } => markers += 1,
                Entry::Record { source, .. } => {
                    excess += too_many(markers, next);
                    (markers, next) = (0, source + 1);
                }
            }
        }
        excess + too_many(markers, next)
    }

    /// Where the last record is, before this target offset.
    pub(super) fn last_record(&self) -> Option<Run> {
        records(&self.log).next_back().map(|(target, source, _)| Run { source, target })
    }
}

/// Target offset, source offset and sequence of each record.
pub(in crate::data::append) fn records(
    log: &[Entry],
) -> impl DoubleEndedIterator<Item = (i64, i64, i32)> + Clone {
    (0..log.len()).filter_map(|offset| match log[offset] {
        Entry::Record { source, sequence } => Some((offset as i64, source, sequence)),
        Entry::Marker { .. } => None,
    })
}

/// Kafka `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
const REMEMBERED_BATCHES: usize = 5;
