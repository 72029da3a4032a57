//! Writes down when copies of compacted topics were whole, so that a later start knows whether the source may have forgotten deletions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, ClientError, OffsetSpec, TopicId, TopicPartition};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::follow::rounds::Rounds;
use crate::ground::config::Isolation;
use crate::ground::context::FlowContext;
use crate::ground::shared::{FlowShared, Published};
use crate::logs::records::{RecordTopic, now_ms};
use crate::state_topic::whole::{self, Whole};
use crate::topics::topic_id;

/// Looks at the ends of the source's compacted partitions now and then.
pub(crate) struct WholeRecorder {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    isolation: Isolation,
    writer: RecordTopic,
    /// When each partition of the target was written down last.
    written: BTreeMap<TopicPartition, i64>,
    has_failed: bool,
}

impl WholeRecorder {
    pub(crate) fn new(context: &FlowContext) -> WholeRecorder {
        let flow = &context.flow;
        let topic = flow.state_topic.clone();
        WholeRecorder {
            source: context.source.clone(),
            target: context.target.clone(),
            shared: Arc::clone(&context.shared),
            isolation: flow.isolation,
            writer: RecordTopic::new(&context.target, topic, flow.state_replication_factor),
            written: BTreeMap::new(),
            has_failed: false,
        }
    }

    /// Looks until it is stopped, and once more then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(LOOK_INTERVAL, stop);
        while rounds.next().await {
            match self.look(rounds.is_last()).await {
                Ok(()) => self.has_failed = false,
                Err(error) if self.has_failed => debug!(%error, "not recorded when copies were whole"),
                Err(error) => {
                    warn!(%error, "when copies of compacted topics were whole could not be recorded: it is tried again");
                    self.has_failed = true;
                }
            }
        }
    }

    async fn look(&mut self, is_last: bool) -> Result<(), ClientError> {
        let now_ms = now_ms();
        let published = self.shared.published().into_iter().filter(|published| published.source_is_compacted);
        let is_due = |published: &Published| {
            let written = self.written.get(&published.on_target());
            is_last || written.is_none_or(|written| now_ms - written >= WRITE_INTERVAL_MS)
        };
        let due: Vec<_> = published.filter(is_due).collect();
        let asked: Vec<_> = due.iter().map(|published| (published.on_source(), OffsetSpec::Latest)).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let listed = self.source.list_offsets(&asked, self.isolation.for_client()).await;
        let ends = listed.into_iter().filter_map(|(partition, end)| Some((partition, end.ok()?.offset?)));
        let ends: BTreeMap<_, _> = ends.collect();
        let mut found = Vec::new();
        for published in due {
            let place = published.on_target();
            let position = published.gauge.position();
            let was_whole = ends.get(&published.on_source()).is_some_and(|end| position >= *end);
            // What a copy begins with it reads in time for every deletion.
            let begun = published.gauge.begun_at_ms().filter(|_| !self.written.contains_key(&place));
            let at_ms = if was_whole { Some(now_ms) } else { begun };
            if let Some(at_ms) = at_ms.filter(|_| position >= 0) {
                // A copy that has just begun was whole where it stood then, which is no later than where it stands now.
                let position = if was_whole { position } else { 0 };
                found.push((place.clone(), Whole { target_topic_id: self.id_of(&place), position, at_ms }));
            }
        }
        let records: Vec<_> = found
            .iter()
            .map(|(place, whole)| (whole::key_of(place).into_bytes(), Some(whole.to_json())))
            .collect();
        if !records.is_empty() {
            self.writer.append(&records).await?;
        }
        self.written.extend(found.into_iter().map(|(place, whole)| (place, whole.at_ms)));
        Ok(())
    }

    fn id_of(&self, partition: &TopicPartition) -> TopicId {
        topic_id(&self.target.metadata(), &partition.topic)
    }
}

const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Much less than a day, which is how long deletions are kept as a rule.
const WRITE_INTERVAL_MS: i64 = 1_800_000;
