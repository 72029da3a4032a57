//! Partitions that hold up others: those whose replicas hang, and those with batches that a broker does not take. A broker answers the requests of a connection one after the other, and each
//! of them when its last partition is replicated or its time is over (`DelayedProduce`): whoever shares a connection waits as long. So a
//! partition that was late once travels on another connection ([`Pipe::apart`](crate::ground::pipe::Pipe::apart)) until it is acknowledged again.

use std::time::Duration;

use kmirror_client::ClientError;
use tracing::{debug, warn};

use super::{Appender, Asked, Link};
use crate::data::append::cause::TakeOverCause;
use crate::data::append::event::AppendEnd;
use crate::data::append::request_size::HungUp;
use crate::ground::partition::PartitionKey;

impl Appender {
    /// The connection failed. `next`: the request that was to be answered next.
    pub(super) async fn lose_connection(&mut self, error: &ClientError, next: &Asked) {
        let broker = self.context.pipe.broker;
        debug!(%broker, %error, "produce connection lost");
        let is_suspected = match error {
            // Any of its partitions may be the one that was waited for.
            ClientError::Timeout { .. } => true,
            ClientError::Closed { .. } | ClientError::Network { .. } => {
                match self.context.request_size.hung_up(next.bytes, next.sent.len()) {
                    HungUp::Nothing => false,
                    HungUp::Alone => true,
                    HungUp::Smaller { bytes_max, is_news } => {
                        if is_news {
                            let cluster = self.context.client.alias();
                            warn!(cluster, %broker, bytes = next.bytes, bytes_max,
                                "the broker hung up on a Produce request that was larger than any before: its socket.request.max.bytes may be \
                                 smaller. Requests are smaller from now on");
                        }
                        false
                    }
                }
            }
            _ => false,
        };
        let suspected = next.sent.iter().filter(|_| is_suspected).map(|sent| sent.key);
        self.end_all(&error.to_string(), &suspected.collect::<Vec<_>>()).await;
    }

    /// These partitions were not replicated in time. Where their next batches are on their way already the broker would wait for each of them
    /// once more, and their neighbours with it: the connection is given up.
    pub(super) async fn leave_late(&mut self, late: &[PartitionKey]) {
        let mut sent = self.produces.iter().flat_map(|produce| &produce.asked.sent);
        if !sent.any(|sent| late.contains(&sent.key)) {
            return;
        }
        debug!(broker = %self.context.pipe.broker, "produce connection given up: a partition on it is not replicated");
        if let Link::Up(connection) = &self.link {
            self.context.client.leave(connection);
        }
        self.end_all("the connection was given up, since another partition on it was not replicated", late)
            .await;
    }

    /// The connection is given up. Whatever was in flight on it may or may not have been executed, and whatever was not may meet a
    /// log that is not what it was: after an unclean election, or after so long a silence that the broker has forgotten the flow's
    /// producer and takes any sequence. So all partitions are taken over.
    pub(super) async fn end_all(&mut self, cause: &str, late: &[PartitionKey]) {
        self.link = Link::Down;
        self.produces.clear();
        self.await_markers().await;
        let keys: Vec<_> = self.partitions.keys().copied().collect();
        for key in keys {
            let cause = match late.contains(&key) {
                true => TakeOverCause::HoldsUpOthers(cause.to_owned()),
                false => TakeOverCause::AnswerLost(cause.to_owned()),
            };
            self.end(key, AppendEnd::TakeOver(cause)).await;
        }
    }
    /// Markers travel on another connection: what is on its way there must not arrive after the next take-over has read where the log
    /// ends. What they did the take-over will see.
    async fn await_markers(&mut self) {
        if let Some(markers) = self.markers.take() {
            let _ = tokio::time::timeout(MARKERS_PATIENCE, markers).await;
        }
    }
}

/// How long markers that are on their way are waited for when the other connection is lost.
const MARKERS_PATIENCE: Duration = Duration::from_secs(5);
