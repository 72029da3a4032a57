//! What explains that the target's log begins behind the source's. Pure.

use super::batch::RecordView;
use super::report::PartitionReport;
use super::settings::TopicSettings;

/// Where the target's log begins, and what of the records before may be gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    /// The source offset at which the target's log begins.
    pub(crate) end: i64,
    /// What the source's own retention may delete any moment.
    pub(crate) source: Deletable,
    /// What the target's own retention may have deleted.
    pub(crate) target: Deletable,
}

/// What retention deletes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deletable {
    /// Records before this time, in milliseconds since 1970.
    before_ms: i64,
    /// Everything before the head's end, for as much lies behind it as is to be kept.
    all: bool,
}

/// What explains that a record is not on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    Nothing,
    /// It expired on the target, and may on the source any moment.
    Expired,
    /// The target's retention removed it, which is not the source's.
    Removed,
}

impl Deletable {
    /// Of a log that keeps everything.
    pub(crate) const NOTHING: Deletable = Deletable { before_ms: i64::MIN, all: false };

    /// `bytes_kept`: whether the target's log is larger than `retention.bytes` of these settings without the head.
    pub(crate) fn by(settings: &TopicSettings, now_ms: i64, bytes_kept: bool) -> Deletable {
        let nothing = Deletable::NOTHING.before_ms;
        let before_ms = settings.retention_ms.map_or(nothing, |kept| now_ms.saturating_sub(kept));
        Deletable { before_ms, all: bytes_kept && settings.retention_bytes.is_some() }
    }

    /// A log without timestamps expires by the age of its files (`LogSegment.largestTimestamp`), of which nothing is known here.
    fn has(self, timestamp: i64) -> bool {
        self.all || (0..self.before_ms).contains(&timestamp)
    }
}

impl Default for Deletable {
    fn default() -> Deletable {
        Deletable::NOTHING
    }
}

impl Head {
    /// What explains that only the source has this record.
    pub(crate) fn excuse(&self, record: &RecordView<'_>) -> Excuse {
        if record.offset >= self.end {
            Excuse::Nothing
        } else if self.source.has(record.timestamp) {
            Excuse::Expired
        } else if self.target.has(record.timestamp) {
            Excuse::Removed
        } else {
            Excuse::Nothing
        }
    }
}

impl Excuse {
    /// Counts a record that it explains.
    pub(crate) fn is_taken(self, report: &mut PartitionReport) -> bool {
        match self {
            Excuse::Nothing => return false,
            Excuse::Expired => report.records_expired += 1,
            Excuse::Removed => report.records_removed += 1,
        }
        true
    }
}
