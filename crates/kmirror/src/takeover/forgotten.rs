//! Deletions that the source has forgotten: its cleaner leaves them alone for `delete.retention.ms`, and removes them then. A copy that
//! was not whole for longer than that never reads them, and keeps the keys for ever.

use kmirror_codec::{Entry, split};

use super::{Bounds, TakeOver, failure};
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::policies::OnForgottenDeletions;
use crate::logs::records::now_ms;
use crate::logs::show::{Look, ShowError, Shown};
use crate::state_topic::whole::{Absence, absence};

/// Source offsets in which deletions may have been, of keys that the target holds below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// What is known of it.
    pub(crate) why: String,
}

/// What a cleaner left of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cleaned {
    /// Every offset has its record.
    Nothing,
    /// Nothing is to be seen at this offset.
    At(i64),
    /// What is behind this offset was not looked at: there is much of it, or it is of an old format.
    NotSeenBehind(i64),
}

impl TakeOver {
    /// Whether deletions between `position` and the source's end may be forgotten.
    pub(super) async fn forgotten(
        &self,
        position: i64,
        bounds: &Bounds,
    ) -> Result<Option<Forgotten>, TakeOverFailure> {
        let (first, end) = (position.max(bounds.source.log_start), bounds.source.readable_end);
        if !self.rules.source_is_compacted || first >= end {
            return Ok(None);
        }
        let whole = self.state.whole(&self.target).await.map_err(super::reasons::state_failure)?;
        let retention_ms = self.delete_retention_ms().await;
        let absence = absence(whole, self.target_topic_id, position, now_ms(), retention_ms);
        if absence == Absence::Short {
            return Ok(None);
        }
        let cleaned = match self.cleaned(first, end).await? {
            Cleaned::Nothing => return Ok(None),
            Cleaned::At(offset) => format!("its cleaner has been there (offset {offset} is gone)"),
            Cleaned::NotSeenBehind(offset) => {
                format!("its cleaner may have been there (offsets from {offset} on were not looked at)")
            }
        };
        let (since, is_known) = match absence {
            Absence::Long { since_ms } => {
                let hours = (now_ms() - since_ms) as f64 / 3_600_000.0;
                (format!("the copy was whole {hours:.1} hours ago"), true)
            }
            _ => ("when the copy was whole is not recorded".to_owned(), false),
        };
        let why = format!(
            "{since}, the source keeps deletions for {retention_ms} ms (delete.retention.ms), and {cleaned}"
        );
        let forgotten = Forgotten { first, end, why };
        match self.policies.on_forgotten_deletions {
            OnForgottenDeletions::Recopy if is_known => Err(TakeOverFailure::Park(forgotten.parked())),
            // Nothing says that it is so.
            OnForgottenDeletions::Recopy | OnForgottenDeletions::Warn => Ok(Some(forgotten)),
        }
    }

    /// Where it may not be read Kafka's default is assumed.
    async fn delete_retention_ms(&self) -> i64 {
        let described =
            self.source_client.describe_topic_configs(std::slice::from_ref(&self.source.topic)).await;
        let entries = described.into_iter().flatten().filter_map(|(_, entries)| entries.ok()).flatten();
        let value = entries.filter(|entry| entry.name == "delete.retention.ms").find_map(|entry| entry.value);
        value.and_then(|value| value.parse().ok()).unwrap_or(DELETE_RETENTION_MS_DEFAULT)
    }

    /// Looks for offsets without a record in `[first, end)`. Records of aborted transactions and markers have theirs as well: whatever
    /// is missing a cleaner has removed.
    async fn cleaned(&self, first: i64, end: i64) -> Result<Cleaned, TakeOverFailure> {
        let look = Look {
            client: &self.source_client,
            partition: &self.source,
            isolation: kmirror_client::Isolation::ReadUncommitted,
            bytes_max: FETCH_BYTES_MAX,
            budget: None,
        };
        let mut position = first;
        for _ in 0..FETCHES_MAX {
            let fetched = match look.at(position).await {
                Ok(Shown::Answer(fetched)) => fetched,
                Ok(Shown::Bare(_)) => return Ok(Cleaned::At(position)),
                Err(ShowError::Client(error)) => return Err(failure("read the source", &error)),
                Err(hidden) => return Err(TakeOverFailure::Again(hidden.to_string())),
            };
            let before = position;
            for entry in split(fetched.records, position) {
                let Ok(Entry::Batch(batch)) = entry else { return Ok(Cleaned::NotSeenBehind(position)) };
                let header = batch.header();
                if header.base_offset > position || !header.is_dense() {
                    return Ok(Cleaned::At(position));
                }
                position = header.next_offset();
                if position >= end {
                    return Ok(Cleaned::Nothing);
                }
            }
            if position == before {
                break;
            }
        }
        Ok(Cleaned::NotSeenBehind(position))
    }
}

impl Forgotten {
    /// An exact copy cannot be mended: what the target holds has its offset, and nothing may be written in between.
    fn parked(&self) -> Parked {
        Parked::new(
            ParkReason::DeletionsForgotten,
            format!(
                "keys that were deleted on the source before offset {} may live on on the target: {}. Source offsets [{}, {}) are \
                 concerned. `on_forgotten_deletions: recopy` asks for a copy without them: stop kmirror, delete the target topic and start \
                 it again, and it is copied anew; or set `warn` to go on",
                self.end, self.why, self.first, self.end
            ),
        )
    }
}

/// Kafka's default of `delete.retention.ms`: a day.
const DELETE_RETENTION_MS_DEFAULT: i64 = 86_400_000;
const FETCH_BYTES_MAX: i32 = 1 << 20;
/// What is looked at before a cleaner is taken to have been there all the same.
const FETCHES_MAX: u32 = 8;
