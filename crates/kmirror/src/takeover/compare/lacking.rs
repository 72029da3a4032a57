//! What a compacted target lacks though no cleaner can have removed it.

use std::collections::BTreeMap;

use super::Tails;
use crate::ground::rules::CompareRules;
use crate::logs::owned_record::OwnedRecord;

/// Looks for records of the source that are missing on the target, going along the target's.
#[derive(Debug)]
pub(super) struct Lacking<'a> {
    source: &'a [OwnedRecord],
    /// Whether the source's cleaner may have removed what the target has: else nothing is where another one belongs.
    is_asked: bool,
    /// Where the last record of each key is on the target.
    newest: BTreeMap<&'a [u8], i64>,
    /// How many of the source's records were looked at: what explains why one is gone stays true.
    looked_at: usize,
}

impl<'a> Lacking<'a> {
    pub(super) fn new(tails: &Tails<'a>, rules: &CompareRules) -> Lacking<'a> {
        let keyed = tails.target.iter().filter_map(|record| Some((record.key.as_deref()?, record.offset)));
        let is_asked = rules.source_is_compacted;
        Lacking { source: tails.source, is_asked, newest: keyed.collect(), looked_at: 0 }
    }

    /// Whether the source has a record between `last_matched` and `expected` that belongs before `record` on the target and is
    /// not there. A cleaner removes a value only where a later record of its key follows. That one is behind `record`: what lies
    /// before it and was found on the source is not behind `last_matched`, and where the source's cleaner has removed a record, it has removed
    /// the earlier ones of its key as well. A deletion may be gone without a trace.
    pub(super) fn any_before(
        &mut self,
        expected: i64,
        last_matched: Option<i64>,
        record: &OwnedRecord,
    ) -> bool {
        let Some(last) = last_matched.filter(|_| self.is_asked) else { return false };
        let from = self.source.partition_point(|candidate| candidate.offset <= last).max(self.looked_at);
        let to = self.source.partition_point(|candidate| candidate.offset < expected).max(from);
        let newest = &self.newest;
        let is_removed = |candidate: &OwnedRecord| {
            let newer = candidate.key.as_deref().and_then(|key| newest.get(key));
            candidate.value.is_none() || newer.is_some_and(|newer| *newer > record.offset)
        };
        let lacking =
            self.source.get(from..to).unwrap_or_default().iter().any(|candidate| !is_removed(candidate));
        if !lacking {
            self.looked_at = to;
        }
        lacking
    }
}
