//! Which entries the target should have, and what is to be changed for it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclResourceType};

use super::limits::{Denials, EVERY, is_denial, is_of_one, is_understood};
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

/// What the lists of both clusters call for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// What is to be changed on the target, in this order: what denies comes before what it limits, and goes after it.
    pub(crate) steps: Vec<AclStep>,
    /// What is not allowed on the target, since what limits it cannot be said there.
    pub(crate) kept_back: Vec<KeptBack>,
}

/// One change of the target's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AclStep {
    /// The target lacks an entry.
    Add {
        entry: AclEntry,
        /// The entry of the source that it follows from.
        of: AclEntry,
        /// Entries that must be on the target before, or it would allow more than the source does.
        limits: Vec<AclEntry>,
    },
    /// An entry that this flow added is gone on the source, or kept back by now.
    Remove(AclEntry),
}

/// An entry of the source that allows something, and one that denies some of it and cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{allow} is kept back: the source limits it by {deny}, which the target cannot be told")]
pub(crate) struct KeptBack {
    pub(crate) allow: AclEntry,
    pub(crate) deny: AclEntry,
}

/// What the target should have, each with the entry of the source that it follows from.
#[derive(Default)]
struct Wanted<'a> {
    allows: BTreeMap<AclEntry, &'a AclEntry>,
    denies: BTreeMap<AclEntry, &'a AclEntry>,
    /// Of each that allows something: what limits it, on the source and, if it can be said there, on the target.
    limits: BTreeMap<AclEntry, Vec<(&'a AclEntry, Option<AclEntry>)>>,
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

    fn wanted<'a>(&self, topics: &CopiedTopics, source: &'a [AclEntry]) -> Wanted<'a> {
        let mut wanted = Wanted::default();
        let denials = Denials::of(source);
        for entry in source.iter().filter(|entry| !is_denial(entry) && is_understood(entry)) {
            if let Some(allow) = self.allowed(entry, topics) {
                wanted.allows.entry(allow).or_insert(entry);
            }
        }
        for deny in denials.all().filter(|deny| is_understood(deny)) {
            for entry in self.denied(deny, topics) {
                wanted.denies.entry(entry).or_insert(deny);
            }
        }
        for (allow, of) in &wanted.allows {
            let on_source = AclEntry { operation: allow.operation, ..(*of).clone() };
            let limits = denials.limiting(&on_source).into_iter();
            let limits: Vec<_> = limits.map(|deny| (deny, self.denied_of(deny, allow, of))).collect();
            for (deny, entry) in &limits {
                if let Some(entry) = entry {
                    wanted.denies.entry(entry.clone()).or_insert(deny);
                }
            }
            wanted.limits.insert(allow.clone(), limits);
        }
        wanted
    }

    /// What an entry that allows something becomes on the target.
    fn allowed(&self, entry: &AclEntry, topics: &CopiedTopics) -> Option<AclEntry> {
        match self.acls {
            Acls::None => None,
            Acls::Safe => self.readable(entry, topics),
            Acls::Full
                if entry.resource_type == AclResourceType::Topic && self.naming != Naming::Identity =>
            {
                of_its_copy(entry, topics)
            }
            Acls::Full => self.concerns(entry, topics).then(|| entry.clone()),
        }
    }

    /// MirrorMaker's rules (`MirrorSourceConnector.targetAclBinding`): the right to write is left out. But `*` is no topic: MirrorMaker
    /// makes `east.*` of it, which nothing has for its name.
    fn readable(&self, entry: &AclEntry, topics: &CopiedTopics) -> Option<AclEntry> {
        let entry = of_its_copy(entry, topics)?;
        match entry.operation {
            AclOperation::Write => None,
            AclOperation::All => Some(AclEntry { operation: AclOperation::Read, ..entry }),
            _ => Some(entry),
        }
    }

    /// What an entry that denies something becomes on the target: as many entries as it covers copies, unless all is as it is.
    fn denied(&self, entry: &AclEntry, topics: &CopiedTopics) -> Vec<AclEntry> {
        match (self.acls, entry.resource_type) {
            (Acls::None, _) => Vec::new(),
            (Acls::Full, _) if self.stays_as_it_is(entry) => {
                Vec::from_iter(self.concerns(entry, topics).then(|| entry.clone()))
            }
            (_, AclResourceType::Topic) => covered(entry, topics).map(|copy| of_topic(entry, copy)).collect(),
            _ => Vec::new(),
        }
    }

    /// What an entry that denies some of what another one allows becomes on the target, be it of something that is not copied yet.
    fn denied_of(&self, deny: &AclEntry, allow: &AclEntry, of: &AclEntry) -> Option<AclEntry> {
        let is_as_it_is = allow.resource_name == of.resource_name && self.stays_as_it_is(deny);
        let entry = if is_as_it_is { deny.clone() } else { of_topic(deny, &allow.resource_name) };
        is_understood(deny).then_some(entry)
    }

    /// Whether patterns mean the same on both clusters, and all entries of them may follow.
    fn stays_as_it_is(&self, entry: &AclEntry) -> bool {
        let has_its_names = entry.resource_type != AclResourceType::Topic || self.naming == Naming::Identity;
        self.acls == Acls::Full && has_its_names
    }

    /// Whether an entry concerns something that the flow copies.
    fn concerns(&self, entry: &AclEntry, topics: &CopiedTopics) -> bool {
        match (entry.resource_type, entry.pattern_type) {
            (AclResourceType::Topic, _) => covered(entry, topics).next().is_some(),
            // Of a prefix, and of all, it is the text that is selected or not.
            (AclResourceType::Group, AclPatternType::Literal | AclPatternType::Prefixed) => {
                self.groups.matches(&entry.resource_name)
            }
            (AclResourceType::TransactionalId, _) => true,
            _ => false,
        }
    }

    /// Whether something on the source stands for an entry of the target, be what it concerns copied at the moment or not.
    fn stands(&self, entry: &AclEntry, source: &[AclEntry]) -> bool {
        if self.stays_as_it_is(entry) {
            return source.contains(entry);
        }
        let Some(topic) = self.source_topic(entry) else { return false };
        let is_it = |of: &AclEntry| covers(of, topic) && of_topic(of, &entry.resource_name) == *entry;
        source.iter().any(|of| is_it(of) && (is_denial(of) || is_of_one(of)))
    }

    /// The source topic whose copy an entry is of.
    fn source_topic<'a>(&self, entry: &'a AclEntry) -> Option<&'a str> {
        let template = self.naming.target_topic(&self.source_alias, TOPIC);
        let (before, behind) = template.split_once(TOPIC)?;
        let name = entry.resource_name.strip_prefix(before)?;
        name.strip_suffix(behind)
    }
}

/// What is to be changed on the target. `added`: what this flow has added there. Nothing else is ever removed: an entry that was there
/// before, be it the same, is somebody's own, and kmirror's own rights are among those. `is_refused`: what the target does not take.
pub(crate) fn judge(
    rules: &AclRules,
    topics: &CopiedTopics,
    source: &[AclEntry],
    target: &[AclEntry],
    added: &BTreeSet<AclEntry>,
    is_refused: &dyn Fn(&AclEntry) -> bool,
) -> Judgement {
    let there: BTreeSet<&AclEntry> = target.iter().collect();
    let wanted = rules.wanted(topics, source);
    let mut judgement = Judgement::default();
    let lacks = |entry: &AclEntry| !there.contains(entry);
    let denies = wanted.denies.iter().filter(|(entry, _)| lacks(entry) && !is_refused(entry));
    judgement.steps.extend(denies.map(|(entry, of)| add(entry, of, Vec::new())));
    let mut withdrawn = BTreeSet::new();
    for (allow, of) in &wanted.allows {
        let limits = wanted.limits.get(allow).map(Vec::as_slice).unwrap_or_default();
        let unsaid = |entry: &AclEntry| lacks(entry) && is_refused(entry);
        let unsaid = limits.iter().find(|(_, entry)| entry.as_ref().is_none_or(unsaid));
        match unsaid {
            Some((deny, _)) if lacks(allow) || added.contains(allow) => {
                let kept_back = KeptBack { allow: (*of).clone(), deny: (*deny).clone() };
                judgement.kept_back.push(kept_back);
                withdrawn.insert(allow.clone());
            }
            None if lacks(allow) && !is_refused(allow) => {
                let limits = limits.iter().filter_map(|(_, entry)| entry.clone()).collect();
                judgement.steps.push(add(allow, of, limits));
            }
            _ => {}
        }
    }
    let gone = gone(rules, source, added);
    let removed = gone.iter().chain(added.intersection(&withdrawn)).filter(|entry| !lacks(entry));
    let (denies, allows): (Vec<_>, Vec<_>) = removed.cloned().partition(is_denial);
    judgement.steps.extend(allows.into_iter().chain(denies).map(AclStep::Remove));
    judgement
}

fn add(entry: &AclEntry, of: &AclEntry, limits: Vec<AclEntry>) -> AclStep {
    AclStep::Add { entry: entry.clone(), of: of.clone(), limits }
}

/// What this flow has added and nothing on the source stands for any more, be it copied at the moment or not: a topic that leaves the
/// flow, or was not seen yet, keeps its entries.
pub(crate) fn gone(rules: &AclRules, source: &[AclEntry], added: &BTreeSet<AclEntry>) -> BTreeSet<AclEntry> {
    if !rules.removes() {
        return BTreeSet::new();
    }
    added.iter().filter(|entry| !rules.stands(entry, source)).cloned().collect()
}

/// The copies that an entry of topics means.
fn covered<'a>(entry: &'a AclEntry, topics: &'a CopiedTopics) -> impl Iterator<Item = &'a str> {
    topics.iter().filter(|(topic, _)| covers(entry, topic)).map(|(_, copy)| &**copy)
}

fn covers(entry: &AclEntry, topic: &str) -> bool {
    match entry.pattern_type {
        AclPatternType::Literal => entry.resource_name == EVERY || entry.resource_name == topic,
        AclPatternType::Prefixed => topic.starts_with(&entry.resource_name),
        _ => false,
    }
}

/// The same of the copy of its topic, if it is of one. What means many topics means others under other names.
fn of_its_copy(entry: &AclEntry, topics: &CopiedTopics) -> Option<AclEntry> {
    let is_of_topic = entry.resource_type == AclResourceType::Topic && is_of_one(entry);
    let copy = topics.get(entry.resource_name.as_str()).filter(|_| is_of_topic)?;
    Some(of_topic(entry, copy))
}

/// The same of the one topic with this name.
fn of_topic(entry: &AclEntry, name: &str) -> AclEntry {
    AclEntry { pattern_type: AclPatternType::Literal, resource_name: name.to_owned(), ..entry.clone() }
}

/// Stands for a topic's name in the pattern of its copy's.
const TOPIC: &str = "{topic}";

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

    fn judged(rules: &(AclRules, CopiedTopics), source: &[&str], target: &[&str]) -> Judgement {
        judge(&rules.0, &rules.1, &entries(source), &entries(target), &BTreeSet::new(), &|_| false)
    }

    fn added(rules: &(AclRules, CopiedTopics), source: &[&str], target: &[&str]) -> Vec<String> {
        let steps = judged(rules, source, target).steps;
        let entry = |step: AclStep| match step {
            AclStep::Add { entry, of, .. } => {
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
        let table: [(&str, Option<&str>); 13] = [
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
            judge(&rules, &topics, &source, &target, &added, &|_| false).steps
        };
        assert_eq!(steps(Acls::Full), [AclStep::Remove(ours.clone())]);
        assert_eq!(steps(Acls::Safe), []);
        // Somebody was faster.
        let (rules, topics) = rules(Acls::Full, Naming::Identity);
        assert_eq!(judge(&rules, &topics, &source, &source, &added, &|_| false).steps, []);
        assert_eq!(gone(&rules, &source, &added), BTreeSet::from([ours]), "but it is known no more");
    }

    #[test]
    fn two_entries_may_become_one() {
        let rules = rules(Acls::Safe, Naming::Identity);
        let source = ["ALLOW ALL TOPIC LITERAL orders", "ALLOW READ TOPIC LITERAL orders"];
        assert_eq!(added(&rules, &source, &[]), ["ALLOW READ TOPIC LITERAL orders"]);
        assert_eq!(added(&rules, &source, &["ALLOW READ TOPIC LITERAL orders"]), [""; 0]);
    }

    #[test]
    fn what_denies_many_topics_denies_each_copy() {
        let source = [
            "DENY READ TOPIC LITERAL *",
            "DENY WRITE TOPIC PREFIXED ord",
            "DENY ALL TOPIC PREFIXED oth",
            "DENY READ GROUP PREFIXED bill",
        ];
        let copies = |prefix: &str| {
            ["READ TOPIC LITERAL orders", "READ TOPIC LITERAL payments", "WRITE TOPIC LITERAL orders"]
                .map(|entry| format!("DENY {}", entry.replace("LITERAL ", &format!("LITERAL {prefix}"))))
        };
        let sorted = |acls, naming| {
            let mut found = added(&rules(acls, naming), &source, &[]);
            found.sort();
            found
        };
        assert_eq!(sorted(Acls::Safe, Naming::Identity), copies(""));
        assert_eq!(sorted(Acls::Safe, Naming::Prefixed), copies("east."));
        let groups = [vec![source[3].to_owned()], copies("east.").to_vec()].concat();
        assert_eq!(sorted(Acls::Full, Naming::Prefixed), groups);
        let as_they_are = [source[3], source[0], source[1]];
        assert_eq!(sorted(Acls::Full, Naming::Identity), as_they_are);
    }

    /// What is not copied yet would be open until the next look, and so would what is never copied.
    #[test]
    fn what_allows_more_than_copies_brings_what_limits_it() {
        let rules = rules(Acls::Full, Naming::Identity);
        let allows = ["ALLOW READ TOPIC PREFIXED o", "ALLOW READ GROUP LITERAL *"];
        let limits = ["DENY ALL TOPIC LITERAL others", "DENY DESCRIBE GROUP LITERAL console-consumer-1"];
        let nothing = ["DENY WRITE TOPIC LITERAL others", "DENY READ TOPIC LITERAL elsewhere"];
        let source = [&allows[..], &limits, &nothing].concat();
        assert_eq!(added(&rules, &source, &[]), [limits, allows].concat());
    }

    #[test]
    fn what_limits_an_entry_must_be_there_before_it() {
        let rules = rules(Acls::Safe, Naming::Prefixed);
        let source =
            ["ALLOW ALL TOPIC LITERAL orders", "DENY READ TOPIC PREFIXED ord", "DENY WRITE TOPIC LITERAL *"];
        let limits = |target: &[&str]| {
            let last = judged(&rules, &source, target).steps.pop();
            let Some(AclStep::Add { entry, limits, .. }) = last else { panic!("{last:?}") };
            assert_eq!(line(&entry), "ALLOW READ TOPIC LITERAL east.orders");
            limits.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(limits(&[]), ["DENY READ TOPIC LITERAL east.orders"]);
        assert_eq!(limits(&["DENY READ TOPIC LITERAL east.orders"]), ["DENY READ TOPIC LITERAL east.orders"]);
    }

    #[test]
    fn what_cannot_be_limited_on_the_target_is_kept_back() {
        let rules = rules(Acls::Full, Naming::Prefixed);
        let allow = entry("ALLOW ALL TOPIC LITERAL orders");
        let other = entry("ALLOW READ TOPIC LITERAL payments");
        let unknown =
            AclEntry { operation: AclOperation::Other(99), ..entry("DENY READ TOPIC LITERAL orders") };
        let source = [allow.clone(), other, unknown.clone()];
        let copy = entry("ALLOW ALL TOPIC LITERAL east.orders");
        let judged = |target: &[AclEntry], added: &BTreeSet<AclEntry>| {
            judge(&rules.0, &rules.1, &source, target, added, &|_| false)
        };
        let kept_back = [KeptBack { allow, deny: unknown }];
        let found = judged(&[], &BTreeSet::new());
        assert_eq!(found.kept_back, kept_back);
        assert!(
            matches!(&found.steps[..], [AclStep::Add { entry, .. }] if entry.resource_name == "east.payments")
        );
        // What was added before is taken back, what is somebody's own is not.
        let there = [copy.clone(), entry("ALLOW READ TOPIC LITERAL east.payments")];
        let found = judged(&there, &BTreeSet::from([copy.clone()]));
        assert_eq!((found.steps, &found.kept_back[..]), (vec![AclStep::Remove(copy)], &kept_back[..]));
        assert_eq!(judged(&there, &BTreeSet::new()), Judgement::default());
    }

    #[test]
    fn what_the_target_refuses_to_deny_is_not_allowed_either() {
        let rules = rules(Acls::Safe, Naming::Identity);
        let source = entries(&["ALLOW READ TOPIC LITERAL orders", "DENY READ TOPIC PREFIXED ord"]);
        let refused = |entry: &AclEntry| line(entry) == "DENY READ TOPIC LITERAL orders";
        let judged =
            |target: &[AclEntry]| judge(&rules.0, &rules.1, &source, target, &BTreeSet::new(), &refused);
        let found = judged(&[]);
        assert_eq!(found.steps, []);
        assert_eq!(found.kept_back, [KeptBack { allow: source[0].clone(), deny: source[1].clone() }]);
        // Somebody has said it by himself.
        let found = judged(&[entry("DENY READ TOPIC LITERAL orders")]);
        assert_eq!((found.steps.len(), found.kept_back.len()), (1, 0));
    }
}
