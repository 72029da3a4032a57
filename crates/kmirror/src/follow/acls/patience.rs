//! When an entry is tried again that the target did not take, or that somebody takes back. Pure: whoever asks says what time it is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use kmirror_client::{AclEntry, ClientError, KafkaError, Moment};

/// What the target has answered, and what became of it there.
#[derive(Debug, Default)]
pub(super) struct Patience {
    refusals: HashMap<AclEntry, Refusal>,
    /// What was added by this process, and when, and whether it was seen since: brokers learn of it a moment later.
    added: HashMap<AclEntry, (Moment, bool)>,
    returns: HashMap<AclEntry, Returns>,
}

#[derive(Debug)]
enum Refusal {
    /// The same entry meets the same answer.
    Final,
    Passing(Pause),
}

/// When an entry was added that had been added before, and was gone since by somebody else's hand.
#[derive(Debug, Default)]
struct Returns {
    times: VecDeque<Moment>,
    pause: Option<Pause>,
}

/// How long something is not done, from a moment on.
#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Moment,
    length: Duration,
}

impl Patience {
    /// Whether the target has said for good that it does not take an entry.
    pub(super) fn is_refused(&self, entry: &AclEntry) -> bool {
        matches!(self.refusals.get(entry), Some(Refusal::Final))
    }

    /// Whether an entry that the target did not take is asked for again, to be added or to be removed.
    pub(super) fn may_ask(&self, entry: &AclEntry, now: Moment) -> bool {
        match self.refusals.get(entry) {
            None => true,
            Some(Refusal::Final) => false,
            Some(Refusal::Passing(pause)) => pause.is_over(now),
        }
    }

    /// Whether an entry that somebody takes back again and again is added once more.
    pub(super) fn may_return(&self, entry: &AclEntry, now: Moment) -> bool {
        let pause = self.returns.get(entry).and_then(|returns| returns.pause);
        pause.is_none_or(|pause| pause.is_over(now))
    }

    /// The target did not take an entry. Whether that is to be said: it is for good, or the first time.
    pub(super) fn refused(&mut self, entry: &AclEntry, error: &ClientError, now: Moment) -> bool {
        let last = match self.refusals.get(entry) {
            Some(Refusal::Passing(pause)) => Some(*pause),
            _ => None,
        };
        let is_final = is_final(error);
        let passing = || Refusal::Passing(Pause::after(last, ASKED_MIN, ASKED_MAX, now));
        self.refusals.insert(entry.clone(), if is_final { Refusal::Final } else { passing() });
        is_final || last.is_none()
    }

    /// An entry is on the target now by what was asked. Whether somebody has taken it back so often that it is to be said.
    pub(super) fn added(&mut self, entry: &AclEntry, now: Moment) -> bool {
        self.refusals.remove(entry);
        let before = self.added.insert(entry.clone(), (now, false));
        if !before.is_some_and(|(_, is_seen)| is_seen) {
            return false;
        }
        let returns = self.returns.entry(entry.clone()).or_default();
        returns.times.retain(|time| now.since(*time) < HOUR);
        returns.times.push_back(now);
        if returns.times.len() < RETURNS_MAX {
            returns.pause = None;
            return false;
        }
        let is_first = returns.pause.is_none();
        returns.pause = Some(Pause::after(returns.pause, RETURNED_MIN, RETURNED_MAX, now));
        is_first
    }

    /// These are on the target.
    pub(super) fn seen(&mut self, there: &HashSet<AclEntry>) {
        for (entry, (_, is_seen)) in &mut self.added {
            *is_seen |= there.contains(entry);
        }
    }

    /// Whether an entry that is not to be seen may be there nevertheless, for it has just been added.
    pub(super) fn is_unseen(&self, entry: &AclEntry, now: Moment) -> bool {
        self.added.get(entry).is_some_and(|(added_at, is_seen)| !is_seen && now.since(*added_at) < LAG_MAX)
    }

    /// An entry is gone from the target by what was asked.
    pub(super) fn removed(&mut self, entry: &AclEntry) {
        self.refusals.remove(entry);
        self.added.remove(entry);
        self.returns.remove(entry);
    }
}

impl Pause {
    /// Twice as long as the last one.
    fn after(last: Option<Pause>, min: Duration, max: Duration, now: Moment) -> Pause {
        Pause { since: now, length: last.map_or(min, |last| (last.length * 2).min(max)) }
    }

    fn is_over(&self, now: Moment) -> bool {
        now.since(self.since) >= self.length
    }
}

/// What the target says of an entry for good. Anything else may pass: the controller moved, it took too long.
fn is_final(error: &ClientError) -> bool {
    let finals = [
        KafkaError::INVALID_REQUEST,
        KafkaError::INVALID_PRINCIPAL_TYPE,
        KafkaError::POLICY_VIOLATION,
        KafkaError::SECURITY_DISABLED,
        KafkaError::UNSUPPORTED_VERSION,
    ];
    error.kafka_error().is_some_and(|error| finals.contains(&error))
}

/// How far a broker may be behind that answers at all.
const LAG_MAX: Duration = Duration::from_secs(60);
/// So often within an hour it may be a mistake that somebody corrects.
const RETURNS_MAX: usize = 3;
const HOUR: Duration = Duration::from_secs(60 * 60);
const ASKED_MIN: Duration = Duration::from_secs(1);
const ASKED_MAX: Duration = Duration::from_secs(10 * 60);
const RETURNED_MIN: Duration = Duration::from_secs(60);
/// Shorter than the hour that they are counted for, or each pause would end the count.
const RETURNED_MAX: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use kmirror_client::{AclOperation, AclPatternType, AclPermission, AclResourceType};

    use super::*;

    fn entry() -> AclEntry {
        AclEntry {
            resource_type: AclResourceType::Topic,
            pattern_type: AclPatternType::Literal,
            resource_name: "orders".to_owned(),
            principal: "User:ann".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds), Duration::from_secs(1_000_000 + seconds))
    }

    fn error(error: KafkaError) -> ClientError {
        ClientError::Broker { error, api: "CreateAcls", context: "orders".into(), message: None }
    }

    #[test]
    fn what_may_pass_is_asked_for_again_after_growing_pauses() {
        let (mut patience, entry, mut now) = (Patience::default(), entry(), 0);
        for (times, pause) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].into_iter().enumerate() {
            assert!(patience.may_ask(&entry, at(now)));
            let is_told = patience.refused(&entry, &error(KafkaError::NOT_CONTROLLER), at(now));
            assert_eq!(is_told, times == 0);
            assert!(!patience.may_ask(&entry, at(now + pause - 1)), "{pause}");
            assert!(!patience.is_refused(&entry));
            now += pause;
        }
        assert!(!patience.added(&entry, at(now)));
        patience.refused(&entry, &error(KafkaError::REQUEST_TIMED_OUT), at(now));
        assert!(patience.may_ask(&entry, at(now + 1)), "it begins anew");
    }

    #[test]
    fn what_is_refused_for_good_is_not_asked_for_again() {
        let (mut patience, entry) = (Patience::default(), entry());
        patience.refused(&entry, &error(KafkaError::UNKNOWN_SERVER_ERROR), at(0));
        assert!(patience.refused(&entry, &error(KafkaError::POLICY_VIOLATION), at(1)), "said as well");
        assert!(patience.is_refused(&entry) && !patience.may_ask(&entry, at(1_000_000)));
        let other = AclEntry { host: "10.0.0.7".to_owned(), ..entry };
        assert!(patience.may_ask(&other, at(1)));
    }

    /// It was seen, and has been added again.
    fn returns(patience: &mut Patience, entry: &AclEntry, now: u64) -> bool {
        patience.seen(&HashSet::from([entry.clone()]));
        patience.added(entry, at(now))
    }

    #[test]
    fn the_third_return_within_an_hour_is_told_once() {
        let (mut patience, entry) = (Patience::default(), entry());
        let told = [0, 100, 200, 3_800, 3_900].map(|now| returns(&mut patience, &entry, now));
        assert_eq!(told, [false; 5], "the first is none, and two have passed");
        assert!(patience.may_return(&entry, at(3_900)));
        let mut now = 4_000;
        for (times, pause) in [60, 120, 240, 480, 900, 900].into_iter().enumerate() {
            assert!(patience.may_return(&entry, at(now)));
            assert_eq!(returns(&mut patience, &entry, now), times == 0);
            assert!(!patience.may_return(&entry, at(now + pause - 1)), "{pause}");
            now += pause;
        }
        // Nobody has taken it back for an hour.
        now += 3_600;
        assert!(!returns(&mut patience, &entry, now));
        assert!(patience.may_return(&entry, at(now)));
    }

    #[test]
    fn what_was_removed_on_purpose_does_not_return() {
        let (mut patience, entry) = (Patience::default(), entry());
        for now in 0..10 {
            assert!(!returns(&mut patience, &entry, now));
            patience.removed(&entry);
        }
    }

    /// A broker that is behind shows what was there before.
    #[test]
    fn what_was_not_seen_yet_does_not_return() {
        let (mut patience, entry) = (Patience::default(), entry());
        for now in 0..10 {
            assert!(!patience.added(&entry, at(now)));
            patience.seen(&HashSet::new());
        }
        assert!(patience.is_unseen(&entry, at(9)) && !patience.is_unseen(&entry, at(69)));
        patience.seen(&HashSet::from([entry.clone()]));
        assert!(!patience.is_unseen(&entry, at(9)));
    }
}
