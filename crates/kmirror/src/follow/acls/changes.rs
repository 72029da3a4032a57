//! In which order the target's lists are changed, so that nothing is allowed on the way that the source does not allow. Pure.

use std::collections::BTreeSet;

use kmirror_client::AclEntry;

use super::judge::AclStep;
use super::limits;

/// The steps of a judgement by their kinds, which are taken in this order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) denies: Vec<Addition>,
    pub(super) allows: Vec<Addition>,
    pub(super) removed_allows: Vec<Removal>,
    pub(super) removed_denies: Vec<Removal>,
}

/// What is to be added, of which entry of the source, and what must be there before it.
#[derive(Clone, Debug)]
pub(super) struct Addition {
    pub(super) entry: AclEntry,
    pub(super) of: AclEntry,
    limits: Vec<AclEntry>,
    /// Whether it must itself be there before something else.
    pub(super) is_limit: bool,
}

/// What is to be removed, and of which entry of the source it was.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    pub(super) entry: AclEntry,
    pub(super) of: AclEntry,
    /// On the source.
    pub(super) is_gone: bool,
}

impl Changes {
    pub(super) fn of(steps: Vec<AclStep>) -> Changes {
        let mut changes = Changes::default();
        for step in steps {
            match step {
                AclStep::Add { entry, of, limits, is_limit } => {
                    let is_denial = limits::is_denial(&entry);
                    let kind = if is_denial { &mut changes.denies } else { &mut changes.allows };
                    kind.push(Addition { entry, of, limits, is_limit });
                }
                AclStep::Remove { entry, of, is_gone } => {
                    let is_denial = limits::is_denial(&entry);
                    let kind =
                        if is_denial { &mut changes.removed_denies } else { &mut changes.removed_allows };
                    kind.push(Removal { entry, of, is_gone });
                }
            }
        }
        changes
    }
}

/// What may be added to a target that holds these entries, and what has to wait.
pub(super) fn ready(allows: Vec<Addition>, there: &BTreeSet<AclEntry>) -> (Vec<Addition>, Vec<Addition>) {
    allows.into_iter().partition(|allow| allow.limits.iter().all(|limit| there.contains(limit)))
}

/// What may be removed of what denies something: nothing that limits what could not be removed.
pub(super) fn unneeded(mut denies: Vec<Removal>, staying: &[AclEntry]) -> Vec<Removal> {
    denies.retain(|deny| !staying.iter().any(|allow| limits::limits(&deny.entry, allow)));
    denies
}
