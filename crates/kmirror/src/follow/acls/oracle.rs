//! Random lists against an authorizer that is written from Kafka's alone: whoever may not do something on the source may not do it on
//! the target by what is added there, at no moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kmirror_client::{AclEntry, AclOperation, AclPatternType, AclPermission, AclResourceType};

use super::changes::{self, Addition, Changes, Removal};
use super::judge::{AclRules, CopiedTopics, Lists, judge};
use super::record::{Record, Records, State};
use crate::ground::config::{Acls, Flow, Naming};
use crate::ground::selection::GroupSelection;

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
    let Seen { denied, allowed, kept_back, waited, removed, held, former } = seen;
    assert!(denied > 3_000 && allowed > 3_000 && removed > 500, "{seen:?}");
    assert!(kept_back > 200 && waited > 50 && held > 20 && former > 300, "{seen:?}");
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    denied: u32,
    allowed: u32,
    kept_back: u32,
    waited: u32,
    removed: u32,
    /// Rounds after which something stays that is gone on the source, for it may be an accident.
    held: u32,
    /// Changes of names or of topics.
    former: u32,
}

/// Somebody who wants to do something to something on both clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    who: &'static str,
    host: &'static str,
    operation: AclOperation,
    kind: AclResourceType,
    topic: String,
    copy: String,
    /// Under this name it was copied before. What `*` and prefixes mean there, they mean for any topic of the target.
    is_former: bool,
}

/// What is denied wins, and an ALLOW may imply more: `StandardAuthorizerData.findAclRule` and `findResult` of Kafka 4.3, and
/// `AclAuthorizer.authorizeAction` of 3.x, where nobody is a super user and nothing is allowed by default.
impl Wish {
    fn may(&self, list: &BTreeSet<AclEntry>, name: &str) -> bool {
        let (mut is_allowed, mut is_denied) = (false, false);
        for acl in list {
            let is_meant = match acl.pattern_type {
                AclPatternType::Literal => acl.resource_name == "*" || acl.resource_name == name,
                AclPatternType::Prefixed => name.starts_with(&acl.resource_name),
                // What a newer cluster might mean by it: everything.
                _ => true,
            };
            let is_of = (acl.principal == self.who || acl.principal == "User:*")
                && (acl.host == self.host || acl.host == "*");
            if acl.resource_type != self.kind || !is_meant || !is_of {
                continue;
            }
            let is_same = acl.operation == AclOperation::All || acl.operation == self.operation;
            let implied: &[AclOperation] = match self.operation {
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
    /// All pairs that ever were.
    pairs: BTreeSet<(Arc<str>, Arc<str>)>,
    wishes: Vec<Wish>,
    source: BTreeSet<AclEntry>,
    /// What is on the target beside what was added.
    foreign: BTreeSet<AclEntry>,
    added: BTreeSet<AclEntry>,
    records: Records,
    now_ms: i64,
    is_held: bool,
    /// What the target never takes, be it known or not.
    untaken: BTreeSet<AclEntry>,
    refused: BTreeSet<AclEntry>,
}

impl World {
    fn of(seed: u64) -> World {
        let mut chance = Chance(seed);
        let acls = *chance.one_of(&[Acls::Safe, Acls::Full]);
        let (rules, topics) = chance.flow(acls);
        let some = chance.below(14);
        let source = (0..some).map(|_| chance.entry()).collect();
        let some = chance.below(4);
        let foreign = (0..some).map(|_| chance.entry()).filter(super::limits::is_understood).collect();
        let (added, untaken, refused) = Default::default();
        let pairs = topics.clone().into_iter().collect();
        let wishes = wishes(&pairs, &topics);
        let (records, now_ms, is_held) = (Records::new(), 1_800_000_000_000, false);
        World {
            seed,
            chance,
            acls,
            rules,
            topics,
            pairs,
            wishes,
            source,
            foreign,
            added,
            records,
            now_ms,
            is_held,
            untaken,
            refused,
        }
    }

    /// Somebody changes the source's lists and the flow's names, and they are followed until there is nothing to do.
    fn round(&mut self, seen: &mut Seen) {
        // What is gone stays where nothing is ever removed, which is said.
        if self.acls == Acls::Full {
            self.change(seen);
        }
        for fails in [true, false, false] {
            self.follow(fails, seen);
        }
        seen.held += u32::from(self.is_held);
        let wrong = self.wrong();
        assert!(self.is_held || wrong.is_empty(), "seed {}: {wrong:#?}\n{self}", self.seed);
    }

    fn change(&mut self, seen: &mut Seen) {
        for _ in 0..self.chance.below(4) {
            let entry = self.chance.entry();
            self.source.insert(entry);
        }
        let mut chance = Chance(self.chance.next());
        self.source.retain(|_| chance.is(7, 8));
        self.now_ms += 50 * 60_000;
        if self.chance.is(1, 4) {
            seen.former += 1;
            (self.rules, self.topics) = self.chance.flow(self.acls);
            self.pairs.extend(self.topics.clone());
            self.wishes = wishes(&self.pairs, &self.topics);
        }
    }

    /// Follows as the follower does, an entry at a time. `fails`: requests fail now and then for a passing reason.
    fn follow(&mut self, fails: bool, seen: &mut Seen) {
        let before = self.wrong();
        let source: Vec<_> = self.source.iter().cloned().collect();
        let target: Vec<_> = self.target().into_iter().collect();
        let lists = Lists {
            topics: &self.topics,
            source: &source,
            target: &target,
            records: &self.records,
            now_ms: self.now_ms,
        };
        let judged = judge(&self.rules, lists, &|entry| self.refused.contains(entry));
        seen.kept_back += judged.kept_back.len() as u32;
        self.is_held = judged.held.is_some();
        judged.records.into_iter().for_each(|(entry, record)| self.record(entry, record));
        let changes = Changes::of(judged.steps);
        for addition in changes.denies {
            seen.denied += u32::from(self.add(addition, fails));
        }
        let there = self.target().into_iter().collect::<BTreeSet<_>>();
        let (ready, waiting) = changes::ready(changes.allows, &there);
        seen.waited += waiting.len() as u32;
        for addition in ready {
            seen.allowed += u32::from(self.add(addition, fails));
            self.is_no_worse_than(&before);
        }
        let mut staying = Vec::new();
        for removal in changes.removed_allows {
            match fails && self.chance.is(1, 4) {
                true => staying.push(removal.entry),
                false => seen.removed += u32::from(self.remove(removal)),
            }
        }
        for removal in changes::unneeded(changes.removed_denies, &staying) {
            seen.removed += u32::from(self.remove(removal));
            self.is_no_worse_than(&before);
        }
    }

    fn add(&mut self, Addition { entry, of, .. }: Addition, fails: bool) -> bool {
        assert!(super::limits::is_understood(&entry), "the target closes the connection: {entry}");
        if fails && self.chance.is(1, 6) {
            return false;
        }
        if self.untaken.contains(&entry) || self.chance.is(1, 12) {
            self.untaken.insert(entry.clone());
            self.refused.insert(entry);
            return false;
        }
        if self.acls == Acls::Full && !self.records.get(&entry).is_some_and(|record| record.state.is_ours()) {
            self.record(entry.clone(), Some(Record::new(of, State::Added)));
        }
        self.added.insert(entry)
    }

    fn remove(&mut self, Removal { entry, of, is_gone }: Removal) -> bool {
        let removed = State::Removed { at_ms: self.now_ms };
        self.record(entry.clone(), is_gone.then(|| Record::new(of, removed)));
        self.added.remove(&entry)
    }

    fn record(&mut self, entry: AclEntry, record: Option<Record>) {
        match record {
            Some(record) => drop(self.records.insert(entry, record)),
            None => drop(self.records.remove(&entry)),
        }
    }

    fn target(&self) -> BTreeSet<AclEntry> {
        self.foreign.union(&self.added).cloned().collect()
    }

    /// Who may do what on the target by what was added, and may not on the source.
    fn wrong(&self) -> Vec<Wish> {
        let target = self.target();
        let is_of_few = |entry: &&AclEntry| {
            super::limits::is_of_one(entry)
                || super::limits::is_denial(entry)
                || self.foreign.contains(*entry)
        };
        let few: BTreeSet<_> = target.iter().filter(is_of_few).cloned().collect();
        let is_wrong = |wish: &&Wish| {
            let target = if wish.is_former { &few } else { &target };
            wish.may(target, &wish.copy)
                && !wish.may(&self.foreign, &wish.copy)
                && !wish.may(&self.source, &wish.topic)
        };
        self.wishes.iter().filter(is_wrong).cloned().collect()
    }

    /// What denies something alone makes nothing worse when it comes, and what allows something when it goes.
    fn is_no_worse_than(&self, before: &[Wish]) {
        let wrong: Vec<_> = self.wrong().into_iter().filter(|wish| !before.contains(wish)).collect();
        assert!(wrong.is_empty(), "seed {}: {wrong:#?}\n{self}", self.seed);
    }
}

/// Everything that anybody may want to do with what is copied, was copied, or may be tomorrow.
fn wishes(pairs: &BTreeSet<(Arc<str>, Arc<str>)>, topics: &CopiedTopics) -> Vec<Wish> {
    let is_former = |(topic, copy): &(Arc<str>, Arc<str>)| topics.get(topic) != Some(copy);
    let copies = pairs
        .iter()
        .map(|pair| (AclResourceType::Topic, pair.0.to_string(), pair.1.to_string(), is_former(pair)));
    let mut resources: Vec<_> = copies.collect();
    let has_its_names = topics.iter().all(|(topic, copy)| topic == copy);
    for name in TOPICS {
        for kind in [AclResourceType::Topic, AclResourceType::Group, AclResourceType::TransactionalId] {
            if kind != AclResourceType::Topic || has_its_names {
                resources.push((kind, (*name).to_owned(), (*name).to_owned(), false));
            }
        }
    }
    let mut wishes = Vec::new();
    for (kind, topic, copy, is_former) in resources {
        for (who, host) in
            PRINCIPALS[1..].iter().flat_map(|who| HOSTS[1..].iter().map(move |host| (*who, *host)))
        {
            for operation in OPERATIONS[1..].iter().copied() {
                let (topic, copy) = (topic.clone(), copy.clone());
                wishes.push(Wish { who, host, operation, kind, topic, copy, is_former });
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

    /// Other names and other topics.
    fn flow(&mut self, acls: Acls) -> (AclRules, CopiedTopics) {
        let template = Naming::Template("copy-{topic}-of-{source}".to_owned());
        let naming = self.one_of(&[Naming::Identity, Naming::Prefixed, template]).clone();
        let mut flow = Flow::new("east", "west").naming(naming);
        flow.acls = acls;
        let groups = GroupSelection::default().compile().expect("valid patterns");
        let copied: Vec<_> = TOPICS.iter().filter(|_| self.is(2, 3)).collect();
        let copy = |topic: &str| Arc::from(flow.naming.target_topic("east", topic));
        let topics = copied.into_iter().map(|topic| (Arc::from(*topic), copy(topic))).collect();
        (AclRules::new(&flow, groups), topics)
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

const SEEDS: u64 = 1_500;
const ROUNDS: usize = 4;
const TOPICS: &[&str] = &["a", "ab", "abc", "b", "secret", "secret.pay"];
/// The first one stands for all; the last one is of nobody whom an entry names.
const PRINCIPALS: &[&str] = &["User:*", "User:ann", "User:bob", "Group:ops", "User:eve"];
const HOSTS: &[&str] = &["*", "10.0.0.1", "10.0.0.2"];
const OPERATIONS: &[AclOperation] = &[
    AclOperation::All,
    AclOperation::Read,
    AclOperation::Write,
    AclOperation::Describe,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];
