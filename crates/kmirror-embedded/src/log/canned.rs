//! Logs that store nothing: one that repeats prepared batches, and one that compares what it is sent with them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{self, HEADER_BYTES, Header, OVERHEAD_BYTES};
use super::compression;

/// Batches that a canned partition repeats, round after round: each round continues the offsets of the one before. Cloning them copies
/// nothing.
#[derive(Clone, Debug)]
pub struct CannedBatches(Arc<Round>);

/// What a topic has taken whose batches were compared and not stored: the sum over its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Records.
    pub records: u64,
    /// Bytes of the batches as they were sent.
    pub bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Of these, those that were not cut or compressed as the prepared ones are: their records were compared one by one.
    pub rewritten: u64,
    /// What was refused because it was not what is expected at its offset.
    pub wrong: u64,
}

/// What a log does instead of storing.
#[derive(Clone, Debug)]
pub(crate) enum Canned {
    Repeats(CannedBatches),
    Compares(CannedBatches, Taken),
}

#[derive(Debug)]
struct Round {
    /// With offsets of the first round.
    batches: Vec<Prepared>,
    /// Bytes of them all.
    bytes: usize,
    /// A hash of each record, by offset.
    records: Vec<u32>,
}

#[derive(Debug)]
struct Prepared {
    header: Header,
    bytes: Bytes,
}

impl CannedBatches {
    /// Takes whole batches with one record for each of their offsets; what these are is not looked at: they follow one another from 0
    /// on. `None` where a batch is none, or cannot be read.
    pub fn new(batches: impl IntoIterator<Item = Bytes>) -> Option<CannedBatches> {
        let mut round = Round { batches: Vec::new(), bytes: 0, records: Vec::new() };
        for bytes in batches {
            let bytes = batch::placed(&bytes, i64::try_from(round.records.len()).ok()?, 0);
            let header = Header::parse(&bytes)?;
            let is_whole =
                usize::try_from(header.length).is_ok_and(|length| length + OVERHEAD_BYTES == bytes.len());
            let hashes = hashes(&header, &bytes.slice(HEADER_BYTES..))?;
            let is_dense =
                usize::try_from(header.last_offset_delta).is_ok_and(|last| last + 1 == hashes.len());
            if !is_whole || !is_dense || !batch::has_valid_crc(&bytes, &header) {
                return None;
            }
            round.records.extend(hashes);
            round.bytes += bytes.len();
            round.batches.push(Prepared { header, bytes });
        }
        (!round.batches.is_empty()).then(|| CannedBatches(Arc::new(round)))
    }

    /// The mean of their bytes.
    pub fn batch_bytes_mean(&self) -> usize {
        self.0.bytes / self.0.batches.len().max(1)
    }

    /// So many of them, from the beginning of the first round on.
    pub(crate) fn first(&self, count: u64) -> Taken {
        let round = self.0.batches.len() as u64;
        let rest = self.0.batches.iter().zip(0..count % round).map(|(batch, _)| batch);
        let rest = rest.fold((0, 0), |(records, bytes), batch| {
            (records + u64::from(batch.header.records_count.unsigned_abs()), bytes + batch.bytes.len() as u64)
        });
        Taken {
            records: count / round * self.0.records.len() as u64 + rest.0,
            bytes: count / round * self.0.bytes as u64 + rest.1,
            batches: count,
            ..Taken::default()
        }
    }

    /// The offsets of a round.
    fn offsets(&self) -> i64 {
        i64::try_from(self.0.records.len()).unwrap_or(i64::MAX)
    }

    /// Batches from the one that holds `offset` on, each with where it is.
    fn from(&self, offset: i64) -> impl Iterator<Item = (i64, &Prepared)> {
        let (round, within) = (offset.div_euclid(self.offsets()), offset.rem_euclid(self.offsets()));
        let batches = &self.0.batches;
        let index = batches.partition_point(|batch| batch.header.last_offset() < within);
        let rest = batches.iter().skip(index).map(move |batch| (round, batch));
        let later = (round + 1..).flat_map(move |round| batches.iter().map(move |batch| (round, batch)));
        rest.chain(later).map(|(round, batch)| (round * self.offsets() + batch.header.base_offset, batch))
    }

    /// What a log reads that consists of them.
    pub(crate) fn read(&self, offset: i64, end: i64, bytes_max: usize, whole_first: bool) -> Bytes {
        let below_end = |(at, batch): &(i64, &Prepared)| at + i64::from(batch.header.records_count) <= end;
        let batches = || self.from(offset).take_while(below_end);
        let first = batches().next().map_or(0, |(_, batch)| batch.bytes.len());
        let room = if whole_first { bytes_max.max(first) } else { bytes_max };
        let mut length = 0;
        let is_full = |(_, batch): (i64, &Prepared)| {
            length += batch.bytes.len();
            length >= room
        };
        batches().any(is_full);
        let mut records = BytesMut::with_capacity(length.min(room));
        for (at, batch) in batches() {
            let (start, left) = (records.len(), room - records.len());
            records.extend_from_slice(batch.bytes.get(..left).unwrap_or(&batch.bytes));
            if let Some(field) = records.get_mut(start..).and_then(|placed| placed.first_chunk_mut()) {
                *field = at.to_be_bytes();
            }
            if records.len() >= room {
                break;
            }
        }
        records.freeze()
    }

    /// Whether a batch at its offset holds the records that are there, and whether it is one of the prepared ones.
    fn compare(&self, header: &Header, payload: &Bytes) -> (bool, bool) {
        let expected = self.from(header.base_offset).next();
        let is_prepared = expected.is_some_and(|(at, expected)| {
            at == header.base_offset
                && expected.header.records_count == header.records_count
                && expected.header.codec() == header.codec()
                && expected.header.base_timestamp == header.base_timestamp
                && expected.bytes.get(HEADER_BYTES..) == Some(payload.as_ref())
        });
        (is_prepared || self.holds_records(header, payload), is_prepared)
    }

    fn holds_records(&self, header: &Header, payload: &Bytes) -> bool {
        let Some(hashes) = hashes(header, payload) else { return false };
        let expected =
            |offset: i64| self.0.records.get(usize::try_from(offset.rem_euclid(self.offsets())).ok()?);
        (header.base_offset..).zip(&hashes).all(|(offset, hash)| expected(offset) == Some(hash))
    }
}

impl Canned {
    /// Judges a batch, whose place and sequence are right, by what it holds.
    pub(crate) fn take(&mut self, header: &Header, payload: &Bytes) -> bool {
        let Canned::Compares(batches, taken) = self else { return false };
        let (is_right, is_prepared) = batches.compare(header, payload);
        if !is_right {
            taken.wrong += 1;
            return false;
        }
        taken.records += u64::from(header.records_count.unsigned_abs());
        taken.bytes += (HEADER_BYTES + payload.len()) as u64;
        taken.batches += 1;
        taken.rewritten += u64::from(!is_prepared);
        true
    }
}

impl Taken {
    pub(crate) fn add(&mut self, other: &Taken) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.batches += other.batches;
        self.rewritten += other.rewritten;
        self.wrong += other.wrong;
    }
}

/// Of timestamp, key, value and headers of each record.
fn hashes(header: &Header, payload: &Bytes) -> Option<Vec<u32>> {
    let records = batch::records(compression::decompress(header.codec(), payload)?, header.records_count)?;
    let hash = |record: &batch::Record| {
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        let hash = crc32c::crc32c(&timestamp.to_be_bytes());
        [record.key.as_ref(), record.value.as_ref(), Some(&record.headers)].into_iter().fold(
            hash,
            |hash, part| {
                let length = part.map_or(-1, |part| part.len() as i64);
                let hash = crc32c::crc32c_append(hash, &length.to_be_bytes());
                part.map_or(hash, |part| crc32c::crc32c_append(hash, part))
            },
        )
    };
    Some(records.iter().map(hash).collect())
}

#[cfg(test)]
mod tests;
