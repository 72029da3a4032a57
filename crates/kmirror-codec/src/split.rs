use bytes::Bytes;

use crate::header::LOG_OVERHEAD_BYTES;
use crate::legacy::LEGACY_MESSAGE_BYTES_MIN;
use crate::wire::Reader;
use crate::{Batch, BatchError, LegacyBatch};

/// One entry of a log as a Fetch response carries it. Formats may change from entry to entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A format 2 batch.
    Batch(Batch),
    /// A message of format 0 or 1.
    Legacy(LegacyBatch),
}

impl Entry {
    /// Last offset that the entry covers, inclusive.
    pub fn last_offset(&self) -> i64 {
        match self {
            Entry::Batch(batch) => batch.header().last_offset(),
            Entry::Legacy(legacy) => legacy.last_offset(),
        }
    }

    /// Lowest offset that the entry may hold: a compressed message of format 0 or 1 states only its last.
    fn first_offset_stated(&self) -> i64 {
        match self {
            Entry::Batch(batch) => batch.header().base_offset,
            Entry::Legacy(legacy) => legacy.last_offset(),
        }
    }
}

/// Walks the entries of a Fetch response's `records`, without copying.
///
/// Entries that end before `wanted_offset` are skipped: a broker answers with whole batches and may begin with one
/// that begins earlier. The first entry given may thus straddle `wanted_offset`.
///
/// ```
/// # use kmirror_codec::{BatchBuilder, Compression, Entry, NewRecord, Workspace, split};
/// # let mut builder = BatchBuilder::new(5);
/// # builder.push(&NewRecord { offset: 5, timestamp: 0, key: None, value: None, headers: &[] })?;
/// # let records = builder.build(Compression::None, &mut Workspace::new())?.bytes().clone();
/// let mut entries = split(records, 5);
/// for entry in &mut entries {
///     let Entry::Batch(batch) = entry? else { panic!("not expected here") };
///     assert_eq!(batch.header().base_offset, 5);
/// }
/// assert_eq!(entries.truncated(), None);
/// # Ok::<(), kmirror_codec::BatchError>(())
/// ```
pub fn split(records: Bytes, wanted_offset: i64) -> Split {
    Split { rest: records, wanted_offset, previous_last_offset: None, truncated: None }
}

/// Iterator over the entries of a Fetch response; see [`split`]. Ends after the first error.
#[derive(Debug)]
pub struct Split {
    rest: Bytes,
    wanted_offset: i64,
    previous_last_offset: Option<i64>,
    truncated: Option<Truncated>,
}

/// The cut-off entry at the end of a Fetch response: brokers send as many bytes as were asked for and cut there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Bytes of it that are there.
    pub bytes: usize,
    /// Bytes of the whole entry, where enough is there to know: what the next fetch of this partition must allow if
    /// nothing came before it.
    pub bytes_needed: Option<usize>,
}

impl Split {
    /// The cut-off tail, once the iterator has ended. `None` before that, and where the bytes end with an entry.
    pub fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    /// The next entry, wanted or not.
    fn advance(&mut self) -> Result<Option<Entry>, BatchError> {
        let Some((offset, entry_bytes, magic)) = self.peek()? else {
            if !self.rest.is_empty() {
                self.truncated = Some(self.tail());
                self.rest.clear();
            }
            return Ok(None);
        };
        let bytes = self.rest.split_to(entry_bytes);
        let entry = match magic {
            0 | 1 => Entry::Legacy(LegacyBatch::parse(bytes)?),
            2 => Entry::Batch(Batch::parse(bytes)?),
            magic => return Err(BatchError::UnsupportedMagic { offset, magic }),
        };
        if let Some(previous_last_offset) = self.previous_last_offset
            && entry.first_offset_stated() <= previous_last_offset
        {
            return Err(BatchError::OffsetsNotRising { previous_last_offset, offset });
        }
        self.previous_last_offset = Some(entry.last_offset());
        Ok(Some(entry))
    }

    /// Offset field, size and magic of the next entry if all of it is there.
    fn peek(&self) -> Result<Option<(i64, usize, i8)>, BatchError> {
        let mut reader = Reader::new(&self.rest);
        let (Some(offset), Some(length)) = (reader.i64(), reader.i32()) else { return Ok(None) };
        // The smallest entry is a message of format 0 without key and value (`LegacyRecord.RECORD_OVERHEAD_V0`).
        let Some(length) = usize::try_from(length).ok().filter(|length| *length >= LEGACY_MESSAGE_BYTES_MIN)
        else {
            return Err(BatchError::InvalidHeader {
                base_offset: offset,
                field: "batch length",
                value: length.into(),
                problem: "less than the smallest entry",
            });
        };
        if reader.rest().len() < length {
            return Ok(None);
        }
        // Magic lies behind four bytes: the leader epoch in format 2, the checksum in formats 0 and 1.
        let magic = reader.u32().and_then(|_| reader.i8());
        Ok(magic.map(|magic| (offset, LOG_OVERHEAD_BYTES + length, magic)))
    }

    fn tail(&self) -> Truncated {
        let mut reader = Reader::new(&self.rest);
        let length = reader.i64().and_then(|_| reader.i32());
        let bytes_needed =
            length.and_then(|length| LOG_OVERHEAD_BYTES.checked_add(usize::try_from(length).ok()?));
        Truncated { bytes: self.rest.len(), bytes_needed }
    }
}

impl Iterator for Split {
    type Item = Result<Entry, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance() {
                Ok(Some(entry)) if entry.last_offset() < self.wanted_offset => {}
                Ok(entry) => return entry.map(Ok),
                Err(error) => {
                    self.rest.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}
