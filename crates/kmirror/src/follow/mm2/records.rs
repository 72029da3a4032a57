//! Heartbeats, checkpoints and offset syncs, byte for byte (`Heartbeat`, `Checkpoint`, `OffsetSync`: structs of Kafka's own schema
//! types). Pure.

use kmirror_client::TopicPartition;

use crate::ground::lineage::Run;
use crate::logs::records::KeyValue;

/// A heartbeat: key `sourceClusterAlias`, `targetClusterAlias`; value `version`, `timestamp`.
pub(super) fn heartbeat(source: &str, target: &str, timestamp_ms: i64) -> KeyValue {
    let mut key = Vec::new();
    put_string(&mut key, source);
    put_string(&mut key, target);
    let mut value = VERSION.to_vec();
    value.extend_from_slice(&timestamp_ms.to_be_bytes());
    (key, Some(value))
}

/// A checkpoint: key `group`, `topic` on the target, `partition`; value `version`, `upstreamOffset`, `offset` on the target,
/// `metadata`.
pub(super) fn checkpoint(
    group: &str,
    topic: &str,
    partition: i32,
    upstream: i64,
    offset: i64,
    metadata: &str,
) -> KeyValue {
    let mut key = Vec::new();
    put_string(&mut key, group);
    put_string(&mut key, topic);
    key.extend_from_slice(&partition.to_be_bytes());
    let mut value = VERSION.to_vec();
    value.extend_from_slice(&upstream.to_be_bytes());
    value.extend_from_slice(&offset.to_be_bytes());
    put_string(&mut value, metadata);
    (key, Some(value))
}

/// An offset sync: key `topic` on the source, `partition`; value `upstreamOffset`, `offset` on the target, and no version.
pub(super) fn offset_sync(partition: &TopicPartition, sync: Run) -> KeyValue {
    let mut key = Vec::new();
    put_string(&mut key, &partition.topic);
    key.extend_from_slice(&partition.partition.to_be_bytes());
    let mut value = sync.source.to_be_bytes().to_vec();
    value.extend_from_slice(&sync.target.to_be_bytes());
    (key, Some(value))
}

/// Kafka's STRING: its length as INT16, then UTF-8. Longer ones do not exist: names have 249 characters, and what a group writes
/// beside an offset has 4096 bytes (`offset.metadata.max.bytes`); where that was raised the end is left out.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len().min(STRING_BYTES_MAX);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    bytes.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes().get(..length).unwrap_or_default());
}

const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// The only one there is.
const VERSION: [u8; 2] = [0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_mirror_maker_byte_for_byte() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (key, value) = heartbeat("A", "B", 0);
        let value = value.unwrap_or_default();
        assert_eq!((hex(&key), hex(&value)), ("000141000142".to_owned(), "00000000000000000000".to_owned()));
        let (key, value) = checkpoint("g", "A.t", 1, 5, 7, "");
        assert_eq!(hex(&key), "0001670003412e7400000001");
        assert_eq!(hex(&value.unwrap_or_default()), "0000000000000000000500000000000000070000");
        let (key, value) = offset_sync(&TopicPartition::new("t", 0), Run { source: 5, target: 7 });
        assert_eq!(
            (hex(&key), hex(&value.unwrap_or_default())),
            ("00017400000000".to_owned(), "00000000000000050000000000000007".to_owned())
        );
    }

    #[test]
    fn texts_end_at_a_character() {
        let mut bytes = Vec::new();
        put_string(&mut bytes, &"é".repeat(20_000));
        assert_eq!(bytes.len(), 2 + 32_766);
    }
}
