//! The positions that Kafka Connect keeps of MirrorMaker 2's sources (`OffsetStorageWriter`, `MirrorUtils.wrapPartition`): JSON in keys
//! and values. Pure.

use std::collections::BTreeMap;

use kmirror_client::TopicPartition;
use serde::Deserialize;
use serde_json::Value;

/// The positions of the partitions of one source, as their records come in. The last one of a key counts.
#[derive(Debug)]
pub(super) struct SourceOffsets {
    /// What MirrorMaker 2 calls the source.
    alias: String,
    positions: BTreeMap<TopicPartition, i64>,
}

/// The second item of a key, behind the name of the connector, which is whatever somebody chose in Connect mode. The other connectors
/// of MirrorMaker 2 have keys with other fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourcePartition {
    cluster: String,
    topic: String,
    partition: i32,
}

impl SourceOffsets {
    pub(super) fn of(alias: &str) -> SourceOffsets {
        SourceOffsets { alias: alias.to_owned(), positions: BTreeMap::new() }
    }

    /// Takes in the next record. What is none of this source's, or cannot be understood, says nothing.
    pub(super) fn take_in(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(partition) = key.and_then(|key| self.partition_of(key)) else { return };
        // A value of null takes the position back, and so does one that Connect would not accept either
        // (`MirrorUtils.validateSourceOffset`).
        match value.and_then(offset_of) {
            Some(offset) => drop(self.positions.insert(partition, offset)),
            None => drop(self.positions.remove(&partition)),
        }
    }

    pub(super) fn into_positions(self) -> BTreeMap<TopicPartition, i64> {
        self.positions
    }

    fn partition_of(&self, key: &[u8]) -> Option<TopicPartition> {
        let (_connector, partition): (Value, SourcePartition) = serde_json::from_slice(key).ok()?;
        (partition.cluster == self.alias && partition.partition >= 0)
            .then(|| TopicPartition::new(partition.topic, partition.partition))
    }
}

fn offset_of(value: &[u8]) -> Option<i64> {
    let value: Value = serde_json::from_slice(value).ok()?;
    value.get("offset")?.as_i64().filter(|offset| *offset >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[(&str, Option<&str>)]) -> Vec<(String, i64)> {
        let mut offsets = SourceOffsets::of("A");
        for (key, value) in records {
            offsets.take_in(Some(key.as_bytes()), value.map(str::as_bytes));
        }
        let mut positions: Vec<_> = offsets
            .into_positions()
            .into_iter()
            .map(|(partition, offset)| (partition.to_string(), offset))
            .collect();
        positions.sort();
        positions
    }

    #[test]
    fn the_last_value_of_a_partition_counts_whatever_the_order_of_its_fields() {
        let key = r#"["MirrorSourceConnector",{"cluster":"A","partition":0,"topic":"t"}]"#;
        let same = r#"["A->B.MirrorSourceConnector", {"topic": "t", "partition": 0, "cluster": "A"}]"#;
        assert_eq!(
            read(&[(key, Some(r#"{"offset":5}"#)), (same, Some(r#"{"offset":7}"#))]),
            [("t-0".into(), 7)]
        );
        assert_eq!(read(&[(key, Some(r#"{"offset":5}"#)), (same, None)]), [], "taken back");
        let far = r#"{"offset":5000000000}"#;
        assert_eq!(read(&[(key, Some(far))]), [("t-0".into(), 5_000_000_000)]);
        assert_eq!(read(&[(key, Some(r#"{"offset":0}"#))]), [("t-0".into(), 0)]);
    }

    #[test]
    fn what_is_none_of_the_source_says_nothing() {
        for key in [
            r#"["MirrorSourceConnector",{"cluster":"B","partition":0,"topic":"t"}]"#,
            r#"["MirrorCheckpointConnector",{"group":"g","partition":0,"topic":"t"}]"#,
            r#"["MirrorHeartbeatConnector",{"sourceClusterAlias":"A","targetClusterAlias":"B"}]"#,
            r#"["MirrorSourceConnector",{"cluster":"A","partition":-1,"topic":"t"}]"#,
            r#"["MirrorSourceConnector",{"cluster":"A","partition":4294967296,"topic":"t"}]"#,
            r#"["MirrorSourceConnector"]"#,
            "not JSON",
            "",
        ] {
            assert_eq!(read(&[(key, Some(r#"{"offset":5}"#))]), [], "{key}");
        }
        let key = r#"["MirrorSourceConnector",{"cluster":"A","partition":0,"topic":"t"}]"#;
        for value in [
            r#"{"offset":"10"}"#,
            r#"{"offset":-420}"#,
            r#"{"offset":3.14}"#,
            r#"{"offset":null}"#,
            "{}",
            "nan",
            "7",
        ] {
            assert_eq!(read(&[(key, Some(value))]), [], "{value}");
        }
        let mut offsets = SourceOffsets::of("A");
        offsets.take_in(None, Some(b"{}"));
        assert!(offsets.into_positions().is_empty());
    }
}
