//! Access control lists, and who may do what by them (`StandardAuthorizerData`).

use std::collections::BTreeSet;

/// What somebody wants to do (`AclOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(i8)]
pub enum Operation {
    /// Anything.
    All = 2,
    /// Fetch, and join a group.
    Read = 3,
    /// Produce, and use a transactional id.
    Write = 4,
    /// Create a topic.
    Create = 5,
    /// Delete a topic, its records, or a group.
    Delete = 6,
    /// Add partitions; on the cluster, change access control lists.
    Alter = 7,
    /// See that it is there.
    Describe = 8,
    /// What only brokers do: write markers.
    ClusterAction = 9,
    /// See configurations.
    DescribeConfigs = 10,
    /// Change configurations.
    AlterConfigs = 11,
    /// Produce with sequences; implied by any right to write since 3.0.
    IdempotentWrite = 12,
}

/// What it is done to (`ResourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A consumer group.
    Group = 3,
    /// The cluster; its name is `kafka-cluster`.
    Cluster = 4,
    /// A transactional id.
    TransactionalId = 5,
}

/// Which resources of a type a list concerns (`ResourcePattern`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// The one with this name; `*` stands for all.
    Literal(String),
    /// Those whose names begin with this.
    Prefixed(String),
}

/// One entry (`AccessControlEntry` with its `ResourcePattern`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// What it concerns.
    pub resource_type: ResourceType,
    /// Which of them.
    pub pattern: Pattern,
    /// Whose requests: `User:name`, or `User:*` for everybody's.
    pub principal: String,
    /// From where; `*` for anywhere.
    pub host: String,
    /// What is allowed or denied.
    pub operation: Operation,
    /// Whether it is allowed. What is denied once is denied.
    pub allows: bool,
}

/// Which entries are meant (`AclBindingFilter`); `None` is any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) resource_type: Option<ResourceType>,
    pub(crate) name: Option<String>,
    pub(crate) pattern: PatternFilter,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: Option<Operation>,
    pub(crate) allows: Option<bool>,
}

/// `PatternType` in a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PatternFilter {
    #[default]
    Any,
    /// Whatever concerns the name.
    Match,
    Literal,
    Prefixed,
}

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorizer {
    pub(crate) is_on: bool,
    pub(crate) super_users: BTreeSet<String>,
    pub(crate) acls: BTreeSet<Acl>,
}

/// Somebody behind a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// `User:name`.
    pub(crate) name: String,
    pub(crate) host: String,
}

impl Authorizer {
    /// Whether a request is allowed: not if any entry denies it, and only if one allows it, or implies it.
    pub(crate) fn allows(
        &self,
        principal: &Principal,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> bool {
        if !self.is_on || self.super_users.contains(&principal.name) {
            return true;
        }
        let concerning = || self.acls.iter().filter(|acl| acl.concerns(principal, resource_type, name));
        let is_denied = concerning()
            .any(|acl| !acl.allows && (acl.operation == Operation::All || acl.operation == operation));
        !is_denied && concerning().any(|acl| acl.allows && implies(acl.operation, operation))
    }

    /// Whether an operation is allowed on any resource of a type (`Authorizer.authorizeByResourceType`), denials of all aside.
    pub(crate) fn allows_on_any(
        &self,
        principal: &Principal,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        if !self.is_on || self.super_users.contains(&principal.name) {
            return true;
        }
        self.acls.iter().any(|acl| {
            acl.resource_type == resource_type
                && acl.is_of(principal)
                && acl.allows
                && implies(acl.operation, operation)
        })
    }

    /// What is allowed on a resource, as the bits of `AclOperation` codes (KIP-430).
    pub(crate) fn operations(&self, principal: &Principal, resource_type: ResourceType, name: &str) -> i32 {
        let supported: &[Operation] = match resource_type {
            ResourceType::Topic => &TOPIC_OPERATIONS,
            ResourceType::Group => &[Operation::Read, Operation::Delete, Operation::Describe],
            ResourceType::Cluster => &CLUSTER_OPERATIONS,
            ResourceType::TransactionalId => &[Operation::Write, Operation::Describe],
        };
        let allowed =
            supported.iter().filter(|operation| self.allows(principal, **operation, resource_type, name));
        allowed.fold(0, |bits, operation| bits | 1 << *operation as i8)
    }

    pub(crate) fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Acl> {
        self.acls.iter().filter(|acl| filter.matches(acl))
    }
}

impl Acl {
    fn is_of(&self, principal: &Principal) -> bool {
        (self.principal == principal.name || self.principal == "User:*")
            && (self.host == principal.host || self.host == "*")
    }

    fn concerns(&self, principal: &Principal, resource_type: ResourceType, name: &str) -> bool {
        let is_meant = match &self.pattern {
            Pattern::Literal(literal) => literal == name || literal == "*",
            Pattern::Prefixed(prefix) => name.starts_with(prefix.as_str()),
        };
        self.resource_type == resource_type && is_meant && self.is_of(principal)
    }
}

impl Filter {
    /// `ResourcePatternFilter.matches` and `AccessControlEntryFilter.matches`.
    fn matches(&self, acl: &Acl) -> bool {
        let is_any =
            |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
        self.resource_type.is_none_or(|wanted| wanted == acl.resource_type)
            && self.matches_pattern(&acl.pattern)
            && is_any(&self.principal, &acl.principal)
            && is_any(&self.host, &acl.host)
            && self.operation.is_none_or(|wanted| wanted == acl.operation)
            && self.allows.is_none_or(|wanted| wanted == acl.allows)
    }

    fn matches_pattern(&self, pattern: &Pattern) -> bool {
        let Some(name) = &self.name else {
            return !matches!(
                (self.pattern, pattern),
                (PatternFilter::Literal, Pattern::Prefixed(_))
                    | (PatternFilter::Prefixed, Pattern::Literal(_))
            );
        };
        match (self.pattern, pattern) {
            (PatternFilter::Any | PatternFilter::Literal, Pattern::Literal(literal)) => literal == name,
            (PatternFilter::Any | PatternFilter::Prefixed, Pattern::Prefixed(prefix)) => prefix == name,
            (PatternFilter::Match, Pattern::Literal(literal)) => literal == name || literal == "*",
            (PatternFilter::Match, Pattern::Prefixed(prefix)) => name.starts_with(prefix.as_str()),
            _ => false,
        }
    }
}

impl Operation {
    pub(crate) fn from_code(code: i8) -> Option<Operation> {
        ALL_OPERATIONS.into_iter().find(|operation| *operation as i8 == code)
    }
}

impl ResourceType {
    pub(crate) fn from_code(code: i8) -> Option<ResourceType> {
        let all =
            [ResourceType::Topic, ResourceType::Group, ResourceType::Cluster, ResourceType::TransactionalId];
        all.into_iter().find(|resource_type| *resource_type as i8 == code)
    }
}

/// Whether a right to `allowed` is one to `wanted` (`StandardAuthorizerData.IMPLIES_DESCRIBE`).
fn implies(allowed: Operation, wanted: Operation) -> bool {
    use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    allowed == All
        || allowed == wanted
        || wanted == Describe && matches!(allowed, Read | Write | Delete | Alter)
        || wanted == DescribeConfigs && allowed == AlterConfigs
}

/// The name of the only resource of its type (`Resource.CLUSTER_NAME`).
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";

const ALL_OPERATIONS: [Operation; 11] = [
    Operation::All,
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
];

/// `AclEntry.supportedOperations`.
const TOPIC_OPERATIONS: [Operation; 8] = [
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Describe,
    Operation::Delete,
    Operation::Alter,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];
const CLUSTER_OPERATIONS: [Operation; 7] = [
    Operation::Create,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
    Operation::Alter,
    Operation::Describe,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_outweighs_and_rights_imply_others() {
        let alice = Principal { name: "User:alice".to_owned(), host: "127.0.0.1".to_owned() };
        let entry = |pattern, operation, allows| Acl {
            resource_type: ResourceType::Topic,
            pattern,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation,
            allows,
        };
        let all = Pattern::Literal("*".to_owned());
        let secret = Pattern::Prefixed("secret".to_owned());
        let authorizer = Authorizer {
            is_on: true,
            super_users: BTreeSet::from(["User:root".to_owned()]),
            acls: BTreeSet::from([
                entry(all, Operation::Read, true),
                entry(secret, Operation::Read, false),
                Acl {
                    host: "10.0.0.1".to_owned(),
                    ..entry(Pattern::Literal("orders".to_owned()), Operation::Write, true)
                },
            ]),
        };
        let may = |operation, name: &str| authorizer.allows(&alice, operation, ResourceType::Topic, name);
        assert!(may(Operation::Read, "orders"));
        assert!(may(Operation::Describe, "orders"), "implied");
        assert!(!may(Operation::Write, "orders"), "from another host only");
        assert!(!may(Operation::Read, "secrets"));
        assert!(may(Operation::Describe, "secrets"), "what is denied is denied without what it implies");
        assert!(!authorizer.allows(&alice, Operation::Read, ResourceType::Group, "orders"));
        let root = Principal { name: "User:root".to_owned(), ..alice.clone() };
        assert!(authorizer.allows(&root, Operation::Alter, ResourceType::Cluster, "kafka-cluster"));
        let bits = authorizer.operations(&alice, ResourceType::Topic, "orders");
        assert_eq!(bits, 1 << 3 | 1 << 8, "READ and DESCRIBE");
    }

    #[test]
    fn a_filter_finds_by_name_or_by_what_concerns_the_name() {
        let entry = |pattern| Acl {
            resource_type: ResourceType::Topic,
            pattern,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: Operation::Read,
            allows: true,
        };
        let patterns = [
            Pattern::Literal("orders".to_owned()),
            Pattern::Literal("*".to_owned()),
            Pattern::Prefixed("ord".to_owned()),
            Pattern::Prefixed("orders".to_owned()),
        ];
        let acls = patterns.map(entry);
        let authorizer = Authorizer { acls: BTreeSet::from(acls), ..Authorizer::default() };
        let found = |pattern| {
            let filter = Filter { name: Some("orders".to_owned()), pattern, ..Filter::default() };
            authorizer.matching(&filter).count()
        };
        assert_eq!(found(PatternFilter::Any), 2, "the name itself, in either way");
        assert_eq!(found(PatternFilter::Match), 4);
        assert_eq!(found(PatternFilter::Literal), 1);
        assert_eq!(found(PatternFilter::Prefixed), 1);
        assert_eq!(authorizer.matching(&Filter::default()).count(), 4);
    }
}
