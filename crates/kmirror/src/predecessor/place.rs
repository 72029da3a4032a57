//! How far a predecessor has come: its last records on the target are looked for among the source's. What it said of its position is
//! older than its last record, unless it was stopped in peace. Pure: it is fed records.

use std::collections::VecDeque;

use crate::takeover::compare::{CompareRules, OwnedRecord, difference};

/// A search for the target's last records among the source's.
#[derive(Debug)]
pub(crate) struct Search {
    /// The target's last records, in order.
    window: Vec<OwnedRecord>,
    rules: CompareRules,
    /// The predecessor's last record is not before this source offset.
    from: i64,
    /// The source's records that were seen last, as many as there may be in the window.
    recent: VecDeque<OwnedRecord>,
    found: Option<Found>,
    /// How many records were seen since the whole window was found.
    seen_since: usize,
}

/// A source offset at which the target's last record may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    offset: i64,
    /// How much speaks for it: how many records of the window stand there in a row, or, where a cleaner is at work, how far behind in
    /// the window the record is.
    weight: usize,
    is_ambiguous: bool,
}

/// Where the target's last record stands on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this offset.
    At(i64),
    /// At this one or at another: the same records stand there.
    Ambiguous(i64),
    /// Nowhere from where it was looked for.
    Nowhere,
}

impl Search {
    /// Looks for the last one of `window` at source offset `from` or behind it.
    pub(crate) fn new(window: Vec<OwnedRecord>, from: i64, rules: CompareRules) -> Search {
        Search { window, rules, from, recent: VecDeque::new(), found: None, seen_since: 0 }
    }

    /// Takes in the next record of the source. The first ones are before `from`, as many as the window has.
    pub(crate) fn take_in(&mut self, record: OwnedRecord) {
        let offset = record.offset;
        self.recent.push_back(record);
        if self.recent.len() > self.window.len() {
            self.recent.pop_front();
        }
        if self.is_found() {
            self.seen_since += 1;
        }
        if offset < self.from {
            return;
        }
        let weight = if self.is_cleaned() { self.last_index() } else { self.matching() };
        if weight == 0 {
            return;
        }
        match &mut self.found {
            // Of records that are repeated the first one counts: what follows it comes once more, which a compacted topic allows.
            Some(found) if found.weight == weight => found.is_ambiguous |= !self.rules.is_cleaned(),
            Some(found) if found.weight > weight => {}
            _ => self.found = Some(Found { offset, weight, is_ambiguous: false }),
        }
    }

    /// Whether more records of the source would change nothing: the whole window was found, and nothing like it right behind.
    pub(crate) fn is_over(&self) -> bool {
        self.is_found() && (self.is_cleaned() || self.seen_since >= self.window.len())
    }

    /// What was found.
    pub(crate) fn place(&self) -> Place {
        match self.found {
            None => Place::Nowhere,
            Some(Found { offset, is_ambiguous: true, .. }) => Place::Ambiguous(offset),
            Some(Found { offset, .. }) => Place::At(offset),
        }
    }

    /// Whether nothing can speak more for another place.
    fn is_found(&self) -> bool {
        self.found.is_some_and(|found| found.weight == self.window.len())
    }

    fn is_cleaned(&self) -> bool {
        self.rules.is_cleaned()
    }

    /// How many of the last records on both sides are equal, counted from the end.
    fn matching(&self) -> usize {
        let pairs = self.window.iter().rev().zip(self.recent.iter().rev());
        pairs.take_while(|(target, source)| self.is_equal(source, target)).count()
    }

    /// How far behind in the window the source's last record stands, counted from 1. Around it others may be cleaned, from either side.
    fn last_index(&self) -> usize {
        let Some(source) = self.recent.back() else { return 0 };
        self.window.iter().rposition(|target| self.is_equal(source, target)).map_or(0, |index| index + 1)
    }

    fn is_equal(&self, source: &OwnedRecord, target: &OwnedRecord) -> bool {
        difference(source, target, self.rules.keeps_timestamps).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: CompareRules =
        CompareRules { source_is_compacted: false, target_is_compacted: false, keeps_timestamps: true };
    const CLEANED: CompareRules = CompareRules { source_is_compacted: true, ..PLAIN };

    /// A record for each letter, with the offsets from `first` on.
    fn records(first: i64, letters: &str) -> Vec<OwnedRecord> {
        let record = |(offset, letter): (i64, char)| OwnedRecord {
            offset,
            timestamp: 0,
            key: Some(vec![letter as u8]),
            value: None,
            headers: Vec::new(),
        };
        (first..).zip(letters.chars()).filter(|(_, letter)| *letter != '.').map(record).collect()
    }

    /// Looks for `window` in `source`, whose first letter has offset 0, from `from` on.
    fn place(window: &str, source: &str, from: i64, rules: CompareRules) -> Place {
        let mut search = Search::new(records(1_000, window), from, rules);
        for record in records(0, source) {
            search.take_in(record);
            if search.is_over() {
                break;
            }
        }
        search.place()
    }

    #[test]
    fn the_last_record_is_where_the_window_is() {
        for (window, source, from, expected) in [
            ("cde", "abcdefgh", 4, Place::At(4)),
            ("cde", "abcdefgh", 0, Place::At(4)),
            // What the predecessor said is older than what it wrote.
            ("def", "abcdefgh", 2, Place::At(5)),
            ("fgh", "abcdefgh", 2, Place::At(7)),
            // The source has nothing before it any more.
            ("abcde", "...defgh", 4, Place::At(4)),
            // The record alone stands at several places, and what is before it tells.
            ("bca", "abcabca", 0, Place::Ambiguous(3)),
            ("abca", "xbcabcabcay", 3, Place::Ambiguous(6)),
            ("xbca", "xbcabcabcay", 3, Place::At(3)),
            // It began again from an older position when it was started again, and wrote two records twice.
            ("bcdcde", "abcdefgh", 2, Place::At(4)),
            // Holes and markers of the source are no records.
            ("cde", "ab.c..d.efgh", 3, Place::At(8)),
            ("aaa", "aaaaa", 2, Place::Ambiguous(2)),
            ("aaa", "aaaaa", 4, Place::At(4)),
            ("cde", "abcdefgh", 5, Place::Nowhere),
            ("xyz", "abcdefgh", 2, Place::Nowhere),
            ("x", "", 0, Place::Nowhere),
        ] {
            assert_eq!(place(window, source, from, PLAIN), expected, "{window} in {source} from {from}");
        }
    }

    #[test]
    fn where_a_cleaner_is_at_work_the_last_that_is_left_counts() {
        for (window, source, from, expected) in [
            ("abcde", "a.c.efgh", 4, Place::At(4)),
            // The source's cleaner has removed the predecessor's last two records.
            ("abcde", "a.c..fgh", 2, Place::At(2)),
            // The target's has removed what the source still has.
            ("ace", "abcdefgh", 1, Place::At(4)),
            ("abcde", ".....fgh", 3, Place::Nowhere),
            ("aa", "aaaa", 1, Place::At(1)),
        ] {
            assert_eq!(place(window, source, from, CLEANED), expected, "{window} in {source} from {from}");
        }
    }

    #[test]
    fn a_search_ends_soon_after_the_window_was_found() {
        let mut search = Search::new(records(0, "abc"), 2, PLAIN);
        let taken = records(0, "abcdefghijkl").into_iter().take_while(|record| {
            let is_over = search.is_over();
            search.take_in(record.clone());
            !is_over
        });
        assert_eq!(taken.count(), 6, "the window, and as many behind it");
        assert_eq!(search.place(), Place::At(2));
    }

    #[test]
    fn times_count_where_the_target_keeps_them() {
        let mut source = records(0, "abc");
        source.iter_mut().for_each(|record| record.timestamp = 5);
        for (rules, expected) in
            [(PLAIN, Place::Nowhere), (CompareRules { keeps_timestamps: false, ..PLAIN }, Place::At(2))]
        {
            let mut search = Search::new(records(9, "abc"), 0, rules);
            source.clone().into_iter().for_each(|record| search.take_in(record));
            assert_eq!(search.place(), expected);
        }
    }
}
