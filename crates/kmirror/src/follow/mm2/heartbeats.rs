//! Heartbeats (`MirrorHeartbeatTask`): once a second, so that readers see which cluster is upstream, and that the mirror lives.

use std::time::Duration;

use kmirror_client::Client;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{record_topic, records};
use crate::ground::config::Flow;
use crate::ground::mm2_names::HEARTBEATS;
use crate::logs::records::{RecordTopic, now_ms};

/// Writes the heartbeats of one flow.
pub(crate) struct Heartbeats {
    source: String,
    target: String,
    /// The target's own topic, and the one by which it is seen what is upstream of it.
    topics: [RecordTopic; 2],
    is_failing: bool,
}

impl Heartbeats {
    pub(crate) fn new(flow: &Flow, target: &Client) -> Heartbeats {
        Heartbeats {
            source: flow.source.clone(),
            target: flow.target.clone(),
            topics: topics(flow).map(|name| record_topic(flow, target, name)),
            is_failing: false,
        }
    }

    /// Writes until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => self.beat().await,
            }
        }
    }

    async fn beat(&mut self) {
        let heartbeat = records::heartbeat(&self.source, &self.target, now_ms());
        let mut failure = None;
        for topic in &mut self.topics {
            failure = topic.append(std::slice::from_ref(&heartbeat)).await.err().or(failure);
        }
        match failure {
            None => self.is_failing = false,
            Some(error) if self.is_failing => debug!(%error, "no heartbeat"),
            Some(error) => {
                self.is_failing = true;
                warn!(%error, "heartbeats are not written; kmirror needs CREATE, WRITE and DESCRIBE on the topics whose names end in `heartbeats`");
            }
        }
    }
}

/// The names of the topics that a flow writes its heartbeats to.
pub(crate) fn topics(flow: &Flow) -> [String; 2] {
    [HEARTBEATS.to_owned(), flow.mm2_topics.heartbeats_of(&flow.source)]
}

/// `emit.heartbeats.interval.seconds`.
const INTERVAL: Duration = Duration::from_secs(1);
