//! The tasks that move bytes: a fetcher for each connection to a source broker, an appender for each one to a target broker.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::Supervisor;
use crate::data::append::appender;
use crate::data::append::appender::{AppenderContext, AppenderEvent};
use crate::data::read::fetcher;
use crate::data::read::fetcher::{FetcherContext, FetcherEvent};
use crate::ground::outbox::Outbox;
use crate::ground::pipe::Pipe;

impl Supervisor {
    /// The inbox of the fetcher of a connection, which is started if there is none.
    pub(super) fn fetcher(&mut self, pipe: Pipe) -> mpsc::Sender<FetcherEvent> {
        if let Some(fetcher) = self.fetchers.get(&pipe) {
            return fetcher.clone();
        }
        let flow = &self.context.flow;
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let context = FetcherContext {
            client: self.context.source.clone(),
            pipe,
            isolation: flow.isolation,
            share: self.fetchers.share(),
            partition_fetch_bytes_max: flow.partition_fetch_bytes_max,
            budget: self.budget.clone(),
            rewrites: self.rewrites.clone(),
            events: Outbox::to(&self.events),
            wake: Arc::new(Notify::new()),
        };
        self.pumps.spawn(fetcher::run(context, events));
        self.fetchers.insert(pipe, inbox.clone());
        inbox
    }

    /// The inbox of the appender of a connection, which is started if there is none.
    pub(super) fn appender(&mut self, pipe: Pipe) -> mpsc::Sender<AppenderEvent> {
        if let Some(appender) = self.appenders.get(&pipe) {
            return appender.clone();
        }
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let context = AppenderContext {
            client: self.context.target.clone(),
            pipe,
            marker_producer_id: self.ids.markers,
            counters: Arc::clone(&self.context.shared.counters),
            events: Outbox::to(&self.events),
            request_size: Arc::clone(self.request_sizes.entry(pipe.broker).or_default()),
        };
        self.pumps.spawn(appender::run(context, events));
        self.appenders.insert(pipe, inbox.clone());
        inbox
    }

    /// Ends what nothing travels over any more: brokers that are gone, and connections that were needed for a while.
    pub(super) fn remove_unused(&mut self) {
        let used: BTreeSet<Pipe> = self.table.iter().filter_map(|(_, entry)| entry.fetched_from).collect();
        self.fetchers.retain(&used);
        // Partitions and their fetchers hold the inbox of their appender.
        self.appenders.retain(|_, inbox| inbox.strong_count() > 1);
        while self.pumps.try_join_next().is_some() {}
    }
}

/// Of every inbox. What goes through them is bounded in bytes by the budget.
const INBOX_MAX: usize = 1024;
