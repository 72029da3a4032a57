//! Random lists against an authorizer that is written from Kafka's alone: whoever may not do something on the source may not do it on
//! the target by what is added there, at no moment.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType};

use super::changes::{self, Changes};
use super::judge::{AclRules, CopiedTopics, judge};
use crate::config::{Acls, Flow, Naming};
use crate::selection::GroupSelection;

#[test]
fn whoever_may_not_on_the_source_may_not_on_the_target() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let mut world = World::of(seed);
        for _ in 0..ROUNDS {
            world.round(&mut seen);
        }
    }
    // A test that never comes to what it is about says nothing.
    let Seen { denied, allowed, kept_back, waited, removed } = seen;
    assert!(denied > 3_000 && allowed > 3_000 && kept_back > 300 && waited > 50 && removed > 500, "{seen:?}");
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    denied: u32,
    allowed: u32,
    kept_back: u32,
    waited: u32,
    removed: u32,
}

/// Somebody who wants to do something to something on both clusters.
type Wish = (&'static str, &'static str, AclOperation, AclResourceType, String, String);

/// What is denied wins, and an ALLOW may imply more: `StandardAuthorizerData.findAclRule` and `findResult` of Kafka 4.3, and
/// `AclAuthorizer.authorizeAction` of 3.x, where nobody is a super user and nothing is allowed by default.
fn may(
    list: &BTreeSet<AclEntry>,
    who: &str,
    host: &str,
    operation: AclOperation,
    kind: AclResourceType,
    name: &str,
) -> bool {
    let (mut is_allowed, mut is_denied) = (false, false);
    for acl in list {
        let is_meant = match acl.pattern_type {
            AclPatternType::Literal => acl.resource_name == "*" || acl.resource_name == name,
            AclPatternType::Prefixed => name.starts_with(&acl.resource_name),
            // What a newer cluster might mean by it: everything.
            _ => true,
        };
        let is_of =
            (acl.principal == who || acl.principal == "User:*") && (acl.host == host || acl.host == "*");
        if acl.resource_type != kind || !is_meant || !is_of {
            continue;
        }
        let is_same = acl.operation == AclOperation::All || acl.operation == operation;
        let implied: &[AclOperation] = match operation {
            AclOperation::Describe => IMPLY_DESCRIBE,
            AclOperation::DescribeConfigs => &[AclOperation::AlterConfigs],
            _ => &[],
        };
        match acl.permission {
            AclPermission::Allow => is_allowed |= is_same || implied.contains(&acl.operation),
            _ => is_denied |= is_same,
        }
    }
    is_allowed && !is_denied
}

/// `StandardAuthorizerData.IMPLIES_DESCRIBE`.
const IMPLY_DESCRIBE: &[AclOperation] =
    &[AclOperation::Read, AclOperation::Write, AclOperation::Delete, AclOperation::Alter];

/// A flow between two clusters.
struct World {
    seed: u64,
    chance: Chance,
    acls: Acls,
    rules: AclRules,
    topics: CopiedTopics,
    wishes: Vec<Wish>,
    source: BTreeSet<AclEntry>,
    /// What is on the target beside what was added.
    foreign: BTreeSet<AclEntry>,
    added: BTreeSet<AclEntry>,
    /// What the target never takes.
    untaken: BTreeSet<AclEntry>,
    refused: BTreeSet<AclEntry>,
}

impl World {
    fn of(seed: u64) -> World {
        let mut chance = Chance(seed);
        let acls = *chance.one_of(&[Acls::Safe, Acls::Full]);
        let template = Naming::Template("copy-{topic}-of-{source}".to_owned());
        let naming = chance.one_of(&[Naming::Identity, Naming::Prefixed, template]).clone();
        let mut flow = Flow::new("east", "west").naming(naming);
        flow.acls = acls;
        let groups = GroupSelection::default().compile().expect("valid patterns");
        let copied = TOPICS.iter().filter(|_| chance.is(2, 3));
        let topics = copied
            .map(|topic| (Arc::from(*topic), Arc::from(flow.naming.target_topic("east", topic))))
            .collect();
        let some = chance.below(14);
        let source = (0..some).map(|_| chance.entry()).collect();
        let some = chance.below(4);
        let foreign = (0..some).map(|_| chance.entry()).filter(super::limits::is_understood).collect();
        let (added, untaken, refused) = Default::default();
        World {
            seed,
            chance,
            acls,
            rules: AclRules::new(&flow, groups),
            wishes: wishes(&topics),
            topics,
            source,
            foreign,
            added,
            untaken,
            refused,
        }
    }

    /// Somebody changes the source's lists, and they are followed until there is nothing to do.
    fn round(&mut self, seen: &mut Seen) {
        // What is gone stays where nothing is ever removed, which is said.
        if self.acls == Acls::Full {
            for _ in 0..self.chance.below(4) {
                let entry = self.chance.entry();
                self.source.insert(entry);
            }
            let mut chance = Chance(self.chance.next());
            self.source.retain(|_| chance.is(7, 8));
        }
        for fails in [true, false, false] {
            self.follow(fails, seen);
        }
        let wrong = self.wrong();
        assert!(wrong.is_empty(), "seed {}: {wrong:#?}\n{self}", self.seed);
    }

    /// Follows as the follower does, an entry at a time. `fails`: requests fail now and then for a passing reason.
    fn follow(&mut self, fails: bool, seen: &mut Seen) {
        let before = self.wrong();
        let source: Vec<_> = self.source.iter().cloned().collect();
        let target: Vec<_> = self.target().into_iter().collect();
        let is_refused = |entry: &AclEntry| self.refused.contains(entry);
        let judged = judge(&self.rules, &self.topics, &source, &target, &self.added, &is_refused);
        seen.kept_back += judged.kept_back.len() as u32;
        let changes = Changes::of(judged.steps);
        for entry in changes.denies {
            seen.denied += u32::from(self.add(entry, fails));
        }
        let (ready, waiting) = changes.allows.ready(&self.target().into_iter().collect::<HashSet<_>>());
        seen.waited += waiting.len() as u32;
        for entry in ready {
            seen.allowed += u32::from(self.add(entry, fails));
            self.is_no_worse_than(&before);
        }
        let mut staying = Vec::new();
        for entry in changes.removed_allows {
            match fails && self.chance.is(1, 4) {
                true => staying.push(entry),
                false => seen.removed += u32::from(self.added.remove(&entry)),
            }
        }
        for entry in changes::unneeded(changes.removed_denies, &staying) {
            seen.removed += u32::from(self.added.remove(&entry));
            self.is_no_worse_than(&before);
        }
    }

    fn add(&mut self, entry: AclEntry, fails: bool) -> bool {
        assert!(super::limits::is_understood(&entry), "the target closes the connection: {entry}");
        if fails && self.chance.is(1, 6) {
            return false;
        }
        if self.untaken.contains(&entry) || self.chance.is(1, 12) {
            self.untaken.insert(entry.clone());
            self.refused.insert(entry);
            return false;
        }
        self.added.insert(entry)
    }

    fn target(&self) -> BTreeSet<AclEntry> {
        self.foreign.union(&self.added).cloned().collect()
    }

    /// Who may do what on the target by what was added, and may not on the source.
    fn wrong(&self) -> Vec<Wish> {
        let target = self.target();
        let is_wrong = |(who, host, operation, kind, topic, copy): &Wish| {
            let may = |list, name| may(list, who, host, *operation, *kind, name);
            may(&target, copy) && !may(&self.foreign, copy) && !may(&self.source, topic)
        };
        self.wishes.iter().filter(|wish| is_wrong(wish)).cloned().collect()
    }

    /// What denies something alone makes nothing worse when it comes, and what allows something when it goes.
    fn is_no_worse_than(&self, before: &[Wish]) {
        let wrong: Vec<_> = self.wrong().into_iter().filter(|wish| !before.contains(wish)).collect();
        assert!(wrong.is_empty(), "seed {}: {wrong:#?}\n{self}", self.seed);
    }
}

/// Everything that anybody may want to do with what is copied, or may be tomorrow.
fn wishes(topics: &CopiedTopics) -> Vec<Wish> {
    let copies =
        topics.iter().map(|(topic, copy)| (AclResourceType::Topic, topic.to_string(), copy.to_string()));
    let mut resources: BTreeSet<_> = copies.collect();
    let has_its_names = topics.iter().all(|(topic, copy)| topic == copy);
    for name in TOPICS {
        for kind in [AclResourceType::Topic, AclResourceType::Group, AclResourceType::TransactionalId] {
            if kind != AclResourceType::Topic || has_its_names {
                resources.insert((kind, (*name).to_owned(), (*name).to_owned()));
            }
        }
    }
    let mut wishes = Vec::new();
    for (kind, topic, copy) in resources {
        for who in &PRINCIPALS[1..] {
            for host in &HOSTS[1..] {
                for operation in &OPERATIONS[1..] {
                    wishes.push((*who, *host, *operation, kind, topic.clone(), copy.clone()));
                }
            }
        }
    }
    wishes
}

impl std::fmt::Display for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{:?}", self.rules)?;
        let lists =
            BTreeMap::from([("source", &self.source), ("foreign", &self.foreign), ("added", &self.added)]);
        for (name, entry) in lists.iter().flat_map(|(name, list)| list.iter().map(move |entry| (name, entry)))
        {
            writeln!(formatter, "{name}: {entry}")?;
        }
        Ok(())
    }
}

/// Numbers that a seed decides (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn is(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    fn entry(&mut self) -> AclEntry {
        let resource_type = match self.below(10) {
            0 => AclResourceType::Group,
            1 => AclResourceType::TransactionalId,
            _ => AclResourceType::Topic,
        };
        let (pattern_type, resource_name) = match self.below(40) {
            0..3 => (AclPatternType::Literal, "*"),
            3..12 => (
                AclPatternType::Prefixed,
                *self.one_of(&["a", "ab", "abc", "s", "secret.", "copy-", "east."]),
            ),
            12 => (AclPatternType::Other(9), *self.one_of(TOPICS)),
            _ => (AclPatternType::Literal, *self.one_of(TOPICS)),
        };
        AclEntry {
            resource_type,
            pattern_type,
            resource_name: resource_name.to_owned(),
            principal: (*self.one_of(PRINCIPALS)).to_owned(),
            host: (*self.one_of(HOSTS)).to_owned(),
            operation: if self.is(1, 60) { AclOperation::Other(99) } else { *self.one_of(OPERATIONS) },
            permission: if self.is(2, 5) { AclPermission::Deny } else { AclPermission::Allow },
        }
    }
}

const SEEDS: u64 = 2_000;
const ROUNDS: usize = 4;
const TOPICS: &[&str] = &["a", "ab", "abc", "b", "secret", "secret.pay"];
/// The first one stands for all; the last one is of nobody whom an entry names.
const PRINCIPALS: &[&str] = &["User:*", "User:ann", "User:bob", "Group:ops", "User:eve"];
const HOSTS: &[&str] = &["*", "10.0.0.1", "10.0.0.2"];
const OPERATIONS: &[AclOperation] = &[
    AclOperation::All,
    AclOperation::Read,
    AclOperation::Write,
    AclOperation::Create,
    AclOperation::Delete,
    AclOperation::Alter,
    AclOperation::Describe,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];
