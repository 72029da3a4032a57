//! Partitions whose replicas hang, and what they do to others. A broker answers the requests of a connection one after the other, and each
//! of them when its last partition is replicated or its time is over (`DelayedProduce`): whoever shares a connection waits as long. So a
//! partition that was late once travels on another connection ([`Pipe::apart`](crate::ground::pipe::Pipe::apart)) until it is acknowledged again.

use kmirror_client::ClientError;
use tracing::debug;

use super::{Appender, Link, Sent};
use crate::data::append::event::AppendEnd;
use crate::data::append::state::TakeOverCause;
use crate::ground::partition::PartitionKey;

impl Appender {
    /// The partitions of a request that was not answered at all: any of them may be the one that was waited for.
    pub(super) fn suspects(error: &ClientError, sent: &[Sent]) -> Vec<PartitionKey> {
        match error {
            ClientError::Timeout { .. } => sent.iter().map(|sent| sent.key).collect(),
            _ => Vec::new(),
        }
    }

    /// These partitions were not replicated in time. Where their next batches are on their way already the broker would wait for each of them
    /// once more, and their neighbours with it: the connection is given up.
    pub(super) async fn leave_late(&mut self, late: &[PartitionKey]) {
        let mut sent = self.produces.iter().flat_map(|produce| &produce.sent);
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
                true => TakeOverCause::NotReplicated(cause.to_owned()),
                false => TakeOverCause::AnswerLost(cause.to_owned()),
            };
            self.end(key, AppendEnd::TakeOver(cause)).await;
        }
    }
}
