use std::error::Error;

use hdrhistogram::Histogram;
use serde::Serialize;

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Percentiles {
    /// Of nanoseconds.
    pub(crate) fn of(nanoseconds: impl Iterator<Item = u64>) -> Result<Percentiles, Box<dyn Error>> {
        let mut histogram = Histogram::<u64>::new(DIGITS)?;
        for value in nanoseconds {
            histogram.record(value)?;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Ok(Percentiles { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: histogram.max() as f64 / 1e6 })
    }

    pub(crate) fn text(&self) -> String {
        let Percentiles { p50, p99, p99_9, max } = self;
        format!("p50 {p50:.2}, p99 {p99:.2}, p99.9 {p99_9:.2}, max {max:.2} ms")
    }

    /// As cells of a table.
    pub(crate) fn cells(&self) -> [String; 4] {
        [self.p50, self.p99, self.p99_9, self.max].map(|milliseconds| format!("{milliseconds:.2}"))
    }
}

/// Significant digits.
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let percentiles = Percentiles::of((1..=1_000).map(|ms| ms * 1_000_000)).unwrap();
        for (found, expected) in [
            (percentiles.p50, 500.0),
            (percentiles.p99, 990.0),
            (percentiles.p99_9, 999.0),
            (percentiles.max, 1_000.0),
        ] {
            assert!((found - expected).abs() <= expected / 1_000.0, "{percentiles:?}");
        }
    }
}
