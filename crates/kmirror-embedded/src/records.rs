//! Records as they lie in a log, read without a client: by this crate's own decoder.

use std::collections::HashSet;

use bytes::Bytes;

use crate::cluster::{EmbeddedError, LogView};
use crate::log::batch::{self, HEADER_BYTES, Header};
use crate::log::compression;

/// A record in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Whether that is the time at which the leader appended it (`LogAppendTime`).
    pub is_append_time: bool,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Keys and values of its headers, in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Which records of transactions are wanted, as `isolation.level` of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All of them, up to the high watermark.
    ReadUncommitted,
    /// Those that were committed, up to the last stable offset.
    ReadCommitted,
}

impl LogView {
    /// The records that a consumer is shown: from the log start on, without control records. Which transactions were aborted is told
    /// by the control records, not by the log's index of them.
    ///
    /// # Errors
    /// [`EmbeddedError::Unreadable`] names the first batch whose checksum, compression or records are not right.
    pub fn records(&self, isolation: Isolation) -> Result<Vec<LogRecord>, EmbeddedError> {
        let (end, is_committed) = match isolation {
            Isolation::ReadUncommitted => (self.high_watermark, false),
            Isolation::ReadCommitted => (self.last_stable_offset, true),
        };
        let mut records = Vec::new();
        // From the end on, a control record comes before the records of its transaction.
        let mut aborted = HashSet::new();
        for bytes in self.batches.iter().rev() {
            let (header, decoded) = decode(bytes)?;
            if header.is_control() {
                let is_abort = decoded.first().and_then(marker_type) == Some(ABORT);
                if is_abort {
                    aborted.insert(header.producer_id)
                } else {
                    aborted.remove(&header.producer_id)
                };
                continue;
            }
            if is_committed && header.is_transactional() && aborted.contains(&header.producer_id) {
                continue;
            }
            for record in decoded.into_iter().rev() {
                let record = log_record(&header, record)?;
                if (self.start..end).contains(&record.offset) {
                    records.push(record);
                }
            }
        }
        records.reverse();
        Ok(records)
    }
}

fn decode(bytes: &Bytes) -> Result<(Header, Vec<batch::Record>), EmbeddedError> {
    let unreadable = |offset, problem| EmbeddedError::Unreadable { offset, problem };
    let header = Header::parse(bytes).ok_or(unreadable(-1, "it is shorter than a header"))?;
    if !batch::has_valid_crc(bytes, &header) {
        return Err(unreadable(header.base_offset, "its checksum is wrong"));
    }
    if header.records_count == 0 {
        return Ok((header, Vec::new()));
    }
    let payload = compression::decompress(header.codec(), &bytes.slice(HEADER_BYTES..))
        .ok_or(unreadable(header.base_offset, "it cannot be decompressed"))?;
    let records = batch::records(payload, header.records_count)
        .ok_or(unreadable(header.base_offset, "its records are not what its header says"))?;
    Ok((header, records))
}

fn log_record(header: &Header, record: batch::Record) -> Result<LogRecord, EmbeddedError> {
    let is_append_time = header.has_append_time();
    let offset = header.base_offset + i64::from(record.offset_delta);
    Ok(LogRecord {
        offset,
        timestamp: if is_append_time {
            header.max_timestamp
        } else {
            header.base_timestamp + record.timestamp_delta
        },
        is_append_time,
        key: record.key,
        value: record.value,
        headers: batch::headers(record.headers)
            .ok_or(EmbeddedError::Unreadable { offset, problem: "the headers of a record are cut" })?,
    })
}

/// The type of a control record stands behind the version of its key.
fn marker_type(record: &batch::Record) -> Option<i16> {
    let key = record.key.as_ref()?;
    key.get(2..)?.first_chunk::<2>().map(|bytes| i16::from_be_bytes(*bytes))
}

/// `ControlRecordType`.
const ABORT: i16 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec, EmbeddedCluster, NewBatch, NewRecord};

    #[tokio::test]
    async fn what_was_aborted_or_is_open_is_not_committed() {
        let cluster = EmbeddedCluster::builder().start().await.expect("started");
        cluster.create_topic("orders", 1, &[]).expect("created");
        let values = |name: &str| [format!("{name} 1"), format!("{name} 2")];
        let batch = |name: &str, producer: Option<(i64, i32)>| {
            let mut batch = NewBatch::new(Codec::Lz4);
            for value in values(name) {
                batch.push(NewRecord::new(5).value(value.into_bytes()).header("name", Some("value")));
            }
            match producer {
                Some((id, sequence)) => batch.transactional(id, 0, sequence).bytes(),
                None => batch.bytes(),
            }
        };
        let append = |bytes: Bytes| cluster.append("orders", 0, &bytes).expect("appended");
        append(batch("plain", None));
        append(batch("aborted", Some((7, 0))));
        append(batch("committed", Some((8, 0))));
        cluster.end_transaction("orders", 0, 7, 0, false).expect("ended");
        cluster.end_transaction("orders", 0, 8, 0, true).expect("ended");
        append(batch("later", Some((7, 2))));
        cluster.end_transaction("orders", 0, 7, 0, true).expect("ended");
        append(batch("open", Some((8, 2))));
        append(batch("behind", None));

        let log = cluster.log("orders", 0).expect("there");
        let read = |isolation| {
            let records = log.records(isolation).expect("readable");
            assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
            let value =
                |record: &LogRecord| String::from_utf8_lossy(record.value.as_ref().unwrap()).into_owned();
            records.iter().map(value).collect::<Vec<_>>()
        };
        let expected = |names: &[&str]| names.iter().flat_map(|name| values(name)).collect::<Vec<_>>();
        assert_eq!(read(Isolation::ReadCommitted), expected(&["plain", "committed", "later"]));
        let all = ["plain", "aborted", "committed", "later", "open", "behind"];
        assert_eq!(read(Isolation::ReadUncommitted), expected(&all));
        cluster.delete_below("orders", 0, 1).expect("there");
        let first = cluster.log("orders", 0).unwrap().records(Isolation::ReadCommitted).unwrap().remove(0);
        let headers = vec![(Bytes::from("name"), Some(Bytes::from("value")))];
        assert_eq!((first.offset, first.timestamp, first.key, first.headers), (1, 5, None, headers));
    }
}
