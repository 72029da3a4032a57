//! The fetchers of a flow, and how much of its buffer each of them asks for.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use crate::data::read::fetcher::FetcherEvent;
use crate::data::read::share::Share;
use crate::ground::pipe::Pipe;

/// The inboxes of all fetchers, one for each connection.
#[derive(Debug)]
pub(crate) struct Fetchers {
    inboxes: BTreeMap<Pipe, mpsc::Sender<FetcherEvent>>,
    share: Share,
}

impl Fetchers {
    pub(crate) fn new(buffer_bytes_max: usize, fetch_bytes_max: usize) -> Fetchers {
        let share = Share::new(buffer_bytes_max, fetch_bytes_max);
        Fetchers { inboxes: BTreeMap::new(), share }
    }

    pub(crate) fn get(&self, pipe: &Pipe) -> Option<&mpsc::Sender<FetcherEvent>> {
        self.inboxes.get(pipe)
    }

    pub(crate) fn share(&self) -> Share {
        self.share.clone()
    }

    pub(crate) fn insert(&mut self, pipe: Pipe, inbox: mpsc::Sender<FetcherEvent>) {
        self.inboxes.insert(pipe, inbox);
        self.count();
    }

    /// Ends those of all other connections.
    pub(crate) fn retain(&mut self, used: &BTreeSet<Pipe>) {
        self.inboxes.retain(|pipe, _| used.contains(pipe));
        self.count();
    }

    fn count(&self) {
        self.share.among(self.inboxes.len());
    }
}

#[cfg(test)]
mod tests {
    use kmirror_client::BrokerId;

    use super::*;
    use crate::ground::pipe::PipeKind;

    #[test]
    fn shares_follow_the_fetchers_that_exist() {
        let mut fetchers = Fetchers::new(48, 20);
        let share = fetchers.share();
        let pipe = |broker| Pipe { broker: BrokerId(broker), lane: 0, kind: PipeKind::Common };
        let (inbox, _events) = mpsc::channel(1);
        for (broker, bytes) in (1..).zip([20, 12, 8, 6]) {
            fetchers.insert(pipe(broker), inbox.clone());
            assert_eq!(share.bytes(), bytes, "with {broker}");
        }
        fetchers.retain(&BTreeSet::from([pipe(2), pipe(4), pipe(5)]));
        assert_eq!(share.bytes(), 12, "two are left");
        assert!(fetchers.get(&pipe(1)).is_none() && fetchers.get(&pipe(4)).is_some());
        (0..100).for_each(|broker| fetchers.insert(pipe(broker), inbox.clone()));
        assert_eq!(share.bytes(), 1, "nothing comes of a request for nothing");
    }
}
