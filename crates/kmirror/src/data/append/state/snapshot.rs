//! What tells two states apart, for the exhaustive model: it must see when it has been somewhere before.

use std::hash::{Hash, Hasher};

use super::{AppendState, Failure, Fill, Now, Queued, Trust};

/// Pauses are left out: in the model everything is due at any time.
impl Hash for AppendState {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for queued in &self.queue {
            match queued {
                Queued::Batch { batch, sequence, .. } => {
                    (0, batch.header().base_offset, sequence.map(|sequence| sequence.value())).hash(hasher);
                }
                Queued::Gap { first, end, .. } => (1, first, end).hash(hasher),
            }
        }
        (self.sent, self.answered, self.next_item, self.acknowledged, self.delta).hash(hasher);
        (self.next_sequence.map(|sequence| sequence.value()), self.window, self.token).hash(hasher);
        (self.fenced, self.attempt, self.surplus, self.began_at).hash(hasher);
        match self.fill {
            Fill::Idle => 0.hash(hasher),
            Fill::Look { asked, .. } => (1, asked).hash(hasher),
            Fill::Fence => 2.hash(hasher),
            Fill::Fencing => 3.hash(hasher),
            Fill::Measure { asked, .. } => (4, asked).hash(hasher),
            Fill::Write { end, measured } => (5, end, measured).hash(hasher),
            Fill::Writing { end, measured, count } => (6, end, measured, count).hash(hasher),
            Fill::MakeUp => 7.hash(hasher),
            Fill::Leaving => 8.hash(hasher),
        }
        match self.trust {
            Trust::Doubted => 0.hash(hasher),
            Trust::Trusted => 1.hash(hasher),
            Trust::ToRead(_) => 2.hash(hasher),
            Trust::Reading(_) => 3.hash(hasher),
        }
        (self.is_checking, self.freshness.is_doubted()).hash(hasher);
        match &self.failure {
            None => 0.hash(hasher),
            Some(Failure::Again(_)) => 1.hash(hasher),
            Some(Failure::TakeOver(cause)) => (2, format!("{cause:?}")).hash(hasher),
            Some(Failure::Park(parked)) => (3, &parked.message).hash(hasher),
        }
    }
}

impl AppendState {
    pub(in crate::data::append) fn token(&self) -> i32 {
        self.token
    }

    /// Whether what was answered must be read before anything else is asked for.
    pub(in crate::data::append) fn must_read(&self) -> bool {
        matches!(self.trust, Trust::ToRead(_))
    }

    /// Lets more than one batch be in flight before the first success.
    pub(in crate::data::append) fn widen_window(&mut self) {
        self.window = super::IN_FLIGHT_MAX;
        self.trust = Trust::Trusted;
        self.freshness.appended(Now::of_test().moment, i64::MAX);
    }
}
