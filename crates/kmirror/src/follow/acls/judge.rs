//! Which entries the target should have, and what is to be changed for it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclResourceType};

use super::guard::{self, Held};
use super::limits::{self, Denials, EVERY, is_denial, is_of_one, is_understood};
use super::record::{Record, Records, State};
use crate::ground::config::{Acls, Flow, Naming};
use crate::ground::selection::GroupMatcher;

/// What a flow's configuration says of access control lists.
#[derive(Clone, Debug)]
pub(crate) struct AclRules {
    acls: Acls,
    naming: Naming,
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
    /// Why nothing is removed of what is gone on the source.
    pub(crate) held: Option<Held>,
    /// What is gone on the source, and on the target: whose it is there nobody knows.
    pub(crate) doubtful: Vec<AclEntry>,
    /// What is known of entries now, beside what the steps make of them; `None`: nothing any more.
    pub(crate) records: Vec<(AclEntry, Option<Record>)>,
}

/// What is known of both clusters.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    /// Which topics are copied.
    pub(crate) topics: &'a CopiedTopics,
    pub(crate) source: &'a [AclEntry],
    pub(crate) target: &'a [AclEntry],
    /// What was added to the target. Nothing else is ever removed: an entry that was there before, be it the same, is somebody's own, and
    /// kmirror's own rights are among those.
    pub(crate) records: &'a Records,
    /// By the wall clock, as records are stamped.
    pub(crate) now_ms: i64,
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
        /// Whether it is such an entry itself.
        is_limit: bool,
    },
    /// An entry that was added is not wanted any more.
    Remove {
        entry: AclEntry,
        /// The entry of the source that it followed from: gone, or kept back by now.
        of: AclEntry,
        is_gone: bool,
    },
}

/// An entry of the source that allows something, and one that denies some of it and cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
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
        AclRules { acls: flow.acls, naming: flow.naming.clone(), groups }
    }

    /// Other groups may follow now.
    pub(crate) fn select(&mut self, groups: &GroupMatcher) {
        self.groups.clone_from(groups);
    }

    /// Whether what is gone on the source is removed.
    pub(crate) fn removes(&self) -> bool {
        self.acls == Acls::Full
    }

    fn wanted<'a>(&self, topics: &CopiedTopics, source: &'a [AclEntry], denials: &Denials<'a>) -> Wanted<'a> {
        let mut wanted = Wanted::default();
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
        let allows = wanted.allows.clone();
        allows.iter().for_each(|(allow, of)| self.limit(allow, of, denials, &mut wanted));
        wanted
    }

    /// What limits an entry is wanted as well.
    fn limit<'a>(&self, allow: &AclEntry, of: &AclEntry, denials: &Denials<'a>, wanted: &mut Wanted<'a>) {
        let on_source = AclEntry { operation: allow.operation, ..of.clone() };
        let limits = denials.limiting(&on_source).into_iter();
        let mut limits: Vec<_> = limits.map(|deny| (deny, self.denied_of(deny, allow, of))).collect();
        if !is_of_one(allow) {
            // What was added while names stayed as they are means copies under other names as well.
            let of_copies = wanted.denies.iter().filter(|(entry, _)| limits::limits(entry, allow));
            limits.extend(of_copies.map(|(entry, deny)| (*deny, Some(entry.clone()))));
        }
        for (deny, entry) in &limits {
            if let Some(entry) = entry {
                wanted.denies.entry(entry.clone()).or_insert(deny);
            }
        }
        wanted.limits.insert(allow.clone(), limits);
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

    /// What an entry that denies some of what another one allows becomes on the target, be it of something that is not copied yet, or of
    /// what was copied under another name.
    fn denied_of(&self, deny: &AclEntry, allow: &AclEntry, of: &AclEntry) -> Option<AclEntry> {
        let has_its_name = allow.resource_name == of.resource_name;
        let is_as_it_is = has_its_name && self.stays_as_it_is(deny) || !is_of_one(allow);
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
}

impl Wanted<'_> {
    fn has(&self, entry: &AclEntry) -> bool {
        self.allows.contains_key(entry) || self.denies.contains_key(entry)
    }

    fn of(&self, entry: &AclEntry) -> Option<&AclEntry> {
        self.allows.get(entry).or_else(|| self.denies.get(entry)).copied()
    }
}

/// What is to be changed on the target. `is_refused`: what it does not take.
pub(crate) fn judge(rules: &AclRules, lists: Lists<'_>, is_refused: &dyn Fn(&AclEntry) -> bool) -> Judgement {
    let judge = Judge::new(rules, lists, is_refused);
    let mut judgement = Judgement { held: judge.held, ..Judgement::default() };
    judge.deny(&mut judgement);
    let withdrawn = judge.allow(&mut judgement);
    judge.remove(withdrawn, &mut judgement);
    judge.record(&mut judgement);
    judgement
}

struct Judge<'a> {
    records: &'a Records,
    now_ms: i64,
    is_refused: &'a dyn Fn(&AclEntry) -> bool,
    on_source: BTreeSet<&'a AclEntry>,
    there: BTreeSet<&'a AclEntry>,
    wanted: Wanted<'a>,
    held: Option<Held>,
}

impl<'a> Judge<'a> {
    fn new(rules: &AclRules, lists: Lists<'a>, is_refused: &'a dyn Fn(&AclEntry) -> bool) -> Judge<'a> {
        let Lists { topics, source, target, records, now_ms } = lists;
        let denials = Denials::of(source);
        let wanted = rules.wanted(topics, source, &denials);
        let (on_source, there) = (source.iter().collect(), target.iter().collect());
        let mut judge = Judge { records, now_ms, is_refused, on_source, there, wanted, held: None };
        judge.held = guard::held(records, &judge.gone().map(|(entry, _)| entry).collect(), now_ms);
        // What stays is limited by what is denied since, whatever it was added for.
        for (allow, record) in judge.ours().into_iter().filter(|(entry, _)| !is_denial(entry)) {
            let stays = judge.held.is_some() || !judge.is_gone(allow, record);
            if stays && !judge.wanted.allows.contains_key(allow) {
                rules.limit(allow, &record.of, &denials, &mut judge.wanted);
            }
        }
        judge
    }

    /// What was added, and is there.
    fn ours(&self) -> Vec<(&'a AclEntry, &'a Record)> {
        let is_ours = |(entry, record): &(&AclEntry, &Record)| record.state.is_ours() && !self.lacks(entry);
        self.records.iter().filter(is_ours).collect()
    }

    /// What of it is gone on the source.
    fn gone(&self) -> impl Iterator<Item = (&'a AclEntry, &'a Record)> {
        self.ours().into_iter().filter(|(entry, record)| self.is_gone(entry, record))
    }

    /// Be it copied at the moment or not: a topic that leaves the flow, or has another name by now, keeps its entries.
    fn is_gone(&self, entry: &AclEntry, record: &Record) -> bool {
        !self.on_source.contains(&record.of) && !self.wanted.has(entry)
    }

    fn lacks(&self, entry: &AclEntry) -> bool {
        !self.there.contains(entry)
    }

    fn deny(&self, judgement: &mut Judgement) {
        let limits = self.wanted.limits.values().flatten().filter_map(|(_, entry)| entry.as_ref());
        let limits: BTreeSet<_> = limits.collect();
        let denies = self.wanted.denies.iter();
        let denies = denies.filter(|(entry, _)| self.lacks(entry) && !(self.is_refused)(entry));
        judgement.steps.extend(denies.map(|(entry, of)| deny(entry, of, limits.contains(entry))));
    }

    /// What was added before, and is kept back by now, is returned.
    fn allow(&self, judgement: &mut Judgement) -> Vec<AclStep> {
        let mut withdrawn = Vec::new();
        for (allow, limits) in &self.wanted.limits {
            let ours = self.records.get(allow).filter(|record| record.state.is_ours());
            let of = self.wanted.allows.get(allow).copied();
            let Some(of) = of.or(ours.map(|record| &record.of)) else { continue };
            let unsaid = |entry: &AclEntry| self.lacks(entry) && (self.is_refused)(entry);
            let unsaid = limits.iter().find(|(_, entry)| entry.as_ref().is_none_or(unsaid));
            match unsaid {
                Some((deny, _)) if self.lacks(allow) || ours.is_some() => {
                    judgement.kept_back.push(KeptBack { allow: of.clone(), deny: (*deny).clone() });
                    withdrawn.extend(ours.filter(|_| !self.lacks(allow)).map(|_| remove(allow, of, false)));
                }
                None if self.lacks(allow) && !(self.is_refused)(allow) => {
                    let limits = limits.iter().filter_map(|(_, entry)| entry.clone()).collect();
                    judgement.steps.push(self::allow(allow, of, limits));
                }
                _ => {}
            }
        }
        withdrawn
    }

    fn remove(&self, withdrawn: Vec<AclStep>, judgement: &mut Judgement) {
        let mut removed = withdrawn;
        if self.held.is_none() {
            removed.extend(self.gone().map(|(entry, record)| remove(entry, &record.of, true)));
        }
        removed.sort_by_key(|step| matches!(step, AclStep::Remove { entry, .. } if is_denial(entry)));
        judgement.steps.extend(removed);
    }

    fn record(&self, judgement: &mut Judgement) {
        for (entry, record) in self.records {
            let known = Known {
                is_there: !self.lacks(entry),
                has_first: self.on_source.contains(&record.of),
                is_gone: self.is_gone(entry, record),
                is_held: self.held.is_some(),
                now_ms: self.now_ms,
            };
            if record.state == State::Asked && known.is_gone && known.is_there {
                judgement.doubtful.push(entry.clone());
            }
            let record = known.record(record, self.wanted.of(entry));
            judgement.records.extend(record.map(|record| (entry.clone(), record)));
        }
    }
}

fn deny(entry: &AclEntry, of: &AclEntry, is_limit: bool) -> AclStep {
    AclStep::Add { entry: entry.clone(), of: of.clone(), limits: Vec::new(), is_limit }
}

fn allow(entry: &AclEntry, of: &AclEntry, limits: Vec<AclEntry>) -> AclStep {
    AclStep::Add { entry: entry.clone(), of: of.clone(), limits, is_limit: false }
}

fn remove(entry: &AclEntry, of: &AclEntry, is_gone: bool) -> AclStep {
    AclStep::Remove { entry: entry.clone(), of: of.clone(), is_gone }
}

/// What is known now of an entry that was recorded.
struct Known {
    is_there: bool,
    /// The source has the entry still that it followed from at first.
    has_first: bool,
    /// The source has nothing any more that it follows from.
    is_gone: bool,
    is_held: bool,
    now_ms: i64,
}

impl Known {
    /// What is to be recorded of it, if that is something else. `wanted_of`: what it would follow from if it were added now.
    fn record(&self, record: &Record, wanted_of: Option<&AclEntry>) -> Option<Option<Record>> {
        let Known { is_there, has_first, is_gone, is_held, now_ms } = *self;
        // Where another entry stands for it by now it must not be gone with the first one.
        let of = if has_first { &record.of } else { wanted_of.unwrap_or(&record.of) };
        let with = |state| Some(Some(Record::new(of.clone(), state)));
        match record.state {
            State::Removed { .. } if guard::is_over(record.state, now_ms) => Some(None),
            State::Removed { .. } => None,
            // Whoever adds it from now on is somebody else.
            _ if is_gone && !is_there => Some(None),
            State::Added | State::Returned { .. } if is_gone && is_held => with(State::Missing),
            State::Missing if !is_gone => with(State::Returned { at_ms: now_ms }),
            state if *of != record.of => with(state),
            _ => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::selection::GroupSelection;

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
        judgement(rules, &entries(source), &entries(target), &Records::new())
    }

    fn judgement(
        (rules, topics): &(AclRules, CopiedTopics),
        source: &[AclEntry],
        target: &[AclEntry],
        records: &Records,
    ) -> Judgement {
        judge(rules, Lists { topics, source, target, records, now_ms: NOW }, &|_| false)
    }

    const NOW: i64 = 1_800_000_000_000;

    /// Entries of the target, and what they follow from.
    fn records(state: State, lines: &[(&str, &str)]) -> Records {
        lines.iter().map(|(copy, of)| (entry(copy), Record::new(entry(of), state))).collect()
    }

    fn added(rules: &(AclRules, CopiedTopics), source: &[&str], target: &[&str]) -> Vec<String> {
        let steps = judged(rules, source, target).steps;
        let entry = |step: AclStep| match step {
            AclStep::Add { entry, of, .. } => {
                assert_eq!((&*entry.principal, &*entry.host), ("User:alice", "10.0.0.7"));
                assert!(entries(source).contains(&of));
                line(&entry)
            }
            AclStep::Remove { entry, .. } => panic!("removed: {entry}"),
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
    fn only_what_was_added_is_removed() {
        let rules = rules(Acls::Full, Naming::Identity);
        let ours = "ALLOW WRITE TOPIC LITERAL orders";
        let left = "ALLOW WRITE TOPIC LITERAL no-longer-copied";
        let somebodys = "ALLOW READ TOPIC LITERAL orders";
        let renamed = ("DENY READ TOPIC LITERAL former.orders", "DENY READ TOPIC PREFIXED ord");
        let source = entries(&[left, renamed.1]);
        let known = records(State::Added, &[(ours, ours), (left, left), renamed]);
        let target = entries(&[ours, left, somebodys, renamed.0]);
        let there = entries(&[renamed.1]);
        let found = judgement(&rules, &source, &[target, there.clone()].concat(), &known);
        assert_eq!(found.steps, [remove(&entry(ours), &entry(ours), true)]);
        assert_eq!((found.records, found.held), (vec![], None), "what becomes of a step is recorded with it");
        // Somebody was faster: it is known no more.
        let target = entries(&[left, somebodys, renamed.0]);
        let found = judgement(&rules, &source, &[target, there].concat(), &known);
        assert_eq!((found.steps, found.records), (vec![], vec![(entry(ours), None)]));
    }

    /// All of them under names that the flow does not use any more.
    #[test]
    fn what_was_added_under_other_names_is_judged() {
        let rules = rules(Acls::Full, Naming::Prefixed);
        let pairs = ["a", "b", "c"].map(|topic| {
            (format!("ALLOW READ TOPIC LITERAL former.{topic}"), format!("ALLOW READ TOPIC LITERAL {topic}"))
        });
        let known = records(State::Added, &pairs.each_ref().map(|(copy, of)| (copy.as_str(), of.as_str())));
        let target: Vec<_> = known.keys().cloned().collect();
        let source = [entry(&pairs[0].1), entry(&pairs[1].1), entry("DENY DESCRIBE TOPIC PREFIXED b")];
        let found = judgement(&rules, &source, &target, &known).steps;
        let limit = entry("DENY DESCRIBE TOPIC LITERAL former.b");
        let expected = [deny(&limit, &source[2], true), remove(&target[2], &entry(&pairs[2].1), true)];
        assert_eq!(found, expected, "what is denied since then is denied there too");
    }

    #[test]
    fn what_would_be_too_much_is_not_removed() {
        let rules = rules(Acls::Full, Naming::Identity);
        let names = ["a", "b", "c"].map(|topic| format!("ALLOW READ TOPIC LITERAL {topic}"));
        let names = names.each_ref().map(String::as_str);
        let known = records(State::Added, &names.map(|name| (name, name)));
        let all: Vec<_> = known.keys().cloned().collect();
        let state = |state| Some(Record::new(all[0].clone(), state));
        let found = judgement(&rules, &[], &all, &known);
        assert!(found.held.is_some() && found.steps.is_empty(), "{found:?}");
        assert_eq!((found.records.len(), &found.records[0].1), (3, &state(State::Missing)));
        // As the first one is restored two of three are gone still; when all are, it is remembered for an hour.
        let missing = records(State::Missing, &names.map(|name| (name, name)));
        let found = judgement(&rules, &all[..1], &all, &missing);
        assert!(found.held.is_some() && found.steps.is_empty(), "{found:?}");
        assert_eq!(found.records, [(all[0].clone(), state(State::Returned { at_ms: NOW }))]);
    }

    #[test]
    fn what_another_entry_stands_for_stays() {
        let rules = rules(Acls::Full, Naming::Prefixed);
        let copy = "DENY READ TOPIC LITERAL east.orders";
        let known = records(State::Added, &[(copy, "DENY READ TOPIC LITERAL orders")]);
        let (source, target) = (["DENY READ TOPIC PREFIXED ord"], [copy]);
        let found = judgement(&rules, &entries(&source), &entries(&target), &known);
        let renewed = Record::new(entry(source[0]), State::Added);
        assert_eq!((found.steps, found.records), (vec![], vec![(entry(copy), Some(renewed))]));
    }

    /// As where kmirror was killed before it could ask the target, and somebody has added the same since.
    #[test]
    fn what_may_be_somebodys_own_is_not_removed() {
        let rules = rules(Acls::Full, Naming::Identity);
        let line = "ALLOW READ TOPIC LITERAL orders";
        let (asked, there) = (records(State::Asked, &[(line, line)]), entries(&[line]));
        let found = judgement(&rules, &[], &there, &asked);
        assert_eq!((found.steps, found.doubtful, found.records), (vec![], there.clone(), vec![]));
        let found = judgement(&rules, &there, &there, &asked);
        assert_eq!(found, Judgement::default());
        let found = judgement(&rules, &[], &[], &asked);
        assert_eq!((found.doubtful, found.records), (vec![], vec![(there[0].clone(), None)]));
    }

    #[test]
    fn what_was_removed_is_remembered_for_an_hour() {
        let rules = rules(Acls::Full, Naming::Identity);
        let line = "ALLOW READ TOPIC LITERAL orders";
        let found = |minutes: i64| {
            let removed = records(State::Removed { at_ms: NOW - minutes * 60_000 }, &[(line, line)]);
            // Whoever has added it since is somebody else.
            let found = judgement(&rules, &[], &entries(&[line]), &removed);
            assert_eq!(found.steps, []);
            found.records
        };
        assert_eq!(found(59), []);
        assert_eq!(found(61), [(entry(line), None)]);
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
        let judged = |target: &[AclEntry], records: &Records| judgement(&rules, &source, target, records);
        let kept_back = [KeptBack { allow, deny: unknown }];
        let found = judged(&[], &Records::new());
        assert_eq!(found.kept_back, kept_back);
        assert!(
            matches!(&found.steps[..], [AclStep::Add { entry, .. }] if entry.resource_name == "east.payments")
        );
        // What was added before is taken back, what is somebody's own is not.
        let there = [copy.clone(), entry("ALLOW READ TOPIC LITERAL east.payments")];
        let known = records(State::Added, &[(&line(&copy), &line(&kept_back[0].allow))]);
        let found = judged(&there, &known);
        let steps = vec![remove(&copy, &kept_back[0].allow, false)];
        assert_eq!((found.steps, &found.kept_back[..]), (steps, &kept_back[..]));
        assert_eq!(judged(&there, &Records::new()), Judgement::default());
    }

    #[test]
    fn what_the_target_refuses_to_deny_is_not_allowed_either() {
        let rules = rules(Acls::Safe, Naming::Identity);
        let source = entries(&["ALLOW READ TOPIC LITERAL orders", "DENY READ TOPIC PREFIXED ord"]);
        let refused = |entry: &AclEntry| line(entry) == "DENY READ TOPIC LITERAL orders";
        let (records, (rules, topics)) = (Records::new(), &rules);
        let judged = |target: &[AclEntry]| {
            let lists = Lists { topics, source: &source, target, records: &records, now_ms: NOW };
            judge(rules, lists, &refused)
        };
        let found = judged(&[]);
        assert_eq!(found.steps, []);
        assert_eq!(found.kept_back, [KeptBack { allow: source[0].clone(), deny: source[1].clone() }]);
        // Somebody has said it by himself.
        let found = judged(&[entry("DENY READ TOPIC LITERAL orders")]);
        assert_eq!((found.steps.len(), found.kept_back.len()), (1, 0));
    }
}
