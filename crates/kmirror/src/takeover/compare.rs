//! Whether the target's last records are the source's. Pure: it is given both.

use kmirror_codec::{Batch, BatchError, Limits, Records, Workspace, decompress};

use crate::park::{ParkReason, Parked};

/// A record that keeps what it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<u8>,
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

/// What comparing one batch of the target with the source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// At least one record stands on both sides, and whatever stands on both sides is equal.
    Equal,
    /// The source no longer holds any of the batch's records.
    Unknown,
}

/// Compares the records of one batch of the target with those that the source holds at the same offsets. A record that
/// only the target has is the repeat of one, or was cleaned from the source since; a record that only the source has was
/// cleaned from the target. `timestamps`: whether the target keeps the timestamps it is sent.
pub(crate) fn compare(
    source: &[OwnedRecord],
    target: &[OwnedRecord],
    timestamps: bool,
) -> Result<Comparison, Parked> {
    let mut comparison = Comparison::Unknown;
    for record in target {
        let Ok(index) = source.binary_search_by_key(&record.offset, |candidate| candidate.offset) else {
            continue;
        };
        let Some(original) = source.get(index) else { continue };
        if let Some(difference) = difference(original, record, timestamps) {
            return Err(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the record at offset {} is not the source's: its {difference} differs. Either topic was written to by \
                     somebody else, restored or created again",
                    record.offset
                ),
            ));
        }
        comparison = Comparison::Equal;
    }
    Ok(comparison)
}

fn difference(source: &OwnedRecord, target: &OwnedRecord, timestamps: bool) -> Option<&'static str> {
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
