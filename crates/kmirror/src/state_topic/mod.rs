//! What the target's log cannot tell: from which topic of which cluster a partition was copied, at which distance, and under
//! which leader epochs. One compacted topic on the target holds a record of it for each partition.

pub(crate) mod claim;
pub(crate) mod flow_record;
pub(crate) mod guard_record;
pub(crate) mod record;
pub(crate) mod store;
pub(crate) mod topic;
pub(crate) mod topic_record;
pub(crate) mod whole;

/// Whether a record with this key is kmirror's.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    KEY_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// What the keys of all kinds of records begin with.
const KEY_PREFIXES: [&[u8]; 8] =
    [b"partition/", b"whole/", b"raised/", b"topic/", b"flow/", b"guard/", b"group/", b"acl/"];
