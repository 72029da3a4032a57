//! What follows when a fetcher or an appender is finished with a partition.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{Client, TopicPartition, Topics, clock};
use tracing::{debug, info, warn};

use super::Supervisor;
use crate::data::append::cause::TakeOverCause;
use crate::data::append::event::AppendEnd;
use crate::data::read::fetcher::FetcherEvent;
use crate::data::read::reader::PartitionReader;
use crate::flow::event::FlowEvent;
use crate::ground::park::{ParkReason, Parked};
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::rules::TopicRules;
use crate::ground::status::PartitionState;
use crate::logs::fetch_state::{FetchFault, FetchState, source_truncated};
use crate::topics;

impl Supervisor {
    pub(super) async fn on_fetch_ended(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        fault: FetchFault,
        returned: Option<Box<PartitionReader>>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        let read_by = entry.fetched_from.take();
        entry.returned = returned;
        let is_doubtful = matches!(fault, FetchFault::Park(_) | FetchFault::OutOfRange);
        let (read_from, asks_leader) = entry.read_from.ended(is_doubtful, clock::now());
        if !matches!(fault, FetchFault::ReadFrom(_)) {
            entry.read_from = read_from;
        }
        match fault {
            fault if asks_leader => {
                debug!(partition = %entry.source, %fault, "a replica says so: the leader is asked");
                // What was read behind a fault is gone: going on from there would make a hole of it.
                self.release(key).await;
                self.take_over(key);
            }
            FetchFault::ReadFrom(replica) => {
                let Some(pipe) = read_by else { return };
                debug!(partition = %entry.source, replica = replica.0, leader = pipe.broker.0, "read from a replica");
                entry.read_from = entry.read_from.redirected(pipe.broker, replica, clock::now());
                self.start_fetching(key).await;
            }
            FetchFault::Park(parked) => self.park(key, parked),
            FetchFault::LeaderUnknown(cause) | FetchFault::Passing(cause) => {
                debug!(partition = %entry.source, cause, "looking for the source's leader");
                if entry.returned.as_ref().is_some_and(|returned| returned.failing.is_told()) {
                    entry.gauge.set_source_hidden(true);
                    entry
                        .gauge
                        .set_state(PartitionState::Waiting(format!("the source cannot be read: {cause}")));
                }
                let topic = Arc::clone(&entry.source.topic);
                let pause = entry.next_attempt();
                let source = self.context.source.clone();
                let partition = entry.source.clone();
                let read = entry.returned.as_ref().map(|reading| reading.state.clone());
                self.errand(async move {
                    tokio::time::sleep(pause).await;
                    let _ = source.refresh_metadata(Topics::Named(vec![topic])).await;
                    let truncated = match read {
                        Some(read) => truncated(&source, &partition, &read).await,
                        None => None,
                    };
                    FlowEvent::LeaderSought { key, generation, truncated }
                });
            }
            FetchFault::OutOfRange | FetchFault::Recreated => {
                debug!(partition = %entry.source, %fault, "looking at the source again");
                // The take-over looks at the log's bounds and tells what happened; the append state is as good as new.
                self.release(key).await;
                let Some(entry) = self.table.get(key) else { return };
                let (generation, topic) = (entry.generation, Arc::clone(&entry.source.topic));
                let source = self.context.source.clone();
                self.errand(async move {
                    let _ = source.refresh_metadata(Topics::Named(vec![topic])).await;
                    FlowEvent::SourceRechecked { key, generation }
                });
            }
        }
    }

    pub(super) async fn on_leader_sought(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        truncated: Option<Parked>,
    ) {
        if self.table.current(key, generation).is_none() {
            return;
        }
        match truncated {
            Some(parked) => self.park(key, parked),
            None => self.start_fetching(key).await,
        }
    }

    pub(super) async fn on_source_rechecked(&mut self, key: PartitionKey, generation: Generation) {
        self.recheck_topic_ids().await;
        // Another topic has begun another generation.
        if self.table.current(key, generation).is_some_and(|entry| !entry.gauge.is_parked()) {
            self.take_over(key);
        }
    }

    /// A partition is fetched, and says whether the source shows its records.
    pub(super) fn on_hidden(&mut self, key: PartitionKey, generation: Generation, cause: Option<String>) {
        let Some(entry) = self.table.current(key, generation) else { return };
        entry.gauge.set_source_hidden(cause.is_some());
        if entry.fetched_from.is_some() && !entry.gauge.is_parked() {
            let state = cause.map_or_else(|| entry.state_of_copying(), PartitionState::Waiting);
            entry.gauge.set_state(state);
        }
    }

    pub(super) async fn on_append_ended(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        end: AppendEnd,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        entry.appender = None;
        let fetched_from = entry.fetched_from.take();
        if entry.gauge.is_parked() {
            return; // by its fetcher: what was read before that is not worth a take-over
        }
        match end {
            AppendEnd::Park(parked) if parked.reason == ParkReason::TooLarge => self.read_limit(key, parked),
            AppendEnd::Park(parked) => self.park(key, parked),
            AppendEnd::TakeOver(cause) => {
                debug!(partition = %entry.target, ?cause, "take-over");
                if let TakeOverCause::Fenced { token } = cause {
                    entry.token_refused = entry.token_refused.max(token);
                }
                let position = entry.gauge.position();
                if cause == TakeOverCause::OutOfOrder && entry.refusals.refused(position) {
                    self.park_for_a_while(
                        key,
                        Parked::new(
                            ParkReason::TargetDiverged,
                            "the target refuses the next sequence again and again, though nobody else appends: the producer state of \
                             the partition is not what its log says. It is tried again later",
                        ),
                    );
                } else {
                    self.take_over_because(key, &cause);
                }
            }
        }
        if let Some(fetcher) = fetched_from.and_then(|pipe| self.fetchers.get(&pipe)) {
            let _ = fetcher.send(FetcherEvent::Remove(key)).await;
        }
    }

    /// A batch was refused for its size: the limit may have been lowered since it was read, and then the batch is divided.
    fn read_limit(&mut self, key: PartitionKey, parked: Parked) {
        let Some(entry) = self.table.get(key) else { return };
        entry.generation += 1;
        let (generation, topic) = (entry.generation, Arc::clone(&entry.target.topic));
        let (flow, target) = (self.context.flow.clone(), self.context.target.clone());
        self.errand(async move {
            let rules = topics::rules(&flow, &target, std::slice::from_ref(&topic)).await;
            let rules = rules.ok().and_then(|rules| rules.get(&topic).copied());
            FlowEvent::LimitRead { key, generation, rules, parked }
        });
    }

    pub(super) fn on_limit_read(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        rules: Option<TopicRules>,
        parked: Parked,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        match rules {
            Some(rules) if rules.batches.batch_bytes_max < entry.rules.batches.batch_bytes_max => {
                let bytes_max = rules.batches.batch_bytes_max;
                info!(partition = %entry.target, bytes_max, "the target takes smaller batches than before");
                entry.apply_rules(rules);
                self.take_over(key);
            }
            _ => self.park(key, parked),
        }
    }

    /// Says once, until records are taken again, why the target takes none.
    fn tell_refused(&mut self, key: PartitionKey, cause: &str) {
        let Some(entry) = self.table.get(key) else { return };
        let position = entry.gauge.position();
        if entry.refused.as_ref().is_none_or(|(_, at)| position > *at) {
            warn!(partition = %entry.target, cause,
                "the target takes no records of this partition: it is tried again. With NOT_ENOUGH_REPLICAS too few of its replicas are \
                 in sync (min.insync.replicas), with REQUEST_TIMED_OUT one of them does not follow");
        }
        entry.refused = Some((cause.to_owned(), position));
    }

    /// A partition whose replicas hang keeps nobody else waiting.
    fn go_apart(&mut self, key: PartitionKey, is_apart: bool) {
        if let Some(entry) = self.table.get(key) {
            entry.is_apart = is_apart;
        }
        self.take_over(key);
    }

    pub(super) fn take_over_because(&mut self, key: PartitionKey, cause: &TakeOverCause) {
        match cause {
            // What the broker had read already may still be executed; a moment later the tail shows it.
            TakeOverCause::AnswerLost(_) => self.take_over_after(key, ANSWER_LOST_PAUSE),
            TakeOverCause::LeaderUnknown(_) => self.take_over(key),
            TakeOverCause::Refused(cause) => {
                self.tell_refused(key, cause);
                self.take_over(key);
            }
            TakeOverCause::HoldsUpOthers(cause) => {
                self.tell_refused(key, cause);
                self.go_apart(key, true);
                self.set_waiting(key, cause);
            }
            TakeOverCause::Recovered => self.go_apart(key, false),
            TakeOverCause::Displaced { expected, found } => {
                if let Some(entry) = self.table.get(key) {
                    warn!(partition = %entry.target, expected, found, "the target's log is longer than what was written");
                    entry.reads_state = true;
                }
                self.take_over(key);
            }
            TakeOverCause::Mistaken { offset } => {
                if let Some(entry) = self.table.get(key) {
                    warn!(partition = %entry.target, offset, "the target has another owner's records where ours were answered to be");
                    entry.reads_state = true;
                }
                self.take_over(key);
            }
            TakeOverCause::CanMakeUp => {
                if let Some(entry) = self.table.get(key) {
                    entry.reads_state = true;
                }
                self.take_over(key);
            }
            TakeOverCause::MergedRefused => {
                if let Some(entry) = self.table.get(key) {
                    entry.merges = false;
                }
                self.take_over(key);
            }
            TakeOverCause::OutOfOrder | TakeOverCause::Overtaken | TakeOverCause::Fenced { .. } => {
                if let Some(entry) = self.table.get(key) {
                    entry.reads_state = true;
                    entry.standby.refused();
                }
                self.stand_by(key);
            }
        }
    }
}

/// Whether the source's new leader has another history than the one that was read. Since Kafka 2.7 a leader says so in the answer to
/// a fetch; earlier ones must be asked (KIP-320).
async fn truncated(source: &Client, partition: &TopicPartition, read: &FetchState) -> Option<Parked> {
    let asked = [(partition.clone(), read.last_fetched_epoch?)];
    let (_, end) = source.epoch_end_offsets(&asked).await.into_iter().next()?;
    let end = end.ok()??;
    (end.end_offset < read.position).then(|| source_truncated(&end, read.position))
}

const ANSWER_LOST_PAUSE: Duration = Duration::from_millis(100);
