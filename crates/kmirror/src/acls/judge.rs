//! Which entries the target should have, and what is to be changed for it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType};

use crate::config::{Acls, Flow, Naming};
use crate::selection::GroupMatcher;

/// What a flow's configuration says of access control lists.
#[derive(Clone, Debug)]
pub(crate) struct AclRules {
    acls: Acls,
    naming: Naming,
    source_alias: String,
    groups: GroupMatcher,
}

/// Source topics that are copied, and their names on the target.
pub(crate) type CopiedTopics = BTreeMap<Arc<str>, Arc<str>>;

/// One change of the target's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AclStep {
    /// The target lacks an entry.
    Add {
        entry: AclEntry,
        /// The entry of the source that it follows from.
        of: AclEntry,
    },
    /// An entry that this flow added is gone on the source.
    Remove(AclEntry),
}

impl AclRules {
    pub(crate) fn new(flow: &Flow, groups: GroupMatcher) -> AclRules {
        AclRules { acls: flow.acls, naming: flow.naming.clone(), source_alias: flow.source.clone(), groups }
    }

    /// Other groups may follow now.
    pub(crate) fn select(&mut self, groups: &GroupMatcher) {
        self.groups.clone_from(groups);
    }

    /// Whether what is gone on the source is removed.
    pub(crate) fn removes(&self) -> bool {
        self.acls == Acls::Full
    }

    /// What an entry of the source becomes on the target, whether what it concerns is copied or not; `None`: nothing.
    fn counterpart(&self, entry: &AclEntry) -> Option<AclEntry> {
        match self.acls {
            Acls::None => None,
            Acls::Safe => self.readable(entry),
            Acls::Full => match entry.resource_type {
                AclResourceType::Topic => self.renamed(entry),
                AclResourceType::Group | AclResourceType::TransactionalId => Some(entry.clone()),
                _ => None,
            },
        }
    }

    /// MirrorMaker's rules (`MirrorSourceConnector.targetAclBinding`): the right to write is left out, what was denied is not. But `*`
    /// is no topic: MirrorMaker makes `east.*` of it, which nothing has for its name.
    fn readable(&self, entry: &AclEntry) -> Option<AclEntry> {
        let is_of_one_topic = entry.resource_type == AclResourceType::Topic
            && entry.pattern_type == AclPatternType::Literal
            && entry.resource_name != WILDCARD;
        let entry = self.renamed(entry).filter(|_| is_of_one_topic)?;
        match (entry.permission, entry.operation) {
            (AclPermission::Allow, AclOperation::Write) => None,
            (AclPermission::Allow, AclOperation::All) => {
                Some(AclEntry { operation: AclOperation::Read, ..entry })
            }
            _ => Some(entry),
        }
    }

    /// An entry of topics with their name on the target. What means many topics means others there, unless names stay as they are.
    fn renamed(&self, entry: &AclEntry) -> Option<AclEntry> {
        if self.naming == Naming::Identity {
            return Some(entry.clone());
        }
        let is_of_one = entry.pattern_type == AclPatternType::Literal && entry.resource_name != WILDCARD;
        let resource_name = self.naming.target_topic(&self.source_alias, &entry.resource_name);
        is_of_one.then(|| AclEntry { resource_name, ..entry.clone() })
    }

    /// Whether an entry concerns something that the flow copies.
    fn concerns(&self, entry: &AclEntry, topics: &CopiedTopics) -> bool {
        let name = entry.resource_name.as_str();
        match (entry.resource_type, entry.pattern_type) {
            (AclResourceType::Topic, AclPatternType::Literal) if name == WILDCARD => !topics.is_empty(),
            (AclResourceType::Topic, AclPatternType::Literal) => topics.contains_key(name),
            (AclResourceType::Topic, AclPatternType::Prefixed) => {
                topics.keys().any(|topic| topic.starts_with(name))
            }
            // Of a prefix, and of all, it is the text that is selected or not.
            (AclResourceType::Group, AclPatternType::Literal | AclPatternType::Prefixed) => {
                self.groups.matches(name)
            }
            (AclResourceType::TransactionalId, _) => true,
            _ => false,
        }
    }
}

/// What is to be changed on the target. `added`: what this flow has added there. Nothing else is ever removed: an entry that was there
/// before, be it the same, is somebody's own, and kmirror's own rights are among those.
pub(crate) fn steps(
    rules: &AclRules,
    topics: &CopiedTopics,
    source: &[AclEntry],
    target: &[AclEntry],
    added: &BTreeSet<AclEntry>,
) -> Vec<AclStep> {
    let there: BTreeSet<&AclEntry> = target.iter().collect();
    let mut wanted = BTreeMap::new();
    for entry in source.iter().filter(|entry| rules.concerns(entry, topics)) {
        if let Some(counterpart) = rules.counterpart(entry).filter(|wanted| !there.contains(wanted)) {
            wanted.entry(counterpart).or_insert(entry);
        }
    }
    let add = wanted.into_iter().map(|(entry, of)| AclStep::Add { entry, of: of.clone() });
    let gone = gone(rules, source, added).into_iter();
    let remove = gone.filter(|entry| there.contains(entry)).map(AclStep::Remove);
    add.chain(remove).collect()
}

/// What this flow has added and nothing on the source stands for any more, be it copied at the moment or not: a topic that leaves the
/// flow, or was not seen yet, keeps its entries.
pub(crate) fn gone(rules: &AclRules, source: &[AclEntry], added: &BTreeSet<AclEntry>) -> BTreeSet<AclEntry> {
    if !rules.removes() {
        return BTreeSet::new();
    }
    let stands: BTreeSet<AclEntry> = source.iter().filter_map(|entry| rules.counterpart(entry)).collect();
    added.difference(&stands).cloned().collect()
}

/// The name of a literal pattern that means every resource (`ResourcePattern.WILDCARD_RESOURCE`).
const WILDCARD: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::GroupSelection;

    /// An entry from a line: `ALLOW READ TOPIC LITERAL orders`, of alice.
    fn entry(line: &str) -> AclEntry {
        let words: Vec<&str> = line.split(' ').collect();
        let [permission, operation, resource_type, pattern_type, name] = words[..] else { panic!("{line}") };
        AclEntry {
            resource_type: resource_type.parse().expect(line),
            pattern_type: pattern_type.parse().expect(line),
            resource_name: name.to_owned(),
            principal: "User:alice".to_owned(),
            host: "10.0.0.7".to_owned(),
            operation: operation.parse().expect(line),
            permission: permission.parse().expect(line),
        }
    }

    fn entries(lines: &[&str]) -> Vec<AclEntry> {
        lines.iter().map(|line| entry(line)).collect()
    }

    fn line(entry: &AclEntry) -> String {
        let AclEntry { permission, operation, resource_type, pattern_type, resource_name, .. } = entry;
        format!("{permission} {operation} {resource_type} {pattern_type} {resource_name}")
    }

    /// A flow that copies `orders` and `payments`, and lets all groups but `console-…` follow.
    fn rules(acls: Acls, naming: Naming) -> (AclRules, CopiedTopics) {
        let mut flow = Flow::new("east", "west").naming(naming);
        flow.acls = acls;
        let topics = ["orders", "payments"]
            .map(|topic| (Arc::from(topic), Arc::from(flow.naming.target_topic("east", topic))));
        let groups = GroupSelection::default().compile().expect("valid patterns");
        (AclRules::new(&flow, groups), topics.into())
    }

    fn added(rules: &(AclRules, CopiedTopics), source: &[&str], target: &[&str]) -> Vec<String> {
        let steps = steps(&rules.0, &rules.1, &entries(source), &entries(target), &BTreeSet::new());
        let entry = |step: AclStep| match step {
            AclStep::Add { entry, of } => {
                assert_eq!((&*entry.principal, &*entry.host), ("User:alice", "10.0.0.7"));
                assert!(entries(source).contains(&of));
                line(&entry)
            }
            AclStep::Remove(entry) => panic!("removed: {entry}"),
        };
        steps.into_iter().map(entry).collect()
    }

    #[test]
    fn safe_rules_are_those_of_mirror_maker() {
        let table: [(&str, Option<&str>); 14] = [
            ("ALLOW READ TOPIC LITERAL orders", Some("ALLOW READ TOPIC LITERAL east.orders")),
            (
                "ALLOW DESCRIBE_CONFIGS TOPIC LITERAL orders",
                Some("ALLOW DESCRIBE_CONFIGS TOPIC LITERAL east.orders"),
            ),
            ("ALLOW WRITE TOPIC LITERAL orders", None),
            ("ALLOW ALL TOPIC LITERAL orders", Some("ALLOW READ TOPIC LITERAL east.orders")),
            ("DENY WRITE TOPIC LITERAL orders", Some("DENY WRITE TOPIC LITERAL east.orders")),
            ("DENY ALL TOPIC LITERAL orders", Some("DENY ALL TOPIC LITERAL east.orders")),
            ("DENY READ TOPIC LITERAL orders", Some("DENY READ TOPIC LITERAL east.orders")),
            // Not copied, many topics, or no topic at all.
            ("ALLOW READ TOPIC LITERAL others", None),
            ("ALLOW READ TOPIC LITERAL *", None),
            ("DENY READ TOPIC LITERAL *", None),
            ("ALLOW READ TOPIC PREFIXED ord", None),
            ("ALLOW READ GROUP LITERAL billing", None),
            ("ALLOW WRITE TRANSACTIONAL_ID LITERAL billing", None),
            ("ALLOW ALTER CLUSTER LITERAL kafka-cluster", None),
        ];
        for (source, expected) in table {
            for naming in [Naming::Prefixed, Naming::Identity] {
                let prefix = if naming == Naming::Identity { "" } else { "east." };
                let expected = expected.map(|expected| expected.replace("east.", prefix));
                let found = added(&rules(Acls::Safe, naming), &[source], &[]);
                assert_eq!(found, Vec::from_iter(expected), "{source}");
            }
        }
    }

    #[test]
    fn full_rules_copy_what_concerns_the_flow_as_it_is() {
        let rules = rules(Acls::Full, Naming::Identity);
        let copied = [
            "DENY ALL TOPIC LITERAL *",
            "ALLOW WRITE TOPIC LITERAL orders",
            "ALLOW ALL TOPIC LITERAL payments",
            "ALLOW READ TOPIC PREFIXED ord",
            "ALLOW READ GROUP LITERAL *",
            "ALLOW READ GROUP LITERAL billing",
            "ALLOW READ GROUP PREFIXED bill",
            "ALLOW WRITE TRANSACTIONAL_ID LITERAL billing",
            "ALLOW WRITE TRANSACTIONAL_ID PREFIXED bill",
        ];
        let left_out = [
            "ALLOW READ TOPIC LITERAL others",
            "ALLOW READ TOPIC PREFIXED oth",
            "ALLOW READ GROUP LITERAL console-consumer-1",
            "ALLOW ALTER CLUSTER LITERAL kafka-cluster",
            "ALLOW DESCRIBE DELEGATION_TOKEN LITERAL token",
        ];
        let source = [&copied[..], &left_out[..]].concat();
        let mut expected = copied.map(str::to_owned);
        expected.sort();
        let mut found = added(&rules, &source, &[]);
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(added(&rules, &source, &copied), [""; 0], "only what differs is changed");
        let nothing_copied = (rules.0, CopiedTopics::new());
        assert_eq!(added(&nothing_copied, &["ALLOW READ TOPIC LITERAL *"], &[]), [""; 0]);
    }

    #[test]
    fn what_means_many_topics_means_others_under_other_names() {
        let rules = rules(Acls::Full, Naming::Prefixed);
        let source = [
            "ALLOW WRITE TOPIC LITERAL *",
            "ALLOW WRITE TOPIC PREFIXED ord",
            "ALLOW WRITE TOPIC LITERAL orders",
            "ALLOW READ GROUP LITERAL *",
        ];
        let expected = ["ALLOW WRITE TOPIC LITERAL east.orders", "ALLOW READ GROUP LITERAL *"];
        assert_eq!(added(&rules, &source, &[]), expected);
    }

    #[test]
    fn only_what_the_flow_has_added_is_removed_and_only_in_full() {
        let ours = entry("ALLOW WRITE TOPIC LITERAL orders");
        let left = entry("ALLOW WRITE TOPIC LITERAL no-longer-copied");
        let somebodys = entry("ALLOW READ TOPIC LITERAL orders");
        let source = [left.clone()];
        let target = [ours.clone(), left.clone(), somebodys];
        let added = BTreeSet::from([ours.clone(), left]);
        let steps = |acls| {
            let (rules, topics) = rules(acls, Naming::Identity);
            super::steps(&rules, &topics, &source, &target, &added)
        };
        assert_eq!(steps(Acls::Full), [AclStep::Remove(ours.clone())]);
        assert_eq!(steps(Acls::Safe), []);
        // Somebody was faster.
        let (rules, topics) = rules(Acls::Full, Naming::Identity);
        assert_eq!(super::steps(&rules, &topics, &source, &source, &added), []);
        assert_eq!(gone(&rules, &source, &added), BTreeSet::from([ours]), "but it is known no more");
    }

    #[test]
    fn two_entries_may_become_one() {
        let rules = rules(Acls::Safe, Naming::Identity);
        let source = ["ALLOW ALL TOPIC LITERAL orders", "ALLOW READ TOPIC LITERAL orders"];
        assert_eq!(added(&rules, &source, &[]), ["ALLOW READ TOPIC LITERAL orders"]);
        assert_eq!(added(&rules, &source, &["ALLOW READ TOPIC LITERAL orders"]), [""; 0]);
    }
}
