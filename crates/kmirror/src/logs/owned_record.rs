//! Records that keep what they were read from, and whether two of them are the same.

use kmirror_codec::{Batch, BatchError, Limits, Records, Workspace, decompress};

use crate::ground::rules::CompareRules;

/// A record that keeps what it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<u8>,
}

impl OwnedRecord {
    /// Bytes of what it holds.
    pub(crate) fn size(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size(&self.key) + size(&self.value) + self.headers.len()
    }
}

/// Decodes the records of a batch within `[first, end)`.
pub(crate) fn records_of(
    batch: &Batch,
    first: i64,
    end: i64,
    workspace: &mut Workspace,
) -> Result<Vec<OwnedRecord>, BatchError> {
    batch.verify_crc()?;
    let mut records = Vec::new();
    for record in Records::new(batch.header(), decompress(batch, &Limits::default(), workspace)?) {
        let record = record?;
        if (first..end).contains(&record.offset) {
            records.push(OwnedRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.header_bytes().to_vec(),
            });
        }
    }
    Ok(records)
}

pub(crate) fn is_equal(source: &OwnedRecord, target: &OwnedRecord, rules: &CompareRules) -> bool {
    difference(source, target, rules.keeps_timestamps).is_none()
}

pub(crate) fn difference(
    source: &OwnedRecord,
    target: &OwnedRecord,
    timestamps: bool,
) -> Option<&'static str> {
    if source.key != target.key {
        Some("key")
    } else if source.value != target.value {
        Some("value")
    } else if source.headers != target.headers {
        Some("headers")
    } else if timestamps && source.timestamp != target.timestamp {
        Some("timestamp")
    } else {
        None
    }
}
