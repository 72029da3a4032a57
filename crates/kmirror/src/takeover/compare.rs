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

#[cfg(test)]
mod tests {
    use kmirror_codec::Compression;

    use super::*;
    use crate::test_support::{TestBatch, TestRecord, damaged};

    #[test]
    fn records_are_read_within_the_range_only() {
        let batch = TestBatch::dense(0, 9).codec(Compression::Zstd).build();
        let mut workspace = Workspace::new();
        let records = records_of(&batch, 3, 5, &mut workspace).expect("readable");
        assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(records[0].value.as_deref(), Some(&b"value-3"[..]));
        assert!(records_of(&batch, 9, 20, &mut workspace).expect("readable").is_empty());
        assert!(records_of(&damaged(&batch), 0, 9, &mut workspace).is_err(), "its checksum is verified");
    }

    #[test]
    fn records_on_both_sides_must_be_equal() {
        let records = || owned((0..5).map(TestRecord::plain));
        assert_eq!(compare(&records(), &records(), true), Ok(Comparison::Equal));
        let whole = || TestRecord::new(2, "key", "value").header("a", Some("1"));
        let table = [
            (TestRecord { key: None, ..whole() }, "key"),
            (TestRecord { value: None, ..whole() }, "value"),
            (whole().header("a", Some("1")), "headers"),
            (whole().at(5), "timestamp"),
        ];
        for (other, difference) in table {
            let with = |record| owned([TestRecord::plain(1), record, TestRecord::plain(3)]);
            let parked = compare(&with(whole()), &with(other.clone()), true).expect_err(difference);
            assert_eq!(parked.reason, ParkReason::TargetDiverged);
            let expected = format!("offset 2 is not the source's: its {difference} differs");
            assert!(parked.message.contains(&expected), "{parked}");
            let without_times = compare(&with(whole()), &with(other), false);
            assert_eq!(without_times.is_ok(), difference == "timestamp");
        }
    }

    #[test]
    fn repeats_and_cleaned_records_say_nothing() {
        let at = |offset| TestRecord::new(offset, "key", "value").at(1);
        // The source has a record at 4 only; the target repeats it in the hole before.
        assert_eq!(compare(&owned([at(4)]), &owned((0..5).map(at)), true), Ok(Comparison::Equal));
        // The target's cleaner has removed what the source still has.
        let source = owned((0..5).map(TestRecord::plain));
        assert_eq!(compare(&source, &owned([TestRecord::plain(3)]), true), Ok(Comparison::Equal));
        // A repeat is no proof, and neither is nothing.
        assert_eq!(compare(&owned([at(9)]), &owned([at(7), at(8)]), true), Ok(Comparison::Unknown));
        assert_eq!(compare(&[], &owned([at(7)]), true), Ok(Comparison::Unknown));
        assert_eq!(compare(&source, &[], true), Ok(Comparison::Unknown));
    }

    #[test]
    fn an_append_time_equals_the_create_time_that_the_target_shows() {
        let source = TestBatch::dense(0, 2).appended_at(9_000).build();
        let target = TestBatch::of((0..2).map(|offset| TestRecord::plain(offset).at(9_000))).build();
        let mut workspace = Workspace::new();
        let mut records = |batch| records_of(batch, 0, 2, &mut workspace).expect("readable");
        let (source, target) = (records(&source), records(&target));
        assert_eq!(compare(&source, &target, true), Ok(Comparison::Equal));
    }

    fn owned(records: impl IntoIterator<Item = TestRecord>) -> Vec<OwnedRecord> {
        let batch = TestBatch::of(records).build();
        records_of(&batch, 0, i64::MAX, &mut Workspace::new()).expect("readable")
    }
}
