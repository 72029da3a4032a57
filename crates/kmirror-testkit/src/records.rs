use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};

use crate::TestkitError;

/// What a consumer wants to see of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Committed records only, up to the last stable offset.
    ReadCommitted,
    /// Everything but markers, up to the high watermark.
    ReadUncommitted,
}

impl Isolation {
    pub(crate) fn level(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// A record as the Java consumer saw it, printed by `testdata/java/DumpRecords.java`.
///
/// Keys, header keys and values are texts that tell any two byte strings apart: `null`, `"bytes"` with everything but
/// harmless ASCII as `%XX`, or `sha256:DIGEST/LENGTH` above 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// `CreateTime` or `LogAppendTime`.
    pub timestamp_type: String,
    /// Key.
    pub key: String,
    /// Headers in their order, `"key"="value"` each, separated by commas.
    pub headers: String,
    /// Value.
    pub value: String,
}

impl PrintedRecord {
    fn parse(line: &str) -> Option<PrintedRecord> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [topic, partition, offset, timestamp, timestamp_type, key, headers, value] = columns.as_slice()
        else {
            return None;
        };
        Some(PrintedRecord {
            topic: (*topic).to_owned(),
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
            timestamp: timestamp.parse().ok()?,
            timestamp_type: (*timestamp_type).to_owned(),
            key: (*key).to_owned(),
            headers: (*headers).to_owned(),
            value: (*value).to_owned(),
        })
    }
}

/// The committed records of a partition, without their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDigest {
    /// Partition.
    pub partition: i32,
    /// How many there are.
    pub records: u64,
    /// A digest of their timestamps, keys, headers and values, in their order.
    pub digest: String,
}

impl PartitionDigest {
    pub(crate) fn parse(line: &str) -> Option<PartitionDigest> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [partition, records, digest] = columns.as_slice() else { return None };
        Some(PartitionDigest {
            partition: partition.parse().ok()?,
            records: records.parse().ok()?,
            digest: (*digest).to_owned(),
        })
    }
}

/// Bytes as a [`PrintedRecord`] shows them, but for long ones, whose digest is another one.
pub fn printed_bytes(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    if bytes.len() > BYTES_SHOWN_MAX {
        let mut digest = DefaultHasher::new();
        digest.write(bytes);
        return format!("sip:{:016x}/{}", digest.finish(), bytes.len());
    }
    let mut text = String::from("\"");
    for byte in bytes {
        if byte.is_ascii_graphic() && !b"%\",=".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.push('"');
    text
}

impl fmt::Display for PrintedRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}-{} @{} {}={} key {} headers [{}] value {}",
            self.topic,
            self.partition,
            self.offset,
            self.timestamp_type,
            self.timestamp,
            self.key,
            self.headers,
            self.value
        )
    }
}

/// Compares what two clusters hold, record by record: everything that [`PrintedRecord`] shows.
///
/// # Errors
/// The first difference.
pub fn compare_records(source: &[PrintedRecord], target: &[PrintedRecord]) -> Result<(), TestkitError> {
    let show = |record: Option<&PrintedRecord>| record.map_or("nothing".to_owned(), PrintedRecord::to_string);
    for index in 0..source.len().max(target.len()) {
        let (expected, found) = (source.get(index), target.get(index));
        if expected != found {
            return Err(TestkitError::Different {
                index,
                source_record: show(expected),
                target_record: show(found),
            });
        }
    }
    Ok(())
}

pub(crate) fn parse_records(stdout: &str) -> Result<Vec<PrintedRecord>, TestkitError> {
    let parse = |line: &str| {
        PrintedRecord::parse(line)
            .ok_or_else(|| TestkitError::Output { program: "DumpRecords", line: line.to_owned() })
    };
    stdout.lines().map(parse).collect()
}

/// As in `testdata/java/DumpRecords.java`.
const BYTES_SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "orders\t2\t17\t1700000000000\tCreateTime\t\"k%00\"\t\"a\"=null,\"a\"=\"\"\tnull";

    #[test]
    fn a_line_is_a_record() {
        let record = &parse_records(LINE).unwrap()[0];
        assert_eq!((record.topic.as_str(), record.partition, record.offset), ("orders", 2, 17));
        assert_eq!((record.key.as_str(), record.value.as_str()), ("\"k%00\"", "null"));
        assert_eq!(record.headers, "\"a\"=null,\"a\"=\"\"");
        assert!(parse_records("SLF4J: something").is_err());
    }

    #[test]
    fn every_field_is_compared() {
        let source = parse_records(LINE).unwrap();
        compare_records(&source, &source).unwrap();
        assert!(compare_records(&source, &[]).is_err());
        assert!(compare_records(&[], &source).is_err());
        let changes: [fn(&mut PrintedRecord); 7] = [
            |record| record.partition += 1,
            |record| record.offset += 1,
            |record| record.timestamp += 1,
            |record| record.timestamp_type = "LogAppendTime".to_owned(),
            |record| record.key.clear(),
            |record| record.headers.clear(),
            |record| record.value.clear(),
        ];
        for change in changes {
            let mut target = source.clone();
            change(&mut target[0]);
            assert!(compare_records(&source, &target).is_err());
        }
    }
}
