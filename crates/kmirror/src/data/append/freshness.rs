//! How long it is believed that a log ends where we left it. Pure: time is an argument.
//!
//! A broker refuses what is not the next batch of a producer only while it remembers the producer, and it forgets one by the
//! timestamp of its newest record, not by when that was written (`ProducerStateManager.isProducerExpired`). Of old records it
//! knows nothing any more from one of its checks to the next append, and then it takes any sequence: a batch that another
//! instance has appended meanwhile would stand in the log twice. So nothing is written unless the log was seen to end where we
//! believe shortly before.

use std::time::Duration;

use kmirror_client::{ConfigEntry, Deadline, Moment};

/// What is known of a target log's end, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    /// When the newest request was sent whose answer showed that the log ends where we believe. The answer may be much older when
    /// we see it than when it came.
    seen_at: Moment,
    /// The newest record's timestamp of the last batch that the log is known to hold, in ms.
    last_timestamp: Option<i64>,
    /// How long the target remembers a producer (`producer.id.expiration.ms`).
    producer_expiration: Duration,
    /// Until when it remembers one for as long as it can, because we have made it.
    raised: Option<Deadline>,
    /// How old the sight of the log's end may be where the broker may have forgotten us.
    patience: Duration,
}

impl Freshness {
    /// The log was seen at `seen_at`, by a request that was sent then.
    pub(crate) fn new(seen_at: Moment) -> Freshness {
        let producer_expiration = PRODUCER_EXPIRATION_DEFAULT;
        let patience = FORGOTTEN_AGE_MAX;
        Freshness { seen_at, last_timestamp: None, producer_expiration, raised: None, patience }
    }

    /// Lets the broker remember producers for so long.
    pub(crate) fn remembering(self, producer_expiration: Duration) -> Freshness {
        Freshness { producer_expiration, ..self }
    }

    /// It remembers producers for longer until the lease is over, if it has done so since our last append: as a lease that went on
    /// without a break says, or since there was none (`is_untouched`).
    pub(crate) fn on_raised(&mut self, now: Moment, lease: Option<Deadline>, is_untouched: bool) {
        let goes_on = self.raised.is_some_and(|raised| !raised.is_over(now));
        self.raised = lease.filter(|_| goes_on || is_untouched);
    }

    /// Whether we have appended anything.
    pub(crate) fn has_appended(&self) -> bool {
        self.last_timestamp.is_some()
    }

    /// Whether the log's end was seen so recently that something may be written behind it.
    pub(crate) fn holds(&self, now: Moment) -> bool {
        !self.deadline(now).is_over(now)
    }

    /// Whether the log's end was seen within this time.
    pub(crate) fn was_seen_within(&self, age: Duration, now: Moment) -> bool {
        !Deadline::new(self.seen_at, age).is_over(now)
    }

    /// Until when something may be written.
    pub(crate) fn deadline(&self, now: Moment) -> Deadline {
        let age_max = if self.is_remembered(now) { REMEMBERED_AGE_MAX } else { self.patience };
        let deadline = Deadline::new(self.seen_at, age_max);
        match self.raised {
            // Nothing is written behind the end of the lease that rests on it.
            Some(raised) if !raised.is_over(now) && !self.is_young(now, self.producer_expiration) => {
                deadline.min(raised, now)
            }
            _ => deadline,
        }
    }

    /// Whether the broker cannot have forgotten our last batch: its newest record is younger than a quarter of the time after which
    /// a producer is forgotten. The rest is for clocks that differ.
    pub(crate) fn is_remembered(&self, now: Moment) -> bool {
        let expiration = match self.raised {
            Some(raised) if !raised.is_over(now) => RAISED.max(self.producer_expiration),
            _ => self.producer_expiration,
        };
        self.is_young(now, expiration)
    }

    fn is_young(&self, now: Moment, producer_expiration: Duration) -> bool {
        let quarter = i64::try_from(producer_expiration.as_millis() / 4).unwrap_or(i64::MAX);
        self.last_timestamp.is_some_and(|timestamp| timestamp.saturating_add(quarter) > now.wall_ms())
    }

    /// A batch was appended where it belongs, by a request that was sent at `sent_at`.
    pub(crate) fn appended(&mut self, sent_at: Moment, max_timestamp: i64) {
        self.last_timestamp = Some(max_timestamp);
        self.patience = FORGOTTEN_AGE_MAX;
        self.seen_at = sent_at;
    }

    /// The log was seen to end where we believe, by a request that was sent at `asked_at`. Where the answer takes longer than it is
    /// worth, it is worth more the next time: else a slow target would never be written to.
    pub(crate) fn seen(&mut self, asked_at: Moment, now: Moment) {
        self.seen_at = asked_at;
        if !self.holds(now) {
            self.patience = (self.patience * 2).min(REMEMBERED_AGE_MAX);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_doubted(&self) -> bool {
        self.seen_at == NEVER
    }

    /// What was sent may have been appended although the broker says otherwise, and it may not know it for a repeat: the log must be
    /// looked at before it is sent again.
    pub(crate) fn doubt(&mut self, now: Moment) {
        if !self.is_remembered(now) {
            self.seen_at = NEVER;
        }
    }
}

const NEVER: Moment = Moment::at(Duration::ZERO, Duration::ZERO);
/// Where the broker remembers our last batch: another instance that has gone on has left newer ones, which it remembers as well unless
/// they are old and one of its checks came by in this time.
const REMEMBERED_AGE_MAX: Duration = Duration::from_secs(10);
/// Where it may have forgotten us: another instance needs longer to see that this one stands still, to take over and to append, and
/// brokers forget at a check (`producer.id.expiration.check.interval.ms`, ten minutes) that would have to come by in between.
pub(crate) const FORGOTTEN_AGE_MAX: Duration = Duration::from_secs(3);
/// How long a broker with this configuration remembers a producer. Before 3.4 one key said it of producers and of transactional ids
/// (KIP-854).
pub(crate) fn producer_expiration(broker: &[ConfigEntry]) -> Option<Duration> {
    let value = |key: &str| broker.iter().find(|entry| entry.name == key)?.value.as_deref();
    let text = value("producer.id.expiration.ms").or_else(|| value("transactional.id.expiration.ms"))?;
    text.parse().ok().map(Duration::from_millis)
}

/// A day: `producer.id.expiration.ms` where it is not known.
pub(crate) const PRODUCER_EXPIRATION_DEFAULT: Duration = Duration::from_secs(86_400);

/// The largest value that brokers take, an int of milliseconds: 24.8 days.
pub(crate) const RAISED_MS: u32 = 2_147_483_647;

pub(crate) const RAISED: Duration = Duration::from_millis(RAISED_MS as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const WALL: Duration = Duration::from_secs(1_800_000_000);

    fn moment(seconds: u64) -> Moment {
        let passed = Duration::from_secs(seconds);
        Moment::at(passed, WALL + passed)
    }

    fn of_age(age: Duration) -> i64 {
        i64::try_from((WALL - age).as_millis()).expect("fits")
    }

    #[test]
    fn what_was_seen_holds_for_some_seconds() {
        let mut freshness = Freshness::new(moment(100));
        assert!(freshness.holds(moment(102)) && !freshness.holds(moment(103)), "nothing of ours is known");
        freshness.appended(moment(100), of_age(Duration::from_secs(60)));
        assert!(freshness.holds(moment(109)) && !freshness.holds(moment(110)));
        freshness.appended(moment(100), of_age(2 * DAY));
        assert!(freshness.holds(moment(102)) && !freshness.holds(moment(103)), "it may be forgotten");
    }

    #[test]
    fn records_of_a_quarter_of_the_expiration_are_old() {
        let mut freshness = Freshness::new(moment(0));
        for (age, is_remembered) in [(0, true), (6 * 3_600 - 1, true), (6 * 3_600, false), (86_400, false)] {
            freshness.appended(moment(0), of_age(Duration::from_secs(age)));
            assert_eq!(freshness.is_remembered(moment(0)), is_remembered, "{age}");
        }
        freshness.appended(moment(0), i64::MAX);
        assert!(freshness.is_remembered(moment(0)), "a broker compares the same");
        let mut raised = Freshness::new(moment(0)).remembering(24 * DAY);
        raised.appended(moment(0), of_age(2 * DAY));
        assert!(raised.is_remembered(moment(0)));
    }

    #[test]
    fn a_raised_expiration_counts_as_long_as_its_lease() {
        let lease = |seconds| Some(Deadline::new(moment(seconds), Duration::from_secs(4)));
        let mut freshness = Freshness::new(moment(100));
        freshness.on_raised(moment(100), lease(100), true);
        freshness.appended(moment(100), of_age(2 * DAY));
        assert!(freshness.is_remembered(moment(103)) && !freshness.is_remembered(moment(104)));
        assert!(freshness.holds(moment(103)), "longer than what may be forgotten");
        assert!(!freshness.holds(moment(104)), "and no longer than the lease");
        assert!(
            freshness.deadline(moment(101)).is_over(moment(104)),
            "what is on its way to the socket neither"
        );
        freshness.on_raised(moment(103), lease(103), false);
        assert!(freshness.is_remembered(moment(106)), "it goes on");
        freshness.on_raised(moment(107), lease(107), false);
        assert!(!freshness.is_remembered(moment(107)), "it may have been put back, and raised again");
        freshness.on_raised(moment(108), lease(108), false);
        assert!(!freshness.is_remembered(moment(108)), "for good");
        let mut young = Freshness::new(moment(100));
        young.on_raised(moment(100), lease(100), true);
        young.appended(moment(100), of_age(Duration::ZERO));
        assert!(young.holds(moment(109)), "what is remembered anyway needs no lease");
        let mut old = Freshness::new(moment(100));
        old.appended(moment(100), of_age(2 * DAY));
        old.on_raised(moment(100), lease(100), false);
        assert!(!old.is_remembered(moment(100)), "it may have been forgotten before");
        let mut ended = Freshness::new(moment(100));
        ended.on_raised(moment(100), lease(100), true);
        ended.appended(moment(100), of_age(2 * DAY));
        ended.on_raised(moment(101), None, false);
        assert!(!ended.is_remembered(moment(101)), "it is put back soon");
    }

    #[test]
    fn what_a_broker_remembers_has_had_two_names() {
        let entry = |name: &str, value: &str| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source: kmirror_client::ConfigSource::Default,
            is_sensitive: false,
            read_only: false,
        };
        let transactional = entry("transactional.id.expiration.ms", "604800000");
        let both = [transactional.clone(), entry("producer.id.expiration.ms", "1000")];
        assert_eq!(producer_expiration(&both), Some(Duration::from_secs(1)));
        assert_eq!(producer_expiration(&[transactional]), Some(7 * DAY));
        assert_eq!(producer_expiration(&[entry("producer.id.expiration.ms", "soon")]), None);
        assert_eq!(producer_expiration(&[]), None);
    }

    #[test]
    fn a_slow_target_is_given_more_time() {
        let mut freshness = Freshness::new(moment(0));
        freshness.seen(moment(100), moment(104));
        assert!(!freshness.holds(moment(106)) && freshness.holds(moment(105)));
        freshness.seen(moment(200), moment(207));
        freshness.seen(moment(300), moment(320));
        assert!(freshness.holds(moment(309)) && !freshness.holds(moment(310)), "bounded");
        freshness.appended(moment(400), of_age(2 * DAY));
        assert!(!freshness.holds(moment(403)), "as before");
    }

    #[test]
    fn a_doubtful_append_of_old_records_is_looked_for() {
        let mut freshness = Freshness::new(moment(100));
        freshness.appended(moment(100), of_age(Duration::ZERO));
        freshness.doubt(moment(100));
        assert!(freshness.holds(moment(100)), "the broker knows a repeat");
        freshness.appended(moment(100), of_age(2 * DAY));
        freshness.doubt(moment(100));
        assert!(!freshness.holds(moment(100)));
    }
}
