//! The producer ids of a flow. They are computed, not allocated: brokers do not ask whether an id was handed out, and the
//! controller hands ids out from 0 upwards, so the prefix never meets an allocated one (`ProducerIdControlManager`).

/// The producer ids of a flow, the same for every instance that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIds {
    /// The id under which data batches are appended: its sequence is the compare-and-append.
    pub(crate) data: i64,
    /// The id of control markers. It is another one because a marker's fence must not touch the data's sequence.
    pub(crate) markers: i64,
    /// The id of the placeholders that fill a log's head. It is another one because their sequences are offsets, while those
    /// of data count records.
    pub(crate) fillers: i64,
}

impl ProducerIds {
    /// The ids of the flow that copies from the cluster with this id. Two flows from one source share them, which is
    /// harmless: producer state is kept per partition, and no partition has two flows in `exact` mode.
    pub(crate) fn of_flow(source_cluster_id: &str) -> ProducerIds {
        let data = computed(source_cluster_id);
        let fillers = computed(&format!("{source_cluster_id}/fillers"));
        ProducerIds { data, markers: data | 1, fillers }
    }
}

/// The even id that follows from this text.
fn computed(text: &str) -> i64 {
    let hash = fnv1a_64(text.as_bytes()) & FLOW_MASK;
    PREFIX << PREFIX_SHIFT | (hash as i64) << 1
}

/// Whether a producer id is one that kmirror computes, of whichever flow.
pub(crate) fn is_kmirror(producer_id: i64) -> bool {
    matches!(producer_id >> PREFIX_SHIFT, PREFIX | STREAM_PREFIX)
}

/// FNV-1a: stable over releases and machines, which the ids must be, and they need nothing more.
fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The id under which all instances of all flows write to a state topic: its sequence is the compare-and-record.
pub(crate) const STATE_PRODUCER_ID: i64 = PREFIX << PREFIX_SHIFT;
/// "KM": high enough that no controller ever allocates it.
const PREFIX: i64 = 0x4B4D;
/// "KN": what a later release writes where several sources are merged. It must not be taken for somebody else's.
const STREAM_PREFIX: i64 = 0x4B4E;
const PREFIX_SHIFT: u32 = 48;
const FLOW_MASK: u64 = (1 << 47) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_distinct_and_recognised() {
        let east = ProducerIds::of_flow("5L6g3nShT-eMCtK--X86sw");
        let west = ProducerIds::of_flow("4L6g3nShT-eMCtK--X86sw");
        // Fixed for ever: a release that computed other ids would meet its own log as a foreign one.
        assert_eq!(ProducerIds::of_flow("").data, 0x4B4D_39C9_0844_464A);
        assert_ne!(east, west);
        assert_eq!(ProducerIds::of_flow("").fillers, 0x4B4D_F3BE_33B6_ECF2);
        let ids = [east.data, east.markers, east.fillers, west.data, west.markers, west.fillers];
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
        for id in ids {
            assert!(id > 1 << 62, "{id:x}");
            assert!(is_kmirror(id));
        }
        assert!(is_kmirror(0x4B4E << 48 | 5) && !is_kmirror(0x4B4F << 48));
        assert!(!is_kmirror(0) && !is_kmirror(-1) && !is_kmirror(4000));
    }
}
