//! Which connection the bytes of a partition travel on.

use std::num::NonZeroU16;
use std::time::Duration;

use kmirror_client::{BrokerId, Client, Lane};

use crate::ground::partition::PartitionKey;

/// One of the connections to a broker that bytes travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pipe {
    pub(crate) broker: BrokerId,
    /// Which one.
    pub(crate) lane: u16,
    pub(crate) kind: PipeKind,
}

/// What a connection is for. Each kind has its own, so that nobody waits for another one's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PipeKind {
    Common,
    /// Fetches in which a leader cannot name a replica to read from.
    ForLeaders,
    /// Appends to partitions that were not replicated in time, and may not be the next time.
    Apart,
}

impl Pipe {
    /// The connection that a partition's bytes travel on.
    pub(crate) fn of(
        key: PartitionKey,
        broker: BrokerId,
        client: &Client,
        connections: Option<NonZeroU16>,
    ) -> Pipe {
        let count = connections.unwrap_or_else(|| connections_over(client.round_trip(broker)));
        Pipe { broker, lane: (key.0 % u32::from(count.get())) as u16, kind: PipeKind::Common }
    }

    /// The connection beside it on which a leader cannot name a replica.
    pub(crate) fn for_leaders(self) -> Pipe {
        Pipe { kind: PipeKind::ForLeaders, ..self }
    }

    /// The connection that a partition shares with few others: those that were not replicated in time.
    pub(crate) fn apart(self, key: PartitionKey) -> Pipe {
        Pipe { lane: (key.0 % LANES_APART) as u16, kind: PipeKind::Apart, ..self }
    }

    /// The connection that fetches travel on.
    pub(crate) fn fetch_lane(self) -> Lane {
        Lane::Fetch(self.own_lane())
    }

    /// The connection that appends travel on.
    pub(crate) fn produce_lane(self) -> Lane {
        Lane::Produce(self.own_lane())
    }

    /// The connection that control markers travel on: all common ones of a broker share one.
    pub(crate) fn markers_lane(self) -> u16 {
        match self.kind {
            PipeKind::Common | PipeKind::ForLeaders => 0,
            PipeKind::Apart => 1 + self.lane,
        }
    }

    fn own_lane(self) -> u16 {
        match self.kind {
            PipeKind::Common => self.lane,
            PipeKind::ForLeaders | PipeKind::Apart => self.lane | LANES_OF_OTHERS,
        }
    }

    /// The newest version of Fetch that is used there: from 11 on a leader may name a replica (KIP-392,
    /// `KafkaApis.handleFetchRequest`).
    pub(crate) fn fetch_version_max(self) -> i16 {
        if self.kind == PipeKind::ForLeaders { 10 } else { i16::MAX }
    }
}

/// How many connections fill a link of this round trip better than one; a broker that is near is served best by few large requests.
fn connections_over(round_trip: Option<Duration>) -> NonZeroU16 {
    let wanted = round_trip.unwrap_or_default().as_millis() / MILLISECONDS_PER_CONNECTION;
    u16::try_from(wanted).unwrap_or(u16::MAX).min(CONNECTIONS_MAX).try_into().unwrap_or(NonZeroU16::MIN)
}

/// With a broker's default buffers 100 KiB in five milliseconds are 20 MB/s on each connection.
const MILLISECONDS_PER_CONNECTION: u128 = 5;
const CONNECTIONS_MAX: u16 = 16;
/// What is not common has lanes of its own: fetches for leaders, and appends apart.
const LANES_OF_OTHERS: u16 = 1 << 15;
/// A replica that hangs concerns many partitions: few of them share a connection, and the broker has not many more.
const LANES_APART: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farther_the_broker_the_more_connections() {
        let table = [
            (None, 1),
            (Some(0), 1),
            (Some(4), 1),
            (Some(9), 1),
            (Some(10), 2),
            (Some(50), 10),
            (Some(900), 16),
        ];
        for (milliseconds, count) in table {
            assert_eq!(
                connections_over(milliseconds.map(Duration::from_millis)).get(),
                count,
                "{milliseconds:?}"
            );
        }
    }
}
