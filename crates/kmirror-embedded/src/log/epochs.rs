//! Which leader wrote which part of a log (`LeaderEpochFileCache`).

/// The first offset of each leader epoch, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    starts: Vec<(i32, i64)>,
}

impl Epochs {
    /// A leader of this epoch writes from this offset on. An epoch without records is forgotten.
    pub(crate) fn assign(&mut self, epoch: i32, offset: i64) {
        if self.starts.last().is_none_or(|(last, _)| *last < epoch) {
            self.starts.retain(|(_, start)| *start < offset);
            self.starts.push((epoch, offset));
        }
    }

    /// The largest epoch that is not above the one asked for, and where it ends. `None`: there is no such epoch
    /// (`LeaderEpochFileCache.endOffsetFor`).
    pub(crate) fn end_offset_for(&self, epoch: i32, current_epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        if epoch == current_epoch {
            return Some((epoch, log_end));
        }
        let after = self.starts.partition_point(|(start, _)| *start <= epoch);
        let (_, end) = self.starts.get(after)?;
        match after.checked_sub(1).and_then(|index| self.starts.get(index)) {
            Some((found, _)) => Some((*found, *end)),
            // Below all that is known: nothing of it is left.
            None => Some((epoch, *end)),
        }
    }

    /// Nothing is left from this offset on.
    pub(crate) fn truncate(&mut self, end: i64) {
        self.starts.retain(|(_, start)| *start < end);
    }

    /// Nothing is left below this offset.
    pub(crate) fn truncate_start(&mut self, start: i64) {
        let after = self.starts.partition_point(|(_, first)| *first <= start);
        let kept = after.saturating_sub(1);
        self.starts.drain(..kept);
        if let Some((_, first)) = self.starts.first_mut() {
            *first = (*first).max(start);
        }
    }

    /// The log begins again where it did when it had the epochs `before`.
    pub(crate) fn restore_start(&mut self, mut before: Epochs) {
        let last = before.starts.last().map(|(epoch, _)| *epoch);
        before.starts.extend(self.starts.iter().filter(|(epoch, _)| last.is_none_or(|last| *epoch > last)));
        *self = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let mut epochs = Epochs::default();
        for (epoch, offset) in [(0, 0), (2, 10), (2, 12), (5, 20)] {
            epochs.assign(epoch, offset);
        }
        for (asked, answer) in [(0, (0, 10)), (1, (0, 10)), (2, (2, 20)), (4, (2, 20)), (5, (5, 30))] {
            assert_eq!(epochs.end_offset_for(asked, 5, 30), Some(answer), "{asked}");
        }
        assert_eq!(epochs.end_offset_for(6, 5, 30), None, "not known yet");
        epochs.truncate(20);
        assert_eq!(epochs.starts.last(), Some(&(2, 10)));
        epochs.truncate_start(15);
        assert_eq!(epochs.starts, [(2, 15)]);
        assert_eq!(epochs.end_offset_for(0, 7, 30), Some((0, 15)));
    }
}
