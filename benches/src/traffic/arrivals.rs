use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Arrival, Clock, Reader, Stream};

/// A reader that keeps when each record arrived.
pub(crate) struct Arrivals {
    pub(crate) reader: Reader,
    seen: Arc<Mutex<Vec<Times>>>,
}

/// What a reader has seen, record by record.
pub(crate) struct Seen {
    times: Vec<Times>,
    /// Records that did not follow the one before in their partition.
    pub(crate) out_of_order: u64,
}

/// Of one record, in nanoseconds of the clock; both 0 if it has not arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    scheduled: u64,
    arrived: u64,
}

impl Arrivals {
    /// Reads `stream`, whose topics are called `name(topic)` there.
    pub(crate) fn read(
        bootstrap_servers: &str,
        clock: Clock,
        stream: &Stream,
        name: impl Fn(&str) -> String,
    ) -> Arrivals {
        let seen: Arc<Mutex<Vec<Times>>> = Arc::default();
        let shared = seen.clone();
        let note = move |arrival: Arrival| {
            let mut times = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let number = usize::try_from(arrival.number).unwrap_or(0);
            if times.len() <= number {
                times.resize(number + 1, Times::default());
            }
            if let Some(times) = times.get_mut(number) {
                *times = Times { scheduled: arrival.scheduled, arrived: arrival.arrived };
            }
        };
        Arrivals { reader: Reader::start(bootstrap_servers, clock, stream, name, note), seen }
    }

    /// Whether a record has arrived that was scheduled at this time or later.
    pub(crate) fn has_since(&self, scheduled: u64) -> bool {
        let times = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        times.last().is_some_and(|times| times.scheduled >= scheduled)
    }

    pub(crate) fn end(self) -> Result<Seen, Box<dyn Error>> {
        let out_of_order = self.reader.stop()?;
        let times = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Seen { times, out_of_order })
    }
}

impl Seen {
    /// From the scheduled time to the arrival, of the records from this number on.
    pub(crate) fn latencies(&self, first: u64) -> impl Iterator<Item = u64> {
        self.from(first).map(|times| times.arrived.saturating_sub(times.scheduled))
    }

    /// When the first record arrived of those that were scheduled at this time or later.
    pub(crate) fn first_since(&self, scheduled: u64) -> Option<u64> {
        let since = self.times.iter().filter(|times| times.arrived > 0 && times.scheduled >= scheduled);
        since.map(|times| times.arrived).min()
    }

    /// The number of the first record that was scheduled at this time or later.
    pub(crate) fn number_at(&self, scheduled: u64) -> u64 {
        self.times.partition_point(|times| times.scheduled < scheduled) as u64
    }

    fn from(&self, first: u64) -> impl Iterator<Item = &Times> {
        self.times.iter().skip(usize::try_from(first).unwrap_or(usize::MAX))
    }
}

/// How much later each record, from this number on, was on the target.
pub(crate) fn added(source: &Seen, target: &Seen, first: u64) -> impl Iterator<Item = u64> {
    let both = source.from(first).zip(target.from(first));
    both.map(|(source, target)| target.arrived.saturating_sub(source.arrived))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_difference_of_arrivals() {
        let seen = |times: &[(u64, u64)]| {
            let times = times.iter().map(|&(scheduled, arrived)| Times { scheduled, arrived });
            Seen { times: times.collect(), out_of_order: 0 }
        };
        let (source, target) = (seen(&[(0, 5), (10, 12), (20, 29)]), seen(&[(0, 9), (10, 20), (20, 30)]));
        assert_eq!(added(&source, &target, 1).collect::<Vec<_>>(), [8, 1]);
        assert_eq!(
            [0, 5, 15, 25].map(|since| source.first_since(since)),
            [Some(5), Some(12), Some(29), None]
        );
        assert_eq!([0, 5, 20, 25].map(|since| source.number_at(since)), [0, 1, 2, 3]);
        assert_eq!(target.latencies(0).collect::<Vec<_>>(), [9, 10, 10]);
    }
}
