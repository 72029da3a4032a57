//! What several runs of the same thing say together.

/// The least, the median and the most of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// All zero if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        Spread { least: at(0), median: f64::midpoint(at(last / 2), at(sorted.len() / 2)), most: at(last) }
    }

    /// `2.00 (1.50–2.75)`, with so many digits.
    pub(crate) fn text(&self, digits: usize) -> String {
        let Spread { least, median, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// The median alone, 0 if there are no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, expected) in [(&[][..], 0.0), (&[3.0], 3.0), (&[2.0, 1.0], 1.5), (&[9.0, 1.0, 2.0], 2.0)]
        {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn a_spread_has_its_ends() {
        let spread = Spread::of([2.0, 9.0, 1.0]);
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 9.0 });
        assert_eq!(spread.text(1), "2.0 (1.0–9.0)");
    }
}
