//! In which order the target's lists are changed, so that nothing is allowed on the way that the source does not allow. Pure.

use std::collections::HashSet;

use kmirror_client::AclEntry;

use super::judge::AclStep;
use super::limits;

/// The steps of a judgement by their kinds, which are taken in this order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) denies: Vec<AclEntry>,
    pub(super) allows: Allows,
    pub(super) removed_allows: Vec<AclEntry>,
    pub(super) removed_denies: Vec<AclEntry>,
}

/// What is to be allowed, each with what must be there before it.
#[derive(Debug, Default)]
pub(super) struct Allows(Vec<(AclEntry, Vec<AclEntry>)>);

impl Changes {
    pub(super) fn of(steps: Vec<AclStep>) -> Changes {
        let mut changes = Changes::default();
        for step in steps {
            match step {
                AclStep::Add { entry, .. } if limits::is_denial(&entry) => changes.denies.push(entry),
                AclStep::Add { entry, limits, .. } => changes.allows.0.push((entry, limits)),
                AclStep::Remove(entry) if limits::is_denial(&entry) => changes.removed_denies.push(entry),
                AclStep::Remove(entry) => changes.removed_allows.push(entry),
            }
        }
        changes
    }
}

impl Allows {
    /// What may be added to a target that holds these entries, and what has to wait.
    pub(super) fn ready(self, there: &HashSet<AclEntry>) -> (Vec<AclEntry>, Vec<AclEntry>) {
        let is_ready = |limits: &[AclEntry]| limits.iter().all(|limit| there.contains(limit));
        let (ready, waiting): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(_, limits)| is_ready(limits));
        let entries = |pairs: Vec<(AclEntry, _)>| pairs.into_iter().map(|(entry, _)| entry).collect();
        (entries(ready), entries(waiting))
    }
}

/// What may be removed of what denies something: nothing that limits what could not be removed.
pub(super) fn unneeded(denies: Vec<AclEntry>, staying: &[AclEntry]) -> Vec<AclEntry> {
    let is_needed = |deny: &AclEntry| staying.iter().any(|allow| limits::limits(deny, allow));
    denies.into_iter().filter(|deny| !is_needed(deny)).collect()
}
