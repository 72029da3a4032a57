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
    /// Whether it is one on which a leader cannot name a replica to read from.
    pub(crate) is_for_leaders: bool,
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
        Pipe { broker, lane: (key.0 % u32::from(count.get())) as u16, is_for_leaders: false }
    }

    /// The connection that fetches travel on.
    pub(crate) fn fetch_lane(self) -> Lane {
        Lane::Fetch(if self.is_for_leaders { self.lane | LANES_FOR_LEADERS } else { self.lane })
    }

    /// The newest version of Fetch that is used there: from 11 on a leader may name a replica (KIP-392,
    /// `KafkaApis.handleFetchRequest`).
    pub(crate) fn fetch_version_max(self) -> i16 {
        if self.is_for_leaders { 10 } else { i16::MAX }
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
/// Lanes of their own, so that nobody's fetch waits for another one's.
const LANES_FOR_LEADERS: u16 = 1 << 15;

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
