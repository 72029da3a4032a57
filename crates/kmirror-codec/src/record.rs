use crate::wire::Reader;
use crate::{BatchError, BatchHeader, TimestampType};

/// Walks the records of one batch, without allocating.
///
/// Checked is that the records are as many as the header says, that nothing follows them, that each ends where its
/// length says, and that offsets rise within what the header covers. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    header: BatchHeader,
    /// What consumers see as the timestamp of every record, where the batch has one.
    append_time: Option<i64>,
    index: usize,
    lowest_next_delta: i64,
    ended: bool,
}

impl<'a> Records<'a> {
    /// Reads `payload`, the records without compression (see [`decompress`](crate::decompress())), of the batch with
    /// this header.
    pub fn new(header: &BatchHeader, payload: &'a [u8]) -> Records<'a> {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Records {
            reader: Reader::new(payload),
            header: *header,
            append_time,
            index: 0,
            lowest_next_delta: 0,
            ended: false,
        }
    }

    fn advance(&mut self) -> Result<Option<RecordRef<'a>>, &'static str> {
        if i64::try_from(self.index) == Ok(i64::from(self.header.records_count)) {
            return if self.reader.is_empty() { Ok(None) } else { Err("bytes follow the last record") };
        }
        let mut record = read_length(&mut self.reader)
            .and_then(|length| self.reader.bytes(length))
            .map(Reader::new)
            .ok_or("the bytes end before the record does")?;
        let record = self.parse(&mut record).ok_or("its fields do not fit its length")?;
        let delta = record.offset - self.header.base_offset;
        if delta < self.lowest_next_delta || delta > i64::from(self.header.last_offset_delta) {
            return Err("its offset does not rise within the batch");
        }
        self.lowest_next_delta = delta + 1;
        self.index += 1;
        Ok(Some(record))
    }

    fn parse(&self, record: &mut Reader<'a>) -> Option<RecordRef<'a>> {
        let _attributes = record.i8()?; // none is defined
        let timestamp_delta = record.varlong()?;
        let offset_delta = record.varint()?;
        let body = record.rest();
        let key = record.nullable_bytes()?;
        let value = record.nullable_bytes()?;
        let header_bytes = record.rest();
        if header_bytes.is_empty() {
            return None; // not even their count
        }
        // Java's addition wraps as well, so whatever the delta, this is what a consumer sees.
        let stored_timestamp = self.header.base_timestamp.wrapping_add(timestamp_delta);
        Some(RecordRef {
            offset: self.header.base_offset.checked_add(i64::from(offset_delta))?,
            timestamp: self.append_time.unwrap_or(stored_timestamp),
            stored_timestamp,
            key,
            value,
            header_bytes,
            body,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(Some(record)) => Some(Ok(record)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(problem) => {
                self.ended = true;
                let base_offset = self.header.base_offset;
                Some(Err(BatchError::InvalidRecord { base_offset, index: self.index, problem }))
            }
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its offset in the log.
    pub offset: i64,
    /// The timestamp that a consumer sees, in milliseconds since the epoch: the append time of the batch where the type
    /// is LogAppendTime, otherwise the stored one. -1 for none.
    pub timestamp: i64,
    /// The timestamp that is stored with the record: the producer's, whatever the type.
    pub stored_timestamp: i64,
    /// Its key; empty is not null.
    pub key: Option<&'a [u8]>,
    /// Its value; null is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    header_bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Its headers, in order, duplicate keys included.
    pub fn headers(&self) -> Headers<'a> {
        let mut reader = Reader::new(self.header_bytes);
        let left = read_length(&mut reader);
        Headers { left: left.unwrap_or(1), reader, valid: left.is_some() }
    }

    /// Its headers as they are stored, count first: equal bytes are equal headers.
    pub fn header_bytes(&self) -> &'a [u8] {
        self.header_bytes
    }

    /// Key, value and headers as they are stored: all of a record that does not depend on where it stands.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Iterator over the headers of a record: key and value. Keys are any bytes; a value may be null. Ends after the first
/// error, which is the problem in words.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: usize,
    valid: bool,
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let key = read_length(&mut self.reader).and_then(|length| self.reader.bytes(length))?;
        let value = self.reader.nullable_bytes()?;
        Some((key, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.valid && !self.reader.is_empty() {
                self.valid = false;
                return Some(Err("bytes follow the last header"));
            }
            return None;
        }
        self.left -= 1;
        match self.read().filter(|_| self.valid) {
            Some(header) => Some(Ok(header)),
            None => {
                (self.left, self.valid) = (0, false);
                Some(Err("the headers do not fit the record"))
            }
        }
    }
}

fn read_length(reader: &mut Reader<'_>) -> Option<usize> {
    usize::try_from(reader.varint()?).ok()
}
