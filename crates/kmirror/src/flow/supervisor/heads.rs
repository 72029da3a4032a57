//! Heads that are filled before a partition is copied.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info};

use super::Supervisor;
use crate::flow::event::FlowEvent;
use crate::flow::heads::HeadsDone;
use crate::ground::failure::TakeOverFailure;
use crate::ground::partition::{Generation, PartitionKey};
use crate::ground::rules::TopicRules;
use crate::ground::status::PartitionState;
use crate::state_topic::store::Recorded;
use crate::takeover::judge::Head;
use crate::takeover::seed;
use crate::takeover::seed::Seed;
use crate::topics;

impl Supervisor {
    /// Fills and cuts off the head of a target partition, in a task of its own.
    pub(super) fn fill_head(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        head: Head,
        source_end: i64,
        is_compacted: bool,
    ) {
        let Some(entry) = self.table.get(key) else { return };
        info!(partition = %entry.target, from = head.from, to = head.to, "filling the head");
        entry.gauge.set_open_head(true);
        entry.gauge.set_state(PartitionState::Seeding);
        entry.gauge.source_end.store(source_end, Ordering::Relaxed);
        let seed = Seed {
            client: self.context.target.clone(),
            target: entry.target.clone(),
            topic_id: entry.target_topic_id,
            producer_id: self.ids.fillers,
            from: head.from,
            to: head.to,
        };
        let gauge = Arc::clone(&entry.gauge);
        self.errand(async move {
            let filled = async {
                if is_compacted {
                    seed::set_cleanup_policy(&seed.client, &seed.target.topic, "delete").await?;
                }
                seed.run(&gauge.position).await
            };
            FlowEvent::HeadFilled { key, generation, filled: filled.await }
        });
    }

    pub(super) fn on_head_filled(
        &mut self,
        key: PartitionKey,
        generation: Generation,
        filled: Result<(), TakeOverFailure>,
    ) {
        let Some(entry) = self.table.current(key, generation) else { return };
        match filled {
            Err(TakeOverFailure::Park(parked)) => self.park(key, parked),
            Ok(()) | Err(TakeOverFailure::Moved { .. }) => self.take_over(key),
            Err(TakeOverFailure::Again(cause)) => {
                debug!(partition = %entry.target, cause, "filling the head did not come to an end");
                self.take_over(key);
                self.set_waiting(key, &cause);
            }
        }
    }

    /// The partitions of a compacted topic go on together, once their heads are filled and it is compacted again.
    pub(super) fn on_heads_done(&mut self, topic: &Arc<str>, done: HeadsDone) {
        match done {
            HeadsDone::NotYet => {}
            HeadsDone::Release => self.release_held(topic),
            HeadsDone::Restore(policy) => {
                let (flow, target, topic) =
                    (self.context.flow.clone(), self.context.target.clone(), Arc::clone(topic));
                self.errand(async move {
                    let restored = async {
                        seed::set_cleanup_policy(&target, &topic, &policy).await?;
                        let rules = topics::rules(&flow, &target, std::slice::from_ref(&topic)).await;
                        let rules = rules.map_err(|error| TakeOverFailure::Again(error.to_string()))?;
                        let rules = rules.get(&topic).copied();
                        rules.ok_or_else(|| TakeOverFailure::Again("the topic is not described".to_owned()))
                    };
                    let restored = restored.await;
                    FlowEvent::PolicyRestored { topic, restored }
                });
            }
        }
    }

    pub(super) fn on_policy_restored(
        &mut self,
        topic: &Arc<str>,
        restored: Result<TopicRules, TakeOverFailure>,
    ) {
        let Some(held) = self.held.get(topic) else { return };
        let keys: Vec<_> = held.held().collect();
        match restored {
            Ok(rules) if rules.is_compacted => {
                for key in keys {
                    let Some(entry) = self.table.get(key) else { continue };
                    entry.apply_rules(rules);
                    let Some(record) = &mut entry.record else { continue };
                    let before = Recorded::Record(Box::new(record.clone()));
                    if record.cleanup_policy_after_seeding.take().is_some() {
                        drop(self.state.put(&entry.target, before, record.clone()));
                    }
                }
                self.release_held(topic);
            }
            Err(TakeOverFailure::Park(parked)) => {
                self.held.remove(topic);
                keys.into_iter().for_each(|key| self.park(key, parked.clone()));
            }
            // Not known to every broker yet, or a passing error: asked again by the first partition that is taken over again.
            Ok(_) | Err(TakeOverFailure::Again(_) | TakeOverFailure::Moved { .. }) => {
                if let Some(key) = keys.first() {
                    self.take_over_after(*key, RESTORE_PAUSE);
                }
            }
        }
    }

    pub(super) fn release_held(&mut self, topic: &Arc<str>) {
        let Some(held) = self.held.remove(topic) else { return };
        for key in held.held() {
            if let Some(entry) = self.table.get(key) {
                entry.attempts = 0;
            }
            self.take_over(key);
        }
    }
}

const RESTORE_PAUSE: Duration = Duration::from_millis(500);
