//! What follows from answers without records where a log goes on. Pure.
//!
//! A read from tiered storage that takes too long is answered without records and without an error (KIP-1018), so one such answer says
//! nothing. Only a cleaner leaves a log without a batch below its end, and where one may have been (which excludes tiering) the log has
//! to show the same several times, from one leader.

use std::time::{Duration, Instant};

/// What a leader says beside the records that it does not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) log_start: i64,
    pub(crate) readable_end: i64,
}

/// Answers without records in a row, at one position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    is_compacted: bool,
    since: Instant,
    shown: Option<Shown>,
    times: u32,
}

/// What is to be done after an answer without records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Ask again, after a while.
    Ask,
    /// There is nothing any more: a cleaner has removed it.
    Nothing,
    /// It has taken too long.
    GiveUp,
}

impl Silence {
    /// Begins at `now`. `is_compacted`: whether a cleaner may have emptied the log.
    pub(crate) fn since(now: Instant, is_compacted: bool) -> Silence {
        Silence { is_compacted, since: now, shown: None, times: 0 }
    }

    /// Judges an answer without records. `end`: where what is to be read ends.
    pub(crate) fn judge(&mut self, shown: Shown, end: i64, now: Instant, patience: Duration) -> Then {
        self.times = if self.shown == Some(shown) { self.times + 1 } else { 1 };
        self.shown = Some(shown);
        // A new leader's high watermark may be behind the old one's: it says nothing of what comes behind.
        let is_whole = shown.readable_end >= end;
        if self.is_compacted && is_whole && self.times >= TIMES {
            Then::Nothing
        } else if now.duration_since(self.since) >= patience {
            Then::GiveUp
        } else {
            Then::Ask
        }
    }
}

/// So many equal answers of one leader are believed.
const TIMES: u32 = 3;

#[cfg(test)]
mod tests;
