//! Every kind of topic, and everything that may be wrong with one record of its copy: each is found.

use bytes::Bytes;
use kmirror::{DifferenceKind, OnDiverged, Verdict};
use kmirror_embedded::{Codec, Isolation, LogRecord, NewBatch, NewRecord};

use super::world::{World, batch, record};

/// A topic that was copied, and what is special about its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Compressed,
    Transactional,
    /// The source was cleaned before and after it was copied; its deletions are not.
    Compacted,
    /// Behind records of somebody else.
    Shifted,
    /// Behind records of somebody else, who wrote in the midst of the copy as well.
    SeveralRuns,
    AppendTimes,
    /// The source's log begins at offset 100.
    WithoutHead,
}

/// What is done to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// Written anew, in other batches: nothing is wrong.
    Nothing,
    /// A record is gone, and its offset is kept.
    Dropped,
    /// A record is gone, and those behind it take its place.
    Closed,
    LastDropped,
    Doubled,
    ValueChanged,
    ValueNulled,
    KeyChanged,
    Swapped,
    DeletionLost,
    HeadLost,
    HeadersReordered,
    HeaderLost,
    HeaderChanged,
    TimestampOff,
    AppendTime,
    /// The log ends one record earlier.
    CutShort,
}

const KINDS: [Kind; 8] = [
    Kind::Plain,
    Kind::Compressed,
    Kind::Transactional,
    Kind::Compacted,
    Kind::Shifted,
    Kind::SeveralRuns,
    Kind::AppendTimes,
    Kind::WithoutHead,
];
const MUTATIONS: [Mutation; 17] = [
    Mutation::Nothing,
    Mutation::Dropped,
    Mutation::Closed,
    Mutation::LastDropped,
    Mutation::Doubled,
    Mutation::ValueChanged,
    Mutation::ValueNulled,
    Mutation::KeyChanged,
    Mutation::Swapped,
    Mutation::DeletionLost,
    Mutation::HeadLost,
    Mutation::HeadersReordered,
    Mutation::HeaderLost,
    Mutation::HeaderChanged,
    Mutation::TimestampOff,
    Mutation::AppendTime,
    Mutation::CutShort,
];

#[tokio::test]
async fn every_mutation_of_every_kind_of_copy_is_found() {
    for kind in KINDS {
        let world = kind.copied().await;
        let copy = Copied::of(&world, kind);
        for mutation in MUTATIONS {
            copy.write(&world, &mutation.of(&copy));
            match mutation {
                Mutation::AppendTime => {
                    world
                        .target
                        .alter_topic("orders", &[("message.timestamp.type", "LogAppendTime")])
                        .unwrap();
                    copy.write(&world, &copy.entries);
                    world.target.reset_topic("orders", "message.timestamp.type").unwrap();
                }
                Mutation::HeadLost => {
                    world.target.delete_below("orders", 0, copy.offset_of(copy.middle()) + 1).unwrap();
                }
                _ => {}
            }
            let report = world.partition().await;
            let found: Vec<_> = report.differences.iter().map(|difference| difference.kind).collect();
            assert_eq!(report.runs.len(), if kind == Kind::SeveralRuns { 2 } else { 1 });
            let context = || format!("{kind:?} {mutation:?}: {report:?}");
            match mutation.difference() {
                None => assert_eq!(report.verdict(), Verdict::Equal, "{}", context()),
                Some((kind, is_one)) => {
                    assert_eq!(report.verdict(), Verdict::Different, "{}", context());
                    assert!(found.contains(&kind) && (found.len() == 1 || !is_one), "{}", context());
                }
            }
            // What is not there may still come, and is never called complete.
            if mutation == Mutation::CutShort {
                assert_eq!(report.behind, (copy.entries.len() - copy.last()) as u64, "{}", context());
            }
        }
    }
}

impl Kind {
    async fn copied(self) -> World {
        let configs: &[_] = match self {
            Kind::Compacted => &[("cleanup.policy", "compact")],
            Kind::AppendTimes => &[("message.timestamp.type", "LogAppendTime")],
            _ => &[],
        };
        let mut world = World::new(configs).await;
        if matches!(self, Kind::Shifted | Kind::SeveralRuns) {
            world.target.create_topic("orders", 1, configs).unwrap();
            foreign(&world);
            world = world.shifted();
            world.flow.policies.on_diverged = OnDiverged::Shift;
        }
        if self == Kind::WithoutHead {
            world.source.begin_at("orders", 0, 100).unwrap();
        }
        self.fill(&world, 0);
        world.once().await;
        if self == Kind::SeveralRuns {
            foreign(&world);
        }
        self.fill(&world, 10);
        world.once().await;
        if self == Kind::Compacted {
            world.source.clean("orders", 0, world.source.log("orders", 0).unwrap().end).unwrap();
        }
        let report = world.partition().await;
        assert_eq!(report.verdict(), Verdict::Equal, "{self:?}: {report:?}");
        world
    }

    /// Writes ten records: of each key one, and a deletion of one that comes before.
    fn fill(self, world: &World, first: i64) {
        let records: Vec<_> = (first..first + 10)
            .map(|index| match index {
                12 => record(index, "key 1", None),
                _ => record(index, &format!("key {index}"), Some(&format!("value {index}"))),
            })
            .collect();
        for (index, pair) in records.chunks(2).enumerate() {
            let codecs = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
            let codec = if self == Kind::Compressed { codecs[index % 4] } else { Codec::None };
            let transaction = |commit| {
                let producer_id = world.source.allocate_producer_id();
                let batch = batch(codec, pair).transactional(producer_id, 0, 0);
                world.source.append("orders", 0, &batch.bytes()).unwrap();
                world.source.end_transaction("orders", 0, producer_id, 0, commit).unwrap();
            };
            if self == Kind::Transactional {
                transaction(false);
                transaction(true);
            } else {
                world.source.append("orders", 0, &batch(codec, pair).bytes()).unwrap();
            }
        }
        if self == Kind::Compacted {
            // Something for the cleaner, before and after it is copied.
            world.write(&[record(first + 9, "often", Some("early"))]);
            world.write(&[record(first + 9, "often", Some("late"))]);
            world.source.clean("orders", 0, world.source.log("orders", 0).unwrap().end - 1).unwrap();
        }
    }
}

/// Somebody else writes to the target.
fn foreign(world: &World) {
    let foreign = record(0, FOREIGN, Some("value"));
    world.target.append("orders", 0, &batch(Codec::None, &[foreign]).bytes()).unwrap();
}

/// What lies at an offset of the target: nothing, where there is a marker or a cleaned hole.
type Entry = Option<LogRecord>;

/// The copy as it is right.
struct Copied {
    kind: Kind,
    start: i64,
    entries: Vec<Entry>,
}

impl Copied {
    fn of(world: &World, kind: Kind) -> Copied {
        let log = world.target.log("orders", 0).unwrap();
        let mut entries = vec![None; (log.end - log.start) as usize];
        for record in log.records(Isolation::ReadUncommitted).unwrap() {
            let index = (record.offset - log.start) as usize;
            entries[index] = Some(record);
        }
        Copied { kind, start: log.start, entries }
    }

    /// The records of the copy, by their place. Of a compacted topic the last ones of their keys: for what a later one replaces, a
    /// cleaner may have come.
    fn own(&self) -> Vec<usize> {
        let is_own = |index: &usize| {
            let key = |entry: &Entry| entry.as_ref().and_then(|record| record.key.clone());
            let own = key(&self.entries[*index]);
            let is_last = !self.entries[*index + 1..].iter().any(|later| key(later) == own);
            own.as_deref().is_some_and(|key| key != FOREIGN.as_bytes())
                && (self.kind != Kind::Compacted || is_last)
        };
        (0..self.entries.len()).filter(is_own).collect()
    }

    fn with_value(&self) -> Vec<usize> {
        let has_value =
            |index: &usize| self.entries[*index].as_ref().is_some_and(|record| record.value.is_some());
        self.own().into_iter().filter(has_value).collect()
    }

    /// One of those that are written in the midst of the copy.
    fn middle(&self) -> usize {
        let own = self.with_value();
        own[own.len() / 2]
    }

    fn last(&self) -> usize {
        self.with_value().last().copied().unwrap()
    }

    fn deletion(&self) -> usize {
        let is_deletion =
            |index: &usize| self.entries[*index].as_ref().is_some_and(|record| record.value.is_none());
        self.own().into_iter().find(is_deletion).unwrap()
    }

    fn offset_of(&self, index: usize) -> i64 {
        self.start + index as i64
    }

    /// Replaces the log of the target by one with these entries.
    fn write(&self, world: &World, entries: &[Entry]) {
        world.target.truncate("orders", 0, 0).unwrap();
        world.target.begin_at("orders", 0, self.start).unwrap();
        let codec = if self.kind == Kind::Compressed { Codec::Lz4 } else { Codec::None };
        // Nobody's batch holds records of somebody else.
        let writer =
            |entry: &Entry| entry.as_ref().map(|record| record.key.as_deref() == Some(FOREIGN.as_bytes()));
        for entries in entries.chunk_by(|one, next| writer(one) == writer(next)) {
            let mut batch = NewBatch::new(codec);
            entries.iter().flatten().for_each(|record| batch.push(written(record)));
            if entries[0].is_some() {
                world.target.append("orders", 0, &batch.bytes()).unwrap();
                continue;
            }
            for _ in entries {
                world.target.end_transaction("orders", 0, 4711, 0, false).unwrap();
            }
        }
        assert_eq!(world.target.log("orders", 0).unwrap().end, self.start + entries.len() as i64);
    }
}

fn written(record: &LogRecord) -> NewRecord {
    let mut new = NewRecord::new(record.timestamp);
    if let Some(key) = &record.key {
        new = new.key(key.clone());
    }
    if let Some(value) = &record.value {
        new = new.value(value.clone());
    }
    record.headers.iter().fold(new, |new, (key, value)| new.header(key.clone(), value.clone()))
}

impl Mutation {
    fn of(self, copy: &Copied) -> Vec<Entry> {
        let mut entries = copy.entries.clone();
        let middle = copy.middle();
        let record = |entries: &mut Vec<Entry>, change: fn(&mut LogRecord)| {
            change(entries[middle].as_mut().unwrap());
        };
        match self {
            Mutation::Nothing | Mutation::HeadLost | Mutation::AppendTime => {}
            Mutation::Dropped => entries[middle] = None,
            Mutation::Closed => drop(entries.remove(middle)),
            Mutation::LastDropped => entries[copy.last()] = None,
            Mutation::Doubled => entries.insert(middle, entries[middle].clone()),
            Mutation::ValueChanged => record(&mut entries, |record| record.value = Some("other".into())),
            Mutation::ValueNulled => record(&mut entries, |record| record.value = None),
            Mutation::KeyChanged => record(&mut entries, |record| record.key = Some("other".into())),
            Mutation::Swapped => {
                let own = copy.with_value();
                entries.swap(own[own.len() / 2], own[own.len() / 2 - 1]);
            }
            Mutation::DeletionLost => entries[copy.deletion()] = None,
            Mutation::HeadersReordered => record(&mut entries, |record| record.headers.reverse()),
            Mutation::HeaderLost => record(&mut entries, |record| drop(record.headers.pop())),
            Mutation::HeaderChanged => {
                record(&mut entries, |record| record.headers[1].1 = Some(Bytes::new()));
            }
            Mutation::TimestampOff => record(&mut entries, |record| record.timestamp += 1),
            Mutation::CutShort => entries.truncate(copy.last()),
        }
        entries
    }
}

impl Mutation {
    /// What must be found, and whether it is all.
    fn difference(self) -> Option<(DifferenceKind, bool)> {
        match self {
            Mutation::Nothing | Mutation::CutShort => None,
            Mutation::Dropped | Mutation::LastDropped | Mutation::DeletionLost => {
                Some((DifferenceKind::Missing, true))
            }
            Mutation::HeadLost => Some((DifferenceKind::Missing, false)),
            Mutation::Closed | Mutation::Doubled | Mutation::Swapped => Some((DifferenceKind::Key, false)),
            Mutation::ValueChanged | Mutation::ValueNulled => Some((DifferenceKind::Value, true)),
            Mutation::KeyChanged => Some((DifferenceKind::Key, true)),
            Mutation::HeadersReordered | Mutation::HeaderLost | Mutation::HeaderChanged => {
                Some((DifferenceKind::Headers, true))
            }
            Mutation::TimestampOff => Some((DifferenceKind::Timestamp, true)),
            Mutation::AppendTime => Some((DifferenceKind::TimestampType, false)),
        }
    }
}

const FOREIGN: &str = "somebody else's";
