//! What a DENY takes away of what an ALLOW gives, by the rules of `StandardAuthorizerData.findResult` and
//! `AclAuthorizer.authorizeAction`, which are the same. Pure.

use std::collections::BTreeMap;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType};

/// Entries that deny something, by the principal whose requests they are about.
pub(super) struct Denials<'a>(BTreeMap<&'a str, Vec<&'a AclEntry>>);

impl<'a> Denials<'a> {
    pub(super) fn of(entries: impl IntoIterator<Item = &'a AclEntry>) -> Denials<'a> {
        let mut denials: BTreeMap<&str, Vec<&AclEntry>> = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| is_denial(entry)) {
            denials.entry(&entry.principal).or_default().push(entry);
        }
        Denials(denials)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a AclEntry> {
        self.0.values().flatten().copied()
    }

    /// Those that take away something of what an entry allows.
    pub(super) fn limiting(&self, allow: &AclEntry) -> Vec<&'a AclEntry> {
        let is_of_all = allow.principal == ANYBODY;
        let named = self.0.get(allow.principal.as_str()).filter(|_| !is_of_all);
        let of_all = self.0.get(ANYBODY).filter(|_| !is_of_all);
        let every = is_of_all.then_some(self.0.values()).into_iter().flatten();
        let concerned = named.into_iter().chain(of_all).chain(every).flatten();
        concerned.copied().filter(|deny| limits(deny, allow)).collect()
    }
}

/// Whether what an entry says is not that something is allowed. What is not understood may deny.
pub(super) fn is_denial(entry: &AclEntry) -> bool {
    entry.permission != AclPermission::Allow
}

/// Whether a DENY takes away something that an ALLOW of the same cluster gives.
pub(super) fn limits(deny: &AclEntry, allow: &AclEntry) -> bool {
    let either = |one: &str, other: &str, all: &str| one == other || one == all || other == all;
    deny.resource_type == allow.resource_type
        && either(&deny.principal, &allow.principal, ANYBODY)
        && either(&deny.host, &allow.host, ANYWHERE)
        && denies_some(deny.operation, allow.operation)
        && overlap(deny, allow)
}

/// Whether an entry is of one resource, by its name.
pub(super) fn is_of_one(entry: &AclEntry) -> bool {
    entry.pattern_type == AclPatternType::Literal && entry.resource_name != EVERY
}

/// Whether all words of an entry are known. What is not may mean something else to another cluster, and a broker closes the connection on
/// which it gets a code that it does not know (`CreateAclsRequest.validate`).
pub(super) fn is_understood(entry: &AclEntry) -> bool {
    !matches!(entry.resource_type, AclResourceType::Other(_))
        && !matches!(entry.pattern_type, AclPatternType::Other(_))
        && !matches!(entry.operation, AclOperation::Other(_))
        && !matches!(entry.permission, AclPermission::Other(_))
}

/// What is allowed implies more (`IMPLIES_DESCRIBE`, `IMPLIES_DESCRIBE_CONFIGS`), what is denied does not.
fn denies_some(denied: AclOperation, allowed: AclOperation) -> bool {
    use AclOperation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    denied == allowed
        || denied == All
        || allowed == All
        || denied == Describe && matches!(allowed, Read | Write | Delete | Alter)
        || denied == DescribeConfigs && allowed == AlterConfigs
}

/// Whether there may be a resource that both patterns mean.
fn overlap(one: &AclEntry, other: &AclEntry) -> bool {
    let (name, others) = (one.resource_name.as_str(), other.resource_name.as_str());
    let is_every =
        |entry: &AclEntry| entry.pattern_type == AclPatternType::Literal && entry.resource_name == EVERY;
    if is_every(one) || is_every(other) {
        return true;
    }
    match (one.pattern_type, other.pattern_type) {
        (AclPatternType::Literal, AclPatternType::Literal) => name == others,
        (AclPatternType::Literal, AclPatternType::Prefixed) => name.starts_with(others),
        (AclPatternType::Prefixed, AclPatternType::Literal) => others.starts_with(name),
        (AclPatternType::Prefixed, AclPatternType::Prefixed) => {
            name.starts_with(others) || others.starts_with(name)
        }
        // Nobody knows.
        _ => true,
    }
}

/// The name of a literal pattern that means every resource (`ResourcePattern.WILDCARD_RESOURCE`).
pub(super) const EVERY: &str = "*";
/// The principal that stands for all, whatever their type (`StandardAuthorizerData.WILDCARD_PRINCIPAL`).
const ANYBODY: &str = "User:*";
const ANYWHERE: &str = "*";
