use crate::wire::Reader;
use crate::{Batch, BatchError, Compression, Records};

/// A transaction marker: the record of a control batch that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whether the transaction was committed; aborted otherwise.
    pub commit: bool,
    /// Epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

/// The transaction marker in `batch`; `None` for a batch of data, for other control records and for a control batch
/// that the cleaner has emptied.
///
/// # Errors
/// [`BatchError::InvalidRecord`].
pub fn parse_marker(batch: &Batch) -> Result<Option<Marker>, BatchError> {
    if !batch.header().attributes.is_control() {
        return Ok(None);
    }
    let invalid =
        |problem| BatchError::InvalidRecord { base_offset: batch.header().base_offset, index: 0, problem };
    if batch.header().attributes.compression()? != Compression::None {
        return Err(invalid("a control batch is never compressed"));
    }
    let Some(record) = Records::new(batch.header(), batch.payload_slice()).next().transpose()? else {
        return Ok(None);
    };
    let control_type =
        record.key.and_then(read_control_type).ok_or(invalid("not the key of a control record"))?;
    let commit = match control_type {
        0 => false,
        1 => true,
        _ => return Ok(None),
    };
    let coordinator_epoch = record
        .value
        .and_then(read_coordinator_epoch)
        .ok_or(invalid("not the value of a transaction marker"))?;
    Ok(Some(Marker { commit, coordinator_epoch }))
}

/// `ControlRecordType.parseTypeId`: any version but a negative one is read alike.
fn read_control_type(key: &[u8]) -> Option<i16> {
    let mut reader = Reader::new(key);
    let version = reader.i16()?;
    (version >= 0).then_some(())?;
    reader.i16()
}

/// `EndTransactionMarker.deserializeValue`.
fn read_coordinator_epoch(value: &[u8]) -> Option<i32> {
    let mut reader = Reader::new(value);
    let version = reader.i16()?;
    (version >= 0).then_some(())?;
    reader.i32()
}
