//! The token of an owner: its markers are refused once another owner has sent one with a higher token. Pure.

use kmirror_client::Moment;

/// A token higher than any that the log has shown, and than one that was refused. Brokers before 2.8 cannot tell the highest (and some
/// deny it): then a token that is too low is refused, and the next one is larger by a part of it. It is no lower than the clock either: so
/// it is higher than those of earlier owners whose markers are still on their way. Two owners that read the same tail at the same time should
/// not choose the same, because brokers accept an equal one: so it is higher by some random number.
pub(super) fn token_after(seen: i32, refused: i32, clock: i32, random: u64) -> i32 {
    let highest = if seen > refused { seen } else { refused.saturating_add(refused / 16) };
    highest.max(clock).saturating_add(1).saturating_add((random % TOKEN_STEP_MAX) as i32)
}

/// Seconds since 2026, until 2060: a clock that is set to a later year must not use tokens up.
pub(super) fn token_clock(now: Moment) -> i32 {
    let seconds = now.wall_ms() / 1_000 - TOKEN_CLOCK_BEGINS;
    i32::try_from(seconds.clamp(0, TOKEN_CLOCK_ENDS)).unwrap_or(0)
}

/// Small: an owner that comes this many seconds later has the higher token, whatever the others' chance.
const TOKEN_STEP_MAX: u64 = 16;

/// 1 January 2026, in seconds since 1970.
const TOKEN_CLOCK_BEGINS: i64 = 1_767_225_600;

/// Half of what a token can say.
const TOKEN_CLOCK_ENDS: i64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_is_higher_than_any_before() {
        for (seen, refused, clock, expected) in [
            (0, 0, 0, 1),
            (4, 0, 0, 5),
            (4, 3, 0, 5),
            (32, 32, 0, 35),
            (0, 320, 0, 341),
            (4, 0, 1_000, 1_001),
            (2_000, 0, 1_000, 2_001),
            (4, 1_600, 1_000, 1_701),
            (i32::MAX, 0, 0, i32::MAX),
            (0, i32::MAX, 0, i32::MAX),
        ] {
            let token = |random| token_after(seen, refused, clock, random);
            assert_eq!(token(TOKEN_STEP_MAX), expected, "seen {seen}, refused {refused}");
            assert_eq!(token(TOKEN_STEP_MAX - 1), expected.saturating_add(TOKEN_STEP_MAX as i32 - 1));
        }
    }

    #[test]
    fn the_clock_of_tokens_has_bounds() {
        let at = |seconds| Moment::at(Duration::ZERO, Duration::from_secs(seconds));
        for (seconds, clock) in [(0, 0), (1_767_225_600, 0), (1_767_225_700, 100), (9_000_000_000, 1 << 30)] {
            assert_eq!(token_clock(at(seconds)), clock, "{seconds}");
        }
    }
}
