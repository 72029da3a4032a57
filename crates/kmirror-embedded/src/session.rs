//! Fetch sessions (KIP-227, `FetchSession`): what a client asked for last, so that it need only say what changes.

use std::collections::HashMap;

use uuid::Uuid;

use crate::state::PartitionName;

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic_id: Uuid,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) bytes_max: i32,
}

/// What was told of a partition last: without news it is left out of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

/// One session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) epoch: i32,
    /// In the order in which they are read.
    pub(crate) order: Vec<PartitionName>,
    pub(crate) wanted: HashMap<PartitionName, Wanted>,
    pub(crate) told: HashMap<PartitionName, Told>,
}

/// All sessions of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: HashMap<(i32, i32), Session>,
    last_id: i32,
}

impl Sessions {
    /// Opens a session at a broker; its id.
    pub(crate) fn open(&mut self, broker: i32) -> i32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.sessions.insert((broker, self.last_id), Session::default());
        self.last_id
    }

    pub(crate) fn get(&mut self, broker: i32, id: i32) -> Option<&mut Session> {
        self.sessions.get_mut(&(broker, id))
    }

    pub(crate) fn close(&mut self, broker: i32, id: i32) {
        self.sessions.remove(&(broker, id));
    }

    /// A broker that restarts knows no session.
    pub(crate) fn forget_broker(&mut self, broker: i32) {
        self.sessions.retain(|(at, _), _| *at != broker);
    }
}

impl Session {
    /// Adds a partition, or says something new of it.
    pub(crate) fn want(&mut self, name: PartitionName, wanted: Wanted) {
        if self.wanted.insert(name.clone(), wanted).is_none() {
            self.order.push(name);
        }
    }

    pub(crate) fn forget(&mut self, name: &PartitionName) {
        self.wanted.remove(name);
        self.told.remove(name);
        self.order.retain(|other| other != name);
    }

    /// Those that had something to read go to the end, so that the others come to their turn.
    pub(crate) fn rotate(&mut self, read: &[PartitionName]) {
        let (last, first): (Vec<_>, Vec<_>) = self.order.drain(..).partition(|name| read.contains(name));
        self.order.extend(first);
        self.order.extend(last);
    }
}
