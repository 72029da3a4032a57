//! Topics of the target that are to be deleted, for their sources were: what is intended is recorded, and carried out only if everything is then
//! as it was when it was. What is decided is pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, KafkaError, OffsetSpec, TopicId, TopicPartition, Topics};

use crate::flow::recording;
use crate::ground::config::Flow;
use crate::logs::ends;
use crate::logs::records::now_ms;
use crate::state_topic::record::SourceIdentity;
use crate::state_topic::store;
use crate::state_topic::topic_record::{Deletion, TopicRecord};
use crate::topics;

/// A copy whose source is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) source: SourceIdentity,
    pub(crate) target: Arc<str>,
    pub(crate) target_topic_id: TopicId,
    /// Of each partition: where the copy begins on the target, and where it ends.
    pub(crate) ranges: Vec<[i64; 2]>,
}

/// Deletions that are intended, by the target's topic.
///
/// ```text
///  a topic is gone ──recorded──▶ Intended ──due, and not too many──▶ CarryingOut ──▶ gone with its record
///                                  │  ▲                                │
///          its source is back, or  │  └── a cluster does not answer ───┤
///          the target has moved    ▼                                   ▼
///                               withdrawn ◀──────── the target has moved
/// ```
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    intended: BTreeMap<Arc<str>, Intended>,
    /// When topics were deleted, or were to be, and are no more intended: they count for the guard.
    gone_ms: Vec<i64>,
}

#[derive(Debug)]
struct Intended {
    record: TopicRecord,
    /// Whether somebody carries it out, or withdraws it, just now.
    is_worked_at: bool,
    /// Whether it was told that too many are gone.
    is_held: bool,
}

/// What is due now.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// To be carried out.
    pub(crate) topics: Vec<(Arc<str>, TopicRecord)>,
    /// Kept back by the guard, for the first time.
    pub(crate) held: Vec<Arc<str>>,
    /// Of the guard: how many are gone, of how many.
    pub(crate) gone: usize,
    pub(crate) known: usize,
}

impl Deletions {
    pub(crate) fn intend(&mut self, target: Arc<str>, record: TopicRecord) {
        self.intended.insert(target, Intended { record, is_worked_at: false, is_held: false });
    }

    /// Those of which the source topic is one of these, and at which nobody works.
    pub(crate) fn of(&self, is_source: impl Fn(&str) -> bool) -> Vec<(Arc<str>, TopicRecord)> {
        let is_of = |intended: &Intended| !intended.is_worked_at && is_source(&intended.record.source.topic);
        let of = self.intended.iter().filter(|(_, intended)| is_of(intended));
        of.map(|(target, intended)| (Arc::clone(target), intended.record.clone())).collect()
    }

    /// It is intended no more.
    pub(crate) fn withdraw(&mut self, target: &str) {
        self.intended.remove(target);
    }

    /// Somebody works at it: it is not due meanwhile.
    pub(crate) fn is_worked_at(&mut self, target: &str) {
        if let Some(intended) = self.intended.get_mut(target) {
            intended.is_worked_at = true;
        }
    }

    /// It could not be carried out now.
    pub(crate) fn is_put_off(&mut self, target: &str) {
        if let Some(intended) = self.intended.get_mut(target) {
            intended.is_worked_at = false;
        }
    }

    /// It was carried out.
    pub(crate) fn is_done(&mut self, target: &str, now_ms: i64) {
        if self.intended.remove(target).is_some() {
            self.gone_ms.push(now_ms);
        }
    }

    /// An earlier process has carried one out.
    pub(crate) fn remember(&mut self, carried_out_ms: i64) {
        self.gone_ms.push(carried_out_ms);
    }

    /// Forgets all but those of these source topics: others are none of this flow's any more.
    pub(crate) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.intended.retain(|_, intended| stays(&intended.record.source.topic));
    }

    /// What is to be carried out now. More than half of all topics may be an accident: `present` are still there. What has gone within the time
    /// that a deletion is put off, and an hour, counts together.
    pub(crate) fn due(&mut self, now_ms: i64, after: Duration, present: usize, even_all: bool) -> Due {
        let window_ms = i64::try_from(after.max(GUARD_WINDOW_MIN).as_millis()).unwrap_or(i64::MAX);
        self.gone_ms.retain(|gone_ms| now_ms.saturating_sub(*gone_ms) < window_ms);
        let gone = self.intended.len() + self.gone_ms.len();
        let known = present + gone;
        let is_guarded = !even_all && gone * 2 > known;
        let mut due = Due { gone, known, ..Due::default() };
        for (target, intended) in &mut self.intended {
            let due_ms = intended.record.deletion.as_ref().map_or(i64::MAX, |deletion| deletion.due_ms);
            if now_ms < due_ms || intended.is_worked_at {
                continue;
            }
            if is_guarded {
                if !std::mem::replace(&mut intended.is_held, true) {
                    due.held.push(Arc::clone(target));
                }
                continue;
            }
            intended.is_held = false;
            intended.is_worked_at = true;
            due.topics.push((Arc::clone(target), intended.record.clone()));
        }
        due
    }

    /// All that are intended: target topic, what is recorded, and whether the guard keeps it back.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &TopicRecord, bool)> {
        self.intended.iter().map(|(target, intended)| (target, &intended.record, intended.is_held))
    }
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Deleted,
    /// The target's topic is not what it was, or its source is back: it stays.
    Withdrawn(String),
    /// Something did not answer.
    PutOff(String),
}

/// The clusters of a flow, of which one loses a topic.
pub(crate) struct Deleter {
    pub(crate) flow: Flow,
    pub(crate) source: Client,
    pub(crate) target: Client,
}

impl Deleter {
    /// Records that a copy is to be deleted `after` this time, if nothing but the copy is on it, and all of that.
    pub(crate) async fn intend(&self, left: Left, now_ms: i64, after: Duration) -> Result<TopicRecord, Fate> {
        has_id(left.target_topic_id)?;
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let ends = self.ends(&left.target, left.target_topic_id).await?;
        let starts = self.offsets(&left.target, ends.len(), OffsetSpec::Earliest).await?;
        let copied: Vec<i64> = left.ranges.iter().map(|[_, end]| *end).collect();
        if ends != copied {
            return Err(Fate::Withdrawn(
                "the target's topic holds more than what was copied, or less".to_owned(),
            ));
        }
        if starts.iter().zip(&left.ranges).any(|(start, [first, end])| start < first && start < end) {
            return Err(Fate::Withdrawn(
                "the target's topic held something before the copy began".to_owned(),
            ));
        }
        let deletion = Deletion { due_ms: now_ms.saturating_add(after_ms), ends, carried_out_ms: None };
        let record = TopicRecord {
            source: left.source,
            origins: self.origins(&left.target).await,
            target_topic_id: left.target_topic_id,
            deletion: Some(deletion),
        };
        self.record(&left.target, record.clone()).await?;
        Ok(record)
    }

    /// What was recorded of where the topic came from.
    async fn origins(&self, target: &Arc<str>) -> Vec<String> {
        let known = store::read(&self.target, &self.flow.state_topic).await.unwrap_or_default();
        known.topics.get(target).map(|record| record.origins.clone()).unwrap_or_default()
    }

    /// Deletes a topic, if everything is as it was when that was intended.
    pub(crate) async fn carry_out(&self, target: &Arc<str>, record: &TopicRecord) -> Fate {
        match self.try_carry_out(target, record).await {
            Ok(()) => Fate::Deleted,
            Err(fate) => fate,
        }
    }

    async fn try_carry_out(&self, target: &Arc<str>, record: &TopicRecord) -> Result<(), Fate> {
        let Some(deletion) = &record.deletion else { return Err(withdrawn("it is intended no more")) };
        has_id(record.target_topic_id)?;
        let source = Arc::from(record.source.topic.as_str());
        let named =
            self.source.refresh_metadata(Topics::Named(vec![Arc::clone(&source)])).await.map_err(put_off)?;
        if self.source.cluster_id().unwrap_or_default() != record.source.cluster_id {
            return Err(withdrawn("the source is another cluster"));
        }
        match named.topic(&source).map(|topic| topic.error) {
            None | Some(Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)) => {}
            Some(None) => return Err(withdrawn("the source topic is back")),
            Some(Some(error)) => return Err(Fate::PutOff(format!("the source says {error} of its topic"))),
        }
        if self.is_gone(target).await? {
            return self.record(target, carried_out(record)).await;
        }
        if self.ends(target, record.target_topic_id).await? != deletion.ends {
            return Err(withdrawn("the target's topic was written to since"));
        }
        let deleted = self.target.delete_topics(std::slice::from_ref(target)).await.map_err(put_off)?;
        for (_, deleted) in deleted {
            match deleted {
                // Another instance was faster.
                Err(error) if error.kafka_error() == Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION) => {}
                deleted => deleted.map_err(put_off)?,
            }
        }
        self.record(target, carried_out(record)).await
    }

    /// Records that a topic is not to be deleted any more.
    pub(crate) async fn withdraw(&self, target: &Arc<str>, record: TopicRecord) -> Result<(), Fate> {
        self.record(target, TopicRecord { deletion: None, ..record }).await
    }

    async fn record(&self, target: &Arc<str>, record: TopicRecord) -> Result<(), Fate> {
        let recorded = recording::record(&self.flow, &self.target, vec![(Arc::clone(target), record)]).await;
        recorded.map_err(|error| Fate::PutOff(error.to_string()))
    }

    /// Whether somebody else has deleted it: another instance, or an operator.
    async fn is_gone(&self, target: &Arc<str>) -> Result<bool, Fate> {
        let named =
            self.target.refresh_metadata(Topics::Named(vec![Arc::clone(target)])).await.map_err(put_off)?;
        let topic = named.topic(target);
        Ok(topic.is_none_or(|topic| topic.error == Some(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)))
    }

    /// Where the partitions of a topic end, which has this id still.
    async fn ends(&self, target: &Arc<str>, topic_id: TopicId) -> Result<Vec<i64>, Fate> {
        let named =
            self.target.refresh_metadata(Topics::Named(vec![Arc::clone(target)])).await.map_err(put_off)?;
        let Some(topic) = named.topic(target).filter(|topic| topic.error.is_none()) else {
            return Err(Fate::PutOff("the target does not tell of its topic".to_owned()));
        };
        if topic.id != topic_id {
            return Err(withdrawn("the target's topic was deleted and created again"));
        }
        let partitions = usize::try_from(topics::partition_count(topic)).unwrap_or(0);
        self.offsets(target, partitions, OffsetSpec::Latest).await
    }

    async fn offsets(
        &self,
        target: &Arc<str>,
        partitions: usize,
        spec: OffsetSpec,
    ) -> Result<Vec<i64>, Fate> {
        let partitions = (0..).take(partitions);
        let partitions: Vec<_> =
            partitions.map(|number| TopicPartition::new(Arc::clone(target), number)).collect();
        let uncommitted = kmirror_client::Isolation::ReadUncommitted;
        let found = ends::offsets(&self.target, &partitions, spec, uncommitted).await.map_err(put_off)?;
        let offset = |partition| found.get(partition).copied().ok_or(());
        let offsets: Result<Vec<_>, ()> = partitions.iter().map(offset).collect();
        offsets.map_err(|()| Fate::PutOff("the target does not tell where its topic ends".to_owned()))
    }
}

/// By its name alone a topic may be another one by the time that it is to be deleted.
fn has_id(target_topic_id: TopicId) -> Result<(), Fate> {
    match target_topic_id {
        TopicId::NONE => Err(withdrawn(
            "the target's cluster is too old for topic ids: nothing would tell the topic from another one",
        )),
        _ => Ok(()),
    }
}

/// The record stays for the guard; a topic of that name that is made anew has another id and another record.
fn carried_out(record: &TopicRecord) -> TopicRecord {
    let carried_out_ms = Some(now_ms());
    let deletion = record.deletion.clone().map(|deletion| Deletion { carried_out_ms, ..deletion });
    TopicRecord { deletion, ..record.clone() }
}

fn withdrawn(why: &str) -> Fate {
    Fate::Withdrawn(why.to_owned())
}

fn put_off(error: kmirror_client::ClientError) -> Fate {
    Fate::PutOff(error.to_string())
}

const GUARD_WINDOW_MIN: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str, due_ms: i64) -> TopicRecord {
        let source = SourceIdentity {
            cluster_id: "east".to_owned(),
            topic: topic.to_owned(),
            topic_id: TopicId::NONE,
        };
        let deletion = Some(Deletion { due_ms, ends: vec![5], carried_out_ms: None });
        TopicRecord { source, origins: Vec::new(), target_topic_id: TopicId::NONE, deletion }
    }

    fn names(due: &Due) -> Vec<&str> {
        due.topics.iter().map(|(target, _)| &**target).collect()
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_deletion_is_due_when_its_time_has_come_and_once() {
        let mut deletions = Deletions::default();
        deletions.intend("a".into(), record("a", 1_000));
        assert_eq!(names(&deletions.due(999, HOUR, 9, false)), [""; 0]);
        assert_eq!(names(&deletions.due(1_000, HOUR, 9, false)), ["a"]);
        assert_eq!(names(&deletions.due(1_001, HOUR, 9, false)), [""; 0], "it is being carried out");
        deletions.is_put_off("a");
        assert_eq!(names(&deletions.due(1_002, HOUR, 9, false)), ["a"]);
        deletions.withdraw("a");
        assert_eq!(names(&deletions.due(1_003, HOUR, 9, false)), [""; 0]);
    }

    #[test]
    fn more_than_half_of_the_topics_are_never_deleted_within_an_hour() {
        for (gone, present, is_held) in
            [(1, 0, true), (1, 1, false), (2, 1, true), (2, 2, false), (5, 0, true)]
        {
            let mut deletions = Deletions::default();
            let topics: Vec<_> = (0..gone).map(|number| format!("topic-{number}")).collect();
            for topic in &topics {
                deletions.intend(topic.as_str().into(), record(topic, 0));
            }
            let due = deletions.due(10, Duration::ZERO, present, false);
            assert_eq!((due.topics.len(), due.held.len()), if is_held { (0, gone) } else { (gone, 0) });
            assert!(deletions.due(11, Duration::ZERO, present, false).held.is_empty(), "told once");
            if is_held {
                assert_eq!(deletions.due(12, Duration::ZERO, present, true).topics.len(), gone, "even all");
            }
        }
    }

    /// One after the other they are as many as at once.
    #[test]
    fn what_was_deleted_within_the_hour_counts() {
        let mut deletions = Deletions::default();
        for (number, is_held) in [(0, false), (1, false), (2, true)] {
            let topic = format!("topic-{number}");
            deletions.intend(topic.as_str().into(), record(&topic, 0));
            let due = deletions.due(number * 1_000, Duration::ZERO, 3 - number as usize, false);
            assert_eq!(due.held.len(), usize::from(is_held), "{number}");
            deletions.is_done(&topic, number * 1_000);
        }
        deletions.intend("later".into(), record("later", 0));
        let due = deletions.due(3 * 3_600_000, Duration::ZERO, 1, false);
        assert_eq!(names(&due), ["later"], "the others are long gone");
    }
}
