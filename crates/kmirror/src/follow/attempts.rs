//! What became of changes that were made, or tried, of target topics: what is refused for good is not asked for again, what failed is after a
//! while, and what somebody else changes back again and again is said and then left in peace for longer and longer. Pure: time is an argument.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror_client::ClientError;

use crate::topics::alter::is_final;
use crate::topics::config_step::ConfigStep;

/// The changes of a flow, by topic and key.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    of_key: HashMap<(Arc<str>, String), Attempt>,
}

#[derive(Debug, Default)]
struct Attempt {
    /// To what it was to be changed; what is known is of that alone.
    to: Option<String>,
    is_refused: bool,
    not_before: Option<Instant>,
    pause: Duration,
    /// When it was changed, within the hour.
    made: Vec<Instant>,
    is_told: bool,
}

impl Attempts {
    /// Whether a change is to be made now.
    pub(crate) fn may(&mut self, topic: &Arc<str>, step: &ConfigStep, now: Instant) -> bool {
        let attempt = self.of(topic, step);
        !attempt.is_refused && attempt.not_before.is_none_or(|at| at <= now)
    }

    /// It was made. Whether to tell that somebody else changes it back: for the third time within an hour.
    pub(crate) fn made(&mut self, topic: &Arc<str>, step: &ConfigStep, now: Instant) -> bool {
        let attempt = self.of(topic, step);
        attempt.made.retain(|made| now.duration_since(*made) < RETURNS_WITHIN);
        attempt.made.push(now);
        if attempt.made.len() <= RETURNS_MAX {
            (attempt.not_before, attempt.pause) = (None, Duration::ZERO);
            return false;
        }
        attempt.put_off(now, RETURN_PAUSE_MAX);
        !std::mem::replace(&mut attempt.is_told, true)
    }

    /// It was not made. Whether to tell: once for each value.
    pub(crate) fn failed(
        &mut self,
        topic: &Arc<str>,
        step: &ConfigStep,
        error: &ClientError,
        now: Instant,
    ) -> bool {
        let attempt = self.of(topic, step);
        if is_final(error) {
            attempt.is_refused = true;
        } else {
            attempt.put_off(now, FAILURE_PAUSE_MAX);
        }
        !std::mem::replace(&mut attempt.is_told, true)
    }

    fn of(&mut self, topic: &Arc<str>, step: &ConfigStep) -> &mut Attempt {
        let attempt = self.of_key.entry((Arc::clone(topic), step.key.clone())).or_default();
        if attempt.to != step.to {
            *attempt = Attempt { to: step.to.clone(), ..Attempt::default() };
        }
        attempt
    }
}

impl Attempt {
    fn put_off(&mut self, now: Instant, pause_max: Duration) {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, pause_max);
        self.not_before = Some(now + self.pause);
    }
}

/// What is changed back more often than this within the hour, somebody else wants otherwise.
const RETURNS_MAX: usize = 3;
const RETURNS_WITHIN: Duration = Duration::from_secs(3_600);
const PAUSE_MIN: Duration = Duration::from_secs(60);
const RETURN_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// A permission may have been granted, a controller be back.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use kmirror_client::KafkaError;

    use super::*;

    fn step(to: &str) -> ConfigStep {
        ConfigStep { key: "retention.ms".to_owned(), from: Some("1".to_owned()), to: Some(to.to_owned()) }
    }

    fn refused(error: KafkaError) -> ClientError {
        ClientError::Broker { error, api: "IncrementalAlterConfigs", context: "orders".into(), message: None }
    }

    fn topic() -> Arc<str> {
        "orders".into()
    }

    #[test]
    fn a_value_that_is_refused_is_not_asked_for_again_and_another_one_is() {
        let (mut attempts, now) = (Attempts::default(), kmirror_client::clock::now());
        for final_error in
            [KafkaError::INVALID_CONFIG, KafkaError::POLICY_VIOLATION, KafkaError::INVALID_REQUEST]
        {
            let mut attempts = Attempts::default();
            assert!(attempts.failed(&topic(), &step("5"), &refused(final_error), now));
            assert!(!attempts.may(&topic(), &step("5"), now + RETURN_PAUSE_MAX * 9));
            assert!(attempts.may(&topic(), &step("6"), now), "the source was corrected");
        }
        let passing = refused(KafkaError::REQUEST_TIMED_OUT);
        assert!(attempts.failed(&topic(), &step("5"), &passing, now));
        assert!(!attempts.may(&topic(), &step("5"), now + PAUSE_MIN / 2));
        assert!(attempts.may(&topic(), &step("5"), now + PAUSE_MIN));
        assert!(!attempts.failed(&topic(), &step("5"), &passing, now + PAUSE_MIN), "told once");
        assert!(!attempts.may(&topic(), &step("5"), now + PAUSE_MIN * 2), "twice as long");
        assert!(attempts.may(&topic(), &step("5"), now + PAUSE_MIN * 3));
    }

    #[test]
    fn what_is_changed_back_again_and_again_is_told_once_and_left_for_longer_and_longer() {
        let (mut attempts, mut now) = (Attempts::default(), kmirror_client::clock::now());
        for _ in 0..RETURNS_MAX {
            assert!(attempts.may(&topic(), &step("5"), now) && !attempts.made(&topic(), &step("5"), now));
            now += Duration::from_secs(1);
        }
        assert!(attempts.made(&topic(), &step("5"), now), "the third return");
        assert!(!attempts.may(&topic(), &step("5"), now + PAUSE_MIN / 2));
        now += PAUSE_MIN;
        assert!(attempts.may(&topic(), &step("5"), now) && !attempts.made(&topic(), &step("5"), now));
        assert!(!attempts.may(&topic(), &step("5"), now + PAUSE_MIN));
        assert!(attempts.may(&topic(), &step("7"), now), "the source has another value");
        now += Duration::from_secs(10_000);
        assert!(!attempts.made(&topic(), &step("7"), now));
    }
}
