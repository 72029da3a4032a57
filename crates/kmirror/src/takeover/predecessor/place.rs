//! How far a predecessor has come: its last records on the target are looked for among the source's. What it said of its position is
//! older than its last record, unless it was stopped in peace. Pure: it is fed records.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use crate::ground::rules::CompareRules;
use crate::logs::owned_record::{OwnedRecord, difference};

/// A search for the target's last records among the source's.
#[derive(Debug)]
pub(crate) struct Search {
    /// The target's last records, in order.
    window: Vec<OwnedRecord>,
    rules: CompareRules,
    /// The last source offset that the predecessor said it has copied: its last record is not before it.
    said: Option<i64>,
    /// The source's records that were seen last, as many as there may be in the window.
    recent: VecDeque<OwnedRecord>,
    found: Option<Found>,
    /// How many records were seen since the whole window was found.
    seen_since: usize,
    covered: Covered,
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

/// Which of the source's records are anywhere in the window, in whatever order: a predecessor that was killed and started again writes
/// some twice, and one with several requests on the way may write them in another order, or lack one.
#[derive(Debug)]
struct Covered {
    /// The places of the window by content.
    places: BTreeMap<u64, Vec<usize>>,
    /// How many records of the source have the content of each place.
    counts: Vec<usize>,
    /// The last one behind the position that is there.
    last: Option<i64>,
    /// How many behind the position are not there, and how many of these are before the last one that is.
    missing: u64,
    missing_before_last: u64,
}

/// Where the target's last record stands on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this offset, or some before it: the target has every record up to this one.
    At(i64),
    /// At this one or at another: the same records stand there.
    Ambiguous(i64),
    /// At this one, and the target may lack some before it.
    Incomplete(i64),
    /// Nowhere from where it was looked for.
    Nowhere,
}

impl Search {
    /// Looks for the last one of `window` at the source offset that the predecessor said it has copied, or behind it.
    pub(crate) fn new(window: Vec<OwnedRecord>, said: Option<i64>, rules: CompareRules) -> Search {
        let covered = Covered::new(&window, rules);
        Search { window, rules, said, recent: VecDeque::new(), found: None, seen_since: 0, covered }
    }

    /// Takes in the next record of the source. The first ones are before what was said, as many as the window has.
    pub(crate) fn take_in(&mut self, record: OwnedRecord) {
        let offset = record.offset;
        let is_open = self.said.is_none_or(|said| offset > said);
        self.covered.take_in(&record, &self.window, self.rules, is_open);
        self.recent.push_back(record);
        if self.recent.len() > self.window.len() {
            self.recent.pop_front();
        }
        if self.is_found() {
            self.seen_since += 1;
        }
        if self.said.is_some_and(|said| offset < said) {
            return;
        }
        let weight = if self.rules.is_cleaned() { self.last_index() } else { self.matching() };
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
        self.is_found() && (self.rules.is_cleaned() || self.seen_since >= self.window.len())
    }

    /// What was found.
    pub(crate) fn place(&self) -> Place {
        let Some(found) = self.found else { return Place::Nowhere };
        let is_enough = self.is_found() || self.rules.is_cleaned() || found.weight >= WEIGHT_ENOUGH;
        match self.covered.up_to() {
            _ if found.is_ambiguous && is_enough => Place::Ambiguous(found.offset),
            _ if is_enough => Place::At(found.offset),
            Some(last) => Place::At(last.unwrap_or(found.offset)),
            None if found.is_ambiguous => Place::Ambiguous(found.offset),
            None => Place::Incomplete(found.offset),
        }
    }

    /// Whether nothing can speak more for another place.
    fn is_found(&self) -> bool {
        self.found.is_some_and(|found| found.weight == self.window.len())
    }

    /// How many of the last records on both sides are equal, counted from the end.
    fn matching(&self) -> usize {
        let pairs = self.window.iter().rev().zip(self.recent.iter().rev());
        pairs.take_while(|(target, source)| is_equal(source, target, self.rules)).count()
    }

    /// How far behind in the window the source's last record stands, counted from 1. Around it others may be cleaned, from either side.
    fn last_index(&self) -> usize {
        let Some(source) = self.recent.back() else { return 0 };
        let last = self.window.iter().rposition(|target| is_equal(source, target, self.rules));
        last.map_or(0, |index| index + 1)
    }
}

impl Covered {
    fn new(window: &[OwnedRecord], rules: CompareRules) -> Covered {
        let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, record) in window.iter().enumerate() {
            places.entry(digest(record, rules)).or_default().push(index);
        }
        Covered { places, counts: vec![0; window.len()], last: None, missing: 0, missing_before_last: 0 }
    }

    /// `is_open`: the record is behind the predecessor's position, so that the target may lack it.
    fn take_in(&mut self, record: &OwnedRecord, window: &[OwnedRecord], rules: CompareRules, is_open: bool) {
        let mut is_there = false;
        for place in self.places.get(&digest(record, rules)).into_iter().flatten() {
            let Some((target, count)) = window.get(*place).zip(self.counts.get_mut(*place)) else { continue };
            if is_equal(record, target, rules) {
                *count += 1;
                is_there = true;
            }
        }
        match (is_open, is_there) {
            (true, true) => (self.last, self.missing_before_last) = (Some(record.offset), self.missing),
            (true, false) => self.missing += 1,
            (false, _) => {}
        }
    }

    /// The last record of the source behind the position that is in the window, if there is one. `None`: one before it is not, or some
    /// may be taken for others.
    fn up_to(&self) -> Option<Option<i64>> {
        let is_certain = self.missing_before_last == 0 && self.counts.iter().all(|count| *count <= 1);
        is_certain.then_some(self.last)
    }
}

fn is_equal(source: &OwnedRecord, target: &OwnedRecord, rules: CompareRules) -> bool {
    difference(source, target, rules.keeps_timestamps).is_none()
}

fn digest(record: &OwnedRecord, rules: CompareRules) -> u64 {
    let mut hasher = DefaultHasher::new();
    let timestamp = rules.keeps_timestamps.then_some(record.timestamp);
    (&record.key, &record.value, &record.headers, timestamp).hash(&mut hasher);
    hasher.finish()
}

/// So many records in a row are enough, whatever is before them.
const WEIGHT_ENOUGH: usize = 32;

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
        let mut search = Search::new(records(1_000, window), Some(from), rules);
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
            // It was killed once more before it came to where it had been.
            ("abcdefcd", "abcdefgh", 1, Place::At(5)),
            // With several requests on the way it wrote two in another order; or it lacks one.
            ("abced", "abcdefgh", 2, Place::At(4)),
            ("abce", "abcdefgh", 2, Place::Incomplete(4)),
            // Records that are the same cannot be told from each other.
            ("bxcxx", "abxcxxxxy", 2, Place::At(5)),
            ("qxx", "axxxb", 0, Place::Ambiguous(2)),
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

    /// What a mirror has written in several lives, each of which began at the position that was said last.
    #[derive(Debug)]
    struct Written {
        target: Vec<OwnedRecord>,
        said: Option<i64>,
        is_repeated: bool,
    }

    fn written(source: &[OwnedRecord], lives: &[(usize, usize)]) -> Written {
        let mut written = Written { target: Vec::new(), said: None, is_repeated: false };
        let (mut begin, mut furthest) = (0, 0);
        for (copied, unsaid) in lives {
            let end = (begin + copied).min(source.len());
            written.is_repeated |= begin < furthest && end > begin;
            written.target.extend_from_slice(&source[begin..end]);
            furthest = furthest.max(end);
            let said = end.saturating_sub(*unsaid).max(begin);
            written.said = said.checked_sub(1).map(|index| source[index].offset);
            begin = said;
        }
        written
    }

    proptest::proptest! {
        /// Whatever lives it had: everything up to the place is on the target, and what is behind it is not, unless it began again and
        /// did not come as far as before.
        #[test]
        fn nothing_is_left_out_and_nothing_comes_twice(
            lives in proptest::collection::vec((0usize..90, 0usize..60), 1..5),
            kept in 1usize..120,
            holes in 1i64..4,
        ) {
            let source: Vec<OwnedRecord> = (0..200)
                .map(|index: i64| OwnedRecord { timestamp: index, ..records(index * holes, "x").remove(0) })
                .collect();
            let Written { target, said, is_repeated } = written(&source, &lives);
            proptest::prop_assume!(!target.is_empty());
            let window = target[target.len().saturating_sub(kept)..].to_vec();
            let mut search = Search::new(window, said, PLAIN);
            source.iter().cloned().for_each(|record| search.take_in(record));
            let is_there = |record: &OwnedRecord| target.iter().any(|found| found.timestamp == record.timestamp);
            match search.place() {
                Place::At(place) => {
                    let (before, behind): (Vec<_>, Vec<_>) = source.iter().partition(|record| record.offset <= place);
                    proptest::prop_assert!(before.into_iter().all(is_there), "a record is left out");
                    proptest::prop_assert!(is_repeated || !behind.into_iter().any(is_there), "a record comes twice");
                }
                place => proptest::prop_assert!(is_repeated, "{place:?} though nothing was written twice"),
            }
        }
    }

    #[test]
    fn a_search_ends_soon_after_the_window_was_found() {
        let mut search = Search::new(records(0, "abc"), Some(2), PLAIN);
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
            let mut search = Search::new(records(9, "abc"), None, rules);
            source.clone().into_iter().for_each(|record| search.take_in(record));
            assert_eq!(search.place(), expected);
        }
    }
}
