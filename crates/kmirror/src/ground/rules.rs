//! How a target topic takes its batches, and how two topics that hold the same records may differ.

use kmirror_codec::{HoleFill, Timestamps};

/// What the target's topic asks of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRules {
    /// `max.message.bytes`: the largest batch, header included.
    pub(crate) batch_bytes_max: usize,
    /// How the holes are filled that the source's cleaner left: repeats suit only a target that cleans as well.
    pub(crate) holes: HoleFill,
    /// What becomes of append times.
    pub(crate) timestamps: Timestamps,
}

/// How a target topic takes its batches, and whether its cleaner removes records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicRules {
    pub(crate) batches: TargetRules,
    pub(crate) is_compacted: bool,
    /// Whether retention applies as well (`cleanup.policy=compact,delete`).
    pub(crate) is_retained_for_a_time: bool,
    pub(crate) keeps_timestamps: bool,
}

impl TopicRules {
    /// The topic's cleanup policy, where it is compacted.
    pub(crate) fn compaction_policy(&self) -> Option<&'static str> {
        self.is_compacted.then_some(if self.is_retained_for_a_time { "compact,delete" } else { "compact" })
    }

    /// How the logs of a source topic with these rules and of its target may differ.
    pub(crate) fn compared_with(&self, target: &TopicRules) -> CompareRules {
        CompareRules {
            source_is_compacted: self.is_compacted,
            target_is_compacted: target.is_compacted,
            keeps_timestamps: target.keeps_timestamps,
        }
    }
}

/// How the two topics may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompareRules {
    pub(crate) source_is_compacted: bool,
    pub(crate) target_is_compacted: bool,
    /// Whether the target keeps the timestamps it is sent (`message.timestamp.type`).
    pub(crate) keeps_timestamps: bool,
}

impl CompareRules {
    /// Whether a cleaner may have removed records on either side.
    pub(crate) fn is_cleaned(&self) -> bool {
        self.source_is_compacted || self.target_is_compacted
    }
}
