//! What happens where the logs are not what they were.

use std::time::Duration;

/// What happens to a partition whose next source records expired before they were copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpired {
    /// It parks.
    #[default]
    Stop,
    /// The lost offsets are filled with markers and recorded, and copying goes on behind them.
    Skip,
}

/// What happens to a partition of a compacted topic whose copy was not whole for longer than the source keeps deletions
/// (`delete.retention.ms`), where its cleaner has been, or may have been: keys that were deleted meanwhile may live on on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnForgottenDeletions {
    /// It is copied on, and the offsets in which deletions may have been are told and counted.
    #[default]
    Warn,
    /// It parks, so that its target topic is deleted and copied anew: an exact copy cannot be mended in place. Where nobody has written
    /// down when it was whole it is told all the same, and copied on.
    Recopy,
}

/// What happens to a partition whose source topic was deleted and created again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRecreated {
    /// It parks.
    #[default]
    Stop,
    /// The new topic is copied from its log start, behind what the target holds of the old one, under a lineage of its own.
    Restart,
}

/// What happens to a partition into which somebody else has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDiverged {
    /// It parks.
    #[default]
    Stop,
    /// Copying goes on behind the foreign records at another distance, which the lineage records.
    Shift,
}

/// What happens where the logs are not what they were. Everything that is not said here parks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policies {
    /// Source records expired before they were copied.
    pub on_expired: OnExpired,
    /// The source may have forgotten deletions that were not copied.
    pub on_forgotten_deletions: OnForgottenDeletions,
    /// The source topic was deleted and created again.
    pub on_recreated: OnRecreated,
    /// Somebody else wrote to the target.
    pub on_diverged: OnDiverged,
    /// A source topic was deleted while kmirror ran.
    pub on_deleted: OnDeleted,
    /// A consumer group was reset to an earlier offset on the source.
    pub on_group_reset: OnGroupReset,
}

/// What happens with a group on the target when it was reset to an earlier offset on the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGroupReset {
    /// It is reset there too, unless it was set back there as well.
    #[default]
    Follow,
    /// It never goes backwards there.
    Keep,
}

/// What happens on the target when a source topic is deleted while kmirror runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDeleted {
    /// The target keeps what was copied.
    #[default]
    Ignore,
    /// Its partitions park, so that somebody looks.
    Park,
    /// The target topic is deleted too, if the source's is not back before.
    Delete {
        /// How long after.
        after: Duration,
        /// Also where more than half of the flow's topics are gone within that time, and an hour: else that may be an accident.
        even_all: bool,
    },
}
