//! From which broker a partition of the source is read: its leader, or a replica that the leader names (KIP-392). Pure.

use std::time::{Duration, Instant};

use kmirror_client::BrokerId;

/// Where the next fetch of a partition goes.
///
/// ```text
///             the leader names a replica
///   Leader ─────────────────────────────▶ Replica ──── the replica fails ───▶ LeaderOnly
///     ▲                                      │                                    │
///     ├─ after a while, or another leads, ───┘                                    │
///     │  or the replica refuses                                                   │
///     └────────────────────────────── after a while ──────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// The leader, which may name a replica.
    #[default]
    Leader,
    /// This one, which `leader` has named.
    Replica { broker: BrokerId, leader: BrokerId, until: Instant },
    /// The leader, asked in a way in which it cannot name a replica: one said what the leader has to confirm, or names others itself.
    LeaderOnly { until: Instant },
}

impl ReadFrom {
    /// The broker to read from, where `leader` leads the partition. `is_known`: whether the cluster has a broker.
    pub(crate) fn broker(
        self,
        leader: BrokerId,
        now: Instant,
        is_known: impl Fn(BrokerId) -> bool,
    ) -> BrokerId {
        match self {
            ReadFrom::Replica { broker, leader: named_by, until }
                if named_by == leader && now < until && is_known(broker) =>
            {
                broker
            }
            _ => leader,
        }
    }

    /// Whether a replica that the leader names is read from.
    pub(crate) fn follows(self) -> bool {
        !matches!(self, ReadFrom::LeaderOnly { .. })
    }

    /// Whether the leader is not to be relied on alone any more: it may name a replica again.
    pub(crate) fn is_over(self, now: Instant) -> bool {
        matches!(self, ReadFrom::LeaderOnly { until } if until <= now)
    }

    /// The leader has named a replica. One that was named and names another one itself is left.
    pub(crate) fn redirected(self, leader: BrokerId, broker: BrokerId, now: Instant) -> ReadFrom {
        match self {
            ReadFrom::Leader if broker != leader => {
                ReadFrom::Replica { broker, leader, until: now + REPLICA_TIME_MAX }
            }
            _ => ReadFrom::LeaderOnly { until: now + REPLICA_TIME_MAX },
        }
    }

    /// The fetcher gave the partition back. `is_doubtful`: for a reason that a replica may not decide: it lags, or its disk may be bad where
    /// the leader's is not. Then the leader has to say so; whether that is so now.
    pub(crate) fn ended(self, is_doubtful: bool, now: Instant) -> (ReadFrom, bool) {
        match self {
            ReadFrom::Replica { .. } if is_doubtful => {
                (ReadFrom::LeaderOnly { until: now + REPLICA_TIME_MAX }, true)
            }
            ReadFrom::Replica { .. } => (ReadFrom::Leader, false),
            other => (other, false),
        }
    }
}

/// How long a replica is read from, or left alone, before the leader is asked again. Java asks it again after `metadata.max.age.ms`, five
/// minutes; a replica that keeps silent should not cost as much.
const REPLICA_TIME_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use kmirror_client::clock;

    use super::*;

    #[test]
    fn a_replica_is_read_from_for_a_while() {
        let (leader, replica, now) = (BrokerId(1), BrokerId(2), clock::now());
        let later = now + REPLICA_TIME_MAX;
        let read_from = ReadFrom::Leader.redirected(leader, replica, now);
        assert_eq!(read_from.broker(leader, now, |_| true), replica);
        assert_eq!(read_from.broker(leader, later, |_| true), leader, "it is asked again");
        assert_eq!(read_from.broker(BrokerId(3), now, |_| true), BrokerId(3), "another one leads");
        assert_eq!(read_from.broker(leader, now, |broker| broker != replica), leader, "the replica is gone");
        assert_eq!(read_from.ended(false, now), (ReadFrom::Leader, false));
    }

    #[test]
    fn what_a_replica_may_not_decide_the_leader_does() {
        let (leader, now) = (BrokerId(1), clock::now());
        let read_from = ReadFrom::Leader.redirected(leader, BrokerId(2), now);
        let (alone, asks_leader) = read_from.ended(true, now);
        assert!(asks_leader && !alone.follows());
        assert_eq!(alone.ended(true, now), (alone, false), "the leader may decide");
        assert!(!alone.is_over(now) && alone.is_over(now + REPLICA_TIME_MAX));
        let in_a_circle = read_from.redirected(leader, BrokerId(3), now);
        assert!(!in_a_circle.follows(), "a replica names nobody");
        assert!(!ReadFrom::Leader.redirected(leader, leader, now).follows(), "a leader that names itself");
    }
}
