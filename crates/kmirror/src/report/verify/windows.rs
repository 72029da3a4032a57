//! Which offsets of a partition are compared. Pure.

/// The ranges to compare: all, or windows spread evenly that together are `sample` of it.
pub(crate) fn windows(first: i64, end: i64, sample: Option<f64>) -> Vec<(i64, i64)> {
    if end <= first {
        return Vec::new();
    }
    let Some(sample) = sample.filter(|sample| (0.0..1.0).contains(sample)) else { return vec![(first, end)] };
    let length = end - first;
    let count = SAMPLE_WINDOWS.min(length);
    (0..count)
        .map(|index| {
            let from = first + length / count * index;
            let span = if index == count - 1 { end - from } else { length / count };
            (from, from + ((span as f64 * sample).ceil() as i64).clamp(1, span))
        })
        .collect()
}

/// How many offsets `[first, end)` are.
pub(crate) fn distance(first: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(first)).unwrap_or(0)
}

const SAMPLE_WINDOWS: i64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_or_an_even_sample() {
        assert_eq!(windows(5, 5, None), []);
        assert_eq!(windows(5, 100, None), [(5, 100)]);
        let sampled = windows(0, 1_000_000, Some(0.1));
        assert_eq!(sampled.len(), 20);
        assert_eq!(sampled.iter().map(|(first, end)| end - first).sum::<i64>(), 100_000);
        assert!(sampled.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert_eq!(windows(0, 3, Some(0.5)), [(0, 1), (1, 2), (2, 3)]);
    }
}
