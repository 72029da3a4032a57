//! Whether what is gone on the source may be an accident. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use kmirror_client::AclEntry;

use super::record::{Record, Records, State};

/// More entries of the source are gone, of those that kmirror has added, than are believed to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "of {followed} entries of the source that kmirror has added on the target {gone} are gone or were within the last hour, which may be \
     an accident: what it has added stays there until it is on the source again or you remove it on the target"
)]
pub(crate) struct Held {
    followed: usize,
    gone: usize,
}

/// Whether nothing is removed: more than half of what was added is gone now, or was within an hour, or was removed within it. `gone`: what
/// is on the target, and is gone on the source.
pub(super) fn held(records: &Records, gone: &BTreeSet<&AclEntry>, now_ms: i64) -> Option<Held> {
    let is_recent = |at_ms: i64| (now_ms.saturating_sub(at_ms)).unsigned_abs() < HOUR_MS;
    // One entry of the source may have become many, which are one decision of somebody.
    let (mut followed, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for (entry, Record { of, state }) in records {
        let (counts, is_lost) = match *state {
            State::Asked => (false, false),
            State::Added | State::Missing => (true, gone.contains(entry)),
            State::Returned { at_ms } => (true, is_recent(at_ms) || gone.contains(entry)),
            State::Removed { at_ms } => (is_recent(at_ms), is_recent(at_ms)),
        };
        if counts {
            followed.insert(of);
        }
        if is_lost {
            lost.insert(of);
        }
    }
    let (followed, lost) = (followed.len(), lost.len());
    (!gone.is_empty() && 2 * lost > followed).then_some(Held { followed, gone: lost })
}

/// Whether a record that says when it was made says nothing any more.
pub(super) fn is_over(state: State, now_ms: i64) -> bool {
    matches!(state, State::Removed { at_ms } if now_ms.saturating_sub(at_ms).unsigned_abs() >= HOUR_MS)
}

const HOUR_MS: u64 = Duration::from_secs(60 * 60).as_millis() as u64;

#[cfg(test)]
mod tests {
    use kmirror_client::{AclOperation, AclPatternType, AclPermission, AclResourceType};

    use super::*;

    fn entry(name: &str) -> AclEntry {
        AclEntry {
            resource_type: AclResourceType::Topic,
            pattern_type: AclPatternType::Literal,
            resource_name: name.to_owned(),
            principal: "User:ann".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    /// Ten entries in these states, of which these are gone now.
    fn is_held(states: &[State], gone: std::ops::Range<usize>) -> bool {
        let names: Vec<_> = (0..10).map(|index| entry(&index.to_string())).collect();
        let state = |index: usize| states.get(index).copied().unwrap_or(State::Added);
        let records = names.iter().enumerate();
        let records = records.map(|(index, entry)| (entry.clone(), Record::new(entry.clone(), state(index))));
        held(&records.collect(), &names[gone].iter().collect(), NOW).is_some()
    }

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn more_than_half_within_an_hour_is_an_accident() {
        assert!(!is_held(&[], 0..5));
        assert!(is_held(&[], 0..6));
        let removed = |minutes: i64| State::Removed { at_ms: NOW - minutes * 60_000 };
        assert!(!is_held(&[removed(59); 4], 4..5), "half by now");
        assert!(is_held(&[removed(59); 5], 5..6), "one by one");
        assert!(!is_held(&[removed(61); 5], 5..7), "what was removed earlier is no part of what is left");
        // As the first is restored nine of ten are gone still, and as nine are, ten were.
        let returned = |minutes: i64| State::Returned { at_ms: NOW - minutes * 60_000 };
        assert!(is_held(&[returned(1)], 1..10));
        assert!(is_held(&[returned(30); 9], 9..10));
        assert!(!is_held(&[returned(61); 9], 9..10));
        assert!(!is_held(&[returned(1); 10], 0..0), "nothing to be held");
        assert!(!is_held(&[State::Asked; 9], 9..9));
    }

    #[test]
    fn what_became_many_entries_is_one() {
        let (of, others) = (entry("*"), ["a", "b"].map(entry));
        let copies: Vec<_> = (0..10).map(|index| entry(&index.to_string())).collect();
        let mut records: Records =
            copies.iter().map(|copy| (copy.clone(), Record::new(of.clone(), State::Added))).collect();
        assert!(held(&records, &copies.iter().collect(), NOW).is_some(), "it is all there was");
        records.extend(others.map(|other| (other.clone(), Record::new(other, State::Added))));
        assert_eq!(held(&records, &copies.iter().collect(), NOW), None);
    }
}
