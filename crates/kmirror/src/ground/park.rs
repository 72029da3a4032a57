//! Why a partition stands still until somebody looks.

use std::fmt;

use kmirror_client::ClientError;

/// Why a partition is parked. The names are shown to users and are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParkReason {
    /// The source's log ends before, or differs at, what was copied: an unclean leader election or a restored cluster.
    SourceTruncated,
    /// The source topic was deleted and created again: it has another topic id.
    SourceRecreated,
    /// The source topic was deleted, and the policy says that somebody should look.
    SourceDeleted,
    /// The source no longer holds the next records: retention or DeleteRecords removed them before they were copied.
    RecordsExpired,
    /// The source may have forgotten deletions that were not copied, and the policy says that the copy is to be made anew.
    DeletionsForgotten,
    /// The target's log holds something that this flow did not write, or not what the source has.
    TargetDiverged,
    /// The target topic was deleted and created again: it has another topic id.
    TargetRecreated,
    /// A permission is missing.
    Unauthorized,
    /// A record is larger than the target accepts.
    TooLarge,
    /// The target refuses a record for what it is: no key on a compacted topic, a timestamp out of range.
    Rejected,
    /// A batch of the source is damaged or not understood.
    CorruptBatch,
    /// kmirror has noticed a defect of its own before it could do harm. Please report it.
    Defect,
}

impl ParkReason {
    /// Why something stands still that a cluster refuses: for want of a permission, or for what it is.
    pub(crate) fn of_refusal(error: &ClientError) -> ParkReason {
        if error.is_authorization() { ParkReason::Unauthorized } else { ParkReason::Rejected }
    }

    /// Whether something outside may change so that the partition goes on: a limit, a permission.
    pub(crate) fn may_pass(self) -> bool {
        matches!(self, ParkReason::Unauthorized | ParkReason::TooLarge | ParkReason::Rejected)
    }

    /// Whether one of the two topics is not, or may not be, the one that was copied or the copy: what was known of both together does
    /// not count any more.
    pub(crate) fn doubts_the_copy(self) -> bool {
        match self {
            ParkReason::SourceTruncated
            | ParkReason::SourceRecreated
            | ParkReason::SourceDeleted
            | ParkReason::TargetDiverged
            | ParkReason::TargetRecreated => true,
            ParkReason::RecordsExpired
            | ParkReason::DeletionsForgotten
            | ParkReason::Unauthorized
            | ParkReason::TooLarge
            | ParkReason::Rejected
            | ParkReason::CorruptBatch
            | ParkReason::Defect => false,
        }
    }
}

impl ParkReason {
    /// Whether it says something of the source's log alone.
    pub(crate) fn is_of_source(self) -> bool {
        matches!(
            self,
            ParkReason::SourceTruncated
                | ParkReason::RecordsExpired
                | ParkReason::DeletionsForgotten
                | ParkReason::CorruptBatch
        )
    }

    /// Whether one of the two topics is not what it was, or never was: then nothing of the target's topic is changed any more.
    pub(crate) fn is_of_identity(self) -> bool {
        matches!(
            self,
            ParkReason::TargetDiverged
                | ParkReason::TargetRecreated
                | ParkReason::SourceRecreated
                | ParkReason::SourceDeleted
        )
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A partition that stands still: why, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// Why.
    pub reason: ParkReason,
    /// What was seen, with offsets, and what can be done.
    pub message: String,
}

impl Parked {
    pub(crate) fn new(reason: ParkReason, message: impl Into<String>) -> Parked {
        Parked { reason, message: message.into() }
    }

    /// kmirror is not what it should be: whoever sees it is asked to tell.
    pub(crate) fn defect(what: impl fmt::Display) -> Parked {
        Parked::new(
            ParkReason::Defect,
            format!("internal error: {what}; please report this with the log around it"),
        )
    }
}

impl fmt::Display for Parked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.message)
    }
}
