//! Faults by hook: what goes wrong, with which requests.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Each partition of the request is answered with this error, and nothing is done. For Produce, Fetch, ListOffsets,
    /// OffsetForLeaderEpoch, Metadata (the whole answer, from version 13 on), WriteTxnMarkers, JoinGroup, SyncGroup, Heartbeat,
    /// LeaveGroup, ListGroups, OffsetCommit, OffsetFetch and TxnOffsetCommit, each topic of CreateTopics, and each entry of CreateAcls and
    /// DeleteAcls; other requests are hung up on.
    Error(ResponseError),
    /// It is answered so much later. Other requests of the connection wait.
    Delay(Duration),
    /// The connection is closed and nothing is done.
    HangUpBefore,
    /// What it asks for is done, and the connection is closed instead of an answer.
    HangUpAfter,
    /// What it asks for is done, and half of the answer is sent before the connection is closed.
    TruncateAnswer,
    /// What it asks for is done, and the answer's bytes are changed.
    Garbage,
    /// Nothing is done and nothing is answered, ever.
    Silence,
    /// A quota is exceeded (KIP-219): the answer says for how long, a fetch gets nothing, and so long no more is read from the
    /// connection. Only answers to Fetch and Produce say it.
    Throttle(Duration),
    /// A fetch gets no records though there are some, and no error.
    NoRecords,
    /// The same, but for topics that are compacted, which are never tiered: a read from tiered storage that took too long (KIP-1018).
    SlowTiering,
}

/// A rule: from the `skip`-th matching request on, `times` requests go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    api: Option<ApiKey>,
    broker: Option<i32>,
    skip: u32,
    times: u32,
}

impl Fault {
    /// The next request of any kind goes wrong.
    pub fn new(kind: FaultKind) -> Fault {
        Fault { kind, api: None, broker: None, skip: 0, times: 1 }
    }

    /// Only requests of this kind count.
    pub fn of(mut self, api: ApiKey) -> Fault {
        self.api = Some(api);
        self
    }

    /// Only requests to this broker count.
    pub fn at(mut self, broker: i32) -> Fault {
        self.broker = Some(broker);
        self
    }

    /// So many requests pass first.
    pub fn after(mut self, skip: u32) -> Fault {
        self.skip = skip;
        self
    }

    /// So many requests go wrong.
    pub fn times(mut self, times: u32) -> Fault {
        self.times = times;
        self
    }
}

/// The rules of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Counts a request, and says what goes wrong with it.
    pub(crate) fn next(&mut self, broker: i32, api: ApiKey) -> Option<FaultKind> {
        let mut kind = None;
        for rule in &mut self.rules {
            let concerns = rule.api.is_none_or(|wanted| wanted == api)
                && rule.broker.is_none_or(|wanted| wanted == broker);
            if !concerns || kind.is_some() {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                kind = Some(rule.kind.clone());
            }
        }
        self.rules.retain(|rule| rule.times > 0);
        kind
    }
}

/// What takes an injected error; of other requests the connection is hung up.
pub(crate) const TAKE_ERRORS: [ApiKey; 22] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::Metadata,
    ApiKey::WriteTxnMarkers,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::ListGroups,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::TxnOffsetCommit,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::DescribeTransactions,
    ApiKey::CreateTopics,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_what_concerns_it() {
        let mut faults = Faults::default();
        faults.add(Fault::new(FaultKind::HangUpAfter).of(ApiKey::Produce).at(2).after(1).times(2));
        assert_eq!(faults.next(2, ApiKey::Fetch), None);
        assert_eq!(faults.next(1, ApiKey::Produce), None);
        let next: Vec<_> = (0..4).map(|_| faults.next(2, ApiKey::Produce)).collect();
        assert_eq!(next, [None, Some(FaultKind::HangUpAfter), Some(FaultKind::HangUpAfter), None]);
    }
}
